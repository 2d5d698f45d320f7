//! Which learning rate to begin with, and how many films fit into a step.
//!
//! The sweep is Smith's range test (arXiv:1506.01186) as fastai runs it: the learning rate grows exponentially from
//! batch to batch until the smoothed loss is four times its lowest. The suggestion is fastai's `valley`: about two
//! thirds down the longest falling stretch, a third of it left unused.

use std::fmt;
use std::time::Instant;

use tch::{Device, Kind, Tensor};

use super::data::{batches, class_weights, scaled, training};
use super::learner::{self, Learner};
use super::meter;
use super::report::Event;
use super::stage::spans;
use super::{TrainOptions, chosen, initial};
use crate::dataset::{Batch, Index, epoch_order};
use crate::device;
use crate::error::{Error, Result};
use crate::network::Classifier;
use crate::recipe::Recipe;
use crate::shortage;
use studies::Split;

/// How to sweep the learning rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sweep {
    /// First learning rate. Default 1e-7.
    pub from: f64,
    /// Last learning rate, if the loss does not run away before. Default 10.
    pub to: f64,
    /// Steps, at least 20. Default 100.
    pub steps: usize,
}

impl Default for Sweep {
    fn default() -> Self {
        Sweep { from: 1e-7, to: 10.0, steps: 100 }
    }
}

/// Weight of the past in the smoothed loss, as in fastai.
const MEMORY: f64 = 0.98;
/// The sweep ends at a smoothed loss of so many times the lowest, as in fastai.
const DIVERGED: f64 = 4.0;

/// What a sweep of the learning rate found.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct LrFinder {
    /// The learning rates tried, rising.
    pub rates: Vec<f64>,
    /// The training loss at each, smoothed exponentially over about 50 steps and corrected for its start.
    pub losses: Vec<f64>,
    /// The learning rate to use; `None` if the loss never fell.
    pub suggestion: Option<f64>,
}

impl fmt::Display for LrFinder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.suggestion, self.rates.last()) {
            (Some(rate), Some(last)) => write!(f, "suggested learning rate {rate:.2e} (swept up to {last:.2e})"),
            _ => f.write_str("no suggestion: the loss never fell"),
        }
    }
}

/// Sweeps the learning rate over training films of `index`, from the weights and with the optimiser, batches and
/// augmentation that [`run`](super::run) would begin with. Works on a network of its own: nothing is saved and nothing
/// remembered. `progress` hears how far it is, by [`Event::Swept`] as often as [`TrainOptions::step_every`] says.
///
/// # Errors
/// As [`run`](super::run); [`Error::Setting`] for a sweep that does not rise or of fewer than 20 steps;
/// [`Error::Training`] also if [`TrainOptions::stop`] asked for it.
pub fn find_learning_rate(
    index: &Index,
    recipe: &Recipe,
    options: &TrainOptions,
    sweep: &Sweep,
    progress: &mut dyn FnMut(Event),
) -> Result<LrFinder> {
    recipe.validate()?;
    let index = chosen(index, recipe, options)?;
    let device = device::resolve(options.device)?;
    let found = initial(&index, recipe, options, progress)?;
    let (recipe, _) = scaled(recipe, found.as_ref(), progress)?;
    let (films, recipe) = training(&index.split(Split::Train), &recipe, options, device, progress)?;
    let mut network = learner::network(&recipe, device, options.precision)?;
    if let Some(found) = &found {
        found.load(&network)?;
    }
    network.unfreeze(spans(&recipe, found.is_some())[0].unfreeze)?;
    let class_weights = class_weights(&films, &recipe, device)?;
    let mut learner = Learner::new(&network, &recipe);
    let mut epoch = 0;
    let mut waiting = Vec::new();
    let (mut step, mut said) = (0, Instant::now());
    self::sweep(sweep, &mut |rate| {
        if said.elapsed() >= options.step_every {
            said = Instant::now();
            progress(Event::Swept { step, steps: sweep.steps });
        }
        step += 1;
        if options.stop.is_stopped() {
            return Err(Error::Training("the sweep was asked to stop; nothing of it is kept".to_owned()));
        }
        if waiting.is_empty() {
            epoch += 1;
            let order = epoch_order(films.len(), recipe.seed, epoch as u64);
            waiting = batches(order.len(), recipe.batch_size).into_iter().map(|r| order[r].to_vec()).rev().collect();
        }
        // As in training, the last step of an epoch takes what is left.
        let together = waiting.split_off(waiting.len().saturating_sub(recipe.accumulate));
        let feed = films.feed(together.into_iter().rev().collect(), device, 1);
        let loss = learner::cross_entropy(class_weights.as_ref(), &recipe);
        let losses = learner.step(&network, feed, epoch, rate, loss)?;
        Ok(losses.iter().map(|loss| loss.double_value(&[]) / losses.len() as f64).sum())
    })
}

/// Takes a step at each rate; `step` returns the loss before it.
fn sweep(sweep: &Sweep, step: &mut dyn FnMut(f64) -> Result<f64>) -> Result<LrFinder> {
    if !(sweep.from > 0.0 && sweep.to > sweep.from && sweep.to.is_finite()) {
        return Err(Error::setting("sweep", "0 < from < to", format!("{} to {}", sweep.from, sweep.to)));
    }
    if sweep.steps < 20 {
        return Err(Error::setting("sweep.steps", "at least 20", sweep.steps));
    }
    let (mut rates, mut losses) = (Vec::new(), Vec::new());
    let (mut sum, mut lowest) = (0.0, f64::INFINITY);
    for number in 0..sweep.steps {
        let rate = sweep.from * (sweep.to / sweep.from).powf(number as f64 / (sweep.steps - 1) as f64);
        let loss = step(rate)?;
        if !loss.is_finite() {
            break;
        }
        sum = MEMORY * sum + (1.0 - MEMORY) * loss;
        let smoothed = sum / (1.0 - MEMORY.powi(number as i32 + 1));
        rates.push(rate);
        losses.push(smoothed);
        lowest = lowest.min(smoothed);
        if smoothed > DIVERGED * lowest {
            break;
        }
    }
    // As in fastai, neither the first tenth nor the last five count.
    let counted = (sweep.steps / 10).min(rates.len())..rates.len().saturating_sub(5);
    let suggestion = (counted.start < counted.end).then(|| valley(&rates[counted.clone()], &losses[counted])).flatten();
    Ok(LrFinder { rates, losses, suggestion })
}

/// fastai's `valley`: the end of the longest falling subsequence of the losses, and from its start a half of the way
/// there.
fn valley(rates: &[f64], losses: &[f64]) -> Option<f64> {
    let mut longest = vec![1usize; losses.len()];
    let (mut start, mut end) = (0, 0);
    for i in 1..losses.len() {
        for j in 0..i {
            if losses[i] < losses[j] && longest[i] < longest[j] + 1 {
                longest[i] = longest[j] + 1;
            }
            if longest[end] < longest[i] {
                end = i;
                start = end.saturating_sub(longest[end]);
            }
        }
    }
    let third = (end - start) as f64 / 3.0;
    let at = start + third as usize + (third / 2.0) as usize;
    (end > 0).then(|| rates[at])
}

/// What was found when batches of growing size were tried.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct BatchSizes {
    /// Each size tried, with the bytes that its step took where they are known.
    pub tried: Vec<(usize, Option<u64>)>,
    /// The largest that fitted; `None` if not even two films did.
    pub largest: Option<usize>,
    /// Why no larger one was tried or fitted.
    pub reason: String,
}

impl fmt::Display for BatchSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.largest {
            Some(largest) => write!(f, "largest batch that fits: {largest} ({})", self.reason),
            None => write!(f, "no batch fits ({})", self.reason),
        }
    }
}

/// Share of the available memory that a step may take on a CPU.
const SHARE: f64 = 0.7;
/// No batch larger than this is tried.
const LARGEST: usize = 4096;

/// Doubles the batch, from 2 films up, until a training step of `recipe`'s network no longer fits into memory.
///
/// On a CPU a step that would take more than 70 % of the memory available at the start is not tried: a step is taken to
/// need twice what half the films needed. On a GPU the step is tried, and the failure to get memory is the answer.
/// Accuracy is a matter of its own: a larger batch needs another learning rate.
///
/// # Errors
/// As [`run`](super::run) for recipe and device; [`Error::Torch`] if a step fails for another reason than memory.
pub fn find_batch_size(recipe: &Recipe, options: &TrainOptions) -> Result<BatchSizes> {
    recipe.validate()?;
    let device = device::resolve(options.device)?;
    let mut network = learner::network(recipe, device, options.precision)?;
    network.unfreeze(recipe.unfreeze)?;
    let mut learner = Learner::new(&network, recipe);
    let available = device::available_memory().map(|bytes| SHARE * bytes as f64);
    let mut found =
        BatchSizes { tried: Vec::new(), largest: None, reason: format!("{LARGEST} is the most that is tried") };
    let mut n = 2;
    while n <= LARGEST {
        if options.stop.is_stopped() {
            found.reason = "stopped".to_owned();
            break;
        }
        let expected = found.tried.last().and_then(|(_, bytes)| bytes.map(|bytes| 2.0 * bytes as f64));
        if let (Device::Cpu, Some(expected), Some(available)) = (device, expected, available)
            && expected > available
        {
            let gib = |bytes: f64| bytes / f64::from(1 << 30);
            found.reason = format!("{n} would take about {:.1} of {:.1} GiB", gib(expected), gib(available / SHARE));
            break;
        }
        let before = peak_from_now();
        match shortage::told(|| trial(&network, &mut learner, recipe, n)) {
            Ok(()) => {}
            Err(Error::Memory(_)) => {
                found.reason = format!("{n} did not fit");
                break;
            }
            Err(error) => return Err(error),
        }
        let took = match (device, before, meter::memory()) {
            (Device::Cpu, Some(before), Some(after)) => Some(after.peak.saturating_sub(before)),
            _ => None,
        };
        found.tried.push((n, took));
        found.largest = Some(n);
        n *= 2;
    }
    Ok(found)
}

/// One training step on black films; the weights do not move.
fn trial(network: &Classifier, learner: &mut Learner, recipe: &Recipe, n: usize) -> Result<()> {
    let (device, side) = (network.device(), i64::from(recipe.preprocess.size));
    let batch = Batch {
        indices: (0..n).collect(),
        pixels: Tensor::f_zeros([n as i64, side, side], (Kind::Uint8, device))?,
        labels: Tensor::f_zeros([n as i64], (Kind::Int64, device))?,
    };
    let losses = learner.step(network, [Ok(batch)], 1, 0.0, learner::cross_entropy(None, recipe))?;
    // A GPU works behind our back: only reading waits for it.
    losses[0].f_double_value(&[])?;
    Ok(())
}

/// Lets the peak of memory be counted anew, where Linux allows it; returns what is resident now.
fn peak_from_now() -> Option<u64> {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    meter::memory().map(|memory| memory.resident)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Optimizer;

    #[test]
    fn on_a_bowl_the_suggestion_converges_and_the_sweep_ends_where_it_diverges() {
        // Gradient descent on curvature/2 · x² diverges above a learning rate of 2 / curvature.
        let curvature = 25.0;
        let mut x = 3.0;
        let found = sweep(&Sweep::default(), &mut |rate| {
            let loss = 0.5 * curvature * x * x + 0.1;
            x -= rate * curvature * x;
            Ok(loss)
        })
        .unwrap();
        let last = *found.rates.last().unwrap();
        assert!(last > 2.0 / curvature && last < 10.0, "ended at {last}");
        let suggestion = found.suggestion.unwrap();
        assert!(suggestion > 1e-4 && suggestion < 2.0 / curvature, "{suggestion}");
        let mut y: f64 = 3.0;
        (0..2000).for_each(|_| y -= suggestion * curvature * y);
        assert!(y.abs() < 0.5, "{y}");
    }

    #[test]
    fn the_valley_is_fastais() {
        let losses = [3.0, 3.1, 2.9, 2.8, 2.6, 2.3, 1.9, 1.5, 1.2, 1.0, 1.4, 2.0];
        let rates: Vec<f64> = (0..12).map(f64::from).collect();
        // Subsequence 3.1, 2.9 … 1.0 has nine members and ends at 9: start 0, thirds of 3, 3 + 1 = 4.
        assert_eq!(valley(&rates, &losses), Some(4.0));
        assert_eq!(valley(&rates, &(0..12).map(f64::from).collect::<Vec<_>>()), None);
    }

    #[test]
    fn a_loss_that_never_falls_and_a_sweep_that_falls_are_said() {
        let mut loss = 1.0;
        let found = sweep(&Sweep::default(), &mut |_| {
            loss += 0.01;
            Ok(loss)
        });
        assert_eq!(found.unwrap().suggestion, None);
        let wrong = Sweep { from: 1.0, to: 0.1, ..Sweep::default() };
        assert!(sweep(&wrong, &mut |_| Ok(1.0)).unwrap_err().to_string().contains("0 < from < to"));
    }

    #[test]
    fn batches_double_until_memory_is_short_or_the_search_is_stopped() {
        let recipe = Recipe {
            preprocess: crate::Preprocess { size: 64, ..crate::Preprocess::default() },
            optimizer: Optimizer::Sgd { learning_rate: 0.1, momentum: 0.0, nesterov: false },
            ..Recipe::default()
        };
        let options = TrainOptions { device: crate::device::DeviceChoice::Cpu, ..TrainOptions::new("run") };
        let stop = options.stop.clone();
        let stopper = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_secs(3));
            stop.stop();
        });
        let found = find_batch_size(&recipe, &options).unwrap();
        stopper.join().unwrap();
        assert!(found.largest.unwrap() >= 2);
        let sizes: Vec<usize> = found.tried.iter().map(|(n, _)| *n).collect();
        assert!(sizes.iter().zip(1..).all(|(n, power)| *n == 1 << power), "{sizes:?}");
    }
}
