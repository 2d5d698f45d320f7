//! What a container says about a picture, or why it is none.

use std::fmt;

/// The kinds of picture that are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// ISO/IEC 15948.
    Png,
    /// ITU-T T.81, 8 bits, Huffman-coded.
    Jpeg,
    /// A DICOM file of one film, PS3.10.
    Dicom,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Format::Png => "PNG",
            Format::Jpeg => "JPEG",
            Format::Dicom => "DICOM",
        })
    }
}

/// What the container says about a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Recognised by its first bytes, not by the file's name.
    pub format: Format,
    /// Stored width in pixels, before an EXIF orientation is applied.
    pub width: u32,
    /// Stored height in pixels, before an EXIF orientation is applied.
    pub height: u32,
}

/// Why a file is not a whole picture that can be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// No byte at all.
    Empty,
    /// The first bytes are neither PNG's, JPEG's nor DICOM's.
    NotAnImage,
    /// The file stops before the picture does; says what is missing.
    Truncated(&'static str),
    /// The container contradicts itself or promises more than is reasonable; says how.
    Damaged(String),
    /// As far as can be seen a proper file, of a kind that is not decoded; says which.
    Unsupported(String),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Empty => f.write_str("empty file"),
            Flaw::NotAnImage => f.write_str("not an image: neither PNG, JPEG nor DICOM"),
            Flaw::Truncated(missing) => write!(f, "truncated: {missing}"),
            Flaw::Damaged(how) => write!(f, "damaged: {how}"),
            Flaw::Unsupported(what) => write!(f, "not supported: {what}"),
        }
    }
}

impl std::error::Error for Flaw {}

/// The most pixels a film may have: 40 million, above any detector plate in use, so that a small file cannot ask for
/// gigabytes.
pub const MAX_PIXELS: u64 = 40_000_000;

/// Refuses pictures of no pixel and of more than [`MAX_PIXELS`].
pub(crate) fn check_size(width: u32, height: u32) -> Result<(), Flaw> {
    match u64::from(width) * u64::from(height) {
        0 => Err(Flaw::Damaged(format!("{width} × {height} pixels"))),
        n if n > MAX_PIXELS => Err(Flaw::Damaged(format!(
            "{width} × {height} pixels, above the limit of {} million",
            MAX_PIXELS / 1_000_000
        ))),
        _ => Ok(()),
    }
}
