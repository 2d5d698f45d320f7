//! Training and `weights` with a hub on this machine.

#[path = "../../parts/hub/tests/hub/server.rs"]
#[allow(dead_code)]
mod server;

use std::fs;
use std::path::Path;
use std::process::Command;

use server::{COMMIT, Plan, Server, sha256};

/// Runs the command with a hub and a cache of its own.
fn humerus(arguments: &[&str], endpoint: &str, cache: &Path) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_humerus"))
        .args(arguments)
        .env("HF_ENDPOINT", endpoint)
        .env("HF_HUB_CACHE", cache)
        .env("HUMERUS_CACHE", env!("CARGO_TARGET_TMPDIR"))
        .env("OMP_NUM_THREADS", "1")
        .env_remove("HF_HUB_OFFLINE")
        .env_remove("HF_TOKEN")
        .output()
        .unwrap()
}

#[test]
fn real_films_are_learnt_from_weights_of_the_hub_by_default_imagenets_and_the_card_says_so() {
    use humerus::device::DeviceChoice;
    use humerus::model::Model;
    use humerus::network::{Architecture, Classifier, Head};
    let folder = tempfile::tempdir().unwrap();
    let films = folder.path().join("films");
    for patient in 0..24u32 {
        let split = if patient < 18 { "train" } else { "valid" };
        let label = if patient % 2 == 0 { "positive" } else { "negative" };
        let film = films.join(format!("{split}/XR_HUMERUS/patient{patient:05}/study1_{label}/image1.png"));
        fs::create_dir_all(film.parent().unwrap()).unwrap();
        let grey = |x: u32, y: u32| ((x / 7 * 37 + y / 5 * (11 + patient * 17) + patient * 29) % 251) as u8;
        image::GrayImage::from_fn(80, 96, |x, y| image::Luma([grey(x, y)])).save(film).unwrap();
    }
    // timm's file has a head of 1,000 classes, which stays out.
    let theirs = Classifier::new(Architecture::DenseNet121, Head::Linear { classes: 1000 }, 77, tch::Device::Cpu);
    let weights = folder.path().join("timm.safetensors");
    let named: Vec<_> = theirs.variables().iter().map(|v| (&v.name, v.tensor.detach())).collect();
    tch::Tensor::write_safetensors(&named, &weights).unwrap();
    let bytes = fs::read(&weights).unwrap();
    let server = Server::start(Plan::large(&bytes));
    let (out, cache) = (folder.path().join("run"), folder.path().join("cache"));
    let [films, out] = [&films, &out].map(|path| path.to_str().unwrap());
    let train = ["train", films, "--out", out, "--epochs", "1", "--size", "64", "--batch", "8", "--device", "cpu"];
    // Of the branch: the pinned commit's content is not at hand.
    let stand_in = ["--weights", "hub:timm/densenet121.ra_in1k/model.safetensors"];
    let output = humerus(&[&train[..], &stand_in].concat(), &server.endpoint, &cache);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("MB of timm/densenet121.ra_in1k/model.safetensors"), "{said}");
    assert!(said.contains("604 tensors loaded, 0 adapted, 2 kept as initialised, 2 unexpected"), "{said}");
    let model = Model::open(Path::new(out).join("model.safetensors"), DeviceChoice::Cpu).unwrap();
    let origin = model.card.weights.unwrap();
    assert_eq!(origin.sha256, sha256(&bytes));
    assert_eq!(origin.source, format!("timm/densenet121.ra_in1k/model.safetensors ({COMMIT})"));
    // Once fetched, no network is needed; without file and network, one line says what to do.
    drop(server);
    let shown = humerus(&["weights", stand_in[1], "--json"], "http://127.0.0.1:9", &cache);
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let empty = folder.path().join("empty");
    let mut command = Command::new(env!("CARGO_BIN_EXE_humerus"));
    let look = ["weights", "imagenet"];
    let output = command.args(look).env("HF_HUB_OFFLINE", "1").env("HF_HUB_CACHE", &empty).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
    assert!(error.contains("name that file instead, or copy it to ") && !error.contains("--weights"), "{error}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_humerus"));
    let output = command.args(train).env("HF_HUB_OFFLINE", "1").env("HF_HUB_CACHE", &empty).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
    for part in ["densenet121.ra_in1k", "--weights FILE", empty.to_str().unwrap()] {
        assert!(error.contains(part), "{error}");
    }
}
