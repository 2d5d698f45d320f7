//! What a DICOM file holds, PS3.10: preamble, file meta group, data elements up to the pixel data, and those.
//!
//! Every declared length is checked here against the bytes that are there, and only the elements that decoding needs
//! are handed to dicom-rs, which reads their values: its parser fills a buffer of the declared length (up to 4 GiB)
//! before it reads, and descends into sequences without a limit.

use std::borrow::Cow;
use std::io::Read;
use std::ops::Range;

use dicom_object::{InMemDicomObject, Tag};
use dicom_transfer_syntax_registry::entries::{EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN};

use super::reader::{Element, Encoding, ITEM, ITEM_END, Reader, SEQUENCE_END, UNDEFINED, looks_explicit};
use super::tags;
use crate::Flaw;

/// The longest value that is read, in bytes: a look-up table of 65,536 entries of 16 bits.
const MAX_VALUE: usize = 128 << 10;

/// The most bytes that a deflated data set may become: a film of [`crate::MAX_PIXELS`] at 16 bits, and room.
const MAX_INFLATED: u64 = 128 << 20;

const PIXEL_DATA: (u16, u16) = (0x7fe0, 0x0010);

const NO_IMAGE: &str = "DICOM without an image";

/// A file's data set up to its pixel data, and where those lie.
pub(super) struct DataSet<'a> {
    /// The transfer syntax as the file names it; empty if it names none.
    pub syntax: String,
    /// The elements of [`tags::WANTED`] that are there.
    pub attributes: InMemDicomObject,
    /// Numbers of more than one byte begin with the highest.
    pub big: bool,
    bytes: Cow<'a, [u8]>,
    encoding: Encoding,
    /// Where the pixel data element begins.
    pixels: usize,
}

/// Where a file's pixel data lie.
pub(super) enum PixelData<'a> {
    /// Not compressed. Whether their value representation is OW, so that bytes are swapped with their words.
    Native { bytes: &'a [u8], words: bool },
    /// Compressed, in pieces, without the offset table.
    Fragments(Vec<&'a [u8]>),
}

impl<'a> DataSet<'a> {
    /// Reads up to the pixel data.
    pub fn read(file: &'a [u8]) -> Result<DataSet<'a>, Flaw> {
        let start = start(file).ok_or(Flaw::NotAnImage)?;
        let mut meta = Reader { bytes: file, at: start, encoding: Encoding { explicit: true, big: false } };
        let mut syntax = String::new();
        while meta.peek_group() == Some(2) {
            let element = meta.element()?;
            let value = meta.value(&element, 0)?;
            if element.tag == (2, 0x10) {
                let text = String::from_utf8_lossy(&file[value]).into_owned();
                syntax = text.trim_end_matches([' ', '\0']).to_owned();
            }
        }
        let rest = &file[meta.at..];
        let bytes = if tags::is_deflated(&syntax) { Cow::Owned(inflate(rest)?) } else { Cow::Borrowed(rest) };
        let encoding = encoding(&bytes, &syntax);
        let mut reader = Reader { bytes: &bytes, at: 0, encoding };
        let (wanted, pixels) = reader.wanted()?;
        let attributes = attributes(&wanted, encoding.big)?;
        Ok(DataSet { syntax, attributes, big: encoding.big, bytes, encoding, pixels })
    }

    /// The pixel data, whose every length is checked.
    pub fn pixel_data(&self) -> Result<PixelData<'_>, Flaw> {
        let mut reader = Reader { bytes: &self.bytes, at: self.pixels, encoding: self.encoding };
        let element = reader.element()?;
        if element.length != UNDEFINED {
            const SHORT: Flaw = Flaw::Truncated("DICOM that stops inside its pixel data");
            let bytes = reader.take(element.length).map(|range| &self.bytes[range]).map_err(|_| SHORT)?;
            return Ok(PixelData::Native { bytes, words: element.vr == *b"OW" || !self.encoding.explicit });
        }
        let mut fragments = Vec::new();
        loop {
            const OPEN: Flaw = Flaw::Truncated("DICOM whose compressed pixel data have no end");
            let tag = reader.tag().map_err(|_| OPEN)?;
            let length = reader.u32().map_err(|_| OPEN)?;
            match tag {
                SEQUENCE_END => break,
                ITEM => fragments.push(&self.bytes[reader.take(length).map_err(|_| OPEN)?]),
                (group, element) => {
                    return Err(Flaw::Damaged(format!("DICOM with ({group:04X},{element:04X}) among its fragments")));
                }
            }
        }
        // The first item is the offset table.
        Ok(PixelData::Fragments(fragments.into_iter().skip(1).collect()))
    }
}

/// Whether the bytes begin as a DICOM file does.
pub(crate) fn is_dicom(bytes: &[u8]) -> bool {
    start(bytes).is_some()
}

/// Where the first element stands: after preamble and prefix, or at once in a file that was written without them.
fn start(file: &[u8]) -> Option<usize> {
    if file.get(128..132) == Some(b"DICM") {
        return Some(132);
    }
    if file.starts_with(b"DICM") {
        return Some(4);
    }
    // Without a preamble: a first element of group 2 or 8, with its value representation or a length that it could
    // have.
    let head = file.get(..8)?;
    let group = [head[0], head[1]];
    let explicit = looks_explicit(head);
    let clear = match group {
        [2, 0] => head[3] == 0 && explicit,
        [8, 0] | [0, 8] if explicit => true,
        [8, 0] => matches!(head[2..4], [0 | 1 | 5 | 8 | 0x16 | 0x18, 0]) && head[4] <= 64 && head[5..8] == [0, 0, 0],
        _ => false,
    };
    clear.then_some(0)
}

/// How the elements after the meta group are written: as the transfer syntax says, or, where it is missing or evidently
/// wrong, as the first element looks.
fn encoding(dataset: &[u8], syntax: &str) -> Encoding {
    let big = match syntax {
        tags::EXPLICIT_BIG => true,
        // Groups 0002 to 0028 come first; the other byte of a small number is 0.
        "" => matches!(dataset, [0, low, ..] if *low != 0),
        _ => false,
    };
    Encoding { explicit: looks_explicit(dataset), big }
}

fn inflate(deflated: &[u8]) -> Result<Vec<u8>, Flaw> {
    let mut bytes = Vec::new();
    let read = flate2::read::DeflateDecoder::new(deflated).take(MAX_INFLATED + 1).read_to_end(&mut bytes);
    match read {
        Err(_) => Err(Flaw::Truncated("DICOM whose deflated data set has no end")),
        Ok(n) if n as u64 > MAX_INFLATED => Err(Flaw::Damaged("DICOM that inflates to more than 128 MiB".to_owned())),
        Ok(_) => Ok(bytes),
    }
}

/// An element that dicom-rs is to read: tag, value representation, value.
struct WantedElement<'a> {
    tag: (u16, u16),
    vr: &'static [u8; 2],
    value: &'a [u8],
    /// The elements of the first item, if this is a sequence.
    item: Vec<WantedElement<'a>>,
}

impl<'a> Reader<'a> {
    /// The wanted elements before the pixel data, and where those begin.
    fn wanted(&mut self) -> Result<(Vec<WantedElement<'a>>, usize), Flaw> {
        let mut wanted = Vec::new();
        loop {
            let at = self.at;
            if at == self.bytes.len() {
                return Err(Flaw::Unsupported(NO_IMAGE.to_owned()));
            }
            let element = self.element()?;
            match element.tag {
                PIXEL_DATA => return Ok((wanted, at)),
                (0x7fe0, 8 | 9) => {
                    return Err(Flaw::Unsupported("DICOM with pixels of floating point numbers".to_owned()));
                }
                tags::MODALITY_LUT_SEQUENCE | tags::VOI_LUT_SEQUENCE => {
                    let value = self.value(&element, 0)?;
                    let mut inner = Reader { bytes: &self.bytes[value], at: 0, encoding: self.encoding };
                    let item = inner.first_item(element.length == UNDEFINED)?;
                    if !item.is_empty() {
                        wanted.push(WantedElement { tag: element.tag, vr: b"SQ", value: &[], item });
                    }
                }
                _ => {
                    let value = self.value(&element, 0)?;
                    wanted.extend(self.one(&element, value)?);
                }
            }
        }
    }

    /// The wanted elements of a sequence's first item.
    fn first_item(&mut self, ends_with_delimiter: bool) -> Result<Vec<WantedElement<'a>>, Flaw> {
        let mut wanted = Vec::new();
        if self.at == self.bytes.len() {
            return Ok(wanted);
        }
        let (tag, length) = (self.tag()?, self.u32()?);
        if tag == SEQUENCE_END && ends_with_delimiter {
            return Ok(wanted);
        }
        if tag != ITEM {
            return Err(Flaw::Damaged("DICOM with a look-up table sequence that has no item".to_owned()));
        }
        let end = match length {
            UNDEFINED => usize::MAX,
            length => self.take(length)?.end,
        };
        if length != UNDEFINED {
            self.at = end - length as usize;
        }
        while self.at < end {
            let element = self.element()?;
            if element.tag == ITEM_END {
                break;
            }
            let value = self.value(&element, 1)?;
            wanted.extend(self.one(&element, value)?);
        }
        Ok(wanted)
    }

    fn one(&self, element: &Element, value: Range<usize>) -> Result<Option<WantedElement<'a>>, Flaw> {
        let tag = element.tag;
        let Ok(at) = tags::WANTED.binary_search_by_key(&tag, |(tag, _)| *tag) else { return Ok(None) };
        let value = &self.bytes[value];
        if value.len() > MAX_VALUE {
            let (group, element) = tag;
            return Err(Flaw::Damaged(format!(
                "DICOM whose element ({group:04X},{element:04X}) has {} bytes",
                value.len()
            )));
        }
        // What a descriptor says of itself tells the sign of its second number.
        let is_signed_descriptor = element.vr == *b"SS" && tags::is_descriptor(tag);
        let vr = if is_signed_descriptor { b"SS" } else { tags::WANTED[at].1 };
        Ok(Some(WantedElement { tag, vr, value, item: Vec::new() }))
    }
}

/// Has dicom-rs read the elements, which come as explicit VR whatever the file's encoding was.
fn attributes(wanted: &[WantedElement<'_>], big: bool) -> Result<InMemDicomObject, Flaw> {
    let mut bytes = Vec::new();
    for element in wanted {
        write(element, big, &mut bytes);
    }
    let syntax = if big { EXPLICIT_VR_BIG_ENDIAN.erased() } else { EXPLICIT_VR_LITTLE_ENDIAN.erased() };
    InMemDicomObject::read_dataset_with_ts(bytes.as_slice(), &syntax).map_err(|error| {
        let mut causes = vec![error.to_string()];
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        Flaw::Damaged(format!("DICOM: {}", causes.join(": ").split_whitespace().collect::<Vec<_>>().join(" ")))
    })
}

fn write(element: &WantedElement<'_>, big: bool, out: &mut Vec<u8>) {
    let number = |out: &mut Vec<u8>, value: u32, size: usize| {
        if big {
            out.extend_from_slice(&value.to_be_bytes()[4 - size..]);
        } else {
            out.extend_from_slice(&value.to_le_bytes()[..size]);
        }
    };
    number(out, element.tag.0.into(), 2);
    number(out, element.tag.1.into(), 2);
    out.extend_from_slice(element.vr);
    if element.vr == b"SQ" {
        let mut item = Vec::new();
        for element in &element.item {
            write(element, big, &mut item);
        }
        number(out, 0, 2);
        number(out, item.len() as u32 + 8, 4);
        number(out, ITEM.0.into(), 2);
        number(out, ITEM.1.into(), 2);
        number(out, item.len() as u32, 4);
        out.extend_from_slice(&item);
        return;
    }
    // Of a number of odd length, which is an error of the writer, dicom-rs would take the last byte for the next tag's
    // first.
    let is_number = matches!(element.vr, b"US" | b"SS" | b"OW");
    let value = if is_number { &element.value[..element.value.len() & !1] } else { element.value };
    if element.vr == b"OW" {
        number(out, 0, 2);
        number(out, value.len() as u32, 4);
        out.extend_from_slice(value);
    } else {
        let value = &value[..value.len().min(usize::from(u16::MAX) - 1)];
        number(out, value.len() as u32, 2);
        out.extend_from_slice(value);
    }
}

/// A tag as dicom-rs writes it.
pub(super) fn tag(tag: (u16, u16)) -> Tag {
    Tag(tag.0, tag.1)
}
