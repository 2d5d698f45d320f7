//! Does what is still missing, step by step: Rust's parts, a compiler, the Python environment, the kernel, its warm
//! copy.

pub mod cache;
pub mod durations;
pub mod evcxr;
pub mod kernel;
pub mod programs;
pub mod proxy;
pub mod python;
pub mod rust;
pub mod space;
pub mod sweep;
mod warm;
pub mod warmed;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

pub use cache::Cache;

use crate::checkout::Checkout;
use crate::problem::Result;

/// Everything that commands of the lab need, in place.
#[derive(Debug)]
pub struct Ready {
    /// The checkout.
    pub checkout: Checkout,
    /// The per-user cache.
    pub cache: Cache,
    /// The Rust toolchain.
    pub rust: rust::Rust,
    /// The Python environment.
    pub python: python::Environment,
    /// `CXX`, where the C++ compiler is not called `c++`.
    pub cxx: Option<OsString>,
    /// The installed kernel.
    pub kernel: kernel::Kernel,
}

/// Completes the set-up, but for the warm copy of the kernel: that one needs a crate that compiles.
pub fn complete() -> Result<Ready> {
    complete_with(false)
}

/// As [`complete`]; with `ahead`, what the warm copy is built from is compiled while the Rust kernel is.
fn complete_with(ahead: bool) -> Result<Ready> {
    let checkout = Checkout::find()?;
    let cache = Cache::open()?;
    let rust = rust::Rust::complete()?;
    let cxx = rust::compiler()?;
    let plan = python::plan(&checkout, &cache)?;
    space::require(&cache, &plan, &rust)?;
    let evcxr = evcxr::path(&cache);

    // The Python environment waits for the network and the disk, the Rust kernel for the processor, often for one core:
    // they are made at once.
    let (no_kernel_needed, no_kernel) = (AtomicBool::new(false), AtomicBool::new(false));
    let ready = std::thread::scope(|scope| {
        let building = scope.spawn(|| {
            let built = evcxr::complete(&cache, &no_kernel_needed);
            no_kernel.store(built.is_err(), Ordering::Relaxed);
            built
        });
        let ready = plan.complete(&checkout, &cache).and_then(|python| {
            let kernel = kernel::install(&checkout, &cache, &rust, &python, cxx.as_deref(), &evcxr)?;
            Ok(Ready { checkout: checkout.clone(), cache: cache.clone(), rust: rust.clone(), python, cxx, kernel })
        });
        // What is wrong with Python is told at once; what is wrong with the kernel, once Python's download is not lost.
        no_kernel_needed.store(ready.is_err(), Ordering::Relaxed);
        if let Ok(ready) = &ready
            && !building.is_finished()
            && kernel::templates(&cache, &rust).is_empty()
        {
            match ahead {
                true => {
                    // Should it fail, `warm` says why.
                    drop(proxy::complete(ready));
                    warm::build_ahead(ready, &no_kernel);
                }
                false => fetch(ready),
            }
        }
        let built = building.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        ready.and_then(|ready| built.map(|_| ready))
    })?;
    let kernel = &ready.kernel;
    let in_use = [&ready.python.prefix, &evcxr, &kernel.file, &kernel.scripts, &kernel.proxy].map(PathBuf::as_path);
    if let Some(line) = sweep::sweep(&cache, &in_use) {
        eprintln!("{line}");
    }
    Ok(ready)
}

/// Downloads the crates of the checkout. Where it fails, the build that needs them says why.
fn fetch(ready: &Ready) {
    let mut command = outside_cargo("cargo");
    command.args(["fetch", "--quiet", "--locked"]).args(ready.rust.host().map(|host| format!("--target={host}")));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    drop(command.current_dir(&ready.checkout.root).status());
}

/// [`complete`], and a warm copy of the kernel for this checkout's crate as it is now.
pub fn complete_and_warm() -> Result<Ready> {
    let ready = complete_with(true)?;
    ready.warm()?;
    Ok(ready)
}

/// How long a thread of libtorch's spins while it waits for the others: by default so long that, on a machine with
/// other work, most of the processor goes into waiting.
pub const SPIN: (&str, &str) = ("GOMP_SPINCOUNT", "10000");

impl Ready {
    /// Builds what stands before the kernel, and brings its warm copy up to date with the crate.
    pub fn warm(&self) -> Result<()> {
        proxy::complete(self)?;
        warm::warm(self)
    }

    /// A program inside the environment.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = outside_cargo(program);
        command.envs(self.variables());
        command
    }

    /// One of the lab's Python scripts.
    pub fn script(&self, name: &str) -> Command {
        let mut command = self.command(&self.python.python);
        command.args(["-E", "-s", "-u"]).arg(self.kernel.scripts.join(name));
        command
    }

    /// What [`Ready::command`] adds to the environment.
    fn variables(&self) -> Vec<(&'static str, OsString)> {
        let bin = self.python.python.parent().unwrap_or(Path::new("/")).to_owned();
        let mut variables = vec![
            ("LIBTORCH", self.python.torch.clone().into_os_string()),
            ("HUMERUS_PYTHON", self.python.python.clone().into_os_string()),
            ("HUMERUS_KERNEL", self.kernel.file.clone().into_os_string()),
            ("PATH", join_paths([bin].into_iter().chain(inherited("PATH")))),
            (
                "LD_LIBRARY_PATH",
                join_paths(
                    [self.python.torch.join("lib"), self.rust.target_libdir.clone()]
                        .into_iter()
                        .chain(inherited("LD_LIBRARY_PATH").filter(|path| !self.is_cargos(path))),
                ),
            ),
        ];
        if let Some(cxx) = &self.cxx {
            variables.push(("CXX", cxx.clone()));
        }
        if std::env::var_os(SPIN.0).is_none() {
            variables.push((SPIN.0, SPIN.1.into()));
        }
        variables
    }

    /// Whether `cargo run` put this entry into LD_LIBRARY_PATH.
    fn is_cargos(&self, path: &Path) -> bool {
        path.starts_with(self.checkout.root.join("target")) || path.starts_with(&self.rust.sysroot)
    }
}

/// The entries of a path variable of ours.
pub fn inherited(name: &str) -> impl Iterator<Item = PathBuf> {
    let value = std::env::var_os(name).unwrap_or_default();
    std::env::split_paths(&value).filter(|path| !path.as_os_str().is_empty()).collect::<Vec<_>>().into_iter()
}

/// A path variable of these entries, each once.
pub fn join_paths(paths: impl Iterator<Item = PathBuf>) -> OsString {
    let mut once: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !once.contains(&path) {
            once.push(path);
        }
    }
    std::env::join_paths(once).unwrap_or_default()
}

/// A program without the variables that `cargo run` set for the lab itself: another cargo must not see them.
pub fn outside_cargo(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let of_a_package = ["CARGO_PKG_", "CARGO_BIN_", "CARGO_MANIFEST_"].iter().any(|start| text.starts_with(start));
        if of_a_package || ["CARGO", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"].contains(&text.as_ref()) {
            command.env_remove(&name);
        }
    }
    command
}
