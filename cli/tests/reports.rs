//! Inputs that others reported trouble with, where the folder of rebuilt reports lies beside the project.

use std::path::{Path, PathBuf};

use humerus::dataset::{self, AuditOptions, Index, IndexOptions, Layout, WarningKind};
use humerus::preprocess::{Doubt, Preprocess, decode, examine};
use humerus::{Label, Split, Study};

/// The folder of one report, or a message that the test is skipped.
fn report(case: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/reports").join(case);
    if !folder.is_dir() {
        eprintln!("skipped: the report {case} is not beside the project");
        return None;
    }
    Some(folder)
}

/// Compares every film of a report that `reference` names a picture for: right within so many levels.
fn compare(case: &str, levels: u8, films: usize, reference: impl Fn(&str) -> Option<String>) {
    let Some(folder) = report(case) else { return };
    let mut wrong = Vec::new();
    let mut count = 0;
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(reference) = reference(&name) else { continue };
        count += 1;
        let right = image::open(folder.join(reference)).unwrap().into_luma8();
        match decode(&path) {
            Ok(film) if film.dimensions() == right.dimensions() => {
                let off = film.as_raw().iter().zip(right.as_raw()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
                if off > levels {
                    wrong.push(format!("{case}/{name}: off by {off} levels"));
                }
            }
            Ok(film) => wrong.push(format!("{case}/{name}: {:?} pixels", film.dimensions())),
            Err(error) => wrong.push(error.to_string()),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(count, films, "films of {case}");
}

/// `NAME.reference.png` beside `NAME.jpg`.
fn beside(name: &str) -> Option<String> {
    Some(format!("{}.reference.png", name.strip_suffix(".jpg")?))
}

/// What `examine` doubts about a film of a report.
fn doubts(case: &str, name: &str) -> Option<Vec<Doubt>> {
    let folder = report(case)?;
    Some(examine(folder.join(name)).unwrap().1)
}

/// Why a film of a report is refused, in one line.
fn refusal(case: &str, name: &str) -> Option<String> {
    let folder = report(case)?;
    let message = decode(folder.join(name)).unwrap_err().to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    Some(message)
}

#[test]
fn a_look_up_table_of_fewer_bits_than_declared_is_scaled_by_what_it_holds_and_doubted() {
    compare("CASE_01", 1, 2, |name| name.ends_with(".dcm").then(|| "reference.png".to_owned()));
    let Some(narrow) = doubts("CASE_01", "agfa_lut_12_in_16.dcm") else { return };
    assert_eq!(narrow, [Doubt::LookUpTable]);
    assert_eq!(doubts("CASE_01", "same_lut_declared_12.dcm").unwrap(), []);
}

#[test]
fn the_first_value_of_a_look_up_table_has_the_sign_of_the_rescaled_values() {
    compare("CASE_02", 1, 2, |name| match name {
        "negative_first_explicit.dcm" => Some("reference.png".to_owned()),
        "first_40000_unsigned.dcm" => Some("reference_40000.png".to_owned()),
        _ => None,
    });
}

#[test]
fn a_photometric_interpretation_that_is_missing_or_in_small_letters_is_refused_in_clear_words() {
    let Some(missing) = refusal("CASE_07", "no_photometric.dcm") else { return };
    assert!(
        missing.ends_with(
            "DICOM without a photometric interpretation, so that it does not say whether 0 is black or white"
        ),
        "{missing}"
    );
    let small = refusal("CASE_07", "lower_case.dcm").unwrap();
    let words = "DICOM with photometric interpretation \"monochrome2\", expected capitals as in \"MONOCHROME2\"";
    assert!(small.ends_with(words), "{small}");
}

#[test]
fn twelve_bits_in_a_picture_of_sixteen_are_doubted_by_the_greys_that_the_film_uses() {
    let Some(folder) = report("CASE_12") else { return };
    let (film, doubts) = examine(folder.join("twelve_in_sixteen.png")).unwrap();
    assert_eq!((film.as_raw().iter().max(), doubts), (Some(&16), vec![Doubt::NearlyBlack]));
    assert_eq!(examine(folder.join("reference_stretched.png")).unwrap().1, []);
    let index = dataset::index(folder.join("set")).unwrap();
    let films: usize = index.studies.iter().map(|study| study.views.len()).sum();
    let index = index.audit_with(&AuditOptions { folder: None }, &mut |_| ()).unwrap();
    let warned: Vec<usize> =
        index.warnings.iter().filter(|it| it.kind == WarningKind::NearlyBlack).map(|it| it.paths.len()).collect();
    assert_eq!(warned, [films], "{:?}", index.warnings);
}

#[test]
fn lossless_jpeg_with_restarts_or_a_point_transform_is_the_picture_that_was_encoded() {
    compare("CASE_03", 0, 9, |name| {
        let name = name.strip_suffix(".dcm")?;
        Some(if name.ends_with("_transform2") { "reference_transform2.png" } else { "reference.png" }.to_owned())
    });
}

#[test]
fn jpeg_in_several_scans_with_any_sampling_is_libjpeg_turbos_picture() {
    compare("CASE_08", 2, 7, beside);
    compare("CASE_09", 2, 9, beside);
    compare("CASE_10", 2, 4, beside);
    compare("CASE_11", 2, 5, beside);
}

#[test]
fn lossless_differences_that_wrap_and_mislabelled_processes_decode() {
    compare("CASE_04", 0, 2, |name| name.ends_with(".dcm").then(|| "reference.png".to_owned()));
    compare("CASE_05", 1, 2, |name| {
        let what = if name.contains("_is_lossless") { "lossless" } else { "baseline" };
        name.ends_with(".dcm").then(|| format!("reference_{what}.png"))
    });
}

#[test]
fn pixel_data_of_unknown_representation_are_read() {
    compare("CASE_06", 0, 1, |name| name.ends_with(".dcm").then(|| "reference.png".to_owned()));
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
    assert!(matches!(dataset::index(root.join("sides")), Err(studies::Error::NoFilms { .. })));
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
        assert!(matches!(refused, studies::Error::Labels { .. }) && line.lines().count() == 1, "{line}");
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

#[test]
fn a_png_with_damaged_remarks_is_read_and_one_with_damaged_pixels_is_refused() {
    compare("CASE_13", 0, 4, |name| {
        let has_pixels = name.ends_with(".png") && !matches!(name, "reference.png" | "idat_crc_wrong.png");
        has_pixels.then(|| "reference.png".to_owned())
    });
    let Some(message) = refusal("CASE_13", "idat_crc_wrong.png") else { return };
    assert!(message.contains("CRC error") && message.contains("IDAT"), "{message}");
}

#[test]
fn flat_films_and_a_single_pixel_reach_the_network_as_numbers() {
    let Some(folder) = report("CASE_25") else { return };
    for (name, level) in [("flat_0.png", 0), ("flat_128.png", 128), ("flat_255.png", 255), ("one_pixel.png", 9)] {
        let film = decode(folder.join(name)).unwrap();
        assert!(film.as_raw().iter().all(|grey| *grey == level), "{name}");
        for window in [None, Some([1.0, 99.0])] {
            let preprocess = Preprocess { size: 64, window, ..Preprocess::default() };
            let batch = preprocess.load(&[folder.join(name)]).unwrap();
            assert!(bool::try_from(batch.isfinite().all()).unwrap(), "{name}");
        }
    }
}

#[test]
fn steep_and_shallow_rescaling_and_narrow_windows_are_what_a_viewer_shows() {
    compare("CASE_27", 1, 5, |name| {
        let reference = match name.strip_suffix(".dcm")? {
            "narrow_exact" => "reference_exact.png",
            "slope_window" => "reference_window.png",
            _ => "reference.png",
        };
        Some(reference.to_owned())
    });
}

#[test]
fn a_split_of_one_class_is_indexed_whole() {
    let Some(folder) = report("CASE_24") else { return };
    let index = dataset::index(folder.join("one_class")).unwrap();
    let count = |split, label| index.studies.iter().filter(|it| it.split == split && it.label == label).count();
    assert_eq!([Label::Abnormal, Label::Normal].map(|label| count(Split::Train, label)), [5, 5]);
    assert_eq!([Label::Abnormal, Label::Normal].map(|label| count(Split::Valid, label)), [0, 5]);
    assert!(index.skipped.is_empty(), "{:?}", index.skipped);
}
