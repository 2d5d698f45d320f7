//! Figures for notebooks and papers: data in, picture out. Opens no files and touches no tensors.
//!
//! Every figure is deterministic, white-grounded, 700 to 1500 pixels wide, lettered in a bundled font at 13 pixels or more,
//! in colours that colour-blind readers can tell apart; where a colour means a number there is a colour bar, and no colour
//! is the only carrier of a fact.

mod activations;
mod axes;
mod balance;
mod cam;
mod canvas;
mod colour;
mod curves;
mod evaluation;
mod films;
mod grid;
mod map;
mod sweep;
pub mod table;
mod text;

pub use activations::activation_grid;
pub use balance::{BalanceRow, class_balance};
pub use cam::{CamPanel, Opacity, OverlayOptions, cam_panel, overlay};
pub use colour::Colours;
pub use curves::{CurvePoint, learning_curves};
pub use evaluation::{confusion, roc, score_histogram};
pub use films::{Film, FilterPattern, Tone, films, filter_grid};
pub use map::Map;
pub use sweep::learning_rates;
pub use table::Table;

use std::fmt;
use std::io::Write;
use std::path::Path;

use image::RgbImage;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};

use crate::{Error, Result, files};

/// A finished picture and what it shows in words.
#[derive(Clone, PartialEq)]
pub struct Figure {
    image: RgbImage,
    alt: String,
}

impl Figure {
    /// A figure of `image`; `alt` says what it shows to readers who cannot see it.
    pub fn new(image: RgbImage, alt: impl Into<String>) -> Figure {
        Figure { image, alt: alt.into() }
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.image.width()
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.image.height()
    }

    /// The pixels.
    pub fn image(&self) -> &RgbImage {
        &self.image
    }

    /// What the figure shows, in words.
    pub fn alt(&self) -> &str {
        &self.alt
    }

    /// The figure as a PNG file's bytes.
    ///
    /// # Errors
    /// [`Error::Figure`] if the encoder refuses, which a figure of this module never makes it do.
    pub fn png(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // The encoder's quick setting makes notebooks half as large again.
        let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Adaptive);
        match self.image.write_with_encoder(encoder) {
            Ok(()) => Ok(bytes),
            Err(refusal) => Err(Error::Figure(refusal.to_string())),
        }
    }

    /// Writes the figure to `path` as PNG, by a temporary file beside it and a rename, so that no reader meets half of it.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let bytes = self.png()?;
        let mut file = files::unfinished(files::folder_of(path)).map_err(Error::io(path))?;
        file.write_all(&bytes).map_err(Error::io(path))?;
        files::persist(file, path)
    }
}

/// The words, not the pixels.
impl fmt::Debug for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Figure {} × {}: {}", self.width(), self.height(), self.alt)
    }
}

/// An [`Error::Figure`] saying that there is nothing to draw.
fn nothing(what: &str) -> Error {
    Error::Figure(format!("nothing to draw: no {what}"))
}

/// A share as a whole percentage.
fn percent(part: usize, whole: usize) -> String {
    format!("{:.0} %", 100.0 * part as f64 / whole.max(1) as f64)
}
