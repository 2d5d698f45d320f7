//! The cell that runs: what it said, and what its reply will be.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Value, json};

use crate::signs::{CellEnd, Panic, Signs, short};
use crate::text::{Stream, Text};
use crate::wire::Message;

/// What evcxr 0.22 prints behind each cell, and waits for alone on a line.
const COMPLETE: &str = "EVCXR_EXECUTION_COMPLETE\n";

/// A cell, and what it said.
#[derive(Debug)]
pub(crate) struct Cell {
    /// The header of the request, which everything about the cell names.
    pub parent: Value,
    /// The number that a reader sees.
    pub count: u64,
    /// Nothing about it is shown.
    pub silent: bool,
    /// The cells behind it are not to run if it fails.
    pub stops: bool,
    /// An interrupt was asked for while it ran.
    pub interrupted: bool,
    pub text: Text,
    signs: Signs,
    errors: Vec<Value>,
    /// How the process that ran the cell ended.
    died: Option<String>,
}

/// What of a stream's text asks for more than to be shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Numbers of end lines.
    pub ended: Vec<u64>,
    /// The cell ended, and evcxr does not know: its output did not end with a newline.
    pub unfinished: bool,
}

impl Cell {
    /// The cell of an `execute_request`.
    pub fn new(request: &Message, count: u64, output: PathBuf, signs: Signs) -> Cell {
        let content = request.content();
        let flag = |name: &str, otherwise: bool| content[name].as_bool().unwrap_or(otherwise);
        Cell {
            parent: request.header.clone(),
            count,
            silent: flag("silent", false),
            stops: flag("stop_on_error", true),
            interrupted: false,
            text: Text::new(output),
            signs,
            errors: Vec::new(),
            died: None,
        }
    }

    /// Takes a text that was printed.
    pub fn printed(&mut self, content: &Value, now: Instant) -> Found {
        let text = content["text"].as_str().unwrap_or_default();
        let mut found = Found::default();
        if content["name"] == "stderr" {
            let shown = self.signs.take(text, now, &mut found.ended);
            self.text.push(Stream::Stderr, &shown, now);
        } else {
            found.unfinished = text.ends_with(COMPLETE) && text.len() > COMPLETE.len();
            let shown = if found.unfinished { &text[..text.len() - COMPLETE.len()] } else { text };
            self.text.push(Stream::Stdout, shown, now);
        }
        found
    }

    /// When something that waits is to be shown.
    pub fn deadline(&self) -> Option<Instant> {
        [self.text.deadline(), self.signs.deadline()].into_iter().flatten().min()
    }

    /// Lets what was held back for long enough go.
    pub fn wake(&mut self, now: Instant) {
        if self.signs.deadline().is_some_and(|deadline| deadline <= now) {
            let shown = self.signs.release();
            self.text.push(Stream::Stderr, &shown, now);
        }
    }

    /// Remembers an error that evcxr tells itself, until all that the cell printed has come.
    pub fn told(&mut self, content: &Value, own_count: u64) {
        let evalue = content["evalue"].as_str().unwrap_or_default();
        match evalue.rfind("Subprocess terminated with status: ") {
            Some(at) => self.died = Some(evalue[at..].trim().to_owned()),
            None => self.errors.push(renumbered(content.clone(), own_count, self.count)),
        }
    }

    /// At the cell's end: its errors. What was held back is shown, unless it belongs to one.
    pub fn ended(&mut self, whole: bool, now: Instant) -> &[Value] {
        match self.signs.failure() {
            Some(CellEnd::Question { type_name, message }) => self.errors.push(question(&type_name, &message)),
            Some(CellEnd::Panic(panic)) => self.errors.push(panicked(&panic, whole)),
            None => {}
        }
        if let Some(how) = self.died.take() {
            let cause = self.signs.last_panic().filter(|_| !self.interrupted);
            self.errors.push(died(&how, self.interrupted, cause.as_ref()));
        }
        let shown = self.signs.release();
        self.text.push(Stream::Stderr, &shown, now);
        &self.errors
    }

    /// Remembers an error of ours.
    pub fn failed(&mut self, content: Value) {
        self.errors.push(content);
    }

    /// The reply, and whether the cell failed.
    pub fn reply(&self, child: &Value) -> (Value, bool) {
        let ok = child["status"] == "ok" && self.errors.is_empty();
        let reply = match (ok, self.errors.first()) {
            (true, _) => json!({
                "status": "ok", "execution_count": self.count, "user_expressions": {}, "payload": [],
            }),
            (false, Some(error)) => {
                let lines = self.errors.iter().flat_map(|error| error["traceback"].as_array().cloned());
                json!({
                    "status": "error", "execution_count": self.count, "ename": error["ename"],
                    "evalue": error["evalue"], "traceback": lines.flatten().collect::<Vec<_>>(),
                })
            }
            (false, None) => json!({
                "status": "error", "execution_count": self.count, "ename": "Error",
                "evalue": "the kernel gives no reason", "traceback": [],
            }),
        };
        (reply, !ok)
    }
}

/// Bold red, as other kernels show an error's name.
fn heading(name: &str, rest: &str) -> String {
    format!("\u{1b}[1;31m{name}\u{1b}[0m{rest}")
}

/// What may help, less loud.
fn hint(text: &str) -> String {
    format!("\u{1b}[2m{text}\u{1b}[0m")
}

fn error(ename: &str, evalue: &str, traceback: Vec<String>) -> Value {
    json!({"ename": ename, "evalue": evalue, "traceback": traceback})
}

fn question(type_name: &str, message: &str) -> Value {
    let (name, message) = (short(type_name), if message.is_empty() { "(it says nothing)" } else { message });
    let name = if name.is_empty() { "Error".to_owned() } else { name };
    let kept = "The cell ended at the `?` that met this error. Variables that it defines are not kept, also where \
                there was one of the same name before.";
    error(&name, message, vec![heading(&name, &format!(": {message}")), hint(kept)])
}

fn panicked(panic: &Panic, whole: bool) -> Value {
    let message = panic.message.join("\n");
    let message = if message.is_empty() { "(it says nothing)" } else { &message };
    let place = panic.place().map_or_else(String::new, |place| format!(" at {place}"));
    let mut traceback = vec![heading("panicked", &format!("{place}: {message}"))];
    match whole {
        true => traceback.extend(panic.backtrace.iter().cloned()),
        false if panic.backtrace.is_empty() => {}
        false => traceback.push(hint(
            "Variables of earlier cells are kept, unless this cell took or redefined them. A kernel that is started \
             with KERNEL_BACKTRACE=full shows the backtrace.",
        )),
    }
    error("Panic", message, traceback)
}

fn died(how: &str, interrupted: bool, cause: Option<&Panic>) -> Value {
    let how = how.replace("Subprocess terminated with status: ", "");
    let lost = "All variables are lost; functions, types and `use` lines of earlier cells are kept.";
    if interrupted {
        let said = "interrupted: the process that ran the cell was ended";
        return error(
            "Interrupted",
            said,
            vec![heading("Interrupted", ": the process that ran the cell was ended"), hint(lost)],
        );
    }
    let cause = cause.map_or_else(String::new, |panic| format!("panicked: {}; ", panic.message.join("\n")));
    let said = format!("{cause}the process that ran the cell ended: {how}");
    error("ProcessEnded", &said, vec![heading("ProcessEnded", &format!(": {said}")), hint(lost)])
}

/// evcxr counts what we run for ourselves too; a reader does not.
fn renumbered(mut content: Value, own: u64, count: u64) -> Value {
    let (from, to) = (format!("command_{own}:"), format!("cell {count}:"));
    for line in content["traceback"].as_array_mut().into_iter().flatten() {
        if let Some(text) = line.as_str().filter(|text| text.contains(&from)) {
            *line = json!(text.replace(&from, &to));
        }
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell() -> Cell {
        let request = Message::request("execute_request", json!({"code": "1"}));
        Cell::new(&request, 3, PathBuf::from("/nowhere"), Signs::new("k7", false))
    }

    fn stream(name: &str, text: &str) -> Value {
        json!({"name": name, "text": text})
    }

    #[test]
    fn a_failed_question_mark_is_an_error_with_its_type_and_message() {
        let (mut cell, now) = (cell(), Instant::now());
        cell.printed(&stream("stderr", "\u{1}k7:a::B\u{2}no film\n"), now);
        cell.printed(&stream("stderr", "\u{1}k7?\n"), now);
        let shown = cell.ended(false, now)[0].clone();
        assert_eq!((&shown["ename"], &shown["evalue"]), (&json!("B"), &json!("no film")));
        let (reply, failed) = cell.reply(&json!({"status": "ok"}));
        assert!(failed && reply["status"] == "error" && reply["execution_count"] == 3);
        assert_eq!((&reply["ename"], &reply["evalue"]), (&shown["ename"], &shown["evalue"]));
        assert!(reply["traceback"][0].as_str().unwrap().contains("no film"));
        assert!(cell.text.take().is_empty(), "it is not shown twice");
    }

    #[test]
    fn a_cell_without_signs_is_as_evcxr_says() {
        let (mut cell, now) = (cell(), Instant::now());
        assert_eq!(cell.printed(&stream("stderr", "thread of life\n"), now), Found::default());
        assert!(cell.ended(false, now).is_empty());
        assert_eq!(cell.reply(&json!({"status": "ok"})).0["status"], "ok");
        assert!(cell.reply(&json!({"status": "error"})).1);
        assert_eq!(cell.text.take(), [(Stream::Stderr, "thread of life\n".to_owned())]);
    }

    #[test]
    fn a_dead_process_and_an_interrupt_are_told_apart() {
        let evalue = "what it printed\nSubprocess terminated with status: signal: 9 (SIGKILL)";
        let content = json!({"ename": "Error", "evalue": evalue, "traceback": [evalue]});
        let (mut dead, now) = (cell(), Instant::now());
        dead.told(&content, 4);
        assert_eq!(dead.ended(false, now)[0]["evalue"], "the process that ran the cell ended: signal: 9 (SIGKILL)");
        let mut interrupted = Cell { interrupted: true, ..cell() };
        interrupted.told(&content, 4);
        assert_eq!(interrupted.ended(false, now)[0]["ename"], "Interrupted");
    }

    #[test]
    fn a_process_that_a_panic_ended_names_the_panic() {
        let (mut cell, now) = (cell(), Instant::now());
        // As Rust 1.95 says it where evcxr's own code panics.
        let first = "thread '<unnamed>' (1) panicked at src/lib.rs:1:1:\nVariable 'x' has gone missing\n";
        let second = "thread '<unnamed>' (1) panicked at library/core/src/panicking.rs:225:5:\npanic in a function \
                      that cannot unwind\nstack backtrace:\n   0: a\nthread caused non-unwinding panic. aborting.\n";
        cell.printed(&stream("stderr", first), now);
        cell.printed(&stream("stderr", second), now);
        let said = "Subprocess terminated with status: signal: 6 (SIGABRT)";
        cell.told(&json!({"ename": "Error", "evalue": said, "traceback": [said]}), 4);
        let expected =
            "panicked: Variable 'x' has gone missing; the process that ran the cell ended: signal: 6 (SIGABRT)";
        assert_eq!(cell.ended(false, now)[0]["evalue"], expected);
    }

    #[test]
    fn several_errors_of_the_compiler_make_one_reply() {
        let mut cell = cell();
        for text in ["one", "two"] {
            let content = json!({"ename": "Error", "evalue": text, "traceback": [text, "in command_4:1:2"]});
            cell.told(&content, 4);
        }
        assert_eq!(cell.ended(false, Instant::now())[1]["traceback"][1], "in cell 3:1:2");
        let (reply, _) = cell.reply(&json!({"status": "error"}));
        assert_eq!((&reply["evalue"], reply["traceback"].as_array().unwrap().len()), (&json!("one"), 4));
    }

    #[test]
    fn an_output_that_does_not_end_its_line_is_told_from_one_that_does() {
        let (mut cell, now) = (cell(), Instant::now());
        assert!(cell.printed(&stream("stdout", "openEVCXR_EXECUTION_COMPLETE\n"), now).unfinished);
        assert!(!cell.printed(&stream("stdout", "EVCXR_EXECUTION_COMPLETE is a word\n"), now).unfinished);
        assert!(cell.text.take()[0].1.starts_with("openEVCXR_EXECUTION_COMPLETE is"), "shown as printed");
    }
}
