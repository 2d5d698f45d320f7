//! What charts share: axes with the figures' look, lines, marks, and colour bars.

use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::cartesian::Cartesian2d;
use plotters::element::{PathElement, Rectangle};
use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{Color, FontTransform, RGBColor};

use super::Drawing;
use super::axis::{Axis, TICK_MARK};
use super::colour::{Colours, paint};
use super::mark::Mark;
use super::palette::{AXIS, GRID, INK, MUTED};
use super::sheet::{Area, DASHED, Point, Sheet, ink};
use super::text::{BODY, NOTE, Style, TICK};

/// Room for a level axis' numbers and name.
pub(super) const BELOW: i32 = 52;

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
        Ok(Chart { context, x: x.ends(), y: y.ends() })
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
pub(super) fn upwards(area: &Area<'_>, at: (i32, i32), text: &str, style: Style) -> Drawing {
    let style = style.at(HPos::Center, VPos::Top).transform(FontTransform::Rotate270);
    Ok(area.draw_text(text, &style, at)?)
}
