//! How a cell ended, which evcxr 0.22 knows and does not tell.
//!
//! Around each cell evcxr writes code that says on standard output, for itself alone, that the cell panicked or that a
//! `?` met an error; its reply is `ok` all the same. That code is compiled behind the session's items, and calls
//! `println!` and `eprintln!` by their short names. So one item, defined before the first cell, is enough: two macros
//! of these names that do what the real ones do, and on those very calls also leave a sign on standard error, right
//! behind what the error or the panic said there. Nothing is guessed from words that a cell may print as well.
//!
//! A sign begins with a control character and a name drawn anew for each kernel; it never reaches a front end.

use std::time::{Duration, Instant};

/// How long a text is held back because it may belong to an error.
const HOLD: Duration = Duration::from_millis(200);

/// How long a panic is held back because it may be the cell's end: values are dropped meanwhile.
const HOLD_PANIC: Duration = Duration::from_secs(1);

/// The most bytes that are held back.
const MOST: usize = 256 << 10;

/// The cell that defines the macros.
pub(crate) fn macros(name: &str) -> String {
    // evcxr's own calls are `println!("EVCXR_PANIC_NOTIFICATION")`, `eprintln!("{}", error)` (or `{:?}`, `{:#?}` after
    // `:efmt`), then `println!("{}", evcxr_internal_runtime::USER_ERROR_OCCURRED)`.
    format!(
        r##"#[allow(unused_macros)] macro_rules! println {{
    ("EVCXR_PANIC_NOTIFICATION") => {{{{
        ::std::eprintln!("\u{{1}}{name}!");
        ::std::println!("EVCXR_PANIC_NOTIFICATION")
    }}}};
    ("{{}}", evcxr_internal_runtime::USER_ERROR_OCCURRED) => {{{{
        ::std::eprintln!("\u{{1}}{name}?");
        ::std::println!("{{}}", evcxr_internal_runtime::USER_ERROR_OCCURRED)
    }}}};
    ($($token:tt)*) => {{ ::std::println!($($token)*) }};
}}
#[allow(unused_macros)] macro_rules! eprintln {{
    ($format:literal, $error:ident) => {{
        ::std::eprintln!(
            "\u{{1}}{name}:{{}}\u{{2}}{{}}",
            ::std::any::type_name_of_val(&$error),
            ::std::format_args!($format, $error)
        )
    }};
    ($($token:tt)*) => {{ ::std::eprintln!($($token)*) }};
}}"##
    )
}

/// The line that says, once it comes out of the kernel, that all before it has come.
pub(crate) fn end_line(name: &str, number: u64) -> String {
    format!("\u{1}{name}.{number}\n")
}

/// Why a cell failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CellEnd {
    /// A `?` met this error.
    Question { type_name: String, message: String },
    /// The cell panicked.
    Panic(Panic),
}

/// What a panic said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Panic {
    /// `thread '<unnamed>' (12) panicked at src/lib.rs:1:2:`
    pub heading: String,
    /// The message's lines.
    pub message: Vec<String>,
    /// The backtrace's lines.
    pub backtrace: Vec<String>,
}

impl Panic {
    /// Where in which file, unless that is the file that evcxr makes of a cell.
    pub fn place(&self) -> Option<&str> {
        let (_, place) = self.heading.split_once(" panicked at ")?;
        let place = place.trim_end_matches(':');
        (!place.starts_with("src/lib.rs:")).then_some(place)
    }

    fn text(&self, whole: bool) -> String {
        let mut text = format!("{}\n", self.heading);
        self.message.iter().for_each(|line| text += &format!("{line}\n"));
        match (whole, self.backtrace.len()) {
            (_, 0) => {}
            (true, _) => self.backtrace.iter().for_each(|line| text += &format!("{line}\n")),
            (false, lines) => text += &format!("note: a backtrace of {lines} lines, shown if KERNEL_BACKTRACE=full\n"),
        }
        text
    }

    fn takes(&mut self, line: &str) -> Taken {
        if self.backtrace.is_empty() {
            if line == "stack backtrace:" {
                self.backtrace.push(line.to_owned());
            } else if line.starts_with("note: run with `RUST_BACKTRACE=") {
                return Taken::Last;
            } else {
                self.message.push(line.to_owned());
            }
            return Taken::Yes;
        }
        let rest = line.trim_start();
        let numbered = rest.split_once(": ").is_some_and(|(number, _)| number.parse::<u32>().is_ok());
        if rest.len() < line.len() && (numbered || rest.starts_with("at ")) {
            self.backtrace.push(line.to_owned());
            return Taken::Yes;
        }
        if line.starts_with("note: Some details are omitted") {
            self.backtrace.push(line.to_owned());
            return Taken::Last;
        }
        Taken::No
    }
}

enum Taken {
    Yes,
    Last,
    No,
}

/// Whether a line is the first that a panic prints.
fn is_heading(line: &str) -> bool {
    line.starts_with("thread '") && line.ends_with(':') && line.contains("' ") && line.contains(" panicked at ")
}

/// Reads a cell's standard error.
#[derive(Debug)]
pub(crate) struct Signs {
    prefix: String,
    whole: bool,
    /// A text that an error may have printed, and its type.
    candidate: Option<(String, String)>,
    panic: Option<Panic>,
    /// Whether the panic's lines still come.
    open: bool,
    /// A panic has an empty line before it.
    blank: bool,
    held: Option<Instant>,
    last: Option<Panic>,
    failure: Option<CellEnd>,
}

impl Signs {
    /// For the signs of this name; with `whole`, backtraces are shown.
    pub fn new(name: &str, whole: bool) -> Signs {
        Signs {
            prefix: format!("\u{1}{name}"),
            whole,
            candidate: None,
            panic: None,
            open: false,
            blank: false,
            held: None,
            last: None,
            failure: None,
        }
    }

    /// Takes text that the kernel passed on, whole lines; returns what is to be shown of it. `ended` gets the numbers
    /// of the end lines in it.
    pub fn take(&mut self, text: &str, now: Instant, ended: &mut Vec<u64>) -> String {
        let mut shown = String::new();
        for line in text.split_inclusive('\n') {
            match line.find(&self.prefix) {
                None => self.line(line, now, &mut shown),
                Some(at) => {
                    // A cell may have ended its output without ending the line.
                    if at > 0 {
                        self.line(&line[..at], now, &mut shown);
                    }
                    self.sign(line[at + self.prefix.len()..].trim_end_matches('\n'), now, &mut shown, ended);
                }
            }
        }
        let held = self.candidate.as_ref().map_or(0, |(_, text)| text.len())
            + self.panic.iter().flat_map(|panic| &panic.message).map(String::len).sum::<usize>();
        if held > MOST {
            shown += &self.release();
        }
        shown
    }

    fn sign(&mut self, sign: &str, now: Instant, shown: &mut String, ended: &mut Vec<u64>) {
        match (sign.chars().next(), sign.get(1..).unwrap_or_default()) {
            (Some(':'), said) => {
                self.let_candidate_go(shown);
                let (type_name, message) = said.split_once('\u{2}').unwrap_or(("", said));
                self.candidate = Some((type_name.to_owned(), format!("{message}\n")));
                self.held.get_or_insert(now);
            }
            (Some('?'), _) => {
                let (type_name, message) = self.candidate.take().unwrap_or_default();
                self.failure = Some(CellEnd::Question { type_name, message: message.trim_end().to_owned() });
            }
            (Some('!'), _) => {
                self.let_candidate_go(shown);
                let panic = self.panic.take().or(self.last.take()).unwrap_or_default();
                (self.open, self.blank) = (false, false);
                self.failure = Some(CellEnd::Panic(panic));
            }
            (Some('.'), number) => ended.extend(number.parse::<u64>()),
            _ => {}
        }
    }

    fn line(&mut self, line: &str, now: Instant, shown: &mut String) {
        let bare = line.trim_end_matches('\n');
        if is_heading(bare) {
            self.let_candidate_go(shown);
            self.let_panic_go(shown);
            self.panic = Some(Panic { heading: bare.to_owned(), ..Panic::default() });
            (self.open, self.blank, self.held) = (true, false, Some(now));
            return;
        }
        if self.open
            && let Some(panic) = &mut self.panic
        {
            match panic.takes(bare) {
                Taken::Yes => return,
                Taken::Last => return self.open = false,
                Taken::No => self.open = false,
            }
        }
        if self.blank {
            self.blank = false;
            shown.push('\n');
        }
        match &mut self.candidate {
            // An error's message may have several lines.
            Some((_, text)) => text.push_str(line),
            None if line == "\n" => {
                self.blank = true;
                self.held.get_or_insert(now);
            }
            None => shown.push_str(line),
        }
    }

    fn let_candidate_go(&mut self, shown: &mut String) {
        if let Some((_, text)) = self.candidate.take() {
            shown.push_str(&text);
        }
    }

    fn let_panic_go(&mut self, shown: &mut String) {
        if let Some(panic) = self.panic.take() {
            shown.push_str(&panic.text(self.whole));
            self.last = Some(panic);
        }
        self.open = false;
    }

    /// When what is held back is to be shown all the same.
    pub fn deadline(&self) -> Option<Instant> {
        let holds = self.candidate.is_some() || self.panic.is_some() || self.blank;
        let wait = if self.panic.is_some() { HOLD_PANIC } else { HOLD };
        self.held.filter(|_| holds).map(|held| held + wait)
    }

    /// What was held back.
    pub fn release(&mut self) -> String {
        let mut shown = String::new();
        if std::mem::take(&mut self.blank) {
            shown.push('\n');
        }
        self.let_panic_go(&mut shown);
        self.let_candidate_go(&mut shown);
        self.held = None;
        shown
    }

    /// The panic that was told last, for which there was no sign: it may have ended the process.
    pub fn last_panic(&mut self) -> Option<Panic> {
        let panic = self.panic.take();
        (self.open, self.blank) = (false, false);
        // Rust's last words where code that is not Rust stands in the way are about that, not about the cause.
        match panic {
            Some(panic) if !panic.message.iter().any(|line| line.contains("cannot unwind")) => Some(panic),
            panic => self.last.take().or(panic),
        }
    }

    /// Why the cell failed, if it did; known once its end line came.
    pub fn failure(&mut self) -> Option<CellEnd> {
        self.failure.take()
    }
}

/// A type's name without the modules that it lives in: `Box<dyn Error>` of `alloc::boxed::Box<dyn core::error::Error>`.
pub(crate) fn short(type_name: &str) -> String {
    let mut short = String::new();
    let mut word = String::new();
    let mut rest = type_name.chars().peekable();
    while let Some(c) = rest.next() {
        if c == ':' && rest.peek() == Some(&':') {
            rest.next();
            word.clear();
        } else if c.is_alphanumeric() || c == '_' {
            word.push(c);
        } else {
            short += &std::mem::take(&mut word);
            short.push(c);
        }
    }
    short + &word
}

#[cfg(test)]
mod tests;
