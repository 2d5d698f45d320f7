//! Work on the very threads that libtorch computes with.
//!
//! Threads of our own beside them would have to be woken for each pass, while libtorch's still spin on the same cores
//! in wait for their next layer; rayon's take over where libtorch's cannot be had. libtorch's threads are OpenMP's,
//! which are started through one function with a stable C interface.

use std::any::Any;
use std::ffi::c_uint;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use rayon::prelude::*;

/// `GOMP_parallel` of GNU's OpenMP, which LLVM's has too: hands an address to a function on so many threads, and
/// returns when all have returned. The address is C's `void *`, which a reference is to C.
type Parallel = unsafe extern "C" fn(for<'a, 'b> extern "C" fn(&'a Share<'b>), &Share<'_>, c_uint, c_uint);

/// Calls `work` with each number below `count`, once, in any order, from as many threads as libtorch uses.
///
/// # Panics
/// If `work` panics.
pub(super) fn each(count: usize, work: &(dyn Fn(usize) + Sync)) {
    let threads = usize::try_from(tch::get_num_threads()).unwrap_or(1).min(count);
    if threads <= 1 {
        return (0..count).for_each(work);
    }
    match openmp() {
        Some(parallel) => {
            let share = Share { count, next: AtomicUsize::new(0), work, panic: Mutex::new(None) };
            // SAFETY: `openmp` found the function of this signature; it calls `run` with `share`, which may be used by
            // several threads at once (all in it is `Sync`) and lives until the call returns, and that is after all
            // threads have left `run`.
            unsafe { parallel(run, &share, threads as c_uint, 0) };
            if let Ok(Some(panic)) = share.panic.into_inner() {
                resume_unwind(panic);
            }
        }
        None => (0..count).into_par_iter().for_each(work),
    }
}

/// Calls `work` with each part of `values`, of `size` each but for the last, and with its number: see [`each`].
pub(super) fn each_part<T: Send>(values: &mut [T], size: usize, work: &(dyn Fn(usize, &mut [T]) + Sync)) {
    // No one ever waits for a lock: each part is asked for once.
    let parts: Vec<Mutex<&mut [T]>> = values.chunks_mut(size).map(Mutex::new).collect();
    each(parts.len(), &|at| work(at, &mut parts[at].lock().expect("nobody else has had this part")));
}

struct Share<'a> {
    count: usize,
    next: AtomicUsize,
    work: &'a (dyn Fn(usize) + Sync),
    /// What the first thread that panicked said.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// One thread's share. Nothing unwinds through C: a panic goes the way through `share`, and ends the others' work.
extern "C" fn run(share: &Share<'_>) {
    let all = || {
        loop {
            let at = share.next.fetch_add(1, Ordering::Relaxed);
            if at >= share.count {
                return;
            }
            (share.work)(at);
        }
    };
    if let Err(panic) = catch_unwind(AssertUnwindSafe(all)) {
        share.next.store(share.count, Ordering::Relaxed);
        if let Ok(mut first) = share.panic.lock() {
            first.get_or_insert(panic);
        }
    }
}

/// The OpenMP that libtorch has loaded.
fn openmp() -> Option<Parallel> {
    static FOUND: OnceLock<Option<Parallel>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        #[cfg(target_os = "linux")]
        {
            use libloading::os::unix::Library;
            // Only if it is there already; what it depends on is searched with it.
            let flags = libc::RTLD_NOW | libc::RTLD_NOLOAD;
            // SAFETY: loads nothing, so that no code of the library runs; it was loaded when this program began.
            let library = unsafe { Library::open(Some("libtorch_cpu.so"), flags) }.ok()?;
            // SAFETY: the function has had this signature since GCC 4.9, and the library stays, as its handle is
            // forgotten.
            let parallel = unsafe { library.get::<Parallel>(b"GOMP_parallel\0") }.ok().map(|found| *found);
            std::mem::forget(library);
            parallel
        }
        #[cfg(not(target_os = "linux"))]
        None
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn each_number_is_worked_on_once_on_libtorchs_threads_and_on_others() {
        for count in [0, 1, 2, 1000] {
            let calls: Vec<AtomicU32> = (0..count).map(|_| AtomicU32::new(0)).collect();
            super::each(count, &|at| {
                calls[at].fetch_add(1, Ordering::Relaxed);
            });
            assert!(calls.iter().all(|calls| calls.load(Ordering::Relaxed) == 1));
        }
        if cfg!(target_os = "linux") {
            assert!(super::openmp().is_some(), "libtorch for Linux brings GNU's OpenMP");
        }
    }

    #[test]
    fn each_part_is_given_once_with_its_number_and_the_last_may_be_shorter() {
        for count in [0, 1, 6, 7, 1000] {
            let mut values = vec![0; count];
            super::each_part(&mut values, 7, &|at, part| {
                assert_eq!(part.len(), 7.min(count - 7 * at));
                part.iter_mut().enumerate().for_each(|(place, value)| *value += 7 * at + place);
            });
            assert_eq!(values, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_panic_in_some_thread_reaches_the_caller_and_the_next_call_works() {
        let panics = || super::each(1000, &|at| assert!(at != 700, "number {at}"));
        let message = std::panic::catch_unwind(panics).unwrap_err();
        assert_eq!(message.downcast_ref::<String>().map(String::as_str), Some("number 700"));
        super::each(1000, &|_| ());
    }
}
