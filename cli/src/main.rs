//! The `humerus` command: the crate's functions for scripts. One file a subcommand.
//!
//! Results go to standard output, as text or with `--json` as one JSON object; an error is one line on standard error
//! and exit code 1; wrong usage is exit code 2.

mod calibrate;
mod completions;
mod explain;
mod export;
mod flags;
mod index;
mod layers;
mod output;
mod phantom;
mod pretrain;
mod score;
mod signal;
mod source;
mod train;
mod weights;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use humerus::{Error, Result, shortage};

/// Deep learning on X-rays. Not for clinical use.
#[derive(Debug, Parser)]
#[command(name = "humerus", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List what a data set holds, and every file that could not be used
    Index(index::Args),
    /// Draw simulated radiographs, in MURA's layout with the true fracture masks beside
    Phantom(phantom::Args),
    /// Train first weights on simulated radiographs, for `train --weights`
    Pretrain(pretrain::Args),
    /// Train a network and save the best and the last model
    Train(Box<train::Args>),
    /// Score films and folders with a saved model
    Score(score::Args),
    /// Fit temperature and operating point of a saved model anew, on labelled films of your own
    Calibrate(calibrate::Args),
    /// Draw the heat map of a saved model over a film
    Explain(explain::Args),
    /// List the layers of a saved model that `explain` takes
    Layers(layers::Args),
    /// Write a saved model as ONNX or TorchScript, or as a folder for the Hugging Face hub
    Export(export::Args),
    /// Fetch or read a weight file, and show what of it a network takes
    Weights(weights::Args),
    /// Print the script with which a shell completes this command; `cargo lab install` puts it in place
    Completions(completions::Args),
}

impl Command {
    /// How an error is told.
    fn words(&self) -> fn(&Error) -> String {
        match self {
            Command::Train(_) => train::words,
            Command::Weights(_) => weights::words,
            _ => Error::to_string,
        }
    }

    fn run(self) -> Result<()> {
        match self {
            Command::Index(args) => args.run(),
            Command::Phantom(args) => args.run(),
            Command::Pretrain(args) => args.run(),
            Command::Train(args) => args.run(),
            Command::Score(args) => args.run(),
            Command::Calibrate(args) => args.run(),
            Command::Explain(args) => args.run(),
            Command::Layers(args) => args.run(),
            Command::Export(args) => args.run(),
            Command::Weights(args) => args.run(),
            Command::Completions(args) => args.run(),
        }
    }
}

/// Keeps panics for want of memory quiet, since they become an error of one line; all others are told as ever.
fn quiet_about_memory() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.payload_as_str().is_some_and(shortage::is_memory) {
            usual(panic);
        }
    }));
}

fn main() -> ExitCode {
    signal::survive_file_limit();
    let command = Cli::parse().command;
    let words = command.words();
    quiet_about_memory();
    match shortage::told(|| command.run()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has enough, as `head` does.
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let line = words(&error).lines().map(str::trim).collect::<Vec<_>>().join(" ");
            // If standard error is closed too, the exit code is all that is left to say.
            let _ = writeln!(std::io::stderr(), "error: {line}");
            ExitCode::FAILURE
        }
    }
}
