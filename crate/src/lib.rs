//! Deep learning on X-rays, made to be called from Rust notebooks.

// Pointers and foreign functions stay in the modules that allow them, and each use says why it is sound.
#![deny(unsafe_code, clippy::undocumented_unsafe_blocks)]

pub mod augment;
pub mod dataset;
#[allow(unsafe_code)]
pub mod device;
#[cfg(feature = "notebook")]
mod display;
pub mod error;
pub mod explain;
pub mod figures;
pub mod files;
mod memory;
pub mod metrics;
pub mod model;
pub mod preprocess;
pub mod render;
pub mod score;
pub mod settings;
pub mod shortage;
#[allow(unsafe_code)]
mod slices;
pub mod tables;
pub mod train;
pub mod weights;

pub use ::files::{counted, disk};
#[cfg(feature = "notebook")]
pub use display::Show;
pub use error::{Error, Result};
pub use image;
pub use phantom;
pub use preprocess::Preprocess;
pub use studies::{Finding, Label, Split, Study, View};
pub use tch;

/// What a notebook's first cell brings along: the modules, the usual types, and how tensors and pictures show themselves.
pub mod prelude {
    #[cfg(feature = "notebook")]
    pub use crate::Show;
    pub use crate::explain::FilterOptions;
    pub use crate::model::Model;
    pub use crate::settings::Settings;
    pub use crate::weights::Weights;
    pub use crate::{Label, Preprocess, Split, Study, View, counted};
    pub use crate::{dataset, device, explain, figures, phantom, preprocess, score, tables, train};
}
