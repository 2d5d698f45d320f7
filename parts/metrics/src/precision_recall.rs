//! Precision against recall, and the average precision under it.

use std::hash::Hash;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use studies::Label;

use crate::bootstrap::{DRAWS, resample};
use crate::patients::Patients;
use crate::{Error, NoInterval, Result, check};

/// One threshold of a precision-recall curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PrecisionRecallPoint {
    /// Scores at or above it are called abnormal.
    pub threshold: f64,
    /// Share of what is called abnormal that is, `0.0..=1.0`: positive predictive value.
    pub precision: f64,
    /// Share of the abnormal called abnormal, `0.0..=1.0`: sensitivity.
    pub recall: f64,
}

/// Precision and recall at every distinct score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrecisionRecall {
    /// Thresholds falling, recall rising to 1.
    pub points: Vec<PrecisionRecallPoint>,
    /// Share of the studies that is abnormal: the precision of chance.
    pub prevalence: f64,
    /// The sum over thresholds of precision times the recall that each adds, without interpolation: scikit-learn's
    /// `average_precision_score`.
    pub average_precision: f64,
}

impl PrecisionRecall {
    /// The curve of `scores`.
    ///
    /// # Errors
    /// [`Error::Setting`] if the slices differ in length, a score is NaN, or no study is abnormal.
    pub fn new(labels: &[Label], scores: &[f64]) -> Result<PrecisionRecall> {
        check(labels, scores)?;
        let abnormal = labels.iter().filter(|label| **label == Label::Abnormal).count();
        if abnormal == 0 {
            return Err(Error::setting("labels", "at least one abnormal", "none"));
        }
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        let (mut points, mut called, mut hit, mut average_precision) = (Vec::new(), 0, 0, 0.0);
        for tied in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
            let more = tied.iter().filter(|&&study| labels[study] == Label::Abnormal).count();
            (called, hit) = (called + tied.len(), hit + more);
            let (precision, recall) = (hit as f64 / called as f64, hit as f64 / abnormal as f64);
            average_precision += precision * more as f64 / abnormal as f64;
            points.push(PrecisionRecallPoint { threshold: scores[tied[0]], precision, recall });
        }
        Ok(PrecisionRecall { points, prevalence: abnormal as f64 / labels.len() as f64, average_precision })
    }

    /// Precision at a recall: that of the highest threshold that reaches it.
    pub fn at_recall(&self, recall: f64) -> f64 {
        let reaches = self.points.partition_point(|point| point.recall < recall - 1e-12);
        self.points[reaches.min(self.points.len() - 1)].precision
    }

    /// At each of [`BAND`] recalls from 0 to 1, where 95 % of the curves over patients drawn anew lie; one patient a
    /// study.
    ///
    /// # Errors
    /// [`NoInterval`] as [`interval`](crate::interval).
    pub fn band<P: Eq + Hash>(labels: &[Label], scores: &[f64], patients: &[P]) -> Result<Vec<BandPoint>, NoInterval> {
        if check(labels, scores).is_err() || patients.len() != labels.len() {
            return Err(NoInterval::Undefined);
        }
        let patients = Patients::new(patients);
        patients.enough(labels)?;
        let mut studies = vec![Vec::new(); patients.count];
        patients.of.iter().enumerate().for_each(|(study, &patient)| studies[patient].push(study));
        let recall = |step: usize| step as f64 / (BAND - 1) as f64;
        let one = |draw| {
            let drawn = resample(studies.len(), 0, draw).flat_map(|patient| studies[patient].iter().copied());
            let (labels, scores): (Vec<_>, Vec<_>) = drawn.map(|study| (labels[study], scores[study])).unzip();
            let curve = PrecisionRecall::new(&labels, &scores).ok()?;
            Some((0..BAND).map(|step| curve.at_recall(recall(step))).collect::<Vec<f64>>())
        };
        let curves: Vec<Vec<f64>> = (0..DRAWS).into_par_iter().filter_map(one).collect();
        if 2 * curves.len() < DRAWS {
            return Err(NoInterval::UndefinedOnMostDraws);
        }
        let at = |step: usize| {
            let mut values: Vec<f64> = curves.iter().map(|curve| curve[step]).collect();
            values.sort_by(f64::total_cmp);
            let [low, high] = [0.025, 0.975].map(|share| crate::bootstrap::percentile(&values, share));
            BandPoint { at: recall(step), low, high }
        };
        Ok((0..BAND).map(at).collect())
    }
}

/// Recalls at which a band is given.
pub const BAND: usize = 51;

/// Where 95 % of the curves lie at one recall.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BandPoint {
    /// The recall.
    pub at: f64,
    /// The lower end of their precisions.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}
