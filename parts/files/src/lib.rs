//! What every part of the project asks of a file system: files are written whole or not at all, only regular ones are
//! read, and each is named in one line.
//!
//! ```no_run
//! humerus_files::write_atomically("card.json".as_ref(), b"{}")?; // whole, or not there
//! // Never waits for a pipe.
//! let text = humerus_files::regular::read("card.json".as_ref()).map_err(humerus_files::Error::io("card.json"))?;
//! println!("{} in {}", humerus_files::counted(text.len(), "byte"), humerus_files::in_line("a name\nof two lines"));
//! # Ok::<(), humerus_files::Error>(())
//! ```

#![forbid(unsafe_code)]

pub mod disk;
pub mod regular;
mod sum;
mod text;
mod words;
mod write;

pub use sum::sha256;
pub use text::{in_line, lossy, lossy_all, lossy_if_any};
pub use words::{Tally, Took, counted};
pub use write::{Identity, folder_of, identity, is_unfinished, persist, temporary, unfinished, write_atomically};

use std::path::{Path, PathBuf};

/// A result of this crate's.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A file or folder that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", in_line(.path.display()))]
pub struct Error {
    /// The file or folder.
    pub path: PathBuf,
    /// What the operating system said.
    pub source: std::io::Error,
}

impl Error {
    /// The error for `path`; made to be used as `.map_err(Error::io(path))`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.as_ref().to_owned();
        move |source| Error { path, source }
    }
}
