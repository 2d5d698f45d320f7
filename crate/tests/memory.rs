//! Memory while training; alone in its file, so that no other test shares the process.
#![cfg(target_os = "linux")]

mod support;

use humerus::train::{self, Recipe};

/// MiB that the allocator may keep more of at one time than at another.
const NOISE: f64 = 32.0;

#[test]
fn memory_stays_flat_over_20_epochs() {
    let folder = tempfile::tempdir().unwrap();
    let index = support::phantoms(folder.path(), 24);
    let recipe = Recipe { ema: Some(0.9), clip_norm: Some(1.0), ..support::small(24) };
    let report = train::run(&index, &recipe, &support::options(folder.path(), "run"), &mut |_| ()).unwrap();
    let resident = report.epochs.iter().map(|epoch| epoch.memory.unwrap().resident as f64 / f64::from(1 << 20));
    let resident: Vec<f64> = resident.collect();
    println!("MiB after each epoch: {resident:.0?}");
    let most = |epochs: &[f64]| epochs.iter().copied().fold(0.0, f64::max);
    // Four epochs to find its level, then twenty at it.
    let (early, late) = (most(&resident[4..9]), most(&resident[19..24]));
    assert!(late - early < NOISE, "{resident:.0?}");
}
