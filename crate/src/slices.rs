//! The only place where a tensor's memory becomes a slice.
//!
//! tch's handles are cheap to clone and all clones share one memory, so that the borrow of a handle keeps nobody from
//! writing through another. Each function here therefore lends the slices to a closure that cannot reach any handle: a
//! closure that is `Sync` holds no [`Tensor`], which is not. For a new tensor there is no other handle.
//!
//! Nothing here looks at another thread's handles. Handles on one memory that are used from two threads, of which one
//! writes, are a data race in libtorch itself, with or without slices.

use std::ops::Range;
use std::slice;

use half::bf16;
use tch::{Device, Kind, Tensor};

/// An element type of tensors.
///
/// # Safety
/// libtorch lays out tensors of dtype `KIND` as slices of this type, and every pattern of bits is a value of it.
pub(crate) unsafe trait Element: Copy + Send + Sync + 'static {
    /// libtorch's name of the dtype.
    const KIND: Kind;
}

// SAFETY: libtorch's `uint8_t`.
unsafe impl Element for u8 {
    const KIND: Kind = Kind::Uint8;
}
// SAFETY: libtorch's `c10::BFloat16`, a struct of one `uint16_t`, as `half::bf16` is.
unsafe impl Element for bf16 {
    const KIND: Kind = Kind::BFloat16;
}
// SAFETY: libtorch's `float`.
unsafe impl Element for f32 {
    const KIND: Kind = Kind::Float;
}
// SAFETY: libtorch's `double`.
unsafe impl Element for f64 {
    const KIND: Kind = Kind::Double;
}

/// Lends the values of tensors, each in the order of its indices.
///
/// # Panics
/// If a tensor is not contiguous, not on the CPU, or not of kind `E::KIND`.
pub(crate) fn read<E: Element, R, const N: usize>(
    tensors: [&Tensor; N],
    work: impl FnOnce([&[E]; N]) -> R + Sync,
) -> R {
    // SAFETY: the slices end with `work`, which can reach no handle to write through.
    work(tensors.map(|tensor| unsafe { values(tensor) }))
}

/// Lends the values of `target` to be changed, and those of other tensors.
///
/// # Panics
/// As [`read`], and if `target` shares memory with one of the others.
pub(crate) fn change<E: Element, R, const N: usize>(
    target: &mut Tensor,
    tensors: [&Tensor; N],
    work: impl FnOnce(&mut [E], [&[E]; N]) -> R + Sync,
) -> R {
    let place = addresses::<E>(target);
    for tensor in tensors {
        let other = addresses::<E>(tensor);
        let apart = other.is_empty() || place.is_empty() || other.end <= place.start || place.end <= other.start;
        assert!(apart, "a tensor is read and changed at once");
    }
    // SAFETY: no two of these share memory but those that are only read, and they end with `work`, which can reach no
    // handle.
    unsafe { work(values_mut(target), tensors.map(|tensor| values(tensor))) }
}

/// A new tensor on the CPU, all of whose values `fill` writes; what it leaves out is any number.
pub(crate) fn filled<E: Element>(size: impl AsRef<[i64]>, fill: impl FnOnce(&mut [E])) -> Tensor {
    let filled = try_filled(size, |values| {
        fill(values);
        Ok::<(), std::convert::Infallible>(())
    });
    match filled {
        Ok(Ok(tensor)) => tensor,
        Ok(Err(never)) => match never {},
        Err(error) => panic!("{error}"),
    }
}

/// As [`filled`], where `fill` may fail; libtorch's error is that there is no memory left.
pub(crate) fn try_filled<E: Element, F>(
    size: impl AsRef<[i64]>,
    fill: impl FnOnce(&mut [E]) -> Result<(), F>,
) -> Result<Result<Tensor, F>, tch::TchError> {
    let mut tensor = Tensor::f_empty(size.as_ref(), (E::KIND, Device::Cpu))?;
    // SAFETY: nobody else has a handle on a tensor that was just made, and `tensor` is not touched while the slice
    // lives.
    let filled = fill(unsafe { values_mut(&mut tensor) });
    Ok(filled.map(|()| tensor))
}

/// # Safety
/// While the slice lives, nobody writes to the tensor's memory.
unsafe fn values<E: Element>(tensor: &Tensor) -> &[E] {
    match check::<E>(tensor) {
        0 => &[],
        // SAFETY: so many values lie there, as was checked; libtorch's allocator has given them some value, whatever it
        // is, and every pattern of bits is one. The handle is borrowed, so that the memory stays.
        count => unsafe { slice::from_raw_parts(tensor.data_ptr() as *const E, count) },
    }
}

/// # Safety
/// While the slice lives, nobody else reads or writes the tensor's memory.
unsafe fn values_mut<E: Element>(tensor: &mut Tensor) -> &mut [E] {
    match check::<E>(tensor) {
        0 => &mut [],
        // SAFETY: as in `values`.
        count => unsafe { slice::from_raw_parts_mut(tensor.data_ptr() as *mut E, count) },
    }
}

/// The number of values, which lie one after the other from the tensor's address on; an empty tensor has none.
fn check<E: Element>(tensor: &Tensor) -> usize {
    let (kind, device) = (tensor.kind(), tensor.device());
    assert!(kind == E::KIND && device == Device::Cpu, "expected {:?} on the CPU, got {kind:?} on {device:?}", E::KIND);
    assert!(tensor.is_contiguous(), "expected a contiguous tensor, got strides {:?}", tensor.stride());
    let (count, place) = (tensor.numel(), tensor.data_ptr() as *const E);
    assert!(
        count == 0 || !place.is_null() && place.is_aligned(),
        "a tensor of {count} values without a place for them"
    );
    count
}

/// The addresses of a tensor's bytes.
fn addresses<E: Element>(tensor: &Tensor) -> Range<usize> {
    let (count, start) = (check::<E>(tensor), tensor.data_ptr().addr());
    start..start + count * size_of::<E>()
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn panics(work: impl FnOnce()) -> bool {
        catch_unwind(AssertUnwindSafe(work)).is_err()
    }

    #[test]
    fn values_come_in_order_and_what_is_written_is_the_tensors() {
        let whole = Tensor::arange(24, (Kind::Float, Device::Cpu)).view([4, 6]);
        let last = whole.narrow(0, 2, 2);
        assert_eq!(
            read([&last], |[values]: [&[f32]; 1]| values.to_vec()),
            (12..24).map(|x| x as f32).collect::<Vec<_>>()
        );
        let mut first = whole.narrow(0, 0, 2);
        change(&mut first, [&last], |to: &mut [f32], [from]| to.copy_from_slice(from));
        assert_eq!(whole.narrow(0, 0, 2), whole.narrow(0, 2, 2));
        let new = filled([2, 3], |values: &mut [u8]| values.copy_from_slice(&[1, 2, 3, 4, 5, 6]));
        assert_eq!(new, Tensor::from_slice(&[1u8, 2, 3, 4, 5, 6]).view([2, 3]));
        let halves = Tensor::from_slice(&[0.5f64, -3.0]).to_kind(Kind::BFloat16);
        assert_eq!(read([&halves], |[values]: [&[bf16]; 1]| values.to_vec()), [0.5, -3.0].map(bf16::from_f32));
        assert_eq!(read([&halves.to_kind(Kind::Double)], |[values]: [&[f64]; 1]| values.to_vec()), [0.5, -3.0]);
    }

    #[test]
    fn an_empty_tensor_is_an_empty_slice() {
        for size in [vec![0], vec![0, 5], vec![3, 0, 2]] {
            let mut empty = filled(&size, |values: &mut [f32]| assert!(values.is_empty()));
            assert_eq!(empty.size(), size);
            let again = empty.shallow_clone();
            assert_eq!(read([&empty, &again], |values: [&[f32]; 2]| values.map(<[f32]>::len)), [0, 0]);
            change(&mut empty, [&again], |to: &mut [f32], [from]| assert!(to.is_empty() && from.is_empty()));
        }
    }

    #[test]
    fn another_kind_other_strides_and_shared_memory_are_refused() {
        let mut matrix = Tensor::zeros([4, 6], (Kind::Float, Device::Cpu));
        let read = |tensor: &Tensor| panics(|| super::read([tensor], |_: [&[f32]; 1]| ()));
        assert!(!read(&matrix));
        for kind in [Kind::Double, Kind::Half, Kind::BFloat16, Kind::Int, Kind::Uint8, Kind::Bool] {
            assert!(read(&matrix.to_kind(kind)), "{kind:?}");
        }
        for strided in [matrix.tr(), matrix.narrow(1, 1, 3), matrix.get(0).expand([4, 6], false)] {
            assert!(read(&strided), "{strided:?}");
        }
        assert!(
            read(&Tensor::internal_efficientzerotensor([4], (Kind::Float, Device::Cpu))),
            "values that lie nowhere"
        );
        let rows = |from: i64, count: i64| matrix.narrow(0, from, count);
        let overlap = |mut a: Tensor, b: Tensor| panics(|| change(&mut a, [&b], |_: &mut [f32], _| ()));
        assert!(overlap(rows(0, 3), rows(2, 2)) && overlap(rows(2, 2), rows(0, 4)) && overlap(rows(1, 1), rows(1, 1)));
        assert!(!overlap(rows(0, 2), rows(2, 2)) && !overlap(rows(3, 1), rows(0, 3)));
        let whole = matrix.shallow_clone();
        assert!(panics(|| change(&mut matrix, [&whole], |_: &mut [f32], _| ())));
    }

    #[test]
    fn what_fails_while_it_is_filled_is_dropped() {
        let failed = try_filled([9], |values: &mut [u8]| {
            values.fill(1);
            Err("no film")
        });
        assert_eq!(failed.unwrap().unwrap_err(), "no film");
    }
}
