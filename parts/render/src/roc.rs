//! The ROC curve.

use super::head::{Key, Sign};
use super::mark::Mark;
use super::palette::{AXIS, BLUE, VERMILLION};
use super::sheet::{DOTTED, Point};
use super::square::square;
use super::{Figure, nothing, short};
use crate::Result;
use metrics::{Interval, NoInterval, Roc};

/// The ROC curve with its area, the area's 95 % interval or why there is none, chance, and the operating point at
/// `threshold`.
///
/// # Errors
/// [`Error::Figure`](crate::Error::Figure) if the curve has fewer than two points.
pub fn roc(
    title: &str,
    curve: &Roc,
    interval: Result<Interval, Option<NoInterval>>,
    threshold: Option<f64>,
) -> Result<Figure> {
    if curve.points.len() < 2 {
        return Err(nothing("curve"));
    }
    let area_text = match interval {
        Ok(Interval { low, high, kind }) => {
            format!("AUROC {:.3} (95 % CI {low:.3}–{high:.3}, {kind})", curve.auroc)
        }
        Err(Some(why)) => format!("AUROC {:.3}, no interval: {why}", curve.auroc),
        Err(None) => format!("AUROC {:.3}", curve.auroc),
    };
    let mut alt = format!("{title}: ROC curve, {area_text}");
    let mut keys: Vec<Key> = vec![(Sign::Curve(BLUE, None), area_text), (Sign::Chance, "chance".to_owned())];
    let point = threshold.map(|threshold| (threshold, curve.at(threshold)));
    if let Some((threshold, point)) = point {
        let rates = format!("sensitivity {:.3}, specificity {:.3}", point.sensitivity(), point.specificity());
        alt += &format!("; at {threshold:.3}: {rates}");
        let what = format!("abnormal at {} or above: {rates}", short(threshold));
        keys.push((Sign::Mark(Mark::Disc, VERMILLION), what));
    }

    let operating = point.map(|(_, point)| (point.false_positive_rate, point.true_positive_rate));
    square(
        title,
        keys,
        alt,
        ["1 − specificity (false positive rate)", "sensitivity (true positive rate)"],
        operating,
        |chart| {
            chart.line(&[(0.0, 0.0), (1.0, 1.0)], 1.5, AXIS, DOTTED)?;
            let line: Vec<Point> = curve.points.iter().map(|p| (p.false_positive_rate, p.true_positive_rate)).collect();
            chart.line(&line, 3.0, BLUE, None)
        },
    )
}
