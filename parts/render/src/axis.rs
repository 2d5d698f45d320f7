//! What one direction of a chart means: its name, its range, and the numbers that are marked.

use std::ops::Range;

use plotters::coord::ranged1d::{BoldPoints, KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;

use super::text::{BODY, TICK};

/// What one direction of a chart means.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    pub name: String,
    range: (f64, f64),
    ticks: Vec<f64>,
    numbers: Numbers,
}

/// How the numbers at ticks are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Numbers {
    /// As many decimals as tell them apart.
    Plain,
    /// As powers of ten.
    Powers,
    /// Not at all.
    None,
}

impl Axis {
    /// An axis with about `ticks` round numbers, and never more.
    pub fn new(name: impl Into<String>, range: (f64, f64), ticks: usize) -> Axis {
        Axis { name: name.into(), range, ticks: key_points(range, ticks), numbers: Numbers::Plain }
    }

    /// An axis that begins and ends on a tick, around data from `low` to `high`.
    pub fn around(name: impl Into<String>, (low, high): (f64, f64), ticks: usize) -> Axis {
        let pad = if high - low > 1e-9 * high.abs().max(1e-3) { 0.0 } else { (0.05 * high.abs()).max(1e-3) };
        let (low, high) = (low - pad, high + pad);
        let points = key_points((low, high), ticks);
        let step = points.windows(2).next().map_or(high - low, |pair| pair[1] - pair[0]);
        let range = ((low / step + 1e-9).floor() * step, (high / step - 1e-9).ceil() * step);
        let steps = ((range.1 - range.0) / step).round() as i32;
        let ticks = (0..=steps).map(|i| range.0 + f64::from(i) * step).collect();
        Axis { ticks, ..Axis::new(name, range, 2) }
    }

    /// The same with ticks at whole numbers only.
    pub fn whole(mut self) -> Axis {
        self.ticks.retain(|tick| (tick - tick.round()).abs() < 1e-9);
        self
    }

    /// The same for numbers that are powers of ten.
    pub fn powers(self) -> Axis {
        Axis { numbers: Numbers::Powers, ..self.whole() }
    }

    /// The same without numbers.
    pub fn unlabelled(self) -> Axis {
        Axis { numbers: Numbers::None, ..self }
    }

    /// The same with these ticks.
    pub fn ticks(self, ticks: Vec<f64>) -> Axis {
        Axis { ticks, ..self }
    }

    pub fn ends(&self) -> (f64, f64) {
        self.range
    }

    pub fn tick_values(&self) -> &[f64] {
        &self.ticks
    }

    /// Decimals that the ticks need.
    fn decimals(&self) -> usize {
        let step = self.ticks.windows(2).next().map_or(1.0, |pair| pair[1] - pair[0]);
        let exact = |decimals: &usize| {
            let scale = 10f64.powi(*decimals as i32);
            self.ticks.iter().all(|tick| (tick * scale - (tick * scale).round()).abs() < 1e-3 * step * scale)
        };
        (0..12).find(exact).unwrap_or(12)
    }

    /// Room for the numbers of an upright axis and its name.
    pub fn room(&self) -> i32 {
        let labels: Vec<String> = self.ticks.iter().map(|tick| self.format_ext(tick)).collect();
        let name = if self.name.is_empty() { 0 } else { BODY.leading() + 10 };
        TICK.widest(labels.iter().map(String::as_str)) + 2 * TICK_MARK + name
    }
}

/// For `plotters`, an axis is a coordinate that marks its own ticks.
impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        RangedCoordf64::from(self.range()).map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.range.0..self.range.1
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        let text = match self.numbers {
            Numbers::Plain => format!("{value:.*}", self.decimals()),
            Numbers::Powers => format!("1e{value:.0}"),
            Numbers::None => String::new(),
        };
        text.replace('-', "−")
    }
}

/// Length of the lines at ticks; the numbers are twice as far away.
pub(super) const TICK_MARK: i32 = 4;

/// The round numbers of a range that `plotters` marks.
fn key_points((low, high): (f64, f64), most: usize) -> Vec<f64> {
    RangedCoordf64::from(low..high).key_points(BoldPoints(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(axis: &Axis) -> Vec<String> {
        axis.ticks.iter().map(|tick| axis.format_ext(tick)).collect()
    }

    #[test]
    fn ticks_are_round_and_within_the_range() {
        assert_eq!(names(&Axis::new("", (0.0, 1.0), 6)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(names(&Axis::new("", (0.0, 700.0), 5).whole()), ["0", "200", "400", "600"]);
        assert_eq!(names(&Axis::new("", (0.9, 4.1), 10).whole()), ["1", "2", "3", "4"]);
        assert_eq!(names(&Axis::new("", (-7.1, -4.9), 10).powers()), ["1e−7", "1e−6", "1e−5"]);
        let loss = Axis::around("", (0.4873, 0.6215), 8);
        assert_eq!(names(&loss), ["0.48", "0.50", "0.52", "0.54", "0.56", "0.58", "0.60", "0.62", "0.64"]);
        assert_eq!(names(&Axis::new("", (0.0, 0.0003), 4)), ["0.0000", "0.0001", "0.0002", "0.0003"]);
        let axis = Axis::around("", (-3.7, 3.2), 6);
        assert_eq!((axis.range, names(&axis)), ((-4.0, 4.0), ["−4", "−2", "0", "2", "4"].map(String::from).to_vec()));
    }

    #[test]
    fn a_range_of_one_value_is_widened() {
        for value in [0.0, 0.69, -3.0, 1e9] {
            let (low, high) = Axis::around("", (value, value), 6).range;
            assert!(low < value && value < high, "{value}: {low} to {high}");
        }
    }
}
