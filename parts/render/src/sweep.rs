//! Which learning rate to begin with.

use super::axis::Axis;
use super::chart::{BELOW, Chart};
use super::head::{Head, MARGIN, Sign};
use super::mark::Mark;
use super::palette::BLUE;
use super::sheet::Point;
use super::{Figure, nothing};
use crate::Result;

/// The loss over a sweep of the learning rate, on a logarithmic axis, with the suggestion marked.
///
/// `rates` rise and are above 0; `losses` belong to them. Losses above twice the first are drawn at the upper edge: how
/// far it diverges in the end says nothing.
///
/// # Errors
/// [`Error::Figure`](crate::Error::Figure) if there are no points.
pub fn learning_rates(title: &str, rates: &[f64], losses: &[f64], suggestion: Option<f64>) -> Result<Figure> {
    let (Some(first), Some(last), Some(start)) = (rates.first(), rates.last(), losses.first()) else {
        return Err(nothing("learning rates"));
    };
    let mut alt = format!("{title}: loss over {} learning rates", rates.len());
    let name = suggestion.map(|rate| format!("suggestion: {rate:.1e}").replace("e-", "e−"));
    name.iter().for_each(|name| alt += &format!("; {name}"));

    let low = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let high = losses.iter().copied().fold(f64::NEG_INFINITY, f64::max).min(2.0 * start);
    // A single rate still has a width.
    let powers = (first.log10() - 0.05, last.log10() + 0.05);
    let (x, y) =
        (Axis::new("learning rate", powers, 12).powers(), Axis::around("loss, smoothed", (low, high.max(low)), 8));
    let points: Vec<Point> = rates.iter().zip(losses).map(|(rate, loss)| (rate.log10(), *loss)).collect();
    let width = 760;
    let head = Head::new(title, name.map(|name| (Sign::Upright, name)).into_iter().collect(), width);
    let height = head.height + 8 + 330 + BELOW + MARGIN;
    Figure::draw((width as u32, height as u32), alt, |area| {
        head.draw(area)?;
        let chart = Chart::new(&area.margin(head.height + 8, MARGIN, MARGIN, MARGIN + 16), &x, &y)?;
        chart.line(&points, 2.5, BLUE, None)?;
        if let Some(rate) = suggestion {
            chart.upright(rate.log10())?;
            if let Some(at) = rates.iter().position(|r| *r >= rate) {
                chart.mark(Mark::Disc, points[at], 9.0, BLUE)?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_of_any_length_is_drawn_and_names_its_suggestion() {
        let rates: Vec<f64> = (0..100).map(|n| 1e-7 * 10f64.powf(0.08 * f64::from(n))).collect();
        let losses: Vec<f64> = rates.iter().map(|rate| 0.7 - 0.2 * (rate * 1e3).min(1.0) + 50.0 * rate).collect();
        let figure = learning_rates("Sweep", &rates, &losses, Some(1e-3)).unwrap();
        assert!(figure.alt().contains("100 learning rates; suggestion: 1.0e−3"), "{}", figure.alt());
        assert!(learning_rates("Sweep", &rates[..1], &losses[..1], None).is_ok());
        assert!(learning_rates("Sweep", &[], &[], None).is_err());
    }
}
