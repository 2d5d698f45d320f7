//! Models as other tools open them: torchvision, TorchScript, ONNX Runtime.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use humerus::Preprocess;
use humerus::device::DeviceChoice;
use humerus::model::DataCard;
use humerus::model::{Model, ModelCard};
use humerus::network::{Architecture, Head, Mode, VariableKind};
use humerus::preprocess::Fit;
use humerus::train::Recipe;
use serde::Deserialize;
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
    let Some(python) = testing::python() else { return };
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
        let said = testing::script(
            &python,
            "crate/tests/golden/export.py",
            &[file.as_os_str(), traced.as_os_str(), batch.as_os_str()],
        );
        let off: BTreeMap<String, f64> = serde_json::from_str(&said).unwrap();
        assert_eq!(off.len(), 2, "{said}");
        assert!(off.values().all(|off| *off < 1e-4), "{architecture:?} {head:?}: {said}");
        let said =
            testing::script(&python, "crate/tests/golden/onnx_runtime.py", &[onnx.as_os_str(), batch.as_os_str()]);
        println!("{architecture:?} {head:?} {channels}: {said}");
    }
}

/// Makes an untrained network, which says nearly the same of all films, one that tells them apart: its logits'
/// differences get mean 0 and deviation 1. A level of grey here and there, as resizing is allowed, is then less than a
/// thousandth.
fn give_opinions(model: &Model, films: &[PathBuf]) {
    let odds =
        |film: &PathBuf| model.score(film).ok().map(|it| it.views[0].probability.get()).map(|p| (p / (1.0 - p)).ln());
    let odds: Vec<f64> = films.iter().filter_map(odds).collect();
    let mean = odds.iter().sum::<f64>() / odds.len() as f64;
    let deviation = (odds.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / odds.len() as f64).sqrt();
    let [.., weight, bias] = model.classifier.variables() else { panic!("a network ends in a linear layer") };
    assert!(weight.name.ends_with(".weight") && bias.name.ends_with(".bias"));
    tch::no_grad(|| {
        let scale = 1.0 / deviation;
        let [mut weight, mut bias] = [weight, bias].map(|it| it.tensor.shallow_clone());
        let _ = (weight.g_mul_scalar_(scale), bias.g_mul_scalar_(scale));
        let _ = bias.get(1).g_sub_scalar_(mean * scale);
    });
}

/// What the loader says of films: probability, or the reason why there is none.
fn by_python(python: &Path, loader: &Path, model: &Path, films: &[PathBuf]) -> Vec<Result<f64, String>> {
    let output = Command::new(python).arg(loader).arg(model).args(films).output().unwrap();
    let [said, errors] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    let found = films.iter().map(|film| {
        let name = film.to_str().unwrap();
        match said.lines().find(|line| line.ends_with(name)) {
            Some(line) => Ok(line.split_whitespace().next().unwrap().parse().unwrap()),
            None => Err(errors.lines().find(|line| line.contains(name)).unwrap_or(&errors).to_owned()),
        }
    });
    found.collect()
}

#[test]
fn the_python_of_the_docs_gives_our_probability_for_films_of_every_kind_or_refuses_them_by_name() {
    let Some(python) = testing::python() else { return };
    tch::manual_seed(7);
    let loader = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/load_in_python.py");
    let folder = tempfile::tempdir().unwrap();
    let films = folder.path().join("kinds");
    std::fs::create_dir(&films).unwrap();
    testing::script(&python, "crate/tests/golden/films.py", &[films.as_os_str()]);
    let mut films: Vec<PathBuf> = std::fs::read_dir(&films).unwrap().map(|entry| entry.unwrap().path()).collect();
    films.sort();
    assert!(films.len() >= 26, "{}", films.len());
    let refused = ["dicom.dcm", "colour16.png", "grey-alpha16.png", "cmyk.jpg", "film.bmp", "cut.png"];
    let (linear, reference) = (Head::Linear { classes: 2 }, Head::Reference { classes: 2 });
    for (head, channels, fit, window) in [
        (linear, 3, Fit::Letterbox, None),
        (linear, 1, Fit::Stretch, Some([1.0, 99.0])),
        (reference, 3, Fit::Letterbox, Some([2.0, 95.5])),
    ] {
        let mut model = model(Architecture::DenseNet121, head, channels, folder.path());
        (model.card.preprocess.fit, model.card.preprocess.window) = (fit, window);
        model.card.temperature.value = 1.3;
        give_opinions(&model, &films);
        let paths = ["model.safetensors", "model.pt", "model.onnx"].map(|name| folder.path().join(name));
        model.save(&paths[0]).unwrap();
        model.save_torchscript(&paths[1]).unwrap();
        model.save_onnx(&paths[2]).unwrap();
        let model = Model::open(&paths[0], DeviceChoice::Cpu).unwrap();
        let ours: Vec<Option<f64>> =
            films.iter().map(|it| Some(model.score(it).ok()?.views[0].probability.get())).collect();
        let spread = |pick: fn(f64, f64) -> f64| ours.iter().flatten().copied().reduce(pick).unwrap();
        assert!(spread(f64::max) - spread(f64::min) > 0.2, "a network without opinions tests nothing: {ours:?}");
        // The other two files hold the same network; preparing films is what differs from one model to the next.
        let paths = if window.is_none() { &paths[..] } else { &paths[..1] };
        for path in paths {
            // Greys of a JPEG may be a level or two from libjpeg's, which a network of random weights may take for
            // more.
            let allowed = |name: &str| if name.ends_with("jpg") { 5e-3 } else { 1e-3 };
            let mut worst = (0.0, String::new());
            for ((film, ours), theirs) in films.iter().zip(&ours).zip(by_python(&python, &loader, path, &films)) {
                let name = film.file_name().unwrap().to_str().unwrap();
                match (theirs, ours) {
                    (Err(line), _) if refused.contains(&name) => assert!(line.starts_with("error: "), "{line}"),
                    (Ok(theirs), Some(ours)) if !refused.contains(&name) => {
                        let off = (theirs - ours).abs();
                        assert!(off < allowed(name), "{name}: {theirs} and ours {ours}");
                        if off > worst.0 {
                            worst = (off, format!("{name}: {theirs} and ours {ours}"));
                        }
                    }
                    (theirs, ours) => panic!("{name} of {}: {theirs:?} and ours {ours:?}", path.display()),
                }
            }
            println!("{head:?} {channels} {fit:?} {window:?} {:?}: {worst:?}", path.file_name().unwrap());
        }
    }
}

#[test]
fn the_hub_cards_own_lines_give_our_probability() {
    let Some(python) = testing::python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let model = model(Architecture::DenseNet121, Head::Reference { classes: 2 }, 1, folder.path());
    let hub = folder.path().join("hub");
    let card = std::fs::read_to_string(model.save_for_hub(&hub).unwrap()).unwrap();
    let (_, code) = card.split_once("```python\n").unwrap();
    let (code, _) = code.split_once("```").unwrap();
    let film = hub.join("film.png");
    image::GrayImage::from_fn(200, 100, |x, y| image::Luma([((x * 7 + y * 13) % 251) as u8])).save(&film).unwrap();
    let output = Command::new(&python).args(["-c", code]).current_dir(&hub).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs: f64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    let ours = model.score(&film).unwrap().views[0].probability.get();
    assert!((ours - theirs).abs() < 1e-3, "{ours} {theirs}");
}

#[derive(Debug, Deserialize)]
struct Script {
    training: bool,
    parameters: Vec<String>,
    buffers: Vec<String>,
    learn: usize,
    devices: Vec<String>,
    casts: usize,
    constants: usize,
    loaded: f64,
    frozen: f64,
    optimised: f64,
    double: f64,
    bfloat16: f64,
    meta: (String, Vec<i64>),
    gradients: usize,
    moved: usize,
}

#[test]
fn torchscript_is_frozen_moved_halved_and_trained_on_as_a_module_of_torchvisions_is() {
    let Some(python) = testing::python() else { return };
    for (head, channels) in [(Head::Linear { classes: 2 }, 3), (Head::Reference { classes: 2 }, 1)] {
        let folder = tempfile::tempdir().unwrap();
        let model = model(Architecture::DenseNet121, head, channels, folder.path());
        let [script, batch] = ["model.pt", "batch.safetensors"].map(|name| folder.path().join(name));
        model.save_torchscript(&script).unwrap();
        batches(&model, &batch);
        let said =
            testing::script(&python, "crate/tests/golden/torchscript.py", &[script.as_os_str(), batch.as_os_str()]);
        let said: Script = serde_json::from_str(&said).unwrap();
        let of = |kind| model.classifier.variables().iter().filter(move |it| it.kind == kind).map(|it| it.name.clone());
        assert_eq!(said.parameters, of(VariableKind::Weight).collect::<Vec<_>>());
        assert_eq!(said.buffers, of(VariableKind::Statistic).collect::<Vec<_>>());
        assert!(!said.training && said.devices.is_empty() && said.casts == 0 && said.constants == 0, "{said:?}");
        assert!([said.loaded, said.frozen, said.optimised, said.double].iter().all(|off| *off < 1e-4), "{said:?}");
        assert!(said.bfloat16 < 0.1 && said.meta == ("meta".to_owned(), vec![2, 2]), "{said:?}");
        assert_eq!([said.learn, said.gradients], [said.parameters.len(); 2]);
        assert_eq!(said.moved, said.buffers.len(), "train mode moves every statistic");
    }
}
