//! What figures are drawn on: a `plotters` backend that makes the picture and the SVG at once.
//!
//! Lengths are pixels of a page. The picture is drawn four times as fine and then halved, which smooths the edges that
//! `plotters` leaves rough and gives figures two pixels for each of a page's; the SVG has the same fine steps.

use std::cell::Cell;
use std::io;

use image::RgbImage;
use plotters::backend::{BitMapBackend, SVGBackend};
use plotters::coord::Shift;
use plotters::drawing::DrawingArea;
use plotters::element::{Drawable, PointCollection};
use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{Color, FontDesc, FontStyle, RGBColor, ShapeStyle, TextStyle};
use plotters_backend::{BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind};

use super::letters::Letters;

/// Steps of a figure for each pixel of a page.
pub(super) const FINE: i32 = 4;

/// Pixels of a picture for each of a page's.
pub(super) const SCALE: i32 = 2;

/// A figure, or a part of one, for `plotters` to draw on; its unit is a pixel of the page.
pub type Area<'a> = DrawingArea<Sheet<'a>, Shift>;

/// Lengths drawn and left out of a line that points something out, and of one that is there for comparison.
pub(super) const DASHED: Option<Point> = Some((6.0, 4.0));
pub(super) const DOTTED: Option<Point> = Some((2.0, 4.0));

/// A place on a page, in its pixels.
pub(super) type Point = (f64, f64);

type Done = Result<(), DrawingErrorKind<io::Error>>;

/// The backend behind an [`Area`].
pub struct Sheet<'a> {
    size: (u32, u32),
    picture: BitMapBackend<'a>,
    svg: SVGBackend<'a>,
    /// Whether a film is in it, which the SVG then lacks.
    films: &'a Cell<bool>,
}

impl<'a> Sheet<'a> {
    /// A sheet of `size` pixels of a page; `pixels` are of [`fine_size`], three bytes each.
    pub(super) fn new(size: (u32, u32), pixels: &'a mut [u8], svg: &'a mut String, films: &'a Cell<bool>) -> Sheet<'a> {
        let fine = fine_size(size);
        Sheet {
            size,
            picture: BitMapBackend::with_buffer(pixels, fine),
            svg: SVGBackend::with_string(svg, fine),
            films,
        }
    }

    /// A line through `points`, `width` wide, with round joints; `dash` gives the lengths drawn and left out.
    pub(super) fn stroke(&mut self, points: &[Point], width: f64, colour: RGBColor, dash: Option<(f64, f64)>) -> Done {
        let style = ShapeStyle::from(colour).stroke_width((width * f64::from(FINE)).round() as u32);
        match dash {
            None => self.path(points.iter().map(|&p| fine(p)).collect(), &style),
            Some(dash) => {
                dashes(points, dash).into_iter().try_for_each(|ends| self.path(ends.map(fine).into(), &style))
            }
        }
    }

    /// A filled shape with these corners.
    pub(super) fn fill(&mut self, corners: &[Point], colour: RGBColor) -> Done {
        let corners: Vec<_> = corners.iter().map(|&p| fine(p)).collect();
        self.picture.fill_polygon(corners.iter().copied(), &colour).map_err(plain)?;
        self.svg.fill_polygon(corners, &colour)
    }

    /// A filled circle.
    pub(super) fn disc(&mut self, centre: Point, radius: f64, colour: RGBColor) -> Done {
        let (centre, radius) = (fine(centre), (radius * f64::from(FINE)).round() as u32);
        self.picture.draw_circle(centre, radius, &colour, true).map_err(plain)?;
        self.svg.draw_circle(centre, radius, &colour, true)
    }

    /// A film, its upper left corner at `at`; both in pixels of the picture, [`SCALE`] for each of the page's.
    pub(super) fn film(&mut self, film: &RgbImage, at: (i32, i32)) -> Done {
        self.enlarged(film.as_raw(), film.dimensions(), at, (FINE / SCALE) as usize)
    }

    fn enlarged(&mut self, rgb: &[u8], (width, height): (u32, u32), at: (i32, i32), times: usize) -> Done {
        self.films.set(true);
        let mut large = Vec::with_capacity(rgb.len() * times * times);
        for row in rgb.chunks(3 * width as usize) {
            let start = large.len();
            row.chunks(3).for_each(|pixel| (0..times).for_each(|_| large.extend_from_slice(pixel)));
            let end = large.len();
            (1..times).for_each(|_| large.extend_from_within(start..end));
        }
        let place = (at.0 * times as i32, at.1 * times as i32);
        self.picture.blit_bitmap(place, (width * times as u32, height * times as u32), &large).map_err(plain)
    }

    /// A line through places in fine steps.
    fn path<S: BackendStyle>(&mut self, path: Vec<BackendCoord>, style: &S) -> Done {
        let (colour, width) = (style.color(), style.stroke_width().max(1) as i32);
        for ends in path.windows(2) {
            let ((x0, y0), (x1, y1)) = (ends[0], ends[1]);
            let (before, after) = (width / 2, width - width / 2);
            if x0 == x1 || y0 == y1 {
                // Along the grid of pixels nothing needs smoothing, and lines of a page's pixel stay crisp.
                let upright = i32::from(x0 == x1);
                let (low, high) = ((x0.min(x1), y0.min(y1)), (x0.max(x1), y0.max(y1)));
                let corner = (low.0 - before * upright, low.1 - before * (1 - upright));
                let end = (high.0 + after * upright, high.1 + after * (1 - upright));
                self.picture.draw_rect(corner, end, &colour, true).map_err(plain)?;
            } else {
                self.picture.draw_line(ends[0], ends[1], style).map_err(plain)?;
            }
        }
        // Thin lines show no gap where they turn.
        let joints = if width > FINE { path.get(1..path.len().max(2) - 1).unwrap_or_default() } else { &[] };
        for &joint in joints {
            self.picture.draw_circle(joint, (width - 1) as u32 / 2, &colour, true).map_err(plain)?;
        }
        self.svg.draw_path(path, style)
    }
}

/// The size in fine steps of a figure of `size` pixels of a page.
pub(super) fn fine_size((width, height): (u32, u32)) -> (u32, u32) {
    (width * FINE as u32, height * FINE as u32)
}

fn fine(at: Point) -> BackendCoord {
    let step = |v: f64| (v * f64::from(FINE)).round() as i32;
    (step(at.0), step(at.1))
}

fn scaled(at: BackendCoord) -> BackendCoord {
    (at.0 * FINE, at.1 * FINE)
}

fn scaled_style<S: BackendStyle>(style: &S) -> ShapeStyle {
    let BackendColor { alpha, rgb: (r, g, b) } = style.color();
    let colour = RGBColor(r, g, b).mix(alpha);
    ShapeStyle { color: colour, filled: true, stroke_width: style.stroke_width() * FINE as u32 }
}

fn plain<E: std::error::Error + Send + Sync + 'static>(error: DrawingErrorKind<E>) -> DrawingErrorKind<io::Error> {
    match error {
        DrawingErrorKind::DrawingError(error) => DrawingErrorKind::DrawingError(io::Error::other(error)),
        DrawingErrorKind::FontError(error) => DrawingErrorKind::FontError(error),
    }
}

/// The drawn pieces of a line, `on` long with `off` between them.
fn dashes(points: &[Point], (on, off): (f64, f64)) -> Vec<[Point; 2]> {
    let mut pieces = Vec::new();
    let mut travelled = 0.0;
    for ends in points.windows(2) {
        let (a, b) = (ends[0], ends[1]);
        let length = (b.0 - a.0).hypot(b.1 - a.1);
        if length < 1e-6 {
            continue;
        }
        let along = |way: f64| (a.0 + (b.0 - a.0) * way / length, a.1 + (b.1 - a.1) * way / length);
        let mut start = -(travelled % (on + off));
        while start < length {
            let (from, to) = (start.max(0.0), (start + on).min(length));
            if to > from {
                pieces.push([along(from), along(to)]);
            }
            start += on + off;
        }
        travelled += length;
    }
    pieces
}

impl DrawingBackend for Sheet<'_> {
    type ErrorType = io::Error;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Done {
        self.picture.ensure_prepared().map_err(plain)?;
        self.svg.ensure_prepared()
    }

    fn present(&mut self) -> Done {
        self.svg.present()
    }

    fn draw_pixel(&mut self, at: BackendCoord, colour: BackendColor) -> Done {
        self.draw_rect(at, (at.0 + 1, at.1 + 1), &colour, true)
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Done {
        self.path(vec![scaled(from), scaled(to)], &scaled_style(style))
    }

    fn draw_rect<S: BackendStyle>(&mut self, a: BackendCoord, b: BackendCoord, style: &S, fill: bool) -> Done {
        if !fill {
            return self.draw_path([a, (b.0, a.1), b, (a.0, b.1), a], style);
        }
        let (low, high) = ((a.0.min(b.0), a.1.min(b.1)), (a.0.max(b.0), a.1.max(b.1)));
        self.picture.draw_rect(scaled(low), scaled(high), style, true).map_err(plain)?;
        self.svg.draw_rect(scaled(low), scaled(high), style, true)
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Done {
        self.path(path.into_iter().map(scaled).collect(), &scaled_style(style))
    }

    fn draw_circle<S: BackendStyle>(&mut self, centre: BackendCoord, radius: u32, style: &S, fill: bool) -> Done {
        let (centre, radius, style) = (scaled(centre), radius * FINE as u32, scaled_style(style));
        self.picture.draw_circle(centre, radius, &style, fill).map_err(plain)?;
        self.svg.draw_circle(centre, radius, &style, fill)
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, corners: I, style: &S) -> Done {
        let corners: Vec<_> = corners.into_iter().map(scaled).collect();
        self.picture.fill_polygon(corners.iter().copied(), style).map_err(plain)?;
        self.svg.fill_polygon(corners, style)
    }

    /// `plotters` would leave out the room beside each letter and set the line too high, so the letters are set here.
    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, at: BackendCoord) -> Done {
        let size = style.size() * f64::from(FINE);
        let letters = Letters::new(text, size, matches!(style.style(), FontStyle::Bold));
        let left = match style.anchor().h_pos {
            HPos::Left => 0.0,
            HPos::Right => -letters.length,
            HPos::Center => -letters.length / 2.0,
        };
        // Capitals are 0.62 of the size high, and 0.17 of it lie below the baseline.
        let baseline = size
            * match style.anchor().v_pos {
                VPos::Top => 0.8,
                VPos::Center => 0.31,
                VPos::Bottom => -0.2,
            };
        let (origin, colour, turn) = (scaled(at), style.color(), style.transform());
        letters.draw(left, |x, y, share| {
            let (x, y) = turn.transform(x, y + baseline.round() as i32);
            self.picture.draw_pixel((origin.0 + x, origin.1 + y), colour.mix(share.into())).map_err(plain)
        })?;
        let font = FontDesc::new(style.family(), size, style.style()).transform(turn);
        self.svg.draw_text(text, &TextStyle { font, color: colour, pos: style.anchor() }, origin)
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        style: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<io::Error>> {
        let letters = Letters::new(text, style.size(), matches!(style.style(), FontStyle::Bold));
        Ok((letters.length.ceil() as u32, style.size().ceil() as u32))
    }

    fn blit_bitmap(&mut self, at: BackendCoord, size: (u32, u32), rgb: &[u8]) -> Done {
        self.enlarged(rgb, size, at, FINE as usize)
    }
}

/// An element that draws in fractions of a pixel, at places of the whole figure.
struct Ink<F>(F);

impl<'e, F, Coord: 'e> PointCollection<'e, Coord> for &'e Ink<F> {
    type Point = &'e Coord;
    type IntoIter = std::iter::Empty<&'e Coord>;

    fn point_iter(self) -> Self::IntoIter {
        std::iter::empty()
    }
}

impl<F: Fn(&mut Sheet<'_>) -> Done> Drawable<Sheet<'_>> for Ink<F> {
    fn draw<I: Iterator<Item = BackendCoord>>(&self, _: I, sheet: &mut Sheet<'_>, _: (u32, u32)) -> Done {
        (self.0)(sheet)
    }
}

/// Draws by `draw` in fractions of a pixel, at places of the whole figure.
pub(super) fn ink<F>(area: &Area<'_>, draw: F) -> super::Drawing
where
    F: Fn(&mut Sheet<'_>) -> Done,
{
    Ok(area.draw(&Ink(draw))?)
}

/// A place of `area` on the whole figure.
pub(super) fn at_pixel(area: &Area<'_>, (x, y): (i32, i32)) -> Point {
    let (left, top) = area.get_base_pixel();
    (f64::from(left + x), f64::from(top + y))
}
