//! The receiver operating characteristic and the area under it.

use serde::{Deserialize, Serialize};
use studies::Label;

use crate::{Error, Result, check};

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
