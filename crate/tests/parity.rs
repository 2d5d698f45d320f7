//! Our network against torchvision, run by the interpreter that `HUMERUS_PYTHON` names.

use std::collections::HashMap;

use humerus::network::{Architecture, Classifier, Head, Mode, VariableKind};
use tch::{Device, Kind, Reduction, Tensor};

/// Films `[4, 3, 80, 96]` that no layer finds boring.
fn films() -> Tensor {
    (Tensor::arange(4 * 3 * 80 * 96, (Kind::Float, Device::Cpu)) * 0.731).sin().view([4, 3, 80, 96]) * 1.5
}

/// Weights as after some training: running statistics are not their initial zeros and ones, nor are BatchNorm's
/// weights.
fn lived_in(model: &Classifier) {
    let _guard = tch::no_grad_guard();
    for (number, variable) in model.variables().iter().enumerate() {
        if variable.name.contains("norm") {
            let n = variable.tensor.size()[0];
            let wave = (Tensor::arange(n, (Kind::Float, Device::Cpu)) * 0.37 + number as f64).sin() * 0.2;
            variable.tensor.shallow_clone().copy_(&(&variable.tensor + wave));
        }
    }
}

fn read(path: &std::path::Path) -> HashMap<String, Tensor> {
    Tensor::read_safetensors(path).unwrap().into_iter().collect()
}

/// Largest difference, as a share of the expected tensor's largest value.
fn difference(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.size(), expected.size());
    let [found, expected] = [found, expected].map(|it| it.to_kind(Kind::Double));
    let scale = expected.abs().max().double_value(&[]).max(1e-6);
    (found - expected).abs().max().double_value(&[]) / scale
}

/// Torchvision's numbers, computed in f32 and in f64.
struct Theirs {
    name: &'static str,
    numbers: HashMap<String, Tensor>,
}

impl Theirs {
    /// Ours in f64 must be theirs in f64, to `exact`: what numbers are computed to, or kept to. In f32, the layers must
    /// be theirs, since both round alike, and `predict` and `gradients`, which round elsewhere, theirs in f64.
    fn check(&self, path: Path, kind: Kind, key: &str, found: &Tensor, exact: f64) {
        let (theirs, most) = match (kind, path) {
            (Kind::Double, _) => ("double", exact),
            (_, Path::Layers) => ("float", 1e-4),
            (_, Path::Predict) => ("double", 1e-4),
            (_, Path::Gradients) => ("double", 1e-3),
        };
        let off = difference(found, &self.numbers[&format!("{theirs}.{key}")]);
        assert!(off <= most, "{}, {path:?} in {kind:?}, {key}: {off:.2e} of its largest value away", self.name);
    }

    /// All gradients of `gradients` in f32 together. A value within rounding of zero may pass a ReLU in f32 and not in
    /// f64, or the other way round, which moves some gradients by a tenth, theirs as ours; which ones, depends on the
    /// order of summation.
    fn check_together(&self, gradients: &[(String, Tensor)]) {
        let end_to_end = |of: &dyn Fn(&(String, Tensor)) -> Tensor| {
            Tensor::cat(&gradients.iter().map(|it| of(it).to_kind(Kind::Double).flatten(0, -1)).collect::<Vec<_>>(), 0)
        };
        let theirs = |kind: &str| end_to_end(&|(key, _)| self.numbers[&format!("{kind}.{key}")].shallow_clone());
        let exact = theirs("double");
        let off = |found: Tensor| (found - &exact).norm().double_value(&[]) / exact.norm().double_value(&[]);
        let (ours, theirs) = (off(end_to_end(&|(_, gradient)| gradient.shallow_clone())), off(theirs("float")));
        println!("{}: gradients in f32 {ours:.1e} from those in f64, theirs {theirs:.1e}", self.name);
        assert!(ours <= 1e-2 + 2.0 * theirs, "{}: {ours:.1e}, theirs {theirs:.1e}", self.name);
    }
}

/// A way through the network.
#[derive(Debug, Clone, Copy)]
enum Path {
    /// Layer by layer, which looks and explains.
    Layers,
    /// [`Classifier::predict`], which scores.
    Predict,
    /// [`Classifier::gradients`], which trains.
    Gradients,
}

/// What weights are kept to, and with them statistics and gradients.
const F32: f64 = 1e-6;
/// What is computed in f64.
const F64: f64 = 1e-9;

fn compare(name: &'static str, architecture: Architecture, head: Head) {
    let Some(python) = testing::python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let [weights, input, output] =
        ["weights", "input", "output"].map(|n| folder.path().join(format!("{n}.safetensors")));
    let network = |kind: Kind| {
        let mut model = Classifier::new(architecture, head, 11, Device::Cpu);
        lived_in(&model);
        model.compute_in(kind).unwrap();
        model
    };
    let model = network(Kind::Float);
    let named: Vec<(&str, Tensor)> =
        model.variables().iter().map(|v| (v.name.as_str(), v.tensor.detach().copy())).collect();
    Tensor::write_safetensors(&named, &weights).unwrap();
    let labels = Tensor::from_slice(&[0i64, 1, 1, 0]);
    Tensor::write_safetensors(&[("films", films()), ("labels", labels.shallow_clone())], &input).unwrap();
    testing::script(
        &python,
        "crate/tests/golden/densenet.py",
        &[name.as_ref(), weights.as_ref(), input.as_ref(), output.as_ref()],
    );
    let theirs = Theirs { name, numbers: read(&output) };

    let loss_of = |logits: &Tensor| logits.cross_entropy_loss(&labels, None::<Tensor>, Reduction::Mean, -100, 0.0);
    for kind in [Kind::Double, Kind::Float] {
        let model = network(kind);
        theirs.check(Path::Predict, kind, "eval.logits", &model.predict(&films()).unwrap(), F64);
        for (prefix, mode) in [("eval", Mode::Eval), ("train", Mode::Train)] {
            let check = |key: &str, found: &Tensor, exact: f64| {
                theirs.check(Path::Layers, kind, &format!("{prefix}.{key}"), found, exact);
            };
            let logits = model
                .forward_with(&films(), mode, &mut |layer, xs| match layer {
                    "features.norm5" => check("features", xs, F64),
                    "pooled" => check("pooled", xs, F64),
                    _ => {}
                })
                .unwrap();
            check("logits", &logits, F64);
            let loss = loss_of(&logits);
            check("loss", &loss, F64);
            let weights: Vec<&Tensor> = model.trainable().iter().map(|v| &v.tensor).collect();
            let gradients = Tensor::run_backward(&[loss], &weights, false, false);
            for (variable, gradient) in model.trainable().iter().zip(&gradients) {
                check(&format!("gradient.{}", variable.name), gradient, F32);
            }
        }
        let trained = network(kind);
        let check = |key: &str, found: &Tensor, exact: f64| theirs.check(Path::Gradients, kind, key, found, exact);
        let (loss, gradients) = trained
            .gradients(&films(), |logits| {
                check("train.logits", logits, F64);
                loss_of(logits)
            })
            .unwrap();
        check("train.loss", &loss, F64);
        assert_eq!(gradients.len(), trained.trainable().len());
        let keys = trained.trainable().into_iter().map(|variable| format!("train.gradient.{}", variable.name));
        let gradients: Vec<(String, Tensor)> = keys.zip(gradients).collect();
        match kind {
            Kind::Double => gradients.iter().for_each(|(key, gradient)| check(key, gradient, F32)),
            _ => theirs.check_together(&gradients),
        }
        for (path, model) in [(Path::Layers, &model), (Path::Gradients, &trained)] {
            for variable in model.variables().iter().filter(|v| v.kind == VariableKind::Statistic) {
                theirs.check(path, kind, &format!("moved.{}", variable.name), &variable.tensor, F32);
            }
        }
    }
}

#[test]
fn densenet121_equals_torchvisions_in_features_logits_and_all_gradients() {
    compare("densenet121", Architecture::DenseNet121, Head::Linear { classes: 1000 });
}

#[test]
fn the_reference_network_equals_the_same_network_in_pytorch() {
    compare("reference", Architecture::DenseNet121, Head::Reference { classes: 2 });
}

#[test]
fn densenet169_equals_torchvisions() {
    compare("densenet169", Architecture::DenseNet169, Head::Linear { classes: 2 });
}

#[test]
fn densenet201_equals_torchvisions() {
    compare("densenet201", Architecture::DenseNet201, Head::Linear { classes: 2 });
}

#[test]
fn densenet161_equals_torchvisions() {
    compare("densenet161", Architecture::DenseNet161, Head::Linear { classes: 2 });
}
