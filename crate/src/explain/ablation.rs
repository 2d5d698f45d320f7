//! Ablation-CAM: Desai & Ramaswamy, "Ablation-CAM: Visual Explanations for Deep Convolutional Network via Gradient-free
//! Localization", WACV 2020.

use tch::{Kind, Tensor};

use super::{MapOptions, cams};
use crate::error::Result;
use crate::network::{Classifier, Head, Waypoint};

/// `[N, h, w]`: the channels by what the target loses where the channel is zero.
pub(super) fn map(
    model: &Classifier,
    films: &Tensor,
    layer: &str,
    activation: &Tensor,
    logits: &Tensor,
    options: &MapOptions,
) -> Result<Tensor> {
    Ok(cams::weighed(activation, &weights(model, films, layer, activation, logits, options)?))
}

/// What the target loses without each channel, `[N, C]`.
///
/// Where the rest of the network reads this layer alone, only the rest is run; behind the last dense block only the
/// head, since there a channel has no say in the others.
pub(super) fn weights(
    model: &Classifier,
    films: &Tensor,
    layer: &str,
    activation: &Tensor,
    logits: &Tensor,
    options: &MapOptions,
) -> Result<Tensor> {
    let whole = options.target.of(logits)?;
    let place = Waypoint::of(layer);
    let mut lost = Vec::new();
    for (at, one) in activation.split(1, 0).iter().enumerate() {
        let channels = one.size()[1];
        let film = films.narrow(0, at as i64, 1);
        let mut targets = Vec::new();
        if let Some(place) = place.filter(|place| *place >= Waypoint::block(3)) {
            targets.push(options.target.of(&model.logits_of_features(&last(model, one, place)))?);
        } else {
            let numbers = Tensor::arange(channels, (Kind::Int64, one.device()));
            for some in numbers.split(options.chunk as i64, 0) {
                let n = some.size()[0];
                let keep = some.unsqueeze(1).ne_tensor(&numbers).to_kind(Kind::Float).view([n, channels, 1, 1]);
                let found = match place {
                    Some(place) => model.logits_from(place, &(one * keep)),
                    None => {
                        let many = film.expand([n, -1, -1, -1], false);
                        model.logits_with(&many, layer, &mut |xs| (one * &keep).to_kind(xs.kind()))?
                    }
                };
                targets.push(options.target.of(&found)?);
            }
        }
        lost.push(whole.get(at as i64) - Tensor::cat(&targets, 0));
    }
    Ok(Tensor::stack(&lost, 0))
}

/// The features that the head reads, once for each channel that is zero at `place`, `[C, C, 1, 1]`: pooled, which the
/// head's own pooling leaves as they are.
fn last(model: &Classifier, one: &Tensor, place: Waypoint) -> Tensor {
    let channels = one.size()[1];
    let behind = |xs: &Tensor| model.way(xs, place, Waypoint::NORM5.max(place)).relu();
    let pooled = match model.head() {
        Head::Linear { .. } => behind(one).mean_dim([2, 3].as_slice(), false, Kind::Float),
        Head::Reference { .. } => behind(one).amax([2, 3], false),
    };
    let without = behind(&Tensor::zeros([1, channels, 1, 1], (Kind::Float, one.device()))).view([1, channels]);
    let zeroed = Tensor::eye(channels, (Kind::Bool, one.device()));
    without.where_self(&zeroed, &pooled).view([channels, channels, 1, 1])
}
