//! Contact sheets: films with labels and scores, filters with their channel.

use image::{GrayImage, RgbImage};
use plotters::element::Rectangle;
use plotters::style::text_anchor::HPos;
use plotters::style::{Color, RGBColor};

use super::head::{Head, Key, MARGIN, Sign};
use super::mark::Mark;
use super::palette::{AXIS, BLUE, GREEN, MOUNT, PURPLE, VERMILLION};
use super::picture::{SHEET, check_per_row, coloured, has_pixels, thumbnail};
use super::sheet::{Area, SCALE, at_pixel, ink};
use super::text::{BODY, Style, TICK, lines};
use super::{Drawing, Figure, first_rows, nothing};
use crate::Result;
use files::counted;
use studies::Label;

/// What the frame and the mark beside a caption say about a film.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Tone {
    /// Nothing: a grey frame, no mark.
    #[default]
    Plain,
    /// Labelled or called normal: a blue ring.
    Normal,
    /// Labelled or called abnormal: a vermillion triangle.
    Abnormal,
    /// The decision agrees with the label: a green tick.
    Right,
    /// The decision differs from the label: a purple cross.
    Wrong,
}

impl Tone {
    const MARKED: [Tone; 4] = [Tone::Normal, Tone::Abnormal, Tone::Right, Tone::Wrong];

    /// The tone of a film whose label is known: [`Tone::Right`] if the decision agrees with it.
    pub fn judged(label: Label, decision: Label) -> Tone {
        if label == decision { Tone::Right } else { Tone::Wrong }
    }

    pub(super) fn colour(self) -> RGBColor {
        match self {
            Tone::Plain => AXIS,
            Tone::Normal => BLUE,
            Tone::Abnormal => VERMILLION,
            Tone::Right => GREEN,
            Tone::Wrong => PURPLE,
        }
    }

    fn mark(self) -> Option<(Mark, &'static str)> {
        match self {
            Tone::Plain => None,
            Tone::Normal => Some((Mark::Ring, "normal")),
            Tone::Abnormal => Some((Mark::Triangle, "abnormal")),
            Tone::Right => Some((Mark::Tick, "right")),
            Tone::Wrong => Some((Mark::Cross, "wrong")),
        }
    }

    /// What the marks of `tones` stand for, each once.
    pub(super) fn keys(tones: impl Iterator<Item = Tone> + Clone) -> Vec<Key> {
        Tone::MARKED
            .into_iter()
            .filter(|tone| tones.clone().any(|t| t == *tone))
            .filter_map(|tone| {
                let (mark, meaning) = tone.mark()?;
                Some((Sign::Mark(mark, tone.colour()), meaning.to_owned()))
            })
            .collect()
    }
}

impl From<Label> for Tone {
    fn from(label: Label) -> Tone {
        match label {
            Label::Normal => Tone::Normal,
            Label::Abnormal => Tone::Abnormal,
        }
    }
}

/// A film on a contact sheet.
#[derive(Debug, Clone)]
pub struct Film {
    /// The pixels, of any size and shape.
    pub image: GrayImage,
    /// What stands under it; broken into as many lines as it needs.
    pub caption: String,
    /// Its frame and mark.
    pub tone: Tone,
}

/// A pattern that a filter answers to.
#[derive(Debug, Clone)]
pub struct FilterPattern {
    /// The pixels.
    pub image: RgbImage,
    /// What stands under it, for example `channel 17`.
    pub caption: String,
}

/// Films side by side, `per_row` in a row, each fitted into a square, framed by its tone, its caption in full
/// underneath.
///
/// About 1160 pixels wide; wider only where more than ten in a row would become too small to see. Of more films than
/// fit 2600 pixels of height, the first ones are drawn, and the title says so.
///
/// # Errors
/// [`Error::Figure`](crate::Error::Figure) if there are no films, one has no pixels, or `per_row` is not 1 to 64.
pub fn films(title: &str, films: &[Film], per_row: usize) -> Result<Figure> {
    check_per_row(per_row)?;
    let (films, title) = &first_sheet(title, films, per_row, "films", |film| (&film.caption, film.tone));
    for (i, film) in films.iter().enumerate() {
        has_pixels("film", i, film.image.width(), film.image.height())?;
    }
    let tiles: Vec<_> = films
        .iter()
        .map(|film| Tile {
            caption: &film.caption,
            tone: film.tone,
            picture: Box::new(|side| coloured(&thumbnail(&film.image, side))),
        })
        .collect();
    let captions: Vec<_> = films.iter().map(|f| f.caption.trim()).collect();
    let alt = format!("{title}: {}. {}", counted(films.len(), "film"), captions.join("; "));
    sheet(title, alt, &tiles, per_row, "films")
}

/// Filter patterns side by side, `per_row` in a row (8 in the original), each with its caption.
///
/// # Errors
/// [`Error::Figure`](crate::Error::Figure) if there are no patterns, one has no pixels, or `per_row` is not 1 to 64.
pub fn filter_grid(title: &str, patterns: &[FilterPattern], per_row: usize) -> Result<Figure> {
    check_per_row(per_row)?;
    let (patterns, title) = &first_sheet(title, patterns, per_row, "patterns", |it| (&it.caption, Tone::Plain));
    for (i, pattern) in patterns.iter().enumerate() {
        has_pixels("pattern", i, pattern.image.width(), pattern.image.height())?;
    }
    let tiles: Vec<_> = patterns
        .iter()
        .map(|pattern| Tile {
            caption: &pattern.caption,
            tone: Tone::Plain,
            picture: Box::new(|side| thumbnail(&pattern.image, side)),
        })
        .collect();
    let alt = format!("{title}: {}", counted(patterns.len(), "filter pattern"));
    sheet(title, alt, &tiles, per_row, "patterns")
}

struct Tile<'a> {
    caption: &'a str,
    tone: Tone,
    picture: Box<dyn Fn(i32) -> RgbImage + 'a>,
}

/// The longest that pictures make a sheet.
const LONGEST: i32 = 2600;

/// Columns, the gap between them, and the side of each picture.
fn columns(per_row: usize, pictures: usize) -> (i32, i32, i32) {
    let columns = per_row.min(pictures).max(1) as i32;
    let gap = if columns > 6 { 10 } else { 16 };
    (columns, gap, ((SHEET - 2 * MARGIN - (columns - 1) * gap) / columns).clamp(96, 440))
}

/// The pictures that fit a sheet with their captions, and its title.
fn first_sheet<'a, T>(
    title: &str,
    pictures: &'a [T],
    per_row: usize,
    what: &str,
    caption: impl Fn(&T) -> (&str, Tone),
) -> (&'a [T], String) {
    let (columns, gap, side) = columns(per_row, pictures.len());
    let height = |picture: &T| {
        let (text, tone) = caption(picture);
        Caption::new(text, tone, caption_style(side), side).height()
    };
    let mut room = LONGEST;
    let fits = |row: &&[T]| {
        room -= side + gap + row.iter().map(height).max().unwrap_or(0);
        room > 0
    };
    let rows = pictures.chunks(columns as usize).take_while(fits).count() as i32;
    first_rows(title, pictures, columns, rows, what)
}

/// How captions are set below pictures of this side.
fn caption_style(side: i32) -> Style {
    if side < 150 { TICK.sized(14.5) } else { BODY.sized(17.0) }
}

fn sheet(title: &str, alt: String, tiles: &[Tile], per_row: usize, what: &str) -> Result<Figure> {
    if tiles.is_empty() {
        return Err(nothing(what));
    }
    let (columns, gap, side) = columns(per_row, tiles.len());
    let style = caption_style(side);
    let width = 2 * MARGIN + columns * side + (columns - 1) * gap;
    let captions: Vec<_> = tiles.iter().map(|tile| Caption::new(tile.caption, tile.tone, style, side)).collect();
    let head = Head::new(title, Tone::keys(tiles.iter().map(|t| t.tone)), width);
    let row_height = |row: &[Caption]| side + row.iter().map(Caption::height).max().unwrap_or(0) + gap;
    let rows = captions.chunks(columns as usize);
    let height = head.height + rows.clone().map(row_height).sum::<i32>() - gap + MARGIN;

    Figure::draw((width as u32, height as u32), alt, |area| {
        head.draw(area)?;
        let mut y = head.height;
        for (tiles, row) in tiles.chunks(columns as usize).zip(rows) {
            for ((tile, caption), i) in tiles.iter().zip(row).zip(0..) {
                let x = MARGIN + i * (side + gap);
                mount(area, (x, y), side, &(tile.picture)(SCALE * (side - 2 * FRAME)), tile.tone)?;
                caption.draw(area, x, y + side)?;
            }
            y += row_height(row);
        }
        Ok(())
    })
}

/// Width of a frame.
pub(super) const FRAME: i32 = 3;

/// A picture in the middle of a framed square.
pub(super) fn mount(area: &Area<'_>, (x, y): (i32, i32), side: i32, picture: &RgbImage, tone: Tone) -> Drawing {
    let frame = if tone == Tone::Plain { 1 } else { FRAME };
    let square = |inset: i32| [(x + inset, y + inset), (x + side - inset, y + side - inset)];
    area.draw(&Rectangle::new(square(0), tone.colour().filled()))?;
    area.draw(&Rectangle::new(square(frame), MOUNT.filled()))?;
    film(area, (x, y), side, picture)
}

/// A picture with [`SCALE`] pixels for each of the page's, in the middle of a square.
fn film(area: &Area<'_>, at: (i32, i32), side: i32, picture: &RgbImage) -> Drawing {
    let (left, top) = area.get_base_pixel();
    let middle = |from: i32, own: u32| from * SCALE + (side * SCALE - own as i32) / 2;
    let at = (middle(left + at.0, picture.width()), middle(top + at.1, picture.height()));
    ink(area, |sheet| sheet.film(picture, at))
}

/// A caption broken into lines, with its tone's mark before the first.
#[derive(Debug)]
pub(super) struct Caption {
    lines: Vec<String>,
    tone: Tone,
    style: Style,
    indent: i32,
}

impl Caption {
    pub fn new(text: &str, tone: Tone, style: Style, width: i32) -> Caption {
        let indent = if tone.mark().is_some() { 18 } else { 0 };
        let mut lines = style.wrap(text.trim(), width - indent);
        if lines.is_empty() && indent > 0 {
            lines.push(String::new());
        }
        Caption { lines, tone, style, indent }
    }

    pub fn height(&self) -> i32 {
        match self.lines.len() as i32 {
            0 => 0,
            n => 5 + n * self.style.leading(),
        }
    }

    pub fn draw(&self, area: &Area<'_>, x: i32, y: i32) -> Drawing {
        lines(area, (x + self.indent, y + 5), &self.lines, self.style, HPos::Left)?;
        let Some((mark, _)) = self.tone.mark() else { return Ok(()) };
        // Half a capital above the baseline.
        let (left, middle) = at_pixel(area, (x + 7, y + 5));
        let centre = (left, middle + 0.49 * self.style.size);
        ink(area, |sheet| mark.draw(sheet, centre, 12.0, self.tone.colour()))
    }
}
