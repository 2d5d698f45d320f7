//! Regular files and no others: to open a named pipe waits for a writer, and a device may never end.

use std::fs::{File, FileType};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Opens a file for reading.
///
/// # Errors
/// As the operating system says; [`io::ErrorKind::InvalidInput`] for a named pipe, a socket or a device, which is not
/// opened.
pub fn open(path: &Path) -> io::Result<File> {
    match special(&std::fs::metadata(path)?.file_type()) {
        Some(what) => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{what}, not a regular file"))),
        None => File::open(path),
    }
}

/// The file that is written where `path` is: the one that it links to, if it is a symbolic link.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for a named pipe, a socket or a device.
pub fn target(path: &Path) -> io::Result<PathBuf> {
    let Ok(found) = std::fs::metadata(path) else { return Ok(path.to_owned()) };
    match special(&found.file_type()) {
        Some(what) => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{what}, not a regular file"))),
        None if path.is_symlink() => std::fs::canonicalize(path),
        None => Ok(path.to_owned()),
    }
}

/// All of a file.
///
/// # Errors
/// Those of [`open`].
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What a file is that is neither regular nor a folder.
#[cfg(unix)]
pub fn special(kind: &FileType) -> Option<&'static str> {
    use std::os::unix::fs::FileTypeExt;
    if kind.is_fifo() {
        Some("named pipe")
    } else if kind.is_socket() {
        Some("socket")
    } else if kind.is_char_device() || kind.is_block_device() {
        Some("device")
    } else {
        None
    }
}

/// What a file is that is neither regular nor a folder.
#[cfg(not(unix))]
pub fn special(kind: &FileType) -> Option<&'static str> {
    (!kind.is_file() && !kind.is_dir()).then_some("device")
}
