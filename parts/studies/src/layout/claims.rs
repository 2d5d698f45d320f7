//! From what the rows of a table claim to studies: the films that are there, what their headers add, what no row lists.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::groups;
use crate::layout::FoundStudies;
use crate::layout::labels::SplitWord;
use crate::layout::tree::{self, FilmFile, Tree};
use crate::skipped::SkipReason;
use crate::study::{Label, Split, Study, View};
use crate::warning::{Warning, WarningKind};
use crate::words::that_are;
use rayon::prelude::*;

/// What a row claims about a film.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub line: u64,
    /// Absolute.
    pub path: PathBuf,
    pub label: Label,
    pub study: Option<String>,
    pub patient: Option<String>,
    pub projection: Option<String>,
    pub part: Option<String>,
    pub split: Option<SplitWord>,
}

/// The films of the claims that are whole pictures; the others are skipped.
pub(super) fn films(found: &mut FoundStudies, tree: &Tree, claims: Vec<Claim>) -> Vec<(Claim, FilmFile)> {
    let pictures = claims
        .par_iter()
        .map(|claim| if claim.path.is_file() { Some(tree::check(&claim.path)) } else { None })
        .collect::<Vec<_>>();
    let mut films = Vec::new();
    let mut missing = Vec::new();
    for (claim, picture) in claims.into_iter().zip(pictures) {
        let path = tree.as_given(&claim.path);
        match picture {
            Some(Ok(picture)) => {
                let film = FilmFile { path, absolute: claim.path.clone(), picture };
                films.push((claim, film));
            }
            Some(Err(flaw)) => found.skip(path, flaw),
            None => {
                let (why, is_missing) = tree::no_file(&claim.path);
                found.skip(path.clone(), SkipReason::Row { line: claim.line, why });
                missing.extend(is_missing.then_some(path));
            }
        }
    }
    if !missing.is_empty() {
        let message = format!("the table lists {} not there", that_are(missing.len()));
        found.warnings.push(Warning::new(WarningKind::MissingFile, missing, message));
    }
    found.warnings.extend(tree::turned(&films.iter().map(|(_, film)| film.clone()).collect::<Vec<_>>()));
    films
}

/// What the table leaves open, from the headers of DICOM files.
pub(super) fn with_headers(mut films: Vec<(Claim, FilmFile)>) -> Vec<(Claim, FilmFile)> {
    let headers = films.par_iter().map(|(_, film)| film.header()).collect::<Vec<_>>();
    for ((claim, _), header) in films.iter_mut().zip(headers) {
        if let Some(header) = header {
            claim.patient = claim.patient.take().or(header.patient);
            claim.study = claim.study.take().or(header.study);
            claim.part = claim.part.take().or(header.part);
            claim.projection = claim.projection.take().or(header.view);
        }
    }
    films
}

/// Everything else in the folder.
pub(super) fn skip_unlisted(found: &mut FoundStudies, tree: &Tree, listed: &HashMap<PathBuf, usize>) {
    let known: HashSet<&Path> =
        found.companions.iter().chain(found.skipped.iter().map(|it| &it.path)).map(PathBuf::as_path).collect();
    let others: Vec<_> = tree
        .entries
        .iter()
        .filter(|entry| !listed.contains_key(&entry.absolute) && !known.contains(entry.path.as_path()))
        .collect();
    let pictures = others.par_iter().map(|entry| tree::check(&entry.path).err()).collect::<Vec<_>>();
    for (entry, flaw) in others.into_iter().zip(pictures) {
        found.skip(entry.path.clone(), flaw.unwrap_or(SkipReason::Unlisted));
    }
}

/// Gathers films in studies and, where the table says nothing about splits, in groups.
pub(super) fn studies(found: &mut FoundStudies, tree: &Tree, films: Vec<(Claim, FilmFile)>) {
    let used: BTreeSet<SplitWord> = films.iter().filter_map(|(claim, _)| claim.split).collect();
    let official = used.iter().any(|word| *word != SplitWord::Train);
    let belows: Vec<PathBuf> =
        films.iter().map(|(_, film)| film.path.strip_prefix(&tree.root).unwrap_or(&film.path).to_owned()).collect();
    let blocks = groups::by_number(&belows.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    let mut studies: BTreeMap<(Split, String), Study> = BTreeMap::new();
    let mut labels: BTreeMap<(Split, String), BTreeSet<Label>> = BTreeMap::new();
    for (((claim, film), below), block) in films.into_iter().zip(belows).zip(blocks) {
        let split = match claim.split {
            Some(word) if official => word.split(&used),
            None if official => {
                found.skip(film.path, SkipReason::Row { line: claim.line, why: "the split is empty".to_owned() });
                continue;
            }
            _ => Split::Train,
        };
        let below = below.display().to_string();
        let id = match (&claim.patient, &claim.study) {
            (Some(patient), Some(study)) => format!("{patient}/{study}"),
            (None, Some(study)) => study.clone(),
            (_, None) => below,
        };
        // Where a published split parts neighbours, the block counts within it.
        let alone = if official { format!("{split}/{block}") } else { block };
        let group = claim.patient.clone().or(claim.study.clone()).unwrap_or(alone);
        let study = studies.entry((split, id.clone())).or_insert_with(|| Study {
            id: id.clone(),
            patient: claim.patient,
            group,
            part: claim.part,
            split,
            label: claim.label,
            views: Vec::new(),
        });
        study.label = study.label.max(claim.label);
        study.views.push(View { projection: claim.projection, ..film.view() });
        labels.entry((split, id)).or_default().insert(claim.label);
    }
    for (key, study) in &studies {
        if labels[key].len() > 1 {
            let message = format!("study {} has rows of both labels; it counts as abnormal", study.id);
            let paths: Vec<PathBuf> = study.views.iter().map(|view| view.path.clone()).collect();
            found.warnings.push(Warning::new(WarningKind::StudyWithTwoLabels, paths, message));
        }
    }
    let mut seen = BTreeSet::new();
    found.studies = studies.into_values().collect();
    for study in &mut found.studies {
        if !seen.insert(study.id.clone()) {
            study.id = format!("{}/{}", study.split, study.id);
        }
        study.views.sort_by(|a, b| a.path.cmp(&b.path));
    }
    found.official_split = official;
}
