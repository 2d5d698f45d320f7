//! A run that is killed, stopped or out of disk goes on as if nothing had happened: the command, with real signals.
#![cfg(unix)]

#[path = "../../crate/tests/support/mod.rs"]
mod support;

mod bench;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use bench::Bench;
use humerus::device::DeviceChoice;
use humerus::model::Model;
use humerus::network::{Classifier, Unfreeze};
use humerus::train::{Recipe, Schedule, Stage};
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tch::{Device, Tensor};

impl Bench {
    /// Films, initial weights, and a recipe in which everything is on that a resumed run could get wrong.
    fn new() -> Bench {
        let bench = Bench::with_films();
        let recipe = Recipe {
            augment: humerus::augment::Augment::default(),
            batch_size: 4,
            accumulate: 2,
            clip_norm: Some(1.0),
            ema: Some(0.8),
            stages: vec![
                Stage { epochs: 1, unfreeze: Unfreeze::LastBlock, learning_rate: 1e-3 },
                Stage { epochs: 2, unfreeze: Unfreeze::All, learning_rate: 1e-4 },
            ],
            schedule: Schedule::ReduceOnPlateau { factor: 0.5, patience: 1 },
            early_stopping: Some(2),
            keep_best: 2,
            ..support::small(3)
        };
        let network = Classifier::new(recipe.architecture, recipe.head, 8, Device::Cpu);
        let named: Vec<(&str, Tensor)> =
            network.variables().iter().map(|v| (v.name.as_str(), v.tensor.detach())).collect();
        Tensor::write_safetensors(&named, bench.path("weights.safetensors")).unwrap();
        std::fs::write(bench.path("recipe.json"), serde_json::to_string(&recipe).unwrap()).unwrap();
        bench
    }

    fn arguments(&self, run: &Path) -> Vec<String> {
        let [films, weights, recipe] = ["films", "weights.safetensors", "recipe.json"].map(|name| self.path(name));
        let mut arguments = vec!["train".to_owned(), films.display().to_string()];
        for (name, value) in [
            ("--out", run),
            ("--weights", &weights),
            ("--recipe", &recipe),
            ("--device", Path::new("cpu")),
            ("--precision", Path::new("fp32")),
            ("--checkpoint-minutes", Path::new("0.003")),
        ] {
            arguments.extend([name.to_owned(), value.display().to_string()]);
        }
        arguments
    }

    fn train(&self, run: &Path, more: &[&str]) -> Child {
        let mut command = self.command();
        command.args(self.arguments(run)).args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// The run that nothing interrupts, and how long it took.
    fn uninterrupted(&self) -> (PathBuf, Duration) {
        let run = self.path("uninterrupted");
        let began = Instant::now();
        done(self.train(&run, &[]).wait_with_output().unwrap());
        (run, began.elapsed())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn done(output: Output) {
    assert!(output.status.success(), "{:?}: {}", output.status, text(&output.stderr));
}

fn tensors(path: &Path) -> HashMap<String, Tensor> {
    Tensor::read_safetensors(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).into_iter().collect()
}

fn files(run: &Path) -> Vec<String> {
    let names = std::fs::read_dir(run).into_iter().flatten();
    let mut names: Vec<String> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

fn epochs(run: &Path) -> Vec<Value> {
    let lines = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    lines.lines().map(|line| serde_json::from_str(line).expect("a whole line")).collect()
}

/// Whatever is there can be read, and no epoch is missing or doubled.
fn readable(run: &Path) {
    for name in files(run) {
        let path = run.join(&name);
        if name == "resume.safetensors" {
            assert!(tensors(&path).len() > 600, "weights, statistics, moments, averages");
        } else if name.ends_with(".safetensors") {
            let model = Model::open(&path, DeviceChoice::Cpu).unwrap();
            assert!(model.card.epoch > 0);
        }
    }
    for (at, epoch) in epochs(run).iter().enumerate() {
        assert_eq!(epoch["epoch"], at + 1);
    }
}

/// Every weight of every file, the cards, and every figure but the times are those of the uninterrupted run.
fn same(run: &Path, reference: &Path) {
    assert_eq!(files(run), files(reference));
    for name in files(reference).iter().filter(|name| name.ends_with(".safetensors")) {
        let [ours, theirs] = [run, reference].map(|folder| tensors(&folder.join(name)));
        assert_eq!(ours.len(), theirs.len());
        for (key, tensor) in &theirs {
            let bits = |t: &Tensor| Vec::<f32>::try_from(t.flatten(0, -1)).unwrap();
            let equal = bits(tensor).iter().zip(bits(&ours[key])).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(equal, "{name}: {key}");
        }
        if name == "resume.safetensors" {
            continue;
        }
        let [ours, theirs] = [run, reference].map(|run| {
            let mut card = Model::open(run.join(name), DeviceChoice::Cpu).unwrap().card;
            let seconds = &mut card.trained.as_mut().expect("it was trained").seconds;
            assert!(std::mem::replace(seconds, 0.0) > 0.0);
            card
        });
        assert_eq!(ours, theirs, "{name}");
    }
    let [ours, theirs] = [run, reference].map(epochs);
    assert_eq!(ours.len(), theirs.len());
    for (a, b) in ours.iter().zip(&theirs) {
        for figure in ["train_loss", "tune_loss", "tune_auroc", "tune_accuracy", "learning_rate", "best"] {
            assert_eq!(a[figure], b[figure], "{figure}");
        }
    }
}

/// Checks that TensorBoard reads the points of the uninterrupted run, each once, from the runs' event files.
fn same_points(runs: &[PathBuf], reference: &Path) {
    let Some(python) = testing::python() else { return };
    let folders: Vec<PathBuf> = runs.iter().map(PathBuf::as_path).chain([reference]).map(board).collect();
    let folders: Vec<&OsStr> = folders.iter().map(|folder| folder.as_os_str()).collect();
    let read = testing::script(&python, "crate/tests/golden/points.py", &folders);
    let points = |line: &str| -> BTreeMap<String, Vec<u64>> {
        let mut points: BTreeMap<String, Vec<u64>> = serde_json::from_str(line).unwrap();
        points.values_mut().for_each(|steps| steps.sort_unstable());
        points
    };
    let mut read: Vec<_> = read.lines().map(points).collect();
    let expected = read.pop().expect("the uninterrupted run's");
    assert!(
        expected.len() > 8 && expected["training films"] == [0] && expected["train/loss"].len() > 1,
        "{expected:?}"
    );
    assert_eq!(read.len(), runs.len());
    for (points, run) in read.iter().zip(runs) {
        assert_eq!(*points, expected, "{}", run.display());
    }
}

fn board(run: &Path) -> PathBuf {
    run.join("tensorboard")
}

/// Kills runs at random moments, `kills` times, and lets each that was killed go on until it is done: how many runs
/// there were, and how often one was continued.
fn killed(bench: &Bench, (reference, whole): (&Path, Duration), worker: u64, kills: usize) -> (usize, usize) {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(worker);
    let (mut killed, mut continued, mut runs) = (0, 0, 0);
    while killed < kills {
        runs += 1;
        let run = bench.path(&format!("run-{worker}-{runs}"));
        loop {
            let mut child = bench.train(&run, &["--resume"]);
            if killed < kills {
                let moment = whole.mul_f64(rng.random_range(0.05..0.35));
                let began = Instant::now();
                while began.elapsed() < moment && child.try_wait().unwrap().is_none() {
                    std::thread::sleep(Duration::from_millis(5));
                }
                child.kill().unwrap();
            }
            let output = child.wait_with_output().unwrap();
            continued += usize::from(text(&output.stdout).contains("continuing "));
            readable(&run);
            if output.status.signal() == Some(9) {
                killed += 1;
                continue;
            }
            done(output);
            break;
        }
        same(&run, reference);
        // Only what TensorBoard reads, at the end of all.
        for name in files(&run).iter().filter(|name| *name != "tensorboard") {
            std::fs::remove_file(run.join(name)).unwrap();
        }
    }
    (runs, continued)
}

#[test]
fn a_run_killed_at_random_moments_ends_with_the_weights_of_one_that_was_not() {
    let kills: usize = std::env::var("HUMERUS_KILLS").map_or(50, |n| n.parse().expect("HUMERUS_KILLS is a number"));
    let bench = Bench::new();
    let (reference, whole) = bench.uninterrupted();
    readable(&reference);
    let shares = [kills / 2, kills - kills / 2];
    let told = std::thread::scope(|scope| {
        let workers = shares.iter().zip(0..).map(|(&kills, worker)| {
            let (bench, reference) = (&bench, &reference);
            scope.spawn(move || killed(bench, (reference, whole), worker, kills))
        });
        let workers: Vec<_> = workers.collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
    });
    let runs = told.iter().zip(0..).flat_map(|((runs, _), worker)| {
        let bench = &bench;
        (1..=*runs).map(move |run| bench.path(&format!("run-{worker}-{run}")))
    });
    same_points(&runs.collect::<Vec<_>>(), &reference);
    println!("{kills} kills by two, (runs, continued): {told:?}; uninterrupted {whole:.1?}");
    assert!(kills < 8 || told.iter().all(|(_, continued)| *continued > 0), "nothing was ever continued");
}

#[test]
fn a_signal_ends_the_step_and_says_how_to_continue() {
    let bench = Bench::new();
    let (reference, _) = bench.uninterrupted();
    let run = bench.path("run");
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let child = bench.train(&run, &["--resume"]);
        let before = std::fs::metadata(run.join("resume.safetensors")).and_then(|m| m.modified()).ok();
        let began = Instant::now();
        while std::fs::metadata(run.join("resume.safetensors")).and_then(|m| m.modified()).ok() == before {
            assert!(began.elapsed() < Duration::from_secs(120), "no checkpoint");
            std::thread::sleep(Duration::from_millis(10));
        }
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        let said = text(&output.stderr);
        assert!(said.lines().count() == 1 && said.contains("continue with: ") && said.contains("--resume"), "{said}");
        readable(&run);
    }
    done(bench.train(&run, &["--resume"]).wait_with_output().unwrap());
    same(&run, &reference);
    // What is over is told again, and nothing is trained.
    let again = bench.train(&run, &["--resume"]).wait_with_output().unwrap();
    let said = text(&again.stdout);
    assert!(said.contains("is finished; this is its result") && !said.contains("epoch   1/"), "{said}");
    assert!(said.contains("held out: "), "{said}");
    done(again);
    same(&run, &reference);
}

#[test]
fn what_cannot_be_continued_is_refused_in_one_line_and_set_aside_when_a_new_run_is_wanted() {
    let bench = Bench::new();
    let run = bench.path("run");
    let said = |more: &[&str], until: &str, there: &[&str]| {
        let mut child = bench.train(&run, more);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let line = lines.find(|line| line.contains(until));
        let began = Instant::now();
        while line.is_some() && !there.iter().all(|file| run.join(file).exists()) {
            assert!(began.elapsed() < Duration::from_secs(120), "no checkpoint");
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        line.unwrap_or_else(|| panic!("{until:?} was not said"))
    };
    let resume = "resume.safetensors";
    said(&["--resume"], "films to learn from", &[resume]);
    assert!(said(&["--resume"], "continuing", &[resume]).contains("epoch"));
    let before = files(&run);
    let other = bench.train(&run, &["--resume", "--seed", "4"]).wait_with_output().unwrap();
    let line = text(&other.stderr);
    assert!(other.status.code() == Some(1) && line.lines().count() == 1, "{line}");
    let why = "it was begun with other settings (--seed: 0 when the run began, 4 now)";
    let what_to_do = "train into another --out, or leave out --resume, which sets this run aside";
    let run_at = run.display();
    assert_eq!(line, format!("error: the run in {run_at} cannot be continued: {why}; {what_to_do}\n"));
    assert_eq!(files(&run), before);
    said(&["--seed", "4"], "films to learn from", &[&format!("previous-1/{resume}")]);
}

/// Runs a script as the root of a mount namespace of its own; `None` where the system does not allow that.
fn with_mounts(bench: &Bench, script: &str) -> Option<Output> {
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-r", "-m", "sh", "-c", script]).env("HUMERUS_CACHE", bench.path("cache"));
        command.env("OMP_NUM_THREADS", "1").output()
    };
    let allowed = format!("mkdir -p '{0}' && mount -t tmpfs none '{0}'", bench.path("try").display());
    if !unshare(&allowed).is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this system does not let a test mount a small disk");
        return None;
    }
    Some(unshare(script).unwrap())
}

#[test]
fn a_full_disk_stops_with_one_line_and_the_run_continues_when_there_is_room() {
    let bench = Bench::new();
    let (reference, run) = (bench.path("uninterrupted"), bench.path("run"));
    let kept = bench.path("kept");
    let train = std::iter::once(env!("CARGO_BIN_EXE_humerus").to_owned()).chain(bench.arguments(&run));
    let train: Vec<String> = train.map(|argument| format!("'{argument}'")).collect();
    let (train, run_text, kept_text) = (train.join(" "), run.display(), kept.display());
    // 220 MB hold the first checkpoint and the first models, not a second checkpoint beside them.
    let script = format!(
        "mkdir -p '{run_text}' '{kept_text}' && mount -t tmpfs -o size=220m none '{run_text}' || exit 9
        {train}; code=$?
        cp -r '{run_text}' '{kept_text}/full'
        mount -o remount,size=900m '{run_text}'
        {train} --resume && cp -r '{run_text}' '{kept_text}/whole'
        exit $code"
    );
    let Some(output) = with_mounts(&bench, &script) else { return };
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("No space left on device") && said.contains("can be resumed from"), "{said}");
    readable(&kept.join("full"));
    assert!(kept.join("full/resume.safetensors").exists());
    assert!(text(&output.stdout).contains("continuing "));
    bench.uninterrupted();
    same(&kept.join("whole"), &reference);
    same_points(&[kept.join("whole")], &reference);
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_in_one_line_before_anything_else() {
    let bench = Bench::new();
    let run = bench.path("run");
    let train = std::iter::once(env!("CARGO_BIN_EXE_humerus").to_owned()).chain(bench.arguments(&run));
    let train: Vec<String> = train.map(|argument| format!("'{argument}'")).collect();
    let script =
        format!("mkdir -p '{0}' && mount -t tmpfs -o ro none '{0}' || exit 9\n{1}", run.display(), train.join(" "));
    let Some(output) = with_mounts(&bench, &script) else { return };
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.lines().count() == 1 && said.contains("Read-only file system"), "{said}");
}
