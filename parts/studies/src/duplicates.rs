//! What is there twice: files of the same content, copies of a film, a study with two labels, a patient in two splits.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use crate::index::Index;
use crate::study::{Label, Split, Study};
use crate::warning::{Warning, WarningKind};

/// Gives studies of one name different names; a warning where they differ in label.
pub(super) fn name_apart(studies: &mut [Study]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut first: HashMap<String, usize> = HashMap::new();
    for at in 0..studies.len() {
        let Some(&before) = first.get(&studies[at].id) else {
            first.insert(studies[at].id.clone(), at);
            continue;
        };
        if studies[before].label != studies[at].label {
            let message = format!("study {} is there as normal and as abnormal", studies[at].id);
            let views = studies[before].views.iter().chain(&studies[at].views);
            let paths: Vec<PathBuf> = views.map(|view| view.path.clone()).collect();
            warnings.push(Warning::new(WarningKind::StudyWithTwoLabels, paths, message));
            studies[at].id = format!("{} {}", studies[at].id, studies[at].label);
        }
    }
    warnings
}

/// The sets of films whose files are equal.
pub(super) fn same_content(index: &Index) -> Vec<Vec<PathBuf>> {
    let mut films: BTreeMap<u128, Vec<PathBuf>> = BTreeMap::new();
    for view in index.studies.iter().flat_map(|study| &study.views) {
        if let Some(content) = view.content {
            films.entry(content).or_default().push(view.path.clone());
        }
    }
    let mut copies: Vec<Vec<PathBuf>> = films.into_values().filter(|films| films.len() > 1).collect();
    copies.sort();
    copies
}

/// The warnings that depend on the split and on which films are copies; they replace earlier ones.
pub(super) fn warn(index: &mut Index) {
    let fresh = [of_copies(index), of_patients(index)].concat();
    index.warnings.retain(|warning| !depends_on_split(warning.kind));
    index.warnings.extend(fresh);
    index.warnings.sort_by(|a, b| (a.kind, &a.paths).cmp(&(b.kind, &b.paths)));
}

fn depends_on_split(kind: WarningKind) -> bool {
    matches!(
        kind,
        WarningKind::Duplicate
            | WarningKind::NearDuplicate
            | WarningKind::ConflictingDuplicate
            | WarningKind::DuplicateAcrossSplits
            | WarningKind::NearDuplicateAcrossSplits
            | WarningKind::PatientInTwoSplits
    )
}

/// One film of a set of copies.
struct Copy<'a> {
    study: &'a Study,
    content: Option<u128>,
}

fn of_copies(index: &Index) -> Vec<Warning> {
    let mut films: HashMap<&Path, Copy> = HashMap::new();
    for study in &index.studies {
        for view in &study.views {
            films.insert(&view.path, Copy { study, content: view.content });
        }
    }
    let mut warnings = Vec::new();
    for paths in &index.copies {
        let copies: Vec<&Copy> = paths.iter().filter_map(|path| films.get(path.as_path())).collect();
        let labels: BTreeSet<Label> = copies.iter().map(|copy| copy.study.label).collect();
        let splits: BTreeSet<Split> = copies.iter().map(|copy| copy.study.split).collect();
        let studies: BTreeSet<&str> = copies.iter().map(|copy| copy.study.id.as_str()).collect();
        let is_exact = |a: &Copy, b: &Copy| a.content.is_some() && a.content == b.content;
        let all_exact = copies.iter().all(|copy| is_exact(copy, copies[0]));
        let what = if all_exact { "films of the same content" } else { "nearly identical films" };
        let n = copies.len();
        let mut warn = |kind, message: String| warnings.push(Warning::new(kind, paths.clone(), message));
        if labels.len() > 1 {
            warn(WarningKind::ConflictingDuplicate, format!("{n} {what}, labelled normal and abnormal"));
        }
        if splits.len() > 1 {
            let meets = |a: &&Copy| copies.iter().any(|b| a.study.split != b.study.split && is_exact(a, b));
            let names: Vec<&str> = splits.iter().map(|split| split.name()).collect();
            let kind = match copies.iter().any(meets) {
                true => WarningKind::DuplicateAcrossSplits,
                false => WarningKind::NearDuplicateAcrossSplits,
            };
            warn(kind, format!("{n} {what} in {}", names.join(" and ")));
        }
        if labels.len() == 1 && splits.len() == 1 {
            match (all_exact, studies.len()) {
                (true, _) => warn(WarningKind::Duplicate, format!("{n} {what}")),
                // Two exposures of one study may be all but equal.
                (false, 1) => {}
                (false, m) => warn(WarningKind::NearDuplicate, format!("{n} {what} in {m} studies")),
            }
        }
    }
    warnings
}

fn of_patients(index: &Index) -> Vec<Warning> {
    let mut patients: BTreeMap<&str, BTreeMap<Split, Vec<&Study>>> = BTreeMap::new();
    for study in &index.studies {
        if let Some(patient) = &study.patient {
            patients.entry(patient).or_default().entry(study.split).or_default().push(study);
        }
    }
    let leaking = patients.into_iter().filter(|(_, splits)| splits.len() > 1);
    let warn = |(patient, splits): (&str, BTreeMap<Split, Vec<&Study>>)| {
        let names: Vec<&str> = splits.keys().map(|split| split.name()).collect();
        let views = splits.values().flatten().flat_map(|study| &study.views);
        let paths: Vec<PathBuf> = views.map(|view| view.path.clone()).collect();
        Warning::new(WarningKind::PatientInTwoSplits, paths, format!("patient {patient} is in {}", names.join(" and ")))
    };
    leaking.map(warn).collect()
}
