//! How many of each class there are.

use plotters::element::Rectangle;
use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{Color, WHITE};

use super::axis::Axis;
use super::chart::Chart;
use super::head::{Head, MARGIN, Sign};
use super::mark::Mark;
use super::palette::{BLUE, MUTED, VERMILLION};
use super::text::{BODY, TICK, lines};
use super::{Figure, nothing, percent};
use crate::Result;

/// One group of bars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalanceRow {
    /// What is counted, for example `train, studies`; a line break stays one.
    pub name: String,
    /// How many are normal.
    pub normal: usize,
    /// How many are abnormal.
    pub abnormal: usize,
}

/// Two bars a row, normal and abnormal, with count and share written on them.
///
/// # Errors
/// [`Error::Figure`](crate::Error::Figure) if there are no rows.
pub fn class_balance(title: &str, rows: &[BalanceRow]) -> Result<Figure> {
    if rows.is_empty() {
        return Err(nothing("rows"));
    }
    let most = rows.iter().map(|r| r.normal.max(r.abnormal)).max().unwrap_or(0).max(1);
    let (x, y) = (
        Axis::new("", (0.0, rows.len() as f64), 2).ticks(Vec::new()),
        Axis::new("count", (0.0, most as f64), 6).whole(),
    );
    let group = (1000 / rows.len() as i32).clamp(120, 260);
    let width = (2 * MARGIN + y.room() + group * rows.len() as i32).max(700);
    let names: Vec<_> = rows.iter().map(|row| BODY.wrap(&row.name, group - 16)).collect();
    let below = 10 + names.iter().map(Vec::len).max().unwrap_or(1) as i32 * BODY.leading();
    let key = |colour, name: &str| (Sign::Mark(Mark::Square, colour), name.to_owned());
    let head = Head::new(title, vec![key(BLUE, "normal"), key(VERMILLION, "abnormal")], width);
    let counts =
        rows.iter().map(|r| format!("{}: {} normal, {} abnormal", r.name.replace('\n', ", "), r.normal, r.abnormal));
    let alt = format!("{title}. {}", counts.collect::<Vec<_>>().join("; "));
    let height = head.height + 40 + 300 + below + MARGIN;
    Figure::draw((width as u32, height as u32), alt, |area| {
        head.draw(area)?;
        let chart = Chart::inside(&area.margin(head.height + 40, MARGIN, MARGIN, MARGIN), &x, &y, y.room(), below)?;
        let (left, top) = chart.area().get_base_pixel();
        let bar = (group * 34 / 100).min(84);
        for (i, (row, name)) in rows.iter().zip(&names).enumerate() {
            let (centre, floor) = chart.pixel(i as f64 + 0.5, 0.0);
            for (count, colour, from) in [(row.normal, BLUE, -bar - 2), (row.abnormal, VERMILLION, 2)] {
                let level = chart.pixel(0.0, count as f64).1;
                let place = [(left + centre + from, top + level), (left + centre + from + bar, top + floor + 1)];
                area.draw(&Rectangle::new(place, colour.filled()))?;
                let (middle, level) = (left + centre + from + bar / 2, top + level);
                let (number, share) = (count.to_string(), percent(count, row.normal + row.abnormal));
                let half = BODY.bold().widest([number.as_str()]).max(TICK.widest([share.as_str()])) / 2 + 3;
                area.draw(&Rectangle::new([(middle - half, level - 39), (middle + half, level - 1)], WHITE.filled()))?;
                area.draw_text(&number, &BODY.bold().at(HPos::Center, VPos::Bottom), (middle, level - 20))?;
                area.draw_text(&share, &TICK.coloured(MUTED).at(HPos::Center, VPos::Bottom), (middle, level - 3))?;
            }
            lines(area, (left + centre, top + floor + 10), name, BODY, HPos::Center)?;
        }
        Ok(())
    })
}
