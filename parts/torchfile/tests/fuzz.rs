//! Damaged weight files: reading them ends in tensors or in an error of one line, never in a panic, a hang or in memory
//! that the file could not fill.
//!
//! Seeded: the same numbers give the same files. `HUMERUS_FUZZ_CASES` sets how many (default 3,000),
//! `HUMERUS_FUZZ_SEED` which. Seeds are small files that PyTorch writes (`golden/weights.py`), so `HUMERUS_PYTHON` is
//! needed, or `HUMERUS_FUZZ_WEIGHTS`, a folder of such files.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use humerus_torchfile::{self as torchfile, Error};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use testing::counting::{Counting, NOW, PEAK};
use testing::fuzz::number;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What reading may take: for each byte of the file, so many; values and names of a pickle of a few bytes each have a
/// size of their own.
const MEMORY_PER_BYTE: usize = 256;
/// And so much besides, for a buffer to read a zip's directory by, an error line and the like.
const MEMORY: usize = 1 << 17;
const MAX_TIME: Duration = Duration::from_secs(5);

/// The golden files of at most 16 KiB, by name.
fn seeds() -> Option<Vec<(String, Vec<u8>)>> {
    let made = tempfile::tempdir().unwrap();
    let folders: Vec<PathBuf> = match std::env::var_os("HUMERUS_FUZZ_WEIGHTS") {
        Some(folder) => vec![folder.into()],
        None => {
            let python = testing::python()?;
            ["small", "odd", "hostile"]
                .map(|what| {
                    let folder = made.path().join(what);
                    std::fs::create_dir(&folder).unwrap();
                    let script = "parts/torchfile/tests/golden/weights.py";
                    testing::script(&python, script, &[what.as_ref(), folder.as_os_str()]);
                    folder
                })
                .to_vec()
        }
    };
    let mut seeds = Vec::new();
    for path in folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path())
    {
        let bytes = std::fs::read(&path).unwrap();
        if bytes.len() <= 16 << 10 && path.extension().is_none_or(|end| end != "json") {
            seeds.push((path.file_name().unwrap().to_string_lossy().into_owned(), bytes));
        }
    }
    seeds.sort();
    assert!(seeds.len() >= 12, "{} seeds", seeds.len());
    Some(seeds)
}

/// Opcodes of a pickle, and the letters of lengths and numbers.
const OPCODES: &[u8] = b"(.0123BCGIJKLMNQRSTUVXabcdeghijloprqstu)]}\
                         \x80\x81\x85\x86\x87\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\xff\x7f";

/// One to eight changes, of which half keep the length: a zip with wrong places is no longer a zip.
fn mutate(seeds: &[(String, Vec<u8>)], rng: &mut ChaCha8Rng) -> (String, Vec<u8>) {
    let (name, bytes) = seeds.choose(rng).unwrap();
    let mut bytes = bytes.clone();
    for _ in 0..rng.random_range(1..=8) {
        let at = rng.random_range(0..bytes.len().max(1));
        let end = (at + rng.random_range(1..64)).min(bytes.len());
        match rng.random_range(0..10) {
            0..=2 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            3 | 4 if at < bytes.len() => bytes[at] = rng.random(),
            // Opcodes and lengths that mean something.
            5 if at < bytes.len() => bytes[at] = *OPCODES.choose(rng).unwrap(),
            6 => drop(bytes.drain(at.min(bytes.len())..end.max(at.min(bytes.len())))),
            7 => {
                let (_, other) = seeds.choose(rng).unwrap();
                let from = rng.random_range(0..other.len());
                let part = other[from..(from + rng.random_range(1..256)).min(other.len())].to_vec();
                bytes.splice(at.min(bytes.len())..at.min(bytes.len()), part);
            }
            8 => {
                let part = bytes[at.min(end)..end].to_vec();
                let to = rng.random_range(0..=bytes.len() - part.len());
                bytes[to..to + part.len()].copy_from_slice(&part);
            }
            9 if rng.random_range(0..8) == 0 => bytes.truncate(at),
            _ => {}
        }
    }
    (name.clone(), bytes)
}

/// How many tensors there are, or the error.
fn read(bytes: Vec<u8>) -> Result<usize, String> {
    match torchfile::read_bytes(bytes) {
        Ok(read) => {
            for entry in read.entries() {
                // As a network does: only what has a shape that it could want.
                if entry.shape.iter().product::<usize>() <= 1 << 12 {
                    let _ = read.values(entry).expect("it was checked to lie in the file");
                }
            }
            Ok(read.entries().len())
        }
        Err(Error::Reason(reason)) => Err(reason),
        Err(Error::Io(error)) => panic!("{error}"),
    }
}

#[test]
fn no_damaged_weight_file_panics_hangs_or_takes_memory_that_it_could_not_fill() {
    let Some(seeds) = seeds() else { return };
    let cases = number("HUMERUS_FUZZ_CASES", 3000);
    let mut rng = ChaCha8Rng::seed_from_u64(number("HUMERUS_FUZZ_SEED", 1) as u64);
    let (mut whole, mut worst, mut slowest) = (0usize, (0.0f64, String::new()), (Duration::ZERO, String::new()));
    let mut most = 0;
    for case in 0..cases {
        let (name, bytes) = mutate(&seeds, &mut rng);
        let kept = bytes.clone();
        let began = Instant::now();
        let before = NOW.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        let outcome = catch_unwind(AssertUnwindSafe(|| read(bytes)));
        let (peak, took) = (PEAK.load(Ordering::Relaxed).saturating_sub(before), began.elapsed());
        let failure = match outcome {
            Err(_) => Some("panicked".to_owned()),
            Ok(Err(reason)) if reason.lines().count() != 1 || reason.len() > 400 => Some(format!("said {reason:?}")),
            _ if peak > MEMORY_PER_BYTE * kept.len() + MEMORY => Some(format!("took {peak} bytes for {}", kept.len())),
            _ if took > MAX_TIME => Some(format!("took {took:?}")),
            Ok(Ok(_)) => {
                whole += 1;
                None
            }
            Ok(Err(_)) => None,
        };
        if let Some(failure) = failure {
            let path = std::env::temp_dir().join(format!("humerus-weights-{case}"));
            std::fs::write(&path, kept).unwrap();
            panic!("case {case} of {name} {failure}; the file is {}", path.display());
        }
        most = most.max(peak);
        let share = peak as f64 / kept.len().max(1) as f64;
        if kept.len() > 1024 && share > worst.0 {
            worst = (share, name.clone());
        }
        if took > slowest.0 {
            slowest = (took, name);
        }
    }
    println!(
        "{cases} cases of {} seeds, {whole} still read; most memory {} KiB, {:.1} bytes a byte ({}); slowest {:?} ({})",
        seeds.len(),
        most >> 10,
        worst.0,
        worst.1,
        slowest.0,
        slowest.1
    );
    assert!(
        whole > 0 || cases < 100,
        "no file survives: the mutations are too strong to test what lies behind the first check"
    );
}
