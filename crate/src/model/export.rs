//! A folder for the Hugging Face hub: the model file, its card in Markdown, and what opens it in Python.
//!
//! The model file itself needs no export for Python: its tensors have torchvision's names.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_128;

use super::card::ModelCard;
use super::file::Model;
use super::provenance::Apart;
use crate::counted;
use crate::error::{Error, Result};
use crate::files::{self, write_atomically};

/// Name of a model file in a folder for the hub.
const WEIGHTS_FILE: &str = "model.safetensors";
/// Name of the card there.
const README_FILE: &str = "README.md";
/// Name of what opens the model in Python there.
const LOADER_FILE: &str = "load_in_python.py";
/// The files of a folder for the hub.
pub const HUB_FILES: [&str; 3] = [WEIGHTS_FILE, README_FILE, LOADER_FILE];
/// The same as in the documentation, which tests run.
const LOADER: &str = include_str!("../../../docs/load_in_python.py");
/// Files by which a run's folder is known.
const OF_A_RUN: [&str; 4] = [files::LAST_FILE, files::RESUME_FILE, files::METRICS_FILE, files::FINISHED_FILE];

impl Model {
    /// Writes a folder for the Hugging Face hub: the model file, the card as `README.md`, and `load_in_python.py`,
    /// which scores films in Python.
    ///
    /// The folder is new, empty, or holds other files than these; or an earlier export whose card nobody has changed,
    /// which is replaced.
    ///
    /// # Errors
    /// [`Error::Setting`] for a run's folder, or one with a model or `README.md` that no export wrote: nothing is
    /// changed then. [`Error::Io`].
    pub fn save_for_hub(&self, folder: impl AsRef<Path>) -> Result<PathBuf> {
        let folder = folder.as_ref();
        keep_theirs(folder)?;
        let is_new = !folder.exists();
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let written = self.write_for_hub(folder);
        if written.is_err() && is_new {
            for name in HUB_FILES {
                let _ = std::fs::remove_file(folder.join(name));
            }
            let _ = std::fs::remove_dir(folder);
        }
        written
    }

    fn write_for_hub(&self, folder: &Path) -> Result<PathBuf> {
        self.save(folder.join(WEIGHTS_FILE))?;
        write_atomically(&folder.join(LOADER_FILE), LOADER.as_bytes())?;
        let readme = folder.join(README_FILE);
        write_atomically(&readme, signed(self.card.markdown()).as_bytes())?;
        Ok(readme)
    }
}

/// Refuses a folder in which an export would write over what somebody else wrote.
fn keep_theirs(folder: &Path) -> Result<()> {
    let there =
        |names: &[&'static str]| names.iter().copied().find(|name| folder.join(name).symlink_metadata().is_ok());
    let refused = |name: &str, why: &str| {
        let expected = format!("a new or empty folder, or an earlier export; {name} is in this one, {why}");
        Err(Error::setting("--out", expected, folder.display()))
    };
    if let Some(name) = there(&OF_A_RUN) {
        return refused(name, "as in a run's folder");
    }
    match std::fs::read(folder.join(README_FILE)) {
        Ok(text) if is_signed(&text) => Ok(()),
        Ok(_) => refused(README_FILE, "which no export wrote or somebody has changed"),
        Err(_) => there(&HUB_FILES).map_or(Ok(()), |name| refused(name, "without the card of an export")),
    }
}

/// Before and after a text's checksum.
const SIGNATURE: [&str; 2] = ["\n<!-- Written by `humerus export`, checksum ", " -->\n"];

/// A text that tells by its last line whether anybody has changed it.
fn signed(mut text: String) -> String {
    let [before, after] = SIGNATURE;
    let sum = xxh3_128(text.as_bytes());
    text.push_str(&format!("{before}{sum:032x}{after}"));
    text
}

fn is_signed(text: &[u8]) -> bool {
    let length: usize = SIGNATURE.map(str::len).iter().sum::<usize>() + 32;
    let before = text.len().checked_sub(length).and_then(|end| String::from_utf8(text[..end].to_vec()).ok());
    before.is_some_and(|before| signed(before).as_bytes() == text)
}

impl ModelCard {
    /// The card in Markdown with the hub's header: what the model is for, what it was trained on and how, how well it
    /// does, how to use it.
    ///
    /// Sections follow Mitchell et al., *Model Cards for Model Reporting* (arXiv:1810.03993). A licence is for the
    /// owner of the films to choose, so the header has none.
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
             *Abnormal* is the data set's label. In MURA it is wider than *fracture*: hardware, degenerative disease \
             and lesions count as well.\n\n## Facts\n\n| | |\n|---|---|\n",
            self.humerus, self.data.name, self.intended_use
        );
        for (name, value) in self.rows() {
            let _ = writeln!(text, "| {name} | {} |", value.replace('|', "\\|"));
        }
        text.push_str("\n## How well it does\n\n");
        match &self.held_out {
            Some(metrics) => {
                let leaks = self.data.leaks_in_words();
                let leaks =
                    leaks.map_or(String::new(), |leaks| format!(" Allowed leaks, each of which may flatter: {leaks}."));
                let _ = write!(
                    text,
                    "{} ({}){}; 95 % intervals over patients (blocks of neighbouring \
                     films where none is named). A study's probability is the mean of its views'.{leaks}\n\n\
                     | figure | value |\n|---|---|\n",
                    counted(metrics.studies, "held-out study"),
                    counted(metrics.views, "film"),
                    self.data.apart.map_or("", Apart::clause)
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
            "---\nlibrary_name: humerus\npipeline_tag: image-classification\n\
             tags:\n- radiology\n- x-ray\n- densenet\n- safetensors\n",
        );
        let figures =
            self.held_out.iter().flat_map(|metrics| [("roc_auc", metrics.auroc), ("accuracy", metrics.accuracy)]);
        let figures: Vec<(&str, f64)> = figures.filter_map(|(name, it)| Some((name, it.value?))).collect();
        if !figures.is_empty() {
            let (name, data) = (self.architecture.name(), serde_json::Value::from(self.data.name.as_str()));
            let _ = write!(
                text,
                "model-index:\n- name: {name}\n  results:\n  - task:\n      type: image-classification\n\
                 \x20   dataset:\n      name: {data}\n      type: {data}\n      split: valid\n    metrics:\n"
            );
            for (name, value) in figures {
                let _ = writeln!(text, "    - type: {name}\n      value: {value:.4}");
            }
        }
        text.push_str("---\n");
    }

    fn usage(&self, text: &mut String) {
        let _ = write!(
            text,
            "In Rust:\n\n```rust\nuse humerus::{{device::DeviceChoice, model::Model}};\n\n\
             let model = Model::open(\"{WEIGHTS_FILE}\", DeviceChoice::Auto)?;\n\
             println!(\"{{}}\", model.score(\"film.png\")?);\n```\n\n"
        );
        let _ = write!(
            text,
            "In Python, by torchvision alone, with the file `{LOADER_FILE}` beside this card, which decodes and \
             prepares films as humerus does:\n\n```python\nfrom load_in_python import Model\n\n\
             model = Model(\"{WEIGHTS_FILE}\")\n\
             print(model.probability(\"film.png\"))  # of abnormal; from {} on a film counts as abnormal\n```\n",
            self.operating_point.threshold
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::file::untrained;
    use crate::network::Head;

    #[test]
    fn the_card_in_markdown_has_the_hubs_header_and_says_what_it_is_not_for() {
        let text = untrained(Head::Linear { classes: 2 }, 96).card.markdown();
        assert!(text.starts_with("---\nlibrary_name: humerus\n"), "{text}");
        assert!(text.contains("not for clinical use") && text.contains("wider than *fracture*"), "{text}");
        assert!(text.contains("from load_in_python import Model") && text.contains("Not measured"), "{text}");
        assert_eq!(text.matches("```").count() % 2, 0);
    }

    #[test]
    fn an_export_replaces_only_what_an_export_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let model = untrained(Head::Linear { classes: 2 }, 64);
        let readme = model.save_for_hub(path("hub")).unwrap();
        assert_eq!(std::fs::read_dir(path("hub")).unwrap().count(), HUB_FILES.len());
        model.save_for_hub(path("hub")).unwrap();
        let text = std::fs::read_to_string(&readme).unwrap();
        assert!(is_signed(text.as_bytes()) && !is_signed(b"") && !is_signed(&text.as_bytes()[1..]));
        std::fs::write(&readme, format!("{text}by me\n")).unwrap();
        let refused = |name: &str, expected: &str| {
            let line = model.save_for_hub(path(name)).unwrap_err().to_string();
            assert!(line.contains(expected) && line.lines().count() == 1, "{line}");
        };
        refused("hub", "README.md is in this one, which no export wrote or somebody has changed");
        for (name, file, expected) in [
            ("mine", "README.md", "README.md is in this one"),
            ("run", "metrics.jsonl", "as in a run's folder"),
            ("other", "model.safetensors", "model.safetensors is in this one, without the card"),
        ] {
            std::fs::create_dir(path(name)).unwrap();
            std::fs::write(path(name).join(file), "mine").unwrap();
            refused(name, expected);
            assert_eq!(std::fs::read(path(name).join(file)).unwrap(), b"mine");
            assert_eq!(std::fs::read_dir(path(name)).unwrap().count(), 1);
        }
    }
}
