//! An exponential moving average of weights and BatchNorm statistics.
//!
//! timm's `ModelEmaV3` with its warm-up: the average moves by 1 - decay towards the network after each step, at first
//! by more ([`decay_at`]), so that it forgets the initial weights also in a short run; it covers parameters *and*
//! BatchNorm's buffers alike (`torch.optim.swa_utils` with `use_buffers=True`).

use tch::Tensor;

use crate::network::{Classifier, VariableKind};

/// A moving average of some vectors that change in place.
#[derive(Debug)]
pub(super) struct Ema {
    live: Vec<Tensor>,
    average: Vec<Tensor>,
}

impl Ema {
    /// An average of `live`, which shares their memory and starts with their present values.
    pub fn new(live: Vec<Tensor>) -> Ema {
        let live: Vec<Tensor> = live.iter().map(Tensor::detach).collect();
        let average = live.iter().map(Tensor::copy).collect();
        Ema { live, average }
    }

    /// Takes in the present values: average ← decay · average + (1 - decay) · value, `decay` from 0 to 1.
    pub fn update(&mut self, decay: f64) {
        let _guard = tch::no_grad_guard();
        for (average, live) in self.average.iter_mut().zip(&self.live) {
            let _ = average.lerp_(live, 1.0 - decay);
        }
    }

    /// Exchanges values and averages, bit for bit: once to look at the averages, once more to go on.
    pub fn swap(&mut self) {
        let _guard = tch::no_grad_guard();
        for (average, live) in self.average.iter_mut().zip(&mut self.live) {
            let kept = live.copy();
            live.copy_(average);
            average.copy_(&kept);
        }
    }

    /// The averages, in the order of the vectors.
    pub fn averages(&self) -> &[Tensor] {
        &self.average
    }
}

/// The decay after `steps` steps of a run, at most `most`: `1 - steps^(-2/3)`, timm's warm-up with its defaults. The
/// average then spans about the last `steps^(2/3)` steps.
pub(super) fn decay_at(most: f64, steps: usize) -> f64 {
    most.min(1.0 - (steps.max(1) as f64).powf(-2.0 / 3.0))
}

/// Moves BatchNorm's statistics into one long vector, of which each becomes a view.
pub(super) fn statistics(classifier: &Classifier) -> Tensor {
    let _guard = tch::no_grad_guard();
    let statistics = || classifier.variables().iter().filter(|v| v.kind == VariableKind::Statistic);
    let flat: Vec<Tensor> = statistics().map(|v| v.tensor.flatten(0, -1)).collect();
    let all = Tensor::cat(&flat, 0);
    let mut start = 0;
    for variable in statistics() {
        let n = variable.tensor.numel() as i64;
        let mut tensor = variable.tensor.shallow_clone();
        tensor.set_data(&all.narrow(0, start, n).view(variable.tensor.size().as_slice()));
        start += n;
    }
    all
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::network::{Architecture, Head, Mode};

    #[test]
    fn the_decay_rises_as_timms() {
        // `ModelEmaV3(model, decay=0.9999, use_warmup=True).get_decay(step)` of timm 1.0 for these steps.
        for (steps, expected) in [(1, 0.0), (2, 0.370_039_475), (10, 0.784_556_531), (1000, 0.99), (2_000_000, 0.9999)]
        {
            assert!((decay_at(0.9999, steps) - expected).abs() < 1e-8, "{steps}: {}", decay_at(0.9999, steps));
        }
    }

    #[test]
    fn two_swaps_change_no_bit_and_a_still_vector_stays_still() {
        let mut live = (Tensor::arange(1000, (Kind::Float, Device::Cpu)) * 0.37).sin();
        let mut ema = Ema::new(vec![live.shallow_clone()]);
        let start = live.copy();
        for _ in 0..5 {
            ema.update(0.9);
        }
        assert!(ema.averages()[0].equal(&start), "what does not move has itself as its average");
        let _ = live.g_mul_scalar_(3.0);
        ema.update(0.9);
        let (values, averages) = (live.copy(), ema.averages()[0].copy());
        ema.swap();
        assert!(live.equal(&averages) && ema.averages()[0].equal(&values));
        ema.swap();
        assert!(live.equal(&values) && ema.averages()[0].equal(&averages));
    }

    #[test]
    fn statistics_stay_those_of_the_layers_when_they_move_into_one_vector() {
        let build = || Classifier::new(Architecture::DenseNet121, Head::Linear { classes: 2 }, 3, Device::Cpu);
        let (plain, moved) = (build(), build());
        let vector = statistics(&moved);
        let before = vector.copy();
        let batch = (Tensor::arange(2 * 3 * 64 * 64, (Kind::Float, Device::Cpu)) * 0.7).sin().view([2, 3, 64, 64]);
        for model in [&plain, &moved] {
            let _ = model.forward(&batch, Mode::Train).unwrap();
        }
        assert!(!vector.equal(&before), "the forward pass moved the vector");
        for (a, b) in plain.variables().iter().zip(moved.variables()) {
            assert!(a.tensor.equal(&b.tensor), "{}", a.name);
        }
    }
}
