//! Whole files, of a limited size.

use std::io::Read;
use std::path::Path;

/// The largest file that is read, in bytes: 256 MiB.
pub(crate) const MAX_BYTES: u64 = 256 << 20;

/// Reads a whole file of at most 256 MiB.
///
/// # Errors
/// As the operating system says; [`std::io::ErrorKind::FileTooLarge`] above the limit.
pub fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    files::regular::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "larger than 256 MiB, too large for a film"));
    }
    Ok(bytes)
}
