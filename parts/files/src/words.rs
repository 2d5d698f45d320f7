//! Numbers in words.

use std::fmt;

/// A number and the noun it counts, in the right number: `1 film`, `2 films`, `0 studies`.
///
/// `what` is the noun in the singular, with whatever goes before it: `held-out study`.
///
/// ```
/// use humerus_files::counted;
/// assert_eq!(counted(1, "film"), "1 film");
/// assert_eq!(counted(0, "held-out study"), "0 held-out studies");
/// assert_eq!(counted(3, "batch"), "3 batches");
/// ```
pub fn counted(n: usize, what: &str) -> String {
    if n == 1 {
        return format!("1 {what}");
    }
    match what.strip_suffix("study") {
        Some(before) => format!("{n} {before}studies"),
        None if what.ends_with("batch") => format!("{n} {what}es"),
        None => format!("{n} {what}s"),
    }
}

/// How much of some work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// So many.
    pub done: usize,
    /// Of so many.
    pub of: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.done, self.of)
    }
}

/// Seconds as a person says them.
pub struct Took(pub f64);

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.round().max(0.0) as u64;
        match seconds {
            0..60 => write!(f, "{seconds} s"),
            60..3600 => write!(f, "{} min {:02} s", seconds / 60, seconds % 60),
            _ => write!(f, "{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
        }
    }
}
