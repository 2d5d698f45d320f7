//! Damaged tables of every layout: reading ends in an index or in one line, never in a panic or a hang; no file is
//! lost, no film is there twice, and a table means the same in every encoding.
//!
//! Seeded: the same numbers give the same tables. `HUMERUS_FUZZ_CASES` sets how many are made (default 2,000),
//! `HUMERUS_FUZZ_SEED` which. A table that fails is kept in the temporary folder and named; once mended it belongs
//! among the tests of `dataset`.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use humerus_studies::{self as dataset, Index};
use humerus_studies::{Error, Label, Split};
use phantom::{FilmFormat, PhantomConfig};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use testing::TestSet;

const MAX_TIME: Duration = Duration::from_secs(20);

/// A folder of films with tables to be spoilt.
struct Kind {
    set: TestSet,
    /// Names and sound texts.
    tables: Vec<(&'static str, String)>,
    files: BTreeSet<PathBuf>,
}

impl Kind {
    fn new(set: TestSet, tables: Vec<(&'static str, String)>) -> Kind {
        tables.iter().for_each(|(name, text)| drop(set.file(name, text)));
        let below = walk(set.root());
        Kind { set, tables, files: below }
    }
}

fn walk(root: &Path) -> BTreeSet<PathBuf> {
    let entries = walkdir::WalkDir::new(root).into_iter().flatten();
    entries.filter(|entry| entry.file_type().is_file()).map(|entry| entry.into_path()).collect()
}

/// Every layout that has a table.
fn kinds() -> Vec<Kind> {
    let manifest = TestSet::new();
    let films = [
        "a.png",
        "b.png",
        "films/a.png",
        "films/0012.png",
        "films/Ro\u{308}ntgen é.png",
        "deep/er/c.png",
        "c.txt",
        "two\nlines.png",
    ];
    for (n, name) in films.into_iter().enumerate() {
        manifest.film(name, n as u32);
    }
    let rows = "path,label,study,patient,view,split\na.png,1,s1,p1,AP,train\nb.png,normal,s2,p2,,valid\n\
                films/a.png,0,s1,p1,LATERAL,train\n12,abnormal,s3,\"p,3\",AP,test\nfilms\\Röntgen é.png,0,,,,\n\
                ./deep/er/c.png,1.0,s4,p4,x,dev\n\"two\nlines.png\",0,s5,p5,,train\n";
    let nih = TestSet::new();
    for n in 0..5 {
        nih.film(&format!("images_00{}/0000000{n}_000.png", n % 2), n);
    }
    let findings = "sep=;\nImage Index;Finding Labels;Follow-up #;Patient ID\n00000000_000.png;Fracture|Edema;0;1\n\
                    00000001_000.png;No Finding;0;2\n00000002_000;Nodule;0;03\n00000003_000.png;No Finding;1;3.0\n";
    let mura = TestSet::new();
    let (mut images, mut studies) = (String::new(), String::new());
    for (n, label) in ["positive", "negative", "negative"].into_iter().enumerate() {
        let study = format!("valid/XR_HUMERUS/patient{n:05}/study1_{label}/");
        mura.film(&format!("{study}image1.png"), n as u32);
        images += &format!("MURA-v1.1/{study}image1.png\n");
        studies += &format!("MURA-v1.1/{study},{}\n", u8::from(label == "positive"));
    }
    let fracatlas = TestSet::new();
    fracatlas.film("images/Fractured/IMG0000001.png", 1);
    fracatlas.film("images/Non_fractured/IMG0000002.png", 2);
    let atlas = "image_id,hand,leg,hardware,multiscan,fractured,frontal\n\
                 IMG0000001.png,1,0,1,0,1,1\nIMG0000002.png,0,1,0,0,0,1\n";
    let coco = "{\"images\":[{\"id\":1,\"file_name\":\"IMG0000001.png\"}],\"annotations\":\
                [{\"image_id\":1,\"bbox\":[1,2,3,4],\"segmentation\":[[1,2,4,2,4,6]]}]}";
    let dicom = TestSet::new();
    let config = PhantomConfig { studies: 4, longest_side: 64, format: FilmFormat::Dicom, ..PhantomConfig::default() };
    let source = tempfile::tempdir().unwrap();
    phantom::write(&config, &source.path().join("set"), &mut |_| ()).unwrap();
    let index = dataset::index(source.path().join("set")).unwrap();
    let (mut files, mut patients) = ("filename,label,split\n".to_owned(), "PatientID;label\n".to_owned());
    for (n, study) in index.studies.iter().enumerate() {
        let bytes = std::fs::read(&study.views[0].path).unwrap();
        dicom.file(&format!("P{}/IM{n}.dcm", n % 2), &bytes);
        let patient = film::dicom_header(&study.views[0].path).unwrap().patient.unwrap();
        files += &format!("IM{n}.dcm,{},train\n", study.label);
        patients += &format!("{patient};{}\n", study.label.index());
    }
    let again = TestSet::new();
    for path in walk(dicom.root()) {
        again.file(path.file_name().unwrap().to_str().unwrap(), std::fs::read(&path).unwrap());
    }
    vec![
        Kind::new(manifest, vec![("films.csv", rows.to_owned())]),
        Kind::new(nih, vec![("Data_Entry.csv", findings.to_owned())]),
        Kind::new(mura, vec![("valid_image_paths.csv", images), ("valid_labeled_studies.csv", studies)]),
        Kind::new(
            fracatlas,
            vec![("dataset.csv", atlas.to_owned()), ("Annotations/COCO JSON/masks.json", coco.to_owned())],
        ),
        Kind::new(dicom, vec![("labels.csv", files)]),
        Kind::new(again, vec![("labels.csv", patients)]),
    ]
}

/// What a cell may say, sense or not.
const WORDS: [&str; 62] = [
    "path",
    "label",
    "Label",
    "filename",
    "Image Index",
    "Finding Labels",
    "PatientID",
    "study",
    "patient",
    "split",
    "view",
    "a.png",
    "b.png",
    "A.PNG",
    "films/a.png",
    "./a.png",
    "../a.png",
    "films\\a.png",
    "/a.png",
    "C:\\a.png",
    "12",
    "12.0",
    "0012",
    "00012.png",
    "films/0012",
    "Röntgen é.png",
    "Ro\u{308}ntgen e\u{301}",
    "c",
    "c.txt",
    "",
    " ",
    ".",
    "..",
    "/",
    "0",
    "1",
    "1.0",
    "yes",
    "No Finding",
    "No Finding|Edema",
    "|",
    "fractured",
    "maybe",
    "-1",
    "train",
    "Valid",
    "test",
    "p1",
    "IM0.dcm",
    "IM1",
    "P0/IM0.dcm",
    "valid/XR_HUMERUS/patient00000/study1_positive/",
    "sep=;",
    "sep=",
    "\u{feff}",
    "\u{fffd}",
    "\u{0}",
    "é\u{301}\u{327}",
    "\u{1f9b4}",
    "NaN",
    "1e9",
    "99999999999999999999",
];

/// Spoils a text in one way.
fn spoil(text: &mut String, rng: &mut ChaCha8Rng) {
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let at = rng.random_range(0..lines.len());
    let word = *WORDS.choose(rng).unwrap();
    match rng.random_range(0..14) {
        0..=4 => {
            // A cell says something else.
            let sign = *[',', ';', '\t'].iter().find(|sign| lines[at].contains(**sign)).unwrap_or(&',');
            let mut cells: Vec<&str> = lines[at].split(sign).collect();
            let cell = rng.random_range(0..cells.len());
            cells[cell] = word;
            lines[at] = cells.join(&sign.to_string());
        }
        5 => drop(lines.remove(at)),
        6 => {
            let copy = lines[at].clone();
            lines.insert(rng.random_range(0..=lines.len()), copy);
        }
        7 => lines.insert(at, word.to_owned()),
        8 => lines[at] = lines[at].replace([',', ';'], [",", ";", "\t", "|", " "].choose(rng).unwrap()),
        9 => lines[at].insert(0, '"'),
        10 => {
            let (from, to) = (lines[at].clone(), word);
            lines[at] = format!("{from},{to}");
        }
        11 => lines[at] = word.repeat(rng.random_range(1..400)),
        12 => lines[at].push('\r'),
        _ => {
            let short: String = lines[at].chars().take(rng.random_range(0..20)).collect();
            lines[at] = short;
        }
    }
    *text = lines.join("\n");
    if text.is_empty() {
        text.push('\n');
    }
}

/// What an index says, whatever the order of its words.
type Told = Result<BTreeMap<PathBuf, (Label, Split, Option<String>, String)>, String>;

fn told(result: Result<Index, Error>, kind: &Kind) -> Result<Told, String> {
    let index = match result {
        Ok(index) => index,
        Err(error) => {
            let line = error.to_string();
            // A cell may say anything, a line break too.
            return match error {
                _ if line.lines().count() != 1 => Err(format!("not one line: {line:?}")),
                Error::Io { .. } => Err(format!("reads what is not there: {line}")),
                error => Ok(Err(format!("{:?}", std::mem::discriminant(&error)))),
            };
        }
    };
    let mut views = BTreeMap::new();
    for study in &index.studies {
        for view in &study.views {
            let said = (study.label, study.split, study.patient.clone(), study.id.clone());
            if views.insert(view.path.clone(), said).is_some() {
                return Err(format!("{} is there twice", view.path.display()));
            }
        }
    }
    let mut met: BTreeSet<PathBuf> = views.keys().cloned().collect();
    met.extend(index.skipped.iter().map(|it| it.path.clone()));
    met.extend(index.companions.iter().cloned());
    match kind.files.difference(&met).next() {
        Some(lost) => Err(format!("{} is lost", lost.display())),
        None => Ok(Ok(views)),
    }
}

/// The text in the other encodings that mean the same.
fn encodings(text: &str) -> Vec<Vec<u8>> {
    let units = |mark: [u8; 2], bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        mark.into_iter().chain(text.encode_utf16().flat_map(bytes)).collect()
    };
    vec![
        [b"\xef\xbb\xbf", text.as_bytes()].concat(),
        units([0xff, 0xfe], u16::to_le_bytes),
        units([0xfe, 0xff], u16::to_be_bytes),
    ]
}

/// Puts a new file in the place of an old one: what is cut to nothing and written again, ext4 brings to the disk at
/// once.
fn put(path: &Path, bytes: &[u8]) {
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// Tries one spoilt table, and as text in one more encoding; an `Err` says what is wrong.
fn try_table(kind: &Kind, name: &str, text: &str, bytes: Option<Vec<u8>>, encoding: usize) -> Result<String, String> {
    let path = kind.set.root().join(name);
    let index = |bytes: &[u8]| {
        put(&path, bytes);
        let result = catch_unwind(AssertUnwindSafe(|| dataset::index(kind.set.root())));
        result.map_err(|_| "panics".to_owned()).and_then(|result| told(result, kind))
    };
    if let Some(bytes) = bytes {
        return index(&bytes).map(|told| if told.is_ok() { "bytes read" } else { "bytes refused" }.to_owned());
    }
    let first = index(text.as_bytes())?;
    if !name.ends_with(".json") && !text.starts_with('\u{feff}') && !text.contains('\0') {
        let again = index(&encodings(text)[encoding])?;
        if again != first {
            return Err(format!("means another thing in encoding {encoding}: {first:?}, {again:?}"));
        }
    }
    Ok(if first.is_ok() { "read" } else { "refused" }.to_owned())
}

/// Makes one table from a number and tries it; what became of it, or what is wrong with it and the table.
fn case(kinds: &[Kind], seed: u64, number: u64) -> Result<String, (String, Vec<u8>)> {
    // A stream of its own, so that a case can be made again alone, whichever thread made it.
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number);
    let kind = kinds.choose(&mut rng).unwrap();
    let (name, sound) = kind.tables.choose(&mut rng).unwrap();
    let mut text = sound.clone();
    (0..rng.random_range(1..6)).for_each(|_| spoil(&mut text, &mut rng));
    // Each fourth table is no text any more.
    let bytes = rng.random_bool(0.25).then(|| {
        let mut bytes = encodings(&text).swap_remove(rng.random_range(0..3));
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..3) {
                0 => bytes[at] = rng.random(),
                1 => bytes.truncate(at.max(1)),
                _ => drop(bytes.remove(at)),
            }
            if bytes.is_empty() {
                bytes.push(b'\n');
            }
        }
        bytes
    });
    let kept = bytes.clone().unwrap_or_else(|| text.clone().into_bytes());
    let outcome = try_table(kind, name, &text, bytes, rng.random_range(0..3));
    put(&kind.set.root().join(name), sound.as_bytes());
    outcome.map(|outcome| format!("{name} {outcome}")).map_err(|why| (format!("{name} {why}"), kept))
}

#[test]
fn no_table_panics_or_hangs_the_index_and_it_means_the_same_in_every_encoding() {
    let number = |name: &str, usual: u64| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(usual);
    let (count, seed) = (number("HUMERUS_FUZZ_CASES", 2000), number("HUMERUS_FUZZ_SEED", 1));
    // In memory, where there is a place for that.
    if Path::new("/dev/shm").is_dir() {
        let _ = tempfile::env::override_temp_dir(Path::new("/dev/shm"));
    }
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    // Milliseconds since the start at which each worker's case began; 0 between cases.
    let begun: Arc<Vec<AtomicU64>> = Arc::new((0..workers).map(|_| AtomicU64::new(0)).collect());
    let (start, watched) = (Instant::now(), Arc::clone(&begun));
    // A case that never ends cannot be stopped: the process is.
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(500));
            for begun in watched.iter().map(|it| Duration::from_millis(it.load(Ordering::Relaxed))) {
                if begun > Duration::ZERO && start.elapsed().saturating_sub(begun) > MAX_TIME {
                    eprintln!("hangs");
                    std::process::abort();
                }
            }
        }
    });
    let next = AtomicU64::new(0);
    let told = Mutex::new((BTreeMap::<String, usize>::new(), Vec::new()));
    let work = |begun: &AtomicU64| {
        // Waking other threads for eight small films takes longer than reading them.
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build().unwrap();
        let kinds = kinds();
        for kind in &kinds {
            let sound = self::told(dataset::index(kind.set.root()), kind).unwrap();
            assert!(sound.is_ok(), "{sound:?} {:?}", dataset::index(kind.set.root()).map(|_| ()));
        }
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                break;
            }
            begun.store(start.elapsed().as_millis() as u64 + 1, Ordering::Relaxed);
            let outcome = alone.install(|| case(&kinds, seed, at));
            let (outcomes, failures) = &mut *told.lock().unwrap();
            match outcome {
                Ok(outcome) => *outcomes.entry(outcome).or_default() += 1,
                Err((why, table)) => {
                    let file = std::env::temp_dir().join(format!("humerus-table-{seed}-{at}"));
                    std::fs::write(&file, table).unwrap();
                    failures.push(format!("{why}: kept as {}", file.display()));
                }
            }
        }
        begun.store(0, Ordering::Relaxed);
    };
    std::thread::scope(|scope| begun.iter().for_each(|begun| drop(scope.spawn(|| work(begun)))));
    let (outcomes, failures) = told.into_inner().unwrap();
    println!("{count} tables in {:.1} s: {outcomes:?}", start.elapsed().as_secs_f64());
    assert_eq!(outcomes.values().sum::<usize>() + failures.len(), count as usize);
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
