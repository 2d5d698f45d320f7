//! A plot's frame: ranges, ticks, grid lines and labels.

use super::canvas::{Anchor, Canvas, Rect};
use super::colour::{AXIS, GRID};
use super::text::{BODY, TICK};

/// A number's place and its name.
pub(crate) type Tick = (f64, String);

/// Where data land on the sheet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axes {
    pub area: Rect,
    pub x: (f64, f64),
    pub y: (f64, f64),
}

impl Axes {
    /// Pixels of a point; what lies outside the ranges is moved to their edge.
    pub fn at(&self, x: f64, y: f64) -> (f32, f32) {
        let share = |v: f64, (low, high): (f64, f64)| ((v - low) / (high - low)).clamp(0.0, 1.0);
        (
            (f64::from(self.area.x) + share(x, self.x) * f64::from(self.area.width)) as f32,
            (f64::from(self.area.bottom()) - share(y, self.y) * f64::from(self.area.height)) as f32,
        )
    }

    /// Grid lines, ticks and labels; an empty label is left out. Room needed: about 76 pixels on the left, 60 below.
    pub fn draw(&self, canvas: &mut Canvas, x_ticks: &[Tick], y_ticks: &[Tick], x_label: &str, y_label: &str) {
        let Rect { x, y, width, height } = self.area;
        for (value, name) in y_ticks {
            let at = self.at(self.x.0, *value).1.round();
            canvas.rect(Rect::new(x, at as i32, width, 1), GRID);
            let baseline = at + TICK.half_capital();
            canvas.text((x - 8) as f32, baseline, name, TICK, Anchor::End);
        }
        for (value, name) in x_ticks {
            let at = self.at(*value, self.y.0).0.round();
            canvas.rect(Rect::new(at as i32, y, 1, height), GRID);
            canvas.rect(Rect::new(at as i32, y + height, 1, 5), AXIS);
            let baseline = (y + height + 8) as f32 + TICK.ascent();
            canvas.text(at, baseline, name, TICK, Anchor::Middle);
        }
        canvas.rect(Rect::new(x, y, 1, height), AXIS);
        canvas.rect(Rect::new(x, y + height, width + 1, 1), AXIS);
        let baseline = (y + height + 32) as f32 + BODY.ascent();
        canvas.text((x + width / 2) as f32, baseline, x_label, BODY, Anchor::Middle);
        let widest = canvas.face.widest(y_ticks.iter().map(|t| t.1.as_str()), TICK);
        canvas.text_upwards((x - 8 - widest - 12) as f32, (y + height / 2) as f32, y_label, BODY);
    }
}

/// Round numbers from `low` to `high`, about `most` of them and never more than one above it.
pub(crate) fn ticks(low: f64, high: f64, most: usize) -> Vec<Tick> {
    let step = round_step((high - low) / most.max(1) as f64);
    let decimals = (-(step.log10() + 1e-9).floor()).max(0.0) as usize;
    // A quarter needs a place more than a fifth.
    let decimals = decimals + usize::from((step * 10f64.powi(decimals as i32)).fract() > 1e-6);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last)
        .map(|i| i as f64 * step)
        .map(|value| (value, format!("{value:.decimals$}").replace('-', "−")))
        .collect()
}

/// Ticks at whole numbers only.
pub(crate) fn whole_ticks(low: f64, high: f64, most: usize) -> Vec<Tick> {
    let step = round_step(((high - low) / most.max(1) as f64).max(1.0)).max(1.0).round();
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    (first..=last).map(|i| i as f64 * step).map(|value| (value, format!("{value:.0}"))).collect()
}

/// The smallest of 1, 2, 2.5, 5 and 10 times a power of ten that is not below `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.max(1e-12).log10().floor());
    let round = [1.0, 2.0, 2.5, 5.0].map(|m| m * power);
    round.into_iter().find(|s| *s >= least * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

/// The smallest range of whole steps around the data, so that a plot begins and ends on a tick.
pub(crate) fn round_range(low: f64, high: f64, most: usize) -> (f64, f64) {
    let (low, high) = if high - low > 1e-9 * high.abs().max(1e-3) {
        (low, high)
    } else {
        let pad = (0.05 * high.abs()).max(1e-3);
        (low - pad, high + pad)
    };
    let step = round_step((high - low) / most.max(1) as f64);
    ((low / step + 1e-9).floor() * step, (high / step - 1e-9).ceil() * step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().map(|t| t.1.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_within_the_range() {
        assert_eq!(names(&ticks(0.0, 1.0, 5)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(names(&ticks(0.0, 1.0, 4)), ["0.00", "0.25", "0.50", "0.75", "1.00"]);
        assert_eq!(names(&ticks(-4.0, 4.0, 4)), ["−4", "−2", "0", "2", "4"]);
        assert_eq!(names(&whole_ticks(1.0, 4.0, 10)), ["1", "2", "3", "4"]);
        assert_eq!(names(&whole_ticks(0.0, 700.0, 4)), ["0", "200", "400", "600"]);
        assert_eq!(names(&whole_ticks(1.0, 41.0, 8)), ["5", "10", "15", "20", "25", "30", "35", "40"]);
    }

    #[test]
    fn a_range_of_one_value_is_widened() {
        for value in [0.0, 0.69, -3.0, 1e9] {
            let (low, high) = round_range(value, value, 5);
            assert!(low < value && value < high, "{value}: {low} to {high}");
        }
    }
}
