//! Places in the network at which one tensor is all that the layers behind read, so that a walk can end there and go on
//! from there.

use std::ops::ControlFlow;

use tch::{Device, Kind, Tensor};

use super::{Classifier, channels_last, whole};
use crate::error::{Error, Result};

/// Such a place, in the order of the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Waypoint(usize);

impl Waypoint {
    /// The batch itself.
    pub(crate) const FILM: Waypoint = Waypoint(0);
    /// The last norm.
    pub(crate) const NORM5: Waypoint = Waypoint(9);
    /// Its ReLU: what the head reads.
    pub(crate) const RELU5: Waypoint = Waypoint(10);

    /// Before a dense block, counted from 0.
    pub(crate) fn entry(block: usize) -> Waypoint {
        Waypoint(1 + 2 * block)
    }

    /// Behind a dense block, before its transition.
    pub(crate) fn block(block: usize) -> Waypoint {
        Waypoint(2 + 2 * block)
    }

    /// Where a layer's output is such a place.
    pub(crate) fn of(layer: &str) -> Option<Waypoint> {
        let rest = layer.strip_prefix("features.")?;
        let number = |text: &str| text.parse::<usize>().ok().filter(|n| (1..=4).contains(n));
        match rest {
            "pool0" => Some(Waypoint::entry(0)),
            "norm5" => Some(Waypoint::NORM5),
            "relu5" => Some(Waypoint::RELU5),
            _ => match (rest.strip_prefix("denseblock"), rest.strip_prefix("transition")) {
                (Some(block), _) => number(block).map(|n| Waypoint::block(n - 1)),
                (_, Some(transition)) => {
                    number(transition.strip_suffix(".pool")?).filter(|n| *n < 4).map(Waypoint::entry)
                }
                _ => None,
            },
        }
    }
}

/// What a walk has kept of some layers: their outputs, in the order in which they were asked for, and the logits.
pub(crate) struct Kept {
    /// `[N, C, h, w]` each.
    pub(crate) activations: Vec<Tensor>,
    /// `[N, classes]`.
    pub(crate) logits: Tensor,
}

impl Classifier {
    /// The outputs of some layers and the logits, in eval mode, with a graph from the first of these layers to the
    /// logits and none before it: gradients of the logits can be asked for at any of the layers, whatever learns.
    ///
    /// # Errors
    /// [`Error::NoSuchLayer`]; [`Error::Shape`] for a layer without maps, or another batch.
    pub(crate) fn kept(&self, batch: &Tensor, layers: &[impl AsRef<str>]) -> Result<Kept> {
        self.check_input(batch)?;
        tch::with_grad(|| {
            let mut found: Vec<Option<Tensor>> = layers.iter().map(|_| None).collect();
            let mut before = Some(tch::no_grad_guard());
            let mut hook = |name: &str, xs: Tensor| {
                let mut xs = xs;
                for (layer, found) in layers.iter().zip(&mut found).filter(|(layer, _)| layer.as_ref() == name) {
                    if let Some(guard) = before.take() {
                        drop(guard);
                        xs = xs.detach().set_requires_grad(true);
                    }
                    debug_assert_eq!(layer.as_ref(), name);
                    *found = Some(xs.shallow_clone());
                }
                ControlFlow::Continue(xs)
            };
            let first = layers.iter().map(|layer| Waypoint::of(layer.as_ref())).min().flatten();
            let logits = match first.filter(|_| self.device == Device::Cpu) {
                // All of them are places: the way to the first is that of scoring.
                Some(place) => {
                    let xs = self.features.fused_way(&channels_last(batch).to_kind(self.kind), Waypoint::FILM, place);
                    let name = layers.iter().find(|layer| Waypoint::of(layer.as_ref()) == Some(place));
                    let xs = whole(hook(name.expect("it is one of them").as_ref(), xs));
                    whole(self.from(place, xs, &mut hook))
                }
                None => whole(self.walk(batch, super::Mode::Eval, &mut hook)),
            };
            drop(before);
            let mut activations = Vec::with_capacity(layers.len());
            for (layer, found) in layers.iter().zip(found) {
                let xs = found.ok_or_else(|| self.no_such_layer(layer.as_ref()))?;
                if xs.dim() != 4 {
                    return Err(Error::Shape { what: "layer", expected: "[N, C, h, w]".to_owned(), got: xs.size() });
                }
                activations.push(xs);
            }
            Ok(Kept { activations, logits })
        })
    }

    fn from(&self, place: Waypoint, xs: Tensor, hook: &mut super::Hook) -> super::Walk {
        let features = self.features.onward(place, xs, false, hook)?;
        self.head_layers.forward(&features.to_kind(self.head_kind()), hook)
    }

    /// The output of a layer at such a place, without a graph, in the network's kind.
    ///
    /// # Errors
    /// [`Error::Shape`] for another batch.
    pub(crate) fn up_to(&self, batch: &Tensor, place: Waypoint) -> Result<Tensor> {
        self.check_input(batch)?;
        let batch = channels_last(batch).to_kind(self.kind);
        Ok(self.features.fused_way(&batch, Waypoint::FILM, place))
    }

    /// What lies at a place, given what lies at one before it, without a graph.
    pub(crate) fn way(&self, xs: &Tensor, from: Waypoint, to: Waypoint) -> Tensor {
        let _guard = tch::no_grad_guard();
        self.features.fused_way(xs, from, to)
    }

    /// The logits behind a place, given what lies there, without a graph.
    pub(crate) fn logits_from(&self, place: Waypoint, xs: &Tensor) -> Tensor {
        let _guard = tch::no_grad_guard();
        let xs = xs.to_kind(self.kind);
        if self.device == Device::Cpu {
            return self.classify(&self.features.fused_way(&xs, place, Waypoint::RELU5));
        }
        whole(self.from(place, xs, &mut |_, xs| ControlFlow::Continue(xs)))
    }

    /// The logits of a batch where a layer's output is replaced, without a graph; the batch may have been repeated.
    ///
    /// # Errors
    /// [`Error::Shape`] for another batch.
    pub(crate) fn logits_with(
        &self,
        batch: &Tensor,
        layer: &str,
        put: &mut dyn FnMut(Tensor) -> Tensor,
    ) -> Result<Tensor> {
        self.check_input(batch)?;
        let _guard = tch::no_grad_guard();
        Ok(whole(self.walk(batch, super::Mode::Eval, &mut |name, xs| {
            ControlFlow::Continue(if name == layer { put(xs) } else { xs })
        })))
    }

    /// The head alone: logits of what lies at [`Waypoint::RELU5`].
    pub(crate) fn logits_of_features(&self, features: &Tensor) -> Tensor {
        self.classify(features)
    }

    /// The weight of the head, `[classes, C]`, where it is an average and one linear layer: there the gradient of a
    /// logit at [`Waypoint::RELU5`] is known without a backward pass.
    pub(crate) fn linear_head(&self) -> Option<Tensor> {
        match self.head {
            super::Head::Linear { .. } => {
                self.head_layers.weights().next().map(|weight| weight.detach().to_kind(Kind::Float))
            }
            super::Head::Reference { .. } => None,
        }
    }

    /// The slope of the last norm: how much its output grows with its input, one number a channel.
    pub(crate) fn last_slope(&self) -> Tensor {
        let norm = &self.features.norm5;
        (norm.weight.detach() / (norm.variance.detach() + 1e-5).sqrt()).to_kind(Kind::Float)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Architecture, Head, Mode};

    #[test]
    fn a_way_cut_at_any_place_ends_in_the_same_logits() {
        let batch = (Tensor::arange(2 * 3 * 64 * 96, (Kind::Float, Device::Cpu)) * 0.37).sin().view([2, 3, 64, 96]);
        for head in [Head::Linear { classes: 2 }, Head::Reference { classes: 2 }] {
            let model = Classifier::new(Architecture::DenseNet121, head, 3, Device::Cpu);
            let logits = tch::no_grad(|| model.forward(&batch, Mode::Eval).unwrap());
            let places = model.layers().into_iter().filter_map(|layer| Some((Waypoint::of(&layer)?, layer)));
            let places: Vec<_> = places.collect();
            assert_eq!(places.len(), 10, "{places:?}");
            assert!(places.windows(2).all(|pair| pair[0].0 < pair[1].0), "{places:?}");
            for (place, layer) in places {
                let there = model.up_to(&batch, place).unwrap();
                let slow = tch::no_grad(|| model.activation(&batch, &layer).unwrap());
                assert!(there.allclose(&slow, 1e-3, 1e-4, false), "{layer}");
                assert!(model.logits_from(place, &there).allclose(&logits, 1e-3, 1e-4, false), "{layer}");
                let put = model.logits_with(&batch, &layer, &mut |xs| xs * 0.0 + &there).unwrap();
                assert!(put.allclose(&logits, 1e-3, 1e-4, false), "{layer}");
                let kept = model.kept(&batch, &[layer.as_str(), "features.norm0"]).unwrap();
                assert!(kept.activations[0].allclose(&slow, 1e-3, 1e-4, false), "{layer}");
                assert!(kept.logits.allclose(&logits, 1e-3, 1e-4, false), "{layer}");
            }
        }
    }
}
