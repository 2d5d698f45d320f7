//! A plain map of numbers: a CAM, or one channel of an activation.

use image::{GrayImage, Luma};

use crate::{Error, Result};

/// Numbers on a grid, row by row from the top left; `values.len() == width * height`.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// The numbers, row-major.
    pub values: Vec<f32>,
}

impl Map {
    /// A map of `width × height` values.
    ///
    /// # Errors
    /// [`Error::Figure`] if a side is 0 or the number of values is not `width * height`.
    pub fn new(width: usize, height: usize, values: Vec<f32>) -> Result<Map> {
        let map = Map { width, height, values };
        map.check()?;
        Ok(map)
    }

    /// Checks that there are as many values as width and height need.
    ///
    /// # Errors
    /// [`Error::Figure`].
    pub fn check(&self) -> Result<()> {
        let (width, height, values) = (self.width, self.height, self.values.len());
        if values > 0 && width.checked_mul(height) == Some(values) {
            return Ok(());
        }
        Err(Error::Figure(format!("a map of {width} × {height} needs as many values, got {values}")))
    }

    /// The map stretched to `0.0..=1.0`: `(v − min) / (max − min)`. A flat map becomes zeros, and what is not finite
    /// becomes 0, so the result is never NaN.
    pub fn normalised(&self) -> Map {
        let finite = || self.values.iter().copied().filter(|v| v.is_finite());
        let low = finite().fold(f32::INFINITY, f32::min);
        let range = finite().fold(f32::NEG_INFINITY, f32::max) - low;
        let stretch = |&v: &f32| {
            if v.is_finite() && range > 0.0 { ((v - low) / range).clamp(0.0, 1.0) } else { 0.0 }
        };
        self.with(self.values.iter().map(stretch).collect())
    }

    /// The map at another size, bilinear between pixel centres and constant beyond the outermost, as
    /// `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)`.
    pub fn resized(&self, width: usize, height: usize) -> Map {
        self.part([0.0, 0.0, self.width as f64, self.height as f64], width, height)
    }

    /// A part of the map, `[left, top, width, height]` in its own cells, at any size, bilinear between the centres of
    /// cells as [`resized`](Self::resized).
    pub fn part(&self, [left, top, across, down]: [f64; 4], width: usize, height: usize) -> Map {
        let columns = neighbours(self.width, left, across, width);
        let mut values = Vec::with_capacity(width * height);
        for (above, below, down) in neighbours(self.height, top, down, height) {
            for &(left, right, across) in &columns {
                let row = |y: usize| {
                    let at = |x: usize| self.values[y * self.width + x];
                    at(left) + (at(right) - at(left)) * across
                };
                let top = row(above);
                values.push(top + (row(below) - top) * down);
            }
        }
        Map { width, height, values }
    }

    /// The map as the original notebooks drew activations: standardised by its own mean and (population) deviation,
    /// times 64, plus 128, cut off at 0 and 255, fractions dropped. So 0 is −2 deviations, 255 is +2. A flat map is 128
    /// throughout.
    pub fn standardised(&self) -> GrayImage {
        let n = self.values.len() as f64;
        let mean = self.values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let variance = self.values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
        // Rounding leaves a flat map with a deviation of about 1e-7 of its mean, which is not one.
        let deviation = variance.sqrt();
        let flat = deviation.is_nan() || deviation <= 1e-6 * mean.abs();
        GrayImage::from_fn(self.width as u32, self.height as u32, |x, y| {
            let value = f64::from(self.values[y as usize * self.width + x as usize]);
            let scaled = if flat { 128.0 } else { (value - mean) / deviation * 64.0 + 128.0 };
            Luma([scaled as u8])
        })
    }

    fn with(&self, values: Vec<f32>) -> Map {
        Map { values, ..*self }
    }
}

/// For each of `to` pixels over `length` cells from `start` on: the two of `cells` that it lies between, and how far it
/// is from the first.
fn neighbours(cells: usize, start: f64, length: f64, to: usize) -> Vec<(usize, usize, f32)> {
    let last = cells - 1;
    (0..to)
        .map(|i| {
            let place = (start + (i as f64 + 0.5) * length / to as f64 - 0.5).clamp(0.0, last as f64);
            let first = (place as usize).min(last);
            (first, (first + 1).min(last), (place - first as f64) as f32)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_map_normalises_to_zeros() {
        let map = Map::new(2, 2, vec![3.5; 4]).unwrap().normalised();
        assert_eq!(map.values, [0.0; 4]);
    }

    #[test]
    fn normalising_spans_zero_to_one_and_never_gives_nan() {
        let map = Map::new(2, 2, vec![-1.0, f32::NAN, 3.0, f32::INFINITY]).unwrap();
        assert_eq!(map.normalised().values, [0.0, 0.0, 1.0, 0.0]);
        assert_eq!(Map::new(1, 1, vec![f32::NAN]).unwrap().normalised().values, [0.0]);
    }

    #[test]
    fn resizing_equals_torch() {
        // F.interpolate(torch.arange(4.).view(1,1,2,2), (4,4), mode="bilinear")
        let map = Map::new(2, 2, vec![0.0, 1.0, 2.0, 3.0]).unwrap().resized(4, 4);
        let row = [0.0, 0.25, 0.75, 1.0];
        let expected: Vec<f32> = [0.0, 0.5, 1.5, 2.0].iter().flat_map(|r| row.map(|c| r + c)).collect();
        assert_eq!(map.values, expected);
        // F.interpolate(torch.tensor([[1., 5, 2], [7, 3, 4]]).view(1, 1, 2, 3), (3, 5), mode="bilinear")
        let map = Map::new(3, 2, vec![1.0, 5.0, 2.0, 7.0, 3.0, 4.0]).unwrap();
        let expected = [1.0, 2.6, 5.0, 3.2, 2.0, 4.0, 4.0, 4.0, 3.4, 3.0, 7.0, 5.4, 3.0, 3.6, 4.0];
        for (ours, theirs) in map.resized(5, 3).values.iter().zip(expected) {
            assert!((ours - theirs).abs() < 1e-5, "{ours} {theirs}");
        }
    }

    #[test]
    fn resizing_to_the_same_size_changes_nothing() {
        let map = Map::new(3, 2, vec![0.1, 0.9, 0.3, 0.7, 0.2, 0.5]).unwrap();
        assert_eq!(map.resized(3, 2), map);
        assert_eq!(Map::new(1, 1, vec![0.4]).unwrap().resized(2, 3).values, [0.4; 6]);
    }

    #[test]
    fn standardising_follows_the_original_formula() {
        // numpy: c = np.array([0, 1, 2, 3, 10.]); ((c - c.mean()) / c.std() * 64 + 128).clip(0, 255).astype("uint8")
        let map = Map::new(5, 1, vec![0.0, 1.0, 2.0, 3.0, 10.0]).unwrap();
        assert_eq!(map.standardised().into_raw(), [70, 88, 106, 124, 250]);
        let mut spike = vec![0.0; 100];
        spike[7] = 1e6;
        assert_eq!(Map::new(10, 10, spike).unwrap().standardised().into_raw()[7], 255);
    }

    #[test]
    fn a_flat_channel_is_drawn_in_the_middle_of_the_scale() {
        for value in [0.0, -0.1, 3.3e7, f32::NAN] {
            let grey = Map::new(3, 3, vec![value; 9]).unwrap().standardised();
            assert_eq!(grey.into_raw(), [128; 9], "{value}");
        }
    }

    #[test]
    fn a_map_of_the_wrong_length_is_refused() {
        for (width, height) in [(2, 2), (0, 3), (usize::MAX, 2)] {
            let error = Map::new(width, height, vec![0.0; 3]).unwrap_err();
            assert!(matches!(error, Error::Figure(_)));
        }
    }
}
