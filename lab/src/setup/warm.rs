//! Makes the warm copy that kernels begin with: `python/warm.py`, told when and with what.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::Deserialize;

use super::kernel::{is_warm, sweep, template_path, templates};
use super::{Ready, durations};
use crate::problem::{Problem, Result};
use crate::progress::{self, ProgressLine};

#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum WarmEvent {
    Building {
        line: String,
    },
    End {
        failure: Option<String>,
    },
    #[serde(other)]
    Other,
}

/// Brings this checkout's template up to date.
pub fn warm(ready: &Ready) -> Result<()> {
    let Ready { checkout, cache, rust, kernel, .. } = ready;
    if is_warm(kernel, checkout) {
        return Ok(());
    }
    let _lock = cache.lock("warm")?;
    if is_warm(kernel, checkout) {
        return Ok(());
    }
    let folder = kernel.file.parent().unwrap_or(&cache.root);
    let link = template_path(kernel, checkout);
    let others = templates(cache, rust);
    let same_kernel = |path: &&PathBuf| path.parent() == Some(folder);
    let seed = [&link]
        .into_iter()
        .filter(|path| path.exists())
        .chain(others.iter().filter(same_kernel))
        .chain(others.iter())
        .next();
    let (what, kind) = match seed {
        Some(_) => ("Warm kernel: building the crate for notebooks", "warm from another"),
        None if is_built_ahead(&link) => ("Warm kernel: its first cell (once per machine)", "first cell"),
        None => ("Warm kernel: building the crate and its dependencies (once per machine)", "warm"),
    };
    let step = ProgressLine::expecting(what, durations::expected(cache, kind));

    let mut failure = Some("it ended without a report".to_owned());
    let mut crates = 0;
    let ended = progress::run(ready.script("warm.py").arg(checkout.crate_dir()).arg(&link).args(seed), |line| {
        match serde_json::from_str(line) {
            Ok(WarmEvent::Building { line }) => step.say_crate(&mut crates, &line),
            Ok(WarmEvent::End { failure: reported }) => failure = reported,
            _ => {}
        }
    })?;
    if !ended.status.success() && failure.is_none() {
        failure = Some(ended.reason());
    }
    if let Some(failure) = failure {
        let offline = ended.tail.iter().any(|line| super::evcxr::is_network(line));
        let problem = Problem::new(format!("cannot warm the kernel: {failure}"));
        return Err(problem.mend(match offline {
            true => "connect to the network and type the same command again",
            false => "see that the crate compiles: `cargo lab exec -- cargo build -p humerus`",
        }));
    }

    sweep(folder);
    durations::took(cache, kind, step.done());
    Ok(())
}

/// Builds what the first template is made from while the Rust kernel itself is still being built; until `stop` is true.
/// Where it fails, making the template says why.
pub fn build_ahead(ready: &Ready, stop: &AtomicBool) {
    let Ok(_lock) = ready.cache.lock("warm") else { return };
    let what = "Crate for notebooks, with its dependencies (once per machine)";
    let step = ProgressLine::expecting(what, durations::expected(&ready.cache, "ahead"));
    let link = template_path(&ready.kernel, &ready.checkout);
    let mut script = ready.script("warm.py");
    script.arg("--ahead").arg(ready.checkout.crate_dir()).arg(&link);
    let mut crates = 0;
    let mut failed = true;
    let ended = progress::run_unless(stop, &mut script, |line| match serde_json::from_str(line) {
        Ok(WarmEvent::Building { line }) => step.say_crate(&mut crates, &line),
        Ok(WarmEvent::End { failure }) => failed = failure.is_some(),
        _ => {}
    });
    if ended.is_ok() && !failed {
        durations::took(&ready.cache, "ahead", step.done());
    }
}

/// Whether [`build_ahead`] has ended well, and nobody has gone on from there: `warm.py` leaves a mark.
fn is_built_ahead(link: &Path) -> bool {
    let name = link.file_name().unwrap_or_default().to_string_lossy().replace("template-", "building-");
    link.with_file_name(name).join(".built-ahead").exists()
}
