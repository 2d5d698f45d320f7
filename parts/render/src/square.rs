//! Curves of one share against another, in a square from 0 to 1, under a head.

use plotters::style::WHITE;

use super::axis::Axis;
use super::chart::{BELOW, Chart};
use super::head::{Head, Key, MARGIN};
use super::mark::Mark;
use super::palette::VERMILLION;
use super::sheet::Point;
use super::{Drawing, Figure};
use crate::Result;

/// Lets `draw` draw in the square, and marks the operating point on top.
pub(super) fn square(
    title: &str,
    keys: Vec<Key>,
    alt: String,
    [x, y]: [&str; 2],
    operating: Option<Point>,
    draw: impl FnOnce(&Chart) -> Drawing,
) -> Result<Figure> {
    let [x, y] = [x, y].map(|name| Axis::new(name, (0.0, 1.0), 6));
    let (side, width) = (600, 2 * MARGIN + y.room() + 600 + 10);
    let head = Head::new(title, keys, width);
    let height = head.height + 8 + side + BELOW + MARGIN;
    Figure::draw((width as u32, height as u32), alt, |area| {
        head.draw(area)?;
        let chart = Chart::new(&area.margin(head.height + 8, MARGIN, MARGIN, MARGIN + 10), &x, &y)?;
        draw(&chart)?;
        if let Some(at) = operating {
            chart.mark(Mark::Disc, at, 17.0, WHITE)?;
            chart.mark(Mark::Disc, at, 13.0, VERMILLION)?;
        }
        Ok(())
    })
}
