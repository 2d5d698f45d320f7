//! The per-user cache: `$HUMERUS_CACHE`, else `humerus` in the user's cache folder.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use sha2::{Digest, Sha256};

use crate::problem::{Problem, Result};

/// The per-user cache.
#[derive(Debug, Clone)]
pub struct Cache {
    /// Its folder.
    pub root: PathBuf,
}

/// A lock held until it is dropped.
#[derive(Debug)]
pub struct CacheLock(#[expect(dead_code, reason = "held, not read")] File);

impl Cache {
    /// Finds or makes the cache.
    pub fn open() -> Result<Cache> {
        let root = match std::env::var_os("HUMERUS_CACHE").filter(|root| !root.is_empty()) {
            Some(root) => std::path::absolute(&root).map_err(Problem::at(&root))?,
            None => etcetera::choose_base_strategy()
                .map_err(|_| Problem::new("no home folder").mend("set HUMERUS_CACHE to a folder with 12 GB of room"))?
                .cache_dir()
                .join("humerus"),
        };
        std::fs::create_dir_all(&root).map_err(Problem::at(&root))?;
        let root = root.canonicalize().map_err(Problem::at(&root))?;
        Ok(Cache { root })
    }

    /// A folder or file of the cache.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join(name)
    }

    /// Its folders and files whose names begin so, in order.
    pub fn beginning_with(&self, start: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.root).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(start))
            .map(|entry| entry.path())
            .collect();
        found.sort();
        found
    }

    /// Waits until nobody else makes `what`.
    pub fn lock(&self, what: &str) -> Result<CacheLock> {
        let path = self.join(format!(".{what}.lock"));
        let file = File::options().create(true).append(true).open(&path).map_err(Problem::at(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                eprintln!("waiting for another `cargo lab` that is at the same step ({what})");
                file.lock().map_err(Problem::at(&path))?;
            }
            Err(TryLockError::Error(error)) => return Err(Problem::at(&path)(error)),
        }
        Ok(CacheLock(file))
    }

    /// The lock, unless somebody holds it.
    pub fn try_lock(&self, what: &str) -> Option<CacheLock> {
        let file = File::options().create(true).append(true).open(self.join(format!(".{what}.lock"))).ok()?;
        file.try_lock().ok().map(|()| CacheLock(file))
    }

    /// GiB free on the cache's disk.
    pub fn free_gib(&self) -> Result<f64> {
        // Tests cannot fill a disk.
        if let Some(assumed) = std::env::var("HUMERUS_ASSUME_FREE_GIB").ok().and_then(|value| value.parse().ok()) {
            return Ok(assumed);
        }
        let disk = rustix::fs::statvfs(&self.root).map_err(|error| Problem::at(&self.root)(error.into()))?;
        Ok(disk.f_bavail as f64 * disk.f_frsize as f64 / f64::from(1 << 30))
    }

    /// Bytes of a folder, each file once however many names it has.
    pub fn size_of(path: &Path) -> u64 {
        use std::os::unix::fs::MetadataExt;
        let (mut total, mut seen, mut todo) = (0, std::collections::HashSet::new(), vec![path.to_owned()]);
        while let Some(path) = todo.pop() {
            let Ok(metadata) = path.symlink_metadata() else {
                continue;
            };
            if metadata.is_dir() {
                todo.extend(std::fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
            } else if seen.insert((metadata.dev(), metadata.ino())) {
                total += metadata.blocks() * 512;
            }
        }
        total
    }
}

/// The first twelve hexadecimal digits of SHA-256.
pub fn digest(bytes: impl AsRef<[u8]>) -> String {
    let hash = Sha256::digest(bytes.as_ref());
    hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// Writes by temporary file and rename, if the content differs.
pub fn write_if_changed(path: &Path, content: &[u8]) -> Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(Problem::at(folder))?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(Problem::at(folder))?;
    std::io::Write::write_all(&mut file, content).map_err(Problem::at(path))?;
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(readable).map_err(Problem::at(path))?;
    file.persist(path).map_err(|error| Problem::at(path)(error.error))?;
    Ok(())
}

/// [`write_if_changed`], and makes it executable.
pub fn write_program(path: &Path, script: &str) -> Result<()> {
    write_if_changed(path, script.as_bytes())?;
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(path, executable).map_err(Problem::at(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_sha_256_as_others_compute_it() {
        assert_eq!(digest("abc"), "ba7816bf8f01"); // FIPS 180-2, appendix B.1
    }

    #[test]
    fn a_file_with_two_names_is_counted_once() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("one"), vec![1; 100_000]).unwrap();
        let once = Cache::size_of(folder.path());
        std::fs::hard_link(folder.path().join("one"), folder.path().join("two")).unwrap();
        assert_eq!(Cache::size_of(folder.path()), once);
        assert!(once >= 100_000);
    }
}
