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
