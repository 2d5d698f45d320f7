//! One epoch of a session: its steps, the scores of the tune films, and what is saved.

use std::time::Instant;

use tch::{Device, Kind, Tensor};

use super::Session;
use crate::dataset::epoch_order;
use crate::device;
use crate::error::{Error, Result};
use crate::model::Temperature;
use crate::model::file::sum;
use crate::recipe::SelectBy;
use crate::score::{self, Metrics, OperatingPoint};
use crate::train::data::batches;
use crate::train::report::{EpochReport, Event};
use crate::train::standing::Ended;
use crate::train::{learner, meter};
use metrics::log_loss;
use studies::{Label, Split};

/// Seconds between two checks that the loss is still finite; each makes a GPU wait once.
const LOOK_AT_LOSS: f64 = 5.0;

impl Session<'_> {
    /// The rest of a pass over the training films, scores of the tune films, everything saved.
    pub(super) fn epoch(&mut self, progress: &mut dyn FnMut(Event)) -> Result<EpochReport> {
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
        let steps = left.len().div_ceil(self.recipe.accumulate);
        let mut feed = self.train.feed(left, device, self.options.feeding.ahead);
        for _ in 0..steps {
            let together = feed.by_ref().take(self.recipe.accumulate);
            let loss = learner::cross_entropy(self.class_weights.as_ref(), &self.recipe);
            let rate = self.pace.learning_rate(self.at.steps);
            let losses = self.learner.step(&self.model.classifier, together, epoch, rate, loss)?;
            for (at, loss) in (self.at.batches as i64..).zip(&losses) {
                self.losses.get(at).copy_(loss);
            }
            self.at.steps += 1;
            self.at.batches += losses.len();
            if self.at.batches < batches.len() {
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

    /// Progress, a check of the loss, a checkpoint, a stop: whatever is due.
    fn between_steps(&mut self, of: usize, progress: &mut dyn FnMut(Event)) -> Result<()> {
        if self.clock.said.elapsed() >= self.options.step_every {
            self.clock.said = Instant::now();
            progress(Event::Step { epoch: self.at.epoch, step: self.at.batches, steps: of });
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

    pub(super) fn stop_if_asked(&mut self) -> Result<()> {
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
        let weights_are_finite = || self.learner.update.vectors().all(|v| v.isfinite().all().int64_value(&[]) == 1);
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
    pub(super) fn with_averages<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.learner.swap_averages();
        let result = act(self);
        self.learner.swap_averages();
        result
    }

    /// Scores the tune split.
    fn look(&mut self) -> Result<Tuned> {
        self.model.card.epoch = self.at.epoch;
        // As the network gives them: what an earlier epoch was calibrated by is not this one's.
        self.model.card.temperature = Temperature::default();
        self.model.card.operating_point = OperatingPoint::default();
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
        let (calibrate, rule) = (self.recipe.calibrate, self.recipe.operating_point);
        let data = &self.model.card.data.name;
        let (temperature, operating_point, calibrated) = report.calibrated(calibrate, rule, Some(Split::Tune), data)?;
        Ok(Tuned {
            loss: log_loss(&labels, &probabilities)?,
            view_accuracy: right as f64 / labels.len() as f64,
            metrics: calibrated.metrics()?,
            studies: calibrated.labelled(),
            temperature,
            operating_point,
        })
    }

    pub(super) fn is_better(&self, new: &EpochReport, old: &EpochReport) -> bool {
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
            temperature: tuned.temperature,
            operating_point: tuned.operating_point,
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
    temperature: Temperature,
    operating_point: OperatingPoint,
    /// Labels and probabilities of the studies.
    studies: (Vec<Label>, Vec<f64>),
}

/// Mean over films of the batches' mean losses.
fn mean_loss(losses: &[f32], batches: &[std::ops::Range<usize>]) -> f64 {
    let films = batches.last().map_or(0, |last| last.end);
    let sum = losses.iter().zip(batches).fold(0.0f32, |sum, (loss, batch)| sum + loss * batch.len() as f32);
    f64::from(sum) / films as f64
}
