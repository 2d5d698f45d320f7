//! JPEG, ITU-T T.81: is the picture whole, what are its pixels.
//!
//! The segments are walked from SOI to EOI (annex B) without decoding. The end marker is looked for where the
//! entropy-coded data end, so that neither the end marker of an embedded thumbnail nor bytes after the picture mislead.
//!
//! # Decoders
//! The usual film, one scan of 8 bits in grey or YCbCr, goes to zune-jpeg ([`plain`]). All else, several scans,
//! progressive, unusual samplings and colours, up to 12 bits, and the lossless process, is decoded here, a scan at a
//! time ([`coefficients`], [`planes`], [`colours`], [`lossless`]), since no kept decoder in Rust does it rightly. Of
//! 884 lawful files with loss that `tests/golden/jpeg.py` writes, zune-jpeg 0.5.15 gave wrong pixels without an error
//! for 185 and refused 145, nearly all in several scans; jpeg-decoder 0.3.2 heeds names of components before Adobe's
//! marker, loses its place where three samplings meet, panics where colours stay as stored, and was wrong for lossless
//! files with restarts or a point transform. libjpeg-turbo's crates need cmake and nasm on the reader's machine. What
//! is decoded here is libjpeg-turbo's picture to the bit, in samples, enlargement and colours, at a third of
//! zune-jpeg's speed.

mod bits;
mod coefficients;
mod colours;
mod frame;
mod lossless;
mod plain;
mod planes;
mod scan;
mod segments;
mod tables;

use crate::flaw::Flaw;
use coefficients::ComponentBlocks;
pub(crate) use frame::{Colour, Frame, Process};
use planes::SamplePlane;
use scan::{Scan, ScanProgress, check_progress};
pub(crate) use segments::exif;
use segments::{Segments, restart_interval};
use tables::Tables;
/// Scans that a picture may have: many times what encoders write, so that a small file cannot ask for hours.
const MAX_SCANS: usize = 200;
/// Checks a JPEG from SOI to EOI: that the container is whole and that its scans hold the whole picture.
pub(super) fn inspect(bytes: &[u8]) -> Result<Frame, Flaw> {
    let mut frame: Option<Frame> = None;
    let mut progress: Vec<ScanProgress> = Vec::new();
    let (mut adobe, mut is_jfif) = (None, false);
    let mut restart = 0;
    let mut segments = Segments::new(bytes);
    loop {
        let (marker, segment) = segments.next()?;
        match marker {
            0xd9 => {
                let mut frame = frame.filter(|_| !progress.is_empty()).ok_or_else(|| damaged("without a scan"))?;
                check_progress(&progress)?;
                (frame.adobe, frame.end) = (adobe, segments.at - 2);
                frame.colour = frame.guessed_colour(is_jfif);
                return Ok(frame);
            }
            0xc0..=0xcf | 0xf7 if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                if frame.is_some() {
                    return Err(damaged("with two frames"));
                }
                frame = Some(Frame::read(marker, segment)?);
            }
            0xdd => restart = restart_interval(segment),
            0xe0 => is_jfif |= segment.starts_with(b"JFIF\0") && segment.len() >= 14,
            0xee if frame::is_adobe(segment) => adobe = Some(segment[11]),
            0xdc => {
                let frame = frame.as_mut().ok_or_else(|| damaged("with a number of lines before its frame header"))?;
                if segment.get(..2) != Some(&(frame.height as u16).to_be_bytes()[..]) {
                    return Err(Flaw::Unsupported("JPEG whose height follows its first scan".to_owned()));
                }
                frame.has_lines = true;
            }
            0xda => {
                let frame = frame.as_mut().ok_or_else(|| damaged("with a scan before its frame header"))?;
                progress.resize(frame.components.len(), [255; 64]);
                let scan = Scan::read(frame, segment)?;
                scan.note(frame.process, &mut progress)?;
                frame.scans += 1;
                if frame.scans > MAX_SCANS {
                    return Err(Flaw::Unsupported(format!("JPEG of more than {MAX_SCANS} scans")));
                }
                let (across, down) = scan.mcus(frame);
                let mcus = u64::from(across) * u64::from(down);
                let wanted = if restart == 0 { 0 } else { (mcus - 1) / u64::from(restart) };
                let (_, restarts) = segments.entropy_coded(wanted)?;
                if restarts < wanted {
                    return Err(Flaw::Truncated("JPEG with fewer restart intervals than its picture has"));
                }
            }
            _ => {}
        }
    }
}
fn damaged(how: &str) -> Flaw {
    Flaw::Damaged(format!("JPEG {how}"))
}
/// Walks a JPEG that [`inspect`] found whole and hands each scan to `decode`, with the tables and the restart interval
/// that are in force there, and its data.
fn each_scan(
    bytes: &[u8],
    frame: &Frame,
    mut decode: impl FnMut(&Scan, &Tables, u32, &[u8]) -> Result<(), Flaw>,
) -> Result<(), Flaw> {
    let mut segments = Segments::new(bytes);
    let (mut tables, mut restart) = (Tables::default(), 0);
    loop {
        match segments.next()? {
            (0xd9, _) => return Ok(()),
            (0xc4, segment) => tables.read_huffman(segment)?,
            (0xdb, segment) => tables.read_quant(segment)?,
            (0xdd, segment) => restart = restart_interval(segment),
            (0xda, segment) => {
                let (data, _) = segments.entropy_coded(0)?;
                decode(&Scan::read(frame, segment)?, &tables, restart, data)?;
            }
            _ => {}
        }
    }
}

/// The samples of each component of a picture with loss.
fn planes(bytes: &[u8], frame: &Frame) -> Result<Vec<SamplePlane>, Flaw> {
    let (h, v) = frame.most();
    let (across, down) = (frame.width.div_ceil(8 * h) as usize, frame.height.div_ceil(8 * v) as usize);
    let mut blocks: Vec<ComponentBlocks> = Vec::new();
    for component in &frame.components {
        let (columns, rows) = (across * component.horizontal as usize, down * component.vertical as usize);
        blocks.push(ComponentBlocks { columns, coefficients: vec![[0; 64]; columns * rows] });
    }
    // A component keeps the table that was in force when it was met first.
    let mut quants = vec![None; blocks.len()];
    each_scan(bytes, frame, |scan, tables, restart, data| {
        for &component in &scan.components {
            let number = usize::from(frame.components[component].quant);
            let quant = tables.quant.get(number).copied().flatten();
            let quant = quant.ok_or_else(|| damaged("with a scan whose quantisation table is missing"))?;
            quants[component].get_or_insert(quant);
        }
        coefficients::scan(frame, scan, &tables.huffman, restart, data, &mut blocks)
    })?;
    let quants = quants.into_iter().map(|quant| quant.expect("every component came in a scan"));
    Ok(blocks.into_iter().zip(quants).map(|(blocks, quant)| planes::plane(blocks, &quant, frame.precision)).collect())
}

/// The samples of each component of a picture without loss.
fn lossless_planes(bytes: &[u8], frame: &Frame) -> Result<Vec<SamplePlane>, Flaw> {
    const MAX_SAMPLES: u64 = 40_000_000;
    let samples = u64::from(frame.width) * u64::from(frame.height) * frame.components.len() as u64;
    if samples > MAX_SAMPLES {
        return Err(Flaw::Unsupported("lossless JPEG of more than 40 million samples".to_owned()));
    }
    // Equal factors above 1 mean another order of samples where components share a scan.
    let is_sampled = frame.components.iter().any(|component| (component.horizontal, component.vertical) != (1, 1));
    if is_sampled && frame.components.len() > 1 {
        return Err(Flaw::Unsupported("lossless JPEG with components of several samples".to_owned()));
    }
    let mut planes = vec![Vec::new(); frame.components.len()];
    each_scan(bytes, frame, |scan, tables, restart, data| {
        lossless::scan(frame, scan, &tables.huffman[0], restart, data, &mut planes)
    })?;
    Ok(planes.into_iter().map(|samples| SamplePlane { stride: frame.width as usize, samples }).collect())
}

/// The samples as they are stored, one pixel after the other, and how many bytes each has, in the machine's own order.
pub(super) fn samples(bytes: &[u8], frame: &Frame) -> Result<(Vec<u8>, usize), Flaw> {
    if plain::is_plain(frame) {
        return Ok((plain::stored(bytes, frame)?, 1));
    }
    let planes = match frame.process {
        Process::Lossless => lossless_planes(bytes, frame)?,
        Process::Sequential | Process::Progressive => planes(bytes, frame)?,
    };
    Ok(colours::stored(frame, &planes))
}

/// The pixels of a JPEG with loss, of 8 bits and any colours, in red, green and blue.
pub(super) fn rgb(bytes: &[u8], frame: &Frame) -> Result<Vec<u8>, Flaw> {
    if plain::is_plain(frame) { plain::rgb(bytes, frame) } else { Ok(colours::rgb(frame, &planes(bytes, frame)?)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, GrayImage, ImageFormat, Luma};

    fn encoded() -> Vec<u8> {
        let film = GrayImage::from_fn(64, 48, |x, y| Luma([((x * x + 3 * y * y) % 251) as u8]));
        let mut bytes = std::io::Cursor::new(Vec::new());
        DynamicImage::ImageLuma8(film).to_rgb8().write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
        bytes.into_inner()
    }

    /// The file with a byte of its frame header, counted from the marker, changed.
    fn with_frame_byte(at: usize, byte: u8) -> Vec<u8> {
        let mut bytes = encoded();
        let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        bytes[frame + at] = byte;
        bytes
    }

    #[test]
    fn other_processes_and_depths_are_refused_by_name() {
        assert_eq!(inspect(&encoded()).unwrap().process, Process::Sequential);
        for (file, name) in [
            (with_frame_byte(1, 0xc9), "arithmetic-coded JPEG"),
            (with_frame_byte(1, 0xca), "arithmetic-coded JPEG"),
            (with_frame_byte(1, 0xc5), "hierarchical JPEG"),
            (with_frame_byte(1, 0xf7), "JPEG-LS"),
            (with_frame_byte(4, 7), "JPEG of 7 bits"),
            (with_frame_byte(4, 16), "JPEG of 16 bits"),
        ] {
            assert_eq!(inspect(&file), Err(Flaw::Unsupported(name.to_owned())));
        }
    }

    #[test]
    fn a_scan_that_ends_early_is_refused_though_an_end_marker_follows() {
        let whole = encoded();
        let frame = inspect(&whole).unwrap();
        assert_eq!(rgb(&whole, &frame).unwrap().len(), 3 * 64 * 48);
        for lost in [2, 3, 10, 100] {
            let mut cut = whole[..frame.end - lost].to_vec();
            cut.extend_from_slice(&[0xff, 0xd9]);
            let frame = inspect(&cut).unwrap();
            assert!(rgb(&cut, &frame).is_err(), "{lost} bytes lost");
            assert!(image::load_from_memory(&cut).is_ok(), "set to be lenient, `image` fills the rest");
        }
    }

    #[test]
    fn metadata_do_not_reach_the_decoder_and_do_not_change_the_picture() {
        let whole = encoded();
        let odd = [0xff, 0xee, 0, 7, b'A', b'd', b'o', b'b', b'e'];
        let exif = [0xff, 0xe1, 0, 12, b'E', b'x', b'i', b'f', 0, 0, 1, 2, 3, 4];
        let with = [&whole[..2], &odd, &exif, &whole[2..]].concat();
        assert_eq!(super::exif(&with), Some(&[1, 2, 3, 4][..]));
        let pixels = |bytes: &[u8]| rgb(bytes, &inspect(bytes).unwrap()).unwrap();
        assert_eq!(pixels(&with), pixels(&whole));
    }

    #[test]
    fn missing_restart_intervals_are_counted() {
        let whole = encoded();
        let scan = whole.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
        // An interval of one unit in a scan without a restart marker.
        let with = [&whole[..scan], &[0xff, 0xdd, 0, 4, 0, 1], &whole[scan..]].concat();
        assert_eq!(inspect(&with), Err(Flaw::Truncated("JPEG with fewer restart intervals than its picture has")));
    }
}
