//! Decoding and feeding of real films, beside what a user of PyTorch would run; and the memory of a long epoch.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{built, extremes, median, ran, verdict};
use crate::problem::{Problem, Result};
use crate::progress::ProgressLine;
use crate::report::TextTable;
use crate::setup::{self, Ready, SPIN};

/// How often each measurement is repeated, ours and theirs in turn.
const REPEATS: usize = 3;
/// Decoding and resizing, as a multiple of the DataLoader's images per second.
const DECODE_TARGET: f64 = 2.0;
/// An epoch from the cache, likewise.
const EPOCH_TARGET: f64 = 20.0;
/// Peak memory of an epoch over [`VIEWS`] views.
const MEMORY_TARGET: f64 = GIB;
const GIB: f64 = (1u64 << 30) as f64;
/// Side of a film in the comparison with the DataLoader.
const SIZE: u32 = 224;
/// Side of a film where memory is measured.
const LARGE: u32 = 512;
/// Views of the long epoch.
const VIEWS: usize = 100_000;

/// `cargo lab bench data`.
pub fn run() -> Result<bool> {
    let ready = setup::complete()?;
    let shared = ready.checkout.root.join("../shared");
    let (films, rival) = (shared.join("data/fracatlas-upper-limb/images"), shared.join("bench/peer_pytorch.py"));
    if !films.is_dir() || !rival.is_file() {
        println!("skipped: bench data needs the real films and PyTorch's script in {}", shared.display());
        return Ok(true);
    }
    let program = built(&ready, "feed")?;
    let compared = compare(&ready, &program, &films, &rival)?;
    let bounded = memory(&ready, &program, &films)?;
    Ok(compared && bounded)
}

/// A number of the object whose `case` it is.
fn figure(objects: &[Value], case: &str, name: &str) -> Result<f64> {
    let object = objects.iter().find(|object| object["case"] == case);
    object
        .and_then(|object| object[name].as_f64())
        .ok_or_else(|| Problem::new(format!("bench data: no {name} of {case:?} was printed")))
}

fn folder(ready: &Ready) -> Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".bench-").tempdir_in(&ready.cache.root).map_err(Problem::at(&ready.cache.root))
}

fn compare(ready: &Ready, program: &Path, films: &Path, rival: &Path) -> Result<bool> {
    const CASES: [(&str, &str); 4] = [
        ("decode", "decode and resize, from the files"),
        ("build", "the same, into an empty cache"),
        ("open", "open the cache"),
        ("epoch", "an epoch from the cache"),
    ];
    let mut theirs = Vec::new();
    let mut rates: [Vec<f64>; 4] = Default::default();
    for repeat in 1..=REPEATS {
        let step = ProgressLine::start(format!("films against the DataLoader, {repeat} of {REPEATS}"));
        let mut command = ready.script("loader.py");
        command.arg(rival).arg(films).env_remove(SPIN.0);
        theirs.push(figure(&ran(&mut command, &step)?, "decode and resize", "images_per_second")?);
        let cache = folder(ready)?;
        let mut command = ready.command(program);
        command.arg("decode").arg(films).arg(SIZE.to_string()).arg(cache.path().join("films"));
        let objects = ran(&mut command, &step)?;
        for (rates, (case, _)) in rates.iter_mut().zip(CASES) {
            rates.push(figure(&objects, case, "images_per_second")?);
        }
        step.done();
    }
    let mut table = TextTable::new(["images per second", "median", "least", "greatest", "times DataLoader"]);
    let mut row = |name: &str, values: &[f64]| {
        let (least, greatest) = extremes(values);
        let ratio = median(values) / median(&theirs);
        let rounded = |value: f64| format!("{value:.0}");
        table.row([name.to_owned(), rounded(median(values)), rounded(least), rounded(greatest), format!("{ratio:.1}")]);
        ratio
    };
    row("PyTorch's DataLoader", &theirs);
    let [decode, _, _, epoch] = [0, 1, 2, 3].map(|case: usize| row(CASES[case].1, &rates[case]));
    println!("{table}");
    let (decode_met, epoch_met) = (decode >= DECODE_TARGET, epoch >= EPOCH_TARGET);
    println!("decode and resize {decode:.2} times (target {DECODE_TARGET:.0}: {})", verdict(decode_met));
    println!("an epoch from the cache {epoch:.1} times (target {EPOCH_TARGET:.0}: {})", verdict(epoch_met));
    Ok(decode_met && epoch_met)
}

fn memory(ready: &Ready, program: &Path, films: &Path) -> Result<bool> {
    let mut table = TextTable::new(["epoch of 100,000 views of 512 px", "cache MiB", "peak MiB", "open s", "epoch s"]);
    let mut met = true;
    // A few hundred films, each under hundreds of names, are one film each to the cache. So that it cannot be small for
    // that reason alone, the same with as many different films as make the cache larger than the memory it may take.
    for different in [300, 5_000] {
        let step = ProgressLine::start(format!("an epoch of {VIEWS} views of {different} different films"));
        let set = folder(ready)?;
        step.say("linking");
        link(films, &set.path().join("films"), different)?;
        let mut command = ready.command(program);
        command.arg("memory").arg(set.path().join("films")).arg(LARGE.to_string()).arg(set.path().join("cache"));
        let objects = ran(&mut command, &step)?;
        let figure = |name: &str| figure(&objects, "memory", name);
        let mib = |bytes: f64| format!("{:.0}", bytes / f64::from(1 << 20));
        let peak = figure("peak_bytes")?;
        met &= peak > 0.0 && peak < MEMORY_TARGET && figure("views")? == VIEWS as f64;
        let seconds = |value: f64| format!("{value:.1}");
        table.row([
            format!("{different} different films"),
            mib(figure("cache_bytes")?),
            mib(peak),
            seconds(figure("opened_in")?),
            seconds(figure("seconds")?),
        ]);
        step.done();
    }
    println!("{table}");
    println!("peak memory (target below {:.0} MiB: {})", MEMORY_TARGET / f64::from(1 << 20), verdict(met));
    Ok(met)
}

/// Fills `to` with [`VIEWS`] names of `different` films: real ones, told apart by a number after the end of the
/// picture.
fn link(from: &Path, to: &Path, different: usize) -> Result<()> {
    let mut real = Vec::new();
    for class in sorted(from)? {
        real.extend(sorted(&class)?);
    }
    for at in 0..VIEWS {
        let folder = to.join(format!("{:03}", at % 1000));
        let path = folder.join(format!("{at}.jpg"));
        fs::create_dir_all(&folder).map_err(Problem::at(&folder))?;
        if at < different {
            let source = &real[at * real.len() / different];
            let mut bytes = fs::read(source).map_err(Problem::at(source))?;
            bytes.extend(at.to_le_bytes());
            fs::write(&path, bytes).map_err(Problem::at(&path))?;
        } else {
            let first = at % different;
            let first = to.join(format!("{:03}", first % 1000)).join(format!("{first}.jpg"));
            fs::hard_link(&first, &path).map_err(Problem::at(&path))?;
        }
    }
    Ok(())
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(Problem::at(folder))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}
