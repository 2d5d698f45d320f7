//! Augmentation of whole batches on their device: one affine warp and one grey-value change a batch.
//!
//! What happens to a view depends only on (seed, epoch, view): never on the order of batches, threads or a resumed run.

use std::f64::consts::PI;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::error::{Error, Result};

/// What lies beyond the edge of a warped film.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Border {
    /// Black, like collimation.
    Black,
    /// The nearest edge pixel, Keras' `fill_mode="nearest"`.
    Edge,
}

/// How far films are changed at random. All ranges are symmetric around *unchanged*, drawn uniformly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// Rotation in degrees. Default ±15.
    pub rotation: f64,
    /// Shift, as a fraction of width and height. Default ±0.06.
    pub shift: f64,
    /// Zoom: 0.1 means 0.9 to 1.1 times. Default ±0.1.
    pub zoom: f64,
    /// Shear in degrees. Default 0.
    pub shear: f64,
    /// Mirror left and right, every second film. Default true: left and right arms are mirror images.
    pub flip_horizontal: bool,
    /// Mirror top and bottom. Default false: films have an upright.
    pub flip_vertical: bool,
    /// Added brightness, as a fraction of the grey range. Default ±0.08.
    pub brightness: f64,
    /// Contrast: 0.15 means 0.85 to 1.15 times around mid-grey. Default ±0.15.
    pub contrast: f64,
    /// What lies beyond the edge. Default black.
    pub border: Border,
    /// Rotation in degrees drawn once per view for all epochs, with a horizontal flip, before the rest: the original's second
    /// augmentation at load. Default 0: none.
    pub at_load_rotation: f64,
}

impl Default for Augment {
    fn default() -> Self {
        Augment {
            rotation: 15.0,
            shift: 0.06,
            zoom: 0.1,
            shear: 0.0,
            flip_horizontal: true,
            flip_vertical: false,
            brightness: 0.08,
            contrast: 0.15,
            border: Border::Black,
            at_load_rotation: 0.0,
        }
    }
}

impl Augment {
    /// Films as they are.
    pub fn none() -> Self {
        Augment {
            rotation: 0.0,
            shift: 0.0,
            zoom: 0.0,
            flip_horizontal: false,
            brightness: 0.0,
            contrast: 0.0,
            ..Augment::default()
        }
    }

    /// The original project's: a flip and ±30° once at load, then ±30°, shifts of ±0.3, zoom ±0.3, a slight shear (Keras reads its
    /// `shear_range` of 0.2 in degrees) and flips both ways in each epoch.
    pub fn reference() -> Self {
        Augment {
            rotation: 30.0,
            shift: 0.3,
            zoom: 0.3,
            shear: 0.2,
            flip_horizontal: true,
            flip_vertical: true,
            brightness: 0.0,
            contrast: 0.0,
            border: Border::Edge,
            at_load_rotation: 30.0,
        }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn validate(&self) -> Result<()> {
        for (what, value, most) in [
            ("augment.rotation", self.rotation, 180.0),
            ("augment.at_load_rotation", self.at_load_rotation, 180.0),
            ("augment.shear", self.shear, 45.0),
            ("augment.shift", self.shift, 0.9),
            ("augment.zoom", self.zoom, 0.9),
            ("augment.brightness", self.brightness, 1.0),
            ("augment.contrast", self.contrast, 0.9),
        ] {
            if !(0.0..=most).contains(&value) {
                return Err(Error::setting(what, format!("0 to {most}"), value));
            }
        }
        Ok(())
    }

    /// Changes a batch of films.
    ///
    /// # Shapes
    /// - `films`: `[N, 1, H, W]`, `f32` in `0.0..=1.0`, on any device
    /// - `views`: the `N` views' numbers, from which their changes are drawn
    /// - returns: as `films`
    pub fn apply(&self, films: &Tensor, views: &[usize], seed: u64, epoch: usize) -> Tensor {
        let changes: Vec<Change> = views.iter().map(|&view| self.draw(seed, epoch, view)).collect();
        let device = films.device();
        let column = |of: &dyn Fn(&Change) -> f32| {
            let values: Vec<f32> = changes.iter().map(of).collect();
            Tensor::from_slice(&values).view([-1, 1, 1, 1]).to_device(device)
        };
        let theta: Vec<f32> = changes.iter().flat_map(|c| c.theta).collect();
        let theta = Tensor::from_slice(&theta).view([-1, 2, 3]).to_device(device);
        let grid = Tensor::affine_grid_generator(&theta, films.size(), false);
        let padding = match self.border {
            Border::Black => 0,
            Border::Edge => 1,
        };
        let bilinear = 0;
        let warped = films.grid_sampler(&grid, bilinear, padding, false);
        if self.brightness == 0.0 && self.contrast == 0.0 {
            return warped;
        }
        let (contrast, brightness) = (column(&|c| c.contrast), column(&|c| c.brightness));
        ((warped - 0.5) * contrast + 0.5 + brightness).clamp(0.0, 1.0).to_kind(Kind::Float)
    }

    fn draw(&self, seed: u64, epoch: usize, view: usize) -> Change {
        let mut load = generator(seed, u64::MAX, view);
        let mut epochs = generator(seed, epoch as u64, view);
        let mut warp = Warp::IDENTITY;
        if self.at_load_rotation > 0.0 {
            warp = warp.flip(load.random::<bool>(), false).rotate(within(&mut load, self.at_load_rotation));
        }
        let rng = &mut epochs;
        warp = warp
            .flip(self.flip_horizontal && rng.random::<bool>(), self.flip_vertical && rng.random::<bool>())
            .rotate(within(rng, self.rotation))
            .shear(within(rng, self.shear))
            .zoom(1.0 + within(rng, self.zoom))
            // The normalised coordinates run from -1 to 1, so a whole width is 2.
            .shift(2.0 * within(rng, self.shift), 2.0 * within(rng, self.shift));
        Change {
            theta: warp.0.map(|value| value as f32),
            brightness: within(rng, self.brightness) as f32,
            contrast: 1.0 + within(rng, self.contrast) as f32,
        }
    }
}

fn generator(seed: u64, epoch: u64, view: usize) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&epoch.to_le_bytes());
    key[16..24].copy_from_slice(&(view as u64).to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

fn within(rng: &mut ChaCha8Rng, range: f64) -> f64 {
    (2.0 * rng.random::<f64>() - 1.0) * range
}

#[derive(Debug)]
struct Change {
    theta: [f32; 6],
    brightness: f32,
    contrast: f32,
}

/// A 2×3 matrix from output to input coordinates, row by row.
#[derive(Debug, Clone, Copy)]
struct Warp([f64; 6]);

impl Warp {
    const IDENTITY: Warp = Warp([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);

    /// Applies the 2×2 matrix `m` to the output coordinates before what is there already.
    fn then(self, [a, b, c, d]: [f64; 4]) -> Warp {
        let [p, q, x, r, s, y] = self.0;
        Warp([p * a + q * c, p * b + q * d, x, r * a + s * c, r * b + s * d, y])
    }

    fn flip(self, horizontal: bool, vertical: bool) -> Warp {
        let sign = |flip| if flip { -1.0 } else { 1.0 };
        self.then([sign(horizontal), 0.0, 0.0, sign(vertical)])
    }

    fn rotate(self, degrees: f64) -> Warp {
        let (sin, cos) = (degrees * PI / 180.0).sin_cos();
        self.then([cos, -sin, sin, cos])
    }

    fn shear(self, degrees: f64) -> Warp {
        self.then([1.0, (degrees * PI / 180.0).tan(), 0.0, 1.0])
    }

    fn zoom(self, factor: f64) -> Warp {
        self.then([1.0 / factor, 0.0, 0.0, 1.0 / factor])
    }

    fn shift(self, dx: f64, dy: f64) -> Warp {
        let [p, q, x, r, s, y] = self.0;
        Warp([p, q, x + p * dx + q * dy, r, s, y + r * dx + s * dy])
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    fn films(n: i64) -> Tensor {
        let ramp = Tensor::arange(n * 32 * 32, (Kind::Float, Device::Cpu));
        (ramp / (n * 32 * 32) as f64).view([n, 1, 32, 32])
    }

    fn close(a: &Tensor, b: &Tensor) -> bool {
        a.allclose(b, 1e-5, 1e-5, false)
    }

    #[test]
    fn no_augmentation_leaves_films_as_they_are() {
        let films = films(3);
        assert!(close(&Augment::none().apply(&films, &[0, 1, 2], 0, 0), &films));
    }

    #[test]
    fn a_views_change_depends_on_seed_epoch_and_view_and_not_on_its_place_in_the_batch() {
        let augment = Augment::default();
        let films = films(1).expand([3, 1, 32, 32], false).contiguous();
        let batch = augment.apply(&films, &[4, 9, 4], 7, 2);
        assert!(batch.get(0).equal(&batch.get(2)));
        assert!(!close(&batch.get(0), &batch.get(1)));
        let alone = augment.apply(&films.narrow(0, 0, 1), &[9], 7, 2);
        assert!(close(&alone.get(0), &batch.get(1)));
        let next_epoch = augment.apply(&films.narrow(0, 0, 1), &[9], 7, 3);
        assert!(!close(&next_epoch.get(0), &batch.get(1)));
    }

    #[test]
    fn a_flip_mirrors_and_a_quarter_turn_is_torchs_rot90() {
        let film = films(1);
        let warp = |warp: Warp| {
            let theta = Tensor::from_slice(&warp.0.map(|v| v as f32)).view([1, 2, 3]);
            film.grid_sampler(&Tensor::affine_grid_generator(&theta, film.size(), false), 0, 0, false)
        };
        assert!(close(&warp(Warp::IDENTITY.flip(true, false)), &film.flip([3])));
        assert!(close(&warp(Warp::IDENTITY.flip(false, true)), &film.flip([2])));
        assert!(close(&warp(Warp::IDENTITY.rotate(90.0)), &film.rot90(1, [2, 3])));
    }

    #[test]
    fn ranges_are_checked() {
        let error = Augment { zoom: 1.5, ..Augment::default() }.validate().unwrap_err().to_string();
        assert_eq!(error, "augment.zoom: expected 0 to 0.9, got 1.5");
        assert!(Augment::reference().validate().is_ok());
    }
}
