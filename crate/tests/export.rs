//! Models as other tools open them: torchvision, TorchScript, ONNX Runtime.

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use humerus::device::DeviceChoice;
use humerus::model::checkpoint::DataCard;
use humerus::model::{Architecture, Head, Mode, Model, ModelCard};
use humerus::train::Recipe;
use humerus::{Preprocess, score};
use tch::{Device, Kind, Tensor};

/// A network whose statistics are not the initial ones, so that each of them matters.
fn model(architecture: Architecture, head: Head, channels: u8, folder: &Path) -> Model {
    let preprocess = Preprocess { size: 96, channels, ..Preprocess::default() };
    let recipe = Recipe { architecture, head, preprocess, ..Recipe::default() };
    let classifier = recipe.network(Device::Cpu);
    let films = Tensor::randn([4, channels.into(), 96, 96], (Kind::Float, Device::Cpu));
    let _ = tch::no_grad(|| classifier.forward(&films, Mode::Train).unwrap());
    let data = DataCard::new(&support::phantoms(folder, 10));
    let card = ModelCard::new(&classifier, &recipe, data);
    Model { classifier, card }
}

/// Two batches with the network's logits.
fn batches(model: &Model, path: &Path) {
    let mut tensors = Vec::new();
    for (end, [n, height, width]) in [("", [2, 96, 96]), ("2", [3, 128, 80])] {
        let films = Tensor::randn([n, model.classifier.channels(), height, width], (Kind::Float, Device::Cpu));
        let logits = tch::no_grad(|| model.classifier.forward(&films, Mode::Eval).unwrap());
        tensors.push((format!("films{end}"), films));
        tensors.push((format!("logits{end}"), logits));
    }
    Tensor::write_safetensors(&tensors, path).unwrap();
}

#[test]
fn torchvision_torchscript_and_onnx_give_our_logits() {
    let Some(python) = support::python() else { return };
    tch::manual_seed(4);
    for (architecture, head, channels) in [
        (Architecture::DenseNet121, Head::Linear { classes: 2 }, 3),
        (Architecture::DenseNet121, Head::Reference { classes: 2 }, 3),
        (Architecture::DenseNet121, Head::Linear { classes: 2 }, 1),
        (Architecture::DenseNet161, Head::Linear { classes: 2 }, 3),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let model = model(architecture, head, channels, folder.path());
        let [file, traced, onnx, batch] =
            ["model.safetensors", "model.pt", "model.onnx", "batch.safetensors"].map(|name| folder.path().join(name));
        model.save(&file).unwrap();
        model.save_torchscript(&traced).unwrap();
        model.save_onnx(&onnx).unwrap();
        batches(&model, &batch);
        let said = support::script(&python, "export.py", &[file.as_os_str(), traced.as_os_str(), batch.as_os_str()]);
        let off: BTreeMap<String, f64> = serde_json::from_str(&said).unwrap();
        assert_eq!(off.len(), 2, "{said}");
        assert!(off.values().all(|off| *off < 1e-4), "{architecture:?} {head:?}: {said}");
        let said = support::script(&python, "onnx_runtime.py", &[onnx.as_os_str(), batch.as_os_str()]);
        println!("{architecture:?} {head:?} {channels}: {said}");
    }
}

#[test]
fn the_python_example_of_the_docs_gives_our_probability() {
    let Some(python) = support::python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let model = model(Architecture::DenseNet121, Head::Linear { classes: 2 }, 3, folder.path());
    let file = folder.path().join("model.safetensors");
    model.save(&file).unwrap();
    let model = Model::open(&file, DeviceChoice::Cpu).unwrap();
    // Wider than high and of another size, so that it is scaled and letterboxed.
    let film = image::GrayImage::from_fn(200, 100, |x, y| image::Luma([((x * 7 + y * 13) % 251) as u8]));
    let path = folder.path().join("film.png");
    film.save(&path).unwrap();
    let ours = score::film(&model, &path).unwrap().probability.get();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/load_in_python.py");
    let output = std::process::Command::new(&python).arg(&script).args([&file, &path]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let theirs: f64 = said.trim().strip_prefix("probability of abnormal: ").unwrap().parse().unwrap();
    // One grey level of Pillow's resize is allowed us; see `preprocess`.
    assert!((ours - theirs).abs() < 2e-3, "{ours} {theirs}");
}
