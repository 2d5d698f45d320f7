//! The bootstrap over patients (Efron 1979): 95 % percentile intervals.
//!
//! Patients are what chance draws; their studies are alike. A bootstrap of a handful of patients, or of data on which
//! every draw gives the same figure (ten studies all in order: AUROC 1 on every draw), would print an interval that
//! knows nothing of the truth: there [`NoInterval`] says why none is given. Each draw has a stream of random numbers of
//! its own, so that the result does not depend on the number of threads, to the last bit.

use std::hash::Hash;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use studies::Label;

use crate::measure::{Sample, Values};
use crate::patients::Patients;
use crate::smooth::Exactness;
use crate::{Interval, IntervalKind, NoInterval, check};

/// Draws of a bootstrap where nothing else is said.
pub const DRAWS: usize = 2000;

/// One of the bootstrap's draws: `n` positions below `n`, with replacement, the same for the same seed and number.
pub(crate) fn resample(n: usize, seed: u64, draw: usize) -> impl Iterator<Item = usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(draw as u64);
    (0..n).map(move |_| rng.random_range(0..n))
}

/// The bootstrap's draws: `draws` lists of `n` positions below `n`, with replacement, the same for the same seed.
pub fn resamples(n: usize, draws: usize, seed: u64) -> impl Iterator<Item = Vec<usize>> {
    (0..draws).map(move |draw| resample(n, seed, draw).collect())
}

/// 95 % percentile bootstrap interval of `metric`, drawing whole patients: pass one label, score and patient a study.
/// Where no patient is named, a block of studies that may be one's stands for it ([`studies::Study::group`]). [`DRAWS`]
/// draws are usual.
///
/// Draws on which the metric is undefined (a class not drawn) are left out. In simulations of 10 to 100 patients a
/// class, 88 % or more of the intervals that are given hold the truth up to a true AUROC of 0.97, and 85 % or more
/// beyond.
///
/// # Errors
/// [`NoInterval`]; it is [`NoInterval::Undefined`] too if the slices differ in length or a score is NaN.
///
/// ```
/// use studies::Label::{Abnormal, Normal};
/// use humerus_metrics::{auroc, interval, DRAWS};
/// let labels: Vec<_> = (0..24).map(|i| if i % 2 == 0 { Normal } else { Abnormal }).collect();
/// let scores: Vec<_> = (0..24).map(|i| f64::from(i * 7 % 24) + f64::from(i % 2 * 12)).collect();
/// let patients: Vec<_> = (0..24).collect();
/// let over_patients = interval(&labels, &scores, &patients, auroc, DRAWS, 0).unwrap();
/// assert!(over_patients.low < over_patients.high);
/// let few = interval(&labels[..6], &scores[..6], &patients[..6], auroc, DRAWS, 0);
/// assert_eq!(few.unwrap_err().to_string(), "3 normal patients and 3 abnormal patients, 10 of each are needed");
/// ```
pub fn interval<P: Eq + Hash>(
    labels: &[Label],
    scores: &[f64],
    patients: &[P],
    metric: impl Fn(&[Label], &[f64]) -> Option<f64> + Sync,
    draws: usize,
    seed: u64,
) -> Result<Interval, NoInterval> {
    if check(labels, scores).is_err() || labels.len() != patients.len() {
        return Err(NoInterval::Undefined);
    }
    let patients = Patients::new(patients);
    patients.enough(labels)?;
    let mut studies = vec![Vec::new(); patients.count];
    patients.of.iter().enumerate().for_each(|(study, &patient)| studies[patient].push(study));
    let one = |draw| {
        let drawn: Vec<usize> =
            resample(studies.len(), seed, draw).flat_map(|patient| studies[patient].iter().copied()).collect();
        let labels: Vec<_> = drawn.iter().map(|&study| labels[study]).collect();
        let scores: Vec<_> = drawn.iter().map(|&study| scores[study]).collect();
        metric(&labels, &scores)
    };
    let values: Vec<Option<f64>> = (0..draws).into_par_iter().map(one).collect();
    percentiles(values)
}

/// The figures of every draw, of one or several samples of the same studies.
pub(crate) fn draws<const N: usize>(
    samples: [&Sample; N],
    patients: &Patients,
    (draws, seed): (usize, u64),
    smooth: Option<Exactness>,
) -> Vec<[Values; N]> {
    let one = |draw| {
        let weights = weights(patients, seed, draw);
        samples.map(|sample| sample.values(&placed(sample, &weights), smooth))
    };
    (0..draws).into_par_iter().map(one).collect()
}

/// How often each study is in a draw.
pub(crate) fn weights(patients: &Patients, seed: u64, draw: usize) -> Vec<u32> {
    let mut drawn = vec![0u32; patients.count];
    resample(patients.count, seed, draw).for_each(|patient| drawn[patient] += 1);
    patients.of.iter().map(|&patient| drawn[patient]).collect()
}

/// The weights in the sample's order.
pub(crate) fn placed(sample: &Sample, weights: &[u32]) -> Vec<u32> {
    sample.order.iter().map(|&study| weights[study]).collect()
}

/// The interval between the percentiles of what the draws gave.
pub(crate) fn percentiles(values: Vec<Option<f64>>) -> Result<Interval, NoInterval> {
    let draws = values.len();
    let mut values: Vec<f64> = values.into_iter().flatten().collect();
    if values.is_empty() || 2 * values.len() < draws {
        return Err(NoInterval::UndefinedOnMostDraws);
    }
    values.sort_by(f64::total_cmp);
    let (low, high) = (percentile(&values, 0.025), percentile(&values, 0.975));
    // Draws of one figure differ by rounding alone where it is a sum of another order.
    match high - low <= 1e-9 {
        true => Err(NoInterval::SameOnEveryDraw),
        false => Ok(Interval::new(low, high, IntervalKind::Bootstrap)),
    }
}

/// Linear between ranks, as NumPy's default; `sorted` is not empty.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = share * (sorted.len() - 1) as f64;
    let below = rank.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (rank - below as f64)
}
