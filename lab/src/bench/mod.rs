//! `cargo lab bench`: figures, measured as a reader meets them.

mod data;
mod explain;
mod kernel;
mod train;

use std::path::PathBuf;
use std::process::Command;

use clap::ValueEnum;
use serde_json::Value;

use crate::problem::{Problem, Result};
use crate::progress::{self, ProgressLine};
use crate::setup::Ready;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Warm start of a kernel, and what a cell costs beyond its own work
    Kernel,
    /// Decoding and feeding of real films, beside PyTorch's DataLoader; and the memory of an epoch over 100,000 views
    Data,
    /// Training steps and inference, beside PyTorch's
    Train,
    /// Heat maps, beside pytorch-grad-cam's and Captum's, which are downloaded for it
    Explain,
}

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// What to measure [default: everything]
    #[arg(value_enum)]
    pub what: Option<What>,
    /// Where training steps are measured
    #[arg(long, value_name = "DEVICE", default_value = "cpu", value_parser = ["cpu", "cuda"])]
    pub device: String,
}

/// `cargo lab bench`.
pub fn run(options: &Args) -> Result<bool> {
    let mut met = true;
    for what in [What::Kernel, What::Data, What::Train, What::Explain] {
        if options.what.is_none_or(|wanted| wanted == what) {
            met &= match what {
                What::Kernel => kernel::run()?,
                What::Data => data::run()?,
                What::Train => train::run(&options.device)?,
                What::Explain => explain::run()?,
            };
        }
    }
    Ok(met)
}

/// One of the crate's examples, which measures and prints one JSON object a line.
fn built(ready: &Ready, example: &str) -> Result<PathBuf> {
    let step = ProgressLine::start("release build");
    let mut command = ready.command("cargo");
    command.args(["build", "--release", "--package", "humerus", "--example", example, "--message-format", "json"]);
    let messages = ran(command.current_dir(&ready.checkout.root), &step)?;
    step.done();
    let program = messages.iter().rev().find_map(|message| message["executable"].as_str());
    program.map(PathBuf::from).ok_or_else(|| Problem::new("bench: cargo built no program"))
}

/// The JSON objects that a command prints.
fn ran(command: &mut Command, step: &ProgressLine) -> Result<Vec<Value>> {
    let mut objects = Vec::new();
    let ended = progress::run(command, |line| match serde_json::from_str(line) {
        Ok(object) => objects.push(object),
        Err(_) => step.say(line),
    })?;
    match ended.status.success() {
        true => Ok(objects),
        false => Err(Problem::new(format!("bench: {}", ended.reason()))),
    }
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
