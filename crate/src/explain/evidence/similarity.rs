//! How alike two maps are.

use render::Map;

/// Side of the window of [`ssim`].
const WINDOW: usize = 7;

/// Structural similarity (Wang et al., IEEE TIP 2004) of two maps in `0.0..=1.0`, −1 to 1: the mean over all windows of
/// 7 × 7 that lie within the map, each pixel counting alike, with unbiased variances and a data range of 1, as
/// scikit-image's default. Maps below 28 cells a side are enlarged to 28, the other one to the same size.
pub fn ssim(one: &Map, other: &Map) -> f64 {
    let (width, height) = (one.width.max(other.width).max(28), one.height.max(other.height).max(28));
    let (a, b) = (one.resized(width, height), other.resized(width, height));
    let (c1, c2) = (0.01f64.powi(2), 0.03f64.powi(2));
    let n = (WINDOW * WINDOW) as f64;
    let (mut sum, mut windows) = (0.0, 0usize);
    for top in 0..=height - WINDOW {
        for left in 0..=width - WINDOW {
            let (mut sa, mut sb, mut saa, mut sbb, mut sab) = (0.0, 0.0, 0.0, 0.0, 0.0);
            for y in top..top + WINDOW {
                for x in left..left + WINDOW {
                    let (p, q) = (f64::from(a.values[y * width + x]), f64::from(b.values[y * width + x]));
                    sa += p;
                    sb += q;
                    saa += p * p;
                    sbb += q * q;
                    sab += p * q;
                }
            }
            let (ma, mb) = (sa / n, sb / n);
            let unbiased = n / (n - 1.0);
            let (va, vb) = ((saa / n - ma * ma) * unbiased, (sbb / n - mb * mb) * unbiased);
            let both = (sab / n - ma * mb) * unbiased;
            sum += (2.0 * ma * mb + c1) * (2.0 * both + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2));
            windows += 1;
        }
    }
    sum / windows as f64
}

/// Spearman's rank correlation of two maps, cell by cell, ties sharing their mean rank; 0 where one of them is flat,
/// since nothing goes with it. The coarser map is enlarged.
pub fn rank_correlation(one: &Map, other: &Map) -> f64 {
    let (width, height) = (one.width.max(other.width), one.height.max(other.height));
    let [a, b] = [one, other].map(|map| ranks(&map.resized(width, height).values));
    let mean = (a.len() as f64 + 1.0) / 2.0;
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (p, q) in a.iter().zip(&b) {
        let (p, q) = (p - mean, q - mean);
        aa += p * p;
        bb += q * q;
        ab += p * q;
    }
    if aa == 0.0 || bb == 0.0 { 0.0 } else { ab / (aa * bb).sqrt() }
}

/// Ranks from 1, the mean one where values are equal.
fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut from = 0;
    while from < order.len() {
        let end = (from..order.len()).find(|&i| values[order[i]] != values[order[from]]).unwrap_or(order.len());
        let rank = (from + 1 + end) as f64 / 2.0;
        order[from..end].iter().for_each(|&i| ranks[i] = rank);
        from = end;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(width: usize, height: usize, of: impl Fn(usize, usize) -> f32) -> Map {
        Map::new(width, height, (0..width * height).map(|at| of(at % width, at / width)).collect()).unwrap()
    }

    #[test]
    fn a_map_is_like_itself_and_unlike_its_negative() {
        let wave = map(30, 30, |x, y| 0.5 + 0.5 * (x as f32 * 0.7 + y as f32).sin());
        let turned = map(30, 30, |x, y| 0.5 - 0.5 * (x as f32 * 0.7 + y as f32).sin());
        assert!((ssim(&wave, &wave) - 1.0).abs() < 1e-9 && ssim(&wave, &turned) < -0.8);
        assert!((rank_correlation(&wave, &wave) - 1.0).abs() < 1e-9);
        assert!((rank_correlation(&wave, &turned) + 1.0).abs() < 1e-3);
    }

    /// Of two constants only the brightness counts: (2·0.2·0.8 + c1) / (0.2² + 0.8² + c1).
    #[test]
    fn of_two_flat_maps_brightness_alone_is_compared() {
        let found = ssim(&map(28, 28, |_, _| 0.2), &map(28, 28, |_, _| 0.8));
        let want = (0.32 + 1e-4) / (0.68 + 1e-4);
        assert!((found - want).abs() < 1e-6, "{found} {want}");
    }

    /// By hand: ranks 1, 2.5, 2.5, 4 and 3, 1.5, 1.5, 4.
    #[test]
    fn ties_share_their_mean_rank() {
        let of = |values: &[f32]| Map::new(2, 2, values.to_vec()).unwrap();
        assert_eq!(ranks(&[1.0, 2.0, 2.0, 5.0]), [1.0, 2.5, 2.5, 4.0]);
        let found = rank_correlation(&of(&[1.0, 2.0, 2.0, 5.0]), &of(&[3.0, 1.0, 1.0, 9.0]));
        // Deviations −1.5, 0, 0, 1.5 and 0.5, −1, −1, 1.5: 1.5 / √(4.5 · 4.5).
        assert!((found - 1.5 / 4.5).abs() < 1e-12, "{found}");
        assert_eq!(rank_correlation(&of(&[1.0; 4]), &of(&[3.0, 1.0, 1.0, 9.0])), 0.0);
    }
}
