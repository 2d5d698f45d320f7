//! One folder a class: `[train|valid|test/]CLASS/…/file`, as torchvision's `ImageFolder` reads it.
//!
//! Unlike there, a class is not numbered by its place in the alphabet: its name must say which label it means, by the words
//! of [`super::labels`] or the reader's own. Each file is a study of its own. Only DICOM files name a patient; a split that
//! we make keeps a patient together, and else neighbouring numbers.

use std::collections::BTreeSet;
use std::path::Path;

use super::labels::{SplitWord, Words};
use super::tree::{Entry, Place, Tree};
use super::{Found, IndexOptions, SkipReason, groups, parallel};
use crate::study::{Label, Split, Study, View};
use crate::{Error, Result};

/// What the layout looks like, for messages.
pub(super) const PATTERN: &str = "[train|valid|test/]{normal,abnormal}/FILE";

/// Where a file lies.
struct Class<'a> {
    /// The folders above the class and its split.
    above: Vec<&'a str>,
    split: Option<SplitWord>,
    label: Label,
}

impl<'a> Class<'a> {
    /// The first folder below the root that names a class.
    fn of(below: &'a Path, words: &Words) -> Option<Class<'a>> {
        let folders: Vec<&str> = below.parent()?.iter().map(|it| it.to_str()).collect::<Option<_>>()?;
        let (at, label) = folders.iter().enumerate().find_map(|(at, name)| Some((at, words.label(name)?)))?;
        let split = at.checked_sub(1).and_then(|at| SplitWord::of(folders[at]));
        let above = folders[..at - usize::from(split.is_some())].to_vec();
        Some(Class { above, split, label })
    }
}

/// How many files lie in folders of classes; none unless both labels are there.
pub(super) fn count(tree: &Tree, words: &Words) -> usize {
    let classes: Vec<Label> =
        tree.entries.iter().filter_map(|entry| Class::of(tree.below(entry), words)).map(|class| class.label).collect();
    if Label::ALL.iter().all(|label| classes.contains(label)) { classes.len() } else { 0 }
}

/// Reads the tree.
///
/// # Errors
/// [`Error::Layout`] for folders beside the classes whose names say no label.
pub(super) fn read(tree: &Tree, options: &IndexOptions) -> Result<Found> {
    let words = options.words();
    let class = |entry: &'_ Entry| Class::of(tree.below(entry), &words).map(|class| (class.split, class.label));
    let sorted = tree.sort(|entry| match class(entry) {
        Some(_) => Place::Film,
        None => Place::Outside(SkipReason::OutsideLayout),
    });
    let is_outside =
        |path: &Path| sorted.skipped.iter().any(|it| it.path == path && it.reason == SkipReason::OutsideLayout);
    refuse_unknown(tree, &words, is_outside)?;
    let turned = sorted.turned();
    let places: Vec<(Option<SplitWord>, Label)> = sorted
        .films
        .iter()
        .filter_map(|film| class(&Entry { path: film.path.clone(), absolute: film.absolute.clone() }))
        .collect();
    let used: BTreeSet<SplitWord> = places.iter().filter_map(|(split, _)| *split).collect();
    let official = used.iter().any(|word| *word != SplitWord::Train);
    let belows: Vec<&Path> =
        sorted.films.iter().map(|film| film.path.strip_prefix(&tree.root).unwrap_or(&film.path)).collect();
    let groups = groups::by_number(&belows);
    let headers = parallel::map(&sorted.films, |film| film.header());
    let mut found = Found::new(Vec::new(), sorted.skipped.clone(), sorted.companions.clone());
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

/// Pictures in a folder beside a class, or beside its split, whose name says no label.
fn refuse_unknown(tree: &Tree, words: &Words, is_picture: impl Fn(&Path) -> bool) -> Result<()> {
    let homes: BTreeSet<Vec<&str>> =
        tree.entries.iter().filter_map(|entry| Class::of(tree.below(entry), words)).map(|class| class.above).collect();
    let mut unknown = BTreeSet::new();
    for entry in &tree.entries {
        let below = tree.below(entry);
        if Class::of(below, words).is_some() || !is_picture(&entry.path) {
            continue;
        }
        let folders: Vec<&str> = below.parent().into_iter().flatten().filter_map(|it| it.to_str()).collect();
        let beside = (0..folders.len()).find(|&at| {
            homes.contains(&folders[..at]) && SplitWord::of(folders[at]).is_none()
                || at > 0 && homes.contains(&folders[..at - 1]) && SplitWord::of(folders[at - 1]).is_some()
        });
        // Where no class is known at all, every folder that holds pictures might be one.
        let beside = beside.or_else(|| if homes.is_empty() { folders.len().checked_sub(1) } else { None });
        unknown.extend(beside.map(|at| folders[at]));
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
