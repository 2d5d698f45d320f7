//! Data elements as they lie in a file, PS3.5: every declared length is checked against the bytes that are there, and
//! sequences are entered to a limited depth.

use std::ops::Range;

use crate::Flaw;

/// Sequences within sequences that a film's header may have; real ones stay below ten.
const MAX_DEPTH: usize = 32;

pub(super) const UNDEFINED: u32 = 0xffff_ffff;
pub(super) const ITEM: (u16, u16) = (0xfffe, 0xe000);
pub(super) const ITEM_END: (u16, u16) = (0xfffe, 0xe00d);
pub(super) const SEQUENCE_END: (u16, u16) = (0xfffe, 0xe0dd);

const INSIDE: Flaw = Flaw::Truncated("DICOM that stops inside an element");

/// How data elements are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Encoding {
    pub explicit: bool,
    pub big: bool,
}

/// Whether an element carries its value representation: two capital letters.
pub(super) fn looks_explicit(element: &[u8]) -> bool {
    matches!(element.get(4..6), Some([b'A'..=b'Z', b'A'..=b'Z']))
}

/// Tag, value representation and declared length.
pub(super) struct Element {
    pub tag: (u16, u16),
    pub vr: [u8; 2],
    pub length: u32,
}

/// Walks over elements.
pub(super) struct Reader<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
    pub encoding: Encoding,
}

impl<'a> Reader<'a> {
    pub fn peek_group(&self) -> Option<u16> {
        let pair = self.bytes.get(self.at..self.at + 2)?;
        Some(u16::from_le_bytes([pair[0], pair[1]]))
    }

    pub fn take(&mut self, length: u32) -> Result<Range<usize>, Flaw> {
        let end = self.at.checked_add(length as usize).filter(|end| *end <= self.bytes.len()).ok_or(INSIDE)?;
        let range = self.at..end;
        self.at = end;
        Ok(range)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Flaw> {
        let range = self.take(N as u32)?;
        Ok(self.bytes[range].try_into().expect("the range has N bytes"))
    }

    fn u16(&mut self) -> Result<u16, Flaw> {
        let pair = self.array()?;
        Ok(if self.encoding.big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) })
    }

    pub fn u32(&mut self) -> Result<u32, Flaw> {
        let four = self.array()?;
        Ok(if self.encoding.big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
    }

    pub fn tag(&mut self) -> Result<(u16, u16), Flaw> {
        Ok((self.u16()?, self.u16()?))
    }

    pub fn element(&mut self) -> Result<Element, Flaw> {
        // A single element without value representation in an explicit data set happens, and is taken for implicit.
        let explicit = self.encoding.explicit && looks_explicit(&self.bytes[self.at..]);
        let tag = self.tag()?;
        if !explicit || tag.0 == 0xfffe {
            return Ok(Element { tag, vr: *b"UN", length: self.u32()? });
        }
        let vr: [u8; 2] = self.array()?;
        let length = match &vr {
            b"OB" | b"OD" | b"OF" | b"OL" | b"OV" | b"OW" | b"SQ" | b"SV" | b"UC" | b"UN" | b"UR" | b"UT" | b"UV" => {
                self.u16()?;
                self.u32()?
            }
            _ => u32::from(self.u16()?),
        };
        Ok(Element { tag, vr, length })
    }

    /// Passes over an element's value and returns where it was.
    pub fn value(&mut self, element: &Element, depth: usize) -> Result<Range<usize>, Flaw> {
        if element.length != UNDEFINED {
            return self.take(element.length);
        }
        let start = self.at;
        // PS3.5, 6.2.2: the items of an unknown value of undefined length are implicit little endian.
        let outer = self.encoding;
        if outer.explicit && element.vr == *b"UN" {
            self.encoding = Encoding { explicit: false, big: false };
        }
        self.items(depth)?;
        self.encoding = outer;
        Ok(start..self.at)
    }

    /// Passes over the items of a sequence of undefined length and its delimiter.
    fn items(&mut self, depth: usize) -> Result<(), Flaw> {
        if depth == MAX_DEPTH {
            return Err(Flaw::Damaged(format!("DICOM with sequences more than {MAX_DEPTH} deep")));
        }
        loop {
            match (self.tag()?, self.u32()?) {
                (SEQUENCE_END, _) => return Ok(()),
                (ITEM, UNDEFINED) => self.elements(depth)?,
                (ITEM, length) => {
                    self.take(length)?;
                }
                ((group, element), _) => {
                    return Err(Flaw::Damaged(format!(
                        "DICOM with ({group:04X},{element:04X}) where an item was expected"
                    )));
                }
            }
        }
    }

    /// Passes over the elements of an item of undefined length and its delimiter.
    fn elements(&mut self, depth: usize) -> Result<(), Flaw> {
        loop {
            let element = self.element()?;
            if element.tag == ITEM_END {
                return Ok(());
            }
            self.value(&element, depth + 1)?;
        }
    }
}
