//! Random draws: one ChaCha8 stream for each purpose, so that no draw shifts another.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// What a stream is for. Patients and studies have their own, so study `k` is the same in a set of any size.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    /// The bones and soft tissue of a patient.
    Anatomy,
    /// Everything about a study's films but the fracture.
    Films,
    /// The fracture; apart from the films, so they cannot tell its presence.
    Fracture,
    /// Quanta and electronics, one stream a film.
    Noise,
    /// Which of ten studies are abnormal.
    Labels,
    /// Which patients are held out.
    Splits,
    /// Whether there is an implant, and which.
    Hardware,
    /// Which films are stored with bone dark, and the identifiers of DICOM files.
    Identity,
}

/// A stream of draws.
#[derive(Debug)]
pub(super) struct Draw(ChaCha8Rng);

impl Draw {
    pub fn new(seed: u64, purpose: Purpose, number: u64) -> Draw {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(number * 16 + purpose as u64);
        Draw(rng)
    }

    /// Uniform in `0.0..1.0`.
    pub fn unit(&mut self) -> f32 {
        self.0.random::<f32>()
    }

    pub fn uniform(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.random()
    }

    /// Normal, cut off at `limit` standard deviations.
    pub fn normal(&mut self, mean: f32, deviation: f32, limit: f32) -> f32 {
        mean + deviation * self.standard().clamp(-limit, limit)
    }

    pub fn standard(&mut self) -> f32 {
        StandardNormal.sample(&mut self.0)
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        self.0.random::<f64>() < probability
    }

    /// An angle in radians, any direction alike.
    pub fn direction(&mut self) -> f32 {
        self.uniform(0.0, std::f32::consts::TAU)
    }

    /// An index, by its weight.
    pub fn weighted(&mut self, weights: &[f32]) -> usize {
        let mut left = self.unit() * weights.iter().sum::<f32>();
        for (i, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return i;
            }
        }
        weights.len() - 1
    }

    /// Fisher-Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.0.random_range(0..=i));
        }
    }

    /// Quanta counted where `mean` are expected: Poisson, from 25 on by its normal limit.
    pub fn quanta(&mut self, mean: f32) -> f32 {
        if mean >= 25.0 {
            return ((mean + mean.sqrt() * self.standard()).max(0.0) + 0.5) as u32 as f32;
        }
        // Knuth: multiply uniforms until the product falls under e^-mean.
        let (limit, mut product, mut count) = ((-mean).exp(), self.unit(), 0.0);
        while product > limit {
            product *= self.unit();
            count += 1.0;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quanta_have_a_variance_equal_to_their_mean() {
        for mean in [0.5_f32, 12.0, 24.0, 26.0, 4000.0] {
            let mut draw = Draw::new(1, Purpose::Noise, 0);
            let n = 20_000;
            let counts: Vec<f64> = (0..n).map(|_| f64::from(draw.quanta(mean))).collect();
            let average = counts.iter().sum::<f64>() / f64::from(n);
            let variance = counts.iter().map(|c| (c - average).powi(2)).sum::<f64>() / f64::from(n);
            let mean = f64::from(mean);
            assert!((average / mean - 1.0).abs() < 0.03, "mean {average} for {mean}");
            assert!((variance / mean - 1.0).abs() < 0.06, "variance {variance} for {mean}");
        }
    }

    #[test]
    fn streams_of_different_purpose_or_number_differ() {
        let first = |seed, purpose, number| Draw::new(seed, purpose, number).unit();
        let base = first(0, Purpose::Films, 1);
        assert_eq!(base, first(0, Purpose::Films, 1));
        assert_ne!(base, first(0, Purpose::Fracture, 1));
        assert_ne!(base, first(0, Purpose::Films, 2));
        assert_ne!(base, first(1, Purpose::Films, 1));
    }
}
