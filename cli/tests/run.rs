//! The whole way by the command: simulate, train, score, explain; and what it says to files it cannot use.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn humerus(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_humerus"))
        .args(arguments)
        // Not the user's own.
        .env("HUMERUS_CACHE", env!("CARGO_TARGET_TMPDIR"))
        .output()
        .expect("the command starts")
}

fn json(arguments: &[&str]) -> Value {
    let output = humerus(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object on standard output")
}

/// Exit code 1 and exactly one line, which contains every word.
fn refused(arguments: &[&str], words: &[&str]) {
    let output = humerus(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    assert!(said.starts_with("error: ") && said.trim_end().lines().count() == 1, "{arguments:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{arguments:?}: {said:?} does not say {word:?}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary path in UTF-8")
}

#[test]
fn simulate_train_score_and_explain_work_together() {
    let folder = tempfile::tempdir().unwrap();
    let [data, run, heat] = ["data", "run", "heat.png"].map(|name| folder.path().join(name));
    let set = json(&["phantom", "--studies", "16", "--seed", "3", "--out", text(&data), "--json"]);
    assert_eq!(set["studies"], 16);

    let train =
        ["train", text(&data), "--out", text(&run), "--epochs", "2", "--size", "64", "--device", "cpu", "--json"];
    let report = json(&train);
    assert_eq!(report["epochs"].as_array().unwrap().len(), 2);
    assert!(report["held_out"]["studies"].as_u64().unwrap() > 0);
    let [model, last, metrics] = ["model.safetensors", "last.safetensors", "metrics.jsonl"].map(|name| run.join(name));
    assert!(model.exists() && last.exists());
    let lines = std::fs::read_to_string(metrics).unwrap();
    let epochs: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(epochs.iter().map(|e| e["epoch"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2]);
    let first = &epochs[0];
    for figure in ["train_loss", "tune_loss", "images_per_second", "seconds_left"] {
        assert!(first[figure].as_f64().unwrap().is_finite(), "{figure}");
    }

    let scores = json(&["score", text(&model), text(&data.join("valid")), "--device", "cpu", "--json"]);
    let held_out = report["held_out"]["views"].as_u64().unwrap() as usize;
    assert_eq!(scores["views"].as_array().unwrap().len(), held_out);
    for study in scores["studies"].as_array().unwrap() {
        let of_study = |view: &&Value| view["study"] == study["study"];
        let views: Vec<f64> = scores["views"]
            .as_array()
            .unwrap()
            .iter()
            .filter(of_study)
            .map(|view| view["probability"].as_f64().unwrap())
            .collect();
        let mean = views.iter().sum::<f64>() / views.len() as f64;
        assert!((mean - study["probability"].as_f64().unwrap()).abs() < 1e-12);
        let decision = if study["probability"].as_f64().unwrap() >= 0.5 { "abnormal" } else { "normal" };
        assert_eq!(study["decision"], decision);
    }

    let film = scores["views"][0]["path"].as_str().unwrap();
    let layer = "features.denseblock3";
    let explained =
        json(&["explain", text(&model), film, "--layer", layer, "--out", text(&heat), "--device", "cpu", "--json"]);
    assert_eq!(explained["map"], serde_json::json!([4, 4]));
    assert!(image::open(&heat).unwrap().width() >= 64);

    explains_a_folder(&data.join("valid"), &model, &folder.path().join("maps"));

    // A class of which nobody knows the label does not keep films from being scored.
    let doubtful = folder.path().join("doubtful");
    for class in ["normal", "abnormal", "unsure"] {
        std::fs::create_dir_all(doubtful.join(class)).unwrap();
        std::fs::copy(film, doubtful.join(class).join("film.png")).unwrap();
    }
    let loose = json(&["score", text(&model), text(&doubtful), "--device", "cpu", "--json"]);
    assert_eq!(loose["views"].as_array().unwrap().len(), 3);
    assert!(loose["views"][0].get("label").is_none());
    assert!(loose["unlabelled"][0].as_str().unwrap().contains("unsure"), "{loose}");

    // The same again sets the first run aside and gives the same figures: a seed is a promise.
    let again = json(&train);
    assert_eq!(again["held_out"], report["held_out"]);
    assert!(run.join("previous-1/model.safetensors").exists());

    let half = folder.path().join("half.safetensors");
    let whole = std::fs::read(&model).unwrap();
    std::fs::write(&half, &whole[..whole.len() / 2]).unwrap();
    refused(&["score", text(&half), film], &["half.safetensors", "cut short"]);
    refused(&["score", text(&model), "no/such/film.png"], &["no/such/film.png"]);
    let nowhere = ["explain", text(&model), film, "--layer", "features.nope", "--out", text(&heat)];
    refused(&nowhere, &["--layer", "features.nope", "humerus layers"]);
    let layers = json(&["layers", text(&model), "--json"]);
    let layers = layers["layers"].as_array().unwrap();
    assert!(layers.contains(&layer.into()), "{layers:?}");
    json(&[
        "explain",
        text(&model),
        film,
        "--layer",
        layers.last().unwrap().as_str().unwrap(),
        "--out",
        text(&heat),
        "--json",
    ]);
    let no_map = ["explain", text(&model), film, "--layer", "pooled", "--out", text(&heat)];
    refused(&no_map, &["--layer", "pooled", "humerus layers"]);
    let broken = folder.path().join("broken.png");
    let bytes = std::fs::read(film).unwrap();
    std::fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    refused(&["score", text(&model), text(&broken)], &["broken.png"]);
}

/// Every film of a folder: its picture, its raw maps in its own pixels, its boxes, and one summary of all.
fn explains_a_folder(films: &Path, model: &Path, out: &Path) {
    let broken = films.join("broken.png");
    std::fs::write(&broken, b"\x89PNG\r\n").unwrap();
    let method = ["--method", "hires-cam", "--layer", "features.denseblock3", "--layer", "features.relu5"];
    let mut arguments = vec!["explain", text(model), text(films), "--out", text(out), "--device", "cpu", "--json"];
    arguments.extend(method.into_iter().chain(["--target", "normal", "--size", "96"]));
    let summary = json(&arguments);
    std::fs::remove_file(&broken).unwrap();
    let explained = summary["films"].as_array().unwrap();
    assert!(explained.len() > 2 && summary["size"] == 96, "{summary}");
    assert!(summary["skipped"][0]["path"].as_str().unwrap().ends_with("broken.png"), "{summary}");
    let written = std::fs::read(out.join("summary.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&written).unwrap(), summary);
    let boxes: Value = serde_json::from_slice(&std::fs::read(out.join("boxes.json")).unwrap()).unwrap();
    assert_eq!(boxes["images"].as_array().unwrap().len(), explained.len());
    assert_eq!(boxes["categories"][0]["name"], "evidence for normal");
    assert!(boxes["info"]["hit_rate"].as_str().unwrap().starts_with("not measured"));
    let mut found = 0;
    for (film, image) in explained.iter().zip(boxes["images"].as_array().unwrap()) {
        let path = film["path"].as_str().unwrap();
        let (width, height) = image::image_dimensions(path).unwrap();
        assert_eq!((image["width"].as_u64(), image["height"].as_u64()), (Some(width.into()), Some(height.into())));
        let raw = std::fs::read(film["raw"].as_str().unwrap()).unwrap();
        // Two layers of 4 bytes a pixel behind a header of 128.
        assert_eq!(raw.len(), 128 + 2 * 4 * (width * height) as usize, "{path}");
        assert!(String::from_utf8_lossy(&raw[..128]).contains(&format!("'shape': (2, {height}, {width})")));
        assert!(image::open(film["picture"].as_str().unwrap()).is_ok());
        found += film["boxes"].as_u64().unwrap();
    }
    assert_eq!(boxes["annotations"].as_array().unwrap().len() as u64, found);
    let one = out.join("one.png");
    let two = ["explain", text(model), text(films), "--out", text(&one)];
    refused(&two, &["--out", "a folder, where there is more than one film"]);
}

#[test]
fn what_cannot_be_trained_on_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let [empty, texts] = ["empty", "texts"].map(|name| folder.path().join(name));
    std::fs::create_dir(&empty).unwrap();
    std::fs::create_dir(&texts).unwrap();
    std::fs::write(texts.join("notes.txt"), "no films here").unwrap();
    let train = |data: &Path, words: &[&str], more: &[&str]| {
        refused(&[&["train", text(data), "--out", text(&out)], more].concat(), words);
    };
    train(&folder.path().join("nowhere"), &["nowhere"], &[]);
    train(&empty, &["empty", "looked for MURA"], &[]);
    train(&texts, &["texts", "looked for MURA"], &[]);
    train(&empty, &["--epochs", "1 to 100000", "0"], &["--epochs", "0"]);
    train(&empty, &["--size", "64"], &["--size", "32"]);
    train(&empty, &["--recipe", "default, reference"], &["--recipe", "nonsense"]);
    assert!(!out.exists(), "nothing is left behind");
    let model = folder.path().join("notes.safetensors");
    std::fs::write(&model, "not a model").unwrap();
    refused(&["score", text(&model), text(&empty)], &["notes.safetensors"]);
}
