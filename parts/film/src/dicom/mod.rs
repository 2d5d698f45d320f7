//! DICOM films: the header, and the pixels as a viewer would show them.
//!
//! Structure as in PS3.10 and PS3.5, values read by dicom-rs, pixels rendered by PS3.3 C.11. Decoded are native,
//! deflated, RLE, JPEG (8 bits, and lossless to 16) and JPEG 2000 films of one frame; all else is refused by name.

mod dataset;
mod frame;
mod jpeg2000;
mod reader;
mod table;
mod tags;
mod window;

use std::io::Read;
use std::path::Path;

use dicom_object::InMemDicomObject;
use image::GrayImage;

use crate::error::{Error, Result, failure};
use crate::flaw::{Flaw, Format, Header, check_size};
use crate::read::MAX_BYTES;
use dataset::DataSet;
pub(crate) use dataset::is_dicom;
use tags::Codec;

/// What a DICOM file says about its film, from everything before the pixel data. Text is trimmed; absent where the file
/// leaves it out or empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DicomHeader {
    /// Patient ID, (0010,0020).
    pub patient: Option<String>,
    /// Study Instance UID, (0020,000D).
    pub study: Option<String>,
    /// Accession Number, (0008,0050), by which the archive knows the study.
    pub accession: Option<String>,
    /// Series Instance UID, (0020,000E).
    pub series: Option<String>,
    /// SOP Instance UID, (0008,0018): the film itself.
    pub instance: Option<String>,
    /// Body Part Examined, (0018,0015), such as `HUMERUS`.
    pub part: Option<String>,
    /// View Position, (0018,5101), such as `AP`.
    pub view: Option<String>,
    /// Image Laterality, (0020,0062), or else Laterality, (0020,0060): `L`, `R`, `B` or `U`.
    pub laterality: Option<String>,
    /// Modality, (0008,0060), such as `DX` or `CR`.
    pub modality: Option<String>,
    /// Photometric Interpretation, (0028,0004), such as `MONOCHROME1`.
    pub photometric: String,
    /// Height in pixels, at least 1.
    pub rows: u32,
    /// Width in pixels, at least 1.
    pub columns: u32,
    /// Number of Frames, at least 1; [`decode`](crate::decode()) takes films of one.
    pub frames: u32,
}

/// Reads what a DICOM file says about its film, without its pixels.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Decode`] if it is no DICOM file with an image or is damaged
/// before its pixel data.
pub fn dicom_header(path: impl AsRef<Path>) -> Result<DicomHeader> {
    /// Headers are shorter than this but for private data and embedded thumbnails.
    const FIRST: u64 = 256 << 10;
    let path = path.as_ref();
    let mut file = files::regular::open(path).map_err(Error::io(path))?;
    let mut bytes = Vec::new();
    loop {
        let more = FIRST.max(3 * bytes.len() as u64);
        let read = (&mut file).take(more).read_to_end(&mut bytes).map_err(Error::io(path))?;
        match header(&bytes) {
            // Cut by us, not by the file.
            Err(Flaw::Truncated(_) | Flaw::Unsupported(_))
                if read as u64 == more && bytes.len() < MAX_BYTES as usize => {}
            result => return result.map_err(|flaw| Error::Decode { path: path.to_owned(), source: failure(flaw) }),
        }
    }
}

fn header(bytes: &[u8]) -> Result<DicomHeader, Flaw> {
    let dataset = DataSet::read(bytes)?;
    let text = |tag| {
        let element = dataset.attributes.get(dataset::tag(tag))?;
        let text = element.to_multi_str().ok()?.join("\\");
        let text = text.trim_matches([' ', '\0', '\t', '\r', '\n']).to_owned();
        (!text.is_empty()).then_some(text)
    };
    let (rows, columns, frames) = size(&dataset.attributes)?;
    Ok(DicomHeader {
        patient: text(tags::PATIENT_ID),
        study: text(tags::STUDY_INSTANCE),
        accession: text(tags::ACCESSION),
        series: text(tags::SERIES_INSTANCE),
        instance: text(tags::SOP_INSTANCE),
        part: text(tags::BODY_PART),
        view: text(tags::VIEW_POSITION),
        laterality: text(tags::IMAGE_LATERALITY).or_else(|| text(tags::LATERALITY)),
        modality: text(tags::MODALITY),
        photometric: text(tags::PHOTOMETRIC).unwrap_or_default(),
        rows,
        columns,
        frames,
    })
}

/// What the samples of a pixel are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PhotometricInterpretation {
    Monochrome,
    Rgb,
    /// YBR_FULL.
    Ybr,
    /// YBR_FULL_422 that is not compressed: two pixels share their colour.
    Ybr422,
    Palette,
}

/// How the pixels are to be decoded, checked.
#[derive(Debug, Clone)]
struct DecodePlan {
    codec: Codec,
    rows: u32,
    columns: u32,
    samples: usize,
    photometric: PhotometricInterpretation,
    is_monochrome1: bool,
    is_planar: bool,
    /// Bits of a sample in the file: 1, 8, 16 or 32.
    allocated: u16,
    /// Bits that count, at most as many.
    stored: u16,
    /// Bits below them.
    shift: u16,
    is_signed: bool,
}

fn integer(attributes: &InMemDicomObject, tag: (u16, u16)) -> Option<u32> {
    attributes.get(dataset::tag(tag))?.to_multi_int().ok()?.first().copied()
}

/// Photometric Interpretation, which must be there and in capitals: a guess could turn white to black.
fn photometric_name(attributes: &InMemDicomObject) -> Result<String, Flaw> {
    let name = attributes.get(dataset::tag(tags::PHOTOMETRIC)).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let name: String = name.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
    let name = name.trim().to_owned();
    if name.is_empty() {
        let meaning = "so that it does not say whether 0 is black or white";
        return Err(Flaw::Damaged(format!("DICOM without a photometric interpretation, {meaning}")));
    }
    let capitals = name.to_ascii_uppercase();
    if name != capitals {
        let (name, capitals) = (window::shortened(&name), window::shortened(&capitals));
        let message = format!("DICOM with photometric interpretation {name:?}, expected capitals as in {capitals:?}");
        return Err(Flaw::Damaged(message));
    }
    Ok(name)
}

/// Rows, columns and frames; all at least 1.
fn size(attributes: &InMemDicomObject) -> Result<(u32, u32, u32), Flaw> {
    let missing = |what: &str| Flaw::Damaged(format!("DICOM without the number of its {what}"));
    let rows: u32 = integer(attributes, tags::ROWS).filter(|n| *n > 0).ok_or_else(|| missing("rows"))?;
    let columns: u32 = integer(attributes, tags::COLUMNS).filter(|n| *n > 0).ok_or_else(|| missing("columns"))?;
    // Some writers leave the element empty or 0 for a single frame.
    let frames = match attributes.get(dataset::tag(tags::FRAMES)).and_then(|element| element.to_str().ok()) {
        None => 1,
        Some(text) => match text.trim_matches([' ', '\0']) {
            "" => 1,
            number => number.parse::<u32>().map_err(|_| missing("frames"))?.max(1),
        },
    };
    Ok((rows, columns, frames))
}

impl DecodePlan {
    fn of(dataset: &DataSet<'_>) -> Result<DecodePlan, Flaw> {
        let attributes = &dataset.attributes;
        let codec = frame::codec(&dataset.syntax)?;
        let (rows, columns, frames) = size(attributes)?;
        check_size(columns, rows)?;
        if frames > 1 {
            return Err(Flaw::Unsupported(format!("DICOM of {frames} frames; humerus takes single films")));
        }
        let samples = integer(attributes, tags::SAMPLES_PER_PIXEL).unwrap_or(1);
        let name = photometric_name(attributes)?;
        let photometric = match (name.as_str(), samples, codec) {
            ("MONOCHROME1" | "MONOCHROME2", 1, _) => PhotometricInterpretation::Monochrome,
            ("PALETTE COLOR", 1, _) => PhotometricInterpretation::Palette,
            ("RGB", 3, _) => PhotometricInterpretation::Rgb,
            ("YBR_FULL", 3, _) | ("YBR_FULL_422", 3, Codec::Jpeg) => PhotometricInterpretation::Ybr,
            ("YBR_FULL_422", 3, Codec::Native) => PhotometricInterpretation::Ybr422,
            ("YBR_RCT" | "YBR_ICT", 3, Codec::Jpeg2000) => PhotometricInterpretation::Rgb,
            _ => {
                let name = window::shortened(&name);
                return Err(Flaw::Unsupported(format!("DICOM with pixels of {samples} samples in {name:?}")));
            }
        };
        let word = |tag| integer(attributes, tag).and_then(|value| u16::try_from(value).ok());
        let allocated = word(tags::BITS_ALLOCATED).unwrap_or(0);
        let stored = word(tags::BITS_STORED).unwrap_or(allocated);
        let high = word(tags::HIGH_BIT).unwrap_or(stored.saturating_sub(1));
        let is_depth = matches!(allocated, 1 | 8 | 16 | 32) && (1..=allocated).contains(&stored);
        if !is_depth || !(stored - 1..allocated).contains(&high) {
            return Err(Flaw::Unsupported(format!(
                "DICOM with pixels of {allocated} bits, {stored} of them stored up to bit {high}"
            )));
        }
        if matches!(codec, Codec::Jpeg | Codec::Jpeg2000) && high != stored - 1 {
            return Err(Flaw::Unsupported(format!("compressed DICOM with {stored} bits stored up to bit {high}")));
        }
        let flag = |tag, name: &str| match word(tag) {
            None | Some(0) => Ok(false),
            Some(1) => Ok(true),
            Some(other) => Err(Flaw::Damaged(format!("DICOM with {name} {other}, expected 0 or 1"))),
        };
        let is_signed = flag(tags::PIXEL_REPRESENTATION, "pixel representation")?;
        let is_planar = samples == 3 && flag(tags::PLANAR, "planar configuration")?;
        let is_ybr = matches!(photometric, PhotometricInterpretation::Ybr | PhotometricInterpretation::Ybr422);
        if (is_ybr && stored != 8) || (samples == 3 && stored < 8) {
            return Err(Flaw::Unsupported(format!("DICOM with colours of {stored} bits")));
        }
        if samples == 3 && is_signed {
            return Err(Flaw::Unsupported("DICOM with colours of signed numbers".to_owned()));
        }
        if photometric == PhotometricInterpretation::Ybr422 && (allocated != 8 || columns % 2 == 1 || is_planar) {
            return Err(Flaw::Damaged(format!(
                "DICOM in YBR_FULL_422 of {columns} columns and {allocated} bits{}, expected pairs of pixels of 8 bits",
                if is_planar { " in planes" } else { "" }
            )));
        }
        Ok(DecodePlan {
            codec,
            rows,
            columns,
            samples: samples as usize,
            photometric,
            is_monochrome1: name == "MONOCHROME1",
            is_planar,
            allocated,
            stored,
            shift: high + 1 - stored,
            is_signed,
        })
    }

    fn pixels(&self) -> usize {
        self.rows as usize * self.columns as usize
    }

    /// Bytes of the film when it is not compressed.
    fn native_bytes(&self) -> usize {
        match (self.allocated, self.photometric) {
            (1, _) => (self.pixels() * self.samples).div_ceil(8),
            (_, PhotometricInterpretation::Ybr422) => 2 * self.pixels(),
            (bits, _) => self.pixels() * self.samples * usize::from(bits) / 8,
        }
    }

    /// The bits that count.
    fn mask(&self, sample: u32) -> u32 {
        sample >> self.shift & (u32::MAX >> (32 - self.stored))
    }

    /// The lowest and the highest value that a sample can stand for.
    fn range(&self) -> table::Range {
        let values = f64::from(self.stored).exp2();
        if self.is_signed { (-values / 2.0, values / 2.0 - 1.0) } else { (0.0, values - 1.0) }
    }

    /// The value that a padding element stands for, which has 16 bits or as many as are stored; none that no sample can
    /// have.
    fn padding(&self, bits: u16) -> Option<i64> {
        let (low, high) = self.range();
        let is_met = |value: &i64| (low..=high).contains(&(*value as f64));
        let sixteen = if self.is_signed { i64::from(bits as i16) } else { i64::from(bits) };
        let is_stored = u32::from(bits).checked_shr(self.stored.into()).unwrap_or(0) == 0;
        let stored = || is_stored.then(|| self.value(u32::from(bits) << self.shift));
        Some(sixteen).filter(is_met).or_else(stored)
    }

    /// The value that a sample stands for.
    fn value(&self, sample: u32) -> i64 {
        let unused = 64 - u32::from(self.stored);
        let bits = i64::from(self.mask(sample)) << unused;
        if self.is_signed { bits >> unused } else { ((bits as u64) >> unused) as i64 }
    }
}

/// Checks a DICOM file without decoding its pixels.
pub(super) fn inspect(bytes: &[u8]) -> Result<Header, Flaw> {
    let dataset = DataSet::read(bytes)?;
    let plan = DecodePlan::of(&dataset)?;
    match plan.photometric {
        PhotometricInterpretation::Monochrome => drop(window::Pipeline::of(&dataset.attributes, &plan)?),
        PhotometricInterpretation::Palette => drop(window::Palette::of(&dataset.attributes, &plan)?),
        PhotometricInterpretation::Rgb | PhotometricInterpretation::Ybr | PhotometricInterpretation::Ybr422 => {}
    }
    frame::check(&plan, &dataset.pixel_data()?)?;
    Ok(Header { format: Format::Dicom, width: plan.columns, height: plan.rows })
}

/// The film as a viewer would show it, 8-bit grey, and whether its look-up table declares other bits than it holds.
pub(super) fn decode(bytes: &[u8]) -> Result<(GrayImage, bool), Flaw> {
    let dataset = DataSet::read(bytes)?;
    let plan = DecodePlan::of(&dataset)?;
    let frame = frame::decode(&plan, dataset.big, dataset.pixel_data()?)?;
    if frame.photometric == PhotometricInterpretation::Monochrome {
        let pipeline = window::Pipeline::of(&dataset.attributes, &plan)?;
        return Ok((window::monochrome(&plan, &frame, &pipeline), pipeline.is_doubtful));
    }
    Ok((window::colour(&plan, &frame, &dataset.attributes)?, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A data element of explicit VR little endian.
    fn element(tag: (u16, u16), vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
        let mut bytes = [tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat();
        bytes.extend_from_slice(vr);
        if vr == b"OW" {
            bytes.extend_from_slice(&[0, 0]);
            bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        } else {
            bytes.extend_from_slice(&(value.len() as u16).to_le_bytes());
        }
        bytes.extend_from_slice(value);
        bytes
    }

    /// A film of four pixels in a row, of 16 bits, with more elements in the order of their tags.
    fn film(syntax: &str, numbers: [u16; 4], more: &[Vec<u8>], pixels: [u16; 4]) -> Vec<u8> {
        let [stored, high, sign, frames] = numbers;
        let short = |tag, value: u16| element(tag, b"US", &value.to_le_bytes());
        let mut file = [vec![0; 128], b"DICM".to_vec(), element((2, 0x10), b"UI", syntax.as_bytes())].concat();
        file.extend(element(tags::PHOTOMETRIC, b"CS", b"MONOCHROME2 "));
        file.extend(element(tags::FRAMES, b"IS", format!("{frames:2}").as_bytes()));
        file.extend(short(tags::ROWS, 1));
        file.extend(short(tags::COLUMNS, 4));
        file.extend(short(tags::BITS_ALLOCATED, 16));
        file.extend(short(tags::BITS_STORED, stored));
        file.extend(short(tags::HIGH_BIT, high));
        file.extend(short(tags::PIXEL_REPRESENTATION, sign));
        file.extend(more.concat());
        file.extend(element((0x7fe0, 0x10), b"OW", &pixels.map(u16::to_le_bytes).concat()));
        file
    }

    const EXPLICIT: &str = "1.2.840.10008.1.2.1\0";

    #[test]
    fn only_the_stored_bits_below_the_high_bit_count() {
        let unsigned = film(EXPLICIT, [12, 15, 0, 1], &[], [0x000f, 0x0aaf, 0xfff0, 0x7ff0]);
        assert_eq!(decode(&unsigned).unwrap().0.as_raw(), &[0, 11, 255, 127]);
        let low = film(EXPLICIT, [12, 11, 0, 1], &[], [0xf000, 0xf0aa, 0x0fff, 0xf7ff]);
        assert_eq!(decode(&low).unwrap().0.as_raw(), &[0, 11, 255, 127]);
        let signed = film(EXPLICIT, [12, 15, 1, 1], &[], [0x8000, 0x8aa0, 0x7ff0, 0xfff0]);
        assert_eq!(decode(&signed).unwrap().0.as_raw(), &[0, 11, 255, 127]);
    }

    #[test]
    fn several_frames_and_foreign_transfer_syntaxes_are_refused_by_name() {
        let message = |file: &[u8]| inspect(file).unwrap_err().to_string();
        let frames = message(&film(EXPLICIT, [16, 15, 0, 12], &[], [0; 4]));
        assert_eq!(frames, "not supported: DICOM of 12 frames; humerus takes single films");
        let movie = message(&film("1.2.840.10008.1.2.4.102\0", [16, 15, 0, 1], &[], [0; 4]));
        assert!(movie.starts_with("not supported: DICOM in MPEG-4"), "{movie}");
        let unknown = message(&film("1.2.3.4\0", [16, 15, 0, 1], &[], [0; 4]));
        assert_eq!(unknown, "not supported: DICOM in transfer syntax 1.2.3.4");
    }

    #[test]
    fn a_file_cut_anywhere_is_never_taken_for_whole() {
        let window = [element(tags::WINDOW_CENTRE, b"DS", b"50"), element(tags::WINDOW_WIDTH, b"DS", b"40")];
        let file = film(EXPLICIT, [16, 15, 0, 1], &window, [1, 40, 50, 90]);
        assert_eq!(decode(&file).unwrap().0.as_raw(), &[0, 65, 131, 255]);
        for length in 0..file.len() {
            assert!(inspect(&file[..length]).is_err() && decode(&file[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_value_far_longer_than_the_file_is_not_waited_for() {
        let mut file = film(EXPLICIT, [16, 15, 0, 1], &[], [0; 4]);
        let at = file.len() - 12;
        file[at..at + 4].copy_from_slice(&0xffff_fff0_u32.to_le_bytes());
        assert_eq!(inspect(&file), Err(Flaw::Truncated("DICOM that stops inside its pixel data")));
    }

    #[test]
    fn sequences_without_end_and_without_bottom_are_refused() {
        let open = [0x11, 0, 0x11, 0, b'S', b'Q', 0, 0, 0xff, 0xff, 0xff, 0xff];
        let item = [0xfe, 0xff, 0, 0xe0, 0xff, 0xff, 0xff, 0xff];
        let file = film(EXPLICIT, [16, 15, 0, 1], &[[open.as_slice(), &item].concat().repeat(5000)], [0; 4]);
        assert!(matches!(inspect(&file), Err(Flaw::Damaged(how)) if how.contains("deep")));
    }
}
