//! The score of one film and of one study.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::{Decision, Probability};
use crate::preprocess::Doubt;
use files::{counted, in_line, lossy};
use studies::{Label, View};

/// One film's score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ViewScore {
    /// The image file. In JSON a name that is no Unicode stands with a replacement sign for what is none.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// The study it belongs to.
    pub study: String,
    /// How likely it is abnormal.
    pub probability: Probability,
    /// At the model's operating point.
    pub decision: Decision,
    /// What the data set claims, where it claims anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// What is doubtful about the film's greys, where it was decoded to be scored: a reason to look at it before
    /// believing the score.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<Doubt>,
    /// The view, with what the data set points out on it.
    #[serde(skip)]
    pub view: View,
}

/// One study's score: the mean of those of its views that could be read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StudyScore {
    /// The study.
    pub study: String,
    /// Mean of its views' probabilities.
    pub probability: Probability,
    /// At the model's operating point.
    pub decision: Decision,
    /// What the data set claims, where it claims anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// Views that the mean is of.
    pub views: usize,
    /// Views that could not be read, which [`Report::skipped`](super::Report::skipped) names.
    #[serde(skip_serializing_if = "is_zero")]
    pub unread: usize,
    /// The patient, or the block of neighbouring images where none is named: [`Study::group`](studies::Study::group).
    /// Intervals draw these.
    #[serde(skip)]
    pub group: String,
    /// Whether that is a patient.
    #[serde(skip)]
    pub patient_is_known: bool,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl ViewScore {
    /// Whether it is abnormal and was called so.
    pub(crate) fn is_hit(&self) -> bool {
        (self.label, self.decision) == (Some(Label::Abnormal), Decision::Abnormal)
    }
}

impl fmt::Display for ViewScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", in_line(self.path.display()))?;
        opinion(f, self.probability, self.decision)
    }
}

impl fmt::Display for StudyScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "study {}, mean of {}: ", in_line(&self.study), counted(self.views, "view"))?;
        opinion(f, self.probability, self.decision)
    }
}

fn opinion(f: &mut fmt::Formatter<'_>, probability: Probability, decision: Decision) -> fmt::Result {
    write!(f, "probability of abnormal {probability}, called {decision}")
}
