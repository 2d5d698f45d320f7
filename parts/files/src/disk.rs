//! What file systems do not all do: locks, and syncing a folder.
//!
//! Lustre mounted without `flock` answers `ENOSYS` to a lock; CIFS before Linux 4.17 and some FUSE file systems answer
//! `EINVAL` or `ENOTSUP` to the fsync of a folder. Neither is a reason to stop: work goes on without, and
//! [`shortcomings`] says once what that means. A disk that is full or broken (`ENOSPC`, `EIO`) is an error as ever.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// What came of trying to lock a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// It is ours until the file is closed.
    Held,
    /// Another process has it.
    Busy,
    /// The file system knows no locks.
    Unknown,
}

/// Tries to lock a file, without waiting.
///
/// # Errors
/// Whatever is wrong with the file itself.
pub fn try_lock(file: &File) -> io::Result<Lock> {
    match file.try_lock() {
        Ok(()) => Ok(Lock::Held),
        Err(TryLockError::WouldBlock) => Ok(Lock::Busy),
        Err(TryLockError::Error(error)) if is_unknown(&error) => Ok(Lock::Unknown),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Locks a file. As long as another process has it, `keep_waiting` is asked, ten times a second, with the time waited
/// so far.
///
/// # Errors
/// Whatever is wrong with the file itself.
pub fn lock(file: &File, mut keep_waiting: impl FnMut(Duration) -> bool) -> io::Result<Lock> {
    let began = Instant::now();
    loop {
        match try_lock(file)? {
            Lock::Busy if keep_waiting(began.elapsed()) => std::thread::sleep(Duration::from_millis(100)),
            found => return Ok(found),
        }
    }
}

/// Makes what was written to a file last through a power cut, where the file system can.
///
/// # Errors
/// If the disk is full or fails.
pub fn sync(file: &File) -> io::Result<()> {
    match file.sync_all() {
        Err(error) if is_unknown(&error) => Ok(()),
        other => other,
    }
}

/// Makes a rename in `folder` last through a power cut, on Unix where the file system can; elsewhere it sees to it by
/// itself.
///
/// # Errors
/// [`Error`] if the disk fails.
pub fn sync_folder(folder: &Path) -> Result<()> {
    synced(folder).map(drop).map_err(Error::io(folder))
}

/// Whether the folder is synced; `false` if its file system does not know how.
fn synced(folder: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(error) if is_unknown(&error) => return Ok(false),
        // A folder that may be written but not listed can't be opened to be synced.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
        other => other?,
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(true)
}

/// What the file system of `folder`, which is there, cannot do, in one line; `None` if it can all that we ask of it.
pub fn shortcomings(folder: &Path) -> Option<String> {
    let syncs = synced(folder).unwrap_or(true);
    let what = "its file system cannot sync folders; after a power cut the last file written may be missing";
    (!syncs).then(|| format!("{}: {what}", folder.display()))
}

/// Whether the operating system says that it does not know what it was asked for.
fn is_unknown(error: &io::Error) -> bool {
    #[cfg(unix)]
    if let Some(code) = error.raw_os_error() {
        // ENOLCK: NFS without its lock daemon.
        return [libc::ENOSYS, libc::EINVAL, libc::ENOTSUP, libc::EOPNOTSUPP, libc::ENOTTY, libc::ENOLCK]
            .contains(&code);
    }
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_by_one_at_a_time_and_a_folder_is_synced() {
        let folder = tempfile::tempdir().unwrap();
        let open = || File::options().create(true).append(true).open(folder.path().join("lock")).unwrap();
        let (first, second) = (open(), open());
        assert_eq!(try_lock(&first).unwrap(), Lock::Held);
        assert_eq!(try_lock(&second).unwrap(), Lock::Busy);
        let mut asked = 0;
        let waited = lock(&second, |_| {
            asked += 1;
            asked < 3
        });
        assert_eq!((waited.unwrap(), asked), (Lock::Busy, 3));
        let mut first = Some(first);
        let waited = lock(&second, |_| {
            first = None;
            true
        });
        assert_eq!(waited.unwrap(), Lock::Held);
        assert_eq!(shortcomings(folder.path()), None);
        assert!(sync_folder(&folder.path().join("absent")).unwrap_err().to_string().contains("absent"));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_not_known_is_told_from_what_fails() {
        let unknown = |code| is_unknown(&io::Error::from_raw_os_error(code));
        assert!([libc::ENOSYS, libc::EINVAL, libc::EOPNOTSUPP, libc::ENOLCK].into_iter().all(unknown));
        assert!(![libc::EIO, libc::ENOSPC, libc::EROFS, libc::ENOENT].into_iter().any(unknown));
    }
}
