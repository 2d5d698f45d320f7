//! What a layer saw, channel by channel.

use tch::Tensor;

use crate::error::{Error, Result};
use crate::network::Classifier;
use render::Map;

/// Every channel of one layer for one film.
///
/// # Shapes
/// - `film`: `[1, 3, H, W]` (or one channel), from [`crate::preprocess::Preprocess::load`]
/// - returns: as many maps as the layer has channels, in their order
///
/// # Errors
/// [`Error::Shape`] for another number of films or a layer without a map, as in the head; [`Error::NoSuchLayer`].
pub fn activation_maps(model: &Classifier, film: &Tensor, layer: &str) -> Result<Vec<Map>> {
    if film.size().first() != Some(&1) {
        return Err(Error::Shape {
            what: "film",
            expected: format!("[1, {}, H, W]", model.channels()),
            got: film.size(),
        });
    }
    let _guard = tch::no_grad_guard();
    let activation = model.activation(&film.to_device(model.device()), layer)?;
    maps(&activation.flatten(0, 1), "activation")
}

/// `[C, h, w]` as `C` maps.
pub(super) fn maps(tensor: &Tensor, what: &'static str) -> Result<Vec<Map>> {
    let size = tensor.size();
    let [c, h, w] = size[..] else {
        return Err(Error::Shape { what, expected: "[C, h, w]".to_owned(), got: size });
    };
    let flat = tensor.detach().flatten(0, -1).to_device(tch::Device::Cpu).to_kind(tch::Kind::Float);
    let values = Vec::<f32>::try_from(flat)?;
    let each = (h * w) as usize;
    (0..c as usize)
        .map(|i| Map::new(w as usize, h as usize, values[i * each..(i + 1) * each].to_vec()).map_err(Into::into))
        .collect()
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::network::{Architecture, Head};

    #[test]
    fn every_channel_becomes_a_map_with_the_layers_own_values() {
        let model = Classifier::new(Architecture::DenseNet121, Head::Linear { classes: 2 }, 0, Device::Cpu);
        let film = Tensor::ones([1, 3, 64, 64], (Kind::Float, Device::Cpu));
        let maps = activation_maps(&model, &film, "features.denseblock1.denselayer1.conv1").unwrap();
        assert_eq!((maps.len(), maps[0].width, maps[0].height), (128, 16, 16));
        let tensor = model.activation(&film, "features.denseblock1.denselayer1.conv1").unwrap();
        assert_eq!(f64::from(maps[5].values[16 * 3 + 2]), tensor.double_value(&[0, 5, 3, 2]));
        assert!(activation_maps(&model, &film, "pooled").is_err());
    }

    #[test]
    fn a_network_that_computes_in_bf16_has_the_same_maps_within_its_precision() {
        let mut model = Classifier::new(Architecture::DenseNet121, Head::Linear { classes: 2 }, 0, Device::Cpu);
        let film = (Tensor::arange(3 * 64 * 64, (Kind::Float, Device::Cpu)) * 0.37).sin().view([1, 3, 64, 64]);
        let layer = "features.denseblock1.denselayer1.conv1";
        let exact = activation_maps(&model, &film, layer).unwrap();
        model.compute_in(Kind::BFloat16).unwrap();
        assert_eq!(model.activation(&film, layer).unwrap().kind(), Kind::Float);
        let rounded = activation_maps(&model, &film, layer).unwrap();
        let values = |maps: &[Map]| maps.iter().flat_map(|map| map.values.clone()).collect::<Vec<f32>>();
        let (exact, rounded) = (values(&exact), values(&rounded));
        let largest = exact.iter().fold(0.0f32, |most, v| most.max(v.abs()));
        assert!(exact != rounded && exact.iter().zip(&rounded).all(|(a, b)| (a - b).abs() < 0.05 * largest));
    }
}
