//! MURA: `{train,valid}/XR_<PART>/patientNNNNN/studyK_{positive,negative}/imageJ.png`.
//!
//! The labels and the split come from the folders, so any part of the tree can be indexed on its own. The tables that come
//! with MURA repeat them, and are compared with the folders.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::tree::{Entry, Film, Place, Tree};
use super::{Found, IndexOptions, SkipReason, mura_tables};
use crate::study::{Label, Split, Study, View};
use crate::{Error, Result};

/// What the layout looks like, for messages.
pub(super) const PATTERN: &str = "{train,valid}/XR_PART/patientN/studyK_{positive,negative}/imageJ.png";

/// The folder of masks beside `train` and `valid` in a set of phantoms.
const TRUTH: &str = "truth";

/// What comes with MURA's films and repeats what the folders say, and the settings of a set of phantoms.
const COMPANIONS: [&str; 5] = [
    "train_image_paths.csv",
    "train_labeled_studies.csv",
    "valid_image_paths.csv",
    "valid_labeled_studies.csv",
    "phantom.json",
];

/// The five names at the end of a film's path.
pub(super) struct Names<'a> {
    /// Holds `train` and `valid`.
    pub above: &'a Path,
    /// The folder of the split, as it is written.
    pub split_folder: &'a str,
    part: &'a str,
    patient: &'a str,
    study: &'a str,
}

impl<'a> Names<'a> {
    /// The names of the folders above a file, whatever they are; none if there are fewer than four or one is not Unicode.
    pub fn of(path: &'a Path) -> Option<Names<'a>> {
        let mut folders = path.ancestors().skip(1);
        let mut name = || folders.next()?.file_name()?.to_str();
        let (study, patient, part, split) = (name()?, name()?, name()?, name()?);
        Some(Names { above: folders.next()?, split_folder: split, part, patient, study })
    }

    /// `train` or `valid`, in whatever case: copies of MURA have `Train`.
    pub fn split(&self) -> Option<Split> {
        [Split::Train, Split::Valid].into_iter().find(|split| self.split_folder.eq_ignore_ascii_case(split.name()))
    }

    /// `study1` and its label.
    fn label(&self) -> Option<(&'a str, Label)> {
        [("_positive", Label::Abnormal), ("_negative", Label::Normal)]
            .into_iter()
            .find_map(|(ending, label)| Some((self.study.strip_suffix(ending)?, label)))
    }

    fn is_study(&self) -> bool {
        self.study.starts_with("study") && self.patient.starts_with("patient")
    }
}

/// Reads the tree, or the parts of it that are asked for.
pub(super) fn read(mut tree: Tree, options: &IndexOptions) -> Result<Found> {
    let wanted = Parts::of(&tree, &options.parts)?;
    tree.entries.retain(|entry| wanted.has(&entry.absolute));
    let sorted = tree.sort(|entry| place(&tree, entry));
    let turned = sorted.turned();
    let mut found = Found::new(studies(sorted.films), sorted.skipped, sorted.companions);
    found.warnings.extend(turned);
    found.warnings.extend(mura_tables::compare(&tree, &found.studies, &wanted));
    found.official_split = true;
    Ok(found)
}

/// The body parts that are read; empty for all.
pub(super) struct Parts(BTreeSet<String>);

impl Parts {
    /// `humerus` and `XR_HUMERUS` name the same part.
    fn of(tree: &Tree, asked: &[String]) -> Result<Parts> {
        let wanted: BTreeSet<String> = asked.iter().map(|part| part_name(part)).collect();
        let names = tree.entries.iter().filter_map(|entry| Names::of(&entry.absolute)).filter(Names::is_study);
        let met: BTreeSet<String> = names.map(|names| names.part.to_uppercase()).collect();
        match wanted.iter().find(|part| !met.contains(*part)) {
            None => Ok(Parts(wanted)),
            Some(part) => Err(Error::NoFilms {
                root: tree.root.clone(),
                reason: format!("no part {part}; met {}", met.into_iter().collect::<Vec<_>>().join(", ")),
            }),
        }
    }

    pub fn is_wanted(&self, part: &str) -> bool {
        self.0.is_empty() || self.0.contains(&part.to_uppercase())
    }

    /// Whether a file is of these parts, or of none.
    fn has(&self, path: &Path) -> bool {
        Names::of(path).is_none_or(|names| !names.is_study() || self.is_wanted(names.part))
    }
}

fn part_name(asked: &str) -> String {
    let upper = asked.to_uppercase();
    if upper.starts_with("XR_") { upper } else { format!("XR_{upper}") }
}

pub(super) fn place(tree: &Tree, entry: &Entry) -> Place {
    let below = tree.below(entry);
    let name = below.file_name().unwrap_or_default();
    if COMPANIONS.iter().any(|companion| name == *companion) || below.iter().any(|part| part == TRUTH) {
        return Place::Companion;
    }
    match Names::of(&entry.absolute) {
        Some(names) if names.above.ends_with(TRUTH) => Place::Companion,
        Some(names) if !names.is_study() => Place::Outside(SkipReason::OutsideLayout),
        Some(names) if names.label().is_none() => Place::Outside(SkipReason::Unlabeled),
        Some(names) if names.split().is_none() => Place::Outside(SkipReason::NoSplit),
        Some(_) => Place::Film,
        None => Place::Outside(SkipReason::OutsideLayout),
    }
}

/// The films, which are ordered by path, in their studies.
fn studies(films: Vec<Film>) -> Vec<Study> {
    let mut studies: Vec<Study> = Vec::new();
    let mut last: Option<PathBuf> = None;
    let mut truths = HashMap::new();
    for film in films {
        let absolute = &film.absolute;
        let Some(names) = Names::of(absolute) else {
            continue;
        };
        let (Some(split), Some((number, label))) = (names.split(), names.label()) else {
            continue;
        };
        let folder = absolute.parent().map(Path::to_owned);
        if folder != last {
            last = folder;
            studies.push(Study {
                id: format!("{split}/{}/{}/{number}", names.part, names.patient),
                patient: Some(names.patient.to_owned()),
                group: names.patient.to_owned(),
                part: Some(names.part.to_owned()),
                split,
                label,
                views: Vec::new(),
            });
        }
        let truth: &Option<PathBuf> = truths.entry(names.above.to_owned()).or_insert_with(|| {
            let truth = names.above.join(TRUTH);
            truth.is_dir().then_some(truth)
        });
        let mask = truth.as_ref().and_then(|truth| mask(truth, names.above, absolute));
        if let Some(study) = studies.last_mut() {
            study.views.push(View { mask, ..film.view() });
        }
    }
    studies
}

/// `truth/<the film's path>/imageJ_mask.png`, if it is there.
fn mask(truth: &Path, above: &Path, film: &Path) -> Option<PathBuf> {
    let stem = film.file_stem()?.to_str()?;
    let mask = truth.join(film.strip_prefix(above).ok()?).with_file_name(format!("{stem}_mask.png"));
    mask.is_file().then_some(mask)
}
