//! A loss and its gradients: on a CPU by the fused layers, elsewhere by libtorch's.

use tch::{Device, Tensor};

use super::fused::Gradients;
use super::{Classifier, Mode, Variable, channels_last};
use crate::error::{Error, Result};

impl Classifier {
    /// One forward and backward pass of a batch `[N, 3, H, W]` in [`Mode::Train`]: the loss that `loss` makes of its
    /// logits `[N, classes]`, a scalar, and its gradients with respect to [`trainable`](Self::trainable), one for each,
    /// in that order.
    ///
    /// On a CPU the features run through fused layers, which touch less memory than libtorch's; layers below the first
    /// one that learns have no backward pass on any device.
    ///
    /// # Errors
    /// [`Error::Shape`] if the batch has another shape, [`Error::Gradient`] if `loss` does not depend on one of these
    /// weights.
    pub fn gradients(&self, batch: &Tensor, loss: impl FnOnce(&Tensor) -> Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        self.check_input(batch)?;
        let wanted: Vec<&Tensor> = self.trainable().iter().map(|variable| &variable.tensor).collect();
        if self.device != Device::Cpu {
            let loss = loss(&self.forward(batch, Mode::Train)?);
            let found = Tensor::f_run_backward(&[&loss], &wanted, false, false)?;
            return Ok((loss.detach(), self.in_order(found.into_iter().map(Some))?));
        }
        crate::device::keep_freed_memory();
        let (features, tape) = self.features.fused(&channels_last(batch).to_kind(self.kind), true);
        let features = features.set_requires_grad(tape.is_some());
        let loss = loss(&self.classify(&features));
        let in_head: Vec<&Tensor> = self.head_layers.weights().filter(|weight| weight.requires_grad()).collect();
        let mut of = in_head.clone();
        of.extend(tape.is_some().then_some(&features));
        let mut found = Tensor::f_run_backward(&[&loss], &of, false, false)?;
        let below = (found.len() > in_head.len()).then(|| found.remove(in_head.len())).filter(Tensor::defined);
        let mut gradients = match (tape, below) {
            (Some(tape), Some(below)) => self.features.backward(tape, &below),
            _ => Gradients::new(),
        };
        gradients.extend(in_head.iter().map(|weight| weight.data_ptr() as usize).zip(found));
        let found = wanted.iter().map(|weight| gradients.remove(&(weight.data_ptr() as usize)));
        Ok((loss.detach(), self.in_order(found)?))
    }

    /// One gradient for each of [`trainable`](Self::trainable), or which of them has none: never those of others in its
    /// place.
    pub(super) fn in_order(&self, found: impl Iterator<Item = Option<Tensor>>) -> Result<Vec<Tensor>> {
        let trainable = self.trainable();
        let found: Vec<Option<Tensor>> = found.collect();
        if found.len() != trainable.len() {
            return Err(Error::Gradient {
                of: format!("{} weights", trainable.len()),
                reason: format!("{} came", found.len()),
            });
        }
        let one = |(weight, gradient): (&Variable, Option<Tensor>)| match gradient.filter(Tensor::defined) {
            None => Err(Error::Gradient {
                of: weight.name.clone(),
                reason: "there is none; the loss does not depend on it".to_owned(),
            }),
            Some(gradient) if gradient.size() != weight.tensor.size() => {
                let (expected, got) = (weight.tensor.size(), gradient.size());
                Err(Error::Gradient {
                    of: weight.name.clone(),
                    reason: format!("expected shape {expected:?}, got {got:?}"),
                })
            }
            Some(gradient) => Ok(gradient),
        };
        trainable.into_iter().zip(found).map(one).collect()
    }
}
