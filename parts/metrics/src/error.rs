//! What cannot be computed.

use files::in_line;

/// A result of this crate's.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
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
    /// A probability that is none: a model whose weights are not finite.
    #[error("{what} is {got}, not a number from 0 to 1; are the model's weights finite?")]
    NotFinite {
        /// What the number is.
        what: &'static str,
        /// The number.
        got: f64,
    },
}

impl Error {
    pub(crate) fn setting(what: &'static str, expected: impl Into<String>, got: impl ToString) -> Error {
        Error::Setting { what, expected: expected.into(), got: got.to_string() }
    }
}
