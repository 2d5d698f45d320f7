//! Folders of any shape: indexing them ends in an index that names every file or in an error of one line, never in a
//! panic or a hang.
//!
//! Seeded: the same numbers give the same folders, a fiftieth of `HUMERUS_FUZZ_CASES` (default 3,000), of
//! `HUMERUS_FUZZ_SEED`.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use humerus_studies as dataset;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use testing::fuzz::{CASES, MAX_TIME, change, number, own_files, watched};

/// Names that mean something to a layout, and some that mean nothing.
const NAMES: [&str; 38] = [
    "train",
    "valid",
    "truth",
    "images",
    "Fractured",
    "Non_fractured",
    "Annotations",
    "COCO JSON",
    "XR_HUMERUS",
    "XR_ELBOW",
    "XR_",
    "patient00001",
    "patient00002",
    "patient",
    "study1_positive",
    "study1_negative",
    "study2_negative",
    "study",
    "study1_",
    "image1.png",
    "image2.png",
    "IMG0000001.jpg",
    "IMG0000002.jpg",
    "IMG.jpg",
    "._image1.png",
    ".hidden",
    "dataset.csv",
    "labels.csv",
    "train_image_paths.csv",
    "train_labeled_studies.csv",
    "valid_labeled_studies.csv",
    "phantom.json",
    "a",
    "größe.dcm",
    "a b.PNG",
    "positive",
    "normal",
    "\u{202e}x.png",
];

/// Lines that a table may have, sense or not.
const LINES: [&str; 17] = [
    "path,label",
    "path,label,study,patient,view,split",
    "image_id,hand,leg,hip,shoulder,fractured",
    "train/XR_HUMERUS/patient00001/study1_positive/,1",
    "train/XR_HUMERUS/patient00001/study1_positive/image1.png",
    "IMG0000001.jpg,0,0,0,1,1",
    "image1.png,abnormal,s,p,AP,train",
    "image1.png,1",
    "a.dcm,normal",
    "größe.dcm,0",
    "../../etc/passwd,1",
    "\"",
    "\"a\nb\",1",
    ",,,,",
    "",
    "a;b;c",
    "{\"images\":[{\"id\":1,\"file_name\":\"IMG0000001.jpg\"}],\
     \"annotations\":[{\"image_id\":1,\"bbox\":[1,2,-3,1e38]}]}",
];

/// Folders of the layouts that there are, and names of their films.
const LAYOUTS: [(&[&[&str]], &[&str]); 5] = [
    (
        &[
            &["train", "valid"],
            &["XR_HUMERUS", "XR_ELBOW"],
            &["patient00001", "patient00002"],
            &["study1_positive", "study1_negative"],
        ],
        &["image1.png", "image2.png"],
    ),
    (&[&["images"], &["Fractured", "Non_fractured"]], &["IMG0000001.jpg", "IMG0000002.jpg", "IMG0000950.jpg"]),
    (&[&["positive", "normal", "a"]], &["image1.png", "IMG0000001.jpg", "größe.dcm"]),
    (
        &[&["0", "1", "yes", "7", "test"], &["abnormal", "normal", "0", "1"], &["2", "no", "a"]],
        &["image1.png", "IMG0000001.jpg", "two\nlines.png"],
    ),
    (&[], &["image1.png", "labels.csv", "größe.dcm", "a.dcm"]),
];

/// A tree of folders and files, nearly one of the layouts or none, and the files in it.
fn grow(root: &Path, files: &[Vec<u8>], rng: &mut ChaCha8Rng) -> BTreeSet<PathBuf> {
    let mut grown = BTreeSet::new();
    let (folders, films) = LAYOUTS.choose(rng).unwrap();
    let order = rng.random_range(0.3..1.0);
    for _ in 0..rng.random_range(0..24) {
        let mut path = root.to_owned();
        if rng.random_bool(order) {
            path.extend(folders.iter().map(|names| names.choose(rng).unwrap()));
            path.push(films.choose(rng).unwrap());
        } else {
            path.extend((0..rng.random_range(0..9)).map(|_| *NAMES.choose(rng).unwrap()));
            path.push(NAMES.choose(rng).unwrap());
        }
        if std::fs::create_dir_all(path.parent().unwrap()).is_err() || path.is_dir() {
            continue;
        }
        let is_table = path.extension().is_some_and(|it| it == "csv" || it == "json") || rng.random_bool(0.1);
        let mut bytes = if is_table {
            (0..rng.random_range(0..9)).flat_map(|_| format!("{}\n", LINES.choose(rng).unwrap()).into_bytes()).collect()
        } else {
            files.choose(rng).unwrap().clone()
        };
        if rng.random_bool(0.3) {
            change(&mut bytes, files.choose(rng).unwrap(), rng);
        }
        if std::fs::write(&path, &bytes).is_ok() {
            grown.insert(path);
        }
    }
    grown
}

#[test]
fn no_folder_panics_the_index_and_no_file_is_lost_in_it() {
    let files = own_files();
    let count = number("HUMERUS_FUZZ_CASES", CASES) / 50;
    let mut rng = ChaCha8Rng::seed_from_u64(number("HUMERUS_FUZZ_SEED", 1) as u64);
    watched(MAX_TIME, |_, _| {
        let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
        for case in 0..count {
            let folder = tempfile::tempdir().unwrap();
            let grown = grow(folder.path(), &files, &mut rng);
            let result =
                catch_unwind(AssertUnwindSafe(|| (dataset::index(folder.path()), dataset::loose_films(folder.path()))));
            let Ok((index, loose)) = result else { panic!("folder {case} panics: {grown:?}") };
            let outcome = match index {
                Ok(index) => {
                    let views = index.studies.iter().flat_map(|study| &study.views);
                    let mut met: BTreeSet<PathBuf> = views.map(|view| view.path.clone()).collect();
                    met.extend(index.skipped.iter().map(|skipped| skipped.path.clone()));
                    met.extend(index.companions.iter().cloned());
                    let lost: Vec<&PathBuf> = grown.difference(&met).collect();
                    assert!(lost.is_empty(), "folder {case} of {grown:?} loses {lost:?}");
                    format!("{:?}", index.layout)
                }
                Err(error) => {
                    let message = error.to_string();
                    assert_eq!(message.lines().count(), 1, "{message}");
                    if loose.is_ok() { "loose films".to_owned() } else { "no films".to_owned() }
                }
            };
            *outcomes.entry(outcome).or_default() += 1;
        }
        println!("{count} folders: {outcomes:?}");
    });
}
