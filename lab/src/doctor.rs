//! `cargo lab doctor`: what was found, without changing anything.

use std::path::Path;

use serde::Deserialize;

use crate::checkout::Checkout;
use crate::problem::{Problem, Result};
use crate::setup::rust::Rust;
use crate::setup::{Cache, evcxr, kernel, outside_cargo, python, rust, space, sweep, warmed};

#[derive(Deserialize)]
struct Torch {
    torch: String,
    jupyterlab: Option<String>,
    cuda: Option<String>,
    gpu: Option<String>,
}

const ASK_TORCH: &str = "import json, torch\n\
gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None\n\
from importlib.metadata import distributions\n\
lab = [found.version for found in distributions(name='jupyterlab')]\n\
found = {'torch': torch.__version__, 'jupyterlab': lab[0] if lab else None, 'cuda': torch.version.cuda, 'gpu': gpu}\n\
print(json.dumps(found))";

/// `cargo lab doctor`: false if something is missing that set-up cannot mend.
pub fn run() -> Result<bool> {
    let checkout = Checkout::find()?;
    let cache = Cache::open()?;
    let mut well = true;
    let say = |what: &str, found: String| println!("{what:<14} {found}");
    let mut bad = |problem: &Problem| {
        well = false;
        format!("MISSING: {problem}")
    };

    say("humerus", env!("CARGO_PKG_VERSION").to_owned());
    say("checkout", checkout.root.display().to_string());
    let toolchain = Rust::find();
    match &toolchain {
        Ok(rust) => {
            say("Rust", rust.version().to_owned());
            say("rust-src", found(rust.has_sources(), "found", "set-up will add it"));
        }
        Err(problem) => say("Rust", bad(problem)),
    }
    match rust::compiler() {
        Ok(cxx) => say(
            "C++ compiler",
            cxx.unwrap_or_else(|| std::env::var_os("CXX").unwrap_or("c++".into())).to_string_lossy().into_owned(),
        ),
        Err(problem) => say("C++ compiler", bad(&problem)),
    }

    let plan = python::plan(&checkout, &cache);
    let mut environment = None;
    match &plan {
        Ok(python::PythonPlan::Use(found)) => {
            let kind = match found.kind {
                python::Kind::Cached => "environment of the lab",
                python::Kind::Conda => "active conda environment",
            };
            say("Python", format!("{} ({kind}: {})", found.version, found.prefix.display()));
            environment = Some(found);
        }
        Ok(python::PythonPlan::Make { base, prefix, conda }) => {
            if let Some(unfit) = conda {
                say("conda", unfit.clone());
            }
            say(
                "Python",
                format!("{} ({}); set-up will make {}", base.version, base.program.display(), prefix.display()),
            );
        }
        Err(problem) => say("Python", bad(problem)),
    }
    if let Some(environment) = environment {
        match ask_torch(&environment.python) {
            Some(torch) => {
                say("torch", format!("{} ({})", torch.torch, environment.torch.display()));
                say("JupyterLab", torch.jupyterlab.unwrap_or("not installed".to_owned()));
                let library = environment.torch.join("lib/libtorch_cuda.so").is_file();
                let build = torch.cuda.map_or("none, a CPU build".to_owned(), |cuda| format!("build {cuda}"));
                say("CUDA", format!("{build}; libtorch_cuda {}", found(library, "installed", "not installed")));
                say("GPU", torch.gpu.unwrap_or("none seen; computing on the CPU".to_owned()));
            }
            None => say(
                "torch",
                bad(&Problem::new("torch does not load").mend(format!("remove {}", environment.prefix.display()))),
            ),
        }
    }

    let program = evcxr::path(&cache);
    let version = format!("{} ({})", evcxr::VERSION, program.display());
    say("evcxr_jupyter", found(program.is_file(), &version, "set-up will install it"));
    if let (Some(environment), Ok(toolchain)) = (environment, &toolchain) {
        let spec = kernel::spec_path(environment);
        say("kernelspec", found(spec.is_file(), &spec.display().to_string(), "set-up will write it"));
        let mut stamps =
            kernel::templates(&cache, toolchain).into_iter().filter_map(|template| warmed::stamp(&template));
        let state = match stamps.find(|warmed| warmed.crate_dir == checkout.crate_dir()) {
            Some(warmed) if warmed::is_current(&warmed) => "warm",
            Some(_) => "the crate has changed since; set-up will build it again",
            None => "cold; set-up will warm it",
        };
        say("warm copy", state.to_owned());
    }
    let sessions = std::fs::read_dir(cache.join("sessions")).into_iter().flatten().flatten();
    let running = sessions.filter(|entry| entry.path().is_dir()).count();
    say("sessions", running.to_string());
    let kernel = match (environment, &toolchain) {
        (Some(environment), Ok(rust)) => {
            kernel::folder(&checkout, &cache, rust, environment, rust::compiler().ok().flatten().as_deref(), &program)
                .ok()
        }
        _ => None,
    };
    let in_use: Vec<&Path> =
        [environment.map(|found| found.prefix.as_path()), Some(program.as_path()), kernel.as_deref()]
            .into_iter()
            .flatten()
            .collect();
    say_cache(&cache, &in_use);
    if let (Ok(plan), Ok(toolchain)) = (&plan, &toolchain) {
        let (free, wanted) = (cache.free_gib()?, space::wanted_gib(&cache, plan, toolchain));
        let verdict = match space::require(&cache, plan, toolchain) {
            Ok(()) => format!("{free:.1} GiB free, {wanted:.1} GiB wanted"),
            Err(problem) => bad(&problem),
        };
        say("disk", verdict);
    }
    Ok(well)
}

/// The parts of the cache with their sizes, and how to free the space.
fn say_cache(cache: &Cache, in_use: &[&Path]) {
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    println!("{:<14} {} ({:.1} GiB)", "cache", cache.root.display(), gib(Cache::size_of(&cache.root)));
    let versioned = sweep::versioned(cache, in_use);
    let (mut useless, mut small) = (Vec::new(), 0);
    for path in cache.beginning_with("") {
        let size = Cache::size_of(&path);
        let use_ = versioned.iter().find(|(part, _)| *part == path).map(|(_, used)| *used);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if use_ == Some(false) && !name.starts_with("scripts-") {
            useless.push(name.clone());
        }
        if size < 1 << 20 {
            small += size;
            continue;
        }
        let days = sweep::last_used(&path).and_then(|time| time.elapsed().ok()).map(|age| age.as_secs() / 86_400);
        let told = match (use_, days) {
            (Some(true), _) => "in use".to_owned(),
            (Some(false), Some(days)) => format!("of another version, last used {days} days ago"),
            (Some(false), None) => "of another version".to_owned(),
            (None, _) => String::new(),
        };
        println!("{:<14} {:>6.2} GiB  {name:<36} {told}", "", gib(size));
    }
    println!("{:<14} {:>6.2} GiB  all smaller parts", "", gib(small));
    let days = sweep::UNUSED.as_secs() / 86_400;
    if !useless.is_empty() {
        let paths = useless.join(" ");
        println!(
            "{:<14} parts that no checkout used for {days} days go by themselves; at once: `cd {} && rm -r {paths}`",
            "to free space",
            cache.root.display()
        );
    }
    println!("{:<14} everything, to be made again: `rm -r {}`", "", cache.root.display());
}

fn found(is: bool, yes: &str, no: &str) -> String {
    if is { yes } else { no }.to_owned()
}

fn ask_torch(python: &Path) -> Option<Torch> {
    let output = outside_cargo(python).args(["-E", "-s", "-c", ASK_TORCH]).output().ok()?;
    let line = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(line.lines().last()?).ok()
}
