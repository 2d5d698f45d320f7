//! Rust, its sources and a C++ compiler.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::outside_cargo;
use crate::problem::{Problem, Result};
use crate::progress::{self, ProgressLine};

/// The oldest Rust that evcxr 0.22 and the crate accept.
pub const OLDEST: (u32, u32) = (1, 95);

/// The Rust toolchain in use.
#[derive(Debug, Clone)]
pub struct Rust {
    /// What `rustc -vV` says.
    pub verbose_version: String,
    /// Its folder.
    pub sysroot: PathBuf,
    /// Where its shared standard library is.
    pub target_libdir: PathBuf,
}

impl Rust {
    /// Asks `rustc`; changes nothing.
    pub fn find() -> Result<Rust> {
        let update = "install Rust with rustup, or type `rustup update stable`";
        let ask = |arguments: &[&str]| {
            let output = outside_cargo("rustc")
                .args(arguments)
                .output()
                .map_err(|error| Problem::new(format!("no Rust: rustc: {error}")).mend(update))?;
            match output.status.success() {
                true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
                false => {
                    Err(Problem::new(format!("rustc fails: {}", String::from_utf8_lossy(&output.stderr))).mend(update))
                }
            }
        };
        let verbose_version = ask(&["-vV"])?;
        let version = verbose_version.split_whitespace().nth(1).unwrap_or("unknown");
        if release(version).is_none_or(|found| found < OLDEST) {
            let (major, minor) = OLDEST;
            let what = format!("Rust {version} is too old: {major}.{minor} or newer is needed");
            return Err(Problem::new(what).mend("type `rustup update stable`"));
        }
        let printed = ask(&["--print", "sysroot", "--print", "target-libdir"])?;
        let mut paths = printed.lines().map(PathBuf::from);
        match (paths.next(), paths.next()) {
            (Some(sysroot), Some(target_libdir)) => Ok(Rust { verbose_version, sysroot, target_libdir }),
            _ => Err(Problem::new("rustc does not say where its libraries are").mend(update)),
        }
    }

    /// Finds Rust and adds its sources where they are missing.
    pub fn complete() -> Result<Rust> {
        let rust = Rust::find()?;
        if !rust.has_sources() {
            let step = ProgressLine::start("Rust's sources (component rust-src)");
            let added =
                progress::run(outside_cargo("rustup").args(["component", "add", "rust-src"]), |line| step.say(line));
            let by_hand = "type `rustup component add rust-src` (the kernel infers the types of variables from it)";
            match added {
                Ok(ended) if ended.status.success() && rust.has_sources() => {
                    step.done();
                }
                Ok(ended) => {
                    return Err(Problem::new(format!("the Rust component rust-src is missing: {}", ended.reason()))
                        .mend(by_hand));
                }
                Err(problem) => {
                    return Err(
                        Problem::new(format!("the Rust component rust-src is missing: {problem}")).mend(by_hand)
                    );
                }
            }
        }
        Ok(rust)
    }

    /// Where the component rust-src puts the standard library.
    pub fn library(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib/src/rust/library")
    }

    /// Links to the parts of Rust's sources that matter for the types of variables. Without the vector intrinsics and
    /// the library's own tests, and without the workspace's manifest, which has the kernel look for the library's
    /// dependencies, a kernel answers 3 to 4 seconds of processor time earlier. Only inference reads this, rustc does
    /// not.
    pub fn link_sources(&self, links: &Path) -> Result<()> {
        let library = self.library();
        let done = links.join("core").read_link().is_ok_and(|target| target == library.join("core"));
        if done {
            return Ok(());
        }
        let unfinished = links.with_extension("new");
        for old in [links, &unfinished] {
            if old.exists() {
                std::fs::remove_dir_all(old).map_err(Problem::at(old))?;
            }
        }
        std::fs::create_dir_all(&unfinished).map_err(Problem::at(&unfinished))?;
        for entry in std::fs::read_dir(&library).map_err(Problem::at(&library))?.flatten() {
            let name = entry.file_name();
            if entry.path().is_dir() && !["stdarch", "coretests", "alloctests"].iter().any(|left_out| name == *left_out)
            {
                std::os::unix::fs::symlink(entry.path(), unfinished.join(name)).map_err(Problem::at(&unfinished))?;
            }
        }
        std::fs::rename(&unfinished, links).map_err(Problem::at(links))
    }

    /// Whether the standard library's sources are there; the kernel reads them.
    pub fn has_sources(&self) -> bool {
        self.library().join("std/src/lib.rs").is_file()
    }

    /// The target that it builds for by itself, such as `x86_64-unknown-linux-gnu`.
    pub fn host(&self) -> Option<&str> {
        self.verbose_version.lines().find_map(|line| line.strip_prefix("host: "))
    }

    /// `1.95.0 (… )`, as people quote it.
    pub fn version(&self) -> &str {
        let first = self.verbose_version.lines().next().unwrap_or_default();
        first.strip_prefix("rustc ").unwrap_or(first)
    }
}

/// `(1, 95)` from `1.95.0-nightly`.
fn release(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(['.', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Finds a C++ compiler; returns what `CXX` must say where it is not called `c++`.
pub fn compiler() -> Result<Option<OsString>> {
    let named = std::env::var_os("CXX").filter(|name| !name.is_empty());
    let candidates: Vec<OsString> = match &named {
        Some(name) => vec![name.clone()],
        None => ["c++", "g++", "clang++"].map(OsString::from).to_vec(),
    };
    for candidate in &candidates {
        let works = outside_cargo(candidate).arg("--version").output().is_ok_and(|output| output.status.success());
        if works {
            let must_say = named.is_none() && candidate != "c++";
            return Ok(must_say.then(|| candidate.clone()));
        }
    }
    let what = match named {
        Some(name) => format!("the C++ compiler that CXX names does not run: {}", name.to_string_lossy()),
        None => "no C++ compiler (looked for c++, g++, clang++)".to_owned(),
    };
    Err(Problem::new(what).mend("install one (Debian, Ubuntu: `sudo apt install g++`), or let CXX name it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_reads_stable_and_nightly_versions() {
        assert_eq!(release("1.95.0"), Some((1, 95)));
        assert_eq!(release("1.97.0-nightly"), Some((1, 97)));
        assert_eq!(release("unknown"), None);
    }
}
