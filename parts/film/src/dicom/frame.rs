//! Pixel data to samples, PS3.5 section 8 and annexes A and G: native, RLE, JPEG and JPEG 2000.

use std::borrow::Cow;

use super::dataset::PixelData;
use super::tags::{self, Codec};
use super::{DecodePlan, PhotometricInterpretation, jpeg2000};
use crate::{Flaw, jpeg};

/// A film's samples as stored, not yet masked to the bits that count.
pub(super) struct StoredFrame<'a> {
    bytes: Cow<'a, [u8]>,
    /// Bytes of one sample: 1, 2 or 4.
    size: usize,
    big: bool,
    /// Where the samples of one pixel stand: one after the other, or each in a plane of its own.
    step: usize,
    plane: usize,
    /// What the three samples are, if not grey: a JPEG may have been turned from YCbCr to RGB.
    pub photometric: PhotometricInterpretation,
}

impl StoredFrame<'_> {
    /// The stored bits of one sample of one pixel.
    pub fn sample(&self, pixel: usize, channel: usize) -> u32 {
        let at = (pixel * self.step + channel * self.plane) * self.size;
        match (&self.bytes[at..at + self.size], self.big) {
            (&[a], _) => a.into(),
            (&[a, b], false) => u16::from_le_bytes([a, b]).into(),
            (&[a, b], true) => u16::from_be_bytes([a, b]).into(),
            (&[a, b, c, d], false) => u32::from_le_bytes([a, b, c, d]),
            (&[a, b, c, d], true) => u32::from_be_bytes([a, b, c, d]),
            _ => unreachable!("a sample has 1, 2 or 4 bytes"),
        }
    }
}

/// Checks pixel data without decoding them: that there are enough, or that a JPEG is whole and of the right size.
pub(super) fn check(plan: &DecodePlan, data: &PixelData<'_>) -> Result<(), Flaw> {
    match (plan.codec, data) {
        (Codec::Native, PixelData::Native { bytes, .. }) if bytes.len() < plan.native_bytes() => {
            Err(too_few(bytes.len(), plan.native_bytes()))
        }
        (Codec::Native, _) => Ok(()),
        (_, PixelData::Native { .. }) => Err(not_compressed()),
        (_, PixelData::Fragments(fragments)) if fragments.iter().all(|fragment| fragment.is_empty()) => {
            Err(Flaw::Damaged("DICOM without pixels".to_owned()))
        }
        (Codec::Jpeg, PixelData::Fragments(fragments)) => jpeg_header(plan, &join(fragments)).map(|_| ()),
        (Codec::Jpeg2000, PixelData::Fragments(fragments)) => jpeg2000::inspect(plan, &join(fragments)).map(|_| ()),
        (Codec::Rle, PixelData::Fragments(_)) => Ok(()),
    }
}

fn not_compressed() -> Flaw {
    Flaw::Damaged("DICOM whose pixel data are not compressed as it says".to_owned())
}

/// The samples of the one frame that `plan` describes.
pub(super) fn decode<'a>(plan: &DecodePlan, big: bool, data: PixelData<'a>) -> Result<StoredFrame<'a>, Flaw> {
    match (plan.codec, data) {
        (Codec::Native, PixelData::Native { bytes, words }) => native(plan, big, Cow::Borrowed(bytes), words),
        // Encapsulated uncompressed: one frame is one fragment.
        (Codec::Native, PixelData::Fragments(fragments)) => native(plan, big, join(&fragments), false),
        (Codec::Rle, PixelData::Fragments(fragments)) => rle(plan, &join(&fragments)),
        (Codec::Jpeg, PixelData::Fragments(fragments)) => jpeg(plan, &join(&fragments)),
        (Codec::Jpeg2000, PixelData::Fragments(fragments)) => jpeg2000(plan, &join(&fragments)),
        (_, PixelData::Native { .. }) => Err(not_compressed()),
    }
}

/// A single frame may come in several fragments.
fn join<'a>(fragments: &[&'a [u8]]) -> Cow<'a, [u8]> {
    match fragments {
        [one] => Cow::Borrowed(*one),
        several => Cow::Owned(several.concat()),
    }
}

fn too_few(got: usize, wanted: usize) -> Flaw {
    Flaw::Damaged(format!("DICOM with {got} bytes of pixels where its header promises {wanted}"))
}

fn native<'a>(plan: &DecodePlan, big: bool, mut bytes: Cow<'a, [u8]>, words: bool) -> Result<StoredFrame<'a>, Flaw> {
    let wanted = plan.native_bytes();
    if bytes.len() < wanted {
        return Err(too_few(bytes.len(), wanted));
    }
    if big && words && plan.allocated <= 8 {
        // Bytes that were written as words.
        bytes.to_mut().chunks_exact_mut(2).for_each(|word| word.swap(0, 1));
    }
    if plan.allocated == 1 {
        let bit = |at: usize| bytes[at / 8] >> (at % 8) & 1;
        bytes = Cow::Owned((0..plan.pixels()).map(bit).collect());
    }
    if plan.photometric == PhotometricInterpretation::Ybr422 {
        bytes =
            Cow::Owned(bytes[..wanted].chunks_exact(4).flat_map(|c| [c[0], c[2], c[3], c[1], c[2], c[3]]).collect());
    }
    Ok(plan.frame(bytes, big, plan.is_planar))
}

/// PS3.5 annex G: each byte of each sample is a segment of its own, the highest first, packed by runs.
fn rle(plan: &DecodePlan, fragment: &[u8]) -> Result<StoredFrame<'static>, Flaw> {
    let damaged = |how: &str| Flaw::Damaged(format!("DICOM whose RLE {how}"));
    if plan.allocated == 1 {
        return Err(Flaw::Unsupported("DICOM with 1-bit pixels in RLE".to_owned()));
    }
    let number = |at: usize| {
        let four = fragment.get(4 * at..4 * at + 4)?;
        Some(u32::from_le_bytes([four[0], four[1], four[2], four[3]]) as usize)
    };
    let (size, pixels) = (usize::from(plan.allocated) / 8, plan.pixels());
    let segments = size * plan.samples;
    if number(0) != Some(segments) {
        return Err(damaged("has another number of segments than its pixels have bytes"));
    }
    // Two packed bytes become 128 at most.
    if fragment.len().saturating_mul(64) < plan.native_bytes() {
        return Err(Flaw::Truncated("DICOM whose RLE holds fewer pixels than its header promises"));
    }
    let mut bytes = vec![0; plan.native_bytes()];
    for segment in 0..segments {
        let start = number(segment + 1).ok_or_else(|| damaged("header is cut"))?;
        let end = if segment + 1 < segments { number(segment + 2).unwrap_or(0) } else { fragment.len() };
        let packed = fragment.get(start..end).ok_or_else(|| damaged("segments lie outside its data"))?;
        let (sample, byte) = (segment / size, size - 1 - segment % size);
        let target = bytes[sample * pixels * size + byte..].iter_mut().step_by(size).take(pixels);
        if unpack(packed, target) < pixels {
            return Err(Flaw::Truncated("DICOM whose RLE holds fewer pixels than its header promises"));
        }
    }
    Ok(plan.frame(Cow::Owned(bytes), false, true))
}

/// PackBits: how many bytes were unpacked.
fn unpack<'a>(mut packed: &[u8], mut target: impl Iterator<Item = &'a mut u8>) -> usize {
    let mut count = 0;
    let mut put = |byte: u8| match target.next() {
        Some(place) => {
            *place = byte;
            count += 1;
            true
        }
        None => false,
    };
    while let [control, rest @ ..] = packed {
        packed = rest;
        let length = usize::from(*control);
        match control {
            0..=127 => {
                let (literal, rest) = packed.split_at((length + 1).min(packed.len()));
                packed = rest;
                if !literal.iter().all(|byte| put(*byte)) {
                    break;
                }
            }
            128 => {}
            129..=255 => {
                let [byte, rest @ ..] = packed else { break };
                packed = rest;
                if !(0..257 - length).all(|_| put(*byte)) {
                    break;
                }
            }
        }
    }
    count
}

/// The header of a JPEG that is whole and as large as `plan` says.
fn jpeg_header(plan: &DecodePlan, stream: &[u8]) -> Result<jpeg::Frame, Flaw> {
    let header = jpeg::inspect(stream)?;
    let same_size = (header.width, header.height) == (plan.columns, plan.rows);
    if !same_size || header.components.len() != plan.samples {
        return Err(Flaw::Damaged(format!(
            "DICOM whose JPEG is {} × {} pixels of {} samples where its header promises {} × {} of {}",
            header.width,
            header.height,
            header.components.len(),
            plan.columns,
            plan.rows,
            plan.samples
        )));
    }
    if plan.samples > 1 && u16::from(header.precision) != plan.stored {
        return Err(Flaw::Damaged(format!(
            "DICOM in colour whose JPEG has {} bits where its header promises {}",
            header.precision, plan.stored
        )));
    }
    if header.process != jpeg::Process::Lossless && header.precision > 8 {
        if plan.samples > 1 {
            return Err(Flaw::Unsupported(format!("DICOM in colour whose JPEG has {} bits", header.precision)));
        }
        if u16::from(header.precision) > plan.stored {
            return Err(Flaw::Damaged(format!(
                "DICOM whose JPEG has {} bits where its header promises {}",
                header.precision, plan.stored
            )));
        }
    }
    Ok(header)
}

/// JPEG, T.81, of any process that is decoded, whichever of them the transfer syntax names.
fn jpeg(plan: &DecodePlan, stream: &[u8]) -> Result<StoredFrame<'static>, Flaw> {
    let header = jpeg_header(plan, stream)?;
    let (bytes, size) = jpeg::samples(stream, &header)?;
    let photometric = match (header.process, header.colour) {
        // A lossless JPEG in DICOM holds the samples as the photometric interpretation says, whatever it says itself.
        (jpeg::Process::Lossless, _) | (_, jpeg::Colour::Grey) => plan.photometric,
        (_, jpeg::Colour::Rgb) => PhotometricInterpretation::Rgb,
        // Without Adobe's marker a decoder takes three samples for YCbCr, which DICOM's header may contradict.
        _ if plan.photometric == PhotometricInterpretation::Rgb && header.adobe.is_none() => {
            PhotometricInterpretation::Rgb
        }
        _ => PhotometricInterpretation::Ybr,
    };
    let (step, big) = (plan.samples, cfg!(target_endian = "big"));
    Ok(StoredFrame { bytes: Cow::Owned(bytes), size, big, step, plane: 1, photometric })
}

/// JPEG 2000, one plane after the other.
fn jpeg2000(plan: &DecodePlan, stream: &[u8]) -> Result<StoredFrame<'static>, Flaw> {
    let (bytes, size) = jpeg2000::decode(plan, stream)?;
    let photometric = if plan.samples == 3 { PhotometricInterpretation::Rgb } else { plan.photometric };
    Ok(StoredFrame { bytes: Cow::Owned(bytes), size, big: false, step: 1, plane: plan.pixels(), photometric })
}

impl DecodePlan {
    fn frame<'a>(&self, bytes: Cow<'a, [u8]>, big: bool, is_planar: bool) -> StoredFrame<'a> {
        let (step, plane) = if is_planar { (1, self.pixels()) } else { (self.samples, 1) };
        let size = usize::from(self.allocated).div_ceil(8);
        let photometric = if self.photometric == PhotometricInterpretation::Ybr422 {
            PhotometricInterpretation::Ybr
        } else {
            self.photometric
        };
        StoredFrame { bytes, size, big, step, plane, photometric }
    }
}

/// Whether a transfer syntax can be decoded, by name if not.
pub(super) fn codec(syntax: &str) -> Result<Codec, Flaw> {
    if syntax.is_empty() {
        return Ok(Codec::Native);
    }
    tags::codec(syntax).ok_or_else(|| Flaw::Unsupported(format!("DICOM in {}", tags::name(syntax))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_literals_are_unpacked_as_the_standard_says() {
        let mut bytes = [0; 9];
        assert_eq!(unpack(&[2, 1, 2, 3, 0x80, 0xfd, 7, 0, 9, 0xff, 5], bytes.iter_mut()), 9);
        assert_eq!(bytes, [1, 2, 3, 7, 7, 7, 7, 9, 5]);
        assert_eq!(unpack(&[5, 1, 2], bytes.iter_mut()), 2);
        assert_eq!(unpack(&[0x81, 1], bytes.iter_mut()), 9);
    }
}
