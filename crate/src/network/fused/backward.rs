//! The backward pass through the fused layers.

use tch::{Kind, Tensor};

use super::kernels::{self, Norm, Store};
use super::{Gradients, Grid, Layer, Stem, Step, Tape, Wanted, address, rows};
use crate::network::densenet::{DenseLayer, Features, Transition};
use crate::network::layers::{BatchNorm, Conv};

impl Features {
    /// The gradients of all weights that learn, from that of the last feature map.
    pub(in crate::network) fn backward(&self, tape: Tape, gradient: &Tensor) -> Gradients {
        let _guard = tch::no_grad_guard();
        let mut gradients = Gradients::new();
        let (_, mut above) = rows(gradient);
        let count = tape.blocks.len();
        for (at, block) in tape.blocks.into_iter().enumerate().rev() {
            let below =
                block.layers.iter().any(Option::is_some) || tape.stem.is_some() || at > 0 && self.learns_below(at);
            let mut whole = block.buffer.empty_like();
            let target = below.then_some((&mut whole, Store::Written));
            match (&block.transition, self.transitions.get(at)) {
                (Some(step), Some(transition)) => {
                    let read = transition.conv.backward(&above, step, &mut gradients);
                    // Averages of four: each of them takes a quarter.
                    let spread = block.grid.spread(&(read * 0.25));
                    transition.norm.backward(&spread, &block.buffer, &step.norm, target, &mut gradients);
                }
                _ => {
                    debug_assert_eq!(at + 1, count);
                    self.norm5.backward(&above, &block.buffer, &tape.last, target, &mut gradients);
                }
            }
            if !below {
                return gradients;
            }
            let (_, layers) = &self.blocks[at];
            for (number, (layer, kept)) in layers.iter().zip(block.layers).enumerate().rev() {
                let Some(kept) = kept else { return gradients };
                let from = block.first + number * layer.growth();
                layer.backward(kept, block.grid, &block.buffer, &mut whole, from, &mut gradients);
            }
            above = whole.narrow(1, 0, block.first as i64).contiguous();
        }
        if let Some(stem) = tape.stem {
            self.stem_backward(&stem, &above, &mut gradients);
        }
        gradients
    }

    fn learns_below(&self, block: usize) -> bool {
        self.blocks[..block].iter().any(|(_, layers)| layers.iter().any(DenseLayer::learns))
            || self.transitions[..block].iter().any(Transition::learns)
    }

    fn stem_backward(&self, stem: &Stem, gradient: &Tensor, gradients: &mut Gradients) {
        let (grid, out) = rows(&stem.out.detach());
        let size = stem.indices.size();
        let gradient = Grid { n: size[0], height: size[2], width: size[3] }.image(gradient);
        // Its values do not matter to the pooling's backward pass, its shape does.
        let spread = grid.image(&out).max_pool2d_with_indices_backward(
            &gradient,
            [3, 3],
            [2, 2],
            [1, 1],
            [1, 1],
            false,
            &stem.indices,
        );
        let mut target = out.empty_like();
        self.norm0.backward(&rows(&spread).1, &out, &stem.norm, Some((&mut target, Store::Written)), gradients);
        if self.conv0.learns() {
            let found = convolution_backward(&stem.out, &grid.image(&target), &[&stem.weight]);
            gradients.insert(address(&self.conv0.weight), found[0].to_kind(Kind::Float));
        }
    }
}

impl Grid {
    /// Rows of a map half as high and wide, each four times; an odd last line gets zeros, since averaging leaves it
    /// out.
    fn spread(self, rows: &Tensor) -> Tensor {
        let half = Grid { height: self.height / 2, width: self.width / 2, ..self };
        let [height, width] = [half.height * 2, half.width * 2];
        let image = half.image(rows).upsample_nearest2d([height, width], None, None);
        let whole = image.constant_pad_nd([0, self.width - width, 0, self.height - height]);
        self::rows(&whole).1
    }
}

impl BatchNorm {
    /// The backward pass, which also notes the gradients of weight and bias.
    fn backward(
        &self,
        gradient: &Tensor,
        read: &Tensor,
        norm: &Norm,
        target: Option<(&mut Tensor, Store)>,
        gradients: &mut Gradients,
    ) {
        let found = kernels::backward(gradient, read, norm, target);
        if self.learns() {
            gradients.insert(address(&self.weight), found.weight);
            gradients.insert(address(&self.bias), found.bias);
        }
    }
}

impl Conv {
    /// The backward pass through a convolution of 1 × 1, from the gradient of its output to that of its input, `[rows,
    /// c_in]`.
    fn backward(&self, gradient: &Tensor, step: &Step, gradients: &mut Gradients) -> Tensor {
        if self.learns() {
            let found = gradient.tr().matmul(&step.read).to_kind(Kind::Float);
            gradients.insert(address(&self.weight), found.view_as(&self.weight));
        }
        gradient.matmul(&self.matrix(gradient.kind()))
    }
}

impl DenseLayer {
    /// The backward pass through a layer that wrote its channels to `buffer` at `from`: the gradient of what it read is
    /// added to the first channels of `whole`, the gradient of the buffer.
    fn backward(
        &self,
        kept: Layer,
        grid: Grid,
        buffer: &Tensor,
        whole: &mut Tensor,
        from: usize,
        gradients: &mut Gradients,
    ) {
        let gradient = grid.image(&whole.narrow(1, from as i64, self.growth() as i64).contiguous());
        let mut found = convolution_backward(&kept.out, &gradient, &[&kept.read2, &kept.weight2]);
        if self.conv2.learns() {
            gradients.insert(address(&self.conv2.weight), found.remove(1).to_kind(Kind::Float));
        }
        let mut between = kept.between.empty_like();
        let target = (kept.wanted > Wanted::Norm2).then_some((&mut between, Store::Written));
        self.norm2.backward(&found[0].contiguous(), &kept.between, &kept.norm2, target, gradients);
        if kept.wanted > Wanted::Norm2 {
            let read = self.conv1.backward(&between, &kept.one, gradients);
            let target = (kept.wanted == Wanted::Input).then_some((whole, Store::Added));
            self.norm1.backward(&read, buffer, &kept.one.norm, target, gradients);
        }
    }
}

/// Gradients of a convolution's inputs, given that of its output: libtorch's own backward pass.
fn convolution_backward(out: &Tensor, gradient: &Tensor, of: &[&Tensor]) -> Vec<Tensor> {
    tch::with_grad(|| {
        // Where there is more than one number, libtorch starts with a gradient of 1 at each.
        Tensor::run_backward(&[&(out * gradient)], of, false, false)
    })
}
