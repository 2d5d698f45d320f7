//! Text in the bundled Ubuntu Light (Hack for signs it lacks), set at fractions of a pixel; no system font is needed.

use ab_glyph::{Font, FontRef, GlyphId, PxScale, ScaleFont, point};
use epaint_default_fonts::{HACK_REGULAR, UBUNTU_LIGHT};
use image::Rgb;

use super::colour::{INK, MUTED};

/// How a piece of text looks. Sizes are in pixels per em, as in CSS.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    pub size: f32,
    pub bold: bool,
    pub colour: Rgb<u8>,
}

pub(crate) const TITLE: Style = Style { size: 20.0, bold: true, colour: INK };
pub(crate) const BODY: Style = Style { size: 16.0, bold: false, colour: INK };
pub(crate) const NOTE: Style = Style { size: 15.0, bold: false, colour: MUTED };
pub(crate) const TICK: Style = Style { size: 14.0, bold: false, colour: INK };

impl Style {
    pub fn bold(self) -> Style {
        Style { bold: true, ..self }
    }

    pub fn coloured(self, colour: Rgb<u8>) -> Style {
        Style { colour, ..self }
    }

    pub fn sized(self, size: f32) -> Style {
        Style { size, ..self }
    }

    /// From one baseline to the next.
    pub fn leading(self) -> i32 {
        (self.size * 1.3).round() as i32
    }

    /// From the top of a line to its baseline.
    pub fn ascent(self) -> f32 {
        self.size * 0.98
    }

    /// Half the height of a capital: put the baseline this far under what the text is centred on.
    pub fn half_capital(self) -> f32 {
        self.size * 0.35
    }

    /// The font is a light one: strokes are thickened by this many pixels, sideways.
    fn thickening(self) -> f32 {
        self.size * if self.bold { 0.065 } else { 0.022 }
    }
}

/// Coverage of a line of text, `0.0..=1.0`, row by row; `left` and `top` place it relative to the start of its baseline.
#[derive(Debug)]
pub(crate) struct Inked {
    pub left: i32,
    pub top: i32,
    pub width: usize,
    pub coverage: Vec<f32>,
}

/// The bundled fonts, in order of preference.
#[derive(Debug, Clone)]
pub(crate) struct Typeface([FontRef<'static>; 2]);

impl Typeface {
    pub fn bundled() -> Typeface {
        let parse = |bytes| FontRef::try_from_slice(bytes).expect("the bundled fonts are whole");
        Typeface([UBUNTU_LIGHT, HACK_REGULAR].map(parse))
    }

    fn glyph(&self, sign: char) -> (&FontRef<'static>, GlyphId) {
        self.0
            .iter()
            .map(|font| (font, font.glyph_id(sign)))
            .find(|(_, id)| id.0 != 0)
            .unwrap_or_else(|| (&self.0[0], self.0[0].glyph_id('?')))
    }

    /// Every sign with its font and where it starts, then the end of the line.
    fn lay_out(&self, text: &str, style: Style) -> (Vec<(&FontRef<'static>, GlyphId, f32)>, f32) {
        let mut signs: Vec<(&FontRef<'static>, GlyphId, f32)> = Vec::new();
        let mut x = 0.0;
        for sign in text.chars() {
            let (font, id) = self.glyph(sign);
            let scaled = font.as_scaled(scale(font, style.size));
            if let Some((before, last, _)) = signs.last()
                && std::ptr::eq(*before, font)
            {
                x += scaled.kern(*last, id);
            }
            signs.push((font, id, x));
            x += scaled.h_advance(id) + if style.bold { style.thickening() * 0.6 } else { 0.0 };
        }
        (signs, x)
    }

    /// Length of a line in pixels.
    pub fn width(&self, text: &str, style: Style) -> f32 {
        self.lay_out(text, style).1 + style.thickening()
    }

    /// The widest of several lines, in whole pixels.
    pub fn widest<'a>(&self, lines: impl IntoIterator<Item = &'a str>, style: Style) -> i32 {
        let widths = lines.into_iter().map(|line| self.width(line, style));
        widths.fold(0.0, f32::max).ceil() as i32
    }

    /// Breaks `text` into lines no wider than `room`: at line breaks and spaces, and inside a word (after `/`, `_`, `-` or `.`
    /// where it has any) only if the word alone is too wide. Nothing is left out.
    pub fn wrap(&self, text: &str, style: Style, room: f32) -> Vec<String> {
        let mut lines = Vec::new();
        // `p = 0.93` stays on one line.
        for paragraph in text.replace(" = ", "\u{a0}=\u{a0}").lines() {
            let mut line = String::new();
            for word in paragraph.split([' ', '\t']).filter(|word| !word.is_empty()) {
                let joined = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
                if self.width(&joined, style) <= room {
                    line = joined;
                    continue;
                }
                if !line.is_empty() {
                    lines.push(std::mem::take(&mut line));
                }
                line = self.break_word(word, style, room, &mut lines);
            }
            lines.push(line);
        }
        lines
    }

    /// Pushes what fills whole lines and returns the rest.
    fn break_word(&self, word: &str, style: Style, room: f32, lines: &mut Vec<String>) -> String {
        let mut rest: Vec<char> = word.chars().collect();
        loop {
            let fits = |n: usize| self.width(&rest[..n].iter().collect::<String>(), style) <= room;
            if fits(rest.len()) {
                return rest.into_iter().collect();
            }
            let most = (1..rest.len()).take_while(|&n| n == 1 || fits(n)).last().unwrap_or(1);
            let seam = (most / 2..most).rev().find(|&i| matches!(rest[i], '/' | '_' | '-' | '.'));
            let tail = rest.split_off(seam.map_or(most, |i| i + 1));
            lines.push(rest.into_iter().collect());
            rest = tail;
        }
    }

    /// Draws a line into a buffer of its own. `offset` shifts it by a fraction of a pixel.
    pub fn ink(&self, text: &str, style: Style, offset: f32) -> Inked {
        let (signs, length) = self.lay_out(text, style);
        let margin = 2 + style.size as i32 / 4;
        let (left, top) = (-margin, -(style.size * 1.1).ceil() as i32);
        let width = (length.ceil() as i32 + 2 * margin + 1) as usize;
        let height = (style.size * 1.5).ceil() as usize;
        let mut coverage = vec![0.0f32; width * height];
        // Copies of the outline side by side, at most half a pixel apart, make one stroke of the wanted weight.
        let copies = (style.thickening() / 0.5).ceil().max(1.0) as i32;
        for (font, id, x) in signs {
            for copy in 0..=copies {
                let x = x + offset + style.thickening() * copy as f32 / copies as f32;
                let glyph = id.with_scale_and_position(scale(font, style.size), point(x, 0.0));
                let Some(outline) = font.outline_glyph(glyph) else {
                    continue;
                };
                let bounds = outline.px_bounds();
                let (x0, y0) = (bounds.min.x as i32 - left, bounds.min.y as i32 - top);
                outline.draw(|x, y, share| {
                    let (x, y) = (x0 + x as i32, y0 + y as i32);
                    if (0..width as i32).contains(&x) && (0..height as i32).contains(&y) {
                        let spot = &mut coverage[y as usize * width + x as usize];
                        *spot = spot.max(share);
                    }
                });
            }
        }
        Inked { left, top, width, coverage }
    }
}

/// ab_glyph measures ascent to descent; we mean the em.
fn scale(font: &FontRef<'_>, size: f32) -> PxScale {
    let em = font.units_per_em().unwrap_or(1000.0);
    PxScale::from(size * font.height_unscaled() / em)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapping_keeps_every_sign_and_stays_within_the_room() {
        let face = Typeface::bundled();
        let text = "valid/XR_HUMERUS/patient11186/study1_positive p = 0.97, called abnormal\nsecond line";
        for room in [60.0, 120.0, 400.0] {
            let lines = face.wrap(text, BODY, room);
            assert!(lines.iter().all(|l| face.width(l, BODY) <= room), "{lines:?}");
            let bare = |s: &str| s.split_whitespace().collect::<String>();
            assert_eq!(bare(&lines.concat()), bare(text));
        }
    }

    #[test]
    fn a_word_is_broken_after_its_seams() {
        let face = Typeface::bundled();
        let lines = face.wrap("patient11186/study1_positive", BODY, 150.0);
        assert_eq!(lines[0], "patient11186/");
    }

    #[test]
    fn signs_that_figures_use_are_in_the_fonts() {
        let face = Typeface::bundled();
        for sign in "≥≤×±–−·…→σµäß%°".chars() {
            assert!(face.0.iter().any(|font| font.glyph_id(sign).0 != 0), "{sign}");
        }
    }

    #[test]
    fn ink_lies_within_the_measured_width() {
        let face = Typeface::bundled();
        for style in [TITLE, BODY, TICK] {
            let inked = face.ink("jWfgÄ sensitivity 0.95", style, 0.5);
            let right = face.width("jWfgÄ sensitivity 0.95", style).ceil() as i32 + 1;
            for (i, &share) in inked.coverage.iter().enumerate() {
                let x = inked.left + (i % inked.width) as i32;
                assert!(share < 0.05 || (-2..=right).contains(&x), "ink at {x}");
            }
        }
    }
}
