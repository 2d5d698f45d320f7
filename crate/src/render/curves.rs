//! How training went.

use super::axes::{Axes, round_range, ticks, whole_ticks};
use super::canvas::{Anchor, Canvas, Mark, Rect};
use super::colour::{AXIS, BLUE, INK, PAPER, VERMILLION};
use super::grid::{Head, MARGIN};
use super::text::{NOTE, Typeface};
use super::{Figure, nothing};
use crate::Result;
use crate::counted;

/// One epoch's figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePoint {
    /// The epoch, counted as the caller counts (usually from 1).
    pub epoch: usize,
    /// Mean loss over the views learnt from; not finite leaves a gap.
    pub train_loss: f64,
    /// Mean loss over the tuning split; not finite leaves a gap.
    pub tune_loss: f64,
    /// AUROC on the tuning split, `0.0..=1.0`; `None` where it has one class only.
    pub tune_auroc: Option<f64>,
}

/// Loss on the left, AUROC on the right, over epochs, with the chosen epoch marked in both.
///
/// `best_epoch` is the epoch that training kept; `None` marks the one of highest AUROC.
///
/// # Errors
/// [`Error::Figure`](crate::Error::Figure) if there are no points.
pub fn learning_curves(title: &str, points: &[CurvePoint], best_epoch: Option<usize>) -> Result<Figure> {
    let (Some(first), Some(last)) = (points.iter().map(|p| p.epoch).min(), points.iter().map(|p| p.epoch).max()) else {
        return Err(nothing("epochs"));
    };
    let best = match best_epoch {
        Some(epoch) => points.iter().find(|p| p.epoch == epoch),
        // The first of equals.
        None => points
            .iter()
            .filter(|p| p.tune_auroc.is_some())
            .rev()
            .max_by(|a, b| a.tune_auroc.unwrap_or(0.0).total_cmp(&b.tune_auroc.unwrap_or(0.0))),
    };
    let (width, panel, plot_height) = (1160, 480, 330);
    let head = Head::new(&Typeface::bundled(), title, Vec::new(), width);
    let top = head.height + 34;
    let mut canvas = Canvas::new(width, top + plot_height + 60 + MARGIN)?;
    head.draw(&mut canvas);

    let epochs = if first == last {
        (first as f64 - 1.0, last as f64 + 1.0)
    } else {
        // Room for the marks at both ends.
        let pad = 0.03 * (last - first) as f64;
        (first as f64 - pad, last as f64 + pad)
    };
    let mut epoch_ticks = whole_ticks(first as f64, last as f64, 10);
    let step = epoch_ticks.windows(2).next().map_or(1.0, |pair| pair[1].0 - pair[0].0);
    if epoch_ticks.first().is_none_or(|tick| tick.0 - first as f64 > 0.3 * step) {
        epoch_ticks.insert(0, (first as f64, first.to_string()));
    }

    let train: Vec<_> = points.iter().map(|p| (p.epoch, p.train_loss)).collect();
    let tune: Vec<_> = points.iter().map(|p| (p.epoch, p.tune_loss)).collect();
    let losses = || train.iter().chain(&tune).map(|p| p.1).filter(|v| v.is_finite());
    let low = losses().fold(f64::INFINITY, f64::min);
    let high = losses().fold(f64::NEG_INFINITY, f64::max);
    let pad = 0.05 * (high - low);
    let range = if low <= high { round_range((low - pad).max(low.min(0.0)), high + pad, 5) } else { (0.0, 1.0) };
    let axes = Axes { area: Rect::new(MARGIN + 72, top, panel - 48, plot_height), x: epochs, y: range };
    axes.draw(&mut canvas, &epoch_ticks, &ticks(range.0, range.1, 6), "epoch", "loss (cross-entropy, nats)");
    mark_best(&mut canvas, &axes, best);
    curve(&mut canvas, &axes, &train, BLUE, Mark::Disc);
    curve(&mut canvas, &axes, &tune, VERMILLION, Mark::Square);
    let mut x = axes.area.x;
    for (mark, colour, name) in [(Mark::Disc, BLUE, "training"), (Mark::Square, VERMILLION, "tuning")] {
        x = legend(&mut canvas, x, top - 18, colour, Some(mark), name);
    }

    let auroc: Vec<_> = points.iter().map(|p| (p.epoch, p.tune_auroc.unwrap_or(f64::NAN))).collect();
    let known = || auroc.iter().map(|p| p.1).filter(|v| v.is_finite());
    let low = (known().fold(0.95, f64::min) * 10.0 - 1e-9).floor() / 10.0;
    let axes = Axes {
        area: Rect::new(width - MARGIN - panel + 32, top, panel - 48, plot_height),
        x: epochs,
        y: (low.max(0.0), 1.0),
    };
    let auroc_ticks = known().next().map(|_| ticks(axes.y.0, 1.0, 6));
    axes.draw(&mut canvas, &epoch_ticks, &auroc_ticks.unwrap_or_default(), "epoch", "AUROC (tuning split)");
    if axes.y.0 <= 0.5 {
        let chance = [axes.at(epochs.0, 0.5), axes.at(epochs.1, 0.5)];
        canvas.stroke(&chance, 1.5, AXIS, Some((2.0, 4.0)));
        canvas.text(chance[1].0 - 6.0, chance[1].1 - 6.0, "chance", NOTE, Anchor::End);
    }
    if known().next().is_some() {
        mark_best(&mut canvas, &axes, best);
        curve(&mut canvas, &axes, &auroc, VERMILLION, Mark::Square);
    } else {
        canvas.rect(axes.area.inset(1), PAPER);
        let middle = (axes.area.x + axes.area.width / 2) as f32;
        let y = (top + plot_height / 2) as f32;
        canvas.text(middle, y, "undefined: the tuning split has one class only", NOTE, Anchor::Middle);
    }
    let x = legend(&mut canvas, axes.area.x, top - 18, VERMILLION, Some(Mark::Square), "tuning");
    let mut alt = format!("{title}: loss and AUROC over {}", counted(points.len(), "epoch"));
    if let Some(best) = best {
        let mut name = format!("epoch kept: {}", best.epoch);
        if let Some(auroc) = best.tune_auroc {
            name += &format!(", AUROC {auroc:.3}");
        }
        legend(&mut canvas, x, top - 18, INK, None, &name);
        alt += &format!("; {name}");
    }
    Ok(Figure::drawn(canvas.image, alt))
}

fn mark_best(canvas: &mut Canvas, axes: &Axes, best: Option<&CurvePoint>) {
    if let Some(best) = best {
        let x = best.epoch as f64;
        let line = [axes.at(x, axes.y.0), axes.at(x, axes.y.1)];
        canvas.stroke(&line, 1.5, INK, Some((6.0, 4.0)));
    }
}

/// A line through the finite values, interrupted where there is none.
fn curve(canvas: &mut Canvas, axes: &Axes, values: &[(usize, f64)], colour: image::Rgb<u8>, mark: Mark) {
    for run in values.split(|v| !v.1.is_finite()) {
        let line: Vec<_> = run.iter().map(|v| axes.at(v.0 as f64, v.1)).collect();
        canvas.stroke(&line, 2.5, colour, None);
        if values.len() <= 60 || run.len() == 1 {
            for at in line {
                canvas.mark(mark, at, if values.len() <= 25 { 9.0 } else { 6.0 }, colour);
            }
        }
    }
}

/// A line's sign and name at `x`, centred on `y`; returns where the next may start. Without a mark: a dashed upright.
fn legend(canvas: &mut Canvas, x: i32, y: i32, colour: image::Rgb<u8>, mark: Option<Mark>, name: &str) -> i32 {
    let (left, middle) = (x as f32, y as f32);
    let style = NOTE.coloured(INK);
    let sign = if let Some(mark) = mark {
        canvas.stroke(&[(left, middle), (left + 26.0, middle)], 2.5, colour, None);
        canvas.mark(mark, (left + 13.0, middle), 9.0, colour);
        26.0
    } else {
        canvas.stroke(&[(left + 4.0, middle + 9.0), (left + 4.0, middle - 9.0)], 1.5, INK, Some((6.0, 4.0)));
        8.0
    };
    canvas.text(left + sign + 8.0, middle + style.half_capital(), name, style, Anchor::Start);
    x + (sign + 8.0 + canvas.face.width(name, style)) as i32 + 24
}
