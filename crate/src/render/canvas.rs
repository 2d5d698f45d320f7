//! A sheet to draw on: text, and filled and stroked shapes with smooth edges, in pixels with y downwards.
//!
//! Lengths are those of a page; the sheet has [`SCALE`] pixels for each, so that figures are sharp on dense screens.

use ab_glyph_rasterizer::{Rasterizer, point};
use image::{Rgb, RgbImage};

use super::colour::{INK, MUTED, PAPER, mix};
use super::text::{Inked, Style, Typeface};
use crate::{Error, Result};

/// A rectangle of whole pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rect {
    pub x: i32,
    pub y: i32,
    pub width: i32,
    pub height: i32,
}

impl Rect {
    pub fn new(x: i32, y: i32, width: i32, height: i32) -> Rect {
        Rect { x, y, width, height }
    }

    pub fn right(&self) -> i32 {
        self.x + self.width
    }

    pub fn bottom(&self) -> i32 {
        self.y + self.height
    }

    /// The rectangle with `by` pixels taken off each side (added, where negative).
    pub fn inset(&self, by: i32) -> Rect {
        Rect::new(self.x + by, self.y + by, self.width - 2 * by, self.height - 2 * by)
    }
}

/// Which part of a text stands at its coordinates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// A small shape that says what a colour says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Disc,
    Ring,
    Triangle,
    Tick,
    Cross,
    Square,
    Frame,
}

type Point = (f32, f32);

/// Pixels of the sheet for each of a page's.
pub(crate) const SCALE: i32 = 2;

/// The longest side of a figure.
const LONGEST: i32 = 15_000;

#[derive(Debug)]
pub(crate) struct Canvas {
    pub image: RgbImage,
    pub face: Typeface,
}

impl Canvas {
    /// A white sheet.
    pub fn new(width: i32, height: i32) -> Result<Canvas> {
        if !(1..=LONGEST).contains(&width) || !(1..=LONGEST).contains(&height) {
            return Err(Error::Figure(format!(
                "{width} × {height} pixels is not a size to draw; each side may have 1 to {LONGEST}, so draw fewer pictures"
            )));
        }
        let (wide, high) = ((width * SCALE) as u32, (height * SCALE) as u32);
        Ok(Canvas { image: RgbImage::from_pixel(wide, high, PAPER), face: Typeface::bundled() })
    }

    /// Mixes colour into a pixel of the sheet.
    fn blend(&mut self, x: i32, y: i32, colour: Rgb<u8>, share: f32) {
        if share <= 0.0 || x < 0 || y < 0 {
            return;
        }
        if let Some(pixel) = self.image.get_pixel_mut_checked(x as u32, y as u32) {
            *pixel = mix(*pixel, colour, share.min(1.0));
        }
    }

    pub fn rect(&mut self, area: Rect, colour: Rgb<u8>) {
        for y in area.y * SCALE..area.bottom() * SCALE {
            for x in area.x * SCALE..area.right() * SCALE {
                self.blend(x, y, colour, 1.0);
            }
        }
    }

    /// A frame `thick` pixels wide just inside `area`.
    pub fn frame(&mut self, area: Rect, thick: i32, colour: Rgb<u8>) {
        let Rect { x, y, width, height } = area;
        self.rect(Rect::new(x, y, width, thick), colour);
        self.rect(Rect::new(x, area.bottom() - thick, width, thick), colour);
        self.rect(Rect::new(x, y, thick, height), colour);
        self.rect(Rect::new(area.right() - thick, y, thick, height), colour);
    }

    /// A picture with [`SCALE`] pixels for each of the page's, its upper left corner at `x`, `y`.
    pub fn paste(&mut self, picture: &RgbImage, x: i32, y: i32) {
        image::imageops::replace(&mut self.image, picture, (x * SCALE).into(), (y * SCALE).into());
    }

    /// A picture with [`SCALE`] pixels for each of the page's, in the middle of `area`.
    pub fn paste_into(&mut self, picture: &RgbImage, area: Rect) {
        let middle = |from: i32, length: i32, own: u32| i64::from(from * SCALE + (length * SCALE - own as i32) / 2);
        let x = middle(area.x, area.width, picture.width());
        let y = middle(area.y, area.height, picture.height());
        image::imageops::replace(&mut self.image, picture, x, y);
    }

    /// Fills the union of shapes, each given by its corners in either direction.
    pub fn fill(&mut self, shapes: &[Vec<Point>], colour: Rgb<u8>) {
        let scaled = |shape: &Vec<Point>| shape.iter().map(|p| (p.0 * SCALE as f32, p.1 * SCALE as f32)).collect();
        let shapes: Vec<Vec<Point>> = shapes.iter().map(scaled).collect();
        let Some(all) = bounds(shapes.iter().flatten()) else {
            return;
        };
        let mut coverage = vec![0.0f32; (all.width * all.height) as usize];
        for shape in &shapes {
            let Some(own) = bounds(shape.iter()) else {
                continue;
            };
            let mut raster = Rasterizer::new(own.width as usize, own.height as usize);
            let corner = |p: Point| point(p.0 - own.x as f32, p.1 - own.y as f32);
            for (i, &from) in shape.iter().enumerate() {
                raster.draw_line(corner(from), corner(shape[(i + 1) % shape.len()]));
            }
            // The most of any shape, not the sum: else lines swell where their pieces meet.
            raster.for_each_pixel_2d(|x, y, share| {
                let row = own.y - all.y + y as i32;
                let spot = &mut coverage[(row * all.width + own.x - all.x + x as i32) as usize];
                *spot = spot.max(share);
            });
        }
        for (i, &share) in coverage.iter().enumerate() {
            let (x, y) = (i as i32 % all.width, i as i32 / all.width);
            // Sums of edges leave dust of about 1e-6 beside a shape.
            if share > 1e-3 {
                self.blend(all.x + x, all.y + y, colour, share);
            }
        }
    }

    /// A line through `points`, `thick` pixels wide with round joints; `dash` gives the lengths drawn and left out.
    pub fn stroke(&mut self, points: &[Point], thick: f32, colour: Rgb<u8>, dash: Option<(f32, f32)>) {
        let mut shapes = Vec::new();
        let mut travelled = 0.0;
        for pair in points.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            let length = (b.0 - a.0).hypot(b.1 - a.1);
            if length < 1e-6 {
                continue;
            }
            let along = ((b.0 - a.0) / length, (b.1 - a.1) / length);
            let across = (-along.1 * thick / 2.0, along.0 * thick / 2.0);
            let mut piece = |from: f32, to: f32| {
                let (p, q) = ((a.0 + along.0 * from, a.1 + along.1 * from), (a.0 + along.0 * to, a.1 + along.1 * to));
                shapes.push(vec![
                    (p.0 + across.0, p.1 + across.1),
                    (q.0 + across.0, q.1 + across.1),
                    (q.0 - across.0, q.1 - across.1),
                    (p.0 - across.0, p.1 - across.1),
                ]);
            };
            match dash {
                None => piece(0.0, length),
                Some((on, off)) => {
                    let period = on + off;
                    let mut start = -(travelled % period);
                    while start < length {
                        let (from, to) = (start.max(0.0), (start + on).min(length));
                        if to > from {
                            piece(from, to);
                        }
                        start += period;
                    }
                }
            }
            travelled += length;
        }
        if dash.is_none() && points.len() > 2 {
            shapes.extend(points.iter().map(|&p| disc(p, thick / 2.0)));
        }
        self.fill(&shapes, colour);
    }

    /// A mark about `size` pixels across, centred on `at`.
    pub fn mark(&mut self, mark: Mark, at: Point, size: f32, colour: Rgb<u8>) {
        let r = size / 2.0;
        let p = |x: f32, y: f32| (at.0 + x * r, at.1 + y * r);
        let pen = (size * 0.2).max(1.8);
        match mark {
            Mark::Disc => self.fill(&[disc(at, r)], colour),
            Mark::Square => self.fill(&[vec![p(-0.9, -0.9), p(0.9, -0.9), p(0.9, 0.9), p(-0.9, 0.9)]], colour),
            Mark::Frame => {
                let corners = [p(-0.8, -0.8), p(0.8, -0.8), p(0.8, 0.8), p(-0.8, 0.8), p(-0.8, -0.8)];
                self.stroke(&corners, 4.0, INK, None);
                self.stroke(&corners, 2.0, colour, None);
            }
            Mark::Triangle => self.fill(&[vec![p(0.0, -1.0), p(1.0, 0.85), p(-1.0, 0.85)]], colour),
            Mark::Ring => {
                let mut round = disc(at, r - pen / 2.0);
                round.push(round[0]);
                self.stroke(&round, pen, colour, None);
            }
            Mark::Tick => self.stroke(&[p(-0.9, 0.1), p(-0.25, 0.75), p(0.95, -0.75)], pen, colour, None),
            Mark::Cross => {
                self.stroke(&[p(-0.75, -0.75), p(0.75, 0.75)], pen, colour, None);
                self.stroke(&[p(-0.75, 0.75), p(0.75, -0.75)], pen, colour, None);
            }
        }
    }

    /// A line of text whose baseline is at `y`; `anchor` says which of its points is at `x`.
    pub fn text(&mut self, x: f32, y: f32, text: &str, style: Style, anchor: Anchor) {
        let x = (x - self.shift(text, style, anchor)) * SCALE as f32;
        let (column, row) = (x.floor(), (y * SCALE as f32).round() as i32);
        let inked = self.face.ink(text, style.sized(style.size * SCALE as f32), x - column);
        self.stamp(&inked, style, |i, j| (column as i32 + i, row + j));
    }

    /// A line of text read from bottom to top, centred on `y`, whose baseline is at `x`.
    pub fn text_upwards(&mut self, x: f32, y: f32, text: &str, style: Style) {
        let y = ((y + self.shift(text, style, Anchor::Middle)) * SCALE as f32).round() as i32;
        let x = (x * SCALE as f32).round() as i32;
        let inked = self.face.ink(text, style.sized(style.size * SCALE as f32), 0.0);
        self.stamp(&inked, style, |i, j| (x + j, y - i));
    }

    /// Lines under each other, the first one's top at `y`; returns the bottom of the last.
    pub fn lines(&mut self, x: f32, y: i32, lines: &[String], style: Style, anchor: Anchor) -> i32 {
        for (i, line) in lines.iter().enumerate() {
            let top = y + i as i32 * style.leading();
            self.text(x, top as f32 + style.ascent(), line, style, anchor);
        }
        y + lines.len() as i32 * style.leading()
    }

    fn shift(&self, text: &str, style: Style, anchor: Anchor) -> f32 {
        match anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => self.face.width(text, style) / 2.0,
            Anchor::End => self.face.width(text, style),
        }
    }

    fn stamp(&mut self, inked: &Inked, style: Style, place: impl Fn(i32, i32) -> (i32, i32)) {
        for (i, &share) in inked.coverage.iter().enumerate() {
            let (x, y) = place(inked.left + (i % inked.width) as i32, inked.top + (i / inked.width) as i32);
            self.blend(x, y, style.colour, share);
        }
    }

    /// A vertical colour bar with its numbers on the right and what they mean beside them, read upwards.
    pub fn colour_bar(&mut self, bar: Rect, colour: impl Fn(f32) -> Rgb<u8>, ticks: &[(f32, &str)], meaning: &str) {
        use super::text::{NOTE, TICK};
        for y in 0..bar.height {
            let value = 1.0 - (y as f32 + 0.5) / bar.height as f32;
            self.rect(Rect::new(bar.x, bar.y + y, bar.width, 1), colour(value));
        }
        self.frame(bar.inset(-1), 1, MUTED);
        for (value, label) in ticks {
            let y = bar.y as f32 + (1.0 - value) * bar.height as f32;
            let right = bar.right() as f32;
            self.stroke(&[(right + 1.0, y), (right + 5.0, y)], 1.0, MUTED, None);
            self.text(right + 9.0, y + TICK.half_capital(), label, TICK, Anchor::Start);
        }
        let numbers = self.face.widest(ticks.iter().map(|t| t.1), TICK);
        let x = (bar.right() + 9 + numbers + 6) as f32 + NOTE.ascent();
        self.text_upwards(x, (bar.y + bar.height / 2) as f32, meaning, NOTE);
    }

    /// Room that [`Canvas::colour_bar`] takes to the right of its bar.
    pub fn colour_bar_room(&self, ticks: &[(f32, &str)]) -> i32 {
        use super::text::{NOTE, TICK};
        9 + self.face.widest(ticks.iter().map(|t| t.1), TICK) + 6 + NOTE.leading() + 2
    }
}

/// The whole pixels that points touch, with one to spare on each side; `None` for no points or absurd ones.
fn bounds<'a>(points: impl Iterator<Item = &'a Point>) -> Option<Rect> {
    let start = ((f32::MAX, f32::MAX), (f32::MIN, f32::MIN));
    let (low, high) =
        points.fold(start, |(low, high), p| ((low.0.min(p.0), low.1.min(p.1)), (high.0.max(p.0), high.1.max(p.1))));
    let (left, top) = (low.0.floor() - 1.0, low.1.floor() - 1.0);
    let (width, height) = (high.0.ceil() - left + 1.0, high.1.ceil() - top + 1.0);
    let sensible = |length: f32| (1.0..=(LONGEST * SCALE) as f32).contains(&length);
    (sensible(width) && sensible(height)).then(|| Rect::new(left as i32, top as i32, width as i32, height as i32))
}

/// A many-sided polygon that looks round.
fn disc(at: Point, radius: f32) -> Vec<Point> {
    let sides = (radius * 8.0).clamp(16.0, 128.0) as usize;
    (0..sides)
        .map(|i| std::f32::consts::TAU * i as f32 / sides as f32)
        .map(|turn| (at.0 + radius * turn.cos(), at.1 + radius * turn.sin()))
        .collect()
}
