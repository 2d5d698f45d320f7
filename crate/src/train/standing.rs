//! Where a run stands between two steps: what a checkpoint says beside its tensors.

use serde::{Deserialize, Serialize};

use super::report::EpochReport;
use super::schedule::PaceState;
use crate::model::Temperature;
use crate::score::{Metrics, OperatingPoint};
use studies::Label;

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Standing {
    /// The epoch in progress, counted from 1; one more than the last where all are done.
    pub epoch: usize,
    /// Batches of it that are done; gradients of all of them are applied.
    pub batches: usize,
    /// The stage, counted from 0.
    pub stage: usize,
    /// Steps of the stage that are done.
    pub steps: usize,
    /// Steps that the optimiser has counted.
    pub counted: i32,
    /// The schedule's memory.
    pub pace: Option<PaceState>,
    /// Lowest tune loss of the stage.
    pub lowest_loss: Option<f64>,
    /// Epochs without a lower one.
    pub waited: usize,
    /// Whether the tune loss stopped falling.
    pub stopped_early: bool,
    /// Epochs that are over.
    pub history: Vec<EpochReport>,
    /// Position of the best one.
    pub best: Option<usize>,
    /// The best one's figures.
    pub tune: Option<Metrics>,
    /// The sum of its weights.
    pub best_weights: Option<String>,
    /// The sum of the weights that were the best before: until the best model is written, they are in its file.
    pub former_weights: Option<String>,
    /// What the epoch that ended last leaves to be written once this is on the disk.
    pub ended: Option<Ended>,
    /// Mean and standard deviation that the initial weights' file asked for.
    pub scale: Option<([f32; 3], [f32; 3])>,
    /// The epochs that the run was to have before it was given more, one after the other.
    pub continued_after: Vec<usize>,
    /// Seconds of training so far.
    pub seconds: f64,
}

/// What the history does not keep of an epoch that is over, until models and logs of it are written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Ended {
    /// Figures on the tune split.
    pub metrics: Metrics,
    /// What its probabilities were calibrated and decided by.
    #[serde(default)]
    pub temperature: Temperature,
    #[serde(default)]
    pub operating_point: OperatingPoint,
    /// Labels and probabilities of the tune studies.
    pub labels: Vec<Label>,
    pub probabilities: Vec<f64>,
    /// The loss of each of its batches.
    pub step_losses: Vec<f32>,
}

impl Standing {
    /// Before the first step.
    pub fn start() -> Standing {
        Standing {
            epoch: 1,
            batches: 0,
            stage: 0,
            steps: 0,
            counted: 0,
            pace: None,
            lowest_loss: None,
            waited: 0,
            stopped_early: false,
            history: Vec::new(),
            best: None,
            tune: None,
            best_weights: None,
            former_weights: None,
            ended: None,
            scale: None,
            continued_after: Vec::new(),
            seconds: 0.0,
        }
    }
}
