//! What pretraining tells while it runs and when it is over.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::task::Task;
use crate::counted;

/// How well a question was answered on phantoms that were not learnt from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// The question.
    pub task: Task,
    /// Share of films with the right answer, 0 to 1.
    pub accuracy: f64,
    /// Share of films with the most frequent answer: what guessing gets.
    pub majority: f64,
}

/// What came of pretraining.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PretrainReport {
    /// The weights.
    #[serde(serialize_with = "files::lossy")]
    pub model: PathBuf,
    /// Films learnt from.
    pub films: usize,
    /// Films held out, of other patients.
    pub held_out: usize,
    /// Each question on the films held out.
    pub answered: Vec<Answered>,
    /// Seconds for drawing and learning.
    pub seconds: f64,
}

impl fmt::Display for PretrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let films = counted(self.films, "film");
        write!(f, "{films} in {:.0} s; of {} held out, right: ", self.seconds, self.held_out)?;
        for (at, Answered { task, accuracy, majority }) in self.answered.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{task} {accuracy:.3} (guessing {majority:.3})")?;
        }
        write!(f, "; weights in {}", self.model.display())
    }
}

/// What happens meanwhile.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Pretraining {
    /// Phantoms have been drawn.
    Drawn {
        /// Studies so far.
        studies: usize,
        /// Of so many.
        of: usize,
    },
    /// Learning begins.
    Started {
        /// Films to learn from.
        films: usize,
        /// The device and the precision.
        device: String,
    },
    /// An epoch is over.
    Epoch {
        /// Its number, from 1.
        epoch: usize,
        /// Of so many.
        epochs: usize,
        /// Mean loss.
        loss: f64,
        /// Films a second.
        images_per_second: f64,
    },
}

impl fmt::Display for Pretraining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pretraining::Drawn { studies, of } => write!(f, "{studies} of {} drawn", counted(*of, "study")),
            Pretraining::Started { films, device } => write!(f, "{} to learn from; {device}", counted(*films, "film")),
            Pretraining::Epoch { epoch, epochs, loss, images_per_second } => {
                write!(f, "epoch {epoch:>3} of {epochs}  loss {loss:.3}  {images_per_second:.0} images/s")
            }
        }
    }
}
