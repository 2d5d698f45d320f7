//! `cargo lab install`: the command `humerus` on the PATH, with shell completion.

use std::fs;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

use crate::problem::{Problem, Result};
use crate::progress::{self, ProgressLine};
use crate::setup::cache::{write_if_changed, write_program};
use crate::setup::sweep::INSTALLED;
use crate::setup::{self, Cache, durations, inherited};

/// Where to, or away again.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The folder that `humerus` goes to [default: ~/.local/bin or cargo's, whichever is on PATH]
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Remove what an earlier `cargo lab install` has put in place
    #[arg(long)]
    pub uninstall: bool,
}

/// Stands in every file that we write outside of the cache: what lacks it is not ours.
const MARK: &str = "put here by `cargo lab install`";

/// Each shell's name, the folder of its completions and the file's name.
fn shells(base: &impl BaseStrategy) -> [(&'static str, PathBuf); 3] {
    [
        ("bash", base.data_dir().join("bash-completion/completions/humerus")),
        ("fish", base.config_dir().join("fish/completions/humerus.fish")),
        ("zsh", base.data_dir().join("zsh/site-functions/_humerus")),
    ]
}

/// `cargo lab install`.
pub fn run(options: &Args) -> Result<bool> {
    let base = etcetera::choose_base_strategy()
        .map_err(|_| Problem::new("no home folder").mend("let HOME name it, or give --to a folder"))?;
    if options.uninstall {
        return uninstall(&Cache::open()?);
    }
    let folder = match &options.to {
        Some(folder) => std::path::absolute(folder).map_err(Problem::at(folder))?,
        None => default_folder(base.home_dir()),
    };
    let launcher = folder.join("humerus");
    let shells = shells(&base);
    for path in [&launcher].into_iter().chain(shells.iter().map(|(_, path)| path)) {
        require_ours(path)?;
    }

    let ready = setup::complete()?;
    let installed = ready.cache.join(INSTALLED);
    let program = build(&ready, &installed)?;
    let libraries = ready.python.torch.join("lib");
    write_if_changed(&installed.join("uses"), format!("{}\n", libraries.display()).as_bytes())?;
    let mut files = vec![launcher.clone()];
    for (shell, path) in &shells {
        let output = ready.command(&program).args(["completions", shell]).output().map_err(Problem::at(&program))?;
        if !output.status.success() {
            let what = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Problem::new(format!("{} completions {shell}: {what}", program.display())));
        }
        write_if_changed(path, &[&output.stdout[..], format!("# {MARK}\n").as_bytes()].concat())?;
        files.push(path.clone());
    }
    let list: String = files.iter().map(|path| format!("{}\n", path.display())).collect();
    write_if_changed(&installed.join("files"), list.as_bytes())?;
    write_program(&launcher, &script(&program, &libraries, &ready.checkout.root))?;

    println!("humerus: {}", launcher.display());
    if !inherited("PATH").any(|entry| entry == folder) {
        println!("  not on PATH: add `export PATH=\"{}:$PATH\"` to your shell's start-up file", folder.display());
    }
    println!("completion: bash and fish by themselves in a new shell; zsh by this line before `compinit` in ~/.zshrc:");
    println!("  fpath+=({})", shells[2].1.parent().unwrap_or(Path::new("")).display());
    println!("to remove them: `cargo lab install --uninstall`");
    Ok(true)
}

/// A release build of the command, in the cache: a checkout may be moved or cleaned.
fn build(ready: &setup::Ready, installed: &Path) -> Result<PathBuf> {
    fs::create_dir_all(installed).map_err(Problem::at(installed))?;
    let step = ProgressLine::expecting(
        "humerus: release build for this machine",
        durations::expected(&ready.cache, "release build"),
    );
    let mut command = ready.command("cargo");
    command.args(["install", "--locked", "--no-track", "--force", "--path"]).arg(ready.checkout.root.join("cli"));
    let mut crates = 0;
    let ended = progress::run(command.arg("--root").arg(installed).current_dir(&ready.checkout.root), |line| {
        step.say_crate(&mut crates, line);
    })?;
    let program = installed.join("bin/humerus");
    if !ended.status.success() || !program.is_file() {
        let what = format!("cannot build humerus: {}", ended.reason());
        return Err(Problem::new(what).mend("see that it compiles: `cargo lab exec -- cargo build -p humerus-cli`"));
    }
    let took = step.done();
    if crates > 100 {
        durations::took(&ready.cache, "release build", took); // not what a mere edit costs
    }
    Ok(program)
}

/// Starts the program as `cargo lab exec` does, or says what is to be done, which the loader would not.
fn script(program: &Path, libraries: &Path, checkout: &Path) -> String {
    let quoted = |path: &Path| format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"));
    format!(
        r#"#!/bin/sh
# {MARK}
program={program} libraries={libraries} checkout={checkout}
if [ ! -x "$program" ] || [ ! -d "$libraries" ]; then
  [ -x "$program" ] && gone=$libraries || gone=$program
  echo "error: $gone is gone; to mend it: type \`cargo lab install\` in $checkout" >&2
  exit 1
fi
: "${{{spin}={count}}}"
export {spin}
exec "$program" "$@"
"#,
        program = quoted(program),
        libraries = quoted(libraries),
        checkout = quoted(checkout),
        spin = setup::SPIN.0,
        count = setup::SPIN.1,
    )
}

/// `~/.local/bin` or cargo's folder if it is on PATH, else the former.
fn default_folder(home: &Path) -> PathBuf {
    let cargo = std::env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    let local = home.join(".local/bin");
    let candidates = [local.clone(), cargo.join("bin")];
    let on_path: Vec<PathBuf> = inherited("PATH").collect();
    candidates.into_iter().find(|folder| on_path.contains(folder)).unwrap_or(local)
}

/// Refuses to write over what somebody else has put there.
fn require_ours(path: &Path) -> Result<()> {
    if path.symlink_metadata().is_err() || is_ours(path) {
        return Ok(());
    }
    Err(Problem::new(format!("{} is there already, and not from here", path.display()))
        .mend("remove it, or give another folder with --to"))
}

fn is_ours(path: &Path) -> bool {
    fs::read(path).is_ok_and(|content| content.windows(MARK.len()).any(|window| window == MARK.as_bytes()))
}

fn uninstall(cache: &Cache) -> Result<bool> {
    let installed = cache.join(INSTALLED);
    let list = fs::read_to_string(installed.join("files")).unwrap_or_default();
    for path in list.lines().map(Path::new).filter(|path| is_ours(path)) {
        fs::remove_file(path).map_err(Problem::at(path))?;
        println!("removed {}", path.display());
    }
    if installed.exists() {
        fs::remove_dir_all(&installed).map_err(Problem::at(&installed))?;
        println!("removed {}", installed.display());
    } else {
        println!("nothing is installed");
    }
    Ok(true)
}
