//! The common kind of JPEG, one scan of 8-bit grey or YCbCr, through zune-jpeg, three times as fast as our own decoder.
//!
//! A picture cut within its last scan, with an end marker set after the cut, still has a whole container, and zune-jpeg
//! fills the rest with grey. Here ones are put before the end marker: no Huffman code consists of ones alone (annex C),
//! so that it needs more bits than there are and stops with an error.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::frame::is_adobe;
use super::{Colour, Flaw, Frame, Process, damaged};

/// Whether zune-jpeg decodes a picture of this kind rightly, which `tests/jpeg.rs` shows.
pub(super) fn is_plain(frame: &Frame) -> bool {
    let sampling: Vec<_> = frame.components.iter().map(|c| (c.horizontal, c.vertical)).collect();
    let is_known = match (frame.colour, sampling.as_slice()) {
        (Colour::Grey, [(1, 1)]) => true,
        // zune-jpeg heeds Adobe's marker before JFIF's, and component names.
        (Colour::Ybr, [(1 | 2, 1 | 2), (1, 1), (1, 1)]) => {
            matches!(frame.adobe, None | Some(1)) && frame.components.iter().map(|c| c.id).eq(1..=3)
        }
        _ => false,
    };
    is_known && frame.process == Process::Sequential && frame.precision == 8 && frame.scans == 1 && !frame.has_lines
}

/// The pixels as they are stored.
pub(super) fn stored(bytes: &[u8], frame: &Frame) -> Result<Vec<u8>, Flaw> {
    decode(bytes, frame, if frame.colour == Colour::Grey { ColorSpace::Luma } else { ColorSpace::YCbCr })
}

/// The pixels in red, green and blue.
pub(super) fn rgb(bytes: &[u8], frame: &Frame) -> Result<Vec<u8>, Flaw> {
    decode(bytes, frame, ColorSpace::RGB)
}

fn decode(bytes: &[u8], frame: &Frame, colours: ColorSpace) -> Result<Vec<u8>, Flaw> {
    let copy = for_decoder(bytes, frame);
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(frame.width as usize)
        .set_max_height(frame.height as usize)
        .jpeg_set_out_colorspace(colours);
    let pixels = JpegDecoder::new_with_options(ZCursor::new(&copy), options).decode().map_err(one_line)?;
    let wanted = frame.width as usize * frame.height as usize * colours.num_components();
    if pixels.len() == wanted { Ok(pixels) } else { Err(damaged("with fewer pixels than its header promises")) }
}

fn one_line(error: impl std::fmt::Display) -> Flaw {
    // The decoders' messages may span lines; ours is one.
    Flaw::Damaged(format!("JPEG: {}", error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")))
}

/// The picture with ones before its end marker, so that a decoder that needs more data than there are fails, and
/// without the metadata before its first scan, which a decoder may stumble over though it does not need them.
fn for_decoder(bytes: &[u8], frame: &Frame) -> Vec<u8> {
    /// Stuffed bytes of ones, more than the longest run of bits that are no Huffman code needs.
    const ONES: usize = 4096;
    let mut copy = Vec::with_capacity(frame.end + 2 * ONES + 2);
    copy.extend_from_slice(&bytes[..2]);
    let mut at = 2;
    while let Some(&[0xff, marker, l1, l0]) = bytes.get(at..at + 4) {
        if !matches!(marker, 0xc0..=0xc7 | 0xc9..=0xcf | 0xdb | 0xdd | 0xe0..=0xef | 0xfe) {
            break;
        }
        let end = at + 2 + usize::from(u16::from_be_bytes([l1, l0]));
        let segment = &bytes[at..end];
        let is_metadata = match marker {
            0xe0 => false,
            0xee => !is_adobe(&segment[4..]),
            _ => matches!(marker, 0xe1..=0xef | 0xfe),
        };
        if !is_metadata {
            copy.extend_from_slice(segment);
        }
        at = end;
    }
    copy.extend_from_slice(&bytes[at..frame.end]);
    copy.extend([0xff, 0x00].into_iter().cycle().take(2 * ONES));
    copy.extend_from_slice(&[0xff, 0xd9]);
    copy
}
