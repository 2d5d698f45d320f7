//! Work on the very threads that libtorch computes with.
//!
//! Threads of our own beside them would have to be woken for each pass, while libtorch's still spin on the same cores in wait for their
//! next layer. libtorch's threads are OpenMP's, which are started through one function with a stable C interface.

use std::ffi::{c_uint, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

/// `GOMP_parallel` of GNU's OpenMP, which LLVM's has too: runs a function on so many threads, and returns when all have.
type Parallel = unsafe extern "C" fn(extern "C" fn(*mut c_void), *mut c_void, c_uint, c_uint);

/// Calls `work` with each number below `count`, once, in any order, from as many threads as libtorch uses.
pub(super) fn each(count: usize, work: &(dyn Fn(usize) + Sync)) {
    let threads = usize::try_from(tch::get_num_threads()).unwrap_or(1).min(count);
    if threads <= 1 {
        return (0..count).for_each(work);
    }
    match openmp() {
        Some(parallel) => {
            let share = Share { count, next: AtomicUsize::new(0), work };
            // SAFETY: `run` reads a `Share`, which lives until the call returns, and that is after all threads have left `run`.
            unsafe { parallel(run, (&raw const share).cast_mut().cast(), threads as c_uint, 0) };
        }
        None => pool(threads).install(|| (0..count).into_par_iter().for_each(work)),
    }
}

struct Share<'a> {
    count: usize,
    next: AtomicUsize,
    work: &'a (dyn Fn(usize) + Sync),
}

/// One thread's share. A panic here ends the process, as nothing may unwind through C.
extern "C" fn run(share: *mut c_void) {
    // SAFETY: `each` passes a `Share` that outlives the call.
    let share = unsafe { &*share.cast::<Share<'_>>() };
    loop {
        let at = share.next.fetch_add(1, Ordering::Relaxed);
        if at >= share.count {
            return;
        }
        (share.work)(at);
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
            // SAFETY: nothing new is loaded, and the function has had this signature since GCC 4.9.
            let library = unsafe { Library::open(Some("libtorch_cpu.so"), flags) }.ok()?;
            let parallel = unsafe { library.get::<Parallel>(b"GOMP_parallel\0") }.ok().map(|found| *found);
            std::mem::forget(library);
            parallel
        }
        #[cfg(not(target_os = "linux"))]
        None
    })
}

/// Threads of our own, where libtorch's cannot be had.
fn pool(threads: usize) -> &'static rayon::ThreadPool {
    static POOL: OnceLock<rayon::ThreadPool> = OnceLock::new();
    POOL.get_or_init(|| rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started"))
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
}
