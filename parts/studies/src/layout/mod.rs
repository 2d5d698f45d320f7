//! From a folder's files to studies: one module a layout, and what they share.
//!
//! [`tree`] walks and checks files, [`table`] reads tables in every encoding, [`names`] finds what a cell means,
//! [`labels`] knows words, [`claims`] makes studies of rows; [`recognise`] chooses the layout.

mod claims;
mod classes;
mod dicom;
mod fracatlas;
pub mod labels;
mod manifest;
mod mura;
mod names;
mod recognise;
mod table;
mod tree;

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rayon::prelude::*;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::skipped::{SkipReason, Skipped};
use crate::study::Study;
use crate::warning::Warning;
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

/// What a layout makes of a folder.
#[derive(Debug, Default)]
pub(crate) struct FoundStudies {
    pub studies: Vec<Study>,
    pub skipped: Vec<Skipped>,
    pub companions: Vec<PathBuf>,
    pub warnings: Vec<Warning>,
    pub official_split: bool,
}

impl FoundStudies {
    fn new(studies: Vec<Study>, skipped: Vec<Skipped>, companions: Vec<PathBuf>) -> FoundStudies {
        FoundStudies { studies, skipped, companions, ..FoundStudies::default() }
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

/// What a folder, or the folder of a table, holds, and its layout.
pub(crate) fn read(root: &Path, options: &IndexOptions) -> Result<(Layout, FoundStudies)> {
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
    let words = if options.positive.is_empty() { &options.negative } else { &options.positive };
    if !words.is_empty() && matches!(layout, Layout::Mura | Layout::FracAtlas) {
        let name = if options.positive.is_empty() { "negative" } else { "positive" };
        let expected = "none, since only class folders and tables have words for labels";
        return Err(Error::setting(name, expected, format!("{} for the layout {layout}", words.join(", "))));
    }
    if let Some(table) = &options.labels
        && !matches!(&reading, Reading::Manifest(used) | Reading::Dicom(used) if used == table)
    {
        let expected = "none, since only a folder of a manifest or of DICOM files is read by a table";
        return Err(Error::setting("labels", expected, format!("{} for the layout {layout}", table.display())));
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
        return Err(no_films(root, options.layout, &found.skipped, found.companions.len()));
    }
    Ok((layout, found))
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
    if let Some(layout) = options.layout.filter(|it| *it != Layout::Manifest) {
        return Err(Error::setting("layout", "manifest or dicom for a table", layout));
    }
    // Only what the table lists is asked for, so the folder is not walked.
    Ok((Tree { root: folder, base, entries: Vec::new(), skipped: Vec::new() }, Reading::Manifest(table)))
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
        return Err(no_films(root, None, &skipped, 0));
    }
    Ok((films, skipped))
}
