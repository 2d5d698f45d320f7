//! What the tests of all parts share.

pub mod counting;
pub mod fuzz;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The Python of the pinned environment, from `HUMERUS_PYTHON`; without it, says that the comparison is skipped.
pub fn python() -> Option<PathBuf> {
    let python = std::env::var_os("HUMERUS_PYTHON").map(PathBuf::from);
    if python.is_none() {
        eprintln!("skipped: HUMERUS_PYTHON names no interpreter; `cargo lab test` sets it");
    }
    python
}

/// The project's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs a script, named from the project's root, and returns what it printed.
pub fn script(python: &Path, name: &str, arguments: &[&OsStr]) -> String {
    let output = Command::new(python).arg(root().join(name)).args(arguments).output().expect("the interpreter starts");
    assert!(output.status.success(), "{name} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the script prints UTF-8")
}

/// The folder of real X-rays beside the project, or a message that the test is skipped.
pub fn shared(name: &str) -> Option<PathBuf> {
    let folder = root().join("../shared/data").join(name);
    if !folder.is_dir() {
        eprintln!("skipped: the real films of {name} are not beside the project");
        return None;
    }
    Some(folder)
}

/// Every film of a set of phantoms with the ending, in order, without what is in `truth/`.
pub fn films_below(root: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = walkdir::WalkDir::new(root)
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension().is_some_and(|extension| extension == ending))
        .filter(|path| !path.strip_prefix(root).unwrap().starts_with("truth"))
        .collect();
    found.sort();
    found
}

/// A grey picture that a golden script wrote.
pub fn golden_grey(path: &Path) -> image::GrayImage {
    image::open(path).unwrap().into_luma8()
}

/// The largest and the mean difference in grey levels.
pub fn difference(ours: &image::GrayImage, pillows: &image::GrayImage, what: &str) -> (u8, f64) {
    assert_eq!(ours.dimensions(), pillows.dimensions(), "{what}");
    let differences = || ours.as_raw().iter().zip(pillows.as_raw()).map(|(a, b)| a.abs_diff(*b));
    let sum: f64 = differences().map(f64::from).sum();
    (differences().max().unwrap_or(0), sum / ours.as_raw().len() as f64)
}

/// A PNG of 64 × 48 pixels whose blotches depend on `number` alone: unlike all others.
pub fn film(number: u32) -> Vec<u8> {
    let level = |x: u32, y: u32| {
        let mixed =
            ((u64::from(x) << 40) | (u64::from(y) << 20) | (u64::from(number) + 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((mixed ^ mixed >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 57) as u8
    };
    let film = image::GrayImage::from_fn(64, 48, |x, y| image::Luma([level(x / 6, y / 6)]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    film.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A folder of films.
pub struct TestSet(tempfile::TempDir);

impl Default for TestSet {
    fn default() -> TestSet {
        TestSet::new()
    }
}

impl TestSet {
    /// An empty folder.
    pub fn new() -> TestSet {
        TestSet(tempfile::tempdir().unwrap())
    }

    /// Six patients with a study each in train, four in valid; every film another.
    pub fn of_ten_patients() -> TestSet {
        let set = TestSet::new();
        for n in 0..10 {
            let split = if n < 6 { "train" } else { "valid" };
            let label = if n % 2 == 0 { "negative" } else { "positive" };
            set.film(&format!("{split}/XR_HUMERUS/patient{n:05}/study1_{label}/image1.png"), n);
        }
        set
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file.
    pub fn file(&self, path: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Writes [`film`].
    pub fn film(&self, path: &str, number: u32) -> PathBuf {
        self.file(path, film(number))
    }
}
