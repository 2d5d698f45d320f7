//! Is bone bright, as it should be?

use image::GrayImage;

/// Whether a film looks like a negative: air bright and bone dark.
///
/// Compares the border, mostly air, with the middle, mostly the limb.
pub fn looks_inverted(film: &GrayImage) -> bool {
    let (width, height) = film.dimensions();
    let (mut border, mut middle) = ((0u64, 0u64), (0u64, 0u64));
    for (x, y, pixel) in film.enumerate_pixels() {
        let side = |at: u32, length: u32| at.min(length - 1 - at) * 8 / length;
        let sum = if side(x, width).min(side(y, height)) == 0 { &mut border } else { &mut middle };
        sum.0 += u64::from(pixel.0[0]);
        sum.1 += 1;
    }
    border.0 * middle.1.max(1) > middle.0 * border.1.max(1)
}
