//! Resuming keeps its promise, or says why not before anything is trained or moved.

mod support;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::{Duration, SystemTime};

use humerus::dataset::Index;
use humerus::device::{DeviceChoice, Precision};
use humerus::model::Model;
use humerus::train::{self, Event, Recipe, Resume, Schedule, StopHandle, TrainOptions, TrainReport};
use humerus::weights::Weights;
use humerus::{Error, Result};
use tch::Tensor;

/// What a run said, and how it ended; stopped after so many epochs, if any.
fn train(
    index: &Index,
    recipe: &Recipe,
    options: &TrainOptions,
    stop_after: Option<usize>,
) -> (Vec<String>, Result<TrainReport>) {
    // A handle stops once.
    let options = TrainOptions { stop: StopHandle::default(), ..options.clone() };
    let stop = options.stop.clone();
    let mut said = Vec::new();
    let report = train::run(index, recipe, &options, &mut |event| {
        said.push(event.to_string());
        if matches!(event, Event::Epoch(report) if Some(report.epoch) == stop_after) {
            stop.stop();
        }
    });
    (said, report)
}

fn stopped(index: &Index, recipe: &Recipe, options: &TrainOptions, after: usize) {
    let error = train(index, recipe, options, Some(after)).1.unwrap_err();
    assert!(
        matches!(error, Error::Stopped { .. })
            && error.to_string().starts_with(&format!("stopped after epoch {after}; "))
    );
}

fn resumed(options: &TrainOptions) -> TrainOptions {
    TrainOptions { resume: Resume::OrRefuse, ..options.clone() }
}

fn tensors(path: &Path) -> HashMap<String, Tensor> {
    Tensor::read_safetensors(path).unwrap().into_iter().collect()
}

fn same(a: &Path, b: &Path) -> bool {
    let (a, b) = (tensors(a), tensors(b));
    a.len() == b.len() && a.iter().all(|(name, tensor)| tensor.equal(&b[name]))
}

/// Every file below a folder but the lock, with its bytes.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            files.extend(content(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
        } else if name != ".lock" {
            files.insert(name, std::fs::read(&path).unwrap());
        }
    }
    files
}

/// The one line in which a run is refused that nothing was done for.
fn refused(index: &Index, recipe: &Recipe, options: &TrainOptions) -> String {
    let before = content(&options.run);
    let (said, ended) = train(index, recipe, &resumed(options), None);
    assert!(content(&options.run) == before, "nothing is trained or moved");
    assert!(!said.iter().any(|line| line.contains("learn from")), "{said:?}");
    let error = ended.unwrap_err();
    assert!(matches!(error, Error::Resume { .. }), "{error}");
    let line = error.to_string();
    assert!(line.lines().count() == 1 && line.contains("cannot be continued"), "{line}");
    line
}

#[test]
fn a_run_fine_tuned_in_place_continues_by_the_command_that_began_it() {
    let folder = tempfile::tempdir().unwrap();
    let index = support::phantoms(folder.path(), 24);
    let (first, recipe) = (support::small(1), support::small(2));
    let options = support::options(folder.path(), "run");
    train(&index, &first, &options, None).1.unwrap();
    let (model, kept) = (options.run.join("model.safetensors"), folder.path().join("kept.safetensors"));
    std::fs::copy(&model, &kept).unwrap();
    let plain = TrainOptions { weights: Weights::File(kept), ..support::options(folder.path(), "elsewhere") };
    train(&index, &recipe, &plain, None).1.unwrap();

    let in_place = TrainOptions { weights: Weights::File(model.clone()), ..options.clone() };
    stopped(&index, &recipe, &in_place, 1);
    assert!(options.run.join("previous-1/model.safetensors").exists());
    let (said, report) = train(&index, &recipe, &resumed(&in_place), None);
    report.unwrap();
    assert!(said.iter().any(|line| line == "continuing with epoch 2"), "{said:?}");
    for name in ["model.safetensors", "last.safetensors"] {
        assert!(same(&options.run.join(name), &plain.run.join(name)), "{name}");
    }
    // Once more, of the finished run: as told, its result.
    let (said, report) = train(&index, &recipe, &resumed(&in_place), None);
    report.unwrap();
    assert!(said.iter().any(|line| line.contains("is finished")), "{said:?}");
    assert!(!options.run.join("previous-2").exists());

    // Killed after the earlier run was set aside, before a checkpoint.
    for name in content(&options.run).keys().filter(|name| !name.contains('/') && *name != "metrics.jsonl") {
        std::fs::remove_file(options.run.join(name)).unwrap();
    }
    std::fs::remove_dir_all(options.run.join("tensorboard")).unwrap();
    let (said, report) = train(&index, &recipe, &resumed(&in_place), None);
    report.unwrap();
    assert!(said.iter().any(|line| line.contains("was set aside; its weights are in")), "{said:?}");
    assert!(said.iter().any(|line| line.contains("before its first checkpoint")), "{said:?}");
    assert!(same(&options.run.join("last.safetensors"), &plain.run.join("last.safetensors")));
}

#[test]
fn a_finished_run_given_more_epochs_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let index = support::phantoms(folder.path(), 24);
    for (name, schedule, is_exact) in
        [("constant", Schedule::Constant, true), ("one-cycle", Schedule::OneCycle { warm_up: 0.1 }, false)]
    {
        let recipe = |epochs| Recipe { schedule, ema: Some(0.9), ..support::small(epochs) };
        let [grown, whole] = ["grown", "whole"].map(|run| support::options(folder.path(), &format!("{name}-{run}")));
        let expected = train(&index, &recipe(3), &whole, None).1.unwrap();
        train(&index, &recipe(1), &grown, None).1.unwrap();
        let refused = refused(&index, &Recipe { seed: 9, ..recipe(3) }, &grown);
        assert!(refused.contains("settings (seed: 0 when the run began, 9 now)"), "{refused}");
        // Stopped on its way, and continued by the same command.
        stopped(&index, &recipe(3), &resumed(&grown), 2);
        let (said, report) = train(&index, &recipe(3), &resumed(&grown), None);
        let report = report.unwrap();
        assert!(said.iter().any(|line| line == "continuing with epoch 3"), "{said:?}");
        let last = |run: &TrainOptions| run.run.join("last.safetensors");
        assert_eq!(same(&last(&grown), &last(&whole)), is_exact, "{name}");
        let rates = |report: &TrainReport| report.epochs.iter().map(|it| it.learning_rate).collect::<Vec<_>>();
        assert_eq!(rates(&report)[1..], rates(&expected)[1..], "the longer run's own learning rates");
        assert_eq!(report.epochs.len(), 3);
        let card = Model::open(last(&grown), DeviceChoice::Cpu).unwrap().card;
        assert_eq!(card.trained.unwrap().continued_after, [1]);
        assert!(!grown.run.join("previous-1").exists());
        if is_exact {
            assert_eq!(report.held_out, expected.held_out);
        }
    }
}

#[test]
fn a_run_that_was_stopped_after_its_last_epoch_says_so_and_is_scored_when_it_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let index = support::phantoms(folder.path(), 24);
    let options = support::options(folder.path(), "run");
    stopped(&index, &support::small(2), &options, 2);
    let (said, report) = train(&index, &support::small(2), &resumed(&options), None);
    assert_eq!(report.unwrap().epochs.len(), 2);
    assert!(said.iter().any(|line| line == "note: all epochs are done; what is left is to score the held-out films"));
    assert!(!said.iter().any(|line| line.contains("epoch 3")), "{said:?}");
}

#[test]
fn what_going_on_means_is_said_when_a_run_is_given_more_epochs() {
    let folder = tempfile::tempdir().unwrap();
    let index = support::phantoms(folder.path(), 24);
    let options = support::options(folder.path(), "run");
    train(&index, &support::small(1), &options, None).1.unwrap();
    let (said, report) = train(&index, &support::small(2), &resumed(&options), None);
    report.unwrap();
    let told: Vec<&String> = said.iter().filter(|line| line.starts_with("note: ")).collect();
    assert_eq!(told.len(), 1, "{said:?}");
    assert!(told[0].contains("was to have 1 epoch and goes on to 2; its learning rate"), "{told:?}");

    // What stopped early is over, however many epochs there may be.
    let options = support::options(folder.path(), "early");
    let recipe = |epochs| Recipe { early_stopping: Some(1), schedule: Schedule::Constant, ..support::small(epochs) };
    let report = train(&index, &recipe(30), &options, None).1.unwrap();
    assert!(report.epochs.len() < 30, "it did not stop early");
    let (said, again) = train(&index, &recipe(40), &resumed(&options), None);
    assert_eq!(again.unwrap().held_out, report.held_out);
    assert!(said.iter().any(|line| line.contains("more epochs change nothing")), "{said:?}");
}

#[test]
fn another_film_precision_or_model_is_refused_before_anything_happens() {
    let folder = tempfile::tempdir().unwrap();
    let index = support::phantoms(folder.path(), 24);
    let recipe = support::small(9);
    let options = support::options(folder.path(), "run");
    stopped(&index, &recipe, &options, 2);

    // In bf16 by name; what is left to us is what it was.
    let half = TrainOptions { precision: Precision::Bf16, ..options.clone() };
    assert!(refused(&index, &recipe, &half).contains("(precision: fp32 when the run began, bf16 now)"));
    let auto = TrainOptions { precision: Precision::Auto, device: DeviceChoice::Auto, ..resumed(&options) };
    let (said, ended) = train(&index, &recipe, &auto, Some(3));
    assert!(matches!(ended, Err(Error::Stopped { .. })), "{ended:?}");
    assert!(said.iter().any(|line| line.contains("films to learn from") && line.ends_with(", fp32")), "{said:?}");

    // A film of the same length and time, with one other byte: a text in it, so that it decodes to other pixels or
    // none.
    let film = &index.studies[0].views[0].path;
    let whole = std::fs::read(film).unwrap();
    let time = std::fs::metadata(film).unwrap().modified().unwrap();
    let other = index.studies.iter().flat_map(|study| &study.views).find(|view| view.path != *film).unwrap();
    let mut edited = std::fs::read(&other.path).unwrap();
    edited.resize(whole.len(), 0);
    let put = |bytes: &[u8], time: SystemTime| {
        std::fs::write(film, bytes).unwrap();
        std::fs::File::options().write(true).open(film).unwrap().set_modified(time).unwrap();
    };
    put(&edited, time + Duration::from_secs(5));
    assert!(refused(&index, &recipe, &options).contains("it is of other data: a film has changed"));
    put(&whole, time);

    // The best model, missing or another one.
    let model = options.run.join("model.safetensors");
    let best_epoch = || Model::open(&model, DeviceChoice::Cpu).unwrap().card.epoch;
    let mut after = 3;
    // While the last epoch is the best, its model can be written anew.
    while best_epoch() == after && after < 8 {
        after += 1;
        stopped(&index, &recipe, &resumed(&options), after);
    }
    assert!(best_epoch() < after, "nine epochs, each better than all before");
    let best = std::fs::read(&model).unwrap();
    std::fs::remove_file(&model).unwrap();
    assert!(refused(&index, &recipe, &options).contains("is missing"));
    let foreign = support::options(folder.path(), "foreign");
    let other = train(&index, &Recipe { seed: 3, ..support::small(1) }, &foreign, None).1.unwrap();
    std::fs::copy(&other.model, &model).unwrap();
    assert!(refused(&index, &recipe, &options).contains("where another file is now"));
    std::fs::write(&model, &best).unwrap();

    train(&index, &recipe, &resumed(&options), None).1.unwrap();
    // A finished run whose model is gone.
    std::fs::copy(&other.model, &model).unwrap();
    assert!(refused(&index, &recipe, &options).contains("where another file is now"));

    // Where that is wanted, a new run begins, and says why.
    let anew = TrainOptions { resume: Resume::IfPossible, ..options.clone() };
    let (said, _) = train(&index, &recipe, &anew, Some(1));
    assert!(said.iter().any(|line| line.starts_with("starting anew: its best model")), "{said:?}");
    assert!(options.run.join("previous-1/resume.safetensors").exists());
}
