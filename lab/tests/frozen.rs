//! A kernel keeps the crate that it began with: cargo, asked again after an edit, builds nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

/// A checkout whose crate returns a number, and a session that prints it.
struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        let fixture = Fixture { folder: tempfile::tempdir().unwrap() };
        for (name, text) in [
            ("crate/Cargo.toml", "[package]\nname = \"humerus\"\nedition = \"2024\"\n[workspace]\n"),
            ("crate/build.rs", "fn main() { println!(\"cargo:rerun-if-changed=build.rs\"); }"),
            (
                "session/Cargo.toml",
                "[package]\nname = \"ctx\"\nedition = \"2024\"\n[dependencies]\nhumerus = { path = \"../crate\" }\n[workspace]\n",
            ),
            ("session/src/main.rs", "fn main() { println!(\"{}\", humerus::number()); }"),
        ] {
            let path = fixture.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fixture.edit(1);
        fixture.write_warmed();
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An edit of the crate that is a minute newer than everything before.
    fn edit(&self, number: u32) {
        let source = self.path("crate/src/lib.rs");
        fs::create_dir_all(source.parent().unwrap()).unwrap();
        fs::write(&source, format!("pub fn number() -> u32 {{ {number} }}")).unwrap();
        let later = SystemTime::now() + Duration::from_secs(60 * u64::from(number - 1));
        fs::File::options().write(true).open(&source).unwrap().set_modified(later).unwrap();
    }

    fn write_warmed(&self) {
        let warmed = format!("{{\"crate_dir\": {:?}}}", self.path("crate"));
        fs::write(self.path("session/warmed.json"), warmed).unwrap();
    }

    /// What a cell sees: built by cargo as evcxr has it built, for a named target.
    fn cell(&self) -> String {
        let host = Command::new("rustc").args(["--print", "host-tuple"]).output().unwrap();
        let host = String::from_utf8(host.stdout).unwrap();
        let output = Command::new("cargo")
            .args(["run", "--quiet", "--offline", "--target", host.trim(), "--target-dir", "target"])
            .current_dir(self.path("session"))
            .env_remove("CARGO_TARGET_DIR")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Evaluates an expression about the launcher and this session.
    fn launcher(&self, expression: &str) -> String {
        let code = format!("import launch, pathlib\ns = pathlib.Path({:?})\nprint({expression})", self.path("session"));
        let python = std::env::var_os("HUMERUS_PYTHON").unwrap_or("python3".into());
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
        let output = Command::new(python).args(["-B", "-c", &code]).env("PYTHONPATH", scripts).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

#[test]
fn an_edit_waits_for_the_next_kernel() {
    let fixture = Fixture::new();
    assert_eq!(fixture.cell(), "1");
    assert_eq!(fixture.launcher("launch.is_built(s, s)"), "True");
    fixture.edit(2);
    assert_eq!(fixture.launcher("launch.is_built(s, s)"), "False");
    assert_eq!(fixture.cell(), "2", "without the freeze cargo builds the edit: the danger is real");
    fixture.launcher("launch.freeze(s)");
    fixture.edit(3);
    fs::write(fixture.path("session/src/main.rs"), "fn main() { println!(\"cell {}\", humerus::number()); }").unwrap();
    assert_eq!(fixture.cell(), "cell 2");
}

#[test]
fn a_kernel_that_begins_with_an_edit_keeps_it_from_its_first_build_on() {
    let fixture = Fixture::new();
    assert_eq!(fixture.cell(), "1");
    let before = fixture.launcher("launch.time.time() + 30");
    fixture.launcher(&format!("launch.freeze_when_built(s, {before})"));
    fixture.edit(2);
    assert_eq!(fixture.cell(), "2", "what was built before the kernel began is not frozen");
    fixture.launcher("launch.freeze_when_built(s, 0)");
    fixture.edit(3);
    assert_eq!(fixture.cell(), "2");
}

#[test]
fn an_edit_that_does_not_compile_may_be_mended_in_the_same_kernel() {
    let fixture = Fixture::new();
    assert_eq!(fixture.launcher("launch.is_built(s, s)"), "False");
    fixture.launcher("launch.freeze_when_built(s, 0)");
    fixture.edit(2);
    assert_eq!(fixture.cell(), "2");
}

#[test]
#[cfg(target_os = "linux")]
fn a_build_is_told_under_the_cell_that_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/narrate.py");
    let python = std::env::var_os("HUMERUS_PYTHON").unwrap_or("python3".into());
    let output = Command::new(python).arg("-B").arg(script).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
