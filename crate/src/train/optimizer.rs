//! SGD and AdamW over plain tensors, whose state can be saved and restored.

use tch::Tensor;

use crate::error::{Error, Result};
use crate::recipe::Optimizer;

/// Elements that one round of the update touches on a CPU: six vectors of them stay in two cores' caches.
const CHUNK: i64 = 1 << 16;
const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// An update rule together with its state for one list of weights.
///
/// The weights are moved into one or two long vectors, of which each becomes a view: a step over DenseNet-121's 364
/// tensors then costs a dozen operations instead of thousands.
#[derive(Debug)]
pub struct Update {
    rule: Optimizer,
    weights: Vec<Tensor>,
    groups: Vec<ParameterGroup>,
    steps: i32,
}

/// Weights that are treated alike.
#[derive(Debug)]
struct ParameterGroup {
    /// Positions in [`Update::weights`].
    members: Vec<usize>,
    decays: bool,
    /// All members end to end, `[n]`.
    values: Tensor,
    state: OptimizerState,
}

#[derive(Debug)]
enum OptimizerState {
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
                Optimizer::Sgd { .. } => OptimizerState::Momentum(None),
                Optimizer::AdamW { .. } => {
                    OptimizerState::Moments { first: values.zeros_like(), second: values.zeros_like() }
                }
            };
            ParameterGroup { members, decays, values, state }
        });
        let groups = groups.collect();
        Update { rule, weights, groups, steps: 0 }
    }

    /// The weights, in the order that [`step`](Self::step) takes gradients.
    pub fn weights(&self) -> &[Tensor] {
        &self.weights
    }

    /// Moves every weight along its gradient, at this learning rate.
    ///
    /// # Errors
    /// [`Error::Gradient`] if they are not as many as the weights, or one is missing or not of its weight's shape; none
    /// has then moved.
    pub fn step(&mut self, gradients: &[Tensor], learning_rate: f64) -> Result<()> {
        let gradients = self.gather(gradients)?;
        self.apply(gradients, learning_rate);
        Ok(())
    }

    /// Gradients of [`weights`](Self::weights), one for each and in their order, as the long vectors that
    /// [`apply`](Self::apply) takes.
    ///
    /// # Errors
    /// [`Error::Gradient`] if they are not as many as the weights, or one is missing or not of its weight's shape.
    pub(super) fn gather(&self, gradients: &[Tensor]) -> Result<GroupedGradients> {
        let _guard = tch::no_grad_guard();
        let wrong = |of: String, reason: String| Error::Gradient { of, reason };
        if gradients.len() != self.weights.len() {
            return Err(wrong(format!("{} weights", self.weights.len()), format!("{} came", gradients.len())));
        }
        for (at, (weight, gradient)) in self.weights.iter().zip(gradients).enumerate() {
            if !gradient.defined() {
                return Err(wrong(format!("weight {at}"), "there is none".to_owned()));
            }
            if gradient.size() != weight.size() {
                let reason = format!("expected shape {:?}, got {:?}", weight.size(), gradient.size());
                return Err(wrong(format!("weight {at}"), reason));
            }
        }
        let vector = |group: &ParameterGroup| end_to_end(group.members.iter().map(|&at| gradients[at].shallow_clone()));
        Ok(GroupedGradients(self.groups.iter().map(vector).collect()))
    }

    /// Moves every weight along its gradient, at this learning rate.
    pub(super) fn apply(&mut self, gradients: GroupedGradients, learning_rate: f64) {
        let _guard = tch::no_grad_guard();
        self.steps += 1;
        for (group, gradient) in self.groups.iter_mut().zip(gradients.0) {
            match (self.rule, &mut group.state) {
                (Optimizer::Sgd { momentum, nesterov, .. }, OptimizerState::Momentum(buffer)) => {
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
                (Optimizer::AdamW { weight_decay, .. }, OptimizerState::Moments { first, second }) => {
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

impl Update {
    /// The long vectors that all weights are views of.
    pub(super) fn vectors(&self) -> impl Iterator<Item = Tensor> {
        self.groups.iter().map(|group| group.values.shallow_clone())
    }

    /// Steps taken so far.
    pub(super) fn steps(&self) -> i32 {
        self.steps
    }

    /// What the rule remembers from step to step, by name.
    pub(super) fn state(&self) -> Vec<(String, Tensor)> {
        let mut named = Vec::new();
        for (at, group) in self.groups.iter().enumerate() {
            match &group.state {
                OptimizerState::Momentum(None) => {}
                OptimizerState::Momentum(Some(buffer)) => {
                    named.push((format!("{at}.momentum"), buffer.shallow_clone()))
                }
                OptimizerState::Moments { first, second } => {
                    named.push((format!("{at}.first"), first.shallow_clone()));
                    named.push((format!("{at}.second"), second.shallow_clone()));
                }
            }
        }
        named
    }

    /// Takes over what [`state`](Self::state) gave after `steps` steps; `None` if a tensor is missing or of another
    /// shape.
    pub(super) fn restore(&mut self, steps: i32, saved: &dyn Fn(&str) -> Option<Tensor>) -> Option<()> {
        let _guard = tch::no_grad_guard();
        let rule = self.rule;
        for (at, group) in self.groups.iter_mut().enumerate() {
            let like = &group.values;
            let take = |name: &str| {
                let tensor = saved(&format!("{at}.{name}"))?.to_device(like.device());
                (tensor.size() == like.size()).then_some(tensor)
            };
            group.state = match rule {
                Optimizer::Sgd { momentum, .. } if momentum == 0.0 || steps == 0 => OptimizerState::Momentum(None),
                Optimizer::Sgd { .. } => OptimizerState::Momentum(Some(take("momentum")?)),
                Optimizer::AdamW { .. } => OptimizerState::Moments { first: take("first")?, second: take("second")? },
            };
        }
        self.steps = steps;
        Some(())
    }
}

/// Gradients of all weights as an [`Update`] takes them: one or two long vectors on the weights' device.
#[derive(Debug)]
pub(super) struct GroupedGradients(Vec<Tensor>);

impl GroupedGradients {
    /// Adds the gradients of another batch.
    pub fn add(&mut self, more: &GroupedGradients) {
        let _guard = tch::no_grad_guard();
        for (sum, more) in self.0.iter_mut().zip(&more.0) {
            let _ = sum.g_add_(more);
        }
    }

    /// Multiplies all by `factor`.
    pub fn scale(&mut self, factor: f64) {
        let _guard = tch::no_grad_guard();
        for vector in &mut self.0 {
            let _ = vector.g_mul_scalar_(factor);
        }
    }

    /// Scales all down so that their norm, over all weights together, is at most `max_norm`: PyTorch's
    /// `clip_grad_norm_` (Pascanu et al., arXiv:1211.5063). Returns the norm before, a scalar that stays on the device:
    /// nothing waits for it.
    pub fn clip(&mut self, max_norm: f64) -> Tensor {
        let _guard = tch::no_grad_guard();
        let norms: Vec<Tensor> = self.0.iter().map(Tensor::norm).collect();
        let norm = Tensor::stack(&norms, 0).norm();
        let factor = ((&norm + 1e-6).reciprocal() * max_norm).clamp_max(1.0);
        for vector in &mut self.0 {
            let _ = vector.g_mul_(&factor);
        }
        norm
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

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn the_norm_of_millions_of_gradients_is_exact_to_seven_digits() {
        let wave = (Tensor::arange(3_000_000, (Kind::Double, Device::Cpu)) * 0.37).sin();
        let exact = wave.to_kind(Kind::Float).to_kind(Kind::Double).norm().double_value(&[]);
        let mut gradients = GroupedGradients(vec![wave.to_kind(Kind::Float)]);
        let norm = gradients.clip(1.0).double_value(&[]);
        assert!((norm / exact - 1.0).abs() < 1e-6, "{norm} for {exact}");
        assert!((gradients.0[0].to_kind(Kind::Double).norm().double_value(&[]) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn gradients_that_do_not_fit_their_weights_move_nothing() {
        let weights =
            || vec![Tensor::ones([2, 3], (Kind::Float, Device::Cpu)), Tensor::ones([3], (Kind::Float, Device::Cpu))];
        let mut update = Update::new(Optimizer::AdamW { learning_rate: 0.1, weight_decay: 0.1 }, weights());
        for (gradients, expected) in [
            (weights().split_off(1), "gradient of 2 weights: 1 came"),
            (weights().into_iter().rev().collect(), "gradient of weight 0: expected shape [2, 3], got [3]"),
            (vec![Tensor::new(), weights().remove(1)], "gradient of weight 0: there is none"),
            (Vec::new(), "gradient of 2 weights: 0 came"),
        ] {
            assert_eq!(update.step(&gradients, 0.1).unwrap_err().to_string(), expected);
        }
        assert!(update.weights().iter().zip(weights()).all(|(now, before)| now.equal(&before)));
        assert_eq!(update.steps(), 0);
        update.step(&weights(), 0.1).unwrap();
        assert!(update.weights().iter().zip(weights()).all(|(now, before)| !now.equal(&before)));
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
                update.step(&gradients, rule.learning_rate()).unwrap();
            }
            let off = (&update.weights()[0] - 2.0).abs().max().double_value(&[]);
            assert!(off < 1e-2, "{rule:?} ended {off} away");
        }
    }
}
