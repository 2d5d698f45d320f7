//! Decoded films on disk, so that no film is decoded twice.
//!
//! **Key.** A film is found by the content of its file (XXH3, 128 bits) and by everything that decides its pixels: the
//! preprocessing but for mean and deviation, and the version of this crate's pixels. So films keep their place when
//! files are renamed, linked, or dealt to other splits and folds, and a film that changes is decoded again.
//!
//! **Files.** A folder for each preprocessing holds files of up to 512 MiB of films, read at their offsets. A file
//! appears by a rename when it is complete. One process at a time adds films to a folder; others wait for it and then
//! find them.
//!
//! **What is verified when.** Opening verifies each file's length, header and table by checksum, and removes a file
//! that fails. Each film is verified by its own checksum *every time it is read*; one that fails is decoded anew and
//! put back, also where a file was shortened while it was in use. A source file is taken to be unchanged while path,
//! size and time of change (in nanoseconds) are; any other is read and hashed again at the start.
//!
//! **Bounds.** After films were added, the files that were not used for longest are removed until all are below the
//! limit. Where the folder cannot be written, or the disk is full, films are kept in memory instead, and the reader is
//! told once.

mod identity;
mod pack;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use etcetera::BaseStrategy;
use image::GrayImage;
use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_128;

use crate::counted;
use crate::preprocess::{Preprocess, decode, read};
use crate::{Error, Result, disk};
use pack::{EXTENSION, Pack, PackRecipe, UNFINISHED, Writer};
use studies::View;

/// Version of the pixels: raised whenever decoding or fitting changes any of them.
const PIXELS: u32 = 2;
/// Version of the files' layout.
const FORMAT: u32 = 1;
/// Bytes of films in one file, about.
const FILE: u64 = 512 << 20;

/// Where decoded films are kept between runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CacheFolder {
    /// `$HUMERUS_CACHE/films`, else `humerus/films` in the user's cache folder.
    #[default]
    PerUser,
    /// This folder; made if it is not there.
    At(PathBuf),
    /// Nowhere: films are decoded in each run.
    Nowhere,
}

impl CacheFolder {
    /// The folder, if there is to be one.
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            CacheFolder::Nowhere => None,
            CacheFolder::At(folder) => Some(folder.clone()),
            CacheFolder::PerUser => match std::env::var_os("HUMERUS_CACHE").filter(|folder| !folder.is_empty()) {
                Some(folder) => Some(PathBuf::from(folder).join("films")),
                None => Some(etcetera::choose_base_strategy().ok()?.cache_dir().join("humerus").join("films")),
            },
        }
    }
}

/// The content key of the file of each view, in order. Costs a look at each file's time and size where the cache
/// remembers it; others are read.
///
/// # Errors
/// [`Error::Io`] that names the first file that cannot be read.
pub(crate) fn contents(cache: &CacheFolder, views: &[&View]) -> Result<Vec<u128>> {
    identity::of_views(cache.path().as_deref(), views)
}

/// What preparing films tells while it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preparing {
    /// Films are being decoded.
    Decoded {
        /// Films done.
        done: usize,
        /// Films to decode; those that were decoded in an earlier run do not count.
        of: usize,
    },
    /// Another process adds films to the same folder, and is waited for.
    Waiting,
    /// The cache cannot be used; says why and what is done instead.
    Notice(String),
}

impl fmt::Display for Preparing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Preparing::Decoded { done, of } => write!(f, "decoded {done} of {}", counted(*of, "film")),
            Preparing::Waiting => f.write_str("waiting for another process that decodes films"),
            Preparing::Notice(text) => write!(f, "note: {text}"),
        }
    }
}

/// Why films could not be cached.
#[derive(Debug)]
pub(super) enum CacheFailure {
    /// A film is to blame: nothing else will help.
    Film(Error),
    /// The folder is to blame: films can still be decoded.
    Folder(std::io::Error),
}

impl From<std::io::Error> for CacheFailure {
    fn from(error: std::io::Error) -> CacheFailure {
        CacheFailure::Folder(error)
    }
}

/// A film's place in a [`FilmStore`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pack: u32,
    at: u32,
}

/// A film and where it came from, to decode it again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cached {
    slot: Slot,
    content: u128,
}

/// The opened files of one preprocessing.
#[derive(Debug)]
pub(super) struct FilmStore {
    packs: Vec<Pack>,
}

/// Bytes of a film.
fn film_bytes(preprocess: &Preprocess) -> usize {
    preprocess.size as usize * preprocess.size as usize
}

fn recipe(preprocess: &Preprocess) -> PackRecipe {
    // Whatever else is in it, or will be, decides pixels.
    let pixels = Preprocess { mean: [0.0; 3], std: [1.0; 3], ..preprocess.clone() };
    let text = serde_json::to_string(&pixels).unwrap_or_else(|_| format!("{pixels:?}"));
    PackRecipe { key: xxh3_128(format!("pixels {PIXELS} {text}").as_bytes()), film: film_bytes(preprocess) }
}

/// Films decoded and fitted at a time: enough to keep all cores busy, at most 32 MiB of them.
pub(super) fn chunk(preprocess: &Preprocess) -> usize {
    let cores = rayon::current_num_threads();
    ((32 << 20) / film_bytes(preprocess)).clamp(2 * cores, 256)
}

/// Finds every film in the cache below `root`, after adding those that are missing.
pub(super) fn open(
    root: &Path,
    limit: u64,
    paths: &[&Path],
    preprocess: &Preprocess,
    progress: &mut dyn FnMut(Preparing),
) -> Result<(FilmStore, Vec<Cached>), CacheFailure> {
    std::fs::create_dir_all(root)?;
    let contents = identity::contents(root, paths).map_err(CacheFailure::Film)?;
    let recipe = recipe(preprocess);
    let folder = root.join(format!("v{FORMAT}-{}-{:016x}", preprocess.size, recipe.key as u64));
    std::fs::create_dir_all(&folder)?;
    let mut packs = open_packs(&folder, recipe, Vec::new())?;
    let mut slots = slots(&packs);
    let mut added = false;
    if contents.iter().any(|content| !slots.contains_key(content)) {
        let _held = lock(&folder.join(".lock"), &mut || progress(Preparing::Waiting))?;
        remove_unfinished(&folder);
        packs = open_packs(&folder, recipe, packs)?;
        slots = self::slots(&packs);
        let mut seen = HashSet::new();
        let missing: Vec<(u128, &Path)> = contents
            .iter()
            .zip(paths)
            .filter(|(content, _)| !slots.contains_key(content) && seen.insert(**content))
            .map(|(content, path)| (*content, *path))
            .collect();
        if !missing.is_empty() {
            let mut made = Vec::new();
            let built = build(&folder, recipe, &missing, preprocess, &mut made, progress);
            if matches!(built, Err(CacheFailure::Folder(_))) {
                // A full disk is given back what we took of it.
                made.iter().for_each(|path| drop(std::fs::remove_file(path)));
            }
            built?;
            packs = open_packs(&folder, recipe, packs)?;
            slots = self::slots(&packs);
            added = true;
        }
    }
    let found: Option<Vec<Cached>> = contents
        .iter()
        .map(|content| slots.get(content).map(|slot| Cached { slot: *slot, content: *content }))
        .collect();
    let cached = found.ok_or_else(|| std::io::Error::other("films that were just written are gone"))?;
    let used: HashSet<u32> = cached.iter().map(|film| film.slot.pack).collect();
    used.iter().try_for_each(|pack| packs[*pack as usize].hold())?;
    let in_use: HashSet<PathBuf> = used.iter().map(|pack| packs[*pack as usize].path.clone()).collect();
    in_use.iter().for_each(|path| mark_used(path));
    if added {
        remove_unused(root, limit, &in_use);
    }
    Ok((FilmStore { packs }, cached))
}

/// Opens the files of a folder that are not open yet, in the order of their names; removes those that are damaged.
fn open_packs(folder: &Path, recipe: PackRecipe, open: Vec<Pack>) -> std::io::Result<Vec<Pack>> {
    let mut packs = open;
    let mut names: Vec<PathBuf> = std::fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == EXTENSION))
        .filter(|path| !packs.iter().any(|pack| pack.path == *path))
        .collect();
    names.sort();
    for path in names {
        match Pack::open(&path, recipe) {
            Ok(Some(pack)) => packs.push(pack),
            Ok(None) => drop(std::fs::remove_file(&path)),
            // Another process may have removed it just now.
            Err(_) => {}
        }
    }
    Ok(packs)
}

fn slots(packs: &[Pack]) -> HashMap<u128, Slot> {
    let slot = |pack: usize, at: usize| Slot { pack: pack as u32, at: at as u32 };
    let keys = |(number, pack): (usize, &Pack)| -> Vec<(u128, Slot)> {
        pack.keys().enumerate().map(|(at, key)| (key, slot(number, at))).collect()
    };
    packs.iter().enumerate().flat_map(keys).collect()
}

/// Decodes `missing` films on all cores and writes them into new files, whose paths go to `made`.
fn build(
    folder: &Path,
    recipe: PackRecipe,
    missing: &[(u128, &Path)],
    preprocess: &Preprocess,
    made: &mut Vec<PathBuf>,
    progress: &mut dyn FnMut(Preparing),
) -> Result<(), CacheFailure> {
    let (mut done, of) = (0, missing.len());
    progress(Preparing::Decoded { done, of });
    let mut writer = Writer::new(folder, recipe)?;
    for films in missing.chunks(chunk(preprocess)) {
        let decoded = films.par_iter().map(|(content, path)| film(path, *content, preprocess)).collect::<Vec<_>>();
        for ((content, _), film) in films.iter().zip(decoded) {
            match film {
                Ok(film) => writer.add(*content, film.as_raw())?,
                Err(error) => {
                    // What was decoded before the bad film is kept for the next try.
                    made.push(writer.finish()?);
                    return Err(CacheFailure::Film(error));
                }
            }
        }
        done += films.len();
        progress(Preparing::Decoded { done, of });
        if writer.bytes() >= FILE && done < of {
            made.push(std::mem::replace(&mut writer, Writer::new(folder, recipe)?).finish()?);
        }
    }
    made.push(writer.finish()?);
    Ok(())
}

/// Decodes and fits the file at `path`, whose content must still be the one that was hashed.
fn film(path: &Path, content: u128, preprocess: &Preprocess) -> Result<GrayImage> {
    let bytes = read(path).map_err(Error::io(path))?;
    if identity::content(&bytes) != content {
        let changed = std::io::Error::other("the file changed while it was being used");
        return Err(Error::io(path)(changed));
    }
    Ok(preprocess.square(&decode(path)?))
}

impl FilmStore {
    /// Copies a film into `pixels`; decodes it anew from `path`, and puts it back, if its bytes are damaged.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Decode`] if the film is damaged in the cache and the file is not there any more.
    pub fn read(&self, film: Cached, path: &Path, preprocess: &Preprocess, pixels: &mut [u8]) -> Result<()> {
        let pack = &self.packs[film.slot.pack as usize];
        if pack.read(film.slot.at as usize, pixels) {
            return Ok(());
        }
        let decoded = self::film(path, film.content, preprocess)?;
        pixels.copy_from_slice(decoded.as_raw());
        // Where it cannot be put back, it is decoded again the next time.
        let _ = pack.mend(film.slot.at as usize, pixels);
        Ok(())
    }

    /// Asks for a film to be brought into memory, without waiting for it.
    pub fn want(&self, film: Cached) {
        self.packs[film.slot.pack as usize].want(film.slot.at as usize);
    }
}

/// Waits until no other process holds the lock at `path`; calls `waiting` if one does. File systems without locks are
/// used without: then two processes may do the same work, and nothing worse.
fn lock(path: &Path, waiting: &mut dyn FnMut()) -> std::io::Result<File> {
    let file = File::options().create(true).append(true).open(path)?;
    let mut told = false;
    disk::lock(&file, |_| {
        if !std::mem::replace(&mut told, true) {
            waiting();
        }
        true
    })?;
    Ok(file)
}

/// Removes what a killed process left; called by the one that holds the lock.
fn remove_unfinished(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == UNFINISHED) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// A file's time of change says when it was last used.
fn mark_used(path: &Path) {
    if let Ok(file) = File::options().write(true).open(path) {
        let _ = file.set_modified(SystemTime::now());
    }
}

/// Removes the files used longest ago until all below `root` take at most `limit` bytes; never those `in_use`.
fn remove_unused(root: &Path, limit: u64, in_use: &HashSet<PathBuf>) {
    let mut files: Vec<(SystemTime, PathBuf, u64)> = walkdir::WalkDir::new(root)
        .max_depth(2)
        .into_iter()
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == EXTENSION))
        .filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            Some((metadata.modified().ok()?, entry.into_path(), metadata.len()))
        })
        .collect();
    files.sort();
    let mut total: u64 = files.iter().map(|(_, _, bytes)| bytes).sum();
    for (_, path, bytes) in files {
        if total <= limit {
            break;
        }
        if !in_use.contains(&path) && std::fs::remove_file(&path).is_ok() {
            total -= bytes;
        }
    }
}

#[cfg(test)]
mod tests;
