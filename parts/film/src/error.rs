//! Why there is no picture, in one line.

use std::path::{Path, PathBuf};

use image::ImageError;

use crate::flaw::Flaw;

/// A result of this crate's.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that cannot be read.
    #[error("{}: {source}", files::in_line(.path.display()))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file that is not a picture, or a damaged one.
    #[error("cannot decode {}: {source}", files::in_line(.path.display()))]
    Decode {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        source: ImageError,
    },
}

impl Error {
    pub(crate) fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.as_ref().to_owned();
        move |source| Error::Io { path, source }
    }
}

/// A flaw as `image` would report it: an `Io` error, since it puts its own words before those of any other kind.
pub(crate) fn failure(flaw: Flaw) -> ImageError {
    ImageError::IoError(std::io::Error::other(flaw))
}
