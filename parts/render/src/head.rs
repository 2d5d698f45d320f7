//! What stands above every figure: its title, and a key of signs and what they stand for.

use plotters::style::RGBColor;
use plotters::style::text_anchor::{HPos, VPos};

use super::Drawing;
use super::mark::Mark;
use super::palette::{AXIS, INK};
use super::sheet::{Area, DASHED, DOTTED, at_pixel, ink};
use super::text::{NOTE, TITLE, lines};

/// White around every figure.
pub(super) const MARGIN: i32 = 24;

/// The sign before an entry of a key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sign {
    /// A mark by itself.
    Mark(Mark, RGBColor),
    /// A piece of a curve, with its mark.
    Curve(RGBColor, Option<Mark>),
    /// A piece of the line of chance.
    Chance,
    /// A piece of a dashed upright.
    Upright,
}

impl Sign {
    fn width(self) -> i32 {
        match self {
            Sign::Mark(..) => 14,
            Sign::Upright => 8,
            _ => 26,
        }
    }

    fn draw(self, area: &Area<'_>, x: i32, y: i32) -> Drawing {
        let (x, y) = at_pixel(area, (x, y));
        let (middle, line) = ((x + f64::from(self.width()) / 2.0, y), [(x, y), (x + 26.0, y)]);
        match self {
            Sign::Mark(mark, colour) => ink(area, |sheet| mark.draw(sheet, middle, 13.0, colour)),
            Sign::Curve(colour, mark) => ink(area, |sheet| {
                sheet.stroke(&line, 2.5, colour, None)?;
                mark.map_or(Ok(()), |mark| mark.draw(sheet, middle, 9.0, colour))
            }),
            Sign::Chance => ink(area, |sheet| sheet.stroke(&line, 1.5, AXIS, DOTTED)),
            Sign::Upright => {
                let upright = [(middle.0, y - 9.0), (middle.0, y + 9.0)];
                ink(area, |sheet| sheet.stroke(&upright, 1.5, INK, DASHED))
            }
        }
    }
}

/// An entry of a key: a sign and what it stands for.
pub(super) type Key = (Sign, String);

/// Between a sign and its words, and between entries.
const SIGN_GAP: i32 = 8;
const KEY_GAP: i32 = 24;

fn key_width((sign, text): &Key) -> i32 {
    sign.width() + SIGN_GAP + NOTE.width(text).ceil() as i32
}

/// Title and key, broken into lines for a certain width.
#[derive(Debug)]
pub(super) struct Head {
    title: Vec<String>,
    keys: Vec<Vec<Key>>,
    /// From the figure's upper edge to what follows.
    pub height: i32,
}

impl Head {
    /// `width` is the figure's.
    pub fn new(title: &str, keys: Vec<Key>, width: i32) -> Head {
        let room = width - 2 * MARGIN;
        let title = TITLE.wrap(title, room);
        let mut rows: Vec<Vec<Key>> = Vec::new();
        let mut x = 0;
        for key in keys {
            let length = key_width(&key);
            match rows.last_mut() {
                Some(row) if x + length <= room => row.push(key),
                _ => {
                    rows.push(vec![key]);
                    x = 0;
                }
            }
            x += length + KEY_GAP;
        }
        let height = MARGIN
            + title.len() as i32 * TITLE.leading()
            + rows.len() as i32 * (NOTE.leading() + 4)
            + if title.is_empty() && rows.is_empty() { 0 } else { 12 };
        Head { title, keys: rows, height }
    }

    pub fn draw(&self, area: &Area<'_>) -> Drawing {
        lines(area, (MARGIN, MARGIN), &self.title, TITLE, HPos::Left)?;
        let mut y = MARGIN + self.title.len() as i32 * TITLE.leading() + 4;
        for row in &self.keys {
            let (mut x, middle) = (MARGIN, y + NOTE.leading() / 2);
            for key in row {
                let (sign, text) = key;
                sign.draw(area, x, middle)?;
                let style = NOTE.coloured(INK).at(HPos::Left, VPos::Center);
                area.draw_text(text, &style, (x + sign.width() + SIGN_GAP, middle))?;
                x += key_width(key) + KEY_GAP;
            }
            y += NOTE.leading() + 4;
        }
        Ok(())
    }
}
