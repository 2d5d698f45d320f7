//! Rows whose film does not lie where they say: which of the files around do they mean?

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::Result;
use crate::layout::FoundStudies;
use crate::layout::claims::Claim;
use crate::layout::names::{self, Meaning, RowReport, Spellings};
use crate::layout::tree::{self, ListedFile, Tree};
use rayon::prelude::*;

/// The files that rows may mean which do not lie where they say.
pub(super) struct Around<'a> {
    /// The table's folder, where only the table was named and not all films lie where it says.
    walked: Option<Tree>,
    tree: &'a Tree,
    table: &'a Path,
}

impl<'a> Around<'a> {
    pub fn new(tree: &'a Tree, table: &'a Path, rows: &[(Claim, &str)]) -> Result<Around<'a>> {
        let here = if tree.root.as_os_str().is_empty() { Path::new(".") } else { &tree.root };
        let is_unknown = tree.entries.is_empty() && rows.iter().any(|(claim, _)| !claim.path.exists());
        let walked = if is_unknown { Some(Tree::walk(here)?) } else { None };
        Ok(Around { walked, tree, table })
    }

    /// The files but the table, with their paths below the folder.
    fn files(&self) -> (Vec<&ListedFile>, Vec<String>) {
        let tree = self.walked.as_ref().unwrap_or(self.tree);
        let others = tree.entries.iter().filter(|entry| entry.absolute != self.table);
        others.map(|entry| (entry, tree.below(entry).to_string_lossy().into_owned())).unzip()
    }

    /// The first film, for messages.
    pub fn film(&self) -> Option<String> {
        let (files, names) = self.files();
        files.iter().zip(names).find(|(entry, _)| tree::check(&entry.path).is_ok()).map(|(_, name)| name)
    }

    /// Gives the rows whose film does not lie where they say the one that they mean.
    pub fn look(&self, found: &mut FoundStudies, tree: &Tree, file: &Path, rows: &mut [(Claim, &str)]) -> Result<()> {
        let (lost, there): (Vec<usize>, Vec<usize>) = (0..rows.len()).partition(|at| !rows[*at].0.path.exists());
        if lost.is_empty() {
            return Ok(());
        }
        let direct: HashSet<PathBuf> = there.iter().map(|at| rows[*at].0.path.clone()).collect();
        let (files, paths) = self.files();
        let cells: Vec<String> = lost.iter().map(|at| rows[*at].1.replace('\\', "/")).collect();
        let known = Spellings::of_files(&paths);
        let meanings = known.meanings(cells.iter().map(String::as_str));
        let films_of = films_of(&files, &meanings);
        let (mut loose, mut films, mut ambiguous) = (Vec::new(), Vec::new(), Vec::new());
        for (at, meaning) in lost.into_iter().zip(meanings) {
            let (claim, cell) = &mut rows[at];
            let told = |names: &[usize]| RowReport {
                line: claim.line,
                cell: (*cell).to_owned(),
                names: names.iter().map(|at| paths[*at].clone()).collect(),
            };
            let (at, is_loose) = match meaning {
                Meaning::Nothing => continue,
                Meaning::One { at, is_loose } => (at, is_loose),
                // A film and what is stored beside it under its name.
                Meaning::Many(many) => match &films_of[&many.as_ptr()][..] {
                    [] => continue,
                    [at] => (*at, false),
                    films => {
                        ambiguous.push(told(names::kept(films, ambiguous.is_empty())));
                        continue;
                    }
                },
            };
            if is_loose {
                if direct.contains(&files[at].absolute) {
                    continue;
                }
                loose.push(told(&[at]));
                films.push(tree.as_given(&files[at].absolute));
            }
            claim.path.clone_from(&files[at].absolute);
        }
        found.warnings.extend(names::loose(films, &loose));
        names::ambiguous(file, &ambiguous).map_or(Ok(()), Err)
    }
}

/// The films among the files of each list that cells mean, by where the list lies: rows of one name share one. A file
/// is read once, however many rows mean it.
fn films_of(files: &[&ListedFile], meanings: &[Meaning]) -> HashMap<*const usize, Vec<usize>> {
    let mut lists: HashMap<*const usize, &[usize]> = HashMap::new();
    for meaning in meanings {
        if let Meaning::Many(many) = meaning {
            lists.insert(many.as_ptr(), many);
        }
    }
    let meant: Vec<usize> = lists.values().copied().flatten().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let checked = meant.par_iter().map(|at| tree::check(&files[*at].path).is_ok()).collect::<Vec<_>>();
    let films: HashSet<usize> = meant.into_iter().zip(checked).filter(|(_, is_film)| *is_film).map(|it| it.0).collect();
    let among = |many: &[usize]| many.iter().copied().filter(|at| films.contains(at)).collect();
    lists.into_iter().map(|(place, many)| (place, among(many))).collect()
}
