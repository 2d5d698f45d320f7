//! `cargo lab run`: the notebooks, executed headless, each in a kernel of its own.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::Deserialize;

use crate::problem::{Problem, Result, one_line};
use crate::progress::{self, ProgressLine, seconds};
use crate::report::{TextTable, clip};
use crate::setup::{self, Ready, durations};

/// Where tensors are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeviceName {
    /// The GPU if there is one.
    Auto,
    /// The processor.
    Cpu,
    /// The GPU.
    Cuda,
}

impl DeviceName {
    fn name(self) -> &'static str {
        match self {
            DeviceName::Auto => "auto",
            DeviceName::Cpu => "cpu",
            DeviceName::Cuda => "cuda",
        }
    }
}

/// What to run, on what, where to.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// X-rays in MURA's or FracAtlas's layout; without it, built-in phantoms
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where notebooks, pages and the trained model go [default: out/ of the checkout]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Where tensors are computed
    #[arg(long, value_enum, default_value_t = DeviceName::Auto)]
    pub device: DeviceName,
    /// Weights to start training from: random, imagenet, hub:OWNER/NAME/FILE, or a file [default: ImageNet's for real
    /// films]
    #[arg(long, value_name = "WEIGHTS")]
    pub weights: Option<String>,
    /// A notebook by name or path, may be repeated [default: 1-train, 2-load, 3-visualize]
    #[arg(long = "notebook", value_name = "NAME_OR_PATH")]
    pub notebooks: Vec<PathBuf>,
}

/// Why a notebook failed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CellFailure {
    /// Which code cell, from 1; 0 if none had begun.
    pub cell: usize,
    /// Its first line.
    pub line: String,
    /// What went wrong.
    pub message: String,
}

/// What came of one notebook.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The notebook.
    pub notebook: PathBuf,
    /// Cells that ran to their end, of how many.
    pub cells: (usize, usize),
    /// How long it took.
    pub took: Duration,
    /// Pictures among the outputs.
    pub pictures: usize,
    /// Why it failed, if it did.
    pub failure: Option<CellFailure>,
}

#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum RunEvent {
    Notebook { cells: usize },
    Building { line: String },
    Cell { line: String },
    Stream { name: String, text: String },
    Done { seconds: f64, pictures: usize },
    End { failure: Option<CellFailure>, pictures: usize },
}

/// Checks what can be checked before anything starts: paths and names.
pub fn resolve(options: &Args) -> Result<Plan> {
    let checkout = crate::checkout::Checkout::find()?;
    let data = match &options.data {
        None => None,
        Some(path) if path.is_dir() => Some(path.canonicalize().map_err(Problem::at(path))?),
        Some(path) => {
            let what = if path.exists() { "is not a folder" } else { "does not exist" };
            return Err(Problem::new(format!("--data {}: {what}", path.display())));
        }
    };
    let notebooks = match options.notebooks.is_empty() {
        true => checkout.notebooks(),
        false => options.notebooks.iter().map(|name| checkout.notebook(name)).collect::<Result<_>>()?,
    };
    if notebooks.is_empty() {
        return Err(Problem::new("notebooks/ holds no notebook"));
    }
    let out = options.out.clone().unwrap_or_else(|| checkout.root.join("out"));
    let out = std::path::absolute(&out).map_err(Problem::at(&out))?;
    std::fs::create_dir_all(&out).map_err(Problem::at(&out))?;
    // Notebooks run in a folder of their own: a file's path must hold there too.
    let weights = options.weights.iter().map(|weights| match Path::new(weights).canonicalize() {
        Ok(path) => ("HUMERUS_WEIGHTS", path.display().to_string()),
        Err(_) => ("HUMERUS_WEIGHTS", weights.clone()),
    });
    Ok(Plan { data, notebooks, out, device: options.device, variables: weights.collect() })
}

/// What will be executed.
#[derive(Debug, Clone)]
pub struct Plan {
    /// X-rays, if not phantoms.
    pub data: Option<PathBuf>,
    /// The notebooks, in order.
    pub notebooks: Vec<PathBuf>,
    /// Where results go.
    pub out: PathBuf,
    /// Where tensors are computed.
    pub device: DeviceName,
    /// More of the environment.
    pub variables: Vec<(&'static str, String)>,
}

/// `cargo lab run`.
pub fn run(options: &Args) -> Result<bool> {
    let plan = resolve(options)?;
    let ready = setup::complete_and_warm()?;
    let outcomes = execute(&ready, &plan)?;
    print_table(&plan, &outcomes);
    Ok(outcomes.iter().all(|outcome| outcome.failure.is_none()))
}

/// Executes the notebooks in order. After a failed `1-train` the ones that load its model do not run.
pub fn execute(ready: &Ready, plan: &Plan) -> Result<Vec<Outcome>> {
    let mut outcomes: Vec<Outcome> = Vec::new();
    for notebook in &plan.notebooks {
        let of_project = notebook.starts_with(ready.checkout.root.join("notebooks"));
        let untrained =
            outcomes.iter().any(|earlier| earlier.failure.is_some() && stem(&earlier.notebook) == "1-train");
        if of_project && untrained {
            outcomes.push(Outcome {
                notebook: notebook.clone(),
                cells: (0, 0),
                took: Duration::ZERO,
                pictures: 0,
                failure: Some(CellFailure {
                    cell: 0,
                    line: String::new(),
                    message: "not run: 1-train failed, so there is no model".to_owned(),
                }),
            });
            continue;
        }
        outcomes.push(execute_one(ready, plan, notebook)?);
    }
    Ok(outcomes)
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn execute_one(ready: &Ready, plan: &Plan, notebook: &Path) -> Result<Outcome> {
    let name = stem(notebook);
    let mut command = ready.script("execute.py");
    command
        .arg(notebook)
        .arg(plan.out.join(format!("{name}.ipynb")))
        .arg(plan.out.join(format!("{name}.html")))
        .env("HUMERUS_RUN", plan.out.join("run"))
        .env("HUMERUS_DEVICE", plan.device.name())
        .env_remove("HUMERUS_DATA")
        .envs(plan.variables.iter().map(|(name, value)| (name, value)));
    if let Some(data) = &plan.data {
        command.env("HUMERUS_DATA", data);
    }

    // Phantoms by the default settings take as long each time; of films nothing is known.
    let kind = (plan.data.is_none() && plan.variables.is_empty()).then(|| format!("notebook {name}"));
    let step = ProgressLine::expecting(&name, kind.as_ref().and_then(|kind| durations::expected(&ready.cache, kind)));
    let started = Instant::now();
    let mut outcome =
        Outcome { notebook: notebook.to_owned(), cells: (0, 0), took: Duration::ZERO, pictures: 0, failure: None };
    let (mut ended_well, mut current, mut position) = (false, String::new(), 0);
    let ended = progress::run(&mut command, |line| {
        let Ok(event) = serde_json::from_str(line) else {
            return;
        };
        match event {
            RunEvent::Notebook { cells } => outcome.cells.1 = cells,
            RunEvent::Building { line } => {
                if line.trim_start().starts_with("Compiling") {
                    step.say(&format!("{position}/{} {}", outcome.cells.1, line.trim()));
                }
            }
            RunEvent::Cell { line } => {
                position += 1;
                current = clip(&line, 70);
                step.say(&format!("{position}/{} {current}", outcome.cells.1));
            }
            RunEvent::Stream { name, text } => {
                if name == "stdout" {
                    text.lines().for_each(|line| step.print(&format!("    {line}")));
                }
            }
            RunEvent::Done { seconds, pictures } => {
                outcome.cells.0 += 1;
                let shown = match pictures {
                    0 => String::new(),
                    _ => ", picture".to_owned(),
                };
                step.print(&format!("  {position}/{} {current}  ({seconds:.1} s{shown})", outcome.cells.1));
            }
            RunEvent::End { failure, pictures } => {
                ended_well = true;
                outcome.failure = failure;
                outcome.pictures = pictures;
            }
        }
    })?;
    drop(step);
    outcome.took = started.elapsed();
    if !ended_well {
        outcome.failure = Some(CellFailure {
            cell: position,
            line: current,
            message: format!("the runner ended early: {}", ended.reason()),
        });
    }
    match (&outcome.failure, &kind) {
        (Some(failure), _) => println!("{}", describe(notebook, failure)),
        (None, Some(kind)) => durations::took(&ready.cache, kind, outcome.took),
        (None, None) => {}
    }
    Ok(outcome)
}

/// One line that names notebook, cell and error.
pub fn describe(notebook: &Path, failure: &CellFailure) -> String {
    let file = notebook.file_name().unwrap_or_default().to_string_lossy();
    let message = one_line(&failure.message);
    match failure.cell {
        0 => format!("FAILED {file}: {message}"),
        cell => format!("FAILED {file}, cell {cell} (`{}`): {message}", clip(&failure.line, 70)),
    }
}

/// The closing table.
pub fn print_table(plan: &Plan, outcomes: &[Outcome]) {
    let mut table = TextTable::new(["notebook", "cells", "seconds", "pictures", "result"]);
    for outcome in outcomes {
        let (done, all) = outcome.cells;
        table.row([
            stem(&outcome.notebook),
            format!("{done}/{all}"),
            format!("{:.1}", outcome.took.as_secs_f64()),
            outcome.pictures.to_string(),
            match &outcome.failure {
                None => "ok".to_owned(),
                Some(failure) if failure.cell > 0 => format!("failed in cell {}", failure.cell),
                Some(failure) if failure.message.starts_with("not run") => "not run".to_owned(),
                Some(_) => "failed".to_owned(),
            },
        ]);
    }
    println!("\n{table}");
    for outcome in outcomes {
        if let Some(failure) = &outcome.failure {
            println!("{}", describe(&outcome.notebook, failure));
        }
    }
    let total: Duration = outcomes.iter().map(|outcome| outcome.took).sum();
    println!("{} in {}", plan.out.display(), seconds(total));
}
