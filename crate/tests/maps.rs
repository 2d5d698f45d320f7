//! Our heat maps against Captum's and pytorch-grad-cam's, on the same weights and films: `tests/golden/maps.py` wrote
//! theirs down, and does so again with `REGENERATE=1`.

use std::collections::HashMap;
use std::path::Path;

use humerus::explain::{MapOptions, Method, heat_maps};
use humerus::network::{Architecture, Classifier, Head};
use tch::{Device, Kind, Tensor};

fn films() -> Tensor {
    (Tensor::arange(2 * 3 * 64 * 96, (Kind::Float, Device::Cpu)) * 0.731).sin().view([2, 3, 64, 96]) * 1.5
}

/// Weights as after some training, computed in f64 as theirs.
fn network() -> Classifier {
    let mut model = Classifier::new(Architecture::DenseNet121, Head::Linear { classes: 2 }, 11, Device::Cpu);
    let _guard = tch::no_grad_guard();
    for (number, variable) in model.variables().iter().enumerate().filter(|(_, it)| it.name.contains("norm")) {
        let n = variable.tensor.size()[0];
        let wave = (Tensor::arange(n, (Kind::Float, Device::Cpu)) * 0.37 + number as f64).sin() * 0.2;
        variable.tensor.shallow_clone().copy_(&(&variable.tensor + wave));
    }
    model.compute_in(Kind::Double).unwrap();
    model
}

fn regenerate(model: &Classifier, golden: &Path) {
    let python = testing::python().expect("REGENERATE needs HUMERUS_PYTHON");
    let folder = tempfile::tempdir().unwrap();
    let [weights, input] = ["weights", "input"].map(|name| folder.path().join(format!("{name}.safetensors")));
    let named: Vec<_> = model.variables().iter().map(|it| (it.name.as_str(), it.tensor.detach())).collect();
    Tensor::write_safetensors(&named, &weights).unwrap();
    Tensor::write_safetensors(&[("films", films())], &input).unwrap();
    let paths = [weights.as_ref(), input.as_ref(), golden.as_os_str()];
    testing::script(&python, "crate/tests/golden/maps.py", &paths);
}

#[test]
fn every_map_is_captums_and_pytorch_grad_cams() {
    let model = network();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/maps.safetensors");
    if std::env::var_os("REGENERATE").is_some() {
        regenerate(&model, &golden);
    }
    let theirs: HashMap<String, Tensor> = Tensor::read_safetensors(&golden).unwrap().into_iter().collect();
    let mut compared = 0;
    for (key, theirs) in &theirs {
        let (method, layer) = match key.split_once(' ').unwrap() {
            ("captum", method) => (method.parse::<Method>().unwrap(), "features.denseblock2"),
            (method, layer) => (method.parse().unwrap(), layer),
        };
        let options = MapOptions { steps: 8, window: Some(24), stride: Some(16), noise: 0.0, ..MapOptions::at(layer) };
        let options = MapOptions { samples: 1, chunk: 64, ..options };
        let mut ours = heat_maps(&model, &films(), method, &options).unwrap().layers.remove(0).raw;
        if method == Method::EigenCam {
            // A principal component has no sign of its own.
            ours *= (&ours * theirs).sum_dim_intlist([1, 2].as_slice(), true, Kind::Float).sign();
        }
        assert_eq!(ours.size(), theirs.size(), "{key}");
        let off = (&ours - theirs).abs().max().double_value(&[]) / theirs.abs().max().double_value(&[]);
        println!("{key}: {off:.1e} of the largest value away");
        assert!(off < 1e-3, "{key}: {off:.1e} of the largest value away");
        compared += 1;
    }
    assert_eq!(compared, 14);
}
