//! What a film looks like, small enough to compare it with every other: a thumbnail, and hashes of 256 bits.
//!
//! A hash has the signs of random projections (Charikar, STOC 2002) of the film's relief at 16 × 16 cells, so that the
//! share of differing bits tells the angle between two reliefs: copies that were encoded or scaled anew differ in few
//! bits. The relief is each cell less its surroundings, since the large shades are alike on all films of one machine.
//! Unlike the usual DCT and difference hashes, a hash is also made of each of some windows, so that a copy that was cut
//! by up to about 8 % on each side is found, and of the film without flat borders.
//!
//! The hashes of the crate `image_hasher`, computed outside this repository and without a false pair, find at best
//! (DCT, median, 256 bits) 40 of FracAtlas' 43 copies, where these and [`super::alignment`] find all, and 8 of 40 films
//! that were cut by up to 4 % on each side.

use image::GrayImage;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Cells along a side of a thumbnail.
pub(super) const SIDE: usize = 64;

/// Cells along a side of what is hashed.
const CELLS: usize = 16;

/// A film at 64 × 64, stretched to its square and to all grey levels: 4 kB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Thumbnail(pub(super) Box<[u8]>);

/// 256 bits; [`distance`] compares two.
pub(super) type Hash = [u64; 4];

/// A rectangle of a thumbnail: left, top, right, bottom in cells.
pub(super) type Window = [f32; 4];

/// The whole thumbnail.
pub(super) const WHOLE: Window = [0.0, 0.0, SIDE as f32, SIDE as f32];

impl Thumbnail {
    /// The thumbnail of a film; `None` for a flat one, which looks like every other flat one.
    pub fn of(film: &GrayImage) -> Option<Thumbnail> {
        let window = [0.0, 0.0, film.width() as f32, film.height() as f32];
        let cells = area(film.as_raw(), film.width() as usize, window, SIDE);
        let low = cells.iter().copied().fold(f32::INFINITY, f32::min);
        let high = cells.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let stretch = |cell: &f32| ((cell - low) / (high - low) * 255.0).round() as u8;
        (high - low >= 4.0).then(|| Thumbnail(cells.iter().map(stretch).collect()))
    }

    /// The relief of a window at `n × n` cells.
    pub(super) fn relief(&self, window: Window, n: usize) -> Vec<f32> {
        relief(&area(&self.0, SIDE, window, n), n)
    }

    /// The part inside borders of one grey, as letterboxing leaves them; the whole if there are none.
    pub(super) fn inner(&self) -> Window {
        let cell = |x: usize, y: usize| self.0[y * SIDE + x];
        let is_flat = |line: &mut dyn Iterator<Item = u8>| {
            let (low, high) = line.fold((255, 0), |(low, high), v| (v.min(low), v.max(high)));
            high <= low.saturating_add(1)
        };
        let row = |y: &usize| is_flat(&mut (0..SIDE).map(|x| cell(x, *y)));
        let column = |x: &usize| is_flat(&mut (0..SIDE).map(|y| cell(*x, y)));
        let top = (0..SIDE).take_while(row).count();
        let bottom = (0..SIDE).rev().take_while(row).count();
        let left = (0..SIDE).take_while(column).count();
        let right = (0..SIDE).rev().take_while(column).count();
        let inner = [left, top, SIDE.saturating_sub(right), SIDE.saturating_sub(bottom)].map(|at| at as f32);
        if inner[2] - inner[0] < 16.0 || inner[3] - inner[1] < 16.0 { WHOLE } else { inner }
    }
}

/// Twenty windows of a window: itself, and nine places of one 5 % and one 10 % smaller.
pub(super) fn windows([left, top, right, bottom]: Window) -> Vec<Window> {
    let (width, height) = (right - left, bottom - top);
    let mut windows = vec![[left, top, right, bottom]];
    for cut in [0.05, 0.10] {
        for (x, y) in (0..9).map(|at| ((at % 3) as f32 / 2.0, (at / 3) as f32 / 2.0)) {
            let (left, top) = (left + width * cut * x, top + height * cut * y);
            windows.push([left, top, left + width * (1.0 - cut), top + height * (1.0 - cut)]);
        }
    }
    windows
}

/// The random projections.
#[derive(Debug)]
pub(super) struct Hasher(Vec<f32>);

impl Default for Hasher {
    /// Always the same ones.
    fn default() -> Hasher {
        let mut rng = ChaCha8Rng::seed_from_u64(256);
        Hasher((0..256 * CELLS * CELLS).map(|_| if rng.random::<bool>() { 1.0 } else { -1.0 }).collect())
    }
}

impl Hasher {
    /// The hash of a part of a film.
    pub(super) fn window(&self, film: &Thumbnail, window: Window) -> Hash {
        let relief = film.relief(window, CELLS);
        let mut hash = [0; 4];
        for (bit, signs) in self.0.chunks_exact(CELLS * CELLS).enumerate() {
            // Sixteen sums side by side, so that the compiler makes vectors of them.
            let mut sums = [0.0; CELLS];
            for (signs, cells) in signs.chunks_exact(CELLS).zip(relief.chunks_exact(CELLS)) {
                (0..CELLS).for_each(|lane| sums[lane] += signs[lane] * cells[lane]);
            }
            hash[bit / 64] |= u64::from(sums.iter().sum::<f32>() > 0.0) << (bit % 64);
        }
        hash
    }
}

/// How many of 256 bits differ; 128 are to be expected of films that have nothing in common.
pub(super) fn distance(a: &Hash, b: &Hash) -> u32 {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
}

/// The mean grey of each of `n × n` cells of a window, pixels on the edge counted by their share.
pub(super) fn area<P: Copy + Into<f32>>(
    pixels: &[P],
    width: usize,
    [left, top, right, bottom]: Window,
    n: usize,
) -> Vec<f32> {
    let across = shares(left, right, width, n);
    let down = shares(top, bottom, pixels.len() / width, n);
    let mut cells = vec![0.0; n * n];
    let mut line = vec![0.0; n];
    for (row, shares) in pixels.chunks_exact(width).zip(&down) {
        if shares.is_empty() {
            continue;
        }
        line.fill(0.0);
        for (pixel, shares) in row.iter().zip(&across) {
            let grey: f32 = (*pixel).into();
            for (cell, share) in shares {
                line[*cell] += grey * share;
            }
        }
        for (cell, share) in shares {
            let row = &mut cells[cell * n..(cell + 1) * n];
            row.iter_mut().zip(&line).for_each(|(sum, grey)| *sum += grey * share);
        }
    }
    cells
}

/// For each pixel along a side, the cells that it lies in and its share of each.
fn shares(from: f32, to: f32, pixels: usize, n: usize) -> Vec<Vec<(usize, f32)>> {
    let scale = n as f32 / (to - from);
    let of = |at: usize| {
        let (start, end) = ((at as f32 - from) * scale, (at as f32 + 1.0 - from) * scale);
        let cells = start.max(0.0) as usize..(end.max(0.0).ceil() as usize).min(n);
        let share = |cell: usize| end.min(cell as f32 + 1.0) - start.max(cell as f32);
        cells.map(|cell| (cell, share(cell))).filter(|(_, share)| *share > 0.0).collect()
    };
    (0..pixels).map(of).collect()
}

/// Each cell less the mean of the 5 × 5 cells around it.
pub(super) fn relief(cells: &[f32], n: usize) -> Vec<f32> {
    let mut across = vec![0.0; n * n];
    for y in 0..n {
        for x in 0..n {
            let (from, to) = (x.saturating_sub(2), (x + 3).min(n));
            let line = &cells[y * n + from..y * n + to];
            across[y * n + x] = line.iter().sum::<f32>() / line.len() as f32;
        }
    }
    let mut relief = vec![0.0; n * n];
    for y in 0..n {
        let (from, to) = (y.saturating_sub(2), (y + 3).min(n));
        for x in 0..n {
            let around: f32 = (from..to).map(|y| across[y * n + x]).sum::<f32>() / (to - from) as f32;
            relief[y * n + x] = cells[y * n + x] - around;
        }
    }
    relief
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;

    fn film(seed: u32) -> GrayImage {
        let wave = |x: u32, k: u32| f64::from(x * k + seed * 37).sin() * 40.0;
        GrayImage::from_fn(320, 260, |x, y| {
            let bone = if (x + seed * 9) / 40 % 3 == 1 { 90.0 } else { 20.0 };
            Luma([(bone + wave(x / 20 + y / 30 * seed, 3) + wave(y / 26, seed + 1) + 60.0).clamp(0.0, 255.0) as u8])
        })
    }

    fn hash(film: &GrayImage) -> Hash {
        Hasher::default().window(&Thumbnail::of(film).unwrap(), WHOLE)
    }

    #[test]
    fn cells_are_means_whatever_the_sizes() {
        let pixels: Vec<f32> = (0..12).map(|n| n as f32).collect();
        assert_eq!(area(&pixels, 4, [0.0, 0.0, 4.0, 3.0], 1), [5.5]);
        let halves = area(&pixels, 4, [0.0, 0.0, 4.0, 3.0], 2);
        assert!((halves[0] - (0.0 + 1.0 + (4.0 + 5.0) / 2.0) / 3.0).abs() < 1e-6, "{halves:?}");
        let larger = area(&pixels, 4, [1.0, 1.0, 2.0, 2.0], 3);
        assert!(larger.iter().all(|cell| (cell - 5.0).abs() < 1e-5), "{larger:?}");
    }

    #[test]
    fn a_copy_scaled_and_stretched_in_grey_keeps_its_hash_and_another_film_does_not() {
        let (one, other) = (film(1), film(2));
        let mut copy = image::imageops::resize(&one, 200, 170, image::imageops::FilterType::Triangle);
        copy.pixels_mut().for_each(|pixel| pixel.0[0] = pixel.0[0] / 2 + 30);
        assert!(distance(&hash(&one), &hash(&copy)) < 16);
        assert!(distance(&hash(&one), &hash(&other)) > 70);
    }

    #[test]
    fn a_flat_film_has_no_thumbnail() {
        assert_eq!(Thumbnail::of(&GrayImage::from_pixel(90, 70, Luma([99]))), None);
        assert!(Thumbnail::of(&GrayImage::from_fn(1, 1, |_, _| Luma([0]))).is_none());
    }

    #[test]
    fn flat_borders_are_cut_off() {
        let mut framed = GrayImage::new(640, 640);
        image::imageops::overlay(&mut framed, &film(1), 160, 160);
        let inner = Thumbnail::of(&framed).unwrap().inner();
        assert_eq!(inner, [16.0, 16.0, 48.0, 42.0]);
        assert_eq!(Thumbnail::of(&film(1)).unwrap().inner(), WHOLE);
    }
}
