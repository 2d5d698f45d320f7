//! What turns logits into probabilities and decisions, beside the weights: a temperature, an operating point, and those
//! that a card had before.

use std::fmt;
use std::hash::Hash;

use serde::{Deserialize, Serialize};

use crate::counted;
use crate::error::{Error, Result};
use metrics::{Metrics, OperatingPoint, TEMPERATURES};
use studies::{Label, Split};

/// What logits are divided by before they become probabilities (Guo et al., arXiv:1706.04599), and where it is from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Temperature {
    /// The number; 1 leaves logits as they are, more makes probabilities less sure.
    pub value: f64,
    /// The split that it was fitted on; `None` where it was not fitted, or on a sample of one's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fitted_on: Option<Split>,
    /// Name of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Views that it was fitted on.
    #[serde(default)]
    pub views: usize,
    /// Their mean log loss in nats at temperature 1 and at this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_loss: Option<(f64, f64)>,
    /// Why none was fitted: then it is 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmet: Option<String>,
}

impl Default for Temperature {
    /// Logits as they are.
    fn default() -> Temperature {
        Temperature { value: 1.0, fitted_on: None, data: None, views: 0, log_loss: None, unmet: None }
    }
}

impl Temperature {
    /// The best temperature for views with these labels and probabilities of temperature 1; one patient a view. Where
    /// there is none, or too few patients to find one, it is 1 and [`Temperature::unmet`] says why.
    ///
    /// # Errors
    /// [`Error::Setting`] if the slices differ in length, are empty, or hold what is no probability.
    pub fn fit<P: Eq + Hash>(labels: &[Label], probabilities: &[f64], patients: &[P]) -> Result<Temperature> {
        let before = metrics::log_loss(labels, probabilities)?;
        let unmet = |why: String| Temperature { unmet: Some(why), ..Temperature::default() };
        if let Err(why) = metrics::enough_patients(labels, patients) {
            return Ok(unmet(why.to_string()));
        }
        let Ok(value) = metrics::temperature(labels, probabilities) else {
            let (from, to) = TEMPERATURES;
            return Ok(unmet(format!("none from {from} to {to} is the best")));
        };
        let at: Vec<f64> = probabilities.iter().map(|p| metrics::at_temperature(*p, value)).collect();
        let log_loss = Some((before, metrics::log_loss(labels, &at)?));
        Ok(Temperature { value, views: labels.len(), log_loss, ..Temperature::default() })
    }

    pub(crate) fn validate(&self) -> Result<()> {
        // Wider than what is looked for, so that a card of another program's may say a little more.
        match (1e-3..=1e3).contains(&self.value) {
            true => Ok(()),
            false => Err(Error::setting("temperature.value", "0.001 to 1000", self.value)),
        }
    }
}

impl fmt::Display for Temperature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.value)?;
        match (&self.unmet, self.log_loss) {
            (Some(why), _) => write!(f, ", not fitted: {why}"),
            (None, None) => f.write_str(", logits as they are"),
            (None, Some((before, after))) => {
                let views = counted(self.views, "view");
                write!(f, ", fitted on {views}")?;
                match (self.fitted_on, &self.data) {
                    (Some(split), _) => write!(f, " of {split}")?,
                    (None, Some(data)) => write!(f, " of {data}")?,
                    (None, None) => {}
                }
                write!(f, " (log loss {before:.3} before, {after:.3} after)")
            }
        }
    }
}

/// How a card turned logits into decisions before it was calibrated anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Formerly {
    /// The temperature.
    pub temperature: Temperature,
    /// The operating point.
    pub operating_point: OperatingPoint,
    /// Figures there on the tune split.
    pub tune: Option<Metrics>,
    /// Figures there on the held-out split.
    pub held_out: Option<Metrics>,
    /// Figures there on the sample that it was calibrated on, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibrated: Option<Metrics>,
}
