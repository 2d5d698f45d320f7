//! What a folder's name, a column or a cell of a table means: the nearest plain word, the usual names of columns, one
//! film and never a guess between two.

mod support;

use std::collections::BTreeMap;
use std::fs;

use film::dicom_header;
use humerus_studies::{self as dataset, IndexOptions, Layout, WarningKind, split};
use humerus_studies::{Error, Label, Split, Study};
use support::{dicom_set, mura, one_line, study, warned};
use testing::TestSet;

fn options(layout: Layout) -> IndexOptions {
    IndexOptions { layout: Some(layout), ..IndexOptions::default() }
}

#[test]
fn the_nearest_folder_that_speaks_plainly_decides() {
    // Where a film lies, and what it is: none where the path is refused.
    for (folder, label) in [
        ("0/abnormal", Some(Label::Abnormal)),
        ("1/normal", Some(Label::Normal)),
        ("yes/normal", Some(Label::Normal)),
        ("no/contrast/fractured", Some(Label::Abnormal)),
        ("true/positive", Some(Label::Abnormal)),
        ("positive_side_views/normal", Some(Label::Normal)),
        ("abnormal/left", Some(Label::Abnormal)),
        ("abnormal/1", Some(Label::Abnormal)),
        ("negative/normal", Some(Label::Normal)),
        ("normal/old/abnormal", None),
        ("abnormal/0", None),
        ("normal/yes", None),
        ("0/1", None),
        ("fractured/no_finding", None),
    ] {
        let set = TestSet::new();
        let film = set.film(&format!("{folder}/film.png"), 1);
        // Both labels are there anyway.
        set.film("normal/n.png", 2);
        set.film("abnormal/a.png", 3);
        match (dataset::index(set.root()), label) {
            (Ok(index), Some(label)) => {
                let study = index.studies.iter().find(|study| study.views[0].path == film).unwrap();
                assert_eq!((index.layout, study.label), (Layout::Classes, label), "{folder}");
            }
            (Err(refused), None) => {
                let line = one_line(refused);
                let said = format!("the path {folder}/film.png says both normal and abnormal; ");
                assert!(line.contains(&said), "{folder}: {line}");
            }
            (result, _) => panic!("{folder}: {result:?}"),
        }
    }
}

#[test]
fn folds_visits_and_the_readers_own_words_are_told_from_classes() {
    let set = TestSet::new();
    for n in 0..2 {
        for class in ["normal", "abnormal"] {
            set.film(&format!("{n}/{class}/f{n}.png"), n + if class == "normal" { 10 } else { 20 });
        }
    }
    let index = dataset::index(set.root()).unwrap();
    assert_eq!(index.studies.len(), 4);
    assert!(index.studies.iter().all(|it| it.id.split('/').nth(1) == Some(it.label.name())));

    // Patients by number, 0 and 1 among them.
    let set = TestSet::new();
    for n in 0..4 {
        set.film(&format!("normal/{n}/a.png"), n);
        set.film(&format!("abnormal/{n}/a.png"), 10 + n);
    }
    let index = dataset::index(set.root()).unwrap();
    assert_eq!(index.studies.iter().filter(|it| it.label == Label::Abnormal).count(), 4);
    assert_eq!(study(&index, "abnormal/0/a.png").label, Label::Abnormal);
    // Grades are not guessed at: two and three may mean anything.
    let set = TestSet::new();
    for n in 0..3 {
        set.film(&format!("{n}/a.png"), n);
    }
    assert!(one_line(dataset::index(set.root()).unwrap_err()).contains("say no label: 2"));
    // The reader's word goes before all others, above or below.
    let set = TestSet::new();
    set.film("tumour/normal/a.png", 1);
    set.film("normal/b.png", 2);
    set.film("0/tumour/c.png", 3);
    let positive = vec!["Tumour".to_owned()];
    let index = dataset::index_with(set.root(), &IndexOptions { positive, ..IndexOptions::default() }).unwrap();
    let labels: Vec<Label> = index.studies.iter().map(|study| study.label).collect();
    assert_eq!(labels, [Label::Abnormal, Label::Normal, Label::Abnormal]);
}

#[test]
fn a_split_counts_wherever_it_stands_in_the_path_and_two_are_refused() {
    for pattern in ["SPLIT/CLASS", "SPLIT/site/CLASS", "CLASS/SPLIT", "CLASS/site/SPLIT", "SPLIT/0/CLASS/x"] {
        let set = TestSet::new();
        for (n, split) in ["Train", "val"].into_iter().enumerate() {
            for (m, class) in ["normal", "abnormal"].into_iter().enumerate() {
                let folder = pattern.replace("SPLIT", split).replace("CLASS", class);
                set.film(&format!("{folder}/f.png"), (2 * n + m) as u32);
            }
        }
        let index = dataset::index(set.root()).unwrap();
        assert!(index.official_split, "{pattern}");
        let splits = index.summary().splits;
        assert_eq!((splits[&Split::Train].studies, splits[&Split::Valid].studies), (2, 2), "{pattern}");
        set.film("train/normal/valid/f.png", 9);
        let line = one_line(dataset::index(set.root()).unwrap_err());
        assert!(line.contains("train/normal/valid/f.png says two splits"), "{line}");
    }
}

#[test]
fn columns_go_by_their_usual_names() {
    let header = "Image Index,Finding Labels,Follow-up #,Patient ID,View Position\n";
    let nih = "a.png,Fracture|Edema,0,7,PA\nb.png,No Finding,0,7,AP\nc.png,Nodule,0,8,AP\n";
    let named = |name: &str, label: &str| format!("{name},{label},patient\na.png,1,7\nb.png,0,7\nc.png,1.0,8\n");
    let tables = [
        format!("{header}{nih}"),
        named("filename", "label"),
        named("image_path", "Label"),
        named("File Path", "labels"),
        named("image", "label"),
        named("path", "LABEL"),
    ];
    for table in tables {
        // Beside the table, and in a folder below, where names alone find them.
        for below in ["", "images/part 1/"] {
            let set = TestSet::new();
            for (n, name) in ["a", "b", "c"].into_iter().enumerate() {
                set.film(&format!("{below}{name}.png"), n as u32);
            }
            set.file("labels.csv", &table);
            for root in [set.root().to_owned(), set.root().join("labels.csv")] {
                let index = dataset::index(&root).unwrap_or_else(|error| panic!("{error}: {table}"));
                let labels: Vec<Label> = index.studies.iter().map(|study| study.label).collect();
                assert_eq!(index.layout, Layout::Manifest);
                assert_eq!(labels, [Label::Abnormal, Label::Normal, Label::Abnormal], "{table}");
                assert_eq!(index.summary().patients, Some(2), "{table}");
                assert_eq!((&index.warnings[..], &index.skipped[..]), (&[][..], &[][..]), "{table}");
            }
        }
    }
}

#[test]
fn a_row_that_could_mean_several_films_is_refused_and_one_that_is_written_otherwise_is_told_of() {
    let set = TestSet::new();
    for n in 0..4 {
        set.film(&format!("P{n}/IM1.png"), n);
    }
    set.file("labels.csv", "filename,label\r\nIM1.png,1\r\n");
    for layout in [Layout::Manifest, Layout::Dicom] {
        let refused = dataset::index_with(set.root(), &options(layout)).unwrap_err();
        assert!(matches!(refused, Error::Labels { .. }));
        let line = one_line(refused);
        let said = "line 2 says IM1.png, which could be P0/IM1.png, P1/IM1.png and 2 more";
        assert!(line.contains("labels.csv") && line.contains(said), "{line}");
        // By their paths they are told apart, whatever parts the names.
        set.file("labels.csv", "filename,label\nP0\\IM1.png,1\n./P1/IM1.png,0\nP2/IM1,1\nP3/IM1.png,0\n");
        let index = dataset::index_with(set.root(), &options(layout)).unwrap();
        assert_eq!((index.studies.len(), &index.warnings[..]), (4, &[][..]), "{layout}");
        set.file("labels.csv", "filename,label\nIM1.png,1\n");
    }
    // What a cell says stays on one line.
    set.file("labels.csv", "filename,label\n\"IM1\npng\",1\n");
    let line = one_line(dataset::index_with(set.root(), &options(Layout::Manifest)).unwrap_err());
    assert!(line.contains("line 2 says IM1\\npng, the folder has P0/IM1.png"), "{line}");
    // A side-car is no film: the name means one.
    set.file("P0/IM1.txt", "notes");
    set.file("labels.csv", "filename,label\nP0/IM1,1\nP1/IM1,0\n");
    assert_eq!(dataset::index_with(set.root(), &options(Layout::Manifest)).unwrap().studies.len(), 2);

    // Numbers as spreadsheets leave them: found, with a warning; what is written as it stands has the film.
    let set = TestSet::new();
    for n in [12, 13, 14] {
        set.film(&format!("{n:06}.png"), n);
    }
    set.file("labels.csv", "image,label\n12,1\n13.0,0\n000014,1\n14,0\n");
    for layout in [Layout::Manifest, Layout::Dicom] {
        let index = dataset::index_with(set.root(), &options(layout)).unwrap();
        let labels: Vec<Label> = index.studies.iter().map(|study| study.label).collect();
        assert_eq!(labels, [Label::Abnormal, Label::Normal, Label::Abnormal], "{layout}");
        let told = warned(&index, WarningKind::LooseMatch);
        assert_eq!(told.len(), 1);
        assert!(told[0].0.contains("2 rows were matched") && told[0].0.contains("line 2 says 12"), "{told:?}");
        assert!(told[0].0.contains("000012.png"), "{told:?}");
        assert!(index.skipped.iter().any(|it| it.reason.to_string().starts_with("line 5 of the table")), "{layout}");
    }
    set.film("0012.png", 99);
    let line = one_line(dataset::index_with(set.root(), &options(Layout::Manifest)).unwrap_err());
    assert!(line.contains("line 2 says 12, which could be"), "{line}");
}

#[test]
fn a_bare_name_of_many_films_is_told_once_and_each_file_is_read_once() {
    const MANY: usize = 3_000;
    let set = TestSet::new();
    let film = set.film("P0000/IM1.png", 0);
    for n in 1..MANY {
        let folder = set.root().join(format!("P{n:04}"));
        fs::create_dir(&folder).unwrap();
        fs::hard_link(&film, folder.join("IM1.png")).unwrap();
    }
    set.file("labels.csv", format!("filename,label\n{}", "IM1.png,1\n".repeat(MANY)));
    for layout in [Layout::Manifest, Layout::Dicom] {
        let line = one_line(dataset::index_with(set.root(), &options(layout)).unwrap_err());
        let said = "line 2 says IM1.png, which could be P0000/IM1.png, P0001/IM1.png and 2998 more; ";
        assert!(line.contains(said) && line.ends_with("; 2999 more rows are like it"), "{layout}: {line}");
    }
    // Where all but one are no films, the name means that one, which the other rows list again.
    for n in 1..MANY {
        let folder = set.root().join(format!("P{n:04}"));
        fs::remove_file(folder.join("IM1.png")).unwrap();
        fs::write(folder.join("IM1.txt"), "notes").unwrap();
    }
    set.file("labels.csv", format!("filename,label\n{}", "IM1,1\n".repeat(MANY)));
    let index = dataset::index_with(set.root(), &options(Layout::Manifest)).unwrap();
    assert_eq!((index.studies.len(), &index.studies[0].views[0].path), (1, &film));
    let again = index.skipped.iter().filter(|it| it.reason.to_string().contains("listed before, on line 2"));
    assert_eq!(again.count(), MANY - 1);
}

#[test]
fn rows_without_a_film_are_told_of_beside_a_film_without_a_row() {
    let set = TestSet::new();
    let films = dicom_set(&set);
    let patients: BTreeMap<String, Label> =
        films.iter().map(|(path, label)| (dicom_header(path).unwrap().patient.unwrap(), *label)).collect();
    let (first, label) = patients.first_key_value().unwrap();
    set.file("labels.csv", format!("PatientID,label\n{},{label}\nnobody,1\n", first.to_uppercase()));
    let index = dataset::index(set.root()).unwrap();
    assert!(index.studies.iter().all(|study| study.patient.as_ref() == Some(first) && study.label == *label));
    let missing = warned(&index, WarningKind::MissingFile);
    assert!(missing[0].0.contains("the first about nobody; ") && missing[0].0.contains("is in no row"), "{missing:?}");
    set.file("labels.csv", "PatientID,label\nnobody,1\n");
    let line = one_line(dataset::index(set.root()).unwrap_err());
    assert!(line.contains("line 2 says nobody, IM000 has PatientID "), "{line}");
}

#[test]
fn a_table_that_is_no_manifest_is_refused_with_what_was_met() {
    let set = TestSet::new();
    set.film("0.png", 0);
    set.file("films.csv", "file,class\n0.png,1\n");
    let refused = dataset::index(set.root()).unwrap_err();
    assert!(matches!(refused, Error::Labels { .. }));
    assert!(one_line(refused).contains("films.csv: looked for a column label, met file, class"));
    let line = one_line(dataset::index_with(set.root(), &options(Layout::Manifest)).unwrap_err());
    assert!(line.contains("path,label"), "{line}");
    let line = one_line(dataset::index(set.root().join("films.csv")).unwrap_err());
    assert!(line.contains("met file, class"), "{line}");
    set.file("empty.csv", "");
    let line = one_line(dataset::index(set.root().join("empty.csv")).unwrap_err());
    assert!(line.contains("no header"), "{line}");
    set.file("all.csv", "path,label\nnowhere.png,1\n");
    let line = one_line(dataset::index(set.root().join("all.csv")).unwrap_err());
    assert!(line.contains("no row finds its film: line 2 says nowhere.png, the folder has 0.png"), "{line}");
    set.file("words.csv", "path,label\n0.png,Osteosarcoma\n");
    let line = one_line(dataset::index(set.root().join("words.csv")).unwrap_err());
    assert!(line.contains("line 2: unknown label \"Osteosarcoma\"; --positive WORD"), "{line}");
    set.file("bare.csv", "path,label\n");
    let line = one_line(dataset::index(set.root().join("bare.csv")).unwrap_err());
    assert!(line.contains("no row below its header"), "{line}");
    set.file("twice.csv", "path,label,Label\n0.png,0,1\n");
    let line = one_line(dataset::index(set.root().join("twice.csv")).unwrap_err());
    assert!(line.contains("more than one column is called label"), "{line}");
    // A table that could be one of labels is named whatever it lacks; any other one is not.
    for (header, why) in [
        ("film_no,label", "looked for a column that names films (path, filename, image), met film_no, label"),
        ("PatientID,label", "it names films by PatientID, which only DICOM files say, and the first, 0.png, is none"),
    ] {
        let set = TestSet::new();
        set.film("0.png", 0);
        set.file("labels.csv", format!("{header}\n7,1\n"));
        let line = one_line(dataset::index(set.root()).unwrap_err());
        assert!(line.contains("labels.csv") && line.contains(why), "{line}");
    }
    let set = TestSet::new();
    set.film("0.png", 0);
    set.file("times.csv", "second,volt\n0,1\n");
    assert!(matches!(dataset::index(set.root()), Err(Error::NoFilms { .. })));
    set.file("labels.xlsx", "PK");
    assert!(one_line(dataset::index(set.root()).unwrap_err()).contains("labels.xlsx: a spreadsheet's own format"));
}

#[test]
fn muras_tables_may_begin_with_anything_and_its_splits_with_a_capital() {
    type Turn = fn(&str) -> String;
    let turns: [(&str, Turn); 7] = [
        ("as they are", |row| row.to_owned()),
        ("from here", |row| format!("./{row}")),
        ("absolute", |row| format!("/content/drive/{row}")),
        ("no prefix", |row| row.replacen("MURA-v1.1/", "", 1)),
        ("two folders", |row| format!("data/{row}")),
        ("backslash", |row| row.replace('/', "\\")),
        ("drive", |row| format!("D:\\{}", row.replace('/', "\\"))),
    ];
    for (how, turn) in turns {
        for capital in [false, true] {
            let set = TestSet::new();
            mura(&set);
            for split in ["train", "valid"] {
                for table in ["image_paths", "labeled_studies"] {
                    let path = set.root().join(format!("{split}_{table}.csv"));
                    let mut rows: String =
                        fs::read_to_string(&path).unwrap().lines().map(|row| format!("{}\n", turn(row))).collect();
                    if capital {
                        rows = rows.replace("train", "Train").replace("valid", "VALID");
                    }
                    fs::write(path, format!("path,label\n{rows}")).unwrap();
                }
            }
            let studies = dataset::index(set.root()).unwrap().studies;
            if capital {
                fs::rename(set.root().join("train"), set.root().join("Train")).unwrap();
            }
            let index = dataset::index(set.root()).unwrap();
            assert_eq!(index.warnings, [], "{how} {capital}");
            let told = |studies: &[Study]| -> Vec<_> { studies.iter().map(|it| (it.id.clone(), it.split)).collect() };
            assert_eq!(told(&index.studies).len(), 12);
            assert!(told(&studies).iter().all(|it| told(&index.studies).contains(it)), "{how} {capital}");
            // What the tables say otherwise is still found.
            fs::remove_dir_all(set.root().join("valid/XR_WRIST/patient00101")).unwrap();
            let index = dataset::index(set.root()).unwrap();
            assert_eq!(warned(&index, WarningKind::MissingFile).len(), 2, "{how} {capital}");
        }
    }
    // Rows of another kind: one of them, beside one of the folder's.
    let set = TestSet::new();
    mura(&set);
    set.file("valid_image_paths.csv", "films/1.png\nfilms/2.png\n");
    let index = dataset::index(set.root()).unwrap();
    let (message, _) = &warned(&index, WarningKind::Annotations)[0];
    assert!(message.contains("2 rows name nothing that could lie here: line 1 says films/1.png, "), "{message}");
    assert!(message.contains("valid/XR_HUMERUS/patient00101/study1_positive/image1.png"), "{message}");
}

#[test]
fn a_split_that_is_missing_is_called_missing() {
    let set = TestSet::new();
    mura(&set);
    let index = dataset::index(set.root().join("valid")).unwrap();
    for refused in [split::hold_out_tune(&index, 0.2, 0).unwrap_err(), split::k_folds(&index, 2, 0).unwrap_err()] {
        let line = one_line(refused);
        assert!(line.contains("no train split in ") && line.contains("whose studies are 6 in valid"), "{line}");
    }
}
