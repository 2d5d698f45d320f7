//! The few special functions that intervals and tests need.

use libm::{erfc, lgamma};

/// The 97.5th percentile of the normal distribution.
pub(crate) const Z: f64 = 1.959_963_984_540_054;

/// The chance that a standard normal value is at least as far from 0 as `z`, on either side.
pub(crate) fn two_sided(z: f64) -> f64 {
    erfc(z.abs() / std::f64::consts::SQRT_2)
}

/// The regularised incomplete beta function I of `x` in `0.0..=1.0`, for positive `a` and `b`: its continued fraction
/// (Abramowitz & Stegun 26.5.8) by Lentz's method.
pub(crate) fn beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    // The fraction converges fast on this side of the mean only.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta(b, a, 1.0 - x);
    }
    let front = (lgamma(a + b) - lgamma(a) - lgamma(b) + a * x.ln() + b * (-x).ln_1p()).exp() / a;
    const TINY: f64 = 1e-300;
    let off_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut c, mut d) = (1.0, 1.0 / off_zero(1.0 - (a + b) * x / (a + 1.0)));
    let mut fraction = d;
    for step in 1..10_000 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = fraction;
        for term in [even, odd] {
            d = 1.0 / off_zero(1.0 + term * d);
            c = off_zero(1.0 + term / c);
            fraction *= c * d;
        }
        if (fraction - before).abs() <= 1e-16 * fraction.abs() {
            break;
        }
    }
    front * fraction
}

/// The `x` at which [`beta`] is `share`.
pub(crate) fn beta_quantile(a: f64, b: f64, share: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    loop {
        let middle = 0.5 * (low + high);
        // No number is left between the two.
        if middle <= low || middle >= high {
            return middle;
        }
        if beta(a, b, middle) < share { low = middle } else { high = middle }
    }
}

/// The chance of at most `hits` heads among `n` throws of a fair coin.
pub(crate) fn fair_coin(hits: usize, n: usize) -> f64 {
    if hits >= n { 1.0 } else { beta((n - hits) as f64, hits as f64 + 1.0, 0.5) }
}
