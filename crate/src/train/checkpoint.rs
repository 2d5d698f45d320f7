//! Everything an unfinished run needs to go on as if nothing had happened: `resume.safetensors`.
//!
//! Tensors: the network's as it stands, what the optimiser remembers, moving averages, the losses of the epoch so far. The rest
//! is JSON in the metadata: where the run stands, and a fingerprint of what it is a run of. Order and augmentation need no state,
//! since both are drawn from seed, epoch and film. The file is written beside the one before, synced and renamed, so that a
//! whole one is there at any instant.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::folder::RunFolder;
use super::optimizer::PaceState;
use super::recipe::Recipe;
use super::report::EpochReport;
use super::{FINISHED_FILE, MODEL_FILE, RESUME_FILE};
use crate::dataset::Index;
use crate::error::{Error, Result};
use crate::files::{self, sync_folder, write_atomically};
use crate::model::bytes;
use crate::score::Metrics;

const STATE_KEY: &str = "humerus-resume";
const FORMAT: u32 = 1;

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Standing {
    /// The epoch in progress, counted from 1; one more than the last where all are done.
    pub epoch: usize,
    /// Batches of it that are done; gradients of all of them are applied.
    pub batches: usize,
    /// The stage, counted from 0.
    pub stage: usize,
    /// Steps of the stage that are done.
    pub steps: usize,
    /// Steps that the optimiser has counted.
    pub counted: i32,
    /// The schedule's memory.
    pub pace: Option<PaceState>,
    /// Lowest tune loss of the stage.
    pub lowest_loss: Option<f64>,
    /// Epochs without a lower one.
    pub waited: usize,
    /// Whether the tune loss stopped falling.
    pub stopped_early: bool,
    /// Epochs that are over.
    pub history: Vec<EpochReport>,
    /// Position of the best one.
    pub best: Option<usize>,
    /// The best one's figures.
    pub tune: Option<Metrics>,
    /// Seconds of training so far.
    pub seconds: f64,
}

impl Standing {
    /// Before the first step.
    pub fn start() -> Standing {
        Standing {
            epoch: 1,
            batches: 0,
            stage: 0,
            steps: 0,
            counted: 0,
            pace: None,
            lowest_loss: None,
            waited: 0,
            stopped_early: false,
            history: Vec::new(),
            best: None,
            tune: None,
            seconds: 0.0,
        }
    }
}

/// What a run is a run of: only an equal one can continue it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Fingerprint {
    humerus: String,
    recipe: Recipe,
    /// Of splits, studies, labels, and the films' names and sizes.
    data: String,
    /// Of the initial weights' file.
    weights: Option<String>,
}

impl Fingerprint {
    pub fn new(index: &Index, recipe: &Recipe, weights: Option<&Path>) -> Result<Fingerprint> {
        let mut data = Xxh3::new();
        for study in &index.studies {
            data.update(format!("{}\0{}\0{}\0{}\n", study.id, study.group, study.split, study.label).as_bytes());
            for view in &study.views {
                let name = view.path.strip_prefix(&index.root).unwrap_or(&view.path);
                let size = std::fs::metadata(&view.path).map_err(Error::io(&view.path))?.len();
                data.update(name.as_os_str().as_encoded_bytes());
                data.update(&size.to_le_bytes());
            }
        }
        let of_file = |path: &Path| -> Result<String> {
            Ok(format!("{:032x}", xxh3_128(&std::fs::read(path).map_err(Error::io(path))?)))
        };
        Ok(Fingerprint {
            humerus: env!("CARGO_PKG_VERSION").to_owned(),
            recipe: recipe.clone(),
            data: format!("{:032x}", data.digest128()),
            weights: weights.map(of_file).transpose()?,
        })
    }

    /// Why a run of `other` cannot be continued as one of `self`, in words; `None` if it can.
    fn difference(&self, other: &Fingerprint) -> Option<String> {
        if self.humerus != other.humerus {
            return Some(format!("was begun by humerus {}, this is {}", other.humerus, self.humerus));
        }
        let differing = differing_fields(&self.recipe, &other.recipe);
        if !differing.is_empty() {
            return Some(format!("is of another recipe ({} differ)", differing.join(", ")));
        }
        if self.data != other.data {
            return Some("is of other data".to_owned());
        }
        (self.weights != other.weights).then(|| "began with other weights".to_owned())
    }
}

fn differing_fields(a: &Recipe, b: &Recipe) -> Vec<String> {
    let fields = |recipe: &Recipe| match serde_json::to_value(recipe) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (a, b) = (fields(a), fields(b));
    a.iter().filter(|(name, value)| b.get(*name) != Some(value)).map(|(name, _)| name.clone()).collect()
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    fingerprint: Fingerprint,
    standing: Standing,
}

/// An unfinished run, read back.
#[derive(Debug)]
pub(super) struct Saved {
    pub standing: Standing,
    tensors: HashMap<String, Tensor>,
}

impl Saved {
    /// A tensor by its name, on the CPU.
    pub fn tensor(&self, name: &str) -> Option<Tensor> {
        self.tensors.get(name).map(Tensor::shallow_clone)
    }
}

/// What an earlier run left in a folder.
#[derive(Debug)]
pub(super) enum Earlier {
    /// No run, or one that is over and is not this one.
    Nothing,
    /// This run, up to some step.
    Unfinished(Saved),
    /// This run, all of it.
    Finished(Standing),
    /// A run that cannot be continued, and why.
    Unusable(String),
}

/// A tensor whose bytes are fetched when they are written, one tensor at a time.
struct Lazy {
    tensor: Tensor,
    shape: Vec<usize>,
}

impl View for Lazy {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(bytes(&self.tensor).0)
    }

    fn data_len(&self) -> usize {
        self.tensor.numel() * 4
    }
}

/// Writes the file; until it is whole and on the disk, the one before stays in its place.
pub(super) fn write(
    folder: &RunFolder,
    fingerprint: &Fingerprint,
    standing: &Standing,
    tensors: Vec<(String, Tensor)>,
) -> Result<()> {
    let path = folder.file(RESUME_FILE);
    let header = header(fingerprint, standing)?;
    let views = tensors.into_iter().map(|(name, tensor)| {
        assert_eq!(tensor.kind(), Kind::Float, "{name}");
        let shape = tensor.size().iter().map(|&n| n as usize).collect();
        (name, Lazy { tensor, shape })
    });
    // What a killed process leaves of it, a later start removes.
    let unfinished = files::unfinished(folder.path()).map_err(Error::io(folder.path()))?;
    let written =
        safetensors::serialize_to_file(views, Some(HashMap::from([(STATE_KEY.to_owned(), header)])), unfinished.path());
    let io = |error: std::io::Error| Error::io(&path)(error);
    match written {
        Ok(()) => {}
        Err(safetensors::SafeTensorError::IoError(error)) => return Err(io(error)),
        Err(error) => return Err(Error::Checkpoint { path, reason: error.to_string() }),
    }
    unfinished.as_file().sync_all().map_err(io)?;
    files::persist(unfinished, &path)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Writes that a run is over, and removes what continuing it would need.
pub(super) fn finish(folder: &RunFolder, fingerprint: &Fingerprint, standing: &Standing) -> Result<()> {
    write_atomically(&folder.file(FINISHED_FILE), header(fingerprint, standing)?.as_bytes())?;
    folder.remove(RESUME_FILE)
}

fn header(fingerprint: &Fingerprint, standing: &Standing) -> Result<String> {
    let header = Header { format: FORMAT, fingerprint: fingerprint.clone(), standing: standing.clone() };
    serde_json::to_string(&header).map_err(|error| Error::Training(error.to_string()))
}

/// What an earlier run left in the folder for one of `fingerprint`.
pub(super) fn read(folder: &RunFolder, fingerprint: &Fingerprint) -> Earlier {
    match std::fs::read(folder.file(RESUME_FILE)) {
        Ok(file) => unfinished(folder, &file, fingerprint).map_or_else(Earlier::Unusable, Earlier::Unfinished),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            finished(folder, fingerprint).map_or(Earlier::Nothing, Earlier::Finished)
        }
        Err(error) => Earlier::Unusable(format!("{}: {error}", folder.file(RESUME_FILE).display())),
    }
}

fn finished(folder: &RunFolder, fingerprint: &Fingerprint) -> Option<Standing> {
    let text = std::fs::read(folder.file(FINISHED_FILE)).ok()?;
    let header: Header = serde_json::from_slice(&text).ok()?;
    let is_same = header.format == FORMAT && fingerprint.difference(&header.fingerprint).is_none();
    (is_same && folder.file(MODEL_FILE).exists()).then_some(header.standing)
}

fn unfinished(folder: &RunFolder, file: &[u8], fingerprint: &Fingerprint) -> std::result::Result<Saved, String> {
    let path = folder.file(RESUME_FILE);
    let wrong = |reason: &dyn std::fmt::Display| format!("{} cannot be read: {reason}", path.display());
    let (_, metadata) = SafeTensors::read_metadata(file).map_err(|error| wrong(&error))?;
    let header =
        metadata.metadata().as_ref().and_then(|m| m.get(STATE_KEY)).ok_or_else(|| wrong(&"it has no state"))?;
    let header: serde_json::Value = serde_json::from_str(header).map_err(|error| wrong(&error))?;
    // Another version's recipe may not even parse: so its version is looked at first.
    let humerus = header["fingerprint"]["humerus"].as_str().unwrap_or("an unknown version");
    if humerus != fingerprint.humerus {
        let ours = &fingerprint.humerus;
        return Err(format!("the run in {} was begun by humerus {humerus}, this is {ours}", path.display()));
    }
    let header: Header = serde_json::from_value(header).map_err(|error| wrong(&error))?;
    if header.format != FORMAT {
        return Err(wrong(&format!("format {FORMAT} was expected, got {}", header.format)));
    }
    if let Some(difference) = fingerprint.difference(&header.fingerprint) {
        return Err(format!("the unfinished run in {} {difference}", folder.path().display()));
    }
    let tensors = SafeTensors::deserialize(file).map_err(|error| wrong(&error))?;
    let mut found = HashMap::new();
    for (name, view) in tensors.tensors() {
        let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
        let tensor = Tensor::f_from_data_size(view.data(), &shape, Kind::Float).map_err(|error| wrong(&error))?;
        found.insert(name, tensor);
    }
    Ok(Saved { standing: header.standing, tensors: found })
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::train::StopHandle;

    fn fingerprint(recipe: Recipe) -> Fingerprint {
        Fingerprint { humerus: env!("CARGO_PKG_VERSION").to_owned(), recipe, data: "d".into(), weights: None }
    }

    #[test]
    fn numbers_and_tensors_come_back_to_the_last_bit() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = RunFolder::open(temporary.path(), &StopHandle::default(), &mut |_| ()).unwrap();
        let us = fingerprint(Recipe::default());
        let mut standing = Standing { epoch: 3, batches: 7, waited: 1, ..Standing::start() };
        let tensor = (Tensor::arange(1001, (Kind::Float, Device::Cpu)) * 0.3).exp();
        for n in 0..20 {
            standing.lowest_loss = Some((f64::from(n) * 0.7).sin().abs().powi(9));
            standing.seconds = 1.0 / f64::from(n + 3);
            write(&folder, &us, &standing, vec![("t".to_owned(), tensor.shallow_clone())]).unwrap();
            let Earlier::Unfinished(back) = read(&folder, &us) else { panic!() };
            assert_eq!(back.standing, standing);
            assert!(back.tensor("t").unwrap().equal(&tensor) && back.tensor("other").is_none());
        }
        let left: Vec<_> = std::fs::read_dir(temporary.path()).unwrap().collect();
        assert_eq!(left.len(), 2, "the file and the lock");
    }

    #[test]
    fn another_recipe_other_data_and_a_file_cut_short_are_told_apart() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = RunFolder::open(temporary.path(), &StopHandle::default(), &mut |_| ()).unwrap();
        let us = fingerprint(Recipe::default());
        assert!(matches!(read(&folder, &us), Earlier::Nothing));
        write(&folder, &us, &Standing::start(), Vec::new()).unwrap();
        let said = |other: &Fingerprint| match read(&folder, other) {
            Earlier::Unusable(reason) => reason,
            other => panic!("{other:?}"),
        };
        let recipe = Recipe { epochs: 99, seed: 5, ..Recipe::default() };
        assert!(said(&fingerprint(recipe)).contains("another recipe (epochs, seed differ)"));
        assert!(said(&Fingerprint { data: "e".into(), ..us.clone() }).contains("other data"));
        assert!(said(&Fingerprint { weights: Some("w".into()), ..us.clone() }).contains("other weights"));
        assert!(said(&Fingerprint { humerus: "0.0.0".into(), ..us.clone() }).contains("this is 0.0.0"));
        let path = folder.file(RESUME_FILE);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(said(&us).contains("cannot be read"));
    }

    #[test]
    fn a_finished_run_is_known_again_and_another_one_is_not_taken_for_it() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = RunFolder::open(temporary.path(), &StopHandle::default(), &mut |_| ()).unwrap();
        let us = fingerprint(Recipe::default());
        write(&folder, &us, &Standing::start(), Vec::new()).unwrap();
        finish(&folder, &us, &Standing { epoch: 13, ..Standing::start() }).unwrap();
        assert!(matches!(read(&folder, &us), Earlier::Nothing), "its model is gone");
        std::fs::write(folder.file(MODEL_FILE), "a model").unwrap();
        assert!(matches!(read(&folder, &us), Earlier::Finished(Standing { epoch: 13, .. })));
        let other = fingerprint(Recipe { seed: 5, ..Recipe::default() });
        assert!(matches!(read(&folder, &other), Earlier::Nothing));
    }
}
