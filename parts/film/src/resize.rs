//! Pillow's `resize(…, BILINEAR)`: a triangle filter as wide as the reduction asks, in Pillow's fixed point.
//!
//! Equal to the last bit where Pillow goes across first and then down, as it does for most shapes; within one grey
//! level where Pillow 13 goes down first (most films more than twice as tall as wide). Written here because rounding
//! decides: the SIMD resizers use fewer bits, and came out two grey levels away.

use image::GrayImage;

/// Pillow's `PRECISION_BITS`: 32 bits less 8 for the pixel and 2 for the sum.
const BITS: u32 = 22;

/// Which source pixels make one target pixel, and their weights times `2^BITS`.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

/// The taps of every target pixel along one side.
fn taps(source: usize, target: usize) -> Vec<Taps> {
    let scale = source as f64 / target as f64;
    let reach = scale.max(1.0);
    // A factor, as in Pillow: dividing would round some weights otherwise.
    let narrow = 1.0 / reach;
    let of = |at: usize| {
        let centre = (at as f64 + 0.5) * scale;
        let first = (centre - reach + 0.5).max(0.0) as usize;
        let end = ((centre + reach + 0.5) as usize).min(source);
        let triangle = |x: usize| (1.0 - ((x as f64 - centre + 0.5) * narrow).abs()).max(0.0);
        let weights: Vec<f64> = (first..end).map(triangle).collect();
        let total: f64 = weights.iter().sum();
        let fixed = |weight: &f64| (weight / total * f64::from(1 << BITS) + 0.5) as i32;
        Taps { first, weights: weights.iter().map(fixed).collect() }
    };
    (0..target).map(of).collect()
}

/// A sum of weighted pixels, which began at half a grey level, to the pixel.
fn byte(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

const HALF: i32 = 1 << (BITS - 1);

/// Resizes to `width × height`, both at least 1, across first and then down.
pub fn resize(image: &GrayImage, width: u32, height: u32) -> GrayImage {
    let across = if width == image.width() { image.clone() } else { resize_rows(image, width) };
    if height == image.height() {
        return across;
    }
    resize_columns(&across, height)
}

/// Rows that are resized together: turned on their side, each weight serves all of them in one SIMD operation.
const LANES: usize = 16;

fn resize_rows(image: &GrayImage, width: u32) -> GrayImage {
    let (source, target) = (image.width() as usize, width as usize);
    let taps = taps(source, target);
    let mut pixels = vec![0; target * image.height() as usize];
    let mut columns = vec![[0u8; LANES]; source];
    for (rows, resized) in image.as_raw().chunks(LANES * source).zip(pixels.chunks_mut(LANES * target)) {
        for (lane, row) in rows.chunks_exact(source).enumerate() {
            for (column, pixel) in columns.iter_mut().zip(row) {
                column[lane] = *pixel;
            }
        }
        for (x, Taps { first, weights }) in taps.iter().enumerate() {
            let mut sums = [HALF; LANES];
            for (column, weight) in columns[*first..].iter().zip(weights) {
                for (sum, pixel) in sums.iter_mut().zip(column) {
                    *sum += i32::from(*pixel) * weight;
                }
            }
            for (row, sum) in resized.chunks_exact_mut(target).zip(sums) {
                row[x] = byte(sum);
            }
        }
    }
    GrayImage::from_raw(width, image.height(), pixels).expect("one byte was made for each pixel")
}

fn resize_columns(image: &GrayImage, height: u32) -> GrayImage {
    let width = image.width() as usize;
    let mut pixels = Vec::with_capacity(width * height as usize);
    let mut sums = vec![0; width];
    for Taps { first, weights } in taps(image.height() as usize, height as usize) {
        sums.fill(HALF);
        let rows = image.as_raw()[first * width..].chunks_exact(width);
        for (row, weight) in rows.zip(weights) {
            for (sum, pixel) in sums.iter_mut().zip(row) {
                *sum += i32::from(*pixel) * weight;
            }
        }
        pixels.extend(sums.iter().map(|sum| byte(*sum)));
    }
    GrayImage::from_raw(image.width(), height, pixels).expect("one byte was made for each pixel")
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;

    #[test]
    fn a_flat_film_stays_flat_at_every_size() {
        for level in [0, 1, 127, 254, 255] {
            let flat = GrayImage::from_pixel(57, 91, Luma([level]));
            for (width, height) in [(1, 1), (13, 91), (57, 8), (64, 64), (300, 500)] {
                let resized = resize(&flat, width, height);
                assert_eq!(resized.dimensions(), (width, height));
                assert!(resized.pixels().all(|pixel| pixel.0[0] == level), "{level} at {width} × {height}");
            }
        }
    }

    #[test]
    fn halving_weighs_four_neighbours_one_three_three_one() {
        let row = GrayImage::from_raw(6, 1, vec![0, 0, 80, 160, 0, 0]).unwrap();
        assert_eq!(resize(&row, 3, 1).as_raw(), &[11, 90, 23]);
    }
}
