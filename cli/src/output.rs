//! Standard output that survives a closed pipe, since `println!` would panic; and bars, which are drawn on standard
//! error and only where that is a terminal.

use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use humerus::dataset::{self, Feeding, Index, Preparing, Skipped};
use humerus::{Error, Preprocess, Result, Tally, disk};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// Prints one text, and a newline.
pub fn text(text: impl Display) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(Error::io("standard output"))
}

/// A path in one line: control signs in names, such as a line break, are written as escapes.
pub fn path(path: &Path) -> String {
    files::in_line(path.display())
}

/// Prints which files were left out, and why.
pub fn skipped<'a>(files: impl IntoIterator<Item = &'a Skipped>) -> Result<()> {
    files.into_iter().try_for_each(|file| text(format_args!("skipped {}: {}", path(&file.path), file.reason)))
}

/// Prints one JSON object, and a newline.
pub fn json(value: &impl Serialize) -> Result<()> {
    let line = serde_json::to_string(value).map_err(|error| Error::io("standard output")(error.into()))?;
    text(line)
}

/// Prints a line on standard error; where that is closed there is nobody to read it.
pub fn aside(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Says, of a file or folder that was just written, what its file system cannot do.
pub fn shortcomings(written: &Path) {
    let folder = if written.is_dir() { Some(written) } else { written.parent() };
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Some(note) = disk::shortcomings(folder) {
        aside(format_args!("note: {note}"));
    }
}

/// A progress bar; it is cleared when it is dropped.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    what: &'static str,
}

impl Bar {
    /// A bar that appears with its first step.
    pub fn new(what: &'static str) -> Bar {
        Bar { bar: ProgressBar::hidden(), what }
    }

    /// A spinner, for something without steps.
    pub fn spinner(what: &'static str) -> Bar {
        let bar = ProgressBar::new_spinner();
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(120));
        Bar { bar, what }
    }

    /// So many steps of so many are done.
    pub fn at(&mut self, Tally { done, of }: Tally) {
        if self.bar.length() != Some(of as u64) {
            self.bar = ProgressBar::new(of as u64);
            let line = "{msg} {bar:40} {pos}/{len}  {per_sec}  {eta} left";
            self.bar.set_style(ProgressStyle::with_template(line).unwrap_or_else(|_| ProgressStyle::default_bar()));
            self.bar.set_message(self.what);
        }
        self.bar.set_position(done as u64);
    }

    /// Does something to the terminal, while the bar is not there.
    pub fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        self.bar.suspend(work)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Decodes the films that the cache lacks.
pub fn prepare(index: &Index, preprocess: &Preprocess, feeding: &Feeding) -> Result<()> {
    let mut bar = Bar::new("decoding films");
    let studies: Vec<_> = index.studies.iter().collect();
    dataset::prepare(&studies, preprocess, feeding, &mut |event| match event {
        Preparing::Decoded { done, of } => bar.at(Tally { done, of }),
        other => bar.aside(|| aside(other)),
    })
}
