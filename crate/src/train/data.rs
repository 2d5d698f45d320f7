//! The films of a run, ready to be learnt from.

use std::ops::Range;
use std::time::Instant;

use tch::{Device, Tensor};

use super::TrainOptions;
use super::report::Event;
use crate::dataset::{self, Films, Index, Preparing};
use crate::error::{Error, Result};
use crate::preprocess::Preprocess;
use crate::recipe::{Recipe, Standardise};
use crate::weights::{self, FoundWeights};
use studies::Study;

/// Seconds between two reports of progress while films are decoded.
const SIGN_OF_LIFE: u64 = 10;

/// A mean and a standard deviation for each channel.
type Scale = ([f32; 3], [f32; 3]);

/// The recipe with the mean and deviation that given weights expect, where it still has the usual ones; and these, if
/// they were taken.
pub(super) fn scaled(
    recipe: &Recipe,
    found: Option<&FoundWeights>,
    progress: &mut dyn FnMut(Event),
) -> Result<(Recipe, Option<Scale>)> {
    let (usual, given) = (Preprocess::default(), &recipe.preprocess);
    let scale = match found {
        Some(found) if (given.mean, given.std) == (usual.mean, usual.std) => weights::scale(&found.path)?,
        _ => None,
    };
    if let Some((mean, std)) = scale {
        progress(Event::Scale { mean: mean[0], std: std[0] });
    }
    Ok((with_scale(recipe, scale), scale))
}

/// The recipe with this mean and standard deviation, if there are any.
pub(super) fn with_scale(recipe: &Recipe, scale: Option<Scale>) -> Recipe {
    let mut recipe = recipe.clone();
    if let Some((mean, std)) = scale {
        (recipe.preprocess.mean, recipe.preprocess.std) = (mean, std);
    }
    recipe
}

/// Training films, on `device` where they fit, and the recipe with the mean and deviation that it asks for.
pub(super) fn training(
    studies: &[&Study],
    recipe: &Recipe,
    options: &TrainOptions,
    device: Device,
    progress: &mut dyn FnMut(Event),
) -> Result<(Films, Recipe)> {
    let mut recipe = recipe.clone();
    let mut films = open(studies, &recipe.preprocess, options, progress)?;
    if recipe.standardise == Standardise::TrainingSet {
        (recipe.preprocess.mean, recipe.preprocess.std) = films.statistics()?;
    }
    films.move_to(device, options.feeding.device_share)?;
    Ok((films, recipe))
}

/// Decodes every film that the cache lacks: a damaged film is met now, not after the last epoch.
pub(super) fn decode(
    index: &Index,
    recipe: &Recipe,
    options: &TrainOptions,
    progress: &mut dyn FnMut(Event),
) -> Result<()> {
    let all: Vec<&Study> = index.studies.iter().collect();
    rarely(progress, |progress| dataset::prepare(&all, &recipe.preprocess, &options.feeding, progress))
}

/// Opens the films of some studies.
pub(super) fn open(
    studies: &[&Study],
    preprocess: &Preprocess,
    options: &TrainOptions,
    progress: &mut dyn FnMut(Event),
) -> Result<Films> {
    rarely(progress, |progress| Films::open(studies, preprocess, &options.feeding, progress))
}

/// Does `work`, which tells of every few films, and passes on what a person wants to read of it.
fn rarely<T>(progress: &mut dyn FnMut(Event), work: impl FnOnce(&mut dyn FnMut(Preparing)) -> Result<T>) -> Result<T> {
    let mut said = Instant::now();
    work(&mut |preparing| {
        let is_step = matches!(preparing, Preparing::Decoded { .. });
        if !is_step || said.elapsed().as_secs() >= SIGN_OF_LIFE {
            said = Instant::now();
            progress(Event::Preparing(preparing));
        }
    })
}

/// Cuts `n` films into batches; a last one of a single film joins the one before, since BatchNorm cannot learn from it.
pub(super) fn batches(n: usize, size: usize) -> Vec<Range<usize>> {
    let mut ranges: Vec<_> = (0..n).step_by(size).map(|start| start..(start + size).min(n)).collect();
    if ranges.len() > 1 && ranges.last().is_some_and(|r| r.len() == 1) {
        ranges.pop();
        if let Some(last) = ranges.last_mut() {
            last.end = n;
        }
    }
    ranges
}

/// Class weights `[2]` on `device`: n / (2 · films of the class); `None` if the recipe wants none.
pub(super) fn class_weights(films: &Films, recipe: &Recipe, device: Device) -> Result<Option<Tensor>> {
    if !recipe.class_weights {
        return Ok(None);
    }
    let counts = films.class_counts();
    if counts.contains(&0) {
        return Err(Error::Split(format!("training films of both classes are needed, got {counts:?}")));
    }
    let total: usize = counts.iter().sum();
    let weights = counts.map(|count| total as f32 / (2.0 * count as f32));
    Ok(Some(Tensor::from_slice(&weights).to_device(device)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_cover_every_film_once_and_none_holds_a_single_one() {
        for (n, size, expected) in [(10, 4, vec![4, 4, 2]), (9, 4, vec![4, 5]), (4, 4, vec![4]), (3, 8, vec![3])] {
            let ranges = batches(n, size);
            assert_eq!(ranges.iter().map(|r| r.len()).collect::<Vec<_>>(), expected);
            assert_eq!(ranges.iter().flat_map(|r| r.clone()).collect::<Vec<_>>(), (0..n).collect::<Vec<_>>());
        }
    }
}
