//! From logits to a probability, from the views of a study to its decision, and how often that is right.
//!
//! MURA's protocol (Rajpurkar et al., arXiv:1712.06957): a study's probability is the mean of its views', and the
//! headline figure is Cohen's kappa over studies. MURA counts a study as abnormal above 0.5; here the operating point
//! in the model's card decides, and a temperature, which the card names too, divides the logits before.

mod calibrate;
mod films;
mod named;
mod scorable;
mod scores;

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::Serialize;
use tch::{Kind, Tensor};

pub use calibrate::Calibration;
pub use metrics::{Decision, Estimate, Metrics, OperatingPoint, Probability};
pub use scorable::Scorable;
pub use scores::{StudyScore, ViewScore};

use crate::dataset::films::LOOK_AHEAD;
use crate::dataset::{Films, Skipped};
use crate::error::{Error, Result};
use crate::model::Model;
use files::in_line;
use metrics::{Drawn, PairedComparison, PrecisionRecall, Reliability, Roc};
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
    /// What logits were divided by: the model's too.
    pub temperature: f64,
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
    fn empty(operating_point: OperatingPoint, temperature: f64) -> Report {
        let (views, studies, skipped, unlabelled) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Report { views, studies, operating_point, temperature, split: None, skipped, unlabelled }
    }

    /// The same probabilities, decided at another operating point.
    pub fn decided_at(&self, operating_point: OperatingPoint) -> Report {
        let mut report = self.clone();
        report.views.iter_mut().for_each(|view| view.decision = operating_point.decide(view.probability));
        report.studies.iter_mut().for_each(|study| study.decision = operating_point.decide(study.probability));
        report.operating_point = operating_point;
        report
    }

    /// Figures over the labelled studies at the report's operating point, their intervals over patients; those over
    /// their films are beside, in [`Metrics::by_view`].
    ///
    /// # Errors
    /// [`Error::Setting`] if no study has a label.
    pub fn metrics(&self) -> Result<Metrics> {
        let (labels, scores) = self.labelled();
        let threshold = self.operating_point.threshold;
        let metrics = Metrics::of(&labels, &scores, &self.groups(), threshold)?;
        let (labels, scores, patients) = self.labelled_views();
        let views = labels.len();
        let by_view = Metrics { split: self.split, ..Metrics::of(&labels, &scores, &patients, threshold)? };
        let metrics = Metrics { split: self.split, views, by_view: Some(Box::new(by_view)), ..metrics };
        Ok(metrics.of_drawn(self.drawn()))
    }

    /// What stands for the patient of each labelled study, in order.
    pub(crate) fn groups(&self) -> Vec<&str> {
        self.studies.iter().filter(|study| study.label.is_some()).map(|study| study.group.as_str()).collect()
    }

    /// Compares this report's figures with those that another model gives the same studies, each at its own operating
    /// point: [`PairedComparison`].
    ///
    /// # Errors
    /// [`Error::Setting`] if no labelled study is in both, or one is with different labels.
    pub fn compared(&self, other: &Report) -> Result<PairedComparison> {
        let others: HashMap<&str, &StudyScore> = other.studies.iter().map(|s| (s.study.as_str(), s)).collect();
        let (mut labels, mut patients, mut scores) = (Vec::new(), Vec::new(), [Vec::new(), Vec::new()]);
        for study in &self.studies {
            let (Some(label), Some(twin)) = (study.label, others.get(study.study.as_str())) else { continue };
            if twin.label != Some(label) {
                let expected = format!("{label} in both reports");
                return Err(Error::setting("label of a study", expected, format!("another one of {}", study.study)));
            }
            labels.push(label);
            patients.push(study.group.as_str());
            scores[0].push(study.probability.get());
            scores[1].push(twin.probability.get());
        }
        if labels.is_empty() {
            return Err(Error::setting("studies", "labelled ones in both reports", "none"));
        }
        let [first, second] = &scores;
        let thresholds = [self.operating_point.threshold, other.operating_point.threshold];
        Ok(PairedComparison::new(&labels, (first, thresholds[0]), (second, thresholds[1]), &patients)?)
    }

    /// How often studies of each probability are abnormal.
    ///
    /// # Errors
    /// [`Error::Setting`] if no study has a label.
    pub fn reliability(&self) -> Result<Reliability> {
        let (labels, scores) = self.labelled();
        Ok(Reliability::new(&labels, &scores, &self.groups())?)
    }

    /// The precision-recall curve over the labelled studies.
    ///
    /// # Errors
    /// [`Error::Setting`] if no study is abnormal.
    pub fn precision_recall(&self) -> Result<PrecisionRecall> {
        let (labels, scores) = self.labelled();
        Ok(PrecisionRecall::new(&labels, &scores)?)
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
    abnormal(&model.logits(batch)?, model.card.temperature.value)
}

/// The probabilities that logits `[N, 2]` stand for at a temperature.
pub(crate) fn abnormal(logits: &Tensor, temperature: f64) -> Result<Vec<Probability>> {
    let abnormal = (logits.to_kind(Kind::Double) / temperature)
        .softmax(-1, Kind::Double)
        .select(1, Label::Abnormal.index() as i64);
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
    let mut report = Report::empty(point.clone(), model.card.temperature.value);
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
mod tests;
