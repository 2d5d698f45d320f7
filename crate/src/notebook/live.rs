//! What changes while a cell runs: bars of what takes long, and the panel of a training run.
//!
//! Under the kernel of `cargo lab` they change in place, and the last state stays in the saved notebook. Under any
//! other kernel the panel prints a line for each event, and bars show nothing.

use std::fmt;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use live::{Display, Value};
use serde_json::json;

use crate::counted;
use crate::notebook::figures;
use crate::train::{EpochReport, Epochs, Event};
pub use live::ProgressBar;
use render::escaped;

/// A training run, as it goes: losses and AUROC over the epochs, how far it is, and what it said.
///
/// ```no_run
/// # use humerus::prelude::*;
/// # fn main() -> humerus::error::Result<()> {
/// # let (index, settings) = (dataset::index("films")?, Settings::default());
/// let mut panel = TrainingPanel::new(|line| println!("{line}"));
/// let report = train::run(&index, &settings.recipe()?, &settings.options(), &mut |event| panel.take(event))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TrainingPanel {
    display: Option<Display>,
    lines: Vec<String>,
    epochs: Vec<EpochReport>,
    /// The curves so far, as an element of a page.
    curves: String,
    /// The epoch, its steps done, and its steps.
    step: Option<(usize, usize, usize)>,
    began: Instant,
    print: fn(&str),
}

impl TrainingPanel {
    /// An empty panel under the cell that runs. Where no kernel takes it, `print` gets each event's line.
    pub fn new(print: fn(&str)) -> TrainingPanel {
        let mut panel = TrainingPanel {
            display: None,
            lines: Vec::new(),
            epochs: Vec::new(),
            curves: String::new(),
            step: None,
            began: Instant::now(),
            print,
        };
        panel.display = Display::new(&panel.data());
        panel
    }

    /// Takes what a run tells; for [`train::run`](crate::train::run)'s last argument.
    pub fn take(&mut self, event: Event) {
        if self.display.is_none() {
            (self.print)(&event.to_string());
            return;
        }
        match &event {
            Event::Step { epoch, step, steps } => self.step = Some((*epoch, *step, *steps)),
            _ => self.lines.push(event.to_string()),
        }
        if let Event::Epoch(report) = event {
            self.step = None;
            self.epochs.push(report);
            // A figure that cannot be drawn shall not end a run.
            let figure = figures::epochs("Training", &Epochs::from(self.epochs.clone()), None).ok();
            if let Some((png, figure)) = figure.and_then(|figure| Some((figure.png().ok()?, figure))) {
                self.curves = format!(
                    "<img width=\"{}\" style=\"max-width:100%;height:auto\" alt=\"{}\" \
                     src=\"data:image/png;base64,{}\">",
                    figure.width(),
                    escaped(figure.alt()),
                    STANDARD.encode(png)
                );
            }
        }
        let data = self.data();
        let shown = self.display.as_mut().is_some_and(|display| display.update(&data));
        if !shown {
            self.display = None; // a kernel that no longer answers is not asked again: lines go on
        }
    }

    /// What is known now: the latest epoch's figures, or the step.
    fn now(&self) -> String {
        match (self.step, self.epochs.last()) {
            (Some((epoch, step, steps)), _) => format!("epoch {epoch}, step {step} of {steps}"),
            (None, Some(report)) => report.to_string(),
            (None, None) => format!("{:.0} s", self.began.elapsed().as_secs_f64()),
        }
    }

    fn data(&self) -> Value {
        let epochs = self.epochs.last().map_or(0, |report| report.epochs);
        let within = self.step.map_or(0.0, |(_, step, steps)| step as f64 / steps.max(1) as f64);
        let share = (self.epochs.len() as f64 + within) / epochs.max(1) as f64;
        let bar = match epochs {
            0 => String::new(),
            _ => format!("<progress value=\"{:.4}\" max=\"1\" style=\"width: 20em\"></progress> ", share.min(1.0)),
        };
        let html = format!(
            "{}<div>{bar}<code>{}</code></div><details><summary>{} lines</summary><pre>{}</pre></details>",
            self.curves,
            escaped(&self.now()),
            self.lines.len(),
            escaped(&self.lines.join("\n"))
        );
        json!({"text/plain": self.lines.join("\n"), "text/html": html})
    }
}

impl fmt::Display for TrainingPanel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lines.last() {
            Some(line) => write!(f, "{}, last: {line}", counted(self.epochs.len(), "epoch")),
            None => f.write_str("a training run that said nothing yet"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panel_holds_the_curves_the_step_and_every_line_but_the_steps() {
        let mut panel = TrainingPanel::new(|_| ());
        panel.lines.push(Event::Notice("<few> films".to_owned()).to_string());
        panel.step = Some((2, 5, 20));
        let data = panel.data();
        let html = data["text/html"].as_str().unwrap();
        assert!(html.contains("epoch 2, step 5 of 20") && html.contains("&lt;few&gt; films"), "{html}");
        assert_eq!(data["text/plain"], "note: <few> films");
    }
}
