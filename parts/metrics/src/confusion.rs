//! Decisions against labels, counted, and the rates of the counts.

use serde::{Deserialize, Serialize};
use studies::Label;

use crate::{Error, Result, check, same_length};

/// How often decisions and labels agreed and differed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// Normal, called normal.
    pub true_negative: usize,
    /// Normal, called abnormal.
    pub false_positive: usize,
    /// Abnormal, called normal: missed.
    pub false_negative: usize,
    /// Abnormal, called abnormal.
    pub true_positive: usize,
}

impl Confusion {
    /// Counts decisions against labels.
    ///
    /// # Errors
    /// [`Error::Setting`] if the slices differ in length.
    pub fn count(labels: &[Label], decisions: &[Label]) -> Result<Confusion> {
        same_length("decisions", labels.len(), decisions.len())?;
        let mut counts = Confusion::default();
        for pair in labels.iter().zip(decisions) {
            match pair {
                (Label::Normal, Label::Normal) => counts.true_negative += 1,
                (Label::Normal, Label::Abnormal) => counts.false_positive += 1,
                (Label::Abnormal, Label::Normal) => counts.false_negative += 1,
                (Label::Abnormal, Label::Abnormal) => counts.true_positive += 1,
            }
        }
        Ok(counts)
    }

    /// Counts what happens when every score at or above `threshold` is called abnormal.
    ///
    /// # Errors
    /// [`Error::Setting`] if the slices differ in length or a score or the threshold is NaN.
    pub fn at(labels: &[Label], scores: &[f64], threshold: f64) -> Result<Confusion> {
        check(labels, scores)?;
        if threshold.is_nan() {
            return Err(Error::setting("threshold", "a number", "NaN"));
        }
        let decide = |&score: &f64| {
            if score >= threshold { Label::Abnormal } else { Label::Normal }
        };
        Confusion::count(labels, &scores.iter().map(decide).collect::<Vec<_>>())
    }

    /// Everything counted.
    pub fn total(&self) -> usize {
        self.true_negative + self.false_positive + self.false_negative + self.true_positive
    }

    /// Share of decisions that agree with the label, `0.0..=1.0`; `None` if nothing was counted.
    pub fn accuracy(&self) -> Option<f64> {
        ratio(self.true_negative + self.true_positive, self.total())
    }

    /// Share of the abnormal called abnormal (recall), `0.0..=1.0`; `None` if nothing is abnormal.
    pub fn sensitivity(&self) -> Option<f64> {
        ratio(self.true_positive, self.true_positive + self.false_negative)
    }

    /// Share of the normal called normal, `0.0..=1.0`; `None` if nothing is normal.
    pub fn specificity(&self) -> Option<f64> {
        ratio(self.true_negative, self.true_negative + self.false_positive)
    }

    /// Share of what was called abnormal that is (positive predictive value), `0.0..=1.0`; `None` if nothing was.
    pub fn precision(&self) -> Option<f64> {
        ratio(self.true_positive, self.true_positive + self.false_positive)
    }

    /// Share of what was called normal that is (negative predictive value), `0.0..=1.0`; `None` if nothing was.
    pub fn negative_predictive_value(&self) -> Option<f64> {
        ratio(self.true_negative, self.true_negative + self.false_negative)
    }

    /// Mean of sensitivity and specificity, `0.0..=1.0`; `None` if a class is absent.
    pub fn balanced_accuracy(&self) -> Option<f64> {
        Some((self.sensitivity()? + self.specificity()?) / 2.0)
    }

    /// Harmonic mean of precision and sensitivity, `0.0..=1.0`; `None` if nothing is abnormal and nothing was called
    /// so.
    pub fn f1(&self) -> Option<f64> {
        ratio(2 * self.true_positive, 2 * self.true_positive + self.false_positive + self.false_negative)
    }

    /// Cohen's kappa (1960): agreement beyond chance, `-1.0..=1.0`; MURA's headline metric. `None` if chance alone
    /// explains everything, which is when labels and decisions name one and the same class throughout.
    pub fn kappa(&self) -> Option<f64> {
        let total = self.total() as f64;
        let (normal, abnormal) = (self.true_negative + self.false_positive, self.false_negative + self.true_positive);
        let called_normal = self.true_negative + self.false_negative;
        let called_abnormal = self.false_positive + self.true_positive;
        if normal * called_abnormal + abnormal * called_normal == 0 {
            return None;
        }
        let chance = normal as f64 / total * (called_normal as f64 / total)
            + abnormal as f64 / total * (called_abnormal as f64 / total);
        Some((self.accuracy()? - chance) / (1.0 - chance))
    }
}

fn ratio(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
