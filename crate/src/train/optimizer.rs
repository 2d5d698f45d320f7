//! SGD and AdamW over plain tensors, with their state in our own hands, and the schedules that move their step size.

use std::f64::consts::PI;

use tch::Tensor;

use super::recipe::{Optimizer, Schedule};

/// Elements that one round of the update touches on a CPU: six vectors of them stay in two cores' caches.
const CHUNK: i64 = 1 << 16;
const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// An update rule together with its state for one list of weights.
///
/// The weights are moved into one or two long vectors, of which each becomes a view: a step over DenseNet-121's 364 tensors
/// then costs a dozen operations instead of thousands.
#[derive(Debug)]
pub struct Update {
    rule: Optimizer,
    weights: Vec<Tensor>,
    groups: Vec<Group>,
    steps: i32,
}

/// Weights that are treated alike.
#[derive(Debug)]
struct Group {
    /// Positions in [`Update::weights`].
    members: Vec<usize>,
    decays: bool,
    /// All members end to end, `[n]`.
    values: Tensor,
    state: State,
}

#[derive(Debug)]
enum State {
    Momentum(Option<Tensor>),
    Moments { first: Tensor, second: Tensor },
}

impl Update {
    /// For these weights, `f32` on one device, which are moved in place.
    pub fn new(rule: Optimizer, mut weights: Vec<Tensor>) -> Self {
        // Biases and norms, the one-dimensional weights, do not decay.
        let (matrices, vectors): (Vec<_>, Vec<_>) = (0..weights.len()).partition(|&at| weights[at].dim() > 1);
        let groups = [(matrices, true), (vectors, false)].into_iter().filter(|(members, _)| !members.is_empty());
        let groups = groups.map(|(members, decays)| {
            let values = end_to_end(members.iter().map(|&at| weights[at].detach()));
            let mut start = 0;
            for &at in &members {
                let (size, n) = (weights[at].size(), weights[at].numel() as i64);
                weights[at].set_data(&values.narrow(0, start, n).view(size.as_slice()));
                start += n;
            }
            let state = match rule {
                Optimizer::Sgd { .. } => State::Momentum(None),
                Optimizer::AdamW { .. } => State::Moments { first: values.zeros_like(), second: values.zeros_like() },
            };
            Group { members, decays, values, state }
        });
        let groups = groups.collect();
        Update { rule, weights, groups, steps: 0 }
    }

    /// The weights, in the order that [`step`](Self::step) takes gradients.
    pub fn weights(&self) -> &[Tensor] {
        &self.weights
    }

    /// Moves every weight along its gradient, at this step size.
    pub fn step(&mut self, gradients: &[Tensor], learning_rate: f64) {
        let _guard = tch::no_grad_guard();
        self.steps += 1;
        for group in &mut self.groups {
            let gradient = end_to_end(group.members.iter().map(|&at| gradients[at].shallow_clone()));
            match (self.rule, &mut group.state) {
                (Optimizer::Sgd { momentum, nesterov, .. }, State::Momentum(buffer)) => {
                    let direction = if momentum == 0.0 {
                        gradient
                    } else {
                        let next = match buffer.take() {
                            Some(old) => old * momentum + &gradient,
                            None => gradient.copy(),
                        };
                        let direction = if nesterov { gradient + &next * momentum } else { next.shallow_clone() };
                        *buffer = Some(next);
                        direction
                    };
                    let _ = group.values.g_add_(&(direction * -learning_rate));
                }
                (Optimizer::AdamW { weight_decay, .. }, State::Moments { first, second }) => {
                    let decay = if group.decays { weight_decay } else { 0.0 };
                    let (n, device) = (gradient.numel() as i64, gradient.device());
                    let chunk = if device.is_cuda() { n } else { CHUNK };
                    for start in (0..n).step_by(chunk.max(1) as usize) {
                        let part = |whole: &Tensor| whole.narrow(0, start, chunk.min(n - start));
                        let moments = [part(first), part(second)];
                        adamw(part(&group.values), part(&gradient), moments, self.steps, learning_rate, decay);
                    }
                }
                _ => unreachable!("state and rule are made together"),
            }
        }
    }
}

/// One step of AdamW over vectors `[n]`, in place, PyTorch's formula.
fn adamw(
    mut weight: Tensor,
    gradient: Tensor,
    [mut first, mut second]: [Tensor; 2],
    step: i32,
    learning_rate: f64,
    decay: f64,
) {
    if decay != 0.0 {
        let _ = weight.g_mul_scalar_(1.0 - learning_rate * decay);
    }
    let _ = first.lerp_(&gradient, 1.0 - BETA1);
    let _ = second.g_mul_scalar_(BETA2).g_add_(&(&gradient * &gradient).g_mul_scalar_(1.0 - BETA2));
    let (correction1, correction2) = (1.0 - BETA1.powi(step), 1.0 - BETA2.powi(step));
    let mut scale = second.sqrt();
    // sqrt(v / c) + ε = (sqrt(v) + ε sqrt(c)) / sqrt(c)
    let _ = scale.g_add_scalar_(EPSILON * correction2.sqrt());
    let _ = weight.g_add_(&(&first / scale).g_mul_scalar_(-learning_rate * correction2.sqrt() / correction1));
}

/// Tensors as one vector `[n]`.
fn end_to_end(tensors: impl Iterator<Item = Tensor>) -> Tensor {
    Tensor::cat(&tensors.map(|tensor| tensor.contiguous().flatten(0, -1)).collect::<Vec<_>>(), 0)
}

/// Where a schedule stands.
#[derive(Debug)]
pub struct Pace {
    schedule: Schedule,
    peak: f64,
    total_steps: usize,
    factor: f64,
    lowest_loss: f64,
    waited: usize,
}

impl Pace {
    /// For a run of `total_steps` steps around this step size.
    pub fn new(schedule: Schedule, peak: f64, total_steps: usize) -> Self {
        Pace { schedule, peak, total_steps, factor: 1.0, lowest_loss: f64::INFINITY, waited: 0 }
    }

    /// The step size of step `step`, counted from 0.
    pub fn learning_rate(&self, step: usize) -> f64 {
        match self.schedule {
            Schedule::Constant => self.peak,
            Schedule::ReduceOnPlateau { .. } => self.peak * self.factor,
            Schedule::OneCycle { warm_up } => {
                // PyTorch's OneCycleLR, div_factor 25, final_div_factor 400: from peak/25 to the peak to peak/10,000.
                let (low, end) = (self.peak / 25.0, self.peak / 1e4);
                let top = warm_up * self.total_steps as f64 - 1.0;
                let last = self.total_steps as f64 - 1.0;
                let step = step as f64;
                if step <= top {
                    cosine(low, self.peak, if top > 0.0 { step / top } else { 1.0 })
                } else {
                    cosine(self.peak, end, ((step - top) / (last - top).max(1.0)).clamp(0.0, 1.0))
                }
            }
        }
    }

    /// Tells the schedule the tune loss of an epoch that is over.
    pub fn epoch_is_over(&mut self, tune_loss: f64) {
        let Schedule::ReduceOnPlateau { factor, patience } = self.schedule else { return };
        if tune_loss < self.lowest_loss - 1e-4 {
            self.lowest_loss = tune_loss;
            self.waited = 0;
        } else {
            self.waited += 1;
            if self.waited >= patience {
                self.factor *= factor;
                self.waited = 0;
            }
        }
    }
}

fn cosine(from: f64, to: f64, way: f64) -> f64 {
    to + (from - to) / 2.0 * (1.0 + (PI * way).cos())
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn one_cycle_rises_to_the_peak_and_falls_to_almost_nothing() {
        let pace = Pace::new(Schedule::OneCycle { warm_up: 0.3 }, 1.0, 100);
        assert!((pace.learning_rate(0) - 0.04).abs() < 1e-9);
        assert!((pace.learning_rate(29) - 1.0).abs() < 1e-9);
        assert!((pace.learning_rate(99) - 1e-4).abs() < 1e-9);
    }

    #[test]
    fn plateau_waits_for_its_patience() {
        let mut pace = Pace::new(Schedule::ReduceOnPlateau { factor: 0.1, patience: 2 }, 1.0, 10);
        for (loss, expected) in [(1.0, 1.0), (1.1, 1.0), (1.2, 0.1), (0.5, 0.1), (0.6, 0.1), (0.7, 0.01)] {
            pace.epoch_is_over(loss);
            assert!((pace.learning_rate(0) - expected).abs() < 1e-12, "{loss}");
        }
    }

    #[test]
    fn both_rules_find_the_bottom_of_a_bowl() {
        for rule in [
            Optimizer::Sgd { learning_rate: 0.1, momentum: 0.9, nesterov: true },
            Optimizer::AdamW { learning_rate: 0.1, weight_decay: 0.0 },
        ] {
            let weight = Tensor::full([3], 5.0, (Kind::Float, Device::Cpu)).set_requires_grad(true);
            let mut update = Update::new(rule, vec![weight]);
            for _ in 0..300 {
                let loss = (&update.weights()[0] - 2.0).square().sum(Kind::Float);
                let gradients = Tensor::run_backward(&[loss], update.weights(), false, false);
                update.step(&gradients, rule.learning_rate());
            }
            let off = (&update.weights()[0] - 2.0).abs().max().double_value(&[]);
            assert!(off < 1e-2, "{rule:?} ended {off} away");
        }
    }
}
