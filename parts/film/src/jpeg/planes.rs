//! From coefficients to the samples of a component: libjpeg's accurate integer transform (`jidctint.c`), so that
//! pictures are libjpeg-turbo's to the bit.

use super::coefficients::ComponentBlocks;

/// The samples of a component, of as many rows and columns as whole MCUs have.
pub(super) struct SamplePlane {
    pub stride: usize,
    pub samples: Vec<u16>,
}

/// The samples of a component, of `precision` bits; `quant` holds the quantisation table, row by row.
pub(super) fn plane(blocks: ComponentBlocks, quant: &[u16; 64], precision: u8) -> SamplePlane {
    let stride = blocks.columns * 8;
    let mut samples = vec![0; blocks.coefficients.len() * 64];
    for (strip, blocks) in samples.chunks_exact_mut(stride * 8).zip(blocks.coefficients.chunks_exact(blocks.columns)) {
        for (at, block) in blocks.iter().enumerate() {
            let mut values = [0i64; 64];
            for ((value, coefficient), step) in values.iter_mut().zip(block).zip(quant) {
                *value = i64::from(*coefficient) * i64::from(*step);
            }
            if block[1..].iter().all(|coefficient| *coefficient == 0) {
                values = [level(rounded(values[0], 3), precision); 64];
            } else {
                transform(&mut values, precision);
            }
            for (row, values) in values.chunks_exact(8).enumerate() {
                let target = &mut strip[row * stride + at * 8..][..8];
                target.iter_mut().zip(values).for_each(|(sample, value)| *sample = *value as u16);
            }
        }
    }
    SamplePlane { stride, samples }
}

/// Fractional bits of the constants below.
const FRACTION: u32 = 13;

/// A block's coefficients to its samples, within their range.
fn transform(block: &mut [i64; 64], precision: u8) {
    // Bits of fraction kept between the passes, fewer where samples have more bits.
    let between = if precision <= 8 { 2 } else { 1 };
    for x in 0..8 {
        let column: [i64; 8] = std::array::from_fn(|y| block[y * 8 + x]);
        for (y, value) in butterflies(column).into_iter().enumerate() {
            block[y * 8 + x] = rounded(value, FRACTION - between);
        }
    }
    for row in block.as_chunks_mut::<8>().0 {
        *row = butterflies(*row).map(|value| level(rounded(value, FRACTION + between + 3), precision));
    }
}

/// A value around zero as a sample within its range.
fn level(value: i64, precision: u8) -> i64 {
    (value + (1 << (precision - 1))).clamp(0, (1 << precision) - 1)
}

fn rounded(value: i64, bits: u32) -> i64 {
    (value + (1 << (bits - 1))) >> bits
}

/// The transform in one dimension, after Loeffler, Ligtenberg and Moschytz 1989, with [`FRACTION`] bits more.
#[inline]
fn butterflies(input: [i64; 8]) -> [i64; 8] {
    let z = (input[2] + input[6]) * 4433;
    let (even2, even3) = (z - input[6] * 15137, z + input[2] * 6270);
    let (even0, even1) = ((input[0] + input[4]) << FRACTION, (input[0] - input[4]) << FRACTION);
    let even = [even0 + even3, even1 + even2, even1 - even2, even0 - even3];
    let [a, b, c, d] = [input[7], input[5], input[3], input[1]];
    let z5 = (a + c + b + d) * 9633;
    let (z1, z2) = ((a + d) * -7373, (b + c) * -20995);
    let (z3, z4) = ((a + c) * -16069 + z5, (b + d) * -3196 + z5);
    let odd = [d * 12299 + z1 + z4, c * 25172 + z2 + z3, b * 16819 + z2 + z4, a * 2446 + z1 + z3];
    std::array::from_fn(|at| if at < 4 { even[at] + odd[at] } else { even[7 - at] - odd[7 - at] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transform_is_the_cosine_sum_of_the_standard_within_a_level() {
        // A.3.3, in floating point.
        let mut block = [0i64; 64];
        for (at, value) in block.iter_mut().enumerate() {
            *value = (at as i64 * 7919 % 61 - 30) * if at < 20 { 8 } else { 1 };
        }
        let scale = |k: usize| if k == 0 { std::f64::consts::FRAC_1_SQRT_2 } else { 1.0 };
        let cosine =
            |n: usize, k: usize| ((2 * n + 1) as f64 * k as f64 * std::f64::consts::PI / 16.0).cos() * scale(k);
        for precision in [8, 12] {
            let mut ours = block;
            transform(&mut ours, precision);
            let middle = f64::from(1 << (precision - 1));
            for (y, x) in (0..8).flat_map(|y| (0..8).map(move |x| (y, x))) {
                let terms = (0..64).map(|at| block[at] as f64 * cosine(y, at / 8) * cosine(x, at % 8));
                let exact = (terms.sum::<f64>() / 4.0 + middle).clamp(0.0, middle * 2.0 - 1.0);
                assert!((ours[y * 8 + x] as f64 - exact).abs() < 1.0, "{precision} bits, {x} {y}");
            }
        }
    }
}
