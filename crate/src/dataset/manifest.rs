//! A table of films: `path,label[,study,patient,view,part,split]`.
//!
//! The header is required, its order is free and other columns are left alone. Paths are relative to the table. Labels and
//! splits are words of [`super::labels`]. A study is the rows of one `study` of one `patient`; without that column each
//! film is a study of its own. Without a `split` we make one: by patient, else by study, else by neighbouring numbers. Where
//! the table says nothing about a DICOM file's patient, study, part or view, its header does.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use super::labels::{SplitWord, Words};
use super::summary::that_are;
use super::table::{Row, Table};
use super::tree::{self, Film, Tree};
use super::{Found, IndexOptions, SkipReason, Warning, WarningKind, groups, parallel};
use crate::study::{Label, Split, Study, View};
use crate::{Error, Result};

/// What the layout looks like, for messages.
pub(super) const PATTERN: &str = "a table path,label[,study,patient,view,part,split]";

/// Whether a table's header makes it a manifest.
pub(super) fn is_manifest(table: &Table) -> bool {
    table.column(&["path"]).is_some() && table.column(&["label"]).is_some()
}

/// What a row claims about a film.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub line: u64,
    /// Absolute.
    pub path: PathBuf,
    pub label: Label,
    pub study: Option<String>,
    pub patient: Option<String>,
    pub projection: Option<String>,
    pub part: Option<String>,
    pub split: Option<SplitWord>,
}

/// The positions of the known columns.
struct Columns {
    path: Option<usize>,
    label: Option<usize>,
    study: Option<usize>,
    patient: Option<usize>,
    view: Option<usize>,
    part: Option<usize>,
    split: Option<usize>,
}

impl Columns {
    fn of(table: &Table) -> Columns {
        let at = |name: &str| table.column(&[name]);
        Columns {
            path: at("path"),
            label: at("label"),
            study: at("study"),
            patient: at("patient"),
            view: at("view"),
            part: at("part"),
            split: at("split"),
        }
    }

    /// The row's claim, or why there is none.
    fn claim(&self, line: u64, row: &Row, folder: &Path, words: &Words) -> std::result::Result<Claim, String> {
        let path = resolve(folder, row.get(self.path).ok_or("the path is empty")?);
        let word = row.get(self.label).ok_or("the label is empty")?;
        let label = words.label(word).ok_or_else(|| format!("unknown label {word:?}"))?;
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
/// [`Error::Layout`] if the table cannot be read or lacks a column.
pub(super) fn read(tree: &Tree, file: &Path, options: &IndexOptions) -> Result<Found> {
    let fault = |why: String| Error::Layout { root: file.to_owned(), reason: why };
    let table = Table::read(file).map_err(|why| fault(format!("not a manifest: {why}")))?;
    if !is_manifest(&table) {
        return Err(fault(format!("looked for the columns path and label, met {}", table.names())));
    }
    let mut found = Found { companions: vec![file.to_owned()], ..Found::default() };
    let folder = tree::absolute(file)?.parent().map(Path::to_owned).unwrap_or_default();
    let (columns, words) = (Columns::of(&table), options.words());
    let mut claims: Vec<Claim> = Vec::new();
    let mut first: HashMap<PathBuf, usize> = HashMap::new();
    for (line, row) in &table.rows {
        let row = match row {
            Ok(row) => row,
            Err(why) => {
                found.skip(file.to_owned(), SkipReason::Row { line: *line, why: why.clone() });
                continue;
            }
        };
        match columns.claim(*line, row, &folder, &words) {
            Err(why) => {
                let named = row.get(columns.path).map(|cell| tree.as_given(&resolve(&folder, cell)));
                found.skip(named.unwrap_or_else(|| file.to_owned()), SkipReason::Row { line: *line, why });
            }
            Ok(claim) => match first.get(&claim.path) {
                None => {
                    first.insert(claim.path.clone(), claims.len());
                    claims.push(claim);
                }
                Some(&before) => again(&mut found, tree, &claims[before], &claim),
            },
        }
    }
    let films = with_headers(films(&mut found, tree, claims));
    skip_unlisted(&mut found, tree, &first);
    studies(&mut found, tree, films);
    Ok(found)
}

/// A film that two rows list; the first counts.
fn again(found: &mut Found, tree: &Tree, first: &Claim, claim: &Claim) {
    let path = tree.as_given(&claim.path);
    let why = format!("listed before, on line {}", first.line);
    found.skip(path.clone(), SkipReason::Row { line: claim.line, why });
    if claim.label != first.label {
        let message = format!("lines {} and {} give one film two labels", first.line, claim.line);
        found.warnings.push(Warning::new(WarningKind::StudyWithTwoLabels, [path], message));
    }
}

/// The films of the claims that are whole pictures; the others are skipped.
pub(super) fn films(found: &mut Found, tree: &Tree, claims: Vec<Claim>) -> Vec<(Claim, Film)> {
    let pictures =
        parallel::map(&claims, |claim| if claim.path.is_file() { Some(tree::check(&claim.path)) } else { None });
    let mut films = Vec::new();
    let mut missing = Vec::new();
    for (claim, picture) in claims.into_iter().zip(pictures) {
        let path = tree.as_given(&claim.path);
        match picture {
            Some(Ok(picture)) => {
                let film = Film { path, absolute: claim.path.clone(), picture };
                films.push((claim, film));
            }
            Some(Err(flaw)) => found.skip(path, flaw),
            None => {
                let why = "there is no such file".to_owned();
                found.skip(path.clone(), SkipReason::Row { line: claim.line, why });
                missing.push(path);
            }
        }
    }
    if !missing.is_empty() {
        let message = format!("the table lists {} not there", that_are(missing.len()));
        found.warnings.push(Warning::new(WarningKind::MissingFile, missing, message));
    }
    found.warnings.extend(tree::turned(&films.iter().map(|(_, film)| film.clone()).collect::<Vec<_>>()));
    films
}

/// What the table leaves open, from the headers of DICOM files.
pub(super) fn with_headers(mut films: Vec<(Claim, Film)>) -> Vec<(Claim, Film)> {
    let headers = parallel::map(&films, |(_, film)| film.header());
    for ((claim, _), header) in films.iter_mut().zip(headers) {
        if let Some(header) = header {
            claim.patient = claim.patient.take().or(header.patient);
            claim.study = claim.study.take().or(header.study);
            claim.part = claim.part.take().or(header.part);
            claim.projection = claim.projection.take().or(header.view);
        }
    }
    films
}

/// Everything else in the folder.
pub(super) fn skip_unlisted(found: &mut Found, tree: &Tree, listed: &HashMap<PathBuf, usize>) {
    let known: HashSet<&Path> =
        found.companions.iter().chain(found.skipped.iter().map(|it| &it.path)).map(PathBuf::as_path).collect();
    let others: Vec<_> = tree
        .entries
        .iter()
        .filter(|entry| !listed.contains_key(&entry.absolute) && !known.contains(entry.path.as_path()))
        .collect();
    let pictures = parallel::map(&others, |entry| tree::check(&entry.path).err());
    for (entry, flaw) in others.into_iter().zip(pictures) {
        found.skip(entry.path.clone(), flaw.unwrap_or(SkipReason::Unlisted));
    }
}

/// Gathers films in studies and, where the table says nothing about splits, in groups.
pub(super) fn studies(found: &mut Found, tree: &Tree, films: Vec<(Claim, Film)>) {
    let used: BTreeSet<SplitWord> = films.iter().filter_map(|(claim, _)| claim.split).collect();
    let official = used.iter().any(|word| *word != SplitWord::Train);
    let belows: Vec<PathBuf> =
        films.iter().map(|(_, film)| film.path.strip_prefix(&tree.root).unwrap_or(&film.path).to_owned()).collect();
    let blocks = groups::by_number(&belows.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    let mut studies: BTreeMap<(Split, String), Study> = BTreeMap::new();
    let mut labels: BTreeMap<(Split, String), BTreeSet<Label>> = BTreeMap::new();
    for (((claim, film), below), block) in films.into_iter().zip(belows).zip(blocks) {
        let split = match claim.split {
            Some(word) if official => word.split(&used),
            None if official => {
                found.skip(film.path, SkipReason::Row { line: claim.line, why: "the split is empty".to_owned() });
                continue;
            }
            _ => Split::Train,
        };
        let below = below.display().to_string();
        let id = match (&claim.patient, &claim.study) {
            (Some(patient), Some(study)) => format!("{patient}/{study}"),
            (None, Some(study)) => study.clone(),
            (_, None) => below,
        };
        // Where a published split parts neighbours, the block counts within it.
        let alone = if official { format!("{split}/{block}") } else { block };
        let group = claim.patient.clone().or(claim.study.clone()).unwrap_or(alone);
        let study = studies.entry((split, id.clone())).or_insert_with(|| Study {
            id: id.clone(),
            patient: claim.patient,
            group,
            part: claim.part,
            split,
            label: claim.label,
            views: Vec::new(),
        });
        study.label = study.label.max(claim.label);
        study.views.push(View { projection: claim.projection, ..film.view() });
        labels.entry((split, id)).or_default().insert(claim.label);
    }
    for (key, study) in &studies {
        if labels[key].len() > 1 {
            let message = format!("study {} has rows of both labels; it counts as abnormal", study.id);
            let paths: Vec<PathBuf> = study.views.iter().map(|view| view.path.clone()).collect();
            found.warnings.push(Warning::new(WarningKind::StudyWithTwoLabels, paths, message));
        }
    }
    let mut seen = BTreeSet::new();
    found.studies = studies.into_values().collect();
    for study in &mut found.studies {
        if !seen.insert(study.id.clone()) {
            study.id = format!("{}/{}", study.split, study.id);
        }
        study.views.sort_by(|a, b| a.path.cmp(&b.path));
    }
    found.official_split = official;
}

/// A cell's path: relative to the table's folder, with `..` resolved by name; `\` also parts names where that finds a file.
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
