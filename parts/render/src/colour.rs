//! Colour maps for numbers.

use image::Rgb;
use plotters::style::{RGBColor, WHITE};

use super::palette::INK;

/// What a number between 0 and 1 looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Colours {
    /// Black through red to pale yellow; lightness rises evenly with the number. For evidence.
    #[default]
    Inferno,
    /// Blue through magenta to yellow; lightness rises evenly. For activations, as the original drew them.
    Plasma,
    /// Purple through green to yellow; lightness rises evenly.
    Viridis,
    /// White to dark blue. For shares.
    Blues,
    /// The rainbow of matplotlib's `jet`, as the original's Grad-CAM. Its lightness misleads; kept for comparison.
    Jet,
}

impl Colours {
    /// The colour of `value`; below 0 and NaN look like 0, above 1 like 1.
    pub fn at(self, value: f32) -> Rgb<u8> {
        let value = if value.is_nan() { 0.0 } else { value.clamp(0.0, 1.0) };
        let gradient = match self {
            Colours::Inferno => colorous::INFERNO,
            Colours::Plasma => colorous::PLASMA,
            Colours::Viridis => colorous::VIRIDIS,
            Colours::Blues => colorous::BLUES,
            Colours::Jet => return jet(value),
        };
        let colour = gradient.eval_continuous(f64::from(value));
        Rgb([colour.r, colour.g, colour.b])
    }
}

/// matplotlib's `jet`: straight lines between these knots.
fn jet(value: f32) -> Rgb<u8> {
    const RED: [(f32, f32); 5] = [(0.0, 0.0), (0.35, 0.0), (0.66, 1.0), (0.89, 1.0), (1.0, 0.5)];
    const GREEN: [(f32, f32); 6] = [(0.0, 0.0), (0.125, 0.0), (0.375, 1.0), (0.64, 1.0), (0.91, 0.0), (1.0, 0.0)];
    const BLUE: [(f32, f32); 5] = [(0.0, 0.5), (0.11, 1.0), (0.34, 1.0), (0.65, 0.0), (1.0, 0.0)];
    let channel = |knots: &[(f32, f32)]| {
        let right = knots.iter().position(|k| k.0 >= value).unwrap_or(knots.len() - 1).max(1);
        let ((x0, y0), (x1, y1)) = (knots[right - 1], knots[right]);
        ((y0 + (y1 - y0) * (value - x0) / (x1 - x0)) * 255.0).round() as u8
    };
    Rgb([channel(&RED), channel(&GREEN), channel(&BLUE)])
}

/// `from` with `share` of `to` in it, each channel rounded.
pub(super) fn mix(from: Rgb<u8>, to: Rgb<u8>, share: f32) -> Rgb<u8> {
    let channel = |i: usize| (f32::from(from[i]) + (f32::from(to[i]) - f32::from(from[i])) * share).round() as u8;
    Rgb([channel(0), channel(1), channel(2)])
}

/// A pixel's colour for `plotters`.
pub(super) fn paint(Rgb([r, g, b]): Rgb<u8>) -> RGBColor {
    RGBColor(r, g, b)
}

/// Black or white, whichever reads better on `ground` (WCAG relative luminance).
pub(super) fn text_on(ground: Rgb<u8>) -> RGBColor {
    let linear = |c: u8| (f32::from(c) / 255.0).powf(2.2);
    let luminance = 0.2126 * linear(ground[0]) + 0.7152 * linear(ground[1]) + 0.0722 * linear(ground[2]);
    if luminance > 0.18 { INK } else { WHITE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_maps_have_the_ends_that_matplotlib_gives_them() {
        let near = |a: Rgb<u8>, b: [u8; 3]| (0..3).all(|i| a[i].abs_diff(b[i]) <= 1);
        assert!(near(Colours::Inferno.at(0.0), [0, 0, 4]));
        assert!(near(Colours::Inferno.at(1.0), [252, 255, 164]));
        assert!(near(Colours::Plasma.at(0.0), [13, 8, 135]));
        assert!(near(Colours::Plasma.at(1.0), [240, 249, 33]));
        assert!(near(Colours::Viridis.at(0.0), [68, 1, 84]));
        assert!(near(Colours::Jet.at(0.0), [0, 0, 128]));
        assert!(near(Colours::Jet.at(0.5), [123, 255, 123]));
        assert!(near(Colours::Jet.at(1.0), [128, 0, 0]));
    }

    #[test]
    fn nan_and_numbers_out_of_range_still_have_a_colour() {
        for colours in [Colours::Inferno, Colours::Jet] {
            assert_eq!(colours.at(f32::NAN), colours.at(0.0));
            assert_eq!(colours.at(-3.0), colours.at(0.0));
            assert_eq!(colours.at(9.0), colours.at(1.0));
        }
    }
}
