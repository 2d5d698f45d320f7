//! Measures training steps and inference for `cargo lab bench train`: one JSON object a line, cases named as in the
//! rival's script.
//!
//! ```text
//! step BATCH STEPS cpu|cuda     the reference network on films of 224 pixels: medians over STEPS steps
//! ```

use std::time::Instant;

use humerus::device::{self, DeviceChoice, Precision};
use humerus::network::{Architecture, Classifier, Head, Unfreeze};
use humerus::tch::{Cuda, Device, Kind, Reduction, Tensor};
use humerus::train::{Optimizer, Update};
use serde_json::json;

/// Side of a film.
const SIZE: i64 = 224;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [batch, steps, device] = &arguments[..] else {
        return Err("expected: BATCH STEPS cpu|cuda".into());
    };
    let (batch, steps) = (batch.parse()?, steps.parse()?);
    let device = device::resolve(if device == "cuda" { DeviceChoice::Cuda } else { DeviceChoice::Cpu })?;
    let films = Tensor::randn([batch, 3, SIZE, SIZE], (Kind::Float, device));
    let labels = Tensor::randint(2, [batch], (Kind::Int64, device));
    let kind = Precision::Auto.kind(device);
    let said = format!("{}, {}", device::describe(device), if kind == Kind::Float { "fp32" } else { "bf16" });
    let say = |case: &str, seconds: f64| {
        println!("{}", json!({"case": case, "images_per_second": batch as f64 / seconds, "device": said}));
    };
    let head = Head::Reference { classes: 2 };
    let mut network = Classifier::new(Architecture::DenseNet121, head, 0, device);
    network.compute_in(kind)?;
    say("inference", median(steps, device, || drop(network.predict(&films)))?);
    for (case, unfreeze) in
        [("train all layers", Unfreeze::All), ("train the original's last 60 layers", Unfreeze::Reference)]
    {
        let mut network = Classifier::new(Architecture::DenseNet121, head, 0, device);
        network.compute_in(kind)?;
        network.unfreeze(unfreeze)?;
        let weights = network.trainable().iter().map(|weight| weight.tensor.shallow_clone()).collect();
        let mut update = Update::new(Optimizer::AdamW { learning_rate: 1e-4, weight_decay: 1e-2 }, weights);
        let loss = |logits: &Tensor| logits.cross_entropy_loss(&labels, None::<Tensor>, Reduction::Mean, -100, 0.0);
        let mut step = || {
            let (_, gradients) = network.gradients(&films, loss).expect("the batch fits the network");
            update.step(&gradients, 1e-4).expect("each weight has its gradient");
        };
        say(case, median(steps, device, &mut step)?);
    }
    Ok(())
}

/// The middle of the seconds that a step takes, after two that do not count.
fn median(steps: usize, device: Device, mut step: impl FnMut()) -> Result<f64, Box<dyn std::error::Error>> {
    let mut seconds = Vec::new();
    for number in 0..steps + 2 {
        let began = Instant::now();
        step();
        if let Device::Cuda(at) = device {
            Cuda::synchronize(i64::try_from(at)?);
        }
        if number >= 2 {
            seconds.push(began.elapsed().as_secs_f64());
        }
    }
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().ok_or_else(|| "STEPS is at least 1".into())
}
