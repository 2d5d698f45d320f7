//! Splits that keep a patient, or a block of neighbouring images, together.
//!
//! Whole groups are dealt out greedily, each to the split that lacks most of its labels, as scikit-learn's
//! `StratifiedGroupKFold` does; unlike there the best of several seeded orders is taken, and any shares are possible.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::index::{Fold, Index};
use crate::study::{Label, Split, Study};
use crate::{Error, Result};
use crate::{duplicates, groups};
use files::counted;

/// Orders that are tried; more bring little, and 64 take milliseconds on the whole of MURA.
const TRIES: usize = 64;

/// Takes about `fraction` of the training studies out as [`Split::Tune`]: whole groups, both labels in proportion, the
/// same ones for the same `seed`. Studies of other splits stay. A data set that brings its own tune split keeps it.
///
/// # Errors
/// [`Error::Setting`] if `fraction` is not between 0 and 1; [`Error::Split`] if there is no train split, or train and
/// tune cannot both have a study of each label.
pub fn hold_out_tune(index: &Index, fraction: f64, seed: u64) -> Result<Index> {
    let mut index = index.clone();
    require_train(&index)?;
    let tuned = index.split(Split::Tune);
    if !Label::ALL.iter().all(|label| tuned.iter().any(|study| study.label == *label)) {
        hold_out(&mut index.studies, Split::Train, Split::Tune, fraction, seed)?;
    }
    index.fixed_split = true;
    Ok(index)
}

/// Says of a data set without a study to train on that this is what it lacks.
fn require_train(index: &Index) -> Result<()> {
    if index.studies.iter().any(|study| study.split == Split::Train) {
        return Ok(());
    }
    let there = Split::ALL.into_iter().map(|split| (split, index.split(split).len())).filter(|(_, n)| *n > 0);
    let there: Vec<String> = there.map(|(split, n)| format!("{n} in {split}")).collect();
    let root = index.root.display();
    Err(Error::Split(format!("no train split in {root}, whose studies are {}", there.join(" and "))))
}

/// The share of studies that are held out where the data set brings no split. MURA holds out 18 % of its humerus films,
/// which of FracAtlas' upper limbs would leave 50 fractures.
const VALID: f64 = 0.25;

/// Deals all studies to train and valid, the same ones each time.
pub(super) fn deal_valid(studies: &mut [Study]) {
    studies.iter_mut().for_each(|study| study.split = Split::Train);
    // A set too small to be split stays whole; training on it then says that nothing is held out.
    let _ = hold_out(studies, Split::Train, Split::Valid, VALID, 0);
}

/// Joins the groups of copies, and deals the split again if it is ours and nobody has dealt it on purpose.
pub(super) fn keep_together(index: &mut Index) {
    let at: HashMap<&Path, usize> = index
        .studies
        .iter()
        .enumerate()
        .flat_map(|(at, study)| study.views.iter().map(move |view| (view.path.as_path(), at)))
        .collect();
    let sets: Vec<Vec<usize>> = index
        .copies
        .iter()
        .map(|films| films.iter().filter_map(|film| at.get(film.as_path()).copied()).collect())
        .collect();
    let stays = index.official_split || index.fixed_split;
    groups::join(&mut index.studies, &sets, stays);
    if !stays {
        deal_valid(&mut index.studies);
    }
}

/// The index in `k` ways: in the `i`-th, fold `i` is [`Split::Valid`] and the others are [`Split::Train`].
///
/// Folds are dealt as [`hold_out_tune`] deals: whole groups, both labels in proportion, the same ones for the same
/// `seed`. Of a data set with an official split the held-out studies are left out of every fold, so that they stay
/// unseen while folds choose between recipes. Nothing deals them again: audit the index first ([`Index::audit`]), so
/// that copies are in one fold.
///
/// # Errors
/// [`Error::Setting`] if `k` is below 2 or above the number of patients and blocks; [`Error::Split`] if there is
/// nothing but held-out studies, or a fold would lack a label.
pub fn k_folds(index: &Index, k: usize, seed: u64) -> Result<Vec<Index>> {
    two_or_more(k)?;
    let mut all = Index { fixed_split: true, ..index.clone() };
    if index.official_split {
        if all.studies.iter().all(|study| study.split == Split::Valid) {
            require_train(index)?;
        }
        all.studies.retain(|study| study.split != Split::Valid);
    }
    let mut groups: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for study in &all.studies {
        groups.entry(&study.group).or_default()[study.label.index()] += 1;
    }
    if k > groups.len() {
        let most = held_together(groups.len(), all.studies.iter());
        return Err(Error::setting("folds", format!("at most as many as there are to divide, {most}"), k));
    }
    let counts: Vec<[usize; 2]> = groups.values().copied().collect();
    let shares = deal(&counts, &vec![1.0 / k as f64; k], seed);
    let fold_of: HashMap<String, usize> = groups.keys().map(|group| (*group).to_owned()).zip(shares).collect();
    let folds: Vec<usize> = all.studies.iter().map(|study| fold_of[&study.group]).collect();
    for (fold, label) in (0..k).flat_map(|fold| Label::ALL.map(|label| (fold, label))) {
        if !all.studies.iter().zip(&folds).any(|(study, at)| *at == fold && study.label == label) {
            return Err(Error::Split(format!(
                "{} cannot be divided into {} so that each has both labels",
                held_together(fold_of.len(), all.studies.iter()),
                counted(k, "fold")
            )));
        }
    }
    let fold = |fold: usize| {
        let mut index = Index { fold: Some(Fold { number: fold + 1, of: k }), ..all.clone() };
        for (study, at) in index.studies.iter_mut().zip(&folds) {
            study.split = if *at == fold { Split::Valid } else { Split::Train };
        }
        duplicates::warn(&mut index);
        index
    };
    Ok((0..k).map(fold).collect())
}

fn two_or_more(folds: usize) -> Result<()> {
    if folds < 2 { Err(Error::setting("folds", "2 or more", folds)) } else { Ok(()) }
}

/// One of [`k_folds`], counted from 1.
///
/// # Errors
/// As [`k_folds`]; [`Error::Setting`] if `fold` is not 1 to `k`.
pub fn fold(index: &Index, fold: usize, k: usize, seed: u64) -> Result<Index> {
    two_or_more(k)?;
    if !(1..=k).contains(&fold) {
        return Err(Error::setting("fold", format!("1 to {k}"), fold));
    }
    Ok(k_folds(index, k, seed)?.swap_remove(fold - 1))
}

/// [`hold_out_tune`] for any two splits. On an error nothing has moved.
pub(super) fn hold_out(studies: &mut [Study], from: Split, to: Split, fraction: f64, seed: u64) -> Result<()> {
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(Error::setting("held-out fraction", "a number between 0 and 1", fraction));
    }
    let mut groups: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for study in studies.iter().filter(|study| study.split == from) {
        groups.entry(&study.group).or_default()[study.label.index()] += 1;
    }
    let counts: Vec<[usize; 2]> = groups.values().copied().collect();
    let mut shares = deal(&counts, &[1.0 - fraction, fraction], seed);
    mend(&counts, &mut shares, &|n| held_together(n, studies.iter().filter(|study| study.split == from)))?;
    let moved: HashSet<String> =
        groups.keys().zip(shares).filter(|(_, share)| *share == 1).map(|(group, _)| (*group).to_owned()).collect();
    for study in studies.iter_mut().filter(|study| study.split == from) {
        if moved.contains(&study.group) {
            study.split = to;
        }
    }
    Ok(())
}

/// Deals groups into shares of given sizes: for each group the index of its share.
///
/// `groups` holds the number of studies of each label, `fractions` sums to 1.
fn deal(groups: &[[usize; 2]], fractions: &[f64], seed: u64) -> Vec<usize> {
    let totals = Label::ALL.map(|label| groups.iter().map(|group| group[label.index()]).sum::<usize>().max(1) as f64);
    let part = |group: usize| Label::ALL.map(|label| groups[group][label.index()] as f64 / totals[label.index()]);
    // How far a share is from its due, each label counting the same, relative to the share's size.
    let miss = |share: &[f64; 2], fraction: f64| -> f64 {
        share.iter().map(|held| (held - fraction).powi(2)).sum::<f64>() / fraction
    };
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut order: Vec<usize> = (0..groups.len()).collect();
    let mut best = (f64::INFINITY, vec![0; groups.len()]);
    for _ in 0..TRIES {
        order.shuffle(&mut rng);
        let mut held = vec![[0.0; 2]; fractions.len()];
        let mut dealt = vec![0; groups.len()];
        for &group in &order {
            let part = part(group);
            let added = |share: usize| [held[share][0] + part[0], held[share][1] + part[1]];
            let change =
                |share: &usize| miss(&added(*share), fractions[*share]) - miss(&held[*share], fractions[*share]);
            let share = (0..fractions.len()).min_by(|a, b| change(a).total_cmp(&change(b))).unwrap_or_default();
            held[share] = added(share);
            dealt[group] = share;
        }
        let missed = held.iter().zip(fractions).map(|(held, fraction)| miss(held, *fraction)).sum();
        if missed < best.0 {
            best = (missed, dealt);
        }
    }
    best.1
}

/// Sees to it that both shares hold a study of each label, by moving as few studies as possible.
fn mend(groups: &[[usize; 2]], shares: &mut [usize], told: &dyn Fn(usize) -> String) -> Result<()> {
    let held = |shares: &[usize], share: usize, label: Label| -> usize {
        let of = groups.iter().zip(shares).filter(|(_, at)| **at == share);
        of.map(|(group, _)| group[label.index()]).sum()
    };
    for (share, label) in [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(share, at)| (share, Label::ALL[at])) {
        if held(shares, share, label) > 0 {
            continue;
        }
        let is_spared = |group: &usize| {
            let mut without = shares.to_vec();
            without[*group] = share;
            Label::ALL.iter().all(|&label| held(&without, 1 - share, label) > 0)
        };
        let smallest = (0..groups.len())
            .filter(|&group| shares[group] != share && groups[group][label.index()] > 0)
            .filter(is_spared)
            .min_by_key(|&group| groups[group].iter().sum::<usize>());
        match smallest {
            Some(group) => shares[group] = share,
            None => {
                let [normal, abnormal] = Label::ALL.map(|label| held(shares, 0, label) + held(shares, 1, label));
                return Err(Error::Split(format!(
                    "{} with {normal} normal and {} cannot be divided so that both sides have both labels",
                    told(groups.len()),
                    counted(abnormal, "abnormal study")
                )));
            }
        }
    }
    Ok(())
}

/// What a split deals: so many patients, or what stands for them.
fn held_together<'a>(n: usize, studies: impl Iterator<Item = &'a Study>) -> String {
    let (known, unknown): (Vec<&Study>, Vec<&Study>) = studies.partition(|study| study.patient.is_some());
    match (known.is_empty(), unknown.is_empty()) {
        (_, true) => counted(n, "patient"),
        (true, _) => format!("{} of neighbouring films (no patient is named)", counted(n, "block")),
        _ => format!("{} (patients and, where none is named, blocks of neighbouring films)", counted(n, "group")),
    }
}

/// Checks that no patient (or block of images) is in two splits, and no film or study there twice. Called by every
/// training.
///
/// # Errors
/// [`Error::Split`] that names the first offender.
pub fn assert_disjoint(index: &Index) -> Result<()> {
    let mut groups: HashMap<&str, Split> = HashMap::new();
    for study in &index.studies {
        let first = *groups.entry(&study.group).or_insert(study.split);
        if first != study.split {
            let what = if study.patient.is_some() { "patient" } else { "block" };
            return Err(Error::Split(format!("{what} {} is in both {first} and {}", study.group, study.split)));
        }
    }
    assert_unique(index)
}

/// Checks that no film and no study is there twice.
pub(super) fn assert_unique(index: &Index) -> Result<()> {
    let mut ids = HashSet::new();
    let mut paths = HashSet::new();
    for study in &index.studies {
        if !ids.insert(&study.id) {
            return Err(Error::Split(format!("study {} is there twice", study.id)));
        }
        if let Some(view) = study.views.iter().find(|view| !paths.insert(&view.path)) {
            return Err(Error::Split(format!("film {} is there twice", view.path.display())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::View;
    use crate::{Held, Layout};

    /// One study for each `(group, label)`.
    fn index(studies: impl IntoIterator<Item = (usize, Label)>) -> Index {
        let studies = studies.into_iter().enumerate().map(|(n, (group, label))| Study {
            id: n.to_string(),
            patient: Some(format!("patient{group:05}")),
            group: format!("patient{group:05}"),
            part: None,
            split: Split::Train,
            label,
            views: vec![View::new(format!("{n}.png"))],
        });
        Index {
            root: "films".into(),
            layout: Layout::Mura,
            studies: studies.collect(),
            skipped: Vec::new(),
            companions: Vec::new(),
            warnings: Vec::new(),
            official_split: false,
            fixed_split: false,
            audited: true,
            copies: Vec::new(),
            fold: None,
            held: Held::default(),
        }
    }

    fn label(n: usize) -> Label {
        Label::ALL[usize::from(n.is_multiple_of(3))]
    }

    fn counts(index: &Index, split: Split) -> [usize; 2] {
        Label::ALL.map(|label| index.split(split).iter().filter(|study| study.label == label).count())
    }

    #[test]
    fn tuning_takes_its_fraction_of_both_labels_in_whole_groups() {
        let all = index((0..600).map(|n| (n / 2, label(n))));
        let held = hold_out_tune(&all, 0.15, 7).unwrap();
        assert_disjoint(&held).unwrap();
        let ([normal, abnormal], total) = (counts(&held, Split::Tune), counts(&all, Split::Train));
        assert!((normal as f64 / total[0] as f64 - 0.15).abs() < 0.01, "{normal} of {total:?}");
        assert!((abnormal as f64 / total[1] as f64 - 0.15).abs() < 0.01, "{abnormal} of {total:?}");
        assert_eq!(held.studies.len(), 600);
    }

    #[test]
    fn the_seed_alone_decides() {
        let all = index((0..200).map(|n| (n, label(n))));
        let tuned = |seed| hold_out_tune(&all, 0.2, seed).unwrap();
        assert_eq!(tuned(1), tuned(1));
        assert_ne!(tuned(1), tuned(2));
    }

    #[test]
    fn even_the_smallest_tuning_set_has_both_labels() {
        let all = index([(0, Label::Normal), (1, Label::Normal), (2, Label::Abnormal), (3, Label::Abnormal)]);
        for seed in 0..20 {
            let held = hold_out_tune(&all, 0.05, seed).unwrap();
            assert_eq!((counts(&held, Split::Train), counts(&held, Split::Tune)), ([1, 1], [1, 1]));
        }
    }

    #[test]
    fn more_folds_than_patients_are_refused_before_anything_is_made_of_them() {
        let all = index((0..12).map(|n| (n / 2, label(n))));
        for k in [0, 1, 7, 4_000_000_000, usize::MAX] {
            let error = k_folds(&all, k, 0).unwrap_err().to_string();
            assert!(error.starts_with("folds: expected "), "{k}: {error}");
        }
        assert_eq!(k_folds(&all, 2, 0).unwrap().len(), 2);
    }

    #[test]
    fn a_set_that_cannot_be_divided_is_an_error_and_so_is_a_senseless_fraction() {
        let lone = index([(0, Label::Normal), (1, Label::Normal), (2, Label::Abnormal)]);
        assert!(matches!(hold_out_tune(&lone, 0.2, 0), Err(Error::Split(_))));
        let one_patient = index((0..10).map(|n| (0, label(n))));
        assert!(matches!(hold_out_tune(&one_patient, 0.2, 0), Err(Error::Split(_))));
        let mut unnamed = lone.clone();
        let line = |index: &Index| hold_out_tune(index, 0.2, 0).unwrap_err().to_string();
        let what = "with 2 normal and 1 abnormal study cannot be divided so that both sides have both labels";
        assert_eq!(line(&lone), format!("split: 3 patients {what}"));
        unnamed.studies[0].patient = None;
        let both = "3 groups (patients and, where none is named, blocks of neighbouring films)";
        assert_eq!(line(&unnamed), format!("split: {both} {what}"));
        unnamed.studies.iter_mut().for_each(|study| study.patient = None);
        assert_eq!(line(&unnamed), format!("split: 3 blocks of neighbouring films (no patient is named) {what}"));
        let none = index([]);
        assert!(matches!(hold_out_tune(&none, 0.2, 0), Err(Error::Split(_))));
        for fraction in [0.0, 1.0, -1.0, f64::NAN] {
            assert!(matches!(hold_out_tune(&lone, fraction, 0), Err(Error::Setting { .. })));
        }
    }

    #[test]
    fn a_patient_in_two_splits_is_refused_and_named() {
        let mut leaking = index((0..10).map(|n| (n / 2, label(n))));
        assert_disjoint(&leaking).unwrap();
        leaking.studies[4].split = Split::Valid;
        let message = assert_disjoint(&leaking).unwrap_err().to_string();
        assert!(message.contains("patient00002"), "{message}");
    }

    #[test]
    fn a_film_or_study_that_is_there_twice_is_refused() {
        let mut twice = index((0..4).map(|n| (n, label(n))));
        twice.studies[3].views[0].path = "1.png".into();
        assert!(assert_disjoint(&twice).unwrap_err().to_string().contains("1.png"));
        let mut twice = index((0..4).map(|n| (n, label(n))));
        twice.studies[3].id = "2".into();
        assert!(assert_disjoint(&twice).is_err());
    }
}
