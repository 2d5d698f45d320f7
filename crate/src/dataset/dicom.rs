//! A folder of DICOM files and a table of labels; patient, study, part and view come from the files' headers.
//!
//! The table has a column `label`, may have `split`, and says which film, study or patient a row is about by the first of
//! these columns that it has, whatever their case and with or without `_`: a file (`path`, `file`, `filename`, `image`: the
//! path below the folder, the file's name, or that without its extension), `SOPInstanceUID`, `StudyInstanceUID`,
//! `AccessionNumber`, `PatientID`. A row about a study or a patient labels all its films.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::labels::{SplitWord, Words};
use super::manifest::{self, Claim};
use super::table::{Row, Table};
use super::tree::{self, Film, Tree};
use super::{Found, IndexOptions, SkipReason, Warning, WarningKind, parallel};
use crate::counted;
use crate::preprocess::DicomHeader;
use crate::study::Label;
use crate::{Error, Result};

/// What the layout looks like, for messages.
pub(super) const PATTERN: &str =
    "DICOM files and a table label and one of path, SOPInstanceUID, StudyInstanceUID, AccessionNumber, PatientID";

/// What the rows of a table are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    File,
    Instance,
    Study,
    Accession,
    Patient,
}

/// The names of the columns of each key, the first that is there counts.
const KEYS: [(Key, &[&str]); 5] = [
    (Key::File, &["path", "file", "filename", "file_name", "image"]),
    (Key::Instance, &["sopinstanceuid", "sop_instance_uid"]),
    (Key::Study, &["studyinstanceuid", "study_instance_uid"]),
    (Key::Accession, &["accessionnumber", "accession_number", "accession"]),
    (Key::Patient, &["patientid", "patient_id"]),
];

impl Key {
    fn of(table: &Table) -> Option<(Key, usize)> {
        table.column(&["label"])?;
        KEYS.iter().find_map(|(key, names)| Some((*key, table.column(names)?)))
    }

    /// The words by which rows may name a film.
    fn names(self, below: &Path, header: Option<&DicomHeader>) -> Vec<String> {
        let of_header = |name: fn(&DicomHeader) -> &Option<String>| header.and_then(|it| name(it).clone());
        match self {
            Key::File => {
                let name = |part: Option<&std::ffi::OsStr>| part.map(|it| it.to_string_lossy().into_owned());
                let path = below.to_string_lossy().replace('\\', "/");
                [Some(path), name(below.file_name()), name(below.file_stem())].into_iter().flatten().collect()
            }
            Key::Instance => of_header(|it| &it.instance).into_iter().collect(),
            Key::Study => of_header(|it| &it.study).into_iter().collect(),
            Key::Accession => of_header(|it| &it.accession).into_iter().collect(),
            Key::Patient => of_header(|it| &it.patient).into_iter().collect(),
        }
    }
}

/// Whether a table has the columns of this layout.
pub(super) fn has_key(table: &Table) -> bool {
    Key::of(table).is_some()
}

/// Whether a file begins as PS3.10 says.
pub(super) fn is_dicom(path: &Path) -> bool {
    let mut first = [0; 132];
    File::open(path).and_then(|mut file| file.read_exact(&mut first)).is_ok() && first.ends_with(b"DICM")
}

/// A row that can be used.
struct Labelled {
    line: u64,
    label: Label,
    split: Option<SplitWord>,
    is_met: bool,
}

/// Reads the folder by the table `file`.
///
/// # Errors
/// [`Error::Layout`] if the table cannot be read or lacks a column.
pub(super) fn read(tree: &Tree, file: &Path, options: &IndexOptions) -> Result<Found> {
    let fault = |why: String| Error::Layout { root: file.to_owned(), reason: why };
    let table = Table::read(file).map_err(|why| fault(format!("not a table of labels: {why}")))?;
    let (key, column) = Key::of(&table).ok_or_else(|| fault(format!("looked for {PATTERN}; met {}", table.names())))?;
    let mut found = Found { companions: vec![file.to_owned()], ..Found::default() };
    let mut rows = rows(&mut found, file, &table, column, &options.words());
    let candidates: Vec<_> = tree.entries.iter().filter(|entry| entry.path != file).collect();
    let pictures = parallel::map(&candidates, |entry| {
        let picture = tree::check(&entry.path)?;
        let film = Film { path: entry.path.clone(), absolute: entry.absolute.clone(), picture };
        let header = film.header();
        Ok::<_, SkipReason>((film, header))
    });
    let mut films = Vec::new();
    for (entry, picture) in candidates.into_iter().zip(pictures) {
        let (film, header) = match picture {
            Ok(found) => found,
            Err(flaw) => {
                found.skip(entry.path.clone(), flaw);
                continue;
            }
        };
        let names = key.names(tree.below(entry), header.as_ref());
        let Some(row) = names.iter().find(|name| rows.contains_key(*name)).and_then(|name| rows.get_mut(name)) else {
            found.skip(film.path, SkipReason::Unlisted);
            continue;
        };
        row.is_met = true;
        films.push((claim(row, &film, header), film));
    }
    missing(&mut found, file, &rows);
    found.warnings.extend(tree::turned(&films.iter().map(|(_, film)| film.clone()).collect::<Vec<_>>()));
    manifest::studies(&mut found, tree, films);
    Ok(found)
}

fn claim(row: &Labelled, film: &Film, header: Option<DicomHeader>) -> Claim {
    let (patient, study, part, projection) =
        header.map_or((None, None, None, None), |it| (it.patient, it.study, it.part, it.view));
    let path = film.absolute.clone();
    Claim { line: row.line, path, label: row.label, study, patient, projection, part, split: row.split }
}

/// The rows by what they are about; others are skipped.
fn rows(found: &mut Found, file: &Path, table: &Table, key: usize, words: &Words) -> HashMap<String, Labelled> {
    let (label, split) = (table.column(&["label"]), table.column(&["split"]));
    let of = |row: &Row| -> std::result::Result<(String, Label, Option<SplitWord>), String> {
        let name = row.get(Some(key)).ok_or("it names no film, study or patient")?;
        let word = row.get(label).ok_or("the label is empty")?;
        let label = words.label(word).ok_or_else(|| format!("unknown label {word:?}"))?;
        let split = match row.get(split) {
            Some(word) => Some(SplitWord::of(word).ok_or_else(|| format!("unknown split {word:?}"))?),
            None => None,
        };
        Ok((name.replace('\\', "/"), label, split))
    };
    let mut rows: HashMap<String, Labelled> = HashMap::new();
    for (line, row) in &table.rows {
        let mut skip = |why: String| found.skip(file.to_owned(), SkipReason::Row { line: *line, why });
        match row.as_ref().map_err(String::clone).and_then(of) {
            Err(why) => skip(why),
            Ok((name, label, split)) => match rows.get(&name) {
                Some(first) => {
                    skip(format!("{name} is listed before, on line {}", first.line));
                    if first.label != label {
                        let message = format!("lines {} and {line} give {name} two labels", first.line);
                        found.warnings.push(Warning::new(WarningKind::StudyWithTwoLabels, [file.to_owned()], message));
                    }
                }
                None => drop(rows.insert(name, Labelled { line: *line, label, split, is_met: false })),
            },
        }
    }
    rows
}

/// Rows of which there is no film.
fn missing(found: &mut Found, file: &Path, rows: &HashMap<String, Labelled>) {
    let mut names: Vec<(u64, &str)> =
        rows.iter().filter(|(_, row)| !row.is_met).map(|(name, row)| (row.line, name.as_str())).collect();
    names.sort_unstable();
    for (line, name) in &names {
        let why = format!("no film of {name}");
        found.skip(file.to_owned(), SkipReason::Row { line: *line, why });
    }
    if let [(_, first), ..] = names[..] {
        let paths: Vec<PathBuf> = vec![file.to_owned()];
        let message = format!("{} of which there is no film, the first about {first}", counted(names.len(), "row"));
        found.warnings.push(Warning::new(WarningKind::MissingFile, paths, message));
    }
}
