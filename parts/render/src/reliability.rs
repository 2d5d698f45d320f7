//! The reliability diagram.

use plotters::style::RGBColor;

use super::axis::Axis;
use super::chart::{BELOW, Chart};
use super::head::{Head, Key, MARGIN, Sign};
use super::mark::Mark;
use super::palette::{AXIS, BLUE, VERMILLION};
use super::sheet::DOTTED;
use super::{Figure, nothing};
use crate::Result;
use metrics::Reliability;

/// Colour and mark of the first and the second of two.
const SERIES: [(RGBColor, Mark); 2] = [(BLUE, Mark::Disc), (VERMILLION, Mark::Square)];

/// How often studies of each probability are abnormal, with Wilson's intervals, above how many there are in each bin;
/// of one or two ways to make probabilities, each named, such as before and after a calibration.
///
/// # Errors
/// [`Error::Figure`](crate::Error::Figure) if there is no study, or not one or two.
pub fn reliability(title: &str, of: &[(&str, &Reliability)]) -> Result<Figure> {
    let studies = |it: &Reliability| it.bins.iter().map(|bin| bin.studies).sum::<usize>();
    if of.is_empty() || of.len() > SERIES.len() || of.iter().any(|(_, it)| studies(it) == 0) {
        return Err(nothing("studies"));
    }
    let most = of.iter().flat_map(|(_, it)| &it.bins).map(|bin| bin.studies).max().unwrap_or(1);
    let mut keys: Vec<Key> = Vec::new();
    let mut alt = format!("{title}: reliability diagram");
    for ((name, it), (colour, mark)) in of.iter().zip(SERIES) {
        let said = format!("ECE {:.3}, n {}", it.expected_error(), studies(it));
        let said = if name.is_empty() { said } else { format!("{name}: {said}") };
        alt += &format!("; {said}");
        keys.push((Sign::Mark(mark, colour), format!("{said}; bars are 95 % intervals (Wilson)")));
    }
    keys.push((Sign::Chance, "probabilities that mean what they say".to_owned()));
    let x = Axis::new("mean probability of abnormal in the bin", (0.0, 1.0), 11);
    let level = Axis::new("", (0.0, 1.0), 11).unlabelled();
    let y = Axis::new("share that is abnormal", (0.0, 1.0), 6);
    let count = Axis::new("studies", (0.0, most as f64 * 1.04), 4).whole();
    let (side, lower, width) = (600, 130, 2 * MARGIN + y.room().max(count.room()) + 600 + 10);
    let head = Head::new(title, keys, width);
    let height = head.height + 8 + side + 20 + lower + BELOW + MARGIN;
    let left = y.room().max(count.room());
    Figure::draw((width as u32, height as u32), alt, |area| {
        head.draw(area)?;
        let area = area.margin(head.height + 8, MARGIN, MARGIN, MARGIN + 10);
        let (upper, below) = area.split_vertically(side + 15);
        let chart = Chart::inside(&upper.margin(0, 10, 0, 0), &level, &y, left, 5)?;
        chart.line(&[(0.0, 0.0), (1.0, 1.0)], 1.5, AXIS, DOTTED)?;
        let counts = Chart::inside(&below, &x, &count, left, BELOW)?;
        for (at, ((_, it), (colour, mark))) in of.iter().zip(SERIES).enumerate() {
            let found = it.bins.iter().filter_map(|bin| Some((bin, bin.probability?, bin.share()?, bin.interval?)));
            // Two series stand a little apart, so that neither hides the other's interval.
            let aside = if of.len() == 2 { 0.008 * (at as f64 * 2.0 - 1.0) } else { 0.0 };
            for (bin, probability, share, interval) in found {
                let x = (probability + aside).clamp(0.0, 1.0);
                chart.line(&[(x, interval.low), (x, interval.high)], 2.0, colour, None)?;
                for end in [interval.low, interval.high] {
                    chart.line(&[(x - 0.007, end), (x + 0.007, end)], 2.0, colour, None)?;
                }
                chart.mark(mark, (x, share), 11.0, colour)?;
                let wide = (bin.to - bin.from) / of.len() as f64;
                let from = bin.from + at as f64 * wide;
                counts.bar((from, from + wide), bin.studies as f64, 2, colour)?;
            }
        }
        Ok(())
    })
}
