//! What a template was made of, and whether that is still so.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;

/// Says what a template was made of; `built.py` writes it as `warmed.json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Warmed {
    /// The crate's folder.
    pub crate_dir: PathBuf,
    /// Size and time, in nanoseconds, of each file that each crate from a folder was built from.
    #[serde(default)]
    pub crates: HashMap<String, HashMap<PathBuf, (u64, u64)>>,
    /// `rustc -vV`.
    pub rustc: String,
}

/// What a template was made of.
pub fn stamp(template: &Path) -> Option<Warmed> {
    serde_json::from_slice(&std::fs::read(template.join("warmed.json")).ok()?).ok()
}

/// Whether a template holds its checkout's crates as they are now.
pub fn is_current(warmed: &Warmed) -> bool {
    let same = |(path, was): (&PathBuf, &(u64, u64))| {
        let found = std::fs::metadata(path).and_then(|metadata| Ok((metadata.len(), metadata.modified()?)));
        let since =
            |time: SystemTime| time.duration_since(UNIX_EPOCH).is_ok_and(|time| time.as_nanos() == was.1.into());
        found.is_ok_and(|(size, time)| size == was.0 && since(time))
    };
    !warmed.crates.is_empty() && warmed.crates.values().flatten().all(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_current_until_one_of_its_files_has_another_size_or_time() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("lib.rs");
        std::fs::write(&source, "one").unwrap();
        let time = std::fs::metadata(&source).unwrap().modified().unwrap();
        let since = time.duration_since(UNIX_EPOCH).unwrap().as_nanos();
        // As built.py writes it.
        let text =
            format!(r#"{{"crate_dir": "/a", "rustc": "r", "crates": {{"humerus": {{{source:?}: [3, {since}]}}}}}}"#);
        std::fs::write(folder.path().join("warmed.json"), text).unwrap();
        let warmed = stamp(folder.path()).unwrap();
        assert!(is_current(&warmed));
        std::fs::write(&source, "three").unwrap();
        let file = std::fs::File::options().write(true).open(&source).unwrap();
        file.set_modified(time).unwrap();
        assert!(!is_current(&warmed), "another size");
        std::fs::write(&source, "two").unwrap();
        file.set_modified(time - std::time::Duration::from_nanos(1000)).unwrap();
        assert!(!is_current(&warmed), "another time");
        std::fs::remove_file(&source).unwrap();
        assert!(!is_current(&warmed), "gone");
        assert!(
            !is_current(&Warmed { crates: HashMap::new(), ..warmed }),
            "of an earlier `cargo lab`, which did not say"
        );
    }
}
