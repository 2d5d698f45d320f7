//! From a probability to a decision.

use std::fmt;

use serde::{Deserialize, Serialize};
use studies::Label;

use crate::{Error, Result};

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
