//! BatchNorm and ReLU in one pass over memory, forward and backward, on a CPU.
//!
//! All work on [`rows`](super::rows): the pixels of a feature map that lies channels last, `[pixels, channels]`, of
//! which the first channels may be taken. On a CPU these steps are bound by memory: PyTorch's separate concatenation,
//! statistics, normalisation and ReLU read and write a feature map seven times, this does it twice.

use half::bf16;
use tch::{Kind, Tensor};

use super::parallel;
use super::rows::{self, CHUNK, Rows, Value, Wide};
use crate::slices::{self, Element};

/// What a BatchNorm layer does to each channel at one step, with what its backward pass needs: numbers of the precision
/// that the feature maps are computed in, [`rounded`].
#[derive(Debug)]
pub(super) struct Norm {
    /// `x · scale + shift`, before the ReLU.
    pub scale: Vec<f64>,
    pub shift: Vec<f64>,
    pub mean: Vec<f64>,
    /// Inverse standard deviation.
    pub sharpness: Vec<f64>,
    /// Whether mean and deviation are those of the batch, so that they move with it.
    pub of_batch: bool,
}

/// Mean and mean square deviation of each channel.
#[derive(Debug, Default, Clone)]
pub(super) struct Moments {
    pub mean: Vec<f64>,
    pub variance: Vec<f64>,
}

/// Calls a kernel for the dtype that a tensor holds.
macro_rules! by_kind {
    ($tensor:expr, $kernel:ident($($argument:expr),*)) => {
        match $tensor.kind() {
            Kind::BFloat16 => $kernel::<bf16>($($argument),*),
            Kind::Float => $kernel::<f32>($($argument),*),
            Kind::Double => $kernel::<f64>($($argument),*),
            other => panic!("feature maps are made of f32, bf16 or f64, not of {other:?}"),
        }
    };
}

/// The nearest number that feature maps of this kind are computed with.
pub(super) fn rounded(kind: Kind, value: f64) -> f64 {
    if kind == Kind::Double { value } else { f64::from(value as f32) }
}

fn wide<W: Wide>(values: &[f64]) -> Vec<W> {
    values.iter().map(|value| W::of(*value)).collect()
}

/// Rows and the values in each, of a matrix.
fn shape(matrix: &Tensor) -> (usize, usize) {
    let [rows, stride] = matrix.size()[..] else { panic!("expected a matrix, got {:?}", matrix.size()) };
    (rows as usize, stride as usize)
}

/// The moments of channels `from..from + channels` of `[rows, stride]`.
pub(super) fn moments(matrix: &Tensor, from: usize, channels: usize) -> Moments {
    by_kind!(matrix, moments_of(matrix, from, channels))
}

fn moments_of<E: Element + Value>(matrix: &Tensor, from: usize, channels: usize) -> Moments {
    let (count, stride) = shape(matrix);
    slices::read([matrix], |[values]: [&[E]; 1]| {
        let xs = Rows::of(values, stride, from..from + channels);
        // Taken about the first pixel's values, which lie nearer to the mean than 0 does.
        let about: Vec<E::Wide> = match count {
            0 => vec![E::Wide::default(); channels],
            _ => xs.row(0).iter().map(|x| x.wide()).collect(),
        };
        let sums = summed(xs.chunks(), channels, |at, [first, second]| {
            rows::moments(xs.chunk(at), &about, first, second);
        });
        let n = count as f64;
        let mut moments = Moments::default();
        for channel in 0..channels {
            let (off, square) = (sums[0][channel] / n, sums[1][channel] / n);
            moments.mean.push(E::Wide::of(about[channel].into() + off).into());
            moments.variance.push(E::Wide::of((square - off * off).max(0.0)).into());
        }
        moments
    })
}

/// Two sums for each channel: of all chunks, in their order.
fn summed<W: Wide>(chunks: usize, channels: usize, work: impl Fn(usize, [&mut [W]; 2]) + Sync) -> [Vec<f64>; 2] {
    let mut sums = [vec![0.0; channels], vec![0.0; channels]];
    if channels == 0 {
        return sums;
    }
    // Of each chunk the first sums, then the second ones.
    let mut parts = vec![W::default(); chunks * 2 * channels];
    parallel::each_part(&mut parts, 2 * channels, &|at, part| work(at, part.split_at_mut(channels).into()));
    for part in parts.chunks_exact(2 * channels) {
        for (sums, part) in sums.iter_mut().zip(part.chunks_exact(channels)) {
            sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += (*part).into());
        }
    }
    sums
}

/// `relu(x · scale + shift)` of the first channels of `[rows, stride]`, as `[rows, channels]`.
pub(super) fn normalise(matrix: &Tensor, norm: &Norm) -> Tensor {
    by_kind!(matrix, normalised(matrix, norm))
}

fn normalised<E: Element + Value>(matrix: &Tensor, norm: &Norm) -> Tensor {
    let ((count, stride), channels) = (shape(matrix), norm.scale.len());
    let [scale, shift] = [&norm.scale, &norm.shift].map(|it| wide::<E::Wide>(it));
    slices::read([matrix], |[values]: [&[E]; 1]| {
        let xs = Rows::of(values, stride, 0..channels);
        slices::filled([count as i64, channels as i64], |ys| {
            parallel::each_part(ys, CHUNK * channels, &|at, ys| rows::normalise(xs.chunk(at), ys, &scale, &shift));
        })
    })
}

/// What the gradient of a BatchNorm layer is, `[channels]` each, `f32`.
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

/// The backward pass through `relu(norm(x))`: from the gradient of its output, `[rows, channels]`, to that of weight
/// and bias, and to that of `x`, which goes to the first channels of `target`, `[rows, stride]`, if there is one.
pub(super) fn backward(
    gradient: &Tensor,
    matrix: &Tensor,
    norm: &Norm,
    target: Option<(&mut Tensor, Store)>,
) -> NormGradient {
    by_kind!(matrix, backward_of(gradient, matrix, norm, target))
}

fn backward_of<E: Element + Value>(
    gradient: &Tensor,
    matrix: &Tensor,
    norm: &Norm,
    target: Option<(&mut Tensor, Store)>,
) -> NormGradient {
    let channels = norm.scale.len();
    let ((count, stride), (of_gradient, gradient_stride)) = (shape(matrix), shape(gradient));
    assert_eq!(of_gradient, count, "rows of the gradient");
    let [scale, shift, mean] = [&norm.scale, &norm.shift, &norm.mean].map(|it| wide::<E::Wide>(it));
    let sums = slices::read([gradient, matrix], |[gs, xs]: [&[E]; 2]| {
        let (gs, xs) = (Rows::of(gs, gradient_stride, 0..channels), Rows::of(xs, stride, 0..channels));
        summed(xs.chunks(), channels, |at, [first, second]| {
            rows::reduce(gs.chunk(at), xs.chunk(at), [&scale, &shift, &mean], first, second);
        })
    });
    let bias: Vec<E::Wide> = wide(&sums[0]);
    let weight = sums[1].iter().zip(&norm.sharpness).map(|(sum, sharpness)| E::Wide::of(sum * sharpness));
    let weight: Vec<E::Wide> = weight.collect();
    if let Some((target, into)) = target {
        // dx = scale · (dz - mean(dz) - x̂ · mean(dz · x̂)), as scale · dz + x · tilt + lift.
        let n = E::Wide::of(count as f64);
        let mut tilt = vec![E::Wide::default(); channels];
        let mut lift = tilt.clone();
        if norm.of_batch {
            for at in 0..channels {
                tilt[at] = -scale[at] * E::Wide::of(norm.sharpness[at]) * weight[at] / n;
                lift[at] = -scale[at] * bias[at] / n - mean[at] * tilt[at];
            }
        }
        let (of_target, target_stride) = shape(target);
        assert!(of_target == count && channels <= target_stride, "{channels} channels of {count} rows into {target:?}");
        slices::change(target, [gradient, matrix], |to, [gs, xs]: [&[E]; 2]| {
            let (gs, xs) = (Rows::of(gs, gradient_stride, 0..channels), Rows::of(xs, stride, 0..channels));
            parallel::each_part(to, CHUNK * target_stride, &|at, to| {
                let (gs, xs, to) = (gs.chunk(at), xs.chunk(at), (to, target_stride));
                rows::apply(gs, xs, to, [&scale, &shift, &tilt, &lift], into == Store::Added);
            });
        });
    }
    let [weight, bias] = [weight, bias].map(|it| it.into_iter().map(Into::into).collect::<Vec<f64>>());
    NormGradient { weight: vector(&weight), bias: vector(&bias) }
}

/// `[channels]`, `f32`.
pub(super) fn vector(values: &[f64]) -> Tensor {
    Tensor::from_slice(values).to_kind(Kind::Float)
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

    fn numbers(tensor: &Tensor) -> Vec<f64> {
        Vec::try_from(tensor.to_kind(Kind::Double)).unwrap()
    }

    /// libtorch's BatchNorm and ReLU on rows, in f64: output, gradients of input, weight and bias.
    fn theirs(xs: &Tensor, weight: &Tensor, bias: &Tensor, stored: Option<&Moments>, gradient: &Tensor) -> Vec<Tensor> {
        let leaves = [xs, weight, bias].map(|it| it.to_kind(Kind::Double).detach().copy().set_requires_grad(true));
        let stored = stored.map(|it| [Tensor::from_slice(&it.mean), Tensor::from_slice(&it.variance)]);
        let [mean, variance] = match &stored {
            Some([mean, variance]) => [Some(mean), Some(variance)],
            None => [None, None],
        };
        let of_batch = stored.is_none();
        let out = leaves[0].batch_norm(Some(&leaves[1]), Some(&leaves[2]), mean, variance, of_batch, 0.1, 1e-5, false);
        let out = out.relu();
        let mut all = vec![out.detach()];
        let loss = (out * gradient.to_kind(Kind::Double)).sum(Kind::Double);
        all.extend(Tensor::run_backward(&[loss], &leaves, false, false));
        all
    }

    #[test]
    fn norm_and_relu_are_libtorchs_forward_and_backward_for_batch_and_stored_statistics_in_every_kind() {
        tch::manual_seed(1);
        let options = (Kind::Double, Device::Cpu);
        // Weight and bias leave their backward pass as f32, whatever they were computed in.
        for (kind, values, weights) in
            [(Kind::Double, 1e-9, 1e-7), (Kind::Float, 1e-5, 1e-5), (Kind::BFloat16, 1e-2, 1e-3)]
        {
            // Wider than what is taken, more rows than a chunk, far from zero.
            let wide = (Tensor::randn([777, 96], options) * 3.0 + 10.0).to_kind(kind);
            let xs = wide.narrow(1, 0, 64).contiguous();
            let [weight, bias] = [0, 1].map(|_| Tensor::randn([64], options).to_kind(Kind::Float));
            let gradient = Tensor::randn([777, 64], options).to_kind(kind);
            let stored = Moments { mean: vec![9.5; 64], variance: vec![7.0; 64] };
            for of_batch in [true, false] {
                let Moments { mean, variance } = if of_batch { moments(&wide, 0, 64) } else { stored.clone() };
                let sharpness: Vec<f64> = variance.iter().map(|it| rounded(kind, 1.0 / (it + 1e-5).sqrt())).collect();
                let scale: Vec<f64> =
                    numbers(&weight).iter().zip(&sharpness).map(|(a, b)| rounded(kind, a * b)).collect();
                let shift = numbers(&bias).into_iter().zip(&mean).zip(&scale);
                let shift = shift.map(|((bias, mean), scale)| rounded(kind, bias - mean * scale)).collect();
                let norm = Norm { scale, shift, mean, sharpness, of_batch };
                let expected = theirs(&xs, &weight, &bias, (!of_batch).then_some(&stored), &gradient);
                let mut target = wide.ones_like();
                let found = backward(&gradient, &wide, &norm, Some((&mut target, Store::Written)));
                let ours = [&normalise(&wide, &norm), &target.narrow(1, 0, 64), &found.weight, &found.bias];
                for (at, (ours, theirs)) in ours.into_iter().zip(&expected).enumerate() {
                    let (off, most) = (off(ours, theirs), if at < 2 { values } else { weights });
                    assert!(off < most, "{kind:?}, statistics of the batch {of_batch}, number {at}: {off:.1e}");
                }
                assert_eq!(target.narrow(1, 64, 32), Tensor::ones([777, 32], (kind, Device::Cpu)), "untouched");
                let once = target.copy();
                backward(&gradient, &wide, &norm, Some((&mut target, Store::Added)));
                let twice = target.narrow(1, 0, 64);
                assert!(off(&twice, &(once.narrow(1, 0, 64).to_kind(Kind::Double) * 2.0)) < values, "{kind:?}: added");
            }
        }
    }

    #[test]
    fn moments_are_libtorchs_far_from_zero_and_for_any_channels() {
        for (kind, most) in [(Kind::Double, 1e-9), (Kind::Float, 1e-5), (Kind::BFloat16, 1e-5)] {
            let matrix = (Tensor::randn([1000, 24], (Kind::Double, Device::Cpu)) * 2.0 + 40.0).to_kind(kind);
            for (from, channels) in [(0, 24), (5, 7), (23, 1), (24, 0)] {
                let found = moments(&matrix, from, channels);
                assert_eq!((found.mean.len(), found.variance.len()), (channels, channels));
                if channels > 0 {
                    let part = matrix.narrow(1, from as i64, channels as i64).to_kind(Kind::Double);
                    let (variance, mean) = part.var_mean_dim([0i64].as_slice(), false, false);
                    for (ours, theirs) in [(found.mean, mean), (found.variance, variance)] {
                        let off = off(&Tensor::from_slice(&ours), &theirs);
                        assert!(off < most, "{kind:?}, {channels} channels from {from}: {off:.1e}");
                    }
                }
            }
        }
    }

    #[test]
    fn no_rows_have_no_output_and_gradients_of_zero() {
        for kind in [Kind::Double, Kind::Float, Kind::BFloat16] {
            let nothing = || Tensor::zeros([0, 3], (kind, Device::Cpu));
            let one = || vec![1.0; 3];
            for of_batch in [true, false] {
                let norm = Norm { scale: one(), shift: one(), mean: one(), sharpness: one(), of_batch };
                assert_eq!(normalise(&nothing(), &norm).size(), [0, 3]);
                let found = backward(&nothing(), &nothing(), &norm, Some((&mut nothing(), Store::Added)));
                for gradient in [found.weight, found.bias] {
                    assert_eq!(gradient, Tensor::zeros([3], (Kind::Float, Device::Cpu)));
                }
            }
            assert!(moments(&nothing(), 0, 3).mean.iter().all(|mean| mean.is_nan()), "the mean of nothing");
        }
    }

    #[test]
    fn what_is_not_a_number_stays_none() {
        let xs = Tensor::from_slice(&[1.0f32, f32::NAN, -1.0, f32::INFINITY]).view([4, 1]);
        let one = || vec![1.0];
        let norm = Norm { scale: one(), shift: vec![0.0], mean: vec![0.0], sharpness: one(), of_batch: false };
        for kind in [Kind::Float, Kind::BFloat16, Kind::Double] {
            let found = numbers(&normalise(&xs.to_kind(kind), &norm).view(-1));
            assert!(found[0] == 1.0 && found[1].is_nan() && found[2] == 0.0 && found[3] == f64::INFINITY, "{found:?}");
        }
    }

    #[test]
    fn kinds_and_shapes_that_do_not_belong_together_are_refused() {
        let zeros = |rows, columns, kind| Tensor::zeros([rows, columns], (kind, Device::Cpu));
        let one = || vec![1.0; 3];
        let norm = Norm { scale: one(), shift: one(), mean: one(), sharpness: one(), of_batch: true };
        let refused = |gradient: &Tensor, matrix: &Tensor, target: &mut Tensor| {
            let call = || backward(gradient, matrix, &norm, Some((target, Store::Written)));
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).is_err()
        };
        let float = |rows, columns| zeros(rows, columns, Kind::Float);
        assert!(!refused(&float(5, 3), &float(5, 4), &mut float(5, 6)));
        assert!(refused(&float(4, 3), &float(5, 4), &mut float(5, 6)), "fewer gradients than rows");
        assert!(refused(&float(5, 2), &float(5, 4), &mut float(5, 6)), "fewer channels");
        assert!(refused(&float(5, 3), &float(5, 2), &mut float(5, 6)));
        assert!(refused(&float(5, 3), &float(5, 4), &mut float(5, 2)));
        assert!(refused(&float(5, 3), &float(5, 4), &mut float(4, 6)));
        assert!(refused(&zeros(5, 3, Kind::BFloat16), &float(5, 4), &mut float(5, 6)), "another kind");
        assert!(refused(&float(5, 3), &float(5, 4), &mut zeros(5, 6, Kind::Double)));
        assert!(refused(&zeros(5, 3, Kind::Half), &zeros(5, 4, Kind::Half), &mut zeros(5, 6, Kind::Half)));
        let matrix = float(5, 4);
        assert!(refused(&float(5, 3), &matrix, &mut matrix.shallow_clone()), "read and written at once");
    }

    #[test]
    fn bf16_is_rounded_as_libtorch_does() {
        let xs = Tensor::randn([999], (Kind::Float, Device::Cpu)) * 1e3;
        let theirs = Vec::<f32>::try_from(xs.to_kind(Kind::BFloat16).to_kind(Kind::Float)).unwrap();
        let ours: Vec<f32> =
            Vec::<f32>::try_from(&xs).unwrap().into_iter().map(|x| <bf16 as Value>::of(x).wide()).collect();
        assert_eq!(ours, theirs);
    }
}
