//! MURA's tables: every film and every study with its label, to be compared with the folders.
//!
//! `{train,valid}_image_paths.csv` lists films, `{train,valid}_labeled_studies.csv` lists `study folder/,label`.
//! Neither has a header. Paths begin with the name of the root folder where they are Stanford's; tables that were made
//! anew begin with anything: only the names from the split on are looked at, `\` parts them as `/` does, and the
//! split's case does not matter.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::names::{BodyParts, PathNames};
use crate::layout::table::LabelTable;
use crate::layout::tree::Tree;
use crate::study::{Label, Split, Study};
use crate::warning::{Warning, WarningKind};
use crate::words::that_are;

/// What the tables say otherwise than the folders: one warning for each table and kind.
pub(super) fn compare(tree: &Tree, studies: &[Study], parts: &BodyParts) -> Vec<Warning> {
    let present: HashSet<&Path> = tree.entries.iter().map(|entry| entry.absolute.as_path()).collect();
    let mut films: HashMap<PathBuf, &Study> = HashMap::new();
    for study in studies {
        for view in &study.views {
            let below = view.path.strip_prefix(&tree.root).unwrap_or(&view.path);
            films.insert(tree.base.join(below), study);
        }
    }
    // The folders of splits, as they are written.
    let mut roots: BTreeMap<&Path, BTreeMap<Split, &str>> = BTreeMap::new();
    for names in films.keys().filter_map(|film| PathNames::of(film)) {
        if let Some(split) = names.split() {
            roots.entry(names.above).or_default().insert(split, names.split_folder);
        }
    }
    let mut warnings = Vec::new();
    for (above, folders) in roots {
        for split in [Split::Train, Split::Valid] {
            let scope = Scope { tree, parts, above, split, folders: &folders, films: &films, present: &present };
            scope.films(&mut warnings);
            scope.studies(&mut warnings);
        }
    }
    warnings
}

/// An absolute path within reach of the root, and the second cell.
type Listed = (PathBuf, Option<String>);

/// One split of one tree.
struct Scope<'a> {
    tree: &'a Tree,
    parts: &'a BodyParts,
    above: &'a Path,
    split: Split,
    folders: &'a BTreeMap<Split, &'a str>,
    films: &'a HashMap<PathBuf, &'a Study>,
    present: &'a HashSet<&'a Path>,
}

impl Scope<'_> {
    /// `train_image_paths.csv`
    fn films(&self, warnings: &mut Vec<Warning>) {
        let Some((name, rows)) = self.table("image_paths", warnings) else {
            return;
        };
        let listed: HashSet<PathBuf> = rows.into_iter().map(|(path, _)| path).collect();
        let missing = listed.iter().filter(|path| !self.present.contains(path.as_path()));
        self.missing(&name, missing, warnings);
        let unlisted = self.own().filter(|film| !listed.contains(*film));
        self.unlisted(&name, unlisted, warnings);
    }

    /// `train_labeled_studies.csv`
    fn studies(&self, warnings: &mut Vec<Warning>) {
        let Some((name, rows)) = self.table("labeled_studies", warnings) else {
            return;
        };
        let folders: HashMap<&Path, &Study> =
            self.own().filter_map(|film| Some((film.parent()?, self.films[film]))).collect();
        let on_disk: HashSet<&Path> = self.present.iter().filter_map(|path| path.parent()).collect();
        let mut conflicts = BTreeSet::new();
        let mut unknown = BTreeSet::new();
        let mut listed = HashSet::new();
        for (folder, label) in &rows {
            let label = match label.as_deref() {
                Some("0") => Label::Normal,
                Some("1") => Label::Abnormal,
                _ => {
                    unknown.insert(self.tree.as_given(folder));
                    continue;
                }
            };
            if folders.get(folder.as_path()).is_some_and(|study| study.label != label) {
                conflicts.insert(self.tree.as_given(folder));
            }
        }
        listed.extend(rows.iter().map(|(folder, _)| folder.as_path()));
        if !unknown.is_empty() {
            let message =
                format!("{name}: the label of {} is neither 0 nor 1", count(unknown.len(), "study", "studies"));
            warnings.push(Warning::new(WarningKind::Annotations, Vec::from_iter(unknown), message));
        }
        if !conflicts.is_empty() {
            let n = count(conflicts.len(), "study", "studies");
            let message = format!("{name} claims another label for {n} than the folder, which counts");
            warnings.push(Warning::new(WarningKind::ConflictingLabel, Vec::from_iter(conflicts), message));
        }
        let missing: Vec<&PathBuf> =
            rows.iter().map(|(folder, _)| folder).filter(|folder| !on_disk.contains(folder.as_path())).collect();
        self.missing(&name, missing, warnings);
        self.unlisted(&name, folders.keys().filter(|folder| !listed.contains(**folder)).copied(), warnings);
    }

    /// The films of this split.
    fn own(&self) -> impl Iterator<Item = &Path> {
        let folder = self.above.join(self.folder(self.split));
        self.films.keys().map(PathBuf::as_path).filter(move |film| film.starts_with(&folder))
    }

    /// The folder of a split, as it is written here.
    fn folder(&self, split: Split) -> &str {
        self.folders.get(&split).copied().unwrap_or(split.name())
    }

    /// The table's name and its rows. None if there is no
    /// such table; a table that cannot be read is a warning.
    fn table(&self, kind: &str, warnings: &mut Vec<Warning>) -> Option<(String, Vec<Listed>)> {
        let name = format!("{}_{kind}.csv", self.split);
        let path = self.above.join(&name);
        if !path.is_file() {
            return None;
        }
        let mut complain = |why: String| {
            let message = format!("{name}: {why}");
            warnings.push(Warning::new(WarningKind::Annotations, [self.tree.as_given(&path)], message));
        };
        let rows = LabelTable::read_headless(&path).map_err(&mut complain).ok()?;
        let mut read = Vec::new();
        let mut foreign = Vec::new();
        // A film has a name below its study's folder.
        let names = if kind == "image_paths" { 4 } else { 3 };
        for (line, row) in rows {
            match row {
                Ok(row) => {
                    let cell = |at| row.get(Some(at)).map(str::to_owned);
                    // A first row that names no path is a header.
                    let Some(listed) = cell(0).filter(|it| line > 1 || it.contains(['/', '\\'])) else { continue };
                    match self.place(&listed, names) {
                        Some(path) if self.is_in_reach(&path) => read.push((path, cell(1))),
                        Some(_) => {}
                        None => foreign.push((line, listed)),
                    }
                }
                Err(why) => complain(format!("line {line}: {why}")),
            }
        }
        if let [(line, listed), ..] = &foreign[..] {
            let n = count(foreign.len(), "row names", "rows name");
            let own = self.own().min().map(|film| if names == 4 { film } else { film.parent().unwrap_or(film) });
            let own =
                own.map_or(String::new(), |own| format!(", the folder has {}", self.tree.as_given(own).display()));
            complain(format!("{n} nothing that could lie here: line {line} says {listed}{own}"));
        }
        Some((name, read))
    }

    /// Where a listed path would lie, by the split in it and the `names` below that.
    fn place(&self, listed: &str, names: usize) -> Option<PathBuf> {
        let parts: Vec<&str> = listed.split(['/', '\\']).filter(|part| !matches!(*part, "" | ".")).collect();
        let (split, below) = parts[parts.len().checked_sub(names + 1)?..].split_first()?;
        let split = [Split::Train, Split::Valid].into_iter().find(|it| split.eq_ignore_ascii_case(it.name()))?;
        let folder = self.above.join(self.folder(split));
        (!below.contains(&"..")).then(|| folder.join(below.iter().collect::<PathBuf>()))
    }

    /// Whether a path is below the root and of a part that was asked for.
    fn is_in_reach(&self, path: &Path) -> bool {
        let below = path.strip_prefix(self.above).unwrap_or(path);
        let is_wanted =
            below.components().nth(1).is_some_and(|part| self.parts.is_wanted(&part.as_os_str().to_string_lossy()));
        is_wanted && path.starts_with(&self.tree.base)
    }

    fn missing<'a>(&self, name: &str, paths: impl IntoIterator<Item = &'a PathBuf>, warnings: &mut Vec<Warning>) {
        let paths: BTreeSet<PathBuf> = paths.into_iter().map(|path| self.tree.as_given(path)).collect();
        if !paths.is_empty() {
            let message = format!("{name} lists {} not there", that_are(paths.len()));
            warnings.push(Warning::new(WarningKind::MissingFile, Vec::from_iter(paths), message));
        }
    }

    fn unlisted<'a>(&self, name: &str, paths: impl IntoIterator<Item = &'a Path>, warnings: &mut Vec<Warning>) {
        let paths: BTreeSet<PathBuf> = paths.into_iter().map(|path| self.tree.as_given(path)).collect();
        if !paths.is_empty() {
            let message = format!("{name} does not list {} there", that_are(paths.len()));
            warnings.push(Warning::new(WarningKind::UnlistedFile, Vec::from_iter(paths), message));
        }
    }
}

fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}
