//! How text looks and where its lines break; it is set in a bundled font, so no system font is needed.

use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontDesc, FontFamily, FontStyle, RGBColor, TextStyle, register_font};

use super::Drawing;
use super::letters::Letters;
use super::palette::{INK, MUTED};
use super::sheet::Area;

/// Makes the bundled font the one that `plotters` measures every family by.
///
/// Each time anew, as in a notebook each cell may have a register of its own.
pub(super) fn register() {
    for family in ["sans-serif", "serif", "monospace"] {
        let done = register_font(family, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT);
        assert!(done.is_ok(), "the bundled font is whole");
    }
}

/// How a piece of text looks. Sizes are in pixels of a page from ascent to descent, as `plotters` has them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub size: f64,
    pub bold: bool,
    pub colour: RGBColor,
}

pub(super) const TITLE: Style = Style { size: 22.5, bold: true, colour: INK };
pub(super) const BODY: Style = Style { size: 18.0, bold: false, colour: INK };
pub(super) const NOTE: Style = Style { size: 17.0, bold: false, colour: MUTED };
pub(super) const TICK: Style = Style { size: 16.0, bold: false, colour: INK };

impl Style {
    pub fn bold(self) -> Style {
        Style { bold: true, ..self }
    }

    pub fn coloured(self, colour: RGBColor) -> Style {
        Style { colour, ..self }
    }

    pub fn sized(self, size: f64) -> Style {
        Style { size, ..self }
    }

    /// From the top of one line to the next.
    pub fn leading(self) -> i32 {
        (self.size * 1.16).round() as i32
    }

    /// The style for `plotters`, with this point of the text at its coordinates.
    pub fn at(self, h_pos: HPos, v_pos: VPos) -> TextStyle<'static> {
        let style = if self.bold { FontStyle::Bold } else { FontStyle::Normal };
        let font = FontDesc::new(FontFamily::SansSerif, self.size, style);
        TextStyle { font, color: self.colour.to_backend_color(), pos: Pos::new(h_pos, v_pos) }
    }

    /// Length of a line in pixels of a page.
    pub fn width(self, text: &str) -> f64 {
        Letters::new(text, self.size, self.bold).length
    }

    /// The widest of several lines, in whole pixels.
    pub fn widest<'a>(self, lines: impl IntoIterator<Item = &'a str>) -> i32 {
        lines.into_iter().map(|line| self.width(line)).fold(0.0, f64::max).ceil() as i32
    }

    /// Breaks `text` into lines no wider than `room`: at line breaks and spaces, and inside a word (after `/`, `_`, `-`
    /// or `.` where it has any) only if the word alone is too wide. Nothing is left out.
    pub fn wrap(self, text: &str, room: i32) -> Vec<String> {
        let fits = |text: &str| self.width(text) <= f64::from(room);
        let mut lines = Vec::new();
        // `p = 0.93` stays on one line.
        for paragraph in text.replace(" = ", "\u{a0}=\u{a0}").lines() {
            let mut line = String::new();
            for word in paragraph.split([' ', '\t']).filter(|word| !word.is_empty()) {
                let joined = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
                if fits(&joined) {
                    line = joined;
                    continue;
                }
                if !line.is_empty() {
                    lines.push(std::mem::take(&mut line));
                }
                line = break_word(word, fits, &mut lines);
            }
            lines.push(line);
        }
        lines
    }
}

/// Pushes what fills whole lines and returns the rest.
fn break_word(word: &str, fits: impl Fn(&str) -> bool, lines: &mut Vec<String>) -> String {
    let mut rest: Vec<char> = word.chars().collect();
    loop {
        let fits = |n: usize| fits(&rest[..n].iter().collect::<String>());
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

/// Lines under each other, the first one's top at `y`; `h_pos` says which of their points is at `x`.
pub(super) fn lines(area: &Area<'_>, (x, y): (i32, i32), lines: &[String], style: Style, h_pos: HPos) -> Drawing {
    for (line, i) in lines.iter().zip(0..) {
        area.draw_text(line, &style.at(h_pos, VPos::Top), (x, y + i * style.leading()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapping_keeps_every_sign_and_stays_within_the_room() {
        let text = "valid/XR_HUMERUS/patient11186/study1_positive p = 0.97, called abnormal\nsecond line";
        for room in [60, 120, 400] {
            let lines = BODY.wrap(text, room);
            assert!(lines.iter().all(|l| BODY.width(l) <= f64::from(room)), "{lines:?}");
            let bare = |s: &str| s.split_whitespace().collect::<String>();
            assert_eq!(bare(&lines.concat()), bare(text));
        }
    }

    #[test]
    fn a_word_is_broken_after_its_seams() {
        assert_eq!(BODY.wrap("patient11186/study1_positive", 150)[0], "patient11186/");
    }
}
