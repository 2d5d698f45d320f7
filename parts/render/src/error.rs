//! What cannot be drawn.

use std::path::PathBuf;

use files::in_line;

/// A result of this crate's.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A figure that cannot be drawn.
    #[error("figure: {0}")]
    Figure(String),
    /// A file that cannot be written.
    #[error("{}: {source}", in_line(.path.display()))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A value out of its range.
    #[error("{what}: expected {}, got {}", in_line(.expected), in_line(.got))]
    Setting {
        /// What it is.
        what: &'static str,
        /// Its range.
        expected: String,
        /// The value that came.
        got: String,
    },
}

impl Error {
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
