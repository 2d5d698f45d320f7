//! From a probability to a decision, at an operating point.

use std::fmt;

use serde::{Deserialize, Serialize};
use studies::{Label, Split};

use crate::{Error, Metrics, Result};

/// How likely a film or study is abnormal, in the model's opinion: `0.0..=1.0`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Probability(f64);

impl Probability {
    /// A probability.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if `value` is not in `0.0..=1.0`.
    pub fn new(value: f64) -> Result<Probability> {
        match (0.0..=1.0).contains(&value) {
            true => Ok(Probability(value)),
            false => Err(Error::NotFinite { what: "the probability of abnormal", got: value }),
        }
    }

    /// The number, `0.0..=1.0`.
    pub fn get(self) -> f64 {
        self.0
    }

    /// The mean of the views' probabilities; `None` without views.
    pub fn mean(of: impl IntoIterator<Item = Probability>) -> Option<Probability> {
        let values: Vec<f64> = of.into_iter().map(Probability::get).collect();
        // Summed in order of size, so that the order of views cannot change the last bit.
        let mut sorted = values;
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        (n > 0).then(|| Probability(sorted.iter().sum::<f64>() / n as f64))
    }
}

impl fmt::Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

/// What is made of a probability at an operating point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Below the threshold.
    Normal,
    /// At the threshold or above it.
    Abnormal,
}

impl Decision {
    /// The label that this decision claims.
    pub fn label(self) -> Label {
        match self {
            Decision::Normal => Label::Normal,
            Decision::Abnormal => Label::Abnormal,
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label().name())
    }
}

/// A threshold, and what it gave on the split it was judged on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperatingPoint {
    /// Probabilities from here on count as abnormal. Default 0.5, MURA's.
    pub threshold: f64,
    /// Share of abnormal studies called abnormal there.
    pub sensitivity: Option<f64>,
    /// Share of normal studies called normal there.
    pub specificity: Option<f64>,
    /// The split that both were measured on; never the held-out one.
    pub measured_on: Option<Split>,
}

impl Default for OperatingPoint {
    fn default() -> Self {
        OperatingPoint { threshold: 0.5, sensitivity: None, specificity: None, measured_on: None }
    }
}

impl OperatingPoint {
    /// The decision for a probability.
    pub fn decide(&self, probability: Probability) -> Decision {
        if probability.get() >= self.threshold { Decision::Abnormal } else { Decision::Normal }
    }

    /// The same threshold with what it gave in `metrics`.
    pub fn measured(&self, metrics: &Metrics) -> OperatingPoint {
        OperatingPoint {
            threshold: self.threshold,
            sensitivity: metrics.sensitivity.value,
            specificity: metrics.specificity.value,
            measured_on: metrics.split,
        }
    }
}

impl fmt::Display for OperatingPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "abnormal from {:.3}", self.threshold)?;
        if let (Some(sensitivity), Some(specificity), Some(split)) =
            (self.sensitivity, self.specificity, self.measured_on)
        {
            write!(f, " (sensitivity {sensitivity:.2}, specificity {specificity:.2} on {split})")?;
        }
        Ok(())
    }
}
