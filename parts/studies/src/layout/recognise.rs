//! Which layout a folder has.

use std::path::{Path, PathBuf};

use crate::layout::labels::LabelColumn;
use crate::layout::table::LabelTable;
use crate::layout::tree::{FilePlace, Tree, check};
use crate::layout::{IndexOptions, Layout, classes, dicom, fracatlas, manifest, mura};
use crate::skipped::reasons;
use crate::skipped::{SkipReason, Skipped};
use crate::words::files;
use crate::{Error, Result};
use rayon::prelude::*;

/// A layout with what it needs to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reading {
    Mura,
    FracAtlas,
    Classes,
    /// The table.
    Manifest(PathBuf),
    /// The table.
    Dicom(PathBuf),
}

impl Reading {
    pub fn layout(&self) -> Layout {
        match self {
            Reading::Mura => Layout::Mura,
            Reading::FracAtlas => Layout::FracAtlas,
            Reading::Classes => Layout::Classes,
            Reading::Manifest(_) => Layout::Manifest,
            Reading::Dicom(_) => Layout::Dicom,
        }
    }
}

/// What was asked for, or the one layout that is there.
pub(super) fn recognise(tree: &Tree, options: &IndexOptions) -> Result<Reading> {
    if let Some(layout) = options.layout {
        return Ok(match layout {
            Layout::Mura => Reading::Mura,
            Layout::FracAtlas => Reading::FracAtlas,
            Layout::Classes => Reading::Classes,
            Layout::Manifest => Reading::Manifest(table(tree, options, layout, manifest::is_manifest)?),
            Layout::Dicom => Reading::Dicom(table(tree, options, layout, dicom::has_key)?),
        });
    }
    let count = |place: fn(&Tree, &crate::layout::tree::ListedFile) -> FilePlace| {
        tree.entries.iter().filter(|entry| matches!(place(tree, entry), FilePlace::Film)).count()
    };
    let (in_mura, in_fracatlas) = (count(mura::place), count(fracatlas::place));
    let mut met = Vec::new();
    let mut readings = Vec::new();
    let mut meet = |reading: Reading, what: String| {
        met.push(what);
        readings.push(reading);
    };
    if in_mura > 0 {
        meet(Reading::Mura, format!("{} lie as in MURA", files(in_mura)));
    }
    if in_fracatlas > 0 {
        meet(Reading::FracAtlas, format!("{} as in FracAtlas", files(in_fracatlas)));
    }
    let in_classes = if in_fracatlas == 0 { classes::count(tree, &options.words()) } else { 0 };
    if in_classes > 0 {
        meet(Reading::Classes, format!("{} in folders of classes", files(in_classes)));
    }
    let tables = tables(tree, options, dicom::has_key);
    if let Some((first, table)) = tables.first() {
        let names: Vec<String> = tables.iter().map(|(path, _)| file_name(path)).collect();
        let names = names.join(", ");
        if tables.len() > 1 {
            return Err(ambiguous(
                tree,
                &format!("several tables of labels ({names}): name one of them with --labels"),
            ));
        }
        if manifest::has_paths(table) {
            meet(Reading::Manifest(first.clone()), format!("{names} is a manifest"));
        } else if tree.entries.iter().any(|entry| dicom::is_dicom(&entry.path)) {
            meet(Reading::Dicom(first.clone()), format!("{names} has the labels of DICOM files"));
        } else if manifest::is_manifest(table) && in_mura + in_fracatlas + in_classes == 0 {
            // Beside films whose folders say everything it may be anything.
            meet(Reading::Manifest(first.clone()), format!("{names} is a manifest"));
        }
    }
    match &readings[..] {
        [] => Err(useless(tree, options).unwrap_or_else(|| nothing(tree, options))),
        [reading] => Ok(reading.clone()),
        _ => {
            let names: Vec<String> = readings.iter().map(|it| it.layout().name().to_lowercase()).collect();
            let names = names.join(" or ");
            Err(ambiguous(tree, &format!("{}; name a folder of one of them, or say --layout {names}", met.join(", "))))
        }
    }
}

/// The table that was named, or the only one in the folder that fits.
fn table(tree: &Tree, options: &IndexOptions, layout: Layout, fits: fn(&LabelTable) -> bool) -> Result<PathBuf> {
    if let Some(path) = &options.labels {
        return Ok(path.clone());
    }
    let mut tables = tables(tree, options, fits);
    match tables.len() {
        1 => Ok(tables.remove(0).0),
        0 => Err(Error::NoFilms {
            root: tree.root.clone(),
            reason: format!("no table for the layout {layout} in the folder itself; looked for {}", pattern(layout)),
        }),
        _ => {
            let names: Vec<String> = tables.iter().map(|(path, _)| file_name(path)).collect();
            Err(ambiguous(
                tree,
                &format!("several tables of labels ({}): name one of them with --labels", names.join(", ")),
            ))
        }
    }
}

/// The tables that lie in the folder itself and have a header that fits.
fn tables(tree: &Tree, options: &IndexOptions, fits: impl Fn(&LabelTable) -> bool) -> Vec<(PathBuf, LabelTable)> {
    let read = |path: PathBuf| LabelTable::read(&path).ok().map(|table| (path, table));
    table_paths(tree, options).into_iter().filter_map(read).filter(|(_, table)| fits(table)).collect()
}

/// The table that was named, or those that lie in the folder itself.
fn table_paths(tree: &Tree, options: &IndexOptions) -> Vec<PathBuf> {
    match &options.labels {
        Some(path) => vec![path.clone()],
        None => tree
            .entries
            .iter()
            .filter(|entry| is_table(&entry.path) && tree.below(entry).components().count() == 1)
            // MURA's own repeat what its folders say, also where somebody gave them a header.
            .filter(|entry| !matches!(mura::place(tree, entry), FilePlace::Companion))
            .map(|entry| entry.path.clone())
            .collect(),
    }
}

/// The error for a folder in which no layout is recognised and a table lies that would be one of labels if it could be
/// used.
fn useless(tree: &Tree, options: &IndexOptions) -> Option<Error> {
    let why = |path: &Path| -> Option<String> {
        let table = match LabelTable::read(path) {
            Ok(table) => table,
            Err(why) => return Some(why),
        };
        match (dicom::key_column(&table), LabelColumn::of(&table)) {
            (None, None) => None,
            (Some(_), None) => Some(format!("looked for a column label, met {}", table.names())),
            (None, Some(_)) => {
                Some(format!("looked for a column that names films (path, filename, image), met {}", table.names()))
            }
            // Else this would be a manifest.
            (Some(key), Some(_)) => {
                let film = tree.entries.iter().find(|entry| check(&entry.path).is_ok());
                let film = film.map_or("none is there".to_owned(), |entry| {
                    format!("the first, {}, is none", tree.below(entry).display())
                });
                Some(format!("it names films by {key}, which only DICOM files say, and {film}; add a column path"))
            }
        }
    };
    let told = table_paths(tree, options).into_iter().find_map(|path| Some((why(&path)?, path)));
    let foreign = || {
        let is_foreign =
            |path: &Path| FOREIGN.iter().any(|it| path.extension().is_some_and(|end| end.eq_ignore_ascii_case(it)));
        let found = tree.entries.iter().find(|it| is_foreign(&it.path) && tree.below(it).components().count() == 1);
        found.map(|it| ("a spreadsheet's own format is not read: save it as CSV".to_owned(), it.path.clone()))
    };
    told.or_else(foreign).map(|(reason, table)| Error::Labels { table, reason })
}

/// What programs for spreadsheets save in, and nothing else.
const FOREIGN: [&str; 4] = ["xlsx", "xls", "ods", "numbers"];

/// Whether the name ends in `.csv` or `.tsv`.
pub(super) fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|it| it.eq_ignore_ascii_case("csv") || it.eq_ignore_ascii_case("tsv"))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn ambiguous(tree: &Tree, reason: &str) -> Error {
    Error::Layout { root: tree.root.clone(), reason: reason.to_owned() }
}

fn pattern(layout: Layout) -> &'static str {
    match layout {
        Layout::Mura => mura::PATTERN,
        Layout::FracAtlas => fracatlas::PATTERN,
        Layout::Classes => classes::PATTERN,
        Layout::Manifest => manifest::PATTERN,
        Layout::Dicom => dicom::PATTERN,
    }
}

/// The error for a folder in which no layout is recognised.
fn nothing(tree: &Tree, options: &IndexOptions) -> Error {
    let flaws = tree.entries.par_iter().map(|entry| check(&entry.path).err()).collect::<Vec<_>>();
    let mut met = tree.skipped.clone();
    met.extend(
        tree.entries
            .iter()
            .zip(flaws)
            .map(|(entry, flaw)| Skipped::new(entry.path.clone(), flaw.unwrap_or(SkipReason::OutsideLayout))),
    );
    match (no_films(&tree.root, None, &met, 0), classes::only(tree, &options.words())) {
        // To take it for classes unasked would call all that is below some folder `normal` a data set.
        (Error::NoFilms { root, reason }, Some(label)) => {
            let how = "--layout classes (IndexOptions::layout) reads it";
            Error::NoFilms { root, reason: format!("{reason}; all folders of classes here are {label}: {how}") }
        }
        (error, _) => error,
    }
}

/// The error for a folder without a usable film, in the layout that was said or in any.
pub(super) fn no_films(root: &Path, said: Option<Layout>, skipped: &[Skipped], companions: usize) -> Error {
    let mut met = match skipped.len() {
        0 => "the folder is empty".to_owned(),
        n => format!("met {} ({})", files(n), reasons(skipped)),
    };
    if companions > 0 {
        met = format!("{met} and {} that are no films", files(companions));
    }
    let layouts = said.map_or(Layout::ALL.to_vec(), |layout| vec![layout]);
    let looked: Vec<String> = layouts.iter().map(|layout| format!("{layout} ({})", pattern(*layout))).collect();
    Error::NoFilms { root: root.to_owned(), reason: format!("looked for {}; {met}", looked.join(", ")) }
}
