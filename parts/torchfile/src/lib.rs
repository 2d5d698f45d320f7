//! Weight files of every kind, read without executing anything that is in them.
//!
//! A kind is recognised by what a file holds, not by its name: safetensors; PyTorch's zip and its legacy row of
//! pickles, in which `torch.save` puts a `state_dict`, a checkpoint around one, or a whole module; TorchScript, and
//! tch's `.ot`, which is a form of it. A pickle is data here, never a program.
//!
//! Of a file its names, shapes and places are read, values only when asked for, by reading and not by mapping. What a
//! file merely declares allocates nothing: every size is checked against what is there first.
//!
//! ```no_run
//! let file = humerus_torchfile::read("densenet121.pth".as_ref())?;
//! println!("{}: {} tensors", file.format(), file.entries().len());
//! for entry in file.entries() {
//!     println!("{} {:?}", entry.name, entry.shape);
//! }
//! let first = file.values(&file.entries()[0])?; // bytes, little-endian, row by row
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod names;
mod pickle;
mod pytorch;
mod source;
mod tensor;

pub use pickle::shown;

use std::fmt;
use std::ops::Range;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::Metadata;
use source::ByteSource;

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightFormat {
    /// Hugging Face's safetensors.
    Safetensors,
    /// `torch.save` since 1.6.
    PytorchZip,
    /// `torch.save` before, and since with `_use_new_zipfile_serialization=False`.
    PytorchLegacy,
    /// `torch.jit.save`, and tch's `VarStore::save`.
    TorchScript,
}

impl fmt::Display for WeightFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WeightFormat::Safetensors => "safetensors",
            WeightFormat::PytorchZip => "PyTorch (zip)",
            WeightFormat::PytorchLegacy => "PyTorch (legacy)",
            WeightFormat::TorchScript => "TorchScript",
        })
    }
}

/// Why a file cannot be used.
#[derive(Debug)]
pub enum Error {
    /// It cannot be read.
    Io(std::io::Error),
    /// It is not what it should be; one line that goes on from the file's name.
    Reason(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(error) => error.fmt(f),
            Error::Reason(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Error {}

impl From<String> for Error {
    fn from(reason: String) -> Error {
        Error::Reason(reason)
    }
}

/// What a weight file holds.
#[derive(Debug)]
pub struct WeightFile {
    source: ByteSource,
    format: WeightFormat,
    contents: Contents,
}

/// What is in a file.
#[derive(Debug, Default)]
struct Contents {
    entries: Vec<StoredTensor>,
    /// Names of tensors that cannot be read, with the reason.
    unreadable: Vec<(String, String)>,
    /// Classes and functions that a pickle names and that make no tensor.
    foreign: Vec<String>,
    /// The class of the outermost module, if there is one.
    class: Option<String>,
}

/// A tensor of a weight file.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTensor {
    /// Its name in the file: of a checkpoint with all that it lies in, such as `state_dict.features.conv0.weight`.
    pub name: String,
    /// Its dtype.
    pub dtype: Dtype,
    /// Its shape. A tensor that repeats its elements may have far more of them than the file: compare before
    /// [`WeightFile::values`] is called.
    pub shape: Vec<usize>,
    place: ElementRange,
}

/// Where a tensor's elements are.
#[derive(Debug, Clone, PartialEq)]
struct ElementRange {
    /// The storage's bytes.
    range: Range<usize>,
    /// In elements.
    offset: usize,
    strides: Vec<usize>,
}

impl StoredTensor {
    /// Whether another tensor's elements are the same bytes of the file.
    pub fn is_at(&self, other: &StoredTensor) -> bool {
        (&self.place, &self.shape, self.dtype) == (&other.place, &other.shape, other.dtype)
    }
}

impl WeightFile {
    /// What kind of file it is.
    pub fn format(&self) -> WeightFormat {
        self.format
    }

    /// The tensors: of a pickle in its order, of safetensors in the order of their bytes.
    pub fn entries(&self) -> &[StoredTensor] {
        &self.contents.entries
    }

    /// The names of tensors that cannot be read, each with the reason: of a dtype that is not known here, or
    /// with values that are not in the file.
    pub fn unreadable(&self) -> &[(String, String)] {
        &self.contents.unreadable
    }

    /// The classes and functions, such as `pathlib.PosixPath`, that a pickle names and that make neither a tensor nor a
    /// module. None is ever called: what they would make is not there.
    pub fn foreign(&self) -> &[String] {
        &self.contents.foreign
    }

    /// The class of the module that was saved whole, for example `torchxrayvision.models.DenseNet`.
    pub fn class(&self) -> Option<&str> {
        self.contents.class.as_deref()
    }

    /// The values of one of the file's [entries](Self::entries), row-major, little endian.
    ///
    /// # Errors
    /// What the operating system says; a file that was cut after it was opened ends early.
    ///
    /// # Panics
    /// If the entry is of another file.
    pub fn values(&self, entry: &StoredTensor) -> std::io::Result<Vec<u8>> {
        let ElementRange { range, offset, strides } = &entry.place;
        let width = tensor::width(entry.dtype);
        let elements = tensor::span(*offset, &entry.shape, strides);
        let bytes = self.source.read(range.start + elements.start * width..range.start + elements.end * width)?;
        Ok(tensor::gather(&bytes, width, 0, &entry.shape, strides))
    }
}

/// Reads a weight file's names, kinds, shapes and places.
///
/// # Errors
/// [`Error::Io`], [`Error::Reason`].
pub fn read(path: &Path) -> Result<WeightFile, Error> {
    understand(ByteSource::open(path)?)
}

/// As [`read`], of a file's content.
///
/// # Errors
/// [`Error::Reason`].
pub fn read_bytes(bytes: Vec<u8>) -> Result<WeightFile, Error> {
    understand(ByteSource::Held(bytes))
}

fn understand(source: ByteSource) -> Result<WeightFile, Error> {
    let start = source.read(0..512).map_err(Error::Io)?;
    let (format, contents) = if pytorch::is_zip(&start) {
        pytorch::zip(&source)?
    } else if pytorch::is_pickle(&start) {
        (WeightFormat::PytorchLegacy, pytorch::legacy(&source)?)
    } else if let Some(what) = something_else(&start) {
        return Err(Error::Reason(format!("is {what}, a weight file was expected")));
    } else {
        (WeightFormat::Safetensors, Contents { entries: safetensors(&source)?, ..Contents::default() })
    };
    Ok(WeightFile { source, format, contents })
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

/// Bytes of a header that the format allows.
const MOST_HEADER: usize = 100_000_000;

fn safetensors(source: &ByteSource) -> Result<Vec<StoredTensor>, Error> {
    let not = |why: String| format!("is neither safetensors nor of PyTorch, or is cut short: {why}");
    let io = Error::Io;
    let length = <[u8; 8]>::try_from(source.read(0..8).map_err(io)?).ok().map(u64::from_le_bytes);
    let length = length.and_then(|length| usize::try_from(length).ok()).filter(|length| *length <= MOST_HEADER);
    let start = length.map(|length| length + 8).filter(|start| *start <= source.length());
    let start = start.ok_or_else(|| not("no header of a possible length".to_owned()))?;
    let header = source.read(8..start).map_err(io)?;
    let line = |error: serde_json::Error| not(pickle::shown(error.to_string().as_bytes()));
    let metadata: Metadata = serde_json::from_slice(&header).map_err(line)?;
    let (mut entries, mut end) = (Vec::new(), start);
    for (name, info) in metadata.tensors() {
        let shown = || pickle::shown(name.as_bytes());
        let (from, to) = info.data_offsets;
        if info.dtype.bitsize() % 8 != 0 {
            return Err(format!("{}: dtype {:?} is not known here", shown(), info.dtype).into());
        }
        let size = info.shape.iter().try_fold(tensor::width(info.dtype), |size, n| size.checked_mul(*n));
        let place = start.checked_add(from).zip(start.checked_add(to)).filter(|(_, to)| *to <= source.length());
        let Some((from, to)) = place.filter(|(from, to)| to.checked_sub(*from) == size && size.is_some()) else {
            return Err(not(format!("{} has not as many bytes as its shape", shown())).into());
        };
        end = end.max(to);
        let mut strides = vec![1usize; info.shape.len()];
        for d in (1..strides.len()).rev() {
            strides[d - 1] = strides[d].saturating_mul(info.shape[d].max(1));
        }
        let place = ElementRange { range: from..to, offset: 0, strides };
        entries.push(StoredTensor { name, dtype: info.dtype, shape: info.shape.clone(), place });
    }
    if end != source.length() {
        return Err(not(format!("{} bytes belong to no tensor", source.length() - end)).into());
    }
    entries.sort_by_key(|entry| entry.place.range.start);
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(bytes: &[u8]) -> String {
        match read_bytes(bytes.to_vec()) {
            Err(Error::Reason(reason)) => reason,
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
        assert!(matches!(read(Path::new("no such file")), Err(Error::Io(_))));
        assert!(matches!(read(&std::env::temp_dir()), Err(Error::Reason(_))));
    }
}
