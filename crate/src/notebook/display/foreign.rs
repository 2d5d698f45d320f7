//! What other crates made, and lists of what this one did.

use image::{DynamicImage, GrayImage, RgbImage};
use tch::Tensor;

use super::{draw, say, show, tensor};
use crate::Error;
use crate::dataset::{Skipped, Warning};
use crate::notebook::tables;
use crate::score::{StudyScore, ViewScore};
use render::{Figure, Film, Tone, films};
use studies::Study;

/// Shows a tensor, a picture or a list under the evcxr cell that ends on it; `use humerus::prelude::*` brings it along.
///
/// A tensor tells its shape, dtype and device, its range and its first values; a picture is drawn; several are a sheet.
pub trait Show {
    /// Shows the value.
    fn evcxr_display(&self);
}

impl Show for Tensor {
    fn evcxr_display(&self) {
        say(tensor::describe(self));
    }
}

impl Show for [Tensor] {
    fn evcxr_display(&self) {
        let lines: Vec<String> = self.iter().take(MOST).map(tensor::describe).collect();
        let rest = if self.len() > MOST { format!("\nand {} more", self.len() - MOST) } else { String::new() };
        say(format!("{}{rest}", lines.join("\n")));
    }
}

/// Tensors of a list that are described.
const MOST: usize = 30;

/// The longest side of a picture on a page, in pixels; larger ones are shown smaller.
const LONGEST: u32 = 900;

/// A picture by itself. What is larger than the page has room for keeps twice that many pixels, for dense screens.
fn picture(image: RgbImage, what: &str) -> Figure {
    let words = format!("{what} of {} × {} pixels", image.width(), image.height());
    Figure::fitted(image, LONGEST, words)
}

impl Show for GrayImage {
    fn evcxr_display(&self) {
        draw(|| Ok::<_, Error>(picture(DynamicImage::ImageLuma8(self.clone()).into_rgb8(), "a grey picture")));
    }
}

impl Show for RgbImage {
    fn evcxr_display(&self) {
        draw(|| Ok::<_, Error>(picture(self.clone(), "a picture")));
    }
}

impl Show for DynamicImage {
    fn evcxr_display(&self) {
        draw(|| Ok::<_, Error>(picture(self.to_rgb8(), "a picture")));
    }
}

impl Show for Option<GrayImage> {
    fn evcxr_display(&self) {
        match self {
            Some(image) => image.evcxr_display(),
            None => say("no picture"),
        }
    }
}

impl Show for [GrayImage] {
    fn evcxr_display(&self) {
        let number = |(at, image): (usize, &GrayImage)| Film {
            image: image.clone(),
            caption: at.to_string(),
            tone: Tone::Plain,
        };
        let all: Vec<Film> = self.iter().enumerate().map(number).collect();
        draw(|| films("Pictures", &all, 8));
    }
}

macro_rules! lists {
    ($($type:ty: $table:path;)*) => {$(
        impl Show for [$type] {
            fn evcxr_display(&self) {
                show(&[$table(self)]);
            }
        }
    )*};
}

lists! {
    ViewScore: tables::views;
    StudyScore: tables::studies;
    Study: tables::cases;
    Skipped: tables::skipped_files;
    Warning: tables::warnings_of;
}
