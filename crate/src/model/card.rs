//! A model's card: how to use it, how it came about, and how good it was.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::calibration::{Formerly, Temperature};
use super::provenance::{Apart, Trained};
use crate::counted;
use crate::dataset::{self, Fold, Held, Index, Leak, SplitSummary};
use crate::error::{Error, Result};
use crate::network::{Architecture, Classifier, Head, ParameterCount};
use crate::preprocess::Preprocess;
use crate::recipe::Recipe;
use crate::weights::Origin;
use metrics::Metrics;
use metrics::OperatingPoint;
use studies::{Label, Split};

pub(super) const FORMAT: u32 = 1;

/// What a reader must know to use the weights, saved with them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// Version of this card's layout.
    pub format: u32,
    /// Version of this crate that wrote the file.
    pub humerus: String,
    /// What the model may be used for.
    pub intended_use: String,
    /// The network.
    pub architecture: Architecture,
    /// Its head.
    pub head: Head,
    /// The classes in the order of the logits.
    pub classes: Vec<Label>,
    /// How films become input.
    pub preprocess: Preprocess,
    /// How it was trained.
    pub recipe: Recipe,
    /// What it was trained on.
    pub data: DataCard,
    /// The epoch of these weights, counted from 1; 0 is untrained.
    pub epoch: usize,
    /// What logits are divided by before they become probabilities; 1 in cards of before.
    #[serde(default)]
    pub temperature: Temperature,
    /// When a study counts as abnormal.
    pub operating_point: OperatingPoint,
    /// Figures on the tune split, by which the epoch was chosen.
    pub tune: Option<Metrics>,
    /// Figures on the held-out split, computed once, after training.
    pub held_out: Option<Metrics>,
    /// Figures on the sample that temperature and operating point were chosen on, where that is not the tune split.
    #[serde(default)]
    pub calibrated: Option<Metrics>,
    /// Temperatures and operating points that the model had before it was calibrated anew, with their figures, the
    /// first of them first.
    #[serde(default)]
    pub formerly: Vec<Formerly>,
    /// Parameter counts.
    pub parameters: ParameterCount,
    /// The weights that training began with; none if they were random.
    #[serde(default)]
    pub weights: Option<Origin>,
    /// How the training went; none in older cards, and before training.
    #[serde(default)]
    pub trained: Option<Trained>,
}

/// The data behind a model: names and counts only, no paths and no patients.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DataCard {
    /// Name of the data folder.
    pub name: String,
    /// How it was laid out.
    pub layout: String,
    /// Counts per split.
    pub splits: BTreeMap<Split, SplitSummary>,
    /// Files that were skipped.
    pub skipped: usize,
    /// The body parts, where the data set names them.
    #[serde(default)]
    pub parts: Vec<String>,
    /// What the folder held, where these are not all of its studies and films.
    #[serde(default)]
    pub part_of: Option<Held>,
    /// The fold, where the splits are one of several.
    #[serde(default)]
    pub fold: Option<Fold>,
    /// What no two splits have in common; none in older cards, where nothing is known of it.
    #[serde(default)]
    pub apart: Option<Apart>,
    /// The leaks that were allowed and there, with the number of warnings; none in older cards.
    #[serde(default)]
    pub leaks: Option<BTreeMap<Leak, usize>>,
}

impl DataCard {
    /// What an index holds, without its paths.
    pub fn new(index: &Index) -> Self {
        let summary = index.summary();
        let name = index.root.canonicalize().unwrap_or_else(|_| index.root.clone());
        DataCard {
            name: name.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            layout: summary.layout.to_string(),
            splits: summary.splits,
            skipped: summary.skipped.len(),
            parts: summary.parts.into_keys().collect(),
            part_of: (Held::of(&index.studies) != index.held).then_some(index.held),
            fold: index.fold,
            apart: Some(Apart::of(index)),
            leaks: Some(dataset::leaks(index)),
        }
    }
}

impl ModelCard {
    /// The card of a network that `recipe` is about to train on `data`.
    pub fn new(model: &Classifier, recipe: &Recipe, data: DataCard) -> Self {
        ModelCard {
            format: FORMAT,
            humerus: env!("CARGO_PKG_VERSION").to_owned(),
            intended_use: "research and teaching; not for clinical use".to_owned(),
            architecture: model.architecture(),
            head: model.head(),
            classes: Label::ALL.to_vec(),
            preprocess: recipe.preprocess.clone(),
            recipe: recipe.clone(),
            data,
            epoch: 0,
            temperature: Temperature::default(),
            operating_point: OperatingPoint::default(),
            tune: None,
            held_out: None,
            calibrated: None,
            formerly: Vec::new(),
            parameters: model.parameters(),
            weights: None,
            trained: None,
        }
    }
}

impl ModelCard {
    /// Checks what a network is built and films are decided by. The recipe is only told of, and stays as it was
    /// written.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn validate(&self) -> Result<()> {
        if self.head.classes() != 2 {
            return Err(Error::setting("head.classes", "2 (normal, abnormal)", self.head.classes()));
        }
        let threshold = self.operating_point.threshold;
        if !(0.0..=1.0).contains(&threshold) {
            return Err(Error::setting("operating_point.threshold", "0 to 1", threshold));
        }
        self.temperature.validate()?;
        self.preprocess.validate()
    }

    /// Checks that figures on the held-out studies are those that the card remembers from the end of training.
    ///
    /// # Errors
    /// [`Error::Setting`] with both figures if their AUROC differ by more than 1e-6, or the card holds none.
    pub fn confirm(&self, metrics: &Metrics) -> Result<()> {
        let Some(held_out) = &self.held_out else {
            return Err(Error::setting("held-out figures", "some in the model's card", "none"));
        };
        let agree = match (held_out.auroc.value, metrics.auroc.value) {
            (Some(said), Some(found)) => (said - found).abs() <= 1e-6,
            (said, found) => said == found,
        };
        if agree {
            return Ok(());
        }
        Err(Error::setting("held-out AUROC", format!("{}, by the model's card", held_out.auroc), metrics.auroc))
    }
}

impl fmt::Display for ModelCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.rows() {
            writeln!(f, "{name:<16} {value}")?;
        }
        Ok(())
    }
}

impl ModelCard {
    /// The card as name and value, for tables.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let names: Vec<_> = self.classes.iter().enumerate().map(|(i, c)| format!("{i} {c}")).collect();
        let head = match self.head {
            Head::Linear { .. } => "average pooling, linear",
            Head::Reference { .. } => "max pooling, 1024-1024-512",
        };
        let mut rows = vec![
            ("use", self.intended_use.clone()),
            ("network", format!("{}, {head}", self.architecture.name())),
            ("parameters", format!("{} weights, {} statistics", self.parameters.weights, self.parameters.statistics)),
            ("classes", names.join(", ")),
            ("input", self.preprocess.to_string()),
            (
                "recipe",
                format!(
                    "{}, {} at most, seed {}",
                    self.recipe.name,
                    counted(self.recipe.epochs, "epoch"),
                    self.recipe.seed
                ),
            ),
            ("began with", self.weights.as_ref().map_or("random weights".to_owned(), Origin::to_string)),
            ("epoch", self.epoch.to_string()),
            (
                "data",
                format!(
                    "{} ({} layout), {} skipped",
                    self.data.name,
                    self.data.layout,
                    counted(self.data.skipped, "file")
                ),
            ),
        ];
        for (split, counts) in &self.data.splits {
            let SplitSummary { studies, views, positive_studies, .. } = counts;
            let patients = counts.patients.map_or("patients unknown".to_owned(), |n| counted(n, "patient"));
            let (studies, views) = (counted(*studies, "study"), counted(*views, "view"));
            rows.push((split.name(), format!("{studies} ({positive_studies} abnormal), {views}, {patients}")));
        }
        rows.extend(self.data.rows());
        rows.extend(self.trained.as_ref().map(|trained| ("trained", trained.to_string())));
        rows.push(("temperature", self.temperature.to_string()));
        rows.push(("operating point", self.operating_point.to_string()));
        let figures = [("tune", &self.tune), ("held out", &self.held_out), ("calibrated on", &self.calibrated)];
        rows.extend(figures.into_iter().filter_map(|(name, metrics)| Some((name, metrics.as_ref()?.to_string()))));
        for former in &self.formerly {
            rows.push(("formerly", format!("temperature {}", former.temperature)));
            rows.push(("formerly", former.operating_point.to_string()));
            let held_out = former.held_out.as_ref().map(|metrics| format!("held out: {metrics}"));
            rows.extend(held_out.map(|text| ("formerly", text)));
        }
        rows.push(("written by", format!("humerus {}", self.humerus)));
        rows
    }
}

impl DataCard {
    /// Leaks that were found and allowed, in words; `None` if there was none, or nobody looked.
    pub(super) fn leaks_in_words(&self) -> Option<String> {
        let leaks = self.leaks.as_ref().filter(|leaks| !leaks.is_empty())?;
        let words: Vec<String> =
            leaks.iter().map(|(leak, found): (&Leak, &usize)| format!("{leak} ({found})")).collect();
        Some(words.join(", "))
    }

    /// What is special about these data, as name and value.
    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = Vec::new();
        if !self.parts.is_empty() {
            rows.push(("body parts", self.parts.join(", ")));
        }
        if let Some(held) = self.part_of {
            let [studies, views] =
                self.splits.values().fold([0, 0], |[s, v], split| [s + split.studies, v + split.views]);
            let (all, films) = (counted(held.studies, "study"), counted(held.views, "film"));
            rows.push(("subset", format!("{studies} of {all}, {views} of {films}")));
        }
        if let Some(fold) = self.fold {
            rows.push(("fold", fold.to_string()));
        }
        if let Some(apart) = self.apart {
            rows.push(("patients", apart.to_string()));
        }
        if let Some(leaks) = self.leaks_in_words() {
            rows.push(("allowed leaks", leaks));
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::file::untrained;

    #[test]
    fn a_card_confirms_the_figures_it_was_given_and_no_others() {
        let figures = |scores: &[f64]| {
            let labels: Vec<Label> = Label::ALL.into_iter().cycle().take(scores.len()).collect();
            Metrics::of(&labels, scores, &["a", "b", "c", "d"][..scores.len()], 0.5).unwrap()
        };
        let mut card = untrained(Head::Linear { classes: 2 }, 64).card;
        let [metrics, other] = [figures(&[0.1, 0.9, 0.2, 0.8]), figures(&[0.1, 0.9, 0.85, 0.8])];
        let line = card.confirm(&metrics).unwrap_err().to_string();
        assert_eq!(line, "held-out figures: expected some in the model's card, got none");
        card.held_out = Some(metrics.clone());
        card.confirm(&metrics).unwrap();
        let line = card.confirm(&other).unwrap_err().to_string();
        assert!(
            line.starts_with("held-out AUROC: expected 1.000 (no interval") && line.contains("got 0.750"),
            "{line}"
        );
        assert!(card.confirm(&figures(&[0.1])).unwrap_err().to_string().contains("got undefined"));
    }
}
