//! Numbers of files in a sentence.

use files::counted;

/// `1 file that is`, `2 files that are`.
pub(crate) fn that_are(n: usize) -> String {
    format!("{} that {}", files(n), if n == 1 { "is" } else { "are" })
}

/// `1 file`, `2 files`.
pub(crate) fn files(n: usize) -> String {
    counted(n, "file")
}
