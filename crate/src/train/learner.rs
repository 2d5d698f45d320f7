//! A training step, the only one: gradients of some batches, averaged, clipped, applied, and taken into the moving
//! average.

use tch::{Device, Reduction, Tensor};

use super::ema::{self, Ema};
use super::optimizer::{GroupedGradients, Update};
use crate::dataset::Batch;
use crate::device::Precision;
use crate::error::Result;
use crate::network::{Classifier, VariableKind};
use crate::recipe::Recipe;

/// The recipe's network on `device`, from random weights, computing in `precision`.
pub(super) fn network(recipe: &Recipe, device: Device, precision: Precision) -> Result<Classifier> {
    let mut network = recipe.network(device);
    network.compute_in(precision.kind(device))?;
    Ok(network)
}

/// Cross-entropy of logits and labels, with these class weights and the recipe's smoothing.
pub(super) fn cross_entropy(class_weights: Option<&Tensor>, recipe: &Recipe) -> impl Fn(&Tensor, &Tensor) -> Tensor {
    let smoothing = recipe.label_smoothing;
    move |logits, labels| logits.cross_entropy_loss(labels, class_weights, Reduction::Mean, -100, smoothing)
}

/// What moves the weights of a network, as a recipe says: preprocessing and augmentation, update rule, clipping, moving
/// average.
#[derive(Debug)]
pub(super) struct Learner {
    recipe: Recipe,
    pub update: Update,
    average: Option<Average>,
}

#[derive(Debug)]
struct Average {
    ema: Ema,
    /// The largest decay.
    most: f64,
    /// Steps of the run before this learner's.
    before: usize,
}

impl Learner {
    /// For the weights of `network` that may learn; without a moving average.
    pub fn new(network: &Classifier, recipe: &Recipe) -> Learner {
        let weights = network.trainable().iter().map(|variable| variable.tensor.shallow_clone()).collect();
        Learner { recipe: recipe.clone(), update: Update::new(recipe.optimizer, weights), average: None }
    }

    /// With the recipe's moving average, if it has one, after so many steps of the run. The averages of the learner
    /// before go on; weights that no longer learn have none.
    pub fn averaging(network: &Classifier, recipe: &Recipe, before: usize, former: Option<&mut Learner>) -> Learner {
        let averages = former.filter(|former| former.average.is_some()).map(|former| {
            former.with_averages(|| network.variables().iter().map(|v| v.tensor.copy()).collect::<Vec<_>>())
        });
        let mut learner = Learner::new(network, recipe);
        learner.average = recipe.ema.map(|most| {
            let statistics = ema::statistics(network);
            Average { ema: Ema::new(learner.update.vectors().chain([statistics]).collect()), most, before }
        });
        if let Some(averages) = averages {
            learner.with_averages(|| {
                for (variable, average) in network.variables().iter().zip(averages) {
                    if variable.tensor.requires_grad() || variable.kind == VariableKind::Statistic {
                        variable.tensor.detach().copy_(&average.detach());
                    }
                }
            });
        }
        learner
    }

    /// One step at this learning rate along the mean gradient of `loss`, of logits and labels, over some batches, which
    /// are augmented as in this epoch. Returns the loss of each batch before the step, scalars that stay on the device.
    ///
    /// # Errors
    /// Those of a batch; [`Error::Shape`](crate::Error::Shape) and [`Error::Gradient`](crate::Error::Gradient) where
    /// batches, loss and network do not fit. No weight has then moved.
    pub fn step(
        &mut self,
        network: &Classifier,
        batches: impl IntoIterator<Item = Result<Batch>>,
        epoch: usize,
        learning_rate: f64,
        loss: impl Fn(&Tensor, &Tensor) -> Tensor,
    ) -> Result<Vec<Tensor>> {
        let (mut losses, mut gathered): (Vec<Tensor>, Option<GroupedGradients>) = (Vec::new(), None);
        for batch in batches {
            let batch = batch?;
            let films = self.recipe.preprocess.standardise(&augmented(&self.recipe, &batch, epoch));
            let (of_batch, gradients) = network.gradients(&films, |logits| loss(logits, &batch.labels))?;
            let gradients = self.update.gather(&gradients)?;
            match &mut gathered {
                Some(sum) => sum.add(&gradients),
                None => gathered = Some(gradients),
            }
            losses.push(of_batch);
        }
        let Some(mut gradients) = gathered else { return Ok(losses) };
        if losses.len() > 1 {
            gradients.scale(1.0 / losses.len() as f64);
        }
        if let Some(most) = self.recipe.clip_norm {
            let _ = gradients.clip(most);
        }
        self.update.apply(gradients, learning_rate);
        let steps = self.update.steps() as usize;
        if let Some(Average { ema, most, before }) = &mut self.average {
            // Steps of the whole run: a stage goes on with the average of the one before.
            ema.update(ema::decay_at(*most, *before + steps));
        }
        Ok(losses)
    }

    /// Exchanges weights and averages, where there are any: once to look at the averages, once more to go on.
    pub fn swap_averages(&mut self) {
        self.average.iter_mut().for_each(|average| average.ema.swap());
    }

    /// The averages, in the order of the vectors that hold weights and statistics.
    pub fn averages(&self) -> &[Tensor] {
        self.average.as_ref().map_or(&[], |average| average.ema.averages())
    }

    fn with_averages<T>(&mut self, act: impl FnOnce() -> T) -> T {
        self.swap_averages();
        let result = act();
        self.swap_averages();
        result
    }
}

/// The films of a batch as this epoch augments them, `[N, 1, H, W]` in `0.0..=1.0`.
pub(super) fn augmented(recipe: &Recipe, batch: &Batch, epoch: usize) -> Tensor {
    recipe.augment.apply(&batch.films(), &batch.indices, recipe.seed, epoch)
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;
    use crate::network::Unfreeze;
    use crate::preprocess::Preprocess;

    #[test]
    fn a_step_over_two_batches_is_one_along_their_mean_gradient_clipped_and_then_averaged() {
        let preprocess = Preprocess { size: 64, ..Preprocess::default() };
        let recipe = Recipe { preprocess, clip_norm: Some(0.01), ema: Some(0.5), ..Recipe::default() };
        let networks = [(); 2].map(|()| {
            let mut network = network(&recipe, Device::Cpu, Precision::Fp32).unwrap();
            network.unfreeze(Unfreeze::Head).unwrap();
            network
        });
        let batch = |first: usize| Batch {
            indices: vec![first, first + 1, first + 2],
            pixels: (Tensor::arange(3 * 64 * 64, (Kind::Float, Device::Cpu)) * (0.1 + first as f64))
                .sin()
                .view([3, 64, 64])
                .g_mul_scalar(100.0)
                .g_add_scalar(120.0)
                .to_kind(Kind::Uint8),
            labels: Tensor::from_slice(&[0i64, 1, 1]),
        };
        let loss = |logits: &Tensor, labels: &Tensor| logits.cross_entropy_for_logits(labels);
        let [ours, by_hand] = &networks;
        let mut learner = Learner::averaging(ours, &recipe, 7, None);
        let before: Vec<Tensor> = learner.update.vectors().map(|vector| vector.copy()).collect();
        let losses = learner.step(ours, [Ok(batch(0)), Ok(batch(3))], 2, 0.1, loss).unwrap();

        let mut update = Learner::new(by_hand, &recipe).update;
        let [first, second] = [batch(0), batch(3)].map(|batch| {
            let films = recipe.preprocess.standardise(&augmented(&recipe, &batch, 2));
            by_hand.gradients(&films, |logits| loss(logits, &batch.labels)).unwrap()
        });
        let mean: Vec<Tensor> = first.1.iter().zip(&second.1).map(|(a, b)| (a + b) * 0.5).collect();
        let mut mean = update.gather(&mean).unwrap();
        assert!(mean.clip(0.01).double_value(&[]) > 0.01, "clipping has something to do");
        update.apply(mean, 0.1);
        for (a, b) in learner.update.vectors().zip(update.vectors()) {
            assert!(a.equal(&b));
        }
        assert!(losses[0].equal(&first.0) && losses[1].equal(&second.0));
        // Step 8 of the run: 1 - 8^(-2/3) is 0.75, and 0.5 the most.
        for ((average, before), now) in learner.averages().iter().zip(&before).zip(learner.update.vectors()) {
            let off = (average - (before + now) / 2.0).abs().max().double_value(&[]);
            assert!(off < 1e-6, "{off}");
        }
    }
}
