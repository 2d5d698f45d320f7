//! Which studies exist in a folder, how they are split and audited ([`studies`]), and their films as batches.

pub mod cache;
pub mod films;

pub(crate) use cache::contents;
pub use cache::{CacheFolder, Preparing};
pub use films::{Batch, Feed, Feeding, Films, epoch_order, prepare};
pub use studies::{
    AuditOptions, Fold, Held, Index, IndexOptions, LabelSummary, Layout, Leak, SizeSummary, SkipReason, Skipped,
    SplitSummary, Summary, Warning, WarningKind, fracture_mask, index, index_with, labels, leaks, loose_films,
    refuse_leaks, split, trainable,
};
