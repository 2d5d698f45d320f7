//! The training engine as a whole: against PyTorch, on films it must learn by heart, and in stages.

mod support;
#[allow(dead_code)]
#[path = "../examples/whole.rs"]
mod whole;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use humerus::dataset::{Films, Index, epoch_order, split};
use humerus::device::Precision;
use humerus::model::Model;
use humerus::network::{Classifier, Mode, Unfreeze, VariableKind};
use humerus::train::{self, Event, Optimizer, Recipe, Schedule, SelectBy, Stage, TrainOptions, TrainReport};
use humerus::weights::Weights;
use humerus::{Label, Split, metrics};
use tch::{Device, Kind, Tensor};

fn read(path: &Path) -> HashMap<String, Tensor> {
    Tensor::read_safetensors(path).unwrap().into_iter().collect()
}

fn losses(report: &TrainReport) -> Vec<f32> {
    report.epochs.iter().flat_map(|epoch| epoch.step_losses.clone()).collect()
}

/// Initial weights as a file, which begins a run in stages.
fn initial_weights(recipe: &Recipe, path: &Path) -> HashMap<String, Tensor> {
    let network = Classifier::new(recipe.architecture, recipe.head, recipe.seed, Device::Cpu);
    let named: Vec<(&str, Tensor)> =
        network.variables().iter().map(|v| (v.name.as_str(), v.tensor.detach().copy())).collect();
    Tensor::write_safetensors(&named, path).unwrap();
    read(path)
}

/// Films of blotches, all different, with a bright square where they are abnormal: BatchNorm finds variance in every
/// channel, so that rounding is not magnified, and there is something to learn at once.
fn plain_films(folder: &Path) -> Index {
    let write = |split: &str, number: u32| {
        let label = if number % 2 == 1 { "positive" } else { "negative" };
        let mut film = image::load_from_memory(&testing::film(number)).unwrap().to_luma8();
        if number % 2 == 1 {
            let square = image::GrayImage::from_pixel(16, 16, image::Luma([255]));
            image::imageops::replace(&mut film, &square, 20, 16);
        }
        let path = folder.join(format!("films/{split}/XR_HUMERUS/patient{number:05}/study1_{label}/image1.png"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        film.save(path).unwrap();
    };
    (0..56).for_each(|number| write("train", number));
    (56..60).for_each(|number| write("valid", number));
    humerus::dataset::index(folder.join("films")).unwrap()
}

#[test]
fn thirty_steps_follow_torchvisions_loss_curve() {
    let Some(python) = testing::python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let [weights, input, output] =
        ["weights", "batches", "output"].map(|n| folder.path().join(format!("{n}.safetensors")));
    let index = plain_films(folder.path());
    let optimizer = Optimizer::Sgd { learning_rate: 1e-4, momentum: 0.0, nesterov: false };
    let recipe = Recipe { optimizer, batch_size: 16, ..support::small(10) };
    let report = train::run(&index, &recipe, &support::options(folder.path(), "run"), &mut |_| ()).unwrap();
    let ours = losses(&report);
    assert!((30..=40).contains(&ours.len()), "{} steps", ours.len());

    initial_weights(&recipe, &weights);
    let index = split::hold_out_tune(&index, recipe.tune_fraction, recipe.seed).unwrap();
    let films = Films::load(&index.split(Split::Train), &recipe.preprocess).unwrap();
    let mut given = Vec::new();
    for epoch in 1..=recipe.epochs {
        for batch in epoch_order(films.len(), recipe.seed, epoch as u64).chunks(recipe.batch_size) {
            let (films, labels) = films.batch(batch, Device::Cpu).unwrap();
            let step = given.len() / 2;
            given.push((format!("{step}.films"), films));
            given.push((format!("{step}.labels"), labels));
        }
    }
    let counts = Label::ALL.map(|label| {
        let of = films.labels.eq(label.index() as i64).sum(Kind::Int64).int64_value(&[]);
        films.len() as f32 / (2.0 * of as f32)
    });
    given.push(("class_weights".to_owned(), Tensor::from_slice(&counts)));
    Tensor::write_safetensors(&given, &input).unwrap();
    testing::script(&python, "crate/tests/golden/train.py", &[weights.as_ref(), input.as_ref(), output.as_ref()]);
    let read = read(&output);
    let [theirs, untrained] = ["losses", "untrained"].map(|key| Vec::<f32>::try_from(&read[key]).unwrap());
    assert_eq!(ours.len(), theirs.len());
    let worst = |others: &[f32]| {
        let off = ours.iter().zip(others).map(|(a, b)| ((a - b) / b).abs()).take(30);
        off.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
    };
    let (step, most) = worst(&theirs);
    let learnt = worst(&untrained).1;
    println!("largest difference {most:.1e}, in step {step}; of a network that learns nothing {learnt:.1e}");
    assert!(most <= 1e-3, "step {step}: {} for {}", ours[step], theirs[step]);
    assert!(learnt > 3e-2, "the steps are large enough to be seen: {learnt:.1e}");
}

#[test]
fn bf16_follows_the_loss_curve_of_fp32() {
    let folder = tempfile::tempdir().unwrap();
    let index = plain_films(folder.path());
    let optimizer = Optimizer::Sgd { learning_rate: 1e-4, momentum: 0.0, nesterov: false };
    let recipe = Recipe { optimizer, batch_size: 16, ..support::small(4) };
    let curve = |precision: Precision| {
        let options = TrainOptions { precision, ..support::options(folder.path(), &precision.to_string()) };
        let mut said = String::new();
        let report = train::run(&index, &recipe, &options, &mut |event| {
            if let Event::Started { device, .. } = event {
                said = device;
            }
        });
        assert!(said.ends_with(&format!(", {precision}")), "{said}");
        losses(&report.unwrap())
    };
    let [full, half] = [Precision::Fp32, Precision::Bf16].map(curve);
    let off = full.iter().zip(&half).map(|(a, b)| ((a - b) / a).abs()).fold(0.0, f32::max);
    println!("largest difference {off:.1e} over {} steps; last {:?} and {:?}", full.len(), full.last(), half.last());
    assert!(full.len() == half.len() && off < 0.05, "{full:?}\n{half:?}");
    assert!(full != half, "they are not the same numbers");
}

#[test]
fn sixteen_films_are_learnt_by_heart() {
    let folder = tempfile::tempdir().unwrap();
    let mut index = support::phantoms(folder.path(), 40);
    // Eight training studies of each label, and what else is needed to train at all.
    let recipe = Recipe {
        label_smoothing: 0.0,
        schedule: Schedule::OneCycle { warm_up: 0.2 },
        optimizer: Optimizer::AdamW { learning_rate: 1e-3, weight_decay: 0.0 },
        tune_fraction: 0.2,
        ..support::small(25)
    };
    let mut kept = [0, 0];
    index.studies.retain(|study| {
        let n = &mut kept[study.label.index()];
        *n += usize::from(study.split == Split::Train);
        study.split != Split::Train || *n <= 10
    });
    let mut films = 0;
    let report = train::run(&index, &recipe, &support::options(folder.path(), "run"), &mut |event| {
        if let Event::Started { train, .. } = event {
            films = train;
        }
    })
    .unwrap();
    assert_eq!(films, 16);
    let last = report.epochs.last().unwrap().train_loss;
    assert!(last < 0.01, "loss {last}");
}

#[test]
fn stages_unfreeze_from_the_head_down_and_frozen_statistics_keep_every_bit() {
    let folder = tempfile::tempdir().unwrap();
    let index = support::phantoms(folder.path(), 24);
    let stage = |unfreeze, learning_rate| Stage { epochs: 1, unfreeze, learning_rate };
    let head_and_block = vec![stage(Unfreeze::Head, 1e-3), stage(Unfreeze::LastBlock, 1e-4)];
    for (name, stages, ema) in [
        ("head", head_and_block[..1].to_vec(), None),
        ("block", head_and_block.clone(), None),
        ("averaged", head_and_block, Some(0.9)),
    ] {
        let weights = folder.path().join("weights.safetensors");
        let recipe = Recipe { stages, ema, ..support::small(2) };
        let recipe = Recipe { epochs: recipe.stages.len(), ..recipe };
        let before = initial_weights(&Recipe { seed: 9, ..recipe.clone() }, &weights);
        let options = train::TrainOptions { weights: Weights::File(weights), ..support::options(folder.path(), name) };
        let mut told = Vec::new();
        let report = train::run(&index, &recipe, &options, &mut |event| {
            if let Event::Stage { unfreeze, learning_rate, .. } = event {
                told.push((unfreeze, learning_rate));
            }
        })
        .unwrap();
        if recipe.stages.len() > 1 {
            assert_eq!(told, [(Unfreeze::Head, 1e-3), (Unfreeze::LastBlock, 1e-4)]);
            // Each stage begins its own cycle at a 25th of its own peak, or at the peak where it has no step to rise
            // in.
            let rates: Vec<f64> = report.epochs.iter().map(|epoch| epoch.learning_rate).collect();
            assert!(rates[0] <= 1e-3 && rates[1] <= 1e-4 && rates[0] > rates[1], "{rates:?}");
        }
        let after = read(&options.run.join("last.safetensors"));
        let network = train::network(&recipe).unwrap();
        for variable in network.variables() {
            let tensor = &variable.name;
            let is_head = tensor.starts_with("classifier");
            let is_block = tensor.starts_with("features.denseblock4") || tensor.starts_with("features.norm5");
            let learns = is_head || (is_block && recipe.stages.len() > 1);
            assert_eq!(after[tensor].equal(&before[tensor]), !learns, "{name}: {tensor}");
            if variable.kind == VariableKind::Statistic && !learns {
                let bits =
                    |t: &Tensor| Vec::<f32>::try_from(t).unwrap().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&after[tensor]), bits(&before[tensor]), "{name}: {tensor}");
            }
        }
    }
}

#[test]
fn no_graph_is_built_through_what_is_frozen() {
    let recipe = support::small(1);
    let mut network = Classifier::new(recipe.architecture, recipe.head, 0, Device::Cpu);
    let batch = Tensor::zeros([2, 3, 64, 64], (Kind::Float, Device::Cpu));
    for (unfreeze, first) in [(Unfreeze::Head, "classifier"), (Unfreeze::LastBlock, "features.denseblock4")] {
        network.unfreeze(unfreeze).unwrap();
        let mut learns = false;
        let _ = network.forward_with(&batch, Mode::Train, &mut |name, activation| {
            learns |= name.starts_with(first);
            assert!(learns || !activation.requires_grad(), "{unfreeze:?}: {name}");
        });
        assert!(learns);
    }
}

#[test]
fn the_best_epochs_keep_their_files_and_the_averages_are_what_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let index = support::phantoms(folder.path(), 24);
    let plain = Recipe { keep_best: 2, select_by: SelectBy::Auroc, accumulate: 2, ..support::small(4) };
    let averaged = Recipe { ema: Some(0.5), clip_norm: Some(1.0), ..plain.clone() };
    for (name, recipe) in [("plain", &plain), ("averaged", &averaged)] {
        let options = support::options(folder.path(), name);
        let report = train::run(&index, recipe, &options, &mut |_| ()).unwrap();
        let mut epochs = report.epochs.to_vec();
        epochs.sort_by(|a, b| {
            let auroc = |e: &train::EpochReport| e.tune_auroc.unwrap();
            auroc(b).total_cmp(&auroc(a)).then(a.tune_loss.total_cmp(&b.tune_loss))
        });
        assert_eq!(report.best_epoch, epochs[0].epoch);
        let kept = |epoch: usize| options.run.join(format!("epoch-{epoch}.safetensors"));
        let files: Vec<bool> = epochs.iter().map(|epoch| kept(epoch.epoch).exists()).collect();
        assert_eq!(files, [true, true, false, false], "{epochs:?}");
        let (model, best) = (read(&options.run.join("model.safetensors")), read(&kept(epochs[0].epoch)));
        assert!(model.iter().all(|(name, tensor)| tensor.equal(&best[name])));
        assert!(!train::is_unfinished(&options.run) && options.run.join("finished.json").exists());
    }
    // The same steps but for clipping and averaging: the first loss is the same, the saved weights are not.
    let [a, b] = ["plain", "averaged"].map(|name| read(&folder.path().join(name).join("last.safetensors")));
    assert!(!a["classifier.weight"].equal(&b["classifier.weight"]));
}

#[test]
fn a_loss_that_is_not_finite_stops_with_one_line_and_leaves_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let index = support::phantoms(folder.path(), 24);
    let mut recipe = Recipe { schedule: Schedule::Constant, ..support::small(50) };
    recipe.optimizer = Optimizer::Sgd { learning_rate: 10.0, momentum: 0.99, nesterov: false };
    let options = support::options(folder.path(), "run");
    let error = train::run(&index, &recipe, &options, &mut |_| ()).unwrap_err().to_string();
    assert!(error.starts_with("training stopped: ") && error.contains("smaller learning rate"), "{error}");
    assert!(!error.contains('\n'));
}

#[test]
fn logs_hold_a_line_an_epoch_and_tensorboard_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let index = support::phantoms(folder.path(), 24);
    let options = support::options(folder.path(), "run");
    let report = train::run(&index, &support::small(2), &options, &mut |_| ()).unwrap();
    let lines = std::fs::read_to_string(options.run.join("metrics.jsonl")).unwrap();
    let lines: Vec<train::EpochReport> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let bare = |epoch: &train::EpochReport| train::EpochReport { step_losses: Vec::new(), ..epoch.clone() };
    let without_steps: Vec<_> = report.epochs.iter().map(bare).collect();
    assert_eq!(lines, without_steps);
    let table = std::fs::read_to_string(options.run.join("metrics.csv")).unwrap();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 3);
    let loss = rows[0].iter().position(|name| *name == "train_loss").unwrap();
    assert!(rows.iter().all(|row| row.len() == rows[0].len()));
    assert_eq!(rows[2][loss].parse::<f64>().unwrap(), lines[1].train_loss);
    if cfg!(target_os = "linux") {
        let memory = lines[1].memory.unwrap();
        assert!(memory.peak >= memory.resident && memory.resident > 50 << 20);
    }

    let Some(python) = testing::python() else { return };
    let board = options.run.join("tensorboard");
    let read: serde_json::Value =
        serde_json::from_str(&testing::script(&python, "crate/tests/golden/board.py", &[board.as_os_str()])).unwrap();
    let steps = losses(&report).len();
    assert_eq!(read["scalars"]["step/loss"].as_array().unwrap().len(), steps);
    for (tag, value) in [("train/loss", lines[1].train_loss), ("tune/loss", lines[1].tune_loss)] {
        let points = read["scalars"][tag].as_array().unwrap();
        assert_eq!(points.len(), 2);
        assert_eq!(points[1][0], 2);
        assert!((points[1][1].as_f64().unwrap() - value).abs() < 1e-6);
    }
    assert_eq!(read["images"], serde_json::json!(["training films"]));
    assert_eq!(read["tensors"], serde_json::json!(["tune"]));
}

#[test]
fn tune_and_held_out_figures_of_a_bf16_run_are_those_of_whoever_opens_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let index = plain_films(folder.path());
    let options = TrainOptions { precision: Precision::Bf16, ..support::options(folder.path(), "half") };
    let recipe = Recipe { batch_size: 16, ..support::small(1) };
    let report = train::run(&index, &recipe, &options, &mut |_| ()).unwrap();
    let model = Model::open(&report.model, options.device).unwrap();
    let index = split::hold_out_tune(&index, recipe.tune_fraction, recipe.seed).unwrap();
    let loss_of = |split| {
        let scores = model.score(index.split(split)).unwrap();
        let labels: Vec<Label> = scores.views.iter().filter_map(|view| view.label).collect();
        let probabilities: Vec<f64> = scores.views.iter().map(|view| view.probability.get()).collect();
        metrics::log_loss(&labels, &probabilities).unwrap()
    };
    let (said, found) = (report.epochs[0].tune_loss, loss_of(Split::Tune));
    assert!((said - found).abs() < 1e-5, "tune: {said} said, {found} found");
    let (labels, probabilities) = report.scores.labelled();
    let (said, found) = (metrics::log_loss(&labels, &probabilities).unwrap(), loss_of(Split::Valid));
    assert!((said - found).abs() < 1e-5, "held out: {said} said, {found} found");
}

#[test]
fn a_sweep_averages_as_many_batches_as_a_step_of_training() {
    let folder = tempfile::tempdir().unwrap();
    let index = plain_films(folder.path());
    let options = support::options(folder.path(), "run");
    // Steps too small to move a weight, so that every batch meets the same network.
    let sweep = train::Sweep { from: 1e-30, to: 1e-29, steps: 40 };
    let optimizer = Optimizer::Sgd { learning_rate: 1e-4, momentum: 0.0, nesterov: false };
    let losses = |accumulate, sweep: &train::Sweep| {
        let recipe = Recipe { optimizer, accumulate, batch_size: 8, tune_fraction: 0.5, ..support::small(1) };
        let options = TrainOptions { step_every: Duration::ZERO, ..options.clone() };
        let mut told = Vec::new();
        let mut listen = |event: Event| {
            if let Event::Swept { step, steps } = event {
                told.push((step, steps))
            }
        };
        let found = train::find_learning_rate(&index, &recipe, &options, sweep, &mut listen).unwrap();
        assert_eq!(told, (0..sweep.steps).map(|step| (step, sweep.steps)).collect::<Vec<_>>());
        // The losses before they were smoothed.
        let sum = |at: usize| found.losses[at] * (1.0 - 0.98f64.powi(at as i32 + 1));
        (0..found.losses.len()).map(|at| (sum(at) - if at > 0 { 0.98 * sum(at - 1) } else { 0.0 }) / 0.02).collect()
    };
    let single: Vec<f64> = losses(1, &sweep);
    let double: Vec<f64> = losses(2, &train::Sweep { steps: 20, ..sweep });
    assert_eq!((single.len(), double.len()), (40, 20));
    // An epoch has four batches or two steps.
    for (at, loss) in double.iter().enumerate() {
        let expected = (single[2 * at] + single[2 * at + 1]) / 2.0;
        assert!((loss - expected).abs() < 1e-4, "step {at}: {loss} for {expected}");
    }
}

#[test]
fn a_run_on_its_own_thread_is_watched_stopped_and_continued_to_the_same_end() {
    let folder = tempfile::tempdir().unwrap();
    let index = support::phantoms(folder.path(), 24);
    let recipe = Recipe { ema: Some(0.9), ..support::small(3) };
    let plain = support::options(folder.path(), "plain");
    let expected = train::run(&index, &recipe, &plain, &mut |_| ()).unwrap();

    let options = || train::TrainOptions { resume: train::Resume::OrRefuse, ..support::options(folder.path(), "run") };
    let mut training = train::spawn(&index, &recipe, &options());
    let mut lines = Vec::new();
    while training.watch(0.2, &mut |event| lines.push(event)).epochs.is_empty() {
        assert!(training.progress().running, "{lines:?}");
    }
    assert!(matches!(lines[0], Event::Started { .. }), "{lines:?}");
    training.stop();
    let error = training.wait().unwrap_err();
    assert!(matches!(&error, humerus::Error::Stopped { epoch: 2, .. }), "{error}");

    // A cell that is run again: the new handle takes the old one's place, which stops and saves.
    let first = train::spawn(&index, &recipe, &options());
    let mut second = train::spawn(&index, &recipe, &options());
    drop(first);
    let mut continued = false;
    while second.watch(60.0, &mut |event| continued |= matches!(event, Event::Resumed { .. })).running {}
    let report = second.wait().unwrap();
    assert!(continued);
    assert_eq!(report.held_out, expected.held_out);
    for name in ["model.safetensors", "last.safetensors"] {
        let [ours, theirs] = [options().run, plain.run.clone()].map(|run| read(&run.join(name)));
        assert!(theirs.iter().all(|(key, tensor)| tensor.equal(&ours[key])), "{name}");
    }
}

#[test]
fn a_sweep_of_the_learning_rate_repeats_itself_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let index = support::phantoms(folder.path(), 24);
    let options = support::options(folder.path(), "run");
    let sweep = train::Sweep { from: 1e-6, to: 1.0, steps: 24 };
    let find = || train::find_learning_rate(&index, &support::small(1), &options, &sweep, &mut |_| ()).unwrap();
    let found = find();
    assert_eq!(found.rates.len(), found.losses.len());
    assert!(found.rates.len() >= 10 && found.rates.is_sorted());
    assert!(found.losses.iter().all(|loss| loss.is_finite()));
    assert!(found.suggestion.is_none_or(|rate| (1e-6..1.0).contains(&rate)));
    assert_eq!(find(), found);
    assert!(!options.run.exists());
}

#[test]
fn the_example_goes_from_a_folder_of_films_to_a_heat_map() {
    let folder = tempfile::tempdir().unwrap();
    let index = support::phantoms(folder.path(), 12);
    let options = support::options(folder.path(), "whole");
    whole::whole(&index.root, &support::small(1), &options).unwrap();
    let evidence = image::open(options.run.join("evidence.png")).unwrap();
    assert!(evidence.width() > 100, "{}", evidence.width());
    assert!(Model::open(options.run.join("model.safetensors"), options.device).unwrap().card.held_out.is_some());
}
