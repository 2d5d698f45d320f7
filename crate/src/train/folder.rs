//! A run's folder: one process at a time, nothing of an earlier run overwritten.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::report::Event;
use super::stop::StopHandle;
use super::{CSV_FILE, FINISHED_FILE, LAST_FILE, METRICS_FILE, MODEL_FILE, RESUME_FILE, TENSORBOARD_FOLDER};
use crate::dataset::Index;
use crate::disk::{self, Lock};
use crate::error::{Error, Result};
use crate::files;

/// How long to wait for another run in the same folder that is about to stop.
const PATIENCE: Duration = Duration::from_secs(20);
const LOCK_FILE: &str = ".lock";
/// What a run writes in its folder, beside the files of single epochs.
pub const FILES: [&str; 7] =
    [MODEL_FILE, LAST_FILE, RESUME_FILE, FINISHED_FILE, METRICS_FILE, CSV_FILE, TENSORBOARD_FOLDER];

/// A run's folder, held until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(super) struct RunFolder {
    path: PathBuf,
    _held: File,
}

impl RunFolder {
    /// Makes the folder if it is not there, takes it, and removes files that a killed process was in the middle of
    /// writing.
    pub fn open(path: &Path, stop: &StopHandle, progress: &mut dyn FnMut(Event)) -> Result<RunFolder> {
        std::fs::create_dir_all(path).map_err(Error::io(path))?;
        let lock = path.join(LOCK_FILE);
        let held = File::options().create(true).write(true).truncate(false).open(&lock).map_err(Error::io(&lock))?;
        let mut said = false;
        let mut notes = Vec::new();
        let found = disk::lock(&held, |waited| {
            let waits = waited <= PATIENCE && !stop.is_stopped();
            if waits && !std::mem::replace(&mut said, true) {
                progress(Event::Waiting { run: path.to_owned() });
            }
            waits
        });
        match found.map_err(Error::io(&lock))? {
            Lock::Held => {}
            Lock::Unknown => {
                let what = "its file system knows no locks; nothing keeps a second run out of this folder";
                notes.push(format!("{}: {what}", path.display()));
            }
            Lock::Busy => return Err(Error::Training(format!("another run is at work in {}", path.display()))),
        }
        notes.extend(disk::shortcomings(path));
        if !notes.is_empty() {
            progress(Event::Notice(notes.join("; ")));
        }
        for name in names(path)?.iter().filter(|name| files::is_unfinished(name)) {
            // What cannot be removed is only in the way.
            let _ = std::fs::remove_file(path.join(name));
        }
        Ok(RunFolder { path: path.to_owned(), _held: held })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Moves what an earlier run left into the next free `previous-N`.
    pub fn set_earlier_run_aside(&self) -> Result<()> {
        let names = names(&self.path)?;
        let worth = [MODEL_FILE, LAST_FILE, RESUME_FILE, FINISHED_FILE, TENSORBOARD_FOLDER];
        if !names.iter().any(|name| worth.contains(&name.as_str())) {
            return Ok(());
        }
        let free = (1..).map(|number| self.file(&format!("previous-{number}"))).find(|folder| !folder.exists());
        let aside = free.unwrap_or_else(|| self.file("previous"));
        std::fs::create_dir(&aside).map_err(Error::io(&aside))?;
        for name in names.iter().filter(|name| FILES.contains(&name.as_str()) || kept_epoch(name).is_some()) {
            let file = self.file(name);
            std::fs::rename(&file, aside.join(name)).map_err(Error::io(&file))?;
        }
        Ok(())
    }

    /// Removes the files of all epochs but these.
    pub fn keep_epochs(&self, epochs: &[usize]) -> Result<()> {
        for name in names(&self.path)? {
            if kept_epoch(&name).is_some_and(|epoch| !epochs.contains(&epoch)) {
                let file = self.file(&name);
                std::fs::remove_file(&file).map_err(Error::io(&file))?;
            }
        }
        Ok(())
    }

    /// Removes a file, if it is there.
    pub fn remove(&self, name: &str) -> Result<()> {
        let file = self.file(name);
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(&file)(error)),
            _ => Ok(()),
        }
    }
}

/// Refuses a run's folder that is a data set or a part of one with films, or in which a film or table has the name of
/// something that a run writes or moves, so that it would be written over or moved away: a manifest called
/// `metrics.csv`, by whatever path. A new folder in a data set and one around it are nobody's harm.
///
/// # Errors
/// [`Error::Setting`] naming the folder and what is in it.
pub fn refuse_films_in(run: &Path, index: &Index) -> Result<()> {
    let Ok(folder) = run.canonicalize() else { return Ok(()) };
    let films = index.studies.iter().flat_map(|study| study.views.iter().map(|view| view.path.as_path()));
    let read = || index.companions.iter().map(PathBuf::as_path).chain(films.clone());
    // By the folders, of which there are fewer than films.
    let mut homes: BTreeMap<&Path, &Path> = BTreeMap::new();
    for file in read() {
        homes.entry(files::folder_of(file)).or_insert(file);
    }
    let is_ours = |name: &str| FILES.contains(&name) || kept_epoch(name).is_some();
    let is_in_set = index.root.is_dir() && index.root.canonicalize().is_ok_and(|root| folder.starts_with(root));
    for (home, file) in homes {
        let Ok(home) = home.canonicalize() else { continue };
        let Ok(below) = home.strip_prefix(&folder) else { continue };
        let top = below.iter().next().and_then(|name| name.to_str());
        if is_in_set || top.is_some_and(is_ours) {
            let held = format!("{}, which holds {}", run.display(), file.display());
            return Err(Error::setting("--out", "a folder without the films that are read", held));
        }
    }
    let there = names(run).unwrap_or_default().into_iter().filter(|name| is_ours(name));
    let ours: Vec<_> = there.filter_map(|name| Some((files::identity(&run.join(&name))?, run.join(name)))).collect();
    if ours.is_empty() {
        return Ok(());
    }
    for file in read() {
        let Some(identity) = files::identity(file) else { continue };
        if let Some((_, written)) = ours.iter().find(|(written, _)| *written == identity) {
            return Err(files::over(written, file));
        }
    }
    Ok(())
}

/// Where a file of this run's folder is that is no longer there: in the latest `previous-N`, if it was set aside;
/// `None` if it was not, or lay elsewhere.
pub(super) fn set_aside(run: &Path, file: &Path) -> Option<PathBuf> {
    let folder = files::folder_of(file);
    if file.exists() || folder.canonicalize().ok()? != run.canonicalize().ok()? {
        return None;
    }
    let numbers = names(run).ok()?.into_iter().filter_map(|name| name.strip_prefix("previous-")?.parse::<u32>().ok());
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    let name = file.file_name()?;
    numbers.into_iter().rev().map(|n| run.join(format!("previous-{n}")).join(name)).find(|path| path.exists())
}

/// Whether a run in this folder can be continued, or is at work right now: then
/// [`TrainOptions::resume`](super::TrainOptions) takes it up where it is.
pub fn is_unfinished(run: &Path) -> bool {
    let at_work = |lock: File| matches!(disk::try_lock(&lock), Ok(Lock::Busy));
    let is_left = run.join(RESUME_FILE).exists() && !run.join(FINISHED_FILE).exists();
    is_left || File::open(run.join(LOCK_FILE)).is_ok_and(at_work)
}

/// Name of an epoch's own file.
pub(super) fn epoch_file(epoch: usize) -> String {
    format!("epoch-{epoch}.safetensors")
}

fn kept_epoch(name: &str) -> Option<usize> {
    name.strip_prefix("epoch-")?.strip_suffix(".safetensors")?.parse().ok()
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?;
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(Error::io(folder))?.file_name().into_string());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> RunFolder {
        RunFolder::open(path, &StopHandle::default(), &mut |_| ()).unwrap()
    }

    #[test]
    fn an_earlier_run_is_set_aside_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let run = open(folder.path());
        for round in 1..=2 {
            for name in [MODEL_FILE, RESUME_FILE, METRICS_FILE, &epoch_file(7)] {
                std::fs::write(run.file(name), format!("{name} {round}")).unwrap();
            }
            std::fs::write(run.file("notes.txt"), "mine").unwrap();
            run.set_earlier_run_aside().unwrap();
            assert!(!run.file(MODEL_FILE).exists() && !run.file(RESUME_FILE).exists());
        }
        run.set_earlier_run_aside().unwrap();
        for round in 1..=2 {
            for name in [MODEL_FILE, RESUME_FILE, METRICS_FILE, &epoch_file(7)] {
                let kept = std::fs::read_to_string(run.file(&format!("previous-{round}")).join(name));
                assert_eq!(kept.unwrap(), format!("{name} {round}"));
            }
        }
        assert!(run.file("notes.txt").exists() && !run.file("previous-3").exists());
    }

    #[test]
    fn only_the_epochs_asked_for_keep_their_files_and_unfinished_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".humerus-AbC123.part"), "half").unwrap();
        let theirs = [".tmp-my-notes.txt", ".tmpAbC123", ".humerus-my-notes.part"];
        theirs.iter().for_each(|name| std::fs::write(folder.path().join(name), "mine").unwrap());
        assert!(!is_unfinished(folder.path()) && set_aside(folder.path(), &folder.path().join("x")).is_none());
        let run = open(folder.path());
        assert!(is_unfinished(folder.path()), "it is at work");
        assert!(!run.file(".humerus-AbC123.part").exists());
        theirs.iter().for_each(|name| assert!(run.file(name).exists(), "{name} is not ours"));
        for epoch in [1, 2, 13] {
            std::fs::write(run.file(&epoch_file(epoch)), "").unwrap();
        }
        run.keep_epochs(&[2]).unwrap();
        assert_eq!([1, 2, 13].map(|epoch| run.file(&epoch_file(epoch)).exists()), [false, true, false]);
    }

    #[test]
    fn a_folder_that_holds_what_is_read_is_refused_and_one_beside_or_around_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let set = |root: &str, below: &str| {
            for n in 0..8 {
                let film = path(&format!("{root}/{below}/{}/{n}.png", ["normal", "abnormal"][n % 2]));
                std::fs::create_dir_all(film.parent().unwrap()).unwrap();
                image::GrayImage::new(16 + n as u32, 16).save(film).unwrap();
            }
            crate::dataset::index(path(root)).unwrap()
        };
        let films = set("films", "train");
        std::fs::create_dir_all(path("films/run")).unwrap();
        for run in ["films", "films/../films", "films/train", "films/train/normal"] {
            let line = refuse_films_in(&path(run), &films).unwrap_err().to_string();
            assert!(line.starts_with("--out: expected a folder without the films that are read, got "), "{line}");
            assert!(line.contains(&format!("{run}, which holds ")) && line.ends_with(".png"), "{line}");
        }
        for run in ["films/run", "films/new", "new", ""] {
            refuse_films_in(&path(run), &films).unwrap();
        }
        // Around them, where they would be moved away with what an earlier run left.
        for name in ["tensorboard", "epoch-3.safetensors"] {
            let films = set(&format!("run/{name}/films"), "");
            let line = refuse_films_in(&path("run"), &films).unwrap_err().to_string();
            assert!(line.contains("run, which holds "), "{line}");
            refuse_films_in(&path("new"), &films).unwrap();
        }
        // A table with a name of ours, and one without.
        for (name, is_refused) in [("labels.csv", false), ("metrics.csv", true)] {
            let table = path("table").join(name);
            std::fs::create_dir_all(path("table")).unwrap();
            std::fs::write(&table, "path,label\n../films/train/normal/0.png,0\n../films/train/abnormal/1.png,1\n")
                .unwrap();
            let by_table = crate::dataset::index(&table).unwrap();
            for run in ["table", "table/../table"] {
                let said = refuse_films_in(&path(run), &by_table).map_err(|error| error.to_string());
                assert_eq!(
                    said.as_ref().is_err_and(|line| line.contains("other than those that are read")),
                    is_refused
                );
                assert_eq!(said.is_err(), is_refused, "{said:?}");
            }
        }
    }

    #[test]
    fn a_second_run_waits_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path());
        let path = folder.path().to_owned();
        let (told, hear) = std::sync::mpsc::channel();
        let second = std::thread::spawn(move || {
            let mut waited = false;
            let folder = RunFolder::open(&path, &StopHandle::default(), &mut |_| {
                waited = true;
                told.send(()).unwrap();
            });
            folder.map(|_| waited).unwrap()
        });
        hear.recv().unwrap();
        drop(first);
        assert!(second.join().unwrap(), "it said that it waits");
    }
}
