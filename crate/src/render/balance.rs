//! How many of each class there are.

use super::axes::{Axes, Tick, whole_ticks};
use super::canvas::{Anchor, Canvas, Mark, Rect};
use super::colour::{BLUE, PAPER, VERMILLION};
use super::grid::{Head, MARGIN};
use super::text::{BODY, NOTE, TICK, Typeface};
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
    let face = Typeface::bundled();
    let group = (1000 / rows.len() as i32).clamp(120, 260);
    let left = MARGIN + 72;
    let width = (left + group * rows.len() as i32 + MARGIN).max(700);
    let names: Vec<_> = rows.iter().map(|row| face.wrap(&row.name, BODY, (group - 16) as f32)).collect();
    let name_lines = names.iter().map(Vec::len).max().unwrap_or(1) as i32;
    let keys = vec![(Mark::Square, BLUE, "normal".to_owned()), (Mark::Square, VERMILLION, "abnormal".to_owned())];
    let head = Head::new(&face, title, keys, width);
    let area = Rect::new(left, head.height + 40, width - left - MARGIN, 300);
    let height = area.bottom() + 10 + name_lines * BODY.leading() + MARGIN;

    let mut canvas = Canvas::new(width, height)?;
    head.draw(&mut canvas);
    let most = rows.iter().map(|r| r.normal.max(r.abnormal)).max().unwrap_or(0).max(1);
    let axes = Axes { area, x: (0.0, rows.len() as f64), y: (0.0, most as f64) };
    let y_ticks: Vec<Tick> = whole_ticks(0.0, most as f64, 5);
    axes.draw(&mut canvas, &[], &y_ticks, "", "count");
    for (i, (row, name)) in rows.iter().zip(&names).enumerate() {
        let centre = axes.at(i as f64 + 0.5, 0.0).0;
        let bar = (group as f32 * 0.34).min(84.0).round();
        let total = row.normal + row.abnormal;
        for (count, colour, from) in [(row.normal, BLUE, -bar - 2.0), (row.abnormal, VERMILLION, 2.0)] {
            let top = axes.at(0.0, count as f64).1.round() as i32;
            let x = (centre + from).round() as i32;
            canvas.rect(Rect::new(x, top, bar as i32, area.bottom() - top), colour);
            let middle = x as f32 + bar / 2.0;
            let (number, share) = (count.to_string(), percent(count, total));
            let wide = face.widest([number.as_str()], BODY.bold()).max(face.widest([share.as_str()], TICK)) + 6;
            canvas.rect(Rect::new(middle as i32 - wide / 2, top - 38, wide, 37), PAPER);
            canvas.text(middle, (top - 24) as f32, &number, BODY.bold(), Anchor::Middle);
            canvas.text(middle, (top - 7) as f32, &share, TICK.coloured(NOTE.colour), Anchor::Middle);
        }
        canvas.lines(centre, area.bottom() + 8, name, BODY, Anchor::Middle);
    }
    let counts =
        rows.iter().map(|r| format!("{}: {} normal, {} abnormal", r.name.replace('\n', ", "), r.normal, r.abnormal));
    let alt = format!("{title}. {}", counts.collect::<Vec<_>>().join("; "));
    Ok(Figure::drawn(canvas.image, alt))
}
