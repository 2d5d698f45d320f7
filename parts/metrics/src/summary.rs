//! Figures over studies, each with its interval or the reason for having none.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Confusion, DRAWS, Drawn, Interval, NoInterval};
use crate::{Error, Result};
use files::counted;
use studies::{Label, Split};

/// A figure over studies with its 95 % interval over patients.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The figure; `None` where it is undefined, as AUROC without abnormal studies.
    pub value: Option<f64>,
    /// The interval: [`share_interval`](super::share_interval) of accuracy, sensitivity and specificity,
    /// [`interval`](super::interval) of AUROC and kappa.
    pub interval: Option<Interval>,
    /// Why there is a figure and no interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_interval: Option<NoInterval>,
}

impl Estimate {
    fn new(value: Option<f64>, interval: Result<Interval, NoInterval>) -> Estimate {
        let why = interval.err().filter(|_| value.is_some());
        Estimate { value, interval: interval.ok().filter(|_| value.is_some()), no_interval: why }
    }

    /// The figure, with its interval if there is one.
    fn brief(&self) -> String {
        match (self.value, self.interval) {
            (Some(value), Some(Interval { low, high })) => format!("{value:.3} (95 % CI {low:.3} to {high:.3})"),
            (Some(value), None) => format!("{value:.3}"),
            (None, _) => "undefined".to_owned(),
        }
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.brief())?;
        self.no_interval.map_or(Ok(()), |why| write!(f, " (no interval: {why})"))
    }
}

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
    /// Cohen's kappa at the operating point, MURA's headline figure.
    pub kappa: Estimate,
    /// Share of right decisions.
    pub accuracy: Estimate,
    /// Share of abnormal studies called abnormal.
    pub sensitivity: Estimate,
    /// Share of normal studies called normal.
    pub specificity: Estimate,
    /// Counts at the operating point.
    pub confusion: Confusion,
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (studies, views) = (counted(self.studies, "study"), counted(self.views, "view"));
        let figures: Vec<String> = self.rows().iter().map(|(name, it)| format!("{name} {}", it.brief())).collect();
        write!(f, "{}; {studies}, {views}", figures.join(", "))?;
        let mut reasons: Vec<(NoInterval, Vec<&str>)> = Vec::new();
        for (name, estimate) in self.rows() {
            let Some(why) = estimate.no_interval else { continue };
            match reasons.iter_mut().find(|(said, _)| *said == why) {
                Some((_, names)) => names.push(name),
                None => reasons.push((why, vec![name])),
            }
        }
        reasons.iter().try_for_each(|(why, names)| write!(f, "; no interval of {}: {why}", names.join(" and ")))
    }
}

impl Metrics {
    /// The figures by name, for tables.
    pub fn rows(&self) -> Vec<(&'static str, Estimate)> {
        vec![
            ("AUROC", self.auroc),
            ("Cohen's kappa", self.kappa),
            ("accuracy", self.accuracy),
            ("sensitivity", self.sensitivity),
            ("specificity", self.specificity),
        ]
    }
}

impl Metrics {
    /// Figures over studies at a threshold, their intervals over patients; one view a study.
    ///
    /// # Errors
    /// [`Error::Setting`] if there is no study, or the slices differ in length.
    pub fn of(labels: &[Label], scores: &[f64], patients: &[&str], threshold: f64) -> Result<Metrics> {
        if labels.is_empty() {
            return Err(Error::setting("studies", "at least one with a label", 0));
        }
        let confusion = Confusion::at(labels, scores, threshold)?;
        let drawn = |metric: Metric<'_>| {
            Estimate::new(metric(labels, scores), super::interval(labels, scores, patients, metric, DRAWS, 0))
        };
        let kappa = |l: &[Label], s: &[f64]| Confusion::at(l, s, threshold).ok().and_then(|c| c.kappa());
        let share = |value: Option<f64>, of: &[Label]| {
            let hit = |(label, score): (&Label, &f64)| {
                of.contains(label).then_some((*score >= threshold) == (*label == Label::Abnormal))
            };
            let hits: Vec<Option<bool>> = labels.iter().zip(scores).map(hit).collect();
            Estimate::new(value, super::share_interval(patients, &hits))
        };
        Ok(Metrics {
            split: None,
            studies: labels.len(),
            views: labels.len(),
            auroc: drawn(&super::auroc),
            kappa: drawn(&kappa),
            accuracy: share(confusion.accuracy(), &Label::ALL),
            sensitivity: share(confusion.sensitivity(), &[Label::Abnormal]),
            specificity: share(confusion.specificity(), &[Label::Normal]),
            confusion,
        })
    }

    /// The same, with what stands for patients in the reasons for having no interval.
    pub fn of_drawn(mut self, drawn: Drawn) -> Metrics {
        for estimate in [&mut self.auroc, &mut self.kappa] {
            if let Some(NoInterval::FewPatients { of, .. }) = &mut estimate.no_interval {
                *of = drawn;
            }
        }
        self
    }
}

/// A figure of labels and scores, where it is defined.
type Metric<'a> = &'a dyn Fn(&[Label], &[f64]) -> Option<f64>;
