//! What the network looks at and what its layers see. Looking changes nothing: weights, gradients and statistics stay
//! as they are.

mod activation;
mod cam;
mod filter;
mod study;

pub use activation::activation_maps;
pub use cam::{FilmCam, Localisation, grad_cam, localisation};
pub use filter::{FilterOptions, filter_patterns};
pub use study::{Localised, localise};

/// The layer that heat maps are drawn at where none is named: a map of 1/8 of the input's side, fine enough for a
/// fracture and deep enough to know what one is.
pub const DEFAULT_LAYER: &str = "features.denseblock2";
