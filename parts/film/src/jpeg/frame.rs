//! The frame header, T.81 B.2.2: process, size, components, and what their samples are.

use super::{Flaw, damaged};
use crate::flaw::check_size;

/// The coding processes of T.81 that are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Process {
    /// Baseline or extended sequential, Huffman-coded.
    Sequential,
    /// Progressive, Huffman-coded.
    Progressive,
    /// Lossless, Huffman-coded; in DICOM files alone.
    Lossless,
}

/// What the samples of a pixel are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    Grey,
    Rgb,
    Ybr,
    Cmyk,
    Ycck,
}

/// A component of the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Component {
    pub(super) id: u8,
    pub(super) horizontal: u32,
    pub(super) vertical: u32,
    /// The number of its quantisation table.
    pub(super) quant: u8,
}

/// What the frame header and what follows it say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub process: Process,
    /// Bits of a sample.
    pub precision: u8,
    pub width: u32,
    pub height: u32,
    pub components: Vec<Component>,
    /// How Adobe's marker says that colours are stored, if it does.
    pub adobe: Option<u8>,
    pub colour: Colour,
    pub(super) scans: usize,
    /// Whether the number of lines is said again after a scan.
    pub(super) has_lines: bool,
    /// Where the end marker stands.
    pub(super) end: usize,
}

impl Frame {
    /// The largest sampling factors.
    pub(super) fn most(&self) -> (u32, u32) {
        let most = |side: fn(&Component) -> u32| self.components.iter().map(side).max().unwrap_or(1);
        (most(|c| c.horizontal), most(|c| c.vertical))
    }

    /// A component's own width and height, A.1.1.
    pub(super) fn size_of(&self, component: &Component) -> (u32, u32) {
        let (h, v) = self.most();
        ((self.width * component.horizontal).div_ceil(h), (self.height * component.vertical).div_ceil(v))
    }

    /// What the samples are, as libjpeg guesses it.
    pub(super) fn guessed_colour(&self, is_jfif: bool) -> Colour {
        let ids: Vec<u8> = self.components.iter().map(|component| component.id).collect();
        match (ids.as_slice(), self.adobe) {
            ([_], _) => Colour::Grey,
            ([_, _, _], _) if is_jfif => Colour::Ybr,
            ([_, _, _], Some(0)) => Colour::Rgb,
            ([_, _, _], Some(_)) => Colour::Ybr,
            (b"RGB", None) => Colour::Rgb,
            ([_, _, _], None) => Colour::Ybr,
            (_, None | Some(0)) => Colour::Cmyk,
            _ => Colour::Ycck,
        }
    }

    /// Reads the header behind `marker`.
    pub(super) fn read(marker: u8, segment: &[u8]) -> Result<Frame, Flaw> {
        let &[precision, h1, h0, w1, w0, count, ref rest @ ..] = segment else {
            return Err(damaged("frame header too short"));
        };
        let unsupported = |what: &str| Err(Flaw::Unsupported(format!("{what} JPEG")));
        let process = match marker {
            0xc0 | 0xc1 => Process::Sequential,
            0xc2 => Process::Progressive,
            0xc3 => Process::Lossless,
            0xc5..=0xc7 | 0xcd..=0xcf => return unsupported("hierarchical"),
            0xf7 => return Err(Flaw::Unsupported("JPEG-LS".to_owned())),
            _ => return unsupported("arithmetic-coded"),
        };
        match (process, precision) {
            (Process::Lossless, 2..=16) | (_, 8..=12) => {}
            _ => return Err(Flaw::Unsupported(format!("JPEG of {precision} bits"))),
        }
        let (width, height) = (u32::from(u16::from_be_bytes([w1, w0])), u32::from(u16::from_be_bytes([h1, h0])));
        if height == 0 {
            return Err(Flaw::Unsupported("JPEG whose height follows its first scan".to_owned()));
        }
        check_size(width, height)?;
        let component = |three: &[u8]| Component {
            id: three[0],
            horizontal: u32::from(three[1] >> 4),
            vertical: u32::from(three[1] & 15),
            quant: three[2],
        };
        let components: Vec<Component> = rest.chunks_exact(3).take(count.into()).map(component).collect();
        let is_sampling = |c: &Component| (1..=4).contains(&c.horizontal) && (1..=4).contains(&c.vertical);
        if components.len() != usize::from(count) || !matches!(count, 1 | 3 | 4) || !components.iter().all(is_sampling)
        {
            return Err(damaged(&format!("with {count} components that make no picture")));
        }
        let (adobe, colour, scans, has_lines, end) = (None, Colour::Grey, 0, false, 0);
        let frame = Frame { process, precision, width, height, components, adobe, colour, scans, has_lines, end };
        let (h, v) = frame.most();
        if frame.components.iter().any(|c| h % c.horizontal > 0 || v % c.vertical > 0) {
            return Err(Flaw::Unsupported("JPEG whose components have sizes of no whole ratio".to_owned()));
        }
        Ok(frame)
    }
}

/// Whether the data of an APP14 segment say how colours are stored.
pub(super) fn is_adobe(data: &[u8]) -> bool {
    data.starts_with(b"Adobe") && data.len() >= 12
}
