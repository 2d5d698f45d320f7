//! Long work with one living line on a terminal, and with plain lines elsewhere.

use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::problem::{Problem, Result};

/// The living lines of all steps that go on at once.
static LINES: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// One step, from its start to [`ProgressLine::done`].
#[derive(Debug)]
pub struct ProgressLine {
    bar: Option<ProgressBar>,
    name: String,
    started: Instant,
    said: Arc<Mutex<Said>>,
    /// Dropped with the step, which ends the thread that speaks where the step is silent.
    _speaks: Option<mpsc::Sender<()>>,
}

/// What a step said last off a terminal, and when it spoke.
#[derive(Debug)]
struct Said {
    line: String,
    at: Instant,
}

/// Off a terminal, a running step speaks this often.
const QUIET: Duration = Duration::from_secs(15);

impl ProgressLine {
    /// Starts the step and says so.
    pub fn start(name: impl Into<String>) -> ProgressLine {
        ProgressLine::expecting(name, None)
    }

    /// Starts the step and says so, and how long it will take.
    pub fn expecting(name: impl Into<String>, expected: Option<Duration>) -> ProgressLine {
        let name = name.into();
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = LINES.add(ProgressBar::new_spinner());
            let of = expected.map(|expected| format!(" of {}", about(expected))).unwrap_or_default();
            let style = ProgressStyle::with_template(&format!("{{spinner}} {{prefix}}  {{elapsed}}{of}  {{wide_msg}}"));
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_prefix(name.clone());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        let started = Instant::now();
        let said = Arc::new(Mutex::new(Said { line: String::new(), at: started }));
        let speaks = bar.is_none().then(|| {
            match expected {
                Some(expected) => eprintln!("{name}: {} ...", about(expected)),
                None => eprintln!("{name} ..."),
            }
            let (ends, ended) = mpsc::channel();
            let (name, said) = (name.clone(), Arc::clone(&said));
            std::thread::spawn(move || speak_while(&name, started, expected, &said, &ended));
            ends
        });
        ProgressLine { bar, name, started, said, _speaks: speaks }
    }

    /// What the step is doing.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(line.trim().to_owned()),
            None => self.said.lock().unwrap_or_else(PoisonError::into_inner).line = line.trim().to_owned(),
        }
    }

    /// Says which crate a line of cargo's is about, if it is about one, and counts them.
    pub fn say_crate(&self, crates: &mut usize, line: &str) {
        if line.trim_start().starts_with("Compiling") {
            *crates += 1;
            self.say(&format!("{crates} crates, {}", line.trim()));
        }
    }

    /// A line that stays.
    pub fn print(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| println!("{line}")),
            None => {
                println!("{line}");
                self.said.lock().unwrap_or_else(PoisonError::into_inner).at = Instant::now();
            }
        }
    }

    /// Ends the step well; returns how long it took.
    pub fn done(self) -> Duration {
        let took = self.started.elapsed();
        let line = format!("{}: done in {}", self.name, seconds(took));
        drop(self);
        LINES.suspend(|| eprintln!("{line}"));
        took
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Says on plain lines what a step does, until it ends.
fn speak_while(
    name: &str,
    started: Instant,
    expected: Option<Duration>,
    said: &Mutex<Said>,
    ended: &mpsc::Receiver<()>,
) {
    while ended.recv_timeout(Duration::from_millis(200)) == Err(mpsc::RecvTimeoutError::Timeout) {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.at.elapsed() > QUIET {
            said.at = Instant::now();
            eprintln!("{}", still(name, started.elapsed(), expected, &said.line));
        }
    }
}

/// The line of a step that is not done yet.
fn still(name: &str, elapsed: Duration, expected: Option<Duration>, line: &str) -> String {
    let of = expected.map(|expected| format!(" of {}", about(expected))).unwrap_or_default();
    let short = name.split([':', '(']).next().unwrap_or(name).trim();
    format!("  {short}: {:.0} s{of}  {line}", elapsed.as_secs_f64()).trim_end().to_owned()
}

/// A duration that is a guess.
pub fn about(duration: Duration) -> String {
    match duration.as_secs_f64() {
        few if few < 10.0 => "some seconds".to_owned(),
        some if some < 90.0 => format!("about {:.0} s", (some / 10.0).round() * 10.0),
        many => format!("about {:.0} min", many / 60.0),
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
pub struct ProgramEnd {
    /// How it ended.
    pub status: ExitStatus,
    /// Its last lines on either stream.
    pub tail: Vec<String>,
}

impl ProgramEnd {
    /// The last line that looks like the reason for a failure.
    pub fn reason(&self) -> String {
        let error = |line: &&String| line.to_ascii_lowercase().contains("error");
        let spoken = |line: &&String| !line.trim().is_empty();
        let line = self.tail.iter().rev().find(error).or(self.tail.iter().rev().find(spoken));
        line.map_or_else(|| self.status.to_string(), |line| line.trim().to_owned())
    }
}

/// Runs `command`, gives every line of either stream to `on_line`, keeps the last ones.
pub fn run(command: &mut Command, on_line: impl FnMut(&str)) -> Result<ProgramEnd> {
    run_unless(&AtomicBool::new(false), command, on_line)
}

/// [`run`], ended early once `stop` is true.
pub fn run_unless(stop: &AtomicBool, command: &mut Command, mut on_line: impl FnMut(&str)) -> Result<ProgramEnd> {
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
    loop {
        let line = match lines.recv_timeout(Duration::from_millis(200)) {
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            _ if stop.load(Ordering::Relaxed) => {
                child.kill().map_err(Problem::at(&program))?;
                break;
            }
            Err(mpsc::RecvTimeoutError::Timeout) => continue,
            Ok(line) => line,
        };
        on_line(&line);
        tail.push_back(line);
        if tail.len() > 200 {
            tail.pop_front();
        }
    }
    let status = child.wait().map_err(Problem::at(&program))?;
    Ok(ProgramEnd { status, tail: tail.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guess_is_said_as_roughly_as_it_is_known() {
        let said = |seconds| about(Duration::from_secs(seconds));
        assert_eq!(
            [said(4), said(47), said(89), said(95), said(605)].join(", "),
            "some seconds, about 50 s, about 90 s, about 2 min, about 10 min"
        );
    }

    #[test]
    fn a_silent_step_tells_its_short_name_its_time_and_what_it_does() {
        let (elapsed, expected) = (Duration::from_secs(61), Some(Duration::from_secs(400)));
        let line = still("Rust kernel (once per machine)", elapsed, expected, "12 crates");
        assert_eq!(line, "  Rust kernel: 61 s of about 7 min  12 crates");
        assert_eq!(still("1-train", elapsed, None, ""), "  1-train: 61 s");
    }

    #[test]
    fn a_program_is_ended_when_it_is_to_stop_and_not_before() {
        let started = Instant::now();
        let ended = run_unless(&AtomicBool::new(true), Command::new("sleep").arg("30"), |_| {}).unwrap();
        assert!(!ended.status.success() && started.elapsed() < Duration::from_secs(20));
        let ended = run(Command::new("sh").args(["-c", "sleep 0.5; echo late"]), |_| {}).unwrap();
        assert!(ended.status.success() && ended.tail == ["late"]);
    }
}
