//! The program that stands between Jupyter and evcxr (`parts/kernel`): built once for each state of its sources.

use std::path::{Path, PathBuf};

use super::cache::digest;
use super::rust::Rust;
use super::{Cache, Ready, durations};
use crate::checkout::Checkout;
use crate::problem::{Problem, Result};
use crate::progress::{self, ProgressLine};

/// The package, and its program.
pub const PACKAGE: &str = "humerus-kernel";

/// Where the program of this checkout's sources is or will be; `needs` are the packages that it leans on.
pub fn path(checkout: &Checkout, cache: &Cache, rust: &Rust, needs: &[String]) -> Result<PathBuf> {
    let folder = checkout.root.join("parts/kernel");
    let mut files = vec![folder.join("Cargo.toml")];
    sources(&folder.join("src"), &mut files);
    files.sort();
    let mut bytes = format!("{}\n{}\n", rust.verbose_version, needs.join("\n")).into_bytes();
    for file in &files {
        bytes.extend(std::fs::read(file).map_err(Problem::at(file))?);
    }
    Ok(cache.join(format!("proxy-{}/{PACKAGE}", digest(bytes))))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => sources(&path, found),
            path => found.push(path),
        }
    }
}

/// Builds the program if it is missing.
pub fn complete(ready: &Ready) -> Result<()> {
    let program = &ready.kernel.proxy;
    if program.is_file() {
        return Ok(());
    }
    let _lock = ready.cache.lock("proxy")?;
    if program.is_file() {
        return Ok(());
    }
    let step = ProgressLine::expecting("Kernel: what stands before evcxr", durations::expected(&ready.cache, "proxy"));
    let target = ready.checkout.root.join("target");
    let mut build = ready.command("cargo");
    build.args(["build", "--locked", "--profile", "lab", "--package", PACKAGE]).env("CARGO_TARGET_DIR", &target);
    build.env_remove("CARGO_BUILD_TARGET").current_dir(&ready.checkout.root);
    let ended = progress::run(&mut build, |line| {
        if line.trim_start().starts_with("Compiling") {
            step.say(line.trim());
        }
    })?;
    let built = target.join("lab").join(PACKAGE);
    if !ended.status.success() || !built.is_file() {
        let offline = ended.tail.iter().any(|line| super::evcxr::is_network(line));
        let problem = Problem::new(format!("cannot build {PACKAGE}: {}", ended.reason()));
        return Err(problem.mend(match offline {
            true => "connect to the network and type the same command again",
            false => "see that it compiles: `cargo lab exec -- cargo build -p humerus-kernel`",
        }));
    }
    let folder = program.parent().unwrap_or(&ready.cache.root);
    std::fs::create_dir_all(folder).map_err(Problem::at(folder))?;
    let unnamed = folder.join(format!(".{PACKAGE}"));
    std::fs::copy(&built, &unnamed).map_err(Problem::at(&unnamed))?;
    std::fs::rename(&unnamed, program).map_err(Problem::at(program))?;
    durations::took(&ready.cache, "proxy", step.done());
    Ok(())
}
