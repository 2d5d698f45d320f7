//! Which studies exist in a folder, what each file of it became, and how they are split.
//!
//! One file a layout: MURA (Rajpurkar et al., arXiv:1712.06957; phantoms use it too), FracAtlas (Abedeen et al., Sci
//! Data 10, 521, 2023), folders of classes, a manifest, DICOM files with a table of labels. The layout is recognised
//! from the names, or said. No file is dropped silently: each below the root becomes a view, a known companion of the
//! films (label lists, annotations, masks), or a [`Skipped`] with its reason; what is doubtful without being unusable
//! is a [`Warning`].
//!
//! ```no_run
//! use humerus_studies::Split;
//!
//! let index = humerus_studies::index("path/to/MURA-v1.1")?; // reads every file, decodes none
//! println!("{}", index.summary());
//! let index = index.audit()?; // decodes and compares all
//! for study in index.split(Split::Valid) {
//!     println!("{} is {}: {} views", study.id, study.label, study.views.len());
//! }
//! # Ok::<(), humerus_studies::Error>(())
//! ```

#![forbid(unsafe_code)]

mod audit;
mod duplicates;
mod error;
mod groups;
mod index;
mod layout;
mod leaks;
mod region;
mod skipped;
pub mod split;
mod study;
mod summary;
mod warning;
mod words;

use std::path::Path;

pub use audit::AuditOptions;
pub use error::{Error, Result};
pub use index::{Fold, Held, Index};
pub use layout::{IndexOptions, Layout, check, labels, loose_films};
pub use leaks::{Leak, leaks, refuse_leaks, trainable};
pub use region::fracture_mask;
pub use skipped::{SkipReason, Skipped};
pub use study::{Finding, Label, Split, Study, View};
pub use summary::{LabelSummary, SizeSummary, SplitSummary, Summary};
pub use warning::{Warning, WarningKind};

use layout::FoundStudies;

/// [`index_with`] the default options: everything is recognised.
///
/// # Errors
/// As [`index_with`].
pub fn index(root: impl AsRef<Path>) -> Result<Index> {
    index_with(root, &IndexOptions::default())
}

/// Indexes a folder of films. Reads every file once to check that it is a whole picture; decodes none.
///
/// `root` may be the folder that holds `train` and `valid` (or `images`), its parent, or any folder below, such as one
/// split or one part; or the table of a manifest. Links are followed. Where the data set brings no split, whole groups
/// are dealt, a quarter to [`Split::Valid`], always the same ones; files of the same content stay together.
///
/// # Errors
/// [`Error::Io`] if `root` does not exist, [`Error::NoFilms`] if it holds no film of a known layout, [`Error::Layout`]
/// if it could be read in more than one way, [`Error::Labels`] if a table of labels cannot be used or means more than
/// one film by a row, [`Error::Setting`] for options that contradict each other or that the layout has no use for.
/// Damaged and foreign files are no errors: see [`Index::skipped`].
pub fn index_with(root: impl AsRef<Path>, options: &IndexOptions) -> Result<Index> {
    let root = root.as_ref();
    let (layout, found) = layout::read(root, options)?;
    Ok(settle(root, layout, found))
}

/// Orders everything, compares contents, and deals a split where there is none.
fn settle(root: &Path, layout: Layout, found: FoundStudies) -> Index {
    let FoundStudies { mut studies, mut skipped, mut companions, warnings, official_split } = found;
    skipped.sort_by(|a, b| a.path.cmp(&b.path));
    companions.sort();
    let two_labels = duplicates::name_apart(&mut studies);
    let held = Held::of(&studies);
    let mut index = Index {
        root: root.to_owned(),
        layout,
        studies,
        skipped,
        companions,
        warnings,
        official_split,
        fixed_split: false,
        audited: false,
        copies: Vec::new(),
        fold: None,
        held,
    };
    index.warnings.extend(two_labels);
    index.copies = duplicates::same_content(&index);
    split::keep_together(&mut index);
    duplicates::warn(&mut index);
    index
}

#[cfg(test)]
mod tests;
