//! Letters of the bundled Ubuntu Light (Hack for signs it lacks), set at fractions of a pixel.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, GlyphId, PxScale, ScaleFont, point};
use epaint_default_fonts::{HACK_REGULAR, UBUNTU_LIGHT};

static FACES: LazyLock<[FontRef<'static>; 2]> = LazyLock::new(|| {
    [UBUNTU_LIGHT, HACK_REGULAR].map(|bytes| FontRef::try_from_slice(bytes).expect("the bundled fonts are whole"))
});

/// A line of text with the place of each letter.
#[derive(Debug)]
pub(super) struct Letters {
    /// Face, letter, and where it starts.
    signs: Vec<(usize, GlyphId, f32)>,
    size: f32,
    /// The font is a light one: its strokes are made this much wider.
    thickening: f32,
    /// Length of the line, in the unit of the size.
    pub length: f64,
}

impl Letters {
    /// Lays a line out. `size` is from ascent to descent, as `plotters` has it.
    pub fn new(text: &str, size: f64, bold: bool) -> Letters {
        let size = size as f32;
        let thickening = size * if bold { 0.058 } else { 0.02 };
        let mut signs: Vec<(usize, GlyphId, f32)> = Vec::new();
        let mut x = 0.0;
        for sign in text.chars() {
            let known = |face: &usize| FACES[*face].glyph_id(sign).0 != 0;
            let face = (0..FACES.len()).find(known);
            let (face, id) =
                face.map_or_else(|| (0, FACES[0].glyph_id('?')), |face| (face, FACES[face].glyph_id(sign)));
            let scaled = FACES[face].as_scaled(scale(face, size));
            if let Some((before, last, _)) = signs.last()
                && *before == face
            {
                x += scaled.kern(*last, id);
            }
            signs.push((face, id, x));
            x += scaled.h_advance(id) + if bold { 0.6 * thickening } else { 0.0 };
        }
        Letters { signs, size, thickening, length: f64::from(x + thickening) }
    }

    /// Tells `dot` how much of each pixel is covered, the line starting at `left` on the baseline; a pixel may come
    /// twice.
    pub fn draw<E>(&self, left: f64, mut dot: impl FnMut(i32, i32, f32) -> Result<(), E>) -> Result<(), E> {
        // Copies of the outline side by side, at most a pixel apart, make one stroke of the wanted weight.
        let copies = self.thickening.ceil().max(1.0);
        for &(face, id, x) in &self.signs {
            for copy in 0..=copies as i32 {
                let x = left as f32 + x + self.thickening * copy as f32 / copies;
                let glyph = id.with_scale_and_position(scale(face, self.size), point(x, 0.0));
                let Some(outline) = FACES[face].outline_glyph(glyph) else { continue };
                let from = outline.px_bounds().min;
                let mut done = Ok(());
                outline.draw(|x, y, share| {
                    if done.is_ok() && share > 0.0 {
                        done = dot(from.x as i32 + x as i32, from.y as i32 + y as i32, share.min(1.0));
                    }
                });
                done?;
            }
        }
        Ok(())
    }
}

/// Both faces with letters of the same em.
fn scale(face: usize, size: f32) -> PxScale {
    let height = |face: usize| FACES[face].height_unscaled() / FACES[face].units_per_em().unwrap_or(1000.0);
    PxScale::from(size * height(face) / height(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_that_figures_use_are_in_the_fonts() {
        for sign in "≥≤×±–−·…→σµäß%°".chars() {
            assert!(FACES.iter().any(|face| face.glyph_id(sign).0 != 0), "{sign}");
        }
    }

    #[test]
    fn ink_lies_within_the_measured_length() {
        for (size, bold) in [(22.5, true), (18.0, false), (64.0, false)] {
            let letters = Letters::new("jWfgÄ sensitivity 0.95", size, bold);
            // A j reaches to the left of where it starts.
            let (left, right) = (-(0.1 * size) as i32, letters.length.ceil() as i32 + 1);
            let within = |x, _, share: f32| if share < 0.05 || (left..=right).contains(&x) { Ok(()) } else { Err(x) };
            assert_eq!(letters.draw(0.0, within), Ok(()));
        }
    }
}
