//! One folder a class: `[train|valid|test/]CLASS/…/file`, as torchvision's `ImageFolder` reads it.
//!
//! Unlike there, a class is not numbered by its place in the alphabet: its name must say which label it means, by the
//! words of [`super::labels`] or the reader's own. Each file is a study of its own. Only DICOM files name a patient; a
//! split that we make keeps a patient together, and else neighbouring numbers.
//!
//! # Which folder decides
//! The nearest to the file that speaks plainly: in `0/abnormal/` it is `abnormal`, since `0` and `1`, `yes` and `no`,
//! `true` and `false` also name folds and the like; they count where no plainer word stands in the path. The reader's
//! own words are the plainest. A path is refused, with all others, if two equally plain words differ
//! (`normal/old/abnormal/`), or a weaker one below says otherwise (`abnormal/0/`). Numbers beside other numbers
//! (`normal/1/`, `normal/2/`, …) count patients or visits and say nothing. A split may stand anywhere above or below
//! the class; two different ones in a path are refused.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use crate::groups;
use crate::layout::labels::{Rank, SplitWord, Words};
use crate::layout::tree::{FilePlace, ListedFile, Tree};
use crate::layout::{FoundStudies, IndexOptions};
use crate::skipped::SkipReason;
use crate::study::{Label, Split, Study, View};
use crate::words::files;
use crate::{Error, Result};
use rayon::prelude::*;

/// What the layout looks like, for messages.
pub(super) const PATTERN: &str = "[train|valid|test/]{normal,abnormal}/FILE";

/// Where a file lies.
struct Class {
    /// The folders above the class and its split.
    above: Vec<String>,
    split: Option<SplitWord>,
    label: Label,
    /// Why its path says no one label or split, if it does not.
    conflict: Option<String>,
}

/// The words of a tree, and which of its numbers only count.
struct Folders<'a> {
    words: &'a Words,
    /// Folders that hold folders of other numbers than 0 and 1.
    counted: BTreeSet<Vec<String>>,
}

impl<'a> Folders<'a> {
    fn of(tree: &Tree, words: &'a Words) -> Folders<'a> {
        let mut counted = BTreeSet::new();
        for entry in &tree.entries {
            let folders = folders(tree.below(entry));
            for (at, name) in folders.iter().enumerate() {
                let is_number = !name.is_empty() && name.bytes().all(|sign| sign.is_ascii_digit());
                if is_number && words.label(name).is_none() {
                    counted.insert(folders[..at].to_vec());
                }
            }
        }
        Folders { words, counted }
    }

    /// The class of a file; none if no folder below the root names one.
    fn class(&self, below: &Path) -> Option<Class> {
        let folders = folders(below);
        let ranked = |name: &String| self.words.ranked(name);
        let named: Vec<(usize, Rank, Label)> = folders
            .iter()
            .enumerate()
            .filter_map(|(at, name)| ranked(name).map(|(rank, label)| (at, rank, label)))
            .collect();
        let counts = |(at, rank, _): &(usize, Rank, Label)| {
            let is_number = folders[*at].bytes().all(|sign| sign.is_ascii_digit());
            *rank == Rank::Weak && is_number && self.counted.contains(&folders[..*at])
        };
        let mut speaking: Vec<_> = named.iter().filter(|it| !counts(it)).copied().collect();
        if speaking.is_empty() {
            speaking = named;
        }
        let plainest = speaking.iter().map(|(_, rank, _)| *rank).max()?;
        let (at, _, label) = *speaking.iter().rev().find(|(_, rank, _)| *rank == plainest)?;
        let otherwise = |(other, rank, said): &&(usize, Rank, Label)| {
            *said != label && (*rank == plainest || *other > at && plainest != Rank::Own)
        };
        let mut conflict = speaking.iter().find(otherwise).map(|_| "both normal and abnormal".to_owned());
        let splits: Vec<(usize, SplitWord)> =
            folders.iter().enumerate().filter_map(|(at, name)| Some((at, SplitWord::of(name)?))).collect();
        let split = splits.last().map(|(_, word)| *word);
        if conflict.is_none() && splits.iter().any(|(_, word)| Some(*word) != split) {
            conflict = Some("two splits".to_owned());
        }
        let first = splits.first().map_or(at, |(split, _)| at.min(*split));
        Some(Class { above: folders[..first].to_vec(), split, label, conflict })
    }
}

/// The names of the folders above a file; what is no Unicode in them says nothing.
fn folders(below: &Path) -> Vec<String> {
    below.parent().into_iter().flatten().map(|name| name.to_string_lossy().into_owned()).collect()
}

/// How many files lie in folders of classes; none unless both labels are there.
pub(super) fn count(tree: &Tree, words: &Words) -> usize {
    let classes = classes(tree, words);
    let is_there = |label| classes.iter().any(|class| class.label == label || class.conflict.is_some());
    if Label::ALL.into_iter().all(is_there) { classes.len() } else { 0 }
}

/// The label of all files in folders of classes, where there is but one.
pub(super) fn only(tree: &Tree, words: &Words) -> Option<Label> {
    let classes = classes(tree, words);
    let label = classes.first()?.label;
    classes.iter().all(|class| class.label == label && class.conflict.is_none()).then_some(label)
}

fn classes(tree: &Tree, words: &Words) -> Vec<Class> {
    let folders = Folders::of(tree, words);
    tree.entries.iter().filter_map(|entry| folders.class(tree.below(entry))).collect()
}

/// Reads the tree.
///
/// # Errors
/// [`Error::Layout`] for paths that say both labels or two splits, and for folders beside the classes whose names say
/// no label.
pub(super) fn read(tree: &Tree, options: &IndexOptions) -> Result<FoundStudies> {
    let words = options.words();
    let folders = Folders::of(tree, &words);
    let class = |entry: &'_ ListedFile| folders.class(tree.below(entry)).map(|class| (class.split, class.label));
    let sorted = tree.sort(|entry| match class(entry) {
        Some(_) => FilePlace::Film,
        None => FilePlace::Outside(SkipReason::OutsideLayout),
    });
    let outside: HashSet<&Path> =
        sorted.skipped.iter().filter(|it| it.reason == SkipReason::OutsideLayout).map(|it| it.path.as_path()).collect();
    refuse_conflicts(tree, &folders, sorted.films.iter().map(|film| film.path.as_path()))?;
    refuse_unknown(tree, &folders, &outside)?;
    let turned = sorted.turned();
    let places: Vec<(Option<SplitWord>, Label)> = sorted
        .films
        .iter()
        .filter_map(|film| class(&ListedFile { path: film.path.clone(), absolute: film.absolute.clone() }))
        .collect();
    let used: BTreeSet<SplitWord> = places.iter().filter_map(|(split, _)| *split).collect();
    let official = used.iter().any(|word| *word != SplitWord::Train);
    let belows: Vec<&Path> =
        sorted.films.iter().map(|film| film.path.strip_prefix(&tree.root).unwrap_or(&film.path)).collect();
    let groups = groups::by_number(&belows);
    let headers = sorted.films.par_iter().map(|film| film.header()).collect::<Vec<_>>();
    let mut found = FoundStudies::new(Vec::new(), sorted.skipped.clone(), sorted.companions.clone());
    let known = belows.iter().zip(groups).zip(headers);
    for ((film, (word, label)), ((below, block), header)) in sorted.films.iter().zip(places).zip(known) {
        let split = match word {
            Some(word) if official => word.split(&used),
            None if official => {
                found.skip(film.path.clone(), SkipReason::NoSplit);
                continue;
            }
            _ => Split::Train,
        };
        let (patient, part, projection) = header.map_or((None, None, None), |it| (it.patient, it.part, it.view));
        // A published split may part neighbours: the block counts within it.
        let block = if official { format!("{split}/{block}") } else { block };
        found.studies.push(Study {
            id: below.display().to_string(),
            group: patient.clone().unwrap_or(block),
            patient,
            part,
            split,
            label,
            views: vec![View { projection, ..film.view() }],
        });
    }
    found.warnings.extend(turned);
    found.official_split = official;
    Ok(found)
}

/// Films whose paths say both labels, or two splits.
fn refuse_conflicts<'a>(tree: &Tree, folders: &Folders, films: impl Iterator<Item = &'a Path>) -> Result<()> {
    let mut refused = Vec::new();
    for film in films {
        let below = film.strip_prefix(&tree.root).unwrap_or(film);
        if let Some(what) = folders.class(below).and_then(|class| class.conflict) {
            refused.push((below, what));
        }
    }
    let Some((first, what)) = refused.first() else { return Ok(()) };
    let others = match refused.len() - 1 {
        0 => String::new(),
        n => format!(", and {} more", files(n)),
    };
    Err(Error::Layout {
        root: tree.root.clone(),
        reason: format!(
            "the path {} says {what}{others}; index a folder below, rename one, or say which words count with \
             --positive NAME and --negative NAME (IndexOptions::positive, negative)",
            first.display()
        ),
    })
}

/// Pictures outside the classes in a folder beside a class, or beside its split, whose name says no label.
fn refuse_unknown(tree: &Tree, folders: &Folders, pictures: &HashSet<&Path>) -> Result<()> {
    let homes: BTreeSet<Vec<String>> =
        tree.entries.iter().filter_map(|entry| folders.class(tree.below(entry))).map(|class| class.above).collect();
    let mut unknown = BTreeSet::new();
    for entry in &tree.entries {
        let below = tree.below(entry);
        if folders.class(below).is_some() || !pictures.contains(entry.path.as_path()) {
            continue;
        }
        let names = self::folders(below);
        let beside = (0..names.len()).find(|&at| {
            homes.contains(&names[..at]) && SplitWord::of(&names[at]).is_none()
                || at > 0 && homes.contains(&names[..at - 1]) && SplitWord::of(&names[at - 1]).is_some()
        });
        // Where no class is known at all, every folder that holds pictures might be one.
        let beside = beside.or_else(|| if homes.is_empty() { names.len().checked_sub(1) } else { None });
        unknown.extend(beside.map(|at| names[at].clone()));
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let names = unknown.into_iter().collect::<Vec<_>>().join(", ");
    Err(Error::Layout {
        root: tree.root.clone(),
        reason: format!(
            "folders whose names say no label: {names}; say which they mean with --positive NAME and --negative NAME \
             (IndexOptions::positive, negative)"
        ),
    })
}
