//! Our network, optimisers and schedule against PyTorch and torchvision, run by the interpreter that `HUMERUS_PYTHON` names.

mod support;

use std::path::Path;

use humerus::model::{Architecture, Classifier, Head, Mode, VariableKind};
use humerus::train::{Ema, Optimizer, Pace, Schedule, Update};
use tch::{Device, Kind, Reduction, Tensor};

/// Films `[4, 3, 80, 96]` that no layer finds boring.
fn films() -> Tensor {
    (Tensor::arange(4 * 3 * 80 * 96, (Kind::Float, Device::Cpu)) * 0.731).sin().view([4, 3, 80, 96]) * 1.5
}

/// Weights as after some training: running statistics are not their initial zeros and ones, nor are BatchNorm's weights.
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

fn read(path: &Path) -> std::collections::HashMap<String, Tensor> {
    Tensor::read_safetensors(path).unwrap().into_iter().collect()
}

/// Largest difference, as a share of the expected tensor's largest value.
fn difference(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.size(), expected.size());
    let scale = expected.abs().max().double_value(&[]).max(1e-6);
    (found - expected).abs().max().double_value(&[]) / scale
}

const TOLERANCE: f64 = 1e-4;

fn compare(name: &str, architecture: Architecture, head: Head) {
    let Some(python) = support::python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let [weights, input, output] =
        ["weights", "input", "output"].map(|n| folder.path().join(format!("{n}.safetensors")));
    let model = Classifier::new(architecture, head, 11, Device::Cpu);
    lived_in(&model);
    let named: Vec<(&str, Tensor)> =
        model.variables().iter().map(|v| (v.name.as_str(), v.tensor.detach().copy())).collect();
    Tensor::write_safetensors(&named, &weights).unwrap();
    let labels = Tensor::from_slice(&[0i64, 1, 1, 0]);
    Tensor::write_safetensors(&[("films", films()), ("labels", labels.shallow_clone())], &input).unwrap();
    support::script(&python, "densenet.py", &[name.as_ref(), weights.as_ref(), input.as_ref(), output.as_ref()]);
    let expected = read(&output);

    for (prefix, mode) in [("eval", Mode::Eval), ("train", Mode::Train)] {
        let check = |key: &str, found: &Tensor| {
            let off = difference(found, &expected[&format!("{prefix}.{key}")]);
            assert!(off <= TOLERANCE, "{name}, {prefix}.{key}: {off:.2e} of its largest value away");
        };
        let logits = model
            .forward_with(&films(), mode, &mut |layer, xs| match layer {
                "features.norm5" => check("features", xs),
                "pooled" => check("pooled", xs),
                _ => {}
            })
            .unwrap();
        check("logits", &logits);
        let loss = logits.cross_entropy_loss(&labels, None::<Tensor>, Reduction::Mean, -100, 0.0);
        check("loss", &loss);
        let weights: Vec<&Tensor> = model.trainable().iter().map(|v| &v.tensor).collect();
        let gradients = Tensor::run_backward(&[loss], &weights, false, false);
        for (variable, gradient) in model.trainable().iter().zip(&gradients) {
            check(&format!("gradient.{}", variable.name), gradient);
        }
    }
    for variable in model.variables().iter().filter(|v| v.kind == VariableKind::Statistic) {
        let off = difference(&variable.tensor, &expected[&format!("moved.{}", variable.name)]);
        assert!(off <= TOLERANCE, "{name}, running statistic {}: {off:.2e}", variable.name);
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

#[test]
fn optimisers_clipping_averaging_and_schedules_equal_pytorchs_over_20_steps() {
    let Some(python) = support::python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let [input, output] = ["input", "output"].map(|n| folder.path().join(format!("{n}.safetensors")));
    let wave = |n: i64, phase: f64| (Tensor::arange(n, (Kind::Float, Device::Cpu)) * 1.7 + phase).sin();
    let start = || [wave(12, 0.3).view([4, 3]), wave(4, 0.9)];
    let gradients = |step: i64| [wave(12, step as f64).view([4, 3]), wave(4, 2.0 * step as f64) * 3.0];
    let [weight, bias] = start();
    let mut given = vec![("weight".to_owned(), weight), ("bias".to_owned(), bias)];
    for step in 0..40 {
        let [weight, bias] = gradients(step);
        given.push((format!("gradients.{step}.weight"), weight));
        given.push((format!("gradients.{step}.bias"), bias));
    }
    Tensor::write_safetensors(&given, &input).unwrap();
    support::script(&python, "optimizer.py", &[input.as_ref(), output.as_ref()]);
    let expected = read(&output);
    for (name, rule) in [
        ("sgd", Optimizer::Sgd { learning_rate: 0.1, momentum: 0.0, nesterov: true }),
        ("momentum", Optimizer::Sgd { learning_rate: 0.1, momentum: 0.9, nesterov: false }),
        ("nesterov", Optimizer::Sgd { learning_rate: 0.1, momentum: 0.9, nesterov: true }),
        ("adamw", Optimizer::AdamW { learning_rate: 0.01, weight_decay: 0.05 }),
    ] {
        let mut update = Update::new(rule, start().map(|t| t.set_requires_grad(true)).into());
        for step in 0..20 {
            update.step(&gradients(step), rule.learning_rate()).unwrap();
        }
        for (key, weight) in ["weight", "bias"].iter().zip(update.weights()) {
            let off = difference(weight, &expected[&format!("{name}.{key}")]);
            assert!(off <= 1e-6, "{name}.{key}: {off:.2e}");
        }
    }
    for (name, accumulate, most) in [("clip", 1, Some(1.0)), ("accumulate", 2, None), ("both", 2, Some(0.5))] {
        let rule = Optimizer::AdamW { learning_rate: 0.01, weight_decay: 0.05 };
        let mut update = Update::new(rule, start().map(|t| t.set_requires_grad(true)).into());
        let mut ema = Ema::new(update.weights().iter().map(Tensor::detach).collect());
        let mut norms = Vec::new();
        for step in 0..20 {
            let mut gathered = update.gather(&gradients(step * accumulate)).unwrap();
            for part in 1..accumulate {
                gathered.add(&update.gather(&gradients(step * accumulate + part)).unwrap());
            }
            gathered.scale(1.0 / accumulate as f64);
            if let Some(most) = most {
                norms.push(gathered.clip(most));
            }
            update.apply(gathered, rule.learning_rate());
            ema.update(0.9);
        }
        for (at, key) in ["weight", "bias"].iter().enumerate() {
            let off = difference(&update.weights()[at], &expected[&format!("{name}.{key}")]);
            assert!(off <= 1e-6, "{name}.{key}: {off:.2e}");
            let off = difference(&ema.averages()[at], &expected[&format!("{name}.average.{key}")]);
            assert!(off <= 1e-6, "{name}.average.{key}: {off:.2e}");
        }
        if most.is_some() {
            let norms = Tensor::stack(&norms, 0);
            assert!(norms.min().double_value(&[]) > 0.5, "something was clipped in every step");
            assert!(difference(&norms, &expected[&format!("{name}.norms")]) <= 1e-6);
        }
    }
    for (name, schedule) in
        [("one_cycle", Schedule::OneCycle { warm_up: 0.25 }), ("cosine", Schedule::Cosine { warm_up: 0.25 })]
    {
        let pace = Pace::new(schedule, 0.3, 50);
        let found: Vec<f64> = (0..50).map(|step| pace.learning_rate(step)).collect();
        assert!(difference(&Tensor::from_slice(&found), &expected[name]) < 1e-12, "{name}");
    }
}
