//! A figure with its interval, or the reason for having none.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Interval, IntervalKind, NoInterval};

/// A figure over studies with its 95 % interval over patients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The figure; `None` where it is undefined, as AUROC without abnormal studies, or not known.
    pub value: Option<f64>,
    /// The interval, and its kind.
    pub interval: Option<Interval>,
    /// Why there is no interval, or no figure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_interval: Option<NoInterval>,
}

impl Estimate {
    /// A figure with its interval, or why it has none; `undefined` says why there is no figure.
    pub(crate) fn new(
        value: Option<f64>,
        interval: Result<Interval, NoInterval>,
        undefined: impl FnOnce() -> NoInterval,
    ) -> Estimate {
        if value.is_none() {
            return Estimate { value, interval: None, no_interval: Some(undefined()) };
        }
        Estimate { value, interval: interval.ok(), no_interval: interval.err() }
    }

    /// Whether anything is known of it: cards of before lack some figures.
    pub fn is_known(&self) -> bool {
        *self != Estimate::default()
    }

    /// The figure, with its interval if there is one.
    pub(crate) fn brief(&self) -> String {
        match (self.value, self.interval) {
            (Some(value), Some(interval)) => format!("{value:.3} (95 % CI {interval})"),
            (Some(value), None) => format!("{value:.3}"),
            (None, _) => "undefined".to_owned(),
        }
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.value, self.interval, self.no_interval) {
            (Some(value), Some(interval), _) if interval.kind != IntervalKind::Unnamed => {
                write!(f, "{value:.3} (95 % CI {interval}, {})", interval.kind)
            }
            (Some(_), None, Some(why)) => write!(f, "{} (no interval: {why})", self.brief()),
            (None, _, Some(why)) => write!(f, "undefined: {why}"),
            _ => f.write_str(&self.brief()),
        }
    }
}
