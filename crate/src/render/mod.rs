//! Figures for notebooks and papers: data in, picture out. Opens no files and touches no tensors.
//!
//! Every figure is deterministic, white-grounded, 700 to 1500 pixels of a page wide, lettered in a bundled font at 13 pixels
//! or more, in colours that colour-blind readers can tell apart; where a colour means a number there is a colour bar, and no
//! colour is the only carrier of a fact. It has two pixels for each of the page's, so that it is sharp on dense screens. What
//! would make it longer than a screen or two is left out, and the title says how much.

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
#[cfg(feature = "notebook")]
pub(crate) use table::escaped;

use std::fmt;
use std::path::Path;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ImageFormat, RgbImage};

use crate::{Error, Result, files};

/// A finished picture and what it shows in words.
#[derive(Clone, PartialEq)]
pub struct Figure {
    image: RgbImage,
    alt: String,
    /// Width and height on a page, in its pixels.
    page: [u32; 2],
}

impl Figure {
    /// A figure of `image`; `alt` says what it shows to readers who cannot see it.
    pub fn new(image: RgbImage, alt: impl Into<String>) -> Figure {
        let page = [image.width(), image.height()];
        Figure { image, alt: alt.into(), page }
    }

    /// A picture that takes at most `longest` pixels of a page on either side, and keeps at most twice as many of its own.
    pub(crate) fn fitted(image: RgbImage, longest: u32, alt: impl Into<String>) -> Figure {
        let side = image.width().max(image.height());
        if side <= longest {
            return Figure::new(image, alt);
        }
        let (width, height) = grid::fitted(image.width(), image.height(), longest as i32);
        let image = if side > 2 * longest { grid::thumbnail(&image, 2 * longest as i32) } else { image };
        Figure { image, alt: alt.into(), page: [width, height] }
    }

    /// A sheet of this module, which has more pixels than a page.
    fn drawn(image: RgbImage, alt: impl Into<String>) -> Figure {
        let page = [image.width(), image.height()].map(|side| side / canvas::SCALE as u32);
        Figure { page, ..Figure::new(image, alt) }
    }

    /// Width on a page in pixels: half of the picture's own where it was drawn here.
    pub fn width(&self) -> u32 {
        self.page[0]
    }

    /// Height on a page in pixels.
    pub fn height(&self) -> u32 {
        self.page[1]
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
        png(&self.image)
    }

    /// Writes the figure to `path` as PNG, by a temporary file beside it and a rename, so that no reader meets half of it.
    ///
    /// # Errors
    /// [`Error::Setting`] for a name that says another kind of picture; [`Error::Io`] if the folder cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        if ImageFormat::from_path(path).is_ok_and(|kind| kind != ImageFormat::Png) {
            return Err(Error::setting("figure", "a name that ends in .png", path.display()));
        }
        Ok(files::write_atomically(path, &self.png()?)?)
    }
}

/// A picture as the bytes of a PNG file.
pub(crate) fn png(image: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // The encoder's quick setting makes notebooks half as large again.
    let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Adaptive);
    match image.write_with_encoder(encoder) {
        Ok(()) => Ok(bytes),
        Err(refusal) => Err(Error::Figure(refusal.to_string())),
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

/// The first of `all` pictures, as many as `most` rows take, and a title that says so where that is not all.
fn first_rows<'a, T>(title: &str, all: &'a [T], per_row: i32, most: i32, what: &str) -> (&'a [T], String) {
    let fits = (per_row.max(1) * most.max(1)) as usize;
    match all.get(..fits) {
        Some(first) if fits < all.len() => (first, format!("{title} (the first {fits} of {} {what})", all.len())),
        _ => (all, title.to_owned()),
    }
}

/// A share as a whole percentage.
fn percent(part: usize, whole: usize) -> String {
    format!("{:.0} %", 100.0 * part as f64 / whole.max(1) as f64)
}
