//! Is the file a whole PNG, JPEG or DICOM film? Answered from its container alone, without decoding a pixel.
//!
//! PNG: ISO/IEC 15948, chunks from `IHDR` to `IEND`. JPEG: see [`super::jpeg`]. DICOM: see [`super::dicom`].

use crate::flaw::{Flaw, Format, Header, check_size};
use crate::{dicom, jpeg};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Checks a file's bytes from the first marker to the last.
///
/// # Errors
/// The [`Flaw`], if the bytes are not one whole PNG, JPEG or DICOM film of 1 to [`MAX_PIXELS`](crate::MAX_PIXELS)
/// pixels.
pub fn inspect(bytes: &[u8]) -> Result<Header, Flaw> {
    let header = if bytes.is_empty() {
        return Err(Flaw::Empty);
    } else if bytes.starts_with(PNG) {
        inspect_png(&bytes[PNG.len()..])?
    } else if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
        let frame = jpeg::inspect(bytes)?;
        if frame.process == jpeg::Process::Lossless {
            return Err(Flaw::Unsupported("lossless JPEG outside of DICOM".to_owned()));
        }
        if frame.precision > 8 {
            return Err(Flaw::Unsupported(format!("JPEG of {} bits outside of DICOM", frame.precision)));
        }
        Header { format: Format::Jpeg, width: frame.width, height: frame.height }
    } else if PNG.starts_with(bytes) || [0xff, 0xd8].starts_with(bytes) {
        return Err(Flaw::Truncated("only the signature is left"));
    } else if dicom::is_dicom(bytes) {
        dicom::inspect(bytes)?
    } else {
        return Err(Flaw::NotAnImage);
    };
    check_size(header.width, header.height).map(|()| header)
}

fn inspect_png(mut rest: &[u8]) -> Result<Header, Flaw> {
    let mut header = None;
    let mut has_data = false;
    loop {
        let (length, kind) = match rest {
            [a, b, c, d, kind @ ..] if kind.len() >= 4 => (u32::from_be_bytes([*a, *b, *c, *d]) as usize, &kind[..4]),
            _ => return Err(Flaw::Truncated("PNG without its IEND chunk")),
        };
        // Length, kind, data and checksum; IEND's own checksum must be there too.
        let data = rest
            .get(8..)
            .filter(|tail| tail.len() >= length.saturating_add(4))
            .map(|tail| &tail[..length])
            .ok_or(Flaw::Truncated("PNG that stops inside a chunk"))?;
        match (kind, header) {
            (b"IHDR", None) if length == 13 => {
                let number = |at: usize| u32::from_be_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]]);
                header = Some(Header { format: Format::Png, width: number(0), height: number(4) });
            }
            (_, None) => {
                return Err(Flaw::Damaged("PNG that does not begin with IHDR".to_owned()));
            }
            (b"IDAT", _) => has_data = true,
            (b"IEND", Some(header)) if has_data => return Ok(header),
            (b"IEND", _) => return Err(Flaw::Damaged("PNG without image data".to_owned())),
            _ => {}
        }
        rest = &rest[length + 12..];
    }
}

/// The EXIF data of a PNG that [`inspect`] finds whole, wherever they stand.
pub(super) fn png_exif(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.get(PNG.len()..)?;
    loop {
        let &[a, b, c, d, ref kind @ ..] = rest.get(..8)? else { return None };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        match kind {
            b"eXIf" => return rest.get(8..8 + length),
            b"IEND" => return None,
            _ => rest = rest.get(length.checked_add(12)?..)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, ImageFormat, Luma};
    use std::io::Cursor;

    fn encoded(format: ImageFormat) -> Vec<u8> {
        let film = GrayImage::from_fn(37, 21, |x, y| Luma([(x * 5 + y * 3) as u8]));
        let mut bytes = Cursor::new(Vec::new());
        film.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn ours(format: ImageFormat) -> Format {
        if format == ImageFormat::Png { Format::Png } else { Format::Jpeg }
    }

    #[test]
    fn whole_pictures_give_their_size() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg] {
            let header = inspect(&encoded(format)).unwrap();
            assert_eq!((header.format, header.width, header.height), (ours(format), 37, 21));
        }
    }

    #[test]
    fn a_picture_cut_anywhere_is_never_taken_for_whole() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg] {
            let bytes = encoded(format);
            for length in 0..bytes.len() {
                assert!(inspect(&bytes[..length]).is_err(), "{format:?} cut to {length} of {}", bytes.len());
            }
            let half = inspect(&bytes[..bytes.len() / 2]).unwrap_err();
            assert!(matches!(half, Flaw::Truncated(_)), "{format:?}: {half}");
        }
    }

    #[test]
    fn bytes_after_the_end_do_not_matter() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg] {
            let mut bytes = encoded(format);
            bytes.extend_from_slice(&[0, 0x12, 0xff, 0xd8, 7]);
            assert_eq!(inspect(&bytes).unwrap().format, ours(format));
        }
    }

    #[test]
    fn a_thumbnails_end_marker_does_not_make_a_cut_jpeg_whole() {
        let picture = encoded(ImageFormat::Jpeg);
        let mut bytes = vec![0xff, 0xd8, 0xff, 0xe1];
        bytes.extend_from_slice(&u16::try_from(picture.len() + 2).unwrap().to_be_bytes());
        bytes.extend_from_slice(&picture);
        bytes.extend_from_slice(&picture[2..picture.len() - 2]);
        assert_eq!(inspect(&bytes).unwrap_err(), Flaw::Truncated("JPEG without its end-of-image marker"));
        bytes.extend_from_slice(&[0xff, 0xd9]);
        assert!(inspect(&bytes).is_ok());
    }

    #[test]
    fn a_small_file_cannot_ask_for_gigabytes() {
        let mut bytes = encoded(ImageFormat::Png);
        bytes[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
        assert!(matches!(inspect(&bytes), Err(Flaw::Damaged(how)) if how.contains("65536 × 65536")));
    }

    #[test]
    fn text_and_nothing_are_told_apart() {
        assert_eq!(inspect(b""), Err(Flaw::Empty));
        assert_eq!(inspect(b"patient,label\n"), Err(Flaw::NotAnImage));
    }
}
