//! `cargo lab bench`: figures, measured as a reader meets them.

mod data;
mod kernel;

use clap::{Args, ValueEnum};

use crate::problem::Result;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Warm start of a kernel, and what a cell costs beyond its own work
    Kernel,
    /// Decoding and feeding of real films, beside PyTorch's DataLoader; and the memory of an epoch over 100,000 views
    Data,
}

/// What to measure.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// What to measure [default: everything]
    #[arg(value_enum)]
    pub what: Option<What>,
}

/// `cargo lab bench`.
pub fn run(options: &Options) -> Result<bool> {
    let mut met = true;
    for what in [What::Kernel, What::Data] {
        if options.what.is_none_or(|wanted| wanted == what) {
            met &= match what {
                What::Kernel => kernel::run()?,
                What::Data => data::run()?,
            };
        }
    }
    Ok(met)
}

/// Whether a target was met, in words.
fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

/// The least and the greatest of some numbers.
fn extremes(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::MAX, 0f64), |(least, greatest), &value| (least.min(value), greatest.max(value)))
}

/// The middle one of some numbers; not a number if there are none.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }
}
