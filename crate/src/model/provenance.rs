//! What happened on the way to a model, for its card: only what was checked or measured.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::counted;
use crate::dataset::Index;
use crate::device::Precision;
use files::Took;
use studies::{Split, Study};

/// What no two splits have in common, as it was checked when training began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Apart {
    /// Every study names its patient, and no patient is in two splits.
    Patients,
    /// Not every study names its patient. No named patient is in two splits, nor a block of films that may be one
    /// patient's.
    Blocks,
    /// A patient is in two splits, or a block of films that may be one patient's.
    Neither,
}

impl Apart {
    pub(crate) fn of(index: &Index) -> Apart {
        let splits_of = |key: fn(&Study) -> Option<&str>| {
            let mut splits: BTreeMap<&str, BTreeSet<Split>> = BTreeMap::new();
            for study in &index.studies {
                if let Some(key) = key(study) {
                    splits.entry(key).or_default().insert(study.split);
                }
            }
            splits
        };
        let shared = |splits: BTreeMap<&str, BTreeSet<Split>>| splits.values().any(|splits| splits.len() > 1);
        if shared(splits_of(|study| study.patient.as_deref())) || shared(splits_of(|study| Some(&study.group))) {
            return Apart::Neither;
        }
        match index.studies.iter().all(|study| study.patient.is_some()) {
            true => Apart::Patients,
            false => Apart::Blocks,
        }
    }

    /// What the held-out studies have to do with those that were trained on: goes on after their number.
    pub(super) fn clause(self) -> &'static str {
        match self {
            Apart::Patients => " of patients that were not trained on",
            Apart::Blocks => ", some of whose patients may have been trained on, since not all are known",
            Apart::Neither => ", some of patients that were in training or tuning too, which flatters the figures",
        }
    }
}

impl fmt::Display for Apart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Apart::Patients => "all known, none in two splits",
            Apart::Blocks => "not all known; none of those known in two splits",
            Apart::Neither => "in two splits",
        })
    }
}

/// How the training went that made the weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trained {
    /// The dtype of feature maps.
    pub precision: Precision,
    /// Where: `CPU`, or `CUDA device 0`.
    pub device: String,
    /// Threads that libtorch computed with; on a CPU they decide the last bits.
    pub threads: usize,
    /// Seconds of training: up to this epoch, and of the whole run once it is over.
    pub seconds: f64,
    /// The epochs that the run was to end with before it was given more, one after the other.
    #[serde(default)]
    pub continued_after: Vec<usize>,
}

impl fmt::Display for Trained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Trained { precision, device, threads, seconds, continued_after } = self;
        write!(f, "{device}, {}, {precision}, {}", counted(*threads, "thread"), Took(*seconds))?;
        if let [first, ..] = continued_after[..] {
            write!(f, "; begun as a run of {}, given more", counted(first, "epoch"))?;
        }
        Ok(())
    }
}
