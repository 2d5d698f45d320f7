//! Patterns that excite a filter, by gradient ascent from noise: Erhan et al., "Visualizing Higher-Layer Features of a
//! Deep Network", 2009, with random jitter as in Olah et al., "Feature Visualization", Distill 2017. Patterns are grey,
//! as films are.

use image::GrayImage;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};
use crate::model::Model;

/// How patterns are found.
#[derive(Debug, Clone, PartialEq)]
pub struct FilterOptions {
    /// Side of the patterns in pixels, 64 to 1024. Default 96.
    pub size: u32,
    /// Steps of ascent, 1 to 10,000. Default 30.
    pub steps: usize,
    /// Step length, as a fraction of the grey range, for a gradient of unit RMS; above 0, at most 1. Default 0.03.
    pub rate: f64,
    /// Largest random shift in pixels before each step, against checkerboards; 0, which is none, to half the size.
    /// Default 4.
    pub jitter: i64,
    /// Seeds noise and jitter. Default 0.
    pub seed: u64,
}

impl Default for FilterOptions {
    fn default() -> Self {
        FilterOptions { size: 96, steps: 30, rate: 0.03, jitter: 4, seed: 0 }
    }
}

impl FilterOptions {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn validate(&self) -> Result<()> {
        if !(64..=1024).contains(&self.size) {
            return Err(Error::setting("size", "64 to 1024 pixels", self.size));
        }
        if !(1..=10_000).contains(&self.steps) {
            return Err(Error::setting("steps", "1 to 10000", self.steps));
        }
        if !(self.rate > 0.0 && self.rate <= 1.0) {
            return Err(Error::setting("rate", "above 0, at most 1", self.rate));
        }
        let most = i64::from(self.size / 2);
        if !(0..=most).contains(&self.jitter) {
            return Err(Error::setting("jitter", format!("0 to {most} pixels, half the size"), self.jitter));
        }
        Ok(())
    }
}

/// The patterns that most excite some channels of a layer (the mean of the channel over the pattern).
///
/// Each pattern is standardised and shown around mid-grey, as the original does, so brightness says nothing about
/// strength.
///
/// # Errors
/// [`Error::NoSuchLayer`]; [`Error::Setting`] for a channel that the layer lacks or options out of range.
pub fn filter_patterns(
    model: &Model,
    layer: &str,
    channels: &[i64],
    options: &FilterOptions,
) -> Result<Vec<GrayImage>> {
    if channels.is_empty() {
        return Err(Error::setting("channels", "at least one", 0));
    }
    options.validate()?;
    let excited = ascend(model, layer, channels, options)?;
    let side = i64::from(options.size);
    let films = excited.view([-1, side * side]);
    let mean = films.mean_dim([1].as_slice(), true, Kind::Float);
    let deviation = films.std_dim([1].as_slice(), false, true).clamp_min(1e-6);
    let shown = ((films - mean) / deviation * 0.2 + 0.5).clamp(0.0, 1.0) * 255.0;
    let bytes = Vec::<u8>::try_from(shown.round().to_kind(Kind::Uint8).to_device(Device::Cpu).flatten(0, -1))?;
    bytes
        .chunks((side * side) as usize)
        .map(|film| {
            GrayImage::from_raw(options.size, options.size, film.to_vec())
                .ok_or_else(|| Error::Figure("a pattern has the wrong number of pixels".to_owned()))
        })
        .collect()
}

/// `[channels, 1, size, size]` in `0.0..=1.0`.
fn ascend(model: &Model, layer: &str, channels: &[i64], options: &FilterOptions) -> Result<Tensor> {
    let device = model.classifier.device();
    let (n, side) = (channels.len() as i64, i64::from(options.size));
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let noise: Vec<f32> = (0..n * side * side).map(|_| 0.5 + 0.1 * (rng.random::<f32>() - 0.5)).collect();
    let mut films = Tensor::from_slice(&noise).view([n, 1, side, side]).to_device(device);
    let rows = Tensor::from_slice(channels).to_device(device);
    for step in 0..options.steps {
        let shift = [0; 2].map(|_: i64| rng.random_range(-options.jitter..=options.jitter));
        let shifted = films.roll(shift, [2, 3]);
        let gradient = tch::with_grad(|| {
            let input = shifted.detach().copy().set_requires_grad(true);
            let batch = model.card.preprocess.standardise(&input);
            let activation = model.classifier.activation(&batch, layer)?;
            let size = activation.size();
            if step == 0 {
                check(&size, channels)?;
            }
            // Film i is to excite channel i of the list, and nothing else.
            let index = rows.view([-1, 1, 1, 1]).expand([n, 1, size[2], size[3]], false);
            let target = activation.gather(1, &index, false).mean_dim([2, 3].as_slice(), false, Kind::Float);
            let target = target.sum(Kind::Float);
            Ok::<_, Error>(Tensor::f_run_backward(&[target], &[&input], false, false)?.remove(0))
        })?;
        let _guard = tch::no_grad_guard();
        // A smoothed gradient: what a filter answers to instead of the finest checkerboard that excites it.
        let smooth = |xs: Tensor| xs.avg_pool2d([3, 3], [1, 1], [1, 1], false, true, None::<i64>);
        let gradient = smooth(smooth(gradient));
        let rms = gradient.square().mean_dim([1, 2, 3].as_slice(), true, Kind::Float).sqrt().clamp_min(1e-12);
        let moved = (shifted + gradient / rms * options.rate).clamp(0.0, 1.0);
        films = moved.roll(shift.map(|s| -s), [2, 3]);
    }
    Ok(films)
}

fn check(activation: &[i64], channels: &[i64]) -> Result<()> {
    let [_, c, _, _] = activation else {
        return Err(Error::Shape { what: "layer", expected: "[N, C, h, w]".to_owned(), got: activation.to_vec() });
    };
    match channels.iter().find(|channel| !(0..*c).contains(*channel)) {
        Some(bad) => Err(Error::setting("channel", format!("0 to {}", c - 1), bad)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::file::untrained;
    use crate::network::Head;

    #[test]
    fn ascent_excites_each_channel_far_more_than_noise_does() {
        let model = untrained(Head::Linear { classes: 2 }, 64);
        let options = FilterOptions { size: 64, steps: 12, ..FilterOptions::default() };
        let (layer, channels) = ("features.denseblock1.denselayer2.conv1", [3, 17, 64]);
        let excitement = |films: &Tensor| {
            let _guard = tch::no_grad_guard();
            let batch = model.card.preprocess.standardise(films);
            let activation = model.classifier.activation(&batch, layer).unwrap();
            channels.map(|c| activation.select(1, c).mean_dim([1, 2].as_slice(), false, Kind::Float))
        };
        let noise = ascend(&model, layer, &channels, &FilterOptions { steps: 0, ..options.clone() }).unwrap();
        let found = ascend(&model, layer, &channels, &options).unwrap();
        let (before, after) = (excitement(&noise), excitement(&found));
        for i in 0..channels.len() {
            let (b, a) = (before[i].double_value(&[i as i64]), after[i].double_value(&[i as i64]));
            assert!(a > b, "channel {}: {b} before, {a} after", channels[i]);
        }
        let shown = filter_patterns(&model, layer, &channels, &options).unwrap();
        assert_eq!(shown.len(), 3);
        assert_ne!(shown[0], shown[1]);
    }

    #[test]
    fn a_channel_that_the_layer_lacks_is_refused() {
        let model = untrained(Head::Linear { classes: 2 }, 64);
        let options = FilterOptions { size: 64, steps: 1, ..FilterOptions::default() };
        let error = filter_patterns(&model, "features.conv0", &[64], &options).unwrap_err().to_string();
        assert_eq!(error, "channel: expected 0 to 63, got 64");
    }

    #[test]
    fn options_out_of_their_range_are_refused_and_no_jitter_is_none() {
        let model = untrained(Head::Linear { classes: 2 }, 64);
        let usual = FilterOptions { size: 64, steps: 1, ..FilterOptions::default() };
        let with = |options: &FilterOptions| filter_patterns(&model, "features.conv0", &[0], options);
        for (options, what) in [
            (FilterOptions { jitter: -1, ..usual.clone() }, "jitter: expected 0 to 32 pixels, half the size, got -1"),
            (FilterOptions { jitter: i64::MAX, ..usual.clone() }, "jitter: expected 0 to 32"),
            (FilterOptions { steps: 0, ..usual.clone() }, "steps: expected 1 to 10000, got 0"),
            (FilterOptions { steps: usize::MAX, ..usual.clone() }, "steps: expected 1 to 10000"),
            (FilterOptions { size: 0, ..usual.clone() }, "size: expected 64 to 1024 pixels, got 0"),
            (FilterOptions { size: u32::MAX, ..usual.clone() }, "size: expected 64 to 1024 pixels"),
            (FilterOptions { rate: f64::NAN, ..usual.clone() }, "rate: expected above 0, at most 1, got NaN"),
            (FilterOptions { rate: -0.1, ..usual.clone() }, "rate: expected above 0"),
        ] {
            let error = with(&options).unwrap_err().to_string();
            assert!(error.starts_with(what), "{error}");
        }
        assert_eq!(with(&FilterOptions { jitter: 0, ..usual }).unwrap().len(), 1);
    }
}
