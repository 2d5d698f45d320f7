//! Damaged files of every kind: decoding and indexing end in a picture or an error, never in a panic, a hang or in more
//! than 512 MiB for a file below 1 MiB.
//!
//! Seeded: the same numbers give the same files. `HUMERUS_FUZZ_CASES` sets how many files are made (default 3,000; a
//! fiftieth of it folders), `HUMERUS_FUZZ_SEED` which. With `HUMERUS_PYTHON` the files of the golden scripts and pydicom's
//! own are mutated too, real films where they are, and in runs of more than the default the films of
//! `golden/dicom_matrix.py`. A file that fails is kept in the temporary folder and named; once
//! mended it belongs into `tests/regressions/`, whose files are tried first.
//!
//! What mutation does not reach, small files that promise the largest films, `golden/large.py` writes.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use humerus::dataset;
use humerus::preprocess::{MAX_PIXELS, dicom_header, examine, inspect, looks_inverted};
use image::{DynamicImage, GrayImage, ImageFormat, Luma};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use testing::counting::{Counting, NOW, PEAK};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test at a time, or their memory would be added up.
static ALONE: Mutex<()> = Mutex::new(());

/// Files that are made unless `HUMERUS_FUZZ_CASES` says otherwise.
const CASES: usize = 3000;
const MAX_MEMORY: usize = 512 << 20;
const MAX_FILE: usize = 1 << 20;
const MAX_TIME: Duration = Duration::from_secs(10);

/// Ends the process when a case takes too long: a thread that hangs cannot be stopped.
struct Watchdog {
    limit: Duration,
    /// Milliseconds since `begin` at which the case began; 0 between cases.
    since: AtomicU64,
    begin: Instant,
    done: AtomicBool,
}

impl Watchdog {
    fn watch(&self, file: &Path) {
        while !self.done.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(50));
            let since = self.since.load(Ordering::Relaxed);
            let now = self.begin.elapsed().as_millis() as u64;
            if since > 0 && now.saturating_sub(since) > self.limit.as_millis() as u64 {
                eprintln!("hangs: more than {:?} on {}", self.limit, file.display());
                std::process::abort();
            }
        }
    }
}

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

/// A number that a length or a size may wrongly have.
fn odd_number(rng: &mut ChaCha8Rng) -> u32 {
    let numbers =
        [0, 1, 2, 3, 7, 8, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000];
    match rng.random_range(0..4) {
        0 => u32::MAX - rng.random_range(0..16),
        1 => rng.random_range(0..70_000),
        _ => *numbers.choose(rng).expect("there are numbers"),
    }
}

/// A place in the file, in its head as often as not.
fn place(rng: &mut ChaCha8Rng, length: usize) -> usize {
    let end = if rng.random_bool(0.5) { length.min(400) } else { length };
    rng.random_range(0..end.max(1)).min(length.saturating_sub(1))
}

/// Changes a file in one way; `other` is another file.
fn change(bytes: &mut Vec<u8>, other: &[u8], rng: &mut ChaCha8Rng) {
    if bytes.is_empty() {
        bytes.extend_from_slice(other);
        return;
    }
    let at = place(rng, bytes.len());
    let span = |rng: &mut ChaCha8Rng, most: usize| rng.random_range(1..=most.clamp(1, 200));
    match rng.random_range(0..24) {
        0..=7 => bytes[at] ^= 1 << rng.random_range(0..8),
        8..=10 => bytes[at] = rng.random(),
        11 | 12 => bytes[at] = *[0, 0xff, 0x80, 0x7f].choose(rng).expect("there are bytes"),
        13..=16 => {
            let number = odd_number(rng);
            let (size, big) = (if rng.random_bool(0.5) { 2 } else { 4 }, rng.random_bool(0.5));
            let written =
                if big { number.to_be_bytes()[4 - size..].to_vec() } else { number.to_le_bytes()[..size].to_vec() };
            for (place, byte) in bytes[at..].iter_mut().zip(written) {
                *place = byte;
            }
        }
        17 => bytes.truncate(place(rng, bytes.len())),
        18 => {
            let end = at + span(rng, bytes.len() - at).min(bytes.len() - at);
            bytes.drain(at..end);
        }
        19 | 20 => {
            // Twice the same, such as a chunk, a segment or an element.
            let end = at + span(rng, bytes.len() - at).min(bytes.len() - at);
            let copy = bytes[at..end].to_vec();
            let to = place(rng, bytes.len());
            bytes.splice(to..to, copy);
        }
        21 | 22 => {
            let from = place(rng, other.len().max(1)).min(other.len());
            let end = (from + span(rng, 200)).min(other.len());
            bytes.splice(at..at, other[from..end].iter().copied());
        }
        _ => {
            // The head of one file, the tail of another.
            bytes.truncate(at);
            bytes.extend_from_slice(&other[place(rng, other.len().max(1)).min(other.len())..]);
        }
    }
}

/// Makes the checksums of a PNG's chunks right again: a decoder looks no further where they are wrong.
fn right_checksums(bytes: &mut [u8]) {
    let mut at = 8;
    while let Some(&[a, b, c, d]) = bytes.get(at..at + 4) {
        let end = at.saturating_add(8).saturating_add(u32::from_be_bytes([a, b, c, d]) as usize);
        let Some(data) = bytes.get(at + 4..end) else { return };
        let mut crc = u32::MAX;
        for byte in data {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            }
        }
        let Some(place) = bytes.get_mut(end..end + 4) else { return };
        place.copy_from_slice(&(!crc).to_be_bytes());
        at = end + 4;
    }
}

/// A data element of explicit VR little endian.
fn element(tag: (u16, u16), vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
    let mut bytes = [tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat();
    bytes.extend_from_slice(vr);
    let mut value = value.to_vec();
    if value.len() % 2 == 1 {
        value.push(b' ');
    }
    if matches!(vr, b"OB" | b"OW" | b"SQ") {
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
    } else {
        bytes.extend_from_slice(&(value.len() as u16).to_le_bytes());
    }
    bytes.extend_from_slice(&value);
    bytes
}

/// A DICOM film of 24 × 16 pixels of 16 bits, with a window, and its pixel data as given.
fn dicom(syntax: &str, bits: u16, pixels: &[u8]) -> Vec<u8> {
    let short = |tag, value: u16| element(tag, b"US", &value.to_le_bytes());
    let mut file = [vec![0; 128], b"DICM".to_vec()].concat();
    file.extend(element((2, 0x10), b"UI", syntax.as_bytes()));
    file.extend(element((8, 5), b"CS", b"ISO_IR 100"));
    file.extend(element((0x10, 0x20), b"LO", b"patient 1"));
    file.extend(short((0x28, 2), 1));
    file.extend(element((0x28, 4), b"CS", b"MONOCHROME1"));
    file.extend(short((0x28, 0x10), 16));
    file.extend(short((0x28, 0x11), 24));
    file.extend(short((0x28, 0x100), bits));
    file.extend(short((0x28, 0x101), bits));
    file.extend(short((0x28, 0x102), bits - 1));
    file.extend(short((0x28, 0x103), 0));
    file.extend(element((0x28, 0x1050), b"DS", b"300"));
    file.extend(element((0x28, 0x1051), b"DS", b"500.5"));
    file.extend_from_slice(pixels);
    file
}

/// Pixel data in one fragment.
fn fragment(data: &[u8]) -> Vec<u8> {
    let mut bytes =
        vec![0xe0, 0x7f, 0x10, 0, b'O', b'B', 0, 0, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xff, 0, 0xe0, 0, 0, 0, 0];
    bytes.extend_from_slice(&[0xfe, 0xff, 0, 0xe0]);
    bytes.extend_from_slice(&(data.len() as u32).to_le_bytes());
    bytes.extend_from_slice(data);
    bytes.extend_from_slice(&[0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0]);
    bytes
}

/// Small files of every kind that can be written without Python.
fn own_files() -> Vec<Vec<u8>> {
    let film = GrayImage::from_fn(24, 16, |x, y| Luma([(x * 9 + y * 5) as u8]));
    let picture = DynamicImage::ImageLuma8(film.clone());
    let encoded = |picture: &DynamicImage, format| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    let pictures = [
        picture.clone(),
        DynamicImage::ImageRgb8(picture.to_rgb8()),
        DynamicImage::ImageLumaA8(picture.to_luma_alpha8()),
        DynamicImage::ImageLuma16(picture.to_luma16()),
        DynamicImage::ImageRgba16(picture.to_rgba16()),
    ];
    let mut files: Vec<Vec<u8>> = pictures.iter().map(|picture| encoded(picture, ImageFormat::Png)).collect();
    files.extend(pictures[..2].iter().map(|picture| encoded(picture, ImageFormat::Jpeg)));
    let words: Vec<u8> = film.pixels().flat_map(|pixel| (u16::from(pixel.0[0]) * 3).to_le_bytes()).collect();
    files.push(dicom("1.2.840.10008.1.2.1", 16, &element((0x7fe0, 0x10), b"OW", &words)));
    files.push(dicom("1.2.840.10008.1.2.4.50", 8, &fragment(&encoded(&picture, ImageFormat::Jpeg))));
    // One segment of literals, 64 at a time.
    let mut rle = [1u32, 64].map(u32::to_le_bytes).concat();
    rle.resize(64, 0);
    for literal in film.as_raw().chunks(64) {
        rle.push(63);
        rle.extend_from_slice(literal);
    }
    files.push(dicom("1.2.840.10008.1.2.5", 8, &fragment(&rle)));
    files
}

/// Every file to mutate, small ones first.
fn seeds() -> Vec<Vec<u8>> {
    let mut files = own_files();
    for file in &files {
        assert!(inspect(file).is_ok(), "{:?}", inspect(file));
    }
    if let Some(python) = testing::python() {
        let out = tempfile::tempdir().unwrap();
        testing::script(&python, "crate/tests/golden/preprocess.py", &[out.path().as_os_str(), "64".as_ref()]);
        files.extend(listed(out.path()));
        testing::script(&python, "crate/tests/golden/dicom.py", &[out.path().as_os_str()]);
        files.extend(listed(out.path()));
        if number("HUMERUS_FUZZ_CASES", CASES) > CASES {
            testing::script(&python, "crate/tests/golden/dicom_matrix.py", &[out.path().as_os_str()]);
            files.extend(listed(out.path()).into_iter().step_by(7));
            testing::script(&python, "crate/tests/golden/jpeg.py", &[out.path().as_os_str()]);
            files.extend(listed(out.path()));
        }
    }
    if let Some(root) = testing::shared("fracatlas-upper-limb") {
        let index = dataset::index(root).unwrap();
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

fn number(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |value| value.parse().expect("a number"))
}

/// Runs `cases` under a watchdog on the file that they are written to.
fn watched(limit: Duration, cases: impl FnOnce(&Path, &Watchdog)) {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("case");
    let watchdog = Watchdog { limit, since: AtomicU64::new(0), begin: Instant::now(), done: AtomicBool::new(false) };
    std::thread::scope(|scope| {
        scope.spawn(|| watchdog.watch(&path));
        let result = catch_unwind(AssertUnwindSafe(|| cases(&path, &watchdog)));
        watchdog.done.store(true, Ordering::Relaxed);
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
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
    testing::script(&python, "crate/tests/golden/large.py", &[out.path().as_os_str()]);
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

/// Names that mean something to a layout, and some that mean nothing.
const NAMES: [&str; 38] = [
    "train",
    "valid",
    "truth",
    "images",
    "Fractured",
    "Non_fractured",
    "Annotations",
    "COCO JSON",
    "XR_HUMERUS",
    "XR_ELBOW",
    "XR_",
    "patient00001",
    "patient00002",
    "patient",
    "study1_positive",
    "study1_negative",
    "study2_negative",
    "study",
    "study1_",
    "image1.png",
    "image2.png",
    "IMG0000001.jpg",
    "IMG0000002.jpg",
    "IMG.jpg",
    "._image1.png",
    ".hidden",
    "dataset.csv",
    "labels.csv",
    "train_image_paths.csv",
    "train_labeled_studies.csv",
    "valid_labeled_studies.csv",
    "phantom.json",
    "a",
    "größe.dcm",
    "a b.PNG",
    "positive",
    "normal",
    "\u{202e}x.png",
];

/// Lines that a table may have, sense or not.
const LINES: [&str; 17] = [
    "path,label",
    "path,label,study,patient,view,split",
    "image_id,hand,leg,hip,shoulder,fractured",
    "train/XR_HUMERUS/patient00001/study1_positive/,1",
    "train/XR_HUMERUS/patient00001/study1_positive/image1.png",
    "IMG0000001.jpg,0,0,0,1,1",
    "image1.png,abnormal,s,p,AP,train",
    "image1.png,1",
    "a.dcm,normal",
    "größe.dcm,0",
    "../../etc/passwd,1",
    "\"",
    "\"a\nb\",1",
    ",,,,",
    "",
    "a;b;c",
    "{\"images\":[{\"id\":1,\"file_name\":\"IMG0000001.jpg\"}],\"annotations\":[{\"image_id\":1,\"bbox\":[1,2,-3,1e38]}]}",
];

/// Folders of the layouts that there are, and names of their films.
const LAYOUTS: [(&[&[&str]], &[&str]); 5] = [
    (
        &[
            &["train", "valid"],
            &["XR_HUMERUS", "XR_ELBOW"],
            &["patient00001", "patient00002"],
            &["study1_positive", "study1_negative"],
        ],
        &["image1.png", "image2.png"],
    ),
    (&[&["images"], &["Fractured", "Non_fractured"]], &["IMG0000001.jpg", "IMG0000002.jpg", "IMG0000950.jpg"]),
    (&[&["positive", "normal", "a"]], &["image1.png", "IMG0000001.jpg", "größe.dcm"]),
    (
        &[&["0", "1", "yes", "7", "test"], &["abnormal", "normal", "0", "1"], &["2", "no", "a"]],
        &["image1.png", "IMG0000001.jpg", "two\nlines.png"],
    ),
    (&[], &["image1.png", "labels.csv", "größe.dcm", "a.dcm"]),
];

/// A tree of folders and files, nearly one of the layouts or none, and the files in it.
fn grow(root: &Path, files: &[Vec<u8>], rng: &mut ChaCha8Rng) -> BTreeSet<PathBuf> {
    let mut grown = BTreeSet::new();
    let (folders, films) = LAYOUTS.choose(rng).unwrap();
    let order = rng.random_range(0.3..1.0);
    for _ in 0..rng.random_range(0..24) {
        let mut path = root.to_owned();
        if rng.random_bool(order) {
            path.extend(folders.iter().map(|names| names.choose(rng).unwrap()));
            path.push(films.choose(rng).unwrap());
        } else {
            path.extend((0..rng.random_range(0..9)).map(|_| *NAMES.choose(rng).unwrap()));
            path.push(NAMES.choose(rng).unwrap());
        }
        if std::fs::create_dir_all(path.parent().unwrap()).is_err() || path.is_dir() {
            continue;
        }
        let is_table = path.extension().is_some_and(|it| it == "csv" || it == "json") || rng.random_bool(0.1);
        let mut bytes = if is_table {
            (0..rng.random_range(0..9)).flat_map(|_| format!("{}\n", LINES.choose(rng).unwrap()).into_bytes()).collect()
        } else {
            files.choose(rng).unwrap().clone()
        };
        if rng.random_bool(0.3) {
            change(&mut bytes, files.choose(rng).unwrap(), rng);
        }
        if std::fs::write(&path, &bytes).is_ok() {
            grown.insert(path);
        }
    }
    grown
}

#[test]
fn no_folder_panics_the_index_and_no_file_is_lost_in_it() {
    let files = own_files();
    let count = number("HUMERUS_FUZZ_CASES", CASES) / 50;
    let mut rng = ChaCha8Rng::seed_from_u64(number("HUMERUS_FUZZ_SEED", 1) as u64);
    watched(MAX_TIME, |_, _| {
        let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
        for case in 0..count {
            let folder = tempfile::tempdir().unwrap();
            let grown = grow(folder.path(), &files, &mut rng);
            let result =
                catch_unwind(AssertUnwindSafe(|| (dataset::index(folder.path()), dataset::loose_films(folder.path()))));
            let Ok((index, loose)) = result else { panic!("folder {case} panics: {grown:?}") };
            let outcome = match index {
                Ok(index) => {
                    let views = index.studies.iter().flat_map(|study| &study.views);
                    let mut met: BTreeSet<PathBuf> = views.map(|view| view.path.clone()).collect();
                    met.extend(index.skipped.iter().map(|skipped| skipped.path.clone()));
                    met.extend(index.companions.iter().cloned());
                    let lost: Vec<&PathBuf> = grown.difference(&met).collect();
                    assert!(lost.is_empty(), "folder {case} of {grown:?} loses {lost:?}");
                    format!("{:?}", index.layout)
                }
                Err(error) => {
                    let message = error.to_string();
                    assert_eq!(message.lines().count(), 1, "{message}");
                    if loose.is_ok() { "loose films".to_owned() } else { "no films".to_owned() }
                }
            };
            *outcomes.entry(outcome).or_default() += 1;
        }
        println!("{count} folders: {outcomes:?}");
    });
}
