//! Figures over studies, each with its interval or the reason for having none.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Report;
use crate::counted;
use crate::error::{Error, Result};
use crate::metrics::{self, Confusion, DRAWS, Interval, NoInterval};
use studies::{Label, Split};

/// A figure over studies with its 95 % interval over patients.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The figure; `None` where it is undefined, as AUROC without abnormal studies.
    pub value: Option<f64>,
    /// The interval: [`metrics::share_interval`] of accuracy, sensitivity and specificity, [`metrics::interval`] of AUROC and kappa.
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

impl Report {
    /// Figures over the labelled studies at the report's operating point, their intervals over patients.
    ///
    /// # Errors
    /// [`Error::Setting`] if no study has a label.
    pub fn metrics(&self, split: Option<Split>) -> Result<Metrics> {
        let (labels, scores) = self.labelled();
        if labels.is_empty() {
            return Err(Error::setting("studies", "at least one with a label", 0));
        }
        let threshold = self.operating_point.threshold;
        let confusion = Confusion::at(&labels, &scores, threshold)?;
        let patients: Vec<&str> = self.studies.iter().filter(|s| s.label.is_some()).map(|s| s.group.as_str()).collect();
        let drawn = |metric: Metric<'_>| {
            Estimate::new(metric(&labels, &scores), metrics::interval(&labels, &scores, &patients, metric, DRAWS, 0))
        };
        let kappa = |l: &[Label], s: &[f64]| Confusion::at(l, s, threshold).ok().and_then(|c| c.kappa());
        let share = |value: Option<f64>, of: &[Label]| {
            let hit = |(label, score): (&Label, &f64)| {
                of.contains(label).then_some((*score >= threshold) == (*label == Label::Abnormal))
            };
            let hits: Vec<Option<bool>> = labels.iter().zip(&scores).map(hit).collect();
            Estimate::new(value, metrics::share_interval(&patients, &hits))
        };
        Ok(Metrics {
            split,
            studies: labels.len(),
            views: self.views.iter().filter(|v| v.label.is_some()).count(),
            auroc: drawn(&metrics::auroc),
            kappa: drawn(&kappa),
            accuracy: share(confusion.accuracy(), &Label::ALL),
            sensitivity: share(confusion.sensitivity(), &[Label::Abnormal]),
            specificity: share(confusion.specificity(), &[Label::Normal]),
            confusion,
        })
    }
}

/// A figure of labels and scores, where it is defined.
type Metric<'a> = &'a dyn Fn(&[Label], &[f64]) -> Option<f64>;

#[cfg(test)]
mod tests {
    use super::super::tests::scored;
    use super::*;

    #[test]
    fn six_studies_give_figures_and_in_words_why_some_have_no_interval() {
        let scores = [0.1, 0.9, 0.2, 0.8, 0.3, 0.7];
        let studies: Vec<_> = scores.iter().zip(Label::ALL.into_iter().cycle()).map(|(s, label)| (label, *s)).collect();
        let metrics = scored(&studies, 0.5).metrics(Some(Split::Valid)).unwrap();
        assert_eq!(
            metrics.to_string(),
            "AUROC 1.000, Cohen's kappa 1.000, accuracy 1.000 (95 % CI 0.610 to 1.000), sensitivity 1.000 (95 % CI 0.439 to \
             1.000), specificity 1.000 (95 % CI 0.439 to 1.000); 6 studies, 6 views; no interval of AUROC and Cohen's kappa: \
             3 normal and 3 abnormal patients, 10 of each are needed"
        );
        assert_eq!(
            metrics.auroc.to_string(),
            "1.000 (no interval: 3 normal and 3 abnormal patients, 10 of each are needed)"
        );
        let table = crate::tables::metrics(&metrics).to_string();
        assert!(table.contains("none: 3 normal and 3 abnormal patients"), "{table}");
        let text = serde_json::to_string(&metrics).unwrap();
        assert!(text.contains(r#""no_interval":{"why":"few-patients","normal":3,"abnormal":3}"#), "{text}");
        assert_eq!(serde_json::from_str::<Metrics>(&text).unwrap(), metrics);
        // A card of before: an interval or none, and no reason.
        let old = text.replace(r#","no_interval":{"why":"few-patients","normal":3,"abnormal":3}"#, "");
        assert!(!old.contains("no_interval"), "{old}");
        assert_eq!(serde_json::from_str::<Metrics>(&old).unwrap().auroc.to_string(), "1.000");
    }

    #[test]
    fn studies_without_abnormal_ones_have_an_undefined_sensitivity_and_no_reason_beside_it() {
        let metrics = scored(&[(Label::Normal, 0.1), (Label::Normal, 0.6)], 0.5).metrics(None).unwrap();
        assert_eq!((metrics.sensitivity.to_string(), metrics.sensitivity.no_interval), ("undefined".to_owned(), None));
        assert_eq!(metrics.specificity.to_string(), "0.500 (95 % CI 0.095 to 0.905)");
        assert_eq!(metrics.auroc.to_string(), "undefined");
    }
}
