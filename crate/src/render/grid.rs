//! Pictures in rows and columns under a title: what films, panels, filters and activations share.

use image::imageops::FilterType;
use image::{GrayImage, ImageBuffer, Pixel, Rgb, RgbImage};

use super::canvas::{Anchor, Canvas, Mark};
use super::colour::INK;
use super::text::{NOTE, TITLE, Typeface};
use crate::{Error, Result};

/// White around every figure.
pub(crate) const MARGIN: i32 = 24;

/// How wide a sheet of pictures grows where nothing forces it wider.
pub(crate) const SHEET: i32 = 1160;

/// An entry of the line under a title: a sign and what it stands for.
pub(crate) type Key = (Mark, Rgb<u8>, String);

/// Title and key, broken into lines for a certain width.
#[derive(Debug)]
pub(crate) struct Head {
    title: Vec<String>,
    keys: Vec<Vec<(f32, Key)>>,
    pub height: i32,
}

impl Head {
    /// `width` is the figure's.
    pub fn new(face: &Typeface, title: &str, keys: Vec<Key>, width: i32) -> Head {
        let room = (width - 2 * MARGIN) as f32;
        let title = face.wrap(title, TITLE, room);
        let mut rows: Vec<Vec<(f32, Key)>> = Vec::new();
        let mut x = 0.0;
        for key in keys {
            let length = 20.0 + face.width(&key.2, NOTE);
            if rows.is_empty() || x + length > room {
                rows.push(Vec::new());
                x = 0.0;
            }
            if let Some(row) = rows.last_mut() {
                row.push((x, key));
            }
            x += length + 24.0;
        }
        let height = MARGIN
            + title.len() as i32 * TITLE.leading()
            + rows.len() as i32 * (NOTE.leading() + 4)
            + if title.is_empty() && rows.is_empty() { 0 } else { 12 };
        Head { title, keys: rows, height }
    }

    pub fn draw(&self, canvas: &mut Canvas) {
        let x = MARGIN as f32;
        let mut y = canvas.lines(x, MARGIN, &self.title, TITLE, Anchor::Start);
        for row in &self.keys {
            y += 4;
            let baseline = y as f32 + NOTE.ascent();
            for (offset, (mark, colour, meaning)) in row {
                let centre = (x + offset + 7.0, baseline - NOTE.half_capital());
                canvas.mark(*mark, centre, 13.0, *colour);
                let style = NOTE.coloured(INK);
                canvas.text(x + offset + 20.0, baseline, meaning, style, Anchor::Start);
            }
            y += NOTE.leading();
        }
    }
}

/// Refuses what cannot be laid out.
pub(crate) fn check_per_row(per_row: usize) -> Result<()> {
    if (1..=64).contains(&per_row) {
        return Ok(());
    }
    Err(Error::Figure(format!("pictures per row: expected 1 to 64, got {per_row}")))
}

/// The size of a `width × height` picture scaled to just fit a square of `side`.
pub(crate) fn fitted(width: u32, height: u32, side: i32) -> (u32, u32) {
    let scale = f64::from(side) / f64::from(width.max(height));
    let scaled = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
    (scaled(width), scaled(height))
}

/// The picture scaled smoothly, keeping its shape, to just fit a square of `side`.
pub(crate) fn thumbnail<P>(picture: &ImageBuffer<P, Vec<u8>>, side: i32) -> ImageBuffer<P, Vec<u8>>
where
    P: Pixel<Subpixel = u8> + 'static,
{
    let (width, height) = fitted(picture.width(), picture.height(), side);
    image::imageops::resize(picture, width, height, FilterType::CatmullRom)
}

/// The map for a square of `side`: shrunk smoothly, or enlarged a whole number of times so that its cells stay visible.
pub(crate) fn cell_view(map: &GrayImage, side: i32) -> GrayImage {
    let longest = map.width().max(map.height());
    if longest > side as u32 {
        let (width, height) = fitted(map.width(), map.height(), side);
        return image::imageops::resize(map, width, height, FilterType::Triangle);
    }
    let times = side as u32 / longest;
    GrayImage::from_fn(map.width() * times, map.height() * times, |x, y| *map.get_pixel(x / times, y / times))
}

/// Greys as red, green and blue.
pub(crate) fn coloured(film: &GrayImage) -> RgbImage {
    RgbImage::from_fn(film.width(), film.height(), |x, y| Rgb([film.get_pixel(x, y)[0]; 3]))
}

/// Whether a picture has pixels at all.
pub(crate) fn has_pixels(what: &str, i: usize, width: u32, height: u32) -> Result<()> {
    if width > 0 && height > 0 {
        return Ok(());
    }
    Err(Error::Figure(format!("{what} {i} is empty: {width} × {height} pixels")))
}
