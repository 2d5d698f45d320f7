//! A folder of DICOM files and a table of labels; patient, study, part and view come from the files' headers.
//!
//! The table has a column `label`, may have `split`, and says which film, study or patient a row is about by the first
//! of these columns that it has, whatever their case and with or without `_`: a file (`path`, `file`, `filename`,
//! `image`: the path below the folder, the file's name, or that without its extension), `SOPInstanceUID`,
//! `StudyInstanceUID`, `AccessionNumber`, `PatientID`. A row about a study or a patient labels all its films; a row
//! about a file means one, and is refused where several bear the name.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::layout::claims::{self, Claim};
use crate::layout::labels::{LabelColumn, SplitWord, Words};
use crate::layout::manifest::FILE;
use crate::layout::names::{self, Meaning, RowReport, Spellings};
use crate::layout::table::{LabelTable, Row};
use crate::layout::tree::{self, FilmFile, Tree};
use crate::layout::{FoundStudies, IndexOptions};
use crate::skipped::SkipReason;
use crate::study::Label;
use crate::warning::{Warning, WarningKind};
use crate::{Error, Result};
use files::counted;
use film::DicomHeader;
use rayon::prelude::*;

/// What the layout looks like, for messages.
pub(super) const PATTERN: &str =
    "DICOM files and a table label and one of path, SOPInstanceUID, StudyInstanceUID, AccessionNumber, PatientID";

/// What the rows of a table are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyColumn {
    File,
    Instance,
    Study,
    Accession,
    Patient,
}

/// The names of the columns of each key, the first that is there counts.
const KEYS: [(KeyColumn, &[&str]); 5] = [
    (KeyColumn::File, &FILE),
    (KeyColumn::Instance, &["sopinstanceuid"]),
    (KeyColumn::Study, &["studyinstanceuid"]),
    (KeyColumn::Accession, &["accessionnumber", "accession"]),
    (KeyColumn::Patient, &["patientid"]),
];

impl KeyColumn {
    fn of(table: &LabelTable) -> Option<(KeyColumn, usize)> {
        KEYS.iter().find_map(|(key, names)| Some((*key, table.column(names)?)))
    }

    /// What a film is known by: the path below the folder, or an identifier in its header.
    fn name(self, below: &Path, header: Option<&DicomHeader>) -> Option<String> {
        match self {
            KeyColumn::File => Some(below.to_string_lossy().replace('\\', "/")),
            KeyColumn::Instance => header?.instance.clone(),
            KeyColumn::Study => header?.study.clone(),
            KeyColumn::Accession => header?.accession.clone(),
            KeyColumn::Patient => header?.patient.clone(),
        }
    }

    fn names(self, names: &[String]) -> Spellings {
        if self == KeyColumn::File { Spellings::of_files(names) } else { Spellings::of_identifiers(names) }
    }
}

/// Whether a table has the columns of this layout.
pub(super) fn has_key(table: &LabelTable) -> bool {
    KeyColumn::of(table).is_some() && LabelColumn::of(table).is_some()
}

/// The column by which a table names films, studies or patients, as the table writes it.
pub(super) fn key_column(table: &LabelTable) -> Option<&str> {
    KeyColumn::of(table).map(|(_, column)| table.name(column))
}

/// Whether a file begins as PS3.10 says.
pub(super) fn is_dicom(path: &Path) -> bool {
    let mut first = [0; 132];
    File::open(path).and_then(|mut file| file.read_exact(&mut first)).is_ok() && first.ends_with(b"DICM")
}

/// A row that can be used.
struct Labelled {
    line: u64,
    /// What it is about, in its words.
    cell: String,
    label: Label,
    split: Option<SplitWord>,
}

/// Reads the folder by the table `file`.
///
/// # Errors
/// [`Error::Labels`] if the table cannot be read or lacks a column, if a row could mean several films, studies or
/// patients, or if none means one.
pub(super) fn read(tree: &Tree, file: &Path, options: &IndexOptions) -> Result<FoundStudies> {
    let fault = |why: String| Error::Labels { table: file.to_owned(), reason: why };
    let table = LabelTable::read(file).map_err(fault)?;
    let keyed = KeyColumn::of(&table).zip(LabelColumn::of(&table));
    let ((key, column), label) = keyed.ok_or_else(|| fault(format!("looked for {PATTERN}; met {}", table.names())))?;
    let split = table.column(&["split"]);
    if let Some(name) = table.twice(&[Some(column), Some(label.at), split]) {
        return Err(fault(format!("more than one column is called {name}")));
    }
    let mut found = FoundStudies { companions: vec![file.to_owned()], ..FoundStudies::default() };
    let rows = rows(&mut found, file, &table, (column, label, split), &options.words());
    let candidates: Vec<_> = tree.entries.iter().filter(|entry| entry.path != file).collect();
    let pictures = candidates
        .par_iter()
        .map(|entry| {
            let picture = tree::check(&entry.path)?;
            let film = FilmFile { path: entry.path.clone(), absolute: entry.absolute.clone(), picture };
            let header = film.header();
            Ok::<_, SkipReason>((film, header))
        })
        .collect::<Vec<_>>();
    let mut films = Vec::new();
    for (entry, picture) in candidates.into_iter().zip(pictures) {
        match picture {
            Ok((film, header)) => films.push((key.name(tree.below(entry), header.as_ref()), film, header)),
            Err(flaw) => found.skip(entry.path.clone(), flaw),
        }
    }
    // Each name once, in the order of films.
    let mut at: HashMap<&str, usize> = HashMap::new();
    let mut names: Vec<String> = Vec::new();
    for name in films.iter().filter_map(|(name, ..)| name.as_deref()) {
        at.entry(name).or_insert_with(|| {
            names.push(name.to_owned());
            names.len() - 1
        });
    }
    let row_of = assign(&mut found, file, &rows, &key.names(&names), &names)?;
    let example = films.iter().find_map(|(name, film, _)| {
        let path = film.path.strip_prefix(&tree.root).unwrap_or(&film.path).display();
        Some(match (key, name) {
            (KeyColumn::File, _) => format!("the folder has {path}"),
            (_, Some(name)) => format!("{path} has {} {name}", table.name(column)),
            (_, None) => return None,
        })
    });
    let known: Vec<Option<usize>> = films.iter().map(|(name, ..)| at.get(name.as_deref()?).copied()).collect();
    let mut listed = Vec::new();
    for ((_, film, header), name) in films.into_iter().zip(known) {
        match name.and_then(|name| row_of[name]) {
            Some(row) => listed.push((claim(&rows[row], &film, header), film)),
            None => found.skip(film.path, SkipReason::Unlisted),
        }
    }
    if let (Some(first), true) = (rows.first(), listed.is_empty()) {
        let example = example.unwrap_or_else(|| format!("no film here says a {}", table.name(column)));
        let Labelled { line, cell, .. } = first;
        return Err(fault(format!("no row finds a film: line {line} says {cell}, {example}")));
    }
    missing(&mut found, file, &rows, &row_of);
    found.warnings.extend(tree::turned(&listed.iter().map(|(_, film)| film.clone()).collect::<Vec<_>>()));
    claims::studies(&mut found, tree, listed);
    Ok(found)
}

/// For each name the row that is about it. The first of several counts.
fn assign(
    found: &mut FoundStudies,
    file: &Path,
    rows: &[Labelled],
    known: &Spellings,
    names: &[String],
) -> Result<Vec<Option<usize>>> {
    let mut row_of: Vec<Option<usize>> = vec![None; names.len()];
    let (mut loose, mut ambiguous) = (Vec::new(), Vec::new());
    let meanings = known.meanings(rows.iter().map(|row| row.cell.as_str()));
    for (at, (row, meaning)) in rows.iter().zip(meanings).enumerate() {
        let Labelled { line, cell, label, .. } = row;
        let told = |of: &[usize]| {
            let names = of.iter().map(|at| names[*at].clone()).collect();
            RowReport { line: *line, cell: cell.clone(), names }
        };
        match meaning {
            Meaning::Nothing => {}
            Meaning::Many(many) => ambiguous.push(told(names::kept(many, ambiguous.is_empty()))),
            Meaning::One { at: name, is_loose } => match row_of[name] {
                None => {
                    row_of[name] = Some(at);
                    if is_loose {
                        loose.push(told(&[name]));
                    }
                }
                Some(before) => {
                    let first = &rows[before];
                    let why = format!("{cell} is listed before, on line {}", first.line);
                    found.skip(file.to_owned(), SkipReason::Row { line: *line, why });
                    if first.label != *label {
                        let message = format!("lines {} and {line} give {cell} two labels", first.line);
                        found.warnings.push(Warning::new(WarningKind::StudyWithTwoLabels, [file.to_owned()], message));
                    }
                }
            },
        }
    }
    found.warnings.extend(names::loose(vec![file.to_owned()], &loose));
    names::ambiguous(file, &ambiguous).map_or(Ok(row_of), Err)
}

fn claim(row: &Labelled, film: &FilmFile, header: Option<DicomHeader>) -> Claim {
    let (patient, study, part, projection) =
        header.map_or((None, None, None, None), |it| (it.patient, it.study, it.part, it.view));
    let path = film.absolute.clone();
    Claim { line: row.line, path, label: row.label, study, patient, projection, part, split: row.split }
}

/// The rows that can be used; others are skipped.
fn rows(
    found: &mut FoundStudies,
    file: &Path,
    table: &LabelTable,
    (key, label, split): (usize, LabelColumn, Option<usize>),
    words: &Words,
) -> Vec<Labelled> {
    let of = |line: u64, row: &Row| -> std::result::Result<Labelled, String> {
        let name = row.get(Some(key)).ok_or("it names no film, study or patient")?;
        let label = label.read(row, words)?;
        let split = match row.get(split) {
            Some(word) => Some(SplitWord::of(word).ok_or_else(|| format!("unknown split {word:?}"))?),
            None => None,
        };
        Ok(Labelled { line, cell: name.replace('\\', "/"), label, split })
    };
    let mut rows = Vec::new();
    for (line, row) in &table.rows {
        match row.as_ref().map_err(String::clone).and_then(|row| of(*line, row)) {
            Ok(row) => rows.push(row),
            Err(why) => found.skip(file.to_owned(), SkipReason::Row { line: *line, why }),
        }
    }
    rows
}

/// Rows of which there is no film.
fn missing(found: &mut FoundStudies, file: &Path, rows: &[Labelled], row_of: &[Option<usize>]) {
    let met: HashSet<usize> = row_of.iter().flatten().copied().collect();
    let again: HashSet<u64> = found.skipped.iter().filter_map(|it| it.reason.line()).collect();
    let is_missing = |(at, row): &(usize, &Labelled)| !met.contains(at) && !again.contains(&row.line);
    let missing: Vec<&Labelled> = rows.iter().enumerate().filter(is_missing).map(|(_, row)| row).collect();
    for Labelled { line, cell, .. } in &missing {
        let why = format!("no film of {cell}");
        found.skip(file.to_owned(), SkipReason::Row { line: *line, why });
    }
    if let [first, ..] = missing[..] {
        let unlisted = found.skipped.iter().find(|it| it.reason == SkipReason::Unlisted);
        let other = unlisted.map_or(String::new(), |it| format!("; {} is in no row", it.path.display()));
        let rows = counted(missing.len(), "row");
        let message = format!("{rows} of which there is no film, the first about {}{other}", first.cell);
        found.warnings.push(Warning::new(WarningKind::MissingFile, [file.to_owned()], message));
    }
}
