//! What a training run is made of, as plain data that is saved with the weights it produced.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tch::Device;

use crate::augment::Augment;
use crate::error::{Error, Result};
use crate::network::{Architecture, Classifier, Head, Unfreeze};
use crate::preprocess::{Fit, Preprocess};
use files::regular;
use metrics::Rule;

/// The update rule.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind", deny_unknown_fields)]
pub enum Optimizer {
    /// Stochastic gradient descent, PyTorch's formula.
    Sgd {
        /// Learning rate.
        learning_rate: f64,
        /// Momentum; 0 is none, and then `nesterov` changes nothing.
        momentum: f64,
        /// Nesterov's form of momentum.
        nesterov: bool,
    },
    /// Decoupled weight decay (Loshchilov & Hutter, arXiv:1711.05101), β = (0.9, 0.999), ε = 1e-8; biases and norms do
    /// not decay.
    AdamW {
        /// Learning rate; the peak where the schedule moves it.
        learning_rate: f64,
        /// Weight decay.
        weight_decay: f64,
    },
}

impl Optimizer {
    /// The learning rate before any schedule.
    pub fn learning_rate(self) -> f64 {
        match self {
            Optimizer::Sgd { learning_rate, .. } | Optimizer::AdamW { learning_rate, .. } => learning_rate,
        }
    }
}

/// How the learning rate moves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Schedule {
    /// Not at all.
    Constant,
    /// Cosine from peak/25 up to the peak during the first `warm_up` of all steps, then cosine down to peak/10,000: one
    /// cycle (Smith & Topin, arXiv:1708.07120), PyTorch's `OneCycleLR` without momentum cycling.
    OneCycle {
        /// Fraction of all steps, 0 to 1, that the rise takes.
        warm_up: f64,
    },
    /// A straight line from 0 up to the peak during the first `warm_up` of all steps, then a half cosine down to 0
    /// (Loshchilov & Hutter, arXiv:1608.03983, one period; the formula that Transformers gives to PyTorch's
    /// `LambdaLR`).
    Cosine {
        /// Fraction of all steps, 0 to 1, that the rise takes.
        warm_up: f64,
    },
    /// Multiplied by `factor` after `patience` epochs without a lower tune loss (Keras' `ReduceLROnPlateau`,
    /// `min_delta` 1e-4).
    ReduceOnPlateau {
        /// Factor, 0 to 1.
        factor: f64,
        /// Epochs without improvement, at least 1.
        patience: usize,
    },
}

/// By what the best epoch is chosen, always on the tune split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SelectBy {
    /// Highest AUROC over studies; ties go to the lower loss.
    Auroc,
    /// Highest accuracy over views, as the original; ties go to the earlier epoch, as in Keras.
    Accuracy,
}

/// Which mean and standard deviation films are standardised by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standardise {
    /// The recipe's own `preprocess.mean` and `preprocess.std`.
    Given,
    /// Those of the training films, measured at the start.
    TrainingSet,
}

/// A part of training in which some weights learn at one learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Passes over the training films. All stages are stretched or cut in proportion where they do not add up to the
    /// recipe's `epochs`.
    pub epochs: usize,
    /// How much of the network may learn.
    pub unfreeze: Unfreeze,
    /// Learning rate, instead of the optimiser's.
    pub learning_rate: f64,
}

/// Whether probabilities are made to mean what they say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Calibrate {
    /// They stay as the network gives them.
    #[default]
    None,
    /// Logits are divided by a temperature, fitted on the tune views of the epoch (Guo et al., arXiv:1706.04599).
    Temperature,
}

fn one() -> usize {
    1
}

fn half() -> Rule {
    Rule::HALF
}

/// How to train. Saved beside the weights it produced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What to call it in tables.
    pub name: String,
    /// The network.
    pub architecture: Architecture,
    /// Its head.
    pub head: Head,
    /// How much of it may learn.
    pub unfreeze: Unfreeze,
    /// Film size in pixels, fit, mean and standard deviation.
    pub preprocess: Preprocess,
    /// Where mean and standard deviation come from.
    pub standardise: Standardise,
    /// Random changes to training films.
    pub augment: Augment,
    /// Update rule.
    pub optimizer: Optimizer,
    /// How the learning rate moves.
    pub schedule: Schedule,
    /// Most passes over the training films.
    pub epochs: usize,
    /// Films per step. The last step of an epoch takes what is left.
    pub batch_size: usize,
    /// Batches whose gradients are averaged into one step. Default 1. The last step of an epoch takes what is left.
    #[serde(default = "one")]
    pub accumulate: usize,
    /// Largest norm of the gradients over all weights together; `None` does not clip.
    #[serde(default)]
    pub clip_norm: Option<f64>,
    /// Largest decay of an exponential moving average of weights and BatchNorm statistics, 0 to 1, which is then what
    /// is judged and saved; `None` keeps none. timm's `ModelEmaV3` with its warm-up: the average moves by 1 - decay
    /// after each step, by more in the first ones.
    #[serde(default)]
    pub ema: Option<f64>,
    /// What learns when, for runs that start from given weights. The schedule starts anew in each. From random weights
    /// there is nothing to preserve: `unfreeze` and the optimiser's learning rate then hold throughout, as they do
    /// without stages.
    #[serde(default)]
    pub stages: Vec<Stage>,
    /// How many of the best epochs keep a file of their own, `epoch-N.safetensors`, besides the best model; 1 writes
    /// none. Default 1.
    #[serde(default = "one")]
    pub keep_best: usize,
    /// Label smoothing of the cross-entropy, 0 to 1.
    pub label_smoothing: f64,
    /// Weigh the classes by the inverse of their share of training films.
    pub class_weights: bool,
    /// Stop after so many epochs without a lower tune loss, at least 1; `None` never stops early.
    pub early_stopping: Option<usize>,
    /// How the best epoch is chosen.
    pub select_by: SelectBy,
    /// Share of the training patients set aside to choose the best epoch, 0 to 1.
    pub tune_fraction: f64,
    /// By what rule the threshold of the operating point is chosen, on the tune studies of the epoch. Default Youden's;
    /// in recipes of before MURA's 0.5.
    #[serde(default = "half")]
    pub operating_point: Rule,
    /// Whether probabilities are calibrated. Default by a temperature; in recipes of before not.
    #[serde(default)]
    pub calibrate: Calibrate,
    /// Seeds weights, split, order and augmentation alike.
    pub seed: u64,
}

impl Default for Recipe {
    fn default() -> Self {
        Recipe {
            name: "default".to_owned(),
            architecture: Architecture::DenseNet121,
            head: Head::Linear { classes: 2 },
            unfreeze: Unfreeze::All,
            preprocess: Preprocess::default(),
            standardise: Standardise::Given,
            augment: Augment::default(),
            optimizer: Optimizer::AdamW { learning_rate: 3e-4, weight_decay: 0.02 },
            schedule: Schedule::OneCycle { warm_up: 0.1 },
            epochs: 12,
            batch_size: 16,
            accumulate: 1,
            clip_norm: Some(1.0),
            ema: Some(0.999),
            stages: vec![
                Stage { epochs: 1, unfreeze: Unfreeze::Head, learning_rate: 1e-3 },
                Stage { epochs: 3, unfreeze: Unfreeze::LastBlock, learning_rate: 3e-4 },
                Stage { epochs: 8, unfreeze: Unfreeze::All, learning_rate: 1e-4 },
            ],
            keep_best: 1,
            label_smoothing: 0.05,
            class_weights: true,
            early_stopping: None,
            select_by: SelectBy::Auroc,
            tune_fraction: 0.15,
            operating_point: Rule::Youden,
            calibrate: Calibrate::Temperature,
            seed: 0,
        }
    }
}

impl Recipe {
    /// The original project's recipe: DenseNet-121 with three dense layers, all but the last 60 Keras layers frozen,
    /// plain SGD at 1e-3, batches of 16, 40 epochs, early stopping and reduce-on-plateau, best epoch by accuracy. Its
    /// binary cross-entropy over two softmax outputs equals the cross-entropy that we use.
    ///
    /// Two departures, both to be able to trust the numbers: patients are never split, and the epoch is chosen on
    /// patients set aside for it instead of on the held-out ones.
    pub fn reference() -> Self {
        Recipe {
            name: "reference".to_owned(),
            head: Head::Reference { classes: 2 },
            unfreeze: Unfreeze::Reference,
            preprocess: Preprocess { size: 224, fit: Fit::Stretch, ..Preprocess::default() },
            standardise: Standardise::TrainingSet,
            augment: Augment::reference(),
            optimizer: Optimizer::Sgd { learning_rate: 1e-3, momentum: 0.0, nesterov: true },
            schedule: Schedule::ReduceOnPlateau { factor: 0.1, patience: 3 },
            epochs: 40,
            batch_size: 16,
            clip_norm: None,
            ema: None,
            stages: Vec::new(),
            label_smoothing: 0.0,
            class_weights: false,
            early_stopping: Some(4),
            select_by: SelectBy::Accuracy,
            tune_fraction: 0.15,
            operating_point: Rule::HALF,
            calibrate: Calibrate::None,
            ..Recipe::default()
        }
    }

    /// `default`, `reference`, or a JSON file in the form that a model card shows.
    ///
    /// # Errors
    /// [`Error::Setting`] if the name is unknown or the file is not a recipe.
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "default" => Ok(Recipe::default()),
            "reference" => Ok(Recipe::reference()),
            file if Path::new(file).exists() => {
                let text = regular::read(Path::new(file)).map_err(Error::io(file))?;
                let wrong =
                    |e: serde_json::Error| Error::setting("recipe file", "a recipe as JSON", format!("{file}: {e}"));
                serde_json::from_slice(&text).map_err(wrong)
            }
            other => Err(Error::setting("recipe", "default, reference or a JSON file", other)),
        }
    }

    /// The network that it trains, with random weights, of which everything may learn.
    pub fn network(&self, device: Device) -> Classifier {
        Classifier::with_channels(self.architecture, self.preprocess.channels, self.head, self.seed, device)
    }

    /// The recipe as name and value, for tables.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        fn words(value: &impl Serialize) -> String {
            // The form of the model card, less JSON's punctuation.
            let text = serde_json::to_string(value).unwrap_or_default();
            text.replace("\"kind\":", "")
                .replace(['{', '}', '"'], "")
                .replace(':', " ")
                .replace(',', ", ")
                .replace('_', " ")
        }
        let mut rows = vec![
            ("network", format!("{}, head {}", self.architecture.name(), words(&self.head))),
            ("learns", words(&self.unfreeze)),
            ("input", self.preprocess.to_string()),
            ("augmentation", words(&self.augment)),
            ("optimiser", words(&self.optimizer)),
            ("schedule", words(&self.schedule)),
            ("epochs", self.epochs.to_string()),
            ("batch size", self.batch_size.to_string()),
            ("label smoothing", self.label_smoothing.to_string()),
            ("class weights", if self.class_weights { "inverse share" } else { "none" }.to_owned()),
            ("best epoch by", words(&self.select_by)),
            ("tune fraction", self.tune_fraction.to_string()),
            ("operating point", self.operating_point.to_string()),
            (
                "probabilities",
                match self.calibrate {
                    Calibrate::None => "as the network gives them".to_owned(),
                    Calibrate::Temperature => "at a temperature fitted on tune".to_owned(),
                },
            ),
            ("seed", self.seed.to_string()),
        ];
        if !self.stages.is_empty() {
            let stage = |s: &Stage| format!("{} for {} at {}", words(&s.unfreeze), s.epochs, s.learning_rate);
            let stages: Vec<String> = self.stages.iter().map(stage).collect();
            rows.push(("stages from given weights", stages.join(", ")));
        }
        let settings = [
            ("batches a step", (self.accumulate > 1).then(|| self.accumulate.to_string())),
            ("clip norm", self.clip_norm.map(|norm| norm.to_string())),
            ("moving average", self.ema.map(|decay| decay.to_string())),
            ("epochs kept", (self.keep_best > 1).then(|| self.keep_best.to_string())),
        ];
        rows.extend(settings.into_iter().filter_map(|(name, value)| Some((name, value?))));
        rows
    }

    /// Checks every range.
    ///
    /// # Errors
    /// [`Error::Setting`] names the field, its range and what came.
    pub fn validate(&self) -> Result<()> {
        fn check<T: PartialOrd + ToString>(what: &'static str, value: T, from: T, to: T) -> Result<()> {
            if value >= from && value <= to {
                return Ok(());
            }
            Err(Error::setting(what, format!("{} to {}", from.to_string(), to.to_string()), value))
        }
        self.preprocess.validate()?;
        self.augment.validate()?;
        self.operating_point.validate()?;
        check("epochs", self.epochs, 1, 100_000)?;
        check("batch_size", self.batch_size, 2, 4096)?;
        check("label_smoothing", self.label_smoothing, 0.0, 0.5)?;
        check("tune_fraction", self.tune_fraction, 0.01, 0.5)?;
        check("accumulate", self.accumulate, 1, 4096)?;
        check("keep_best", self.keep_best, 1, 1000)?;
        if let Some(norm) = self.clip_norm {
            check("clip_norm", norm, 1e-6, 1e6)?;
        }
        if let Some(decay) = self.ema {
            check("ema", decay, 0.0, 0.999_999)?;
        }
        for stage in &self.stages {
            check("stages.epochs", stage.epochs, 1, 100_000)?;
            check("stages.learning_rate", stage.learning_rate, 1e-9, 10.0)?;
            if stage.unfreeze == Unfreeze::Reference && self.architecture != Architecture::DenseNet121 {
                return Err(Error::setting("stages.unfreeze `reference`", "densenet121", self.architecture.name()));
            }
        }
        check("learning_rate", self.optimizer.learning_rate(), 1e-9, 10.0)?;
        if self.head.classes() != 2 {
            return Err(Error::setting("head.classes", "2 (normal, abnormal)", self.head.classes()));
        }
        match self.optimizer {
            Optimizer::Sgd { momentum, .. } => check("momentum", momentum, 0.0, 0.9999)?,
            Optimizer::AdamW { weight_decay, .. } => check("weight_decay", weight_decay, 0.0, 1.0)?,
        }
        match self.schedule {
            Schedule::Constant => {}
            Schedule::OneCycle { warm_up } | Schedule::Cosine { warm_up } => check("warm_up", warm_up, 0.0, 0.99)?,
            Schedule::ReduceOnPlateau { factor, patience } => {
                check("factor", factor, 1e-6, 1.0)?;
                check("patience", patience, 1, 100_000)?;
            }
        }
        match self.early_stopping {
            None => Ok(()),
            Some(patience) => check("early_stopping", patience, 1, 100_000),
        }
    }
}

#[cfg(test)]
mod tests;
