//! Pictures and tables inline in an evcxr notebook.
//!
//! evcxr shows a value by calling its `evcxr_display` when a cell ends on it, and keeps one output per MIME type: so one
//! figure or table a cell.

use crate::dataset::{Index, Summary};
use crate::explain::Localised;
use crate::model::{Classifier, Model, ModelCard, SMALLEST_INPUT};
use crate::render::{Figure, Table};
use crate::score::{Metrics, Report};
use crate::settings::Settings;
use crate::train::{BatchSizes, LrFinder, Progress, Recipe, TrainReport, TrainingRun};
use crate::weights::Loaded;
use crate::{figures, tables};

impl Figure {
    /// Shows the figure in an evcxr cell, with its alt text for readers without pictures.
    pub fn evcxr_display(&self) {
        match self.png() {
            Ok(bytes) => {
                evcxr_runtime::mime_type("image/png").bytes(&bytes);
                evcxr_runtime::mime_type("text/plain").text(self.alt());
            }
            Err(error) => evcxr_runtime::mime_type("text/plain").text(error.to_string()),
        }
    }
}

impl Loaded {
    /// Shows what became of a weight file's tensors in an evcxr cell.
    pub fn evcxr_display(&self) {
        show(&[tables::loaded(self)]);
    }
}

impl LrFinder {
    /// Shows the loss over the learning rate with the suggestion in an evcxr cell.
    pub fn evcxr_display(&self) {
        match figures::learning_rates(self) {
            Ok(figure) => figure.evcxr_display(),
            Err(error) => evcxr_runtime::mime_type("text/plain").text(error.to_string()),
        }
    }
}

/// Shows tables one under the other.
fn show(tables: &[Table]) {
    let html: Vec<String> = tables.iter().map(Table::html).collect();
    let text: Vec<String> = tables.iter().map(|t| t.to_string().trim_end().to_owned()).collect();
    evcxr_runtime::mime_type("text/html").text(html.join("\n"));
    evcxr_runtime::mime_type("text/plain").text(text.join("\n\n"));
}

impl Table {
    /// Shows the table in an evcxr cell, as HTML and as plain text.
    pub fn evcxr_display(&self) {
        show(std::slice::from_ref(self));
    }
}

/// Skipped files and warnings that a notebook lists by name.
const LISTED: usize = 12;

fn summary(summary: &Summary) -> [Table; 4] {
    [
        tables::summary(summary),
        tables::films(summary),
        tables::skipped(summary, LISTED),
        tables::warnings(summary, LISTED),
    ]
}

macro_rules! shows {
    ($($type:ty: |$value:ident| $tables:expr;)*) => {$(
        impl $type {
            /// Shows it as a table in an evcxr cell.
            pub fn evcxr_display(&self) {
                let $value = self;
                show(&$tables);
            }
        }
    )*};
}

macro_rules! says {
    ($($type:ty: |$value:ident| $text:expr;)*) => {$(
        impl $type {
            /// Says how it stands in an evcxr cell.
            pub fn evcxr_display(&self) {
                let $value = self;
                evcxr_runtime::mime_type("text/plain").text($text.to_string());
            }
        }
    )*};
}

says! {
    BatchSizes: |it| it;
    Progress: |it| it;
    TrainingRun: |it| it.progress();
}

shows! {
    Summary: |it| summary(it);
    Index: |it| summary(&it.summary());
    Settings: |it| [tables::settings(it)];
    Recipe: |it| [tables::recipe(it)];
    Classifier: |it| [tables::network(it, SMALLEST_INPUT)];
    ModelCard: |it| [tables::card(it)];
    Model: |it| [tables::card(&it.card)];
    Metrics: |it| [tables::metrics(it)];
    TrainReport: |it| [tables::metrics(&it.held_out)];
    Report: |it| [tables::study(it)];
    Localised: |it| [tables::localised(it)];
}
