//! Heat maps of a batch: one call for every method.

use std::fmt;

use tch::{Kind, Tensor};

use super::layered::Seen;
use super::part::{Completeness, Part};
use super::{MapOptions, Method, Target, ablation, cams, layered, occlusion, pixels, score_cam};
use crate::counted;
use crate::error::{Error, Result};
use crate::network::{Classifier, not_finite};

/// Heat maps of a batch by one method.
#[derive(Debug)]
pub struct HeatMaps {
    /// How they came about.
    pub method: Method,
    /// What they explain.
    pub target: Target,
    /// The maps of each layer in the order asked for; one, of the input, where the method asks for pixels.
    pub layers: Vec<LayerMaps>,
    /// The logits of the same films, `[N, classes]`.
    pub logits: Tensor,
    /// For each film, by how much integrated gradients miss what the target gains from the baseline to the film.
    pub completeness: Option<Vec<Completeness>>,
}

/// The maps of one layer.
#[derive(Debug)]
pub struct LayerMaps {
    /// The layer, or `input`.
    pub layer: String,
    /// `[N, h, w]`, `f32`, on the model's device, in the method's own unit: above 0 speaks for the target, below
    /// against it.
    pub raw: Tensor,
}

/// Whether a map has anything to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// Some place speaks for the target.
    Found,
    /// No place does; some speak against it.
    OnlyAgainst,
    /// The map is the same everywhere, so that no place differs from another.
    Flat,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Evidence::Found => "positive evidence",
            Evidence::OnlyAgainst => "no positive evidence: every place speaks against it",
            Evidence::Flat => "no evidence: the map is the same everywhere",
        })
    }
}

impl LayerMaps {
    /// What each film's map has to show.
    pub fn evidence(&self) -> Vec<Evidence> {
        let bounds = [self.raw.amin([1, 2], false), self.raw.amax([1, 2], false)];
        let [low, high] = bounds.map(|it| Vec::<f64>::try_from(it.to_kind(Kind::Double)).expect("[N]"));
        let of = |(low, high): (f64, f64)| match high {
            _ if high - low <= 1e-12 + 1e-6 * high.abs().max(low.abs()) => Evidence::Flat,
            _ if high <= 0.0 => Evidence::OnlyAgainst,
            _ => Evidence::Found,
        };
        low.into_iter().zip(high).map(of).collect()
    }

    /// What speaks for the target, each map less its minimum and divided by its range, `0.0..=1.0`; zeros where no
    /// place does, or the map is flat.
    pub fn scaled(&self) -> Tensor {
        let _guard = tch::no_grad_guard();
        let found: Vec<f32> = self.evidence().iter().map(|it| f32::from(*it == Evidence::Found)).collect();
        let found = Tensor::from_slice(&found).view([-1, 1, 1]).to_device(self.raw.device());
        stretched(&self.raw.relu()) * found
    }
}

/// Each of `[N, h, w]` less its minimum, divided by its range; zeros where it is flat.
fn stretched(maps: &Tensor) -> Tensor {
    let low = maps.amin([1, 2], true);
    let range = maps.amax([1, 2], true) - &low;
    let flat = range.le(1e-30);
    ((maps - low) / range.masked_fill(&flat, 1.0)).masked_fill(&flat, 0.0)
}

impl HeatMaps {
    /// One map a film, `[N, h, w]` in `0.0..=1.0`: [`LayerMaps::scaled`]; of several layers the mean of these at the
    /// size of the largest, stretched again, as pytorch-grad-cam does.
    pub fn scaled(&self) -> Tensor {
        let _guard = tch::no_grad_guard();
        let all: Vec<Tensor> = self.layers.iter().map(LayerMaps::scaled).collect();
        let [first, more @ ..] = &all[..] else { unreachable!("there is a layer") };
        if more.is_empty() {
            return first.shallow_clone();
        }
        let side = |at: usize| all.iter().map(|it| it.size()[at]).max().unwrap_or(1);
        let size = [side(1), side(2)];
        let large = |it: &Tensor| it.unsqueeze(1).upsample_bilinear2d(size, false, None, None).squeeze_dim(1);
        let sum = all.iter().map(large).reduce(|a, b| a + b).expect("there is a layer");
        stretched(&(sum / all.len() as f64))
    }

    /// What each film's map has to show: [`Evidence::Found`] if one of the layers has found some.
    pub fn evidence(&self) -> Vec<Evidence> {
        let each: Vec<Vec<Evidence>> = self.layers.iter().map(LayerMaps::evidence).collect();
        let films = each.first().map_or(0, Vec::len);
        let of = |film: usize| match each.iter().any(|layer| layer[film] == Evidence::Found) {
            true => Evidence::Found,
            false => each[0][film],
        };
        (0..films).map(of).collect()
    }
}

impl fmt::Display for HeatMaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let evidence = self.evidence();
        write!(f, "{} of {} for {}", self.method, counted(evidence.len(), "film"), self.target)?;
        for LayerMaps { layer, raw } in &self.layers {
            write!(f, ", at {layer} {} x {}", raw.size()[1], raw.size()[2])?;
        }
        for (film, evidence) in evidence.iter().enumerate().filter(|(_, it)| **it != Evidence::Found) {
            write!(f, "\nfilm {film}: {evidence}")?;
        }
        for (film, completeness) in self.completeness.iter().flatten().enumerate() {
            write!(f, "\nfilm {film}: {completeness}")?;
        }
        Ok(())
    }
}

/// Heat maps of a batch by any method, at any layers. Nothing is left behind: weights, gradients, statistics, random
/// generators and modes stay as they are.
///
/// # Shapes
/// - `batch`: `[N, 3, H, W]`, `f32`, from [`crate::preprocess::Preprocess::load`]
/// - each of [`HeatMaps::layers`]: `[N, h, w]`; `H/8 × W/8` at `features.denseblock2`; `[N, H, W]` where the method
///   asks for pixels, whose channels are added up
///
/// # Errors
/// [`Error::Shape`] if `batch` is not as above or a layer has no map, [`Error::NoSuchLayer`], [`Error::Setting`] for
/// options out of their ranges or a class that the network lacks, [`Error::Gradient`] if a map holds a value that is no
/// finite number.
pub fn heat_maps(model: &Classifier, batch: &Tensor, method: Method, options: &MapOptions) -> Result<HeatMaps> {
    options.validate()?;
    model.check_input(batch)?;
    let batch = batch.to_device(model.device()).detach();
    let mut parts = Vec::new();
    for films in batch.split(options.chunk as i64, 0) {
        parts.push(of_some(model, &films, method, options)?);
    }
    let mut completeness = Vec::new();
    let (mut logits, mut each) = (Vec::new(), Vec::new());
    for part in parts {
        logits.push(part.logits);
        each.push(part.maps);
        completeness.extend(part.completeness);
    }
    let layer_names = if method.is_of_layers() { options.layers.clone() } else { vec!["input".to_owned()] };
    let layers = layer_names.into_iter().enumerate().map(|(at, layer)| {
        let raw = Tensor::cat(&each.iter().map(|maps| &maps[at]).collect::<Vec<_>>(), 0);
        match not_finite(&raw) {
            Some(reason) => Err(Error::Gradient { of: format!("{method} at {layer}"), reason }),
            None => Ok(LayerMaps { layer, raw }),
        }
    });
    Ok(HeatMaps {
        method,
        target: options.target.clone(),
        layers: layers.collect::<Result<_>>()?,
        logits: Tensor::cat(&logits, 0),
        completeness: (method == Method::IntegratedGradients).then_some(completeness),
    })
}

fn of_some(model: &Classifier, films: &Tensor, method: Method, options: &MapOptions) -> Result<Part> {
    match method {
        Method::Occlusion => return occlusion::maps(model, films, options),
        Method::IntegratedGradients => return pixels::integrated(model, films, options),
        Method::SmoothGrad => return pixels::smooth(model, films, options),
        Method::InputTimesGradient => return pixels::input_times_gradient(model, films, options),
        _ => {}
    }
    let target = cams::needs_gradients(method).then_some(&options.target);
    let Seen { activations, gradients, logits } = layered::seen(model, films, &options.layers, target)?;
    let _guard = tch::no_grad_guard();
    // A class that the network lacks is refused also where no gradient is asked for.
    let _ = options.target.of(&logits)?;
    let maps = options.layers.iter().zip(&activations).enumerate().map(|(at, (layer, activation))| match method {
        Method::ScoreCam => score_cam::map(model, films, activation, options),
        Method::AblationCam => ablation::map(model, films, layer, activation, &logits, options),
        _ => Ok(cams::map(method, activation, gradients.get(at))),
    });
    Ok(Part { maps: maps.collect::<Result<_>>()?, logits, completeness: Vec::new() })
}
