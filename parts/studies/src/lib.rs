//! Which studies exist in a folder, what each file of it became, and how they are split.
//!
//! One file a layout: MURA (Rajpurkar et al., arXiv:1712.06957; phantoms use it too), FracAtlas (Abedeen et al., Sci Data
//! 10, 521, 2023), folders of classes, a manifest, DICOM files with a table of labels. The layout is recognised from the
//! names, or said. No file is dropped silently: each below the root becomes a view, a known companion of the films (label
//! lists, annotations, masks), or a [`Skipped`] with its reason; what is doubtful without being unusable is a [`Warning`].

#![forbid(unsafe_code)]

mod alignment;
mod audit;
mod classes;
mod coco;
mod dicom;
mod duplicates;
mod error;
pub mod fingerprint;
mod fracatlas;
mod fracatlas_table;
mod groups;
pub mod labels;
mod leaks;
mod manifest;
mod mura;
mod mura_tables;
mod names;
mod neighbours;
mod prints;
mod recognise;
mod region;
mod skipped;
pub mod split;
mod study;
mod summary;
mod table;
mod tree;
mod warning;

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use audit::AuditOptions;
pub use error::{Error, Result};
pub use leaks::{Leak, leaks, refuse_leaks, trainable};
pub use region::fracture_mask;
pub use skipped::{SkipReason, Skipped};
pub use study::{Finding, Label, Split, Study, View};
pub use summary::{LabelSummary, SizeSummary, SplitSummary, Summary};
pub use warning::{Warning, WarningKind};

use files::{lossy, lossy_all};
use labels::Words;
use recognise::{Reading, no_films, recognise};
use tree::Tree;

/// How a folder of films is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `{train,valid}/XR_<PART>/patientNNNNN/studyK_{positive,negative}/imageJ.png`, with the official split. Phantoms
    /// add their masks in `truth/`, at the same relative path.
    Mura,
    /// `images/{Fractured,Non_fractured}/IMGnnnnnnn.jpg`; no patients, no official split.
    FracAtlas,
    /// `[train|valid|test/]CLASS/…/file`, where the class names a label: see [`labels`]. No patients.
    Classes,
    /// A table `path,label[,study,patient,view,part,split]` beside or above the films.
    Manifest,
    /// A folder of DICOM files with a table of labels.
    Dicom,
}

impl Layout {
    /// Every layout, in the order in which messages list them.
    pub const ALL: [Layout; 5] = [Layout::Mura, Layout::FracAtlas, Layout::Classes, Layout::Manifest, Layout::Dicom];

    /// The layout's name as its authors write it.
    pub fn name(self) -> &'static str {
        match self {
            Layout::Mura => "MURA",
            Layout::FracAtlas => "FracAtlas",
            Layout::Classes => "classes",
            Layout::Manifest => "manifest",
            Layout::Dicom => "DICOM",
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Layout {
    type Err = Error;

    /// By name, whatever its case.
    fn from_str(name: &str) -> Result<Layout> {
        let found = Layout::ALL.into_iter().find(|layout| layout.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| Error::setting("layout", "mura, fracatlas, classes, manifest or dicom", name))
    }
}

/// How a folder is to be read; the default recognises everything by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexOptions {
    /// The layout, where it is not to be guessed.
    pub layout: Option<Layout>,
    /// The body parts to read, for example `XR_HUMERUS` or `humerus`; all if empty. Only MURA's layout names parts.
    pub parts: Vec<String>,
    /// Further words that mean *abnormal*, as class folder or in a table; they go before [`labels::NORMAL`].
    pub positive: Vec<String>,
    /// Further words that mean *normal*; they go before [`labels::ABNORMAL`].
    pub negative: Vec<String>,
    /// The table of labels of a manifest or of DICOM files, where it is not the only one in the folder.
    pub labels: Option<PathBuf>,
}

impl IndexOptions {
    fn words(&self) -> Words {
        Words::new(&self.positive, &self.negative)
    }
}

/// What a folder holds: every film in its study, and every file that could not be one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Index {
    /// The folder that was indexed.
    #[serde(serialize_with = "lossy")]
    pub root: PathBuf,
    /// How it is laid out.
    pub layout: Layout,
    /// The studies, ordered by path; at least one, each with at least one view.
    pub studies: Vec<Study>,
    /// The files that are no view, with the reason, ordered by path.
    pub skipped: Vec<Skipped>,
    /// The files that belong to the layout without being films: label lists, annotations, masks. Ordered by path.
    #[serde(serialize_with = "lossy_all")]
    pub companions: Vec<PathBuf>,
    /// What is doubtful, ordered by kind.
    pub warnings: Vec<Warning>,
    /// Whether the data set came with its split. If not, ours deals whole groups and may be dealt again.
    pub official_split: bool,
    /// Whether the split was dealt on purpose, by [`split::k_folds`] or [`split::hold_out_tune`]: nothing deals it again.
    pub fixed_split: bool,
    /// Whether every film has been decoded and compared with all others: see [`Index::audit`].
    pub audited: bool,
    /// The sets of films that are copies of each other: of the same content, and once audited nearly identical ones too.
    #[serde(serialize_with = "lossy_sets")]
    pub copies: Vec<Vec<PathBuf>>,
    /// Which fold of how many the splits are, if [`split::k_folds`] dealt them.
    pub fold: Option<Fold>,
    /// What the folder held when it was indexed: where `studies` holds less, somebody has taken some out.
    pub held: Held,
}

/// One of several ways to deal the same studies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fold {
    /// The fold that is held out, counted from 1.
    pub number: usize,
    /// How many folds there are.
    pub of: usize,
}

impl fmt::Display for Fold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.number, self.of)
    }
}

/// How much there is of a data set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Examinations.
    pub studies: usize,
    /// Films.
    pub views: usize,
}

impl Held {
    /// How much these are.
    pub fn of(studies: &[Study]) -> Held {
        Held { studies: studies.len(), views: studies.iter().map(|study| study.views.len()).sum() }
    }
}

fn lossy_sets<S: serde::Serializer>(sets: &[Vec<PathBuf>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(sets.iter().map(|set| set.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>()))
}

impl Index {
    /// The studies of one split, in order.
    pub fn split(&self, split: Split) -> Vec<&Study> {
        self.studies.iter().filter(|study| study.split == split).collect()
    }

    /// The first study of one split, to look at.
    ///
    /// # Errors
    /// [`Error::Split`] if the split is empty.
    pub fn first(&self, split: Split) -> Result<Study> {
        let first = self.studies.iter().find(|study| study.split == split).cloned();
        first.ok_or_else(|| Error::Split(format!("no {split} study in {}", self.root.display())))
    }

    /// Counts by split, and what was skipped.
    pub fn summary(&self) -> Summary {
        Summary::of(self)
    }
}

/// What a layout makes of a folder.
#[derive(Debug, Default)]
struct Found {
    studies: Vec<Study>,
    skipped: Vec<Skipped>,
    companions: Vec<PathBuf>,
    warnings: Vec<Warning>,
    official_split: bool,
}

impl Found {
    fn new(studies: Vec<Study>, skipped: Vec<Skipped>, companions: Vec<PathBuf>) -> Found {
        Found { studies, skipped, companions, ..Found::default() }
    }

    /// What walking skipped, but for the files of which the layout says more: those that a table lists.
    fn skip_too(&mut self, walked: Vec<Skipped>) {
        let views = self.studies.iter().flat_map(|study| study.views.iter().map(|view| &view.path));
        let known: HashSet<&PathBuf> = views.chain(self.skipped.iter().map(|it| &it.path)).collect();
        let more: Vec<Skipped> = walked.into_iter().filter(|it| !known.contains(&it.path)).collect();
        self.skipped.extend(more);
    }

    fn skip(&mut self, path: PathBuf, reason: impl Into<SkipReason>) {
        self.skipped.push(Skipped::new(path, reason));
    }
}

/// [`index_with`] the default options: everything is recognised.
///
/// # Errors
/// As [`index_with`].
pub fn index(root: impl AsRef<Path>) -> Result<Index> {
    index_with(root, &IndexOptions::default())
}

/// Indexes a folder of films. Reads every file once to check that it is a whole picture; decodes none.
///
/// `root` may be the folder that holds `train` and `valid` (or `images`), its parent, or any folder below, such as one
/// split or one part; or the table of a manifest. Links are followed. Where the data set brings no split, whole groups are
/// dealt, a quarter to [`Split::Valid`], always the same ones; files of the same content stay together.
///
/// # Errors
/// [`Error::Io`] if `root` does not exist, [`Error::NoFilms`] if it holds no film of a known layout, [`Error::Layout`] if
/// it could be read in more than one way, [`Error::Labels`] if a table of labels cannot be used or means more than one film
/// by a row. Damaged and foreign files are no errors: see [`Index::skipped`].
pub fn index_with(root: impl AsRef<Path>, options: &IndexOptions) -> Result<Index> {
    let root = root.as_ref();
    if let Some(both) = Words::both(&options.positive, &options.negative) {
        return Err(Error::setting("words", "each for one label only", format!("{both} for both")));
    }
    let is_folder = std::fs::metadata(root).map_err(Error::io(root))?.is_dir();
    let (tree, reading) = if is_folder {
        let tree = Tree::walk(root)?;
        let reading = recognise(&tree, options)?;
        (tree, reading)
    } else {
        of_file(root, options)?
    };
    let layout = reading.layout();
    if !options.parts.is_empty() && layout != Layout::Mura {
        return Err(Error::setting("part", "none, since only MURA's layout names parts", options.parts.join(", ")));
    }
    let walked = tree.skipped.clone();
    let mut found = match reading {
        Reading::Mura => mura::read(tree, options)?,
        Reading::FracAtlas => fracatlas::read(&tree),
        Reading::Classes => classes::read(&tree, options)?,
        Reading::Manifest(table) => manifest::read(&tree, &table, options)?,
        Reading::Dicom(table) => dicom::read(&tree, &table, options)?,
    };
    found.skip_too(walked);
    if found.studies.is_empty() {
        return Err(no_films(root, &found.skipped, found.companions.len()));
    }
    Ok(settle(root, layout, found))
}

/// A table of labels given as the root: the films are the ones that it lists.
fn of_file(root: &Path, options: &IndexOptions) -> Result<(Tree, Reading)> {
    if !recognise::is_table(root) {
        let reason = "this is a file, expected the folder of a data set or the table of a manifest".to_owned();
        return Err(Error::NoFilms { root: root.to_owned(), reason });
    }
    let folder = root.parent().map(Path::to_owned).unwrap_or_default();
    let base = tree::absolute(root)?.parent().map(Path::to_owned).unwrap_or_default();
    let table = root.to_owned();
    if options.layout == Some(Layout::Dicom) {
        let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
        return Ok((Tree::walk(&folder)?, Reading::Dicom(table)));
    }
    // Only what the table lists is asked for, so the folder is not walked.
    Ok((Tree { root: folder, base, entries: Vec::new(), skipped: Vec::new() }, Reading::Manifest(table)))
}

/// Orders everything, compares contents, and deals a split where there is none.
fn settle(root: &Path, layout: Layout, found: Found) -> Index {
    let Found { mut studies, mut skipped, mut companions, warnings, official_split } = found;
    skipped.sort_by(|a, b| a.path.cmp(&b.path));
    companions.sort();
    let two_labels = duplicates::name_apart(&mut studies);
    let held = Held::of(&studies);
    let mut index = Index {
        root: root.to_owned(),
        layout,
        studies,
        skipped,
        companions,
        warnings,
        official_split,
        fixed_split: false,
        audited: false,
        copies: Vec::new(),
        fold: None,
        held,
    };
    index.warnings.extend(two_labels);
    index.copies = duplicates::same_content(&index);
    duplicates::keep_together(&mut index);
    duplicates::warn(&mut index);
    index
}

/// Whether a file is a whole picture; the reason if not.
pub fn check(path: &Path) -> Result<(), SkipReason> {
    tree::check(path).map(|_| ())
}

/// The films of a folder that is laid out like no data set, ordered by path, and the files that are none.
///
/// # Errors
/// [`Error::Io`] if the folder does not exist, [`Error::NoFilms`] if it holds no whole picture.
pub fn loose_films(root: impl AsRef<Path>) -> Result<(Vec<PathBuf>, Vec<Skipped>)> {
    let root = root.as_ref();
    let Tree { entries, mut skipped, .. } = Tree::walk(root)?;
    let flaws = entries.par_iter().map(|entry| tree::check(&entry.path).err()).collect::<Vec<_>>();
    let mut films = Vec::new();
    for (entry, flaw) in entries.into_iter().zip(flaws) {
        match flaw {
            None => films.push(entry.path),
            Some(flaw) => skipped.push(Skipped::new(entry.path, flaw)),
        }
    }
    if films.is_empty() {
        return Err(no_films(root, &skipped, 0));
    }
    Ok((films, skipped))
}

#[cfg(test)]
mod tests;
