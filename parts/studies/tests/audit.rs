//! What the audit finds on real films, and what training refuses because of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use film::decode;
use humerus_studies::{self as dataset, AuditOptions, Index, Leak, SkipReason, WarningKind, split};
use humerus_studies::{Error, Label, Split, Study, View};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, crop_imm, resize};
use image::{GrayImage, Luma};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use testing::TestSet;

fn audited(root: &Path) -> Index {
    let nowhere = AuditOptions { folder: None };
    dataset::index(root).unwrap().audit_with(&nowhere, &mut |_| ()).unwrap()
}

fn names(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
}

fn warned(index: &Index, kind: WarningKind) -> Vec<Vec<String>> {
    index.warnings.iter().filter(|warning| warning.kind == kind).map(|warning| names(&warning.paths)).collect()
}

/// Forty real films, all different, and a copy of each: cut by up to `cut` of its side on every side, at 70 % of its
/// size, in JPEG of quality 60. Returns how many copies are found, and how many sets of films that are no copies.
fn copies_found(root: &Path, cut: f64) -> (usize, usize) {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let index = dataset::index(root).unwrap();
    let mut films: Vec<&PathBuf> = index.studies.iter().map(|study| &study.views[0].path).collect();
    films.sort();
    films.shuffle(&mut rng);
    let folder = tempfile::tempdir().unwrap();
    for class in ["normal", "abnormal"] {
        fs::create_dir(folder.path().join(class)).unwrap();
    }
    for path in films.iter().take(40) {
        let film = decode(path).unwrap();
        let (width, height) = (f64::from(film.width()), f64::from(film.height()));
        let [left, top, right, bottom] = std::array::from_fn(|_| rng.random_range(0.0..=cut));
        let part = crop_imm(
            &film,
            (left * width) as u32,
            (top * height) as u32,
            ((1.0 - left - right) * width) as u32,
            ((1.0 - top - bottom) * height) as u32,
        );
        let part = part.to_image();
        let small: GrayImage = resize(&part, part.width() * 7 / 10, part.height() * 7 / 10, FilterType::Triangle);
        let name = path.file_name().unwrap();
        fs::copy(path, folder.path().join("normal").join(name)).unwrap();
        let file = fs::File::create(folder.path().join("abnormal").join(name)).unwrap();
        JpegEncoder::new_with_quality(file, 60).encode_image(&small).unwrap();
    }
    let index = audited(folder.path());
    let conflicts = warned(&index, WarningKind::ConflictingDuplicate);
    let is_copy = |set: &&Vec<String>| set.len() == 2 && set[0] == set[1];
    let found = conflicts.iter().filter(is_copy).count();
    (found, conflicts.len() - found + warned(&index, WarningKind::NearDuplicate).len())
}

#[test]
fn copies_of_real_films_are_found_after_encoding_scaling_and_cutting() {
    let Some(root) = testing::shared("fracatlas-upper-limb") else {
        return;
    };
    assert_eq!(copies_found(&root, 0.0), (40, 0));
    let (found, wrong) = copies_found(&root, 0.04);
    println!("{found} of 40 copies that were cut by up to 4 % on each side");
    assert!(found >= 28 && wrong == 0, "{found} {wrong}");
}

/// The pairs that looking at pictures confirms: the film of the second number is a copy of the first's, in three cases
/// a damaged one.
const COPIES: [(u32, u32); 43] = [
    (1763, 2615),
    (2626, 4081),
    (2640, 4075),
    (2646, 4072),
    (2647, 4071),
    (2652, 4067),
    (2653, 4068),
    (2659, 4065),
    (2667, 4060),
    (2668, 4061),
    (2669, 4059),
    (2682, 4105),
    (2683, 4106),
    (2693, 4097),
    (2694, 4096),
    (2696, 4094),
    (2741, 4118),
    (2745, 4116),
    (2746, 4117),
    (2777, 4161),
    (2808, 4138),
    (2822, 4182),
    (2836, 4214),
    (2848, 4206),
    (2849, 4207),
    (2858, 4201),
    (2866, 4195),
    (2875, 4188),
    (2882, 4245),
    (2883, 4244),
    (2897, 4236),
    (2935, 4217),
    (2940, 4270),
    (2947, 4264),
    (2948, 4265),
    (2956, 4260),
    (2988, 4287),
    (2994, 4284),
    (3002, 4277),
    (3012, 4274),
    (4042, 4375),
    (4043, 4376),
    (4044, 4374),
];

#[test]
fn the_copies_in_fracatlas_are_found_nothing_else_is_and_none_leaks() {
    let Some(root) = testing::shared("fracatlas-upper-limb") else {
        return;
    };
    let index = audited(&root);
    let number = |path: &PathBuf| names(std::slice::from_ref(path))[0][3..].parse::<u32>().unwrap();
    let found: BTreeSet<Vec<u32>> = index
        .copies
        .iter()
        .map(|set| {
            let mut numbers: Vec<u32> = set.iter().map(number).collect();
            numbers.sort_unstable();
            numbers
        })
        .collect();
    let known: BTreeSet<Vec<u32>> = COPIES.iter().map(|(a, b)| vec![*a, *b]).collect();
    assert_eq!(found, known);
    dataset::refuse_leaks(&index, &[]).unwrap();
    assert!(index.warnings.iter().all(|it| it.kind != WarningKind::Inverted));

    // The quick index knows equal files only, so its split tears copies apart; training on it is refused.
    let quick = dataset::index(&root).unwrap();
    assert_eq!(quick.copies.len(), 1);
    let refusal = dataset::trainable(&quick, &[]).unwrap_err().to_string();
    assert!(refusal.contains("Index::audit`") && refusal.contains("--allow duplicates-across-splits"), "{refusal}");
    assert_eq!(
        dataset::trainable(&quick, &[Leak::DuplicatesAcrossSplits]).unwrap().split(Split::Valid).len(),
        quick.split(Split::Valid).len()
    );
}

#[test]
fn copies_stay_together_where_the_split_is_ours() {
    let set = TestSet::new();
    for n in 0..120 {
        set.film(&format!("{}/film{n:03}.png", n % 2), n);
        if n % 10 == 0 {
            // The same film again, far away by number: once equal, once encoded anew.
            let name = format!("{}/film{:03}", n % 2, 500 + n);
            let film = set.film(&format!("{name}.png"), n);
            if n % 20 == 0 {
                let larger = resize(&decode(&film).unwrap(), 96, 72, FilterType::Triangle);
                fs::remove_file(film).unwrap();
                larger.save(set.root().join(format!("{name}.png"))).unwrap();
            }
        }
    }
    let index = audited(set.root());
    assert_eq!(index.copies.len(), 12);
    assert_eq!(warned(&index, WarningKind::Duplicate).len(), 6);
    assert_eq!(warned(&index, WarningKind::NearDuplicate).len(), 6);
    assert!(!index.split(Split::Valid).is_empty());
    dataset::refuse_leaks(&index, &[]).unwrap();
    let tuned = split::hold_out_tune(&index, 0.2, 0).unwrap();
    dataset::refuse_leaks(&tuned, &[]).unwrap();
    for fold in split::k_folds(&index, 4, 0).unwrap() {
        dataset::refuse_leaks(&fold, &[]).unwrap();
    }
}

#[test]
fn an_audit_after_folds_or_a_tune_split_deals_no_study_again() {
    let set = TestSet::new();
    for n in 0..48 {
        set.film(&format!("{}/film{n:03}.png", n % 2), n);
    }
    // A copy that is in another block, so that an audit has something to join.
    set.film("0/film500.png", 2);
    let index = dataset::index(set.root()).unwrap();
    let nowhere = AuditOptions { folder: None };
    let dealt =
        split::k_folds(&index, 3, 0).unwrap().into_iter().chain([split::hold_out_tune(&index, 0.3, 5).unwrap()]);
    for (at, dealt) in dealt.enumerate() {
        let before: Vec<Split> = dealt.studies.iter().map(|study| study.split).collect();
        let audited = dealt.audit_with(&nowhere, &mut |_| ()).unwrap();
        assert!(audited.audited);
        assert_eq!(audited.studies.iter().map(|study| study.split).collect::<Vec<_>>(), before, "dealt {at}");
    }
    // A copy that came to lie in two splits is then named, with what would have helped.
    let mut torn = split::k_folds(&index, 3, 0).unwrap().remove(0);
    let copies: Vec<usize> = (0..torn.studies.len())
        .filter(|&at| {
            torn.studies[at].views[0].path.ends_with("0/film500.png")
                || torn.studies[at].views[0].path.ends_with("0/film002.png")
        })
        .collect();
    torn.studies[copies[0]].split = Split::Train;
    torn.studies[copies[1]].split = Split::Valid;
    let error = dataset::refuse_leaks(&torn, &[]).unwrap_err().to_string();
    assert!(error.contains("before folds are dealt"), "{error}");
}

#[test]
fn films_of_opposite_labels_that_are_one_inverted_and_undecodable_ones_are_found() {
    let set = TestSet::new();
    for n in 0..6 {
        set.film(&format!("{}/a{n}.png", ["normal", "abnormal"][n as usize % 2]), n);
    }
    set.film("abnormal/again.png", 0);
    let limb =
        GrayImage::from_fn(120, 160, |x, y| Luma([if (45..75).contains(&x) { 60 + (y % 90) as u8 } else { 250 }]));
    limb.save(set.root().join("normal/negative.png")).unwrap();
    // A whole container around data that no decoder accepts.
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 90).encode_image(&limb).unwrap();
    let at = bytes.len() - 120;
    bytes[at..at + 8].copy_from_slice(&[0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0]);
    set.file("normal/broken.jpg", &bytes);

    let quick = dataset::index(set.root()).unwrap();
    assert_eq!((quick.skipped.len(), quick.studies.len(), quick.audited), (0, 9, false));
    let mut told = Vec::new();
    let index = quick.audit_with(&AuditOptions { folder: None }, &mut |tally| told.push(tally.to_string())).unwrap();
    assert_eq!(told, ["9 of 9"]);
    assert_eq!(warned(&index, WarningKind::ConflictingDuplicate), [["again", "a0"]]);
    assert_eq!(warned(&index, WarningKind::Inverted), [["negative"]]);
    assert_eq!((index.skipped.len(), index.studies.len()), (1, 8));
    assert!(matches!(&index.skipped[0].reason, SkipReason::Undecodable(_)), "{:?}", index.skipped);
}

#[test]
fn films_of_hardly_any_grey_are_warned_of_also_by_kept_fingerprints() {
    let set = TestSet::of_ten_patients();
    let film = decode(set.film("train/XR_HUMERUS/patient00001/study9_negative/image1.png", 77)).unwrap();
    for (name, grey) in
        [("image2", (|v| v / 16) as fn(u8) -> u8), ("image3", |v| 255 - v / 16), ("image4", |v| v / 43 * 90)]
    {
        let mut changed = film.clone();
        changed.pixels_mut().for_each(|pixel| pixel.0[0] = grey(pixel.0[0]));
        changed.save(set.root().join(format!("train/XR_HUMERUS/patient00001/study9_negative/{name}.png"))).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let options = AuditOptions { folder: Some(folder.path().to_owned()) };
    for _ in 0..2 {
        let index = dataset::index(set.root()).unwrap().audit_with(&options, &mut |_| ()).unwrap();
        assert_eq!(warned(&index, WarningKind::NearlyBlack), [["image2"]]);
        assert_eq!(warned(&index, WarningKind::NearlyWhite), [["image3"]]);
        assert_eq!(warned(&index, WarningKind::FewGreys), [["image4"]]);
        assert!(warned(&index, WarningKind::LookUpTable).is_empty());
        let summary = index.summary().to_string();
        assert!(summary.contains("1 nearly-black, 1 nearly-white, 1 few-greys"), "{summary}");
    }
}

#[test]
fn fingerprints_are_kept_and_found_again() {
    let set = TestSet::of_ten_patients();
    let folder = tempfile::tempdir().unwrap();
    let options = AuditOptions { folder: Some(folder.path().join("prints")) };
    let audit = || dataset::index(set.root()).unwrap().audit_with(&options, &mut |_| ()).unwrap();
    let first = audit();
    let file = fs::read_dir(folder.path().join("prints")).unwrap().next().unwrap().unwrap().path();
    let written = fs::metadata(&file).unwrap();
    assert_eq!(audit(), first);
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), written.modified().unwrap());
    // Damaged, it is made anew.
    fs::write(&file, "no fingerprints").unwrap();
    assert_eq!(audit(), first);
    assert_eq!(fs::metadata(&file).unwrap().len(), written.len());
}

#[test]
fn folds_are_disjoint_complete_and_as_even_as_scikit_learns() {
    let Some(python) = testing::python() else {
        return;
    };
    // 300 patients with 1 to 9 studies, of which a third of the patients hold most abnormal ones.
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut studies = Vec::new();
    for patient in 0..300 {
        let share = if patient % 3 == 0 { 0.7 } else { 0.1 };
        for _ in 0..1 + (rng.random::<f64>().powi(3) * 9.0) as usize {
            studies.push((format!("patient{patient:05}"), usize::from(rng.random::<f64>() < share)));
        }
    }
    let index = synthetic(&studies);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), serde_json::to_vec(&studies).unwrap()).unwrap();
    for k in [3, 5] {
        let folds = split::k_folds(&index, k, 0).unwrap();
        let mut ours = vec![usize::MAX; studies.len()];
        for (number, fold) in folds.iter().enumerate() {
            split::assert_disjoint(fold).unwrap();
            for study in fold.split(Split::Valid) {
                let at: usize = study.id.parse().unwrap();
                assert_eq!(ours[at], usize::MAX, "a study is held out once");
                ours[at] = number;
            }
        }
        assert!(!ours.contains(&usize::MAX));
        let printed = testing::script(
            &python,
            "parts/studies/tests/golden/folds.py",
            &[file.path().as_os_str(), k.to_string().as_ref()],
        );
        let theirs: Vec<usize> = serde_json::from_str(&printed).unwrap();
        let [ours, theirs] = [&ours, &theirs].map(|folds| unevenness(&studies, folds, k));
        println!("{k} folds: largest deviation of a label's share {ours:.4}, scikit-learn's {theirs:.4}");
        assert!(ours <= theirs + 0.005, "{k} folds: {ours} against {theirs}");
    }
}

fn synthetic(studies: &[(String, usize)]) -> Index {
    let study = |(at, (group, label)): (usize, &(String, usize))| Study {
        id: at.to_string(),
        patient: Some(group.clone()),
        group: group.clone(),
        part: None,
        split: Split::Train,
        label: Label::ALL[*label],
        views: vec![View::new(format!("{at}.png"))],
    };
    let set = TestSet::of_ten_patients();
    Index {
        studies: studies.iter().enumerate().map(study).collect(),
        official_split: false,
        ..dataset::index(set.root()).unwrap()
    }
}

/// The largest deviation of a fold's share of a label from 1/k.
fn unevenness(studies: &[(String, usize)], folds: &[usize], k: usize) -> f64 {
    let share = |fold: usize, label: usize| {
        let of_label = studies.iter().zip(folds).filter(|(study, _)| study.1 == label);
        let (all, held) =
            of_label.fold((0usize, 0usize), |(all, held), (_, at)| (all + 1, held + usize::from(*at == fold)));
        held as f64 / all as f64
    };
    let all = (0..k).flat_map(|fold| [0, 1].map(|label| (share(fold, label) - 1.0 / k as f64).abs()));
    all.fold(0.0, f64::max)
}

#[test]
fn folds_leave_official_held_out_studies_alone_and_refuse_what_cannot_be_divided() {
    let index = audited(TestSet::of_ten_patients().root());
    let folds = split::k_folds(&index, 3, 0).unwrap();
    assert!(folds.iter().all(|fold| fold.studies.len() == 6 && fold.split(Split::Valid).len() == 2));
    assert_eq!(split::fold(&index, 2, 3, 0).unwrap(), folds[1]);
    for (fold, k) in [(0, 3), (4, 3), (1, 1)] {
        assert!(matches!(split::fold(&index, fold, k, 0), Err(Error::Setting { .. })), "{fold} of {k}");
    }
    assert!(matches!(split::k_folds(&index, 4, 0), Err(Error::Split(_))));
}
