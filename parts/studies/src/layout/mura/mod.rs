//! MURA: `{train,valid}/XR_<PART>/patientNNNNN/studyK_{positive,negative}/imageJ.png`.
//!
//! The labels and the split come from the folders, so any part of the tree can be indexed on its own. The tables that
//! come with MURA repeat them, and are compared with the folders.

mod names;
mod tables;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::layout::tree::{FilePlace, FilmFile, ListedFile, Tree};
use crate::layout::{FoundStudies, IndexOptions};
use crate::skipped::SkipReason;
use crate::study::{Study, View};
use names::{BodyParts, PathNames};

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

/// Reads the tree, or the parts of it that are asked for.
pub(super) fn read(mut tree: Tree, options: &IndexOptions) -> Result<FoundStudies> {
    let wanted = BodyParts::of(&tree, &options.parts)?;
    tree.entries.retain(|entry| wanted.has(&entry.absolute));
    let sorted = tree.sort(|entry| place(&tree, entry));
    let turned = sorted.turned();
    let mut found = FoundStudies::new(studies(sorted.films), sorted.skipped, sorted.companions);
    found.warnings.extend(turned);
    found.warnings.extend(tables::compare(&tree, &found.studies, &wanted));
    found.official_split = true;
    Ok(found)
}

pub(super) fn place(tree: &Tree, entry: &ListedFile) -> FilePlace {
    let below = tree.below(entry);
    let name = below.file_name().unwrap_or_default();
    if COMPANIONS.iter().any(|companion| name == *companion) || below.iter().any(|part| part == TRUTH) {
        return FilePlace::Companion;
    }
    match PathNames::of(&entry.absolute) {
        Some(names) if names.above.ends_with(TRUTH) => FilePlace::Companion,
        Some(names) if !names.is_study() => FilePlace::Outside(SkipReason::OutsideLayout),
        Some(names) if names.label().is_none() => FilePlace::Outside(SkipReason::Unlabeled),
        Some(names) if names.split().is_none() => FilePlace::Outside(SkipReason::NoSplit),
        Some(_) => FilePlace::Film,
        None => FilePlace::Outside(SkipReason::OutsideLayout),
    }
}

/// The films, which are ordered by path, in their studies.
fn studies(films: Vec<FilmFile>) -> Vec<Study> {
    let mut studies: Vec<Study> = Vec::new();
    let mut last: Option<PathBuf> = None;
    let mut truths = HashMap::new();
    for film in films {
        let absolute = &film.absolute;
        let Some(names) = PathNames::of(absolute) else {
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
