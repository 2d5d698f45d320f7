//! How training went.

use super::axis::Axis;
use super::chart::{BELOW, Chart};
use super::head::{Head, Key, MARGIN, Sign};
use super::mark::Mark;
use super::palette::{AXIS, BLUE, VERMILLION};
use super::sheet::{Area, DOTTED, Point};
use super::text::NOTE;
use super::{Drawing, Figure, nothing};
use crate::Result;
use files::counted;
use plotters::style::text_anchor::{HPos, VPos};

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
    let mut alt = format!("{title}: loss and AUROC over {}", counted(points.len(), "epoch"));
    let kept = best.map(|best| {
        let auroc = best.tune_auroc.map_or(String::new(), |auroc| format!(", AUROC {auroc:.3}"));
        format!("epoch kept: {}{auroc}", best.epoch)
    });
    kept.iter().for_each(|kept| alt += &format!("; {kept}"));

    let epochs = epoch_axis(first, last);
    let train: Vec<Point> = points.iter().map(|p| (p.epoch as f64, p.train_loss)).collect();
    let tune: Vec<Point> = points.iter().map(|p| (p.epoch as f64, p.tune_loss)).collect();
    let auroc: Vec<Point> = points.iter().map(|p| (p.epoch as f64, p.tune_auroc.unwrap_or(f64::NAN))).collect();
    let best = best.map(|best| best.epoch as f64);

    let width = 1160;
    let curve = |colour, mark, name: &str| (Sign::Curve(colour, Some(mark)), name.to_owned());
    let mut keys: Vec<Key> = vec![curve(BLUE, Mark::Disc, "training"), curve(VERMILLION, Mark::Square, "tuning")];
    keys.extend(kept.map(|kept| (Sign::Upright, kept)));
    let head = Head::new(title, keys, width);
    let height = head.height + 8 + PLOT + BELOW + MARGIN;
    Figure::draw((width as u32, height as u32), alt, |area| {
        head.draw(area)?;
        let (left, right) = area.margin(head.height + 8, MARGIN, MARGIN, MARGIN).split_horizontally(width / 2 - MARGIN);
        losses(&left.margin(0, 0, 0, 20), &epochs, &train, &tune, best)?;
        aurocs(&right.margin(0, 0, 20, 0), &epochs, &auroc, best)
    })
}

const PLOT: i32 = 330;

/// The first epoch is named, and as many others as there is room for.
fn epoch_axis(first: usize, last: usize) -> Axis {
    let (first, last) = (first as f64, last as f64);
    // Room for the marks at both ends.
    let pad = if first == last { 1.0 } else { 0.03 * (last - first) };
    let axis = Axis::new("epoch", (first - pad, last + pad), 10).whole();
    let mut ticks: Vec<f64> = axis.tick_values().iter().copied().filter(|tick| (first..=last).contains(tick)).collect();
    let step = ticks.windows(2).next().map_or(1.0, |pair| pair[1] - pair[0]);
    if ticks.first().is_none_or(|tick| tick - first > 0.3 * step) {
        ticks.insert(0, first);
    }
    axis.ticks(ticks)
}

fn losses(area: &Area<'_>, epochs: &Axis, train: &[Point], tune: &[Point], best: Option<f64>) -> Drawing {
    let finite = || train.iter().chain(tune).map(|p| p.1).filter(|loss| loss.is_finite());
    let low = finite().fold(f64::INFINITY, f64::min);
    let high = finite().fold(f64::NEG_INFINITY, f64::max);
    let pad = 0.05 * (high - low);
    let range = if low <= high { ((low - pad).max(low.min(0.0)), high + pad) } else { (0.0, 1.0) };
    let axis = Axis::around("loss (cross-entropy, nats)", range, 8);
    let chart = Chart::new(area, epochs, &axis)?;
    best.map_or(Ok(()), |best| chart.upright(best))?;
    chart.curve(train, BLUE, Mark::Disc)?;
    chart.curve(tune, VERMILLION, Mark::Square)
}

fn aurocs(area: &Area<'_>, epochs: &Axis, auroc: &[Point], best: Option<f64>) -> Drawing {
    let known = || auroc.iter().map(|p| p.1).filter(|auroc| auroc.is_finite());
    let low = (known().fold(0.95, f64::min) * 10.0 - 1e-9).floor() / 10.0;
    let axis = Axis::new("AUROC (tuning split)", (low.max(0.0), 1.0), 7);
    let middle = |chart: &Chart<'_, '_>| {
        let (width, height) = chart.area().dim_in_pixel();
        (width as i32 / 2, height as i32 / 2)
    };
    if known().next().is_none() {
        let blank = |axis: &Axis| axis.clone().ticks(Vec::new());
        let chart = Chart::inside(area, &blank(epochs), &blank(&axis), axis.room(), BELOW)?;
        let why = "undefined: the tuning split has one class only";
        chart.area().draw_text(why, &NOTE.at(HPos::Center, VPos::Center), middle(&chart))?;
    } else {
        let chart = Chart::new(area, epochs, &axis)?;
        if axis.ends().0 <= 0.5 {
            let (from, to) = epochs.ends();
            chart.line(&[(from, 0.5), (to, 0.5)], 1.5, AXIS, DOTTED)?;
            let (x, y) = chart.pixel(to, 0.5);
            chart.area().draw_text("chance", &NOTE.at(HPos::Right, VPos::Bottom), (x - 6, y - 2))?;
        }
        best.map_or(Ok(()), |best| chart.upright(best))?;
        chart.curve(auroc, VERMILLION, Mark::Square)?;
    }
    Ok(())
}
