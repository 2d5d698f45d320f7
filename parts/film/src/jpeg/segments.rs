//! The segments of a JPEG, T.81 annex B, from marker to marker.

use super::{Flaw, damaged};

const NO_END: Flaw = Flaw::Truncated("JPEG without its end-of-image marker");

/// The segments of a JPEG, one after the other.
pub(super) struct Segments<'a> {
    bytes: &'a [u8],
    /// Behind the last one.
    pub at: usize,
}

impl<'a> Segments<'a> {
    pub fn new(bytes: &'a [u8]) -> Segments<'a> {
        Segments { bytes, at: 2 }
    }

    /// The next marker's code and what its segment holds; the end marker has no segment.
    pub fn next(&mut self) -> Result<(u8, &'a [u8]), Flaw> {
        loop {
            // Between segments stand 0xff and the marker's code; a decoder may pass over stray bytes, and so do we.
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let found = rest.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xff));
            self.at += found.ok_or(NO_END)? + 2;
            match self.bytes[self.at - 1] {
                0x01 | 0xd0..=0xd8 => continue,
                0xd9 => return Ok((0xd9, &[])),
                marker => {
                    let rest = &self.bytes[self.at..];
                    let length = rest.get(..2).map(|pair| usize::from(u16::from_be_bytes([pair[0], pair[1]])));
                    let length = length.ok_or(NO_END)?;
                    let segment = rest.get(..length).and_then(|segment| segment.get(2..)).ok_or(NO_END)?;
                    self.at += length;
                    return Ok((marker, segment));
                }
            }
        }
    }

    /// The entropy-coded data after a scan header, and how many restart markers are within. Of those the first `wanted`
    /// must count 0 to 7 and on from 0.
    pub fn entropy_coded(&mut self, wanted: u64) -> Result<(&'a [u8], u64), Flaw> {
        let bytes = &self.bytes[self.at..];
        let (mut at, mut restarts) = (0, 0);
        loop {
            // 0xff00 is a stuffed 0xff, 0xffd0..=0xffd7 are restarts; any other marker ends the scan.
            at += bytes[at..].iter().position(|byte| *byte == 0xff).ok_or(NO_END)?;
            match bytes.get(at + 1).ok_or(NO_END)? {
                0x00 => at += 2,
                0xff => at += 1,
                marker @ 0xd0..=0xd7 => {
                    if restarts < wanted && u64::from(marker - 0xd0) != restarts % 8 {
                        return Err(damaged("whose restart markers are out of order"));
                    }
                    (at, restarts) = (at + 2, restarts + 1);
                }
                _ => {
                    self.at += at;
                    return Ok((&bytes[..at], restarts));
                }
            }
        }
    }
}
/// Units between restarts, as a segment says; 0 for none.
pub(super) fn restart_interval(segment: &[u8]) -> u32 {
    segment.get(..2).map_or(0, |pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
}
/// The EXIF data of a JPEG, if it has some.
pub(crate) fn exif(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 2;
    loop {
        let &[0xff, marker, l1, l0] = bytes.get(at..at + 4)? else { return None };
        if marker == 0xda {
            return None;
        }
        let length = usize::from(u16::from_be_bytes([l1, l0]));
        let segment = bytes.get(at + 4..at + 2 + length)?;
        if marker == 0xe1 && segment.starts_with(b"Exif\0\0") {
            return Some(&segment[6..]);
        }
        at += 2 + length;
    }
}
