//! JPEG 2000, ITU-T T.800, by hayro-jpeg2000.
//!
//! The decoder keeps some 16 bytes for each sample and some 300 for each code-block, and a file of a few hundred bytes
//! may ask for millions of both. What makes so many is refused from the headers (annex A); films have none of it.

use std::fmt::Display;

use super::DecodePlan;
use crate::Flaw;

/// The most samples: above a film of 43 cm at 80 µm.
const MAX_SAMPLES: usize = 32_000_000;

/// The fewest samples of a tile, unless it is the whole film.
const MIN_TILE: u64 = 4096;

/// The fewest samples of a code-block or precinct, as a power of two. Encoders take 12.
const MIN_BLOCK: u32 = 8;

fn damaged(how: impl Display) -> Flaw {
    Flaw::Damaged(format!("DICOM whose JPEG 2000 {how}"))
}

/// What the image and tile size marker says that is needed.
pub(super) struct Size {
    is_signed: bool,
    tiles: u64,
}

/// Checks a code stream's headers, in JP2 boxes or bare.
pub(super) fn inspect(plan: &DecodePlan, stream: &[u8]) -> Result<Size, Flaw> {
    // SIZ follows SOC.
    let start = stream.windows(4).position(|bytes| bytes == [0xff, 0x4f, 0xff, 0x51]);
    let stream = &stream[start.ok_or_else(|| damaged("does not begin as one"))?..];
    let size = siz(plan, stream)?;
    let is_short = plan.samples < 257;
    let mut at = 2;
    let mut tile = 0..0;
    let mut tiles = 0;
    // Main header, then the headers of the tile-parts.
    while let Some(&[m1, m0, l1, l0]) = stream.get(at..at + 4) {
        let end = at + 2 + usize::from(u16::from_be_bytes([l1, l0]));
        match [m1, m0] {
            [0xff, 0xd9] => break,
            // Start of data: on to the next tile-part; a length of 0 means the last.
            [0xff, 0x93] if tile.end > at => {
                at = tile.end;
                continue;
            }
            [0xff, 0x93] => break,
            _ => {}
        }
        let segment = stream.get(at + 4..end).ok_or_else(|| damaged("has a header that is cut"))?;
        match [m1, m0] {
            // Start of a tile-part: its length from here on, 0 if it is the last, and which part of its tile it is.
            [0xff, 0x90] => {
                let &[_, _, p3, p2, p1, p0, part, ..] = segment else {
                    return Err(damaged("has a tile without its size"));
                };
                tile = at..at + u32::from_be_bytes([p3, p2, p1, p0]) as usize;
                tiles += u64::from(part == 0);
                if tile.end > stream.len() {
                    return Err(Flaw::Truncated("DICOM whose JPEG 2000 stops inside a tile"));
                }
            }
            [0xff, 0x52] => check_blocks(segment.first(), segment.get(5..))?,
            [0xff, 0x53] => {
                let style = if is_short { 1 } else { 2 };
                check_blocks(segment.get(style), segment.get(style + 1..))?;
            }
            _ => {}
        }
        at = end;
    }
    if tiles < size.tiles {
        return Err(Flaw::Truncated("DICOM whose JPEG 2000 has fewer tiles than its header promises"));
    }
    Ok(size)
}

/// The image and tile size marker: as the DICOM header says, and no more than can be decoded.
fn siz(plan: &DecodePlan, stream: &[u8]) -> Result<Size, Flaw> {
    let size = stream.get(..43).ok_or_else(|| damaged("has a header that is cut"))?;
    let number = |at: usize| u32::from_be_bytes([size[at], size[at + 1], size[at + 2], size[at + 3]]);
    let (width, height) = (number(8).wrapping_sub(number(16)), number(12).wrapping_sub(number(20)));
    let components = usize::from(u16::from_be_bytes([size[40], size[41]]));
    if (width, height, components) != (plan.columns, plan.rows, plan.samples) {
        return Err(damaged(format_args!("is {width} × {height} pixels of {components} samples, unlike its header")));
    }
    if plan.pixels() * plan.samples > MAX_SAMPLES {
        return Err(Flaw::Unsupported("DICOM in JPEG 2000 of more than 32 million samples".to_owned()));
    }
    let (tile_width, tile_height) = (number(24), number(28));
    let is_whole = tile_width >= width && tile_height >= height;
    if !is_whole && u64::from(tile_width) * u64::from(tile_height) < MIN_TILE {
        return Err(Flaw::Unsupported(format!("DICOM in JPEG 2000 with tiles of {tile_width} × {tile_height} pixels")));
    }
    if tile_width == 0 || tile_height == 0 {
        return Err(damaged("has tiles of no size"));
    }
    // From the tiles' origin to the end of the image.
    let across = number(8).saturating_sub(number(32)).div_ceil(tile_width);
    let down = number(12).saturating_sub(number(36)).div_ceil(tile_height);
    Ok(Size { is_signed: size[42] & 0x80 != 0, tiles: u64::from(across) * u64::from(down) })
}

/// Coding style: `parameters` begin with the number of levels, then the exponents of a code-block's sides less 2; with
/// the lowest bit of `style` the exponents of the precincts' sides follow after two more.
fn check_blocks(style: Option<&u8>, parameters: Option<&[u8]>) -> Result<(), Flaw> {
    let (Some(style), Some(&[_, width, height, _, _, ref precincts @ ..])) = (style, parameters) else {
        return Err(damaged("has a coding style that is cut"));
    };
    let block = u32::from(width & 15) + u32::from(height & 15) + 4;
    let precinct = precincts.iter().map(|exponents| u32::from(exponents & 15) + u32::from(exponents >> 4)).min();
    let precinct = precinct.filter(|_| style & 1 != 0).unwrap_or(30);
    if block.min(precinct) < MIN_BLOCK {
        return Err(Flaw::Unsupported(format!(
            "DICOM in JPEG 2000 with blocks of fewer than {} samples",
            1 << MIN_BLOCK
        )));
    }
    Ok(())
}

/// The samples, one plane after the other, low byte first, and how many bytes each has.
pub(super) fn decode(plan: &DecodePlan, stream: &[u8]) -> Result<(Vec<u8>, usize), Flaw> {
    let Size { is_signed, .. } = inspect(plan, stream)?;
    let fails = |error| damaged(format_args!("fails: {error}"));
    let settings = hayro_jpeg2000::DecodeSettings { strict: true, ..Default::default() };
    let image = hayro_jpeg2000::Image::new(stream, &settings).map_err(fails)?;
    let mut context = hayro_jpeg2000::DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(fails)?;
    let planes = decoded.components();
    if planes.len() < plan.samples || planes.iter().any(|plane| plane.samples().len() != plan.pixels()) {
        return Err(damaged("has components of several sizes"));
    }
    let bytes_each = if planes.iter().any(|plane| plane.bit_depth() > 8) { 2 } else { 1 };
    let mut bytes = Vec::with_capacity(plan.pixels() * plan.samples * bytes_each);
    for plane in &planes[..plan.samples] {
        // The decoder takes all samples for unsigned.
        let offset = if is_signed { 1i64 << (plane.bit_depth() - 1) } else { 0 };
        for sample in plane.samples() {
            let value = sample.round() as i64 - offset;
            bytes.extend_from_slice(&value.to_le_bytes()[..bytes_each]);
        }
    }
    Ok((bytes, bytes_each))
}
