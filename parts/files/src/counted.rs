//! Numbers with their nouns.

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
