//! What integration tests share.
#![allow(dead_code)]

use std::path::Path;

/// A small set of phantoms, one view a study.
pub fn phantoms(folder: &Path, studies: usize) -> humerus::dataset::Index {
    use humerus::phantom::{PhantomConfig, write};
    let config = PhantomConfig { studies, seed: 5, longest_side: 96, ..PhantomConfig::default() };
    let set = write(&config, &folder.join("films"), &mut |_| ()).expect("phantoms are written");
    let mut index = humerus::dataset::index(&set.root).expect("phantoms are found");
    for study in &mut index.studies {
        study.views.truncate(1);
    }
    index
}

/// The default recipe made small and plain: 64 pixels, no augmentation, average or clipping, so many epochs.
pub fn small(epochs: usize) -> humerus::train::Recipe {
    use humerus::Preprocess;
    use humerus::augment::Augment;
    use humerus::train::Recipe;
    let preprocess = Preprocess { size: 64, ..Preprocess::default() };
    let plain = Recipe { clip_norm: None, ema: None, ..Recipe::default() };
    Recipe { preprocess, augment: Augment::none(), batch_size: 8, epochs, ..plain }
}

/// Options for a run in a folder, on one core of the CPU, with a cache beside it: tests run side by side, and threads
/// that wait for each other on a busy machine take ten times as long.
pub fn options(folder: &Path, run: &str) -> humerus::train::TrainOptions {
    use humerus::dataset::{CacheFolder, Feeding};
    use humerus::device::{DeviceChoice, Precision};
    use humerus::train::TrainOptions;
    tch::set_num_threads(1);
    // The same numbers whatever the processor has instructions for.
    let precision = Precision::Fp32;
    let feeding = Feeding { cache: CacheFolder::At(folder.join("cache")), ..Feeding::default() };
    let weights = humerus::weights::Weights::Random;
    TrainOptions { device: DeviceChoice::Cpu, precision, feeding, weights, ..TrainOptions::new(folder.join(run)) }
}
