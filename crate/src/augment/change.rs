//! What is drawn for one view.

use std::f64::consts::PI;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Augment;

/// The changes to one view in one epoch.
#[derive(Debug)]
pub(super) struct Change {
    /// From output to input coordinates: see [`Warp`].
    pub warp: [f32; 6],
    /// Added.
    pub brightness: f32,
    /// Factor around mid-grey.
    pub contrast: f32,
    /// `2^exponent - 2`, which Schlick's form needs.
    pub bend: f32,
    /// Standard deviation of the noise.
    pub deviation: f32,
    /// From which each pixel's noise is made.
    pub noise_key: i32,
    /// Centre and half a side of the square that is cut out, as fractions of the film.
    pub square: [f32; 3],
}

impl Augment {
    /// What happens to `view` in `epoch`. Everything is drawn, wanted or not, and new things last, so that one setting
    /// never changes what another draws.
    pub(super) fn draw(&self, seed: u64, epoch: usize, view: usize) -> Change {
        let mut load = generator(seed, u64::MAX, view);
        let mut warp = Warp::IDENTITY;
        if self.at_load_rotation > 0.0 {
            warp = warp.flip(load.random::<bool>(), false).rotate(within(&mut load, self.at_load_rotation));
        }
        let rng = &mut generator(seed, epoch as u64, view);
        warp = warp
            .flip(self.flip_horizontal && rng.random::<bool>(), self.flip_vertical && rng.random::<bool>())
            .rotate(within(rng, self.rotation))
            .shear(within(rng, self.shear))
            .zoom(1.0 + within(rng, self.zoom))
            // The normalised coordinates run from -1 to 1, so a whole width is 2.
            .shift(2.0 * within(rng, self.shift), 2.0 * within(rng, self.shift));
        Change {
            warp: warp.0.map(|value| value as f32),
            brightness: within(rng, self.brightness) as f32,
            contrast: 1.0 + within(rng, self.contrast) as f32,
            bend: bend((1.0 + self.gamma).powf(within(rng, 1.0))),
            deviation: (self.noise * rng.random::<f64>()) as f32,
            noise_key: rng.random(),
            square: [rng.random(), rng.random(), (0.5 * self.cutout * rng.random::<f64>()) as f32],
        }
    }
}

/// What Schlick's form needs of an exponent.
fn bend(exponent: f64) -> f32 {
    (exponent.exp2() - 2.0) as f32
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

/// A 2×3 matrix from output to input coordinates, row by row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Warp(pub [f64; 6]);

impl Warp {
    pub const IDENTITY: Warp = Warp([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);

    /// Applies the 2×2 matrix `m` to the output coordinates before what is there already.
    fn then(self, [a, b, c, d]: [f64; 4]) -> Warp {
        let [p, q, x, r, s, y] = self.0;
        Warp([p * a + q * c, p * b + q * d, x, r * a + s * c, r * b + s * d, y])
    }

    pub fn flip(self, horizontal: bool, vertical: bool) -> Warp {
        let sign = |flip| if flip { -1.0 } else { 1.0 };
        self.then([sign(horizontal), 0.0, 0.0, sign(vertical)])
    }

    pub fn rotate(self, degrees: f64) -> Warp {
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
    use super::*;

    #[test]
    fn schlicks_form_stays_as_close_to_the_power_as_documented() {
        let form = |x: f64, exponent: f64| x / (f64::from(bend(exponent)) * (1.0 - x) + 1.0);
        for (gamma, most) in [(0.15, 0.02), (1.0, 0.12)] {
            for exponent in [1.0 / (1.0 + gamma), 1.0 + gamma] {
                let off = |i: u32| {
                    let x = f64::from(i) / 1000.0;
                    (form(x, exponent) - x.powf(exponent)).abs()
                };
                let worst = (0..=1000).map(off).fold(0.0, f64::max);
                assert!(worst < most, "{exponent}: {worst}");
                assert!([0, 500, 1000].iter().all(|i| off(*i) < 1e-6), "{exponent}");
            }
        }
    }
}
