//! FracAtlas: `images/{Fractured,Non_fractured}/IMGnnnnnnn.jpg`, with COCO annotations of the fractures.
//!
//! The label is the folder: one row of the published `dataset.csv` contradicts its folder, and the folder is right. The
//! set names no patients and has no split, but neighbouring image numbers are often one patient. So each image is a
//! study of its own, and images are split by contiguous blocks of image number.

mod coco;
mod names;
mod table;

use std::path::PathBuf;

use crate::groups::BlockSizes;
use crate::layout::FoundStudies;
use crate::layout::tree::{FilePlace, FilmFile, ListedFile, Tree};
use crate::skipped::{SkipReason, Skipped};
use crate::study::{Split, Study, View};
use names::{home, label, number};

/// What the layout looks like, for messages.
pub(super) const PATTERN: &str = "images/{Fractured,Non_fractured}/IMGn.jpg";

/// Many enough films that few neighbours are parted (a gap of two or more images lies between blocks), few enough that
/// about forty blocks of a thousand films can be balanced; the complete set would otherwise be a handful of blocks.
const BLOCKS: BlockSizes = BlockSizes { enough: 20, longest: 60 };

/// Reads the tree.
pub(super) fn read(tree: &Tree) -> FoundStudies {
    let sorted = tree.sort(|entry| place(tree, entry));
    let mut found = FoundStudies::new(Vec::new(), sorted.skipped.clone(), sorted.companions.clone());
    found.warnings.extend(sorted.turned());
    let mut homes: Vec<PathBuf> = sorted.films.iter().filter_map(|film| home(&film.absolute)).collect();
    homes.dedup();
    homes.sort();
    homes.dedup();
    found.studies = studies(sorted.films, &homes, tree, &mut found.skipped);
    found.companions.retain(|path| !found.skipped.iter().any(|skipped| skipped.path == *path));
    for home in &homes {
        found.warnings.extend(table::compare(tree, home, &mut found.studies));
    }
    found
}

pub(super) fn place(tree: &Tree, entry: &ListedFile) -> FilePlace {
    let below = tree.below(entry);
    if below.iter().any(|part| part == "Annotations" || part == "Utilities") || below.ends_with("dataset.csv") {
        return FilePlace::Companion;
    }
    if label(&entry.absolute).is_none() {
        return FilePlace::Outside(SkipReason::OutsideLayout);
    }
    match number(&entry.absolute) {
        Some(_) => FilePlace::Film,
        None => FilePlace::Outside(SkipReason::NoNumber),
    }
}

/// Each film as a study, in blocks; annotations that cannot be read are skipped.
fn studies(films: Vec<FilmFile>, homes: &[PathBuf], tree: &Tree, skipped: &mut Vec<Skipped>) -> Vec<Study> {
    let mut findings = coco::Findings::default();
    for home in homes {
        let mut unreadable = Vec::new();
        findings.read(home, &mut unreadable);
        skipped.extend(unreadable.into_iter().map(|it| Skipped { path: tree.as_given(&it.path), ..it }));
    }
    let mut numbered: Vec<(u64, Study)> = Vec::new();
    for film in films {
        let absolute = &film.absolute;
        let (Some(label), Some(number)) = (label(absolute), number(absolute)) else {
            continue;
        };
        let name = absolute.file_name().unwrap_or_default().to_string_lossy();
        let findings = home(absolute).map(|home| findings.of(&home, &name)).unwrap_or_default();
        let study = Study {
            id: absolute.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            patient: None,
            group: String::new(),
            part: None,
            split: Split::Train,
            label,
            views: vec![View { findings, ..film.view() }],
        };
        numbered.push((number, study));
    }
    numbered.sort_by(|a, b| (a.0, &a.1.views[0].path).cmp(&(b.0, &b.1.views[0].path)));
    let numbers: Vec<u64> = numbered.iter().map(|(number, _)| *number).collect();
    let mut studies: Vec<Study> = numbered.into_iter().map(|(_, study)| study).collect();
    for block in BLOCKS.cut(&numbers) {
        let name = format!("IMG{:07}-IMG{:07}", numbers[block.start], numbers[block.end - 1]);
        studies[block].iter_mut().for_each(|study| study.group.clone_from(&name));
    }
    studies
}
