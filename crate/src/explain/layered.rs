//! Activations of layers and the slope of a target at them.

use tch::{Kind, Tensor};

use super::Target;
use crate::error::Result;
use crate::network::{Classifier, Kept, Waypoint};

/// What was seen at some layers.
pub(super) struct Seen {
    /// `[N, C, h, w]` each, `f32`.
    pub(super) activations: Vec<Tensor>,
    /// The same of the target's slope; none if no target was given.
    pub(super) gradients: Vec<Tensor>,
    /// `[N, classes]`.
    pub(super) logits: Tensor,
}

/// Where the slope of a linear head is known: behind the last dense block.
const LAST_BLOCK: &str = "features.denseblock4";

/// Looks at the layers and, if there is a target, asks for its slope there. Behind the last dense block of a network
/// with average pooling and one linear layer the slope is known, and no backward pass is run.
pub(super) fn seen(model: &Classifier, films: &Tensor, layers: &[String], target: Option<&Target>) -> Result<Seen> {
    let places: Vec<Option<Waypoint>> = layers.iter().map(|layer| Waypoint::of(layer)).collect();
    let last = Waypoint::of(LAST_BLOCK);
    if model.linear_head().is_some() && places.iter().all(|place| *place >= last) {
        return known(model, films, layers, target);
    }
    let Kept { activations, logits } = match target {
        Some(_) => model.kept(films, layers)?,
        None => tch::no_grad(|| model.kept(films, layers))?,
    };
    let gradients = match target {
        Some(target) => tch::with_grad(|| {
            let sum = target.of(&logits)?.sum(Kind::Float);
            Ok::<_, crate::Error>(Tensor::f_run_backward(&[sum], &activations, false, false)?)
        })?,
        None => Vec::new(),
    };
    let plain = |xs: Vec<Tensor>| xs.into_iter().map(|it| it.detach().to_kind(Kind::Float)).collect();
    Ok(Seen { activations: plain(activations), gradients: plain(gradients), logits: logits.detach() })
}

/// Behind the last dense block: `logits = W · mean(relu(norm5(x))) + b`, so the slope of the target at the ReLU's
/// output is its slope for the logits times `W`, over the number of places; before the ReLU it is that where the norm's
/// output is above 0, and before the norm that times the norm's slope.
fn known(model: &Classifier, films: &Tensor, layers: &[String], target: Option<&Target>) -> Result<Seen> {
    let _guard = tch::no_grad_guard();
    let block = match model.device() {
        tch::Device::Cpu => model.up_to(films, Waypoint::block(3))?,
        _ => model.activation(films, LAST_BLOCK)?,
    };
    let norm = model.way(&block, Waypoint::block(3), Waypoint::NORM5);
    let relu = norm.relu();
    let logits = model.logits_of_features(&relu);
    let at = |layer: &String| match Waypoint::of(layer) {
        Some(Waypoint::RELU5) => &relu,
        Some(Waypoint::NORM5) => &norm,
        _ => &block,
    };
    let activations = layers.iter().map(|layer| at(layer).to_kind(Kind::Float)).collect();
    let mut gradients = Vec::new();
    if let (Some(target), Some(weight)) = (target, model.linear_head()) {
        let slope = target.slope(&logits)?.to_kind(Kind::Float).matmul(&weight);
        let places = (relu.size()[2] * relu.size()[3]) as f64;
        let at_relu = (slope / places).view([films.size()[0], -1, 1, 1]).expand_as(&relu);
        for layer in layers {
            gradients.push(match Waypoint::of(layer) {
                Some(Waypoint::RELU5) => at_relu.shallow_clone(),
                Some(Waypoint::NORM5) => &at_relu * norm.gt(0.0),
                _ => &at_relu * norm.gt(0.0) * model.last_slope().view([1, -1, 1, 1]),
            });
        }
    }
    Ok(Seen { activations, gradients, logits })
}
