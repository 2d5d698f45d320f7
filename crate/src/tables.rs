//! Tables of this crate's results, for notebooks.

use std::path::PathBuf;

use crate::counted;
use crate::dataset::{SplitSummary, Summary};
use crate::explain::Localised;
use crate::model::{Classifier, ModelCard};
use crate::render::Table;
use crate::score::{Metrics, Report, StudyScore, ViewScore};
use crate::settings::Settings;
use crate::train::Recipe;
use crate::weights::{Fate, Loaded};

/// Counts by split and by body part, and how large the films are.
pub fn summary(summary: &Summary) -> Table {
    let title = format!("{} layout", summary.layout);
    let mut table = Table::new(title, ["", "studies", "abnormal", "views", "abnormal", "patients"]);
    let row = |name: String, counts: &SplitSummary| {
        let patients = counts.patients.map_or("not named".to_owned(), |n| n.to_string());
        let counts = [counts.studies, counts.positive_studies, counts.views, counts.positive_views];
        let mut cells = vec![name];
        cells.extend(counts.map(|n| n.to_string()));
        cells.push(patients);
        cells
    };
    for (split, counts) in &summary.splits {
        table.row(row(split.to_string(), counts));
    }
    for (part, counts) in summary.parts.iter().filter(|_| summary.parts.len() > 1) {
        table.row(row(part.clone(), counts));
    }
    table
}

/// How many studies have how many views, how large the films are and which tags they bear.
pub fn films(summary: &Summary) -> Table {
    let mut table = Table::new("", ["films", "", ""]);
    for (views, studies) in &summary.views_per_study {
        table.row(["studies of so many views".to_owned(), views.to_string(), studies.to_string()]);
    }
    if let Some(sizes) = &summary.sizes {
        for (side, [least, median, most]) in [("width", sizes.width), ("height", sizes.height)] {
            table.row([format!("{side}, least to most (median)"), format!("{least} to {most}"), median.to_string()]);
        }
        for (pixels, films) in &sizes.longer_side_up_to {
            table.row(["films whose longer side is up to".to_owned(), pixels.to_string(), films.to_string()]);
        }
    }
    for (tag, films) in &summary.tags {
        table.row(["films with the tag".to_owned(), tag.clone(), films.to_string()]);
    }
    table
}

/// Every skipped file with its reason, at most `most` of them, and how many more there are.
pub fn skipped(summary: &Summary, most: usize) -> Table {
    let n = summary.skipped.len();
    if n == 0 {
        return Table { title: "No file was skipped".to_owned(), ..Table::default() };
    }
    let mut table = Table::new(format!("{} skipped", counted(n, "file")), ["file", "reason"]);
    for skipped in summary.skipped.iter().take(most) {
        table.row([skipped.path.display().to_string(), skipped.reason.to_string()]);
    }
    if n > most {
        table.row([format!("and {} more", n - most), String::new()]);
    }
    table
}

/// Every warning with its files' names, at most `most` of them, and how many more there are.
pub fn warnings(summary: &Summary, most: usize) -> Table {
    let n = summary.warnings.len();
    if n == 0 {
        return Table { title: "No warning".to_owned(), ..Table::default() };
    }
    let mut table = Table::new(counted(n, "warning"), ["kind", "what", "files"]);
    for warning in summary.warnings.iter().take(most) {
        let name = |path: &PathBuf| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let mut names: Vec<String> = warning.paths.iter().take(3).map(name).collect();
        if warning.paths.len() > 3 {
            names.push(format!("and {} more", warning.paths.len() - 3));
        }
        table.row([warning.kind.to_string(), warning.message.clone(), names.join(", ")]);
    }
    if n > most {
        table.row([format!("and {} more", n - most), String::new(), String::new()]);
    }
    table
}

/// The settings by name.
pub fn settings(settings: &Settings) -> Table {
    let mut table = Table::new("", ["setting", "value"]);
    for (name, value) in settings.rows() {
        table.row([name.to_owned(), value]);
    }
    table
}

/// The recipe by field.
pub fn recipe(recipe: &Recipe) -> Table {
    let mut table = Table::new(format!("Recipe {}", recipe.name), ["field", "value"]);
    for (name, value) in recipe.rows() {
        table.row([name.to_owned(), value]);
    }
    table
}

/// The card by field.
pub fn card(card: &ModelCard) -> Table {
    let mut table = Table::new("Model card", ["", ""]);
    for (name, value) in card.rows() {
        table.row([name.to_owned(), value]);
    }
    table
}

/// The network stage by stage: output shape and weights.
pub fn network(model: &Classifier, size: i64) -> Table {
    let count = model.parameters();
    let title = format!(
        "{} with {} weights, {} of them learn; {} parameters as Keras counts",
        model.architecture().name(),
        thousands(count.weights),
        thousands(count.trainable),
        thousands(count.keras())
    );
    let mut table = Table::new(title, ["stage", "output", "weights", "learn"]);
    for stage in model.stages(size) {
        let shape = stage.output.iter().map(i64::to_string).collect::<Vec<_>>().join(" x ");
        table.row([stage.name, shape, thousands(stage.weights), thousands(stage.trainable)]);
    }
    table
}

/// What became of a weight file's tensors, part by part.
pub fn loaded(loaded: &Loaded) -> Table {
    let mut table = Table::new(format!("Weights: {loaded}"), ["part", "what became of it", "tensors"]);
    for Fate { part, what, tensors } in loaded.rows() {
        table.row([part, what, tensors.to_string()]);
    }
    table
}

fn thousands(n: i64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Figures with their intervals.
pub fn metrics(metrics: &Metrics) -> Table {
    let split = metrics.split.map_or("labelled".to_owned(), |s| s.to_string());
    let studies = counted(metrics.studies, &format!("{split} study"));
    let title = format!("{studies}, {}", counted(metrics.views, "view"));
    let mut table = Table::new(title, ["", "value", "95 % interval"]);
    for (name, estimate) in metrics.rows() {
        let value = estimate.value.map_or("undefined".to_owned(), |v| format!("{v:.3}"));
        let interval = match (estimate.interval, estimate.no_interval) {
            (Some(interval), _) => format!("{:.3} to {:.3}", interval.low, interval.high),
            (None, Some(why)) => format!("none: {why}"),
            (None, None) => String::new(),
        };
        table.row([name.to_owned(), value, interval]);
    }
    table
}

/// One study and its views.
pub fn study(report: &Report) -> Table {
    let mut table = Table::new("", ["", "probability of abnormal", "decision", "label"]);
    let label = |label: Option<crate::Label>| label.map_or("unknown".to_owned(), |l| l.to_string());
    for StudyScore { study, probability, decision, label: claimed, views, unread, .. } in &report.studies {
        let of = if *unread > 0 { format!(" of {} views", views + unread) } else { String::new() };
        let name = format!("study {study}, mean of {views}{of}");
        table.row([name, probability.to_string(), decision.to_string(), label(*claimed)]);
        for view in report.views.iter().filter(|v| v.study == *study) {
            let ViewScore { path, probability, decision, label: claimed, .. } = view;
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
            table.row([name, probability.to_string(), decision.to_string(), label(*claimed)]);
        }
    }
    table
}

/// How well heat maps agree with the true fractures.
pub fn localised(found: &Localised) -> Table {
    let title = format!("Heat maps of {} at {}", counted(found.films.len(), "true positive"), found.layer);
    let mut table = Table::new(title, ["", "value"]);
    let (Some(energy), Some(area), Some(pointing)) = (found.energy_share(), found.area_share(), found.pointing())
    else {
        table.row(["no true positive with a known fracture", "–"]);
        return table;
    };
    table.row(["energy inside the dilated fracture mask", &format!("{energy:.3}")]);
    table.row(["area share of that mask, what chance would reach", &format!("{area:.3}")]);
    let times = found.concentration().map_or("undefined".to_owned(), |times| format!("{times:.2} times"));
    table.row(["energy over area", &times]);
    table.row(["peak inside (pointing game)", &format!("{pointing:.3}")]);
    table
}
