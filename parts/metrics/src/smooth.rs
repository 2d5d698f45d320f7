//! Smooth calibration error (Błasiok & Nakkiran, arXiv:2309.12236): calibration error without bins.
//!
//! The residuals (probability less label) are smoothed over 0 to 1 by a Gaussian that is reflected at the ends; the
//! error at a width is the mean size of what is left, and the smooth error is where error and width are equal. A
//! reflected Gaussian is the heat kernel of the interval, so that smoothing is done on the coefficients of a cosine
//! series, one product each, and no grid rounds the probabilities.

use std::f64::consts::PI;

/// Coefficients whose cosines are kept for each study.
const KEPT: usize = 128;
/// A coefficient of this many standard deviations is below 1e-7 of its size before.
const DEVIATIONS: f64 = 5.7;
/// The least width: what is calibrated better counts as this well, as in the authors' own code.
const NARROWEST: f64 = 1e-3;
/// Coefficients that are found at a time.
const AT_A_TIME: usize = 16;

/// How exactly an error is found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exactness {
    /// Points, at the least, over which the mean is taken.
    points: usize,
    /// How near error and width are brought.
    tolerance: f64,
}

impl Exactness {
    /// For a figure that is shown.
    pub const FINE: Exactness = Exactness { points: 512, tolerance: 1e-8 };
    /// For one of many draws, which differ by far more from each other.
    pub const COARSE: Exactness = Exactness { points: 96, tolerance: 1e-4 };
}

/// Probabilities of which errors are asked for many times.
#[derive(Debug, Clone)]
pub(crate) struct Smoother {
    probabilities: Vec<f64>,
    /// The first cosines of each.
    cosines: Vec<[f64; KEPT]>,
}

impl Smoother {
    pub fn new(probabilities: Vec<f64>) -> Smoother {
        let of = |p: &f64| {
            let mut cosines = [0.0; KEPT];
            cosines.iter_mut().enumerate().for_each(|(k, cosine)| *cosine = (PI * k as f64 * p).cos());
            cosines
        };
        Smoother { cosines: probabilities.iter().map(of).collect(), probabilities }
    }

    /// The smooth error of residuals that sum over studies, each times the study's weight, divided by all weights.
    pub fn error(&self, residuals: &[f64], exactness: Exactness) -> f64 {
        let mut series = Series { of: self, residuals, coefficients: Vec::new(), points: exactness.points };
        let mut width = 0.1;
        let mut error = series.error(width);
        // The error falls with the width: they meet between one width and its error.
        let (mut low, mut high) = if error > width { (width, error) } else { (error, width) };
        low = low.max(NARROWEST);
        if low >= high || series.error(low) <= low {
            return series.error(low);
        }
        let (mut above, mut below) = (series.error(low) - low, series.error(high) - high);
        for _ in 0..60 {
            // False position, and the old end's value halved where it stays (Illinois).
            width = (low * below - high * above) / (below - above);
            error = series.error(width);
            let gap = error - width;
            if gap.abs() < exactness.tolerance || high - low < exactness.tolerance {
                break;
            }
            if gap > 0.0 {
                (low, above, below) = (width, gap, below / 2.0);
            } else {
                (high, below, above) = (width, gap, above / 2.0);
            }
        }
        error
    }
}

/// The cosine series of the residuals, as far as it was needed.
struct Series<'a> {
    of: &'a Smoother,
    residuals: &'a [f64],
    coefficients: Vec<f64>,
    points: usize,
}

impl Series<'_> {
    /// The mean size of the residuals smoothed to a width.
    fn error(&mut self, width: f64) -> f64 {
        let terms = 1 + (DEVIATIONS / (PI * width)) as usize;
        self.reach(terms);
        let damped = |k: usize| {
            let double = if k == 0 { 1.0 } else { 2.0 };
            double * self.coefficients[k] * (-(PI * k as f64 * width).powi(2) / 2.0).exp()
        };
        let damped: Vec<f64> = (0..terms).map(damped).collect();
        // Clenshaw's recurrence at all points side by side.
        let points = (4 * terms).max(self.points);
        let twice: Vec<f64> = (0..points).map(|at| 2.0 * (PI * (at as f64 + 0.5) / points as f64).cos()).collect();
        let (mut one, mut two) = (vec![0.0; points], vec![0.0; points]);
        for coefficient in damped.iter().skip(1).rev() {
            for ((one, two), twice) in one.iter_mut().zip(&mut two).zip(&twice) {
                let next = coefficient + twice * *one - *two;
                *two = *one;
                *one = next;
            }
        }
        let value = |((one, two), twice): ((&f64, &f64), &f64)| (damped[0] + 0.5 * twice * one - two).abs();
        one.iter().zip(&two).zip(&twice).map(value).sum::<f64>() / points as f64
    }

    /// Knows at least so many coefficients.
    fn reach(&mut self, terms: usize) {
        while self.coefficients.len() < terms && self.coefficients.len() < KEPT {
            let start = self.coefficients.len();
            let mut sums = [0.0; AT_A_TIME];
            for (residual, cosines) in self.residuals.iter().zip(&self.of.cosines).filter(|(it, _)| **it != 0.0) {
                let these = &cosines[start..start + AT_A_TIME];
                sums.iter_mut().zip(these).for_each(|(sum, cosine)| *sum += residual * cosine);
            }
            self.coefficients.extend(sums);
        }
        for k in self.coefficients.len()..terms {
            let of = |(residual, p): (&f64, &f64)| residual * (PI * k as f64 * p).cos();
            self.coefficients.push(self.residuals.iter().zip(&self.of.probabilities).map(of).sum());
        }
    }
}
