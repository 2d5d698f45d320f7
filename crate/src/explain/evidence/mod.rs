//! Whether maps mean something: do they depend on what the network has learnt, and on the film; does the score follow
//! them; do they point at the fracture. Beside every figure stands what chance gives.

mod cascade;
mod chance;
mod curves;
mod independence;
mod mean;
mod place;
mod report;
mod road;
mod similarity;
mod strata;

pub use cascade::{Cascade, CascadeStep, cascade};
pub use chance::Chance;
pub use curves::{Curve, Removal, removal_curve};
pub use independence::{Independence, independence};
pub use mean::Mean;
pub use place::{Placed, best_threshold, placed};
pub use report::{EvidenceOptions, EvidenceReport, Figures, evidence};
pub use road::{Road, road};
pub use similarity::{rank_correlation, ssim};

#[cfg(test)]
mod tests;
