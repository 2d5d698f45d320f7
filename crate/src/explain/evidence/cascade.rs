//! The randomisation test: Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018 (arXiv:1810.03292), with the
//! pass rule of Arun et al., "Assessing the Trustworthiness of Saliency Maps for Localizing Abnormalities in Medical
//! Imaging", Radiology: AI 2021.

use std::fmt;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use tch::{Kind, Tensor};

use super::{rank_correlation, ssim};
use crate::error::{Error, Result};
use crate::explain::activation::maps;
use crate::explain::{MapOptions, Method, heat_maps};
use crate::network::Classifier;
use render::Map;

/// Pairs of films whose maps are compared for the pass rule.
const PAIRS: usize = 50;

/// The network's parts from the head down, by the beginnings of their weights' names.
const PARTS: [&str; 10] = [
    "classifier",
    "features.norm5",
    "features.denseblock4",
    "features.transition3",
    "features.denseblock3",
    "features.transition2",
    "features.denseblock2",
    "features.transition1",
    "features.denseblock1",
    "features.",
];

/// What is left of the maps when the network is random down to a part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CascadeStep {
    /// The part that was made random last.
    pub part: &'static str,
    /// Mean structural similarity to the trained network's maps of the same films.
    pub ssim: f64,
    /// Mean rank correlation with them.
    pub rank_correlation: f64,
}

/// Cascading randomisation: the weights are replaced by random ones from the head down, part by part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cascade {
    /// From the head alone to the whole network.
    pub steps: Vec<CascadeStep>,
    /// Mean structural similarity of 50 random pairs of the trained network's own maps.
    pub between_films: f64,
    /// Films.
    pub films: usize,
}

impl Cascade {
    /// Whether the maps depend on what was learnt: with all weights random they are less like the trained network's
    /// maps of the same films than two of its maps of different films are like each other.
    pub fn passed(&self) -> bool {
        self.steps.last().is_some_and(|last| last.ssim < self.between_films)
    }
}

impl fmt::Display for Cascade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(last) = self.steps.last() else { return f.write_str("nothing was made random") };
        let (verdict, sign) = if self.passed() { ("passed", "below") } else { ("FAILED", "not below") };
        write!(
            f,
            "randomisation test {verdict}: with random weights SSIM {:.3} and rank correlation {:.3} to the trained \
             network's maps, {sign} the SSIM {:.3} between its maps of different films",
            last.ssim, last.rank_correlation, self.between_films
        )
    }
}

/// Runs the randomisation test on a prepared batch `[N, 3, H, W]`. The model itself is not touched.
///
/// # Errors
/// [`Error::Setting`] for fewer than two films; those of [`heat_maps`].
pub fn cascade(model: &Classifier, batch: &Tensor, method: Method, options: &MapOptions) -> Result<Cascade> {
    let films = batch.size().first().map_or(0, |n| *n as usize);
    if films < 2 {
        return Err(Error::setting("films of the randomisation test", "two or more", films));
    }
    let of = |model: &Classifier| maps(&heat_maps(model, batch, method, options)?.scaled(), "heat map");
    let trained = of(model)?;
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let pairs = (0..PAIRS).map(|_| {
        let first = rng.random_range(0..films);
        ssim(&trained[first], &trained[(first + rng.random_range(1..films)) % films])
    });
    let between_films = pairs.sum::<f64>() / PAIRS as f64;
    let same = |seed| {
        let (architecture, channels) = (model.architecture(), model.channels() as u8);
        Classifier::with_channels(architecture, channels, model.head(), seed, model.device())
    };
    let (mut mixed, random) = (same(0), same(options.seed.wrapping_add(1)));
    mixed.compute_in(model.kind())?;
    copy(model, &mixed, |_| true);
    let mut steps = Vec::new();
    for part in PARTS {
        copy(&random, &mixed, |name| name.starts_with(part));
        let found = of(&mixed)?;
        let mean = |by: &dyn Fn(&Map, &Map) -> f64| {
            trained.iter().zip(&found).map(|(one, other)| by(one, other)).sum::<f64>() / films as f64
        };
        steps.push(CascadeStep { part, ssim: mean(&ssim), rank_correlation: mean(&rank_correlation) });
    }
    Ok(Cascade { steps, between_films, films })
}

/// Gives one network's weights and statistics to another one of the same form.
fn copy(from: &Classifier, to: &Classifier, which: impl Fn(&str) -> bool) {
    let _guard = tch::no_grad_guard();
    for (from, to) in from.variables().iter().zip(to.variables()).filter(|(from, _)| which(&from.name)) {
        debug_assert_eq!((&from.name, from.tensor.kind()), (&to.name, Kind::Float));
        to.tensor.shallow_clone().copy_(&from.tensor);
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::network::{Architecture, Head};

    #[test]
    fn maps_of_the_network_change_with_its_weights_and_the_model_stays_as_it_was() {
        let model = Classifier::new(Architecture::DenseNet121, Head::Linear { classes: 2 }, 3, Device::Cpu);
        let batch = (Tensor::arange(4 * 3 * 64 * 64, (Kind::Float, Device::Cpu)) * 0.37).sin().view([4, 3, 64, 64]);
        let before: Vec<Tensor> = model.variables().iter().map(|it| it.tensor.copy()).collect();
        let found = cascade(&model, &batch, Method::GradCam, &MapOptions::at("features.denseblock3")).unwrap();
        assert_eq!((found.steps.len(), found.films), (10, 4));
        assert!(found.steps.iter().any(|step| step.rank_correlation < 0.7), "{found:?}");
        for (variable, old) in model.variables().iter().zip(&before) {
            assert!(variable.tensor.equal(old), "{}", variable.name);
        }
        assert!(cascade(&model, &batch.narrow(0, 0, 1), Method::GradCam, &MapOptions::default()).is_err());
    }

    /// A method that shows the film whatever the network is, as an edge detector does, does not pass.
    #[test]
    fn maps_that_do_not_change_fail() {
        let step = |ssim| CascadeStep { part: "features.", ssim, rank_correlation: 0.9 };
        let of = |ssim| Cascade { steps: vec![step(ssim)], between_films: 0.4, films: 9 };
        assert!(!of(0.8).passed() && of(0.8).to_string().starts_with("randomisation test FAILED"));
        assert!(of(0.1).passed() && of(0.1).to_string().contains("below the SSIM 0.400"));
    }
}
