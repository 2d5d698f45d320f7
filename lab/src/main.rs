//! `cargo lab`: set-up, kernel, headless notebooks and checks.

mod bench;
mod checkout;
mod doctor;
mod install;
mod open;
mod problem;
mod progress;
mod report;
mod run;
mod setup;
mod test;

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use problem::{Problem, Result};

/// Everything around the notebooks. Each command first does what set-up is still missing.
#[derive(Debug, Parser)]
#[command(name = "cargo lab", bin_name = "cargo lab", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Execute the notebooks and write them with their pictures
    Run(run::Args),
    /// Check everything: format, clippy, tests, notebooks, docs
    Test,
    /// Open JupyterLab with the kernel ready
    Open(open::Args),
    /// Say what was found; installs nothing
    Doctor,
    /// Put the command `humerus` on the PATH, with shell completion
    Install(install::Args),
    /// Run a command inside the environment, for example `cargo lab exec -- cargo test -p humerus`
    Exec {
        /// The command and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<OsString>,
    },
    /// Measure
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.command {
        Command::Run(options) => run::run(options),
        Command::Test => test::run(),
        Command::Open(options) => open::run(options),
        Command::Doctor => doctor::run(),
        Command::Install(options) => install::run(options),
        Command::Exec { command } => exec(command),
        Command::Bench(options) => bench::run(options),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Becomes `command`, inside the environment.
fn exec(command: &[OsString]) -> Result<bool> {
    let ready = setup::complete()?;
    let (program, arguments) = command.split_first().ok_or_else(|| Problem::new("no command"))?;
    let error = ready.command(program).args(arguments).exec();
    Err(Problem::new(format!("{}: {error}", program.to_string_lossy())))
}
