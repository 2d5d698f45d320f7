//! Measures decoding and feeding for `cargo lab bench data`: one JSON object a line.
//!
//! ```text
//! feed decode FILMS SIZE CACHE     decode, and an epoch from the cache, over the first 512 films below FILMS
//! feed memory FILMS SIZE CACHE     peak memory of this process: open all films below FILMS and feed them once
//! ```

use std::path::{Path, PathBuf};
use std::time::Instant;

use humerus::dataset::{CacheFolder, Feeding, Films, epoch_order};
use humerus::preprocess::{Fit, Preprocess};
use humerus::tch::Device;
use humerus::{Label, Result, Split, Study, View};
use serde_json::json;

/// Films in a step, as in the rival's script.
const BATCH: usize = 16;
/// Epochs from the cache.
const EPOCHS: usize = 5;
/// Films of the comparison, as in the rival's script.
const COMPARED: usize = 512;

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["decode", films, size, cache] => decode(&found(films), size.parse()?, cache)?,
        ["memory", films, size, cache] => memory(&found(films), size.parse()?, cache)?,
        _ => return Err("expected: decode FILMS SIZE CACHE, or memory FILMS SIZE CACHE".into()),
    }
    Ok(())
}

/// Every picture below `folder`, as the rival's script finds them.
fn found(folder: &str) -> Vec<PathBuf> {
    let is_picture = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        !name.starts_with('.') && (name.ends_with(".png") || name.ends_with(".jpg"))
    };
    let entries = walkdir::WalkDir::new(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.map(walkdir::DirEntry::into_path).filter(is_picture).collect();
    paths.sort();
    paths
}

/// One study for each film.
fn studies(paths: &[PathBuf]) -> Vec<Study> {
    let study = |(at, path): (usize, &PathBuf)| Study {
        id: at.to_string(),
        patient: None,
        group: at.to_string(),
        part: None,
        split: Split::Train,
        label: Label::ALL[at % 2],
        views: vec![View::new(path)],
    };
    paths.iter().enumerate().map(study).collect()
}

fn preprocess(size: u32) -> Preprocess {
    Preprocess { size, fit: Fit::Stretch, ..Preprocess::default() }
}

fn feeding(cache: &str) -> Feeding {
    Feeding { cache: CacheFolder::At(PathBuf::from(cache)), ..Feeding::default() }
}

/// All films once, in an epoch's order, as standardised batches `[16, 3, size, size]`. Returns a number made of them,
/// so that nothing is left out.
fn epoch(films: &Films) -> Result<f64> {
    let order = epoch_order(films.len(), 0, 1);
    let batches = order.chunks(BATCH).map(<[usize]>::to_vec).collect();
    let mut corner = 0.0;
    for batch in films.feed(batches, Device::Cpu, Feeding::default().ahead) {
        let batch = batch?.standardised(&films.preprocess);
        corner += batch.double_value(&[0, 2, 5, 5]);
    }
    Ok(corner)
}

fn decode(paths: &[PathBuf], size: u32, cache: &str) -> Result<()> {
    let paths = &paths[..paths.len().min(COMPARED)];
    let studies = studies(paths);
    let studies: Vec<&Study> = studies.iter().collect();
    let rate = |since: Instant| paths.len() as f64 / since.elapsed().as_secs_f64();

    let started = Instant::now();
    let direct = epoch(&Films::undecoded(&studies, &preprocess(size))?)?;
    println!("{}", json!({"case": "decode", "films": paths.len(), "images_per_second": rate(started)}));

    let started = Instant::now();
    drop(Films::open(&studies, &preprocess(size), &feeding(cache), &mut |_| ())?);
    println!("{}", json!({"case": "build", "films": paths.len(), "images_per_second": rate(started)}));

    let started = Instant::now();
    let films = Films::open(&studies, &preprocess(size), &feeding(cache), &mut |_| ())?;
    println!("{}", json!({"case": "open", "films": paths.len(), "images_per_second": rate(started)}));
    // An epoch takes a tenth of a second: the middle of some, so that a hiccup of the machine does not count.
    let mut rates = Vec::new();
    for _ in 0..EPOCHS {
        let started = Instant::now();
        let cached = epoch(&films)?;
        rates.push(rate(started));
        assert_eq!(direct, cached, "the cache must hold what decoding gives");
    }
    rates.sort_by(f64::total_cmp);
    println!("{}", json!({"case": "epoch", "films": paths.len(), "images_per_second": rates[EPOCHS / 2]}));
    Ok(())
}

fn memory(paths: &[PathBuf], size: u32, cache: &str) -> Result<()> {
    let studies = studies(paths);
    let studies: Vec<&Study> = studies.iter().collect();
    let before = peak();
    let started = Instant::now();
    let films = Films::open(&studies, &preprocess(size), &feeding(cache), &mut |_| ())?;
    let opened = started.elapsed().as_secs_f64();
    let started = Instant::now();
    epoch(&films)?;
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{}",
        json!({"case": "memory", "views": paths.len(), "opened_in": opened, "seconds": seconds,
               "cache_bytes": bytes(cache), "peak_bytes": peak(), "peak_before_bytes": before})
    );
    Ok(())
}

fn bytes(folder: &str) -> u64 {
    let entries = walkdir::WalkDir::new(Path::new(folder)).into_iter().flatten();
    entries.filter(|entry| entry.file_type().is_file()).filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
}

/// The most memory this process ever had, in bytes: `VmHWM`, which counts mapped pages. 0 where there is no `/proc`.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or_default() << 10
}
