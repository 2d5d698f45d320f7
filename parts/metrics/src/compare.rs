//! Two models, or two readers, on the same studies.

use std::fmt;
use std::hash::Hash;

use serde::{Deserialize, Serialize};
use studies::Label;

use crate::bootstrap::{DRAWS, draws, percentiles};
use crate::calibration::check_probabilities;
use crate::measure::Sample;
use crate::patients::Patients;
use crate::smooth::Exactness;
use crate::special::fair_coin;
use crate::summary::hit;
use crate::{DeLongPair, Estimate, Measure, NoInterval, Result, same_length};

/// One figure of two models.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// The figure.
    pub measure: Measure,
    /// Of the first model.
    pub first: Option<f64>,
    /// Of the second model.
    pub second: Option<f64>,
    /// The first less the second, with its interval.
    pub difference: Estimate,
    /// How likely so large a difference, either way, would be if there were none: DeLong's test for the AUROC,
    /// McNemar's exact one for accuracy, sensitivity and specificity; none for the others, nor where both models
    /// decide all alike.
    pub p: Option<f64>,
}

/// Two models on the same studies, figure by figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairedComparison {
    /// Studies that both scored.
    pub studies: usize,
    /// Every figure.
    pub rows: Vec<Compared>,
}

impl PairedComparison {
    /// Compares probabilities of the same studies, each decided at its own threshold; one patient a study. The
    /// difference of the AUROC has DeLong's interval, all others that of a bootstrap in which both are drawn together.
    ///
    /// McNemar's test takes studies for independent: with several studies of a patient its p is too small.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) if there is no study, the slices differ in length, or a score is no
    /// probability.
    pub fn new<P: Eq + Hash>(
        labels: &[Label],
        (first, first_threshold): (&[f64], f64),
        (second, second_threshold): (&[f64], f64),
        patients: &[P],
    ) -> Result<PairedComparison> {
        check_probabilities(labels, first)?;
        check_probabilities(labels, second)?;
        same_length("patients", labels.len(), patients.len())?;
        let numbered = Patients::new(patients);
        let (a, b) = (Sample::new(labels, first, first_threshold), Sample::new(labels, second, second_threshold));
        let ones = vec![1; labels.len()];
        let (of_a, of_b) = (a.values(&ones, Some(Exactness::FINE)), b.values(&ones, Some(Exactness::FINE)));
        let drawn = numbered.enough(labels).map(|()| draws([&a, &b], &numbered, (DRAWS, 0), Some(Exactness::COARSE)));
        let pair = DeLongPair::new(labels, first, second, patients);
        let row = |figure: Measure| {
            let (one, other) = (of_a.get(figure), of_b.get(figure));
            let less = |(one, other): (f64, f64)| one - other;
            let value = one.zip(other).map(less);
            let drawn = drawn.as_ref().map_err(|why| *why);
            let interval = drawn.and_then(|drawn| match figure {
                Measure::Auroc => pair.and_then(|pair| pair.interval()),
                _ => percentiles(drawn.iter().map(|[x, y]| x.get(figure).zip(y.get(figure)).map(less)).collect()),
            });
            let p = match figure {
                Measure::Auroc => pair.ok().and_then(|pair| pair.p()),
                Measure::Accuracy | Measure::Sensitivity | Measure::Specificity => {
                    let right = |scores: &[f64], threshold: f64| {
                        labels.iter().zip(scores).map(|(label, p)| hit(figure, *label, *p >= threshold)).collect()
                    };
                    let right: [Vec<Option<bool>>; 2] =
                        [right(first, first_threshold), right(second, second_threshold)];
                    let only = |of: bool| {
                        let pairs = right[0].iter().zip(&right[1]);
                        pairs.filter(|(a, b)| **a == Some(of) && **b == Some(!of)).count()
                    };
                    mcnemar(only(true), only(false))
                }
                _ => None,
            };
            let difference = Estimate::new(value, interval, || NoInterval::Undefined);
            Compared { measure: figure, first: one, second: other, difference, p }
        };
        Ok(PairedComparison { studies: labels.len(), rows: Measure::ALL.iter().map(|figure| row(*figure)).collect() })
    }
}

impl fmt::Display for PairedComparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.rows.iter().map(Compared::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |it: Option<f64>| it.map_or("undefined".to_owned(), |it| format!("{it:.3}"));
        let (first, second) = (value(self.first), value(self.second));
        write!(f, "{} {first} and {second}, difference {}", self.measure, self.difference)?;
        self.p.map_or(Ok(()), |p| write!(f, ", p {p:.4}"))
    }
}

/// McNemar's exact test (1947): how likely it is that of the studies on which two disagree one is right so much oftener
/// than the other, if neither were better. `None` if they never disagree.
///
/// ```
/// use humerus_metrics::mcnemar;
/// assert_eq!(mcnemar(0, 0), None);
/// assert!((mcnemar(1, 5).unwrap() - 2.0 * 7.0 / 64.0).abs() < 1e-12);
/// ```
pub fn mcnemar(only_first: usize, only_second: usize) -> Option<f64> {
    let n = only_first + only_second;
    (n > 0).then(|| (2.0 * fair_coin(only_first.min(only_second), n)).min(1.0))
}
