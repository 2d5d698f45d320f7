//! What a file is, by the hub's word, and whether the bytes here are that.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::Cause;
use files::sha256;

/// What the hub says of a file.
pub(super) struct Meta {
    pub(super) commit: String,
    pub(super) etag: String,
    pub(super) size: Option<u64>,
}

impl Meta {
    pub(super) fn sha256(&self) -> Option<&str> {
        Some(self.etag.as_str()).filter(|etag| is_sha256(etag))
    }
}

/// Removes a file or link, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), Cause> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Cause::folder(path)(error)),
        _ => Ok(()),
    }
}

/// Whether an ETag is a checksum of the content.
pub(super) fn is_sha256(etag: &str) -> bool {
    etag.len() == 64 && etag.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether the file's content is what its ETag says, where that says it.
pub(super) fn verify(path: &Path, etag: &str) -> Result<(), Cause> {
    if !is_sha256(etag) {
        return Ok(());
    }
    let got = sha256(path).map_err(Cause::folder(path))?;
    if got == etag { Ok(()) } else { Err(Cause::Damaged { expected: etag.to_owned(), got }) }
}
