//! Films and maps scaled for their places: what sheets, panels and activation grids share.

use image::imageops::FilterType;
use image::{GrayImage, ImageBuffer, Pixel, Rgb, RgbImage};

use crate::{Error, Result};

/// How wide a sheet of pictures grows where nothing forces it wider.
pub(super) const SHEET: i32 = 1160;

/// Refuses what cannot be laid out.
pub(super) fn check_per_row(per_row: usize) -> Result<()> {
    if (1..=64).contains(&per_row) {
        return Ok(());
    }
    Err(Error::Figure(format!("pictures per row: expected 1 to 64, got {per_row}")))
}

/// The size of a `width × height` picture scaled to just fit a square of `side`.
pub(super) fn fitted(width: u32, height: u32, side: i32) -> (u32, u32) {
    let scale = f64::from(side) / f64::from(width.max(height));
    let scaled = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
    (scaled(width), scaled(height))
}

/// The picture scaled smoothly, keeping its shape, to just fit a square of `side`.
pub(super) fn thumbnail<P>(picture: &ImageBuffer<P, Vec<u8>>, side: i32) -> ImageBuffer<P, Vec<u8>>
where
    P: Pixel<Subpixel = u8> + 'static,
{
    let (width, height) = fitted(picture.width(), picture.height(), side);
    image::imageops::resize(picture, width, height, FilterType::CatmullRom)
}

/// The map for a square of `side`: shrunk smoothly, or enlarged a whole number of times so that its cells stay visible.
pub(super) fn cell_view(map: &GrayImage, side: i32) -> GrayImage {
    let longest = map.width().max(map.height());
    if longest > side as u32 {
        let (width, height) = fitted(map.width(), map.height(), side);
        return image::imageops::resize(map, width, height, FilterType::Triangle);
    }
    let times = side as u32 / longest;
    GrayImage::from_fn(map.width() * times, map.height() * times, |x, y| *map.get_pixel(x / times, y / times))
}

/// Greys as red, green and blue.
pub(super) fn coloured(film: &GrayImage) -> RgbImage {
    RgbImage::from_fn(film.width(), film.height(), |x, y| Rgb([film.get_pixel(x, y)[0]; 3]))
}

/// Whether a picture has pixels at all.
pub(super) fn has_pixels(what: &str, i: usize, width: u32, height: u32) -> Result<()> {
    if width > 0 && height > 0 {
        return Ok(());
    }
    Err(Error::Figure(format!("{what} {i} is empty: {width} × {height} pixels")))
}
