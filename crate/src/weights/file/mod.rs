//! Weight files of every kind, read without executing anything that is in them.
//!
//! A kind is recognised by what a file holds, not by its name: safetensors; PyTorch's zip and its legacy row of pickles, in which `torch.save`
//! puts a `state_dict`, a checkpoint around one, or a whole module; TorchScript, and tch's `.ot`, which is a form of it. A pickle is
//! data here, never a program.
//!
//! Files are mapped into memory; names, shapes and places are taken out, values only when asked for. What a file merely declares
//! allocates nothing: every size is checked against what is there first.

mod names;
mod pickle;
mod pytorch;
mod tensor;

pub(super) use pickle::shown;

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::Path;

use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Hugging Face's safetensors.
    Safetensors,
    /// `torch.save` since 1.6.
    PytorchZip,
    /// `torch.save` before, and since with `_use_new_zipfile_serialization=False`.
    PytorchLegacy,
    /// `torch.jit.save`, and tch's `VarStore::save`.
    TorchScript,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Safetensors => "safetensors",
            Format::PytorchZip => "PyTorch (zip)",
            Format::PytorchLegacy => "PyTorch (legacy)",
            Format::TorchScript => "TorchScript",
        })
    }
}

/// Why a file cannot be used.
#[derive(Debug)]
pub enum Problem {
    /// It cannot be read.
    Io(std::io::Error),
    /// It is not what it should be; one line that goes on from the file's name.
    Reason(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Io(error) => error.fmt(f),
            Problem::Reason(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Problem {}

impl From<String> for Problem {
    fn from(reason: String) -> Problem {
        Problem::Reason(reason)
    }
}

/// A file's bytes.
#[derive(Debug)]
enum Bytes {
    Mapped(Mmap),
    Held(Vec<u8>),
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map) => map,
            Bytes::Held(bytes) => bytes,
        }
    }
}

/// What a weight file holds.
#[derive(Debug)]
pub struct WeightFile {
    bytes: Bytes,
    format: Format,
    entries: Vec<Entry>,
    class: Option<String>,
}

/// A tensor of a weight file.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its name in the file, without what wraps the network's tensors in a checkpoint.
    pub name: String,
    /// Its kind of number.
    pub dtype: Dtype,
    /// Its shape. A tensor that repeats its elements may have far more of them than the file: compare before
    /// [`WeightFile::values`] is called.
    pub shape: Vec<usize>,
    place: Place,
}

/// Where a tensor's elements are.
#[derive(Debug, Clone, PartialEq)]
struct Place {
    /// The storage's bytes.
    range: Range<usize>,
    /// In elements.
    offset: usize,
    strides: Vec<usize>,
}

impl WeightFile {
    /// What kind of file it is.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The tensors: of a pickle in its order, of safetensors in the order of their bytes.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The class of the module that was saved whole, for example `torchxrayvision.models.DenseNet`.
    pub fn class(&self) -> Option<&str> {
        self.class.as_deref()
    }

    /// The values of one of the file's [entries](Self::entries), row-major, little endian.
    ///
    /// # Panics
    /// If the entry is of another file.
    pub fn values(&self, entry: &Entry) -> Vec<u8> {
        let Place { range, offset, strides } = &entry.place;
        tensor::gather(&self.bytes[range.clone()], tensor::width(entry.dtype), *offset, &entry.shape, strides)
    }
}

/// Reads a weight file's names, kinds, shapes and places.
///
/// The file must not be cut while it is in use, since it is mapped into memory.
///
/// # Errors
/// [`Problem::Io`], [`Problem::Reason`].
pub fn read(path: &Path) -> Result<WeightFile, Problem> {
    let file = File::open(path).map_err(Problem::Io)?;
    if file.metadata().map_err(Problem::Io)?.is_dir() {
        return Err(Problem::Reason("is a folder, a weight file was expected".to_owned()));
    }
    // SAFETY: the map is read only; that nobody cuts the file meanwhile is the caller's promise, as for any file in use.
    let map = unsafe { Mmap::map(&file) }.map_err(Problem::Io)?;
    understand(Bytes::Mapped(map))
}

/// As [`read`], of a file's content.
///
/// # Errors
/// [`Problem::Reason`].
pub fn read_bytes(bytes: Vec<u8>) -> Result<WeightFile, Problem> {
    understand(Bytes::Held(bytes))
}

fn understand(bytes: Bytes) -> Result<WeightFile, Problem> {
    let (format, entries, class) = if pytorch::is_zip(&bytes) {
        pytorch::zip(&bytes)?
    } else if pytorch::is_pickle(&bytes) {
        pytorch::legacy(&bytes)?
    } else if let Some(what) = something_else(&bytes) {
        return Err(Problem::Reason(format!("is {what}, a weight file was expected")));
    } else {
        (Format::Safetensors, safetensors(&bytes)?, None)
    };
    Ok(WeightFile { bytes, format, entries, class })
}

/// What people take for a weight file.
fn something_else(bytes: &[u8]) -> Option<&'static str> {
    let start = &bytes[..bytes.len().min(64)];
    let text = start.trim_ascii_start();
    Some(match start {
        _ if bytes.is_empty() => "empty",
        _ if start.starts_with(b"version https://git-lfs") => "a git-lfs pointer and not the weights themselves",
        _ if text.starts_with(b"<") => "a web page",
        _ if start.starts_with(b"\x89HDF") => "an HDF5 file, as Keras writes,",
        _ if start.starts_with(b"\x1f\x8b") => "compressed by gzip; unpack it first:",
        _ if bytes.get(257..262) == Some(b"ustar") => "a tar archive, as PyTorch before 0.1.11 wrote",
        _ => return None,
    })
}

fn safetensors(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let not = |error: safetensors::SafeTensorError| {
        format!("is neither safetensors nor of PyTorch, or is cut short: {error}")
    };
    let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(not)?;
    let data = header + 8..bytes.len();
    let mut entries = Vec::new();
    for (name, info) in metadata.tensors() {
        let (from, to) = info.data_offsets;
        if info.dtype.bitsize() % 8 != 0 {
            return Err(format!(
                "{}: kind of number {:?} is not known here",
                pickle::shown(name.as_bytes()),
                info.dtype
            ));
        }
        let range = data.start + from..data.start + to;
        if range.start > range.end || range.end > data.end {
            return Err(format!("{}: reaches beyond the end of the file", pickle::shown(name.as_bytes())));
        }
        let mut strides = vec![1; info.shape.len()];
        for d in (1..strides.len()).rev() {
            strides[d - 1] = strides[d] * info.shape[d].max(1);
        }
        let place = Place { range, offset: 0, strides };
        entries.push(Entry { name, dtype: info.dtype, shape: info.shape.clone(), place });
    }
    entries.sort_by_key(|entry| entry.place.range.start);
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(bytes: &[u8]) -> String {
        match read_bytes(bytes.to_vec()) {
            Err(Problem::Reason(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_people_take_for_weights_is_called_by_its_name() {
        assert!(reason(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n").contains("git-lfs pointer"));
        assert!(reason(b"\n <!doctype html><html>").contains("a web page"));
        assert!(reason(b"\x89HDF\r\n\x1a\n").contains("HDF5"));
        assert!(reason(b"").contains("is empty"));
        assert!(reason(b"PK\x03\x04 and no more").contains("damaged zip"));
        assert!(reason(b"\x80\x02K\x01.").contains("not one of torch.save"));
        assert!(reason(b"hello, world").contains("neither safetensors nor of PyTorch"));
        assert!(matches!(read(Path::new("no such file")), Err(Problem::Io(_))));
        assert!(matches!(read(&std::env::temp_dir()), Err(Problem::Reason(_))));
    }
}
