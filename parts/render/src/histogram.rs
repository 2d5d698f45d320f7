//! How scores are spread.

use super::axis::Axis;
use super::chart::{BELOW, Chart};
use super::head::{Head, Key, MARGIN, Sign};
use super::mark::Mark;
use super::palette::{BLUE, VERMILLION};
use super::{Figure, nothing, short};
use crate::{Error, Result};

/// How the scores of each class are spread, one above the other on one scale, and which lie on the wrong side of
/// `threshold`.
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
        Axis::around("", (low.min(high - 1.0), high.max(low + 1.0)), 12).ends()
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

    let captions = classes.map(|(name, scores, _)| {
        let above = |threshold| scores.iter().filter(|s| **s >= threshold).count();
        let called = threshold.map_or(String::new(), |threshold| format!(", {} called abnormal", above(threshold)));
        format!("{name}: n {}{called}", scores.len())
    });
    let alt = format!("{title}; {}; {}", captions[0], captions[1]);
    let label = if probabilities { "score (probability of abnormal)" } else { "score" };
    let y = Axis::new("count", (0.0, most as f64 * 1.04), 5).whole();
    let mut keys: Vec<Key> = Vec::new();
    for ((_, _, colour), caption) in classes.into_iter().zip(captions) {
        keys.push((Sign::Mark(Mark::Square, colour), caption));
    }
    keys.extend(threshold.map(|threshold| (Sign::Upright, format!("threshold {}", short(threshold)))));
    let (width, plot, between) = (1000, 170, 20);
    let head = Head::new(title, keys, width);
    let height = head.height + 8 + 2 * plot + between + BELOW + MARGIN;
    let step = (range.1 - range.0) / BINS as f64;
    Figure::draw((width as u32, height as u32), alt, |area| {
        head.draw(area)?;
        let area = area.margin(head.height + 8, MARGIN, MARGIN, MARGIN + 16);
        // The upper chart has lines at its ticks below it, but no numbers.
        let (upper, lower) = area.split_vertically(plot + between);
        for (i, (area, (_, _, colour))) in [upper.margin(0, between - 5, 0, 0), lower].iter().zip(classes).enumerate() {
            let x = if i == 0 { Axis::new("", range, 11).unlabelled() } else { Axis::new(label, range, 11) };
            let chart = Chart::new(area, &x, &y)?;
            for (b, &n) in counts[i].iter().enumerate().filter(|(_, n)| **n > 0) {
                let from = range.0 + b as f64 * step;
                chart.bar((from, from + step), n as f64, 2, colour)?;
            }
            threshold.map_or(Ok(()), |threshold| chart.upright(threshold.clamp(range.0, range.1)))?;
        }
        Ok(())
    })
}
