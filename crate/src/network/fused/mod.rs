//! The same network on a CPU with less memory traffic, and its backward pass by hand.
//!
//! - A dense block has one buffer, channels last, that its layers write their channels to, instead of a concatenation
//!   for each layer; its gradient likewise (compare Pleiss et al., arXiv:1707.06990).
//! - The mean and variance of a channel are those of the buffer, computed once, not by each layer that reads it.
//! - BatchNorm and ReLU are one pass ([`kernels`]); the backward pass through a convolution of 1 × 1 is two matrix
//!   products; a transition averages before its convolution, which gives the same and is a quarter of the work.
//! - Layers that do not learn, below all that do, keep nothing and have no backward pass.

mod backward;
mod kernels;
#[allow(unsafe_code)]
mod parallel;
mod rows;

use std::collections::HashMap;

use tch::{Kind, Tensor};

use self::kernels::{Moments, Norm};
use super::densenet::{DenseLayer, Features, Transition};
use super::layers::{BatchNorm, Conv};
use super::places::Waypoint;

/// Gradients by the address of the weight.
pub(in crate::network) type Gradients = HashMap<usize, Tensor>;

/// What the backward pass needs of the forward pass.
#[derive(Debug)]
pub(in crate::network) struct Tape {
    stem: Option<Stem>,
    blocks: Vec<Block>,
    last: Norm,
}

#[derive(Debug)]
struct Stem {
    /// Of the first convolution, with its graph.
    out: Tensor,
    weight: Tensor,
    norm: Norm,
    indices: Tensor,
}

#[derive(Debug)]
struct Block {
    grid: Grid,
    /// `[rows, channels]`, the outputs of all layers side by side.
    buffer: Tensor,
    /// Channels at the block's entry.
    first: usize,
    /// One for each layer; none where nothing at or below it learns.
    layers: Vec<Option<Layer>>,
    /// None behind the last block.
    transition: Option<Step>,
}

/// A norm, and what its convolution of 1 × 1 has read.
#[derive(Debug)]
struct Step {
    norm: Norm,
    read: Tensor,
}

#[derive(Debug)]
struct Layer {
    one: Step,
    /// What the first convolution has written, `[rows, 4 · growth]`.
    between: Tensor,
    norm2: Norm,
    read2: Tensor,
    weight2: Tensor,
    /// Of the second convolution, with its graph.
    out: Tensor,
    /// What else wants a gradient.
    wanted: Wanted,
}

/// How far down in a layer, and below it, there is something that learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wanted {
    /// Nothing below the second norm.
    Norm2,
    /// The first norm or convolution, nothing below.
    Norm1,
    /// What the layer reads.
    Input,
}

/// The pixels of a feature map.
#[derive(Debug, Clone, Copy)]
struct Grid {
    n: i64,
    height: i64,
    width: i64,
}

impl Grid {
    fn rows(self) -> i64 {
        self.n * self.height * self.width
    }

    /// `[rows, C]` as `[N, C, h, w]`.
    fn image(self, rows: &Tensor) -> Tensor {
        rows.view([self.n, self.height, self.width, -1]).permute([0, 3, 1, 2])
    }
}

/// `[N, C, h, w]` as `[rows, C]`, and where the rows lie; not copied if it lies channels last.
fn rows(image: &Tensor) -> (Grid, Tensor) {
    let size = image.size();
    let grid = Grid { n: size[0], height: size[2], width: size[3] };
    (grid, image.permute([0, 2, 3, 1]).contiguous().view([grid.rows(), size[1]]))
}

fn address(weight: &Tensor) -> usize {
    weight.data_ptr() as usize
}

/// The values of a layer's vector.
fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach()).expect("a vector")
}

impl BatchNorm {
    /// What this layer does at this step to feature maps of this kind; running statistics move if it learns from
    /// batches.
    fn at_step(&self, train: bool, kind: Kind, rows: i64, batch: impl FnOnce() -> Moments) -> Norm {
        let of_batch = train && self.learns();
        let Moments { mean, variance } = if of_batch {
            let moments = batch();
            let unbiased = rows as f64 / (rows as f64 - 1.0).max(1.0);
            let [mut mean, mut variance] = [&self.mean, &self.variance].map(Tensor::detach);
            let device = mean.device();
            let _ = mean.lerp_(&kernels::vector(&moments.mean).to_device(device), 0.1);
            let _ = variance.lerp_(&(kernels::vector(&moments.variance) * unbiased).to_device(device), 0.1);
            moments
        } else {
            Moments { mean: numbers(&self.mean), variance: numbers(&self.variance) }
        };
        let rounded = |value: f64| kernels::rounded(kind, value);
        let sharpness: Vec<f64> = variance.iter().map(|it| rounded(1.0 / (it + 1e-5).sqrt())).collect();
        let scale = numbers(&self.weight).into_iter().zip(&sharpness).map(|(weight, sharp)| rounded(weight * sharp));
        let scale: Vec<f64> = scale.collect();
        let moved = scale.iter().zip(&mean).map(|(scale, mean)| rounded(mean * scale));
        let shift = numbers(&self.bias).into_iter().zip(moved).map(|(bias, moved)| rounded(bias - moved)).collect();
        Norm { scale, shift, mean, sharpness, of_batch }
    }
}

impl Conv {
    fn learns(&self) -> bool {
        self.weight.requires_grad()
    }

    /// The weights in this kind, without a graph.
    fn cast(&self, kind: Kind) -> Tensor {
        self.weight.detach().to_kind(kind)
    }

    /// `[c_out, c_in]` of a convolution of 1 × 1.
    fn matrix(&self, kind: Kind) -> Tensor {
        let size = self.weight.size();
        self.cast(kind).view([size[0], size[1]])
    }

    fn convolve(&self, image: &Tensor, weight: &Tensor) -> Tensor {
        image.conv2d(weight, None::<Tensor>, [self.stride; 2], [self.padding; 2], [1, 1], 1)
    }
}

impl DenseLayer {
    fn learns(&self) -> bool {
        self.norm1.learns() || self.conv1.learns() || self.norm2.learns() || self.conv2.learns()
    }
}

/// The moments of a buffer's channels, as far as they are known.
#[derive(Debug, Default)]
struct Known(Moments);

impl Known {
    fn up_to(&mut self, buffer: &Tensor, channels: usize) -> Moments {
        let known = self.0.mean.len();
        if known < channels {
            let more = kernels::moments(buffer, known, channels - known);
            self.0.mean.extend(more.mean);
            self.0.variance.extend(more.variance);
        }
        Moments { mean: self.0.mean[..channels].to_vec(), variance: self.0.variance[..channels].to_vec() }
    }
}

impl Features {
    /// The last feature map after its ReLU, `[N, C, h, w]`, channels last, of a batch `[N, 3, H, W]`, in the batch's
    /// kind; with what the backward pass needs if `train`.
    pub(in crate::network) fn fused(&self, batch: &Tensor, train: bool) -> (Tensor, Option<Tape>) {
        let _guard = tch::no_grad_guard();
        let (stem, mut image) = self.fused_stem(batch, train);
        let mut below = stem.is_some();
        let mut blocks = Vec::new();
        for (at, (_, layers)) in self.blocks.iter().enumerate() {
            let (block, next) = fused_block(&image, layers, self.transitions.get(at), train, below);
            below |= train && layers.iter().any(DenseLayer::learns);
            below |= train && self.transitions.get(at).is_some_and(Transition::learns);
            blocks.push(block);
            image = next;
        }
        // Behind the last block, the buffer itself comes back.
        let (grid, buffer) = rows(&image);
        let kind = buffer.kind();
        let last =
            self.norm5.at_step(train, kind, grid.rows(), || kernels::moments(&buffer, 0, buffer.size()[1] as usize));
        let out = grid.image(&kernels::normalise(&buffer, &last));
        let learns = train && (below || self.norm5.learns());
        (out, learns.then_some(Tape { stem, blocks, last }))
    }

    /// What lies at a place, `[N, C, h, w]`, given what lies at one before it; nothing learns.
    pub(in crate::network) fn fused_way(&self, image: &Tensor, from: Waypoint, to: Waypoint) -> Tensor {
        let _guard = tch::no_grad_guard();
        let mut image = if from == Waypoint::FILM { self.fused_stem(image, false).1 } else { image.shallow_clone() };
        for (b, (_, layers)) in self.blocks.iter().enumerate() {
            if to <= Waypoint::entry(b) || from > Waypoint::block(b) {
                continue;
            }
            let layers = if from < Waypoint::block(b) { layers.as_slice() } else { &[] };
            let transition = self.transitions.get(b).filter(|_| to > Waypoint::block(b));
            image = fused_block(&image, layers, transition, false, false).1;
        }
        if from < Waypoint::NORM5 && to == Waypoint::NORM5 {
            return self.norm5.forward(&image, false);
        }
        if to < Waypoint::RELU5 || from == Waypoint::RELU5 {
            return image;
        }
        if from == Waypoint::NORM5 {
            return image.relu();
        }
        let (grid, buffer) = rows(&image);
        let last = self.norm5.at_step(false, buffer.kind(), grid.rows(), Moments::default);
        grid.image(&kernels::normalise(&buffer, &last))
    }

    fn fused_stem(&self, batch: &Tensor, train: bool) -> (Option<Stem>, Tensor) {
        let kind = batch.kind();
        let pool = |image: &Tensor| image.max_pool2d_with_indices([3, 3], [2, 2], [1, 1], [1, 1], false);
        if !(train && (self.conv0.learns() || self.norm0.learns())) {
            let (grid, out) = rows(&self.conv0.convolve(batch, &self.conv0.cast(kind)));
            let norm = self.norm0.at_step(false, kind, grid.rows(), Moments::default);
            return (None, pool(&grid.image(&kernels::normalise(&out, &norm))).0);
        }
        let weight = self.conv0.cast(kind).set_requires_grad(true);
        let out = tch::with_grad(|| self.conv0.convolve(batch, &weight));
        let (grid, flat) = rows(&out.detach());
        let norm = self.norm0.at_step(train, kind, grid.rows(), || kernels::moments(&flat, 0, flat.size()[1] as usize));
        let (pooled, indices) = pool(&grid.image(&kernels::normalise(&flat, &norm)));
        (Some(Stem { out, weight, norm, indices }), pooled)
    }
}

/// A dense block with its transition, of `[N, C, h, w]`. Behind the last block, where there is no transition, the
/// buffer comes back.
fn fused_block(
    image: &Tensor,
    layers: &[DenseLayer],
    transition: Option<&Transition>,
    train: bool,
    mut below: bool,
) -> (Block, Tensor) {
    let (grid, entry) = rows(image);
    let (kind, device) = (entry.kind(), entry.device());
    let first = entry.size()[1];
    let channels = first + layers.iter().map(|layer| layer.growth() as i64).sum::<i64>();
    let buffer = Tensor::empty([grid.rows(), channels], (kind, device));
    buffer.narrow(1, 0, first).copy_(&entry);
    let mut known = Known::default();
    let mut kept = Vec::new();
    let mut filled = first as usize;
    for layer in layers {
        let wanted = match (below, layer.norm1.learns() || layer.conv1.learns()) {
            (true, _) => Wanted::Input,
            (false, true) => Wanted::Norm1,
            (false, false) => Wanted::Norm2,
        };
        below |= train && layer.learns();
        let norm = layer.norm1.at_step(train, kind, grid.rows(), || known.up_to(&buffer, filled));
        let read = kernels::normalise(&buffer, &norm);
        let (_, between) = rows(&layer.conv1.convolve(&grid.image(&read), &layer.conv1.cast(kind)));
        let width = between.size()[1] as usize;
        let norm2 = layer.norm2.at_step(train, kind, grid.rows(), || kernels::moments(&between, 0, width));
        let read2 = kernels::normalise(&between, &norm2);
        let weight2 = layer.conv2.cast(kind);
        let out = if below {
            let (read2, weight2) = (read2.set_requires_grad(true), weight2.set_requires_grad(true));
            let out = tch::with_grad(|| layer.conv2.convolve(&grid.image(&read2), &weight2));
            let written = out.detach();
            kept.push(Some(Layer { one: Step { norm, read }, between, norm2, read2, weight2, out, wanted }));
            written
        } else {
            kept.push(None);
            layer.conv2.convolve(&grid.image(&read2), &weight2)
        };
        buffer.narrow(1, filled as i64, layer.growth() as i64).copy_(&rows(&out).1);
        filled += layer.growth();
    }
    let mut block = Block { grid, buffer, first: first as usize, layers: kept, transition: None };
    let Some(transition) = transition else {
        let whole = grid.image(&block.buffer);
        return (block, whole);
    };
    let norm = transition.norm.at_step(train, kind, grid.rows(), || known.up_to(&block.buffer, channels as usize));
    let full = grid.image(&kernels::normalise(&block.buffer, &norm));
    let (small, read) = rows(&full.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None::<i64>));
    let out = transition.conv.convolve(&small.image(&read), &transition.conv.cast(kind));
    block.transition = Some(Step { norm, read });
    (block, out)
}

impl Transition {
    fn learns(&self) -> bool {
        self.norm.learns() || self.conv.learns()
    }
}

impl DenseLayer {
    fn growth(&self) -> usize {
        self.conv2.weight.size()[0] as usize
    }
}
