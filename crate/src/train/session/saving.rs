//! What a session writes and reads back: models, checkpoints.

use std::time::Instant;

use tch::{Device, Kind, Tensor};

use super::Session;
use crate::dataset::epoch_order;
use crate::error::{Error, Result};
use crate::model::file::sum_of_file;
use crate::train::checkpoint::{self, Saved};
use crate::train::data::batches;
use crate::train::folder::epoch_file;
use crate::train::learner::augmented;
use crate::train::log::{Board, write_metrics};
use crate::train::report::Event;
use crate::train::standing::{Ended, Standing};
use crate::train::{FINISHED_FILE, LAST_FILE, MODEL_FILE, RESUME_FILE};

impl Session<'_> {
    /// Writes the checkpoint, then what it makes true: whatever ends the process between the two, the next one does the
    /// rest.
    pub(super) fn save(&mut self) -> Result<()> {
        self.write_checkpoint()?;
        self.publish()
    }

    /// Writes what follows from the last checkpoint: models and logs of the epoch that it ends, and the sheet of films.
    pub(super) fn publish(&mut self) -> Result<()> {
        if let (0, Some(ended)) = (self.at.batches, self.at.ended.clone()) {
            self.with_averages(|session| session.save_models(&ended))?;
            write_metrics(&self.place.folder, &self.at.history).map_err(|error| self.cannot_save(error))?;
        }
        self.show().map_err(|error| self.cannot_save(error))
    }

    fn show(&mut self) -> Result<()> {
        if !self.board.has_films() {
            let films = self.first_films()?;
            self.board.films(&self.place.folder, &films)?;
        }
        let ended = self.at.ended.as_ref().filter(|_| self.at.batches == 0);
        self.board.epochs(&self.place.folder, &self.at.history, ended)
    }

    /// The films of the first batch as the network saw them, on the CPU.
    fn first_films(&self) -> Result<Tensor> {
        let order = epoch_order(self.train.len(), self.recipe.seed, 1);
        let first = batches(order.len(), self.recipe.batch_size)[0].clone();
        let batch =
            self.train.feed(vec![order[first].to_vec()], self.model.classifier.device(), 1).next().transpose()?;
        let batch = batch.ok_or_else(|| Error::Training("no training film".to_owned()))?;
        Ok(augmented(&self.recipe, &batch, 1).to_device(Device::Cpu))
    }

    /// Saves the model of the epoch that ends the history, in each place where it belongs.
    fn save_models(&mut self, ended: &Ended) -> Result<()> {
        let seconds = self.seconds();
        let number = self.at.history.len() - 1;
        let card = &mut self.model.card;
        if let Some(trained) = &mut card.trained {
            trained.seconds = seconds;
        }
        card.epoch = number + 1;
        card.temperature = ended.temperature.clone();
        card.operating_point = ended.operating_point.clone();
        card.tune = Some(ended.metrics.clone());
        card.parameters = self.model.classifier.parameters();
        let is_best = self.at.history[number].best;
        let mut files = vec![LAST_FILE.to_owned()];
        // The model of a run that is given more epochs is there, with its held-out figures.
        let is_there = sum_of_file(&self.place.folder.file(MODEL_FILE)).ok() == self.at.best_weights;
        if is_best && !is_there {
            files.push(MODEL_FILE.to_owned());
        }
        if self.recipe.keep_best > 1 {
            let kept = self.best_epochs();
            if kept.contains(&(number + 1)) {
                files.push(epoch_file(number + 1));
            }
            self.place.folder.keep_epochs(&kept)?;
        }
        for file in files {
            self.model.save(self.place.folder.file(&file)).map_err(|error| self.cannot_save(error))?;
        }
        if is_best {
            self.on_disk = Some(number);
        }
        Ok(())
    }

    /// The best epochs, counted from 1, as many as are kept; the earlier of equals.
    fn best_epochs(&self) -> Vec<usize> {
        let history = &self.at.history;
        let mut order: Vec<usize> = (0..history.len()).collect();
        order.sort_by(|&a, &b| {
            let better = |x: usize, y: usize| self.is_better(&history[x], &history[y]);
            better(b, a).cmp(&better(a, b)).then(a.cmp(&b))
        });
        order.into_iter().take(self.recipe.keep_best).map(|at| at + 1).collect()
    }

    fn write_checkpoint(&mut self) -> Result<()> {
        let mut named: Vec<(String, Tensor)> = Vec::new();
        for variable in self.model.classifier.variables() {
            named.push((format!("model.{}", variable.name), variable.tensor.detach()));
        }
        for (name, tensor) in self.learner.update.state() {
            named.push((format!("optimizer.{name}"), tensor));
        }
        for (at, average) in self.learner.averages().iter().enumerate() {
            named.push((format!("ema.{at}"), average.shallow_clone()));
        }
        named.push(("losses".to_owned(), self.losses.narrow(0, 0, self.at.batches as i64)));
        let standing = Standing {
            counted: self.learner.update.steps(),
            pace: Some(self.pace.state()),
            seconds: self.seconds(),
            ..self.at.clone()
        };
        checkpoint::write(&self.place.folder, &self.place.fingerprint, &standing, named)
            .map_err(|error| self.cannot_save(error))?;
        self.clock.saved = Instant::now();
        self.clock.checkpoint = Some((self.at.epoch, self.at.batches));
        Ok(())
    }

    /// Whether no epoch is left.
    pub(super) fn is_over(&self) -> bool {
        self.at.epoch > self.recipe.epochs || self.at.stopped_early
    }

    /// Where a restored run goes on.
    pub(super) fn resumed(&self) -> Event {
        match self.is_over() {
            true => Event::Notice("all epochs are done; what is left is to score the held-out films".to_owned()),
            false => Event::Resumed { epoch: self.at.epoch, batches: self.at.batches },
        }
    }

    /// Goes to where a saved run stood.
    pub(super) fn restore(&mut self, saved: &Saved) -> Result<()> {
        let path = self.place.folder.file(RESUME_FILE);
        let wrong = |name: &str| Error::Checkpoint {
            path: path.clone(),
            reason: format!("{name} is missing or of another shape"),
        };
        let take = |name: &str, like: &Tensor| {
            let tensor = saved.tensor(name).filter(|tensor| tensor.size() == like.size());
            tensor.ok_or_else(|| wrong(name))
        };
        let standing = &saved.standing;
        if standing.epoch == 0 {
            return Err(wrong("the epoch"));
        }
        let _guard = tch::no_grad_guard();
        for variable in self.model.classifier.variables() {
            let value = take(&format!("model.{}", variable.name), &variable.tensor)?;
            variable.tensor.detach().f_copy_(&value)?;
        }
        self.at = standing.clone();
        let optimizer =
            self.learner.update.restore(standing.counted, &|name| saved.tensor(&format!("optimizer.{name}")));
        optimizer.ok_or_else(|| wrong("what the optimiser remembers"))?;
        for (at, average) in self.learner.averages().iter().enumerate() {
            average.shallow_clone().f_copy_(&take(&format!("ema.{at}"), average)?)?;
        }
        if let Some(pace) = standing.pace {
            self.pace.restore(pace);
        }
        let n = batches(self.train.len(), self.recipe.batch_size).len() as i64;
        let done = standing.batches as i64;
        let losses = saved.tensor("losses").filter(|losses| losses.size() == [done] && done < n);
        self.losses = Tensor::zeros([n], (Kind::Float, self.model.classifier.device()));
        self.losses.narrow(0, 0, done).f_copy_(&losses.ok_or_else(|| wrong("losses"))?)?;
        self.clock.checkpoint = Some((self.at.epoch, self.at.batches));
        self.board = Board::open(&self.place.folder, &self.at.history, n as usize)?;
        // Where the last epoch was the best, its model may still be to be written.
        self.on_disk = self.at.best.filter(|best| self.at.batches > 0 || best + 1 < self.at.history.len());
        // From the next checkpoint on the run is a longer one.
        self.place.folder.remove(FINISHED_FILE)?;
        Ok(())
    }

    pub(super) fn cannot_save(&self, error: Error) -> Error {
        Error::Training(format!("{error}. {}", self.what_is_saved()))
    }

    /// Adds to a want of memory what may help, and what is saved.
    pub(super) fn with_advice(&self, error: Error) -> Error {
        let Error::Memory(words) = error else { return error };
        let (epoch, batch, size) = (self.at.epoch, self.recipe.batch_size, self.recipe.preprocess.size);
        Error::Memory(format!(
            "{words}, in epoch {epoch}; a smaller batch (--batch, now {batch}) or film size (--size, now {size}) takes \
             less. {}",
            self.what_is_saved()
        ))
    }

    pub(super) fn what_is_saved(&self) -> String {
        let run = self.place.folder.path().display();
        let mut saved = match self.on_disk {
            Some(best) => format!("The model of epoch {} is saved in {run}", best + 1),
            None => "No model was saved yet".to_owned(),
        };
        match self.clock.checkpoint {
            Some(_) if self.is_over() => saved += "; the run can be resumed after its last epoch",
            Some((epoch, 0)) => saved += &format!("; the run can be resumed from the start of epoch {epoch}"),
            Some((epoch, batch)) => saved += &format!("; the run can be resumed from epoch {epoch}, batch {batch}"),
            None => {}
        }
        saved
    }
}
