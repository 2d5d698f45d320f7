//! The loop: steps, epochs, stages, and what is saved after each.

mod epoch;
mod place;
mod saving;

use std::time::Instant;

use tch::{Device, Kind, Tensor};

use super::checkpoint::{self, Saved};
use super::data::{batches, class_weights, decode, open, scaled, training, with_scale};
use super::learner::{self, Learner};
use super::log::{Board, write_metrics};
use super::report::{Event, TrainReport};
use super::schedule::Pace;
use super::stage::{Span, stages};
use super::standing::Standing;
use super::{MODEL_FILE, RESUME_FILE, TrainOptions};
use crate::dataset::{Films, Index};
use crate::device::{self, computing};
use crate::error::{Error, Result};
use crate::model::file::sum;
use crate::model::provenance::Trained;
use crate::model::{DataCard, Model, ModelCard};
use crate::network::Classifier;
use crate::recipe::Recipe;
use crate::score::{self, Report};
use crate::shortage;
pub(super) use place::{Past, Place};
use studies::{Split, Study};

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
    learner: Learner,
    pace: Pace,
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
        progress: &mut dyn FnMut(Event),
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
        let mut classifier = learner::network(&recipe, device, place.fingerprint.precision)?;
        if let (Some(found), None) = (&place.found, saved) {
            let loaded = found.load(&classifier)?;
            progress(Event::Weights { origin: found.origin.clone(), loaded });
        }
        let span = *stages.get(standing.stage).ok_or_else(|| Error::Checkpoint {
            path: place.folder.file(RESUME_FILE),
            reason: format!("it is in stage {} of {}", standing.stage + 1, stages.len()),
        })?;
        let (learner, pace) = begin(&mut classifier, &recipe, train.len(), span, None)?;
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
            learner,
            pace,
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
            None => session.place.folder.set_earlier_run_aside()?,
        }
        session.model.card.parameters = session.model.classifier.parameters();
        write_metrics(&session.place.folder, &session.at.history)?;
        progress(Event::Started {
            train: session.train.len(),
            tune: session.tune.len(),
            device: computing(device, session.model.classifier.kind()),
            parameters: session.model.classifier.parameters(),
            seconds: started.elapsed().as_secs_f64(),
        });
        if saved.is_some() {
            progress(session.resumed());
            // What an interruption after the last checkpoint left undone.
            session.publish()?;
        }
        session.clock.started = Instant::now();
        session.clock.saved = Instant::now();
        Ok(session)
    }

    /// Every epoch that is still to come.
    pub fn epochs(&mut self, progress: &mut dyn FnMut(Event)) -> Result<()> {
        if self.stages.len() > 1 && self.at.epoch <= self.recipe.epochs {
            progress(self.stage_event());
        }
        while !self.is_over() {
            if self.at.epoch > self.stages[self.at.stage].last {
                self.begin_stage(self.at.stage + 1)?;
                progress(self.stage_event());
            }
            let report = shortage::told(|| self.epoch(progress)).map_err(|error| self.with_advice(error))?;
            progress(Event::Epoch(report.clone()));
            if self.at.stopped_early {
                progress(Event::StoppedEarly { epoch: report.epoch, patience: self.at.waited });
            }
            self.stop_if_asked()?;
        }
        Ok(())
    }

    /// Goes back to the best epoch and reports.
    pub fn finish(mut self, index: &Index, progress: &mut dyn FnMut(Event)) -> Result<TrainReport> {
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
    progress: &mut dyn FnMut(Event),
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
    let (temperature, operating_point) = (model.card.temperature.clone(), model.card.operating_point.clone());
    progress(Event::Chosen { temperature, operating_point });
    progress(Event::Finished { seconds: at.seconds, model: path.clone() });
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

    fn begin_stage(&mut self, number: usize) -> Result<()> {
        let former = Some(&mut self.learner);
        let (classifier, span) = (&mut self.model.classifier, self.stages[number]);
        (self.learner, self.pace) = begin(classifier, &self.recipe, self.train.len(), span, former)?;
        self.at.stage = number;
        self.at.steps = 0;
        self.at.lowest_loss = None;
        self.at.waited = 0;
        Ok(())
    }
}

/// Lets the weights of a stage learn from so many films, with an optimiser and a schedule of their own.
fn begin(
    network: &mut Classifier,
    recipe: &Recipe,
    films: usize,
    span: Span,
    former: Option<&mut Learner>,
) -> Result<(Learner, Pace)> {
    let steps_per_epoch = batches(films, recipe.batch_size).len().div_ceil(recipe.accumulate);
    network.unfreeze(span.unfreeze)?;
    let learner = Learner::averaging(network, recipe, (span.first - 1) * steps_per_epoch, former);
    Ok((learner, Pace::new(recipe.schedule, span.learning_rate, steps_per_epoch * span.epochs())))
}
