//! How scores are spread.

use super::chart::{Axis, BELOW, Chart, Head, MARGIN, Sign, key_row};
use super::mark::Mark;
use super::palette::{BLUE, VERMILLION};
use super::text::NOTE;
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
    let (width, plot, heading) = (1000, 170, 34);
    let head = Head::new(title, Vec::new(), width);
    let height = head.height + 2 * (heading + plot) + 14 + BELOW + MARGIN;
    let step = (range.1 - range.0) / BINS as f64;
    Figure::draw((width as u32, height as u32), alt, |area| {
        head.draw(area)?;
        let area = area.margin(head.height, MARGIN, MARGIN, MARGIN + 16);
        let (upper, lower) = area.split_vertically(heading + plot + 14);
        for (i, (area, (_, _, colour))) in [upper.margin(0, 9, 0, 0), lower].into_iter().zip(classes).enumerate() {
            let (head, area) = area.split_vertically(heading);
            let x = if i == 0 { Axis::new("", range, 11).unlabelled() } else { Axis::new(label, range, 11) };
            let chart = Chart::new(&area, &x, &y)?;
            for (b, &n) in counts[i].iter().enumerate().filter(|(_, n)| **n > 0) {
                let from = range.0 + b as f64 * step;
                chart.bar((from, from + step), n as f64, 2, colour)?;
            }
            key_row(&head, (y.room(), 18), &[(Sign::Mark(Mark::Square, colour), captions[i].clone())])?;
            if let Some(threshold) = threshold {
                chart.upright(threshold.clamp(range.0, range.1))?;
                if i == 0 {
                    let key = (Sign::Upright, format!("threshold {}", short(threshold)));
                    let right = head.dim_in_pixel().0 as i32;
                    key_row(&head, (right - 16 - NOTE.width(&key.1).ceil() as i32, 18), &[key])?;
                }
            }
        }
        Ok(())
    })
}
