//! What can go wrong with a folder of films, in the reader's words.

use std::path::{Path, PathBuf};

use files::in_line;

/// A result of this crate's.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong, split by what the caller can do next.
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
    /// A file that is not a picture, or a damaged one.
    #[error("cannot decode {}: {source}", in_line(.path.display()))]
    Decode {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        source: image::ImageError,
    },
    /// A folder that is not laid out like any data set we know, or that holds no film.
    #[error("{}: no films found; {}", in_line(.root.display()), in_line(.reason))]
    NoFilms {
        /// The folder.
        root: PathBuf,
        /// What was looked for and what was met instead.
        reason: String,
    },
    /// A folder that could be read in more than one way.
    #[error("{}: layout not clear; {}", in_line(.root.display()), in_line(.reason))]
    Layout {
        /// The folder.
        root: PathBuf,
        /// What was met, and how to choose.
        reason: String,
    },
    /// A table of labels that cannot be used.
    #[error("table of labels {}: {}", in_line(.table.display()), in_line(.reason))]
    Labels {
        /// The table.
        table: PathBuf,
        /// What was looked for, what was met instead, and an example of each.
        reason: String,
    },
    /// A split that would let the model see what it is tested on, or a set too small to be split.
    #[error("split: {}", in_line(.0))]
    Split(String),
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
    /// An [`Error::Io`] for `path`; made to be used as `.map_err(Error::io(path))`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.as_ref().to_owned();
        move |source| Error::Io { path, source }
    }

    /// An [`Error::Setting`].
    pub fn setting(what: &'static str, expected: impl Into<String>, got: impl ToString) -> Error {
        Error::Setting { what, expected: expected.into(), got: got.to_string() }
    }
}

impl From<files::Error> for Error {
    fn from(files::Error { path, source }: files::Error) -> Error {
        Error::Io { path, source }
    }
}

impl From<film::Error> for Error {
    fn from(error: film::Error) -> Error {
        match error {
            film::Error::Io { path, source } => Error::Io { path, source },
            film::Error::Decode { path, source } => Error::Decode { path, source },
        }
    }
}
