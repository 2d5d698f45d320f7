//! What a notebook's settings cell holds, and what follows from it: data, recipe and folders.
//!
//! Each field can be overridden by an environment variable, so that the same notebook runs short in a test and long
//! overnight.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use tch::Device;

use crate::counted;
use crate::dataset::{self, Index};
use crate::device::{self, DeviceChoice};
use crate::error::{Error, Result};
use crate::preprocess::Fit;
use crate::train::{MODEL_FILE, Recipe, Resume, TrainOptions, is_unfinished};
use crate::weights::Weights;
use phantom::{self, PhantomConfig};

/// Settings shared by the three notebooks.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Folder of a data set in MURA's or FracAtlas' layout; `None` simulates phantoms. `HUMERUS_DATA`.
    pub data: Option<PathBuf>,
    /// Folder of the training run: the first notebook writes the model there, the others read it. `HUMERUS_RUN`.
    pub run: PathBuf,
    /// Where to compute. `HUMERUS_DEVICE`.
    pub device: DeviceChoice,
    /// How many studies to simulate where there is no data. `HUMERUS_STUDIES`.
    pub studies: usize,
    /// Most passes over the training films; `None` takes what fits the device. `HUMERUS_EPOCHS`.
    pub epochs: Option<usize>,
    /// Side of the network's input in pixels; `None` takes what fits the device. `HUMERUS_SIZE`.
    pub size: Option<u32>,
    /// Weights to start from; [`Weights::Auto`] is ImageNet's for real films and random ones for phantoms.
    /// `HUMERUS_WEIGHTS`.
    pub weights: Weights,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            data: None,
            run: PathBuf::from("../out/run"),
            device: DeviceChoice::Auto,
            studies: 600,
            epochs: None,
            size: None,
            weights: Weights::Auto,
        }
    }
}

/// What fits two CPU cores in minutes.
struct Modest {
    epochs: usize,
    size: u32,
    fit: Fit,
}

/// Over phantoms: arms are long and narrow, and stretched they use every pixel of a small square.
const PHANTOMS_ON_CPU: Modest = Modest { epochs: 10, size: 80, fit: Fit::Stretch };
/// Over other films: a first look, not a result.
const FILMS_ON_CPU: Modest = Modest { epochs: 4, size: 128, fit: Fit::Letterbox };

impl Settings {
    /// These settings, with what the environment says instead.
    ///
    /// # Errors
    /// [`Error::Setting`] names the variable, what was expected and what came.
    pub fn overridden(self) -> Result<Settings> {
        Ok(Settings {
            data: variable("HUMERUS_DATA", "a folder")?.or(self.data),
            run: variable("HUMERUS_RUN", "a folder")?.unwrap_or(self.run),
            device: variable("HUMERUS_DEVICE", "auto, cpu or cuda")?.unwrap_or(self.device),
            studies: variable("HUMERUS_STUDIES", "a number")?.unwrap_or(self.studies),
            epochs: variable("HUMERUS_EPOCHS", "a number")?.or(self.epochs),
            size: variable("HUMERUS_SIZE", "a number of pixels")?.or(self.size),
            weights: variable("HUMERUS_WEIGHTS", "auto, random, imagenet, hub:OWNER/NAME/FILE or a file")?
                .unwrap_or(self.weights),
        })
    }

    /// The data's index, audited; without data, phantoms are simulated beside the run's folder, once.
    ///
    /// # Errors
    /// As [`dataset::index`], [`Index::audit`] and [`phantom::write`].
    pub fn index(&self) -> Result<Index> {
        if let Some(data) = &self.data {
            return Ok(dataset::index(data)?.audit()?);
        }
        let config = PhantomConfig { studies: self.studies, ..PhantomConfig::default() };
        let beside = self.run.parent().map(PathBuf::from).unwrap_or_default();
        let (studies, seed, drawing) = (config.studies, config.seed, phantom::DRAWING_VERSION);
        let folder = beside.join(format!("phantoms-{studies}-seed-{seed}-v{drawing}"));
        let mut bar = None;
        let set = phantom::write(&config, &folder, &mut |tally| drawn(&mut bar, tally.done, tally.of))?;
        Ok(dataset::index(&set.root)?.audit()?)
    }

    /// The default recipe, with the size and the number of epochs that fit the device.
    ///
    /// # Errors
    /// [`Error::Device`] if the device is not there.
    pub fn recipe(&self) -> Result<Recipe> {
        let on_cpu = device::resolve(self.device)? == Device::Cpu;
        let mut recipe = Recipe::default();
        if on_cpu {
            let modest = self.modest();
            recipe.preprocess.size = modest.size;
            recipe.preprocess.fit = modest.fit;
            recipe.epochs = modest.epochs;
        }
        recipe.preprocess.size = self.size.unwrap_or(recipe.preprocess.size);
        recipe.epochs = self.epochs.unwrap_or(recipe.epochs);
        Ok(recipe)
    }

    fn modest(&self) -> &'static Modest {
        if self.data.is_none() { &PHANTOMS_ON_CPU } else { &FILMS_ON_CPU }
    }

    /// Where training goes; an unfinished run there is continued.
    pub fn options(&self) -> TrainOptions {
        let resume = if is_unfinished(&self.run) { Resume::IfPossible } else { Resume::No };
        let mut options = TrainOptions { device: self.device, resume, ..TrainOptions::new(&self.run) };
        options.weights = self.weights.clone();
        // A panel changes in place; lines would stand one under the other.
        #[cfg(feature = "notebook")]
        if live::is_live() {
            options.step_every = std::time::Duration::from_secs(1);
        }
        options
    }

    /// The model file that training writes.
    pub fn model(&self) -> PathBuf {
        self.run.join(MODEL_FILE)
    }
}

/// A bar of the studies that are drawn, from the first one on: a set that is there draws none.
#[cfg(feature = "notebook")]
fn drawn(bar: &mut Option<live::ProgressBar>, done: usize, of: usize) {
    let bar = bar.get_or_insert_with(|| live::ProgressBar::new(of as u64));
    bar.set_message("simulated studies");
    bar.set_position(done as u64);
}

/// Nothing shows a bar.
#[cfg(not(feature = "notebook"))]
fn drawn(_: &mut Option<()>, _: usize, _: usize) {}

impl Settings {
    /// The settings as name and value, for tables.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let data = match &self.data {
            Some(data) => data.display().to_string(),
            None => counted(self.studies, "simulated study"),
        };
        let on_cpu = self.modest();
        let found = device::resolve(self.device).map_or_else(|error| error.to_string(), device::describe);
        vec![
            ("data", data),
            ("run", self.run.display().to_string()),
            ("device", format!("{} ({found})", self.device)),
            (
                "epochs",
                match self.epochs {
                    Some(epochs) => epochs.to_string(),
                    None => {
                        format!("the recipe's; limited to {} on a CPU (HUMERUS_EPOCHS raises the limit)", on_cpu.epochs)
                    }
                },
            ),
            (
                "size",
                match self.size {
                    Some(size) => format!("{size} pixels"),
                    None => format!("the recipe's; {} pixels on a CPU", on_cpu.size),
                },
            ),
            (
                "weights",
                match self.weights {
                    Weights::Auto if self.data.is_none() => "random, as the films are simulated".to_owned(),
                    Weights::Auto => "ImageNet (HUMERUS_WEIGHTS chooses others)".to_owned(),
                    ref weights => weights.to_string(),
                },
            ),
        ]
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.rows() {
            writeln!(f, "{name:<8}{value}")?;
        }
        Ok(())
    }
}

fn variable<T: FromStr>(name: &'static str, expected: &str) -> Result<Option<T>> {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => text.parse().map(Some).map_err(|_| Error::setting(name, expected, text)),
        _ => Ok(None),
    }
}
