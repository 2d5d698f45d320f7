//! Radiographs from PNG, JPEG and DICOM files as upright 8-bit grey images, or one line that says what is wrong with the file.
//!
//! A damaged file is an error, never a picture that ends in flat grey; what is declared allocates nothing before it was checked. What
//! decodes and is doubtful all the same, by the greys that the film really uses, is a [`Doubt`].

#![forbid(unsafe_code)]

mod container;
mod decode;
mod dicom;
mod greys;
mod jpeg;
mod polarity;
mod resize;

pub use container::{Flaw, Format, Header, MAX_PIXELS, inspect};
pub use decode::{decode, examine, read};
pub use dicom::{DicomHeader, dicom_header};
pub use greys::{Doubt, doubt};
pub use polarity::looks_inverted;
pub use resize::resize;

use std::path::{Path, PathBuf};

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
        source: image::ImageError,
    },
}

impl Error {
    fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.as_ref().to_owned();
        move |source| Error::Io { path, source }
    }
}
