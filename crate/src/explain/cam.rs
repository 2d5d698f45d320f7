//! Grad-CAM: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV
//! 2017 (arXiv:1610.02391), at any named layer.

use std::path::Path;

use image::GrayImage;
use tch::{Device, Kind, Tensor};

use super::activation::maps;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::network::{Classifier, Mode};
use crate::preprocess::{self, Placement};
use crate::score::{self, Decision, Probability};
use render::Map;
use studies::Label;

/// Where in each film the evidence for `class` lies.
///
/// Differentiates the logit, not the probability, whose gradient vanishes when the model is sure.
///
/// # Shapes
/// - `batch`: `[N, 3, H, W]`, `f32`, from [`crate::preprocess::Preprocess::load`]
/// - returns: `[N, h, w]`, `f32` in `0.0..=1.0`, on the model's device: each map less its minimum, divided by its
///   range. `H/16 × W/16` at `features.denseblock3`. All zero means no positive evidence.
///
/// # Errors
/// [`Error::Shape`] if `batch` is not as above or `layer` has no map, [`Error::NoSuchLayer`] if the network has no such
/// layer.
pub fn grad_cam(model: &Classifier, batch: &Tensor, class: Label, layer: &str) -> Result<Tensor> {
    Ok(attributed(model, batch, class, layer)?.0)
}

/// [`grad_cam`] and the logits `[N, 2]` of the same pass.
fn attributed(model: &Classifier, batch: &Tensor, class: Label, layer: &str) -> Result<(Tensor, Tensor)> {
    tch::with_grad(|| {
        // The input asks for gradients, so that every layer has them, frozen or not; its own is never computed.
        let batch = batch.to_device(model.device()).detach().copy().set_requires_grad(true);
        let mut kept = None;
        let logits = model.forward_with(&batch, Mode::Eval, &mut |name, activation| {
            if name == layer {
                kept = Some(activation.shallow_clone());
            }
        })?;
        let activation = kept.ok_or_else(|| model.no_such_layer(layer))?;
        if activation.dim() != 4 {
            let got = activation.size();
            return Err(Error::Shape { what: "layer", expected: "[N, C, h, w]".to_owned(), got });
        }
        let target = logits.select(1, class.index() as i64).sum(Kind::Float);
        let gradient = Tensor::f_run_backward(&[target], &[&activation], false, false)?.remove(0);
        Ok((weigh(&activation.detach(), &gradient), logits.detach()))
    })
}

/// ReLU of the channels' sum weighted by their mean gradients, stretched to `0.0..=1.0`; zeros where it is flat.
fn weigh(activation: &Tensor, gradient: &Tensor) -> Tensor {
    let _guard = tch::no_grad_guard();
    let weights = gradient.mean_dim([2, 3].as_slice(), true, Kind::Float);
    let cam = (activation * weights).sum_dim_intlist([1].as_slice(), false, Kind::Float).relu();
    let low = cam.amin([1, 2], true);
    let range = cam.amax([1, 2], true) - &low;
    let flat = range.le(1e-12);
    ((cam - low) / range.masked_fill(&flat, 1.0)).masked_fill(&flat, 0.0)
}

/// A film with its score and its heat map.
#[derive(Debug, Clone)]
pub struct FilmCam {
    /// The upright film at its own size.
    pub film: GrayImage,
    /// The heat map at the layer's own size, over the network's square, `0.0..=1.0`.
    pub map: Map,
    /// Where the film lies in the network's square.
    pub placement: Placement,
    /// The class that the evidence is for.
    pub class: Label,
    /// The layer that was looked through.
    pub layer: String,
    /// The model's probability of *abnormal*.
    pub probability: Probability,
    /// Its decision.
    pub decision: Decision,
}

impl FilmCam {
    /// The part of the heat map that lies over the film itself, to be drawn over it: without the padding of a
    /// letterbox, in pixels of the network's square.
    ///
    /// # Errors
    /// [`Error::Figure`] if the map is empty.
    pub fn over_film(&self, size: u32) -> Result<Map> {
        let square = self.map.resized(size as usize, size as usize);
        let Placement { left, top, width, height, .. } = self.placement;
        let rows = (top..top + height).flat_map(|y| (left..left + width).map(move |x| (x, y)));
        let values = rows.map(|(x, y)| square.values[(y * size + x) as usize]).collect();
        Ok(Map::new(width as usize, height as usize, values)?)
    }
}

impl Model {
    /// Scores a film and shows where the evidence for *abnormal* lies, at [`DEFAULT_LAYER`](super::DEFAULT_LAYER).
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Decode`].
    pub fn explain(&self, film: impl AsRef<Path>) -> Result<FilmCam> {
        self.explain_at(film, Label::Abnormal, super::DEFAULT_LAYER)
    }

    /// Scores a film and shows where the evidence for `class` lies, at a layer that [`Model::layers`] lists.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Decode`], [`Error::NoSuchLayer`].
    pub fn explain_at(&self, film: impl AsRef<Path>, class: Label, layer: &str) -> Result<FilmCam> {
        film_cam(self, film.as_ref(), class, layer)
    }
}

fn film_cam(model: &Model, path: &Path, class: Label, layer: &str) -> Result<FilmCam> {
    let preprocess = &model.card.preprocess;
    let film = preprocess::decode(path)?;
    let placement = preprocess.placement(film.width(), film.height());
    let batch = preprocess.tensor(&[preprocess.square(&film)])?;
    let (map, logits) = attributed(&model.classifier, &batch, class, layer)?;
    let probability = score::abnormal(&logits, model.card.temperature.value)?[0];
    let map = maps(&map, "heat map")?.remove(0);
    Ok(FilmCam {
        film,
        map,
        placement,
        class,
        layer: layer.to_owned(),
        probability,
        decision: model.card.operating_point.decide(probability),
    })
}

/// How much of a heat map lies where the fracture is. Only the film counts, not the bars of a letterbox beside it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Localisation {
    /// Share of the map's sum over the film that is inside the dilated mask, `0.0..=1.0`; 0 for a map without evidence
    /// there.
    pub energy_share: f64,
    /// Share of the film's area that the dilated mask covers, `0.0..=1.0`.
    pub area_share: f64,
    /// Whether the map's peak over the film lies inside the dilated mask: the pointing game (Zhang et al.,
    /// arXiv:1608.00507).
    pub peak_inside: bool,
}

impl Localisation {
    /// Energy share over area share: 1 is chance. `None` where the mask is empty.
    pub fn concentration(&self) -> Option<f64> {
        (self.area_share > 0.0).then(|| self.energy_share / self.area_share)
    }
}

/// Compares a heat map with the fracture's mask, laid over the network's square by
/// [`crate::preprocess::Preprocess::mask`] and dilated by one cell of the map in every direction, since a map cannot be
/// sharper than its cells. `film` says which part of the square the film fills; the rest, where no fracture can be,
/// counts neither as energy nor as area.
///
/// # Errors
/// [`Error::Shape`] if the mask is smaller than the map or than the square that the film lies in.
pub fn localisation(map: &Map, mask: &GrayImage, film: &Placement) -> Result<Localisation> {
    let (w, h) = (mask.width() as usize, mask.height() as usize);
    let (left, top, width, height) = (film.left as usize, film.top as usize, film.width as usize, film.height as usize);
    let (least_w, least_h) = (map.width.max(left + width), map.height.max(top + height));
    if w < least_w || h < least_h {
        let expected = format!("at least {least_w} x {least_h}, as the map and the film in it");
        return Err(Error::Shape { what: "mask", expected, got: vec![w as i64, h as i64] });
    }
    let bytes = Tensor::from_slice(mask.as_raw()).view([1, 1, h as i64, w as i64]);
    let inside = bytes.ge(128).to_kind(Kind::Float);
    let reach = |pixels: usize, cells: usize| (pixels as f64 / cells as f64).round() as i64;
    let (rows, columns) = (reach(h, map.height), reach(w, map.width));
    let inside = inside.max_pool2d([2 * rows + 1, 2 * columns + 1], [1, 1], [rows, columns], [1, 1], false).view([-1]);
    let inside = Vec::<f32>::try_from(inside.to_device(Device::Cpu))?;
    let full = map.resized(w, h);
    let pixels = (top..top + height).flat_map(|y| (left..left + width).map(move |x| y * w + x));
    let (mut total, mut energy, mut area, mut peak) = (0.0, 0.0, 0.0, None);
    for at in pixels {
        let (value, inside) = (f64::from(full.values[at]), f64::from(inside[at]));
        total += value;
        energy += value * inside;
        area += inside;
        if peak.is_none_or(|(highest, _)| value > highest) {
            peak = Some((value, inside > 0.5));
        }
    }
    Ok(Localisation {
        energy_share: if total > 0.0 { energy / total } else { 0.0 },
        area_share: area / (width * height) as f64,
        peak_inside: total > 0.0 && peak.is_some_and(|(_, inside)| inside),
    })
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;
    use crate::network::{Architecture, Head};
    use crate::preprocess::{Fit, Preprocess};

    fn network(head: Head) -> Classifier {
        Classifier::new(Architecture::DenseNet121, head, 3, Device::Cpu)
    }

    fn batch() -> Tensor {
        (Tensor::arange(2 * 3 * 64 * 96, (Kind::Float, Device::Cpu)) * 0.37).sin().view([2, 3, 64, 96])
    }

    /// With average pooling and one linear layer, the gradient at the last map is the class' weight over the area, so
    /// Grad-CAM equals the classic CAM (Zhou et al., arXiv:1512.04150), an independent formula.
    #[test]
    fn grad_cam_at_the_last_map_is_the_classic_cam() {
        let model = network(Head::Linear { classes: 2 });
        for class in Label::ALL {
            let found = grad_cam(&model, &batch(), class, "features.relu5").unwrap();
            let _guard = tch::no_grad_guard();
            let activation = model.activation(&batch(), "features.relu5").unwrap();
            let weights = model.variables().iter().find(|v| v.name == "classifier.weight").unwrap();
            let weights = weights.tensor.get(class.index() as i64).view([1, -1, 1, 1]);
            let cam = (activation * weights).sum_dim_intlist([1].as_slice(), false, Kind::Float).relu();
            let (low, high) = (cam.amin([1, 2], true), cam.amax([1, 2], true));
            let expected = (&cam - &low) / (high - &low).clamp_min(1e-12);
            assert!(found.allclose(&expected, 1e-3, 1e-4, false), "{class}");
        }
    }

    #[test]
    fn maps_are_within_0_and_1_at_every_kind_of_layer_and_head() {
        for head in [Head::Linear { classes: 2 }, Head::Reference { classes: 2 }] {
            let model = network(head);
            for (layer, size) in [("features.denseblock3", [2, 4, 6]), ("features.norm5", [2, 2, 3])] {
                let cam = grad_cam(&model, &batch(), Label::Abnormal, layer).unwrap();
                assert_eq!(cam.size(), size);
                assert!(cam.min().double_value(&[]) >= 0.0 && cam.max().double_value(&[]) <= 1.0);
            }
        }
    }

    #[test]
    fn explaining_leaves_weights_gradients_and_statistics_as_they_were() {
        let model = network(Head::Linear { classes: 2 });
        let before: Vec<Tensor> = model.variables().iter().map(|v| v.tensor.copy()).collect();
        let _ = grad_cam(&model, &batch(), Label::Abnormal, "features.denseblock2").unwrap();
        for (variable, old) in model.variables().iter().zip(&before) {
            assert!(variable.tensor.equal(old), "{}", variable.name);
            assert!(!variable.tensor.grad().defined(), "{}", variable.name);
        }
    }

    #[test]
    fn the_map_is_the_same_inside_no_grad_and_on_a_frozen_network() {
        let mut model = network(Head::Linear { classes: 2 });
        let layers = ["features.denseblock1", "features.denseblock2", "features.denseblock3", "features.relu5"];
        let cases = || layers.into_iter().flat_map(|layer| Label::ALL.map(|class| (layer, class)));
        let map = |model: &Classifier, (layer, class)| grad_cam(model, &batch(), class, layer).unwrap();
        let free: Vec<Tensor> = cases().map(|case| map(&model, case)).collect();
        assert!(free.iter().any(|cam| cam.max().double_value(&[]) > 0.99), "some map is not flat");
        model.unfreeze(crate::network::Unfreeze::Head).unwrap();
        let _guard = tch::no_grad_guard();
        for (case, free) in cases().zip(&free) {
            assert!(map(&model, case).allclose(free, 1e-3, 1e-4, false), "{case:?}");
        }
    }

    #[test]
    fn a_flat_map_gives_zeros_and_not_nan() {
        let flat = Tensor::ones([1, 2, 3, 3], (Kind::Float, Device::Cpu));
        assert_eq!(weigh(&flat, &flat).abs().max().double_value(&[]), 0.0);
    }

    #[test]
    fn an_unknown_layer_and_a_layer_of_the_head_are_refused() {
        let model = network(Head::Linear { classes: 2 });
        let error = |layer| grad_cam(&model, &batch(), Label::Abnormal, layer).unwrap_err().to_string();
        assert!(error("features.denseblock9").contains("features.denseblock9"));
        assert!(error("pooled").contains("[N, C, h, w]"));
    }

    #[test]
    fn energy_on_the_mask_counts_and_energy_far_from_it_does_not() {
        let mask = GrayImage::from_fn(32, 32, |x, y| Luma([if x < 4 && y < 4 { 255 } else { 0 }]));
        let whole = Placement { image: (32, 32), left: 0, top: 0, width: 32, height: 32 };
        let map = |at: usize| {
            let mut values = vec![0.0; 64];
            values[at] = 1.0;
            Map::new(8, 8, values).unwrap()
        };
        let on = localisation(&map(0), &mask, &whole).unwrap();
        assert!(on.peak_inside && on.energy_share > 0.9, "{on:?}");
        assert_eq!(on.area_share, 64.0 / 1024.0);
        assert!(on.concentration().unwrap() > 10.0);
        let off = localisation(&map(63), &mask, &whole).unwrap();
        assert_eq!((off.peak_inside, off.energy_share), (false, 0.0));
        let none = localisation(&Map::new(8, 8, vec![0.0; 64]).unwrap(), &mask, &whole).unwrap();
        assert_eq!((none.peak_inside, none.energy_share), (false, 0.0));
        let too_large = Placement { left: 8, ..whole };
        assert!(matches!(localisation(&map(0), &mask, &too_large), Err(Error::Shape { .. })));
    }

    #[test]
    fn a_uniform_map_is_chance_on_a_film_of_any_shape() {
        for (width, height) in [(373, 454), (454, 373), (512, 89), (96, 400), (224, 224)] {
            for fit in [Fit::Letterbox, Fit::Stretch] {
                let preprocess = Preprocess { fit, ..Preprocess::default() };
                let place = preprocess.placement(width, height);
                let (x, y, w, h) = (width / 3, height / 4, width / 5 + 1, height / 6 + 1);
                let on_film = |i, j| if (x..x + w).contains(&i) && (y..y + h).contains(&j) { 255 } else { 0 };
                let mask = preprocess.mask(&GrayImage::from_fn(width, height, |i, j| Luma([on_film(i, j)])));
                // Even over the whole square, and even over the film with nothing in the bars.
                let even = Map::new(28, 28, vec![1.0; 28 * 28]).unwrap();
                let film_only = (0..224 * 224u32).map(|at| {
                    let (x, y) = (at % 224, at / 224);
                    let on = (place.left..place.left + place.width).contains(&x)
                        && (place.top..place.top + place.height).contains(&y);
                    f32::from(u8::from(on))
                });
                let film_only = Map::new(224, 224, film_only.collect()).unwrap();
                for map in [even, film_only] {
                    let found = localisation(&map, &mask, &place).unwrap();
                    let times = found.concentration().unwrap();
                    assert!((times - 1.0).abs() < 1e-6, "{width} x {height}, {fit:?}: {times}");
                }
            }
        }
    }
}
