//! What a warm kernel costs.

use serde::Deserialize;

use super::{extremes, median, verdict};
use crate::problem::{Problem, Result};
use crate::progress::{self, ProgressLine};
use crate::report::{TextTable, clip};
use crate::setup;

/// Seconds from starting a kernel to the first result that needs the crate: the target on two cores.
const START_TARGET: f64 = 20.0;
/// Seconds that a later cell may cost beyond its own work (median): the target on two cores.
const CELL_TARGET: f64 = 1.0;
const REPEATS: usize = 3;

#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum BenchEvent {
    Started { seconds: f64, kernel: f64 },
    Cell { line: String, seconds: f64 },
    End { failure: Option<String> },
}

/// `cargo lab bench kernel`.
pub fn run() -> Result<bool> {
    let ready = setup::complete_and_warm()?;
    let (mut answers, mut starts) = (Vec::new(), Vec::new());
    let mut cells: Vec<(String, Vec<f64>)> = Vec::new();
    for repeat in 1..=REPEATS {
        let step = ProgressLine::start(format!("kernel, {repeat} of {REPEATS}"));
        let mut failure = Some("no report".to_owned());
        let ended =
            progress::run(
                ready.script("bench.py").arg(ready.checkout.crate_dir()),
                |line| match serde_json::from_str(line) {
                    Ok(BenchEvent::Started { seconds, kernel }) => {
                        starts.push(seconds);
                        answers.push(kernel);
                    }
                    Ok(BenchEvent::Cell { line, seconds }) => {
                        step.say(&line);
                        match cells.iter_mut().find(|(known, _)| *known == line) {
                            Some((_, times)) => times.push(seconds),
                            None => cells.push((line, vec![seconds])),
                        }
                    }
                    Ok(BenchEvent::End { failure: reported }) => failure = reported,
                    Err(_) => {}
                },
            )?;
        if let Some(failure) = failure {
            return Err(Problem::new(format!("bench kernel: {failure} {}", ended.reason())));
        }
        step.done();
    }

    let mut table = TextTable::new(["measured", "median s", "least s", "greatest s"]);
    let mut row = |name: String, times: &[f64]| {
        let (least, greatest) = extremes(times);
        table.row([name, format!("{:.2}", median(times)), format!("{least:.2}"), format!("{greatest:.2}")]);
    };
    row("kernel answers".to_owned(), &answers);
    row("first result that needs the crate".to_owned(), &starts);
    for (line, times) in &cells {
        row(format!("  {}", clip(line, 64)), times);
    }
    println!("{table}");
    let (start, cell) = (median(&starts), median(&cells.iter().map(|(_, times)| median(times)).collect::<Vec<_>>()));
    println!("warm start {start:.2} s (target {START_TARGET:.0} s: {})", verdict(start <= START_TARGET));
    println!("later cells, median overhead {cell:.2} s (target {CELL_TARGET:.1} s: {})", verdict(cell <= CELL_TARGET));
    Ok(start <= START_TARGET && cell <= CELL_TARGET)
}
