//! Models for other tools: TorchScript, and a folder for the Hugging Face hub.
//!
//! The model file itself needs no export for Python: its tensors have torchvision's names.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use tch::{CModule, Device, Kind, Tensor};

use super::checkpoint::{Model, ModelCard, write_atomically};
use super::{Classifier, Head, Mode};
use crate::counted;
use crate::error::{Error, Result};

/// Name of a model file in a folder for the hub.
const WEIGHTS_FILE: &str = "model.safetensors";
/// Name of the card there.
const README_FILE: &str = "README.md";

impl Model {
    /// Writes the network as TorchScript: `torch.jit.load` opens it without this crate, in Python, C++ or on a phone.
    ///
    /// Its input is as [`Classifier`]'s, of any number and size; its output are logits `[N, classes]`, `f32`. The card is not in it.
    ///
    /// # Errors
    /// [`Error::Torch`], [`Error::Io`].
    pub fn save_torchscript(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let frozen = self.frozen()?;
        let size = i64::from(self.card.preprocess.size);
        let example = Tensor::zeros([2, frozen.channels(), size, size], (Kind::Float, Device::Cpu));
        let _guard = tch::no_grad_guard();
        let mut failed = None;
        let module = CModule::create_by_tracing("Humerus", "forward", &[example], &mut |inputs| match frozen
            .forward(&inputs[0], Mode::Eval)
        {
            Ok(logits) => vec![logits],
            Err(error) => {
                failed = Some(error);
                vec![inputs[0].shallow_clone()]
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        // libtorch writes to a path only: to a scratch file, whose content is then written as all our files are.
        let scratch = tempfile::tempdir().map_err(Error::io(std::env::temp_dir()))?;
        let file = scratch.path().join("traced");
        module.save(&file)?;
        write_atomically(path, &std::fs::read(&file).map_err(Error::io(&file))?)
    }

    /// A copy of the network on the CPU, of which nothing may learn: what tracing wants.
    fn frozen(&self) -> Result<Classifier> {
        let (theirs, card) = (&self.classifier, &self.card);
        let frozen = Classifier::with_channels(card.architecture, card.preprocess.channels, card.head, 0, Device::Cpu);
        for (to, from) in frozen.variables().iter().zip(theirs.variables()) {
            let mut to = to.tensor.set_requires_grad(false);
            to.f_copy_(&from.tensor.detach())?;
        }
        Ok(frozen)
    }

    /// Writes a folder for the Hugging Face hub: the model file, and the card as `README.md`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save_for_hub(&self, folder: impl AsRef<Path>) -> Result<PathBuf> {
        let folder = folder.as_ref();
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        self.save(folder.join(WEIGHTS_FILE))?;
        let readme = folder.join(README_FILE);
        write_atomically(&readme, self.card.markdown().as_bytes())?;
        Ok(readme)
    }
}

impl ModelCard {
    /// The card in Markdown with the hub's header: what the model is for, what it was trained on and how, how well it does, how to use it.
    ///
    /// Sections follow Mitchell et al., *Model Cards for Model Reporting* (arXiv:1810.03993). A licence is for the owner of the films to choose, so
    /// the header has none.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        self.header(&mut text);
        let name = self.architecture.name();
        let _ = write!(
            text,
            "\n# {name}: normal or abnormal radiographs\n\n\
             A {name} that gives a radiograph a probability of being *abnormal*, trained with \
             humerus {} on {}.\n\n\
             **For {}.**\n\n\
             *Abnormal* is the data set's label. In MURA it is wider than *fracture*: hardware, degenerative disease and lesions count as \
             well.\n\n## Facts\n\n| | |\n|---|---|\n",
            self.humerus, self.data.name, self.intended_use
        );
        for (name, value) in self.rows() {
            let _ = writeln!(text, "| {name} | {} |", value.replace('|', "\\|"));
        }
        text.push_str("\n## How well it does\n\n");
        match &self.held_out {
            Some(metrics) => {
                let _ = write!(
                    text,
                    "{} ({}) of patients that were not trained on; 95 % intervals over patients. A study's \
                     probability is the mean of its views'.\n\n| figure | value |\n|---|---|\n",
                    counted(metrics.studies, "held-out study"),
                    counted(metrics.views, "film")
                );
                for (name, estimate) in metrics.rows() {
                    let _ = writeln!(text, "| {name} | {estimate} |");
                }
            }
            None => text.push_str("Not measured on held-out studies.\n"),
        }
        text.push_str("\n## Use\n\n");
        self.usage(&mut text);
        let recipe = serde_json::to_string_pretty(&self.recipe).unwrap_or_default();
        let _ = write!(text, "\n## Recipe\n\n```json\n{recipe}\n```\n");
        text
    }

    /// The hub's YAML header, with the figures as its `model-index`.
    fn header(&self, text: &mut String) {
        text.push_str(
            "---\nlibrary_name: humerus\npipeline_tag: image-classification\ntags:\n- radiology\n- x-ray\n- densenet\n- safetensors\n",
        );
        let figures =
            self.held_out.iter().flat_map(|metrics| [("roc_auc", metrics.auroc), ("accuracy", metrics.accuracy)]);
        let figures: Vec<(&str, f64)> = figures.filter_map(|(name, it)| Some((name, it.value?))).collect();
        if !figures.is_empty() {
            let (name, data) = (self.architecture.name(), serde_json::Value::from(self.data.name.as_str()));
            let _ = write!(
                text,
                "model-index:\n- name: {name}\n  results:\n  - task:\n      type: image-classification\n    dataset:\n      name: {data}\n      \
                 type: {data}\n      split: valid\n    metrics:\n"
            );
            for (name, value) in figures {
                let _ = writeln!(text, "    - type: {name}\n      value: {value:.4}");
            }
        }
        text.push_str("---\n");
    }

    fn usage(&self, text: &mut String) {
        let classes = self.head.classes();
        let _ = write!(
            text,
            "In Rust:\n\n```rust\nlet model = humerus::model::Model::open(\"{WEIGHTS_FILE}\", humerus::device::DeviceChoice::Auto)?;\n\
             let film = humerus::score::film(&model, \"film.png\")?;\n\
             println!(\"{{}} {{}}\", film.probability, film.decision);\n```\n\n"
        );
        let (name, load) = (self.architecture.name(), format!("load_file(\"{WEIGHTS_FILE}\")"));
        let imports = "import torchvision\nfrom safetensors.torch import load_file\n";
        let _ = match self.head {
            Head::Linear { .. } if self.preprocess.channels == 3 => write!(
                text,
                "In Python:\n\n```python\n{imports}network = torchvision.models.{name}(num_classes={classes})\n\
                 network.load_state_dict({load})\n```\n"
            ),
            _ => write!(
                text,
                "In Python, the features (the head is not torchvision's):\n\n```python\n{imports}weights = {load}\n\
                 network = torchvision.models.{name}()\n{}\
                 network.load_state_dict({{n: w for n, w in weights.items() if n.startswith(\"features.\")}}, strict=False)\n```\n",
                match self.preprocess.channels {
                    1 =>
                        "import torch\nnetwork.features.conv0 = torch.nn.Conv2d(1, network.features.conv0.out_channels, 7, 2, 3, bias=False)\n",
                    _ => "",
                }
            ),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::checkpoint::untrained;

    #[test]
    fn the_card_in_markdown_has_the_hubs_header_and_says_what_it_is_not_for() {
        let text = untrained(Head::Linear { classes: 2 }, 96).card.markdown();
        assert!(text.starts_with("---\nlibrary_name: humerus\n"), "{text}");
        assert!(text.contains("not for clinical use") && text.contains("wider than *fracture*"), "{text}");
        assert!(text.contains("densenet121(num_classes=2)") && text.contains("Not measured"), "{text}");
        assert_eq!(text.matches("```").count() % 2, 0);
        let mut one = untrained(Head::Linear { classes: 2 }, 96).card;
        one.preprocess.channels = 1;
        assert!(one.markdown().contains("import torch\nnetwork.features.conv0 = torch.nn.Conv2d(1, "));
    }

    #[test]
    fn a_traced_network_gives_the_same_logits_for_other_numbers_and_sizes_of_films() {
        let folder = tempfile::tempdir().unwrap();
        for head in [Head::Linear { classes: 2 }, Head::Reference { classes: 2 }] {
            let model = untrained(head, 96);
            let path = folder.path().join("traced.pt");
            model.save_torchscript(&path).unwrap();
            let traced = CModule::load(&path).unwrap();
            for size in [[1, 3, 96, 96], [3, 3, 128, 80]] {
                let films = Tensor::randn(size, (Kind::Float, Device::Cpu));
                let (ours, theirs) =
                    (model.classifier.forward(&films, Mode::Eval).unwrap(), traced.forward_ts(&[films]).unwrap());
                assert!(ours.allclose(&theirs, 1e-4, 1e-5, false), "{size:?}");
            }
        }
        assert!(model_learns_still());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays behind");
    }

    fn model_learns_still() -> bool {
        let model = untrained(Head::Linear { classes: 2 }, 64);
        let folder = tempfile::tempdir().unwrap();
        model.save_torchscript(folder.path().join("traced.pt")).unwrap();
        model.classifier.trainable().len() == model.classifier.variables().len() - 2 * 121
    }
}
