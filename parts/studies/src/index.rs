//! What a folder holds.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::skipped::Skipped;
use crate::study::{Split, Study};
use crate::warning::Warning;
use files::{lossy, lossy_all};

/// What a folder holds: every film in its study, and every file that could not be one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Index {
    /// The folder that was indexed.
    #[serde(serialize_with = "lossy")]
    pub root: PathBuf,
    /// How it is laid out.
    pub layout: Layout,
    /// The studies, ordered by path; at least one, each with at least one view.
    pub studies: Vec<Study>,
    /// The files that are no view, with the reason, ordered by path.
    pub skipped: Vec<Skipped>,
    /// The files that belong to the layout without being films: label lists, annotations, masks. Ordered by path.
    #[serde(serialize_with = "lossy_all")]
    pub companions: Vec<PathBuf>,
    /// What is doubtful, ordered by kind.
    pub warnings: Vec<Warning>,
    /// Whether the data set came with its split. If not, ours deals whole groups and may be dealt again.
    pub official_split: bool,
    /// Whether the split was dealt on purpose, by [`k_folds`](crate::split::k_folds) or
    /// [`hold_out_tune`](crate::split::hold_out_tune): nothing deals it again.
    pub fixed_split: bool,
    /// Whether every film has been decoded and compared with all others: see [`Index::audit`].
    pub audited: bool,
    /// The sets of films that are copies of each other: of the same content, and once audited nearly identical ones
    /// too.
    #[serde(serialize_with = "lossy_sets")]
    pub copies: Vec<Vec<PathBuf>>,
    /// Which fold of how many the splits are, if [`k_folds`](crate::split::k_folds) dealt them.
    pub fold: Option<Fold>,
    /// What the folder held when it was indexed: where `studies` holds less, somebody has taken some out.
    pub held: Held,
}

/// One of several ways to deal the same studies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fold {
    /// The fold that is held out, counted from 1.
    pub number: usize,
    /// How many folds there are.
    pub of: usize,
}

impl fmt::Display for Fold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.number, self.of)
    }
}

/// How much there is of a data set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Examinations.
    pub studies: usize,
    /// Films.
    pub views: usize,
}

impl Held {
    /// How much these are.
    pub fn of(studies: &[Study]) -> Held {
        Held { studies: studies.len(), views: studies.iter().map(|study| study.views.len()).sum() }
    }
}

fn lossy_sets<S: serde::Serializer>(sets: &[Vec<PathBuf>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(sets.iter().map(|set| set.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>()))
}

impl Index {
    /// The studies of one split, in order.
    pub fn split(&self, split: Split) -> Vec<&Study> {
        self.studies.iter().filter(|study| study.split == split).collect()
    }

    /// The first study of one split, to look at.
    ///
    /// # Errors
    /// [`Error::Split`] if the split is empty.
    pub fn first(&self, split: Split) -> Result<Study> {
        let first = self.studies.iter().find(|study| study.split == split).cloned();
        first.ok_or_else(|| Error::Split(format!("no {split} study in {}", self.root.display())))
    }
}
