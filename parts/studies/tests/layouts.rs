//! Every layout: recognised or named, what becomes a view, what is skipped, what is doubtful.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use film::dicom_header;
use humerus_studies::{self as dataset, Index, IndexOptions, Layout, SkipReason, WarningKind, split};
use humerus_studies::{Error, Label, Split, Study};
use support::{dicom_set, mura, one_line, study, warned};
use testing::{TestSet, film};

fn options(layout: Layout) -> IndexOptions {
    IndexOptions { layout: Some(layout), ..IndexOptions::default() }
}

/// Every skipped file below the root with its reason.
fn skipped(index: &Index) -> BTreeMap<String, Vec<String>> {
    let mut skipped: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for it in &index.skipped {
        let path = it.path.strip_prefix(&index.root).unwrap_or(&it.path).display().to_string();
        skipped.entry(path).or_default().push(it.reason.to_string());
    }
    skipped
}

#[test]
fn folders_of_classes_are_recognised_with_and_without_a_split() {
    let set = TestSet::new();
    for n in 0..4 {
        set.film(&format!("train/NORMAL/deep/a{n}.png"), n);
        set.film(&format!("train/Fractured/b{n}.png"), 10 + n);
    }
    set.film("val/NORMAL/c.png", 20);
    set.film("val/Fractured/d.png", 21);
    let index = dataset::index(set.root()).unwrap();
    assert_eq!((index.layout, index.official_split, index.studies.len()), (Layout::Classes, true, 10));
    let deep = study(&index, "train/NORMAL/deep/a2.png");
    assert_eq!((deep.label, deep.split, deep.patient.as_deref()), (Label::Normal, Split::Train, None));
    let held = study(&index, "val/Fractured/d.png");
    assert_eq!((held.label, held.split), (Label::Abnormal, Split::Valid));
    split::assert_disjoint(&index).unwrap();
    assert_eq!((index.skipped.len(), index.warnings.len()), (0, 0));

    // With a test split, that is held out, and the epoch is chosen on *val*.
    set.film("test/NORMAL/e.png", 22);
    let index = dataset::index(set.root()).unwrap();
    assert_eq!(study(&index, "val/NORMAL/c.png").split, Split::Tune);
    assert_eq!(study(&index, "test/NORMAL/e.png").split, Split::Valid);
    assert!(index.summary().splits[&Split::Tune].positive_studies == 1);
}

#[test]
fn classes_without_a_split_are_dealt_by_blocks_of_neighbours() {
    let set = TestSet::new();
    for n in 0..240 {
        let class = if n % 3 == 0 { "1" } else { "0" };
        set.film(&format!("{class}/IMG{n:04}.png"), n);
    }
    set.file("0/notes.txt", "text");
    let index = dataset::index(set.root()).unwrap();
    assert_eq!((index.layout, index.official_split, index.studies.len()), (Layout::Classes, false, 240));
    split::assert_disjoint(&index).unwrap();
    let summary = index.summary();
    let valid = &summary.splits[&Split::Valid];
    assert!((50..=70).contains(&valid.studies) && (15..=25).contains(&valid.positive_studies), "{valid:?}");
    // In the order of numbers a group never comes back.
    let number = |study: &Study| study.views[0].path.file_stem().unwrap().to_string_lossy().into_owned();
    let mut ordered: Vec<&Study> = index.studies.iter().collect();
    ordered.sort_by_key(|study| number(study));
    let mut groups: Vec<&str> = ordered.iter().map(|study| study.group.as_str()).collect();
    groups.dedup();
    let blocks = groups.len();
    groups.sort_unstable();
    groups.dedup();
    assert!(groups.len() == blocks && blocks >= 12, "{blocks} {}", groups.len());
    assert_eq!(skipped(&index)["0/notes.txt"], ["not an image: neither PNG, JPEG nor DICOM"]);
}

#[test]
fn a_class_whose_name_says_no_label_is_refused_with_the_way_to_say_it() {
    let set = TestSet::new();
    for (n, class) in ["normal", "fractured", "Osteosarcoma"].into_iter().enumerate() {
        set.film(&format!("{class}/{n}.png"), n as u32);
    }
    let line = one_line(dataset::index(set.root()).unwrap_err());
    assert!(line.contains("Osteosarcoma") && line.contains("--positive NAME"), "{line}");
    let options = IndexOptions { positive: vec!["osteosarcoma".to_owned()], ..IndexOptions::default() };
    let index = dataset::index_with(set.root(), &options).unwrap();
    assert_eq!(index.studies.iter().filter(|study| study.label == Label::Abnormal).count(), 2);

    // One class alone may be any folder of that name: read where it is said that it is one.
    let one = TestSet::new();
    one.film("positive_side_views/normal/1.png", 1);
    let line = one_line(dataset::index(one.root()).unwrap_err());
    let how = "all folders of classes here are normal: --layout classes (IndexOptions::layout) reads it";
    assert!(line.ends_with(how), "{line}");
    assert_eq!(dataset::index_with(one.root(), &self::options(Layout::Classes)).unwrap().studies.len(), 1);

    // Nothing here is a class by name, unless the reader says so.
    let pets = TestSet::new();
    pets.film("cat/1.png", 1);
    pets.film("dog/2.png", 2);
    assert!(matches!(dataset::index(pets.root()), Err(Error::NoFilms { .. })));
    let line = one_line(dataset::index_with(pets.root(), &self::options(Layout::Classes)).unwrap_err());
    assert!(line.contains("cat, dog"), "{line}");
    let (positive, negative) = (vec!["dog".to_owned()], vec!["cat".to_owned()]);
    let told = IndexOptions { positive, negative, ..IndexOptions::default() };
    assert_eq!(dataset::index_with(pets.root(), &told).unwrap().studies.len(), 2);
}

#[test]
fn a_manifest_groups_views_in_studies_of_patients() {
    let set = TestSet::new();
    let rows: Vec<String> = (0..12)
        .map(|n| {
            set.film(&format!("films/{n}.png"), n);
            // Two views a study, two studies a patient, the second study abnormal.
            format!("{};films\\{n}.png;s{};p{};{}", n / 2 % 2, n / 2, n / 4, ["AP", "lateral"][n as usize % 2])
        })
        .collect();
    // Semicolons, CRLF, a byte-order mark, another order of columns and backslashes: a spreadsheet's.
    set.file("labels.csv", format!("\u{feff}Label;Path;Study;Patient;View\r\n{}\r\n", rows.join("\r\n")));
    set.film("unlisted.png", 99);
    for root in [set.root().to_owned(), set.root().join("labels.csv")] {
        let is_table = root.is_file();
        let index = dataset::index(&root).unwrap();
        assert_eq!((index.layout, index.official_split, index.studies.len()), (Layout::Manifest, false, 6));
        let second = study(&index, "p1/s3");
        assert_eq!(
            (second.label, second.patient.as_deref(), second.group.as_str()),
            (Label::Abnormal, Some("p1"), "p1")
        );
        let projections: Vec<_> = second.views.iter().map(|view| view.projection.as_deref()).collect();
        assert_eq!(projections, [Some("AP"), Some("lateral")]);
        assert_eq!(second.views[0].path, set.root().join("films/6.png"));
        split::assert_disjoint(&index).unwrap();
        assert_eq!(index.summary().patients, Some(3));
        assert_eq!(index.summary().views_per_study, BTreeMap::from([(2, 6)]));
        let unlisted = index.skipped.iter().filter(|it| it.reason == SkipReason::Unlisted).count();
        assert_eq!((unlisted, index.skipped.len()), if is_table { (0, 0) } else { (1, 1) });
        assert_eq!(index.warnings, []);
    }
}

#[test]
fn every_bad_row_of_a_manifest_is_named_by_its_line() {
    let set = TestSet::new();
    for n in 0..3 {
        set.film(&format!("{n}.png"), n);
    }
    set.file("cut.png", &film(9)[..80]);
    let rows = "path,label,split\n0.png,0,train\n,1,train\n1.png,maybe,train\ngone.png,1,train\n0.png,1,train\n\
                cut.png,1,train\n1.png,1,valid\n2.png,0,sometimes\n2.png,,valid\n\"2.png\n";
    set.file("films.csv", rows);
    let index = dataset::index(set.root()).unwrap();
    assert!(index.official_split);
    assert_eq!(index.studies.len(), 2);
    let skipped = skipped(&index);
    let line = |n: u32, why: &str| format!("line {n} of the table: {why}");
    assert_eq!(skipped["films.csv"], [line(3, "the path is empty")]);
    assert_eq!(skipped["1.png"], [line(4, "unknown label \"maybe\"")]);
    assert_eq!(skipped["gone.png"], [line(5, "there is no such file")]);
    assert_eq!(skipped["0.png"], [line(6, "listed before, on line 2")]);
    assert!(skipped["cut.png"][0].starts_with("truncated"), "{skipped:?}");
    let of_two =
        [line(9, "unknown split \"sometimes\""), line(10, "the label is empty"), line(11, "the label is empty")];
    assert_eq!(skipped["2.png"], of_two);
    assert_eq!(warned(&index, WarningKind::MissingFile)[0].1, [set.root().join("gone.png")]);
    let two_labels = warned(&index, WarningKind::StudyWithTwoLabels);
    assert_eq!(two_labels, [("lines 2 and 6 give one film two labels".to_owned(), vec![set.root().join("0.png")])]);
}

#[test]
fn a_study_with_rows_of_both_labels_counts_as_abnormal_and_is_doubtful() {
    let set = TestSet::new();
    for n in 0..4 {
        set.film(&format!("{n}.png"), n);
    }
    set.file("films.csv", "path,label,study\n0.png,normal,a\n1.png,fractured,a\n2.png,normal,b\n3.png,normal,b\n");
    let index = dataset::index(set.root()).unwrap();
    assert_eq!((study(&index, "a").label, study(&index, "b").label), (Label::Abnormal, Label::Normal));
    let two = warned(&index, WarningKind::StudyWithTwoLabels);
    assert_eq!(two.len(), 1);
    assert!(two[0].0.contains("study a") && two[0].1.len() == 2, "{two:?}");
    let refused = dataset::refuse_leaks(&index, &[]).unwrap_err();
    assert!(one_line(refused).contains("--allow study-with-two-labels"));
    dataset::refuse_leaks(&index, &[dataset::Leak::StudyWithTwoLabels]).unwrap();
}

#[test]
fn a_folder_that_can_be_read_in_two_ways_asks_for_the_layout() {
    let set = TestSet::new();
    set.film("normal/1.png", 1);
    set.film("abnormal/2.png", 2);
    set.file("films.csv", "path,label\nnormal/1.png,0\n");
    let line = one_line(dataset::index(set.root()).unwrap_err());
    assert!(line.contains("--layout classes or manifest"), "{line}");
    let studies = |layout| dataset::index_with(set.root(), &options(layout)).unwrap().studies.len();
    assert_eq!((studies(Layout::Classes), studies(Layout::Manifest)), (2, 1));
    set.file("more.csv", "path,label\nabnormal/2.png,1\n");
    let line = one_line(dataset::index_with(set.root(), &options(Layout::Manifest)).unwrap_err());
    assert!(line.contains("films.csv, more.csv") && line.contains("--labels"), "{line}");
    let labels = Some(set.root().join("more.csv"));
    let named = IndexOptions { labels, ..options(Layout::Manifest) };
    assert_eq!(dataset::index_with(set.root(), &named).unwrap().studies[0].label, Label::Abnormal);
}

#[test]
fn what_is_said_of_the_layout_is_used_or_refused() {
    let set = TestSet::new();
    mura(&set);
    let refused = |options: &IndexOptions, root: &Path| one_line(dataset::index_with(root, options).unwrap_err());
    let labels = Some(set.root().join("nowhere.csv"));
    let message = refused(&IndexOptions { labels, ..IndexOptions::default() }, set.root());
    assert!(message.starts_with("labels: expected none") && message.contains("nowhere.csv"), "{message}");
    assert!(message.ends_with("for the layout MURA"), "{message}");

    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let message = refused(&IndexOptions { positive: words(&["broken", "bad"]), ..IndexOptions::default() }, set.root());
    assert!(message.starts_with("positive: expected none"), "{message}");
    assert!(message.ends_with("got broken, bad for the layout MURA"), "{message}");
    let message = refused(&IndexOptions { negative: words(&["well"]), ..IndexOptions::default() }, set.root());
    assert!(message.starts_with("negative: expected none"), "{message}");

    let message = refused(&options(Layout::FracAtlas), set.root());
    assert!(message.contains("looked for FracAtlas (") && !message.contains("MURA ("), "{message}");

    let table = set.file("table.csv", "path,label\na.png,1\n");
    let message = refused(&options(Layout::Mura), &table);
    assert_eq!(message, "layout: expected manifest or dicom for a table, got MURA");
}

#[test]
fn dicom_files_are_labelled_by_file_film_study_or_patient() {
    let set = TestSet::new();
    let films = dicom_set(&set);
    let headers: Vec<_> = films.iter().map(|(path, _)| dicom_header(path).unwrap()).collect();
    type Name = fn(&Path, &film::DicomHeader) -> String;
    let keys: [(&str, Name); 4] = [
        ("filename", |path, _| path.file_name().unwrap().to_string_lossy().into_owned()),
        ("SOPInstanceUID", |_, header| header.instance.clone().unwrap()),
        ("StudyInstanceUID", |_, header| header.study.clone().unwrap()),
        ("AccessionNumber", |_, header| header.accession.clone().unwrap()),
    ];
    for (column, name) in keys {
        let rows: BTreeMap<String, Label> =
            films.iter().zip(&headers).map(|((path, label), header)| (name(path, header), *label)).collect();
        let rows: Vec<String> = rows.iter().map(|(name, label)| format!("{name},{}", label.index())).collect();
        set.file("labels.csv", format!("{column},Label\n{}\nnobody,1\n", rows.join("\n")));
        let index = dataset::index(set.root()).unwrap();
        assert_eq!((index.layout, index.studies.len()), (Layout::Dicom, 8), "{column}");
        assert_eq!(index.summary().views, films.len());
        for study in &index.studies {
            for view in &study.views {
                let at = films.iter().position(|(path, _)| *path == view.path).unwrap();
                let header = &headers[at];
                assert_eq!(study.label, films[at].1, "{column}");
                assert_eq!(
                    (&study.patient, &study.part, &view.projection),
                    (&header.patient, &header.part, &header.view)
                );
                assert!(study.patient.is_some() && study.part.is_some() && view.projection.is_some());
                assert_eq!(view.size, Some([header.columns, header.rows]));
            }
        }
        split::assert_disjoint(&index).unwrap();
        assert_eq!(warned(&index, WarningKind::MissingFile).len(), 1, "nobody is not there");
        let last = index.skipped.iter().map(|it| it.reason.to_string()).collect::<Vec<_>>();
        assert_eq!(last, [format!("line {} of the table: no film of nobody", rows.len() + 2)]);
    }

    // By patient, with one left out and one with both labels.
    let patient = |at: usize| headers[at].patient.clone().unwrap();
    set.file("labels.csv", format!("patient_id,label\n{0},0\n{0},1\n", patient(0)));
    let index = dataset::index(set.root()).unwrap();
    assert!(index.studies.iter().all(|study| study.patient == headers[0].patient));
    assert!(index.skipped.iter().any(|it| it.reason == SkipReason::Unlisted));
    assert_eq!(warned(&index, WarningKind::StudyWithTwoLabels).len(), 1);
}

#[test]
fn dicom_files_in_a_manifest_bring_their_own_patient_and_study() {
    let set = TestSet::new();
    let films = dicom_set(&set);
    set.film("plain.png", 1);
    let rows: Vec<String> = films
        .iter()
        .map(|(path, label)| format!("{},{label}\n", path.file_name().unwrap().to_string_lossy()))
        .collect();
    set.file("films.csv", format!("path,label\n{}plain.png,normal\n", rows.concat()));
    let index = dataset::index(set.root()).unwrap();
    assert_eq!((index.layout, index.studies.len()), (Layout::Manifest, 9));
    let plain = study(&index, "plain.png");
    assert_eq!(plain.patient, None);
    assert!(index.studies.iter().filter(|it| it.id != plain.id).all(|it| it.patient.is_some() && it.part.is_some()));
}

#[test]
fn muras_tables_are_compared_with_its_folders() {
    let set = TestSet::new();
    mura(&set);
    assert_eq!(dataset::index(set.root()).unwrap().warnings, []);

    let root = set.root();
    fs::remove_dir_all(root.join("train/XR_HUMERUS/patient00001")).unwrap();
    set.film("train/XR_HUMERUS/patient00009/study1_negative/image1.png", 90);
    let table = root.join("valid_labeled_studies.csv");
    let contradicting = fs::read_to_string(&table).unwrap().replacen("study1_negative/,0", "study1_negative/,1", 1);
    fs::write(&table, contradicting.replacen("/,1", "/,7", 1)).unwrap();
    let index = dataset::index(root).unwrap();
    let path = |below: &str| root.join(below);
    let missing = warned(&index, WarningKind::MissingFile);
    assert_eq!(missing.len(), 2, "{missing:?}");
    assert!(missing.iter().any(|it| it.1 == [path("train/XR_HUMERUS/patient00001/study1_positive/image1.png")]));
    assert!(missing.iter().any(|it| it.0.starts_with("train_labeled_studies.csv lists 1 file that is not there")));
    let unlisted = warned(&index, WarningKind::UnlistedFile);
    assert_eq!(unlisted.len(), 2, "{unlisted:?}");
    assert!(unlisted.iter().any(|it| it.1 == [path("train/XR_HUMERUS/patient00009/study1_negative/image1.png")]));
    let conflicts = warned(&index, WarningKind::ConflictingLabel);
    assert_eq!(conflicts.len(), 1, "{conflicts:?}");
    assert_eq!(conflicts[0].1, [path("valid/XR_HUMERUS/patient00102/study1_negative")]);
    let unreadable = warned(&index, WarningKind::Annotations);
    assert!(unreadable[0].0.contains("the label of 1 study is neither 0 nor 1"), "{unreadable:?}");

    // What the tables say about other folders does not concern a part of the tree.
    assert_eq!(dataset::index(path("train/XR_WRIST")).unwrap().warnings, []);
}

#[test]
fn one_part_or_several_can_be_read() {
    let set = TestSet::new();
    mura(&set);
    set.film("train/XR_ELBOW/patient00001/study1_positive/image1.png", 80);
    let read = |parts: &[&str]| {
        let parts = parts.iter().map(|part| (*part).to_owned()).collect();
        dataset::index_with(set.root(), &IndexOptions { parts, ..IndexOptions::default() })
    };
    let humerus = read(&["humerus"]).unwrap();
    assert_eq!(humerus.summary().parts.keys().collect::<Vec<_>>(), ["XR_HUMERUS"]);
    assert_eq!((humerus.studies.len(), humerus.warnings.len(), humerus.skipped.len()), (6, 0, 0));
    assert_eq!(read(&["XR_HUMERUS", "wrist"]).unwrap().studies.len(), 12);
    let all = read(&[]).unwrap();
    assert_eq!((all.studies.len(), warned(&all, WarningKind::UnlistedFile).len()), (13, 2));
    let line = one_line(read(&["shoulder"]).unwrap_err());
    assert!(line.contains("no part XR_SHOULDER; met XR_ELBOW, XR_HUMERUS, XR_WRIST"), "{line}");
    let classes = TestSet::new();
    classes.film("normal/1.png", 1);
    classes.film("abnormal/2.png", 2);
    let parts = vec!["humerus".to_owned()];
    let refused = dataset::index_with(classes.root(), &IndexOptions { parts, ..IndexOptions::default() });
    assert!(one_line(refused.unwrap_err()).contains("part"));
}

#[test]
fn a_study_that_is_there_with_both_labels_is_kept_apart_and_doubtful() {
    let set = TestSet::new();
    mura(&set);
    set.film("train/XR_WRIST/patient00002/study1_positive/image1.png", 70);
    let index = dataset::index(set.root()).unwrap();
    let two = warned(&index, WarningKind::StudyWithTwoLabels);
    assert_eq!(two.len(), 1, "{two:?}");
    assert!(two[0].0.contains("train/XR_WRIST/patient00002/study1") && two[0].1.len() == 2);
    let mut ids: Vec<&str> = index.studies.iter().map(|study| study.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), index.studies.len());
}

#[test]
fn fracatlas_table_gives_part_projection_and_tags_and_is_compared() {
    let set = TestSet::new();
    set.film("images/Fractured/IMG0000001.png", 1);
    set.film("images/Fractured/IMG0000002.png", 2);
    set.film("images/Non_fractured/IMG0000003.png", 3);
    set.file(
        "dataset.csv",
        "image_id,hand,leg,hip,shoulder,mixed,hardware,multiscan,fractured,fracture_count,frontal,lateral,oblique\n\
         IMG0000001.png,1,0,0,1,1,1,0,1,1,1,1,0\nIMG0000002.png,0,1,0,0,0,0,0,0,1,0,0,1\n\
         IMG0000009.png,1,0,0,0,0,0,0,0,0,1,0,0\n",
    );
    set.file(
        "Annotations/COCO JSON/masks.json",
        r#"{"images": [{"id": 1, "file_name": "IMG0000001.png"}, {"id": 2, "file_name": "IMG0000002.png"}],
            "annotations": [{"image_id": 1, "bbox": [1, 2, 3, 4], "segmentation": [[1, 2, 4, 2, 4, 6]]},
                            {"image_id": 2, "bbox": [0, 0, 4, 4],
                             "segmentation": {"size": [48, 64], "counts": [0, 4, 3068]}}]}"#,
    );
    let index = dataset::index(set.root()).unwrap();
    let first = study(&index, "IMG0000001");
    assert_eq!(first.part.as_deref(), Some("hand+shoulder"));
    let view = &first.views[0];
    assert_eq!((view.projection.as_deref(), &view.tags[..]), (Some("frontal+lateral"), &["hardware".to_owned()][..]));
    assert_eq!((view.findings[0].bbox, view.findings[0].outlines[0].len()), ([1.0, 2.0, 3.0, 4.0], 3));
    let outline = &study(&index, "IMG0000002").views[0].findings[0].outlines;
    assert_eq!(outline[..], [vec![[0.0, 0.0], [1.0, 0.0], [1.0, 4.0], [0.0, 4.0]]]);
    let path = |name: &str| set.root().join("images").join(name);
    assert_eq!(warned(&index, WarningKind::ConflictingLabel)[0].1, [path("Fractured/IMG0000002.png")]);
    assert_eq!(warned(&index, WarningKind::MissingFile)[0].1, [path("IMG0000009.png")]);
    assert_eq!(warned(&index, WarningKind::UnlistedFile)[0].1, [path("Non_fractured/IMG0000003.png")]);
}
