//! Where an image lies in the network's square.

use super::Fit;

/// The rectangle of the network's square that an image fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Width and height of the image itself in pixels.
    pub image: (u32, u32),
    /// Columns of the square left of the image.
    pub left: u32,
    /// Rows of the square above the image.
    pub top: u32,
    /// Columns of the square that the image fills; at least 1.
    pub width: u32,
    /// Rows of the square that the image fills; at least 1.
    pub height: u32,
}

impl Placement {
    /// Places an image of `width × height` pixels, both at least 1, in a square of `size` pixels. The letterbox is the
    /// one of Pillow's `ImageOps.pad`, its rounding included.
    pub(super) fn new(width: u32, height: u32, size: u32, fit: Fit) -> Placement {
        let shorter = |short: u32, long: u32| {
            let exact = f64::from(short) / f64::from(long) * f64::from(size);
            (exact.round_ties_even() as u32).clamp(1, size)
        };
        let (scaled_width, scaled_height) = match fit {
            Fit::Stretch => (size, size),
            Fit::Letterbox if width >= height => (size, shorter(height, width)),
            Fit::Letterbox => (shorter(width, height), size),
        };
        let before = |filled: u32| (f64::from(size - filled) / 2.0).round_ties_even() as u32;
        Placement {
            image: (width, height),
            left: before(scaled_width),
            top: before(scaled_height),
            width: scaled_width,
            height: scaled_height,
        }
    }

    /// Pixels of the square for one pixel of the image, across and down; equal but for rounding in a letterbox.
    pub fn scale(&self) -> (f32, f32) {
        (self.width as f32 / self.image.0 as f32, self.height as f32 / self.image.1 as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_any_shape_lies_inside_the_square_and_fills_a_side_of_it() {
        for (width, height) in [(373, 454), (454, 373), (512, 89), (1, 4000), (224, 224)] {
            for fit in [Fit::Letterbox, Fit::Stretch] {
                let place = Placement::new(width, height, 224, fit);
                assert!(place.left + place.width <= 224 && place.top + place.height <= 224);
                assert!(place.width.max(place.height) == 224 && place.width.min(place.height) >= 1, "{place:?}");
                let (across, down) = place.scale();
                assert!((across * width as f32 - place.width as f32).abs() < 1e-3, "{place:?}");
                assert!((down * height as f32 - place.height as f32).abs() < 1e-3, "{place:?}");
            }
        }
    }

    #[test]
    fn a_letterbox_keeps_the_aspect_ratio_within_half_a_pixel() {
        let place = Placement::new(373, 454, 224, Fit::Letterbox);
        assert_eq!((place.width, place.height, place.left, place.top), (184, 224, 20, 0));
    }
}
