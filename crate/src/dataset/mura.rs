//! MURA: `{train,valid}/XR_<PART>/patientNNNNN/studyK_{positive,negative}/imageJ.png`.
//!
//! The labels and the split come from the folders, so any part of the tree can be indexed on its own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::{Entry, Place, SkipReason};
use crate::study::{Label, Split, Study, View};

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
struct Names<'a> {
    /// Holds `train` and `valid`.
    above: &'a Path,
    split: &'a str,
    part: &'a str,
    patient: &'a str,
    study: &'a str,
}

impl<'a> Names<'a> {
    /// The names of the folders above a file, whatever they are; none if there are fewer than four or one is not Unicode.
    fn of(path: &'a Path) -> Option<Names<'a>> {
        let mut folders = path.ancestors().skip(1);
        let mut name = || folders.next()?.file_name()?.to_str();
        let (study, patient, part, split) = (name()?, name()?, name()?, name()?);
        Some(Names { above: folders.next()?, split, part, patient, study })
    }

    fn split(&self) -> Option<Split> {
        [Split::Train, Split::Valid].into_iter().find(|split| split.name() == self.split)
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

pub(super) fn place(root: &Path, entry: &Entry) -> Place {
    let below = entry.path.strip_prefix(root).unwrap_or(&entry.path);
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
pub(super) fn studies(films: Vec<Entry>) -> Vec<Study> {
    let mut studies: Vec<Study> = Vec::new();
    let mut last: Option<PathBuf> = None;
    let mut truths = HashMap::new();
    for Entry { path, absolute } in films {
        let Some(names) = Names::of(&absolute) else {
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
        let mask = truth.as_ref().and_then(|truth| mask(truth, names.above, &absolute));
        if let Some(study) = studies.last_mut() {
            study.views.push(View { mask, ..View::new(path) });
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
