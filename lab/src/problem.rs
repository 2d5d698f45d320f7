//! What stops `cargo lab`, in one line that also says how to mend it.

use std::fmt;
use std::path::Path;

/// The lab's result.
pub type Result<T, E = Problem> = std::result::Result<T, E>;

/// Something that stops the lab: what is wrong, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    what: String,
    remedy: Option<String>,
}

impl Problem {
    /// A problem nobody here can mend.
    pub fn new(what: impl Into<String>) -> Problem {
        Problem { what: what.into(), remedy: None }
    }

    /// The same problem, with its remedy.
    pub fn mend(self, remedy: impl Into<String>) -> Problem {
        Problem { remedy: Some(remedy.into()), ..self }
    }

    /// For `.map_err(Problem::at(path))`: what the operating system said about a file or folder.
    pub fn at(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Problem {
        let path = path.as_ref().display().to_string();
        move |error| {
            let problem = Problem::new(format!("{path}: {error}"));
            match error.kind() {
                std::io::ErrorKind::StorageFull => problem.mend("free some disk space"),
                _ => problem,
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&self.what))?;
        match &self.remedy {
            Some(remedy) => write!(f, "; to mend it: {remedy}"),
            None => Ok(()),
        }
    }
}

/// `text` on one line.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_line_with_its_remedy() {
        let problem = Problem::new("no\n compiler").mend("install one");
        assert_eq!(problem.to_string(), "no compiler; to mend it: install one");
    }
}
