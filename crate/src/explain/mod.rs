//! What the network looks at and what its layers see. Looking changes nothing: weights, gradients and statistics stay
//! as they are.
//!
//! [`heat_maps`] draws maps of a batch by any [`Method`]; [`crate::model::Model::explain_with`] of a film file;
//! [`evidence()`] asks whether they mean anything.

mod ablation;
mod activation;
mod boxes;
mod cams;
pub mod evidence;
mod film;
mod filter;
mod layered;
mod localisation;
mod maps;
mod method;
mod occlusion;
mod part;
mod pixels;
mod score_cam;
mod study;
mod target;

pub use activation::activation_maps;
pub use boxes::{BoxFile, BoxInfo, MapBox, boxes, npy};
pub use evidence::{EvidenceOptions, EvidenceReport, evidence};
pub use film::FilmCam;
pub use filter::{FilterOptions, filter_patterns};
pub use localisation::{Localisation, localisation};
pub use maps::{Evidence, HeatMaps, LayerMaps, heat_maps};
pub use method::{MapOptions, Method};
pub use part::Completeness;
pub use study::{Localised, localise};
pub use target::Target;

/// The layer that heat maps are drawn at where none is named: a map of 1/8 of the input's side, fine enough for a
/// fracture and deep enough to know what one is.
pub const DEFAULT_LAYER: &str = "features.denseblock2";

#[cfg(test)]
mod tests;
