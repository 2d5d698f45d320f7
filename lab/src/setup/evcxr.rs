//! evcxr_jupyter, the Rust kernel: installed once per machine.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use super::{Cache, durations, outside_cargo};
use crate::problem::{Problem, Result};
use crate::progress::{self, ProgressLine};

/// The version all facts about the kernel were checked with.
pub const VERSION: &str = "0.22.0";

/// rust-analyzer's crates for what an editor shows: a quarter of the build, and no cell waits for them. The ones that
/// know types, which every cell asks, are optimised as ever (docs/benchmarks.md).
const EDITOR_CRATES: [&str; 6] = [
    "ra_ap_ide",
    "ra_ap_ide_assists",
    "ra_ap_ide_completion",
    "ra_ap_ide_db",
    "ra_ap_ide_diagnostics",
    "ra_ap_ide_ssr",
];

/// Where an unfinished build is: the next one goes on with it.
pub const UNFINISHED: &str = ".evcxr-building";

/// Where the kernel's program is or will be.
pub fn path(cache: &Cache) -> PathBuf {
    cache.join(format!("evcxr_jupyter-{VERSION}/bin/evcxr_jupyter"))
}

/// Builds the kernel if it is missing: some minutes, once per machine. Ends early once `stop` is true.
pub fn complete(cache: &Cache, stop: &AtomicBool) -> Result<PathBuf> {
    let program = path(cache);
    if program.is_file() {
        return Ok(program);
    }
    let _lock = cache.lock("evcxr")?;
    if program.is_file() {
        return Ok(program);
    }
    let step = ProgressLine::expecting(
        format!("Rust kernel evcxr_jupyter {VERSION} (once per machine)"),
        durations::expected(cache, "evcxr"),
    );
    let unfinished = cache.join(UNFINISHED);
    let begun = unfinished.exists();
    std::fs::create_dir_all(&unfinished).map_err(Problem::at(&unfinished))?;
    let mut crates = 0;
    let ended = progress::run_unless(
        stop,
        outside_cargo("cargo")
            .args(["install", "evcxr_jupyter", "--locked", "--no-track", "--force"])
            .args(["--version", &format!("={VERSION}")])
            .arg("--root")
            .arg(&unfinished)
            .args(EDITOR_CRATES.map(|name| format!("--config=profile.release.package.{name}.opt-level=0")))
            .env("CARGO_TARGET_DIR", unfinished.join("target"))
            .env_remove("RUSTFLAGS")
            .current_dir(&unfinished),
        |line| step.say_crate(&mut crates, line),
    )?;
    let built = unfinished.join("bin/evcxr_jupyter");
    if !ended.status.success() || !built.is_file() {
        let what = format!("cannot install evcxr_jupyter {VERSION}: {}", ended.reason());
        return Err(Problem::new(what).mend(match ended.tail.iter().any(|line| is_network(line)) {
            true => "connect to the network and type the same command again",
            false => "see the reason above; the kernel is built with `cargo install evcxr_jupyter`",
        }));
    }
    let folder = program.parent().unwrap_or(&cache.root);
    std::fs::create_dir_all(folder).map_err(Problem::at(folder))?;
    std::fs::rename(&built, &program).map_err(Problem::at(&program))?;
    std::fs::remove_dir_all(&unfinished).map_err(Problem::at(&unfinished))?;
    let took = step.done();
    if !begun {
        durations::took(cache, "evcxr", took);
    }
    Ok(program)
}

/// Whether a line of cargo's or pip's tells of a network that is not there.
pub fn is_network(line: &str) -> bool {
    const SIGNS: [&str; 13] = [
        "resolve host",
        "name resolution",
        "connection refused",
        "connection error",
        "connectionerror",
        "failed to establish a new connection",
        "network is unreachable",
        "could not connect",
        "failed to connect",
        "download of config.json failed",
        "timed out",
        "unable to update registry",
        "newconnectionerror",
    ];
    let line = line.to_ascii_lowercase();
    SIGNS.iter().any(|sign| line.contains(sign))
}
