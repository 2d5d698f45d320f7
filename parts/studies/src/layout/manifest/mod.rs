//! A table of films: `path,label[,study,patient,view,part,split]`, or by other usual names of these columns.
//!
//! The header is required, its order is free and other columns are left alone. Paths are relative to the table; where
//! nothing lies there, the film is looked for in the folder by what the cell says, which may be its bare name. Labels
//! and splits are words of [`super::labels`]. A study is the rows of one `study` of one `patient`; without that column
//! each film is a study of its own. Without a `split` we make one: by patient, else by study, else by neighbouring
//! numbers. Where the table says nothing about a DICOM file's patient, study, part or view, its header does.

mod around;

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use crate::layout::claims::{Claim, films, skip_unlisted, studies, with_headers};
use crate::layout::labels::{LabelColumn, SplitWord, Words};
use crate::layout::table::{LabelTable, Row};
use crate::layout::tree::{self, Tree};
use crate::layout::{FoundStudies, IndexOptions};
use crate::skipped::SkipReason;
use crate::warning::{Warning, WarningKind};
use crate::{Error, Result};
use around::Around;

/// What the layout looks like, for messages.
pub(super) const PATTERN: &str = "a table path,label[,study,patient,view,part,split]";

/// The columns that name a film's file; the first that is there counts.
pub(in crate::layout) const FILE: [&str; 11] = [
    "path",
    "imagepath",
    "filepath",
    "imgpath",
    "file",
    "filename",
    "imagefile",
    "imagename",
    "image",
    "imageindex",
    "imageid",
];

/// Whether a table's header makes it a manifest.
pub(super) fn is_manifest(table: &LabelTable) -> bool {
    table.column(&FILE).is_some() && LabelColumn::of(table).is_some()
}

/// Whether a manifest speaks of paths, whatever kind of films they are of.
pub(super) fn has_paths(table: &LabelTable) -> bool {
    is_manifest(table) && table.column(&["path"]).is_some()
}

/// The positions of the known columns.
struct Columns {
    path: Option<usize>,
    label: LabelColumn,
    study: Option<usize>,
    patient: Option<usize>,
    view: Option<usize>,
    part: Option<usize>,
    split: Option<usize>,
}

impl Columns {
    /// The columns of a manifest.
    ///
    /// # Errors
    /// One line, if one is not there, or there twice.
    fn of(table: &LabelTable) -> std::result::Result<Columns, String> {
        let path = table.column(&FILE);
        let label = LabelColumn::of(table).filter(|_| path.is_some());
        let label = label.ok_or_else(|| format!("looked for the columns path and label, met {}", table.names()))?;
        let columns = Columns {
            path,
            label,
            study: table.column(&["study", "studyid", "studyinstanceuid"]),
            patient: table.column(&["patient", "patientid", "subject", "subjectid"]),
            view: table.column(&["view", "viewposition", "projection"]),
            part: table.column(&["part", "bodypart", "bodypartexamined"]),
            split: table.column(&["split"]),
        };
        let Columns { path, label, study, patient, view, part, split } = &columns;
        match table.twice(&[*path, Some(label.at), *study, *patient, *view, *part, *split]) {
            Some(name) => Err(format!("more than one column is called {name}")),
            None => Ok(columns),
        }
    }

    /// The row's claim, or why there is none.
    fn claim(&self, line: u64, row: &Row, folder: &Path, words: &Words) -> std::result::Result<Claim, String> {
        let path = resolve(folder, row.get(self.path).ok_or("the path is empty")?);
        let label = self.label.read(row, words)?;
        let split = match row.get(self.split) {
            Some(word) => Some(SplitWord::of(word).ok_or_else(|| format!("unknown split {word:?}"))?),
            None => None,
        };
        let cell = |column| row.get(column).map(str::to_owned);
        let (study, patient) = (cell(self.study), cell(self.patient));
        Ok(Claim { line, path, label, study, patient, projection: cell(self.view), part: cell(self.part), split })
    }
}

/// Reads the films that `table`, in the folder `home` of the tree, lists.
///
/// # Errors
/// [`Error::Labels`] if the table cannot be read or lacks a column, if a row could mean several films, or if none means
/// one.
pub(super) fn read(tree: &Tree, file: &Path, options: &IndexOptions) -> Result<FoundStudies> {
    let fault = |why: String| Error::Labels { table: file.to_owned(), reason: why };
    let table = LabelTable::read(file).map_err(fault)?;
    let columns = Columns::of(&table).map_err(fault)?;
    let mut found = FoundStudies { companions: vec![file.to_owned()], ..FoundStudies::default() };
    let home = tree::absolute(file)?;
    let folder = home.parent().map(Path::to_owned).unwrap_or_default();
    let words = options.words();
    let mut rows: Vec<(Claim, &str)> = Vec::new();
    let mut useless = None;
    for (line, row) in &table.rows {
        let cell = row.as_ref().ok().and_then(|row| row.get(columns.path));
        match row.as_ref().map_err(String::clone).and_then(|row| columns.claim(*line, row, &folder, &words)) {
            Ok(claim) => rows.push((claim, cell.unwrap_or_default())),
            Err(why) => {
                useless.get_or_insert_with(|| format!("line {line}: {why}"));
                let named = cell.map(|cell| tree.as_given(&resolve(&folder, cell)));
                found.skip(named.unwrap_or_else(|| file.to_owned()), SkipReason::Row { line: *line, why });
            }
        }
    }
    let around = Around::new(tree, &home, &rows)?;
    around.look(&mut found, tree, file, &mut rows)?;
    let told: Option<(u64, String)> = rows.first().map(|(claim, cell)| (claim.line, (*cell).to_owned()));
    let is_lost = rows.iter().all(|(claim, _)| !claim.path.exists());
    let mut claims: Vec<Claim> = Vec::new();
    let mut first: HashMap<PathBuf, usize> = HashMap::new();
    for (claim, _) in rows {
        match first.get(&claim.path) {
            None => {
                first.insert(claim.path.clone(), claims.len());
                claims.push(claim);
            }
            Some(&before) => again(&mut found, tree, &claims[before], &claim),
        }
    }
    let films = with_headers(films(&mut found, tree, claims));
    skip_unlisted(&mut found, tree, &first);
    studies(&mut found, tree, films);
    match (told, useless) {
        _ if !found.studies.is_empty() => Ok(found),
        (None, None) => Err(fault("it has no row below its header".to_owned())),
        (None, Some(why)) => {
            let hint = "; --positive WORD and --negative WORD say what a label means";
            let hint = if why.contains("unknown label") { hint } else { "" };
            Err(fault(format!("no row can be used: {why}{hint}")))
        }
        (Some((line, cell)), _) if is_lost => {
            let film = around.film().map_or("no film is there".to_owned(), |film| format!("the folder has {film}"));
            Err(fault(format!("no row finds its film: line {line} says {cell}, {film}")))
        }
        _ => Ok(found),
    }
}

/// A film that two rows list; the first counts.
fn again(found: &mut FoundStudies, tree: &Tree, first: &Claim, claim: &Claim) {
    let path = tree.as_given(&claim.path);
    let why = format!("listed before, on line {}", first.line);
    found.skip(path.clone(), SkipReason::Row { line: claim.line, why });
    if claim.label != first.label {
        let message = format!("lines {} and {} give one film two labels", first.line, claim.line);
        found.warnings.push(Warning::new(WarningKind::StudyWithTwoLabels, [path], message));
    }
}

/// A cell's path: relative to the table's folder, with `..` resolved by name; `\` also parts names where that finds a
/// file.
fn resolve(folder: &Path, cell: &str) -> PathBuf {
    let plain = lexical(&folder.join(cell));
    if cell.contains('\\') && !plain.exists() {
        let turned = lexical(&folder.join(cell.replace('\\', "/")));
        if turned.exists() {
            return turned;
        }
    }
    plain
}

fn lexical(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if plain.pop() => {}
            part => plain.push(part),
        }
    }
    plain
}
