//! Score-CAM: Wang et al., CVPR workshops 2020 (arXiv:1910.01279).

use tch::{Kind, Tensor};

use super::{MapOptions, cams};
use crate::error::Result;
use crate::network::Classifier;

/// `[N, h, w]`: the channels by the softmax, over the channels, of the target where the film is multiplied by the
/// channel's activation, enlarged and stretched to `0.0..=1.0`. What is masked is therefore the mean grey.
pub(super) fn map(model: &Classifier, films: &Tensor, activation: &Tensor, options: &MapOptions) -> Result<Tensor> {
    let size = films.size();
    let mut maps = Vec::new();
    for (film, channels) in films.split(1, 0).iter().zip(activation.split(1, 0)) {
        let mut targets = Vec::new();
        // The channels of one film, `[C, 1, h, w]`.
        for some in channels.transpose(0, 1).split(options.chunk as i64, 0) {
            let large = some.upsample_bilinear2d([size[2], size[3]], false, None, None);
            let (low, high) = (large.amin([2, 3], true), large.amax([2, 3], true));
            let masks = (large - &low) / (high - low + 1e-8);
            targets.push(options.target.of(&model.predict(&(film * masks))?)?);
        }
        let weights = Tensor::cat(&targets, 0).softmax(0, Kind::Float);
        maps.push(cams::weighed(&channels, &weights));
    }
    Ok(Tensor::cat(&maps, 0))
}
