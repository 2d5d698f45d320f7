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
report() { echo "{\"version\": [3, VERSION], \"prefix\": \"$1\", \"executable\": \"$0\", \"venv\": VENV, \"torch\": \"$1/torch\", \"unsatisfied\": [UNSATISFIED]}"; }
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
        // mkdir, cp and dirname, for the stubs, stand at the end: none of what the lab looks for may come from there.
        let tools = self.path("tools");
        fs::create_dir_all(&tools).unwrap();
        for tool in ["mkdir", "cp", "dirname", "touch"] {
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
