use std::fs;
use std::path::{Path, PathBuf};

use image::{GrayImage, Luma};
use tempfile::TempDir;
use walkdir::WalkDir;

use super::*;
use crate::study::Label;
use film::{Flaw, decode};

/// A folder with one real PNG, to be linked wherever a film is needed.
struct Fixture {
    folder: TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        GrayImage::from_fn(24, 16, |x, y| Luma([(x * 9 + y) as u8])).save(folder.path().join("film.png")).unwrap();
        Fixture { folder }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn film(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::hard_link(self.folder.path().join("film.png"), &path).unwrap();
        path
    }

    fn file(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    fn reason(&self, index: &Index, path: &str) -> SkipReason {
        let path = self.root().join(path);
        let skipped = index.skipped.iter().find(|skipped| skipped.path == path);
        skipped.unwrap_or_else(|| panic!("{} is not skipped", path.display())).reason.clone()
    }
}

/// MURA's humerus part: as many studies, images and patients of each label in each split as the real one, each image
/// another, with the four tables.
fn mura_humerus(fixture: &Fixture) {
    let mut patients = 0;
    let mut image_number = 0u32;
    for (split, split_patients, [normal, abnormal]) in
        [("train", 587, [(321, 673), (271, 599)]), ("valid", 132, [(68, 148), (67, 140)])]
    {
        // The first patients have a second study, of the other label.
        let both = normal.0 + abnormal.0 - split_patients;
        let (mut films, mut labels) = (String::new(), String::new());
        for (label, (studies, images), first) in
            [("negative", normal, patients), ("positive", abnormal, patients + normal.0 - both)]
        {
            for study in 0..studies {
                let is_second = label == "positive" && study < both;
                let (patient, number) = if is_second { (patients + study, 2) } else { (first + study, 1) };
                let folder = format!("MURA-v1.1/{split}/XR_HUMERUS/patient{:05}/study{number}_{label}/", patient + 1);
                labels += &format!("{folder},{}\n", u8::from(label == "positive"));
                for image in 0..images / studies + usize::from(study < images % studies) {
                    let path = format!("{folder}image{}.png", image + 1);
                    let film = fixture.root().join(&path);
                    fs::create_dir_all(film.parent().unwrap()).unwrap();
                    let bytes = image_number.to_le_bytes();
                    GrayImage::from_fn(4, 3, |x, y| Luma([bytes[x as usize] ^ y as u8])).save(film).unwrap();
                    image_number += 1;
                    films += &format!("{path}\n");
                }
            }
        }
        patients += split_patients;
        fixture.file(format!("MURA-v1.1/{split}_image_paths.csv"), films);
        fixture.file(format!("MURA-v1.1/{split}_labeled_studies.csv"), labels);
    }
}

#[test]
fn a_tree_with_muras_names_gives_muras_counts() {
    let fixture = Fixture::new();
    mura_humerus(&fixture);
    let forks: Vec<PathBuf> = [
        "MURA-v1.1/._train",
        "MURA-v1.1/train/XR_HUMERUS/patient00001/._study1_negative",
        "MURA-v1.1/valid/XR_HUMERUS/patient00600/study1_negative/._image1.png",
    ]
    .map(|path| fixture.file(path, b"\0\x05\x16\x07"))
    .into();

    let base = fixture.root();
    for root in [base.clone(), base.join("MURA-v1.1"), base.join("MURA-v1.1/../MURA-v1.1")] {
        let index = index(&root).unwrap();
        split::assert_disjoint(&index).unwrap();
        let summary = index.summary();
        assert_eq!(
            (summary.layout, summary.studies, summary.views, summary.patients),
            (Layout::Mura, 727, 1560, Some(719))
        );
        let split = |studies, views, patients, positive_studies, positive_views| SplitSummary {
            studies,
            views,
            patients: Some(patients),
            positive_studies,
            positive_views,
        };
        assert_eq!(summary.splits[&Split::Train], split(592, 1272, 587, 271, 599));
        assert_eq!(summary.splits[&Split::Valid], split(135, 288, 132, 67, 140));
        assert_eq!(summary.splits.len(), 2);
        assert!(index.skipped.iter().all(|skipped| skipped.reason == SkipReason::ResourceFork));
        assert_eq!(index.skipped.len(), forks.len());
        assert_eq!(index.companions.len(), 4);
        assert_eq!(index.warnings, []);
        assert!(index.official_split);
        assert_eq!((summary.labels[&Label::Normal].views, summary.labels[&Label::Abnormal].views), (821, 739));
        assert_eq!(summary.parts["XR_HUMERUS"].studies, 727);
        assert_eq!(summary.views_per_study.iter().map(|(views, studies)| views * studies).sum::<usize>(), 1560);
    }

    let part = index(base.join("MURA-v1.1/valid/XR_HUMERUS")).unwrap();
    assert_eq!(part.summary().splits.keys().collect::<Vec<_>>(), [&Split::Valid]);
    assert_eq!((part.studies.len(), part.studies[0].part.as_deref()), (135, Some("XR_HUMERUS")));
    assert_eq!(index(base.join("MURA-v1.1/train")).unwrap().studies.len(), 592);
}

#[test]
fn several_parts_are_indexed_and_a_patient_is_one_group_in_all_of_them() {
    let fixture = Fixture::new();
    for part in ["XR_HUMERUS", "XR_WRIST"] {
        fixture.film(format!("train/{part}/patient00001/study1_positive/image1.png"));
        fixture.film(format!("train/{part}/patient00002/study1_negative/image1.png"));
    }
    fixture.film("valid/XR_WRIST/patient00003/study1_negative/image1.png");
    let both = index(fixture.root()).unwrap();
    assert_eq!((both.studies.len(), both.summary().patients), (5, Some(3)));
    split::assert_disjoint(&both).unwrap();
    fixture.film("valid/XR_ELBOW/patient00002/study1_negative/image1.png");
    assert!(split::assert_disjoint(&index(fixture.root()).unwrap()).is_err());
}

#[test]
fn every_file_becomes_a_view_a_companion_or_a_reason() {
    let fixture = Fixture::new();
    let film = fs::read(fixture.folder.path().join("film.png")).unwrap();
    let study = "train/XR_HUMERUS/patient00001/study1_positive";
    fixture.film(format!("{study}/image1.png"));
    let mut jpeg = std::io::Cursor::new(Vec::new());
    image::open(fixture.folder.path().join("film.png")).unwrap().write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
    let jpeg = jpeg.into_inner();
    fixture.file(format!("{study}/whole.jpeg"), &jpeg);
    fixture.file(format!("{study}/cut.jpg"), &jpeg[..jpeg.len() - 30]);
    fixture.file(format!("{study}/cut.png"), &film[..film.len() - 5]);
    fixture.file(format!("{study}/empty.png"), "");
    fixture.file(format!("{study}/text.png"), "no picture");
    fixture.file(format!("{study}/._image1.png"), "fork");
    fixture.file(format!("{study}/.DS_Store"), "desktop");
    fixture.file("train/.cache/image1.png", &film);
    fixture.film("train/XR_HUMERUS/patient00001/study2/image1.png");
    fixture.film("test/XR_HUMERUS/patient00002/study1_positive/image1.png");
    fixture.film("extra/figure.png");
    fixture.file("README.txt", "about");
    fixture.file("valid_image_paths.csv", "");
    fixture.file("phantom.json", "{}");
    fixture.film(format!("truth/{study}/image1_mask.png"));
    fixture.file(format!("truth/{study}/image1.json"), "{}");

    let index = index(fixture.root()).unwrap();
    let reason = |path: &str| fixture.reason(&index, path);
    let within = |name: &str| fixture.reason(&index, &format!("{study}/{name}"));
    assert!(matches!(within("cut.png"), SkipReason::Picture(Flaw::Truncated(_))));
    assert!(matches!(within("cut.jpg"), SkipReason::Picture(Flaw::Truncated(_))));
    assert_eq!(within("empty.png"), SkipReason::Picture(Flaw::Empty));
    assert_eq!(within("text.png"), SkipReason::Picture(Flaw::NotAnImage));
    assert_eq!(within("._image1.png"), SkipReason::ResourceFork);
    assert_eq!(within(".DS_Store"), SkipReason::Hidden);
    assert_eq!(reason("train/.cache/image1.png"), SkipReason::Hidden);
    assert_eq!(reason("train/XR_HUMERUS/patient00001/study2/image1.png"), SkipReason::Unlabeled);
    assert_eq!(reason("test/XR_HUMERUS/patient00002/study1_positive/image1.png"), SkipReason::NoSplit);
    assert_eq!(reason("extra/figure.png"), SkipReason::OutsideLayout);
    assert_eq!(reason("README.txt"), SkipReason::Picture(Flaw::NotAnImage));
    assert_eq!(index.companions.len(), 4);
    assert_eq!((index.studies.len(), index.summary().views), (1, 2));

    let below = WalkDir::new(fixture.root()).into_iter().flatten().filter(|entry| entry.file_type().is_file()).count();
    assert_eq!(2 + index.skipped.len() + index.companions.len(), below);
    assert!(index.skipped.is_sorted_by_key(|skipped| &skipped.path));
}

#[test]
fn a_phantoms_mask_is_found_from_any_root_and_is_no_film() {
    let fixture = Fixture::new();
    fixture.film("train/XR_HUMERUS/patient00001/study1_positive/image1.png");
    fixture.film("train/XR_HUMERUS/patient00001/study1_positive/image2.png");
    let mask = fixture.film("truth/train/XR_HUMERUS/patient00001/study1_positive/image1_mask.png");
    for root in ["", "train", "train/XR_HUMERUS", "train/XR_HUMERUS/patient00001/study1_positive"] {
        let index = index(fixture.root().join(root)).unwrap();
        let [study] = &index.studies[..] else { panic!("{index:?}") };
        assert_eq!(study.id, "train/XR_HUMERUS/patient00001/study1");
        let masks: Vec<_> = study.views.iter().map(|view| view.mask.clone()).collect();
        assert_eq!(masks, [Some(mask.clone()), None], "{root}");
        let region = fracture_mask(&study.views[0]).unwrap().unwrap();
        assert_eq!(region.dimensions(), (24, 16));
        assert!(region.pixels().all(|pixel| matches!(pixel.0[0], 0 | 255)));
        assert!(fracture_mask(&study.views[1]).unwrap().is_none());
    }
    assert!(matches!(index(fixture.root().join("truth")), Err(Error::NoFilms { .. })));
}

#[test]
fn folders_without_films_are_errors_that_say_what_was_looked_for() {
    let fixture = Fixture::new();
    let message = |path: &Path| {
        let message = index(path).unwrap_err().to_string();
        assert_eq!(message.lines().count(), 1, "{message}");
        message
    };
    assert!(message(&fixture.root()).contains("No such file"));
    assert!(message(&fixture.folder.path().join("film.png")).contains("this is a file"));
    let empty = fixture.folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert!(message(&empty).ends_with("the folder is empty"));
    for n in 0..12 {
        fixture.file(format!("notes/{n}.txt"), "text");
    }
    let text = message(&fixture.root());
    assert!(
        text.contains("MURA") && text.contains("FracAtlas") && text.contains("12 files (12 not an image)"),
        "{text}"
    );
    fixture.film("pictures/one.png");
    assert!(message(&fixture.root()).contains("1 outside the layout"));
    fixture.file("train/XR_HUMERUS/patient00001/study1_positive/image1.png", "");
    assert!(message(&fixture.root()).contains("1 empty"));
}

#[test]
fn two_layouts_in_one_folder_are_not_guessed_at() {
    let fixture = Fixture::new();
    fixture.film("train/XR_HUMERUS/patient00001/study1_positive/image1.png");
    fixture.film("images/Fractured/IMG0000001.jpg");
    let error = index(fixture.root()).unwrap_err();
    assert!(matches!(error, Error::Layout { .. }), "{error}");
}

#[test]
fn annotations_that_cannot_be_read_are_reported_and_cost_no_film() {
    let fixture = Fixture::new();
    fixture.film("images/Fractured/IMG0000001.jpg");
    fixture.film("images/Fractured/picture.jpg");
    fixture.file("Annotations/COCO JSON/masks.json", "{\"images\": [");
    let index = index(fixture.root()).unwrap();
    assert_eq!(index.studies.len(), 1);
    assert!(matches!(fixture.reason(&index, "Annotations/COCO JSON/masks.json"), SkipReason::Annotations(_)));
    assert_eq!(fixture.reason(&index, "images/Fractured/picture.jpg"), SkipReason::NoNumber);
    assert!(index.companions.is_empty());
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_a_loop_ends() {
    let fixture = Fixture::new();
    fixture.film("store/patient00001/study1_positive/image1.png");
    let root = fixture.folder.path().join("linked");
    fs::create_dir_all(root.join("valid/XR_HUMERUS")).unwrap();
    std::os::unix::fs::symlink(fixture.root().join("store/patient00001"), root.join("valid/XR_HUMERUS/patient00001"))
        .unwrap();
    std::os::unix::fs::symlink(&root, root.join("valid/again")).unwrap();
    std::os::unix::fs::symlink("nowhere", root.join("valid/broken")).unwrap();
    let index = index(&root).unwrap();
    assert_eq!(index.studies.len(), 1);
    assert_eq!(index.skipped.iter().filter(|it| matches!(it.reason, SkipReason::Unreadable(_))).count(), 2);
}

#[test]
fn fracatlas_is_split_by_whole_blocks_with_its_boxes_on_the_films() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/fracatlas-upper-limb");
    if !root.is_dir() {
        println!("skipped: {} is not there", root.display());
        return;
    }
    let index = index(&root).unwrap();
    split::assert_disjoint(&index).unwrap();
    let summary = index.summary();
    println!("{summary}");
    assert_eq!(
        (summary.layout, summary.studies, summary.views, summary.patients),
        (Layout::FracAtlas, 1092, 1092, None)
    );
    assert!(summary.skipped.is_empty());
    assert_eq!(index.companions.len(), 2);
    assert!(!index.official_split);
    let contradiction = summary.warnings.iter().find(|it| it.kind == WarningKind::ConflictingLabel).unwrap();
    assert_eq!(contradiction.paths, [root.join("images/Fractured/IMG0003298.jpg")]);
    assert_eq!((summary.tags["hardware"], summary.tags["multiscan"]), (14, 88));
    let sizes = summary.sizes.as_ref().unwrap();
    assert_eq!((sizes.width, sizes.height), ([373, 373, 454], [214, 454, 454]));

    let (train, valid) = (&summary.splits[&Split::Train], &summary.splits[&Split::Valid]);
    assert_eq!(train.positive_studies + valid.positive_studies, 279);
    let share = valid.studies as f64 / 1092.0;
    assert!((share - 0.25).abs() < 0.02, "{share}");
    let rate = |split: &SplitSummary| split.positive_studies as f64 / split.studies as f64;
    assert!((rate(train) - rate(valid)).abs() < 0.02, "{} {}", rate(train), rate(valid));

    // Blocks are contiguous: in the order of image numbers a group comes back only where a copy ties two blocks
    // together.
    let mut groups: Vec<&str> = index.studies.iter().map(|study| study.group.as_str()).collect();
    assert!(index.studies.is_sorted_by_key(|study| &study.id));
    groups.dedup();
    let blocks = groups.len();
    groups.sort_unstable();
    groups.dedup();
    assert!(blocks - groups.len() <= index.copies.len(), "{blocks} blocks, {} groups", groups.len());
    assert!((35..=55).contains(&blocks), "{blocks}");

    // Every fractured film has a box inside it; the outline's area is the one that COCO states.
    let annotations = fs::read(root.join("Annotations/COCO JSON/COCO_fracture_masks.json")).unwrap();
    let annotations: serde_json::Value = serde_json::from_slice(&annotations).unwrap();
    let stated: f64 =
        annotations["annotations"].as_array().unwrap().iter().map(|it| it["area"].as_f64().unwrap()).sum();
    let mut filled = 0;
    for study in &index.studies {
        let view = &study.views[0];
        assert_eq!(view.findings.is_empty(), study.label == Label::Normal, "{}", study.id);
        let Some(mask) = fracture_mask(view).unwrap() else {
            continue;
        };
        for finding in &view.findings {
            let [x, y, width, height] = finding.bbox;
            assert!(x >= -1.0 && x + width <= mask.width() as f32 + 1.0, "{}", study.id);
            assert!(y >= -1.0 && y + height <= mask.height() as f32 + 1.0, "{}", study.id);
        }
        assert!(mask.pixels().any(|pixel| pixel.0[0] == 255), "{}", study.id);
        filled += mask.pixels().filter(|pixel| pixel.0[0] == 255).count();
    }
    assert!((filled as f64 / stated - 1.0).abs() < 0.03, "{filled} {stated}");
}

#[test]
fn every_trap_that_is_no_whole_picture_is_skipped_at_indexing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/fracatlas-traps");
    if !root.is_dir() {
        println!("skipped: {} is not there", root.display());
        return;
    }
    let index = index(&root).unwrap();
    let traps: std::collections::BTreeMap<PathBuf, String> =
        serde_json::from_slice(&fs::read(root.join("traps.json")).unwrap()).unwrap();
    for (path, trap) in traps {
        let skipped = index.skipped.iter().find(|skipped| skipped.path == root.join(&path));
        assert_eq!(
            skipped.is_some_and(|skipped| skipped.reason.kind() == "truncated"),
            trap == "truncated",
            "{path:?}"
        );
        assert_eq!(decode(root.join(&path)).is_err(), trap == "truncated", "{path:?}");
    }
}

#[test]
fn a_folder_laid_out_like_no_data_set_still_gives_its_films() {
    let fixture = Fixture::new();
    let films = [fixture.film("a/one.png"), fixture.film("b/two.png")];
    fixture.file("notes.txt", "text");
    let (found, skipped) = loose_films(fixture.root()).unwrap();
    assert_eq!(found, films);
    assert_eq!(skipped.len(), 1);
    fs::remove_dir_all(fixture.root().join("a")).unwrap();
    fs::remove_dir_all(fixture.root().join("b")).unwrap();
    assert!(matches!(loose_films(fixture.root()), Err(Error::NoFilms { .. })));
}
