//! A file's bytes to 8-bit grey pixels.
//!
//! PNG goes through `image`. JPEG does not: `image` sets its decoder to be lenient, and then a damaged film ends in
//! flat grey without an error.

use std::io::Cursor;
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageError, ImageFormat, ImageReader, Limits};

use crate::container::{inspect, png_exif};
use crate::error::{Error, Result, failure};
use crate::flaw::{Flaw, Format, MAX_PIXELS};
use crate::greys::{self, Doubt};
use crate::luma::{eight_bits, luma_of_rgb, luma8, luma16};
use crate::read::read;
use crate::{dicom, jpeg};

/// The pixels of a PNG, JPEG or DICOM file as 8-bit grey, turned upright as its EXIF orientation asks.
///
/// A DICOM film is rendered as a viewer shows it first: modality and VOI transformation, or from the lowest to the
/// highest value where the file names none; MONOCHROME1 inverted, so that bone is bright; padding black (PS3.3 C.11).
///
/// Colour becomes grey by ITU-R BT.601 luma, as Pillow's mode `L` does it; 16 bits become 8 by rounding `v / 257`;
/// transparency is dropped; a palette is looked up first.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Decode`] if it is not a whole PNG, JPEG or DICOM film of one
/// frame, is damaged, of a kind that is not decoded, or has more than 40 million pixels.
pub fn decode(path: impl AsRef<Path>) -> Result<GrayImage> {
    let path = path.as_ref();
    let bytes = read(path).map_err(Error::io(path))?;
    decode_bytes(&bytes).map_err(|source| Error::Decode { path: path.to_owned(), source })
}

/// [`decode`], and what is doubtful about the greys: see [`Doubt`].
///
/// # Errors
/// As [`decode`].
pub fn examine(path: impl AsRef<Path>) -> Result<(GrayImage, Vec<Doubt>)> {
    let path = path.as_ref();
    let bytes = read(path).map_err(Error::io(path))?;
    let examined = decode_with_doubt(&bytes).map(|(film, table)| {
        let doubts = table.into_iter().chain(greys::doubt(&film)).collect();
        (film, doubts)
    });
    examined.map_err(|source| Error::Decode { path: path.to_owned(), source })
}

/// [`decode`] for bytes already in memory.
fn decode_bytes(bytes: &[u8]) -> Result<GrayImage, ImageError> {
    decode_with_doubt(bytes).map(|(film, _)| film)
}

/// The film, and what its file says that is doubtful.
fn decode_with_doubt(bytes: &[u8]) -> Result<(GrayImage, Option<Doubt>), ImageError> {
    let mut doubt = None;
    let (grey, orientation) = match inspect(bytes).map_err(failure)?.format {
        Format::Jpeg => decode_jpeg(bytes).map_err(failure)?,
        Format::Png => decode_png(bytes)?,
        Format::Dicom => {
            let (grey, is_doubtful) = dicom::decode(bytes).map_err(failure)?;
            doubt = is_doubtful.then_some(Doubt::LookUpTable);
            (grey, Orientation::NoTransforms)
        }
    };
    let mut upright = DynamicImage::ImageLuma8(grey);
    upright.apply_orientation(orientation);
    Ok((upright.into_luma8(), doubt))
}

fn decode_png(bytes: &[u8]) -> Result<(GrayImage, Orientation), ImageError> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), ImageFormat::Png);
    let mut limits = Limits::default();
    limits.max_alloc = Some(8 * MAX_PIXELS);
    reader.limits(limits);
    let decoder = reader.into_decoder()?;
    // Not the decoder's, which has not seen what stands after the pixels.
    let orientation = orientation(png_exif(bytes));
    Ok((grey(DynamicImage::from_decoder(decoder)?), orientation))
}

fn decode_jpeg(bytes: &[u8]) -> Result<(GrayImage, Orientation), Flaw> {
    let frame = jpeg::inspect(bytes)?;
    let orientation = orientation(jpeg::exif(bytes));
    let pixels = if frame.components.len() == 1 {
        jpeg::samples(bytes, &frame)?.0
    } else {
        luma_of_rgb(&jpeg::rgb(bytes, &frame)?)
    };
    let film = GrayImage::from_raw(frame.width, frame.height, pixels).expect("the number of pixels was checked");
    Ok((film, orientation))
}

/// How EXIF data ask a picture to be turned; a wrong value asks for nothing.
fn orientation(exif: Option<&[u8]>) -> Orientation {
    exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms)
}

fn grey(picture: DynamicImage) -> GrayImage {
    let (width, height) = (picture.width(), picture.height());
    let pixels: Vec<u8> = match picture {
        DynamicImage::ImageLuma8(film) => return film,
        DynamicImage::ImageLumaA8(film) => film.pixels().map(|p| p.0[0]).collect(),
        DynamicImage::ImageRgb8(film) => film.pixels().map(|p| luma8(p.0[0], p.0[1], p.0[2])).collect(),
        DynamicImage::ImageRgba8(film) => film.pixels().map(|p| luma8(p.0[0], p.0[1], p.0[2])).collect(),
        DynamicImage::ImageLuma16(film) => film.pixels().map(|p| eight_bits(p.0[0])).collect(),
        DynamicImage::ImageLumaA16(film) => film.pixels().map(|p| eight_bits(p.0[0])).collect(),
        DynamicImage::ImageRgb16(film) => film.pixels().map(|p| luma16(p.0[0], p.0[1], p.0[2])).collect(),
        DynamicImage::ImageRgba16(film) => film.pixels().map(|p| luma16(p.0[0], p.0[1], p.0[2])).collect(),
        other => return other.into_luma8(),
    };
    GrayImage::from_raw(width, height, pixels).expect("one byte was made for each pixel")
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageBuffer, Luma};

    fn film() -> GrayImage {
        GrayImage::from_fn(64, 48, |x, y| Luma([((x * x + 3 * y * y) % 251) as u8]))
    }

    fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn sixteen_bits_round_to_eight_and_full_scale_stays_white() {
        assert_eq!([0, 128, 129, 257, 32768, 65535].map(eight_bits), [0, 0, 1, 1, 128, 255]);
        let deep = ImageBuffer::from_fn(64, 48, |x, y| Luma([u16::from(film().get_pixel(x, y).0[0]) * 257]));
        let bytes = encoded(&DynamicImage::ImageLuma16(deep), ImageFormat::Png);
        assert_eq!(decode_bytes(&bytes).unwrap(), film());
    }

    #[test]
    fn the_tables_give_the_luma_of_every_colour() {
        let levels = [0, 1, 2, 54, 127, 128, 199, 254, 255];
        let colours = levels.iter().flat_map(|&r| levels.iter().flat_map(move |&g| levels.map(|b| [r, g, b])));
        for [r, g, b] in colours {
            assert_eq!(luma_of_rgb(&[r, g, b]), [luma8(r, g, b)]);
        }
    }

    #[test]
    fn a_grey_picture_stored_as_colour_or_with_alpha_decodes_to_the_same_film() {
        let picture = DynamicImage::ImageLuma8(film());
        for stored in [
            DynamicImage::ImageLumaA8(picture.to_luma_alpha8()),
            DynamicImage::ImageRgb8(picture.to_rgb8()),
            DynamicImage::ImageRgba8(picture.to_rgba8()),
            DynamicImage::ImageRgb16(picture.to_rgb16()),
        ] {
            let bytes = encoded(&stored, ImageFormat::Png);
            assert_eq!(decode_bytes(&bytes).unwrap(), film(), "{:?}", stored.color());
        }
    }

    #[test]
    fn a_jpeg_with_impossible_data_is_an_error_not_grey() {
        let mut bytes = encoded(&DynamicImage::ImageLuma8(film()), ImageFormat::Jpeg);
        assert!(decode_bytes(&bytes).is_ok());
        // A run of ones is no Huffman code; 0xff is stored as 0xff00.
        let at = bytes.len() - 120;
        bytes[at..at + 8].copy_from_slice(&[0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0]);
        assert!(inspect(&bytes).is_ok(), "the container alone cannot tell");
        assert!(image::load_from_memory(&bytes).is_ok(), "set to be lenient, `image` does not tell");
        assert!(decode_bytes(&bytes).is_err());
    }

    #[test]
    fn damage_is_reported_in_one_line_with_the_files_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image1.png");
        let mut bytes = encoded(&DynamicImage::ImageLuma8(film()), ImageFormat::Png);
        bytes.truncate(bytes.len() - 20);
        std::fs::write(&path, &bytes).unwrap();
        let message = decode(&path).unwrap_err().to_string();
        assert!(message.contains("image1.png") && message.contains("truncated"), "{message}");
        assert_eq!(message.lines().count(), 1);
        let absent = decode(folder.path().join("image2.png")).unwrap_err();
        assert!(matches!(absent, Error::Io { .. }), "{absent}");
    }
}
