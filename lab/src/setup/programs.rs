//! The `cargo` that the kernel runs.
//!
//! Where a cell does not compile, or a variable's type is unknown, evcxr asks `cargo check` for the reasons, and a
//! check shares nothing with a build: the first mistake of every kernel waited minutes in silence until all
//! dependencies were checked. A build finds the same errors from what is there, so this `cargo` builds where evcxr asks
//! for a check. The alternative, checking everything while warming, takes minutes more for each machine, half a minute
//! more for each edit of the crate, and twice the small files to copy for each kernel.

use std::path::{Path, PathBuf};

use super::cache::write_program;
use super::rust::Rust;
use crate::problem::{Problem, Result};

/// Dependencies that are large and compute nothing that anybody waits for: optimising them is half of their build. TLS
/// and HTTP fetch one file, whose ciphers are assembler; the colour management and the archives come with `image` and
/// `tch` and are never called.
const UNOPTIMISED: [&str; 9] =
    ["moxcms", "pxfm", "rustls", "webpki", "ureq", "ureq_proto", "http", "zip", "dicom_dictionary_std"];

/// Writes the programs that stand before all others on a kernel's PATH, into `folder`. `refresh` builds an edited
/// crate.
pub fn write(folder: &Path, rust: &Rust, refresh: &Path) -> Result<()> {
    let cargo = folder.join("cargo");
    let rustc = folder.join("rustc-of-a-kernel");
    // Evcxr's own calls are told by a variable that it sets for them alone: a cell's `cargo check` is what it says.
    let script = format!(
        r#"#!/bin/sh
if [ -n "$EVCXR_CORE_EXTERN" ]; then
  for word; do
    shift
    [ "$word" = check ] && word=build
    set -- "$@" "$word"
  done
  printf %s "$RUSTFLAGS" > "$EVCXR_TMPDIR/.rustflags"
  if [ -e "$EVCXR_TMPDIR/.stale" ] && grep -q humerus "$EVCXR_TMPDIR/Cargo.toml"; then
    "$HUMERUS_PYTHON" -E -s -B {refresh} "$EVCXR_TMPDIR" < /dev/null > /dev/null 2>&1
  fi
  export HUMERUS_RUSTC="$RUSTC" RUSTC={rustc}
fi
exec {cargo} "$@"
"#,
        refresh = quoted(refresh),
        rustc = quoted(&rustc),
        cargo = quoted(&real(rust, "cargo")?),
    );
    write_program(&cargo, &script)?;
    // By evcxr's profile a crate has sixteen large units, optimised across each other, and an edit of one line does
    // nearly all of that again. The crate itself is instead compiled in units as small as modules, each optimised for
    // itself: an edit compiles few of them. What computes in long loops of its own (decoding, phantoms) are smaller
    // crates, which stay as they are.
    let unoptimised: Vec<String> = UNOPTIMISED.iter().map(|name| format!("*\" --crate-name {name} \"*")).collect();
    let script = format!(
        r#"#!/bin/sh
real={rustc}
case " $* " in
  *" --crate-name humerus "*) set -- "$@" -C codegen-units=256 -C lto=off ;;
  {unoptimised}) set -- "$@" -C opt-level=0 ;;
esac
exec "${{HUMERUS_RUSTC:-$real}}" "$@"
"#,
        rustc = quoted(&real(rust, "rustc")?),
        unoptimised = unoptimised.join(" | "),
    );
    write_program(&rustc, &script)?;
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

/// The toolchain's own program: rustup's stand-in costs each cell a tenth of a second.
fn real(rust: &Rust, name: &str) -> Result<PathBuf> {
    let own = rust.sysroot.join("bin").join(name);
    let found = Some(own).filter(|path| path.is_file());
    let found = found.or_else(|| super::inherited("PATH").map(|entry| entry.join(name)).find(|path| path.is_file()));
    found.ok_or_else(|| Problem::new(format!("no {name} on PATH")).mend("install Rust with rustup"))
}

/// A path as the shell takes it.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const SPEAKS: &str = "#!/bin/sh\nprintf '[%s]' \"$@\"\n";

    /// A kernel's programs before real ones that say what they are told.
    fn programs(cargo: &str) -> tempfile::TempDir {
        let folder = tempfile::Builder::new().prefix("it's a toolchain-").tempdir().unwrap();
        let sysroot = folder.path().join("sysroot");
        std::fs::create_dir_all(sysroot.join("bin")).unwrap();
        write_program(&sysroot.join("bin/cargo"), cargo).unwrap();
        write_program(&sysroot.join("bin/rustc"), SPEAKS).unwrap();
        let rust = Rust { verbose_version: String::new(), target_libdir: PathBuf::new(), sysroot };
        write(folder.path(), &rust, &folder.path().join("refresh.py")).unwrap();
        folder
    }

    fn says(command: &mut Command) -> String {
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    }

    fn by_evcxr<'a>(command: &'a mut Command, folder: &Path) -> &'a mut Command {
        command.env("EVCXR_CORE_EXTERN", "core=/lib/libstd.so").env("EVCXR_TMPDIR", folder).env("RUSTFLAGS", "-Cx")
    }

    /// What the real cargo is told, with and without evcxr's variable.
    fn told(arguments: &[&str], evcxr: bool) -> String {
        let folder = programs(SPEAKS);
        let mut command = Command::new(folder.path().join("cargo"));
        command.args(arguments).env_remove("EVCXR_CORE_EXTERN");
        match evcxr {
            true => says(by_evcxr(&mut command, folder.path())),
            false => says(&mut command),
        }
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

    #[test]
    fn the_crate_is_built_in_small_units_and_what_computes_nothing_without_optimisation() {
        let folder = programs("#!/bin/sh\nexec \"$RUSTC\" \"$@\"\n");
        let rustc = |words: &str| {
            let mut command = Command::new(folder.path().join("cargo"));
            says(by_evcxr(command.args(words.split(' ')).env("RUSTC", ""), folder.path()))
        };
        let small = "[-C][codegen-units=256][-C][lto=off]";
        let told = rustc("--crate-name humerus -C codegen-units=16");
        assert_eq!(told, format!("[--crate-name][humerus][-C][codegen-units=16]{small}"));
        assert_eq!(rustc("--crate-name pxfm -C opt-level=2"), "[--crate-name][pxfm][-C][opt-level=2][-C][opt-level=0]");
        for other in ["humerus_film", "image", "ctx", "pxfm_of_another"] {
            let told = rustc(&format!("--crate-name {other} -C opt-level=2"));
            assert!(!told.contains(small) && !told.contains("opt-level=0"), "{other}: {told}");
        }
        assert_eq!(std::fs::read_to_string(folder.path().join(".rustflags")).unwrap(), "-Cx");
    }

    #[test]
    fn an_edited_crate_is_refreshed_before_the_build_that_needs_it() {
        let folder = programs(SPEAKS);
        let python = folder.path().join("python");
        write_program(&python, "#!/bin/sh\necho \"$@\" >> \"$EVCXR_TMPDIR/refreshed\"\n").unwrap();
        let build = || {
            let mut command = Command::new(folder.path().join("cargo"));
            let told = says(by_evcxr(command.arg("build").env("HUMERUS_PYTHON", &python), folder.path()));
            assert_eq!(told, "[build]");
            std::fs::read_to_string(folder.path().join("refreshed")).ok()
        };
        std::fs::write(folder.path().join(".stale"), "").unwrap();
        std::fs::write(folder.path().join("Cargo.toml"), "[dependencies]\n").unwrap();
        assert_eq!(build(), None, "no cell needs the crate yet");
        std::fs::write(folder.path().join("Cargo.toml"), "[dependencies]\nhumerus = { path = \"/a\" }\n").unwrap();
        let (script, session) = (folder.path().join("refresh.py"), folder.path().display());
        assert_eq!(build(), Some(format!("-E -s -B {} {session}\n", script.display())));
        std::fs::remove_file(folder.path().join(".stale")).unwrap();
        std::fs::remove_file(folder.path().join("refreshed")).unwrap();
        assert_eq!(build(), None, "not edited");
    }
}
