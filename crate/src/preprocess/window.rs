//! The percentile window: contrast set by the film's own greys.

use image::GrayImage;

/// Maps the grey at the `low` percentile to black and the one at the `high` percentile to white, linearly, rounded,
/// what lies outside clipped. Percentiles as numpy's `percentile` has them (linear between the two nearest). A film
/// whose percentiles are equal stays as it is.
pub(super) fn percentiles(film: &GrayImage, [low, high]: [f64; 2]) -> GrayImage {
    let mut counts = [0u64; 256];
    for &pixel in film.as_raw() {
        counts[usize::from(pixel)] += 1;
    }
    let (black, white) = (percentile(&counts, low), percentile(&counts, high));
    if white <= black {
        return film.clone();
    }
    let mut levels = [0u8; 256];
    for (level, grey) in levels.iter_mut().zip(0u32..) {
        let fraction = ((f64::from(grey) - black) / (white - black)).clamp(0.0, 1.0);
        *level = (fraction * 255.0).round_ties_even() as u8;
    }
    let pixels = film.as_raw().iter().map(|&pixel| levels[usize::from(pixel)]).collect();
    GrayImage::from_raw(film.width(), film.height(), pixels).expect("one byte was made for each pixel")
}

/// The grey below which `percent` of the counted pixels lie, between 0 and 100.
fn percentile(counts: &[u64; 256], percent: f64) -> f64 {
    let last = counts.iter().sum::<u64>().saturating_sub(1);
    let rank = percent / 100.0 * last as f64;
    let (below, fraction) = (rank.floor() as u64, rank.fract());
    let grey_at = |rank: u64| {
        let mut seen = 0;
        let reaches = |count: &u64| {
            seen += count;
            seen > rank
        };
        counts.iter().position(reaches).unwrap_or(255) as f64
    };
    let grey = grey_at(below);
    grey + fraction * (grey_at((below + 1).min(last)) - grey)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;

    #[test]
    fn percentiles_lie_between_greys_as_numpys_do() {
        // numpy.percentile([10, 20, 40, 80], [0, 1, 50, 75, 90, 100]) = [10, 10.3, 30, 50, 68, 80]
        let mut counts = [0; 256];
        for grey in [10, 20, 40, 80] {
            counts[grey] = 1;
        }
        for (percent, want) in [(0.0, 10.0), (1.0, 10.3), (50.0, 30.0), (75.0, 50.0), (90.0, 68.0), (100.0, 80.0)] {
            assert!((percentile(&counts, percent) - want).abs() < 1e-9, "{percent}: {}", percentile(&counts, percent));
        }
    }

    #[test]
    fn a_window_stretches_what_lies_between_and_clips_the_rest() {
        let film = GrayImage::from_fn(101, 1, |x, _| Luma([50 + x as u8]));
        let windowed = percentiles(&film, [10.0, 90.0]);
        let at = |x| windowed.get_pixel(x, 0).0[0];
        assert_eq!([at(0), at(10), at(50), at(90), at(100)], [0, 0, 128, 255, 255]);
        let flat = GrayImage::from_pixel(9, 9, Luma([77]));
        assert_eq!(percentiles(&flat, [1.0, 99.0]), flat);
    }
}
