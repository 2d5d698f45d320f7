//! The precision-recall curve.

use plotters::style::RGBColor;

use super::head::{Key, Sign};
use super::mark::Mark;
use super::palette::{AXIS, BLUE, VERMILLION};
use super::sheet::{DOTTED, Point, ink};
use super::square::square;
use super::{Figure, nothing, short};
use crate::Result;
use metrics::{BandPoint, Interval, NoInterval, PrecisionRecall};

/// What the band is filled with: [`BLUE`], faint.
const BAND: RGBColor = RGBColor(217, 234, 244);

/// Precision against recall with its average, the average's 95 % interval or why there is none, the band in which 95 %
/// of the bootstrap's curves lie at each recall (none if empty), chance, and the operating point at `threshold`.
///
/// # Errors
/// [`Error::Figure`](crate::Error::Figure) if the curve has no point.
pub fn precision_recall(
    title: &str,
    curve: &PrecisionRecall,
    band: &[BandPoint],
    interval: Result<Interval, Option<NoInterval>>,
    threshold: Option<f64>,
) -> Result<Figure> {
    let Some(first) = curve.points.first() else { return Err(nothing("curve")) };
    let average = format!("average precision {:.3}", curve.average_precision);
    let average = match interval {
        Ok(Interval { low, high, kind }) => format!("{average} (95 % CI {low:.3}–{high:.3}, {kind})"),
        // A reason is long, and must fit on a line.
        Err(Some(why)) => format!("AP {:.3}, no interval: {why}", curve.average_precision),
        Err(None) => average,
    };
    let chance = format!("chance: {:.3}, the share that is abnormal", curve.prevalence);
    let mut alt = format!("{title}: precision-recall curve, {average}; {chance}");
    let mut keys: Vec<Key> = vec![(Sign::Curve(BLUE, None), average)];
    if !band.is_empty() {
        keys.push((Sign::Mark(Mark::Square, BAND), "95 % of the curves over patients drawn anew".to_owned()));
    }
    keys.push((Sign::Chance, chance));
    let point = threshold.and_then(|threshold| {
        let at = curve.points.iter().rev().find(|point| point.threshold >= threshold)?;
        Some((threshold, *at))
    });
    if let Some((threshold, point)) = point {
        let rates = format!("precision (PPV) {:.3}, recall (sensitivity) {:.3}", point.precision, point.recall);
        alt += &format!("; at {threshold:.3}: {rates}");
        let what = format!("abnormal at {} or above: {rates}", short(threshold));
        keys.push((Sign::Mark(Mark::Disc, VERMILLION), what));
    }
    let operating = point.map(|(_, point)| (point.recall, point.precision));
    square(title, keys, alt, ["recall (sensitivity)", "precision (PPV)"], operating, |chart| {
        for ends in band.windows(2) {
            let [left, right] = [&ends[0], &ends[1]];
            let corners = [(left.at, left.low), (left.at, left.high), (right.at, right.high), (right.at, right.low)];
            let corners = corners.map(|(x, y)| chart.at(x, y));
            ink(&chart.area(), |sheet| sheet.fill(&corners, BAND))?;
        }
        chart.line(&[(0.0, curve.prevalence), (1.0, curve.prevalence)], 1.5, AXIS, DOTTED)?;
        // A step for each threshold: between two recalls the precision of the next threshold holds.
        let mut line: Vec<Point> = vec![(0.0, first.precision)];
        for point in &curve.points {
            let before = line[line.len() - 1].0;
            line.extend([(before, point.precision), (point.recall, point.precision)]);
        }
        chart.line(&line, 3.0, BLUE, None)
    })
}
