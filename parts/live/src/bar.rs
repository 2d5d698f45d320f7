//! A progress bar, in the words of the crate `indicatif`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Display;

/// A display changes at most so often.
const OFTEN: Duration = Duration::from_millis(100);

/// Where nothing changes in place, a line is printed at most so often.
const RARELY: Duration = Duration::from_secs(10);

/// The bar's width in characters of text.
const WIDTH: usize = 30;

/// How far something is. Shared by reference between threads; nothing it does can fail.
#[derive(Debug)]
pub struct ProgressBar {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    position: u64,
    length: u64,
    message: String,
    started: Instant,
    shown: Option<Instant>,
    finished: bool,
    display: Option<Display>,
    /// Where lines go if there is no display: called at most every ten seconds.
    print: fn(&str),
}

impl ProgressBar {
    /// A bar of `length` steps, shown under the cell that runs; where no display is taken, it shows nothing.
    pub fn new(length: u64) -> ProgressBar {
        ProgressBar::or_print(length, |_| ())
    }

    /// Like [`ProgressBar::new`], but where no display is taken, `print` gets a line every ten seconds and at the end.
    pub fn or_print(length: u64, print: fn(&str)) -> ProgressBar {
        let state = State {
            position: 0,
            length,
            message: String::new(),
            started: Instant::now(),
            shown: None,
            finished: false,
            display: None,
            print,
        };
        let bar = ProgressBar { state: Mutex::new(state) };
        bar.with(|state| {
            state.display = Display::new(&state.data());
            state.shown = Some(state.started);
        });
        bar
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state: MutexGuard<'_, State> = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state)
    }

    /// Another `delta` steps are done.
    pub fn inc(&self, delta: u64) {
        self.with(|state| {
            state.position = state.position.saturating_add(delta);
            state.show(false);
        });
    }

    /// So many steps are done.
    pub fn set_position(&self, position: u64) {
        self.with(|state| {
            state.position = position;
            state.show(false);
        });
    }

    /// There are so many steps.
    pub fn set_length(&self, length: u64) {
        self.with(|state| {
            state.length = length;
            state.show(false);
        });
    }

    /// Says what is being done.
    pub fn set_message(&self, message: impl Into<String>) {
        self.with(|state| {
            state.message = message.into();
            state.show(false);
        });
    }

    /// How many steps are done.
    pub fn position(&self) -> u64 {
        self.with(|state| state.position)
    }

    /// All is done: the bar is full, and stays.
    pub fn finish(&self) {
        self.with(|state| {
            state.position = state.length;
            state.finish();
        });
    }

    /// All is done, with a last word.
    pub fn finish_with_message(&self, message: impl Into<String>) {
        self.with(|state| {
            state.message = message.into();
            state.position = state.length;
            state.finish();
        });
    }

    /// It ended before all was done: the bar stays as it is.
    pub fn abandon(&self) {
        self.with(State::finish);
    }
}

impl Drop for ProgressBar {
    /// A bar that nobody finished says how far it came.
    fn drop(&mut self) {
        self.with(State::finish);
    }
}

impl State {
    fn finish(&mut self) {
        if !self.finished {
            self.finished = true;
            self.show(true);
        }
    }

    fn show(&mut self, at_once: bool) {
        let wait = if self.display.is_some() { OFTEN } else { RARELY };
        if !at_once && self.shown.is_some_and(|shown| shown.elapsed() < wait) {
            return;
        }
        self.shown = Some(Instant::now());
        let data = self.data();
        let shown = match &mut self.display {
            Some(display) => display.update(&data),
            None => {
                (self.print)(&self.line());
                return;
            }
        };
        if !shown {
            self.display = None; // a kernel that no longer answers is not asked again
        }
    }

    /// How many steps are done, how long the rest may take, and what is being done.
    fn words(&self) -> String {
        let done = self.position.min(self.length);
        let left = match done {
            0 => String::new(),
            _ if self.finished || done == self.length => String::new(),
            _ => {
                let left = self.started.elapsed().mul_f64((self.length - done) as f64 / done as f64);
                format!(" ({} left)", clock(left))
            }
        };
        let message = if self.message.is_empty() { String::new() } else { format!(" {}", self.message) };
        format!("{}/{}{left}{message}", self.position, self.length)
    }

    /// `[00:12] ######>---- 35/100 (00:22 left) message`
    fn line(&self) -> String {
        let done = u128::from(self.position.min(self.length));
        let filled = (WIDTH as u128 * done).checked_div(u128::from(self.length));
        let filled = filled.map_or(WIDTH, |filled| usize::try_from(filled).unwrap_or(WIDTH));
        let head = if filled < WIDTH { ">" } else { "" };
        let rest = (WIDTH - filled).saturating_sub(1);
        let bar = format!("{}{head}{}", "#".repeat(filled), "-".repeat(rest));
        format!("[{}] {bar} {}", clock(self.started.elapsed()), self.words())
    }

    fn data(&self) -> Value {
        let share = if self.length == 0 { 1.0 } else { self.position.min(self.length) as f64 / self.length as f64 };
        // The front end's own element follows its light and dark themes.
        let html = format!(
            "<progress value=\"{share:.4}\" max=\"1\" style=\"width: 20em; vertical-align: middle\"></progress> \
             <code>[{}] {}</code>",
            clock(self.started.elapsed()),
            escaped(&self.words())
        );
        json!({"text/plain": self.line(), "text/html": html})
    }
}

/// Minutes and seconds, with hours where there are any.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds / 3600 {
        0 => format!("{:02}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(position: u64, length: u64) -> String {
        let bar = ProgressBar::new(length);
        bar.set_position(position);
        bar.with(|state| state.line())
    }

    #[test]
    fn a_line_says_how_far_it_is_whatever_the_numbers() {
        assert_eq!(line(0, 100), format!("[00:00] >{} 0/100", "-".repeat(29)));
        assert!(line(50, 100).starts_with(&format!(
            "[00:00] {}>{} 50/100 (00:00 left)",
            "#".repeat(15),
            "-".repeat(14)
        )));
        assert_eq!(line(100, 100), format!("[00:00] {} 100/100", "#".repeat(30)));
        assert_eq!(line(7, 3), format!("[00:00] {} 7/3", "#".repeat(30)), "more than there were to be");
        assert_eq!(line(0, 0), format!("[00:00] {} 0/0", "#".repeat(30)));
        assert!(line(u64::MAX / 2, u64::MAX).contains(&"#".repeat(14)));
        assert_eq!(clock(Duration::from_secs(3661)), "1:01:01");
    }

    #[test]
    fn the_page_s_form_is_escaped_and_has_the_share() {
        let bar = ProgressBar::new(4);
        bar.set_position(1);
        bar.set_message("<b> & more");
        let html = bar.with(|state| state.data())["text/html"].as_str().unwrap().to_owned();
        assert!(html.contains("value=\"0.2500\"") && html.contains("&lt;b&gt; &amp; more"), "{html}");
        assert!(html.contains("<code>[00:00] 1/4 ("), "{html}");
    }

    #[test]
    fn without_a_kernel_few_lines_are_printed() {
        static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
        let bar = ProgressBar::or_print(1000, |line| LINES.lock().unwrap().push(line.to_owned()));
        (0..1000).for_each(|_| bar.inc(1));
        bar.finish_with_message("done");
        drop(bar);
        let lines = LINES.lock().unwrap();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].ends_with("1000/1000 done"));
    }

    #[test]
    fn a_bar_is_shared_between_threads() {
        let bar = ProgressBar::new(400);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..100).for_each(|_| bar.inc(1)));
            }
        });
        assert_eq!(bar.position(), 400);
    }
}
