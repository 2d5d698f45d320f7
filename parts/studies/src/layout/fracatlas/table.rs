//! FracAtlas' `dataset.csv`: one row an image with body part, projection, hardware and label.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::names;
use crate::layout::table::{LabelTable, Row};
use crate::layout::tree::Tree;
use crate::study::{Label, Study};
use crate::warning::{Warning, WarningKind};
use crate::words::files;

/// Columns that are kept as tags: shortcuts that a network may learn instead of fractures.
const TAGS: [&str; 2] = ["hardware", "multiscan"];
const PARTS: [&str; 4] = ["hand", "leg", "hip", "shoulder"];
const PROJECTIONS: [&str; 3] = ["frontal", "lateral", "oblique"];

/// Compares the table of `home` with the films there, and takes part, projection and tags from it.
pub(super) fn compare(tree: &Tree, home: &Path, studies: &mut [Study]) -> Vec<Warning> {
    let path = home.join("dataset.csv");
    if !path.is_file() {
        return Vec::new();
    }
    let given = tree.as_given(&path);
    let complain = |why: String| vec![Warning::new(WarningKind::Annotations, [given.clone()], why)];
    let table = match LabelTable::read(&path) {
        Ok(table) => table,
        Err(why) => return complain(format!("dataset.csv: {why}")),
    };
    let (Some(image), Some(fractured)) = (table.column(&["image_id"]), table.column(&["fractured"])) else {
        return complain(format!("dataset.csv: looked for image_id and fractured, met {}", table.names()));
    };
    let mut warnings = Vec::new();
    let mut rows: BTreeMap<&str, &Row> = BTreeMap::new();
    for (line, row) in &table.rows {
        match row.as_ref().map(|row| (row.get(Some(image)), row)) {
            Ok((Some(name), row)) => drop(rows.insert(name, row)),
            Ok((None, _)) => warnings.extend(complain(format!("dataset.csv line {line}: no image_id"))),
            Err(why) => warnings.extend(complain(format!("dataset.csv line {line}: {why}"))),
        }
    }
    let mut conflicts = Vec::new();
    let mut unlisted = Vec::new();
    for study in studies {
        for view in &mut study.views {
            let absolute = tree.base.join(view.path.strip_prefix(&tree.root).unwrap_or(&view.path));
            if names::home(&absolute).is_none_or(|it| it != home) {
                continue;
            }
            let name = view.path.file_name().unwrap_or_default().to_string_lossy();
            let Some(row) = rows.get(name.as_ref()) else {
                unlisted.push(view.path.clone());
                continue;
            };
            let is_set = |column: &str| row.get(table.column(&[column])) == Some("1");
            let set = |columns: &[&'static str]| columns.iter().copied().filter(|it| is_set(it)).collect::<Vec<_>>();
            view.tags = set(&TAGS).into_iter().map(str::to_owned).collect();
            view.projection = Some(set(&PROJECTIONS).join("+")).filter(|it| !it.is_empty());
            study.part = Some(set(&PARTS).join("+")).filter(|it| !it.is_empty());
            let claimed = match row.get(Some(fractured)) {
                Some("0") => Some(Label::Normal),
                Some("1") => Some(Label::Abnormal),
                _ => None,
            };
            if claimed != Some(study.label) {
                conflicts.push(view.path.clone());
            }
        }
    }
    let missing = missing(tree, home, rows.keys().copied());
    let mut warn = |kind, paths: Vec<PathBuf>, what: &dyn Fn(String) -> String| {
        if !paths.is_empty() {
            let message = what(files(paths.len()));
            warnings.push(Warning::new(kind, paths, message));
        }
    };
    warn(WarningKind::ConflictingLabel, conflicts, &|n| {
        format!("dataset.csv claims another label for {n} than the folder, which counts")
    });
    warn(WarningKind::MissingFile, missing, &|n| format!("dataset.csv lists {n} of which there is no film"));
    warn(WarningKind::UnlistedFile, unlisted, &|n| format!("dataset.csv does not list {n}"));
    warnings
}

/// Listed images that are in neither folder, skipped files not counted; nothing if only a part of the tree is read.
fn missing<'a>(tree: &Tree, home: &Path, listed: impl Iterator<Item = &'a str>) -> Vec<PathBuf> {
    let images = home.join("images");
    if !images.starts_with(&tree.base) {
        return Vec::new();
    }
    let there: HashMap<_, _> = tree
        .entries
        .iter()
        .filter(|entry| entry.absolute.starts_with(&images))
        .filter_map(|entry| Some((entry.absolute.file_name()?.to_str()?, ())))
        .collect();
    listed.filter(|name| !there.contains_key(name)).map(|name| tree.as_given(&images.join(name))).collect()
}
