//! Which step size to begin with.

use super::axes::{Axes, round_range, ticks};
use super::canvas::{Anchor, Canvas, Mark, Rect};
use super::colour::{BLUE, INK};
use super::grid::{Head, MARGIN};
use super::text::{NOTE, Typeface};
use super::{Figure, nothing};
use crate::Result;

/// The loss over a sweep of the learning rate, on a logarithmic axis, with the suggestion marked.
///
/// `rates` rise and are above 0; `losses` belong to them. Losses above twice the first are drawn at the upper edge: how far it
/// diverges in the end says nothing.
///
/// # Errors
/// [`Error::Figure`](crate::Error::Figure) if there are no points.
pub fn learning_rates(title: &str, rates: &[f64], losses: &[f64], suggestion: Option<f64>) -> Result<Figure> {
    let (Some(first), Some(last), Some(start)) = (rates.first(), rates.last(), losses.first()) else {
        return Err(nothing("learning rates"));
    };
    let (width, plot_height) = (760, 330);
    let head = Head::new(&Typeface::bundled(), title, Vec::new(), width);
    let top = head.height + 34;
    let mut canvas = Canvas::new(width, top + plot_height + 60 + MARGIN)?;
    head.draw(&mut canvas);

    let low = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let high = losses.iter().copied().fold(f64::NEG_INFINITY, f64::max).min(2.0 * start);
    let range = round_range(low, high.max(low), 5);
    // A single rate still has a width.
    let powers = (first.log10() - 0.05, last.log10() + 0.05);
    let axes = Axes { area: Rect::new(MARGIN + 72, top, width - 2 * MARGIN - 88, plot_height), x: powers, y: range };
    let whole = powers.0.ceil() as i32..=powers.1.floor() as i32;
    let powers: Vec<_> = whole.map(|power| (f64::from(power), format!("1e{power}").replace('-', "−"))).collect();
    axes.draw(&mut canvas, &powers, &ticks(range.0, range.1, 6), "learning rate", "loss, smoothed");
    let points: Vec<_> = rates.iter().zip(losses).map(|(rate, loss)| axes.at(rate.log10(), *loss)).collect();
    canvas.stroke(&points, 2.5, BLUE, None);
    let mut alt = format!("{title}: loss over {} learning rates", rates.len());
    if let Some(rate) = suggestion {
        let line = [axes.at(rate.log10(), range.0), axes.at(rate.log10(), range.1)];
        canvas.stroke(&line, 1.5, INK, Some((6.0, 4.0)));
        if let Some(at) = rates.iter().position(|r| *r >= rate) {
            canvas.mark(Mark::Disc, points[at], 9.0, BLUE);
        }
        let name = format!("suggestion: {rate:.1e}").replace("e-", "e−");
        canvas.text(line[1].0, top as f32 - 10.0, &name, NOTE.coloured(INK), Anchor::Middle);
        alt += &format!("; {name}");
    }
    Ok(Figure::drawn(canvas.image, alt))
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
