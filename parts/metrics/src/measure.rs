//! Every figure of scores at a threshold, for any weights of the studies: one pass over studies in the order of their
//! scores, so that a bootstrap sorts once.

use serde::{Deserialize, Serialize};
use std::fmt;
use studies::Label;

use crate::calibration::{BINS, bin, loss};
use crate::smooth::{Exactness, Smoother};
use crate::{Confusion, NoInterval};

/// Which figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Area under the ROC curve.
    Auroc,
    /// Area under the precision-recall curve, without interpolation.
    AveragePrecision,
    /// Cohen's kappa.
    Kappa,
    /// Share of right decisions.
    Accuracy,
    /// Mean of sensitivity and specificity.
    BalancedAccuracy,
    /// Share of the abnormal called abnormal.
    Sensitivity,
    /// Share of the normal called normal.
    Specificity,
    /// Share of those called abnormal that are.
    PositivePredictiveValue,
    /// Share of those called normal that are.
    NegativePredictiveValue,
    /// Harmonic mean of precision and sensitivity.
    F1,
    /// Mean squared distance of probabilities from labels.
    Brier,
    /// Mean negative log-likelihood in nats.
    LogLoss,
    /// Expected calibration error over ten bins.
    CalibrationError,
    /// Smooth calibration error, without bins.
    SmoothCalibrationError,
}

impl Measure {
    /// Every figure, in the order of tables.
    pub const ALL: [Measure; 14] = [
        Measure::Auroc,
        Measure::AveragePrecision,
        Measure::Kappa,
        Measure::Accuracy,
        Measure::BalancedAccuracy,
        Measure::Sensitivity,
        Measure::Specificity,
        Measure::PositivePredictiveValue,
        Measure::NegativePredictiveValue,
        Measure::F1,
        Measure::Brier,
        Measure::LogLoss,
        Measure::CalibrationError,
        Measure::SmoothCalibrationError,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Measure::Auroc => "AUROC",
            Measure::AveragePrecision => "average precision",
            Measure::Kappa => "Cohen's kappa",
            Measure::Accuracy => "accuracy",
            Measure::BalancedAccuracy => "balanced accuracy",
            Measure::Sensitivity => "sensitivity",
            Measure::Specificity => "specificity",
            Measure::PositivePredictiveValue => "PPV",
            Measure::NegativePredictiveValue => "NPV",
            Measure::F1 => "F1",
            Measure::Brier => "Brier score",
            Measure::LogLoss => "log loss",
            Measure::CalibrationError => "ECE",
            Measure::SmoothCalibrationError => "smECE",
        }
    }

    /// Whether a study's decision alone says hit or miss, so that the figure is a share of studies.
    pub fn is_share(self) -> bool {
        matches!(
            self,
            Measure::Accuracy
                | Measure::Sensitivity
                | Measure::Specificity
                | Measure::PositivePredictiveValue
                | Measure::NegativePredictiveValue
        )
    }

    /// Why it is undefined of these counts.
    pub(crate) fn undefined(self, counts: &Confusion) -> NoInterval {
        let of = [counts.true_negative + counts.false_positive, counts.false_negative + counts.true_positive];
        let absent = Label::ALL.into_iter().find(|label| of[label.index()] == 0);
        match (self, absent) {
            (Measure::PositivePredictiveValue, _) => NoInterval::NothingCalled { label: Label::Abnormal },
            (Measure::NegativePredictiveValue, _) => NoInterval::NothingCalled { label: Label::Normal },
            (Measure::Kappa, _) => NoInterval::OneClassThroughout,
            (_, Some(label)) => NoInterval::NoStudyIs { label },
            _ => NoInterval::Undefined,
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The value of each figure; `None` where it is undefined.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Values([Option<f64>; Measure::ALL.len()]);

impl Values {
    pub fn get(&self, figure: Measure) -> Option<f64> {
        self.0[figure as usize]
    }

    fn set(&mut self, figure: Measure, value: Option<f64>) {
        self.0[figure as usize] = value;
    }
}

/// Labels and probabilities of studies, highest probability first.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// The study at each place.
    pub order: Vec<usize>,
    /// Whether it is abnormal.
    pub abnormal: Vec<bool>,
    /// Its probability.
    pub scores: Vec<f64>,
    /// Places before this one are called abnormal.
    called: usize,
    loss: Vec<f64>,
    bins: Vec<usize>,
    smoother: Smoother,
}

/// How many studies each class has in a draw, called and not: a confusion matrix of weights.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    normal: u64,
    abnormal: u64,
    called_normal: u64,
    called_abnormal: u64,
}

impl Sample {
    /// Labels and probabilities that are known to be such, decided at a threshold.
    pub fn new(labels: &[Label], probabilities: &[f64], threshold: f64) -> Sample {
        let mut order: Vec<usize> = (0..labels.len()).collect();
        order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
        let scores: Vec<f64> = order.iter().map(|&study| probabilities[study]).collect();
        Sample {
            abnormal: order.iter().map(|&study| labels[study] == Label::Abnormal).collect(),
            called: scores.partition_point(|score| *score >= threshold),
            loss: order.iter().map(|&study| loss(labels[study], probabilities[study])).collect(),
            bins: scores.iter().map(|score| bin(*score)).collect(),
            smoother: Smoother::new(scores.clone()),
            order,
            scores,
        }
    }

    /// Where each run of equal scores ends.
    pub fn ends(&self) -> impl Iterator<Item = usize> + '_ {
        (1..=self.scores.len()).filter(|&end| end == self.scores.len() || self.scores[end] != self.scores[end - 1])
    }

    /// Every figure, each study counted as often as `weights` says at its place; the smooth calibration error, which
    /// takes longest, where it is asked for.
    pub fn values(&self, weights: &[u32], smooth: Option<Exactness>) -> Values {
        let mut found = Values([None; Measure::ALL.len()]);
        let counts = self.counts(weights);
        self.ranks(weights, counts, &mut found);
        decisions(counts, &mut found);
        self.probabilities(weights, counts.normal + counts.abnormal, smooth, &mut found);
        found
    }

    fn counts(&self, weights: &[u32]) -> Counted {
        let mut counts = Counted::default();
        for (place, (&weight, &abnormal)) in weights.iter().zip(&self.abnormal).enumerate() {
            let weight = u64::from(weight);
            let called = if place < self.called { weight } else { 0 };
            let (all, of_them) = match abnormal {
                true => (&mut counts.abnormal, &mut counts.called_abnormal),
                false => (&mut counts.normal, &mut counts.called_normal),
            };
            *all += weight;
            *of_them += called;
        }
        counts
    }

    /// AUROC and average precision.
    fn ranks(&self, weights: &[u32], counts: Counted, found: &mut Values) {
        let (mut start, mut above, mut hit) = (0, 0u64, 0u64);
        let (mut pairs, mut average_precision) = (0u128, 0.0);
        for end in self.ends() {
            let mut here = [0u64; 2];
            for place in start..end {
                here[usize::from(self.abnormal[place])] += u64::from(weights[place]);
            }
            pairs += u128::from(here[0]) * u128::from(2 * hit + here[1]);
            hit += here[1];
            above += here[0];
            if here[1] > 0 {
                average_precision += hit as f64 / (hit + above) as f64 * here[1] as f64;
            }
            start = end;
        }
        let (normal, abnormal) = (counts.normal as f64, counts.abnormal as f64);
        found.set(Measure::Auroc, ratio(pairs as f64, 2.0 * normal * abnormal));
        found.set(Measure::AveragePrecision, ratio(average_precision, abnormal));
    }

    /// Brier score, log loss, calibration errors.
    fn probabilities(&self, weights: &[u32], all: u64, smooth: Option<Exactness>, found: &mut Values) {
        let (mut loss, mut square, mut bins) = (0.0, 0.0, [0.0; BINS]);
        let mut residuals = vec![0.0; weights.len()];
        for (place, &weight) in weights.iter().enumerate() {
            let weight = f64::from(weight);
            let residual = self.scores[place] - f64::from(u8::from(self.abnormal[place]));
            loss += weight * self.loss[place];
            square += weight * residual * residual;
            bins[self.bins[place]] += weight * residual;
            residuals[place] = weight * residual / all as f64;
        }
        let all = all as f64;
        found.set(Measure::Brier, ratio(square, all));
        found.set(Measure::LogLoss, ratio(loss, all));
        found.set(Measure::CalibrationError, ratio(bins.iter().map(|bin: &f64| bin.abs()).sum(), all));
        let smooth = smooth.filter(|_| all > 0.0).map(|exactness| self.smoother.error(&residuals, exactness));
        found.set(Measure::SmoothCalibrationError, smooth);
    }
}

/// The figures of decisions.
fn decisions(counts: Counted, found: &mut Values) {
    let [normal, abnormal, false_alarms, hits] =
        [counts.normal, counts.abnormal, counts.called_normal, counts.called_abnormal].map(|n| n as f64);
    let (all, called) = (normal + abnormal, false_alarms + hits);
    let right = normal - false_alarms + hits;
    let (sensitivity, specificity) = (ratio(hits, abnormal), ratio(normal - false_alarms, normal));
    found.set(Measure::Accuracy, ratio(right, all));
    found.set(Measure::Sensitivity, sensitivity);
    found.set(Measure::Specificity, specificity);
    found.set(Measure::BalancedAccuracy, sensitivity.zip(specificity).map(|(a, b)| (a + b) / 2.0));
    found.set(Measure::PositivePredictiveValue, ratio(hits, called));
    found.set(Measure::NegativePredictiveValue, ratio(normal - false_alarms, all - called));
    found.set(Measure::F1, ratio(2.0 * hits, abnormal + called));
    // Where labels and decisions name one and the same class throughout, chance explains everything.
    let differ = normal * called + abnormal * (all - called);
    let chance = (normal * (all - called) + abnormal * called) / (all * all);
    found.set(Measure::Kappa, (differ > 0.0).then(|| (right / all - chance) / (1.0 - chance)));
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}
