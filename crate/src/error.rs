//! What can go wrong, in the reader's words: each message is one line that names the file and says what was expected.

use std::fmt;
use std::path::{Path, PathBuf};

use files::in_line;
use serde::Deserialize;
use serde::de::{IntoDeserializer, value::StrDeserializer};

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong, split by what the caller can do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
    /// A folder that is no data set we know, or no clear one, or a table of labels that cannot be used.
    #[error(transparent)]
    Studies(studies::Error),
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
    /// A tensor of the wrong shape.
    #[error("{what}: expected shape {expected}, got {got:?}")]
    Shape {
        /// The argument.
        what: &'static str,
        /// The shape it must have.
        expected: String,
        /// The shape that came.
        got: Vec<i64>,
    },
    /// A number that is not finite where a model gave one: its weights are damaged, or training ran away.
    #[error("{what} is {got}, not a number from 0 to 1; are the model's weights finite?")]
    NotFinite {
        /// What the number is.
        what: &'static str,
        /// The number.
        got: f64,
    },
    /// A weight without a gradient, or with one of another shape: a step would move the wrong weights.
    #[error("gradient of {of}: {reason}")]
    Gradient {
        /// The weight.
        of: String,
        /// What is wrong.
        reason: String,
    },
    /// A layer name that the network does not have.
    #[error("no layer named {layer:?}; `model.layers()` lists them, for example {example:?}")]
    NoSuchLayer {
        /// The name asked for.
        layer: String,
        /// One that exists.
        example: String,
    },
    /// A model file that cannot be used.
    #[error("model file {}: {reason}", in_line(.path.display()))]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of the Hugging Face hub that cannot be fetched.
    #[error(transparent)]
    Hub(#[from] hub::HubError),
    /// Training that cannot go on; what was saved before stays.
    #[error("training stopped: {0}")]
    Training(String),
    /// Memory that ran out; what was saved before stays.
    #[error("out of memory: {0}")]
    Memory(String),
    /// A run that was to be continued and cannot be; nothing was trained or moved. With
    /// [`Resume::No`](crate::train::Resume::No) it is set aside and a new one begins.
    #[error("the run in {} cannot be continued: {}", in_line(.run.display()), in_line(with_changed(.reason, .changed)))]
    Resume {
        /// The run's folder.
        run: PathBuf,
        /// Why not.
        reason: String,
        /// The settings that are others than when it began.
        changed: Vec<Changed>,
    },
    /// Training that was asked to stop, and did after a step; with `resume` the same call continues it.
    #[error("stopped {}; saved in {} to be continued", at(*.epoch, *.batches), in_line(.run.display()))]
    Stopped {
        /// The run's folder.
        run: PathBuf,
        /// The epoch that is next or in progress, counted from 1; one more than the last where all are done.
        epoch: usize,
        /// Batches of it that are done.
        batches: usize,
    },
    /// A computing device that is not there.
    #[error("device {wanted}: {reason}")]
    Device {
        /// The device asked for.
        wanted: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// A figure that cannot be drawn.
    #[error("figure: {0}")]
    Figure(String),
    /// A failure inside libtorch.
    #[error("libtorch: {}", .0.to_string().lines().next().unwrap_or_default())]
    Torch(#[from] tch::TchError),
}

/// A setting that is another one than when a run began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Its name: `weights`, `device`, `precision`, or a field of the recipe, such as `preprocess.size`.
    pub setting: String,
    /// Its value when the run began.
    pub before: String,
    /// Its value now.
    pub now: String,
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} when the run began, {} now", self.setting, self.before, self.now)
    }
}

/// Changed settings that a message names.
pub(crate) const NAMED: usize = 4;

/// Why a run cannot be continued, with the settings that are others.
pub(crate) fn with_changed(reason: &str, changed: &[Changed]) -> String {
    if changed.is_empty() {
        return reason.to_owned();
    }
    let mut told: Vec<String> = changed.iter().take(NAMED).map(Changed::to_string).collect();
    if changed.len() > NAMED {
        told.push(format!("and {} more", changed.len() - NAMED));
    }
    format!("{reason} ({})", told.join("; "))
}

/// Where training stopped.
fn at(epoch: usize, batches: usize) -> String {
    match (epoch, batches) {
        (..=1, 0) => "before the first step".to_owned(),
        (_, 0) => format!("after epoch {}", epoch - 1),
        _ => format!("in epoch {epoch} after batch {batches}"),
    }
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

    /// The variant that serde writes as `text`, for an enum without fields; an [`Error::Setting`] for another text.
    pub(crate) fn named<'a, T: Deserialize<'a>>(what: &'static str, expected: &str, text: &'a str) -> Result<T> {
        let text_only: StrDeserializer<'a, serde::de::value::Error> = text.into_deserializer();
        T::deserialize(text_only).map_err(|_| Error::setting(what, expected, text))
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

impl From<studies::Error> for Error {
    fn from(error: studies::Error) -> Error {
        use studies::Error as It;
        match error {
            It::Io { path, source } => Error::Io { path, source },
            It::Decode { path, source } => Error::Decode { path, source },
            It::Split(reason) => Error::Split(reason),
            It::Setting { what, expected, got } => Error::Setting { what, expected, got },
            It::NoFilms { .. } | It::Layout { .. } | It::Labels { .. } => Error::Studies(error),
        }
    }
}

impl From<phantom::Error> for Error {
    fn from(error: phantom::Error) -> Error {
        match error {
            phantom::Error::Io { path, source } => Error::Io { path, source },
            phantom::Error::Setting { what, expected, got } => Error::Setting { what, expected, got },
        }
    }
}

impl From<metrics::Error> for Error {
    fn from(error: metrics::Error) -> Error {
        match error {
            metrics::Error::Setting { what, expected, got } => Error::Setting { what, expected, got },
            metrics::Error::NotFinite { what, got } => Error::NotFinite { what, got },
        }
    }
}

impl From<render::Error> for Error {
    fn from(error: render::Error) -> Error {
        match error {
            render::Error::Figure(reason) => Error::Figure(reason),
            render::Error::Io { path, source } => Error::Io { path, source },
            render::Error::Setting { what, expected, got } => Error::Setting { what, expected, got },
        }
    }
}
