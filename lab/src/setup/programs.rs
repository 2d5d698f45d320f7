//! The `cargo` that the kernel runs.
//!
//! Where a cell does not compile, or a variable's type is unknown, evcxr asks `cargo check` for the reasons, and a check shares
//! nothing with a build: the first mistake of every kernel waited minutes in silence until all dependencies were checked.
//! A build finds the same errors from what is there, so this `cargo` builds where evcxr asks for a check. The alternative,
//! checking everything while warming, takes minutes more for each machine, half a minute more for each edit of the crate,
//! and twice the small files to copy for each kernel.

use std::path::{Path, PathBuf};

use super::cache::write_if_changed;
use super::rust::Rust;
use crate::problem::{Problem, Result};

/// Writes the programs that stand before all others on a kernel's PATH, into `folder`.
pub fn write(folder: &Path, rust: &Rust) -> Result<()> {
    let cargo = folder.join("cargo");
    // Evcxr's own calls are told by a variable that it sets for them alone: a cell's `cargo check` is what it says.
    let script = format!(
        "#!/bin/sh\nif [ -n \"$EVCXR_CORE_EXTERN\" ]; then\n  for word; do\n    shift\n    \
         [ \"$word\" = check ] && word=build\n    set -- \"$@\" \"$word\"\n  done\nfi\nexec {} \"$@\"\n",
        quoted(&real_cargo(rust)?)
    );
    write_program(&cargo, &script)?;
    // Evcxr asks rustup for the toolchain's cargo before it looks on PATH.
    let rustup = folder.join("rustup");
    match super::inherited("PATH").map(|entry| entry.join("rustup")).find(|path| path.is_file() && *path != rustup) {
        Some(real) => write_program(
            &rustup,
            &format!(
                "#!/bin/sh\n[ \"$*\" = \"which cargo\" ] && exec echo {}\nexec {} \"$@\"\n",
                quoted(&cargo),
                quoted(&real)
            ),
        ),
        None => match std::fs::remove_file(&rustup) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Problem::at(&rustup)(error)),
            _ => Ok(()),
        },
    }
}

/// The toolchain's own cargo: rustup's stand-in costs each cell a tenth of a second.
fn real_cargo(rust: &Rust) -> Result<PathBuf> {
    let own = rust.sysroot.join("bin/cargo");
    let found = Some(own).filter(|path| path.is_file());
    let found = found.or_else(|| super::inherited("PATH").map(|entry| entry.join("cargo")).find(|path| path.is_file()));
    found.ok_or_else(|| Problem::new("no cargo beside rustc or on PATH").mend("install Rust with rustup"))
}

fn write_program(path: &Path, script: &str) -> Result<()> {
    write_if_changed(path, script.as_bytes())?;
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(path, executable).map_err(Problem::at(path))
}

/// A path as the shell takes it.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What the real cargo is told, with and without evcxr's variable.
    fn told(arguments: &[&str], by_evcxr: bool) -> String {
        let folder = tempfile::Builder::new().prefix("it's a toolchain-").tempdir().unwrap();
        let sysroot = folder.path().join("sysroot");
        std::fs::create_dir_all(sysroot.join("bin")).unwrap();
        write_program(&sysroot.join("bin/cargo"), "#!/bin/sh\nprintf '[%s]' \"$@\"\n").unwrap();
        let rust = Rust { verbose_version: String::new(), target_libdir: PathBuf::new(), sysroot };
        write(folder.path(), &rust).unwrap();
        let mut command = Command::new(folder.path().join("cargo"));
        command.args(arguments).env_remove("EVCXR_CORE_EXTERN");
        if by_evcxr {
            command.env("EVCXR_CORE_EXTERN", "core=/lib/libstd.so");
        }
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    }

    #[test]
    fn evcxr_s_check_is_a_build_and_nothing_else_changes() {
        let check = ["check", "--target", "here", "--message-format=json"];
        assert_eq!(told(&check, true), "[build][--target][here][--message-format=json]");
        assert_eq!(told(&["--offline", "check"], true), "[--offline][build]");
        assert_eq!(told(&["metadata", "--format-version", "1"], true), "[metadata][--format-version][1]");
        assert_eq!(told(&["build", "a b", "*"], true), "[build][a b][*]");
    }

    #[test]
    fn a_cell_s_own_check_stays_a_check() {
        assert_eq!(told(&["check"], false), "[check]");
    }
}
