//! Standard output that survives a closed pipe, since `println!` would panic; and a bar on a terminal's standard error.

use std::fmt::Display;
use std::io::Write;
use std::path::Path;

use humerus::dataset::{self, Feeding, Index, Preparing};
use humerus::{Error, Preprocess, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Serialize, Serializer};

/// Prints one text, and a newline.
pub fn text(text: impl Display) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(Error::io("standard output"))
}

/// A path in one line: control signs in names, such as a line break, are written as escapes.
pub fn path(path: &Path) -> String {
    let escaped = |sign: char| if sign.is_control() { sign.escape_default().to_string() } else { sign.to_string() };
    path.to_string_lossy().chars().map(escaped).collect()
}

/// A path in JSON: also one that is no Unicode, whose other letters are kept.
pub fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// Prints one JSON object, and a newline.
pub fn json(value: &impl Serialize) -> Result<()> {
    let line = serde_json::to_string(value).map_err(|error| Error::io("standard output")(error.into()))?;
    text(line)
}

/// Decodes the films that the cache lacks, with a bar if standard error is a terminal and there are any.
pub fn prepare(index: &Index, preprocess: &Preprocess, feeding: &Feeding) -> Result<()> {
    let style = ProgressStyle::with_template("decoding films {bar:40} {pos}/{len}  {per_sec}  {eta} left");
    let mut bar: Option<ProgressBar> = None;
    let studies: Vec<_> = index.studies.iter().collect();
    let prepared = dataset::prepare(&studies, preprocess, feeding, &mut |event| match event {
        Preparing::Decoded { done, of } => {
            let bar = bar.get_or_insert_with(|| ProgressBar::new(of as u64));
            if let Ok(style) = &style
                && done == 0
            {
                bar.set_style(style.clone());
            }
            bar.set_position(done as u64);
        }
        other => eprintln!("{other}"),
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    prepared
}
