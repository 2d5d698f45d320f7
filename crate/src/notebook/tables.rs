//! Tables of this crate's results, for notebooks.

mod evidence;

use std::fmt;
use std::path::PathBuf;

pub use evidence::evidence;

use crate::counted;
use crate::dataset::{Skipped, SplitSummary, Summary, Warning};
use crate::explain::Localised;
use crate::model::ModelCard;
use crate::network::Classifier;
use crate::notebook::settings::Settings;
use crate::score::{Calibration, Metrics, Report, StudyScore, ViewScore};
use crate::train::{PretrainReport, Recipe};
use crate::weights::{Fate, Loaded};
use metrics::{Confusion, Estimate, Measure, PairedComparison};
use render::Table;
use studies::{Label, Study};
use torchfile::WeightFile;

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
    skipped_files(&summary.skipped).first(most)
}

/// Every skipped file with its reason.
pub fn skipped_files(skipped: &[Skipped]) -> Table {
    if skipped.is_empty() {
        return Table { title: "No file was skipped".to_owned(), ..Table::default() };
    }
    let mut table = Table::new(format!("{} skipped", counted(skipped.len(), "file")), ["file", "reason"]);
    for Skipped { path, reason, .. } in skipped {
        table.row([path.display().to_string(), reason.to_string()]);
    }
    table
}

/// Every warning with its files' names, at most `most` of them, and how many more there are.
pub fn warnings(summary: &Summary, most: usize) -> Table {
    warnings_of(&summary.warnings).first(most)
}

/// Every warning with the names of its first three files.
pub fn warnings_of(warnings: &[Warning]) -> Table {
    if warnings.is_empty() {
        return Table { title: "No warning".to_owned(), ..Table::default() };
    }
    let mut table = Table::new(counted(warnings.len(), "warning"), ["kind", "what", "files"]);
    for warning in warnings {
        let name = |path: &PathBuf| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let mut names: Vec<String> = warning.paths.iter().take(3).map(name).collect();
        if warning.paths.len() > 3 {
            names.push(format!("and {} more", warning.paths.len() - 3));
        }
        table.row([warning.kind.to_string(), warning.message.clone(), names.join(", ")]);
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

/// The network stage by stage, for an input of `size` × `size` pixels: output shape and weights.
pub fn network(model: &Classifier, size: impl Into<i64>) -> Table {
    let count = model.parameters();
    let title = format!(
        "{} with {} weights, {} of them learn; {} parameters as Keras counts",
        model.architecture().name(),
        thousands(count.weights),
        thousands(count.trainable),
        thousands(count.keras())
    );
    let mut table = Table::new(title, ["stage", "output", "weights", "learn"]);
    for stage in model.stages(size.into()) {
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

/// The tensors of a weight file.
pub fn weight_file(file: &WeightFile) -> Table {
    let title = format!("{} of {}", file.format(), counted(file.entries().len(), "tensor"));
    let mut table = Table::new(title, ["tensor", "dtype", "shape"]);
    for entry in file.entries() {
        let shape = entry.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ");
        table.row([entry.name.clone(), format!("{:?}", entry.dtype), shape]);
    }
    table
}

/// How well each pretraining task was learnt.
pub fn pretraining(report: &PretrainReport) -> Table {
    let (learnt, held_out) = (counted(report.films, "film"), counted(report.held_out, "film"));
    let title = format!("Learnt from {learnt}, asked about {held_out}; weights in {}", report.model.display());
    let mut table = Table::new(title, ["question", "share right", "by guessing"]);
    for answered in &report.answered {
        let shares = [answered.accuracy, answered.majority].map(|share| format!("{share:.3}"));
        table.row([answered.task.to_string()].into_iter().chain(shares));
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

/// Decisions against labels.
pub fn confusion(counts: &Confusion) -> Table {
    let mut table = Table::new(counted(counts.total(), "decision"), ["label", "called normal", "called abnormal"]);
    table.row([Label::Normal.to_string(), counts.true_negative.to_string(), counts.false_positive.to_string()]);
    table.row([Label::Abnormal.to_string(), counts.false_negative.to_string(), counts.true_positive.to_string()]);
    table
}

/// Every figure with its interval and the interval's kind, over studies and, where they are known, over their films.
pub fn metrics(metrics: &Metrics) -> Table {
    let split = metrics.split.map_or("labelled".to_owned(), |s| s.to_string());
    let studies = counted(metrics.studies, &format!("{split} study"));
    let title = format!("{studies}, {}", counted(metrics.views, "view"));
    // Where each study is one film, both levels are the same.
    let views = metrics.by_view.as_ref().filter(|_| metrics.views != metrics.studies);
    let names = ["", "over studies", "95 % interval", "kind", "over views", "95 % interval"];
    let columns = if views.is_some() { names.len() } else { 4 };
    let mut table = Table::new(title, names[..columns].iter().copied());
    let value = |estimate: &Estimate| estimate.value.map_or("undefined".to_owned(), |v| format!("{v:.3}"));
    let interval = |estimate: &Estimate| match (estimate.interval, estimate.no_interval) {
        (Some(interval), _) => interval.to_string(),
        (None, Some(why)) => format!("none: {why}"),
        (None, None) => String::new(),
    };
    for measure in Measure::ALL {
        let estimate = metrics.get(measure);
        if !estimate.is_known() {
            continue;
        }
        let kind = estimate.interval.map_or(String::new(), |interval| interval.kind.to_string());
        let mut row = vec![measure.to_string(), value(estimate), interval(estimate), kind];
        row.extend(views.iter().flat_map(|views| [value(views.get(measure)), interval(views.get(measure))]));
        table.row(row);
    }
    table
}

/// Every figure before and after a calibration, on the studies that it was made on.
pub fn calibration(found: &Calibration) -> Table {
    let title = format!("Calibrated on {}, a little too good for that", counted(found.after.studies, "study"));
    let mut table = Table::new(title, ["", "before", "95 % interval", "after", "95 % interval"]);
    for measure in Measure::ALL {
        let cells = [&found.before, &found.after].map(|metrics| {
            let estimate = metrics.get(measure);
            let value = estimate.value.map_or("undefined".to_owned(), |v| format!("{v:.3}"));
            [value, estimate.interval.map_or("none".to_owned(), |interval| interval.to_string())]
        });
        table.row([measure.to_string()].into_iter().chain(cells.into_iter().flatten()));
    }
    table
}

/// Two models on the same studies, figure by figure.
pub fn comparison(comparison: &PairedComparison) -> Table {
    let title = format!("Two models on {}", counted(comparison.studies, "study"));
    let header = ["", "first", "second", "difference", "95 % interval", "kind", "p"];
    let mut table = Table::new(title, header);
    let value = |value: Option<f64>| value.map_or("undefined".to_owned(), |v| format!("{v:.3}"));
    for row in &comparison.rows {
        let Estimate { value: difference, interval, no_interval } = row.difference;
        let why = no_interval.map_or(String::new(), |why| format!("none: {why}"));
        table.row([
            row.measure.to_string(),
            value(row.first),
            value(row.second),
            value(difference),
            interval.map_or(why, |interval| interval.to_string()),
            interval.map_or(String::new(), |interval| interval.kind.to_string()),
            row.p.map_or(String::new(), |p| format!("{p:.4}")),
        ]);
    }
    table
}

fn label_name(label: Option<Label>) -> String {
    label.map_or("unknown".to_owned(), |label| label.to_string())
}

/// Scored films, one a row.
pub fn views(views: &[ViewScore]) -> Table {
    let title = format!("{} scored", counted(views.len(), "film"));
    let mut table = Table::new(title, ["film", "study", "probability of abnormal", "decision", "label"]);
    for ViewScore { path, study, probability, decision, label, .. } in views {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        table.row([name, study.clone(), probability.to_string(), decision.to_string(), label_name(*label)]);
    }
    table
}

/// Scored studies, one a row.
pub fn studies(studies: &[StudyScore]) -> Table {
    let title = format!("{} scored", counted(studies.len(), "study"));
    let mut table = Table::new(title, ["study", "views", "probability of abnormal", "decision", "label"]);
    for StudyScore { study, probability, decision, label, views, .. } in studies {
        let cells = [probability.to_string(), decision.to_string(), label_name(*label)];
        table.row([study.clone(), views.to_string()].into_iter().chain(cells));
    }
    table
}

/// Studies of a data set, one a row.
pub fn cases(studies: &[Study]) -> Table {
    let header = ["study", "patient", "part", "split", "label", "views"];
    let mut table = Table::new(counted(studies.len(), "study"), header);
    for study in studies {
        let named = |name: &Option<String>| name.clone().unwrap_or_else(|| "not named".to_owned());
        let (patient, part) = (named(&study.patient), named(&study.part));
        let (split, label, views) = (study.split.to_string(), study.label.to_string(), study.views.len().to_string());
        table.row([study.id.clone(), patient, part, split, label, views]);
    }
    table
}

/// Any value by field, as its `Debug` has them; one without fields is its own title.
pub fn fields(value: &impl fmt::Debug) -> Table {
    /// Characters of a field that are shown.
    const LONGEST: usize = 160;
    let clipped = |text: String| match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text,
    };
    let text = format!("{value:#?}");
    let mut lines = text.lines();
    let name = lines.next().unwrap_or_default().trim_end_matches([' ', '{', '(', '[']);
    let mut table = Table::new(name, ["field", "value"]);
    for line in lines {
        let inside = line.strip_prefix("    ");
        match inside
            .filter(|inside| !inside.starts_with([' ', '}', ')', ']']))
            .and_then(|inside| inside.split_once(": "))
        {
            Some((field, value)) => drop(table.row([field.replace('_', " "), value.to_owned()])),
            // What a field holds goes on.
            None => {
                if let (Some(inside), Some(row)) = (inside, table.rows.last_mut()) {
                    let next = inside.trim();
                    match (next.starts_with([')', ']', '}']), row[1].strip_suffix(',')) {
                        (true, Some(held)) => row[1] = format!("{held}{next}"),
                        (false, Some(held)) => row[1] = format!("{held}, {next}"),
                        (_, None) => row[1] += next,
                    }
                }
            }
        }
    }
    if table.rows.is_empty() {
        return Table { title: clipped(format!("{value:?}")), ..Table::default() };
    }
    for row in &mut table.rows {
        row[1] = clipped(row[1].trim_end_matches(',').to_owned());
    }
    table
}

/// One study and its views.
pub fn study(report: &Report) -> Table {
    let mut table = Table::new("", ["", "probability of abnormal", "decision", "label"]);
    for StudyScore { study, probability, decision, label, views, unread, .. } in &report.studies {
        let of = if *unread > 0 { format!(" of {} views", views + unread) } else { String::new() };
        let name = format!("study {study}, mean of {views}{of}");
        table.row([name, probability.to_string(), decision.to_string(), label_name(*label)]);
        for view in report.views.iter().filter(|v| v.study == *study) {
            let ViewScore { path, probability, decision, label: claimed, .. } = view;
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
            table.row([name, probability.to_string(), decision.to_string(), label_name(*claimed)]);
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

#[cfg(test)]
mod tests;
