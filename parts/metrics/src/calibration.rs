//! Whether probabilities mean what they say: log loss, Brier score, expected calibration error, reliability.

use serde::{Deserialize, Serialize};
use std::hash::Hash;
use studies::Label;

use crate::patients::Patients;
use crate::{Error, Interval, NoInterval, Result, check, proportion};

/// Bins of equal width that the expected calibration error is taken over.
pub const BINS: usize = 10;

/// The loss of one probability, in nats; kept off 0 and 1 by `f64::EPSILON`.
pub(crate) fn loss(label: Label, probability: f64) -> f64 {
    let p = probability.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
    match label {
        Label::Abnormal => -p.ln(),
        Label::Normal => -(1.0 - p).ln(),
    }
}

/// The bin of a probability: those above `k / BINS` up to `(k + 1) / BINS`, 0 in the first, as scikit-learn's
/// `calibration_curve` has them.
pub(crate) fn bin(probability: f64) -> usize {
    let edge = |k: usize| k as f64 / BINS as f64;
    let mut bin = ((probability * BINS as f64) as usize).min(BINS - 1);
    while bin > 0 && probability <= edge(bin) {
        bin -= 1;
    }
    while bin + 1 < BINS && probability > edge(bin + 1) {
        bin += 1;
    }
    bin
}

/// Refuses what is no list of probabilities with their labels.
pub(crate) fn check_probabilities(labels: &[Label], probabilities: &[f64]) -> Result<()> {
    check(labels, probabilities)?;
    if labels.is_empty() {
        return Err(Error::setting("labels", "at least one", 0));
    }
    match probabilities.iter().find(|p| !(0.0..=1.0).contains(*p)) {
        Some(p) => Err(Error::setting("probability", "0.0 to 1.0", p)),
        None => Ok(()),
    }
}

fn mean(labels: &[Label], probabilities: &[f64], of: impl Fn(Label, f64) -> f64) -> Result<f64> {
    check_probabilities(labels, probabilities)?;
    let sum: f64 = labels.iter().zip(probabilities).map(|(label, p)| of(*label, *p)).sum();
    Ok(sum / labels.len() as f64)
}

/// Mean negative log-likelihood of the labels in nats, at least 0; probabilities are kept off 0 and 1 by
/// `f64::EPSILON`.
///
/// # Errors
/// [`Error::Setting`] if the slices are empty or differ in length, or a probability is not within `0.0..=1.0`.
pub fn log_loss(labels: &[Label], probabilities: &[f64]) -> Result<f64> {
    mean(labels, probabilities, loss)
}

/// Mean squared distance of the probabilities from the labels (Brier 1950), `0.0..=1.0`, lower is better.
///
/// # Errors
/// As [`log_loss`].
pub fn brier(labels: &[Label], probabilities: &[f64]) -> Result<f64> {
    mean(labels, probabilities, |label, p| (p - label.index() as f64).powi(2))
}

/// One bin of a reliability diagram.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Probabilities above this are in it (the first bin has 0 too).
    pub from: f64,
    /// Probabilities up to this are in it.
    pub to: f64,
    /// Studies in it.
    pub studies: usize,
    /// Abnormal ones among them.
    pub abnormal: usize,
    /// Mean of their probabilities; `None` without studies.
    pub probability: Option<f64>,
    /// Wilson's interval of the share that is abnormal, over patients; `None` without studies.
    pub interval: Option<Interval>,
}

impl ReliabilityBin {
    /// The share of its studies that is abnormal; `None` without studies.
    pub fn share(&self) -> Option<f64> {
        (self.studies > 0).then(|| self.abnormal as f64 / self.studies as f64)
    }
}

/// How often studies of each probability are abnormal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// [`BINS`] bins from 0 to 1, empty ones among them.
    pub bins: Vec<ReliabilityBin>,
}

impl Reliability {
    /// Studies in bins; one patient a study. A bin of one class has an interval too, which a bootstrap would not give
    /// it.
    ///
    /// # Errors
    /// [`Error::Setting`] as [`log_loss`], or if the patients are not as many.
    pub fn new<P: Eq + Hash>(labels: &[Label], probabilities: &[f64], patients: &[P]) -> Result<Reliability> {
        check_probabilities(labels, probabilities)?;
        crate::same_length("patients", labels.len(), patients.len())?;
        let patients = Patients::new(patients);
        let of: Vec<usize> = probabilities.iter().map(|p| bin(*p)).collect();
        let of = |at: usize| {
            let mut found = ReliabilityBin {
                from: at as f64 / BINS as f64,
                to: (at + 1) as f64 / BINS as f64,
                studies: 0,
                abnormal: 0,
                probability: None,
                interval: None,
            };
            let mut sum = 0.0;
            for (study, _) in of.iter().enumerate().filter(|(_, bin)| **bin == at) {
                found.studies += 1;
                found.abnormal += labels[study].index();
                sum += probabilities[study];
            }
            found.probability = (found.studies > 0).then(|| sum / found.studies as f64);
            let hit = |study: usize| (of[study] == at).then_some(labels[study] == Label::Abnormal);
            found.interval = proportion::of_patients(&patients, hit).ok();
            found
        };
        Ok(Reliability { bins: (0..BINS).map(of).collect() })
    }

    /// Expected calibration error (Naeini et al. 2015), `0.0..=1.0`: the mean distance between a study's bin's mean
    /// probability and the share of it that is abnormal.
    pub fn expected_error(&self) -> f64 {
        let all: usize = self.bins.iter().map(|bin| bin.studies).sum();
        let error = |bin: &ReliabilityBin| {
            let distance = (bin.probability? - bin.share()?).abs();
            Some(distance * bin.studies as f64 / all as f64)
        };
        self.bins.iter().filter_map(error).sum()
    }
}

/// Temperature scaling (Guo et al., arXiv:1706.04599): the number that logits are divided by so that the probabilities
/// have the least log loss.
///
/// `probabilities` are those of temperature 1. Looks from [`TEMPERATURES`]' start to its end.
///
/// # Errors
/// [`Error::Setting`] as [`log_loss`]; or if a class is absent or no temperature in the range is the best, as where
/// every probability is on its label's side: then less is always better.
pub fn temperature(labels: &[Label], probabilities: &[f64]) -> Result<f64> {
    check_probabilities(labels, probabilities)?;
    let [normal, abnormal] = Label::ALL.map(|label| labels.iter().filter(|it| **it == label).count());
    if normal == 0 || abnormal == 0 {
        return Err(Error::setting("labels", "both classes", format!("{normal} normal and {abnormal} abnormal")));
    }
    let logits: Vec<f64> = probabilities.iter().map(|p| logit(*p)).collect();
    // The slope of the loss in the inverse of the temperature, in which it is convex.
    let slope = |inverse: f64| {
        let of = |(label, z): (&Label, &f64)| (sigmoid(inverse * z) - label.index() as f64) * z;
        labels.iter().zip(&logits).map(of).sum::<f64>()
    };
    let (mut low, mut high) = (1.0 / TEMPERATURES.1, 1.0 / TEMPERATURES.0);
    if slope(low) >= 0.0 || slope(high) <= 0.0 {
        let range = format!("a best one from {} to {}", TEMPERATURES.0, TEMPERATURES.1);
        return Err(Error::setting("temperature", range, "none: the probabilities tell too much or too little"));
    }
    loop {
        let middle = 0.5 * (low + high);
        if high - low < 1e-12 || middle <= low || middle >= high {
            return Ok(1.0 / middle);
        }
        if slope(middle) < 0.0 { low = middle } else { high = middle }
    }
}

/// The least and the greatest temperature that is looked for.
pub const TEMPERATURES: (f64, f64) = (0.05, 20.0);

/// A probability of temperature 1 at another one; rising in `probability`.
pub fn at_temperature(probability: f64, temperature: f64) -> f64 {
    if temperature == 1.0 { probability } else { sigmoid(logit(probability) / temperature) }
}

fn logit(probability: f64) -> f64 {
    let p = probability.clamp(1e-300, 1.0 - f64::EPSILON / 2.0);
    p.ln() - (-p).ln_1p()
}

fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 { 1.0 / (1.0 + (-z).exp()) } else { z.exp() / (1.0 + z.exp()) }
}

/// Why a calibration of so few patients says nothing.
///
/// # Errors
/// [`NoInterval::FewPatients`] if a class has fewer than [`FEWEST_PATIENTS`](crate::FEWEST_PATIENTS) of them.
pub fn enough_patients<P: Eq + Hash>(labels: &[Label], patients: &[P]) -> Result<(), NoInterval> {
    if labels.len() != patients.len() {
        return Err(NoInterval::Undefined);
    }
    Patients::new(patients).enough(labels)
}
