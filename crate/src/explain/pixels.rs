//! The target's slope at the pixels, and what is made of it.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use tch::{Kind, Tensor};

use super::MapOptions;
use super::part::{Completeness, Part};
use crate::error::{Error, Result};
use crate::network::{Classifier, Mode};

/// The baseline of each film, `[N, C, H, W]`.
pub(super) fn baseline(films: &Tensor, options: &MapOptions) -> Result<Tensor> {
    let Some(given) = &options.baseline else { return Ok(films.zeros_like()) };
    given.to_device(films.device()).f_expand_as(films).map(|it| it.contiguous()).map_err(|_| Error::Shape {
        what: "baseline",
        expected: format!("what broadcasts to {:?}", films.size()),
        got: given.size(),
    })
}

/// The slope of the target at the films, `[N, C, H, W]`, and the logits `[N, classes]`.
fn slope(model: &Classifier, films: &Tensor, options: &MapOptions) -> Result<(Tensor, Tensor)> {
    tch::with_grad(|| {
        let films = films.detach().copy().set_requires_grad(true);
        let logits = model.forward(&films, Mode::Eval)?;
        let sum = options.target.of(&logits)?.sum(Kind::Float);
        let slope = Tensor::f_run_backward(&[sum], &[&films], false, false)?.remove(0);
        Ok((slope.to_kind(Kind::Float), logits.detach()))
    })
}

/// The sum over the channels, which show the same film.
fn channels(xs: &Tensor) -> Tensor {
    xs.sum_dim_intlist([1].as_slice(), false, Kind::Float)
}

/// Input times gradient.
pub(super) fn input_times_gradient(model: &Classifier, films: &Tensor, options: &MapOptions) -> Result<Part> {
    let (slope, logits) = slope(model, films, options)?;
    Ok(Part::of_pixels(channels(&(films * slope)), logits))
}

/// Integrated gradients at the midpoints of the steps; as many inputs at a time as the chunk allows.
pub(super) fn integrated(model: &Classifier, films: &Tensor, options: &MapOptions) -> Result<Part> {
    let nothing = baseline(films, options)?;
    let way = films - &nothing;
    let sum = films.zeros_like();
    let n = films.size()[0];
    let jobs: Vec<(i64, usize)> = (0..options.steps).flat_map(|step| (0..n).map(move |film| (film, step))).collect();
    for jobs in jobs.chunks(options.chunk) {
        let (of, shares): (Vec<i64>, Vec<f32>) =
            jobs.iter().map(|&(film, step)| (film, (step as f32 + 0.5) / options.steps as f32)).unzip();
        let of = Tensor::from_slice(&of).to_device(films.device());
        let shares = Tensor::from_slice(&shares).view([-1, 1, 1, 1]).to_device(films.device());
        let on_the_way = nothing.index_select(0, &of) + way.index_select(0, &of) * shares;
        let (slope, _) = slope(model, &on_the_way, options)?;
        let _ = sum.shallow_clone().index_add_(0, &of, &slope);
    }
    let map = channels(&(way * sum)) / options.steps as f64;
    let _guard = tch::no_grad_guard();
    let logits = model.predict(films)?;
    let gain = options.target.of(&logits)? - options.target.of(&model.predict(&nothing)?)?;
    let sums = map.sum_dim_intlist([1, 2].as_slice(), false, Kind::Double);
    let [sums, gains] = [sums, gain].map(|it| Vec::<f64>::try_from(it.to_kind(Kind::Double)));
    let completeness = sums?.into_iter().zip(gains?).map(|(sum, gain)| Completeness { sum, gain }).collect();
    Ok(Part { maps: vec![map], logits, completeness })
}

/// The size of the mean slope over noisy copies. The noise is grey, as films are, and the same for each film.
pub(super) fn smooth(model: &Classifier, films: &Tensor, options: &MapOptions) -> Result<Part> {
    let size = films.size();
    let (n, height, width) = (size[0], size[2], size[3]);
    let deviation = (films.amax([1, 2, 3], true) - films.amin([1, 2, 3], true)) * options.noise;
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let sum = films.zeros_like();
    // Drawn before, so that the chunk changes nothing.
    let noise: Vec<Vec<f32>> =
        (0..options.samples).map(|_| (0..height * width).map(|_| StandardNormal.sample(&mut rng)).collect()).collect();
    let jobs: Vec<(i64, usize)> = (0..n).flat_map(|film| (0..options.samples).map(move |copy| (film, copy))).collect();
    for jobs in jobs.chunks(options.chunk) {
        let of: Vec<i64> = jobs.iter().map(|(film, _)| *film).collect();
        let of = Tensor::from_slice(&of).to_device(films.device());
        let drawn: Vec<f32> = jobs.iter().flat_map(|(_, copy)| &noise[*copy]).copied().collect();
        let drawn = Tensor::from_slice(&drawn).view([-1, 1, height, width]).to_device(films.device());
        let noisy = films.index_select(0, &of) + drawn * deviation.index_select(0, &of);
        let (slope, _) = slope(model, &noisy, options)?;
        let _ = sum.shallow_clone().index_add_(0, &of, &slope);
    }
    let logits = model.predict(films)?;
    Ok(Part::of_pixels(channels(&sum).abs() / options.samples as f64, logits))
}
