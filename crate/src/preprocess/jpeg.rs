//! JPEG, ITU-T T.81: is the picture whole, and its pixels through zune-jpeg.
//!
//! The segments are walked from SOI to EOI (annex B) without decoding. The end marker is looked for where the
//! entropy-coded data end, so that neither the end marker of an embedded thumbnail nor bytes after the picture mislead.
//!
//! A picture cut within its last scan, with an end marker set after the cut, still has a whole container. Decoders fill
//! the rest with zero bits and so with grey. Here ones are put before the end marker: no Huffman code consists of ones
//! alone (annex C), so a decoder that needs more bits than there are stops with an error.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::Flaw;
use super::container::check_size;

const NO_END: Flaw = Flaw::Truncated("JPEG without its end-of-image marker");

/// The coding processes of T.81 that are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Process {
    /// Baseline or extended sequential, Huffman-coded.
    Sequential,
    /// Progressive, Huffman-coded.
    Progressive,
    /// Lossless, Huffman-coded; in DICOM files alone.
    Lossless,
}

/// A component of the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Component {
    id: u8,
    horizontal: u32,
    vertical: u32,
}

/// What the frame header and what follows it say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub process: Process,
    /// Bits of a sample.
    pub precision: u8,
    pub width: u32,
    pub height: u32,
    pub components: Vec<Component>,
    /// Whether Adobe's marker says how colours are stored.
    pub has_adobe: bool,
    /// Where the end marker stands.
    end: usize,
}

/// How far the coefficients of a component have come: the bits still missing of each, or 255 if none was sent.
type Progress = [u8; 64];

/// Checks a JPEG from SOI to EOI: that the container is whole and that its scans hold the whole picture.
pub(super) fn inspect(bytes: &[u8]) -> Result<Frame, Flaw> {
    let mut frame: Option<Frame> = None;
    let mut progress: Vec<Progress> = Vec::new();
    let mut has_adobe = false;
    let mut restart = 0;
    let mut at = 2;
    loop {
        // Between segments stand 0xff and the marker's code; a decoder may pass over stray bytes, and so do we.
        let found = bytes
            .get(at..)
            .unwrap_or_default()
            .windows(2)
            .position(|pair| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xff));
        at += found.ok_or(NO_END)?;
        let marker = bytes[at + 1];
        at += 2;
        match marker {
            0xd9 => {
                let mut frame = frame.filter(|_| !progress.is_empty()).ok_or_else(|| damaged("without a scan"))?;
                check_progress(&progress)?;
                (frame.has_adobe, frame.end) = (has_adobe, at - 2);
                return Ok(frame);
            }
            0x01 | 0xd0..=0xd8 => continue,
            _ => {}
        }
        let length =
            bytes.get(at..at + 2).map(|pair| usize::from(u16::from_be_bytes([pair[0], pair[1]]))).ok_or(NO_END)?;
        let segment = bytes.get(at..at + length).and_then(|segment| segment.get(2..)).ok_or(NO_END)?;
        at += length;
        match marker {
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                if frame.is_some() {
                    return Err(damaged("with two frames"));
                }
                let read = frame_header(marker, segment)?;
                frame = Some(read);
            }
            0xdd => restart = segment.get(..2).map_or(0, |pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))),
            0xee => has_adobe |= is_adobe(segment),
            0xda => {
                let frame = frame.as_ref().ok_or_else(|| damaged("with a scan before its frame header"))?;
                progress.resize(frame.components.len(), [255; 64]);
                let scan = Scan::read(frame, segment)?;
                scan.note(&mut progress);
                let (length, restarts) = entropy_coded(&bytes[at..])?;
                if restart > 0 && restarts + 1 < scan.units(frame).div_ceil(u64::from(restart)) {
                    return Err(Flaw::Truncated("JPEG with fewer restart intervals than its picture has"));
                }
                at += length;
            }
            _ => {}
        }
    }
}

fn damaged(how: &str) -> Flaw {
    Flaw::Damaged(format!("JPEG {how}"))
}

/// How many bytes of entropy-coded data there are, and how many restart markers within.
fn entropy_coded(bytes: &[u8]) -> Result<(usize, u64), Flaw> {
    let (mut at, mut restarts) = (0, 0);
    loop {
        // 0xff00 is a stuffed 0xff, 0xffd0..=0xffd7 are restarts; any other marker ends the scan.
        at += bytes[at..].iter().position(|byte| *byte == 0xff).ok_or(NO_END)?;
        match bytes.get(at + 1).ok_or(NO_END)? {
            0x00 => at += 2,
            0xff => at += 1,
            0xd0..=0xd7 => (at, restarts) = (at + 2, restarts + 1),
            _ => return Ok((at, restarts)),
        }
    }
}

fn frame_header(marker: u8, segment: &[u8]) -> Result<Frame, Flaw> {
    let &[precision, h1, h0, w1, w0, count, ref rest @ ..] = segment else {
        return Err(damaged("frame header too short"));
    };
    let unsupported = |what: &str| Err(Flaw::Unsupported(format!("{what} JPEG")));
    let process = match marker {
        0xc0 | 0xc1 => Process::Sequential,
        0xc2 => Process::Progressive,
        0xc3 => Process::Lossless,
        0xc5..=0xc7 | 0xcd..=0xcf => return unsupported("hierarchical"),
        _ => return unsupported("arithmetic-coded"),
    };
    match (process, precision) {
        (Process::Lossless, 2..=16) | (_, 8) => {}
        _ => return Err(Flaw::Unsupported(format!("JPEG of {precision} bits"))),
    }
    let (width, height) = (u32::from(u16::from_be_bytes([w1, w0])), u32::from(u16::from_be_bytes([h1, h0])));
    check_size(width, height)?;
    let component = |three: &[u8]| Component {
        id: three[0],
        horizontal: u32::from(three[1] >> 4),
        vertical: u32::from(three[1] & 15),
    };
    let components: Vec<Component> = rest.chunks_exact(3).take(count.into()).map(component).collect();
    let is_sampling = |c: &Component| (1..=4).contains(&c.horizontal) && (1..=4).contains(&c.vertical);
    if components.len() != usize::from(count) || !matches!(count, 1 | 3 | 4) || !components.iter().all(is_sampling) {
        return Err(damaged(&format!("with {count} components that make no picture")));
    }
    Ok(Frame { process, precision, width, height, components, has_adobe: false, end: 0 })
}

/// A scan header: which components, and which of their coefficients.
struct Scan {
    components: Vec<usize>,
    first: u8,
    last: u8,
    /// Bits of the coefficients that are left for later scans.
    low: u8,
}

impl Scan {
    fn read(frame: &Frame, segment: &[u8]) -> Result<Scan, Flaw> {
        let short = || damaged("scan header too short");
        let [count, rest @ ..] = segment else { return Err(short()) };
        let count = usize::from(*count);
        let selectors = rest.get(..2 * count).ok_or_else(short)?;
        let &[first, last, approximation] = rest.get(2 * count..2 * count + 3).ok_or_else(short)? else {
            return Err(short());
        };
        let index = |id: u8| frame.components.iter().position(|component| component.id == id);
        let components: Option<Vec<usize>> = selectors.chunks_exact(2).map(|pair| index(pair[0])).collect();
        let components =
            components.filter(|all| !all.is_empty()).ok_or_else(|| damaged("with a scan of no component"))?;
        if frame.process == Process::Lossless && !((1..=7).contains(&first) && approximation < frame.precision) {
            return Err(damaged("without loss, but without a predictor too"));
        }
        if frame.process == Process::Progressive {
            return Ok(Scan { components, first, last: last.min(63), low: approximation & 15 });
        }
        Ok(Scan { components, first: 0, last: 63, low: 0 })
    }

    fn note(&self, progress: &mut [Progress]) {
        for &component in &self.components {
            for coefficient in self.first..=self.last {
                progress[component][usize::from(coefficient)] = self.low;
            }
        }
    }

    /// The units between which restarts are counted, A.2.
    fn units(&self, frame: &Frame) -> u64 {
        let block = if frame.process == Process::Lossless { 1 } else { 8 };
        let most = |side: fn(&Component) -> u32| frame.components.iter().map(side).max().unwrap_or(1);
        let (h, v) = (most(|c| c.horizontal), most(|c| c.vertical));
        let (width, height) = match self.components.as_slice() {
            [one] => {
                let component = frame.components[*one];
                let width = (frame.width * component.horizontal).div_ceil(h);
                let height = (frame.height * component.vertical).div_ceil(v);
                (width.div_ceil(block), height.div_ceil(block))
            }
            _ => (frame.width.div_ceil(block * h), frame.height.div_ceil(block * v)),
        };
        u64::from(width) * u64::from(height)
    }
}

/// A progressive picture that is cut between two scans lacks the last bits of some coefficients.
fn check_progress(progress: &[Progress]) -> Result<(), Flaw> {
    if progress.iter().flatten().any(|missing| *missing > 0) {
        return Err(Flaw::Truncated("JPEG whose last scans are missing"));
    }
    Ok(())
}

/// The picture with ones before its end marker, so that a decoder that needs more data than there are fails, and without
/// the metadata before its first scan, which a decoder may stumble over though it does not need them.
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

/// Whether the data of an APP14 segment say how colours are stored.
fn is_adobe(data: &[u8]) -> bool {
    data.starts_with(b"Adobe") && data.len() >= 12
}

fn one_line(error: impl std::fmt::Display) -> Flaw {
    // The decoders' messages may span lines; ours is one.
    Flaw::Damaged(format!("JPEG: {}", error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")))
}

/// The pixels in the colour space that `choose` picks, given the stored one.
fn pixels(bytes: &[u8], frame: &Frame, choose: impl FnOnce(ColorSpace) -> ColorSpace) -> Result<Vec<u8>, Flaw> {
    let copy = for_decoder(bytes, frame);
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(frame.width as usize)
        .set_max_height(frame.height as usize);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&copy), options);
    decoder.decode_headers().map_err(one_line)?;
    let stored = decoder.input_colorspace().ok_or_else(|| damaged("without colours"))?;
    let chosen = choose(stored);
    decoder.set_options(options.jpeg_set_out_colorspace(chosen));
    let pixels = decoder.decode().map_err(one_line)?;
    let wanted = frame.width as usize * frame.height as usize * chosen.num_components();
    if pixels.len() == wanted { Ok(pixels) } else { Err(damaged("with fewer pixels than its header promises")) }
}

/// The pixels of a grey JPEG.
pub(super) fn luma(bytes: &[u8], frame: &Frame) -> Result<Vec<u8>, Flaw> {
    pixels(bytes, frame, |_| ColorSpace::Luma)
}

/// The pixels of a JPEG of three components, and whether they are RGB; else they are YCbCr. With `raw`, the samples as
/// they are stored, said to be RGB.
pub(super) fn colour(bytes: &[u8], frame: &Frame, raw: bool) -> Result<(Vec<u8>, bool), Flaw> {
    let mut is_rgb = true;
    let pixels = pixels(bytes, frame, |stored| {
        is_rgb = raw || stored != ColorSpace::YCbCr;
        // zune-jpeg calls three components CMYK where Adobe's marker says that they are not transformed.
        if stored == ColorSpace::YCbCr { stored } else { ColorSpace::RGB }
    })?;
    Ok((pixels, is_rgb))
}

/// The pixels of a JPEG of any colours as RGB.
pub(super) fn rgb(bytes: &[u8], frame: &Frame) -> Result<Vec<u8>, Flaw> {
    pixels(bytes, frame, |_| ColorSpace::RGB)
}

/// The samples of a lossless JPEG as they are stored, and how many bytes each has, in the machine's own order.
pub(super) fn lossless(bytes: &[u8], frame: &Frame) -> Result<(Vec<u8>, usize), Flaw> {
    // The decoder needs up to 12 bytes for each.
    const MAX_SAMPLES: u64 = 40_000_000;
    let samples = u64::from(frame.width) * u64::from(frame.height) * frame.components.len() as u64;
    if samples > MAX_SAMPLES {
        return Err(Flaw::Unsupported("lossless JPEG of more than 40 million samples".to_owned()));
    }
    if frame.components.iter().any(|component| (component.horizontal, component.vertical) != (1, 1)) {
        return Err(Flaw::Unsupported("lossless JPEG with components of several sizes".to_owned()));
    }
    let copy = for_decoder(bytes, frame);
    let mut decoder = jpeg_decoder::Decoder::new(copy.as_slice());
    decoder.set_color_transform(jpeg_decoder::ColorTransform::None);
    let pixels = decoder.decode().map_err(one_line)?;
    let bytes_each = if frame.precision == 8 { 1 } else { 2 };
    if pixels.len() as u64 == samples * bytes_each {
        Ok((pixels, bytes_each as usize))
    } else {
        Err(damaged("with fewer pixels than its header promises"))
    }
}

/// The EXIF data of a JPEG, if it has some.
pub(super) fn exif(bytes: &[u8]) -> Option<&[u8]> {
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
            (with_frame_byte(4, 12), "JPEG of 12 bits"),
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
