//! Damaged files of every kind: decoding ends in a picture or an error, never in a panic, a hang or in more
//! than 512 MiB for a file below 1 MiB.
//!
//! Seeded: the same numbers give the same files. `HUMERUS_FUZZ_CASES` sets how many files are made (default
//! 3,000), `HUMERUS_FUZZ_SEED` which. With `HUMERUS_PYTHON` the files of the golden scripts and pydicom's
//! own are mutated too, real films where they are, and in runs of more than the default the films of
//! `golden/dicom_matrix.py`. A file that fails is kept in the temporary folder and named; once
//! mended it belongs into `tests/regressions/`, whose files are tried first.
//!
//! What mutation does not reach, small files that promise the largest films, `golden/large.py` writes.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use humerus_film::{MAX_PIXELS, dicom_header, examine, inspect, looks_inverted};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use testing::counting::{Counting, NOW, PEAK};
use testing::fuzz::{CASES, MAX_TIME, Watchdog, change, number, own_files, right_checksums, watched};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MAX_MEMORY: usize = 512 << 20;
const MAX_FILE: usize = 1 << 20;
/// What became of all cases.
#[derive(Default)]
struct Tally {
    outcomes: BTreeMap<String, usize>,
    peak: (usize, String),
    time: (Duration, String),
    failures: Vec<String>,
}

impl Tally {
    fn report(&self, cases: usize) {
        println!("{cases} cases: {:?}", self.outcomes);
        println!(
            "most memory {} KiB ({}), most time {:?} ({})",
            self.peak.0 >> 10,
            self.peak.1,
            self.time.0,
            self.time.1
        );
        assert!(self.failures.is_empty(), "{} failures:\n{}", self.failures.len(), self.failures.join("\n"));
    }
}

/// Tries one file, which lies at `path` too.
fn try_file(bytes: &[u8], path: &Path) -> Result<String, String> {
    let inspected = inspect(bytes);
    let header = dicom_header(path);
    match (examine(path), inspected) {
        (Ok((film, doubts)), Ok(stored)) => {
            let (width, height) = film.dimensions();
            let turned = (width, height) == (stored.height, stored.width);
            if (width, height) != (stored.width, stored.height) && !turned {
                return Err(format!("{width} × {height} pixels decoded of {} × {}", stored.width, stored.height));
            }
            if u64::from(width) * u64::from(height) > MAX_PIXELS {
                return Err(format!("{width} × {height} pixels"));
            }
            let polarity = if looks_inverted(&film) { "negative" } else { "film" };
            let doubt = doubts.first().map_or("", |doubt| doubt.name());
            Ok(format!("{} {polarity} {doubt}", stored.format).trim_end().to_owned())
        }
        (Ok(_), Err(flaw)) => Err(format!("decoded in spite of: {flaw}")),
        (Err(error), inspected) => {
            let message = error.to_string();
            if message.lines().count() != 1 {
                return Err(format!("not one line: {message:?}"));
            }
            let refusal = match inspected {
                Ok(_) => "refused in decoding".to_owned(),
                Err(flaw) => flaw.to_string().split(':').next().unwrap_or_default().to_owned(),
            };
            Ok(if header.is_ok() { format!("{refusal}, header read") } else { refusal })
        }
    }
}

/// Tries one case under every limit and keeps it if it fails.
fn run(name: &str, bytes: &[u8], path: &Path, watchdog: &Watchdog, tally: &mut Tally) {
    std::fs::write(path, bytes).unwrap();
    let start = Instant::now();
    watchdog.since.store(watchdog.begin.elapsed().as_millis() as u64 + 1, Ordering::Relaxed);
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let result = catch_unwind(AssertUnwindSafe(|| try_file(bytes, path)));
    let peak = PEAK.load(Ordering::Relaxed) - before;
    watchdog.since.store(0, Ordering::Relaxed);
    let time = start.elapsed();
    if peak > tally.peak.0 {
        tally.peak = (peak, name.to_owned());
    }
    if time > tally.time.0 {
        tally.time = (time, name.to_owned());
    }
    let failure = match result {
        Err(_) => Some("panics".to_owned()),
        Ok(Err(wrong)) => Some(wrong),
        Ok(Ok(_)) if peak > MAX_MEMORY && bytes.len() < MAX_FILE => Some(format!("takes {} MiB", peak >> 20)),
        Ok(Ok(_)) if time > watchdog.limit => Some(format!("takes {time:?}")),
        Ok(Ok(outcome)) => {
            *tally.outcomes.entry(outcome).or_default() += 1;
            None
        }
    };
    if let Some(failure) = failure {
        let kept = std::env::temp_dir().join(format!("humerus-fuzz-{}-{}", std::process::id(), tally.failures.len()));
        std::fs::write(&kept, bytes).unwrap();
        tally.failures.push(format!("{name} {failure}: kept as {}", kept.display()));
    }
}

/// Every file to mutate, small ones first.
fn seeds() -> Vec<Vec<u8>> {
    let mut files = own_files();
    for file in &files {
        assert!(inspect(file).is_ok(), "{:?}", inspect(file));
    }
    if let Some(python) = testing::python() {
        let out = tempfile::tempdir().unwrap();
        testing::script(&python, "parts/film/tests/golden/preprocess.py", &[out.path().as_os_str(), "64".as_ref()]);
        files.extend(listed(out.path()));
        testing::script(&python, "parts/film/tests/golden/dicom.py", &[out.path().as_os_str()]);
        files.extend(listed(out.path()));
        if number("HUMERUS_FUZZ_CASES", CASES) > CASES {
            testing::script(&python, "parts/film/tests/golden/dicom_matrix.py", &[out.path().as_os_str()]);
            files.extend(listed(out.path()).into_iter().step_by(7));
            testing::script(&python, "parts/film/tests/golden/jpeg.py", &[out.path().as_os_str()]);
            files.extend(listed(out.path()));
        }
    }
    if let Some(root) = testing::shared("fracatlas-upper-limb") {
        let index = studies::index(root).unwrap();
        files.extend(index.studies.iter().step_by(60).map(|study| std::fs::read(&study.views[0].path).unwrap()));
    }
    files.retain(|file| file.len() < 200_000);
    files.sort_by_key(Vec::len);
    files
}

/// The files that a golden script's list names.
fn listed(out: &Path) -> Vec<Vec<u8>> {
    #[derive(serde::Deserialize)]
    struct Entry {
        path: PathBuf,
    }
    let list: Vec<Entry> = serde_json::from_slice(&std::fs::read(out.join("index.json")).unwrap()).unwrap();
    list.iter().map(|entry| std::fs::read(&entry.path).unwrap()).collect()
}

#[test]
fn no_damaged_file_panics_hangs_or_takes_half_a_gigabyte() {
    let seeds = seeds();
    let count = number("HUMERUS_FUZZ_CASES", CASES);
    let mut rng = ChaCha8Rng::seed_from_u64(number("HUMERUS_FUZZ_SEED", 1) as u64);
    let start = Instant::now();
    watched(MAX_TIME, |path, watchdog| {
        let mut tally = Tally::default();
        for case in 0..count {
            // Small files more often, as the faster ones.
            let pick = |rng: &mut ChaCha8Rng| {
                let (fraction, small): (f64, f64) =
                    (rng.random(), if rng.random_bool(0.6) { rng.random() } else { 1.0 });
                &seeds[(fraction * small * seeds.len() as f64) as usize]
            };
            let mut bytes = pick(&mut rng).clone();
            let other = pick(&mut rng);
            for _ in 0..rng.random_range(1..=4) {
                change(&mut bytes, other, &mut rng);
            }
            if bytes.starts_with(b"\x89PNG") && rng.random_bool(0.7) {
                right_checksums(&mut bytes);
            }
            run(&format!("case {case}"), &bytes, path, watchdog, &mut tally);
        }
        println!("{} files to mutate, {:?}", seeds.len(), start.elapsed());
        tally.report(count);
    });
}

#[test]
fn files_that_once_failed_do_not_fail_again() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regressions");
    let files: BTreeSet<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() > 4);
    watched(MAX_TIME, |path, watchdog| {
        let mut tally = Tally::default();
        for file in &files {
            run(&file.display().to_string(), &std::fs::read(file).unwrap(), path, watchdog, &mut tally);
        }
        tally.report(files.len());
    });
}

#[test]
fn small_files_of_the_largest_films_stay_within_the_limits() {
    let Some(python) = testing::python() else { return };
    let out = tempfile::tempdir().unwrap();
    testing::script(&python, "parts/film/tests/golden/large.py", &[out.path().as_os_str()]);
    let mut files: Vec<PathBuf> = std::fs::read_dir(out.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    // Tens of millions of pixels take seconds where the code is not optimised and the machine busy.
    watched(6 * MAX_TIME, |path, watchdog| {
        let mut tally = Tally::default();
        for file in &files {
            let bytes = std::fs::read(file).unwrap();
            assert!(bytes.len() < MAX_FILE);
            run(&file.file_name().unwrap().to_string_lossy(), &bytes, path, watchdog, &mut tally);
        }
        tally.report(files.len());
        let decoded: usize = tally.outcomes.iter().filter(|(it, _)| it.contains(" film")).map(|(_, count)| count).sum();
        assert_eq!((files.len(), decoded), (8, 6), "{:?}", tally.outcomes);
    });
}
