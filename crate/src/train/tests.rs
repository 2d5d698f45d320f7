//! Training's parts against PyTorch and TensorBoard, run by the interpreter that `HUMERUS_PYTHON` names.

use std::collections::HashMap;

use image::{DynamicImage, GrayImage, Luma};
use tch::{Device, Kind, Tensor};

use super::ema::Ema;
use super::optimizer::Update;
use super::schedule::Pace;
use super::tensorboard::EventWriter;
use super::{Optimizer, Schedule};
use studies::Label;

/// Largest difference, as a share of the expected tensor's largest value.
fn difference(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.size(), expected.size());
    let [found, expected] = [found, expected].map(|it| it.to_kind(Kind::Double));
    let scale = expected.abs().max().double_value(&[]).max(1e-6);
    (found - expected).abs().max().double_value(&[]) / scale
}

#[test]
fn optimisers_clipping_averaging_and_schedules_equal_pytorchs_over_20_steps() {
    let Some(python) = testing::python() else { return };
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
    testing::script(&python, "crate/tests/golden/optimizer.py", &[input.as_ref(), output.as_ref()]);
    let expected: HashMap<String, Tensor> = Tensor::read_safetensors(&output).unwrap().into_iter().collect();
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

#[test]
fn tensorboard_reads_scalars_pictures_and_curves_as_they_were_written() {
    let Some(python) = testing::python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let labels: Vec<Label> = (0..300).map(|n| Label::ALL[usize::from(n % 3 == 0)]).collect();
    let probabilities: Vec<f64> = (0..300).map(|n| (f64::from(n * 37 % 101) + 0.3) / 101.7).collect();
    let mut writer = EventWriter::create(folder.path()).unwrap();
    writer.scalar("train/loss", 1, 0.5).unwrap();
    writer.scalar("train/loss", 2, 0.25).unwrap();
    writer.scalar("learning rate", 7, 3e-4).unwrap();
    let film = GrayImage::from_fn(40, 30, |x, y| Luma([(x * 6 + y) as u8]));
    writer.image("films", 3, &DynamicImage::ImageLuma8(film.clone())).unwrap();
    writer.pr_curve("pr", 4, &labels, &probabilities).unwrap();
    writer.flush().unwrap();
    assert!(writer.pr_curve("pr", 4, &labels, &probabilities[1..]).is_err());

    let classes: Vec<String> = labels.iter().map(|label| label.index().to_string()).collect();
    let numbers: Vec<String> = probabilities.iter().map(f64::to_string).collect();
    let arguments = [classes.join(","), numbers.join(",")];
    let arguments = [folder.path().as_os_str(), arguments[0].as_ref(), arguments[1].as_ref()];
    let read: serde_json::Value =
        serde_json::from_str(&testing::script(&python, "crate/tests/golden/events.py", &arguments)).unwrap();
    assert_eq!(read["scalars"]["train/loss"], serde_json::json!([[1, 0.5], [2, 0.25]]));
    assert_eq!(read["scalars"]["learning rate"][0][0], 7);
    let row: Vec<u8> = film.rows().next().unwrap().map(|pixel| pixel.0[0]).collect();
    assert_eq!(read["images"]["films"], serde_json::json!([[3, 40, 30, row]]));
    assert_eq!(read["curve"].as_array().unwrap().len(), 6);
    assert_eq!(read["curve"], read["expected"]);
}
