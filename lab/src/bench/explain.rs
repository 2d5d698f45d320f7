//! Heat maps, beside what a user of Python would run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{built, median, ran, verdict};
use crate::problem::{Problem, Result};
use crate::progress::{self, ProgressLine};
use crate::report::TextTable;
use crate::setup::cache::digest;
use crate::setup::{self, Ready, outside_cargo};

/// How often each measurement is repeated, ours and theirs in turn.
const REPEATS: usize = 3;
/// Measurements whose median counts in each repeat, after one that does not; films of a batch; side of a film.
const ARGUMENTS: [&str; 3] = ["3", "16", "224"];
/// The rival, and how many times as fast we are to be, by the beginning of a case.
const TARGETS: [(&str, &str, f64); 4] = [
    ("grad-cam of 16 films", "pytorch-grad-cam", 2.5),
    ("grad-cam of 1 film", "pytorch-grad-cam", 2.0),
    ("occlusion", "captum", 2.0),
    ("score-cam", "pytorch-grad-cam", 2.0),
];

/// Seconds by case and by who needed them.
type Times = BTreeMap<(String, String), Vec<f64>>;

/// `cargo lab bench explain`, on the CPU.
pub fn run() -> Result<bool> {
    let ready = setup::complete()?;
    let peers = peers(&ready)?;
    let program = built(&ready, "maps")?;
    let mut times = Times::new();
    for repeat in 1..=REPEATS {
        let step = ProgressLine::start(format!("heat maps against Captum and pytorch-grad-cam, {repeat} of {REPEATS}"));
        // -E would keep Python from reading the path of the peers.
        let mut command = ready.command(&ready.python.python);
        command.args(["-s", "-u"]).arg(ready.kernel.scripts.join("maps.py")).env("PYTHONPATH", &peers);
        note(&mut times, &ran(command.args(ARGUMENTS), &step)?)?;
        let mut command = ready.command(&program);
        note(&mut times, &ran(command.args(ARGUMENTS), &step)?)?;
        step.done();
    }
    let mut table = TextTable::new(["milliseconds", "pytorch-grad-cam", "Captum", "humerus", "times", "wanted", ""]);
    let mut all_met = true;
    let of = |case: &str, who: &str| times.get(&(case.to_owned(), who.to_owned())).map(|all| 1e3 * median(all));
    let told = |time: Option<f64>| time.map_or("–".to_owned(), |time| format!("{time:.0}"));
    let cases: std::collections::BTreeSet<&str> = times.keys().map(|(case, _)| case.as_str()).collect();
    for case in cases {
        let ours = of(case, "humerus").unwrap_or(f64::NAN);
        let target = TARGETS.iter().find(|(start, ..)| case.starts_with(start));
        let Some((_, peer, wanted)) = target else { continue };
        let ratio = of(case, peer).unwrap_or(f64::NAN) / ours;
        let met = ratio >= *wanted;
        all_met &= met;
        table.row([
            case.to_owned(),
            told(of(case, "pytorch-grad-cam")),
            told(of(case, "captum")),
            format!("{ours:.0}"),
            format!("{ratio:.2} ({peer})"),
            format!("{wanted:.1}"),
            verdict(met).to_owned(),
        ]);
    }
    println!("{table}");
    println!("CPU, fp32, films of 224 pixels; medians of {REPEATS} runs");
    Ok(all_met)
}

/// The folder of the packages that are measured beside, installed once for each list of them.
fn peers(ready: &Ready) -> Result<PathBuf> {
    let lock = ready.checkout.lab("peers.lock");
    let key = digest(std::fs::read(&lock).map_err(Problem::at(&lock))?);
    let folder = ready.cache.join(format!("peers-{}-{key}", ready.python.version));
    let _lock = ready.cache.lock("peers")?;
    if !folder.join(".complete").is_file() {
        install(ready, &lock, &folder)?;
    }
    Ok(folder)
}

fn install(ready: &Ready, lock: &Path, folder: &Path) -> Result<()> {
    let step = ProgressLine::start("Captum and pytorch-grad-cam (once, downloads about 100 MB)");
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(Problem::at(folder))?;
    }
    let mut pip = outside_cargo(&ready.python.python);
    pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]);
    pip.args(["--no-deps", "--require-hashes", "--target"]).arg(folder).arg("-r").arg(lock);
    let installed = progress::run(&mut pip, |line| step.say(&line.chars().take(100).collect::<String>()))?;
    if !installed.status.success() {
        let what = format!("bench explain: cannot install the packages to measure beside: {}", installed.reason());
        return Err(Problem::new(what).mend("connect to the network and type the same command again"));
    }
    let stamp = folder.join(".complete");
    std::fs::write(&stamp, "").map_err(Problem::at(&stamp))?;
    step.done();
    Ok(())
}

/// Adds what a run has printed.
fn note(times: &mut Times, objects: &[Value]) -> Result<()> {
    for object in objects {
        let text = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
        let seconds = object["seconds"].as_f64();
        let seconds = seconds.ok_or_else(|| Problem::new(format!("bench explain: no seconds in {object}")))?;
        times.entry((text("case"), text("peer"))).or_default().push(seconds);
    }
    Ok(())
}
