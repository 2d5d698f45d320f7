//! Training steps and inference, beside what a user of PyTorch would run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::{built, median, ran, verdict};
use crate::problem::{Problem, Result};
use crate::progress::ProgressLine;
use crate::report::TextTable;
use crate::setup::{self, SPIN};

/// How often each measurement is repeated, ours and theirs in turn.
const REPEATS: usize = 3;
/// Steps whose median counts, after two that do not.
const STEPS: &str = "3";
const BATCH: &str = "16";
/// Our images per second, as a multiple of PyTorch's in its best setting.
const BEST_TARGET: f64 = 1.0;
/// The same of PyTorch's default, where the processor has instructions for bf16.
const DEFAULT_TARGET: f64 = 2.2;
/// The rival's name of its default setting.
const DEFAULT: &str = "fp32 default";

/// Images per second by case and setting.
type Rates = BTreeMap<(String, String), Vec<f64>>;

/// `cargo lab bench train`, on the CPU or on a GPU.
pub fn run(device: &str) -> Result<bool> {
    let ready = setup::complete()?;
    let rival = ready.checkout.root.join("../shared/bench/peer_pytorch.py");
    if !rival.is_file() {
        println!("skipped: bench train needs PyTorch's script, {}", rival.display());
        return Ok(true);
    }
    let program: PathBuf = built(&ready, "step")?;
    let (mut ours, mut theirs) = (Rates::new(), Rates::new());
    let mut computing = String::new();
    for repeat in 1..=REPEATS {
        let step = ProgressLine::start(format!("training steps on {device} against PyTorch, {repeat} of {REPEATS}"));
        let mut command = ready.script("steps.py");
        command.arg(&rival).args([device, STEPS]).env_remove(SPIN.0);
        note(&mut theirs, &ran(&mut command, &step)?)?;
        let mut command = ready.command(&program);
        let objects = ran(command.args([BATCH, STEPS, device]), &step)?;
        if let Some(Value::String(said)) = objects.first().map(|object| &object["device"]) {
            computing.clone_from(said);
        }
        note(&mut ours, &objects)?;
        step.done();
    }
    let mut table = TextTable::new([
        "images per second",
        "PyTorch default",
        "PyTorch best",
        "humerus",
        "times default",
        "times best",
    ]);
    let mut met = true;
    for ((case, _), rates) in &ours {
        let settings = theirs.iter().filter(|((of, _), _)| of == case);
        let settings: Vec<(&str, f64)> = settings.map(|((_, name), rates)| (name.as_str(), median(rates))).collect();
        let default = settings.iter().find(|(name, _)| *name == DEFAULT).map_or(f64::NAN, |(_, rate)| *rate);
        let (name, best) = settings.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or(("", f64::NAN));
        let rate = median(rates);
        let bars = rate / best >= BEST_TARGET && (!computing.ends_with("bf16") || rate / default >= DEFAULT_TARGET);
        met &= bars || case == "inference";
        table.row([
            case.clone(),
            format!("{default:.1}"),
            format!("{best:.1} ({name})"),
            format!("{rate:.1}"),
            format!("{:.2}", rate / default),
            format!("{:.2}", rate / best),
        ]);
    }
    println!("{table}");
    println!("{computing}, batches of {BATCH} at 224 pixels, medians of {REPEATS} runs of {STEPS} steps");
    println!("training at least {BEST_TARGET:.1} times PyTorch's best setting: {}", verdict(met));
    Ok(met)
}

/// Adds what a run has printed.
fn note(rates: &mut Rates, objects: &[Value]) -> Result<()> {
    for object in objects {
        let text = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
        let rate = object["images_per_second"].as_f64();
        let rate = rate.ok_or_else(|| Problem::new(format!("bench train: no images per second in {object}")))?;
        rates.entry((text("case"), text("setting"))).or_default().push(rate);
    }
    Ok(())
}
