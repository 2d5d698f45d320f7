//! What a split must keep together where no patient is named: neighbours by number, and copies of one film.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::path::Path;

use crate::study::Study;

/// How ascending numbers are cut into blocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockSizes {
    /// A block closes at the first gap once it holds this many films.
    pub enough: usize,
    /// A run without a gap is cut when its block holds this many films.
    pub longest: usize,
}

impl BlockSizes {
    /// For a set of `n` films: a few dozen blocks, which can be balanced, of at most 60 films.
    pub fn for_films(n: usize) -> BlockSizes {
        BlockSizes { enough: (n / 40).clamp(1, 20), longest: (n / 12).clamp(1, 60) }
    }

    /// Cuts ascending image numbers into contiguous blocks.
    pub fn cut(self, numbers: &[u64]) -> Vec<Range<usize>> {
        let mut blocks = Vec::new();
        let mut start = 0;
        for at in 1..=numbers.len() {
            let is_cut = match numbers.get(at) {
                None => true,
                // One number in two folders is one picture with two labels: never parted.
                Some(&next) if next == numbers[at - 1] => false,
                Some(&next) => (at - start >= self.enough && next > numbers[at - 1] + 1) || at - start >= self.longest,
            };
            if is_cut {
                blocks.push(start..at);
                start = at;
            }
        }
        blocks
    }
}

/// For each file the name of its group: a contiguous block where names end in numbers, else the file alone.
///
/// Numbers are compared within one prefix, over all folders, unless two folders count anew with it; then within each
/// folder.
pub(super) fn by_number(paths: &[&Path]) -> Vec<String> {
    let names: Vec<Option<(String, u64)>> = paths.iter().map(|path| numbered(path)).collect();
    let mut seen = HashSet::new();
    let mut restarts = HashSet::new();
    for (prefix, number) in names.iter().flatten() {
        if !seen.insert((prefix, number)) {
            restarts.insert(prefix);
        }
    }
    let mut runs: BTreeMap<(String, &Path), Vec<(u64, usize)>> = BTreeMap::new();
    for (at, name) in names.iter().enumerate() {
        if let Some((prefix, number)) = name {
            let folder = if restarts.contains(prefix) { paths[at].parent() } else { None };
            runs.entry((prefix.clone(), folder.unwrap_or(Path::new("")))).or_default().push((*number, at));
        }
    }
    let mut groups: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let cut = BlockSizes::for_films(paths.len());
    for ((prefix, folder), mut run) in runs {
        run.sort_unstable();
        let numbers: Vec<u64> = run.iter().map(|(number, _)| *number).collect();
        for block in cut.cut(&numbers) {
            let (first, last) = (numbers[block.start], numbers[block.end - 1]);
            let name = folder.join(format!("{prefix}{first}-{prefix}{last}")).display().to_string();
            run[block].iter().for_each(|(_, at)| groups[*at].clone_from(&name));
        }
    }
    groups
}

/// `fractures/IMG_0012.png` is `IMG_` and 12.
fn numbered(path: &Path) -> Option<(String, u64)> {
    let stem = path.file_stem()?.to_str()?;
    let prefix = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    Some((prefix.to_owned(), stem[prefix.len()..].parse().ok()?))
}

/// Merges the groups of studies that belong together: for each set of positions, one group, named after the smallest.
///
/// With `within_splits`, studies of different splits stay apart: a published split is not ours to change.
pub(super) fn join(studies: &mut [Study], sets: &[Vec<usize>], within_splits: bool) {
    let mut names: Vec<String> = studies.iter().map(|study| study.group.clone()).collect();
    names.sort_unstable();
    names.dedup();
    let position: HashMap<&str, usize> = names.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
    let mut roots = Roots::new(names.len());
    for set in sets {
        for (n, &a) in set.iter().enumerate() {
            let partner = set[..n].iter().find(|&&b| !within_splits || studies[a].split == studies[b].split);
            if let Some(&b) = partner {
                roots.join(position[studies[a].group.as_str()], position[studies[b].group.as_str()]);
            }
        }
    }
    let merged: Vec<usize> = studies.iter().map(|study| roots.find(position[study.group.as_str()])).collect();
    for (study, root) in studies.iter_mut().zip(merged) {
        study.group.clone_from(&names[root]);
    }
}

/// Disjoint sets of `0..n`, each known by its smallest member.
pub(super) struct Roots(Vec<usize>);

impl Roots {
    pub fn new(n: usize) -> Roots {
        Roots((0..n).collect())
    }

    pub fn find(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    pub fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        self.0[a.max(b)] = a.min(b);
    }

    /// The sets of two and more, in the order of their smallest members.
    pub fn sets(mut self) -> Vec<Vec<usize>> {
        let mut sets: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for at in 0..self.0.len() {
            sets.entry(self.find(at)).or_default().push(at);
        }
        sets.into_values().filter(|set| set.len() > 1).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_contiguous_cut_at_gaps_and_cover_every_number_once() {
        let blocks = |numbers: &[u64]| BlockSizes { enough: 20, longest: 60 }.cut(numbers);
        let gap_at_30: Vec<u64> = (0..30).chain(40..45).chain(50..70).collect();
        assert_eq!(blocks(&gap_at_30), [0..30, 30..55]);
        let no_gap: Vec<u64> = (0..150).collect();
        assert_eq!(blocks(&no_gap), [0..60, 60..120, 120..150]);
        assert!(blocks(&[]).is_empty());
        let twice: Vec<u64> = (0..60).chain(59..80).collect();
        assert_eq!(blocks(&twice)[0], 0..61);
    }

    #[test]
    fn neighbours_by_number_are_one_group_and_files_without_a_number_stand_alone() {
        let names: Vec<String> =
            (0..240).map(|n| format!("{}/film_{n:04}.png", n % 2)).chain(["0/chest.png".to_owned()]).collect();
        let paths: Vec<&Path> = names.iter().map(Path::new).collect();
        let groups = by_number(&paths);
        assert_eq!(groups[0], groups[1], "the number runs over both folders");
        assert_eq!(groups[240], "0/chest.png");
        let mut different: Vec<&String> = groups.iter().collect();
        different.dedup();
        assert_eq!(different.len(), 240 / 20 + 1, "{different:?}");
    }

    #[test]
    fn folders_that_count_anew_are_counted_apart() {
        let names: Vec<String> = (0..20).map(|n| format!("{}/{}.png", n / 10, n % 10)).collect();
        let groups = by_number(&names.iter().map(Path::new).collect::<Vec<_>>());
        assert!(groups[..10].iter().all(|group| !groups[10..].contains(group)), "{groups:?}");
    }

    #[test]
    fn sets_that_share_a_member_become_one() {
        let mut roots = Roots::new(7);
        for (a, b) in [(5, 6), (1, 2), (2, 5)] {
            roots.join(a, b);
        }
        assert_eq!(roots.sets(), [vec![1, 2, 5, 6]]);
    }
}
