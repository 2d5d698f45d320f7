//! The files that are no view, and why.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

use files::in_line;
use files::lossy;
use film::Flaw;

/// A file that did not become a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The file, beginning with the root as it was given.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// Why it is no view.
    pub reason: SkipReason,
}

impl Skipped {
    /// A file and why it is no view.
    pub fn new(path: PathBuf, reason: impl Into<SkipReason>) -> Skipped {
        let reason = reason.into();
        Skipped { path, reason }
    }
}

/// Why a file is no view. Serialised as the sentence that [`fmt::Display`] writes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// `._*`: what macOS stores beside a file in an archive; not an image, whatever its extension says.
    ResourceFork,
    /// The name of the file or of a folder above it begins with a dot.
    Hidden,
    /// A named pipe, a socket or a device; says which. Never opened, since reading it may wait for ever.
    NoRegularFile(&'static str),
    /// Empty, truncated, damaged, of a kind that is not decoded, or no image at all.
    Picture(Flaw),
    /// The operating system could not read or list it; says why.
    Unreadable(String),
    /// An image in a study folder that names no label.
    Unlabeled,
    /// An image below none of the folders that say its split.
    NoSplit,
    /// An image outside the layout's folders.
    OutsideLayout,
    /// A FracAtlas image without the number that its block is found by.
    NoNumber,
    /// A picture that the table of labels does not list.
    Unlisted,
    /// A row of a table of labels that gives no view.
    Row {
        /// The line it begins on, counted from 1.
        line: u64,
        /// Why.
        why: String,
    },
    /// The container is whole, but the picture inside cannot be decoded; says why. Found by the audit and in scoring,
    /// not by indexing.
    Undecodable(String),
    /// Annotations that cannot be read; says why. The films stay, without their findings.
    Annotations(String),
    /// A folder that was to be scored and holds no film; says what was met.
    NoFilms(String),
    /// A path to be scored that names so many films which another one names too.
    NamedTwice(usize),
}

impl SkipReason {
    /// Whether the file is a picture, or was one, that cannot be read.
    pub fn is_damage(&self) -> bool {
        match self {
            SkipReason::Picture(flaw) => *flaw != Flaw::NotAnImage,
            SkipReason::Unreadable(_) | SkipReason::Undecodable(_) => true,
            _ => false,
        }
    }

    /// The line of the table that this is about.
    pub(super) fn line(&self) -> Option<u64> {
        match self {
            SkipReason::Row { line, .. } => Some(*line),
            _ => None,
        }
    }

    /// The kind of reason, without what differs from file to file: for counting.
    pub fn kind(&self) -> &'static str {
        match self {
            SkipReason::ResourceFork => "resource fork",
            SkipReason::Hidden => "hidden",
            SkipReason::NoRegularFile(what) => what,
            SkipReason::Picture(Flaw::Empty) => "empty",
            SkipReason::Picture(Flaw::NotAnImage) => "not an image",
            SkipReason::Picture(Flaw::Truncated(_)) => "truncated",
            SkipReason::Picture(Flaw::Damaged(_)) => "damaged",
            SkipReason::Picture(Flaw::Unsupported(_)) => "not supported",
            SkipReason::Unreadable(_) => "unreadable",
            SkipReason::Unlabeled => "unlabeled",
            SkipReason::NoSplit => "no split",
            SkipReason::OutsideLayout => "outside the layout",
            SkipReason::NoNumber => "no image number",
            SkipReason::Unlisted => "unlisted",
            SkipReason::Row { .. } => "row of the table",
            SkipReason::Undecodable(_) => "damaged",
            SkipReason::Annotations(_) => "annotations",
            SkipReason::NoFilms(_) => "no films",
            SkipReason::NamedTwice(_) => "named twice",
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SkipReason::ResourceFork => f.write_str("resource fork of macOS, not an image"),
            SkipReason::Hidden => f.write_str("hidden file"),
            SkipReason::NoRegularFile(what) => write!(f, "{what}, not a regular file"),
            SkipReason::Picture(flaw) => write!(f, "{flaw}"),
            SkipReason::Unreadable(why) => write!(f, "unreadable: {why}"),
            SkipReason::Unlabeled => f.write_str("unlabeled: its study folder ends in neither _positive nor _negative"),
            SkipReason::NoSplit => f.write_str("no split: it lies below no folder that names one"),
            SkipReason::OutsideLayout => f.write_str("outside the layout: an image in none of its folders"),
            SkipReason::NoNumber => f.write_str("no image number in its name (IMGnnnnnnn)"),
            SkipReason::Unlisted => f.write_str("unlisted: a picture that is not in the table"),
            SkipReason::Row { line, why } => write!(f, "line {line} of the table: {}", in_line(why)),
            SkipReason::Undecodable(why) => write!(f, "damaged: {why}"),
            SkipReason::Annotations(why) => write!(f, "annotations that cannot be read: {why}"),
            SkipReason::NoFilms(why) => write!(f, "no films found; {}", in_line(why)),
            SkipReason::NamedTwice(1) => f.write_str("named twice, scored once"),
            SkipReason::NamedTwice(films) => write!(f, "{films} films named twice, scored once"),
        }
    }
}

impl Serialize for SkipReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl From<Flaw> for SkipReason {
    fn from(flaw: Flaw) -> SkipReason {
        SkipReason::Picture(flaw)
    }
}

/// `3 resource fork, 1 truncated`, the most frequent first.
pub(crate) fn reasons(skipped: &[Skipped]) -> String {
    let mut counts = BTreeMap::new();
    for one in skipped {
        *counts.entry(one.reason.kind()).or_insert(0) += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let parts: Vec<String> = counts.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
    parts.join(", ")
}
