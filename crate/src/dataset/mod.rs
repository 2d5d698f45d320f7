//! Which studies exist in a folder, what each file of it became, and how they are split.
//!
//! One file a layout: MURA (Rajpurkar et al., arXiv:1712.06957; phantoms use it too) and FracAtlas (Abedeen et al., Sci
//! Data 10, 521, 2023). The layout is recognised from the folder names. No file is dropped silently: each below the root
//! becomes a view, a known companion of the films (label lists, annotations, masks), or a [`Skipped`] with its reason.

pub mod cache;
mod coco;
pub mod films;
mod fracatlas;
mod mura;
mod parallel;
mod region;
mod skipped;
pub mod split;
mod summary;

use std::fmt;
use std::path::{Component, Path, PathBuf};

use serde::Serialize;
use walkdir::WalkDir;

pub use cache::{CacheFolder, Preparing};
pub use films::{Batch, Feed, Feeding, Films, epoch_order, prepare};
pub use region::fracture_mask;
pub use skipped::{SkipReason, Skipped};
pub use summary::{SplitSummary, Summary};

use crate::preprocess;
use crate::study::{Split, Study};
use crate::{Error, Result};

/// How a folder of films is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `{train,valid}/XR_<PART>/patientNNNNN/studyK_{positive,negative}/imageJ.png`, with the official split. Phantoms
    /// add their masks in `truth/`, at the same relative path.
    Mura,
    /// `images/{Fractured,Non_fractured}/IMGnnnnnnn.jpg`; no patients, no official split.
    FracAtlas,
}

impl Layout {
    /// The layout's name as its authors write it.
    pub fn name(self) -> &'static str {
        match self {
            Layout::Mura => "MURA",
            Layout::FracAtlas => "FracAtlas",
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a folder holds: every film in its study, and every file that could not be one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Index {
    /// The folder that was indexed.
    pub root: PathBuf,
    /// How it is laid out.
    pub layout: Layout,
    /// The studies, ordered by path; at least one, each with at least one view.
    pub studies: Vec<Study>,
    /// The files that are no view, with the reason, ordered by path.
    pub skipped: Vec<Skipped>,
    /// The files that belong to the layout without being films: label lists, annotations, masks. Ordered by path.
    pub companions: Vec<PathBuf>,
}

impl Index {
    /// The studies of one split, in order.
    pub fn split(&self, split: Split) -> Vec<&Study> {
        self.studies.iter().filter(|study| study.split == split).collect()
    }

    /// Counts by split, and what was skipped.
    pub fn summary(&self) -> Summary {
        Summary::of(self)
    }
}

/// What a layout makes of a file, from its path alone.
enum Place {
    /// A film, if its bytes are a picture.
    Film,
    /// A file that belongs to the layout without being a film.
    Companion,
    /// Not part of the layout, for this reason.
    Outside(SkipReason),
}

/// A file below the root.
struct Entry {
    /// As walked: begins with the root as it was given.
    path: PathBuf,
    /// The same, absolute, so that folders above the root can say split and part.
    absolute: PathBuf,
}

/// Indexes a folder of films. Reads every file once to check that it is a whole PNG or JPEG; decodes none.
///
/// `root` may be the folder that holds `train` and `valid` (or `images`), its parent, or any folder below, such as one
/// split or one part. Links are followed.
///
/// # Errors
/// [`Error::Io`] if `root` does not exist, [`Error::NoFilms`] if it holds no film of a known layout, [`Error::Layout`] if
/// it holds films of two. Damaged and foreign files are no errors: see [`Index::skipped`].
pub fn index(root: impl AsRef<Path>) -> Result<Index> {
    let root = root.as_ref();
    if !std::fs::metadata(root).map_err(Error::io(root))?.is_dir() {
        return Err(Error::NoFilms {
            root: root.to_owned(),
            reason: "this is a file, expected the folder of a data set".to_owned(),
        });
    }
    let base = absolute(root)?;
    let (entries, mut skipped) = walk(root, &base);
    let layout = recognise(root, &entries, &skipped)?;

    let mut companions = Vec::new();
    let mut candidates = Vec::new();
    for entry in entries {
        let place = match layout {
            Layout::Mura => mura::place(root, &entry),
            Layout::FracAtlas => fracatlas::place(root, &entry),
        };
        match place {
            Place::Companion => companions.push(entry.path),
            place => candidates.push((entry, place)),
        }
    }
    let flaws = parallel::map(&candidates, |(entry, _)| check(&entry.path));
    let mut films = Vec::new();
    for ((entry, place), flaw) in candidates.into_iter().zip(flaws) {
        match (place, flaw) {
            (Place::Film, None) => films.push(entry),
            (Place::Outside(reason), None) => skipped.push(Skipped::new(entry.path, reason)),
            (_, Some(flaw)) => skipped.push(Skipped::new(entry.path, flaw)),
            (Place::Companion, None) => companions.push(entry.path),
        }
    }
    let studies = match layout {
        Layout::Mura => mura::studies(films),
        Layout::FracAtlas => fracatlas::studies(films, &mut skipped),
    };
    if studies.is_empty() {
        return Err(no_films(root, &skipped, companions.len()));
    }
    for annotation in skipped.iter_mut().filter(|it| matches!(it.reason, SkipReason::Annotations(_))) {
        if let Ok(below) = annotation.path.strip_prefix(&base) {
            annotation.path = root.join(below);
        }
        companions.retain(|path| *path != annotation.path);
    }
    skipped.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Index { root: root.to_owned(), layout, studies, skipped, companions })
}

/// The films of a folder that is laid out like no data set, ordered by path, and the files that are none.
///
/// # Errors
/// [`Error::Io`] if the folder does not exist, [`Error::NoFilms`] if it holds no whole picture.
pub fn loose_films(root: impl AsRef<Path>) -> Result<(Vec<PathBuf>, Vec<Skipped>)> {
    let root = root.as_ref();
    let (entries, mut skipped) = walk(root, &absolute(root)?);
    let flaws = parallel::map(&entries, |entry| check(&entry.path));
    let mut films = Vec::new();
    for (entry, flaw) in entries.into_iter().zip(flaws) {
        match flaw {
            None => films.push(entry.path),
            Some(flaw) => skipped.push(Skipped::new(entry.path, flaw)),
        }
    }
    if films.is_empty() {
        return Err(no_films(root, &skipped, 0));
    }
    Ok((films, skipped))
}

/// The root with the names of all folders above it, as the reader wrote them: a link keeps its name.
fn absolute(root: &Path) -> Result<PathBuf> {
    if root.components().any(|part| part == Component::ParentDir) {
        root.canonicalize().map_err(Error::io(root))
    } else {
        std::path::absolute(root).map_err(Error::io(root))
    }
}

/// Every file below `root` in the order of paths; hidden ones and what cannot be listed are skipped at once.
fn walk(root: &Path, base: &Path) -> (Vec<Entry>, Vec<Skipped>) {
    let mut entries = Vec::new();
    let mut skipped = Vec::new();
    for entry in WalkDir::new(root).follow_links(true).sort_by_file_name() {
        let entry = match entry {
            Ok(entry) if entry.file_type().is_dir() => continue,
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().unwrap_or(root).to_owned();
                skipped.push(Skipped::new(path, SkipReason::Unreadable(error.to_string())));
                continue;
            }
        };
        let path = entry.into_path();
        let below = path.strip_prefix(root).unwrap_or(&path);
        let name = below.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("._") {
            skipped.push(Skipped::new(path, SkipReason::ResourceFork));
        } else if below.iter().any(|part| part.to_string_lossy().starts_with('.')) {
            skipped.push(Skipped::new(path, SkipReason::Hidden));
        } else {
            let absolute = base.join(below);
            entries.push(Entry { path, absolute });
        }
    }
    (entries, skipped)
}

/// The layout whose films are there.
fn recognise(root: &Path, entries: &[Entry], skipped: &[Skipped]) -> Result<Layout> {
    let count = |place: fn(&Path, &Entry) -> Place| {
        entries.iter().filter(|entry| matches!(place(root, entry), Place::Film)).count()
    };
    match (count(mura::place), count(fracatlas::place)) {
        (0, 0) => {
            let flaws = parallel::map(entries, |entry| check(&entry.path));
            let mut met = skipped.to_vec();
            met.extend(
                entries
                    .iter()
                    .zip(flaws)
                    .map(|(entry, flaw)| Skipped::new(entry.path.clone(), flaw.unwrap_or(SkipReason::OutsideLayout))),
            );
            Err(no_films(root, &met, 0))
        }
        (_, 0) => Ok(Layout::Mura),
        (0, _) => Ok(Layout::FracAtlas),
        (mura, fracatlas) => Err(Error::Layout {
            root: root.to_owned(),
            reason: format!(
                "{mura} files lie as in MURA and {fracatlas} as in FracAtlas: name the folder of one of them"
            ),
        }),
    }
}

/// Why the file is not a whole picture, if it is none.
fn check(path: &Path) -> Option<SkipReason> {
    match preprocess::read(path) {
        Ok(bytes) => preprocess::inspect(&bytes).err().map(SkipReason::Picture),
        Err(error) => Some(SkipReason::Unreadable(error.to_string())),
    }
}

fn no_films(root: &Path, skipped: &[Skipped], companions: usize) -> Error {
    let mut met = match skipped.len() {
        0 => "the folder is empty".to_owned(),
        n => format!("met {} ({})", summary::files(n), summary::reasons(skipped)),
    };
    if companions > 0 {
        met = format!("{met} and {} that are no films", summary::files(companions));
    }
    Error::NoFilms {
        root: root.to_owned(),
        reason: format!("looked for MURA ({}) and FracAtlas ({}); {met}", mura::PATTERN, fracatlas::PATTERN),
    }
}

#[cfg(test)]
mod tests;
