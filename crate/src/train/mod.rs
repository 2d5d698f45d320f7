//! One training loop, one [`EpochReport`] per epoch, the best and the last model on disk after each.

mod optimizer;
mod recipe;
mod report;
mod tensorboard;

use std::path::{Path, PathBuf};
use std::time::Instant;

use tch::{Device, Kind, Reduction, Tensor};

pub use optimizer::{Pace, Update};
pub use recipe::{Optimizer, Recipe, Schedule, SelectBy, Standardise};
pub use report::{EpochReport, Event, Run, TrainReport};
pub use tensorboard::EventWriter;

use crate::dataset::{self, Batch, Feeding, Films, Index, Leak, Preparing, split};
use crate::device::{self, DeviceChoice};
use crate::error::{Error, Result};
use crate::model::checkpoint::{DataCard, load_pretrained, write_atomically};
use crate::model::{Classifier, Mode, Model, ModelCard};
use crate::score::{self, Metrics, Report};
use crate::study::{Label, Split, Study};

/// Where a run goes and what it starts from.
#[derive(Debug, Clone, Default)]
pub struct TrainOptions {
    /// Folder that receives `model.safetensors`, `last.safetensors` and `metrics.jsonl`. What an earlier run left there is moved
    /// into `previous-1`, `previous-2` and so on, never overwritten.
    pub run: PathBuf,
    /// Where to compute.
    pub device: DeviceChoice,
    /// Weights to start from, a safetensors file; random ones where there is none.
    pub weights: Option<PathBuf>,
    /// Where decoded films are kept and how they reach the network.
    pub feeding: Feeding,
    /// Flaws of the data that are known and accepted; training refuses any other.
    pub allow: Vec<Leak>,
}

/// Name of the best model's file in a run's folder.
pub const MODEL_FILE: &str = "model.safetensors";
/// Name of the last epoch's file in a run's folder.
pub const LAST_FILE: &str = "last.safetensors";
/// Name of the metrics file, one JSON object a line, in a run's folder.
pub const METRICS_FILE: &str = "metrics.jsonl";

/// Trains by `recipe` on the training studies of `index`, chooses the epoch on patients set aside from them, and scores the held-out
/// split once, at the end.
///
/// Refuses copies and patients in two splits and studies with two labels, unless [`TrainOptions::allow`] names the leak; an index that
/// was not audited is audited for that. `progress` hears of decoding and of each epoch.
///
/// # Errors
/// [`Error::Setting`] for a recipe out of its ranges, [`Error::Split`] for sets too small or leaking, [`Error::Decode`] for a
/// damaged film, [`Error::Training`] if the loss is no longer finite; models saved up to then stay.
pub fn run(
    index: &Index,
    recipe: &Recipe,
    options: &TrainOptions,
    progress: &mut dyn FnMut(&Event),
) -> Result<TrainReport> {
    recipe.validate()?;
    let index = dataset::trainable(index, &options.allow)?;
    let index = split::hold_out_tune(&index, recipe.tune_fraction, recipe.seed)?;
    dataset::refuse_leaks(&index, &options.allow)?;
    let device = device::resolve(options.device)?;
    let mut session = Session::new(&index, recipe, options, device, progress)?;
    session.epochs(progress)?;
    session.finish(progress)
}

/// The network that `recipe` starts from, on the CPU: for a summary before training.
///
/// # Errors
/// [`Error::Setting`] for a recipe out of its ranges.
pub fn network(recipe: &Recipe) -> Result<Classifier> {
    recipe.validate()?;
    let mut network = Classifier::new(recipe.architecture, recipe.head, recipe.seed, Device::Cpu);
    network.unfreeze(recipe.unfreeze)?;
    Ok(network)
}

/// A training run between its first and last epoch.
struct Session<'a> {
    recipe: Recipe,
    options: &'a TrainOptions,
    train: Films,
    tune: Films,
    tune_studies: Vec<&'a Study>,
    valid_studies: Vec<&'a Study>,
    model: Model,
    update: Update,
    pace: Pace,
    class_weights: Option<Tensor>,
    steps: usize,
    epochs: Vec<EpochReport>,
    best: Option<usize>,
    tune_metrics: Option<Metrics>,
    started: Instant,
}

impl<'a> Session<'a> {
    fn new(
        index: &'a Index,
        recipe: &Recipe,
        options: &'a TrainOptions,
        device: Device,
        progress: &mut dyn FnMut(&Event),
    ) -> Result<Self> {
        let [train_studies, tune_studies, valid_studies] = Split::ALL.map(|split| index.split(split));
        if valid_studies.is_empty() {
            return Err(Error::Split("no held-out studies; a `valid` split is needed to report figures".to_owned()));
        }
        let started = Instant::now();
        let mut recipe = recipe.clone();
        // All at once: a damaged film is met now, not after the last epoch.
        let all: Vec<&Study> = index.studies.iter().collect();
        rarely(progress, |tell| dataset::prepare(&all, &recipe.preprocess, &options.feeding, tell))?;
        let mut train = open(&train_studies, &recipe, options, progress)?;
        if recipe.standardise == Standardise::TrainingSet {
            (recipe.preprocess.mean, recipe.preprocess.std) = train.statistics()?;
        }
        let mut tune = open(&tune_studies, &recipe, options, progress)?;
        for films in [&mut train, &mut tune] {
            films.move_to(device, options.feeding.device_share)?;
        }
        let mut classifier = Classifier::new(recipe.architecture, recipe.head, recipe.seed, device);
        if let Some(weights) = &options.weights {
            let loaded = load_pretrained(&classifier, weights)?;
            progress(&Event::Weights { path: weights.clone(), loaded });
        }
        classifier.unfreeze(recipe.unfreeze)?;
        let trainable = classifier.trainable().iter().map(|v| v.tensor.shallow_clone()).collect();
        let update = Update::new(recipe.optimizer, trainable);
        let total = batches(train.len(), recipe.batch_size).len() * recipe.epochs;
        let pace = Pace::new(recipe.schedule, recipe.optimizer.learning_rate(), total);
        let class_weights =
            recipe.class_weights.then(|| inverse_shares(&train)).transpose()?.map(|w| w.to_device(device));
        let card = ModelCard::new(&classifier, &recipe, DataCard::new(index));
        set_earlier_run_aside(&options.run)?;
        write_atomically(&options.run.join(METRICS_FILE), b"")?;
        progress(&Event::Started {
            train: train.len(),
            tune: tune.len(),
            device: device::describe(device),
            parameters: classifier.parameters(),
            seconds: started.elapsed().as_secs_f64(),
        });
        Ok(Session {
            recipe,
            options,
            train,
            tune,
            tune_studies,
            valid_studies,
            model: Model { classifier, card },
            update,
            pace,
            class_weights,
            steps: 0,
            epochs: Vec::new(),
            best: None,
            tune_metrics: None,
            started: Instant::now(),
        })
    }

    fn epochs(&mut self, progress: &mut dyn FnMut(&Event)) -> Result<()> {
        let mut lowest_loss = f64::INFINITY;
        let mut waited = 0;
        for epoch in 1..=self.recipe.epochs {
            let report = self.epoch(epoch, progress)?;
            if report.tune_loss < lowest_loss {
                lowest_loss = report.tune_loss;
                waited = 0;
            } else {
                waited += 1;
            }
            self.pace.epoch_is_over(report.tune_loss);
            progress(&Event::Epoch(report.clone()));
            self.epochs.push(report);
            if self.recipe.early_stopping.is_some_and(|patience| waited >= patience) {
                progress(&Event::StoppedEarly { epoch, patience: waited });
                break;
            }
        }
        Ok(())
    }

    /// One pass over the training films, one look at the tune films, both models saved.
    fn epoch(&mut self, epoch: usize, progress: &mut dyn FnMut(&Event)) -> Result<EpochReport> {
        let began = Instant::now();
        let order = dataset::epoch_order(self.train.len(), self.recipe.seed, epoch as u64);
        let batches = batches(order.len(), self.recipe.batch_size);
        let feed = self.train.feed(
            batches.iter().map(|range| order[range.clone()].to_vec()).collect(),
            self.model.classifier.device(),
            self.options.feeding.ahead,
        );
        // The loss stays on the device until the epoch is over: reading it would stall a GPU at every step.
        let mut losses = Tensor::zeros([], (Kind::Float, self.model.classifier.device()));
        let mut said = Instant::now();
        let learning_rate = self.pace.learning_rate(self.steps);
        for (number, batch) in feed.enumerate() {
            let batch = batch?;
            let loss = self.step(&batch, epoch)?;
            losses += loss * batch.indices.len() as f64;
            if said.elapsed().as_secs() >= 60 {
                said = Instant::now();
                progress(&Event::Step { epoch, step: number + 1, steps: batches.len() });
            }
        }
        let train_loss = losses.double_value(&[]) / order.len() as f64;
        if !train_loss.is_finite() {
            return Err(Error::Training(format!(
                "the loss of epoch {epoch} is {train_loss}; a smaller learning rate than {learning_rate:.2e} may help. {}",
                self.what_is_saved()
            )));
        }
        let seconds = began.elapsed().as_secs_f64();
        let tuned = self.look(epoch)?;
        let elapsed = self.started.elapsed().as_secs_f64();
        let report = EpochReport {
            epoch,
            epochs: self.recipe.epochs,
            train_loss,
            tune_loss: tuned.loss,
            tune_auroc: tuned.metrics.auroc.value,
            tune_accuracy: tuned.view_accuracy,
            learning_rate,
            images_per_second: order.len() as f64 / seconds,
            seconds: began.elapsed().as_secs_f64(),
            seconds_left: elapsed / epoch as f64 * (self.recipe.epochs - epoch) as f64,
            best: self.is_best(&tuned),
        };
        self.save(&report, tuned.metrics)?;
        Ok(report)
    }

    fn step(&mut self, batch: &Batch, epoch: usize) -> Result<Tensor> {
        let films = self.recipe.augment.apply(&batch.films(), &batch.indices, self.recipe.seed, epoch);
        let films = self.recipe.preprocess.standardise(&films);
        let logits = self.model.classifier.forward(&films, Mode::Train)?;
        let loss = logits.cross_entropy_loss(
            &batch.labels,
            self.class_weights.as_ref(),
            Reduction::Mean,
            -100,
            self.recipe.label_smoothing,
        );
        let gradients = Tensor::f_run_backward(&[&loss], self.update.weights(), false, false)?;
        self.update.step(&gradients, self.pace.learning_rate(self.steps));
        self.steps += 1;
        Ok(loss.detach())
    }

    /// Scores the tune split.
    fn look(&mut self, epoch: usize) -> Result<Tuned> {
        self.model.card.epoch = epoch;
        let report = score::loaded(&self.model, &self.tune, &self.tune_studies)?;
        let labels: Vec<Label> = report.views.iter().filter_map(|v| v.label).collect();
        let probabilities: Vec<f64> = report.views.iter().map(|v| v.probability.get()).collect();
        let right = report.views.iter().filter(|v| v.label == Some(v.decision.label())).count();
        Ok(Tuned {
            loss: crate::metrics::log_loss(&labels, &probabilities)?,
            view_accuracy: right as f64 / labels.len() as f64,
            metrics: report.metrics(&self.model.card.operating_point, Some(Split::Tune))?,
        })
    }

    fn is_best(&self, tuned: &Tuned) -> bool {
        let Some(best) = self.best.map(|b| &self.epochs[b]) else { return true };
        match self.recipe.select_by {
            SelectBy::Accuracy => tuned.view_accuracy > best.tune_accuracy,
            SelectBy::Auroc => {
                let (new, old) = (tuned.metrics.auroc.value.unwrap_or(0.0), best.tune_auroc.unwrap_or(0.0));
                new > old || (new == old && tuned.loss < best.tune_loss)
            }
        }
    }

    fn save(&mut self, report: &EpochReport, metrics: Metrics) -> Result<()> {
        self.model.card.operating_point = self.model.card.operating_point.measured(&metrics);
        self.model.card.tune = Some(metrics.clone());
        self.model.save(self.options.run.join(LAST_FILE))?;
        if report.best {
            self.model.save(self.options.run.join(MODEL_FILE))?;
            self.best = Some(report.epoch - 1);
            self.tune_metrics = Some(metrics);
        }
        append_line(&self.options.run.join(METRICS_FILE), report)
    }

    /// Goes back to the best epoch, scores the held-out split and writes its figures into the best model's card.
    fn finish(self, progress: &mut dyn FnMut(&Event)) -> Result<TrainReport> {
        let path = self.options.run.join(MODEL_FILE);
        let mut model = Model::open(&path, self.options.device)?;
        let films = open(&self.valid_studies, &self.recipe, self.options, progress)?;
        let held_out: Report = score::loaded(&model, &films, &self.valid_studies)?;
        let metrics = held_out.metrics(&model.card.operating_point, Some(Split::Valid))?;
        model.card.held_out = Some(metrics.clone());
        model.save(&path)?;
        progress(&Event::Finished { seconds: self.started.elapsed().as_secs_f64(), model: path.clone() });
        Ok(TrainReport {
            best_epoch: model.card.epoch,
            epochs: Run(self.epochs),
            model: path,
            tune: self.tune_metrics,
            held_out: metrics,
            operating_point: model.card.operating_point,
            scores: held_out,
        })
    }

    fn what_is_saved(&self) -> String {
        match self.best {
            Some(best) => format!("The model of epoch {} is saved in {}", best + 1, self.options.run.display()),
            None => "Nothing was saved yet".to_owned(),
        }
    }
}

/// Seconds between two signs of life while films are decoded.
const SIGN_OF_LIFE: u64 = 10;

/// Opens the films of some studies.
fn open(
    studies: &[&Study],
    recipe: &Recipe,
    options: &TrainOptions,
    progress: &mut dyn FnMut(&Event),
) -> Result<Films> {
    rarely(progress, |tell| Films::open(studies, &recipe.preprocess, &options.feeding, tell))
}

/// Does `work`, which tells of every few films, and passes on what a person wants to read of it.
fn rarely<T>(progress: &mut dyn FnMut(&Event), work: impl FnOnce(&mut dyn FnMut(Preparing)) -> Result<T>) -> Result<T> {
    let mut said = Instant::now();
    work(&mut |preparing| {
        let is_step = matches!(preparing, Preparing::Decoded { .. });
        if !is_step || said.elapsed().as_secs() >= SIGN_OF_LIFE {
            said = Instant::now();
            progress(&Event::Preparing(preparing));
        }
    })
}

struct Tuned {
    loss: f64,
    view_accuracy: f64,
    metrics: Metrics,
}

/// Cuts `n` films into batches; a last one of a single film joins the one before, since BatchNorm cannot learn from it.
fn batches(n: usize, size: usize) -> Vec<std::ops::Range<usize>> {
    let mut ranges: Vec<_> = (0..n).step_by(size).map(|start| start..(start + size).min(n)).collect();
    if ranges.len() > 1 && ranges.last().is_some_and(|r| r.len() == 1) {
        ranges.pop();
        if let Some(last) = ranges.last_mut() {
            last.end = n;
        }
    }
    ranges
}

/// Class weights `[2]`: n / (2 · films of the class).
fn inverse_shares(films: &Films) -> Result<Tensor> {
    let counts = films.class_counts();
    if counts.contains(&0) {
        return Err(Error::Split(format!("training films of both classes are needed, got {counts:?}")));
    }
    let total: usize = counts.iter().sum();
    let weights = counts.map(|count| total as f32 / (2.0 * count as f32));
    Ok(Tensor::from_slice(&weights))
}

/// Moves what an earlier run left in `run` into the next free `previous-N` beside it.
fn set_earlier_run_aside(run: &Path) -> Result<()> {
    std::fs::create_dir_all(run).map_err(Error::io(run))?;
    let files: Vec<PathBuf> =
        [MODEL_FILE, LAST_FILE, METRICS_FILE].iter().map(|name| run.join(name)).filter(|file| file.exists()).collect();
    if !run.join(LAST_FILE).exists() && !run.join(MODEL_FILE).exists() {
        return Ok(());
    }
    let mut number = 1;
    let aside = loop {
        let folder = run.join(format!("previous-{number}"));
        if !folder.exists() {
            break folder;
        }
        number += 1;
    };
    std::fs::create_dir(&aside).map_err(Error::io(&aside))?;
    for file in files {
        if let Some(name) = file.file_name() {
            std::fs::rename(&file, aside.join(name)).map_err(Error::io(&file))?;
        }
    }
    Ok(())
}

fn append_line(path: &Path, report: &EpochReport) -> Result<()> {
    use std::io::Write;
    let mut line = serde_json::to_string(report).map_err(|e| Error::Training(e.to_string()))?;
    line.push('\n');
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).map_err(Error::io(path))?;
    file.write_all(line.as_bytes()).map_err(Error::io(path))
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

    #[test]
    fn an_earlier_run_is_set_aside_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        for round in 1..=2 {
            std::fs::write(folder.path().join(MODEL_FILE), format!("model {round}")).unwrap();
            set_earlier_run_aside(folder.path()).unwrap();
            assert!(!folder.path().join(MODEL_FILE).exists());
        }
        for round in 1..=2 {
            let kept = std::fs::read_to_string(folder.path().join(format!("previous-{round}")).join(MODEL_FILE));
            assert_eq!(kept.unwrap(), format!("model {round}"));
        }
    }
}
