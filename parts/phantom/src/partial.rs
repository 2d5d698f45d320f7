//! A folder that is filled beside its place and moved there when whole; what interrupted calls left is swept away.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::{Error, Result};
use files::disk::{self, Lock};

/// Held, in each unfinished folder, by whoever fills it; the system lets go of it however that process ends.
const LOCK: &str = ".filling";

/// An unfinished folder without the lock's file may be about to get it, or about to be moved; after this time it is
/// not.
const GRACE: Duration = Duration::from_secs(600);

/// A folder being filled; removed unless it is moved into place.
#[derive(Debug)]
pub(super) struct Partial {
    folder: TempDir,
    /// Locked for as long as it is open.
    _lock: Option<File>,
}

impl Partial {
    /// A new folder `.NAME.partial-*` in `parent`, after folders of that name that nobody fills any more are removed.
    pub fn new(parent: &Path, name: &str) -> Result<Partial> {
        fs::create_dir_all(parent).map_err(Error::io(parent))?;
        let prefix = format!(".{name}.partial-");
        sweep(parent, &prefix);
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir_in(parent).map_err(Error::io(parent))?;
        let path = folder.path().join(LOCK);
        let file = File::create(&path).map_err(Error::io(&path))?;
        // Where the file system knows no locks, the folder is told apart by its age.
        let lock = is_ours(&file).then_some(file);
        if lock.is_none() {
            fs::remove_file(&path).map_err(Error::io(&path))?;
        }
        Ok(Partial { folder, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Moves the folder to `place`, where nothing is, or an empty folder.
    pub fn move_to(self, place: &Path) -> std::io::Result<()> {
        let lock = self.path().join(LOCK);
        if lock.exists() {
            fs::remove_file(lock)?;
        }
        fs::rename(self.path(), place)?;
        // Moved away: nothing is left to clean up.
        let _ = self.folder.keep();
        Ok(())
    }
}

/// Removes unfinished folders that nobody fills any more. What cannot be removed stays: it is in nobody's way.
fn sweep(parent: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    let ours = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix));
    for path in entries.flatten().map(|entry| entry.path()).filter(ours) {
        if path.is_dir() && !path.is_symlink() && abandoned(&path) {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

fn abandoned(folder: &Path) -> bool {
    match File::open(folder.join(LOCK)) {
        Ok(file) => is_ours(&file),
        Err(_) => {
            let age = fs::metadata(folder).and_then(|data| data.modified()).ok().and_then(|time| time.elapsed().ok());
            age.is_some_and(|age| age > GRACE)
        }
    }
}

fn is_ours(file: &File) -> bool {
    matches!(disk::try_lock(file), Ok(Lock::Held))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_that_nobody_fills_are_swept() {
        let place = tempfile::tempdir().unwrap();
        let busy = Partial::new(place.path(), "set").unwrap();
        let stale = place.path().join(".set.partial-stale");
        fs::create_dir(&stale).unwrap();
        fs::write(stale.join(LOCK), "").unwrap();
        fs::write(stale.join("half.png"), "half").unwrap();
        let fresh = place.path().join(".set.partial-fresh");
        let foreign = place.path().join(".settings.partial-x");
        let old = place.path().join(".set.partial-old");
        for folder in [&fresh, &foreign, &old] {
            fs::create_dir(folder).unwrap();
        }
        let long_ago = std::time::SystemTime::now() - 2 * GRACE;
        for folder in [&foreign, &old] {
            File::open(folder).unwrap().set_modified(long_ago).unwrap();
        }
        let next = Partial::new(place.path(), "set").unwrap();
        assert!(busy.path().is_dir() && fresh.is_dir() && foreign.is_dir());
        assert!(!stale.exists() && !old.exists());

        fs::write(next.path().join("film.png"), "whole").unwrap();
        let target = place.path().join("set");
        next.move_to(&target).unwrap();
        let names: Vec<_> = fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["film.png"]);
    }
}
