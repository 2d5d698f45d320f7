//! The confusion matrix.

use plotters::element::Rectangle;
use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{Color, WHITE};

use super::chart::{ColourBar, upwards};
use super::colour::{Colours, paint, text_on};
use super::head::{Head, MARGIN};
use super::palette::{AXIS, INK};
use super::sheet::Area;
use super::text::{BODY, NOTE, lines};
use super::{Drawing, Figure, nothing, percent};
use crate::Result;
use metrics::Confusion;

const CELL: (i32, i32) = (210, 150);
const BAR: ColourBar<'static> = ColourBar {
    colours: Colours::Blues,
    ticks: &[(0.0, "0 %"), (0.5, "50 %"), (1.0, "100 %")],
    meaning: "share of the row",
};

/// The confusion matrix: counts, and each as a share of its row; `names` are the classes, normal first.
///
/// # Errors
/// [`Error::Figure`](crate::Error::Figure) if nothing was counted.
pub fn confusion(title: &str, counts: &Confusion, names: [&str; 2]) -> Result<Figure> {
    if counts.total() == 0 {
        return Err(nothing("decisions"));
    }
    let rows = [[counts.true_negative, counts.false_positive], [counts.false_negative, counts.true_positive]];
    let label_room = BODY.widest(names).clamp(90, 200);
    let row_names = names.map(|name| BODY.wrap(name, label_room));
    let column_names = names.map(|name| BODY.wrap(name, CELL.0 - 16));
    let left = MARGIN + 34 + label_room + 12;
    let bar = left + 2 * CELL.0 + 28;
    let width = bar + BAR.width() + MARGIN;
    let head = Head::new(title, Vec::new(), width);
    let heading = BODY.leading();
    let column_lines = column_names.iter().map(Vec::len).max().unwrap_or(1) as i32;
    let top = head.height + heading + column_lines * heading + 8;

    let rate = |name: &str, value: Option<f64>| match value {
        Some(value) => format!("{name} {value:.3}").replace('-', "−"),
        None => format!("{name} undefined"),
    };
    let summary = [
        format!("n {}", counts.total()),
        rate("accuracy", counts.accuracy()),
        rate("sensitivity", counts.sensitivity()),
        rate("specificity", counts.specificity()),
        rate("Cohen's kappa", counts.kappa()),
    ]
    .join("  ·  ");
    let notes = NOTE.wrap(&summary, width - 2 * MARGIN);
    let bottom = top + 2 * CELL.1;
    let height = bottom + 20 + notes.len() as i32 * NOTE.leading() + MARGIN;
    let [[right_normal, false_alarm], [missed, right_abnormal]] = rows;
    let (normal, abnormal) = (right_normal + false_alarm, missed + right_abnormal);
    let alt = format!(
        "{title}: {right_normal} of {normal} {0} called {0}, {right_abnormal} of {abnormal} {1} called {1}; {summary}",
        names[0], names[1],
    );
    Figure::draw((width as u32, height as u32), alt, |area| {
        head.draw(area)?;
        area.draw_text("decision", &BODY.bold().at(HPos::Center, VPos::Top), (left + CELL.0, head.height))?;
        upwards(area, (MARGIN, top + CELL.1), "label", BODY.bold())?;
        for (row, cells) in rows.iter().enumerate() {
            let (x, y) = (left + row as i32 * CELL.0 + CELL.0 / 2, top + row as i32 * CELL.1);
            let name_top = y + (CELL.1 - row_names[row].len() as i32 * heading) / 2;
            lines(area, (left - 12, name_top), &row_names[row], BODY, HPos::Right)?;
            lines(area, (x, head.height + heading), &column_names[row], BODY, HPos::Center)?;
            let total = cells.iter().sum();
            for (&count, column) in cells.iter().zip(0..) {
                cell(area, (left + column * CELL.0, y), count, total, names[row])?;
            }
        }
        let around = [(left - 1, top - 1), (left + 2 * CELL.0 + 1, top + 2 * CELL.1 + 1)];
        area.draw(&Rectangle::new(around, AXIS))?;
        BAR.draw(area, (bar, top), 2 * CELL.1)?;
        lines(area, (MARGIN, bottom + 16), &notes, NOTE.coloured(INK), HPos::Left)
    })
}

/// A count on the colour of its share of the row.
fn cell(area: &Area<'_>, (x, y): (i32, i32), count: usize, total: usize, name: &str) -> Drawing {
    let ground = Colours::Blues.at(count as f32 / total.max(1) as f32);
    area.draw(&Rectangle::new([(x + 1, y + 1), (x + CELL.0 - 1, y + CELL.1 - 1)], paint(ground).filled()))?;
    area.draw(&Rectangle::new([(x, y), (x + CELL.0, y + CELL.1)], WHITE))?;
    let style = BODY.coloured(text_on(ground));
    let (middle, centre) = (x + CELL.0 / 2, y + CELL.1 / 2);
    let number = style.sized(38.0).bold().at(HPos::Center, VPos::Center);
    area.draw_text(&count.to_string(), &number, (middle, centre - 8))?;
    let share = percent(count, total);
    let of_row = if total == 0 { "the row is empty".to_owned() } else { format!("{share} of {name}") };
    let mut words = style.wrap(&of_row, CELL.0 - 16);
    if words.len() > 2 {
        words = vec![format!("{share} of the row")];
    }
    lines(area, (middle, centre + 17), &words, style, HPos::Center)
}
