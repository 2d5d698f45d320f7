//! Why there are no phantoms.

use std::path::{Path, PathBuf};

use files::in_line;

/// A result of this crate's.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder that cannot be read or written.
    #[error("{}: {source}", in_line(.path.display()))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A setting out of its range.
    #[error("{what}: expected {}, got {}", in_line(.expected), in_line(.got))]
    Setting {
        /// The setting's name.
        what: &'static str,
        /// Its range.
        expected: String,
        /// The value that came.
        got: String,
    },
}

impl Error {
    pub(crate) fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.as_ref().to_owned();
        move |source| Error::Io { path, source }
    }

    pub(crate) fn setting(what: &'static str, expected: impl Into<String>, got: impl ToString) -> Error {
        Error::Setting { what, expected: expected.into(), got: got.to_string() }
    }
}
