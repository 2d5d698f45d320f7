//! What a method gives for some films.

use std::fmt;

use tch::Tensor;

/// The maps of one chunk.
pub(super) struct Part {
    /// `[N, h, w]`, one for each layer.
    pub(super) maps: Vec<Tensor>,
    pub(super) logits: Tensor,
    pub(super) completeness: Vec<Completeness>,
}

impl Part {
    pub(super) fn of_pixels(map: Tensor, logits: Tensor) -> Part {
        Part { maps: vec![map], logits, completeness: Vec::new() }
    }
}

/// What integrated gradients add up to, beside what they should.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Completeness {
    /// Their sum.
    pub sum: f64,
    /// The target of the film less that of the baseline.
    pub gain: f64,
}

impl Completeness {
    /// The sum less the gain.
    pub fn error(self) -> f64 {
        self.sum - self.gain
    }
}

impl fmt::Display for Completeness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sum {:.4}, gain {:.4}, completeness error {:.2e}", self.sum, self.gain, self.error())
    }
}
