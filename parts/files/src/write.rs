//! Files that are written: whole or not at all, as readable as the user's mask says, and never over what was read.

use std::io::Write;
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

use crate::{Error, Result, disk, regular};

/// What an unfinished file of ours is called, with six letters or digits between: nothing that people call theirs.
const PREFIX: &str = ".humerus-";
const SUFFIX: &str = ".part";
const RANDOM: usize = 6;

/// What tells a file that is there from every other, whatever path leads to it: device and number.
#[cfg(unix)]
pub type Identity = (u64, u64);

/// What tells a file that is there from every other, whatever path leads to it: its canonical path.
#[cfg(not(unix))]
pub type Identity = std::path::PathBuf;

/// The identity of a file; none if it is not there.
#[cfg(unix)]
pub fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).map(|found| (found.dev(), found.ino())).ok()
}

/// The identity of a file; none if it is not there.
#[cfg(not(unix))]
pub fn identity(path: &Path) -> Option<Identity> {
    std::fs::canonicalize(path).ok()
}

/// Makes temporary files that become files of the user's: of the rights that the mask leaves, not private ones.
pub fn temporary<'a>() -> Builder<'a, 'a> {
    let mut builder = Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
}

/// Whether a file's name says that it is one of ours that a killed process was in the middle of writing.
pub fn is_unfinished(name: &str) -> bool {
    let random = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    random.is_some_and(|random| random.len() == RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// An empty unfinished file in `folder`, which is gone when it is dropped.
pub fn unfinished(folder: &Path) -> std::io::Result<NamedTempFile> {
    temporary().prefix(PREFIX).suffix(SUFFIX).rand_bytes(RANDOM).tempfile_in(folder)
}

/// The folder that a file lies in, or will.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Writes `bytes` to a temporary sibling of `path`, syncs it to disk and renames it; the folder is made if it is not
/// there. A file that was there keeps its rights, a symbolic link stays one, and what is no regular file is refused: it
/// would be replaced.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let target = regular::target(path).map_err(Error::io(path))?;
    let path = target.as_path();
    let folder = folder_of(path);
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let mut file = unfinished(folder).map_err(Error::io(folder))?;
    file.write_all(bytes).and_then(|()| disk::sync(file.as_file())).map_err(Error::io(path))?;
    persist(file, path)?;
    disk::sync_folder(folder)
}

/// Gives an unfinished file its name, and the rights of the file that had it.
pub fn persist(file: NamedTempFile, path: &Path) -> Result<()> {
    if let Ok(before) = std::fs::metadata(path) {
        // A file system that knows no rights has none to keep.
        let _ = file.as_file().set_permissions(before.permissions());
    }
    file.persist(path).map(drop).map_err(|refused| Error::io(path)(refused.error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn links_are_written_through_and_what_is_no_regular_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "old").unwrap();
        std::os::unix::fs::symlink("file", path("link")).unwrap();
        write_atomically(&path("link"), b"new").unwrap();
        assert_eq!(std::fs::read(path("file")).unwrap(), b"new");
        assert!(std::fs::symlink_metadata(path("link")).unwrap().is_symlink());

        let socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        let line = write_atomically(&path("socket"), b"new").unwrap_err().to_string();
        assert!(line.contains("socket, not a regular file"), "{line}");
        drop(socket);
        assert!(regular::special(&std::fs::symlink_metadata(path("socket")).unwrap().file_type()).is_some());
        let line = write_atomically(Path::new("/dev/full"), b"new").unwrap_err().to_string();
        assert!(line.contains("device, not a regular file"), "{line}");
    }

    #[test]
    fn only_names_of_ours_are_unfinished_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = unfinished(folder.path()).unwrap();
        let name = file.path().file_name().unwrap().to_str().unwrap();
        assert!(is_unfinished(name), "{name}");
        for theirs in [".tmpAbC123", ".tmp-notes.txt", ".humerus", ".humerus-.part", ".humerus-my notes.part", "notes"]
        {
            assert!(!is_unfinished(theirs), "{theirs}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_is_written_anew_keeps_its_rights_and_leaves_nothing_beside_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/model");
        write_atomically(&path, b"one").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        write_atomically(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
