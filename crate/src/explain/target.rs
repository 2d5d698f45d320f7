//! What a heat map explains: one number a film, made of its logits.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use studies::Label;

/// Makes one number a film, `[N]`, of logits `[N, classes]`.
type Scalar = Arc<dyn Fn(&Tensor) -> Tensor + Send + Sync>;

/// What a heat map explains.
///
/// The default is the difference of the two logits. **One logit of a softmax alone has no map of its own**: softmax
/// sees differences only, so that any function of the film can be added to both logits; no prediction changes, and the
/// map of each logit becomes another one. The difference is what the probability is made of, and is unique. It is not
/// the probability, whose slope vanishes where the model is sure.
#[derive(Clone)]
pub enum Target {
    /// The logit of this class less the other's: the logarithm of its odds. Of more than two classes, the logit less
    /// the log-sum-exp of all others, which is the same.
    Difference(Label),
    /// One logit by its class index, whatever it is worth alone.
    Logit(i64),
    /// The probability of this class less that of all others.
    ProbabilityDifference(Label),
    /// Any number made of the logits.
    Scalar {
        /// What it is called in reports.
        name: String,
        /// `[N, classes]` → `[N]`, differentiable.
        of: Scalar,
    },
}

impl Default for Target {
    fn default() -> Self {
        Target::Difference(Label::Abnormal)
    }
}

impl Target {
    /// Any number made of the logits: `of` maps `[N, classes]` to `[N]`.
    pub fn scalar(name: impl Into<String>, of: impl Fn(&Tensor) -> Tensor + Send + Sync + 'static) -> Target {
        Target::Scalar { name: name.into(), of: Arc::new(of) }
    }

    /// The number of each film, `[N]`, of logits `[N, classes]`.
    ///
    /// # Errors
    /// [`Error::Setting`] for a class that the logits lack, or fewer than two where a difference is asked for;
    /// [`Error::Shape`] if a scalar of one's own is not `[N]`.
    pub fn of(&self, logits: &Tensor) -> Result<Tensor> {
        let classes = logits.size()[1];
        let class = |index: i64, least: i64| match (0..classes).contains(&index) && classes >= least {
            true => Ok(index),
            false => Err(Error::setting("target", format!("a class of the {classes} logits"), self)),
        };
        let others = |index: i64| {
            let rest: Vec<i64> = (0..classes).filter(|&c| c != index).collect();
            logits.index_select(1, &Tensor::from_slice(&rest).to_device(logits.device()))
        };
        match self {
            Target::Difference(label) => {
                let index = class(label.index() as i64, 2)?;
                let others = others(index);
                let rest = if classes == 2 { others.select(1, 0) } else { others.logsumexp([1i64].as_slice(), false) };
                Ok(logits.select(1, index) - rest)
            }
            Target::Logit(index) => Ok(logits.select(1, class(*index, 1)?)),
            Target::ProbabilityDifference(label) => {
                let index = class(label.index() as i64, 2)?;
                Ok(logits.softmax(1, Kind::Float).select(1, index) * 2.0 - 1.0)
            }
            Target::Scalar { of, .. } => {
                let found = of(logits);
                match found.size()[..] {
                    [n] if n == logits.size()[0] => Ok(found),
                    _ => Err(Error::Shape {
                        what: "target",
                        expected: format!("[{}], a number for each film", logits.size()[0]),
                        got: found.size(),
                    }),
                }
            }
        }
    }

    /// Its slope for each logit, `[N, classes]`.
    pub(super) fn slope(&self, logits: &Tensor) -> Result<Tensor> {
        tch::with_grad(|| {
            let logits = logits.detach().set_requires_grad(true);
            let sum = self.of(&logits)?.sum(Kind::Float);
            Ok(Tensor::f_run_backward(&[sum], &[&logits], false, false)?.remove(0))
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Difference(label) => write!(f, "{label}"),
            Target::Logit(index) => write!(f, "logit:{index}"),
            Target::ProbabilityDifference(label) => write!(f, "probability:{label}"),
            Target::Scalar { name, .. } => f.write_str(name),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

/// `abnormal`, `normal`: the difference; `logit:1`, `logit:abnormal`: one logit; `probability:abnormal`.
impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let label = |name: &str| Label::ALL.into_iter().find(|label| label.name() == name);
        let found = match text.split_once(':') {
            None => label(text).map(Target::Difference),
            Some(("logit", class)) => {
                let index = label(class).map(|label| label.index() as i64).or_else(|| class.parse().ok());
                index.map(Target::Logit)
            }
            Some(("probability", class)) => label(class).map(Target::ProbabilityDifference),
            Some(_) => None,
        };
        found.ok_or_else(|| {
            Error::setting("target", "abnormal, normal, logit:0, logit:1, probability:abnormal or the like", text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logits() -> Tensor {
        Tensor::from_slice(&[1.0f32, 3.0, -2.0, 0.5]).view([2, 2])
    }

    fn values(target: &Target, logits: &Tensor) -> Vec<f64> {
        Vec::try_from(target.of(logits).unwrap().to_kind(Kind::Double)).unwrap()
    }

    #[test]
    fn what_is_added_to_both_logits_changes_one_logit_and_no_difference() {
        let moved = logits() + Tensor::from_slice(&[7.0f32, -4.0]).view([2, 1]);
        for target in [Target::default(), Target::ProbabilityDifference(Label::Normal)] {
            let pairs = values(&target, &logits()).into_iter().zip(values(&target, &moved));
            assert!(pairs.into_iter().all(|(before, after)| (before - after).abs() < 1e-6), "{target}");
        }
        assert_eq!(values(&Target::default(), &logits()), [2.0, 2.5]);
        assert_ne!(values(&Target::Logit(1), &logits()), values(&Target::Logit(1), &moved));
    }

    #[test]
    fn of_more_than_two_classes_the_difference_is_the_logarithm_of_the_odds() {
        let three = Tensor::from_slice(&[0.2f32, -1.0, 0.7]).view([1, 3]);
        let p = three.softmax(1, Kind::Double).double_value(&[0, 1]);
        assert!((values(&Target::default(), &three)[0] - (p / (1.0 - p)).ln()).abs() < 1e-6);
    }

    #[test]
    fn a_target_reads_as_it_is_written_and_a_class_that_is_not_there_is_refused() {
        for text in ["abnormal", "normal", "logit:0", "probability:abnormal"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        assert_eq!("logit:abnormal".parse::<Target>().unwrap().to_string(), "logit:1");
        let error = |text: &str| text.parse::<Target>().unwrap_err().to_string();
        assert!(error("broken").starts_with("target: expected abnormal, normal"), "{}", error("broken"));
        assert!(Target::Logit(2).of(&logits()).unwrap_err().to_string().contains("2 logits"));
        let sum = Target::scalar("sum", |logits| logits.sum_dim_intlist([1i64].as_slice(), false, Kind::Float));
        assert_eq!(values(&sum, &logits()), [4.0, -1.5]);
        assert!(Target::scalar("all", Tensor::shallow_clone).of(&logits()).is_err());
    }
}
