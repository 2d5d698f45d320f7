//! What chance gives: maps that know nothing of the network.

use std::fmt;

use image::GrayImage;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::preprocess::Placement;
use render::Map;

/// A map that knows nothing of the network, beside which figures of others are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Chance {
    /// The same everywhere.
    Uniform,
    /// Highest in the middle of the film, where it is aimed at, and falling off as a bell a quarter of the film wide.
    Centred,
    /// Each cell at random.
    Random,
    /// The film itself: bright where it is bright.
    Brightest,
}

impl Chance {
    /// All of them.
    pub const ALL: [Chance; 4] = [Chance::Uniform, Chance::Centred, Chance::Random, Chance::Brightest];

    /// Such a map of `cells` columns and rows over the network's square, `0.0..=1.0`; `square` is the film as the
    /// network sees it, `number` makes each film's random map its own.
    pub fn map(self, cells: [usize; 2], square: &GrayImage, place: &Placement, number: u64) -> Map {
        let [width, height] = cells;
        let mut rng = ChaCha8Rng::seed_from_u64(number);
        let (wide, high) = (f64::from(square.width()) / width as f64, f64::from(square.height()) / height as f64);
        let away = |at: usize, cell: f64, start: u32, length: u32| {
            let middle = f64::from(start) + f64::from(length) / 2.0;
            ((at as f64 + 0.5) * cell - middle) / (f64::from(length) / 4.0)
        };
        let mut value = |x: usize, y: usize| match self {
            Chance::Uniform => 1.0,
            Chance::Random => rng.random::<f32>(),
            Chance::Centred => {
                let (dx, dy) = (away(x, wide, place.left, place.width), away(y, high, place.top, place.height));
                (-0.5 * (dx * dx + dy * dy)).exp() as f32
            }
            Chance::Brightest => {
                let range = |at: usize, cell: f64| ((at as f64 * cell) as u32, ((at + 1) as f64 * cell).ceil() as u32);
                let ((left, right), (top, bottom)) = (range(x, wide), range(y, high));
                let (right, bottom) = (right.min(square.width()), bottom.min(square.height()));
                let pixels = (top..bottom).flat_map(|y| (left..right).map(move |x| (x, y)));
                let sum: u32 = pixels.map(|(x, y)| u32::from(square.get_pixel(x, y)[0])).sum();
                sum as f32 / (255 * (right - left) * (bottom - top)).max(1) as f32
            }
        };
        let values = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| value(x, y)).collect();
        Map { width, height, values }
    }
}

impl fmt::Display for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Chance::Uniform => "uniform map",
            Chance::Centred => "centred map",
            Chance::Random => "random map",
            Chance::Brightest => "brightest pixels",
        })
    }
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;

    #[test]
    fn the_centred_map_peaks_in_the_middle_of_the_film_and_the_brightest_where_it_is_bright() {
        let square = GrayImage::from_fn(64, 64, |x, y| Luma([if x >= 40 && y < 8 { 255 } else { 0 }]));
        let place = Placement { image: (32, 64), left: 32, top: 0, width: 32, height: 64 };
        let peak = |map: &Map| (0..64).max_by(|&i, &j| map.values[i].total_cmp(&map.values[j])).unwrap();
        let of = |chance: Chance| chance.map([8, 8], &square, &place, 1);
        assert!([5, 6].contains(&(peak(&of(Chance::Centred)) % 8)));
        let bright = of(Chance::Brightest);
        assert_eq!((bright.values[5], bright.values[4], bright.values[13]), (1.0, 0.0, 0.0));
        assert_eq!(of(Chance::Random), of(Chance::Random));
        assert_ne!(of(Chance::Random), Chance::Random.map([8, 8], &square, &place, 2));
    }
}
