//! Folders and tables that others reported trouble with, where the folder of rebuilt reports lies beside the project.

use std::path::{Path, PathBuf};

use humerus::dataset::{self, Index, IndexOptions, Layout, WarningKind};
use humerus::{Error, Label, Split, Study};

/// The folder of one report, or a message that the test is skipped.
fn report(case: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/reports").join(case);
    if !folder.is_dir() {
        eprintln!("skipped: the report {case} is not beside the project");
        return None;
    }
    Some(folder)
}

/// How many studies are normal and how many abnormal.
fn labels(index: &Index) -> [usize; 2] {
    Label::ALL.map(|label| index.studies.iter().filter(|study| study.label == label).count())
}

/// The studies of a report, each film's label by the last two names of its path.
fn label_of<'a>(index: &'a Index, end: &str) -> &'a Study {
    index.studies.iter().find(|study| study.views[0].path.ends_with(end)).unwrap_or_else(|| panic!("no {end}"))
}

#[test]
fn tables_of_excel_and_of_other_encodings_are_read_and_names_match_in_either_unicode_form() {
    for (case, folder) in [
        ("CASE_14", "sep_line"),
        ("CASE_14", "sep_line_quoted"),
        ("CASE_14", "without"),
        ("CASE_15", ""),
        ("CASE_16", ""),
        ("CASE_18", "filename"),
        ("CASE_18", "image_path"),
    ] {
        let Some(root) = report(case) else { return };
        let index = dataset::index(root.join(folder)).unwrap();
        assert_eq!((index.layout, labels(&index)), (Layout::Manifest, [3, 3]), "{case} {folder}");
        assert_eq!((&index.warnings[..], &index.skipped[..]), (&[][..], &[][..]), "{case} {folder}");
        for study in &index.studies {
            // Odd numbers are the abnormal ones.
            let name = study.views[0].path.file_stem().unwrap().to_str().unwrap();
            assert_eq!(study.label.index(), name[name.len() - 1..].parse::<usize>().unwrap() % 2, "{case} {name}");
        }
        let patients = index.summary().patients;
        assert_eq!(patients, if case == "CASE_18" { None } else { Some(6) }, "{case}");
    }
    let Some(root) = report("CASE_18") else { return };
    let index = dataset::index(root.join("nih")).unwrap();
    assert_eq!((labels(&index), index.summary().patients), ([3, 3], Some(6)));
    assert_eq!(label_of(&index, "nih/0.png").label, Label::Abnormal);
    assert_eq!(label_of(&index, "nih/1.png").label, Label::Normal);
}

#[test]
fn folders_above_the_class_that_bear_a_weak_word_do_not_decide() {
    let Some(root) = report("CASE_17") else { return };
    for (name, wanted) in [("contrast", [6, 6]), ("folds", [8, 8])] {
        let index = dataset::index(root.join(name)).unwrap();
        assert_eq!((index.layout, labels(&index)), (Layout::Classes, wanted), "{name}");
        for study in &index.studies {
            let class = study.views[0].path.parent().unwrap();
            assert!(class.ends_with(study.label.name()), "{}", class.display());
        }
    }
    let classes = IndexOptions { layout: Some(Layout::Classes), ..IndexOptions::default() };
    assert_eq!(labels(&dataset::index_with(root.join("sides"), &classes).unwrap()), [4, 0]);
    assert!(matches!(dataset::index(root.join("sides")), Err(Error::NoFilms { .. })));
    // What archives and systems leave beside films is skipped, each with its reason.
    let Some(root) = report("CASE_21") else { return };
    assert_eq!(labels(&dataset::index(&root).unwrap()), [3, 3]);
}

#[test]
fn muras_tables_with_other_prefixes_cause_no_false_warning_and_a_missing_train_split_is_called_so() {
    let Some(root) = report("CASE_22") else { return };
    for name in ["plain", "dot_slash", "absolute", "no_prefix", "backslash", "capital", "valid_only"] {
        for root in [root.join(name), root.join(name).join("MURA-v1.1")] {
            let index = dataset::index(&root).unwrap();
            assert_eq!((index.layout, &index.warnings[..]), (Layout::Mura, &[][..]), "{name}");
            let summary = index.summary();
            let studies = |split| summary.splits.get(&split).map_or(0, |it| it.studies);
            let wanted = if name == "valid_only" { (0, 12) } else { (8, 8) };
            assert_eq!((studies(Split::Train), studies(Split::Valid)), wanted, "{name}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_humerus"))
        .arg("train")
        .arg(root.join("valid_only"))
        .args(["--size", "64", "--epochs", "1", "--weights", "random", "--device", "cpu", "--cache", "none"])
        .arg("--out")
        .arg(folder.path().join("run"))
        .env("HUMERUS_CACHE", env!("CARGO_TARGET_TMPDIR"))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.lines().count() == 1 && said.contains("no train split") && said.contains("12 in valid"), "{said}");
}

#[test]
fn a_row_that_means_four_patients_is_refused_and_numbers_without_their_zeros_find_their_films() {
    let Some(root) = report("CASE_26") else { return };
    for name in ["same_names", "same_names_two_rows"] {
        let refused = dataset::index(root.join(name)).unwrap_err();
        let line = refused.to_string();
        assert!(matches!(refused, Error::Labels { .. }) && line.lines().count() == 1, "{line}");
        let said = "line 2 says IM0001.dcm, which could be P1/IM0001.dcm, P2/IM0001.dcm and 2 more";
        assert!(line.contains("labels.csv") && line.contains(said), "{line}");
    }
    for (name, first, example) in [
        ("lost_zeros", "000012", "line 2 says 12, the first match is 000012"),
        ("floated", "1012", "line 2 says 1012.0, the first match is 1012"),
    ] {
        let index = dataset::index(root.join(name)).unwrap();
        assert_eq!((index.layout, labels(&index)), (Layout::Dicom, [2, 2]), "{name}");
        assert_eq!(label_of(&index, &format!("{first}/IM0001.dcm")).label, Label::Normal);
        let told: Vec<&str> = index
            .warnings
            .iter()
            .filter(|it| it.kind == WarningKind::LooseMatch)
            .map(|it| it.message.as_str())
            .collect();
        assert!(told.len() == 1 && told[0].contains(example) && told[0].starts_with("4 rows"), "{told:?}");
    }
}
