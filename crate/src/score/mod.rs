//! From logits to a probability, from the views of a study to its decision, and how often that is right.
//!
//! MURA's protocol (Rajpurkar et al., arXiv:1712.06957): a study's probability is the mean of its views', and it counts
//! as abnormal above 0.5; the headline figure is Cohen's kappa over studies.

mod films;
mod named;
mod scorable;
mod scores;

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;
use tch::{Kind, Tensor};

pub use metrics::{Decision, Estimate, Metrics, OperatingPoint, Probability};
pub use scorable::Scorable;
pub use scores::{StudyScore, ViewScore};

use crate::dataset::films::LOOK_AHEAD;
use crate::dataset::{Films, Skipped};
use crate::error::{Error, Result};
use crate::model::Model;
use files::in_line;
use metrics::{Drawn, Roc};
use studies::{Label, Split, Study};

/// Films per forward pass when only looking.
const BATCH: usize = 32;

/// Scores of any number of studies, decided at one operating point: what [`Model::score`] returns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Every film, study after study.
    pub views: Vec<ViewScore>,
    /// Every study.
    pub studies: Vec<StudyScore>,
    /// Where films and studies were decided: the model's.
    pub operating_point: OperatingPoint,
    /// The split of the studies, where they were given as studies and all are of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// Files that were met and not scored, and why; and paths that name a film once more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
    /// Folders that were scored film by film because their labels cannot be read, each with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unlabelled: Vec<String>,
}

impl Report {
    fn empty(operating_point: OperatingPoint) -> Report {
        let (views, studies, skipped, unlabelled) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Report { views, studies, operating_point, split: None, skipped, unlabelled }
    }

    /// The same probabilities, decided at another operating point.
    pub fn decided_at(&self, operating_point: OperatingPoint) -> Report {
        let mut report = self.clone();
        report.views.iter_mut().for_each(|view| view.decision = operating_point.decide(view.probability));
        report.studies.iter_mut().for_each(|study| study.decision = operating_point.decide(study.probability));
        report.operating_point = operating_point;
        report
    }

    /// Figures over the labelled studies at the report's operating point, their intervals over patients.
    ///
    /// # Errors
    /// [`Error::Setting`] if no study has a label.
    pub fn metrics(&self) -> Result<Metrics> {
        let (labels, scores) = self.labelled();
        let patients: Vec<&str> = self.studies.iter().filter(|s| s.label.is_some()).map(|s| s.group.as_str()).collect();
        let metrics = Metrics::of(&labels, &scores, &patients, self.operating_point.threshold)?;
        let metrics = metrics.of_drawn(self.drawn());
        let views = self.views.iter().filter(|v| v.label.is_some()).count();
        Ok(Metrics { split: self.split, views, ..metrics })
    }

    /// What stands for patients among the labelled studies.
    fn drawn(&self) -> Drawn {
        let labelled = || self.studies.iter().filter(|study| study.label.is_some());
        if labelled().all(|study| study.patient_is_known) {
            return Drawn::Patients;
        }
        let groups: HashSet<&str> = labelled().map(|study| study.group.as_str()).collect();
        if groups.len() == labelled().count() { Drawn::Studies } else { Drawn::Blocks }
    }

    /// The ROC curve over the labelled studies.
    ///
    /// # Errors
    /// [`Error::Setting`] if a class is absent.
    pub fn roc(&self) -> Result<Roc> {
        let (labels, scores) = self.labelled();
        Ok(Roc::new(&labels, &scores)?)
    }

    /// Labels and probabilities of the labelled studies, in order.
    pub fn labelled(&self) -> (Vec<Label>, Vec<f64>) {
        self.studies.iter().filter_map(|s| Some((s.label?, s.probability.get()))).unzip()
    }

    /// The films whose probability is furthest from the threshold, most certain first.
    pub fn most_certain(&self, n: usize) -> Vec<ViewScore> {
        self.surest(n, |_| true)
    }

    /// The films whose probability is closest to the threshold, least certain first.
    pub fn most_uncertain(&self, n: usize) -> Vec<ViewScore> {
        let mut views: Vec<&ViewScore> = self.views.iter().collect();
        views.sort_by(|a, b| self.certainty(a).total_cmp(&self.certainty(b)));
        views.into_iter().take(n).cloned().collect()
    }

    /// The films decided against their label, the most certain mistake first.
    pub fn wrong(&self, n: usize) -> Vec<ViewScore> {
        self.surest(n, |view| view.label.is_some_and(|label| label != view.decision.label()))
    }

    /// The abnormal films that were called so, the most certain first.
    pub fn true_positives(&self, n: usize) -> Vec<ViewScore> {
        self.surest(n, ViewScore::is_hit)
    }

    /// The film of this label that the model finds most likely to be of it.
    ///
    /// # Errors
    /// [`Error::Setting`] if no film has this label.
    pub fn clearest(&self, label: Label) -> Result<ViewScore> {
        let likely = |v: &&ViewScore| match label {
            Label::Abnormal => v.probability.get(),
            Label::Normal => 1.0 - v.probability.get(),
        };
        let of_label = self.views.iter().filter(|v| v.label == Some(label));
        let clearest = of_label.max_by(|a, b| likely(a).total_cmp(&likely(b)));
        clearest.cloned().ok_or_else(|| Error::setting("films", format!("one labelled {label}"), "none"))
    }

    fn surest(&self, n: usize, wanted: impl Fn(&ViewScore) -> bool) -> Vec<ViewScore> {
        let mut views: Vec<&ViewScore> = self.views.iter().filter(|view| wanted(view)).collect();
        views.sort_by(|a, b| self.certainty(b).total_cmp(&self.certainty(a)));
        views.into_iter().take(n).cloned().collect()
    }

    /// How far a film's probability is from the threshold.
    fn certainty(&self, view: &ViewScore) -> f64 {
        (view.probability.get() - self.operating_point.threshold).abs()
    }
}

impl fmt::Display for Report {
    /// A line for each film, for each study of several views, and for what was not scored.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let films = self.views.iter().map(ViewScore::to_string);
        let studies = self.studies.iter().filter(|study| study.views > 1).map(StudyScore::to_string);
        let skipped = self.skipped.iter().map(|it| format!("skipped {}: {}", in_line(it.path.display()), it.reason));
        f.write_str(&films.chain(studies).chain(skipped).collect::<Vec<_>>().join("\n"))
    }
}

/// Probabilities of *abnormal* for a prepared batch `[N, 3, H, W]`.
fn probabilities(model: &Model, batch: &Tensor) -> Result<Vec<Probability>> {
    abnormal(&model.logits(batch)?)
}

/// The probabilities that logits `[N, 2]` stand for.
pub(crate) fn abnormal(logits: &Tensor) -> Result<Vec<Probability>> {
    let abnormal = logits.softmax(-1, Kind::Double).select(1, Label::Abnormal.index() as i64);
    let values = Vec::<f64>::try_from(&abnormal)?;
    values.into_iter().map(|value| Ok(Probability::new(value)?)).collect()
}

/// Scores films that were opened before, as training does; `studies` are those that `films` were opened from.
pub(crate) fn loaded(model: &Model, films: &Films, studies: &[&Study]) -> Result<Report> {
    let found: Vec<_> = probabilities_of(model, films)?.into_iter().map(Some).collect();
    Ok(report(model, studies, &found, true))
}

/// Every film's probability, in order.
fn probabilities_of(model: &Model, films: &Films) -> Result<Vec<Probability>> {
    let order: Vec<usize> = (0..films.len()).collect();
    let batches = order.chunks(BATCH).map(<[usize]>::to_vec).collect();
    let mut found = Vec::with_capacity(films.len());
    for batch in films.feed(batches, model.classifier.device(), LOOK_AHEAD) {
        found.extend(probabilities(model, &batch?.standardised(&model.card.preprocess))?);
    }
    Ok(found)
}

/// Views and studies of which `found` gives the probabilities in order; `None` for a view that could not be read.
fn report(model: &Model, studies: &[&Study], found: &[Option<Probability>], labelled: bool) -> Report {
    let point = &model.card.operating_point;
    let mut report = Report::empty(point.clone());
    report.split = one_split(studies).filter(|_| labelled);
    let mut next = found.iter();
    for study in studies {
        let label = labelled.then_some(study.label);
        let of_views: Vec<Option<Probability>> = next.by_ref().take(study.views.len()).copied().collect();
        for (view, probability) in study.views.iter().zip(&of_views) {
            let Some(probability) = *probability else { continue };
            report.views.push(ViewScore {
                path: view.path.clone(),
                study: study.id.clone(),
                probability,
                decision: point.decide(probability),
                label,
                doubts: Vec::new(),
                view: (*view).clone(),
            });
        }
        let views = of_views.iter().flatten().count();
        if let Some(probability) = Probability::mean(of_views.into_iter().flatten()) {
            report.studies.push(StudyScore {
                study: study.id.clone(),
                probability,
                decision: point.decide(probability),
                label,
                views,
                unread: study.views.len() - views,
                group: study.group.clone(),
                patient_is_known: study.patient.is_some(),
            });
        }
    }
    report
}

/// The split of all of these studies, if it is one.
fn one_split(studies: &[&Study]) -> Option<Split> {
    let first = studies.first()?.split;
    studies.iter().all(|study| study.split == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use studies::View;

    use super::*;

    /// A study of one film for each label and probability, each of its own patient.
    fn scored(studies: &[(Label, f64)], threshold: f64) -> Report {
        let operating_point = OperatingPoint { threshold, ..OperatingPoint::default() };
        let mut report = Report::empty(operating_point);
        for (at, &(label, probability)) in studies.iter().enumerate() {
            let (id, probability) = (format!("study{at}"), Probability::new(probability).unwrap());
            let (decision, path) = (report.operating_point.decide(probability), PathBuf::from(format!("{at}.png")));
            let view = View::new(&path);
            report.views.push(ViewScore {
                path,
                study: id.clone(),
                probability,
                decision,
                label: Some(label),
                doubts: Vec::new(),
                view,
            });
            let group = id.clone();
            report.studies.push(StudyScore {
                study: id,
                probability,
                decision,
                label: Some(label),
                views: 1,
                unread: 0,
                group,
                patient_is_known: true,
            });
        }
        report
    }

    #[test]
    fn certain_uncertain_and_wrong_are_judged_at_the_reports_own_operating_point() {
        let (normal, abnormal) = (Label::Normal, Label::Abnormal);
        let report = scored(&[(normal, 0.05), (normal, 0.27), (abnormal, 0.15), (abnormal, 0.9)], 0.2);
        let names = |of: Vec<ViewScore>| of.iter().map(|view| view.study.clone()).collect::<Vec<_>>();
        assert_eq!(names(report.most_certain(1)), ["study3"]);
        assert_eq!(names(report.most_uncertain(2)), ["study2", "study1"]);
        assert_eq!(names(report.wrong(9)), ["study1", "study2"]);
        assert_eq!(names(report.true_positives(9)), ["study3"]);
        let clearest = Label::ALL.map(|label| report.clearest(label).unwrap().study);
        assert_eq!(clearest, ["study0", "study3"]);
        assert!(
            scored(&[(normal, 0.1)], 0.5).clearest(abnormal).unwrap_err().to_string().contains("labelled abnormal")
        );
        assert_eq!(report.views[3].to_string(), "3.png: probability of abnormal 0.900, called abnormal");
        let metrics = report.metrics().unwrap();
        assert_eq!((metrics.confusion.true_positive, metrics.confusion.false_positive), (1, 1));

        let stricter = report.decided_at(OperatingPoint { threshold: 0.5, ..OperatingPoint::default() });
        assert_eq!(names(stricter.wrong(9)), ["study2"]);
        assert_eq!(stricter.metrics().unwrap().confusion.false_positive, 0);
        assert_eq!(stricter.decided_at(report.operating_point.clone()), report);
    }

    #[test]
    fn where_patients_are_unknown_the_reason_names_what_stands_for_them() {
        let mut report = scored(&[(Label::Normal, 0.1), (Label::Normal, 0.2), (Label::Abnormal, 0.3)], 0.5);
        report.studies[0].patient_is_known = false;
        let line = |report: &Report| report.metrics().unwrap().auroc.to_string();
        assert!(line(&report).contains("2 normal studies and 1 abnormal study, 10"), "{}", line(&report));
        report.studies[1].group = report.studies[0].group.clone();
        assert!(line(&report).contains("1 block with normal studies and 1 block with"), "{}", line(&report));
        let text = serde_json::to_string(&report.metrics().unwrap()).unwrap();
        assert!(text.contains(r#""abnormal":1,"of":"blocks"}"#), "{text}");
    }

    #[test]
    fn six_studies_give_figures_and_in_words_why_some_have_no_interval() {
        let scores = [0.1, 0.9, 0.2, 0.8, 0.3, 0.7];
        let studies: Vec<_> = scores.iter().zip(Label::ALL.into_iter().cycle()).map(|(s, label)| (label, *s)).collect();
        let metrics = scored(&studies, 0.5).metrics().unwrap();
        assert_eq!(
            metrics.to_string(),
            "AUROC 1.000, Cohen's kappa 1.000, accuracy 1.000 (95 % CI 0.610 to 1.000), sensitivity 1.000 \
             (95 % CI 0.439 to 1.000), specificity 1.000 (95 % CI 0.439 to 1.000); 6 studies, 6 views; no interval of \
             AUROC and Cohen's kappa: 3 normal patients and 3 abnormal patients, 10 of each are needed"
        );
        assert_eq!(
            metrics.auroc.to_string(),
            "1.000 (no interval: 3 normal patients and 3 abnormal patients, 10 of each are needed)"
        );
        let table = crate::notebook::tables::metrics(&metrics).to_string();
        assert!(table.contains("none: 3 normal patients and 3 abnormal patients"), "{table}");
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
        let metrics = scored(&[(Label::Normal, 0.1), (Label::Normal, 0.6)], 0.5).metrics().unwrap();
        assert_eq!((metrics.sensitivity.to_string(), metrics.sensitivity.no_interval), ("undefined".to_owned(), None));
        assert_eq!(metrics.specificity.to_string(), "0.500 (95 % CI 0.095 to 0.905)");
        assert_eq!(metrics.auroc.to_string(), "undefined");
    }
}
