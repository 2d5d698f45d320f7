//! The Python environment: an active conda environment that satisfies the pins, else one of our own in the cache.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::cache::digest;
use super::evcxr::is_network;
use super::{Cache, durations, outside_cargo};
use crate::checkout::Checkout;
use crate::problem::{Problem, Result, one_line};
use crate::progress::{self, ProgressLine};

/// Versions of Python that the pinned packages have wheels for.
const OLDEST: (u32, u32) = (3, 10);
const NEWEST: (u32, u32) = (3, 14);

/// Whose environment it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ours, in the cache.
    Cached,
    /// The user's conda environment.
    Conda,
}

/// A complete Python environment.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Whose it is.
    pub kind: Kind,
    /// Its folder (`sys.prefix`).
    pub prefix: PathBuf,
    /// Its interpreter.
    pub python: PathBuf,
    /// The folder of the package `torch`.
    pub torch: PathBuf,
    /// For example `3.12`.
    pub version: String,
}

/// What set-up will do about Python.
#[derive(Debug)]
pub enum PythonPlan {
    /// This one is complete.
    Use(Environment),
    /// Make one here, from this interpreter.
    Make {
        /// The interpreter to start from.
        base: Base,
        /// The environment's folder.
        prefix: PathBuf,
        /// Why the active conda environment is not used, if there is one.
        conda: Option<String>,
    },
}

/// An interpreter that can make environments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// How it is called.
    pub program: PathBuf,
    /// For example `3.12`.
    pub version: String,
}

/// What `inspect.py` reports.
#[derive(Debug, Deserialize)]
struct InspectReport {
    version: (u32, u32),
    prefix: PathBuf,
    executable: PathBuf,
    venv: bool,
    #[serde(default)]
    torch: Option<PathBuf>,
    #[serde(default)]
    unsatisfied: Vec<String>,
}

const INSPECT: &str = include_str!("../../python/inspect_environment.py");

/// Asks an interpreter about itself, and whether it satisfies `requirements`.
fn inspect(python: &Path, requirements: Option<&Path>) -> Option<InspectReport> {
    let output = outside_cargo(python)
        .args(["-E", "-s", "-c", INSPECT])
        .args(requirements)
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    serde_json::from_slice(&output.stdout).ok()
}

/// Looks at what there is; changes nothing.
pub fn plan(checkout: &Checkout, cache: &Cache) -> Result<PythonPlan> {
    let lock = checkout.lab("requirements.lock");
    let key = digest(std::fs::read(&lock).map_err(Problem::at(&lock))?);

    let mut unfit = None;
    if let Some(prefix) = std::env::var_os("CONDA_PREFIX").filter(|prefix| !prefix.is_empty()) {
        let name = Path::new(&prefix).display().to_string();
        let python = Path::new(&prefix).join("bin/python");
        match inspect(&python, Some(&checkout.lab("requirements.in"))) {
            Some(report) if report.unsatisfied.is_empty() && report.torch.is_some() => {
                return Ok(PythonPlan::Use(Environment {
                    kind: Kind::Conda,
                    prefix: report.prefix,
                    python,
                    torch: report.torch.unwrap_or_default(),
                    version: format!("{}.{}", report.version.0, report.version.1),
                }));
            }
            Some(report) => {
                unfit = Some(format!("the conda environment {name} lacks {}", report.unsatisfied.join(", ")))
            }
            None => unfit = Some(format!("the conda environment {name} has no Python")),
        }
    }

    let named = std::env::var_os("HUMERUS_PYTHON_BASE").filter(|name| !name.is_empty()).map(PathBuf::from);
    if named.is_none()
        && let Some(environment) = newest_complete(cache, &key)
    {
        return Ok(PythonPlan::Use(environment));
    }
    let base = find_base(named)?;
    let prefix = cache.join(format!("python-{}-{key}", base.version));
    match complete_at(&prefix) {
        Some(environment) => Ok(PythonPlan::Use(environment)),
        None => Ok(PythonPlan::Make { base, prefix, conda: unfit }),
    }
}

/// A complete environment of this lock, whatever its Python.
fn newest_complete(cache: &Cache, key: &str) -> Option<Environment> {
    (OLDEST.1..=NEWEST.1).rev().find_map(|minor| complete_at(&cache.join(format!("python-3.{minor}-{key}"))))
}

/// The environment at `prefix`, if it was installed to its end and its interpreter still runs.
fn complete_at(prefix: &Path) -> Option<Environment> {
    if !prefix.join(".complete").is_file() {
        return None;
    }
    let python = prefix.join("bin/python");
    let report = inspect(&python, None)?;
    Some(Environment {
        kind: Kind::Cached,
        prefix: prefix.to_owned(),
        python,
        torch: report.torch?,
        version: format!("{}.{}", report.version.0, report.version.1),
    })
}

/// The interpreter to make an environment from.
fn find_base(named: Option<PathBuf>) -> Result<Base> {
    let candidates = match &named {
        Some(program) => vec![program.clone()],
        None => (OLDEST.1..=NEWEST.1)
            .rev()
            .map(|minor| PathBuf::from(format!("python3.{minor}")))
            .chain(["python3", "python"].map(PathBuf::from))
            .collect(),
    };
    let range = format!("Python {}.{} to {}.{}", OLDEST.0, OLDEST.1, NEWEST.0, NEWEST.1);
    let mut problem = Problem::new(format!("no Python (looked for {})", candidates[0].display()));
    if named.is_none() {
        problem = Problem::new(format!(
            "no Python (looked for python3.{} … python3.{}, python3, python)",
            NEWEST.1, OLDEST.1
        ));
    }
    problem = problem.mend(format!(
        "install {range} with venv (Debian, Ubuntu: `sudo apt install python3-venv`), or let HUMERUS_PYTHON_BASE name \
         one"
    ));
    for program in candidates {
        let Some(report) = inspect(&program, None) else {
            continue;
        };
        let version = format!("{}.{}", report.version.0, report.version.1);
        if report.version < OLDEST || report.version > NEWEST {
            let age = if report.version < OLDEST { "old" } else { "new" };
            problem = Problem::new(format!("Python {version} ({}) is too {age}", program.display()))
                .mend(format!("install {range}, or let HUMERUS_PYTHON_BASE name one"));
        } else if !report.venv {
            problem = Problem::new(format!("Python {version} ({}) has no venv", program.display())).mend(format!(
                "install it (Debian, Ubuntu: `sudo apt install python{version}-venv`), or let HUMERUS_PYTHON_BASE name \
                 another Python"
            ));
        } else {
            return Ok(Base { program: report.executable, version });
        }
    }
    Err(problem)
}

impl PythonPlan {
    /// Whether an environment must be made.
    pub fn is_missing(&self) -> bool {
        matches!(self, PythonPlan::Make { .. })
    }

    /// Carries the plan out.
    pub fn complete(self, checkout: &Checkout, cache: &Cache) -> Result<Environment> {
        match self {
            PythonPlan::Use(environment) => Ok(environment),
            PythonPlan::Make { base, prefix, conda } => {
                if let Some(unfit) = conda {
                    eprintln!("{unfit}; making an environment of our own");
                }
                let _lock = cache.lock("python")?;
                match complete_at(&prefix) {
                    Some(environment) => Ok(environment),
                    None => make(checkout, cache, &base, &prefix),
                }
            }
        }
    }
}

/// Makes the environment; its stamp comes last, so that an interrupted one is made again.
fn make(checkout: &Checkout, cache: &Cache, base: &Base, prefix: &Path) -> Result<Environment> {
    let step = ProgressLine::expecting(
        format!(
            "Python {} environment with torch and JupyterLab (once per machine, downloads about 3 GB)",
            base.version
        ),
        durations::expected(cache, "python"),
    );
    if prefix.exists() {
        step.say("removing an unfinished one");
        std::fs::remove_dir_all(prefix).map_err(Problem::at(prefix))?;
    }
    let made = progress::run(outside_cargo(&base.program).args(["-m", "venv"]).arg(prefix), |line| step.say(line))?;
    if !made.status.success() {
        let what = format!("{} cannot make an environment: {}", base.program.display(), made.reason());
        return Err(Problem::new(what)
            .mend(format!("install venv (Debian, Ubuntu: `sudo apt install python{}-venv`)", base.version)));
    }
    let python = prefix.join("bin/python");
    let installed = progress::run(
        outside_cargo(&python)
            .args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"])
            .args(["--require-hashes", "-r"])
            .arg(checkout.lab("requirements.lock")),
        |line| {
            if ["Collecting", "Downloading", "Installing", "Using cached"]
                .iter()
                .any(|start| line.trim_start().starts_with(start))
            {
                step.say(&line.chars().take(100).collect::<String>());
            }
        },
    )?;
    if !installed.status.success() {
        let no_network = installed.tail.iter().any(|line| is_network(line));
        let no_space = installed.tail.iter().any(|line| line.contains("No space left"));
        let what = format!("cannot install the Python packages: {}", one_line(&installed.reason()));
        return Err(Problem::new(what).mend(if no_space {
            "free some disk space and type the same command again"
        } else if no_network {
            "connect to the network and type the same command again"
        } else {
            "see the reason above, then type the same command again"
        }));
    }
    let stamp = prefix.join(".complete");
    std::fs::write(&stamp, "").map_err(Problem::at(&stamp))?;
    let environment = complete_at(prefix).ok_or_else(|| {
        Problem::new(format!("the new environment at {} has no torch", prefix.display()))
            .mend("remove it and try again")
    })?;
    durations::took(cache, "python", step.done());
    Ok(environment)
}
