//! What is scored of folders in which not everything can be: every readable film, and a line for each of the others.

#[path = "../../crate/tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use humerus::dataset::Index;
use humerus::model::{DataCard, Model, ModelCard};
use humerus::preprocess::{Doubt, decode, inspect};
use humerus::train::Recipe;
use humerus::{Error, Preprocess, Split, dataset, score};
use serde_json::Value;
use tch::Device;
use testing::{TestSet, film};

/// A network of 64 pixels that has learnt nothing, and its file.
fn model(folder: &Path) -> (Model, PathBuf) {
    tch::manual_seed(6);
    tch::set_num_threads(1);
    let preprocess = Preprocess { size: 64, ..Preprocess::default() };
    let recipe = Recipe { preprocess, ..Recipe::default() };
    let classifier = recipe.network(Device::Cpu);
    let card = ModelCard::new(&classifier, &recipe, DataCard::new(&support::phantoms(folder, 4)));
    let model = Model { classifier, card };
    let path = folder.join("model.safetensors");
    model.save(&path).unwrap();
    (model, path)
}

/// A PNG whose container is whole and whose pixels cannot be decoded: its data is not what zlib packed.
fn undecodable(number: u32) -> Vec<u8> {
    let mut bytes = film(number);
    let data = bytes.windows(4).position(|kind| kind == b"IDAT").unwrap() + 4;
    let length = u32::from_be_bytes(bytes[data - 8..data - 4].try_into().unwrap()) as usize;
    bytes[data + length / 3..data + length].fill(0x5a);
    assert!(inspect(&bytes).is_ok());
    bytes
}

fn humerus(arguments: &[&std::ffi::OsStr]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_humerus"))
        .args(arguments)
        .env("HUMERUS_CACHE", env!("CARGO_TARGET_TMPDIR"))
        .env("OMP_NUM_THREADS", "1")
        .output()
        .unwrap()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The probabilities of a report by the films' names.
fn by_name(report: &score::Report) -> BTreeMap<String, f64> {
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    report.views.iter().map(|view| (name(&view.path), view.probability.get())).collect()
}

/// The same eight films in each layout that needs no DICOM: four whole ones, and a broken one of either label.
fn layouts(set: &TestSet) -> Vec<PathBuf> {
    let mut roots = Vec::new();
    let mut rows = "path,label\n".to_owned();
    for n in 0..8u32 {
        let bytes = if n % 4 == 3 { undecodable(n) } else { film(n) };
        let (sign, class) = if n % 2 == 0 { ("negative", "normal") } else { ("positive", "abnormal") };
        let fractured = if n % 2 == 0 { "Non_fractured" } else { "Fractured" };
        set.file(&format!("mura/valid/XR_HUMERUS/patient{n:05}/study1_{sign}/image{n}.png"), &bytes);
        set.file(&format!("fracatlas/images/{fractured}/IMG000000{n}.png"), &bytes);
        set.file(&format!("classes/{class}/film{n}.png"), &bytes);
        set.file(&format!("manifest/film{n}.png"), &bytes);
        set.file(&format!("loose/film{n}.png"), &bytes);
        rows += &format!("film{n}.png,{}\n", n % 2);
    }
    set.file("manifest/films.csv", rows);
    for name in ["mura", "fracatlas", "classes", "manifest", "loose"] {
        roots.push(set.root().join(name));
    }
    roots
}

#[test]
fn a_film_that_cannot_be_decoded_costs_its_own_score_and_no_other_in_every_layout() {
    let set = TestSet::new();
    let folder = tempfile::tempdir().unwrap();
    let (model, _) = model(folder.path());
    for root in layouts(&set) {
        let report = model.score(&root).unwrap();
        assert_eq!(report.views.len(), 6, "{}", root.display());
        let broken: Vec<String> = report.skipped.iter().map(|it| it.reason.to_string()).collect();
        assert_eq!(broken.len(), 2, "{}: {broken:?}", root.display());
        assert!(broken.iter().all(|why| why.starts_with("damaged: ")), "{broken:?}");
        // Alone, each has the very same score, whatever stood beside it in a batch.
        for view in &report.views {
            let alone = model.score(&view.path).unwrap().views[0].probability.get();
            assert!((alone - view.probability.get()).abs() < 1e-6, "{}", view.path.display());
        }
    }
}

#[test]
fn whatever_has_films_is_scored_and_a_report_knows_the_split_it_is_of() {
    let set = TestSet::new();
    for (number, study) in
        ["train/XR_HUMERUS/patient00001", "valid/XR_HUMERUS/patient00002", "valid/XR_HUMERUS/patient00003"]
            .into_iter()
            .enumerate()
    {
        let label = ["positive", "negative"][number % 2];
        set.film(&format!("{study}/study1_{label}/image1.png"), number as u32);
    }
    let folder = tempfile::tempdir().unwrap();
    let (model, _) = model(folder.path());
    let index = dataset::index(set.root()).unwrap();
    let ids = |report: score::Report| report.studies.into_iter().map(|it| it.study).collect::<Vec<_>>();
    let all: Vec<String> = index.studies.iter().map(|it| it.id.clone()).collect();

    let held_out = model.score(&index).unwrap();
    assert_eq!((held_out.split, held_out.metrics().unwrap().split), (Some(Split::Valid), Some(Split::Valid)));
    assert_eq!(ids(held_out.clone()), all[1..]);
    assert_eq!(model.score(index.split(Split::Valid)).unwrap(), held_out);
    assert_eq!(model.score([&index.studies[1], &index.studies[2]]).unwrap(), held_out);
    let study = index.first(Split::Train).unwrap();
    let alone = model.score(&study).unwrap();
    assert_eq!((alone.split, ids(alone)), (Some(Split::Train), vec![all[0].clone()]));
    let mixed = model.score(&index.studies).unwrap();
    assert_eq!((mixed.split, ids(mixed)), (None, all.clone()));

    // Films named by path are of no study that a data set told of, and a folder that is a data set is no split.
    let film = &study.views[0];
    let by_path = model.score(&film.path).unwrap();
    assert_eq!((by_path.split, by_path.views[0].label, by_path.views.len()), (None, None, 1));
    for report in [model.score(film), model.score(film.path.to_str().unwrap()), model.score(vec![film.path.clone()])] {
        assert_eq!(report.unwrap(), by_path);
    }
    assert_eq!(ids(model.score(study.folder()).unwrap()), all[..1]);
    let of_root = model.score(set.root()).unwrap();
    assert_eq!((of_root.split, of_root.studies.len(), of_root.views[0].label.is_some()), (None, 3, true));

    let none = model.score(Vec::<PathBuf>::new()).unwrap_err().to_string();
    assert_eq!(none, "what to score: expected a path, a study or an index, got an empty list");
    let trained_on = Index { studies: vec![study], ..index };
    let none = model.score(&trained_on).unwrap_err().to_string();
    assert!(none.starts_with("split: no held-out study in "), "{none}");
    assert!(trained_on.first(Split::Valid).unwrap_err().to_string().contains("no valid study"));
}

#[test]
fn a_studys_mean_is_of_the_views_that_could_be_read_and_says_so() {
    let set = TestSet::new();
    let study = "valid/XR_HUMERUS/patient00001/study1_positive";
    set.film(&format!("{study}/image1.png"), 1);
    set.film(&format!("{study}/image2.png"), 2);
    set.file(&format!("{study}/image3.png"), undecodable(3));
    set.file(&format!("{study}/image4.png"), &film(4)[..200]);
    set.file(&format!("{study}/notes.txt"), "no film");
    set.film("valid/XR_HUMERUS/patient00002/study1_negative/image1.png", 5);
    let folder = tempfile::tempdir().unwrap();
    let (model, path) = model(folder.path());
    let loose = set.root().join(study);
    for root in [set.root(), &loose] {
        let report = model.score(root).unwrap();
        let study = report.studies.iter().find(|it| it.study.contains("patient00001")).unwrap();
        assert_eq!((study.views, study.unread), (2, 2), "{}", root.display());
        let scores = by_name(&report);
        let mean = (scores["image1.png"] + scores["image2.png"]) / 2.0;
        if root == loose {
            assert!((study.probability.get() - mean).abs() < 1e-12);
        }
        assert!(report.studies.iter().all(|it| it.study == study.study || it.unread == 0));
    }
    let said =
        humerus(&["score".as_ref(), path.as_os_str(), set.root().as_os_str(), "--device".as_ref(), "cpu".as_ref()]);
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(text.contains("mean of 2 of 4 views"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("skipped ") && line.contains("image3.png: damaged")), "{text}");
    let index = dataset::index(set.root()).unwrap();
    let report = model.score(&index.studies).unwrap();
    assert_eq!((report.views.len(), report.skipped.len()), (3, 1));
}

#[test]
fn films_named_one_by_one_are_all_scored_before_the_exit_code_says_that_one_was_not() {
    let set = TestSet::new();
    let folder = tempfile::tempdir().unwrap();
    let (model, path) = model(folder.path());
    let films = [set.film("a.png", 1), set.file("b.png", undecodable(2)), set.film("c.png", 3)];
    let mut arguments =
        vec!["score".as_ref(), path.as_os_str(), "--device".as_ref(), "cpu".as_ref(), "--json".as_ref()];
    arguments.extend(films.iter().map(|film| film.as_os_str()));
    let output = humerus(&arguments);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["views"].as_array().unwrap().len(), 2);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
    assert!(error.contains("b.png") && error.contains("damaged"), "{error}");
    // Nothing to report on: the film's own error.
    let error = model.score(&films[1]).unwrap_err();
    assert!(matches!(error, Error::Decode { .. }) && error.to_string().contains("b.png"), "{error}");
}

#[test]
fn a_path_that_names_nothing_costs_no_other_score() {
    let set = TestSet::new();
    let folder = tempfile::tempdir().unwrap();
    let (model, path) = model(folder.path());
    let (film, study) = (set.film("a.png", 1), set.film("study1/b.png", 2));
    let (absent, of_study) = (set.root().join("absent.png"), set.root().join("study1/absent.png"));
    set.file("text/notes.txt", "no film");
    let text = set.root().join("text");
    let arguments = ["score".as_ref(), path.as_os_str(), "--device".as_ref(), "cpu".as_ref()];
    for (missing, why) in [
        (&absent, "unreadable: No such file or directory"),
        (&text, "no films found; looked for MURA"),
        (&of_study, "unreadable: No such file or directory"),
    ] {
        let output = humerus(&[&arguments[..], &[missing, &film, &study, missing].map(|it| it.as_os_str())].concat());
        let (said, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(said.lines().filter(|line| line.ends_with("a.png") || line.ends_with("b.png")).count(), 2, "{said}");
        let skipped = format!("skipped {}: {why}", missing.display());
        assert_eq!(said.lines().filter(|line| line.starts_with(&skipped)).count(), 1, "{said}");
        assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
        assert!(
            error.starts_with(&format!("error: films: expected ones that can be read, got {}, ", missing.display()))
        );
        assert_eq!(said.contains("mean of 1 of 2 views"), missing == &of_study, "{said}");
    }
    // Nothing to report on: the path's own error.
    for (missing, words) in [(absent, "absent.png: No such file"), (text, "text: no films found; ")] {
        let error = model.score(missing).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_film_counts_once_by_however_many_paths_it_is_named() {
    let set = TestSet::new();
    let folder = tempfile::tempdir().unwrap();
    let (model, path) = model(folder.path());
    let film = set.film("film.png", 1);
    let study = "set/valid/XR_HUMERUS/patient00001/study1_positive";
    let views = [set.film(&format!("{study}/image1.png"), 2), set.film(&format!("{study}/image2.png"), 3)];
    set.film("set/valid/XR_HUMERUS/patient00002/study1_negative/image1.png", 4);
    let broken = set.file("set/valid/XR_HUMERUS/patient00002/study1_negative/image2.png", &testing::film(5)[..99]);
    let root = set.root().join("set");
    let spelled = set.root().join("set/../film.png");
    let scored = |paths: &[&PathBuf]| {
        let report = model.score(paths).unwrap();
        let reasons: Vec<_> = report.skipped.iter().map(|it| (it.path.clone(), it.reason.to_string())).collect();
        (report.views.len(), report.studies, reasons)
    };
    let twice = |path: &PathBuf, words: &str| (path.clone(), words.to_owned());
    let once = "named twice, scored once";
    let (n, studies, skipped) = scored(&[&film, &film]);
    assert_eq!((n, studies.len(), studies[0].views, skipped), (1, 1, 1, vec![twice(&film, once)]));
    assert_eq!(scored(&[&film, &spelled]).2, [twice(&spelled, once)]);
    #[cfg(unix)]
    for (name, link) in [("soft.png", true), ("hard.png", false)] {
        let other = set.root().join(name);
        let made = if link { std::os::unix::fs::symlink(&film, &other) } else { std::fs::hard_link(&film, &other) };
        made.unwrap();
        assert_eq!(scored(&[&film, &other]).2, [twice(&other, once)]);
    }
    // A study stays whole, whatever is named beside its folder and in which order.
    let damaged = (broken, "truncated: PNG that stops inside a chunk".to_owned());
    let alone = scored(&[&root]);
    assert_eq!((alone.0, alone.1.len(), &alone.2), (3, 2, &vec![damaged.clone()]));
    for paths in [[&views[0], &root], [&root, &views[0]]] {
        let (n, studies, skipped) = scored(&paths);
        assert_eq!((n, &studies), (3, &alone.1));
        assert_eq!(skipped, [twice(&views[0], once), damaged.clone()]);
    }
    let valid = root.join("valid");
    let (n, _, skipped) = scored(&[&root, &valid, &root]);
    let again = |path| twice(path, "3 films named twice, scored once");
    assert_eq!((n, skipped), (3, vec![again(&root), again(&valid), damaged]));
    // No error: each film that was named has its score.
    let arguments = ["score".as_ref(), path.as_os_str(), film.as_os_str(), spelled.as_os_str(), "--json".as_ref()];
    assert_eq!(json(&humerus(&arguments))["views"].as_array().unwrap().len(), 1);
}

#[test]
fn a_film_of_hardly_any_grey_is_scored_with_a_warning() {
    let set = TestSet::new();
    let folder = tempfile::tempdir().unwrap();
    let (model, path) = model(folder.path());
    let sound = set.film("films/normal/sound.png", 1);
    let mut film = decode(&sound).unwrap();
    film.pixels_mut().for_each(|pixel| pixel.0[0] /= 16);
    let dark = set.root().join("films/abnormal/dark.png");
    std::fs::create_dir_all(dark.parent().unwrap()).unwrap();
    film.save(&dark).unwrap();

    let alone = model.score(&dark).unwrap().views.remove(0);
    assert_eq!(alone.doubts, [Doubt::NearlyBlack]);
    assert_eq!(model.score(&sound).unwrap().views[0].doubts, []);
    // In a data set with labels, and named one by one.
    for paths in [vec![set.root().join("films")], vec![dark.clone(), sound.clone()]] {
        let report = model.score(&paths).unwrap();
        let doubts: BTreeMap<_, _> = report.views.iter().map(|view| (&view.path, view.doubts.as_slice())).collect();
        assert_eq!(doubts, BTreeMap::from([(&dark, [Doubt::NearlyBlack].as_slice()), (&sound, &[])]));
        assert!((by_name(&report)["dark.png"] - alone.probability.get()).abs() < 1e-6);
    }
    let arguments = ["score".as_ref(), path.as_os_str(), "--device".as_ref(), "cpu".as_ref(), dark.as_os_str()];
    let lines = String::from_utf8(humerus(&arguments).stdout).unwrap();
    let warning = format!("warning {}: nearly-black: hardly any grey above a quarter of white", dark.display());
    assert!(lines.lines().count() == 2 && lines.lines().last().unwrap().starts_with(&warning), "{lines}");
    let views = json(&humerus(&[&arguments[..], &["--json".as_ref(), sound.as_os_str()]].concat()))["views"].clone();
    let doubts = views.as_array().unwrap().iter().map(|view| view["doubts"].clone());
    assert_eq!(doubts.collect::<Vec<_>>(), [serde_json::json!(["nearly-black"]), Value::Null]);
}

/// Three hundred films, of which every hundredth is broken; `HUMERUS_MANY_FILMS` sets how many.
#[test]
fn a_large_folder_with_broken_films_comes_through_completely() {
    let n: u32 = std::env::var("HUMERUS_MANY_FILMS").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
    let set = TestSet::new();
    let folder = tempfile::tempdir().unwrap();
    let (model, _) = model(folder.path());
    let whole: Vec<PathBuf> = (0..40).map(|n| set.film(&format!("store/{n}.png"), n)).collect();
    let broken = set.file("store/broken.png", undecodable(1));
    for at in 0..n {
        let source = if at % 100 == 37 { &broken } else { &whole[at as usize % whole.len()] };
        let link = set.root().join(format!("films/{}/{at:05}.png", ["normal", "abnormal"][at as usize % 2]));
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::fs::hard_link(source, link).unwrap();
    }
    let report = model.score(set.root().join("films")).unwrap();
    let lost = n / 100;
    assert_eq!((report.views.len(), report.skipped.len()), ((n - lost) as usize, lost as usize));
    assert_eq!(report.studies.len(), report.views.len());
    // Links to one film have one score.
    let mut scores: BTreeMap<Vec<u8>, f64> = BTreeMap::new();
    for view in &report.views {
        let score = scores.entry(decode(&view.path).unwrap().into_raw()).or_insert(view.probability.get());
        assert!((*score - view.probability.get()).abs() < 1e-6);
    }
    assert_eq!(scores.len(), 40);
}

#[cfg(unix)]
mod unix {
    use std::ffi::{CString, OsStr};
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::UnixListener;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use humerus::dataset::{Layout, SkipReason};

    use super::*;

    fn pipe(path: &Path) {
        let name = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: the name is a C string that outlives the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    }

    /// Fails instead of waiting for ever.
    fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, done) = channel();
        std::thread::spawn(move || sender.send(work()));
        done.recv_timeout(Duration::from_secs(60)).expect("ends, without waiting for a pipe")
    }

    #[test]
    fn pipes_sockets_and_devices_are_skipped_unopened_in_every_layout() {
        let set = TestSet::new();
        let folder = tempfile::tempdir().unwrap();
        let (_, path) = model(folder.path());
        for root in layouts(&set) {
            let films: Vec<PathBuf> = walkdir::WalkDir::new(&root)
                .into_iter()
                .flatten()
                .filter(|entry| entry.path().extension().is_some_and(|it| it == "png"))
                .map(|entry| entry.into_path())
                .collect();
            let home = films[0].parent().unwrap().to_owned();
            pipe(&home.join("image99.png"));
            std::os::unix::fs::symlink("image99.png", home.join("image98.png")).unwrap();
            let _socket = UnixListener::bind(home.join("s.png")).unwrap();
            std::os::unix::fs::symlink("/dev/zero", home.join("zero.png")).unwrap();
            let index = {
                let root = root.clone();
                in_time(move || dataset::index(root))
            };
            if let Ok(index) = index {
                let reasons: BTreeMap<String, String> = index
                    .skipped
                    .iter()
                    .filter(|it| matches!(it.reason, SkipReason::NoRegularFile(_)))
                    .map(|it| (it.path.file_name().unwrap().to_string_lossy().into_owned(), it.reason.to_string()))
                    .collect();
                let said = |name: &str| reasons.get(name).map(String::as_str);
                assert_eq!(said("image99.png"), Some("named pipe, not a regular file"), "{}", root.display());
                assert_eq!(said("image98.png"), Some("named pipe, not a regular file"));
                assert_eq!(said("s.png"), Some("socket, not a regular file"));
                assert_eq!(said("zero.png"), Some("device, not a regular file"));
            }
            let report = {
                let (path, root) = (path.clone(), root.clone());
                in_time(move || {
                    let model = Model::open(&path, humerus::device::DeviceChoice::Cpu).unwrap();
                    model.score(root).unwrap()
                })
            };
            assert_eq!((report.views.len(), report.skipped.len()), (6, 6), "{:?}", report.skipped);
        }
        // Named by itself, or by a table, it is an error or a skipped row.
        let root = set.root().to_owned();
        pipe(&root.join("manifest/row.csv"));
        set.file("piped/films.csv", "path,label\n../manifest/image99.png,1\n../manifest/film0.png,0\n");
        let film = set.film("listed/film.png", 1);
        pipe(&root.join("listed/pipe.png"));
        set.film("listed/.hidden.png", 2);
        std::fs::create_dir(root.join("listed/folder")).unwrap();
        set.file("listed/films.csv", "path,label\npipe.png,1\nfilm.png,0\nfolder,1\n.hidden.png,1\ngone.png,1\n");
        let error = in_time(move || {
            let refused = decode(root.join("manifest/image99.png")).unwrap_err().to_string();
            let table = dataset::index(root.join("manifest/row.csv")).unwrap_err().to_string();
            let listed = dataset::index(root.join("piped")).unwrap();
            assert_eq!((listed.layout, listed.studies.len(), listed.skipped.len()), (Layout::Manifest, 1, 1));
            // Each once, as a row of the table or as a view.
            let listed = dataset::index(root.join("listed")).unwrap();
            let views: Vec<_> = listed.studies.iter().flat_map(|study| &study.views).map(|view| &view.path).collect();
            assert_eq!(views, [&root.join("listed/.hidden.png"), &film]);
            let skipped: Vec<_> =
                listed.skipped.iter().map(|it| format!("{}: {}", it.path.display(), it.reason)).collect();
            let row = |name: &str, line, why| {
                format!("{}: line {line} of the table: {why}", root.join("listed").join(name).display())
            };
            assert_eq!(
                skipped,
                [
                    row("folder", 4, "folder, not a regular file"),
                    row("gone.png", 6, "there is no such file"),
                    row("pipe.png", 2, "named pipe, not a regular file"),
                ]
            );
            assert_eq!(listed.warnings.len(), 1, "one file is not there: {:?}", listed.warnings);
            format!("{refused}\n{table}")
        });
        assert_eq!(error.matches("named pipe, not a regular file").count(), 2, "{error}");
    }

    #[test]
    fn names_of_any_bytes_are_scored_explained_and_listed() {
        let folder = tempfile::tempdir().unwrap();
        let (_, path) = model(folder.path());
        let long = format!("{}.png", "x".repeat(251));
        let names: [&[u8]; 5] =
            [b"M\xfcller.png", b"two\nlines.png", b"back\\slash.png", long.as_bytes(), b"plain.png"];
        for (layout, below) in [
            ("classes", "abnormal"),
            ("mura", "valid/XR_HUMERUS/patient00001/study1_positive"),
            ("loose", "films"),
            ("manifest", ""),
        ] {
            let set = TestSet::new();
            let home = set.root().join(below);
            std::fs::create_dir_all(&home).unwrap();
            for (n, name) in names.iter().enumerate() {
                std::fs::write(home.join(OsStr::from_bytes(name)), film(n as u32)).unwrap();
            }
            let mut expected = names.len();
            match layout {
                "classes" => drop(set.film("normal/one.png", 20)),
                "mura" => drop(set.film("valid/XR_HUMERUS/patient00002/study1_negative/image1.png", 20)),
                "manifest" => {
                    set.film("one.png", 20);
                    let rows = format!("path,label\n\"two\nlines.png\",1\nback\\slash.png,1\n{long},0\none.png,0\n");
                    drop(set.file("films.csv", rows));
                    // The name that is no text cannot stand in a table, and nobody listed the plain one.
                    expected = 3;
                }
                _ => {}
            }
            let is_loose = layout == "loose";
            let cpu = ["--device", "cpu", "--json"].map(OsStr::new);
            let report =
                json(&humerus(&[&["score".as_ref(), path.as_os_str(), set.root().as_os_str()][..], &cpu].concat()));
            let views = report["views"].as_array().unwrap();
            assert_eq!(views.len(), expected + usize::from(!is_loose), "{layout}: {report}");
            let paths: Vec<&str> = views.iter().map(|view| view["path"].as_str().unwrap()).collect();
            let has = |end: &str| paths.iter().any(|path| path.ends_with(end));
            assert!(has("two\nlines.png") && has("back\\slash.png") && has(&long), "{layout}: {paths:?}");
            assert_eq!(has("M\u{fffd}ller.png"), layout != "manifest", "{layout}: {paths:?}");
            if !is_loose {
                let index = json(&humerus(&["index".as_ref(), set.root().as_os_str(), "--json".as_ref()]));
                assert_eq!(index["views"].as_u64().unwrap() as usize, views.len(), "{layout}: {index}");
            }
            let text = humerus(&["score".as_ref(), path.as_os_str(), set.root().as_os_str()]);
            let text = String::from_utf8(text.stdout).unwrap();
            let lines = text.lines().filter(|line| line.contains(".png") && !line.starts_with("skipped ")).count();
            assert_eq!(lines, views.len(), "one line a film: {text}");
            assert!(text.contains("two\\nlines.png"), "{text}");
        }
        let set = TestSet::new();
        let home = set.root().join(OsStr::from_bytes(b"f\xf6lder"));
        std::fs::create_dir(&home).unwrap();
        let strange = home.join(OsStr::from_bytes(names[0]));
        std::fs::write(&strange, film(1)).unwrap();
        let out = home.join("heat.png");
        let explained = json(&humerus(&[
            "explain".as_ref(),
            path.as_os_str(),
            strange.as_os_str(),
            "--out".as_ref(),
            out.as_os_str(),
            "--device".as_ref(),
            "cpu".as_ref(),
            "--json".as_ref(),
        ]));
        assert!(explained["path"].as_str().unwrap().ends_with("M\u{fffd}ller.png") && out.is_file(), "{explained}");
    }
}
