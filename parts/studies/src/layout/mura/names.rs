//! What the folders above a film say.

use std::collections::BTreeSet;
use std::path::Path;

use crate::layout::tree::Tree;
use crate::study::{Label, Split};
use crate::{Error, Result};

/// The five names at the end of a film's path.
pub(super) struct PathNames<'a> {
    /// Holds `train` and `valid`.
    pub above: &'a Path,
    /// The folder of the split, as it is written.
    pub split_folder: &'a str,
    pub part: &'a str,
    pub patient: &'a str,
    pub study: &'a str,
}

impl<'a> PathNames<'a> {
    /// The names of the folders above a file, whatever they are; none if there are fewer than four or one is not
    /// Unicode.
    pub fn of(path: &'a Path) -> Option<PathNames<'a>> {
        let mut folders = path.ancestors().skip(1);
        let mut name = || folders.next()?.file_name()?.to_str();
        let (study, patient, part, split) = (name()?, name()?, name()?, name()?);
        Some(PathNames { above: folders.next()?, split_folder: split, part, patient, study })
    }

    /// `train` or `valid`, in whatever case: copies of MURA have `Train`.
    pub fn split(&self) -> Option<Split> {
        [Split::Train, Split::Valid].into_iter().find(|split| self.split_folder.eq_ignore_ascii_case(split.name()))
    }

    /// `study1` and its label.
    pub fn label(&self) -> Option<(&'a str, Label)> {
        [("_positive", Label::Abnormal), ("_negative", Label::Normal)]
            .into_iter()
            .find_map(|(ending, label)| Some((self.study.strip_suffix(ending)?, label)))
    }

    pub fn is_study(&self) -> bool {
        self.study.starts_with("study") && self.patient.starts_with("patient")
    }
}

/// The body parts that are read; empty for all.
pub(super) struct BodyParts(BTreeSet<String>);

impl BodyParts {
    /// `humerus` and `XR_HUMERUS` name the same part.
    pub fn of(tree: &Tree, asked: &[String]) -> Result<BodyParts> {
        let wanted: BTreeSet<String> = asked.iter().map(|part| part_name(part)).collect();
        let names = tree.entries.iter().filter_map(|entry| PathNames::of(&entry.absolute)).filter(PathNames::is_study);
        let met: BTreeSet<String> = names.map(|names| names.part.to_uppercase()).collect();
        match wanted.iter().find(|part| !met.contains(*part)) {
            None => Ok(BodyParts(wanted)),
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
    pub fn has(&self, path: &Path) -> bool {
        PathNames::of(path).is_none_or(|names| !names.is_study() || self.is_wanted(names.part))
    }
}

fn part_name(asked: &str) -> String {
    let upper = asked.to_uppercase();
    if upper.starts_with("XR_") { upper } else { format!("XR_{upper}") }
}
