//! What can be asked about a phantom's film.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use phantom::{Fracture, FractureKind};

/// A question about a phantom's film, whose answer is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Whether there is a fracture.
    Fracture,
    /// None, transverse, oblique, spiral or comminuted.
    Kind,
    /// None, proximal end, upper or lower shaft, distal end.
    Segment,
    /// None, hardly displaced, by less than half the shaft's width, by more.
    Displacement,
}

impl Task {
    /// Every question.
    pub const ALL: [Task; 4] = [Task::Fracture, Task::Kind, Task::Segment, Task::Displacement];

    /// How many answers there are.
    pub fn classes(self) -> i64 {
        match self {
            Task::Fracture => 2,
            Task::Kind | Task::Segment => 5,
            Task::Displacement => 4,
        }
    }

    /// The answer, `0..classes`; 0 is no fracture.
    pub(super) fn answer(self, fracture: Option<&Fracture>) -> i64 {
        let Some(Fracture { kind, site, displacement, subtle, .. }) = fracture else { return 0 };
        match self {
            Task::Fracture => 1,
            Task::Kind => 1 + FractureKind::ALL.iter().position(|it| it == kind).unwrap_or(0) as i64,
            // Where fractures are drawn: the neck up to 0.24 of the length, the shaft from 0.28 to 0.74, the condyles
            // from 0.76.
            Task::Segment => 1 + [0.26, 0.51, 0.75].iter().filter(|end| site > end).count() as i64,
            Task::Displacement if *subtle => 1,
            Task::Displacement => {
                if *displacement < 0.5 {
                    2
                } else {
                    3
                }
            }
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl FromStr for Task {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Error::named("task", "fracture, kind, segment or displacement", text)
    }
}

#[cfg(test)]
mod tests {
    use phantom::{Difficulty, PhantomConfig, study};

    use super::*;

    #[test]
    fn answers_are_within_their_classes_and_all_occur() {
        let mut met: Vec<Vec<bool>> = Task::ALL.iter().map(|task| vec![false; task.classes() as usize]).collect();
        let difficulty = Difficulty::MEDIUM;
        let config = PhantomConfig { longest_side: 64, difficulty, ..PhantomConfig::default() };
        for number in 0..200 {
            let study = study(&config, number);
            for (task, met) in Task::ALL.iter().zip(&mut met) {
                let answer = task.answer(study.fracture.as_ref());
                assert_eq!(answer > 0, study.fracture.is_some());
                met[answer as usize] = true;
            }
        }
        assert!(met.iter().flatten().all(|met| *met), "{met:?}");
    }
}
