//! FracAtlas: `images/{Fractured,Non_fractured}/IMGnnnnnnn.jpg`, with COCO annotations of the fractures.
//!
//! The label is the folder: one row of the published `dataset.csv` contradicts its folder, and the folder is right. The
//! set names no patients and has no split, but neighbouring image numbers are often one patient. So each image is a study
//! of its own, and images are split by contiguous blocks of image number.

use std::path::{Path, PathBuf};

use super::{Entry, Place, SkipReason, Skipped, coco, split};
use crate::study::{Label, Split, Study, View};

/// What the layout looks like, for messages.
pub(super) const PATTERN: &str = "images/{Fractured,Non_fractured}/IMGn.jpg";

/// The share of films that are held out. MURA holds out 18 % of its humerus films, which here would leave 50 fractures.
const VALID: f64 = 0.25;

/// A block closes at the first gap in the image numbers once it holds this many films: many enough that few neighbours
/// are parted (a gap of two or more images lies there), few enough that about forty blocks of a thousand films can be
/// balanced.
const BLOCK: usize = 20;

/// A run without a gap is cut when its block holds this many films, or the complete set would be a handful of blocks.
const LONGEST_BLOCK: usize = 60;

pub(super) fn place(root: &Path, entry: &Entry) -> Place {
    let below = entry.path.strip_prefix(root).unwrap_or(&entry.path);
    if below.iter().any(|part| part == "Annotations" || part == "Utilities") || below.ends_with("dataset.csv") {
        return Place::Companion;
    }
    if label(&entry.absolute).is_none() {
        return Place::Outside(SkipReason::OutsideLayout);
    }
    match number(&entry.absolute) {
        Some(_) => Place::Film,
        None => Place::Outside(SkipReason::NoNumber),
    }
}

/// From the folder, which must lie in `images`.
fn label(path: &Path) -> Option<Label> {
    let folder = path.parent()?;
    let label = match folder.file_name()?.to_str()? {
        "Fractured" => Label::Abnormal,
        "Non_fractured" => Label::Normal,
        _ => return None,
    };
    (folder.parent()?.file_name()? == "images").then_some(label)
}

/// `IMG0000263.jpg` is image 263.
fn number(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.strip_prefix("IMG")?.parse().ok()
}

/// Each film as a study, in blocks, split; annotations that cannot be read are skipped.
pub(super) fn studies(films: Vec<Entry>, skipped: &mut Vec<Skipped>) -> Vec<Study> {
    let mut homes: Vec<PathBuf> = films.iter().filter_map(|film| home(&film.absolute)).collect();
    homes.dedup();
    let mut findings = coco::Findings::default();
    for home in homes {
        findings.read(&home, skipped);
    }
    let mut numbered: Vec<(u64, Study)> = Vec::new();
    for Entry { path, absolute } in films {
        let (Some(label), Some(number)) = (label(&absolute), number(&absolute)) else {
            continue;
        };
        let name = absolute.file_name().unwrap_or_default().to_string_lossy();
        let findings = home(&absolute).map(|home| findings.of(&home, &name)).unwrap_or_default();
        let study = Study {
            id: absolute.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            patient: None,
            group: String::new(),
            part: None,
            split: Split::Train,
            label,
            views: vec![View { findings, ..View::new(path) }],
        };
        numbered.push((number, study));
    }
    numbered.sort_by(|a, b| (a.0, &a.1.views[0].path).cmp(&(b.0, &b.1.views[0].path)));
    let numbers: Vec<u64> = numbered.iter().map(|(number, _)| *number).collect();
    let mut studies: Vec<Study> = numbered.into_iter().map(|(_, study)| study).collect();
    for block in blocks(&numbers) {
        let name = format!("IMG{:07}-IMG{:07}", numbers[block.start], numbers[block.end - 1]);
        studies[block].iter_mut().for_each(|study| study.group.clone_from(&name));
    }
    // A set too small to be split stays whole; training on it then says that nothing is held out.
    let _ = split::hold_out(&mut studies, Split::Train, Split::Valid, VALID, 0);
    studies
}

/// The folder that holds `images` and `Annotations`.
fn home(film: &Path) -> Option<PathBuf> {
    film.ancestors().nth(3).map(Path::to_owned)
}

/// Cuts ascending image numbers into contiguous blocks.
fn blocks(numbers: &[u64]) -> Vec<std::ops::Range<usize>> {
    let mut blocks = Vec::new();
    let mut start = 0;
    for at in 1..=numbers.len() {
        let is_cut = match numbers.get(at) {
            None => true,
            // One number in two folders is one picture with two labels: never parted.
            Some(&next) if next == numbers[at - 1] => false,
            Some(&next) => (at - start >= BLOCK && next > numbers[at - 1] + 1) || at - start >= LONGEST_BLOCK,
        };
        if is_cut {
            blocks.push(start..at);
            start = at;
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_contiguous_cut_at_gaps_and_cover_every_number_once() {
        let gap_at_30: Vec<u64> = (0..30).chain(40..45).chain(50..70).collect();
        assert_eq!(blocks(&gap_at_30), [0..30, 30..55]);
        let no_gap: Vec<u64> = (0..150).collect();
        assert_eq!(blocks(&no_gap), [0..60, 60..120, 120..150]);
        assert!(blocks(&[]).is_empty());
        let twice: Vec<u64> = (0..60).chain(59..80).collect();
        assert_eq!(blocks(&twice)[0], 0..61);
    }
}
