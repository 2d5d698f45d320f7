//! `humerus calibrate`: a new file with a new card, or one line that says why not.

#[path = "../../crate/tests/support/mod.rs"]
mod support;

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

use humerus::Preprocess;
use humerus::device::DeviceChoice;
use humerus::model::{DataCard, Model, ModelCard};
use humerus::train::Recipe;
use serde_json::Value;

fn humerus(arguments: &[&OsStr]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_humerus"))
        .args(arguments)
        .env("HUMERUS_CACHE", env!("CARGO_TARGET_TMPDIR"))
        .env("OMP_NUM_THREADS", "1")
        .output()
        .unwrap()
}

#[test]
fn a_model_is_calibrated_into_another_file_with_both_histories_and_refused_on_a_handful_of_films() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let index = support::phantoms(folder.path(), 60);
    tch::manual_seed(6);
    let recipe = Recipe { preprocess: Preprocess { size: 64, ..Preprocess::default() }, ..Recipe::default() };
    let classifier = recipe.network(tch::Device::Cpu);
    let card = ModelCard::new(&classifier, &recipe, DataCard::new(&index));
    Model { classifier, card }.save(path("model")).unwrap();
    let before = std::fs::read(path("model")).unwrap();

    let calibrate = |model: &Path, data: &Path, out: &Path, more: &[&str]| {
        let mut arguments =
            vec![OsStr::new("calibrate"), model.as_ref(), data.as_ref(), "--out".as_ref(), out.as_ref()];
        arguments.extend(more.iter().map(OsStr::new));
        humerus(&arguments)
    };
    let output = calibrate(&path("model"), &index.root, &path("once"), &["--rule", "sensitivity=0.8"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for words in ["before", "after", "log loss", "temperature: ", "sensitivity of at least 0.8", "research use"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let output = calibrate(&path("once"), &index.root, &path("twice"), &["--json", "--no-temperature"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["temperature"]["value"], 1.0);
    assert_eq!(found["operating_point"]["rule"]["kind"], "youden");
    assert!(found["before"]["brier"]["interval"]["kind"] == "bootstrap", "{found}");
    let twice = Model::open(path("twice"), DeviceChoice::Cpu).unwrap().card;
    assert_eq!(twice.formerly.len(), 2);
    assert_eq!(twice.operating_point.data.as_deref(), index.root.file_name().unwrap().to_str());
    assert_eq!(std::fs::read(path("model")).unwrap(), before);

    let few = path("few");
    for (n, study) in index.studies.iter().take(8).enumerate() {
        let class = few.join(study.label.name());
        std::fs::create_dir_all(&class).unwrap();
        std::fs::copy(&study.views[0].path, class.join(format!("film{n}.png"))).unwrap();
    }
    std::fs::create_dir(path("empty")).unwrap();
    for (data, out, more, expected) in [
        (&few, path("none"), vec![], "sample to calibrate on: expected enough patients to say anything, got "),
        (&index.root, path("model"), vec![], "model"),
        (&path("empty"), path("none"), vec![], "empty"),
        (&index.root, path("none"), vec!["--rule", "best"], "expected youden, sensitivity=SHARE"),
    ] {
        let output = calibrate(&path("model"), data, &out, &more);
        let line = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && line.contains(expected), "{expected}: {line}");
        assert!(!path("none").exists());
    }
    assert_eq!(std::fs::read(path("model")).unwrap(), before);
}
