//! All figures over studies.

use std::fmt;
use std::hash::Hash;

use serde::{Deserialize, Serialize};

use crate::bootstrap::{DRAWS, draws, percentiles};
use crate::calibration::check_probabilities;
use crate::measure::{Sample, Values};
use crate::patients::Patients;
use crate::proportion::of_patients;
use crate::smooth::Exactness;
use crate::{Confusion, DeLong, Drawn, Estimate, IntervalKind, Measure, NoInterval, Result, same_length};
use files::counted;
use studies::{Label, Split};

/// How well scores and labels agree over studies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// The split, where all studies are of one.
    pub split: Option<Split>,
    /// Studies scored.
    pub studies: usize,
    /// Films scored.
    pub views: usize,
    /// Area under the ROC curve.
    pub auroc: Estimate,
    /// Average precision: the area under the precision-recall curve. Chance reaches the share that is abnormal.
    #[serde(default)]
    pub average_precision: Estimate,
    /// Cohen's kappa at the operating point, MURA's headline figure.
    pub kappa: Estimate,
    /// Share of right decisions.
    pub accuracy: Estimate,
    /// Mean of sensitivity and specificity.
    #[serde(default)]
    pub balanced_accuracy: Estimate,
    /// Share of abnormal studies called abnormal.
    pub sensitivity: Estimate,
    /// Share of normal studies called normal.
    pub specificity: Estimate,
    /// Share of studies called abnormal that are: at the share of abnormal studies here, and at no other.
    #[serde(default)]
    pub ppv: Estimate,
    /// Share of studies called normal that are, likewise.
    #[serde(default)]
    pub npv: Estimate,
    /// Harmonic mean of sensitivity and positive predictive value.
    #[serde(default)]
    pub f1: Estimate,
    /// Mean squared distance of probabilities from labels; lower is better.
    #[serde(default)]
    pub brier: Estimate,
    /// Mean negative log-likelihood of the labels in nats; lower is better.
    #[serde(default)]
    pub log_loss: Estimate,
    /// Expected calibration error over [`BINS`](crate::BINS) bins of equal width. Chance alone makes it larger than 0
    /// in small samples, and larger on a bootstrap's draws than in the sample.
    #[serde(default)]
    pub calibration_error: Estimate,
    /// Smooth calibration error, without bins (Błasiok & Nakkiran 2023), of which the same is true.
    #[serde(default)]
    pub smooth_calibration_error: Estimate,
    /// Counts at the operating point.
    pub confusion: Confusion,
    /// The same over single films, each with its study's label; their intervals are over patients too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_view: Option<Box<Metrics>>,
}

impl fmt::Display for Metrics {
    /// The headline figures in a line; [`Metrics::rows`] has all.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEADLINE: [Measure; 5] =
            [Measure::Auroc, Measure::Kappa, Measure::Accuracy, Measure::Sensitivity, Measure::Specificity];
        let (studies, views) = (counted(self.studies, "study"), counted(self.views, "view"));
        let headline = || HEADLINE.map(|figure| (figure.name(), *self.get(figure)));
        let figures: Vec<String> = headline().iter().map(|(name, it)| format!("{name} {}", it.brief())).collect();
        write!(f, "{}; {studies}, {views}", figures.join(", "))?;
        let mut reasons: Vec<(NoInterval, Vec<&str>)> = Vec::new();
        for (name, estimate) in headline() {
            let Some(why) = estimate.no_interval.filter(|_| estimate.value.is_some()) else { continue };
            match reasons.iter_mut().find(|(said, _)| *said == why) {
                Some((_, names)) => names.push(name),
                None => reasons.push((why, vec![name])),
            }
        }
        reasons.iter().try_for_each(|(why, names)| write!(f, "; no interval of {}: {why}", names.join(" and ")))
    }
}

impl Metrics {
    /// The figures by name, for tables; without those that a card of before does not know.
    pub fn rows(&self) -> Vec<(&'static str, Estimate)> {
        let all = Measure::ALL.iter().map(|&figure| (figure.name(), *self.get(figure)));
        all.filter(|(_, estimate)| estimate.is_known()).collect()
    }

    /// A figure by name.
    pub fn get(&self, figure: Measure) -> &Estimate {
        match figure {
            Measure::Auroc => &self.auroc,
            Measure::AveragePrecision => &self.average_precision,
            Measure::Kappa => &self.kappa,
            Measure::Accuracy => &self.accuracy,
            Measure::BalancedAccuracy => &self.balanced_accuracy,
            Measure::Sensitivity => &self.sensitivity,
            Measure::Specificity => &self.specificity,
            Measure::PositivePredictiveValue => &self.ppv,
            Measure::NegativePredictiveValue => &self.npv,
            Measure::F1 => &self.f1,
            Measure::Brier => &self.brier,
            Measure::LogLoss => &self.log_loss,
            Measure::CalibrationError => &self.calibration_error,
            Measure::SmoothCalibrationError => &self.smooth_calibration_error,
        }
    }

    fn all_mut(&mut self) -> [&mut Estimate; Measure::ALL.len()] {
        [
            &mut self.auroc,
            &mut self.average_precision,
            &mut self.kappa,
            &mut self.accuracy,
            &mut self.balanced_accuracy,
            &mut self.sensitivity,
            &mut self.specificity,
            &mut self.ppv,
            &mut self.npv,
            &mut self.f1,
            &mut self.brier,
            &mut self.log_loss,
            &mut self.calibration_error,
            &mut self.smooth_calibration_error,
        ]
    }

    /// Figures over studies at a threshold, their intervals over patients; one view a study. The AUROC has DeLong's
    /// interval, shares have Wilson's, everything else that of a bootstrap of [`DRAWS`] draws with seed 0.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) if there is no study, the slices differ in length, or a score is no
    /// probability.
    pub fn of<P: Eq + Hash>(
        labels: &[Label],
        probabilities: &[f64],
        patients: &[P],
        threshold: f64,
    ) -> Result<Metrics> {
        let confusion = Confusion::at(labels, probabilities, threshold)?;
        check_probabilities(labels, probabilities)?;
        same_length("patients", labels.len(), patients.len())?;
        let sample = Sample::new(labels, probabilities, threshold);
        let values = sample.values(&vec![1; labels.len()], Some(Exactness::FINE));
        let numbered = Patients::new(patients);
        let drawn = numbered.enough(labels).map(|()| draws([&sample], &numbered, (DRAWS, 0), Some(Exactness::COARSE)));
        let estimate = |figure: Measure| {
            let interval = match figure {
                Measure::Auroc => drawn.as_ref().map_err(|why| *why).and_then(|_| {
                    let found = DeLong::new(labels, probabilities, patients)?;
                    match AUROC_INTERVAL {
                        IntervalKind::DeLong => found.interval(),
                        _ => found.logit_interval(),
                    }
                }),
                share if share.is_share() => {
                    of_patients(&numbered, |study| hit(share, labels[study], probabilities[study] >= threshold))
                }
                _ => drawn.as_ref().map_err(|why| *why).and_then(|drawn: &Vec<[Values; 1]>| {
                    percentiles(drawn.iter().map(|[values]| values.get(figure)).collect())
                }),
            };
            Estimate::new(values.get(figure), interval, || figure.undefined(&confusion))
        };
        Ok(Metrics {
            split: None,
            studies: labels.len(),
            views: labels.len(),
            auroc: estimate(Measure::Auroc),
            average_precision: estimate(Measure::AveragePrecision),
            kappa: estimate(Measure::Kappa),
            accuracy: estimate(Measure::Accuracy),
            balanced_accuracy: estimate(Measure::BalancedAccuracy),
            sensitivity: estimate(Measure::Sensitivity),
            specificity: estimate(Measure::Specificity),
            ppv: estimate(Measure::PositivePredictiveValue),
            npv: estimate(Measure::NegativePredictiveValue),
            f1: estimate(Measure::F1),
            brier: estimate(Measure::Brier),
            log_loss: estimate(Measure::LogLoss),
            calibration_error: estimate(Measure::CalibrationError),
            smooth_calibration_error: estimate(Measure::SmoothCalibrationError),
            confusion,
            by_view: None,
        })
    }

    /// The same, with what stands for patients in the reasons for having no interval.
    pub fn of_drawn(mut self, drawn: Drawn) -> Metrics {
        for estimate in self.all_mut() {
            estimate.no_interval = estimate.no_interval.map(|why| why.of_drawn(drawn));
        }
        self.by_view = self.by_view.map(|views| Box::new(views.of_drawn(drawn)));
        self
    }
}

/// Which of DeLong's intervals an AUROC gets.
const AUROC_INTERVAL: IntervalKind = IntervalKind::DeLongLogit;

/// What a study's decision says of a share: nothing, miss or hit.
pub(crate) fn hit(share: Measure, label: Label, called: bool) -> Option<bool> {
    let abnormal = label == Label::Abnormal;
    match share {
        Measure::Accuracy => Some(called == abnormal),
        Measure::Sensitivity => abnormal.then_some(called),
        Measure::Specificity => (!abnormal).then_some(!called),
        Measure::PositivePredictiveValue => called.then_some(abnormal),
        Measure::NegativePredictiveValue => (!called).then_some(!abnormal),
        _ => None,
    }
}
