//! Augmentation of whole batches on their device: one affine warp, then grey values, noise and cut-out.
//!
//! What happens to a view depends only on (seed, epoch, view), to the last bit: never on the batch it is in, the order
//! of batches, threads or a resumed run. So every number is drawn from a generator keyed by these three, and on the
//! device there are only operations whose rounding is the same wherever a pixel lies in a batch: no sums over pixels,
//! no library functions such as a power, whose vector and scalar forms differ in the last bit.

mod change;
mod pixels;

use serde::{Deserialize, Serialize};
use tch::Tensor;

use change::Change;

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
    /// Mirror top and bottom. Default false: films have a top and a bottom.
    pub flip_vertical: bool,
    /// Added brightness, as a fraction of the grey range. Default ±0.08.
    pub brightness: f64,
    /// Contrast: 0.15 means 0.85 to 1.15 times around mid-grey. Default ±0.15.
    pub contrast: f64,
    /// Gamma: 0.15 means an exponent of 1/1.15 to 1.15 on grey values, drawn evenly on a logarithmic scale. Default
    /// 0.15.
    ///
    /// In Schlick's rational form (Graphics Gems IV, 1994, p. 401): exact at black, mid-grey and white, within 0.02 of
    /// the power between them up to 0.15, within 0.12 up to 1.
    #[serde(default)]
    pub gamma: f64,
    /// Noise: the largest standard deviation, as a fraction of the grey range; each view's own is drawn from 0 to this.
    /// Default 0.01, about three grey levels.
    ///
    /// Nearly Gaussian: the sum of four uniform numbers, never beyond 3.5 standard deviations.
    #[serde(default)]
    pub noise: f64,
    /// Cut-out (DeVries & Taylor, arXiv:1708.04552): the largest side of one black square, as a fraction of the film's;
    /// each view's own is drawn from 0 to this, its centre anywhere. Default 0.15, at most 2 % of the film.
    #[serde(default)]
    pub cutout: f64,
    /// What lies beyond the edge. Default black.
    pub border: Border,
    /// Rotation in degrees drawn once per view for all epochs, with a horizontal flip, before the rest: the original's
    /// second augmentation at load. Default 0: none.
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
            gamma: 0.15,
            noise: 0.01,
            cutout: 0.15,
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
            gamma: 0.0,
            noise: 0.0,
            cutout: 0.0,
            ..Augment::default()
        }
    }

    /// The original project's: a flip and ±30° once at load, then ±30°, shifts of ±0.3, zoom ±0.3, a slight shear
    /// (Keras reads its `shear_range` of 0.2 in degrees) and flips both ways in each epoch.
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
            gamma: 0.0,
            noise: 0.0,
            cutout: 0.0,
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
            ("augment.gamma", self.gamma, 1.0),
            ("augment.noise", self.noise, 0.5),
            ("augment.cutout", self.cutout, 0.9),
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
    /// - `views`: the `N` views' numbers, from which their changes are drawn; in training a view's position in the list
    ///   of training films, which is ordered by path
    /// - returns: as `films`
    pub fn apply(&self, films: &Tensor, views: &[usize], seed: u64, epoch: usize) -> Tensor {
        let changes: Vec<Change> = views.iter().map(|&view| self.draw(seed, epoch, view)).collect();
        let batch = pixels::BatchChanges::new(&changes, films);
        let mut films = films.shallow_clone();
        if self.warps() {
            films = batch.warp(&films, self.border);
        }
        if self.gamma > 0.0 {
            films = batch.gamma(&films);
        }
        if self.contrast > 0.0 || self.brightness > 0.0 {
            films = batch.grey(&films);
        }
        if self.noise > 0.0 {
            films = batch.noise(&films);
        }
        if self.cutout > 0.0 {
            films = batch.cut_out(&films);
        }
        films
    }

    fn warps(&self) -> bool {
        let ranges = [self.rotation, self.shift, self.zoom, self.shear, self.at_load_rotation];
        self.flip_horizontal || self.flip_vertical || ranges.iter().any(|range| *range > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::change::Warp;
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
        assert!(Augment::none().apply(&films, &[0, 1, 2], 0, 0).equal(&films));
    }

    /// Everything at once, on films of an odd size, so that no vector of the processor ends where a film does.
    fn everything() -> Augment {
        Augment {
            shear: 5.0,
            flip_vertical: true,
            at_load_rotation: 20.0,
            noise: 0.1,
            cutout: 0.5,
            ..Augment::default()
        }
    }

    #[test]
    fn a_views_change_is_the_same_to_the_last_bit_alone_in_any_batch_and_in_any_order() {
        let augment = everything();
        let n = 33;
        let ramp = Tensor::arange(n * 37 * 41, (Kind::Float, Device::Cpu)) * 0.37;
        let films = ramp.sin().abs().view([n, 1, 37, 41]);
        let views: Vec<usize> = (0..n as usize).map(|view| 3 * view + 1).collect();
        let batch = augment.apply(&films, &views, 7, 2);
        for (at, view) in views.iter().enumerate() {
            let alone = augment.apply(&films.narrow(0, at as i64, 1), &[*view], 7, 2);
            assert!(alone.get(0).equal(&batch.get(at as i64)), "view {view}");
        }
        let reversed: Vec<usize> = views.iter().rev().copied().collect();
        assert!(augment.apply(&films.flip([0]), &reversed, 7, 2).flip([0]).equal(&batch));
        for at in (0..n - 5).step_by(5) {
            let part = augment.apply(&films.narrow(0, at, 5), &views[at as usize..at as usize + 5], 7, 2);
            assert!(part.equal(&batch.narrow(0, at, 5)));
        }
        let threads = tch::get_num_threads();
        tch::set_num_threads(1);
        let single = augment.apply(&films, &views, 7, 2);
        tch::set_num_threads(threads);
        assert!(single.equal(&batch));
    }

    #[test]
    fn a_views_change_depends_on_seed_epoch_and_view_in_every_part() {
        let none = Augment::none();
        let film = (films(1) * 0.8 + 0.1).contiguous();
        for (part, augment) in [
            ("warp", Augment { rotation: 10.0, ..none.clone() }),
            ("gamma", Augment { gamma: 0.5, ..none.clone() }),
            ("contrast", Augment { contrast: 0.5, ..none.clone() }),
            ("noise", Augment { noise: 0.1, ..none.clone() }),
            ("cut-out", Augment { cutout: 0.9, ..none.clone() }),
        ] {
            let changed = |view, seed, epoch| augment.apply(&film, &[view], seed, epoch);
            let one = changed(9, 7, 2);
            assert!(one.equal(&changed(9, 7, 2)), "{part}");
            for other in [changed(8, 7, 2), changed(9, 6, 2), changed(9, 7, 3), film.shallow_clone()] {
                assert!(!one.equal(&other), "{part}");
            }
            let (least, most) = (one.min().double_value(&[]), one.max().double_value(&[]));
            assert!(least >= 0.0 && most <= 1.0, "{part}: {least} to {most}");
        }
    }

    #[test]
    fn the_warp_is_torchs_affine_grid_and_a_flip_mirrors_and_a_quarter_turn_is_rot90() {
        let film = films(1);
        let warped = |augment: &Augment| augment.apply(&film, &[0], 0, 0);
        let steep = Augment { rotation: 40.0, shear: 10.0, zoom: 0.3, shift: 0.2, ..Augment::none() };
        for augment in [steep, Augment::reference()] {
            let theta = Tensor::from_slice(&augment.draw(0, 0, 0).warp).view([1, 2, 3]);
            let padding = i64::from(augment.border == Border::Edge);
            let grid = Tensor::affine_grid_generator(&theta, film.size(), false);
            assert!(close(&warped(&augment), &film.grid_sampler(&grid, 0, padding, false)));
        }
        let warp = |warp: Warp| {
            let theta = Tensor::from_slice(&warp.0.map(|v| v as f32)).view([1, 2, 3]);
            film.grid_sampler(&Tensor::affine_grid_generator(&theta, film.size(), false), 0, 0, false)
        };
        assert!(close(&warp(Warp::IDENTITY.flip(true, false)), &film.flip([3])));
        assert!(close(&warp(Warp::IDENTITY.flip(false, true)), &film.flip([2])));
        assert!(close(&warp(Warp::IDENTITY.rotate(90.0)), &film.rot90(1, [2, 3])));
    }

    #[test]
    fn a_square_no_larger_than_set_is_cut_out_anywhere() {
        let augment = Augment { cutout: 0.25, ..Augment::none() };
        let white = Tensor::ones([400, 1, 40, 40], (Kind::Float, Device::Cpu));
        let views: Vec<usize> = (0..400).collect();
        let holes: Tensor = 1.0 - augment.apply(&white, &views, 0, 0);
        let areas = Vec::<f64>::try_from(holes.sum_dim_intlist([1, 2, 3].as_slice(), false, Kind::Double)).unwrap();
        assert!(areas.iter().all(|area| *area <= 100.0), "at most 10 × 10 pixels");
        assert!(areas.iter().any(|area| *area >= 64.0));
        // Each pixel is met: the expected share is a twelfth of 0.25 squared times four, so about two of 400.
        let met = holes.sum_dim_intlist([0].as_slice(), false, Kind::Double);
        assert!(met.count_nonzero(None).int64_value(&[]) > 1200);
    }

    #[test]
    fn a_card_from_before_gamma_noise_and_cut_out_means_none_of_them() {
        let mut old = serde_json::to_value(Augment::default()).unwrap();
        for name in ["gamma", "noise", "cutout"] {
            assert!(old.as_object_mut().unwrap().remove(name).is_some());
        }
        let read: Augment = serde_json::from_value(old).unwrap();
        assert_eq!(read, Augment { gamma: 0.0, noise: 0.0, cutout: 0.0, ..Augment::default() });
    }

    #[test]
    fn ranges_are_checked() {
        let error = Augment { zoom: 1.5, ..Augment::default() }.validate().unwrap_err().to_string();
        assert_eq!(error, "augment.zoom: expected 0 to 0.9, got 1.5");
        assert!(Augment::reference().validate().is_ok());
    }
}
