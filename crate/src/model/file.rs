//! A model file: the weights and a card that says how to use them, in one safetensors file.
//!
//! The tensors carry torchvision's names, so Python's `safetensors` loads them into torchvision's network; the card is
//! JSON under the metadata key `humerus`. Files are written to a temporary sibling and renamed, so no reader meets half
//! a file.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use tch::{Kind, Tensor};
use xxhash_rust::xxh3::Xxh3;

use super::card::{FORMAT, ModelCard};
use crate::device::{self, DeviceChoice};
use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::network::{Classifier, bytes, not_finite};
use files::regular;
use studies::Label;

/// The metadata key of the card.
pub(super) const CARD_KEY: &str = "humerus";
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
    /// [`Error::Io`] if it cannot be read, [`Error::Checkpoint`] if it is not a whole model file of ours or holds a
    /// weight that is NaN or infinite, [`Error::Device`].
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
    /// [`Error::Checkpoint`] for a weight that is NaN or infinite; [`Error::Io`]. The file that was there before, if
    /// any, is then still there.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        save(&self.classifier, &self.card, path.as_ref())
    }

    /// Every layer that heat maps and layer grids can look at, by torchvision's name, from the input on:
    /// [`Classifier::map_layers`].
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
    let hint = match cut {
        true => "; the file seems to be cut short",
        false => "; a file written by `humerus train` was expected",
    };
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

/// Refuses a network with a weight that is no finite number, for the file at `path`: whatever it scores is none either.
pub(super) fn require_finite(model: &Classifier, path: &Path) -> Result<()> {
    let flaw = model.variables().iter().find_map(|it| Some(format!("{}: {}", it.name, not_finite(&it.tensor)?)));
    flaw.map_or(Ok(()), |reason| Err(Error::Checkpoint { path: path.to_owned(), reason }))
}

/// Writes a network's tensors, with metadata, to `path`, by temporary file and rename.
pub(crate) fn save_tensors(model: &Classifier, metadata: HashMap<String, String>, path: &Path) -> Result<()> {
    require_finite(model, path)?;
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
    let wrong = |reason: String| Error::Checkpoint { path: path.to_owned(), reason };
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
    require_finite(model, path)
}

/// An untrained model on the CPU, for tests that need only its form.
#[cfg(test)]
pub(crate) fn untrained(head: crate::network::Head, size: u32) -> Model {
    use super::card::DataCard;
    use crate::preprocess::Preprocess;
    use crate::recipe::Recipe;

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
    use crate::network::{Architecture, Head};
    use crate::preprocess::Preprocess;
    use metrics::OperatingPoint;

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
    fn a_weight_that_is_no_finite_number_is_neither_written_nor_opened_in_any_form() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let model = untrained(Head::Linear { classes: 2 }, 64);
        model.save(path("sound")).unwrap();
        let sound = std::fs::read(path("sound")).unwrap();
        for (at, value) in [(0, f32::NAN), (7, f32::INFINITY), (9, f32::NEG_INFINITY)] {
            let _guard = tch::no_grad_guard();
            let weight = &model.classifier.variables()[at];
            let line = format!("{}: 1 of {} values NaN or infinite", weight.name, weight.tensor.numel());
            let mut first = weight.tensor.view(-1i64).get(0);
            let before = first.double_value(&[]);
            let _ = first.fill_(f64::from(value));
            let written: [(&str, Result<()>); 4] = [
                ("saved", model.save(path("saved"))),
                ("onnx", model.save_onnx(path("onnx"))),
                ("script", model.save_torchscript(path("script"))),
                ("hub", model.save_for_hub(path("hub")).map(drop)),
            ];
            for (name, written) in written {
                let error = written.unwrap_err().to_string();
                assert!(error.contains(&line) && error.lines().count() == 1, "{error}");
                assert!(!path(name).exists(), "{name}");
            }
            // A file that holds it all the same: its first bytes are where the weight's are.
            let mut damaged = sound.clone();
            let (header, metadata) = SafeTensors::read_metadata(&sound).unwrap();
            let start = 8 + header + metadata.tensors()[&weight.name].data_offsets.0;
            damaged[start..start + 4].copy_from_slice(&value.to_le_bytes());
            std::fs::write(path("damaged"), damaged).unwrap();
            let error = Model::open(path("damaged"), DeviceChoice::Cpu).unwrap_err().to_string();
            assert!(error.contains("damaged: ") && error.ends_with(&line), "{error}");
            let error = crate::weights::load(&model.classifier, path("damaged")).unwrap_err().to_string();
            assert!(error.contains("damaged: ") && error.ends_with(&line), "{error}");
            let _ = first.fill_(before);
        }
        model.save(path("saved")).unwrap();
        assert_eq!(sum_of_file(&path("saved")).unwrap(), sum_of_file(&path("sound")).unwrap());
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
