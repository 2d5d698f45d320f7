//! SGD and AdamW over plain tensors, with their state in our own hands, and the schedules that move their step size.

use std::f64::consts::PI;

use tch::Tensor;

use super::recipe::{Optimizer, Schedule};

/// An update rule together with its state for one list of weights.
#[derive(Debug)]
pub struct Update {
    rule: Optimizer,
    weights: Vec<Tensor>,
    state: Vec<State>,
    steps: i32,
}

#[derive(Debug)]
enum State {
    Momentum(Option<Tensor>),
    Moments { first: Tensor, second: Tensor },
}

impl Update {
    /// For these weights, which are moved in place.
    pub fn new(rule: Optimizer, weights: Vec<Tensor>) -> Self {
        let state = weights
            .iter()
            .map(|weight| match rule {
                Optimizer::Sgd { .. } => State::Momentum(None),
                Optimizer::AdamW { .. } => {
                    State::Moments { first: weight.detach().zeros_like(), second: weight.detach().zeros_like() }
                }
            })
            .collect();
        Update { rule, weights, state, steps: 0 }
    }

    /// The weights, in the order that [`step`](Self::step) takes gradients.
    pub fn weights(&self) -> &[Tensor] {
        &self.weights
    }

    /// Moves every weight along its gradient, at this step size.
    pub fn step(&mut self, gradients: &[Tensor], learning_rate: f64) {
        let _guard = tch::no_grad_guard();
        self.steps += 1;
        for ((weight, gradient), state) in self.weights.iter_mut().zip(gradients).zip(&mut self.state) {
            match (self.rule, state) {
                (Optimizer::Sgd { momentum, nesterov, .. }, State::Momentum(buffer)) => {
                    let direction = if momentum == 0.0 {
                        gradient.shallow_clone()
                    } else {
                        let next = match buffer.take() {
                            Some(old) => old * momentum + gradient,
                            None => gradient.copy(),
                        };
                        let direction = if nesterov { gradient + &next * momentum } else { next.shallow_clone() };
                        *buffer = Some(next);
                        direction
                    };
                    let _ = weight.g_add_(&(direction * -learning_rate));
                }
                (Optimizer::AdamW { weight_decay, .. }, State::Moments { first, second }) => {
                    // Biases and norms, the one-dimensional weights, do not decay.
                    if weight.dim() > 1 {
                        let _ = weight.g_mul_scalar_(1.0 - learning_rate * weight_decay);
                    }
                    let _ = first.lerp_(gradient, 1.0 - BETA1);
                    let _ = second.g_mul_scalar_(BETA2).g_add_(&(gradient * gradient * (1.0 - BETA2)));
                    let correction1 = 1.0 - BETA1.powi(self.steps);
                    let correction2 = 1.0 - BETA2.powi(self.steps);
                    let scale = (&*second / correction2).sqrt() + EPSILON;
                    let _ = weight.g_add_(&(&*first / scale * (-learning_rate / correction1)));
                }
                _ => unreachable!("state and rule are made together"),
            }
        }
    }
}

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

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
