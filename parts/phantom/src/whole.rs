//! Whether a set on disk has all its files, and how those that are missing come back: the same settings draw the same
//! bytes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::{Error, Result};

/// The settings file, written last: a folder with it is a whole set.
pub(super) const CARD_FILE: &str = "phantom.json";

/// Every file of a set but its settings file and this one: `path,bytes`, the bytes left open where the path of the root
/// is in it.
const LIST: &str = "truth/files.csv";

/// Writes the list of the files that lie in a folder, the last thing before its settings file.
pub(super) fn list(root: &Path) -> Result<()> {
    let mut text = "path,bytes\n".to_owned();
    for path in files(root)? {
        let names_root = path.extension().is_some_and(|it| it == "csv");
        let bytes = fs::metadata(root.join(&path)).map_err(Error::io(root))?.len();
        let bytes = if names_root { String::new() } else { bytes.to_string() };
        text.push_str(&format!("{},{bytes}\n", path.display()));
    }
    let path = root.join(LIST);
    fs::write(&path, text).map_err(Error::io(&path))
}

/// The files of a set below its root, in order; unfinished folders hide their own.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in WalkDir::new(root).sort_by_file_name() {
        let entry = entry.map_err(|error| Error::io(root)(error.into()))?;
        let below = entry.path().strip_prefix(root).unwrap_or(entry.path());
        let is_own = !entry.file_name().to_string_lossy().starts_with('.') && below != Path::new(CARD_FILE);
        if entry.file_type().is_file() && is_own && below != Path::new(LIST) {
            found.push(below.to_owned());
        }
    }
    Ok(found)
}

/// Whether every file of the list is there, with as many bytes. What holds no list is not known to be whole.
pub(super) fn is_whole(root: &Path) -> bool {
    let Ok(list) = fs::read_to_string(root.join(LIST)) else { return false };
    list.lines().skip(1).all(|line| {
        let (path, bytes) = line.rsplit_once(',').unwrap_or((line, ""));
        let there = fs::metadata(root.join(path));
        there.is_ok_and(|it| it.is_file() && (bytes.is_empty() || bytes == it.len().to_string()))
    })
}

/// Moves what `root` lacks there from a set of the same settings that was drawn beside it; returns how many files that
/// were.
///
/// # Errors
/// [`Error::Setting`] if a file is there with other content, which is not overwritten; [`Error::Io`] if the disk
/// refuses.
pub(super) fn complete(root: &Path, drawn: &Path) -> Result<usize> {
    let mut moved = 0;
    let mut changed = Vec::new();
    for path in files(drawn)?.into_iter().chain([PathBuf::from(LIST)]) {
        let (from, to) = (drawn.join(&path), root.join(&path));
        if !to.exists() {
            let folder = to.parent().unwrap_or(root);
            fs::create_dir_all(folder).map_err(Error::io(folder))?;
            fs::rename(&from, &to).or_else(|_| fs::copy(&from, &to).map(|_| ())).map_err(Error::io(&to))?;
            moved += 1;
        } else if path.extension().is_none_or(|it| it != "csv") && !is_equal(&from, &to).map_err(Error::io(&to))? {
            // Tables begin with the root's name, which may have changed since.
            changed.push(to);
        }
    }
    match &changed[..] {
        [] => Ok(moved),
        [first, more @ ..] => {
            let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
            let got = format!("{}{more} of other content; remove it to have it drawn again", first.display());
            Err(Error::setting("output folder", "this very set, unchanged", got))
        }
    }
}

fn is_equal(one: &Path, other: &Path) -> io::Result<bool> {
    let is_file = fs::metadata(other)?.is_file();
    Ok(is_file && fs::metadata(one)?.len() == fs::metadata(other)?.len() && fs::read(one)? == fs::read(other)?)
}
