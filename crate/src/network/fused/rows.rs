//! What the kernels do to some rows: plain slices, no tensors, no threads.
//!
//! A row is a pixel of a feature map that lies channels last: of a matrix `[rows, stride]`, the columns from one to
//! another.

use std::ops::{Add, AddAssign, Div, Mul, Neg, Range, Sub};

use half::bf16;
use multiversion::multiversion;

/// Rows that are worked on at once. Sums are taken over so many in [`Value::Wide`] and joined in `f64`, in order, so
/// that they do not depend on the number of threads.
pub(super) const CHUNK: usize = 256;

/// A dtype that is computed with.
pub(super) trait Wide:
    Copy
    + Default
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + AddAssign
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + Into<f64>
{
    /// The nearest number.
    fn of(value: f64) -> Self;
}

impl Wide for f32 {
    #[inline(always)]
    fn of(value: f64) -> f32 {
        value as f32
    }
}

impl Wide for f64 {
    #[inline(always)]
    fn of(value: f64) -> f64 {
        value
    }
}

/// A dtype that feature maps are made of.
pub(super) trait Value: Copy + Send + Sync {
    /// What it is computed with.
    type Wide: Wide;
    fn wide(self) -> Self::Wide;
    fn of(value: Self::Wide) -> Self;
}

impl Value for f32 {
    type Wide = f32;
    #[inline(always)]
    fn wide(self) -> f32 {
        self
    }
    #[inline(always)]
    fn of(value: f32) -> f32 {
        value
    }
}

impl Value for f64 {
    type Wide = f64;
    #[inline(always)]
    fn wide(self) -> f64 {
        self
    }
    #[inline(always)]
    fn of(value: f64) -> f64 {
        value
    }
}

impl Value for bf16 {
    type Wide = f32;
    #[inline(always)]
    fn wide(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
    /// To the nearest, ties to even; not a number stays none.
    #[inline(always)]
    fn of(value: f32) -> bf16 {
        let bits = value.to_bits();
        let rounded = (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16;
        bf16::from_bits(if value.is_nan() { 0x7fc0 } else { rounded })
    }
}

/// Some columns of a matrix `[rows, stride]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a, E> {
    values: &'a [E],
    stride: usize,
    from: usize,
    to: usize,
}

impl<'a, E: Value> Rows<'a, E> {
    pub fn of(values: &'a [E], stride: usize, columns: Range<usize>) -> Rows<'a, E> {
        let Range { start: from, end: to } = columns;
        let whole = stride > 0 && values.len().is_multiple_of(stride);
        assert!(
            whole && from <= to && to <= stride,
            "columns {from} to {to} of {} values, {stride} a row",
            values.len()
        );
        Rows { values, stride, from, to }
    }

    pub fn count(self) -> usize {
        self.values.len() / self.stride
    }

    pub fn chunks(self) -> usize {
        self.count().div_ceil(CHUNK)
    }

    /// Chunk number `at` of the rows; the last may be shorter.
    pub fn chunk(self, at: usize) -> Rows<'a, E> {
        let values = &self.values[at * CHUNK * self.stride..];
        Rows { values: &values[..values.len().min(CHUNK * self.stride)], ..self }
    }

    #[inline(always)]
    pub fn row(self, row: usize) -> &'a [E] {
        &self.values[row * self.stride..][self.from..self.to]
    }
}

/// Adds to `first` how far each channel's values lie from `about`, and to `second` the squares of that.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq", "x86_64+avx2+fma"))]
pub(super) fn moments<E: Value>(xs: Rows<'_, E>, about: &[E::Wide], first: &mut [E::Wide], second: &mut [E::Wide]) {
    for row in 0..xs.count() {
        let sums = first.iter_mut().zip(second.iter_mut());
        for ((x, about), (first, second)) in xs.row(row).iter().zip(about).zip(sums) {
            let off = x.wide() - *about;
            *first += off;
            *second += off * off;
        }
    }
}

/// `relu(x · scale + shift)`, written to `ys`, `[rows, channels]`.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq", "x86_64+avx2+fma"))]
pub(super) fn normalise<E: Value>(xs: Rows<'_, E>, ys: &mut [E], scale: &[E::Wide], shift: &[E::Wide]) {
    for (row, ys) in ys.chunks_exact_mut(scale.len()).enumerate() {
        for ((y, x), (scale, shift)) in ys.iter_mut().zip(xs.row(row)).zip(scale.iter().zip(shift)) {
            let value = x.wide() * *scale + *shift;
            // Not `max`, which would hide what is not a number.
            *y = E::of(if value < E::Wide::default() { E::Wide::default() } else { value });
        }
    }
}

/// For each channel, adds to `first` the gradients that pass the ReLU, and to `second` the same times how far `x` lies
/// from its mean.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq", "x86_64+avx2+fma"))]
pub(super) fn reduce<E: Value>(
    gs: Rows<'_, E>,
    xs: Rows<'_, E>,
    [scale, shift, mean]: [&[E::Wide]; 3],
    first: &mut [E::Wide],
    second: &mut [E::Wide],
) {
    let n = first.len();
    let (scale, shift, mean) = (&scale[..n], &shift[..n], &mean[..n]);
    let second = &mut second[..n];
    for row in 0..xs.count() {
        let (gs, xs) = (&gs.row(row)[..n], &xs.row(row)[..n]);
        for at in 0..n {
            let x = xs[at].wide();
            let passes = x * scale[at] + shift[at] > E::Wide::default();
            let gradient = if passes { gs[at].wide() } else { E::Wide::default() };
            first[at] += gradient;
            second[at] += gradient * (x - mean[at]);
        }
    }
}

/// The gradient of `x`, `g · scale + x · tilt + lift` where `g` passes the ReLU, written to the first columns of `to`,
/// rows of `stride` values, or added to what is there.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq", "x86_64+avx2+fma"))]
pub(super) fn apply<E: Value>(
    gs: Rows<'_, E>,
    xs: Rows<'_, E>,
    (to, stride): (&mut [E], usize),
    [scale, shift, tilt, lift]: [&[E::Wide]; 4],
    add: bool,
) {
    let n = tilt.len();
    let (scale, shift, lift) = (&scale[..n], &shift[..n], &lift[..n]);
    for (row, to) in to.chunks_exact_mut(stride).enumerate() {
        let (gs, xs, to) = (&gs.row(row)[..n], &xs.row(row)[..n], &mut to[..n]);
        for at in 0..n {
            let x = xs[at].wide();
            let passes = x * scale[at] + shift[at] > E::Wide::default();
            let gradient = if passes { gs[at].wide() * scale[at] } else { E::Wide::default() };
            let before = if add { to[at].wide() } else { E::Wide::default() };
            to[at] = E::of(before + gradient + x * tilt[at] + lift[at]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_the_columns_asked_for_and_chunks_are_all_rows_once() {
        let values: Vec<f32> = (0..600 * 5).map(|x| x as f32).collect();
        let rows = Rows::of(&values, 5, 1..4);
        assert_eq!((rows.count(), rows.chunks()), (600, 3));
        assert_eq!([0, 1, 2].map(|at| rows.chunk(at).count()), [256, 256, 88]);
        assert_eq!(rows.chunk(2).row(87), [2996.0, 2997.0, 2998.0]);
        let none = Rows::<f32>::of(&[], 5, 0..5);
        assert_eq!((none.count(), none.chunks()), (0, 0));
    }

    #[test]
    fn columns_beyond_a_row_and_rows_that_are_not_whole_are_refused() {
        let refused = |count: usize, stride: usize, columns: Range<usize>| {
            std::panic::catch_unwind(|| Rows::of(&vec![0.0f64; count], stride, columns).count()).is_err()
        };
        assert!(!refused(10, 5, 2..5));
        assert!(refused(10, 5, 2..6) && refused(11, 5, 0..5) && refused(10, 0, 0..0));
    }

    /// One row of one channel after the other, by all the kernels.
    #[test]
    fn sums_and_gradients_of_a_channel_are_those_of_the_formulas() {
        let (xs, gs) = ([1.0f64, -2.0, 3.0, 0.5], [0.25, 5.0, -1.0, 2.0]);
        let rows = |values| Rows::of(values, 1, 0..1);
        let (mut first, mut second) = ([0.0], [0.0]);
        moments(rows(&xs), &[0.5], &mut first, &mut second);
        assert_eq!((first, second), ([0.5], [0.25 + 6.25 + 6.25]));
        // 2 x - 1: passes 1 and 3 alone, as 0 is not above 0.
        let mut ys = [9.0; 4];
        normalise(rows(&xs), &mut ys, &[2.0], &[-1.0]);
        assert_eq!(ys, [1.0, 0.0, 5.0, 0.0]);
        let (mut first, mut second) = ([0.0], [0.0]);
        reduce(rows(&gs), rows(&xs), [&[2.0], &[-1.0], &[0.5]], &mut first, &mut second);
        assert_eq!((first, second), ([-0.75], [0.25 * 0.5 - 2.5]));
        let mut to = [10.0, 0.0, 20.0, 0.0, 30.0, 0.0, 40.0, 0.0];
        apply(rows(&gs), rows(&xs), (&mut to, 2), [&[2.0], &[-1.0], &[0.5], &[4.0]], true);
        assert_eq!(to, [15.0, 0.0, 23.0, 0.0, 33.5, 0.0, 44.25, 0.0]);
        apply(rows(&gs), rows(&xs), (&mut to, 2), [&[2.0], &[-1.0], &[0.5], &[4.0]], false);
        assert_eq!(to, [5.0, 0.0, 3.0, 0.0, 3.5, 0.0, 4.25, 0.0]);
    }

    #[test]
    fn bf16_is_rounded_to_the_nearest_and_ties_to_even_as_by_the_crate_half() {
        for bits in (0..=u32::MAX).step_by(65_521).chain([0x3f80_8000, 0x3f81_8000, 0x7f7f_ffff, 0x7fc0_0001]) {
            let value = f32::from_bits(bits);
            let (ours, theirs) = (<bf16 as Value>::of(value), bf16::from_f32(value));
            assert!(ours == theirs || ours.is_nan() && theirs.is_nan(), "{value:e}: {ours:?} for {theirs:?}");
        }
    }
}
