//! Deep learning on X-rays, made to be called from Rust notebooks.
//!
//! Four words have one meaning each, here and in the crates that this one is made of:
//!
//! - A **study** is one examination of one patient. Labels, splits and decisions are a study's.
//! - A **view** is one film of a study: its file, and what the data set says of it.
//! - An **image** is a film's pixels as decoded: upright, 8-bit grey, bone bright, in the film's own size.
//! - A **square** is an image fitted to the network's size ([`Preprocess::square`]); standardised squares are the
//!   network's **input**, `[N, channels, size, size]`.

// Pointers and foreign functions stay in the modules that allow them, and each use says why it is sound.
#![deny(unsafe_code, clippy::undocumented_unsafe_blocks)]

pub mod augment;
pub mod dataset;
#[allow(unsafe_code)]
pub mod device;
pub mod error;
pub mod explain;
pub mod files;
pub mod model;
pub mod network;
pub mod notebook;
pub mod preprocess;
pub mod recipe;
pub mod score;
pub mod shortage;
#[allow(unsafe_code)]
mod slices;
pub mod train;
pub mod weights;

pub use ::files::{Tally, counted, disk};
pub use error::{Error, Result};
pub use image;
pub use metrics;
#[cfg(feature = "notebook")]
pub use notebook::Show;
pub use phantom;
pub use preprocess::Preprocess;
pub use render;
pub use render::plotters;
pub use studies::{Finding, Label, Split, Study, View};
pub use tch;

/// What a notebook's first cell brings along: the modules, the usual types, and how tensors and pictures show
/// themselves.
pub mod prelude {
    #[cfg(feature = "notebook")]
    pub use crate::Show;
    pub use crate::explain::{EvidenceOptions, FilterOptions, MapOptions, Method, Target};
    pub use crate::model::Model;
    #[cfg(feature = "notebook")]
    pub use crate::notebook::live::{ProgressBar, TrainingPanel};
    #[cfg(feature = "notebook")]
    pub use crate::notebook::viewer;
    pub use crate::notebook::{Settings, figures, tables};
    pub use crate::render::{Figure, palette};
    pub use crate::weights::Weights;
    pub use crate::{Label, Preprocess, Split, Study, View};
    pub use crate::{dataset, device, explain, phantom, preprocess, score, train};
}
