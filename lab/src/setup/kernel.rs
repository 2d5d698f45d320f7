//! The kernelspec `humerus` and the warm copy that every started kernel begins with.
//!
//! In the cache: `scripts-<digest>/` holds the Python pieces; `kernel-<key>/` one kernel for one toolchain, Python
//! environment and set of dependencies: its `kernel.json` for the launcher, evcxr's configuration, and one template a
//! checkout, `template-<digest of the crate's path>`, a link to the folder that was warmed last. A template starts as a
//! copy of another one, so only what differs is built. After an edit, a kernel that needs the crate renews the template
//! itself (`refresh.py`).

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::Cache;
use super::cache::{digest, write_if_changed};
use super::python::Environment;
use super::rust::Rust;
use super::warmed::{is_current, stamp};
use crate::checkout::Checkout;
use crate::problem::{Problem, Result};

/// The Python pieces, by name.
const SCRIPTS: [(&str, &str); 12] = [
    ("launch.py", include_str!("../../python/launch.py")),
    ("template.py", include_str!("../../python/template.py")),
    ("built.py", include_str!("../../python/built.py")),
    ("refresh.py", include_str!("../../python/refresh.py")),
    ("narrate.py", include_str!("../../python/narrate.py")),
    ("kernel.py", include_str!("../../python/kernel.py")),
    ("execute.py", include_str!("../../python/execute.py")),
    ("warm.py", include_str!("../../python/warm.py")),
    ("bench.py", include_str!("../../python/bench.py")),
    ("loader.py", include_str!("../../python/loader.py")),
    ("maps.py", include_str!("../../python/maps.py")),
    ("steps.py", include_str!("../../python/steps.py")),
];

/// evcxr reads this when a kernel starts: its first build has emptied Cargo.lock, which pins the dependencies'
/// versions.
const INIT_EVCXR: &str = "!cp \"$HUMERUS_PINNED_LOCK\" \"$EVCXR_TMPDIR/Cargo.lock\" || true\n";

/// An installed kernel.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// What the launcher reads.
    pub file: PathBuf,
    /// The lab's Python pieces.
    pub scripts: PathBuf,
    /// What stands before evcxr, once it is built.
    pub proxy: PathBuf,
}

/// Puts the kernel's files in place: cheap, so it happens at every start of the lab.
pub fn install(
    checkout: &Checkout,
    cache: &Cache,
    rust: &Rust,
    python: &Environment,
    cxx: Option<&OsStr>,
    evcxr: &Path,
) -> Result<Kernel> {
    let all: String = SCRIPTS.iter().map(|(name, text)| format!("{name}\n{text}")).collect();
    let scripts = cache.join(format!("scripts-{}", digest(all)));
    for (name, text) in SCRIPTS {
        write_if_changed(&scripts.join(name), text.as_bytes())?;
    }

    let _lock = cache.lock("kernel")?;
    let folder = folder(checkout, cache, rust, python, cxx, evcxr)?;
    write_if_changed(&folder.join("Cargo.lock"), locked(checkout)?.as_bytes())?;
    write_if_changed(&folder.join("config/init.evcxr"), INIT_EVCXR.as_bytes())?;

    let programs = folder.join("bin");
    super::programs::write(&programs, rust, &scripts.join("refresh.py"))?;
    let sources = folder.join("rust-src");
    rust.link_sources(&sources)?;
    let mut environment = HashMap::from([
        ("RUST_SRC_PATH", text(&sources)),
        ("LIBTORCH", text(&python.torch)),
        ("HUMERUS_PYTHON", text(&python.python)),
        ("EVCXR_CONFIG_DIR", text(&folder.join("config"))),
        (super::SPIN.0, super::SPIN.1.to_owned()),
        // evcxr's profile is a debug one; our loops over pixels should not pay for it.
        ("CARGO_PROFILE_DEV_DEBUG_ASSERTIONS", "false".to_owned()),
        ("CARGO_PROFILE_DEV_OVERFLOW_CHECKS", "false".to_owned()),
    ]);
    if let Some(cxx) = cxx {
        environment.insert("CXX", cxx.to_string_lossy().into_owned());
    }
    if let Ok(toolchain) = std::env::var("RUSTUP_TOOLCHAIN") {
        environment.insert("RUSTUP_TOOLCHAIN", toolchain);
    }
    let program_path: Vec<String> = [programs].iter().chain(&cargo_folder()).map(|folder| text(folder)).collect();
    let proxy = super::proxy::path(checkout, cache, rust, &dependencies(&locked(checkout)?, super::proxy::PACKAGE))?;
    let kernel = json!({
        "evcxr_jupyter": text(evcxr),
        "proxy": text(&proxy),
        "sessions": text(&cache.join("sessions")),
        "cargo_lock": text(&folder.join("Cargo.lock")),
        "environment": environment,
        // evcxr 0.22 gives cells a wrong run path when the toolchain and the cache lie under one folder.
        "library_path": [text(&python.torch.join("lib")), text(&rust.target_libdir)],
        "program_path": program_path,
    });
    let file = folder.join("kernel.json");
    write_if_changed(&file, pretty(&kernel).as_bytes())?;

    let spec = json!({
        "argv": [text(&python.python), "-E", "-s", text(&scripts.join("launch.py")), text(&file), "{connection_file}"],
        "display_name": "Rust (humerus)",
        "language": "rust",
        "interrupt_mode": "message",
    });
    let at = spec_path(python);
    write_if_changed(&at, pretty(&spec).as_bytes())
        .map_err(|problem| problem.mend("make the Python environment writable, or leave it (`conda deactivate`)"))?;
    Ok(Kernel { file, scripts, proxy })
}

/// Where this kernel's files are or will be.
pub fn folder(
    checkout: &Checkout,
    cache: &Cache,
    rust: &Rust,
    python: &Environment,
    cxx: Option<&OsStr>,
    evcxr: &Path,
) -> Result<PathBuf> {
    Ok(cache.join(format!("kernel-{}", key(&locked(checkout)?, rust, python, cxx, evcxr))))
}

fn locked(checkout: &Checkout) -> Result<String> {
    let path = checkout.root.join("Cargo.lock");
    std::fs::read_to_string(&path).map_err(Problem::at(&path))
}

/// Where the kernelspec of this environment is.
pub fn spec_path(python: &Environment) -> PathBuf {
    python.prefix.join("share/jupyter/kernels/humerus/kernel.json")
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

/// The folder of the `cargo` that a terminal would start: JupyterLab may be started from elsewhere.
fn cargo_folder() -> Option<PathBuf> {
    super::inherited("PATH").find(|folder| folder.join("cargo").is_file() && folder.join("rustc").is_file())
}

/// What a warm copy depends on, beside the crate's own sources.
fn key(lock: &str, rust: &Rust, python: &Environment, cxx: Option<&OsStr>, evcxr: &Path) -> String {
    let mut bytes = Vec::new();
    for part in [
        rust.verbose_version.as_bytes(),
        evcxr.as_os_str().as_bytes(),
        python.torch.as_os_str().as_bytes(),
        cxx.unwrap_or_default().as_bytes(),
        dependencies(lock, "humerus").join("\n").as_bytes(),
    ] {
        bytes.extend_from_slice(part);
        bytes.push(0);
    }
    digest(bytes)
}

/// The packages, with versions, that `package` leans on, directly or not, as Cargo.lock names them.
fn dependencies(lock: &str, package: &str) -> Vec<String> {
    let value = |line: &str| line.split('"').nth(1).unwrap_or_default().to_owned();
    let mut needs: HashMap<(String, String), Vec<String>> = HashMap::new();
    for block in lock.split("[[package]]").skip(1) {
        let field = |name: &str| block.lines().find(|line| line.starts_with(name)).map(value).unwrap_or_default();
        let listed = block.lines().filter(|line| line.starts_with(" \"")).map(value).collect();
        needs.insert((field("name = "), field("version = ")), listed);
    }
    let mut found: BTreeSet<(String, String)> = BTreeSet::new();
    let mut todo: Vec<String> = vec![package.to_owned()];
    while let Some(named) = todo.pop() {
        // "name", or "name version" where two versions are locked.
        let mut words = named.split_whitespace();
        let (name, version) = (words.next().unwrap_or_default(), words.next());
        for (id, listed) in &needs {
            if id.0 == name && version.is_none_or(|version| version == id.1) && found.insert(id.clone()) {
                todo.extend(listed.iter().cloned());
            }
        }
    }
    found.into_iter().map(|(name, version)| format!("{name} {version}")).collect()
}

/// The template of this checkout's crate.
pub(super) fn template_path(kernel: &Kernel, checkout: &Checkout) -> PathBuf {
    let key = digest(checkout.crate_dir().as_os_str().as_bytes());
    kernel.file.with_file_name(format!("template-{key}"))
}

/// Whether this checkout has a current template.
pub(super) fn is_warm(kernel: &Kernel, checkout: &Checkout) -> bool {
    stamp(&template_path(kernel, checkout)).is_some_and(|warmed| is_current(&warmed))
}

/// Every template in the cache that this toolchain built, newest first.
pub fn templates(cache: &Cache, rust: &Rust) -> Vec<PathBuf> {
    let list = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let starts =
        |path: &Path, start: &str| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start));
    let mut found: Vec<(std::time::SystemTime, PathBuf)> = list(&cache.root)
        .into_iter()
        .filter(|path| starts(path, "kernel-"))
        .flat_map(|kernel| list(&kernel))
        .filter(|path| starts(path, "template-"))
        .filter(|path| stamp(path).is_some_and(|warmed| warmed.rustc == rust.verbose_version))
        .filter_map(|path| Some((path.join("warmed.json").metadata().ok()?.modified().ok()?, path)))
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, path)| path).collect()
}

/// Removes templates of crates that are gone, folders that no template names and no starting kernel copies, and spare
/// copies of those.
pub(super) fn sweep(folder: &Path) {
    let entries: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    let mut named = Vec::new();
    for path in &entries {
        if let Ok(target) = std::fs::read_link(path) {
            match stamp(path) {
                Some(warmed) if warmed.crate_dir.join("Cargo.toml").is_file() => {
                    named.push(target.to_string_lossy().into_owned());
                }
                _ => drop(std::fs::remove_file(path)),
            }
        }
    }
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let useless = if name.starts_with("t-") {
            let in_use = std::fs::File::options().append(true).open(path.join(".in-use"));
            !named.contains(&name) && !in_use.is_ok_and(|file| file.try_lock().is_err())
        } else if name.starts_with("building-") {
            true // whoever built there was killed: the lock is ours
        } else if let Some(copy) = name.strip_prefix("spare-") {
            !named.iter().any(|template| copy.starts_with(&format!("{template}-")))
        } else {
            // A copy that its janitor did not finish; one takes seconds.
            let changed = path.metadata().and_then(|metadata| metadata.modified());
            let old = changed.is_ok_and(|time| time.elapsed().is_ok_and(|age| age.as_secs() > 3600));
            name.starts_with(".making-") && old
        };
        if useless {
            drop(std::fs::remove_dir_all(path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"
[[package]]
name = "humerus"
version = "0.1.0"
dependencies = [
 "image",
 "rand 0.9.1",
]

[[package]]
name = "image"
version = "0.25.0"
dependencies = [
 "png",
]

[[package]]
name = "png"
version = "0.18.0"

[[package]]
name = "rand"
version = "0.8.5"

[[package]]
name = "rand"
version = "0.9.1"

[[package]]
name = "lab"
version = "0.1.0"
dependencies = [
 "sha2",
]

[[package]]
name = "sha2"
version = "0.11.0"
"#;

    #[test]
    fn the_key_follows_what_the_crate_leans_on_and_nothing_else() {
        let named = ["humerus 0.1.0", "image 0.25.0", "png 0.18.0", "rand 0.9.1"];
        assert_eq!(dependencies(LOCK, "humerus"), named);
        assert_ne!(dependencies(&LOCK.replace("0.18.0", "0.18.1"), "humerus"), named);
        assert_eq!(dependencies(&LOCK.replace("0.11.0", "0.12.0"), "humerus"), named);
    }
}
