//! A trained network with its card: the file, and what it is exported to.

pub mod calibration;
pub mod card;
mod export;
pub mod file;
mod onnx;
pub mod provenance;
mod torchscript;

pub use calibration::{Formerly, Temperature};
pub use card::{DataCard, ModelCard};
pub use export::HUB_FILES;
pub use file::Model;
