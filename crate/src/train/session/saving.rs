//! What a session writes and reads back: models, checkpoints.

use std::time::Instant;

use tch::{Kind, Tensor};

use super::Session;
use crate::error::{Error, Result};
use crate::score::Metrics;
use crate::train::checkpoint::{self, Saved, Standing};
use crate::train::data::batches;
use crate::train::ema::Ema;
use crate::train::folder::epoch_file;
use crate::train::{LAST_FILE, MODEL_FILE, RESUME_FILE};

impl Session<'_> {
    /// Saves the model of the epoch that ends the history, in each place where it belongs.
    pub(super) fn save_models(&mut self, metrics: &Metrics) -> Result<()> {
        let card = &mut self.model.card;
        card.operating_point = card.operating_point.measured(metrics);
        card.tune = Some(metrics.clone());
        card.parameters = self.model.classifier.parameters();
        let number = self.at.history.len() - 1;
        let is_best = self.at.history[number].best;
        let mut files = vec![LAST_FILE.to_owned()];
        if is_best {
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
            self.at.best = Some(number);
            self.at.tune = Some(metrics.clone());
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

    pub(super) fn write_checkpoint(&mut self) -> Result<()> {
        let mut named: Vec<(String, Tensor)> = Vec::new();
        for variable in self.model.classifier.variables() {
            named.push((format!("model.{}", variable.name), variable.tensor.detach()));
        }
        for (name, tensor) in self.update.state() {
            named.push((format!("optimizer.{name}"), tensor));
        }
        for (at, average) in self.ema.iter().flat_map(Ema::averages).enumerate() {
            named.push((format!("ema.{at}"), average.shallow_clone()));
        }
        named.push(("losses".to_owned(), self.losses.narrow(0, 0, self.at.batches as i64)));
        let standing = Standing {
            counted: self.update.steps(),
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
        if standing.stage >= self.stages.len() || standing.epoch == 0 {
            return Err(wrong("the stage"));
        }
        let _guard = tch::no_grad_guard();
        for variable in self.model.classifier.variables() {
            let value = take(&format!("model.{}", variable.name), &variable.tensor)?;
            variable.tensor.detach().f_copy_(&value)?;
        }
        self.begin_stage(standing.stage)?;
        let optimizer = self.update.restore(standing.counted, &|name| saved.tensor(&format!("optimizer.{name}")));
        optimizer.ok_or_else(|| wrong("what the optimiser remembers"))?;
        for (at, average) in self.ema.iter().flat_map(Ema::averages).enumerate() {
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
        self.at = standing.clone();
        self.clock.checkpoint = Some((self.at.epoch, self.at.batches));
        Ok(())
    }

    pub(super) fn cannot_save(&self, error: Error) -> Error {
        Error::Training(format!("{error}. {}", self.what_is_saved()))
    }

    pub(super) fn what_is_saved(&self) -> String {
        let run = self.place.folder.path().display();
        let mut saved = match self.at.best {
            Some(best) => format!("The model of epoch {} is saved in {run}", best + 1),
            None => "No model was saved yet".to_owned(),
        };
        match self.clock.checkpoint {
            Some((epoch, 0)) => saved += &format!("; the run can be resumed from the start of epoch {epoch}"),
            Some((epoch, batch)) => saved += &format!("; the run can be resumed from epoch {epoch}, batch {batch}"),
            None => {}
        }
        saved
    }
}
