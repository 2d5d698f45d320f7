//! The loop: steps, epochs, stages, and what is saved after each.

mod place;
mod saving;

use std::time::Instant;

use tch::{Device, Kind, Reduction, Tensor};

use super::checkpoint::{self, Ended, Saved, Standing};
use super::data::{batches, class_weights, decode, open, scaled, training, with_scale};
use super::ema::{self, Ema};
use super::log::{Board, write_metrics};
use super::optimizer::{Gradients, Pace, Update};
use super::report::{EpochReport, Event, TrainReport};
use super::stage::{Span, stages};
use super::{MODEL_FILE, TrainOptions, meter};
use crate::dataset::{Batch, Films, Index, epoch_order};
use crate::device::{self, computing};
use crate::error::{Error, Result};
use crate::metrics::log_loss;
use crate::model::file::sum;
use crate::model::provenance::Trained;
use crate::model::{DataCard, Model, ModelCard};
use crate::network::VariableKind;
use crate::recipe::{Recipe, SelectBy};
use crate::score::{self, Metrics, Report};
use crate::shortage;
pub(super) use place::{Past, Place};
use studies::{Label, Split, Study};

/// Seconds between two looks at whether the loss is still finite; each makes a GPU wait once.
const LOOK_AT_LOSS: f64 = 5.0;

/// A training run between its first and last epoch.
pub(super) struct Session<'a> {
    recipe: Recipe,
    options: &'a TrainOptions,
    place: Place,
    train: Films,
    tune: Films,
    tune_studies: Vec<&'a Study>,
    model: Model,
    class_weights: Option<Tensor>,
    stages: Vec<Span>,
    update: Update,
    pace: Pace,
    ema: Option<Ema>,
    /// The loss of each batch of the epoch, `[batches]`, on the device: to read one would stall a GPU.
    losses: Tensor,
    at: Standing,
    board: Board,
    clock: Clock,
    /// Position of the epoch whose model is in the best model's file.
    on_disk: Option<usize>,
}

/// When things were done last.
struct Clock {
    started: Instant,
    saved: Instant,
    said: Instant,
    looked: Instant,
    /// Epoch and batch of the last checkpoint that this process wrote or read.
    checkpoint: Option<(usize, usize)>,
}

impl<'a> Session<'a> {
    pub fn new(
        index: &'a Index,
        recipe: &Recipe,
        options: &'a TrainOptions,
        place: Place,
        saved: Option<&Saved>,
        progress: &mut dyn FnMut(&Event),
    ) -> Result<Self> {
        let [train_studies, tune_studies, _] = Split::ALL.map(|split| index.split(split));
        let started = Instant::now();
        let device = device::resolve(place.fingerprint.device)?;
        let standing = saved.map_or_else(Standing::start, |saved| saved.standing.clone());
        shortage::refuse_hopeless(recipe, device, place.fingerprint.precision.kind(device))?;
        let stages = stages(recipe, place.fingerprint.weights.is_some(), &standing);
        let (recipe, scale) = match saved {
            None => scaled(recipe, place.found.as_ref(), progress)?,
            Some(_) => (with_scale(recipe, standing.scale), standing.scale),
        };
        decode(index, &recipe, options, progress)?;
        let (train, recipe) = training(&train_studies, &recipe, options, device, progress)?;
        let mut tune = open(&tune_studies, &recipe.preprocess, options, progress)?;
        tune.move_to(device, options.feeding.device_share)?;
        let mut classifier = recipe.network(device);
        classifier.compute_in(place.fingerprint.precision.kind(device))?;
        if let (Some(found), None) = (&place.found, saved) {
            let loaded = found.load(&classifier)?;
            progress(&Event::Weights { origin: found.origin.clone(), loaded });
        }
        let class_weights = class_weights(&train, &recipe, device)?;
        let mut card = ModelCard::new(&classifier, &recipe, DataCard::new(index));
        card.weights = place.fingerprint.weights.as_ref().map(|initial| initial.origin.clone());
        card.trained = Some(Trained {
            precision: place.fingerprint.precision,
            device: if device == Device::Cpu { "CPU".to_owned() } else { device::describe(device) },
            threads: tch::get_num_threads().max(1) as usize,
            seconds: 0.0,
            continued_after: standing.continued_after.clone(),
        });
        let now = Instant::now();
        let mut session = Session {
            update: Update::new(recipe.optimizer, Vec::new()),
            pace: Pace::new(recipe.schedule, 0.0, 0),
            ema: None,
            losses: Tensor::zeros([0], (Kind::Float, device)),
            at: Standing { scale, ..standing },
            board: Board::default(),
            clock: Clock { started: now, saved: now, said: now, looked: now, checkpoint: None },
            on_disk: None,
            model: Model { classifier, card },
            recipe,
            options,
            place,
            train,
            tune,
            tune_studies,
            class_weights,
            stages,
        };
        match saved {
            Some(saved) => session.restore(saved)?,
            None => {
                session.begin_stage(0)?;
                session.place.folder.set_earlier_run_aside()?;
            }
        }
        session.model.card.parameters = session.model.classifier.parameters();
        write_metrics(&session.place.folder, &session.at.history)?;
        progress(&Event::Started {
            train: session.train.len(),
            tune: session.tune.len(),
            device: computing(device, session.model.classifier.kind()),
            parameters: session.model.classifier.parameters(),
            seconds: started.elapsed().as_secs_f64(),
        });
        if saved.is_some() {
            progress(&session.resumed());
            // What an interruption after the last checkpoint left undone.
            session.publish()?;
        }
        session.clock.started = Instant::now();
        session.clock.saved = Instant::now();
        Ok(session)
    }

    /// Every epoch that is still to come.
    pub fn epochs(&mut self, progress: &mut dyn FnMut(&Event)) -> Result<()> {
        if self.stages.len() > 1 && self.at.epoch <= self.recipe.epochs {
            progress(&self.stage_event());
        }
        while !self.is_over() {
            if self.at.epoch > self.stages[self.at.stage].last {
                self.begin_stage(self.at.stage + 1)?;
                progress(&self.stage_event());
            }
            let report = shortage::told(|| self.epoch(progress)).map_err(|error| self.with_advice(error))?;
            progress(&Event::Epoch(report.clone()));
            if self.at.stopped_early {
                progress(&Event::StoppedEarly { epoch: report.epoch, patience: self.at.waited });
            }
            self.stop_if_asked()?;
        }
        Ok(())
    }

    /// Goes back to the best epoch and reports.
    pub fn finish(mut self, index: &Index, progress: &mut dyn FnMut(&Event)) -> Result<TrainReport> {
        self.at.seconds = self.seconds();
        let Session { place, options, at, .. } = self;
        result(&place, index, options, at, progress)
    }

    /// Seconds of training, those before an interruption included.
    fn seconds(&self) -> f64 {
        self.at.seconds + self.clock.started.elapsed().as_secs_f64()
    }
}

/// Scores the held-out split with the best model, writes its figures into the model's card, and ends the run.
pub(super) fn result(
    place: &Place,
    index: &Index,
    options: &TrainOptions,
    at: Standing,
    progress: &mut dyn FnMut(&Event),
) -> Result<TrainReport> {
    let path = place.folder.file(MODEL_FILE);
    let mut model = Model::open(&path, place.fingerprint.device)?;
    if at.best_weights.as_ref().is_some_and(|expected| *expected != sum(&model.classifier)) {
        let reason = "the run's best model was here, and another one is now".to_owned();
        return Err(Error::Checkpoint { path, reason });
    }
    let studies = index.split(Split::Valid);
    let films = open(&studies, &model.card.preprocess, options, progress)?;
    let held_out: Report = score::loaded(&model, &films, &studies)?;
    let metrics = held_out.metrics()?;
    model.card.held_out = Some(metrics.clone());
    if let Some(trained) = &mut model.card.trained {
        trained.seconds = at.seconds;
    }
    model.save(&path)?;
    // Only now is there nothing left to continue.
    checkpoint::finish(&place.folder, &place.fingerprint, &at)?;
    progress(&Event::Finished { seconds: at.seconds, model: path.clone() });
    Ok(TrainReport {
        best_epoch: model.card.epoch,
        epochs: at.history.into(),
        model: path,
        tune: at.tune,
        held_out: metrics,
        operating_point: model.card.operating_point,
        scores: held_out,
    })
}

/// Stages.
impl Session<'_> {
    fn stage_event(&self) -> Event {
        let span = &self.stages[self.at.stage];
        Event::Stage {
            epochs: (span.first, span.last),
            unfreeze: span.unfreeze,
            trainable: self.model.classifier.parameters().trainable,
            learning_rate: span.learning_rate,
        }
    }

    fn steps_per_epoch(&self) -> usize {
        batches(self.train.len(), self.recipe.batch_size).len().div_ceil(self.recipe.accumulate)
    }

    /// Lets the weights of a stage learn, with an optimiser and a schedule of their own.
    fn begin_stage(&mut self, number: usize) -> Result<()> {
        let averages = self.ema.as_mut().map(|ema| {
            ema.swap();
            let averages = self.model.classifier.variables().iter().map(|v| v.tensor.copy()).collect::<Vec<_>>();
            ema.swap();
            averages
        });
        let span = self.stages[number];
        let classifier = &mut self.model.classifier;
        classifier.unfreeze(span.unfreeze)?;
        let trainable = classifier.trainable().iter().map(|v| v.tensor.shallow_clone()).collect();
        self.update = Update::new(self.recipe.optimizer, trainable);
        self.pace = Pace::new(self.recipe.schedule, span.learning_rate, self.steps_per_epoch() * span.epochs());
        let classifier = &self.model.classifier;
        self.ema = self.recipe.ema.map(|_| {
            let statistics = ema::statistics(classifier);
            Ema::new(self.update.vectors().chain([statistics]).collect())
        });
        if let (Some(ema), Some(averages)) = (&mut self.ema, averages) {
            // The averages of the stage before go on; weights that no longer learn have none.
            ema.swap();
            for (variable, average) in classifier.variables().iter().zip(averages) {
                if variable.tensor.requires_grad() || variable.kind == VariableKind::Statistic {
                    variable.tensor.detach().copy_(&average.detach());
                }
            }
            ema.swap();
        }
        self.at.stage = number;
        self.at.steps = 0;
        self.at.lowest_loss = None;
        self.at.waited = 0;
        Ok(())
    }
}

/// One epoch.
impl Session<'_> {
    /// What is left of a pass over the training films, one look at the tune films, everything saved.
    fn epoch(&mut self, progress: &mut dyn FnMut(&Event)) -> Result<EpochReport> {
        let began = Instant::now();
        let epoch = self.at.epoch;
        let order = epoch_order(self.train.len(), self.recipe.seed, epoch as u64);
        let batches = batches(order.len(), self.recipe.batch_size);
        let device = self.model.classifier.device();
        let done = self.at.batches;
        if self.losses.size1()? != batches.len() as i64 {
            self.losses = Tensor::zeros([batches.len() as i64], (Kind::Float, device));
        }
        let first_step = self.at.steps - done.div_ceil(self.recipe.accumulate);
        let learning_rate = self.pace.learning_rate(first_step);
        let left: Vec<Vec<usize>> = batches[done..].iter().map(|range| order[range.clone()].to_vec()).collect();
        let films: usize = left.iter().map(Vec::len).sum();
        let feed = self.train.feed(left, device, self.options.feeding.ahead);
        let mut gathered: Option<(Gradients, usize)> = None;
        for (number, batch) in (done + 1..).zip(feed) {
            let batch = batch?;
            let (loss, gradients) = self.gradients(&batch, epoch)?;
            self.losses.get(number as i64 - 1).copy_(&loss);
            let gathering = match gathered.take() {
                None => (gradients, 1),
                Some((mut sum, n)) => {
                    sum.add(&gradients);
                    (sum, n + 1)
                }
            };
            if gathering.1 < self.recipe.accumulate && number < batches.len() {
                gathered = Some(gathering);
                continue;
            }
            self.step(gathering);
            self.at.batches = number;
            if number < batches.len() {
                self.between_steps(batches.len(), progress)?;
            }
        }
        let step_losses = self.finite_losses()?;
        let train_loss = mean_loss(&step_losses, &batches);
        let seconds = began.elapsed().as_secs_f64();
        let (tuned, mut report) = self.with_averages(|session| {
            let tuned = session.look()?;
            let report = EpochReport {
                epoch,
                epochs: session.recipe.epochs,
                train_loss,
                tune_loss: tuned.loss,
                tune_auroc: tuned.metrics.auroc.value,
                tune_accuracy: tuned.view_accuracy,
                learning_rate,
                images_per_second: films as f64 / seconds,
                seconds: began.elapsed().as_secs_f64(),
                seconds_left: session.seconds() / epoch as f64 * (session.recipe.epochs - epoch) as f64,
                best: false,
                memory: meter::memory(),
                device_memory_free: device::free_memory(device),
                step_losses,
            };
            Ok((tuned, report))
        })?;
        report.best = self.at.best.is_none_or(|best| self.is_better(&report, &self.at.history[best]));
        self.at.history.push(report.clone());
        if report.best {
            self.at.best = Some(self.at.history.len() - 1);
            self.at.tune = Some(tuned.metrics.clone());
            self.at.former_weights = self.at.best_weights.take();
            self.at.best_weights = Some(self.with_averages(|session| Ok(sum(&session.model.classifier)))?);
        }
        self.end_epoch(&report, tuned)?;
        Ok(report)
    }

    fn augmented(&self, batch: &Batch, epoch: usize) -> Tensor {
        self.recipe.augment.apply(&batch.films(), &batch.indices, self.recipe.seed, epoch)
    }

    /// Loss and gradients of one batch; both stay on the device.
    fn gradients(&self, batch: &Batch, epoch: usize) -> Result<(Tensor, Gradients)> {
        let films = self.recipe.preprocess.standardise(&self.augmented(batch, epoch));
        let (weights, smoothing) = (self.class_weights.as_ref(), self.recipe.label_smoothing);
        let (loss, gradients) = self.model.classifier.gradients(&films, |logits| {
            logits.cross_entropy_loss(&batch.labels, weights, Reduction::Mean, -100, smoothing)
        })?;
        Ok((loss, self.update.gather(&gradients)?))
    }

    fn step(&mut self, (mut gradients, batches): (Gradients, usize)) {
        if batches > 1 {
            gradients.scale(1.0 / batches as f64);
        }
        if let Some(most) = self.recipe.clip_norm {
            let _ = gradients.clip(most);
        }
        self.update.apply(gradients, self.pace.learning_rate(self.at.steps));
        self.at.steps += 1;
        // Steps of the whole run: a stage goes on with the average of the one before.
        let steps = (self.stages[self.at.stage].first - 1) * self.steps_per_epoch() + self.at.steps;
        if let (Some(ema), Some(most)) = (&mut self.ema, self.recipe.ema) {
            ema.update(ema::decay_at(most, steps));
        }
    }

    /// A sign of life, a look at the loss, a checkpoint, a stop: whatever is due.
    fn between_steps(&mut self, of: usize, progress: &mut dyn FnMut(&Event)) -> Result<()> {
        if self.clock.said.elapsed() >= self.options.step_every {
            self.clock.said = Instant::now();
            progress(&Event::Step { epoch: self.at.epoch, step: self.at.batches, steps: of });
        }
        if self.clock.looked.elapsed().as_secs_f64() >= LOOK_AT_LOSS {
            self.clock.looked = Instant::now();
            self.finite_losses()?;
        }
        if self.clock.saved.elapsed() >= self.options.checkpoint_every {
            self.finite_losses()?;
            self.save()?;
        }
        self.stop_if_asked()
    }

    fn stop_if_asked(&mut self) -> Result<()> {
        if !self.options.stop.is_stopped() {
            return Ok(());
        }
        if self.clock.checkpoint != Some((self.at.epoch, self.at.batches)) {
            self.finite_losses()?;
            self.save()?;
        }
        let run = self.place.folder.path().to_owned();
        Err(Error::Stopped { run, epoch: self.at.epoch, batches: self.at.batches })
    }

    /// The epoch's losses so far, if they and all weights are finite.
    fn finite_losses(&self) -> Result<Vec<f32>> {
        let losses = Vec::<f32>::try_from(self.losses.narrow(0, 0, self.at.batches as i64).to_device(Device::Cpu))?;
        let wrong = losses.iter().position(|loss| !loss.is_finite());
        let weights_are_finite = || self.update.vectors().all(|v| v.isfinite().all().int64_value(&[]) == 1);
        let what = match wrong {
            Some(at) => format!("the loss of batch {} of epoch {} is {}", at + 1, self.at.epoch, losses[at]),
            None if weights_are_finite() => return Ok(losses),
            None => format!("after batch {} of epoch {} a weight is not finite", self.at.batches, self.at.epoch),
        };
        Err(self.diverged(&what))
    }

    fn diverged(&self, what: &str) -> Error {
        let rate = self.pace.learning_rate(self.at.steps.saturating_sub(1));
        let saved = self.what_is_saved();
        Error::Training(format!("{what}; a smaller learning rate than {rate:.2e} may help. {saved}"))
    }

    /// With the averages in place of the weights, where there are any.
    fn with_averages<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let swap = |session: &mut Self| session.ema.iter_mut().for_each(Ema::swap);
        swap(self);
        let result = act(self);
        swap(self);
        result
    }

    /// Scores the tune split.
    fn look(&mut self) -> Result<Tuned> {
        self.model.card.epoch = self.at.epoch;
        // In 32 bits, as whoever opens the file computes, and as the held-out studies are scored.
        let kind = self.model.classifier.kind();
        self.model.classifier.compute_in(Kind::Float)?;
        let report = score::loaded(&self.model, &self.tune, &self.tune_studies);
        self.model.classifier.compute_in(kind)?;
        let report = report.map_err(|error| match error {
            // Finite weights can still give infinite activations where BatchNorm's statistics do not fit them.
            Error::NotFinite { .. } => {
                self.diverged(&format!("after epoch {} the tune films' probabilities are not finite", self.at.epoch))
            }
            other => other,
        })?;
        let labels: Vec<Label> = report.views.iter().filter_map(|v| v.label).collect();
        let probabilities: Vec<f64> = report.views.iter().map(|v| v.probability.get()).collect();
        let right = report.views.iter().filter(|v| v.label == Some(v.decision.label())).count();
        Ok(Tuned {
            loss: log_loss(&labels, &probabilities)?,
            view_accuracy: right as f64 / labels.len() as f64,
            metrics: report.metrics()?,
            studies: report.labelled(),
        })
    }

    fn is_better(&self, new: &EpochReport, old: &EpochReport) -> bool {
        match self.recipe.select_by {
            SelectBy::Accuracy => new.tune_accuracy > old.tune_accuracy,
            SelectBy::Auroc => {
                let (a, b) = (new.tune_auroc.unwrap_or(0.0), old.tune_auroc.unwrap_or(0.0));
                a > b || (a == b && new.tune_loss < old.tune_loss)
            }
        }
    }

    /// Schedule and early stopping; then the checkpoint that makes all of it count, and what follows from it.
    fn end_epoch(&mut self, report: &EpochReport, tuned: Tuned) -> Result<()> {
        if self.at.lowest_loss.is_none_or(|lowest| report.tune_loss < lowest) {
            self.at.lowest_loss = Some(report.tune_loss);
            self.at.waited = 0;
        } else {
            self.at.waited += 1;
        }
        self.pace.epoch_is_over(report.tune_loss);
        let is_last_stage = self.at.stage + 1 == self.stages.len();
        self.at.stopped_early =
            is_last_stage && self.recipe.early_stopping.is_some_and(|patience| self.at.waited >= patience);
        self.at.ended = Some(Ended {
            metrics: tuned.metrics,
            labels: tuned.studies.0,
            probabilities: tuned.studies.1,
            step_losses: report.step_losses.clone(),
        });
        self.at.epoch += 1;
        self.at.batches = 0;
        self.save()
    }
}

struct Tuned {
    loss: f64,
    view_accuracy: f64,
    metrics: Metrics,
    /// Labels and probabilities of the studies.
    studies: (Vec<Label>, Vec<f64>),
}

/// Mean over films of the batches' mean losses.
fn mean_loss(losses: &[f32], batches: &[std::ops::Range<usize>]) -> f64 {
    let films = batches.last().map_or(0, |last| last.end);
    let sum = losses.iter().zip(batches).fold(0.0f32, |sum, (loss, batch)| sum + loss * batch.len() as f32);
    f64::from(sum) / films as f64
}
