//! How well the scores do: ROC curve, confusion matrix, histogram of scores.

use super::axes::{Axes, ticks, whole_ticks};
use super::canvas::{Anchor, Canvas, Mark, Rect};
use super::colour::{AXIS, BLUE, Colours, INK, PAPER, VERMILLION, text_on};
use super::grid::{Head, MARGIN};
use super::text::{BODY, NOTE, Typeface};
use super::{Figure, nothing, percent};
use crate::metrics::{Confusion, Interval, NoInterval, Roc};
use crate::{Error, Result};

/// What a line of the ROC's legend stands for.
enum Line {
    Curve,
    Chance,
    Point,
}

/// The ROC curve with its area, the area's 95 % interval or why there is none, chance, and the operating point at `threshold`.
///
/// # Errors
/// [`Error::Figure`] if the curve has fewer than two points.
pub fn roc(
    title: &str,
    curve: &Roc,
    interval: Result<Interval, Option<NoInterval>>,
    threshold: Option<f64>,
) -> Result<Figure> {
    if curve.points.len() < 2 {
        return Err(nothing("curve"));
    }
    let face = Typeface::bundled();
    let (width, side) = (760, 600);
    let head = Head::new(&face, title, Vec::new(), width);
    let area = Rect::new(104, head.height + 8, side, side);
    let mut canvas = Canvas::new(width, area.bottom() + 60 + MARGIN)?;
    head.draw(&mut canvas);
    let axes = Axes { area, x: (0.0, 1.0), y: (0.0, 1.0) };
    let fifths = ticks(0.0, 1.0, 5);
    axes.draw(
        &mut canvas,
        &fifths,
        &fifths,
        "1 − specificity (false positive rate)",
        "sensitivity (true positive rate)",
    );
    canvas.stroke(&[axes.at(0.0, 0.0), axes.at(1.0, 1.0)], 1.5, AXIS, Some((2.0, 4.0)));
    let line: Vec<_> = curve.points.iter().map(|p| axes.at(p.false_positive_rate, p.true_positive_rate)).collect();
    canvas.stroke(&line, 3.0, BLUE, None);

    let mut area_text = format!("AUROC {:.3}", curve.auroc);
    let mut entries = Vec::new();
    match interval {
        Ok(Interval { low, high }) => area_text += &format!(" (95 % CI {low:.3}–{high:.3})"),
        Err(Some(why)) => entries.push((None, format!("no interval: {why}"))),
        Err(None) => {}
    }
    let mut alt = format!("{title}: ROC curve, {area_text}");
    entries.iter().for_each(|(_, reason)| alt += &format!(", {reason}"));
    entries.insert(0, (Some(Line::Curve), area_text));
    entries.push((Some(Line::Chance), "chance".to_owned()));
    if let Some(threshold) = threshold {
        let point = curve.at(threshold);
        let at = axes.at(point.false_positive_rate, point.true_positive_rate);
        canvas.mark(Mark::Disc, at, 17.0, PAPER);
        canvas.mark(Mark::Disc, at, 13.0, VERMILLION);
        let rates = format!("sensitivity {:.3}, specificity {:.3}", point.sensitivity(), point.specificity());
        alt += &format!("; at {threshold:.3}: {rates}");
        entries.push((Some(Line::Point), format!("operating point: abnormal at {} or above", short(threshold))));
        entries.push((None, rates));
    }
    // The legend goes where a curve is not: below a good one, above one worse than chance.
    let box_width = face.widest(entries.iter().map(|(_, text)| text.as_str()), NOTE) + 56;
    let box_height = entries.len() as i32 * 24 + 16;
    let legend = if curve.auroc >= 0.5 {
        Rect::new(area.right() - box_width - 12, area.bottom() - box_height - 12, box_width, box_height)
    } else {
        Rect::new(area.x + 12, area.y + 12, box_width, box_height)
    };
    canvas.rect(legend, PAPER);
    canvas.frame(legend, 1, super::colour::GRID);
    for (i, (line, entry)) in entries.iter().enumerate() {
        let (x, y) = ((legend.x + 12) as f32, (legend.y + 20 + 24 * i as i32) as f32);
        match line {
            Some(Line::Curve) => canvas.stroke(&[(x, y), (x + 26.0, y)], 3.0, BLUE, None),
            Some(Line::Chance) => canvas.stroke(&[(x, y), (x + 26.0, y)], 1.5, AXIS, Some((2.0, 4.0))),
            Some(Line::Point) => canvas.mark(Mark::Disc, (x + 13.0, y), 13.0, VERMILLION),
            None => {}
        }
        let style = NOTE.coloured(INK);
        canvas.text(x + 36.0, y + style.half_capital(), entry, style, Anchor::Start);
    }
    Ok(Figure::drawn(canvas.image, alt))
}

/// The confusion matrix: counts, and each as a share of its row; `names` are the classes, normal first.
///
/// # Errors
/// [`Error::Figure`] if nothing was counted.
pub fn confusion(title: &str, counts: &Confusion, names: [&str; 2]) -> Result<Figure> {
    if counts.total() == 0 {
        return Err(nothing("decisions"));
    }
    let face = Typeface::bundled();
    let rows = [[counts.true_negative, counts.false_positive], [counts.false_negative, counts.true_positive]];
    let (cell_width, cell_height) = (210, 150);
    let label_room = face.widest(names, BODY).clamp(90, 200);
    let row_names: Vec<_> = names.iter().map(|n| face.wrap(n, BODY, label_room as f32)).collect();
    let column_names: Vec<_> = names.iter().map(|n| face.wrap(n, BODY, (cell_width - 16) as f32)).collect();
    let shares = [(0.0, "0 %"), (0.5, "50 %"), (1.0, "100 %")];
    let left = MARGIN + 34 + label_room + 12;
    let bar_x = left + 2 * cell_width + 28;
    let width = bar_x + 18 + Canvas::new(1, 1)?.colour_bar_room(&shares) + MARGIN;
    let head = Head::new(&face, title, Vec::new(), width);
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
    let notes = face.wrap(&summary, NOTE, (width - 2 * MARGIN) as f32);
    let bottom = top + 2 * cell_height;
    let height = bottom + 20 + notes.len() as i32 * NOTE.leading() + MARGIN;

    let mut canvas = Canvas::new(width, height)?;
    head.draw(&mut canvas);
    let middle = (left + cell_width) as f32;
    canvas.text(middle, head.height as f32 + BODY.ascent(), "decision", BODY.bold(), Anchor::Middle);
    canvas.text_upwards(MARGIN as f32 + BODY.ascent(), (top + cell_height) as f32, "label", BODY.bold());
    for (row, cells) in rows.iter().enumerate() {
        let total: usize = cells.iter().sum();
        let y = top + row as i32 * cell_height;
        let name_top = y + (cell_height - row_names[row].len() as i32 * heading) / 2;
        canvas.lines((left - 12) as f32, name_top, &row_names[row], BODY, Anchor::End);
        let x = left + row as i32 * cell_width + cell_width / 2;
        canvas.lines(x as f32, head.height + heading, &column_names[row], BODY, Anchor::Middle);
        for (column, &count) in cells.iter().enumerate() {
            let area = Rect::new(left + column as i32 * cell_width, y, cell_width, cell_height);
            let ground = Colours::Blues.at(count as f32 / total.max(1) as f32);
            canvas.rect(area, ground);
            canvas.frame(area, 1, PAPER);
            let middle = (area.x + cell_width / 2) as f32;
            let style = BODY.coloured(text_on(ground));
            let centre = (y + cell_height / 2) as f32;
            canvas.text(middle, centre + 4.0, &count.to_string(), style.sized(34.0).bold(), Anchor::Middle);
            let share = if total == 0 {
                "the row is empty".to_owned()
            } else {
                format!("{} of {}", percent(count, total), names[row])
            };
            let mut lines = face.wrap(&share, style, (cell_width - 16) as f32);
            if lines.len() > 2 {
                lines = vec![format!("{} of the row", percent(count, total))];
            }
            for (i, line) in lines.iter().enumerate() {
                let baseline = centre + 32.0 + i as f32 * style.leading() as f32;
                canvas.text(middle, baseline, line, style, Anchor::Middle);
            }
        }
    }
    canvas.frame(Rect::new(left - 1, top - 1, 2 * cell_width + 2, 2 * cell_height + 2), 1, AXIS);
    let bar = Rect::new(bar_x, top, 18, 2 * cell_height);
    canvas.colour_bar(bar, |share| Colours::Blues.at(share), &shares, "share of the row");
    canvas.lines(MARGIN as f32, bottom + 16, &notes, NOTE.coloured(INK), Anchor::Start);
    let alt = format!(
        "{title}: {} of {} {} called {}, {} of {} {} called {}; {summary}",
        rows[0][0],
        rows[0][0] + rows[0][1],
        names[0],
        names[0],
        rows[1][1],
        rows[1][0] + rows[1][1],
        names[1],
        names[1],
    );
    Ok(Figure::drawn(canvas.image, alt))
}

/// How the scores of each class are spread, one above the other on one scale, and which lie on the wrong side of `threshold`.
///
/// Twenty bins over `0.0..=1.0` if all scores lie there (probabilities), over their range otherwise (logits).
///
/// # Errors
/// [`Error::Figure`] if there are no scores or one is not finite.
pub fn score_histogram(title: &str, normal: &[f64], abnormal: &[f64], threshold: Option<f64>) -> Result<Figure> {
    const BINS: usize = 20;
    let all = || normal.iter().chain(abnormal).copied();
    if all().next().is_none() {
        return Err(nothing("scores"));
    }
    if let Some(odd) = all().chain(threshold).find(|s| !s.is_finite()) {
        return Err(Error::Figure(format!("scores must be finite, got {odd}")));
    }
    let probabilities = all().all(|s| (0.0..=1.0).contains(&s));
    let range = if probabilities {
        (0.0, 1.0)
    } else {
        let seen = || all().chain(threshold);
        let (low, high) = (seen().fold(f64::MAX, f64::min), seen().fold(f64::MIN, f64::max));
        super::axes::round_range(low.min(high - 1.0), high.max(low + 1.0), 10)
    };
    let bin = |score: f64| {
        let share = (score - range.0) / (range.1 - range.0);
        ((share * BINS as f64 + 1e-9) as usize).min(BINS - 1)
    };
    let count = |scores: &[f64]| {
        let mut counts = [0usize; BINS];
        scores.iter().for_each(|&s| counts[bin(s)] += 1);
        counts
    };
    let classes = [("normal", normal, BLUE), ("abnormal", abnormal, VERMILLION)];
    let counts = classes.map(|c| count(c.1));
    let most = counts.iter().flatten().copied().max().unwrap_or(0).max(1);

    let face = Typeface::bundled();
    let (width, plot_height, heading) = (1000, 170, 34);
    let head = Head::new(&face, title, Vec::new(), width);
    let left = MARGIN + 76;
    let mut canvas = Canvas::new(width, head.height + 2 * (heading + plot_height) + 14 + 60 + MARGIN)?;
    head.draw(&mut canvas);
    let mut alt = title.to_owned();
    let mut top = head.height;
    for (i, (name, scores, colour)) in classes.into_iter().enumerate() {
        let area = Rect::new(left, top + heading, width - left - MARGIN - 16, plot_height);
        let axes = Axes { area, x: range, y: (0.0, most as f64 * 1.04) };
        let mut x_ticks = ticks(range.0, range.1, 10);
        if i == 0 {
            x_ticks.iter_mut().for_each(|t| t.1.clear());
        }
        let label = match (i, probabilities) {
            (0, _) => "",
            (_, true) => "score (probability of abnormal)",
            (_, false) => "score",
        };
        axes.draw(&mut canvas, &x_ticks, &whole_ticks(0.0, most as f64, 4), label, "count");
        let step = (range.1 - range.0) / BINS as f64;
        for (b, &n) in counts[i].iter().enumerate().filter(|(_, n)| **n > 0) {
            let (x0, y0) = axes.at(range.0 + b as f64 * step, n as f64);
            let x1 = axes.at(range.0 + (b + 1) as f64 * step, 0.0).0;
            let (x0, x1, y0) = (x0.round() as i32 + 1, x1.round() as i32 - 1, y0.round() as i32);
            canvas.rect(Rect::new(x0, y0, x1 - x0, area.bottom() - y0), colour);
        }
        let mut caption = format!("{name}: n {}", scores.len());
        if let Some(threshold) = threshold {
            let above = scores.iter().filter(|s| **s >= threshold).count();
            caption += &format!(", {} called abnormal", above);
            let x = threshold.clamp(range.0, range.1);
            canvas.stroke(&[axes.at(x, 0.0), axes.at(x, axes.y.1)], 2.0, INK, Some((6.0, 4.0)));
        }
        let baseline = (top + heading - 10) as f32;
        canvas.mark(Mark::Square, (left as f32 + 7.0, baseline - NOTE.half_capital()), 13.0, colour);
        canvas.text(left as f32 + 20.0, baseline, &caption, BODY, Anchor::Start);
        if let (0, Some(threshold)) = (i, threshold) {
            let name = format!("threshold {}", short(threshold));
            let (right, style) = (area.right() as f32, NOTE.coloured(INK));
            canvas.text(right, baseline, &name, style, Anchor::End);
            let x = right - face.width(&name, style) - 10.0;
            canvas.stroke(&[(x, baseline - 15.0), (x, baseline + 4.0)], 2.0, INK, Some((6.0, 4.0)));
        }
        alt += &format!("; {caption}");
        top = area.bottom() + 14;
    }
    Ok(Figure::drawn(canvas.image, alt))
}

/// Three decimals, without trailing zeros beyond the second.
fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    text.strip_suffix('0').unwrap_or(&text).replace('-', "−")
}
