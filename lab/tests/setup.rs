//! What `cargo lab` says on machines that lack something: the real program, with a PATH of stub programs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A machine of stubs: Rust with sources, a compiler and a Python that are all well; tests take away or replace.
struct Machine {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

/// `sh` code that plays Python: answers the lab's question, makes environments, and installs packages.
const PYTHON: &str = r#"
report() {
    echo "{\"version\": [3, VERSION], \"prefix\": \"$1\", \"executable\": \"$0\", \"venv\": VENV,"
    echo "\"torch\": \"$1/torch\", \"unsatisfied\": [UNSATISFIED]}"
}
case "$*" in
  *"-m venv"*) for last; do :; done; mkdir -p "$last/bin"; cp "$0" "$last/bin/python"; echo made >> "ROOT/venvs" ;;
  *"-m pip"*) PIP ;;
  *) report "$(dirname "$(dirname "$0")")" ;;
esac
"#;

impl Machine {
    fn new() -> Machine {
        let machine = Machine { folder: tempfile::tempdir().unwrap(), variables: vec![] };
        fs::create_dir_all(machine.path("bin")).unwrap();
        fs::create_dir_all(machine.path("sysroot/lib/rustlib/src/rust/library/std/src")).unwrap();
        fs::write(machine.path("sysroot/lib/rustlib/src/rust/library/std/src/lib.rs"), "").unwrap();
        machine.rustc("1.95.0").stub("c++", "exit 0").python("12", "true", "", "exit 0").stub("cargo", "exit 1")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn stub(self, name: &str, script: &str) -> Machine {
        self.stub_at(&self.path("bin").join(name), script);
        self
    }

    fn stub_at(&self, path: &Path, script: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn without(self, name: &str) -> Machine {
        fs::remove_file(self.path("bin").join(name)).unwrap();
        self
    }

    fn rustc(self, version: &str) -> Machine {
        let sysroot = self.path("sysroot").display().to_string();
        let script = format!(
            "case \"$1\" in -vV) echo 'rustc {version} (abc 2026-01-01)';; *) echo {sysroot}; echo {sysroot}/lib;; esac"
        );
        self.stub("rustc", &script)
    }

    fn python_script(&self, minor: &str, venv: &str, unsatisfied: &str, pip: &str) -> String {
        PYTHON
            .replace("VERSION", minor)
            .replace("VENV", venv)
            .replace("UNSATISFIED", unsatisfied)
            .replace("PIP", pip)
            .replace("ROOT", &self.folder.path().display().to_string())
    }

    fn python(self, minor: &str, venv: &str, unsatisfied: &str, pip: &str) -> Machine {
        let script = self.python_script(minor, venv, unsatisfied, pip);
        self.stub("python3", &script)
    }

    fn variable(mut self, name: &str, value: &str) -> Machine {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn lab(&self, arguments: &[&str]) -> Output {
        // What the stubs need stands at the end: none of what the lab looks for may come from there.
        let tools = self.path("tools");
        fs::create_dir_all(&tools).unwrap();
        for tool in ["mkdir", "cp", "dirname", "touch", "sleep", "true", "chmod"] {
            let real = ["/bin", "/usr/bin"]
                .iter()
                .map(|folder| Path::new(folder).join(tool))
                .find(|path| path.exists())
                .unwrap();
            let _ = std::os::unix::fs::symlink(real, tools.join(tool));
        }
        Command::new(env!("CARGO_BIN_EXE_lab"))
            .args(arguments)
            .env_clear()
            .env("CARGO_MANIFEST_DIR", env!("CARGO_MANIFEST_DIR"))
            .env("PATH", std::env::join_paths([self.path("bin"), tools]).unwrap())
            .env("HOME", self.folder.path())
            .env("HUMERUS_CACHE", self.path("cache"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap()
    }

    /// The one line with which set-up stops.
    fn problem(&self) -> String {
        let output = self.lab(&["exec", "--", "true"]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        let errors: Vec<_> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{stderr}");
        assert_eq!(stderr.lines().last(), errors.last().copied(), "{stderr}");
        errors[0].to_owned()
    }
}

/// Asserts that the line says what is wrong and how to mend it.
#[track_caller]
fn says(problem: &str, what: &str, remedy: &str) {
    let (wrong, mend) = problem.split_once("; to mend it: ").unwrap_or_else(|| panic!("no remedy: {problem}"));
    assert!(wrong.contains(what), "{what:?} is not in {wrong:?}");
    assert!(mend.contains(remedy), "{remedy:?} is not in {mend:?}");
}

#[test]
fn without_rust_it_says_to_install_rustup() {
    says(&Machine::new().without("rustc").problem(), "no Rust", "rustup");
}

#[test]
fn an_old_rust_is_refused_with_the_version_found() {
    says(&Machine::new().rustc("1.80.1").problem(), "Rust 1.80.1 is too old: 1.95", "rustup update");
}

#[test]
fn missing_rust_sources_that_rustup_cannot_add_are_named() {
    let machine = Machine::new().stub("rustup", "echo 'error: no network' >&2; exit 1");
    fs::remove_dir_all(machine.path("sysroot/lib/rustlib/src")).unwrap();
    says(&machine.problem(), "rust-src is missing: error: no network", "rustup component add rust-src");
}

#[test]
fn without_rustup_missing_sources_are_named_too() {
    let machine = Machine::new();
    fs::remove_dir_all(machine.path("sysroot/lib/rustlib/src")).unwrap();
    says(&machine.problem(), "rust-src is missing", "rustup component add rust-src");
}

#[test]
fn rust_sources_are_added_when_rustup_can() {
    let machine = Machine::new().without("c++");
    let std = machine.path("sysroot/lib/rustlib/src/rust/library/std/src");
    fs::remove_dir_all(&std).unwrap();
    let script = format!("test \"$*\" = 'component add rust-src' && mkdir -p {0} && touch {0}/lib.rs", std.display());
    let machine = machine.stub("rustup", &script);
    says(&machine.problem(), "no C++ compiler", "install"); // it went on to the next thing that is missing
    assert!(std.join("lib.rs").is_file());
}

#[test]
fn without_a_compiler_it_says_which_were_looked_for() {
    says(&Machine::new().without("c++").problem(), "no C++ compiler (looked for c++, g++, clang++)", "apt install g++");
}

#[test]
fn a_broken_cxx_is_named() {
    let machine = Machine::new().variable("CXX", "c++-of-my-own");
    says(&machine.problem(), "CXX names does not run: c++-of-my-own", "CXX");
}

#[test]
fn without_python_it_says_which_were_looked_for() {
    says(&Machine::new().without("python3").problem(), "no Python", "python3-venv");
}

#[test]
fn an_old_python_is_refused_with_the_version_found() {
    says(&Machine::new().python("8", "true", "", "exit 0").problem(), "Python 3.8 (python3) is too old", "3.10");
}

#[test]
fn a_python_that_no_wheel_exists_for_is_refused() {
    says(&Machine::new().python("19", "true", "", "exit 0").problem(), "Python 3.19 (python3) is too new", "3.14");
}

#[test]
fn a_python_without_venv_is_refused() {
    says(
        &Machine::new().python("12", "false", "", "exit 0").problem(),
        "Python 3.12 (python3) has no venv",
        "python3.12-venv",
    );
}

#[test]
fn a_newer_python_is_preferred_to_an_unfit_one() {
    let machine = Machine::new().python("8", "true", "", "exit 0");
    let script = machine.python_script("13", "true", "", "exit 1");
    let machine = machine.stub("python3.13", &script);
    assert!(machine.problem().contains("cannot install the Python packages"));
}

#[test]
fn too_little_disk_is_refused_before_anything_is_made() {
    let machine = Machine::new().variable("HUMERUS_ASSUME_FREE_GIB", "3");
    says(&machine.problem(), "too little disk: 3.0 GiB free", "HUMERUS_CACHE");
    assert_eq!(fs::read_dir(machine.path("cache")).unwrap().count(), 0);
}

#[test]
fn a_network_failure_of_pip_is_named() {
    let pip = "echo 'ERROR: Could not install packages: [Errno -3] Temporary failure in name resolution'; exit 1";
    let machine = Machine::new().python("12", "true", "", pip);
    says(&machine.problem(), "cannot install the Python packages: ERROR", "connect to the network");
}

#[test]
fn a_full_disk_during_the_installation_is_named() {
    let pip = "echo 'ERROR: [Errno 28] No space left on device'; exit 1";
    let machine = Machine::new().python("12", "true", "", pip);
    says(&machine.problem(), "No space left", "free some disk space");
}

#[test]
fn an_interrupted_installation_is_made_again_and_a_complete_one_is_not() {
    let machine = Machine::new().python("12", "true", "", "exit 1");
    machine.problem();
    let environment = fs::read_dir(machine.path("cache"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.is_dir() && path.file_name().unwrap().to_string_lossy().starts_with("python-3.12-"))
        .unwrap();
    fs::write(environment.join("left over"), "").unwrap();
    let machine = machine.python("12", "true", "", "exit 0");
    assert!(machine.problem().contains("evcxr_jupyter"), "Python must be complete now, and the kernel next");
    assert!(!environment.join("left over").exists());
    machine.problem();
    assert_eq!(fs::read_to_string(machine.path("venvs")).unwrap().lines().count(), 2);
}

#[test]
fn a_network_failure_of_cargo_is_named() {
    let cargo = "echo 'error: failed to download: Could not resolve host' >&2; exit 101";
    let machine = Machine::new().stub("cargo", cargo);
    says(
        &machine.problem(),
        "cannot install evcxr_jupyter 0.22.0: error: failed to download",
        "connect to the network",
    );
}

/// `sh` code that makes `mine` and waits for `other`, or fails.
fn meet(machine: &Machine, mine: &str, other: &str) -> String {
    let (mine, other) = (machine.path(mine), machine.path(other));
    let wait = format!("until [ -e {} ]; do i=$((i+1)); [ $i -gt 200 ] && exit 9; sleep 0.1; done", other.display());
    format!("touch {}; i=0; {wait}", mine.display())
}

/// `sh` code that plays `cargo install`: it makes the kernel's program where it is told to.
const INSTALL: &str = r#"
case "$1" in install) ;; *) exit 0 ;; esac
while [ "$1" != --root ]; do shift; done
mkdir -p "$2/bin" "$CARGO_TARGET_DIR"
"#;

#[test]
fn the_kernel_is_built_while_the_python_environment_is_made() {
    let machine = Machine::new();
    let pip = meet(&machine, "pip is here", "cargo is here").replace('"', "");
    let cargo =
        format!("{INSTALL}\n{}\ntouch \"$2/bin/evcxr_jupyter\"", meet(&machine, "cargo is here", "pip is here"));
    let (pip, cargo) = (pip.replace(" is here", "_is_here"), cargo.replace(" is here", "_is_here"));
    let machine = machine.python("12", "true", "", &pip).stub("cargo", &cargo);
    let output = machine.lab(&["exec", "--", "true"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    for done in ["Python 3.12 environment", "Rust kernel evcxr_jupyter 0.22.0"] {
        assert!(stderr.lines().any(|line| line.starts_with(done) && line.contains(": about ")), "{done}: {stderr}");
        assert!(stderr.lines().any(|line| line.starts_with(done) && line.contains("done in ")), "{done}: {stderr}");
    }
    let known = fs::read_to_string(machine.path("cache/durations.json")).unwrap();
    assert!(known.contains("\"python\"") && known.contains("\"evcxr\""), "{known}");
    let again = machine.lab(&["exec", "--", "true"]);
    assert!(again.status.success() && again.stderr.is_empty(), "{}", String::from_utf8_lossy(&again.stderr));
}

#[test]
fn the_kernel_is_not_waited_for_when_python_fails() {
    let machine = Machine::new().python("12", "true", "", "exit 1").stub("cargo", "exec sleep 100");
    let started = std::time::Instant::now();
    says(&machine.problem(), "cannot install the Python packages", "type the same command again");
    assert!(started.elapsed().as_secs() < 50);
}

#[test]
fn an_interrupted_build_of_the_kernel_is_gone_on_with() {
    let first = format!("{INSTALL} touch \"$CARGO_TARGET_DIR/half\"; exit 101");
    let machine = Machine::new().stub("cargo", &first);
    says(&machine.problem(), "cannot install evcxr_jupyter", "the reason above");
    let second = format!("{INSTALL} [ -e \"$CARGO_TARGET_DIR/half\" ] && touch \"$2/bin/evcxr_jupyter\"");
    let machine = machine.stub("cargo", &second);
    let output = machine.lab(&["exec", "--", "true"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!machine.path("cache/.evcxr-building").exists(), "it takes room no longer");
}

#[test]
fn a_kernel_that_an_earlier_lab_built_stays_in_use() {
    let machine = Machine::new().stub("cargo", "[ \"$1\" != install ]");
    let program = machine.path("cache/evcxr_jupyter-0.22.0/bin/evcxr_jupyter");
    fs::create_dir_all(program.parent().unwrap()).unwrap();
    fs::write(&program, "").unwrap();
    let output = machine.lab(&["exec", "--", "true"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let kernels = fs::read_dir(machine.path("cache")).unwrap().map(|entry| entry.unwrap().path());
    let kernel = kernels.map(|path| path.join("kernel.json")).find(|path| path.is_file()).unwrap();
    assert!(fs::read_to_string(kernel).unwrap().contains(&program.display().to_string()));
}

#[test]
fn what_nobody_used_for_long_is_swept_with_one_line_and_doctor_says_how_to_free_the_rest() {
    let machine = Machine::new().stub("cargo", &format!("{INSTALL} touch \"$2/bin/evcxr_jupyter\""));
    for (name, days) in [("python-3.9-0123", 20), ("kernel-0123", 3)] {
        let part = machine.path("cache").join(name);
        fs::create_dir_all(&part).unwrap();
        fs::write(part.join("large"), vec![1; 3 << 20]).unwrap();
        let used = fs::File::create(part.join(".used")).unwrap();
        used.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(days * 86_400)).unwrap();
    }
    let output = machine.lab(&["exec", "--", "true"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let said: Vec<_> = stderr.lines().filter(|line| line.starts_with("removed from the cache")).collect();
    assert!(said.len() == 1 && said[0].contains("python-3.9-0123") && !said[0].contains("kernel"), "{stderr}");
    assert!(!machine.path("cache/python-3.9-0123").exists());
    let told = String::from_utf8(machine.lab(&["doctor"]).stdout).unwrap();
    assert!(told.contains("kernel-0123") && told.contains("of another version, last used 3 days ago"), "{told}");
    let line = told.lines().find(|line| line.starts_with("to free space")).unwrap();
    assert!(line.contains("rm -r kernel-0123"), "what is in use is not proposed: {line}");
}

/// `sh` code that plays `cargo install`, of the Rust kernel as of `humerus`, which says what it was told.
const INSTALL_HUMERUS: &str = r#"
all=$*
case "$1" in install) ;; *) exit 0 ;; esac
while [ "$1" != --root ]; do shift; done
mkdir -p "$2/bin"
case "$all" in
  *--path*) printf '#!/bin/sh\necho "spin $GOMP_SPINCOUNT: $*"\n' > "$2/bin/humerus"; chmod +x "$2/bin/humerus" ;;
  *) touch "$2/bin/evcxr_jupyter" ;;
esac
"#;

#[test]
fn install_puts_a_humerus_on_the_path_that_starts_anywhere_and_uninstall_takes_it_away() {
    let machine = Machine::new().stub("cargo", INSTALL_HUMERUS);
    let installs = || machine.lab(&["install"]);
    let output = installs();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    let humerus = machine.path(".local/bin/humerus");
    assert!(told.contains(&format!("humerus: {}", humerus.display())) && told.contains("not on PATH"), "{told}");
    let start = || Command::new(&humerus).args(["score", "a b"]).env_clear().output().unwrap();
    let gone = start();
    let line = String::from_utf8_lossy(&gone.stderr).into_owned();
    assert!(!gone.status.success() && line.lines().count() == 1, "{line}");
    assert!(line.contains("torch/lib is gone; to mend it: type `cargo lab install` in"), "{line}");
    let uses = fs::read_to_string(machine.path("cache/installed/uses")).unwrap();
    fs::create_dir_all(uses.trim()).unwrap();
    assert_eq!(String::from_utf8_lossy(&start().stdout), "spin 10000: score a b\n");
    for (shell, path) in [
        ("bash", ".local/share/bash-completion/completions/humerus"),
        ("fish", ".config/fish/completions/humerus.fish"),
        ("zsh", ".local/share/zsh/site-functions/_humerus"),
    ] {
        let script = fs::read_to_string(machine.path(path)).unwrap();
        assert!(script.starts_with(&format!("spin 10000: completions {shell}\n")), "{script}");
    }
    assert!(installs().status.success(), "over its own files");
    assert!(machine.lab(&["install", "--uninstall"]).status.success());
    assert!(!humerus.exists() && !machine.path("cache/installed").exists());
    assert!(!machine.path(".config/fish/completions/humerus.fish").exists());
    assert!(machine.lab(&["install", "--uninstall"]).status.success(), "nothing is there");
}

#[test]
fn install_leaves_a_humerus_of_somebody_else_alone() {
    let machine = Machine::new().stub("cargo", "exit 1");
    let there = machine.path("tools of mine/humerus");
    fs::create_dir_all(there.parent().unwrap()).unwrap();
    fs::write(&there, "theirs").unwrap();
    let output = machine.lab(&["install", "--to", &there.parent().unwrap().display().to_string()]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    says(stderr.trim().trim_start_matches("error: "), "is there already, and not from here", "--to");
    assert_eq!(fs::read_to_string(&there).unwrap(), "theirs");
    assert!(!machine.path("venvs").exists(), "before anything is made");
}

#[test]
fn a_conda_environment_that_satisfies_the_pins_is_used_as_it_is() {
    let machine = Machine::new();
    let script = machine.python_script("12", "true", "", "exit 1");
    machine.stub_at(&machine.path("conda/bin/python"), &script);
    let prefix = machine.path("conda").display().to_string();
    let machine = machine.variable("CONDA_PREFIX", &prefix);
    assert!(machine.problem().contains("evcxr_jupyter"), "nothing is to be done about Python");
    assert!(!machine.path("venvs").exists());
    let told = String::from_utf8(machine.lab(&["doctor"]).stdout).unwrap();
    assert!(told.contains(&format!("active conda environment: {prefix}")), "{told}");
}

#[test]
fn a_conda_environment_that_lacks_a_pin_is_not_used() {
    let machine = Machine::new();
    let script = machine.python_script("12", "true", "\\\"torch==2.11.0\\\"", "exit 1");
    machine.stub_at(&machine.path("conda/bin/python"), &script);
    let prefix = machine.path("conda").display().to_string();
    let machine = machine.variable("CONDA_PREFIX", &prefix);
    let output = machine.lab(&["exec", "--", "true"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains(&format!("the conda environment {prefix} lacks torch==2.11.0")), "{stderr}");
    assert!(machine.path("venvs").exists(), "an environment of our own is made");
}

#[test]
fn doctor_names_everything_that_is_missing_and_installs_nothing() {
    let machine = Machine::new().without("rustc").without("c++").without("python3");
    let output = machine.lab(&["doctor"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    for what in ["Rust", "C++ compiler", "Python"] {
        let named = told.lines().any(|line| line.starts_with(what) && line.contains("MISSING: no "));
        assert!(named, "{what}: {told}");
    }
    assert_eq!(fs::read_dir(machine.path("cache")).unwrap().count(), 0);
}

#[test]
fn doctor_is_content_with_what_set_up_can_mend() {
    let machine = Machine::new();
    let output = machine.lab(&["doctor"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("set-up will make"), "{told}");
    assert_eq!(fs::read_dir(machine.path("cache")).unwrap().count(), 0);
}

#[test]
fn a_data_folder_that_is_not_there_is_refused_before_anything_starts() {
    let machine = Machine::new().without("rustc").without("python3");
    for (data, what) in [("no/such/folder", "does not exist"), (env!("CARGO_BIN_EXE_lab"), "is not a folder")] {
        let output = machine.lab(&["run", "--data", data]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert_eq!(stderr.trim_end(), format!("error: --data {data}: {what}"));
    }
}

#[test]
fn an_unknown_device_or_notebook_is_refused_before_anything_starts() {
    let machine = Machine::new().without("rustc");
    let device = machine.lab(&["run", "--device", "tpu"]);
    assert!(String::from_utf8_lossy(&device.stderr).contains("possible values: auto, cpu, cuda"));
    assert!(!device.status.success());
    let notebook = machine.lab(&["run", "--notebook", "9-missing"]);
    let stderr = String::from_utf8_lossy(&notebook.stderr).into_owned();
    assert!(stderr.starts_with("error: no notebook \"9-missing\"") && stderr.lines().count() == 1, "{stderr}");
    assert!(!notebook.status.success());
}
