//! The crate's slices, threads, kernels and pack file where an interpreter watches every access to memory: in this
//! folder, `MIRIFLAGS=-Zmiri-disable-isolation cargo +nightly miri run`, and `… miri test -- --skip films_come_back`
//! for the tests beside the code that need no tensors, but for one that reads ahead, which Miri cannot.
//!
//! libtorch cannot be interpreted: `tch` and `libloading` here stand in for it, with memory and threads of Rust's own.

#![allow(dead_code)]

#[cfg(not(test))]
#[path = "../src/network/fused/kernels.rs"]
mod kernels;
#[path = "../src/dataset/cache/pack.rs"]
mod pack;
#[path = "../src/network/fused/parallel.rs"]
mod parallel;
#[path = "../src/network/fused/rows.rs"]
mod rows;
#[cfg(not(test))]
#[path = "../src/slices.rs"]
mod slices;

/// As the cache's, for the pack file.
const FORMAT: u32 = 1;

/// As much of the crate's as the pack file asks for.
mod files {
    pub fn temporary<'a>() -> tempfile::Builder<'a, 'a> {
        tempfile::Builder::new()
    }
}

#[cfg(test)]
fn main() {}

#[cfg(not(test))]
fn main() {
    watched::slices_side_by_side_and_refused();
    watched::threads();
    watched::kernels();
    println!("slices, threads and kernels: nothing to object to");
}

#[cfg(not(test))]
mod watched {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use half::bf16;
    use tch::{Device, Kind, Tensor};

    use super::kernels::{Norm, Store, backward, moments, normalise};
    use super::{parallel, slices};

    /// A matrix of some numbers.
    fn matrix(kind: Kind, rows: i64, columns: i64) -> Tensor {
        let value = |at: usize| ((at * 37 % 101) as f64 - 50.0) / 10.0;
        fn fill<E>(to: &mut [E], value: impl Fn(usize) -> E) {
            to.iter_mut().enumerate().for_each(|(at, to)| *to = value(at));
        }
        match kind {
            Kind::Float => slices::filled([rows, columns], |to: &mut [f32]| fill(to, |at| value(at) as f32)),
            Kind::Double => slices::filled([rows, columns], |to: &mut [f64]| fill(to, value)),
            _ => slices::filled([rows, columns], |to: &mut [bf16]| fill(to, |at| bf16::from_f64(value(at)))),
        }
    }

    pub fn slices_side_by_side_and_refused() {
        let whole = matrix(Kind::Float, 6, 4);
        let mut upper = whole.rows(0, 3);
        slices::change(&mut upper, [&whole.rows(3, 3), &whole.rows(4, 2)], |to: &mut [f32], [a, b]| {
            to.copy_from_slice(a);
            to[..b.len()].copy_from_slice(b);
        });
        slices::read([&whole, &upper, &whole], |[a, b, c]: [&[f32]; 3]| assert!(a[..12] == *b && a == c));
        let both = || slices::change(&mut whole.rows(2, 2), [&whole.rows(0, 3)], |_: &mut [f32], _| ());
        assert!(catch_unwind(AssertUnwindSafe(both)).is_err());
        let failed = slices::try_filled([4], |to: &mut [u8]| {
            to.fill(7);
            Err("dropped")
        });
        assert!(failed.unwrap().is_err());
    }

    pub fn threads() {
        let panics = || parallel::each(50, &|at| assert!(at != 20));
        assert!(catch_unwind(panics).is_err());
        let mut parts = vec![0u8; 1000];
        parallel::each_part(&mut parts, 7, &|at, part| part.fill(at as u8));
        assert!((0..1000).all(|at| parts[at] == (at / 7) as u8));
    }

    pub fn kernels() {
        let norm = |of_batch| {
            let [scale, shift, mean, sharpness] = [0.5, 0.1, 0.2, 2.0].map(|value| vec![value; 3]);
            Norm { scale, shift, mean, sharpness, of_batch }
        };
        for kind in [Kind::Float, Kind::Double, Kind::BFloat16] {
            // Three chunks, the last of them short; none; one.
            for rows in [530, 0, 1] {
                let (xs, gs) = (matrix(kind, rows, 5), matrix(kind, rows, 3));
                assert_eq!(moments(&xs, 1, 3).mean.len(), 3);
                let ys = normalise(&xs, &norm(true));
                assert!(ys.size() == [rows, 3] && ys.numbers().iter().all(|y| *y >= 0.0));
                for norm in [true, false].map(norm) {
                    // A target of which only the first columns are written, and one that nobody has written to before.
                    let mut target = matrix(kind, rows, 4);
                    let before = target.numbers();
                    backward(&gs, &xs, &norm, Some((&mut target, Store::Added)));
                    let after = target.numbers();
                    assert!((0..rows as usize).all(|row| before[4 * row + 3] == after[4 * row + 3]));
                    let mut new = Tensor::f_empty(&[rows, 3], (kind, Device::Cpu)).unwrap();
                    let found = backward(&gs, &xs, &norm, Some((&mut new, Store::Written)));
                    assert!(new.numbers().iter().all(|x| x.is_finite()));
                    assert_eq!(found.weight.numbers().len(), 3);
                    backward(&gs, &xs, &norm, None);
                }
            }
        }
    }
}
