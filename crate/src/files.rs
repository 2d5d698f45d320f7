//! Files that are written, never over what was read, and what those of a run are called.

use std::path::Path;

pub(crate) use ::files::*;

use crate::error::{Error, Result};

/// Name of the best model's file in a run's folder.
pub const MODEL_FILE: &str = "model.safetensors";
/// Name of the last epoch's file in a run's folder.
pub const LAST_FILE: &str = "last.safetensors";
/// Name of the metrics file, one JSON object a line, in a run's folder.
pub const METRICS_FILE: &str = "metrics.jsonl";
/// Name of the same figures as CSV in a run's folder.
pub const CSV_FILE: &str = "metrics.csv";
/// Name of the file, in a run's folder, from which a run is continued.
pub const RESUME_FILE: &str = "resume.safetensors";
/// Name of the file, in a run's folder, that says that the run is over, and of what recipe and data it was.
pub const FINISHED_FILE: &str = "finished.json";

/// Refuses to write `out` where one of the files that are read is, by whatever path, symbolic or hard link it is named.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let film = folder.path().join("film.png");
/// # std::fs::write(&film, "a film")?;
/// assert!(humerus::files::keep_inputs(&folder.path().join("./film.png"), &[&film]).is_err());
/// humerus::files::keep_inputs(&folder.path().join("map.png"), &[&film])?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Setting`] naming both.
pub fn keep_inputs(out: &Path, inputs: &[&Path]) -> Result<()> {
    let Some(written) = identity(out) else { return Ok(()) };
    match inputs.iter().find(|input| identity(input).as_ref() == Some(&written)) {
        None => Ok(()),
        Some(input) => Err(over(out, input)),
    }
}

/// That `out` is `input`.
pub(crate) fn over(out: &Path, input: &Path) -> Error {
    let also = if out == input { String::new() } else { format!(", which is {}", input.display()) };
    Error::setting("--out", "a path other than those that are read", format!("{}{also}", out.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_file_that_is_read_is_not_written_by_whatever_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("d")).unwrap();
        std::fs::write(path("film.png"), "film").unwrap();
        std::fs::write(path("other.png"), "film").unwrap();
        std::fs::hard_link(path("film.png"), path("hard.png")).unwrap();
        std::os::unix::fs::symlink("film.png", path("soft.png")).unwrap();
        std::os::unix::fs::symlink("..", path("d/up")).unwrap();
        std::os::unix::fs::symlink("nowhere.png", path("dangling.png")).unwrap();
        for name in ["film.png", "./film.png", "d/../film.png", "hard.png", "soft.png", "d/up/soft.png"] {
            let line = keep_inputs(&path(name), &[&path("other.png"), &path("film.png")]).unwrap_err().to_string();
            assert!(line.contains(name) && line.contains("film.png") && line.lines().count() == 1, "{line}");
        }
        for name in ["new.png", "d/film.png", "absent/film.png", "dangling.png"] {
            keep_inputs(&path(name), &[&path("film.png"), &path("other.png")]).unwrap();
        }
    }
}
