//! One training loop, one [`EpochReport`] per epoch, the best and the last model on disk after each.

mod background;
mod checkpoint;
mod data;
mod ema;
mod finder;
mod fingerprint;
mod folder;
mod learner;
mod log;
mod meter;
mod optimizer;
mod pretrain;
mod report;
mod schedule;
mod session;
mod stage;
mod standing;
mod stop;
mod tensorboard;

use std::path::PathBuf;
use std::time::Duration;

use tch::Device;

pub use crate::files::{CSV_FILE, FINISHED_FILE, LAST_FILE, METRICS_FILE, MODEL_FILE, RESUME_FILE};
pub use crate::recipe::{Calibrate, Optimizer, Recipe, Schedule, SelectBy, Stage, Standardise};
pub use background::{Progress, TrainingRun, spawn};
pub use finder::{BatchSizes, LrFinder, Sweep, find_batch_size, find_learning_rate};
pub use folder::{FILES, is_unfinished, refuse_films_in};
pub use meter::{Memory, memory};
pub use optimizer::Update;
pub use pretrain::{Answered, PretrainOptions, PretrainReport, Pretraining, Task, pretrain};
pub use report::{EpochReport, Epochs, Event, TrainReport};
pub use stop::StopHandle;

use crate::dataset::{self, Feeding, Index, Leak, split};
use crate::device::{DeviceChoice, Precision};
use crate::error::{Error, Result};
use crate::network::Classifier;
use crate::phantom;
use crate::shortage;
use crate::weights::{FoundWeights, Weights};
use session::{Past, Place, Session};
use studies::Split;

/// What to do with a run that is in the folder already.
///
/// A run *is the same* if recipe, data (studies, labels, splits, and each film's content), initial weights, device,
/// precision and version of this crate are. Where [`TrainOptions::device`] and [`TrainOptions::precision`] are `Auto`,
/// those of the run are taken. On a CPU it then ends with the weights of a run that was never interrupted to the last
/// bit, if the number of threads (`OMP_NUM_THREADS`), the kind of processor and libtorch are the same too; another
/// number of threads is told, and goes on. A GPU adds in no fixed order, so that there the last bits differ from run to
/// run anyway.
///
/// A run given **more epochs** goes on, finished or not: [`Schedule::Constant`] and [`Schedule::ReduceOnPlateau`] as if
/// it had been to have them from the start, unless it is in stages. [`Schedule::OneCycle`] and [`Schedule::Cosine`] are
/// functions of the number of steps: from there on they are those of the longer run, so that the learning rate rises
/// once to where it would have been and falls to its end again. The last stage of several takes the new epochs. What
/// stopped early stays over.
///
/// A finished run is not trained again: its result is given again. Where the folder holds no run, one begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Resume {
    /// Set it aside and begin a new one.
    #[default]
    No,
    /// Continue it if it is the same; else say why not, set it aside and begin a new one.
    IfPossible,
    /// Continue it if it is the same; else return [`Error::Resume`] before anything is trained or moved.
    OrRefuse,
}

/// Where a run goes and what it starts from.
#[derive(Debug, Clone)]
pub struct TrainOptions {
    /// Folder that receives `model.safetensors`, `last.safetensors`, `metrics.jsonl`, `metrics.csv`, `tensorboard`, and
    /// `resume.safetensors`, which is needed to continue the run: unfinished, or finished and given more epochs. What
    /// an earlier run left there is moved into `previous-1`, `previous-2` and so on, never overwritten.
    pub run: PathBuf,
    /// Where to compute.
    pub device: DeviceChoice,
    /// The dtype of feature maps. Default the fastest that the device has instructions for.
    pub precision: Precision,
    /// Weights to start from. Default ImageNet's for real films, random ones for phantoms.
    pub weights: Weights,
    /// Where decoded films are kept and how they reach the network.
    pub feeding: Feeding,
    /// Flaws of the data that are known and accepted; training refuses any other.
    pub allow: Vec<Leak>,
    /// What to do with a run that is in the folder already. Default [`Resume::No`].
    pub resume: Resume,
    /// How often everything that resuming needs is saved within an epoch; it is after each epoch anyway. Default 10
    /// minutes.
    pub checkpoint_every: Duration,
    /// How often [`Event::Step`] tells how far an epoch is. Default a minute.
    pub step_every: Duration,
    /// Asks the run to stop.
    pub stop: StopHandle,
}

impl TrainOptions {
    /// For a run in this folder; everything else as usual.
    pub fn new(run: impl Into<PathBuf>) -> Self {
        TrainOptions {
            run: run.into(),
            device: DeviceChoice::default(),
            precision: Precision::default(),
            weights: Weights::default(),
            feeding: Feeding::default(),
            allow: Vec::new(),
            resume: Resume::No,
            checkpoint_every: Duration::from_secs(600),
            step_every: Duration::from_secs(60),
            stop: StopHandle::default(),
        }
    }
}

/// Name of the folder of event files for TensorBoard in a run's folder.
pub const TENSORBOARD_FOLDER: &str = "tensorboard";

/// Trains by `recipe` on the training studies of `index`, chooses the epoch on patients set aside from them, and scores
/// the held-out split once, at the end.
///
/// Refuses copies and patients in two splits and studies with two labels, unless [`TrainOptions::allow`] names the
/// leak; an index that was not audited is audited for that. `progress` hears of decoding and of each epoch.
///
/// # Errors
/// [`Error::Setting`] for a recipe out of its ranges, [`Error::Split`] for sets too small or leaking, [`Error::Decode`]
/// for a damaged film, [`Error::Hub`] for weights that cannot be fetched, [`Error::Checkpoint`] for weights that do not
/// fit, [`Error::Resume`] for a run that cannot be continued, [`Error::Training`] if the loss is no longer finite or a
/// file cannot be written, [`Error::Memory`] if a step needs more than there is, [`Error::Stopped`] if
/// [`TrainOptions::stop`] asked for it; what was saved up to then stays.
pub fn run(
    index: &Index,
    recipe: &Recipe,
    options: &TrainOptions,
    progress: &mut dyn FnMut(Event),
) -> Result<TrainReport> {
    recipe.validate()?;
    let index = chosen(index, recipe, options)?;
    if index.split(Split::Valid).is_empty() {
        return Err(Error::Split("no held-out studies; a `valid` split is needed to report figures".to_owned()));
    }
    refuse_films_in(&options.run, &index)?;
    let found = initial(&index, recipe, options, progress)?;
    let mut place = Place::open(&index, recipe, options, found, progress)?;
    let saved = match place.earlier(options, progress)? {
        Some(Past::Finished(standing)) => {
            progress(Event::AlreadyFinished { run: options.run.clone() });
            return shortage::told(|| session::result(&place, &index, options, *standing, progress));
        }
        Some(Past::Unfinished(saved)) => Some(saved),
        None => None,
    };
    let mut session = shortage::told(|| Session::new(&index, recipe, options, place, saved.as_deref(), progress))?;
    drop(saved);
    session.epochs(progress)?;
    shortage::told(|| session.finish(&index, progress))
}

/// The file of the weights to start from; none for random ones.
fn initial(
    index: &Index,
    recipe: &Recipe,
    options: &TrainOptions,
    progress: &mut dyn FnMut(Event),
) -> Result<Option<FoundWeights>> {
    let simulated = phantom::is_set(&index.root);
    let mut weights = options.weights.clone();
    let file = match &mut weights {
        Weights::Network { of, .. } => &mut **of,
        other => other,
    };
    if let Weights::File(path) = file
        && let Some(aside) = folder::set_aside(&options.run, path)
    {
        // A run that was fine-tuned in place and interrupted, by the command that began it.
        progress(Event::Notice(format!("{} was set aside; its weights are in {}", path.display(), aside.display())));
        *path = aside;
    }
    weights.find(recipe.architecture, simulated, &mut |fetching| progress(Event::Fetching(fetching)))
}

/// The index with its tune split, once it is sure that nothing leaks but what is allowed.
fn chosen(index: &Index, recipe: &Recipe, options: &TrainOptions) -> Result<Index> {
    let index = dataset::trainable(index, &options.allow)?;
    let index = split::hold_out_tune(&index, recipe.tune_fraction, recipe.seed)?;
    dataset::refuse_leaks(&index, &options.allow)?;
    Ok(index)
}

/// The network that `recipe` starts from, on the CPU: for a summary before training.
///
/// # Errors
/// [`Error::Setting`] for a recipe out of its ranges.
pub fn network(recipe: &Recipe) -> Result<Classifier> {
    recipe.validate()?;
    let mut network = recipe.network(Device::Cpu);
    network.unfreeze(recipe.unfreeze)?;
    Ok(network)
}

#[cfg(test)]
mod tests;
