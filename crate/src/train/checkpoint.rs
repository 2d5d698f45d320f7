//! Everything an unfinished run needs to go on as if nothing had happened: `resume.safetensors`.
//!
//! Tensors: the network's as it stands, what the optimiser remembers, moving averages, the losses of the epoch so far.
//! The rest is JSON in the metadata: where the run stands, and a fingerprint of what it is a run of. Order and
//! augmentation need no state, since both are drawn from seed, epoch and film. The file is written beside the one
//! before, synced and renamed, so that a whole one is there at any instant.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::fingerprint::{Comparison, Fingerprint, Unlike};
use super::folder::RunFolder;
use super::standing::Standing;
use super::{FINISHED_FILE, LAST_FILE, METRICS_FILE, MODEL_FILE, RESUME_FILE, TrainOptions};
use crate::error::{Error, Result};
use crate::files::{self, write_atomically};
use crate::network::bytes;
use crate::{disk, model};

const STATE_KEY: &str = "humerus-resume";
const FORMAT: u32 = 2;

/// What a run is a run of, and where it stands.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RunHeader {
    format: u32,
    pub fingerprint: Fingerprint,
    pub standing: Standing,
}

/// A run that can go on, read back.
#[derive(Debug)]
pub(super) struct Saved {
    /// What it is a run of; its epochs are those that it was to have.
    pub fingerprint: Fingerprint,
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
    /// Nothing.
    Nothing,
    /// A run that ended before its first checkpoint.
    Begun,
    /// This run, up to some step, or all of a shorter one.
    Unfinished(Box<Saved>),
    /// This run, all of it.
    Finished(Box<RunHeader>),
    /// A run that cannot be continued, and why.
    Unusable(Unlike),
}

/// Writes the file; until it is whole and on the disk, the one before stays in its place.
///
/// Through the open file, one tensor in memory at a time: `safetensors::serialize_to_file` makes a second file of its
/// own, which would be neither synced nor found again after a kill.
pub(super) fn write(
    folder: &RunFolder,
    fingerprint: &Fingerprint,
    standing: &Standing,
    tensors: Vec<(String, Tensor)>,
) -> Result<()> {
    let path = folder.file(RESUME_FILE);
    let header = header(fingerprint, standing)?;
    // What a killed process leaves of it, a later start removes.
    let unfinished = files::unfinished(folder.path()).map_err(Error::io(folder.path()))?;
    let io = |error: std::io::Error| Error::io(&path)(error);
    stream(unfinished.as_file(), tensors, header).and_then(|()| disk::sync(unfinished.as_file())).map_err(io)?;
    files::persist(unfinished, &path)?;
    Ok(disk::sync_folder(path.parent().unwrap_or(Path::new(".")))?)
}

/// A safetensors file: the header's length, the header in JSON, padded to 8 bytes, then every tensor's bytes, in order
/// of their names.
fn stream(file: &File, mut tensors: Vec<(String, Tensor)>, state: String) -> std::io::Result<()> {
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut end = 0;
    let described = tensors.iter().map(|(name, tensor)| {
        assert_eq!(tensor.kind(), Kind::Float, "{name}");
        let start = end;
        end += tensor.numel() * 4;
        let shape = tensor.size().iter().map(|&n| n as usize).collect();
        (name.clone(), TensorInfo { dtype: Dtype::F32, shape, data_offsets: (start, end) })
    });
    let state = HashMap::from([(STATE_KEY.to_owned(), state)]);
    let metadata = Metadata::new(Some(state), described.collect()).map_err(std::io::Error::other)?;
    let mut header = serde_json::to_vec(&metadata)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut out = BufWriter::new(file);
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    for (_, tensor) in &tensors {
        out.write_all(&bytes(tensor).0)?;
    }
    out.flush()
}

/// Writes that a run is over. What continuing it would need stays, in case it is given more epochs.
pub(super) fn finish(folder: &RunFolder, fingerprint: &Fingerprint, standing: &Standing) -> Result<()> {
    Ok(write_atomically(&folder.file(FINISHED_FILE), header(fingerprint, standing)?.as_bytes())?)
}

fn header(fingerprint: &Fingerprint, standing: &Standing) -> Result<String> {
    let header = RunHeader { format: FORMAT, fingerprint: fingerprint.clone(), standing: standing.clone() };
    serde_json::to_string(&header).map_err(|error| Error::Training(error.to_string()))
}

/// What an earlier run left in the folder for one of `fingerprint`, with device and precision as `options` leave them
/// open.
pub(super) fn read(folder: &RunFolder, fingerprint: &Fingerprint, options: &TrainOptions) -> Earlier {
    let found = |name: &str| match std::fs::read(folder.file(name)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Unlike::from(format!("{name} cannot be read: {error}"))),
    };
    let earlier = || -> Result<Earlier, Unlike> {
        if let Some(text) = found(FINISHED_FILE)? {
            let (header, comparison) = compared(FINISHED_FILE, &text, fingerprint, options)?;
            check_best(folder, &header.standing, true)?;
            // An early stop is no matter of how many epochs there may be.
            if comparison == Comparison::Same || header.standing.stopped_early {
                return Ok(Earlier::Finished(Box::new(header)));
            }
        }
        if let Some(file) = found(RESUME_FILE)? {
            return unfinished(folder, &file, fingerprint, options).map(|saved| Earlier::Unfinished(Box::new(saved)));
        }
        let there = |name: &&str| folder.file(name).exists();
        match [FINISHED_FILE, MODEL_FILE, LAST_FILE, METRICS_FILE].iter().find(|name| there(name)) {
            None => Ok(Earlier::Nothing),
            Some(&METRICS_FILE) => Ok(Earlier::Begun),
            Some(name) => Err(format!("{name} is there, but {RESUME_FILE} is not, which continuing needs").into()),
        }
    };
    earlier().unwrap_or_else(Earlier::Unusable)
}

/// A file's header, and how the run that it is of compares with `fingerprint`.
fn compared(
    name: &str,
    text: &[u8],
    fingerprint: &Fingerprint,
    options: &TrainOptions,
) -> Result<(RunHeader, Comparison), Unlike> {
    let wrong = |reason: &dyn std::fmt::Display| Unlike::from(format!("{name} cannot be read: {reason}"));
    let header: serde_json::Value = serde_json::from_slice(text).map_err(|error| wrong(&error))?;
    // What another version wrote may not even parse: so its version is looked at first.
    let humerus = header["fingerprint"]["humerus"].as_str().unwrap_or("an unknown version");
    if humerus != fingerprint.humerus {
        return Err(format!("it was begun by humerus {humerus}, this is {}", fingerprint.humerus).into());
    }
    if header["format"] != FORMAT {
        return Err(wrong(&format!("format {FORMAT} was expected, got {}", header["format"])));
    }
    let header: RunHeader = serde_json::from_value(header).map_err(|error| wrong(&error))?;
    match fingerprint.like(&header.fingerprint, options).compare(&header.fingerprint) {
        Comparison::Other(unlike) => Err(unlike),
        comparison => Ok((header, comparison)),
    }
}

fn unfinished(
    folder: &RunFolder,
    file: &[u8],
    fingerprint: &Fingerprint,
    options: &TrainOptions,
) -> Result<Saved, Unlike> {
    let wrong = |reason: &dyn std::fmt::Display| Unlike::from(format!("{RESUME_FILE} cannot be read: {reason}"));
    let (_, metadata) = SafeTensors::read_metadata(file).map_err(|error| wrong(&error))?;
    let header =
        metadata.metadata().as_ref().and_then(|m| m.get(STATE_KEY)).ok_or_else(|| wrong(&"it has no state"))?;
    let (RunHeader { fingerprint, standing, .. }, _) = compared(RESUME_FILE, header.as_bytes(), fingerprint, options)?;
    check_best(folder, &standing, false)?;
    let tensors = SafeTensors::deserialize(file).map_err(|error| wrong(&error))?;
    let mut found = HashMap::new();
    for (name, view) in tensors.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(wrong(&format!("{name} is of {:?}, F32 was expected", view.dtype())));
        }
        let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
        let tensor = Tensor::f_from_data_size(view.data(), &shape, Kind::Float).map_err(|error| wrong(&error))?;
        found.insert(name, tensor);
    }
    Ok(Saved { fingerprint, standing, tensors: found })
}

/// Checks that the best model's file is there and holds the best model, unless it is still to be written.
fn check_best(folder: &RunFolder, standing: &Standing, is_over: bool) -> Result<(), String> {
    let (Some(best), Some(expected)) = (standing.best, &standing.best_weights) else { return Ok(()) };
    let is_to_be_written = !is_over && standing.batches == 0 && best + 1 == standing.history.len();
    let path = folder.file(MODEL_FILE);
    if is_to_be_written && !path.exists() {
        return Ok(());
    }
    match model::file::sum_of_file(&path) {
        Ok(found) if found == *expected => Ok(()),
        Ok(found) if is_to_be_written && standing.former_weights.as_ref() == Some(&found) => Ok(()),
        Err(error) if !path.exists() => Err(format!("its best model, of epoch {}, is missing: {error}", best + 1)),
        _ => Err(format!("its best model, of epoch {}, was in {MODEL_FILE}, where another file is now", best + 1)),
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::device::Precision;
    use crate::network::Head;
    use crate::train::{Recipe, StopHandle};

    fn folder() -> (tempfile::TempDir, RunFolder) {
        let temporary = tempfile::tempdir().unwrap();
        let folder = RunFolder::open(temporary.path(), &StopHandle::default(), &mut |_| ()).unwrap();
        (temporary, folder)
    }

    fn read(folder: &RunFolder, fingerprint: &Fingerprint) -> Earlier {
        super::read(
            folder,
            fingerprint,
            &TrainOptions { precision: Precision::Fp32, ..TrainOptions::new(folder.path()) },
        )
    }

    fn refused(folder: &RunFolder, fingerprint: &Fingerprint) -> String {
        match read(folder, fingerprint) {
            Earlier::Unusable(unlike) => unlike.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn numbers_and_tensors_come_back_to_the_last_bit() {
        let (temporary, folder) = folder();
        let us = Fingerprint::of(Recipe::default());
        let mut standing = Standing { epoch: 3, batches: 7, waited: 1, ..Standing::start() };
        let tensor = (Tensor::arange(1001, (Kind::Float, Device::Cpu)) * 0.3).exp();
        for n in 0..20 {
            standing.lowest_loss = Some((f64::from(n) * 0.7).sin().abs().powi(9));
            standing.seconds = 1.0 / f64::from(n + 3);
            standing.scale = Some(([0.1; 3], [1.0 / (n + 3) as f32; 3]));
            write(&folder, &us, &standing, vec![("t".to_owned(), tensor.shallow_clone())]).unwrap();
            let Earlier::Unfinished(back) = read(&folder, &us) else { panic!() };
            assert_eq!((&back.standing, &back.fingerprint), (&standing, &us));
            assert!(back.tensor("t").unwrap().equal(&tensor) && back.tensor("other").is_none());
        }
        let left: Vec<_> = std::fs::read_dir(temporary.path()).unwrap().collect();
        assert_eq!(left.len(), 2, "the file and the lock");
    }

    #[test]
    fn the_file_that_is_written_is_the_one_that_is_synced_and_as_readable_as_any() {
        use std::os::unix::fs::MetadataExt;
        let (temporary, folder) = folder();
        let tensors = ["b", "a"].map(|name| (name.to_owned(), Tensor::ones([3], (Kind::Float, Device::Cpu))));
        let tensors = Vec::from(tensors);
        let unfinished = files::unfinished(temporary.path()).unwrap();
        let handed = unfinished.as_file().metadata().unwrap().ino();
        stream(unfinished.as_file(), tensors, "state".to_owned()).unwrap();
        assert_eq!(std::fs::metadata(unfinished.path()).unwrap().ino(), handed);
        let bytes = std::fs::read(unfinished.path()).unwrap();
        assert_eq!(SafeTensors::deserialize(&bytes).unwrap().len(), 2);

        let us = Fingerprint::of(Recipe::default());
        write(&folder, &us, &Standing::start(), Vec::new()).unwrap();
        std::fs::write(temporary.path().join("plain"), "").unwrap();
        let mode = |name: &str| std::fs::metadata(temporary.path().join(name)).unwrap().mode();
        assert_eq!(mode(RESUME_FILE), mode("plain"));
    }

    #[test]
    fn another_run_and_a_file_cut_short_are_told_apart() {
        let (_temporary, folder) = folder();
        let us = Fingerprint::of(Recipe::default());
        assert!(matches!(read(&folder, &us), Earlier::Nothing));
        std::fs::write(folder.file(METRICS_FILE), "").unwrap();
        assert!(matches!(read(&folder, &us), Earlier::Begun));
        write(&folder, &us, &Standing::start(), Vec::new()).unwrap();
        let other = Fingerprint::of(Recipe { seed: 5, ..Recipe::default() });
        assert!(refused(&folder, &other).contains("settings (seed: 0 when the run began, 5 now)"));
        let mut older = us.clone();
        older.humerus = "0.0.0".into();
        assert!(refused(&folder, &older).contains("this is 0.0.0"));
        let path = folder.file(RESUME_FILE);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(refused(&folder, &us).contains("cannot be read"));
        std::fs::remove_file(&path).unwrap();
        std::fs::write(folder.file(MODEL_FILE), "a model").unwrap();
        assert!(refused(&folder, &us).contains("resume.safetensors is not"));
    }

    #[test]
    fn a_finished_run_is_known_again_goes_on_with_more_epochs_and_is_not_taken_for_another() {
        let (_temporary, folder) = folder();
        let us = Fingerprint::of(Recipe::default());
        let over = Standing { epoch: 13, ..Standing::start() };
        write(&folder, &us, &over, Vec::new()).unwrap();
        finish(&folder, &us, &over).unwrap();
        assert!(matches!(read(&folder, &us), Earlier::Finished(header) if header.standing.epoch == 13));
        let longer = Fingerprint::of(Recipe { epochs: 20, ..Recipe::default() });
        assert!(matches!(read(&folder, &longer), Earlier::Unfinished(saved) if saved.fingerprint.recipe.epochs == 12));
        let shorter = Fingerprint::of(Recipe { epochs: 2, ..Recipe::default() });
        assert!(refused(&folder, &shorter).contains("settings (epochs: 12 when the run began, 2 now)"));
        finish(&folder, &us, &Standing { stopped_early: true, ..over }).unwrap();
        assert!(matches!(read(&folder, &longer), Earlier::Finished(_)), "it would have stopped all the same");
        folder.remove(RESUME_FILE).unwrap();
        finish(&folder, &us, &Standing { epoch: 13, ..Standing::start() }).unwrap();
        assert!(refused(&folder, &longer).contains("resume.safetensors is not"));
    }

    #[test]
    fn a_best_model_that_is_missing_or_not_the_runs_own_is_said() {
        let (_temporary, folder) = folder();
        let us = Fingerprint::of(Recipe::default());
        let model = crate::model::file::untrained(Head::Linear { classes: 2 }, 64);
        let sum = crate::model::file::sum(&model.classifier);
        let standing = Standing { epoch: 3, batches: 1, best: Some(0), best_weights: Some(sum), ..Standing::start() };
        write(&folder, &us, &standing, Vec::new()).unwrap();
        assert!(refused(&folder, &us).contains("its best model, of epoch 1, is missing"));
        model.save(folder.file(MODEL_FILE)).unwrap();
        assert!(matches!(read(&folder, &us), Earlier::Unfinished(_)));
        crate::model::file::untrained(Head::Reference { classes: 2 }, 64).save(folder.file(MODEL_FILE)).unwrap();
        assert!(refused(&folder, &us).contains("where another file is now"));
        // Between the checkpoint of an epoch and its model, the one before is in the file.
        let history = vec![crate::train::report::tests::epoch(1), crate::train::report::tests::epoch(2)];
        let former = crate::model::file::sum_of_file(&folder.file(MODEL_FILE)).unwrap();
        let between = Standing { batches: 0, best: Some(1), history, former_weights: Some(former), ..standing.clone() };
        write(&folder, &us, &between, Vec::new()).unwrap();
        assert!(matches!(read(&folder, &us), Earlier::Unfinished(_)));
        std::fs::write(folder.file(MODEL_FILE), "mine").unwrap();
        assert!(refused(&folder, &us).contains("where another file is now"));
        folder.remove(MODEL_FILE).unwrap();
        assert!(matches!(read(&folder, &us), Earlier::Unfinished(_)), "it is written anew");
    }
}
