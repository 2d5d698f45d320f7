//! How well scores separate the abnormal from the normal: counts, rates, ROC, intervals, on plain slices.
//!
//! Definitions follow scikit-learn, whose values the tests compare with; *abnormal* is the positive class, and a study
//! is called abnormal at or above the threshold. Where a definition divides by zero the answer is `None`, never NaN.

#![forbid(unsafe_code)]

mod decision;
mod error;
mod summary;
mod uncertainty;

use serde::{Deserialize, Serialize};

pub use decision::{Decision, OperatingPoint, Probability};
pub use error::{Error, Result};
pub use summary::{Estimate, Metrics};
pub use uncertainty::{DRAWS, Drawn, FEWEST_PATIENTS, Interval, NoInterval, interval, resamples, share_interval};

use studies::Label;

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

/// One threshold and what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RocPoint {
    /// Scores at or above it are called abnormal. `INFINITY` at the curve's start, where nothing is.
    pub threshold: f64,
    /// 1 − specificity, `0.0..=1.0`.
    pub false_positive_rate: f64,
    /// Sensitivity, `0.0..=1.0`.
    pub true_positive_rate: f64,
}

impl RocPoint {
    /// Share of the abnormal called abnormal.
    pub fn sensitivity(&self) -> f64 {
        self.true_positive_rate
    }

    /// Share of the normal called normal.
    pub fn specificity(&self) -> f64 {
        1.0 - self.false_positive_rate
    }

    /// Youden's index J (1950): sensitivity + specificity − 1.
    pub fn youden_index(&self) -> f64 {
        self.true_positive_rate - self.false_positive_rate
    }
}

/// The receiver operating characteristic: a point for every distinct score, none left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Roc {
    /// From `(0, 0)` at threshold `INFINITY` to `(1, 1)` at the lowest score, thresholds falling. Tied scores share a
    /// point.
    pub points: Vec<RocPoint>,
    /// Area under it, `0.0..=1.0`: the chance that an abnormal study scores above a normal one, ties counted half.
    pub auroc: f64,
}

impl Roc {
    /// The curve of `scores`, whose unit does not matter (logits and probabilities give the same curve).
    ///
    /// # Errors
    /// [`Error::Setting`] if the slices differ in length, a score is NaN, or a class is absent.
    pub fn new(labels: &[Label], scores: &[f64]) -> Result<Roc> {
        check(labels, scores)?;
        let abnormal = labels.iter().filter(|l| **l == Label::Abnormal).count();
        let normal = labels.len() - abnormal;
        if normal == 0 || abnormal == 0 {
            return Err(Error::setting("labels", "both classes", format!("{normal} normal and {abnormal} abnormal")));
        }
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));

        let mut points = vec![RocPoint { threshold: f64::INFINITY, false_positive_rate: 0.0, true_positive_rate: 0.0 }];
        let (mut called, mut hit) = (0, 0);
        // Twice the number of (normal, abnormal) pairs in the right order, ties counted once: whole numbers stay exact.
        let mut pairs = 0u128;
        for tied in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
            let more = tied.iter().filter(|&&i| labels[i] == Label::Abnormal).count();
            let false_more = tied.len() - more;
            pairs += false_more as u128 * (2 * hit + more) as u128;
            hit += more;
            called += tied.len();
            points.push(RocPoint {
                threshold: scores[tied[0]],
                false_positive_rate: (called - hit) as f64 / normal as f64,
                true_positive_rate: hit as f64 / abnormal as f64,
            });
        }
        let auroc = pairs as f64 / (2.0 * normal as f64 * abnormal as f64);
        Ok(Roc { points, auroc })
    }

    /// The point that calls exactly the scores at or above `threshold` abnormal.
    pub fn at(&self, threshold: f64) -> RocPoint {
        let last = self.points.iter().rposition(|p| p.threshold >= threshold);
        RocPoint { threshold, ..self.points[last.unwrap_or(0)] }
    }

    /// The point of highest Youden index; of equals, the one with the highest threshold. Its threshold is finite.
    pub fn youden(&self) -> RocPoint {
        // Rates are rounded quotients: what differs by less than this is equal.
        const ROUNDING: f64 = 1e-12;
        let mut best = self.points[1];
        for point in &self.points[2..] {
            if point.youden_index() > best.youden_index() + ROUNDING {
                best = *point;
            }
        }
        best
    }
}

/// Area under the ROC curve, `0.0..=1.0`; `None` if a class is absent, a score is NaN or the lengths differ
/// ([`Roc::new`] says which).
pub fn auroc(labels: &[Label], scores: &[f64]) -> Option<f64> {
    Roc::new(labels, scores).ok().map(|roc| roc.auroc)
}

/// Mean negative log-likelihood of the labels in nats, at least 0; probabilities are kept off 0 and 1 by
/// `f64::EPSILON`.
///
/// # Errors
/// [`Error::Setting`] if the slices are empty or differ in length, or a probability is not within `0.0..=1.0`.
pub fn log_loss(labels: &[Label], probabilities: &[f64]) -> Result<f64> {
    check(labels, probabilities)?;
    if labels.is_empty() {
        return Err(Error::setting("labels", "at least one", 0));
    }
    let mut sum = 0.0;
    for (label, &p) in labels.iter().zip(probabilities) {
        if !(0.0..=1.0).contains(&p) {
            return Err(Error::setting("probability", "0.0 to 1.0", p));
        }
        let p = p.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
        sum -= match label {
            Label::Abnormal => p.ln(),
            Label::Normal => (1.0 - p).ln(),
        };
    }
    Ok(sum / labels.len() as f64)
}

fn ratio(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn same_length(what: &'static str, labels: usize, got: usize) -> Result<()> {
    if labels == got {
        return Ok(());
    }
    Err(Error::setting(what, format!("one for each of {labels} labels"), got))
}

fn check(labels: &[Label], scores: &[f64]) -> Result<()> {
    same_length("scores", labels.len(), scores.len())?;
    match scores.iter().position(|score| score.is_nan()) {
        None => Ok(()),
        Some(i) => Err(Error::setting("scores", "numbers", format!("NaN at position {i}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Label::{Abnormal, Normal};

    #[test]
    fn a_score_equal_to_the_threshold_is_called_abnormal() {
        let counts = Confusion::at(&[Normal, Abnormal], &[0.4, 0.5], 0.5).unwrap();
        assert_eq!(counts.true_positive, 1);
        assert_eq!(counts.true_negative, 1);
    }

    #[test]
    fn a_nan_score_is_named_by_position() {
        let error = Roc::new(&[Normal, Abnormal], &[0.1, f64::NAN]).unwrap_err();
        assert!(error.to_string().contains("NaN at position 1"), "{error}");
        assert!(Confusion::at(&[Normal], &[f64::NAN], 0.5).is_err());
        assert_eq!(auroc(&[Normal, Abnormal], &[0.1, f64::NAN]), None);
    }

    #[test]
    fn a_missing_class_has_no_curve() {
        let error = Roc::new(&[Normal, Normal], &[0.1, 0.2]).unwrap_err();
        assert!(error.to_string().contains("2 normal and 0 abnormal"), "{error}");
        assert_eq!(auroc(&[], &[]), None);
    }

    #[test]
    fn negative_zero_ties_with_zero() {
        assert_eq!(auroc(&[Normal, Abnormal], &[0.0, -0.0]), Some(0.5));
    }

    #[test]
    fn youden_chooses_the_point_furthest_above_chance() {
        let labels = [Normal, Normal, Abnormal, Normal, Abnormal, Abnormal];
        let best = Roc::new(&labels, &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]).unwrap().youden();
        assert_eq!((best.threshold, best.specificity()), (0.5, 1.0));
        // Even a curve below chance yields a threshold that can be stored.
        let worst = Roc::new(&[Normal, Abnormal], &[0.9, 0.1]).unwrap().youden();
        assert!(worst.threshold.is_finite());
    }

    #[test]
    fn a_curve_read_at_a_threshold_agrees_with_the_counts_there() {
        let labels = [Normal, Abnormal, Normal, Abnormal, Abnormal];
        let scores = [0.2, 0.2, 0.4, 0.6, 0.9];
        let roc = Roc::new(&labels, &scores).unwrap();
        for threshold in [-1.0, 0.2, 0.3, 0.4, 0.6, 0.9, 2.0] {
            let counts = Confusion::at(&labels, &scores, threshold).unwrap();
            let point = roc.at(threshold);
            assert_eq!(Some(point.sensitivity()), counts.sensitivity());
            assert!((point.specificity() - counts.specificity().unwrap()).abs() < 1e-12);
        }
    }
}
