//! Small shapes that say what a colour says.

use plotters::style::RGBColor;
use plotters_backend::DrawingErrorKind;

use super::palette::INK;
use super::sheet::{Point, Sheet};

/// A small shape beside a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Disc,
    Ring,
    Triangle,
    Tick,
    Cross,
    Square,
    Frame,
}

impl Mark {
    /// Draws the mark about `size` pixels across, centred on `at`.
    pub fn draw(
        self,
        sheet: &mut Sheet<'_>,
        at: Point,
        size: f64,
        colour: RGBColor,
    ) -> Result<(), DrawingErrorKind<std::io::Error>> {
        let r = size / 2.0;
        let p = |x: f64, y: f64| (at.0 + x * r, at.1 + y * r);
        let pen = (size * 0.2).max(1.8);
        match self {
            Mark::Disc => sheet.disc(at, r, colour),
            Mark::Square => sheet.fill(&[p(-0.9, -0.9), p(0.9, -0.9), p(0.9, 0.9), p(-0.9, 0.9)], colour),
            Mark::Frame => {
                // Over the first side twice, so that the first corner is closed.
                let corners = [p(-0.8, -0.8), p(0.8, -0.8), p(0.8, 0.8), p(-0.8, 0.8), p(-0.8, -0.8), p(0.8, -0.8)];
                sheet.stroke(&corners, 4.0, INK, None)?;
                sheet.stroke(&corners, 2.0, colour, None)
            }
            Mark::Triangle => sheet.fill(&[p(0.0, -1.0), p(1.0, 0.85), p(-1.0, 0.85)], colour),
            Mark::Ring => {
                let turn = |i: i32| std::f64::consts::TAU * f64::from(i) / 32.0;
                let inner = 1.0 - pen / size;
                let round: Vec<Point> = (0..=33).map(|i| p(inner * turn(i).cos(), inner * turn(i).sin())).collect();
                sheet.stroke(&round, pen, colour, None)
            }
            Mark::Tick => sheet.stroke(&[p(-0.9, 0.1), p(-0.25, 0.75), p(0.95, -0.75)], pen, colour, None),
            Mark::Cross => {
                sheet.stroke(&[p(-0.75, -0.75), p(0.75, 0.75)], pen, colour, None)?;
                sheet.stroke(&[p(-0.75, 0.75), p(0.75, -0.75)], pen, colour, None)
            }
        }
    }
}
