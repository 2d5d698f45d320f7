//! What notebooks add: settings of a cell, figures and tables of results, and how every value shows itself.

#[cfg(feature = "notebook")]
mod display;
pub mod figures;
#[cfg(feature = "notebook")]
pub mod live;
pub mod settings;
pub mod tables;
#[cfg(feature = "notebook")]
pub mod viewer;

#[cfg(feature = "notebook")]
pub use display::Show;
pub use settings::Settings;
#[cfg(feature = "notebook")]
pub use viewer::{Viewer, viewer};
