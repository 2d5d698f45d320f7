//! BatchNorm and ReLU in one pass over memory, forward and backward, on a CPU.
//!
//! All work on rows: the pixels of a feature map that lies channels last, `[pixels, channels]`, of which the first channels may be
//! taken. On a CPU these steps are bound by memory: PyTorch's separate concatenation, statistics, normalisation and ReLU read and
//! write a feature map seven times, this does it twice.

use half::bf16;
use multiversion::multiversion;
use tch::{Kind, Tensor};

use super::parallel;

/// Rows that are worked on at once. Sums are taken over so many in `f32` and joined in `f64`, in order, so that they do not
/// depend on the number of threads.
const CHUNK: usize = 256;

/// A kind of number that feature maps are made of.
trait Element: Copy + Send + Sync {
    fn get(self) -> f32;
    fn of(value: f32) -> Self;
}

impl Element for f32 {
    #[inline(always)]
    fn get(self) -> f32 {
        self
    }
    #[inline(always)]
    fn of(value: f32) -> f32 {
        value
    }
}

impl Element for bf16 {
    #[inline(always)]
    fn get(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
    /// To the nearest, ties to even; not a number stays none.
    #[inline(always)]
    fn of(value: f32) -> bf16 {
        let bits = value.to_bits();
        let rounded = (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16;
        bf16::from_bits(if value.is_nan() { 0x7fc0 } else { rounded })
    }
}

/// What a BatchNorm layer does to each channel at one step, with what its way back needs.
#[derive(Debug)]
pub(super) struct Norm {
    /// `x · scale + shift`, before the ReLU.
    pub scale: Vec<f32>,
    pub shift: Vec<f32>,
    pub mean: Vec<f32>,
    /// One over the standard deviation.
    pub sharpness: Vec<f32>,
    /// Whether mean and deviation are those of the batch, so that they move with it.
    pub of_batch: bool,
}

/// Mean and mean square deviation of each channel.
#[derive(Debug, Default, Clone)]
pub(super) struct Moments {
    pub mean: Vec<f32>,
    pub variance: Vec<f32>,
}

/// The first channels of a matrix `[rows, stride]` that some other thread may be writing elsewhere.
#[derive(Clone, Copy)]
struct Rows<E> {
    data: *mut E,
    rows: usize,
    stride: usize,
    channels: usize,
}

// SAFETY: threads are given rows of their own to write.
unsafe impl<E> Send for Rows<E> {}
unsafe impl<E> Sync for Rows<E> {}

impl<E: Copy + Send + Sync> Rows<E> {
    /// Channels `from..from + channels` of a contiguous matrix.
    fn of(matrix: &Tensor, from: usize, channels: usize) -> Rows<E> {
        let size = matrix.size();
        let (rows, stride) = (size[0] as usize, size[1] as usize);
        assert!(matrix.is_contiguous() && from + channels <= stride, "{size:?}, channels {from} and {channels} more");
        // SAFETY: within the tensor, or one past its end if it is empty.
        let data = unsafe { (matrix.data_ptr() as *mut E).add(from) };
        Rows { data, rows, stride, channels }
    }

    #[inline(always)]
    fn row<'a>(self, row: usize) -> &'a [E] {
        debug_assert!(row < self.rows);
        // SAFETY: `of` has checked that the channels of each row lie in the tensor, which outlives the kernel's call.
        unsafe { std::slice::from_raw_parts(self.data.add(row * self.stride), self.channels) }
    }

    /// # Safety
    /// No one else may read or write this row meanwhile.
    #[inline(always)]
    unsafe fn row_mut<'a>(self, row: usize) -> &'a mut [E] {
        debug_assert!(row < self.rows);
        // SAFETY: as for `row`.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(row * self.stride), self.channels) }
    }

    fn chunks(self) -> usize {
        self.rows.div_ceil(CHUNK)
    }

    fn chunk(self, at: usize) -> std::ops::Range<usize> {
        at * CHUNK..((at + 1) * CHUNK).min(self.rows)
    }

    /// Works on all rows, a chunk at a time, on several threads.
    fn each_chunk(self, work: impl Fn(std::ops::Range<usize>) + Sync) {
        parallel::each(self.chunks(), &|at| work(self.chunk(at)));
    }
}

/// Calls a kernel for the kind of number that a tensor holds.
macro_rules! by_kind {
    ($tensor:expr, $kernel:ident($($argument:expr),*)) => {
        match $tensor.kind() {
            Kind::BFloat16 => $kernel::<bf16>($($argument),*),
            _ => $kernel::<f32>($($argument),*),
        }
    };
}

/// The moments of channels `from..from + channels` of `[rows, stride]`.
pub(super) fn moments(matrix: &Tensor, from: usize, channels: usize) -> Moments {
    by_kind!(matrix, moments_of(matrix, from, channels))
}

fn moments_of<E: Element>(matrix: &Tensor, from: usize, channels: usize) -> Moments {
    let xs = Rows::<E>::of(matrix, from, channels);
    // Taken about the first pixel's values, which lie nearer to the mean than 0 does.
    let about: Vec<f32> = xs.row(0).iter().map(|x| x.get()).collect();
    let sums = summed(xs, |rows, [first, second]| moments_kernel(xs, rows, &about, first, second));
    let n = xs.rows as f64;
    let mut moments = Moments::default();
    for channel in 0..channels {
        let (off, square) = (sums[0][channel] / n, sums[1][channel] / n);
        moments.mean.push((f64::from(about[channel]) + off) as f32);
        moments.variance.push((square - off * off).max(0.0) as f32);
    }
    moments
}

/// Two sums for each channel: of all chunks, in their order.
fn summed<E: Element>(xs: Rows<E>, work: impl Fn(std::ops::Range<usize>, [&mut [f32]; 2]) + Sync) -> [Vec<f64>; 2] {
    let width = xs.channels;
    // Of each chunk the first sums, then the second ones.
    let mut parts = vec![0f32; xs.chunks() * 2 * width];
    let of_chunks = Rows { data: parts.as_mut_ptr(), rows: xs.chunks(), stride: 2 * width, channels: 2 * width };
    parallel::each(xs.chunks(), &|at| {
        // SAFETY: each chunk has a row of its own in `parts`, which outlives the call.
        let (first, second) = unsafe { of_chunks.row_mut(at) }.split_at_mut(width);
        work(xs.chunk(at), [first, second]);
    });
    let mut sums = [vec![0.0; width], vec![0.0; width]];
    for part in parts.chunks_exact(2 * width.max(1)) {
        for (sums, part) in sums.iter_mut().zip(part.chunks_exact(width)) {
            sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += f64::from(*part));
        }
    }
    sums
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq", "x86_64+avx2+fma"))]
fn moments_kernel<E: Element>(
    xs: Rows<E>,
    rows: std::ops::Range<usize>,
    about: &[f32],
    first: &mut [f32],
    second: &mut [f32],
) {
    for row in rows {
        let sums = first.iter_mut().zip(second.iter_mut());
        for ((x, about), (first, second)) in xs.row(row).iter().zip(about).zip(sums) {
            let off = x.get() - about;
            *first += off;
            *second += off * off;
        }
    }
}

/// `relu(x · scale + shift)` of the first channels of `[rows, stride]`, as `[rows, channels]`.
pub(super) fn normalise(matrix: &Tensor, norm: &Norm) -> Tensor {
    by_kind!(matrix, normalised(matrix, norm))
}

fn normalised<E: Element>(matrix: &Tensor, norm: &Norm) -> Tensor {
    let channels = norm.scale.len();
    let out = Tensor::empty([matrix.size()[0], channels as i64], (matrix.kind(), matrix.device()));
    let (xs, ys) = (Rows::<E>::of(matrix, 0, channels), Rows::<E>::of(&out, 0, channels));
    xs.each_chunk(|rows| normalise_kernel(xs, ys, rows, &norm.scale, &norm.shift));
    out
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq", "x86_64+avx2+fma"))]
fn normalise_kernel<E: Element>(xs: Rows<E>, ys: Rows<E>, rows: std::ops::Range<usize>, scale: &[f32], shift: &[f32]) {
    for row in rows {
        // SAFETY: `ys` is new, and each chunk has rows of its own.
        let ys = unsafe { ys.row_mut(row) };
        for ((y, x), (scale, shift)) in ys.iter_mut().zip(xs.row(row)).zip(scale.iter().zip(shift)) {
            let value = x.get() * scale + shift;
            // Not `max`, which would hide what is not a number.
            *y = E::of(if value < 0.0 { 0.0 } else { value });
        }
    }
}

/// What the gradient of a BatchNorm layer is, `[channels]` each.
#[derive(Debug)]
pub(super) struct NormGradient {
    pub weight: Tensor,
    pub bias: Tensor,
}

/// Where a gradient goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Store {
    /// In place of what is there.
    Written,
    /// On top of what is there.
    Added,
}

/// The way back through `relu(norm(x))`: from the gradient of its output, `[rows, channels]`, to that of weight and bias, and to
/// that of `x`, which goes to the first channels of `target`, `[rows, stride]`, if there is one.
pub(super) fn backward(
    gradient: &Tensor,
    matrix: &Tensor,
    norm: &Norm,
    target: Option<(&Tensor, Store)>,
) -> NormGradient {
    by_kind!(matrix, backward_of(gradient, matrix, norm, target))
}

fn backward_of<E: Element>(
    gradient: &Tensor,
    matrix: &Tensor,
    norm: &Norm,
    target: Option<(&Tensor, Store)>,
) -> NormGradient {
    let channels = norm.scale.len();
    let (gs, xs) = (Rows::<E>::of(gradient, 0, channels), Rows::<E>::of(matrix, 0, channels));
    let sums = summed(xs, |rows, [first, second]| reduce_kernel(gs, xs, rows, norm, first, second));
    let sharp = |(sum, sharpness): (&f64, &f32)| (sum * f64::from(*sharpness)) as f32;
    let bias: Vec<f32> = sums[0].iter().map(|sum| *sum as f32).collect();
    let weight: Vec<f32> = sums[1].iter().zip(&norm.sharpness).map(sharp).collect();
    if let Some((target, into)) = target {
        // dx = scale · (dz - mean(dz) - x̂ · mean(dz · x̂)), as scale · dz + x · tilt + lift.
        let n = xs.rows as f32;
        let (mut tilt, mut lift) = (vec![0.0; channels], vec![0.0; channels]);
        if norm.of_batch {
            for at in 0..channels {
                tilt[at] = -norm.scale[at] * norm.sharpness[at] * weight[at] / n;
                lift[at] = -norm.scale[at] * bias[at] / n - norm.mean[at] * tilt[at];
            }
        }
        let to = Rows::<E>::of(target, 0, channels);
        let add = into == Store::Added;
        xs.each_chunk(|rows| apply_kernel(gs, xs, to, rows, norm, [&tilt, &lift], add));
    }
    NormGradient { weight: Tensor::from_slice(&weight), bias: Tensor::from_slice(&bias) }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq", "x86_64+avx2+fma"))]
fn reduce_kernel<E: Element>(
    gs: Rows<E>,
    xs: Rows<E>,
    rows: std::ops::Range<usize>,
    norm: &Norm,
    first: &mut [f32],
    second: &mut [f32],
) {
    let n = first.len();
    let (scale, shift, mean) = (&norm.scale[..n], &norm.shift[..n], &norm.mean[..n]);
    let second = &mut second[..n];
    for row in rows {
        let (gs, xs) = (&gs.row(row)[..n], &xs.row(row)[..n]);
        for at in 0..n {
            let x = xs[at].get();
            let passes = x * scale[at] + shift[at] > 0.0;
            let gradient = if passes { gs[at].get() } else { 0.0 };
            first[at] += gradient;
            second[at] += gradient * (x - mean[at]);
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq", "x86_64+avx2+fma"))]
fn apply_kernel<E: Element>(
    gs: Rows<E>,
    xs: Rows<E>,
    to: Rows<E>,
    rows: std::ops::Range<usize>,
    norm: &Norm,
    [tilt, lift]: [&[f32]; 2],
    add: bool,
) {
    let n = tilt.len();
    let (scale, shift, lift) = (&norm.scale[..n], &norm.shift[..n], &lift[..n]);
    for row in rows {
        // SAFETY: the target is neither of the others, and each chunk has rows of its own.
        let (gs, xs, to) = (&gs.row(row)[..n], &xs.row(row)[..n], unsafe { &mut to.row_mut(row)[..n] });
        for at in 0..n {
            let x = xs[at].get();
            let passes = x * scale[at] + shift[at] > 0.0;
            let gradient = if passes { gs[at].get() * scale[at] } else { 0.0 };
            let before = if add { to[at].get() } else { 0.0 };
            to[at] = E::of(before + gradient + x * tilt[at] + lift[at]);
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    /// The largest difference, as a share of the largest value.
    fn off(a: &Tensor, b: &Tensor) -> f64 {
        let (a, b) = (a.to_kind(Kind::Double), b.to_kind(Kind::Double));
        (&a - &b).abs().max().double_value(&[]) / b.abs().max().double_value(&[])
    }

    /// libtorch's BatchNorm and ReLU on rows: output, gradients of input, weight and bias; with the moments that were used.
    fn theirs(xs: &Tensor, weight: &Tensor, bias: &Tensor, stored: Option<&Moments>, gradient: &Tensor) -> Vec<Tensor> {
        let leaves = [xs, weight, bias].map(|it| it.copy().set_requires_grad(true));
        let stored = stored.map(|it| [Tensor::from_slice(&it.mean), Tensor::from_slice(&it.variance)]);
        let [mean, variance] = match &stored {
            Some([mean, variance]) => [Some(mean), Some(variance)],
            None => [None, None],
        };
        let of_batch = stored.is_none();
        let out = leaves[0].batch_norm(Some(&leaves[1]), Some(&leaves[2]), mean, variance, of_batch, 0.1, 1e-5, false);
        let out = out.relu();
        let mut all = vec![out.detach()];
        all.extend(Tensor::run_backward(&[(out * gradient).sum(Kind::Double)], &leaves, false, false));
        all
    }

    #[test]
    fn norm_and_relu_are_libtorchs_forward_and_backward_for_batch_and_stored_statistics() {
        tch::manual_seed(1);
        let options = (Kind::Double, Device::Cpu);
        // Wider than what is taken, more rows than a chunk, far from zero.
        let wide = (Tensor::randn([777, 96], options) * 3.0 + 40.0).to_kind(Kind::Float);
        let xs = wide.narrow(1, 0, 64).contiguous();
        let weight = Tensor::randn([64], options).to_kind(Kind::Float);
        let bias = Tensor::randn([64], options).to_kind(Kind::Float);
        let gradient = Tensor::randn([777, 64], options).to_kind(Kind::Float);
        let stored = Moments { mean: vec![39.0; 64], variance: vec![7.0; 64] };
        for of_batch in [true, false] {
            let Moments { mean, variance } = if of_batch { moments(&wide, 0, 64) } else { stored.clone() };
            let sharpness: Vec<f32> = variance.iter().map(|it| 1.0 / (it + 1e-5).sqrt()).collect();
            let of = |tensor: &Tensor| Vec::<f32>::try_from(tensor).unwrap();
            let scale: Vec<f32> = of(&weight).iter().zip(&sharpness).map(|(a, b)| a * b).collect();
            let shift =
                of(&bias).iter().zip(&mean).zip(&scale).map(|((bias, mean), scale)| bias - mean * scale).collect();
            let norm = Norm { scale, shift, mean, sharpness, of_batch };
            let double = |it: &Tensor| it.to_kind(Kind::Double);
            let stored = (!of_batch).then_some(&stored);
            let stored64 = stored.cloned();
            let expected = theirs(&xs, &weight, &bias, stored64.as_ref(), &gradient);
            let target = wide.ones_like();
            let found = backward(&gradient, &wide, &norm, Some((&target, Store::Added)));
            let ours = [normalise(&wide, &norm), target.narrow(1, 0, 64) - 1.0, found.weight, found.bias];
            for (ours, theirs) in ours.iter().zip(&expected) {
                let off = off(&double(ours), &double(theirs));
                assert!(off < 1e-4, "{off:.1e}");
            }
            assert_eq!(target.narrow(1, 64, 32), Tensor::ones([777, 32], (Kind::Float, Device::Cpu)), "untouched");
        }
    }

    #[test]
    fn what_is_not_a_number_stays_none() {
        let xs = Tensor::from_slice(&[1.0f32, f32::NAN, -1.0, f32::INFINITY]).view([4, 1]);
        let one = || vec![1.0];
        let norm = Norm { scale: one(), shift: vec![0.0], mean: vec![0.0], sharpness: one(), of_batch: false };
        for kind in [Kind::Float, Kind::BFloat16] {
            let found =
                Vec::<f32>::try_from(normalise(&xs.to_kind(kind), &norm).to_kind(Kind::Float).view(-1)).unwrap();
            assert!(found[0] == 1.0 && found[1].is_nan() && found[2] == 0.0 && found[3] == f32::INFINITY, "{found:?}");
        }
    }

    #[test]
    fn bf16_is_rounded_as_libtorch_does() {
        let xs = Tensor::randn([999], (Kind::Float, Device::Cpu)) * 1e3;
        let theirs = Vec::<f32>::try_from(xs.to_kind(Kind::BFloat16).to_kind(Kind::Float)).unwrap();
        let ours: Vec<f32> =
            Vec::<f32>::try_from(&xs).unwrap().into_iter().map(|x| <bf16 as Element>::of(x).get()).collect();
        assert_eq!(ours, theirs);
    }
}
