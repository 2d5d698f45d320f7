//! A model file: the weights and a card that says how to use them, in one safetensors file.
//!
//! The tensors carry torchvision's names, so Python's `safetensors` loads them into torchvision's network; the card is JSON under the
//! metadata key `humerus`. Files are written to a temporary sibling and renamed, so no reader meets half a file.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use xxhash_rust::xxh3::Xxh3;

use super::provenance::{Apart, Trained};
use super::{Architecture, Classifier, Head, ParameterCount, bytes};
use crate::counted;
use crate::dataset::{self, Fold, Held, Index, Leak, SplitSummary};
use crate::device::{self, DeviceChoice};
use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::preprocess::Preprocess;
use crate::score::{Metrics, OperatingPoint};
use crate::train::Recipe;
use crate::weights::Origin;
use files::regular;
use studies::{Label, Split};

/// Under which the card is kept in metadata.
pub(super) const CARD_KEY: &str = "humerus";
const FORMAT: u32 = 1;

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
    /// When a study counts as abnormal.
    pub operating_point: OperatingPoint,
    /// Figures on the tune split, by which the epoch was chosen.
    pub tune: Option<Metrics>,
    /// Figures on the held-out split, computed once, after training.
    pub held_out: Option<Metrics>,
    /// Parameter counts.
    pub parameters: ParameterCount,
    /// The weights that training began with; none if they were random.
    #[serde(default)]
    pub weights: Option<Origin>,
    /// How the training went; none in cards of old, and before training.
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
    /// What no two splits have in common; none in cards of old, where nothing is known of it.
    #[serde(default)]
    pub apart: Option<Apart>,
    /// The leaks that were allowed and there, with the number of warnings; none in cards of old.
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
            operating_point: OperatingPoint::default(),
            tune: None,
            held_out: None,
            parameters: model.parameters(),
            weights: None,
            trained: None,
        }
    }
}

impl ModelCard {
    /// Checks what a network is built and films are decided by. The recipe is only told of, and stays as it was written.
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
        self.preprocess.validate()
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
        rows.push(("operating point", self.operating_point.to_string()));
        for (name, metrics) in [("tune", &self.tune), ("held out", &self.held_out)] {
            if let Some(metrics) = metrics {
                rows.push((name, metrics.to_string()));
            }
        }
        rows.push(("written by", format!("humerus {}", self.humerus)));
        rows
    }
}

/// A trained network with its card: everything that scoring needs.
#[derive(Debug)]
pub struct Model {
    /// The network.
    pub classifier: Classifier,
    /// How to use it.
    pub card: ModelCard,
}

impl Model {
    /// Opens a model file by its path alone.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Checkpoint`] if it is not a whole model file of ours, [`Error::Device`].
    pub fn open(path: impl AsRef<Path>, device: DeviceChoice) -> Result<Model> {
        let path = path.as_ref();
        let device = device::resolve(device)?;
        let file = regular::read(path).map_err(Error::io(path))?;
        let wrong = |reason: String| Error::Checkpoint { path: path.to_owned(), reason };
        let (_, header) = SafeTensors::read_metadata(&file).map_err(|e| wrong(unreadable(&file, &e)))?;
        let card =
            header.metadata().as_ref().and_then(|m| m.get(CARD_KEY)).ok_or_else(|| {
                wrong("has no humerus card; a file written by `humerus train` was expected".to_owned())
            })?;
        let card: ModelCard = serde_json::from_str(card).map_err(|e| wrong(format!("its card cannot be read: {e}")))?;
        if card.format != FORMAT {
            return Err(wrong(format!("card format {FORMAT} was expected, got {}", card.format)));
        }
        if card.classes != Label::ALL {
            return Err(wrong(format!("classes normal, abnormal were expected, got {:?}", card.classes)));
        }
        card.validate().map_err(|e| wrong(format!("its card cannot be used: {e}")))?;
        let classifier = Classifier::with_channels(card.architecture, card.preprocess.channels, card.head, 0, device);
        load_weights(&classifier, path, &file)?;
        Ok(Model { classifier, card })
    }

    /// Writes the model file.
    ///
    /// # Errors
    /// [`Error::Io`]; the file that was there before, if any, is then still there.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        save(&self.classifier, &self.card, path.as_ref())
    }

    /// Every layer that heat maps and layer grids can look at, by torchvision's name, from the input on: [`Classifier::map_layers`].
    pub fn layers(&self) -> Vec<String> {
        self.classifier.map_layers()
    }

    /// Logits `[N, 2]` of a prepared batch `[N, 3, H, W]`, eval mode, no gradients.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn logits(&self, batch: &Tensor) -> Result<Tensor> {
        self.classifier.predict(&batch.to_device(self.classifier.device()))
    }
}

fn unreadable(file: &[u8], error: &safetensors::SafeTensorError) -> String {
    let cut = matches!(
        error,
        safetensors::SafeTensorError::MetadataIncompleteBuffer
            | safetensors::SafeTensorError::InvalidHeaderLength
            | safetensors::SafeTensorError::HeaderTooSmall
    );
    let hint = if cut { "; the file seems to be cut short" } else { "" };
    format!("not a safetensors file of {} bytes: {error}{hint}", file.len())
}

/// Writes weights and card to `path`, by temporary file and rename.
pub(crate) fn save(model: &Classifier, card: &ModelCard, path: &Path) -> Result<()> {
    let metadata =
        HashMap::from([(CARD_KEY.to_owned(), card_json(card, path)?), ("format".to_owned(), "pt".to_owned())]);
    save_tensors(model, metadata, path)
}

/// The card as JSON, for the file at `path`.
pub(super) fn card_json(card: &ModelCard, path: &Path) -> Result<String> {
    serde_json::to_string(card).map_err(|e| Error::Checkpoint { path: path.to_owned(), reason: e.to_string() })
}

/// Writes a network's tensors, with metadata, to `path`, by temporary file and rename.
pub(crate) fn save_tensors(model: &Classifier, metadata: HashMap<String, String>, path: &Path) -> Result<()> {
    let values: Vec<(Vec<u8>, Vec<usize>)> = model
        .variables()
        .iter()
        .map(|v| (bytes(&v.tensor).0, v.tensor.size().iter().map(|&n| n as usize).collect()))
        .collect();
    let wrong = |reason: String| Error::Checkpoint { path: path.to_owned(), reason };
    let mut views = Vec::with_capacity(values.len());
    for (variable, (bytes, shape)) in model.variables().iter().zip(&values) {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(|e| wrong(e.to_string()))?;
        views.push((variable.name.as_str(), view));
    }
    let file = safetensors::serialize(views, Some(metadata)).map_err(|e| wrong(e.to_string()))?;
    Ok(write_atomically(path, &file)?)
}

/// A sum over a network's weights and statistics: that of any model file that holds just these, whatever its card says.
pub(crate) fn sum(model: &Classifier) -> String {
    sum_by_name(model.variables().iter().map(|v| (v.name.as_str(), Cow::Owned(bytes(&v.tensor).0))).collect())
}

/// [`sum`] of the network in a file.
///
/// # Errors
/// [`Error::Io`], [`Error::Checkpoint`] if it cannot be read.
pub(crate) fn sum_of_file(path: &Path) -> Result<String> {
    let file = std::fs::read(path).map_err(Error::io(path))?;
    let wrong = |e| Error::Checkpoint { path: path.to_owned(), reason: unreadable(&file, &e) };
    let tensors = SafeTensors::deserialize(&file).map_err(wrong)?;
    Ok(sum_by_name(tensors.iter().map(|(name, view)| (name, Cow::Borrowed(view.data()))).collect()))
}

fn sum_by_name(mut tensors: Vec<(&str, Cow<'_, [u8]>)>) -> String {
    tensors.sort_by_key(|(name, _)| *name);
    let mut sum = Xxh3::new();
    for (name, bytes) in tensors {
        sum.update(name.as_bytes());
        sum.update(&bytes);
    }
    format!("{:032x}", sum.digest128())
}

/// Gives a model file's weights to its network; all of them must be there.
fn load_weights(model: &Classifier, path: &Path, file: &[u8]) -> Result<()> {
    let wrong = |reason: String| Error::Checkpoint { path: PathBuf::from(path), reason };
    let tensors = SafeTensors::deserialize(file).map_err(|e| wrong(unreadable(file, &e)))?;
    let _guard = tch::no_grad_guard();
    for variable in model.variables() {
        let view = tensors.tensor(&variable.name).map_err(|_| wrong(format!("has no tensor {}", variable.name)))?;
        let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
        if shape != variable.tensor.size() {
            let expected = variable.tensor.size();
            return Err(wrong(format!("{}: expected shape {expected:?}, got {shape:?}", variable.name)));
        }
        if view.dtype() != Dtype::F32 {
            return Err(wrong(format!("{}: expected 32-bit values, got {:?}", variable.name, view.dtype())));
        }
        let values = Tensor::f_from_data_size(view.data(), &shape, Kind::Float)?;
        variable.tensor.shallow_clone().f_copy_(&values)?;
    }
    Ok(())
}

/// An untrained model on the CPU, for tests that need only its form.
#[cfg(test)]
pub(crate) fn untrained(head: Head, size: u32) -> Model {
    let recipe = Recipe { head, preprocess: Preprocess { size, ..Preprocess::default() }, ..Recipe::default() };
    let classifier = Classifier::new(recipe.architecture, head, 1, tch::Device::Cpu);
    let data = DataCard { name: "none".into(), layout: "mura".into(), ..DataCard::default() };
    let card = ModelCard::new(&classifier, &recipe, data);
    Model { classifier, card }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn a_saved_model_comes_back_with_the_same_weights_and_card() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let model = untrained(Head::Reference { classes: 2 }, 96);
        model.save(&path).unwrap();
        let back = Model::open(&path, DeviceChoice::Cpu).unwrap();
        assert_eq!(back.card, model.card);
        assert_eq!(sum_of_file(&path).unwrap(), sum(&model.classifier));
        assert_ne!(sum(&model.classifier), sum(&untrained(Head::Linear { classes: 2 }, 96).classifier));
        for (a, b) in model.classifier.variables().iter().zip(back.classifier.variables()) {
            assert!(a.tensor.equal(&b.tensor), "{}", a.name);
        }
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "no temporary file stays behind");
    }

    #[test]
    fn a_file_cut_in_half_and_a_file_of_text_are_refused_in_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        untrained(Head::Linear { classes: 2 }, 64).save(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for (name, content) in [("half", &whole[..whole.len() / 2]), ("text", b"not a model at all".as_slice())] {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            let error = Model::open(&path, DeviceChoice::Cpu).unwrap_err().to_string();
            assert!(error.contains(name) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_card_with_a_number_out_of_range_is_refused_in_one_line_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let mut model = untrained(Head::Linear { classes: 2 }, 64);
        let usual = model.card.clone();
        let with_head = |classes| ModelCard { head: Head::Linear { classes }, ..usual.clone() };
        let with_threshold = |threshold| {
            let operating_point = OperatingPoint { threshold, ..OperatingPoint::default() };
            ModelCard { operating_point, ..usual.clone() }
        };
        let with_size = |size| ModelCard { preprocess: Preprocess { size, ..Preprocess::default() }, ..usual.clone() };
        for (card, expected) in [
            (with_head(-5), "head.classes: expected 2"),
            (with_head(0), "head.classes: expected 2"),
            (with_head(1_000_000_000_000_000), "head.classes: expected 2"),
            (with_threshold(-0.1), "operating_point.threshold: expected 0 to 1, got -0.1"),
            (with_threshold(1e15), "operating_point.threshold: expected 0 to 1"),
            (with_threshold(f64::NAN), "its card cannot be read"),
            (with_size(u32::MAX), "preprocess.size: expected 64 to 4096"),
        ] {
            model.card = card;
            model.save(&path).unwrap();
            let error = Model::open(&path, DeviceChoice::Cpu).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("model.safetensors"), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
        model.card = with_threshold(1.0);
        model.save(&path).unwrap();
        assert_eq!(Model::open(&path, DeviceChoice::Cpu).unwrap().layers().len(), model.layers().len());
    }

    #[test]
    fn pretrained_features_are_taken_over_and_a_head_of_another_shape_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("linear.safetensors");
        let linear = untrained(Head::Linear { classes: 2 }, 64);
        linear.save(&path).unwrap();
        let reference = Classifier::new(Architecture::DenseNet121, Head::Reference { classes: 2 }, 5, Device::Cpu);
        let loaded = crate::weights::load(&reference, &path).unwrap();
        assert_eq!(loaded.kept.len(), 8);
        assert_eq!(loaded.unexpected, ["classifier.bias", "classifier.weight"]);
        assert!(reference.variables()[0].tensor.equal(&linear.classifier.variables()[0].tensor));
    }
}
