//! A kernel begins with the crate as it is, and keeps it: cargo, asked again after an edit, builds nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

/// A checkout whose crate returns the sum of a number and its part's, and a kernel's folder with a template for it.
struct Fixture {
    folder: tempfile::TempDir,
}

/// Flags as evcxr gives them.
const RUSTFLAGS: &str = "-Cprefer-dynamic";

impl Fixture {
    fn new() -> Fixture {
        let fixture = Fixture { folder: tempfile::Builder::new().prefix("a b").tempdir().unwrap() };
        let (krate, building) = (fixture.path("crate"), PathBuf::from(fixture.launcher("template.building_of(link)")));
        for (path, text) in [
            (fixture.path("Cargo.toml"), "[workspace]\nmembers = [\"crate\", \"parts/film\"]\n".to_owned()),
            (
                krate.join("Cargo.toml"),
                "[package]\nname = \"humerus\"\nedition = \"2024\"\n\
                 [dependencies]\nhumerus-film = { path = \"../parts/film\" }\n"
                    .to_owned(),
            ),
            (krate.join("build.rs"), "fn main() { println!(\"cargo:rerun-if-changed=build.rs\"); }".to_owned()),
            (krate.join("src/notes.txt"), "7".to_owned()),
            (
                fixture.path("parts/film/Cargo.toml"),
                "[package]\nname = \"humerus-film\"\nedition = \"2024\"\n".to_owned(),
            ),
            (
                building.join("Cargo.toml"),
                format!(
                    "[package]\nname = \"ctx\"\nedition = \"2024\"\n\
                     [dependencies]\nhumerus = {{ path = {krate:?} }}\n[workspace]\n"
                ),
            ),
            (building.join("src/main.rs"), "fn main() { println!(\"{}\", humerus::number()); }".to_owned()),
        ] {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fixture.edit_part(0);
        fixture.edit(1);
        assert_eq!(cell(&building), "1");
        fixture.launcher("built.stamp(template.building_of(link), crate, 'rustc', time.time() + 3600, {})");
        fixture.launcher("template.publish(template.building_of(link), link)");
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An edit of the crate that is `number` minutes newer than now.
    fn edit(&self, number: u32) {
        let text = format!(
            "/// {{}}\npub const NOTES: &str = include_str!(\"notes.txt\");\n\
             pub fn number() -> u32 {{ {number} + humerus_film::number() }}"
        );
        write_newer(&self.path("crate/src/lib.rs"), &text, number);
    }

    fn edit_part(&self, number: u32) {
        write_newer(&self.path("parts/film/src/lib.rs"), &format!("pub fn number() -> u32 {{ {number} }}"), number);
    }

    /// A session as a kernel that starts now gets it.
    fn session(&self, name: &str) -> PathBuf {
        let session = self.path(name);
        let session_text = format!("pathlib.Path({session:?})");
        self.launcher(&format!("template.copy_tree(link.resolve(), {session_text})"));
        self.launcher(&format!("launch.begin_with({session_text}, link.parent)"));
        session
    }

    /// Does what the kernel's `cargo` does before the first build that needs the crate; returns whether there was need.
    fn refresh(&self, session: &Path) -> bool {
        let needed = session.join(".stale").exists();
        if needed {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/refresh.py");
            let mut command = python();
            let output = command.arg(script).arg(session).env("RUSTFLAGS", RUSTFLAGS).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        needed
    }

    /// Evaluates an expression about the launcher and this checkout.
    fn launcher(&self, expression: &str) -> String {
        let code = format!(
            "import built, launch, pathlib, template, time\ncrate = pathlib.Path({:?})\n\
             link = template.link_of(pathlib.Path({:?}), crate)\nprint({expression})",
            self.path("crate"),
            self.path("cache/kernel")
        );
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
        let output = python().args(["-c", &code]).env("PYTHONPATH", scripts).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn on(&self, session: &Path, expression: &str) -> String {
        self.launcher(&expression.replace("session", &format!("pathlib.Path({session:?})")))
    }
}

fn python() -> Command {
    let mut command = Command::new(std::env::var_os("HUMERUS_PYTHON").unwrap_or("python3".into()));
    command.arg("-B");
    command
}

fn write_newer(path: &Path, text: &str, minutes: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    let later = SystemTime::now() + Duration::from_secs(60 * u64::from(minutes));
    fs::File::options().write(true).open(path).unwrap().set_modified(later).unwrap();
}

/// What a cell sees: built by cargo as evcxr has it built, for a named target.
fn cell(session: &Path) -> String {
    let host = Command::new("rustc").args(["--print", "host-tuple"]).output().unwrap();
    let host = String::from_utf8(host.stdout).unwrap();
    let output = Command::new("cargo")
        .args(["run", "--quiet", "--offline", "--target", host.trim()])
        .current_dir(session)
        .env("CARGO_TARGET_DIR", "target")
        .env("RUSTFLAGS", RUSTFLAGS)
        .output()
        .unwrap();
    match output.status.success() {
        true => String::from_utf8(output.stdout).unwrap().trim().to_owned(),
        false => String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

const IS_FROZEN: &str = "min(time for _, time in built.marks(session)) == built.FROZEN";

#[test]
fn an_edit_is_seen_by_the_next_kernel_and_waits_for_it() {
    let fixture = Fixture::new();
    let first = fixture.session("first");
    assert!(!fixture.refresh(&first), "nothing was edited");
    assert_eq!((cell(&first).as_str(), fixture.on(&first, IS_FROZEN).as_str()), ("1", "True"));
    fixture.edit(2);
    assert_eq!(cell(&first), "1", "a running kernel keeps its crate");

    let second = fixture.session("second");
    assert!(fixture.refresh(&second));
    assert_eq!(fixture.on(&second, IS_FROZEN), "True", "it has been handed over: nothing is left to build");
    let names = "max(path.stat().st_nlink for path in session.glob('target/*/debug/deps/libhumerus*.rlib'))";
    assert_eq!(fixture.on(&second, names), "1", "what may be built again is the session's own");
    assert_eq!(cell(&second), "2");
    fixture.edit(3);
    fs::write(second.join("src/main.rs"), "fn main() { println!(\"cell {}\", humerus::number()); }").unwrap();
    assert_eq!(cell(&second), "cell 2");
    assert!(!fixture.refresh(&second), "its crate was settled");

    let (third, fourth) = (fixture.session("third"), fixture.session("fourth"));
    assert!(fixture.refresh(&third) && fixture.refresh(&fourth), "two that started before the build");
    assert_eq!((cell(&third).as_str(), cell(&fourth).as_str()), ("3", "3"));
    assert!(!fixture.refresh(&fixture.session("fifth")), "and one that starts after it has nothing to build");
    fixture.launcher("template.sweep(link.parent)");
    assert_eq!(fixture.launcher("len(list(link.parent.glob('t-*')))"), "1", "replaced templates go");
}

#[test]
fn an_edit_of_anything_that_the_crate_is_made_of_is_seen() {
    let fixture = Fixture::new();
    fixture.edit_part(40);
    let session = fixture.session("part");
    assert!(fixture.refresh(&session));
    assert_eq!(cell(&session), "41");
    for name in ["Cargo.toml", "crate/Cargo.toml", "crate/build.rs", "crate/src/notes.txt", "parts/film/Cargo.toml"] {
        let path = fixture.path(name);
        fs::write(&path, fs::read_to_string(&path).unwrap() + "\n").unwrap();
        let session = fixture.session(&format!("s-{}", name.replace('/', "-")));
        assert!(session.join(".stale").exists(), "{name}");
    }
}

#[test]
fn a_file_put_back_from_a_copy_is_an_edit_though_it_is_older_than_the_build() {
    let fixture = Fixture::new();
    fs::rename(fixture.path("crate/src/lib.rs"), fixture.path("kept")).unwrap();
    fixture.edit(2);
    let session = fixture.session("edited");
    assert!(fixture.refresh(&session));
    assert_eq!(cell(&session), "2");
    let old = fs::File::options().write(true).open(fixture.path("kept")).unwrap();
    old.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
    fs::rename(fixture.path("kept"), fixture.path("crate/src/lib.rs")).unwrap();
    let session = fixture.session("put-back");
    assert_eq!(cell(&session), "1", "also where the session builds for itself");
    let session = fixture.session("put-back-too");
    assert!(fixture.refresh(&session));
    assert_eq!(cell(&session), "1");
}

#[test]
fn a_kernel_that_built_the_crate_for_itself_keeps_it() {
    let fixture = Fixture::new();
    fixture.edit(2);
    let session = fixture.session("session");
    let before = fixture.launcher("time.time() + 30");
    fixture.on(&session, &format!("built.freeze_when_built(session, {before})"));
    assert_eq!(cell(&session), "2");
    fixture.on(&session, "built.freeze_when_built(session, 1)");
    assert_eq!(fixture.on(&session, IS_FROZEN), "True");
    fixture.edit(3);
    assert!(fixture.refresh(&session));
    assert_eq!(cell(&session), "2");
    assert!(!fixture.refresh(&session));
}

#[test]
fn an_edit_that_does_not_compile_may_be_mended_in_the_same_kernel() {
    let fixture = Fixture::new();
    let source = fixture.path("crate/src/lib.rs");
    fs::write(&source, "pub fn number() -> u32 { \"two\" }").unwrap();
    let session = fixture.session("session");
    assert!(fixture.refresh(&session));
    let said = cell(&session);
    assert!(said.contains("mismatched types"), "{said}");
    fixture.edit(2);
    assert!(fixture.refresh(&session));
    assert_eq!((cell(&session).as_str(), fixture.on(&session, IS_FROZEN).as_str()), ("2", "True"));
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
