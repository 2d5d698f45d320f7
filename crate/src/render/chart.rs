//! What charts share: the head with title and key, axes with the figures' look, lines, marks, and colour bars.

use std::ops::Range;

use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::ranged1d::{BoldPoints, KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::element::{PathElement, Rectangle};
use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{Color, FontTransform, RGBColor, WHITE};

use super::Drawing;
use super::colour::{Colours, paint};
use super::mark::Mark;
use super::palette::{AXIS, GRID, INK, MUTED};
use super::sheet::{Area, Ink, Point, Sheet};
use super::text::{BODY, NOTE, TICK, TITLE, lines};

/// White around every figure.
pub(super) const MARGIN: i32 = 24;

/// Lengths drawn and left out of a line that points something out, and of one that is there for comparison.
pub(super) const DASHED: Option<Point> = Some((6.0, 4.0));
pub(super) const DOTTED: Option<Point> = Some((2.0, 4.0));

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
    /// None: the line belongs to the one above.
    Blank,
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
            Sign::Blank => Ok(()),
        }
    }
}

/// An entry of a key: a sign and what it stands for.
pub(super) type Key = (Sign, String);

/// Between a sign and its words.
const SIGN_GAP: i32 = 8;

/// Draws an entry whose sign begins at `x`, centred on `y`.
fn entry(area: &Area<'_>, (x, y): (i32, i32), (sign, text): &Key) -> Drawing {
    sign.draw(area, x, y)?;
    let style = NOTE.coloured(INK).at(HPos::Left, VPos::Center);
    Ok(area.draw_text(text, &style, (x + sign.width() + SIGN_GAP, y))?)
}

/// Entries in a row that begins at `x`, centred on `y`.
pub(super) fn key_row(area: &Area<'_>, (mut x, y): (i32, i32), keys: &[Key]) -> Drawing {
    for key in keys {
        entry(area, (x, y), key)?;
        x += key_width(key) + 24;
    }
    Ok(())
}

fn key_width((sign, text): &Key) -> i32 {
    sign.width() + SIGN_GAP + NOTE.width(text).ceil() as i32
}

/// Where a boxed key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Corner {
    UpperLeft,
    LowerRight,
}

/// Entries under each other in a box in a corner of `area`.
pub(super) fn key_box(area: &Area<'_>, corner: Corner, keys: &[Key]) -> Drawing {
    let (area_width, area_height) = dimensions(area);
    let texts = keys.iter().map(|(_, text)| text.as_str());
    let (width, height) = (12 + 26 + SIGN_GAP + NOTE.widest(texts) + 12, keys.len() as i32 * 24 + 12);
    let (x, y) = match corner {
        Corner::UpperLeft => (12, 12),
        Corner::LowerRight => (area_width - width - 12, area_height - height - 12),
    };
    let place = [(x, y), (x + width, y + height)];
    area.draw(&Rectangle::new(place, WHITE.filled()))?;
    area.draw(&Rectangle::new(place, GRID))?;
    for ((sign, text), i) in keys.iter().zip(0..) {
        // Narrow signs stand in the middle of the widest.
        let middle = y + 18 + 24 * i;
        sign.draw(area, x + 12 + (26 - sign.width()) / 2, middle)?;
        let style = NOTE.coloured(INK).at(HPos::Left, VPos::Center);
        area.draw_text(text, &style, (x + 12 + 26 + SIGN_GAP, middle))?;
    }
    Ok(())
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
            x += length + 24;
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
            key_row(area, (MARGIN, y + NOTE.leading() / 2), row)?;
            y += NOTE.leading() + 4;
        }
        Ok(())
    }
}

/// What one direction of a chart means.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    name: String,
    range: (f64, f64),
    ticks: Vec<f64>,
    numbers: Numbers,
}

/// How the numbers at ticks are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Numbers {
    /// As many decimals as tell them apart.
    Plain,
    /// As powers of ten.
    Powers,
    /// Not at all.
    None,
}

impl Axis {
    /// An axis with about `ticks` round numbers, and never more.
    pub fn new(name: impl Into<String>, range: (f64, f64), ticks: usize) -> Axis {
        Axis { name: name.into(), range, ticks: key_points(range, ticks), numbers: Numbers::Plain }
    }

    /// An axis that begins and ends on a tick, around data from `low` to `high`.
    pub fn around(name: impl Into<String>, (low, high): (f64, f64), ticks: usize) -> Axis {
        let pad = if high - low > 1e-9 * high.abs().max(1e-3) { 0.0 } else { (0.05 * high.abs()).max(1e-3) };
        let (low, high) = (low - pad, high + pad);
        let points = key_points((low, high), ticks);
        let step = points.windows(2).next().map_or(high - low, |pair| pair[1] - pair[0]);
        let range = ((low / step + 1e-9).floor() * step, (high / step - 1e-9).ceil() * step);
        let steps = ((range.1 - range.0) / step).round() as i32;
        let ticks = (0..=steps).map(|i| range.0 + f64::from(i) * step).collect();
        Axis { ticks, ..Axis::new(name, range, 2) }
    }

    /// The same with ticks at whole numbers only.
    pub fn whole(mut self) -> Axis {
        self.ticks.retain(|tick| (tick - tick.round()).abs() < 1e-9);
        self
    }

    /// The same for numbers that are powers of ten.
    pub fn powers(self) -> Axis {
        Axis { numbers: Numbers::Powers, ..self.whole() }
    }

    /// The same without numbers.
    pub fn unlabelled(self) -> Axis {
        Axis { numbers: Numbers::None, ..self }
    }

    /// The same with these ticks.
    pub fn ticks(self, ticks: Vec<f64>) -> Axis {
        Axis { ticks, ..self }
    }

    pub fn ends(&self) -> (f64, f64) {
        self.range
    }

    pub fn tick_values(&self) -> &[f64] {
        &self.ticks
    }

    /// Decimals that the ticks need.
    fn decimals(&self) -> usize {
        let step = self.ticks.windows(2).next().map_or(1.0, |pair| pair[1] - pair[0]);
        let exact = |decimals: &usize| {
            let scale = 10f64.powi(*decimals as i32);
            self.ticks.iter().all(|tick| (tick * scale - (tick * scale).round()).abs() < 1e-3 * step * scale)
        };
        (0..12).find(exact).unwrap_or(12)
    }

    /// Room for the numbers of an upright axis and its name.
    pub fn room(&self) -> i32 {
        let labels: Vec<String> = self.ticks.iter().map(|tick| self.format_ext(tick)).collect();
        let name = if self.name.is_empty() { 0 } else { BODY.leading() + 10 };
        TICK.widest(labels.iter().map(String::as_str)) + 2 * TICK_MARK + name
    }
}

/// For `plotters`, an axis is a coordinate that marks its own ticks.
impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        RangedCoordf64::from(self.range()).map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.range.0..self.range.1
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        let text = match self.numbers {
            Numbers::Plain => format!("{value:.*}", self.decimals()),
            Numbers::Powers => format!("1e{value:.0}"),
            Numbers::None => String::new(),
        };
        text.replace('-', "−")
    }
}

/// Length of the lines at ticks; the numbers are twice as far away.
const TICK_MARK: i32 = 4;

/// Room for a level axis' numbers and name.
pub(super) const BELOW: i32 = 52;

/// The round numbers of a range that `plotters` marks.
fn key_points((low, high): (f64, f64), most: usize) -> Vec<f64> {
    RangedCoordf64::from(low..high).key_points(BoldPoints(most))
}

/// The `plotters` chart behind a [`Chart`].
type Context<'c, 's> = ChartContext<'c, Sheet<'s>, Cartesian2d<Axis, Axis>>;

/// Axes with a grid, on which data are drawn in fractions of a pixel.
pub(super) struct Chart<'c, 's> {
    context: Context<'c, 's>,
    x: (f64, f64),
    y: (f64, f64),
}

impl<'c, 's> Chart<'c, 's> {
    /// Axes that fill `area`: the room of the upright axis' labels is taken on the left, [`BELOW`] at the lower edge.
    pub fn new(area: &Area<'s>, x: &Axis, y: &Axis) -> Drawing<Chart<'c, 's>> {
        let below = if x.name.is_empty() { TICK_MARK + 1 } else { BELOW };
        Chart::inside(area, x, y, y.room(), below)
    }

    /// The same with `left` pixels for the upright axis' labels and `below` for the level one's.
    pub fn inside(area: &Area<'s>, x: &Axis, y: &Axis, left: i32, below: i32) -> Drawing<Chart<'c, 's>> {
        let mut builder = ChartBuilder::on(area);
        builder.y_label_area_size(left).x_label_area_size(below);
        let mut context = builder.build_cartesian_2d(x.clone(), y.clone())?;
        context
            .configure_mesh()
            .bold_line_style(GRID)
            .axis_style(AXIS)
            .set_all_tick_mark_size(TICK_MARK)
            .label_style(TICK.at(HPos::Left, VPos::Top))
            .axis_desc_style(BODY.at(HPos::Left, VPos::Top))
            .x_desc(x.name.as_str())
            .y_desc(y.name.as_str())
            .draw()?;
        Ok(Chart { context, x: x.range, y: y.range })
    }

    /// Where a point of the data is on the page; what lies outside the ranges is moved to their edge.
    pub fn at(&self, x: f64, y: f64) -> Point {
        let share = |v: f64, (low, high): (f64, f64)| ((v - low) / (high - low)).clamp(0.0, 1.0);
        let (xs, ys) = self.context.plotting_area().get_pixel_range();
        // `plotters` draws a range from the first of its pixels to the last.
        let along = |share: f64, low: i32, high: i32| f64::from(low) + share * f64::from(high - 1 - low);
        (along(share(x, self.x), xs.start, xs.end), along(1.0 - share(y, self.y), ys.start, ys.end))
    }

    /// The area between the axes.
    pub fn area(&self) -> Area<'s> {
        self.context.plotting_area().strip_coord_spec()
    }

    /// A line through points of the data.
    pub fn line(&self, points: &[Point], width: f64, colour: RGBColor, dash: Option<Point>) -> Drawing {
        let points: Vec<Point> = points.iter().map(|p| self.at(p.0, p.1)).collect();
        ink(&self.area(), |sheet| sheet.stroke(&points, width, colour, dash))
    }

    /// A line through the finite values, interrupted where there is none, each marked if they are not too many for
    /// that.
    pub fn curve(&self, values: &[Point], colour: RGBColor, mark: Mark) -> Drawing {
        for run in values.split(|v| !v.1.is_finite()) {
            self.line(run, 2.5, colour, None)?;
            if values.len() <= 60 || run.len() == 1 {
                let size = if values.len() <= 25 { 9.0 } else { 6.0 };
                run.iter().try_for_each(|&at| self.mark(mark, at, size, colour))?;
            }
        }
        Ok(())
    }

    /// A dashed line over the whole height at `x`.
    pub fn upright(&self, x: f64) -> Drawing {
        self.line(&[(x, self.y.0), (x, self.y.1)], 1.5, INK, DASHED)
    }

    /// A mark at a point of the data.
    pub fn mark(&self, mark: Mark, (x, y): Point, size: f64, colour: RGBColor) -> Drawing {
        let at = self.at(x, y);
        ink(&self.area(), |sheet| mark.draw(sheet, at, size, colour))
    }

    /// A bar from the axis to `y`, `gap` pixels narrower than from `from` to `to`.
    pub fn bar(&self, (from, to): Point, y: f64, gap: i32, colour: RGBColor) -> Drawing {
        let (left, top) = self.pixel(from, y);
        let (right, bottom) = self.pixel(to, self.y.0);
        let place = [(left + gap / 2 + gap % 2, top), (right - gap / 2, bottom + 1)];
        Ok(self.area().draw(&Rectangle::new(place, colour.filled()))?)
    }

    /// The pixel of [`area`](Self::area) that a point of the data lies on.
    pub fn pixel(&self, x: f64, y: f64) -> (i32, i32) {
        let (at, area) = (self.at(x, y), self.area());
        let (left, top) = area.get_base_pixel();
        (at.0.round() as i32 - left, at.1.round() as i32 - top)
    }
}

/// Draws by `draw` in fractions of a pixel, at places of the whole figure.
pub(super) fn ink<F>(area: &Area<'_>, draw: F) -> Drawing
where
    F: Fn(&mut Sheet<'_>) -> Result<(), plotters_backend::DrawingErrorKind<std::io::Error>>,
{
    Ok(area.draw(&Ink(draw))?)
}

/// A place of `area` on the whole figure.
pub(super) fn at_pixel(area: &Area<'_>, (x, y): (i32, i32)) -> Point {
    let (left, top) = area.get_base_pixel();
    (f64::from(left + x), f64::from(top + y))
}

/// Width and height of an area in pixels of the page.
pub(super) fn dimensions(area: &Area<'_>) -> (i32, i32) {
    let (width, height) = area.dim_in_pixel();
    (width as i32, height as i32)
}

/// A colour bar: colours for `0.0..=1.0`, numbers beside it, and what they mean.
#[derive(Debug, Clone, Copy)]
pub(super) struct ColourBar<'a> {
    pub colours: Colours,
    pub ticks: &'a [(f64, &'a str)],
    pub meaning: &'a str,
}

impl ColourBar<'_> {
    const BAR: i32 = 18;

    /// Width with numbers and meaning.
    pub fn width(&self) -> i32 {
        Self::BAR + 9 + TICK.widest(self.ticks.iter().map(|tick| tick.1)) + 6 + NOTE.leading() + 2
    }

    /// Draws the bar, its upper left corner at `x`, `y`.
    pub fn draw(&self, area: &Area<'_>, (x, y): (i32, i32), height: i32) -> Drawing {
        let right = x + Self::BAR;
        for row in 0..height {
            // Each colour reaches to the lower end, so that no seam shows where two meet.
            let value = 1.0 - (row as f32 + 0.5) / height as f32;
            let place = [(x, y + row), (right, y + height)];
            area.draw(&Rectangle::new(place, paint(self.colours.at(value)).filled()))?;
        }
        area.draw(&Rectangle::new([(x, y), (right, y + height)], MUTED))?;
        for (value, label) in self.ticks {
            let level = y + ((1.0 - value) * f64::from(height)).round() as i32;
            area.draw(&PathElement::new([(right, level), (right + 5, level)], MUTED))?;
            area.draw_text(label, &TICK.at(HPos::Left, VPos::Center), (right + 9, level))?;
        }
        upwards(area, (x + self.width() - NOTE.leading(), y + height / 2), self.meaning, NOTE)
    }
}

/// A line of text read from bottom to top, centred on `y`, its upper side at `x`.
pub(super) fn upwards(area: &Area<'_>, at: (i32, i32), text: &str, style: super::text::Style) -> Drawing {
    let style = style.at(HPos::Center, VPos::Top).transform(FontTransform::Rotate270);
    Ok(area.draw_text(text, &style, at)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(axis: &Axis) -> Vec<String> {
        axis.ticks.iter().map(|tick| axis.format_ext(tick)).collect()
    }

    #[test]
    fn ticks_are_round_and_within_the_range() {
        assert_eq!(names(&Axis::new("", (0.0, 1.0), 6)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(names(&Axis::new("", (0.0, 700.0), 5).whole()), ["0", "200", "400", "600"]);
        assert_eq!(names(&Axis::new("", (0.9, 4.1), 10).whole()), ["1", "2", "3", "4"]);
        assert_eq!(names(&Axis::new("", (-7.1, -4.9), 10).powers()), ["1e−7", "1e−6", "1e−5"]);
        let loss = Axis::around("", (0.4873, 0.6215), 8);
        assert_eq!(names(&loss), ["0.48", "0.50", "0.52", "0.54", "0.56", "0.58", "0.60", "0.62", "0.64"]);
        assert_eq!(names(&Axis::new("", (0.0, 0.0003), 4)), ["0.0000", "0.0001", "0.0002", "0.0003"]);
        let axis = Axis::around("", (-3.7, 3.2), 6);
        assert_eq!((axis.range, names(&axis)), ((-4.0, 4.0), ["−4", "−2", "0", "2", "4"].map(String::from).to_vec()));
    }

    #[test]
    fn a_range_of_one_value_is_widened() {
        for value in [0.0, 0.69, -3.0, 1e9] {
            let (low, high) = Axis::around("", (value, value), 6).range;
            assert!(low < value && value < high, "{value}: {low} to {high}");
        }
    }
}
