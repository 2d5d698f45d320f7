//! The elements that are read, PS3.6, and the transfer syntaxes by which pixel data are decoded, PS3.5 annex A.

use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};

type Tag = (u16, u16);

pub(super) const CHARACTER_SET: Tag = (0x0008, 0x0005);
pub(super) const SOP_INSTANCE: Tag = (0x0008, 0x0018);
pub(super) const ACCESSION: Tag = (0x0008, 0x0050);
pub(super) const MODALITY: Tag = (0x0008, 0x0060);
pub(super) const PATIENT_ID: Tag = (0x0010, 0x0020);
pub(super) const BODY_PART: Tag = (0x0018, 0x0015);
pub(super) const VIEW_POSITION: Tag = (0x0018, 0x5101);
pub(super) const STUDY_INSTANCE: Tag = (0x0020, 0x000d);
pub(super) const SERIES_INSTANCE: Tag = (0x0020, 0x000e);
pub(super) const LATERALITY: Tag = (0x0020, 0x0060);
pub(super) const IMAGE_LATERALITY: Tag = (0x0020, 0x0062);
pub(super) const SAMPLES_PER_PIXEL: Tag = (0x0028, 0x0002);
pub(super) const PHOTOMETRIC: Tag = (0x0028, 0x0004);
pub(super) const PLANAR: Tag = (0x0028, 0x0006);
pub(super) const FRAMES: Tag = (0x0028, 0x0008);
pub(super) const ROWS: Tag = (0x0028, 0x0010);
pub(super) const COLUMNS: Tag = (0x0028, 0x0011);
pub(super) const BITS_ALLOCATED: Tag = (0x0028, 0x0100);
pub(super) const BITS_STORED: Tag = (0x0028, 0x0101);
pub(super) const HIGH_BIT: Tag = (0x0028, 0x0102);
pub(super) const PIXEL_REPRESENTATION: Tag = (0x0028, 0x0103);
pub(super) const PADDING: Tag = (0x0028, 0x0120);
pub(super) const PADDING_LIMIT: Tag = (0x0028, 0x0121);
pub(super) const WINDOW_CENTRE: Tag = (0x0028, 0x1050);
pub(super) const WINDOW_WIDTH: Tag = (0x0028, 0x1051);
pub(super) const RESCALE_INTERCEPT: Tag = (0x0028, 0x1052);
pub(super) const RESCALE_SLOPE: Tag = (0x0028, 0x1053);
pub(super) const WINDOW_FUNCTION: Tag = (0x0028, 0x1056);
pub(super) const PALETTE_DESCRIPTORS: [Tag; 3] = [(0x0028, 0x1101), (0x0028, 0x1102), (0x0028, 0x1103)];
pub(super) const PALETTES: [Tag; 3] = [(0x0028, 0x1201), (0x0028, 0x1202), (0x0028, 0x1203)];
pub(super) const MODALITY_LUT_SEQUENCE: Tag = (0x0028, 0x3000);
pub(super) const LUT_DESCRIPTOR: Tag = (0x0028, 0x3002);
pub(super) const LUT_DATA: Tag = (0x0028, 0x3006);
pub(super) const VOI_LUT_SEQUENCE: Tag = (0x0028, 0x3010);
pub(super) const LUT_SHAPE: Tag = (0x2050, 0x0020);

/// Every element that is read, by tag, with its value representation; numbers that are US or SS are read as US, but for
/// descriptors of look-up tables.
pub(super) const WANTED: [(Tag, &[u8; 2]); 37] = [
    (CHARACTER_SET, b"CS"),
    (SOP_INSTANCE, b"UI"),
    (ACCESSION, b"SH"),
    (MODALITY, b"CS"),
    (PATIENT_ID, b"LO"),
    (BODY_PART, b"CS"),
    (VIEW_POSITION, b"CS"),
    (STUDY_INSTANCE, b"UI"),
    (SERIES_INSTANCE, b"UI"),
    (LATERALITY, b"CS"),
    (IMAGE_LATERALITY, b"CS"),
    (SAMPLES_PER_PIXEL, b"US"),
    (PHOTOMETRIC, b"CS"),
    (PLANAR, b"US"),
    (FRAMES, b"IS"),
    (ROWS, b"US"),
    (COLUMNS, b"US"),
    (BITS_ALLOCATED, b"US"),
    (BITS_STORED, b"US"),
    (HIGH_BIT, b"US"),
    (PIXEL_REPRESENTATION, b"US"),
    (PADDING, b"US"),
    (PADDING_LIMIT, b"US"),
    (WINDOW_CENTRE, b"DS"),
    (WINDOW_WIDTH, b"DS"),
    (RESCALE_INTERCEPT, b"DS"),
    (RESCALE_SLOPE, b"DS"),
    (WINDOW_FUNCTION, b"CS"),
    (PALETTE_DESCRIPTORS[0], b"US"),
    (PALETTE_DESCRIPTORS[1], b"US"),
    (PALETTE_DESCRIPTORS[2], b"US"),
    (PALETTES[0], b"OW"),
    (PALETTES[1], b"OW"),
    (PALETTES[2], b"OW"),
    (LUT_DESCRIPTOR, b"US"),
    (LUT_DATA, b"OW"),
    (LUT_SHAPE, b"CS"),
];

/// Whether an element describes a look-up table.
pub(super) fn is_descriptor(tag: Tag) -> bool {
    tag == LUT_DESCRIPTOR || PALETTE_DESCRIPTORS.contains(&tag)
}

pub(super) const EXPLICIT_BIG: &str = "1.2.840.10008.1.2.2";

/// How pixel data are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Native,
    Rle,
    /// Any process of JPEG; the frame header says which.
    Jpeg,
    Jpeg2000,
}

/// The codec of a transfer syntax, if it is one that can be decoded here.
pub(super) fn codec(syntax: &str) -> Option<Codec> {
    match syntax.strip_prefix("1.2.840.10008.1.2").unwrap_or(syntax) {
        // Implicit, explicit little and big endian, deflated, encapsulated uncompressed.
        "" | ".1" | ".2" | ".1.99" | ".1.98" => Some(Codec::Native),
        ".5" => Some(Codec::Rle),
        ".4.50" | ".4.51" | ".4.57" | ".4.70" => Some(Codec::Jpeg),
        ".4.90" | ".4.91" => Some(Codec::Jpeg2000),
        _ => None,
    }
}

/// Whether the data set itself is deflated.
pub(super) fn is_deflated(syntax: &str) -> bool {
    syntax == "1.2.840.10008.1.2.1.99"
}

/// A transfer syntax as a reader knows it.
pub(super) fn name(syntax: &str) -> String {
    match TransferSyntaxRegistry.get(syntax) {
        Some(known) => known.name().to_owned(),
        None => {
            format!("transfer syntax {}", syntax.chars().filter(|c| c.is_ascii_graphic()).take(64).collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_wanted_elements_are_in_order_so_that_they_can_be_searched() {
        assert!(super::WANTED.is_sorted_by(|a, b| a.0 < b.0));
    }
}
