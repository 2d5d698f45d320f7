//! Whether the disk holds what set-up is about to make.

use super::python::PythonPlan;
use super::rust::Rust;
use super::{Cache, evcxr, kernel};
use crate::problem::{Problem, Result};

/// GiB that each part takes while it is being made.
const PYTHON_GIB: f64 = 8.0;
const EVCXR_GIB: f64 = 2.0;
const KERNEL_GIB: f64 = 2.0;
/// Sessions, notebooks and models need some room at any time.
const ALWAYS_GIB: f64 = 0.5;

/// GiB that the missing parts will take.
pub fn wanted_gib(cache: &Cache, plan: &PythonPlan, rust: &Rust) -> f64 {
    let mut wanted = ALWAYS_GIB;
    if plan.is_missing() {
        wanted += PYTHON_GIB;
    }
    if !evcxr::path(cache).is_file() {
        wanted += EVCXR_GIB;
    }
    if kernel::templates(cache, rust).is_empty() {
        wanted += KERNEL_GIB;
    }
    wanted
}

/// Refuses to start what the disk cannot hold.
pub fn require(cache: &Cache, plan: &PythonPlan, rust: &Rust) -> Result<()> {
    let (free, wanted) = (cache.free_gib()?, wanted_gib(cache, plan, rust));
    if free >= wanted {
        return Ok(());
    }
    Err(Problem::new(format!(
        "too little disk: {free:.1} GiB free at {}, the set-up needs {wanted:.1} GiB",
        cache.root.display()
    ))
    .mend("free some (`cargo lab doctor` says how), or set HUMERUS_CACHE to a folder on a larger disk"))
}
