//! `cargo lab bench`: figures, measured as a reader meets them.

use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::problem::{Problem, Result};
use crate::progress::{self, Step};
use crate::report::{Table, clip};
use crate::setup;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Warm start of a kernel, and what a cell costs beyond its own work
    Kernel,
}

/// What to measure.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// What to measure
    #[arg(value_enum, default_value_t = What::Kernel)]
    pub what: What,
}

/// Seconds from starting a kernel to the first result that needs the crate: the target on two cores.
const START_TARGET: f64 = 20.0;
/// Seconds that a later cell may cost beyond its own work (median): the target on two cores.
const CELL_TARGET: f64 = 1.0;
const REPEATS: usize = 3;

#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event {
    Started { seconds: f64, kernel: f64 },
    Cell { line: String, seconds: f64 },
    End { failure: Option<String> },
}

/// `cargo lab bench`.
pub fn run(options: &Options) -> Result<bool> {
    match options.what {
        What::Kernel => kernel(),
    }
}

fn kernel() -> Result<bool> {
    let ready = setup::complete_and_warm()?;
    let (mut answers, mut starts) = (Vec::new(), Vec::new());
    let mut cells: Vec<(String, Vec<f64>)> = Vec::new();
    for repeat in 1..=REPEATS {
        let step = Step::start(format!("kernel, {repeat} of {REPEATS}"));
        let mut failure = Some("no report".to_owned());
        let ended =
            progress::run(
                ready.script("bench.py").arg(ready.checkout.crate_dir()),
                |line| match serde_json::from_str(line) {
                    Ok(Event::Started { seconds, kernel }) => {
                        starts.push(seconds);
                        answers.push(kernel);
                    }
                    Ok(Event::Cell { line, seconds }) => {
                        step.say(&line);
                        match cells.iter_mut().find(|(known, _)| *known == line) {
                            Some((_, times)) => times.push(seconds),
                            None => cells.push((line, vec![seconds])),
                        }
                    }
                    Ok(Event::End { failure: reported }) => failure = reported,
                    Err(_) => {}
                },
            )?;
        if let Some(failure) = failure {
            return Err(Problem::new(format!("bench kernel: {failure} {}", ended.reason())));
        }
        step.done();
    }

    let mut table = Table::new(["measured", "median s", "least s", "greatest s"]);
    let mut row = |name: String, times: &[f64]| {
        let (least, greatest) =
            times.iter().fold((f64::MAX, 0f64), |(least, greatest), &time| (least.min(time), greatest.max(time)));
        table.row([name, format!("{:.2}", median(times)), format!("{least:.2}"), format!("{greatest:.2}")]);
    };
    row("kernel answers".to_owned(), &answers);
    row("first result that needs the crate".to_owned(), &starts);
    for (line, times) in &cells {
        row(format!("  {}", clip(line, 64)), times);
    }
    println!("{table}");
    let (start, cell) = (median(&starts), median(&cells.iter().map(|(_, times)| median(times)).collect::<Vec<_>>()));
    let verdict = |value: f64, target: f64| if value <= target { "met" } else { "MISSED" };
    println!("warm start {start:.2} s (target {START_TARGET:.0} s: {})", verdict(start, START_TARGET));
    println!("later cells, median overhead {cell:.2} s (target {CELL_TARGET:.1} s: {})", verdict(cell, CELL_TARGET));
    Ok(start <= START_TARGET && cell <= CELL_TARGET)
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
