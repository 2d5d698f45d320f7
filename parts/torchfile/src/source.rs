//! A file's bytes, read where they are asked for.
//!
//! Not mapped into memory: whoever changes a mapped file changes values behind the program's back, and whoever cuts it
//! ends the program. Not read at once either: of a checkpoint of gigabytes only the tensors that are wanted ever are in
//! memory.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

use rawzip::{FileReader, ReaderAt};

use super::Error;

/// Where bytes are.
#[derive(Debug)]
pub(super) enum ByteSource {
    File { file: FileReader, length: usize },
    Held(Vec<u8>),
}

impl ByteSource {
    pub fn open(path: &Path) -> Result<ByteSource, Error> {
        // Before it is opened: opening a named pipe waits for somebody to write into it.
        let found = std::fs::metadata(path).map_err(Error::Io)?;
        if !found.is_file() {
            let what = if found.is_dir() { "a folder" } else { "no regular file" };
            return Err(Error::Reason(format!("is {what}, a weight file was expected")));
        }
        let file = File::open(path).map_err(Error::Io)?;
        let length = file.metadata().map_err(Error::Io)?.len();
        let length = usize::try_from(length).map_err(|_| Error::Reason(format!("has {length} bytes")))?;
        Ok(ByteSource::File { file: file.into(), length })
    }

    /// Bytes in all, when the file was opened.
    pub fn length(&self) -> usize {
        match self {
            ByteSource::File { length, .. } => *length,
            ByteSource::Held(bytes) => bytes.len(),
        }
    }

    /// The bytes of a range, as far as there are any. A range is never larger than the file, so neither is what this
    /// takes.
    pub fn read(&self, range: Range<usize>) -> io::Result<Vec<u8>> {
        let end = range.end.min(self.length());
        let mut bytes = vec![0; end.saturating_sub(range.start)];
        self.read_exact_at(&mut bytes, range.start as u64)?;
        Ok(bytes)
    }
}

impl ReaderAt for ByteSource {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            ByteSource::File { file, .. } => loop {
                match file.read_at(buffer, offset) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => return read,
                }
            },
            ByteSource::Held(bytes) => {
                let rest = usize::try_from(offset).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
                let read = rest.len().min(buffer.len());
                buffer[..read].copy_from_slice(&rest[..read]);
                Ok(read)
            }
        }
    }
}
