//! `cargo lab test`: every check there is, one plain line at the end.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::problem::{Problem, Result, one_line};
use crate::progress::{self, seconds};
use crate::report::TextTable;
use crate::run::{self, DeviceName, Plan};
use crate::setup::{self, Ready};

/// The settings that make the notebooks short enough for a check.
const SHORT: [(&str, &str); 3] = [("HUMERUS_STUDIES", "12"), ("HUMERUS_EPOCHS", "1"), ("HUMERUS_SIZE", "64")];

/// Tells the lab's own tests that environment and kernel are there.
const KERNEL_TESTS: &str = "HUMERUS_LAB_KERNEL_TESTS";

/// How many checks went which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
    /// Tests that said `skipped:` in a binary whose summary, which counts them as passed, is still to come.
    said_skipped: usize,
}

impl Counts {
    fn one(well: bool) -> Counts {
        Counts { passed: usize::from(well), failed: usize::from(!well), ..Counts::default() }
    }

    fn add(&mut self, other: Counts) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// The summary: `3 passed, 0 failed`, with `, 1 skipped` where there is one.
    fn line(&self) -> String {
        let mut line = format!("{} passed, {} failed", self.passed, self.failed);
        if self.skipped > 0 {
            line += &format!(", {} skipped", self.skipped);
        }
        line
    }

    /// Takes a line of `cargo test` into account. A test that could not do its work prints `skipped: why`, and passes.
    fn read(&mut self, line: &str) {
        if let Some(summary) = line.strip_prefix("test result: ") {
            let number = |what: &str| -> usize {
                let before = summary.split(what).next().filter(|before| before.len() < summary.len());
                before
                    .and_then(|before| before.split_whitespace().last())
                    .and_then(|word| word.parse().ok())
                    .unwrap_or(0)
            };
            let said = std::mem::take(&mut self.said_skipped);
            self.passed += number(" passed").saturating_sub(said);
            self.failed += number(" failed");
            self.skipped += number(" ignored") + said;
        } else if line.starts_with("skipped: ") {
            self.said_skipped += 1;
        }
    }
}

/// The stages that have run.
#[derive(Debug, Default)]
struct Stages {
    done: Vec<(String, Counts, Duration)>,
    problems: Vec<String>,
}

impl Stages {
    fn stage(&mut self, name: &str, work: impl FnOnce() -> Result<Counts>) -> bool {
        println!("\n== {name}");
        let started = Instant::now();
        let counts = work().unwrap_or_else(|problem| {
            println!("error: {problem}");
            self.problems.push(format!("{name}: {problem}"));
            Counts::one(false)
        });
        println!("== {name}: {} in {}", counts.line(), seconds(started.elapsed()));
        self.done.push((name.to_owned(), counts, started.elapsed()));
        counts.failed == 0
    }
}

/// `cargo lab test`.
pub fn run() -> Result<bool> {
    let ready = setup::complete()?;
    let mut stages = Stages::default();
    stages.stage("format", || check(&mut cargo(&ready, &["fmt", "--check"])));
    stages.stage("clippy", || {
        // Package by package: their dependencies' features, so their builds, are then those of the tests.
        let crate_ = check(&mut cargo(
            &ready,
            &["clippy", "--quiet", "--workspace", "--exclude", "lab", "--all-targets", "--", "-D", "warnings"],
        ))?;
        let lab =
            check(&mut cargo(&ready, &["clippy", "--quiet", "-p", "lab", "--all-targets", "--", "-D", "warnings"]))?;
        Ok(Counts::one(crate_.failed + lab.failed == 0))
    });
    stages.stage("tests of the crates", || {
        let words = ["test", "--workspace", "--exclude", "lab", "--no-fail-fast", "--", "--show-output"];
        tests(cargo(&ready, &words).env("EVCXR_JUPYTER", setup::evcxr::path(&ready.cache)))
    });
    let warm = stages.stage("kernel", || ready.warm().map(|()| Counts::one(true)));
    stages.stage("tests of the lab", || {
        let mut command =
            cargo(&ready, &["test", "-p", "lab", "--profile", "lab", "--no-fail-fast", "--", "--show-output"]);
        if warm {
            command.env(KERNEL_TESTS, "1");
        }
        tests(&mut command)
    });
    match warm {
        true => drop(stages.stage("notebooks", || notebooks(&ready))),
        false => drop(stages.stage("notebooks", || Err(Problem::new("not run: there is no kernel")))),
    }
    stages.stage("docs", || {
        let mut command = cargo(&ready, &["doc", "--quiet", "--no-deps", "--workspace"]);
        check(command.env("RUSTDOCFLAGS", "-Dwarnings"))
    });

    let mut all = Counts::default();
    let mut table = TextTable::new(["stage", "passed", "failed", "skipped", "seconds"]);
    for (name, counts, took) in &stages.done {
        all.add(*counts);
        let numbers = [counts.passed, counts.failed, counts.skipped].map(|count| count.to_string());
        let [passed, failed, skipped] = numbers;
        table.row([name.clone(), passed, failed, skipped, format!("{:.1}", took.as_secs_f64())]);
    }
    println!("\n{table}");
    stages.problems.iter().for_each(|problem| println!("{problem}"));
    println!("{}", all.line());
    Ok(all.failed == 0)
}

/// Cargo inside the environment, at the root of the checkout.
fn cargo(ready: &Ready, arguments: &[&str]) -> Command {
    let mut command = ready.command("cargo");
    command.args(arguments).current_dir(&ready.checkout.root).env("CARGO_TERM_COLOR", "never");
    command
}

/// A command that counts as one check.
fn check(command: &mut Command) -> Result<Counts> {
    let ended = progress::run(command, |line| println!("{line}"))?;
    Ok(Counts::one(ended.status.success()))
}

/// A `cargo test`, whose tests count one by one.
fn tests(command: &mut Command) -> Result<Counts> {
    let mut counts = Counts::default();
    let ended = progress::run(command, |line| {
        println!("{line}");
        counts.read(line);
    })?;
    if !ended.status.success() && counts.failed == 0 {
        println!("{}", one_line(&ended.reason()));
        counts.failed = 1; // it did not compile, or a test process died
    }
    Ok(counts)
}

/// The project's notebooks, with short settings.
fn notebooks(ready: &Ready) -> Result<Counts> {
    let plan = Plan {
        data: None,
        notebooks: ready.checkout.notebooks(),
        out: ready.checkout.root.join("target/lab-notebooks"),
        device: DeviceName::Cpu,
        variables: SHORT.map(|(name, value)| (name, value.to_owned())).to_vec(),
    };
    let mut counts = Counts::default();
    if plan.notebooks.is_empty() {
        println!("skipped: notebooks/ holds no notebook yet");
        counts.skipped = 1;
        return Ok(counts);
    }
    std::fs::create_dir_all(&plan.out).map_err(Problem::at(&plan.out))?;
    let outcomes = run::execute(ready, &plan)?;
    run::print_table(&plan, &outcomes);
    outcomes.iter().for_each(|outcome| counts.add(Counts::one(outcome.failure.is_none())));
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_over_several_test_binaries() {
        let mut counts = Counts::default();
        for line in [
            "running 3 tests",
            "test a ... ok",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: FAILED. 12 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s",
        ] {
            counts.read(line);
        }
        let wanted = Counts { passed: 15, failed: 2, skipped: 1, said_skipped: 0 };
        assert_eq!(counts, wanted);
        assert_eq!(counts.line(), "15 passed, 2 failed, 1 skipped");
    }

    #[test]
    fn a_test_that_says_it_was_skipped_does_not_count_as_passed() {
        let mut counts = Counts::default();
        counts.read("skipped: no GPU");
        counts.read("test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured");
        assert_eq!(counts.line(), "2 passed, 0 failed, 1 skipped");
    }

    #[test]
    fn the_summary_without_skips_is_plain() {
        assert_eq!(Counts::one(true).line(), "1 passed, 0 failed");
    }
}
