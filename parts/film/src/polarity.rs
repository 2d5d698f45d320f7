//! Is bone bright, as it should be?
//!
//! In a film of a limb more than half of the field is air or soft tissue, which let the X-rays through: dark in a film,
//! bright in a negative. The border says less, since shutters and scanners leave black or white frames, which are cut
//! off first.

use image::GrayImage;

use super::resize::resize;

/// Whether a film looks like a negative, air bright and bone dark: its median, frames cut off, is above mid-grey.
///
/// Of FracAtlas' upper-limb films none is taken for a negative, and each of their negatives for one. A film that is
/// cropped to bone and thick soft tissue may be: this is a guard to ask by, not a verdict. A blank film is no negative.
pub fn looks_inverted(film: &GrayImage) -> bool {
    /// Enough to see a limb; averages noise away, so that a frame is flat.
    const SIDE: u32 = 128;
    if film.width() == 0 || film.height() == 0 {
        return false;
    }
    let small = resize(film, film.width().min(SIDE), film.height().min(SIDE));
    let field = Field::without_frame(&small);
    let (mut pixels, mut bright) = (0, 0);
    for pixel in field.pixels(&small) {
        pixels += 1;
        bright += usize::from(pixel > 127);
    }
    2 * bright > pixels && !field.is_flat(&small)
}

/// A part of a film: columns from `left` to before `right`, rows from `top` to before `bottom`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Field {
    left: u32,
    top: u32,
    right: u32,
    bottom: u32,
}

impl Field {
    /// What is left when flat rows and columns are peeled off, at least a quarter of each side.
    fn without_frame(film: &GrayImage) -> Field {
        let (width, height) = film.dimensions();
        let mut field = Field { left: 0, top: 0, right: width, bottom: height };
        loop {
            let mut smaller = field;
            if field.bottom - field.top > height / 4 + 1 {
                smaller.top += u32::from(Field { bottom: field.top + 1, ..field }.is_flat(film));
                smaller.bottom -= u32::from(Field { top: field.bottom - 1, ..field }.is_flat(film));
            }
            if field.right - field.left > width / 4 + 1 {
                smaller.left += u32::from(Field { right: field.left + 1, ..field }.is_flat(film));
                smaller.right -= u32::from(Field { left: field.right - 1, ..field }.is_flat(film));
            }
            if smaller == field {
                return field;
            }
            field = smaller;
        }
    }

    fn pixels(self, film: &GrayImage) -> impl Iterator<Item = u8> {
        (self.top..self.bottom).flat_map(move |y| (self.left..self.right).map(move |x| film.get_pixel(x, y).0[0]))
    }

    /// Whether nothing in it stands out by more than JPEG's noise.
    fn is_flat(self, film: &GrayImage) -> bool {
        const NOISE: u8 = 6;
        let (low, high) = self.pixels(film).fold((255, 0), |(low, high), pixel| (pixel.min(low), pixel.max(high)));
        high.saturating_sub(low) <= NOISE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;

    /// A bright bone across a dark field, in a frame of `margin` pixels of `grey`.
    fn film(margin: u32, grey: u8) -> GrayImage {
        GrayImage::from_fn(200, 300, |x, y| {
            let in_frame = x.min(199 - x).min(y.min(299 - y)) < margin;
            let bone = (90..115).contains(&x);
            Luma([if in_frame { grey } else { 30 + (y / 10) as u8 + if bone { 150 } else { 0 } }])
        })
    }

    #[test]
    fn a_negative_is_recognised_whatever_its_frame_and_a_film_is_not() {
        for (margin, grey) in [(0, 0), (8, 0), (60, 0), (8, 255), (60, 255), (3, 128)] {
            let film = film(margin, grey);
            let mut negative = film.clone();
            image::imageops::invert(&mut negative);
            assert!(!looks_inverted(&film), "{margin} {grey}");
            assert!(looks_inverted(&negative), "{margin} {grey}");
        }
    }

    #[test]
    fn a_blank_film_of_any_grey_and_size_is_no_negative() {
        for (width, height) in [(1, 1), (1, 700), (300, 2), (50, 50)] {
            for grey in [0, 127, 128, 255] {
                assert!(!looks_inverted(&GrayImage::from_pixel(width, height, Luma([grey]))));
            }
        }
        assert!(!looks_inverted(&GrayImage::new(0, 0)));
    }
}
