//! Where the project's files are.

use std::path::{Path, PathBuf};

use crate::problem::{Problem, Result};

/// A checkout of the project.
#[derive(Debug, Clone)]
pub struct Checkout {
    /// The folder of the workspace's `Cargo.toml`, canonical.
    pub root: PathBuf,
}

impl Checkout {
    /// The checkout that `cargo lab` was called in: cargo names the lab's folder; called by hand, the current folder
    /// decides.
    pub fn find() -> Result<Checkout> {
        let named = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let here = std::env::current_dir().map_err(Problem::at("."))?;
        let start = named.filter(|dir| dir.ends_with("lab")).unwrap_or(here);
        start
            .ancestors()
            .find(|dir| dir.join("lab/requirements.lock").is_file() && dir.join("crate/Cargo.toml").is_file())
            .ok_or_else(|| {
                Problem::new("this is not a checkout of humerus")
                    .mend("go to the folder that holds notebooks/, crate/ and lab/")
            })?
            .canonicalize()
            .map(|root| Checkout { root })
            .map_err(Problem::at(start))
    }

    /// The crate that notebooks depend on.
    pub fn crate_dir(&self) -> PathBuf {
        self.root.join("crate")
    }

    /// A file of the lab.
    pub fn lab(&self, name: &str) -> PathBuf {
        self.root.join("lab").join(name)
    }

    /// The project's notebooks, in order.
    pub fn notebooks(&self) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = std::fs::read_dir(self.root.join("notebooks"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "ipynb"))
            .collect();
        found.sort();
        found
    }

    /// The notebook that `name` means: a path, or the name of one of the project's, with or without `.ipynb` or its
    /// number.
    pub fn notebook(&self, name: &Path) -> Result<PathBuf> {
        if name.is_file() {
            return name.canonicalize().map_err(Problem::at(name));
        }
        let wanted = name.to_string_lossy();
        let known = self.notebooks();
        known
            .iter()
            .find(|path| {
                let stem = path.file_stem().unwrap_or_default().to_string_lossy();
                let unnumbered = stem.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-');
                wanted.trim_end_matches(".ipynb") == stem || wanted == unnumbered
            })
            .cloned()
            .ok_or_else(|| {
                let names: Vec<_> =
                    known.iter().filter_map(|path| path.file_stem()).map(|stem| stem.to_string_lossy()).collect();
                Problem::new(format!("no notebook {wanted:?}"))
                    .mend(format!("give a path, or one of: {}", names.join(", ")))
            })
    }
}
