//! By what rule a threshold is chosen.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::bootstrap::placed;
use crate::measure::Sample;

/// How the threshold of an operating point comes about.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Rule {
    /// A threshold that was given, as MURA's 0.5.
    Given {
        /// It, 0 to 1.
        threshold: f64,
    },
    /// Where sensitivity + specificity is greatest (Youden 1950): a missed study and a false alarm weigh the same if
    /// half of all studies were abnormal.
    Youden,
    /// The highest threshold with at least this sensitivity.
    Sensitivity {
        /// 0 to 1.
        at_least: f64,
    },
    /// The lowest threshold with at least this specificity.
    Specificity {
        /// 0 to 1.
        at_least: f64,
    },
    /// Where mistakes cost least.
    Cost {
        /// The share of studies that is abnormal where the model is to be used, 0 to 1.
        prevalence: f64,
        /// What a missed abnormal study costs, in false alarms; more than 0.
        missed: f64,
    },
}

impl Rule {
    /// MURA's threshold of 0.5, the original project's too.
    pub const HALF: Rule = Rule::Given { threshold: 0.5 };

    /// Checks every range.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn validate(&self) -> Result<(), Error> {
        let share = |what: &'static str, value: f64| match (0.0..=1.0).contains(&value) {
            true => Ok(()),
            false => Err(Error::setting(what, "0 to 1", value)),
        };
        match *self {
            Rule::Given { threshold } => share("operating_point.threshold", threshold),
            Rule::Youden => Ok(()),
            Rule::Sensitivity { at_least } | Rule::Specificity { at_least } => {
                share("operating_point.at_least", at_least)
            }
            Rule::Cost { prevalence, missed } => {
                share("operating_point.prevalence", prevalence)?;
                match missed > 0.0 && missed.is_finite() {
                    true => Ok(()),
                    false => Err(Error::setting("operating_point.missed", "more than 0", missed)),
                }
            }
        }
    }

    /// The threshold by this rule where each study counts as often as `weights` says; `None` if a class is absent, or
    /// no threshold up to 1 is as specific as wanted.
    ///
    /// It lies halfway between the probabilities of two studies; of equally good ones it is the highest.
    pub(crate) fn threshold(&self, sample: &Sample, weights: &[u32]) -> Option<f64> {
        if let Rule::Given { threshold } = *self {
            return Some(threshold);
        }
        let weights = placed(sample, weights);
        let of = |wanted: bool| {
            let those = weights.iter().zip(&sample.abnormal).filter(|(_, it)| **it == wanted);
            those.map(|(weight, _)| f64::from(*weight)).sum::<f64>()
        };
        let (normal, abnormal) = (of(false), of(true));
        if normal == 0.0 || abnormal == 0.0 {
            return None;
        }
        // Probabilities of this draw with what each adds, highest first.
        let mut steps: Vec<(f64, f64, f64)> = Vec::new();
        for (place, &weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0) {
            let score = sample.scores[place];
            if steps.last().is_none_or(|last| last.0 != score) {
                steps.push((score, 0.0, 0.0));
            }
            let last = steps.len() - 1;
            let class = if sample.abnormal[place] { &mut steps[last].1 } else { &mut steps[last].2 };
            *class += f64::from(weight);
        }
        let (mut hits, mut alarms) = (0.0, 0.0);
        let mut best: Option<(f64, f64)> = None;
        let highest = steps[0].0;
        // Above all of them nothing is called abnormal.
        let none = (highest < 1.0).then_some((f64::INFINITY, 0.0, 0.0));
        let all: Vec<_> = none.into_iter().chain(steps).collect();
        for (at, &(score, more, false_more)) in all.iter().enumerate() {
            (hits, alarms) = (hits + more, alarms + false_more);
            let next = all.get(at + 1).map_or(score, |next| next.0);
            let middle = 0.5 * (score.min(1.0) + next);
            let threshold = if middle > next { middle } else { score.min(1.0) };
            let (sensitivity, specificity) = (hits / abnormal, 1.0 - alarms / normal);
            if let Some(worth) = self.worth(sensitivity, specificity) {
                // Rates are rounded quotients: what differs by less than this is equal.
                if best.is_none_or(|(most, _)| worth > most + 1e-12) {
                    best = Some((worth, threshold));
                }
            }
        }
        best.map(|(_, threshold)| threshold)
    }

    /// What rates are worth by this rule; `None` if they are out of the question.
    fn worth(&self, sensitivity: f64, specificity: f64) -> Option<f64> {
        const ROUNDING: f64 = 1e-12;
        match *self {
            Rule::Given { .. } => None,
            Rule::Youden => Some(sensitivity + specificity),
            Rule::Sensitivity { at_least } => (sensitivity >= at_least - ROUNDING).then_some(specificity),
            Rule::Specificity { at_least } => (specificity >= at_least - ROUNDING).then_some(sensitivity),
            Rule::Cost { prevalence, missed } => {
                Some(-(prevalence * missed * (1.0 - sensitivity) + (1.0 - prevalence) * (1.0 - specificity)))
            }
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Given { threshold } => write!(f, "threshold {threshold} as given"),
            Rule::Youden => f.write_str("Youden's rule"),
            Rule::Sensitivity { at_least } => write!(f, "sensitivity of at least {at_least}"),
            Rule::Specificity { at_least } => write!(f, "specificity of at least {at_least}"),
            Rule::Cost { prevalence, missed } => {
                write!(f, "least cost where {prevalence} are abnormal and one missed weighs {missed} false alarms")
            }
        }
    }
}

impl FromStr for Rule {
    type Err = Error;

    /// `youden`, `sensitivity=0.95`, `specificity=0.9`, `cost=PREVALENCE,MISSED`, or a threshold.
    fn from_str(text: &str) -> Result<Rule, Error> {
        let wrong = || {
            let expected =
                "youden, sensitivity=SHARE, specificity=SHARE, cost=PREVALENCE,FALSE_ALARMS_A_MISS, or a threshold";
            Error::setting("rule", expected, text)
        };
        let number = |text: &str| text.trim().parse::<f64>().map_err(|_| wrong());
        let rule = match text.split_once('=') {
            None if text == "youden" => Rule::Youden,
            None => Rule::Given { threshold: number(text)? },
            Some(("sensitivity", share)) => Rule::Sensitivity { at_least: number(share)? },
            Some(("specificity", share)) => Rule::Specificity { at_least: number(share)? },
            Some(("cost", numbers)) => {
                let (prevalence, missed) = numbers.split_once(',').ok_or_else(wrong)?;
                Rule::Cost { prevalence: number(prevalence)?, missed: number(missed)? }
            }
            Some(_) => return Err(wrong()),
        };
        rule.validate().map_err(|_| wrong())?;
        Ok(rule)
    }
}
