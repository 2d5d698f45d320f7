//! A table of films: `path,label[,study,patient,view,part,split]`, or by other usual names of these columns.
//!
//! The header is required, its order is free and other columns are left alone. Paths are relative to the table; where nothing
//! lies there, the film is looked for in the folder by what the cell says, which may be its bare name. Labels and splits are
//! words of [`super::labels`]. A study is the rows of one `study` of one `patient`; without that column each
//! film is a study of its own. Without a `split` we make one: by patient, else by study, else by neighbouring numbers. Where
//! the table says nothing about a DICOM file's patient, study, part or view, its header does.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use super::labels::{LabelColumn, SplitWord, Words};
use super::names::{self, Meaning, Names, Told};
use super::summary::that_are;
use super::table::{Row, Table};
use super::tree::{self, Entry, Film, Tree};
use super::{Found, IndexOptions, SkipReason, Warning, WarningKind, groups};
use crate::study::{Label, Split, Study, View};
use crate::{Error, Result};
use rayon::prelude::*;

/// What the layout looks like, for messages.
pub(super) const PATTERN: &str = "a table path,label[,study,patient,view,part,split]";

/// The columns that name a film's file; the first that is there counts.
pub(super) const FILE: [&str; 11] = [
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
pub(super) fn is_manifest(table: &Table) -> bool {
    table.column(&FILE).is_some() && LabelColumn::of(table).is_some()
}

/// Whether a manifest speaks of paths, whatever kind of films they are of.
pub(super) fn has_paths(table: &Table) -> bool {
    is_manifest(table) && table.column(&["path"]).is_some()
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
    fn of(table: &Table) -> std::result::Result<Columns, String> {
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
/// [`Error::Labels`] if the table cannot be read or lacks a column, if a row could mean several films, or if none means one.
pub(super) fn read(tree: &Tree, file: &Path, options: &IndexOptions) -> Result<Found> {
    let fault = |why: String| Error::Labels { table: file.to_owned(), reason: why };
    let table = Table::read(file).map_err(fault)?;
    let columns = Columns::of(&table).map_err(fault)?;
    let mut found = Found { companions: vec![file.to_owned()], ..Found::default() };
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

/// The files that rows may mean which do not lie where they say.
struct Around<'a> {
    /// The table's folder, where only the table was named and not all films lie where it says.
    walked: Option<Tree>,
    tree: &'a Tree,
    table: &'a Path,
}

impl<'a> Around<'a> {
    fn new(tree: &'a Tree, table: &'a Path, rows: &[(Claim, &str)]) -> Result<Around<'a>> {
        let here = if tree.root.as_os_str().is_empty() { Path::new(".") } else { &tree.root };
        let is_unknown = tree.entries.is_empty() && rows.iter().any(|(claim, _)| !claim.path.exists());
        let walked = if is_unknown { Some(Tree::walk(here)?) } else { None };
        Ok(Around { walked, tree, table })
    }

    /// The files but the table, with their paths below the folder.
    fn files(&self) -> (Vec<&Entry>, Vec<String>) {
        let tree = self.walked.as_ref().unwrap_or(self.tree);
        let others = tree.entries.iter().filter(|entry| entry.absolute != self.table);
        others.map(|entry| (entry, tree.below(entry).to_string_lossy().into_owned())).unzip()
    }

    /// The first film, for messages.
    fn film(&self) -> Option<String> {
        let (files, names) = self.files();
        files.iter().zip(names).find(|(entry, _)| tree::check(&entry.path).is_ok()).map(|(_, name)| name)
    }

    /// Gives the rows whose film does not lie where they say the one that they mean.
    fn look(&self, found: &mut Found, tree: &Tree, file: &Path, rows: &mut [(Claim, &str)]) -> Result<()> {
        let (lost, there): (Vec<usize>, Vec<usize>) = (0..rows.len()).partition(|at| !rows[*at].0.path.exists());
        if lost.is_empty() {
            return Ok(());
        }
        let direct: HashSet<PathBuf> = there.iter().map(|at| rows[*at].0.path.clone()).collect();
        let (files, paths) = self.files();
        let cells: Vec<String> = lost.iter().map(|at| rows[*at].1.replace('\\', "/")).collect();
        let known = Names::of_files(&paths);
        let meanings = known.meanings(cells.iter().map(String::as_str));
        let films_of = films_of(&files, &meanings);
        let (mut loose, mut films, mut ambiguous) = (Vec::new(), Vec::new(), Vec::new());
        for (at, meaning) in lost.into_iter().zip(meanings) {
            let (claim, cell) = &mut rows[at];
            let told = |names: &[usize]| Told {
                line: claim.line,
                cell: (*cell).to_owned(),
                names: names.iter().map(|at| paths[*at].clone()).collect(),
            };
            let (at, is_loose) = match meaning {
                Meaning::Nothing => continue,
                Meaning::One { at, is_loose } => (at, is_loose),
                // A film and what is stored beside it under its name.
                Meaning::Many(many) => match &films_of[&many.as_ptr()][..] {
                    [] => continue,
                    [at] => (*at, false),
                    films => {
                        ambiguous.push(told(names::kept(films, ambiguous.is_empty())));
                        continue;
                    }
                },
            };
            if is_loose {
                if direct.contains(&files[at].absolute) {
                    continue;
                }
                loose.push(told(&[at]));
                films.push(tree.as_given(&files[at].absolute));
            }
            claim.path.clone_from(&files[at].absolute);
        }
        found.warnings.extend(names::loose(films, &loose));
        names::ambiguous(file, &ambiguous).map_or(Ok(()), Err)
    }
}

/// The films among the files of each list that cells mean, by where the list lies: rows of one name share one. A file is read
/// once, however many rows mean it.
fn films_of(files: &[&Entry], meanings: &[Meaning]) -> HashMap<*const usize, Vec<usize>> {
    let mut lists: HashMap<*const usize, &[usize]> = HashMap::new();
    for meaning in meanings {
        if let Meaning::Many(many) = meaning {
            lists.insert(many.as_ptr(), many);
        }
    }
    let meant: Vec<usize> = lists.values().copied().flatten().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let checked = meant.par_iter().map(|at| tree::check(&files[*at].path).is_ok()).collect::<Vec<_>>();
    let films: HashSet<usize> = meant.into_iter().zip(checked).filter(|(_, is_film)| *is_film).map(|it| it.0).collect();
    let among = |many: &[usize]| many.iter().copied().filter(|at| films.contains(at)).collect();
    lists.into_iter().map(|(place, many)| (place, among(many))).collect()
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
    let pictures = claims
        .par_iter()
        .map(|claim| if claim.path.is_file() { Some(tree::check(&claim.path)) } else { None })
        .collect::<Vec<_>>();
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
                let (why, is_missing) = tree::no_file(&claim.path);
                found.skip(path.clone(), SkipReason::Row { line: claim.line, why });
                missing.extend(is_missing.then_some(path));
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
    let headers = films.par_iter().map(|(_, film)| film.header()).collect::<Vec<_>>();
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
    let pictures = others.par_iter().map(|entry| tree::check(&entry.path).err()).collect::<Vec<_>>();
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
