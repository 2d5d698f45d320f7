//! Displays that change in place, from any thread, while a cell runs and after it.
//!
//! evcxr shows a cell's result at the cell's end and nothing before. Where a kernel of `humerus-kernel` runs the cell,
//! a local socket named in the environment ([`SOCKET`]) takes displays at any time. Elsewhere [`Display::new`] returns
//! none, and a [`ProgressBar`] prints a line now and then, or nothing.
//!
//! ```
//! use humerus_live::{Display, ProgressBar, text};
//!
//! if let Some(mut display) = Display::new(&text("searching")) {
//!     display.update(&text("found"));
//! }
//! let bar = ProgressBar::new(3);
//! for _ in 0..3 {
//!     bar.inc(1);
//! }
//! bar.finish_with_message("done");
//! ```
//!
//! # The protocol
//! One JSON object a line, answered by one line each: `{"do": "display", "data": {mime: …}}`, `"update"` for the same
//! connection's display once more, `"clear"` (`"wait": bool`) for all outputs of the cell. A connection belongs to the
//! cell that ran when it was opened, whichever runs later.

mod bar;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

pub use bar::ProgressBar;
pub use serde_json::Value;
use serde_json::json;

/// The variable of the environment that names the socket.
pub const SOCKET: &str = "KERNEL_DISPLAY_SOCKET";

/// How long a kernel may take for an answer; a display must not hold up what it tells of.
const PATIENCE: Duration = Duration::from_secs(2);

/// A display's data that is text alone.
pub fn text(text: &str) -> Value {
    json!({"text/plain": text})
}

/// An output under a cell. Each change replaces what it showed.
#[derive(Debug)]
pub struct Display {
    stream: BufReader<UnixStream>,
}

impl Display {
    /// Shows `data`, an object of texts by MIME type, under the cell that runs; none where no kernel takes it.
    pub fn new(data: &Value) -> Option<Display> {
        let mut display = Display { stream: BufReader::new(connect()?) };
        display.say(&json!({"do": "display", "data": data})).then_some(display)
    }

    /// Shows `data` instead. Returns whether the kernel took it.
    pub fn update(&mut self, data: &Value) -> bool {
        self.say(&json!({"do": "update", "data": data}))
    }

    /// Sends a line and waits for the answer, so that what was shown is shown before whatever comes next.
    fn say(&mut self, message: &Value) -> bool {
        let sent = self.stream.get_mut().write_all(format!("{message}\n").as_bytes());
        let mut answer = String::new();
        sent.is_ok() && self.stream.read_line(&mut answer).is_ok() && answer == "ok\n"
    }
}

/// Removes all outputs of the cell that runs; with `wait`, once the next one comes. Returns whether a kernel does so.
pub fn clear_output(wait: bool) -> bool {
    connect()
        .is_some_and(|stream| Display { stream: BufReader::new(stream) }.say(&json!({"do": "clear", "wait": wait})))
}

/// Whether displays change in place here.
pub fn is_live() -> bool {
    std::env::var_os(SOCKET).is_some()
}

fn connect() -> Option<UnixStream> {
    let stream = UnixStream::connect(std::env::var_os(SOCKET)?).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    Some(stream)
}
