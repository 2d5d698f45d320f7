//! `humerus train`

use std::fmt::Display;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use humerus::dataset::{CacheFolder, Feeding, Index, Leak, Preparing, split};
use humerus::device::{DeviceChoice, Precision};
use humerus::metrics::Rule;
use humerus::train::{self, Event, Recipe, Resume, Sweep, TrainOptions};
use humerus::weights::Weights;
use humerus::{Error, Result, Tally, counted, files};

use crate::flags;
use crate::output::{self, Bar};
use crate::signal::Signal;
use crate::source::Source;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Folder that receives model.safetensors (best epoch), last.safetensors, metrics, event files and what `--resume`
    /// needs
    #[arg(long)]
    out: PathBuf,
    /// `default`, `reference` (the original project's), or a JSON file with a recipe
    #[arg(long, default_value = "default")]
    recipe: String,
    #[arg(long, help = with_default("Most passes over the training films", |recipe| recipe.epochs.to_string()))]
    epochs: Option<usize>,
    #[arg(long, value_name = "PX")]
    #[arg(help = with_default("Side of the network's input in pixels", |recipe| recipe.preprocess.size.to_string()))]
    size: Option<u32>,
    #[arg(long, value_name = "N", help = with_default("Films per step", |recipe| recipe.batch_size.to_string()))]
    batch: Option<usize>,
    #[arg(long)]
    #[arg(help = with_default("Seed of weights, split, order and augmentation", |recipe| recipe.seed.to_string()))]
    seed: Option<u64>,
    /// By what rule the operating point is chosen on the tune studies: youden, sensitivity=SHARE, specificity=SHARE,
    /// cost=PREVALENCE,FALSE_ALARMS_A_MISS, or a threshold [default: the recipe's, youden; 0.5 in `reference`]
    #[arg(long, value_name = "RULE", value_parser = flags::value::<Rule>)]
    operating_point: Option<Rule>,
    /// Weights to start from: auto (ImageNet for real films, random for phantoms), random, imagenet,
    /// hub:OWNER/NAME/FILE, or a file, with #NAME behind it for one of several networks in it
    #[arg(long, value_name = "WEIGHTS", default_value_t, value_parser = flags::value::<Weights>)]
    weights: Weights,
    /// Folder for decoded films, or `none` [default: humerus/films in the user's cache folder]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Train although the data leak: duplicates-across-splits, patient-in-two-splits or study-with-two-labels; may be
    /// repeated
    #[arg(long, value_name = "LEAK", value_parser = flags::value::<Leak>)]
    allow: Vec<Leak>,
    /// Cross-validate: divide the studies into K folds
    #[arg(long, value_name = "K", requires = "fold")]
    folds: Option<usize>,
    /// The fold that is held out, 1 to K
    #[arg(long, value_name = "I", requires = "folds")]
    fold: Option<usize>,
    /// auto, cpu or cuda
    #[arg(long, default_value_t, value_parser = flags::value::<DeviceChoice>)]
    device: DeviceChoice,
    /// fp32, bf16, or auto: bf16 where the device has instructions for it
    #[arg(long, default_value_t, value_parser = flags::value::<Precision>)]
    precision: Precision,
    /// Continue the run in the folder, unfinished or with more --epochs; refused if it is of another recipe, other
    /// data, weights or precision
    #[arg(long)]
    resume: bool,
    /// Minutes between two checkpoints within an epoch, fractions allowed; there is one after each epoch anyway
    #[arg(long, value_name = "MINUTES", default_value_t = 10.0)]
    checkpoint_minutes: f64,
    /// Do not train: sweep the learning rate and suggest one
    #[arg(long, conflicts_with_all = ["resume", "find_batch"])]
    find_lr: bool,
    /// Do not train: find the largest batch that fits into memory
    #[arg(long, conflicts_with = "resume")]
    find_batch: bool,
    /// Print one JSON object at the end instead of lines during training
    #[arg(long)]
    json: bool,
}

/// The options that decide which run it is.
const RESUMED: [(&str, &str); 9] = [
    ("operating_point", "--operating-point"),
    ("name", "--recipe"),
    ("epochs", "--epochs"),
    ("batch_size", "--batch"),
    ("preprocess.size", "--size"),
    ("seed", "--seed"),
    ("weights", "--weights"),
    ("device", "--device"),
    ("precision", "--precision"),
];

/// An error in the words of this command.
pub fn words(error: &Error) -> String {
    match error {
        Error::Resume { .. } => {
            format!("{error}; train into another --out, or leave out --resume, which sets this run aside")
        }
        other => other.to_string(),
    }
}

/// Skipped files that are named.
const NAMED: usize = 8;

impl Args {
    pub fn run(self) -> Result<()> {
        flags::no_dash(&self.out)?;
        for name in train::FILES {
            files::keep_inputs(&self.out.join(name), &[Path::new(&self.recipe)])?;
        }
        let named = |error| flags::named(error, &[("recipe", "--recipe"), ("recipe file", "--recipe")]);
        let mut recipe = Recipe::named(&self.recipe).map_err(named)?;
        recipe.epochs = self.epochs.unwrap_or(recipe.epochs);
        recipe.batch_size = self.batch.unwrap_or(recipe.batch_size);
        recipe.seed = self.seed.unwrap_or(recipe.seed);
        recipe.operating_point = self.operating_point.unwrap_or(recipe.operating_point);
        recipe.preprocess.size = self.size.unwrap_or(recipe.preprocess.size);
        // A value of the recipe's own keeps its name in it.
        let typed: Vec<(&str, &'static str)> = [
            ("epochs", "--epochs", self.epochs.is_some()),
            ("batch_size", "--batch", self.batch.is_some()),
            ("preprocess.size", "--size", self.size.is_some()),
        ]
        .into_iter()
        .filter_map(|(setting, flag, is_typed)| is_typed.then_some((setting, flag)))
        .collect();
        recipe.validate().map_err(|error| flags::named(error, &typed))?;
        let checkpoint_every = Duration::try_from_secs_f64(60.0 * self.checkpoint_minutes)
            .map_err(|_| Error::setting("--checkpoint-minutes", "a number from 0", self.checkpoint_minutes))?;
        let mut index = self.source.audited()?;
        if let (Some(k), Some(fold)) = (self.folds, self.fold) {
            let flags = [("folds", "--folds"), ("fold", "--fold")];
            index = split::fold(&index, fold, k, recipe.seed).map_err(|error| flags::named(error, &flags))?;
        }
        let cache = match self.cache {
            None => CacheFolder::PerUser,
            Some(folder) if folder.as_os_str() == "none" => CacheFolder::Nowhere,
            Some(folder) => CacheFolder::At(folder),
        };
        let mut options = TrainOptions {
            device: self.device,
            precision: self.precision,
            weights: self.weights,
            feeding: Feeding { cache, ..Feeding::default() },
            allow: self.allow,
            resume: if self.resume { Resume::OrRefuse } else { Resume::No },
            checkpoint_every,
            ..TrainOptions::new(self.out)
        };
        let terminal = std::io::stderr().is_terminal();
        if terminal {
            options.step_every = Duration::ZERO; // the bar draws itself as often as eyes can follow
        }
        let signal = Signal::listen(&options.stop)?;
        // A reader that goes away does not stop a night's work, be it before the first epoch.
        let mut broken = if self.json { Ok(()) } else { told(&index) };
        if self.find_batch {
            output::aside("trying batches of 2, 4, 8 films and so on, until one would not fit into memory ...");
            let bar = Bar::spinner("taking a step of each");
            let sizes = train::find_batch_size(&recipe, &options)?;
            drop(bar);
            return found(self.json, &sizes);
        }
        if !self.find_lr {
            train::refuse_films_in(&options.run, &index)?;
        }
        output::prepare(&index, &recipe.preprocess, &options.feeding)?;
        if self.find_lr {
            let sweep = Sweep::default();
            output::aside(format_args!("sweeping the learning rate over {} ...", counted(sweep.steps, "step")));
            let mut bar = Bar::new("steps of the sweep");
            let sweep = train::find_learning_rate(&index, &recipe, &options, &sweep, &mut |event| match event {
                Event::Swept { step, steps } if terminal => bar.at(Tally { done: step, of: steps }),
                Event::Notice(_) | Event::Fetching(_) => bar.aside(|| output::aside(event)),
                _ => {}
            })?;
            drop(bar);
            return found(self.json, &sweep);
        }
        let mut bar = Bar::new("steps of the epoch");
        let report = train::run(&index, &recipe, &options, &mut |event| match event {
            Event::Step { step, steps, .. } if terminal => bar.at(Tally { done: step, of: steps }),
            Event::Preparing(Preparing::Decoded { done, of }) if terminal => bar.at(Tally { done, of }),
            // A reader that goes away does not stop a night's work.
            event if !self.json && broken.is_ok() => broken = bar.aside(|| output::text(event)),
            _ => {}
        });
        drop(bar);
        let report = match report {
            Err(stopped @ Error::Stopped { .. }) => signal.end(&stopped),
            other => other.map_err(|error| flags::named(error, &RESUMED))?,
        };
        if self.json {
            return output::json(&report);
        }
        output::text(format_args!("held out: {}", report.held_out))
    }
}

/// Help for an option that the recipe decides where it is not given.
fn with_default(what: &str, of: fn(&Recipe) -> String) -> String {
    let values = ["default", "reference"].map(|name| Recipe::named(name).map(|recipe| of(&recipe)).unwrap_or_default());
    match values {
        [usual, reference] if usual == reference => format!("{what} [default: the recipe's, {usual}]"),
        [usual, reference] => format!("{what} [default: the recipe's, {usual}; {reference} in `reference`]"),
    }
}

/// Prints what there is to learn from.
fn told(index: &Index) -> Result<()> {
    output::text(format_args!("{}", index.summary()))?;
    for skipped in index.skipped.iter().take(NAMED) {
        output::text(format_args!("  {}: {}", output::path(&skipped.path), skipped.reason))?;
    }
    match index.skipped.len().saturating_sub(NAMED) {
        0 => Ok(()),
        more => output::text(format_args!("  and {more} more, which `humerus index` lists")),
    }
}

fn found(json: bool, result: &(impl Display + serde::Serialize)) -> Result<()> {
    if json { output::json(result) } else { output::text(result) }
}
