//! What a training run tells while it runs and when it is over.

use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::meter::Memory;
use crate::counted;
use crate::dataset::Preparing;
use crate::model::Temperature;
use crate::network::{ParameterCount, Unfreeze};
use crate::score::{Metrics, OperatingPoint, Report};
use crate::weights::hub::Fetching;
use crate::weights::{Loaded, Origin};
use files::Took;

/// One epoch: a line of `metrics.jsonl`, and a line on the screen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// Counted from 1.
    pub epoch: usize,
    /// The most there will be.
    pub epochs: usize,
    /// Mean training loss over the epoch, with smoothing, class weights and augmentation.
    pub train_loss: f64,
    /// Mean cross-entropy over the tune views, in nats, plain.
    pub tune_loss: f64,
    /// AUROC over the tune studies; `None` if a class is absent.
    pub tune_auroc: Option<f64>,
    /// Share of tune views decided right.
    pub tune_accuracy: f64,
    /// Learning rate at the epoch's first step.
    pub learning_rate: f64,
    /// Training films per second.
    pub images_per_second: f64,
    /// Seconds of the epoch, scoring of the tune split included.
    pub seconds: f64,
    /// Seconds until the last epoch is over, at this pace.
    pub seconds_left: f64,
    /// Whether its model is the best so far.
    pub best: bool,
    /// Memory of the process at the end of the epoch; `None` where the operating system does not tell.
    #[serde(default)]
    pub memory: Option<Memory>,
    /// Bytes free on the GPU at the end of the epoch; `None` on a CPU.
    #[serde(default)]
    pub device_memory_free: Option<u64>,
    /// The training loss of each batch, in order. In event files only, and not kept for epochs before a run was
    /// resumed.
    #[serde(skip)]
    pub step_losses: Vec<f32>,
}

impl fmt::Display for EpochReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let auroc = self.tune_auroc.map_or("  n/a".to_owned(), |a| format!("{a:.3}"));
        let gib = |memory: Memory| format!("  {:.1} GiB", memory.resident as f64 / f64::from(1 << 30));
        let memory = self.memory.map(gib).unwrap_or_default();
        write!(
            f,
            "epoch {:>3}/{}  loss {:.4}  tune loss {:.4}  tune AUROC {auroc}  {:>6.1} images/s{memory}  {} left{}",
            self.epoch,
            self.epochs,
            self.train_loss,
            self.tune_loss,
            self.images_per_second,
            Took(self.seconds_left),
            if self.best { "  best so far" } else { "" }
        )
    }
}

/// What happens during training.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Initial weights are being fetched.
    Fetching(Fetching),
    /// Initial weights were read.
    Weights {
        /// Where they are from.
        origin: Origin,
        /// What was taken over.
        loaded: Loaded,
    },
    /// Films are standardised as those that the initial weights were trained on.
    Scale {
        /// The mean, of films from 0 to 1.
        mean: f32,
        /// The standard deviation.
        std: f32,
    },
    /// Films are being decoded, or their cache cannot be used.
    Preparing(Preparing),
    /// Films are decoded and the network is built.
    Started {
        /// Training films.
        train: usize,
        /// Tune films.
        tune: usize,
        /// Where the network lives.
        device: String,
        /// Its size.
        parameters: ParameterCount,
        /// Seconds this took.
        seconds: f64,
    },
    /// Something that the reader should know, in one line, and that stops nothing.
    Notice(String),
    /// Another run in the same folder is waited for, in case it is about to stop.
    Waiting {
        /// The folder.
        run: PathBuf,
    },
    /// An unfinished run is continued.
    Resumed {
        /// In this epoch, counted from 1.
        epoch: usize,
        /// Batches of it that are done.
        batches: usize,
    },
    /// A run was to be continued, and cannot be; a new one begins.
    Anew {
        /// Why.
        reason: String,
    },
    /// The run was over already; its result is given again.
    AlreadyFinished {
        /// Its folder.
        run: PathBuf,
    },
    /// A stage of several begins.
    Stage {
        /// First and last epoch.
        epochs: (usize, usize),
        /// What learns.
        unfreeze: Unfreeze,
        /// Weights and biases that learn.
        trainable: i64,
        /// Learning rate before any schedule.
        learning_rate: f64,
    },
    /// How far a long epoch is, as often as [`TrainOptions::step_every`](super::TrainOptions::step_every) says.
    Step {
        /// The epoch, counted from 1.
        epoch: usize,
        /// Steps done.
        step: usize,
        /// Steps of the epoch.
        steps: usize,
    },
    /// How far a sweep of the learning rate is, as often as
    /// [`TrainOptions::step_every`](super::TrainOptions::step_every) says.
    Swept {
        /// Steps done.
        step: usize,
        /// Steps of the sweep, if the loss does not run away before.
        steps: usize,
    },
    /// An epoch is over and its models are saved.
    Epoch(EpochReport),
    /// The tune loss stopped falling.
    StoppedEarly {
        /// After this epoch.
        epoch: usize,
        /// Epochs waited.
        patience: usize,
    },
    /// What the best model's logits are divided by, and from where on a study counts as abnormal: both chosen on the
    /// tune split.
    Chosen {
        /// The temperature.
        temperature: Temperature,
        /// The operating point.
        operating_point: OperatingPoint,
    },
    /// Done; the held-out split is scored.
    Finished {
        /// Seconds since the first step.
        seconds: f64,
        /// The best model.
        model: PathBuf,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Fetching(fetching) => fetching.fmt(f),
            Event::Weights { origin, loaded } => write!(f, "weights from {origin}: {loaded}"),
            Event::Scale { mean, std } => {
                write!(f, "films are standardised as the weights expect: mean {mean}, deviation {std:.2e}")
            }
            Event::Preparing(preparing) => preparing.fmt(f),
            Event::Started { train, tune, device, parameters, seconds } => write!(
                f,
                "{} to learn from, {tune} to choose the epoch by, ready in {seconds:.1} s; {} of {} weights learn; \
                 {device}",
                counted(*train, "film"),
                parameters.trainable,
                parameters.weights
            ),
            Event::Notice(text) => write!(f, "note: {text}"),
            Event::Waiting { run } => write!(f, "waiting for another run to leave {}", run.display()),
            Event::Resumed { epoch, batches: 0 } => write!(f, "continuing with epoch {epoch}"),
            Event::Resumed { epoch, batches } => write!(f, "continuing in epoch {epoch}, after batch {batches}"),
            Event::Anew { reason } => write!(f, "starting anew: {reason}"),
            Event::AlreadyFinished { run } => {
                write!(f, "the run in {} is finished; this is its result", run.display())
            }
            Event::Stage { epochs: (first, last), unfreeze, trainable, learning_rate } => {
                let what = match unfreeze {
                    Unfreeze::All => "all layers",
                    Unfreeze::LastBlock => "head and last block",
                    Unfreeze::Reference => "the reference's last layers",
                    Unfreeze::Head => "the head",
                };
                write!(f, "epochs {first} to {last}: {what} ({trainable} weights) learn at {learning_rate:.1e}")
            }
            Event::Step { epoch, step, steps } => write!(f, "epoch {epoch:>3}  step {step} of {steps}"),
            Event::Swept { step, steps } => write!(f, "step {step} of {steps} of the sweep"),
            Event::Epoch(report) => report.fmt(f),
            Event::StoppedEarly { epoch, patience } => {
                write!(f, "stopped after epoch {epoch}: no lower tune loss for {}", counted(*patience, "epoch"))
            }
            Event::Chosen { temperature, operating_point } => {
                write!(f, "temperature {temperature}; operating point: {operating_point}")
            }
            Event::Finished { seconds, model } => {
                write!(f, "done in {}; best model in {}", Took(*seconds), model.display())
            }
        }
    }
}

/// The epochs of a run, in order: a slice of them that shows itself as curves.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Epochs(Vec<EpochReport>);

impl From<Vec<EpochReport>> for Epochs {
    fn from(epochs: Vec<EpochReport>) -> Epochs {
        Epochs(epochs)
    }
}

impl Deref for Epochs {
    type Target = [EpochReport];

    fn deref(&self) -> &[EpochReport] {
        &self.0
    }
}

/// A finished run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainReport {
    /// Every epoch.
    pub epochs: Epochs,
    /// The epoch whose model was kept, counted from 1.
    pub best_epoch: usize,
    /// Its file.
    #[serde(serialize_with = "files::lossy")]
    pub model: PathBuf,
    /// Figures on the tune split, by which the epoch was chosen: a little too good for that reason.
    pub tune: Option<Metrics>,
    /// Figures on the held-out split.
    pub held_out: Metrics,
    /// When a study counts as abnormal.
    pub operating_point: OperatingPoint,
    /// The held-out scores behind the figures.
    #[serde(skip)]
    pub scores: Report,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The report of an epoch in which nothing remarkable happened.
    pub fn epoch(epoch: usize) -> EpochReport {
        EpochReport {
            epoch,
            epochs: 12,
            train_loss: 0.412,
            tune_loss: 0.388,
            tune_auroc: Some(0.9123),
            tune_accuracy: 0.8,
            learning_rate: 1e-3,
            images_per_second: 17.26,
            seconds: 30.0,
            seconds_left: 190.0,
            best: true,
            memory: None,
            device_memory_free: None,
            step_losses: Vec::new(),
        }
    }

    #[test]
    fn an_epoch_is_one_line_with_loss_auroc_speed_and_time_left() {
        let report = EpochReport { memory: Some(Memory { resident: 3 << 29, peak: 2 << 30 }), ..epoch(3) };
        assert_eq!(
            report.to_string(),
            "epoch   3/12  loss 0.4120  tune loss 0.3880  tune AUROC 0.912    17.3 images/s  1.5 GiB  3 min 10 s left  \
             best so far"
        );
    }
}
