//! A 95 % interval, the kind it is of, or why there is none.

use std::fmt;

use files::counted;
use serde::{Deserialize, Serialize};
use studies::Label;

/// Patients of each class, normal and abnormal, below which neither a bootstrap nor DeLong's method gives an interval.
pub const FEWEST_PATIENTS: usize = 10;

/// A 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// How it was made.
    #[serde(default)]
    pub kind: IntervalKind,
}

impl Interval {
    /// An interval of a kind.
    pub fn new(low: f64, high: f64, kind: IntervalKind) -> Interval {
        Interval { low, high, kind }
    }

    /// The same, not beyond what a share can be.
    pub(crate) fn within_shares(self) -> Interval {
        Interval { low: self.low.max(0.0), high: self.high.min(1.0), ..self }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} to {:.3}", self.low, self.high)
    }
}

/// How an interval was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IntervalKind {
    /// Not written down: in cards of before, Wilson's of shares and the bootstrap's of everything else.
    #[default]
    Unnamed,
    /// From DeLong's variance (1988), symmetric about the figure and cut at 0 and 1; with whole patients as units
    /// (Obuchowski 1997).
    #[serde(rename = "delong")]
    DeLong,
    /// From DeLong's variance on the scale of log odds, which stays within 0 and 1 by itself.
    #[serde(rename = "delong-logit")]
    DeLongLogit,
    /// Wilson's score interval of a share (1927), with the design effect of several studies a patient.
    Wilson,
    /// Clopper's and Pearson's exact interval of a share (1934).
    ClopperPearson,
    /// Percentiles of a bootstrap that draws whole patients (Efron 1979).
    Bootstrap,
}

impl fmt::Display for IntervalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            IntervalKind::Unnamed => "not named",
            IntervalKind::DeLong => "DeLong",
            IntervalKind::DeLongLogit => "DeLong, logit",
            IntervalKind::Wilson => "Wilson",
            IntervalKind::ClopperPearson => "Clopper–Pearson",
            IntervalKind::Bootstrap => "bootstrap",
        })
    }
}

/// Why a figure has no interval, or is not defined at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "why")]
pub enum NoInterval {
    /// The figure itself is undefined.
    Undefined,
    /// The figure is undefined: no study is of this class.
    NoStudyIs {
        /// The class.
        label: Label,
    },
    /// The figure is undefined: nothing was called so.
    NothingCalled {
        /// So.
        label: Label,
    },
    /// The figure is undefined: labels and decisions are of one class throughout, so that nothing is left to agree on.
    OneClassThroughout,
    /// Fewer than [`FEWEST_PATIENTS`] patients of a class.
    FewPatients {
        /// Patients with a normal study.
        normal: usize,
        /// Patients with an abnormal study.
        abnormal: usize,
        /// What stands for patients.
        #[serde(default, skip_serializing_if = "Drawn::is_patients")]
        of: Drawn,
    },
    /// The scores keep the classes wholly apart (or wholly the wrong way round), of which DeLong's variance is 0.
    Separated,
    /// The figure is the same on every draw of patients.
    SameOnEveryDraw,
    /// The figure is undefined on more than half of the draws of patients.
    UndefinedOnMostDraws,
}

impl NoInterval {
    /// The same, with what stands for patients.
    pub fn of_drawn(self, drawn: Drawn) -> NoInterval {
        match self {
            NoInterval::FewPatients { normal, abnormal, .. } => NoInterval::FewPatients { normal, abnormal, of: drawn },
            other => other,
        }
    }
}

/// What a bootstrap draws.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drawn {
    /// Patients.
    #[default]
    Patients,
    /// Studies, each by itself, where no patient is named.
    Studies,
    /// Blocks of studies that may be one patient's, where no patient is named.
    Blocks,
}

impl Drawn {
    fn is_patients(&self) -> bool {
        *self == Drawn::Patients
    }

    /// So many of them with a study of a class.
    fn counted(self, n: usize, class: Label) -> String {
        match self {
            Drawn::Patients => counted(n, &format!("{class} patient")),
            Drawn::Studies => counted(n, &format!("{class} study")),
            Drawn::Blocks => format!("{} with {class} studies", counted(n, "block")),
        }
    }
}

impl fmt::Display for NoInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoInterval::Undefined => f.write_str("the figure is undefined"),
            NoInterval::NoStudyIs { label } => write!(f, "no study is {label}"),
            NoInterval::NothingCalled { label } => write!(f, "nothing was called {label}"),
            NoInterval::OneClassThroughout => f.write_str("labels and decisions are of one class throughout"),
            NoInterval::FewPatients { normal, abnormal, of } => {
                let [normal, abnormal] =
                    [(*normal, Label::Normal), (*abnormal, Label::Abnormal)].map(|(n, class)| of.counted(n, class));
                write!(f, "{normal} and {abnormal}, {FEWEST_PATIENTS} of each are needed")
            }
            NoInterval::Separated => f.write_str("the scores keep the classes wholly apart"),
            NoInterval::SameOnEveryDraw => f.write_str("the same on every draw"),
            NoInterval::UndefinedOnMostDraws => f.write_str("undefined on most draws"),
        }
    }
}
