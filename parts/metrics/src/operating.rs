//! The operating point: a threshold, the rule that it came from, and what it gave on the studies it was chosen on.

use std::fmt;
use std::hash::Hash;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use studies::{Label, Split};

use crate::bootstrap::{DRAWS, percentiles, weights};
use crate::calibration::check_probabilities;
use crate::measure::Sample;
use crate::patients::Patients;
use crate::proportion::of_patients;
use crate::rule::Rule;
use crate::{Confusion, Decision, Interval, NoInterval, Probability, Result, same_length};

/// A threshold, how it was chosen, and what it gave on the studies that it was chosen on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperatingPoint {
    /// Probabilities from here on count as abnormal.
    pub threshold: f64,
    /// Its 95 % interval: the same rule on a bootstrap's draws of patients. `None` for one that was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold_interval: Option<Interval>,
    /// Share of abnormal studies called abnormal there: a little too good, for the threshold was chosen on them.
    pub sensitivity: Option<f64>,
    /// Wilson's interval of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensitivity_interval: Option<Interval>,
    /// Share of normal studies called normal there.
    pub specificity: Option<f64>,
    /// Wilson's interval of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub specificity_interval: Option<Interval>,
    /// The split that it was chosen and measured on; never the held-out one. `None` for a sample of one's own.
    pub measured_on: Option<Split>,
    /// The rule; in cards of before MURA's threshold, which was not written down as one.
    #[serde(default = "half")]
    pub rule: Rule,
    /// Why the rule could not be applied: then the threshold is 0.5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmet: Option<NoInterval>,
    /// Name of the data, and studies of it; none in cards of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Studies that it was chosen on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub studies: Option<usize>,
}

fn half() -> Rule {
    Rule::HALF
}

impl Default for OperatingPoint {
    /// MURA's, as given: 0.5.
    fn default() -> Self {
        OperatingPoint::given(0.5)
    }
}

impl OperatingPoint {
    /// A threshold that is not chosen on any studies.
    pub fn given(threshold: f64) -> OperatingPoint {
        OperatingPoint {
            threshold,
            threshold_interval: None,
            sensitivity: None,
            sensitivity_interval: None,
            specificity: None,
            specificity_interval: None,
            measured_on: None,
            rule: Rule::Given { threshold },
            unmet: None,
            data: None,
            studies: None,
        }
    }

    /// Chooses a threshold by a rule and measures what it gives on the same studies; one patient a study.
    ///
    /// Where a class has fewer than [`FEWEST_PATIENTS`](crate::FEWEST_PATIENTS) patients the threshold is 0.5 and
    /// [`OperatingPoint::unmet`] says why.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) if there is no study, the slices differ in length, a score is no
    /// probability, or the rule is out of its range.
    pub fn choose<P: Eq + Hash>(
        rule: Rule,
        labels: &[Label],
        probabilities: &[f64],
        patients: &[P],
    ) -> Result<OperatingPoint> {
        rule.validate()?;
        check_probabilities(labels, probabilities)?;
        same_length("patients", labels.len(), patients.len())?;
        let numbered = Patients::new(patients);
        let mut point = OperatingPoint { rule, studies: Some(labels.len()), ..OperatingPoint::default() };
        if let Rule::Given { threshold } = rule {
            point.threshold = threshold;
        } else {
            let sample = Sample::new(labels, probabilities, 0.5);
            let of = |weights: &[u32]| rule.threshold(&sample, weights);
            let enough = numbered.enough(labels);
            match enough.and_then(|()| of(&vec![1; labels.len()]).ok_or(NoInterval::Undefined)) {
                Err(why) => point.unmet = Some(why),
                Ok(threshold) => {
                    point.threshold = threshold;
                    let drawn = (0..DRAWS).into_par_iter().map(|draw| of(&weights(&numbered, 0, draw)));
                    point.threshold_interval = percentiles(drawn.collect()).ok();
                }
            }
        }
        let counts = Confusion::at(labels, probabilities, point.threshold)?;
        (point.sensitivity, point.specificity) = (counts.sensitivity(), counts.specificity());
        let of = |class: Label| {
            let right = |study: usize| (probabilities[study] >= point.threshold) == (class == Label::Abnormal);
            of_patients(&numbered, |study| (labels[study] == class).then(|| right(study))).ok()
        };
        (point.sensitivity_interval, point.specificity_interval) = (of(Label::Abnormal), of(Label::Normal));
        Ok(point)
    }

    /// The decision for a probability.
    pub fn decide(&self, probability: Probability) -> Decision {
        if probability.get() >= self.threshold { Decision::Abnormal } else { Decision::Normal }
    }
}

impl fmt::Display for OperatingPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "abnormal from {:.3}", self.threshold)?;
        match (&self.unmet, self.rule) {
            (Some(why), rule) => write!(f, ", for want of {rule}: {why}")?,
            (None, Rule::Given { .. }) => f.write_str(", as given")?,
            (None, rule) => {
                write!(f, " by {rule}")?;
                self.threshold_interval.map_or(Ok(()), |interval| write!(f, " (95 % CI {interval})"))?;
            }
        }
        let on = match (self.measured_on, &self.data, self.studies) {
            (Some(split), ..) => format!("on {split}"),
            (None, Some(data), Some(studies)) => format!("on {} of {data}", files::counted(studies, "study")),
            _ => return Ok(()),
        };
        if let (Some(sensitivity), Some(specificity)) = (self.sensitivity, self.specificity) {
            let with = |interval: Option<Interval>| interval.map_or(String::new(), |it| format!(" ({it})"));
            let (se, sp) = (with(self.sensitivity_interval), with(self.specificity_interval));
            write!(f, "; sensitivity {sensitivity:.3}{se}, specificity {specificity:.3}{sp} {on}")?;
        }
        Ok(())
    }
}
