//! The folder of a run, what the run is a run of, and what an earlier one left there.

use crate::counted;
use crate::dataset::Index;
use crate::device::DeviceChoice;
use crate::error::{Error, Result};
use crate::train::checkpoint::{self, Earlier, RunHeader, Saved};
use crate::train::fingerprint::{Fingerprint, Unlike};
use crate::train::folder::RunFolder;
use crate::train::report::Event;
use crate::train::standing::Standing;
use crate::train::{Recipe, Resume, Schedule, TrainOptions};
use crate::weights::FoundWeights;

/// The folder of a run, and what the run is a run of.
pub(in crate::train) struct Place {
    pub(super) folder: RunFolder,
    pub(super) fingerprint: Fingerprint,
    /// The file of the weights to start from, if they are not random.
    pub(super) found: Option<FoundWeights>,
}

/// This run, as an earlier process left it.
pub(in crate::train) enum Past {
    Unfinished(Box<Saved>),
    Finished(Box<Standing>),
}

impl Place {
    pub fn open(
        index: &Index,
        recipe: &Recipe,
        options: &TrainOptions,
        found: Option<FoundWeights>,
        progress: &mut dyn FnMut(Event),
    ) -> Result<Place> {
        let folder = RunFolder::open(&options.run, &options.stop, progress)?;
        let fingerprint = Fingerprint::new(index, recipe, options, found.as_ref())?;
        Ok(Place { folder, fingerprint, found })
    }

    /// What an earlier process left of this run, as far as it is wanted; from then on this is a run of the same
    /// fingerprint. Tells what will not be as in a run that was never interrupted.
    ///
    /// # Errors
    /// [`Error::Resume`] if it cannot be continued, and a new one is not wanted.
    pub fn earlier(&mut self, options: &TrainOptions, progress: &mut dyn FnMut(Event)) -> Result<Option<Past>> {
        if options.resume == Resume::No {
            return Ok(None);
        }
        let epochs = self.fingerprint.recipe.epochs;
        match checkpoint::read(&self.folder, &self.fingerprint, options) {
            Earlier::Nothing => Ok(None),
            Earlier::Begun => {
                let reason = "the run here ended before its first checkpoint".to_owned();
                progress(Event::Anew { reason });
                Ok(None)
            }
            Earlier::Finished(header) => {
                let RunHeader { fingerprint, standing, .. } = *header;
                if fingerprint.recipe.epochs < epochs {
                    let over = standing.history.len();
                    let why = "the tune loss fell no longer, and more epochs change nothing in that";
                    progress(Event::Notice(format!("the run stopped after epoch {over}: {why}")));
                }
                self.fingerprint = fingerprint;
                Ok(Some(Past::Finished(Box::new(standing))))
            }
            Earlier::Unfinished(mut saved) => {
                let before = saved.fingerprint.recipe.epochs;
                if before < epochs {
                    let exact = continues_exactly(&self.fingerprint.recipe, saved.fingerprint.weights.is_some());
                    progress(Event::Notice(longer(before, epochs, exact)));
                    saved.standing.continued_after.push(before);
                }
                let (threads, now) = (saved.fingerprint.threads, self.fingerprint.threads);
                if threads != now && saved.fingerprint.device == DeviceChoice::Cpu {
                    progress(Event::Notice(format!(
                        "the run was begun with {}, now there {}: its last bits will differ from those of a run that \
                         was never interrupted",
                        counted(threads, "thread"),
                        if now == 1 { "is 1".to_owned() } else { format!("are {now}") }
                    )));
                }
                let mut fingerprint = saved.fingerprint.clone();
                fingerprint.recipe.epochs = epochs;
                self.fingerprint = fingerprint;
                Ok(Some(Past::Unfinished(saved)))
            }
            Earlier::Unusable(Unlike { reason, changed }) if options.resume == Resume::OrRefuse => {
                Err(Error::Resume { run: options.run.clone(), reason, changed })
            }
            Earlier::Unusable(unlike) => {
                progress(Event::Anew { reason: unlike.to_string() });
                Ok(None)
            }
        }
    }
}

/// Whether a run with more epochs goes on as if it had been to have them from the start.
fn continues_exactly(recipe: &Recipe, from_given_weights: bool) -> bool {
    let in_stages = from_given_weights && recipe.stages.len() > 1;
    !in_stages && matches!(recipe.schedule, Schedule::Constant | Schedule::ReduceOnPlateau { .. })
}

fn longer(before: usize, epochs: usize, exact: bool) -> String {
    let how = match exact {
        true => "as if it had been to have them from the start",
        false => {
            "its learning rate and stages from here on are those of the longer run, so that it ends with other weights \
             than one begun so"
        }
    };
    format!("the run was to have {} and goes on to {epochs}; {how}", counted(before, "epoch"))
}
