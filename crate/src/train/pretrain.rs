//! Pretraining on phantoms: first weights without a download.
//!
//! A phantom is drawn with its truth, so a network can be asked more than whether there is a fracture: of what kind,
//! where, how far displaced. Each question ([`Task`]) has a softmax of its own over some of the logits of one linear
//! head; the loss is the mean of the questions' cross-entropies. The head is of no use afterwards: what is saved is for
//! [`crate::weights::load`], which takes the features.

mod task;
mod told;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Instant;

use rayon::prelude::*;
use tch::{Device, Kind, Reduction, Tensor};

use super::data::batches;
use super::learner::{self, Learner};
use super::schedule::Pace;
use super::stop::StopHandle;
use crate::dataset::{Batch, epoch_order};
use crate::device::{self, DeviceChoice, Precision, computing};
use crate::error::{Error, Result};
use crate::model::file;
use crate::network::{Classifier, Head};
use crate::recipe::Recipe;
use phantom::{self, PhantomConfig};
pub use task::Task;
pub use told::{Answered, PretrainReport, Pretraining};

/// Key of the metadata that says how the weights came about.
const KEY: &str = "humerus-pretraining";

/// Where pretraining goes and what it runs on.
#[derive(Debug, Clone)]
pub struct PretrainOptions {
    /// The safetensors file that receives the weights.
    pub out: PathBuf,
    /// Where to compute.
    pub device: DeviceChoice,
    /// The dtype of feature maps.
    pub precision: Precision,
    /// Asks to stop; nothing is then written.
    pub stop: StopHandle,
}

impl PretrainOptions {
    /// For weights that go to the file `out`; everything else as usual.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        let (device, precision, stop) = Default::default();
        PretrainOptions { out: out.into(), device, precision, stop }
    }
}

/// Films with their answers.
struct Set {
    /// `[M, size, size]` bytes.
    pixels: Tensor,
    /// `[M, tasks]`, `i64`.
    answers: Tensor,
}

/// Learns to answer `tasks` about phantoms, from random weights, by the recipe's network, preprocessing, augmentation,
/// update rule, schedule, epochs, batches, clipping and seed, and writes the weights. A tenth of the studies, of
/// patients of their own, is held out.
///
/// # Errors
/// [`Error::Setting`] for settings out of their ranges, fewer than 20 studies or no task; [`Error::Training`] if the
/// loss is no longer finite or the run was asked to stop; [`Error::Device`], [`Error::Io`].
pub fn pretrain(
    phantoms: &PhantomConfig,
    tasks: &[Task],
    recipe: &Recipe,
    options: &PretrainOptions,
    progress: &mut dyn FnMut(Pretraining),
) -> Result<PretrainReport> {
    recipe.validate()?;
    phantoms.validate()?;
    if tasks.is_empty() {
        return Err(Error::setting("tasks", "at least one", "none"));
    }
    if phantoms.studies < 20 {
        return Err(Error::setting("studies", "at least 20", phantoms.studies));
    }
    let began = Instant::now();
    let device = device::resolve(options.device)?;
    let learnt = learnt_from(phantoms.studies);
    let mut draw = |studies| drawing(phantoms, tasks, recipe, options, studies, device, progress);
    let (train, held_out) = (draw(0..learnt)?, draw(learnt..phantoms.studies)?);
    let classes = tasks.iter().map(|task| task.classes()).sum();
    let recipe = &Recipe { head: Head::Linear { classes }, ..recipe.clone() };
    let network = learner::network(recipe, device, options.precision)?;
    let films = train.len();
    progress(Pretraining::Started { films, device: computing(device, network.kind()) });
    let mut learner = Learner::new(&network, recipe);
    let ranges = batches(films, recipe.batch_size);
    let pace = Pace::new(recipe.schedule, recipe.optimizer.learning_rate(), ranges.len() * recipe.epochs);
    for epoch in 1..=recipe.epochs {
        let started = Instant::now();
        let order = epoch_order(films, recipe.seed, epoch as u64);
        let mut losses = Vec::new();
        for (step, range) in ranges.iter().enumerate() {
            stop_if_asked(options)?;
            let rate = pace.learning_rate((epoch - 1) * ranges.len() + step);
            let batch = train.batch(&order[range.clone()]);
            losses.extend(
                learner.step(&network, [Ok(batch)], epoch, rate, |logits, answers| loss(logits, answers, tasks))?,
            );
        }
        let loss = Tensor::stack(&losses, 0).mean(Kind::Double).double_value(&[]);
        if !loss.is_finite() {
            return Err(Error::Training(format!("the loss of epoch {epoch} is {loss}; nothing was written")));
        }
        let images_per_second = films as f64 / started.elapsed().as_secs_f64();
        progress(Pretraining::Epoch { epoch, epochs: recipe.epochs, loss, images_per_second });
    }
    let report = PretrainReport {
        model: options.out.clone(),
        films,
        held_out: held_out.len(),
        answered: judge(&network, &held_out, tasks, recipe)?,
        seconds: began.elapsed().as_secs_f64(),
    };
    save(&network, phantoms, tasks, recipe, &report)?;
    Ok(report)
}

/// How many of the first studies are learnt from: nine tenths, and one less where that would tear a patient's two
/// studies apart.
fn learnt_from(studies: usize) -> usize {
    let learnt = studies - (studies + 5) / 10;
    if phantom::begins_a_patient(learnt) { learnt } else { learnt - 1 }
}

fn stop_if_asked(options: &PretrainOptions) -> Result<()> {
    match options.stop.is_stopped() {
        true => Err(Error::Training("asked to stop; nothing was written".to_owned())),
        false => Ok(()),
    }
}

/// Draws the studies of these numbers, in order.
fn drawing(
    phantoms: &PhantomConfig,
    tasks: &[Task],
    recipe: &Recipe,
    options: &PretrainOptions,
    studies: std::ops::Range<usize>,
    device: Device,
    progress: &mut dyn FnMut(Pretraining),
) -> Result<Set> {
    /// Studies between two reports of progress.
    const AT_ONCE: usize = 200;
    let (mut pixels, mut answers) = (Vec::new(), Vec::new());
    let numbers: Vec<usize> = studies.collect();
    for some in numbers.chunks(AT_ONCE) {
        stop_if_asked(options)?;
        let films: Vec<(Vec<Vec<u8>>, Vec<i64>)> = some
            .par_iter()
            .map(|&number| {
                let study = phantom::study(phantoms, number);
                let films = study.views.iter().map(|view| recipe.preprocess.square(&view.image).into_raw()).collect();
                (films, tasks.iter().map(|task| task.answer(study.fracture.as_ref())).collect())
            })
            .collect();
        for (films, of_study) in films {
            answers.extend(films.iter().flat_map(|_| of_study.iter().copied()));
            pixels.extend(films.into_iter().flatten());
        }
        let studies = some.last().map_or(0, |last| last + 1);
        progress(Pretraining::Drawn { studies, of: phantoms.studies });
    }
    let (side, count) = (i64::from(recipe.preprocess.size), tasks.len() as i64);
    let films = answers.len() as i64 / count;
    Ok(Set {
        pixels: Tensor::f_from_data_size(&pixels, &[films, side, side], Kind::Uint8)?.to_device(device),
        answers: Tensor::from_slice(&answers).view([films, count]).to_device(device),
    })
}

impl Set {
    fn len(&self) -> usize {
        self.pixels.size()[0] as usize
    }

    /// Films with their answers, `[N, tasks]`, in the place of labels.
    fn batch(&self, indices: &[usize]) -> Batch {
        let at: Vec<i64> = indices.iter().map(|&index| index as i64).collect();
        let at = Tensor::from_slice(&at).to_device(self.pixels.device());
        let (pixels, labels) = (self.pixels.index_select(0, &at), self.answers.index_select(0, &at));
        Batch { indices: indices.to_vec(), pixels, labels }
    }
}

/// The logits of each task, `[N, classes]`.
fn of_tasks(logits: &Tensor, tasks: &[Task]) -> Vec<Tensor> {
    let sizes: Vec<i64> = tasks.iter().map(|task| task.classes()).collect();
    logits.split_with_sizes(sizes, 1)
}

fn loss(logits: &Tensor, answers: &Tensor, tasks: &[Task]) -> Tensor {
    let losses: Vec<Tensor> = of_tasks(logits, tasks)
        .iter()
        .zip(0..)
        .map(|(logits, at)| {
            let answers = answers.select(1, at);
            logits.cross_entropy_loss(&answers, None::<Tensor>, Reduction::Mean, -100, 0.0)
        })
        .collect();
    Tensor::stack(&losses, 0).mean(Kind::Float)
}

fn judge(network: &Classifier, set: &Set, tasks: &[Task], recipe: &Recipe) -> Result<Vec<Answered>> {
    let mut right = vec![0.0; tasks.len()];
    let numbers: Vec<usize> = (0..set.len()).collect();
    for indices in numbers.chunks(64) {
        let batch = set.batch(indices);
        let logits = network.predict(&recipe.preprocess.standardise(&batch.films()))?;
        for (at, logits) in of_tasks(&logits, tasks).iter().enumerate() {
            let hits = logits.argmax(1, false).eq_tensor(&batch.labels.select(1, at as i64));
            right[at] += hits.sum(Kind::Double).double_value(&[]);
        }
    }
    let films = set.len() as f64;
    let answered = tasks.iter().enumerate().map(|(at, &task)| {
        let counts = set.answers.select(1, at as i64).bincount(None::<Tensor>, task.classes());
        Answered { task, accuracy: right[at] / films, majority: counts.max().double_value(&[]) / films }
    });
    Ok(answered.collect())
}

fn save(
    network: &Classifier,
    phantoms: &PhantomConfig,
    tasks: &[Task],
    recipe: &Recipe,
    report: &PretrainReport,
) -> Result<()> {
    let about = serde_json::json!({
        "humerus": env!("CARGO_PKG_VERSION"),
        "drawing": phantom::DRAWING_VERSION,
        "phantoms": phantoms,
        "tasks": tasks,
        "recipe": recipe,
        "answered": report.answered,
    });
    let metadata = HashMap::from([(KEY.to_owned(), about.to_string()), ("format".to_owned(), "pt".to_owned())]);
    file::save_tensors(network, metadata, &report.model)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::Augment;
    use crate::preprocess::Preprocess;

    #[test]
    fn the_loss_is_the_mean_of_the_tasks_own() {
        let logits = Tensor::from_slice(&[0.5f32, -0.5, 1.0, 2.0, 3.0, 4.0, 5.0]).view([1, 7]);
        let answers = Tensor::from_slice(&[1i64, 2]).view([1, 2]);
        let found = loss(&logits, &answers, &[Task::Fracture, Task::Kind]).double_value(&[]);
        let softmax = |values: &[f64], at: usize| values[at].exp() / values.iter().map(|v| v.exp()).sum::<f64>();
        let expected = (-softmax(&[0.5, -0.5], 1).ln() - softmax(&[1.0, 2.0, 3.0, 4.0, 5.0], 2).ln()) / 2.0;
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }

    #[test]
    fn a_tenth_is_held_out_at_any_size_and_no_patient_is_on_both_sides() {
        for studies in (20..400).chain([1500, 99_999]) {
            let learnt = learnt_from(studies);
            let off = (studies - learnt) as f64 - studies as f64 / 10.0;
            assert!((-0.5..=1.5).contains(&off), "{learnt} of {studies}");
            assert!(phantom::begins_a_patient(learnt), "{learnt} of {studies}");
        }
        let config = PhantomConfig { longest_side: 64, ..PhantomConfig::default() };
        let learnt = learnt_from(89);
        assert_ne!(phantom::study(&config, learnt - 1).patient, phantom::study(&config, learnt).patient);
    }

    #[test]
    fn pretrained_weights_are_written_and_start_another_network() {
        let folder = tempfile::tempdir().unwrap();
        let phantoms = PhantomConfig { studies: 20, longest_side: 64, ..PhantomConfig::default() };
        let preprocess = Preprocess { size: 64, ..Preprocess::default() };
        let recipe = Recipe { preprocess, augment: Augment::none(), epochs: 1, ..Recipe::default() };
        let out = folder.path().join("p.safetensors");
        let options = PretrainOptions { device: DeviceChoice::Cpu, ..PretrainOptions::new(out) };
        let mut told = Vec::new();
        let report = pretrain(&phantoms, &Task::ALL, &recipe, &options, &mut |it| told.push(it.to_string())).unwrap();
        assert!(told.iter().any(|line| line.starts_with("epoch   1 of 1")), "{told:?}");
        assert!(report.films > 18 && report.held_out >= 2 && report.answered.len() == 4, "{report:?}");
        let network = crate::train::network(&Recipe::default()).unwrap();
        let loaded = crate::weights::load(&network, &report.model).unwrap();
        assert_eq!((loaded.loaded.len(), loaded.kept.len()), (network.variables().len() - 2, 2));
        options.stop.stop();
        assert!(pretrain(&phantoms, &Task::ALL, &recipe, &options, &mut |_| ()).is_err());
        assert!(pretrain(&phantoms, &[], &recipe, &options, &mut |_| ()).is_err());
    }
}
