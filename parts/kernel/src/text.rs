//! What a cell prints: gathered into few messages, and cut where it is too much.
//!
//! evcxr sends a message for each line, and twenty thousand of them held a browser for minutes. Lines that come within
//! 50 ms go together, and beyond one MiB a cell's output goes to a file, whole.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a line may wait for others.
const WAIT: Duration = Duration::from_millis(50);

/// How much is enough for one message.
const ENOUGH: usize = 16 << 10;

/// How much of a cell's output is shown.
pub(crate) const SHOWN: usize = 1 << 20;

/// How much of it is written to the file.
const WRITTEN: usize = 1 << 30;

/// Where a text was printed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    pub fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// The output of one cell.
#[derive(Debug)]
pub(crate) struct Text {
    runs: Vec<(Stream, String)>,
    waiting: usize,
    since: Option<Instant>,
    /// What was shown, kept until it is known whether a file is needed.
    shown: String,
    path: PathBuf,
    file: Option<std::io::Result<File>>,
    all: usize,
    hidden: (usize, usize),
}

impl Text {
    /// Output that goes to `path` if it is too much to show.
    pub fn new(path: PathBuf) -> Text {
        Text {
            runs: Vec::new(),
            waiting: 0,
            since: None,
            shown: String::new(),
            path,
            file: None,
            all: 0,
            hidden: (0, 0),
        }
    }

    /// Takes what was printed.
    pub fn push(&mut self, stream: Stream, text: &str, now: Instant) {
        if text.is_empty() {
            return;
        }
        self.all += text.len();
        if self.file.is_some() || self.shown.len() + text.len() > SHOWN {
            self.hide(text);
            return;
        }
        self.shown.push_str(text);
        self.waiting += text.len();
        self.since.get_or_insert(now);
        match self.runs.last_mut() {
            Some((last, run)) if *last == stream => run.push_str(text),
            _ => self.runs.push((stream, text.to_owned())),
        }
    }

    fn hide(&mut self, text: &str) {
        let shown = std::mem::take(&mut self.shown);
        let path = &self.path;
        let file = self.file.get_or_insert_with(|| {
            let mut file = File::create(path)?;
            file.write_all(shown.as_bytes())?;
            Ok(file)
        });
        if let Ok(open) = file
            && self.all <= WRITTEN
            && let Err(error) = open.write_all(text.as_bytes())
        {
            *file = Err(error); // the disk is full
        }
        self.hidden.0 += text.matches('\n').count();
        self.hidden.1 += text.len();
    }

    /// When what waits is to be sent.
    pub fn deadline(&self) -> Option<Instant> {
        match self.waiting {
            0 => None,
            ENOUGH.. => self.since,
            _ => self.since.map(|since| since + WAIT),
        }
    }

    /// What waits, in order.
    pub fn take(&mut self) -> Vec<(Stream, String)> {
        self.waiting = 0;
        self.since = None;
        std::mem::take(&mut self.runs)
    }

    /// Says what was left out, if anything was since the last call.
    pub fn note(&mut self) -> Option<String> {
        let (lines, bytes) = std::mem::take(&mut self.hidden);
        let file = self.file.as_ref()?;
        if bytes == 0 {
            return None;
        }
        let size = match bytes {
            0..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
            _ => format!("{:.1} MB", bytes as f64 / 1e6),
        };
        let place = match file {
            Ok(_) if self.all > WRITTEN => format!("the first GiB of it: {}", self.path.display()),
            Ok(_) => format!("all of it, while this kernel lives: {}", self.path.display()),
            Err(error) => format!("{} cannot be written: {error}", self.path.display()),
        };
        Some(format!("... {lines} more lines ({size}); {place}\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> (tempfile::TempDir, Text, Instant) {
        let folder = tempfile::tempdir().unwrap();
        let text = Text::new(folder.path().join("cell-1.txt"));
        (folder, text, Instant::now())
    }

    #[test]
    fn lines_that_come_together_go_together_and_in_order() {
        let (_folder, mut text, now) = text();
        assert_eq!(text.deadline(), None);
        text.push(Stream::Stdout, "a\n", now);
        text.push(Stream::Stdout, "b\n", now + WAIT / 2);
        text.push(Stream::Stderr, "c\n", now + WAIT / 2);
        text.push(Stream::Stdout, "d\n", now + WAIT / 2);
        assert_eq!(text.deadline(), Some(now + WAIT), "counted from the first");
        let expected = [(Stream::Stdout, "a\nb\n"), (Stream::Stderr, "c\n"), (Stream::Stdout, "d\n")];
        assert_eq!(text.take(), expected.map(|(stream, text)| (stream, text.to_owned())));
        assert_eq!((text.deadline(), text.take()), (None, Vec::new()));
        assert_eq!(text.note(), None);
    }

    #[test]
    fn much_text_does_not_wait() {
        let (_folder, mut text, now) = text();
        text.push(Stream::Stdout, &"x".repeat(ENOUGH), now);
        assert_eq!(text.deadline(), Some(now));
    }

    #[test]
    fn what_is_too_much_is_counted_and_whole_in_the_file() {
        let (folder, mut text, now) = text();
        let mut whole = String::new();
        let (mut shown, mut messages) = (0, 0);
        for number in 0..20_000 {
            let line = format!("{number} {}\n", "x".repeat(100));
            text.push(Stream::Stdout, &line, now);
            whole.push_str(&line);
            if text.deadline() == Some(now) {
                let runs = text.take();
                messages += runs.len();
                shown += runs.iter().map(|(_, run)| run.matches('\n').count()).sum::<usize>();
            }
        }
        shown += text.take()[0].1.matches('\n').count();
        assert!(messages <= SHOWN / ENOUGH, "{messages} messages");
        let note = text.note().unwrap();
        assert!(note.starts_with(&format!("... {} more lines (1.1 MB); all of it", 20_000 - shown)), "{note}");
        let file = folder.path().join("cell-1.txt");
        assert!(note.contains(file.to_str().unwrap()));
        assert_eq!(std::fs::read_to_string(file).unwrap(), whole);
        assert_eq!(text.note(), None, "said once");
        text.push(Stream::Stderr, "late\n", now);
        assert!(text.take().is_empty() && text.note().unwrap().starts_with("... 1 more lines"));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let mut text = Text::new(PathBuf::from("/nowhere/cell-1.txt"));
        text.push(Stream::Stdout, &"x\n".repeat(SHOWN), Instant::now());
        assert!(text.note().unwrap().contains("/nowhere/cell-1.txt cannot be written: No such file"));
    }
}
