//! How well scores separate the abnormal from the normal: counts, rates, curves, calibration, each with the interval
//! that befits it, on plain slices.
//!
//! Definitions follow scikit-learn, whose values the tests compare with; *abnormal* is the positive class, and a study
//! is called abnormal at or above the threshold. Where a definition divides by zero the answer is `None`, never NaN,
//! and a reason stands beside it. No interval reaches beyond what the figure can be.
//!
//! | figure | interval |
//! |---|---|
//! | AUROC | [`DeLong`], on the scale of log odds |
//! | accuracy, sensitivity, specificity, PPV, NPV, bins | [`share_interval`], Wilson's over patients |
//! | everything else | [`interval`], the bootstrap over patients |

#![forbid(unsafe_code)]

mod bootstrap;
mod calibration;
mod compare;
mod confusion;
mod decision;
mod delong;
mod error;
mod estimate;
mod interval;
mod measure;
mod operating;
mod patients;
mod precision_recall;
mod proportion;
mod roc;
mod rule;
mod smooth;
mod special;
mod summary;

pub use bootstrap::{DRAWS, interval, resamples};
pub use calibration::{
    BINS, Reliability, ReliabilityBin, TEMPERATURES, at_temperature, brier, enough_patients, log_loss, temperature,
};
pub use compare::{Compared, PairedComparison, mcnemar};
pub use confusion::Confusion;
pub use decision::{Decision, Probability};
pub use delong::{DeLong, DeLongPair};
pub use error::{Error, Result};
pub use estimate::Estimate;
pub use interval::{Drawn, FEWEST_PATIENTS, Interval, IntervalKind, NoInterval};
pub use measure::Measure;
pub use operating::OperatingPoint;
pub use precision_recall::{BAND, BandPoint, PrecisionRecall, PrecisionRecallPoint};
pub use proportion::{clopper_pearson, share_interval, wilson};
pub use roc::{Roc, RocPoint, auroc};
pub use rule::Rule;
pub use summary::Metrics;

#[cfg(test)]
mod tests;

use studies::Label;

fn same_length(what: &'static str, labels: usize, got: usize) -> Result<()> {
    if labels == got {
        return Ok(());
    }
    Err(Error::setting(what, format!("one for each of {labels} labels"), got))
}

fn check(labels: &[Label], scores: &[f64]) -> Result<()> {
    same_length("scores", labels.len(), scores.len())?;
    match scores.iter().position(|score| score.is_nan()) {
        None => Ok(()),
        Some(i) => Err(Error::setting("scores", "numbers", format!("NaN at position {i}"))),
    }
}
