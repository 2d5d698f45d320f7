//! The `humerus` command as a script sees it: standard output, standard error and exit code.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use image::{GrayImage, Luma};
use serde_json::{Value, json};

fn humerus(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_humerus"))
        .args(arguments)
        // Not the user's own.
        .env("HUMERUS_CACHE", env!("CARGO_TARGET_TMPDIR"))
        .output()
        .unwrap()
}

/// One error line and exit code 1, nothing on standard output.
fn refusal(path: &Path) -> String {
    let output = humerus(&["index", path.to_str().unwrap(), "--json"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(output.stdout.is_empty());
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.starts_with("error: ") && error.contains(path.to_str().unwrap()), "{error}");
    error
}

fn write_film(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    GrayImage::from_fn(64, 48, |x, y| Luma([(x * y) as u8])).save(path).unwrap();
}

/// Two training studies, one held-out study, a truncated film, a resource fork.
fn write_set(root: &Path) {
    for film in [
        "train/XR_HUMERUS/patient00001/study1_positive/image1.png",
        "train/XR_HUMERUS/patient00001/study1_positive/image2.png",
        "train/XR_HUMERUS/patient00002/study1_negative/image1.png",
        "valid/XR_HUMERUS/patient00003/study1_negative/image1.png",
        "valid/XR_HUMERUS/patient00003/study1_negative/image2.png",
    ] {
        write_film(&root.join(film));
    }
    let cut = root.join("valid/XR_HUMERUS/patient00003/study1_negative/image2.png");
    let bytes = fs::read(&cut).unwrap();
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    fs::write(root.join("train/._XR_HUMERUS"), b"\0\x05\x16\x07").unwrap();
}

#[test]
fn paths_without_films_are_one_clear_line_and_exit_code_1() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    assert!(refusal(&path("absent")).contains("No such file"));

    fs::create_dir(path("empty")).unwrap();
    assert!(refusal(&path("empty")).contains("the folder is empty"));

    fs::create_dir(path("text")).unwrap();
    for n in 0..3 {
        fs::write(path(&format!("text/{n}.txt")), "no film").unwrap();
    }
    let text = refusal(&path("text"));
    assert!(text.contains("looked for MURA") && text.contains("3 files (3 not an image)"), "{text}");

    write_film(&path("film.png"));
    assert!(refusal(&path("film.png")).contains("this is a file"));
}

#[test]
fn index_prints_one_json_object_with_exactly_these_keys() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write_set(root);
    let output = humerus(&["index", root.to_str().unwrap(), "--json"]);
    assert!(output.status.success());
    assert_eq!(output.stdout.iter().filter(|&&byte| byte == b'\n').count(), 1);
    let got: Value = serde_json::from_slice(&output.stdout).unwrap();
    let path = |below: &str| root.join(below).to_str().unwrap().to_owned();
    let skipped = json!([
        {"path": path("train/._XR_HUMERUS"), "reason": "resource fork of macOS, not an image"},
        {
            "path": path("valid/XR_HUMERUS/patient00003/study1_negative/image2.png"),
            "reason": "truncated: PNG that stops inside a chunk",
        },
    ]);
    let part = json!({"studies": 3, "views": 4, "patients": 3, "positive_studies": 1, "positive_views": 2});
    let films = [
        "train/XR_HUMERUS/patient00001/study1_positive/image1.png",
        "train/XR_HUMERUS/patient00001/study1_positive/image2.png",
        "train/XR_HUMERUS/patient00002/study1_negative/image1.png",
        "valid/XR_HUMERUS/patient00003/study1_negative/image1.png",
    ]
    .map(path);
    let expected = json!({
        "layout": "mura",
        "studies": 3,
        "views": 4,
        "patients": 3,
        "splits": {
            "train": {"studies": 2, "views": 3, "patients": 2, "positive_studies": 1, "positive_views": 2},
            "valid": {"studies": 1, "views": 1, "patients": 1, "positive_studies": 0, "positive_views": 0},
        },
        "parts": {"XR_HUMERUS": part},
        "labels": {"normal": {"studies": 2, "views": 2}, "abnormal": {"studies": 1, "views": 2}},
        "views_per_study": {"1": 2, "2": 1},
        "sizes": {"width": [64, 64, 64], "height": [48, 48, 48], "longer_side_up_to": {"64": 4}},
        "tags": {},
        "skipped": skipped,
        "warnings": [
            {
                "kind": "conflicting-duplicate",
                "paths": films,
                "message": "4 films of the same content, labelled normal and abnormal",
            },
            {
                "kind": "duplicate-across-splits",
                "paths": films,
                "message": "4 films of the same content in train and valid",
            },
        ],
        "audited": true,
    });
    assert_eq!(got, expected);
    let quick = humerus(&["index", root.to_str().unwrap(), "--json", "--quick"]);
    let quick: Value = serde_json::from_slice(&quick.stdout).unwrap();
    assert_eq!((&quick["audited"], &quick["warnings"]), (&json!(false), &expected["warnings"]));
}

#[test]
fn index_prints_a_table_and_every_skipped_file() {
    let folder = tempfile::tempdir().unwrap();
    write_set(folder.path());
    let output = humerus(&["index", folder.path().to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 22, "{text}");
    assert_eq!(lines[0], "layout: MURA");
    assert_eq!(lines[4].split_whitespace().collect::<Vec<_>>(), ["all", "3", "1", "4", "2", "3"]);
    let width = lines[1].len();
    assert!(lines[2..5].iter().all(|line| line.len() == width), "{text}");
    assert_eq!(lines[5], "part XR_HUMERUS: studies 3 (1 abnormal), views 4 (2 abnormal)");
    assert_eq!(lines[6], "views per study: 1: 2, 2: 1");
    assert_eq!(lines[7], "size: 64-64 x 48-48 pixels, median 64 x 48; longer side up to 64: 4");
    assert_eq!(lines[8], "skipped: 2 files (1 resource fork, 1 truncated)");
    assert_eq!(lines[9], "2 warnings (1 conflicting-duplicate, 1 duplicate-across-splits)");
    assert!(lines[11].contains("image2.png: truncated"), "{text}");
    assert!(lines[12].ends_with("conflicting-duplicate: 4 films of the same content, labelled normal and abnormal"));
    assert!(lines[16].ends_with("patient00003/study1_negative/image1.png"), "{text}");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [&["index"][..], &["indexx", "."], &["index", ".", "--jsonn"]] {
        assert_eq!(humerus(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn help_names_the_values_that_a_recipe_decides() {
    let help = String::from_utf8(humerus(&["train", "--help"]).stdout).unwrap();
    let (usual, reference) = (humerus::train::Recipe::default(), humerus::train::Recipe::reference());
    let [epochs, theirs] = [usual.epochs, reference.epochs];
    assert!(help.contains(&format!("[default: the recipe's, {epochs}; {theirs} in `reference`]")), "{help}");
    assert!(help.contains(&format!("[default: the recipe's, {}", usual.preprocess.size)), "{help}");
    assert!(help.contains(&format!("[default: the recipe's, {}", usual.batch_size)), "{help}");
    assert!(!help.contains("instead of the recipe"), "{help}");
}

#[test]
fn an_error_about_an_option_names_it_as_it_was_typed() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let said = |arguments: &[&str]| {
        let all = [&["train", "nowhere", "--out", out.to_str().unwrap()], arguments].concat();
        String::from_utf8(humerus(&all).stderr).unwrap()
    };
    assert_eq!(said(&["--size", "5"]), "error: --size: expected 64 to 4096 pixels, got 5\n");
    assert_eq!(said(&["--batch=1"]), "error: --batch: expected 2 to 4096, got 1\n");
    let words = ["--positive", "odd", "--negative", "odd"];
    assert_eq!(said(&words), "error: --positive and --negative: expected each for one label only, got odd for both\n");
    // The whole line that tells of a value is clap's but for what was expected.
    for (arguments, option, expected) in [
        (&["train", ".", "--out", "o", "--device", "gpu"][..], "--device <DEVICE>", "auto, cpu or cuda"),
        (&["train", ".", "--out", "o", "--precision", "gpu"], "--precision <PRECISION>", "auto, fp32 or bf16"),
        (
            &["train", ".", "--out", "o", "--weights", "hub:gpu"],
            "--weights <WEIGHTS>",
            "hub:OWNER/NAME/FILE or hub:OWNER/NAME@REVISION/FILE",
        ),
        (
            &["train", ".", "--out", "o", "--allow", "gpu"],
            "--allow <LEAK>",
            "duplicates-across-splits, patient-in-two-splits, study-with-two-labels",
        ),
        (&["index", ".", "--layout", "gpu"], "--layout <LAYOUT>", "mura, fracatlas, classes, manifest or dicom"),
        (
            &["phantom", "--out", "o", "--difficulty", "gpu"],
            "--difficulty <D>",
            "easy, medium, hard or a number from 0 to 1",
        ),
        (&["pretrain", "--out", "o", "--tasks", "gpu"], "--tasks <TASKS>", "fracture, kind, segment or displacement"),
        (
            &["weights", "w", "--architecture", "gpu"],
            "--architecture <NAME>",
            "one of densenet121, densenet169, densenet201, densenet161",
        ),
        (&["score", "m", "f", "--device", "gpu"], "--device <DEVICE>", "auto, cpu or cuda"),
        (&["explain", "m", "f", "--out", "o.png", "--device", "gpu"], "--device <DEVICE>", "auto, cpu or cuda"),
    ] {
        let output = humerus(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        let got = if option.starts_with("--weights") { "hub:gpu" } else { "gpu" };
        let line = format!("error: invalid value '{got}' for '{option}': expected {expected}");
        assert_eq!((output.status.code(), error.lines().next()), (Some(2), Some(line.as_str())), "{error}");
    }
}

#[test]
fn a_path_that_cannot_be_what_is_written_is_refused_before_anything_is_read() {
    let no_picture =
        |got: &str| format!("error: --out: expected a folder, or for one film a name that ends in .png, got {got}\n");
    let dash = "error: --out: expected a path (`./-` for one of that name), got -\n";
    for (arguments, line) in [
        (&["explain", "m", "f", "--out", "-"][..], no_picture("-").as_str()),
        (&["explain", "m", "f", "--out", "x.jpg"], no_picture("x.jpg").as_str()),
        (&["export", "m", "--to", "onnx", "--out", "-"], dash),
        (&["phantom", "--out", "-"], dash),
        (&["pretrain", "--out", "-"], dash),
        (&["train", "nowhere", "--out", "-"], dash),
    ] {
        let output = humerus(arguments);
        assert_eq!(String::from_utf8(output.stderr).unwrap(), line);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{arguments:?}");
    }
}

/// What a command shows on a terminal: standard output and error together.
#[cfg(unix)]
fn on_a_terminal(arguments: &[&str]) -> String {
    let python = std::env::var_os("HUMERUS_PYTHON").unwrap_or("python3".into());
    let terminal = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let output = Command::new(python)
        .args(["-c", terminal, env!("CARGO_BIN_EXE_humerus")])
        .args(arguments)
        .env("HUMERUS_CACHE", env!("CARGO_TARGET_TMPDIR"))
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{shown}{}", String::from_utf8_lossy(&output.stderr));
    shown
}

#[cfg(unix)]
#[test]
fn long_work_shows_how_far_it_is_on_a_terminal_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (films, run) = (path("films"), path("run"));
    let shown = on_a_terminal(&["phantom", "--studies", "12", "--out", &films]);
    assert!(shown.contains("drawing studies") && shown.contains("12 studies (6 abnormal)"), "{shown}");
    let train =
        ["train", &films, "--out", &run, "--epochs", "1", "--size", "64", "--batch", "4", "--weights", "random"];
    let shown = on_a_terminal(&train);
    assert!(shown.contains("steps of the epoch") && shown.contains("held out"), "{shown}");
    let model = path("run/model.safetensors");
    let shown = on_a_terminal(&["score", &model, &films]);
    assert!(shown.contains("scoring films"), "{shown}");
    let silent = humerus(&["score", &model, &films]);
    assert!(silent.status.success() && silent.stderr.is_empty(), "{}", String::from_utf8_lossy(&silent.stderr));
}

#[cfg(unix)]
#[test]
fn bash_completes_commands_and_options_by_the_script_that_is_printed() {
    let script = humerus(&["completions", "bash"]);
    assert!(script.status.success());
    let ask = |words: &str, at: usize| {
        let last = words.split(' ').next_back().unwrap();
        let line =
            format!("COMP_WORDS=({words}); COMP_CWORD={at}; _humerus humerus '{last}' ''; echo \"${{COMPREPLY[@]}}\"");
        let whole = format!("{}\n{line}", String::from_utf8_lossy(&script.stdout));
        let output = Command::new("bash").args(["--norc", "-c", &whole]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(ask("humerus tra", 1), "train");
    assert_eq!(ask("humerus train --resu", 2), "--resume");
    for shell in ["zsh", "fish"] {
        let output = humerus(&["completions", shell]);
        assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("explain"));
    }
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    write_set(folder.path());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(env!("CARGO_BIN_EXE_humerus"))
        .args(["index", folder.path().to_str().unwrap()])
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
