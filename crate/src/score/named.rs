//! What paths name: studies with labels, films without, and what can be neither. A film counts once, by however many
//! paths and spellings of them it is named.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::dataset::{self, SkipReason, Skipped};
use crate::error::{Error, Result};
use crate::files::{self, Identity};
use studies::Study;

/// What a list of paths names.
#[derive(Debug, Default)]
pub(super) struct Named {
    /// Studies of folders that are laid out like a data set.
    pub labelled: Vec<Study>,
    /// All other films.
    pub loose: Vec<PathBuf>,
    /// What can be no film, and what is named twice.
    pub skipped: Vec<Skipped>,
    /// Why the labels of a folder cannot be read.
    pub unlabelled: Vec<String>,
    /// Why the first path that names no film names none.
    pub nothing: Option<Error>,
}

/// What one path names.
#[derive(Debug, Default)]
struct Met {
    labelled: Vec<Study>,
    loose: Vec<PathBuf>,
    skipped: Vec<Skipped>,
    unlabelled: Option<String>,
}

impl Named {
    /// Looks at each path, and decodes no film. A path that is not there and a folder without films are skipped.
    pub fn by(paths: &[&Path]) -> Result<Named> {
        let mut named = Named::default();
        let mut found: Vec<(&Path, Met)> = Vec::new();
        let mut absent = HashSet::new();
        for &path in paths {
            match meet(path) {
                Ok(met) => found.push((path, met)),
                Err(error) => {
                    let reason = match &error {
                        Error::Io { source, .. } => SkipReason::Unreadable(source.to_string()),
                        Error::Studies(studies::Error::NoFilms { reason, .. }) => SkipReason::NoFilms(reason.clone()),
                        _ => return Err(error),
                    };
                    if absent.insert(path) {
                        named.skipped.push(Skipped::new(path.to_owned(), reason));
                    }
                    named.nothing.get_or_insert(error);
                }
            }
        }
        // A folder before a film of it that is named too: its study stays whole.
        found.sort_by_key(|(path, met)| (met.labelled.is_empty(), !path.is_dir()));
        named.add(found);
        Ok(named)
    }

    /// Takes what is not named by an earlier path. Links within one folder stay, as they do in a data set.
    fn add(&mut self, found: Vec<(&Path, Met)>) {
        let mut seen: HashMap<Identity, usize> = HashMap::new();
        for (at, (path, mut met)) in found.into_iter().enumerate() {
            let mut is_again =
                |file: &Path| files::identity(file).is_some_and(|file| *seen.entry(file).or_insert(at) != at);
            let mut twice = 0;
            met.labelled.retain(|study| {
                let again = study.views.iter().filter(|view| is_again(&view.path)).count();
                let is_whole_again = again == study.views.len();
                twice += if is_whole_again { again } else { 0 };
                !is_whole_again
            });
            met.loose.retain(|film| {
                let again = is_again(film);
                twice += usize::from(again);
                !again
            });
            met.skipped.retain(|skipped| !is_again(&skipped.path));
            self.labelled.extend(met.labelled);
            self.loose.extend(met.loose);
            self.skipped.extend(met.skipped);
            self.unlabelled.extend(met.unlabelled.filter(|why| !self.unlabelled.contains(why)));
            if twice > 0 {
                self.skipped.push(Skipped::new(path.to_owned(), SkipReason::NamedTwice(twice)));
            }
        }
    }
}

/// What a path names.
fn meet(path: &Path) -> Result<Met> {
    if !std::fs::metadata(path).map_err(Error::io(path))?.is_dir() {
        return Ok(Met { loose: vec![path.to_owned()], ..Met::default() });
    }
    match dataset::index(path) {
        Ok(index) => Ok(Met { labelled: index.studies, skipped: index.skipped, ..Met::default() }),
        Err(why @ (studies::Error::NoFilms { .. } | studies::Error::Layout { .. } | studies::Error::Labels { .. })) => {
            let (loose, skipped) = dataset::loose_films(path)?;
            let unlabelled = if matches!(why, studies::Error::NoFilms { .. }) { None } else { Some(why.to_string()) };
            Ok(Met { loose, skipped, unlabelled, ..Met::default() })
        }
        Err(error) => Err(error.into()),
    }
}
