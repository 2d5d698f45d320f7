//! What integration tests share.
#![allow(dead_code)]

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

/// Runs a script of `tests/golden` and returns what it printed.
pub fn script(python: &Path, name: &str, arguments: &[&OsStr]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let output = Command::new(python).arg(&script).args(arguments).output().expect("the interpreter starts");
    assert!(output.status.success(), "{name} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the script prints UTF-8")
}

/// The folder of real X-rays beside the project, or a message that the test is skipped.
pub fn shared(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(name);
    if !folder.is_dir() {
        eprintln!("skipped: the real films of {name} are not beside the project");
        return None;
    }
    Some(folder)
}
