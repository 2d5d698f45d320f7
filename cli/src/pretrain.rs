//! `humerus pretrain`

use std::path::PathBuf;

use humerus::device::{DeviceChoice, Precision};
use humerus::phantom::{Difficulty, PhantomConfig};
use humerus::train::{self, PretrainOptions, Recipe, Task};
use humerus::{Error, Result};

use crate::{flags, output};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Safetensors file that receives the weights
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Studies to draw, of about two films each; a tenth is held out
    #[arg(long, value_name = "N", default_value_t = 1500)]
    studies: usize,
    /// easy, medium, hard, or a number from 0 to 1: what the phantoms are like
    #[arg(long, value_name = "D", default_value_t = Difficulty::MEDIUM, value_parser = flags::value::<Difficulty>)]
    difficulty: Difficulty,
    /// What to learn of each film: fracture, kind, segment, displacement; several with commas
    #[arg(long, value_name = "TASKS", value_delimiter = ',', default_values_t = [Task::Fracture])]
    #[arg(value_parser = flags::value::<Task>)]
    tasks: Vec<Task>,
    /// Passes over the films
    #[arg(long, default_value_t = 8)]
    epochs: usize,
    /// Side of the network's input in pixels
    #[arg(long, value_name = "PX", default_value_t = 128)]
    size: u32,
    #[arg(long, value_name = "N", help = format!("Films per step [default: {}]", Recipe::default().batch_size))]
    batch: Option<usize>,
    /// Seed of phantoms, weights, order and augmentation
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// auto, cpu or cuda
    #[arg(long, default_value_t, value_parser = flags::value::<DeviceChoice>)]
    device: DeviceChoice,
    /// fp32, bf16, or auto: bf16 where the device has instructions for it
    #[arg(long, default_value_t, value_parser = flags::value::<Precision>)]
    precision: Precision,
    /// Print one JSON object at the end instead of lines meanwhile
    #[arg(long)]
    json: bool,
}

impl Args {
    pub fn run(self) -> Result<()> {
        flags::no_dash(&self.out)?;
        if self.out.is_dir() {
            return Err(Error::setting("--out", "a file to write", format!("the folder {}", self.out.display())));
        }
        let mut recipe = Recipe { epochs: self.epochs, seed: self.seed, ..Recipe::default() };
        recipe.preprocess.size = self.size;
        recipe.batch_size = self.batch.unwrap_or(recipe.batch_size);
        let phantoms = PhantomConfig {
            studies: self.studies,
            seed: self.seed,
            difficulty: self.difficulty,
            // Twice what the network sees is enough for its small lines, and quicker to draw.
            longest_side: self.size.saturating_mul(2).clamp(64, 512),
            ..PhantomConfig::default()
        };
        let (device, precision) = (self.device, self.precision);
        let options = PretrainOptions { device, precision, ..PretrainOptions::new(self.out) };
        let mut broken = Ok(());
        let report = train::pretrain(&phantoms, &self.tasks, &recipe, &options, &mut |event| {
            if !self.json && broken.is_ok() {
                broken = output::text(event);
            }
        });
        let flags = [
            ("studies", "--studies"),
            ("tasks", "--tasks"),
            ("epochs", "--epochs"),
            ("preprocess.size", "--size"),
            ("batch_size", "--batch"),
        ];
        let report = report.map_err(|error| flags::named(error, &flags))?;
        if self.json { output::json(&report) } else { output::text(&report) }
    }
}
