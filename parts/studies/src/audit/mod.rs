//! What only the pixels can tell: copies, inverted films, films of hardly any grey, pictures that a whole container
//! hides but that do not decode.

mod alignment;
mod fingerprint;
mod neighbours;
mod prints;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use self::alignment::Verdict;
use self::fingerprint::{Hasher, Thumbnail, WHOLE, Window, windows};
use self::neighbours::Neighbours;
use self::prints::{Print, Prints};
use crate::index::{Held, Index};
use crate::skipped::{SkipReason, Skipped};
use crate::study::View;
use crate::warning::{Warning, WarningKind};
use crate::words::files;
use crate::{Error, Result};
use crate::{duplicates, groups, split};
use ::files::Tally;
use film::Doubt;
use rayon::prelude::*;

/// Bits of 256 in which hashes of copies may differ: reliefs that correlate by 0.85 differ in 45 ± 6. What is found so
/// is then laid over each other.
const RADIUS: u32 = 46;

/// Films that each film is laid over, those of the closest hashes: of a thousand films of one machine and one posture
/// about ten are within the radius, but of a hundred thousand there would be a thousand, and a copy is closer than
/// nearly all.
const CLOSEST: usize = 24;

/// How an index is audited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditOptions {
    /// The folder in which fingerprints are kept, so that a film is decoded for them once; `None` to keep none. Default
    /// `$HUMERUS_CACHE/fingerprints`, else `humerus/fingerprints` in the user's cache folder.
    pub folder: Option<PathBuf>,
}

impl Default for AuditOptions {
    fn default() -> AuditOptions {
        AuditOptions { folder: Prints::user_folder() }
    }
}

impl Index {
    /// [`audit_with`](Index::audit_with) the default options, without progress.
    ///
    /// # Errors
    /// As [`audit_with`](Index::audit_with).
    pub fn audit(self) -> Result<Index> {
        self.audit_with(&AuditOptions::default(), &mut |_| ())
    }

    /// The index after every film has been decoded once and compared with all others.
    ///
    /// - Pictures that cannot be decoded move from the studies to [`Index::skipped`].
    /// - Films that look inverted or use hardly any grey, and films that are copies of each other although their files
    ///   differ, become warnings.
    /// - Groups that share a copy are joined. A split that is ours is dealt again, so that no copy is in two splits; an
    ///   official split stays, and so do folds and a tune split that were dealt before.
    ///
    /// Each film is compared with the 24 that look most like it. Holds about 9 kB a film. `progress` hears of the films
    /// decoded. What was audited before is returned as it is.
    ///
    /// # Errors
    /// [`Error::NoFilms`] if no film can be decoded; [`Error::Io`] if one has become unreadable since it was indexed.
    /// The folder of fingerprints is a convenience: if it cannot be used, films are decoded again.
    pub fn audit_with(self, options: &AuditOptions, progress: &mut dyn FnMut(Tally)) -> Result<Index> {
        if self.audited { Ok(self) } else { self.compare_all(options, progress) }
    }

    fn compare_all(mut self, options: &AuditOptions, progress: &mut dyn FnMut(Tally)) -> Result<Index> {
        let prints = prints(&self, options, progress)?;
        self.skip_undecodable(&prints)?;
        let views: Vec<&View> = self.studies.iter().flat_map(|study| &study.views).collect();
        let prints: Vec<&Print> = prints.iter().filter_map(|print| print.as_ref().ok()).collect();
        let mut roots = groups::Roots::new(views.len());
        let mut first: HashMap<u128, usize> = HashMap::new();
        for (at, view) in views.iter().enumerate() {
            if let Some(content) = view.content {
                roots.join(at, *first.entry(content).or_insert(at));
            }
        }
        // Files of the same content need no comparing.
        let different: Vec<usize> = (0..views.len()).filter(|at| roots.find(*at) == *at).collect();
        let films: Vec<ComparedFilm> = different
            .into_iter()
            .filter_map(|at| Some(ComparedFilm::new(at, &views[at].path, prints[at].thumbnail.as_ref()?)))
            .collect();
        for (a, b) in copies(&films) {
            roots.join(films[a].at, films[b].at);
        }
        let path = |at: usize| views[at].path.clone();
        let mut copies: Vec<Vec<PathBuf>> =
            roots.sets().into_iter().map(|set| set.into_iter().map(path).collect()).collect();
        copies.iter_mut().for_each(|films| films.sort());
        copies.sort();
        let inverted: Vec<PathBuf> = (0..views.len()).filter(|at| prints[*at].is_inverted).map(path).collect();
        self.warnings.retain(|warning| warning.kind != WarningKind::Inverted);
        if !inverted.is_empty() {
            let message = format!("{} with dark bones on a bright ground, by the look of it", files(inverted.len()));
            self.warnings.push(Warning::new(WarningKind::Inverted, inverted, message));
        }
        for doubt in Doubt::ALL {
            let doubtful: Vec<PathBuf> =
                (0..views.len()).filter(|at| prints[*at].doubts.contains(&doubt)).map(path).collect();
            self.warnings.retain(|warning| warning.kind != doubt.into());
            if !doubtful.is_empty() {
                let message = format!("{} with {}", files(doubtful.len()), doubt.seen());
                self.warnings.push(Warning::new(doubt.into(), doubtful, message));
            }
        }
        self.copies = copies;
        self.audited = true;
        split::keep_together(&mut self);
        duplicates::warn(&mut self);
        Ok(self)
    }

    /// Takes films out that have no fingerprint because they cannot be decoded.
    fn skip_undecodable(&mut self, prints: &[Result<Print, String>]) -> Result<()> {
        let mut prints = prints.iter();
        let before = Held::of(&self.studies);
        for study in &mut self.studies {
            study.views.retain(|view| match prints.next() {
                Some(Err(why)) => {
                    self.skipped.push(Skipped::new(view.path.clone(), SkipReason::Undecodable(why.clone())));
                    false
                }
                _ => true,
            });
        }
        self.studies.retain(|study| !study.views.is_empty());
        let after = Held::of(&self.studies);
        // What cannot be decoded is listed among the skipped, and nobody has taken it out.
        self.held.studies = self.held.studies.saturating_sub(before.studies - after.studies);
        self.held.views = self.held.views.saturating_sub(before.views - after.views);
        self.skipped.sort_by(|a, b| a.path.cmp(&b.path));
        if self.studies.is_empty() {
            let reason = format!("{}, none of which can be decoded", files(self.skipped.len()));
            return Err(Error::NoFilms { root: self.root.clone(), reason });
        }
        Ok(())
    }
}

/// Films for each core between two reports of progress.
const AT_ONCE: usize = 32;

/// The fingerprint of every view in order, or why it cannot be decoded.
fn prints(
    index: &Index,
    options: &AuditOptions,
    progress: &mut dyn FnMut(Tally),
) -> Result<Vec<Result<Print, String>>> {
    let views: Vec<&View> = index.studies.iter().flat_map(|study| &study.views).collect();
    let kept = Prints::open(options.folder.as_deref(), &index.root);
    let print = |view: &&View| match view.content.and_then(|content| kept.get(content)) {
        Some(print) => Ok(Ok(print)),
        None => match film::examine(&view.path) {
            Ok((film, doubts)) => Ok(Ok(Print::of(&film, doubts))),
            Err(film::Error::Decode { source, .. }) => Ok(Err(source.to_string())),
            Err(error) => Err(error),
        },
    };
    let mut found = Vec::with_capacity(views.len());
    for some in views.chunks(AT_ONCE * rayon::current_num_threads()) {
        let prints = some.par_iter().map(print).collect::<Vec<_>>();
        found.extend(prints.into_iter().collect::<film::Result<Vec<_>>>()?);
        progress(Tally { done: found.len(), of: views.len() });
    }
    let fresh = views.iter().zip(&found).filter_map(|(view, print)| Some((view.content?, print.as_ref().ok()?)));
    kept.save(&fresh.collect());
    Ok(found)
}

/// A film to be compared.
struct ComparedFilm<'a> {
    /// Its position among the views.
    at: usize,
    path: &'a Path,
    thumbnail: &'a Thumbnail,
    /// The whole film, and its part inside flat borders if it has such.
    bases: Vec<Window>,
}

impl<'a> ComparedFilm<'a> {
    fn new(at: usize, path: &'a Path, thumbnail: &'a Thumbnail) -> ComparedFilm<'a> {
        let inner = thumbnail.inner();
        let bases = if inner == WHOLE { vec![WHOLE] } else { vec![WHOLE, inner] };
        ComparedFilm { at, path, thumbnail, bases }
    }
}

/// The pairs of films that are copies, by their positions in `films`.
fn copies(films: &[ComparedFilm]) -> BTreeSet<(usize, usize)> {
    let hasher = Hasher::default();
    let bases: Vec<(usize, Window)> =
        films.iter().enumerate().flat_map(|(at, film)| film.bases.iter().map(move |base| (at, *base))).collect();
    let hashes = bases.par_iter().map(|(at, base)| hasher.window(films[*at].thumbnail, *base)).collect::<Vec<_>>();
    let neighbours = Neighbours::new(hashes);
    let positions: Vec<usize> = (0..films.len()).collect();
    let pairs = positions
        .par_iter()
        .map(|&at| {
            // The closest windows of this film and each other one.
            let mut closest: BTreeMap<usize, (u32, Window, Window)> = BTreeMap::new();
            for window in windows(WHOLE).into_iter().chain(films[at].bases.iter().copied().skip(1)) {
                neighbours.of(&hasher.window(films[at].thumbnail, window), RADIUS, |found, far| {
                    let (other, base) = bases[found];
                    let best = closest.entry(other).or_insert((u32::MAX, window, base));
                    if far < best.0 {
                        *best = (far, window, base);
                    }
                });
            }
            closest.remove(&at);
            // What lies straight over another film is compared once, on behalf of the first.
            closest.retain(|other, (_, window, base)| at < *other || (*window, *base) != (WHOLE, WHOLE));
            let mut closest: Vec<_> = closest.into_iter().collect();
            closest.sort_by_key(|(other, (far, ..))| (*far, *other));
            closest.truncate(CLOSEST);
            let mut decoded = None;
            let is_copy = |(other, (_, window, base)): (usize, (u32, Window, Window))| {
                let verdict = alignment::compare(films[at].thumbnail, window, films[other].thumbnail, base);
                let is_copy = match verdict {
                    Verdict::Different => false,
                    Verdict::Copy => true,
                    Verdict::Undecided(window, base) => {
                        let film = decoded.get_or_insert_with(|| film::decode(films[at].path).ok());
                        let other = film::decode(films[other].path).ok();
                        let both = film.as_ref().zip(other.as_ref());
                        both.is_some_and(|(film, other)| alignment::are_copies((film, window), (other, base)))
                    }
                };
                is_copy.then_some((at.min(other), at.max(other)))
            };
            closest.into_iter().filter_map(is_copy).collect::<Vec<_>>()
        })
        .collect::<Vec<_>>();
    pairs.into_iter().flatten().collect()
}
