//! Standard output that survives a closed pipe: `println!` would panic.

use std::fmt::Display;
use std::io::Write;

use humerus::{Error, Result};
use serde::Serialize;

/// Prints one text, and a newline.
pub fn text(text: impl Display) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(Error::io("standard output"))
}

/// Prints one JSON object, and a newline.
pub fn json(value: &impl Serialize) -> Result<()> {
    let line = serde_json::to_string(value).map_err(|error| Error::io("standard output")(error.into()))?;
    text(line)
}
