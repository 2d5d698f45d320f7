//! Long work with one living line on a terminal, and with plain lines elsewhere.

use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::problem::{Problem, Result};

/// One step, from its start to [`Step::done`].
#[derive(Debug)]
pub struct Step {
    bar: Option<ProgressBar>,
    name: String,
    started: Instant,
    last_said: std::cell::Cell<Instant>,
}

/// Off a terminal, a running step speaks at most this often.
const QUIET: Duration = Duration::from_secs(20);

impl Step {
    /// Starts the step and says so.
    pub fn start(name: impl Into<String>) -> Step {
        let name = name.into();
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            let style = ProgressStyle::with_template("{spinner} {prefix}  {elapsed}  {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_prefix(name.clone());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            eprintln!("{name} ...");
        }
        let now = Instant::now();
        Step { bar, name, started: now, last_said: std::cell::Cell::new(now) }
    }

    /// What the step is doing.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(line.trim().to_owned()),
            None if self.last_said.get().elapsed() > QUIET => {
                self.last_said.set(Instant::now());
                eprintln!("  {:>4.0} s  {}", self.started.elapsed().as_secs_f64(), line.trim());
            }
            None => {}
        }
    }

    /// A line that stays.
    pub fn print(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| println!("{line}")),
            None => println!("{line}"),
        }
    }

    /// Ends the step well.
    pub fn done(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        eprintln!("{}: done in {}", self.name, seconds(self.started.elapsed()));
    }

    /// Ends the step without a word.
    pub fn clear(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A duration as people say it.
pub fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 100.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{} min {:02} s", duration.as_secs() / 60, duration.as_secs() % 60)
    }
}

/// What a program said and how it ended.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// Its last lines on either stream.
    pub tail: Vec<String>,
}

impl Ended {
    /// The last line that looks like the reason for a failure.
    pub fn reason(&self) -> String {
        let error = |line: &&String| line.to_ascii_lowercase().contains("error");
        let spoken = |line: &&String| !line.trim().is_empty();
        let line = self.tail.iter().rev().find(error).or(self.tail.iter().rev().find(spoken));
        line.map_or_else(|| self.status.to_string(), |line| line.trim().to_owned())
    }
}

/// Runs `command`, gives every line of either stream to `on_line`, keeps the last ones.
pub fn run(command: &mut Command, mut on_line: impl FnMut(&str)) -> Result<Ended> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Problem::at(&program))?;
    let (sender, lines) = mpsc::channel();
    let streams: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|stream| Box::new(stream) as _),
        child.stderr.take().map(|stream| Box::new(stream) as _),
    ];
    for stream in streams.into_iter().flatten() {
        let sender = sender.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(|line| line.ok()) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
            }
        });
    }
    drop(sender);
    let mut tail = std::collections::VecDeque::new();
    for line in lines {
        on_line(&line);
        tail.push_back(line);
        if tail.len() > 200 {
            tail.pop_front();
        }
    }
    let status = child.wait().map_err(Problem::at(&program))?;
    Ok(Ended { status, tail: tail.into() })
}
