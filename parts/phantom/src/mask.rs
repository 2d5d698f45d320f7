//! From what rays pass to a film's grey levels, its mask and the mask's box.

use image::{GrayImage, ImageBuffer, Luma};

use super::setup::Setup;

/// 12 bits to 8, to the nearest; 255 / 4095 is 17 / 273, so no value lies half-way.
pub(super) fn eight_bits(stored: &ImageBuffer<Luma<u16>, Vec<u16>>) -> GrayImage {
    let pixels = stored.iter().map(|&value| ((u32::from(value) * 255 + 2047) / 4095) as u8).collect();
    GrayImage::from_raw(stored.width(), stored.height(), pixels).expect("as many pixels as before")
}

/// White where the ray passes what is `met` and the collimator lets at least half of the beam through.
pub(super) fn mask(met: &[bool], open: &[f32], setup: &Setup) -> GrayImage {
    let mut mask = GrayImage::new(setup.width, setup.height);
    for ((pixel, &met), &open) in mask.iter_mut().zip(met).zip(open) {
        *pixel = if met && open >= 0.5 { 255 } else { 0 };
    }
    mask
}

/// `[x, y, width, height]` of what is white, if anything is.
pub(super) fn extent(mask: &GrayImage) -> Option<[u32; 4]> {
    let mut found: Option<[u32; 4]> = None;
    for (x, y, &Luma([value])) in mask.enumerate_pixels() {
        if value > 0 {
            let [x0, y0, x1, y1] = found.unwrap_or([x, y, x, y]);
            found = Some([x0.min(x), y0.min(y), x1.max(x), y1.max(y)]);
        }
    }
    found.map(|[x0, y0, x1, y1]| [x0, y0, x1 - x0 + 1, y1 - y0 + 1])
}
