//! Deep learning on X-rays, made to be called from Rust notebooks.

pub mod augment;
mod counted;
pub mod dataset;
pub mod device;
#[cfg(feature = "notebook")]
mod display;
pub mod error;
pub mod explain;
pub mod figures;
pub mod files;
pub mod metrics;
pub mod model;
pub mod phantom;
pub mod preprocess;
pub mod render;
pub mod score;
pub mod settings;
pub mod study;
pub mod tables;
pub mod train;
pub mod weights;

pub use counted::counted;
pub use error::{Error, Result};
pub use preprocess::Preprocess;
pub use study::{Finding, Label, Split, Study, View};
pub use tch;
