//! The changes carried out, on the device, for a whole batch.

use tch::{Device, Kind, Tensor};

use super::Border;
use super::change::Change;

/// Numbers of each view that travel to the device: six of the warp and seven more.
const COLUMNS: i64 = 13;

/// A batch's changes, on its device.
#[derive(Debug)]
pub(super) struct BatchChanges {
    /// `[N, COLUMNS, 1, 1]`.
    numbers: Tensor,
    /// `[N, 1, 1, 1]`, `i32`.
    keys: Tensor,
    height: i64,
    width: i64,
    device: Device,
}

impl BatchChanges {
    /// The changes of `films`, `[N, 1, H, W]`.
    pub fn new(changes: &[Change], films: &Tensor) -> BatchChanges {
        let device = films.device();
        let numbers: Vec<f32> = changes
            .iter()
            .flat_map(|change| {
                let [cx, cy, half] = change.square;
                let rest = [change.brightness, change.contrast, change.bend, change.deviation, cx, cy, half];
                change.warp.into_iter().chain(rest)
            })
            .collect();
        let keys: Vec<i32> = changes.iter().map(|change| change.noise_key).collect();
        let size = films.size();
        BatchChanges {
            numbers: Tensor::from_slice(&numbers).view([-1, COLUMNS, 1, 1]).to_device(device),
            keys: Tensor::from_slice(&keys).view([-1, 1, 1, 1]).to_device(device),
            height: size[2],
            width: size[3],
            device,
        }
    }

    /// One number of each view, `[N, 1, 1, 1]`.
    fn column(&self, at: i64) -> Tensor {
        self.numbers.narrow(1, at, 1)
    }

    /// The centres of the pixels along one side, mapped by `place` from `0.0..1.0`.
    fn centres(&self, length: i64, place: impl Fn(f64) -> f64) -> Tensor {
        let centres: Vec<f32> = (0..length).map(|i| place((i as f64 + 0.5) / length as f64) as f32).collect();
        Tensor::from_slice(&centres).to_device(self.device)
    }

    /// The affine warp. Its grid is made here: torch's own multiplies matrices, whose sums may be ordered by the batch.
    pub fn warp(&self, films: &Tensor, border: Border) -> Tensor {
        let x = self.centres(self.width, |x| 2.0 * x - 1.0).view([1, 1, 1, -1]);
        let y = self.centres(self.height, |y| 2.0 * y - 1.0).view([1, 1, -1, 1]);
        let row = |first: i64| &x * self.column(first) + (&y * self.column(first + 1) + self.column(first + 2));
        let grid = Tensor::cat(&[row(0), row(3)], 1).permute([0, 2, 3, 1]).contiguous();
        let padding = match border {
            Border::Black => 0,
            Border::Edge => 1,
        };
        let bilinear = 0;
        films.grid_sampler(&grid, bilinear, padding, false)
    }

    /// Schlick's form of a power.
    pub fn gamma(&self, films: &Tensor) -> Tensor {
        let films = films.clamp(0.0, 1.0);
        &films / ((1.0 - &films) * self.column(8) + 1.0)
    }

    /// Contrast and brightness.
    pub fn grey(&self, films: &Tensor) -> Tensor {
        ((films - 0.5) * self.column(7) + 0.5 + self.column(6)).clamp(0.0, 1.0)
    }

    /// Adds noise, made of the view's key and the pixel's number alone.
    pub fn noise(&self, films: &Tensor) -> Tensor {
        let pixels = Tensor::arange(self.height * self.width, (Kind::Int, self.device));
        let counter = pixels.view([1, 1, self.height, self.width]).bitwise_xor_tensor(&self.keys);
        let noise = nearly_gaussian(&hashed(counter)) * self.column(9);
        (films + noise).clamp(0.0, 1.0)
    }

    /// Blackens a square.
    pub fn cut_out(&self, films: &Tensor) -> Tensor {
        let half = self.column(12);
        let near = |centres: Tensor, middle: i64| (centres - self.column(middle)).abs().lt_tensor(&half);
        let across = near(self.centres(self.width, |x| x).view([1, 1, 1, -1]), 10);
        let down = near(self.centres(self.height, |y| y).view([1, 1, -1, 1]), 11);
        films.masked_fill(&across.logical_and(&down), 0.0)
    }
}

/// A well-mixed number for each, in place: Wellons' `lowbias32` (hash-prospector, public domain).
fn hashed(mut x: Tensor) -> Tensor {
    // Shifts of signed numbers bring copies of the sign, which the mask takes away.
    let fold = |x: &mut Tensor, by: i64| {
        let shifted = x.bitwise_right_shift_tensor_scalar(by).bitwise_and((1i64 << (32 - by)) - 1);
        let _ = x.bitwise_xor_tensor_(&shifted);
    };
    for (by, factor) in [(16, 0x7feb_352d_u32), (15, 0x846c_a68b)] {
        fold(&mut x, by);
        let _ = x.g_mul_scalar_(i64::from(factor as i32));
    }
    fold(&mut x, 16);
    x
}

/// Random bits to numbers of mean 0 and standard deviation 1, never beyond 3.5: the sum of four bytes.
fn nearly_gaussian(bits: &Tensor) -> Tensor {
    let even = bits.bitwise_and(0x00ff_00ff);
    let odd = bits.bitwise_right_shift_tensor_scalar(8).bitwise_and(0x00ff_00ff);
    let pairs = even + odd;
    let sums = pairs.bitwise_and(0xffff) + pairs.bitwise_right_shift_tensor_scalar(16);
    // A byte's variance is (256² - 1) / 12.
    let deviation = (4.0 * 65535.0 / 12.0f64).sqrt();
    (sums.to_kind(Kind::Float) - 510.0) * (1.0 / deviation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_lowbias32() {
        // Computed with unsigned arithmetic, as its author writes it.
        let lowbias32 = |mut x: u32| {
            x ^= x >> 16;
            x = x.wrapping_mul(0x7feb_352d);
            x ^= x >> 15;
            x = x.wrapping_mul(0x846c_a68b);
            x ^ (x >> 16)
        };
        let inputs: Vec<i32> = (0..5000).map(|i: i32| i.wrapping_mul(858_993_457)).collect();
        let hashed = Vec::<i32>::try_from(hashed(Tensor::from_slice(&inputs))).unwrap();
        let wanted: Vec<i32> = inputs.iter().map(|x| lowbias32(*x as u32) as i32).collect();
        assert_eq!(hashed, wanted);
    }

    #[test]
    fn noise_has_mean_0_deviation_1_and_no_pattern_between_neighbours() {
        let n = 1 << 20;
        let noise = nearly_gaussian(&hashed(Tensor::arange(n, (Kind::Int, Device::Cpu))));
        let mean = |values: &Tensor| values.mean(Kind::Double).double_value(&[]);
        assert!(mean(&noise).abs() < 0.005);
        assert!((mean(&noise.square()) - 1.0).abs() < 0.005);
        assert!(mean(&noise.abs()) > 0.78 && mean(&noise.abs()) < 0.82, "a Gaussian has 0.798");
        assert!(noise.abs().max().double_value(&[]) < 3.5);
        for apart in [1, 2, 64, 224] {
            let correlation = mean(&(noise.narrow(0, 0, n - apart) * noise.narrow(0, apart, n - apart)));
            assert!(correlation.abs() < 0.005, "{apart} apart: {correlation}");
        }
    }
}
