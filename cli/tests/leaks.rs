//! What training refuses because of what the audit finds.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use humerus::dataset::{self, AuditOptions, Index, Leak, WarningKind};
use humerus::preprocess::decode;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, resize};
use serde_json::Value;
use testing::TestSet;

fn audited(root: &Path) -> Index {
    let nowhere = AuditOptions { folder: None };
    dataset::index(root).unwrap().audit_with(&nowhere, &mut |_| ()).unwrap()
}

#[test]
fn every_trap_is_found() {
    let Some(root) = testing::shared("fracatlas-traps") else {
        return;
    };
    let traps: BTreeMap<PathBuf, String> = serde_json::from_slice(&fs::read(root.join("traps.json")).unwrap()).unwrap();
    let output = humerus(&["index", root.to_str().unwrap(), "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let has = |list: &Value, path: &Path| list.as_array().unwrap().iter().any(|it| it == path.to_str().unwrap());
    for (path, trap) in &traps {
        let path = root.join(path);
        let is_found = if trap == "truncated" {
            let is_this = |it: &&Value| it["path"] == path.to_str().unwrap();
            let skipped = report["skipped"].as_array().unwrap().iter().find(is_this);
            skipped.is_some_and(|it| it["reason"].as_str().unwrap().starts_with("truncated"))
        } else {
            let warnings = report["warnings"].as_array().unwrap();
            warnings.iter().any(|it| it["kind"] == trap.as_str() && has(&it["paths"], &path))
        };
        assert!(is_found, "{trap}: {}", path.display());
    }
    let kinds: Vec<&str> =
        report["warnings"].as_array().unwrap().iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, [["conflicting-duplicate"; 4].as_slice(), &["exif-rotated"]].concat());
}

fn humerus(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_humerus"))
        .args(arguments)
        .env("HUMERUS_CACHE", std::env::temp_dir().join("humerus-test-index"))
        .output()
        .unwrap()
}

#[test]
fn each_leak_is_warned_of_and_refused_by_name_unless_it_is_allowed() {
    let set = TestSet::of_ten_patients();
    assert_eq!(audited(set.root()).warnings, []);
    dataset::refuse_leaks(&audited(set.root()), &[]).unwrap();

    let near = {
        let film = decode(set.root().join("train/XR_HUMERUS/patient00000/study1_negative/image1.png")).unwrap();
        let mut bytes = Vec::new();
        let larger = resize(&film, 96, 72, FilterType::Triangle);
        JpegEncoder::new_with_quality(&mut bytes, 90).encode_image(&larger).unwrap();
        bytes
    };
    type Spoil<'a> = &'a dyn Fn(&TestSet);
    let cases: [(WarningKind, Leak, Spoil); 4] = [
        (WarningKind::DuplicateAcrossSplits, Leak::DuplicatesAcrossSplits, &|set| {
            drop(set.film("valid/XR_HUMERUS/patient00006/study1_negative/image2.png", 0))
        }),
        (WarningKind::NearDuplicateAcrossSplits, Leak::DuplicatesAcrossSplits, &|set| {
            drop(set.file("valid/XR_HUMERUS/patient00006/study1_negative/image2.png", &near))
        }),
        (WarningKind::PatientInTwoSplits, Leak::PatientInTwoSplits, &|set| {
            drop(set.film("valid/XR_HUMERUS/patient00001/study2_negative/image1.png", 70))
        }),
        (WarningKind::StudyWithTwoLabels, Leak::StudyWithTwoLabels, &|set| {
            drop(set.film("train/XR_HUMERUS/patient00001/study1_negative/image1.png", 71))
        }),
    ];
    for (kind, leak, spoil) in cases {
        let set = TestSet::of_ten_patients();
        spoil(&set);
        let quick = dataset::index(set.root()).unwrap();
        let index = audited(set.root());
        assert_eq!(index.warnings.len(), 1, "{:?}", index.warnings);
        assert_eq!(index.warnings[0].kind, kind);
        for index in [&quick, &index] {
            let refusal = dataset::trainable(index, &[]).unwrap_err();
            assert!(matches!(refusal, studies::Error::Split(_)));
            assert!(refusal.to_string().contains(&format!("--allow {leak}")), "{refusal}");
            dataset::trainable(index, &[leak]).unwrap();
        }
        let others: Vec<Leak> = Leak::ALL.into_iter().filter(|other| *other != leak).collect();
        assert!(dataset::trainable(&index, &others).is_err());
        let run = set.root().join("run");
        let output =
            humerus(&["train", set.root().to_str().unwrap(), "--out", run.to_str().unwrap(), "--size", "64", "--json"]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
        assert!(error.contains(&format!("--allow {leak}")) && !run.exists(), "{error}");
    }
}

#[test]
fn training_goes_on_once_a_leak_is_allowed() {
    let set = TestSet::of_ten_patients();
    set.film("valid/XR_HUMERUS/patient00006/study1_negative/image2.png", 0);
    let run = set.root().join("run");
    let [data, run] = [set.root(), &run].map(|path| path.to_str().unwrap());
    let train = [
        "train",
        data,
        "--out",
        run,
        "--size",
        "64",
        "--epochs",
        "1",
        "--weights",
        "random",
        "--device",
        "cpu",
        "--cache",
        "none",
        "--json",
    ];
    let allowed = humerus(&[&train[..], &["--allow", "duplicates-across-splits"]].concat());
    assert!(allowed.status.success(), "{}", String::from_utf8_lossy(&allowed.stderr));
    let report: Value = serde_json::from_slice(&allowed.stdout).unwrap();
    assert_eq!(report["held_out"]["studies"], 4);
    let unknown = humerus(&[&train[..], &["--allow", "everything"]].concat());
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("patient-in-two-splits"));
}
