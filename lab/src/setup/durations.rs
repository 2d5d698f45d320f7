//! How long the steps of set-up take here: from what was measured on this machine, in `durations.json` of the cache.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use super::Cache;
use super::cache::write_if_changed;

/// Seconds that a step took on two slow cores, for machines that have not done it. Only what the processor does tells
/// how fast a machine is: the Python environment waits for the network.
const DEFAULTS: [(&str, f64, bool); 5] = [
    ("python", 200.0, false),
    ("evcxr", 670.0, true),
    ("warm", 420.0, true),
    // The same beside the Rust kernel's build, and what is left then.
    ("ahead", 480.0, true),
    ("first cell", 30.0, true),
];

const FILE: &str = "durations.json";

type Durations = BTreeMap<String, f64>;

/// How long a step will take; `None` where nothing is known of it.
pub fn expected(cache: &Cache, step: &str) -> Option<Duration> {
    guess(&read(cache), step).map(Duration::from_secs_f64)
}

/// Remembers how long a step took.
pub fn took(cache: &Cache, step: &str, duration: Duration) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock();
    let mut known = read(cache);
    known.insert(step.to_owned(), (duration.as_secs_f64() * 10.0).round() / 10.0);
    if let Ok(text) = serde_json::to_string_pretty(&known) {
        // A guess less the next time is all that a failure costs.
        drop(write_if_changed(&cache.join(FILE), format!("{text}\n").as_bytes()));
    }
}

fn read(cache: &Cache) -> Durations {
    let text = std::fs::read(cache.join(FILE)).unwrap_or_default();
    let known: Durations = serde_json::from_slice(&text).unwrap_or_default();
    known.into_iter().filter(|(_, seconds)| seconds.is_finite() && (0.0..1e6).contains(seconds)).collect()
}

/// Its own last duration; else the default, scaled as the steps that were measured were slower or faster than theirs.
fn guess(known: &Durations, step: &str) -> Option<f64> {
    if let Some(&seconds) = known.get(step) {
        return Some(seconds);
    }
    let (_, default, computes) = DEFAULTS.into_iter().find(|(name, ..)| *name == step)?;
    let measured = DEFAULTS
        .iter()
        .filter(|(.., computes)| *computes)
        .filter_map(|(name, default, _)| known.get(*name).map(|seconds| (*seconds, *default)));
    let (took, expected) = measured.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let pace = if computes && expected > 0.0 { took / expected } else { 1.0 };
    Some(default * pace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(steps: &[(&str, f64)]) -> Durations {
        steps.iter().map(|(name, seconds)| ((*name).to_owned(), *seconds)).collect()
    }

    fn default(step: &str) -> f64 {
        DEFAULTS.iter().find(|(name, ..)| *name == step).unwrap().1
    }

    #[test]
    fn a_step_is_guessed_from_its_own_history_else_from_the_others_pace() {
        let fast = known(&[("evcxr", default("evcxr") / 4.0)]);
        assert_eq!(guess(&fast, "evcxr"), Some(default("evcxr") / 4.0));
        assert_eq!(guess(&fast, "warm"), Some(default("warm") / 4.0));
        assert_eq!(guess(&fast, "python"), Some(default("python")), "the network is as fast as it is");
        let slow_network = known(&[("python", 9000.0)]);
        assert_eq!(guess(&slow_network, "warm"), Some(default("warm")));
        assert_eq!(guess(&known(&[]), "1-train"), None);
    }

    #[test]
    fn what_a_step_took_is_read_again_and_a_damaged_file_is_no_history() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache { root: folder.path().to_owned() };
        took(&cache, "warm", Duration::from_millis(61_230));
        took(&cache, "1-train", Duration::from_secs(7));
        assert_eq!(expected(&cache, "warm"), Some(Duration::from_secs_f64(61.2)));
        assert_eq!(expected(&cache, "1-train"), Some(Duration::from_secs(7)));
        std::fs::write(cache.join(FILE), "{\"warm\": -4").unwrap();
        assert_eq!(expected(&cache, "warm"), Some(Duration::from_secs_f64(default("warm"))));
        std::fs::write(cache.join(FILE), "{\"warm\": -4.0}").unwrap();
        assert_eq!(expected(&cache, "warm"), Some(Duration::from_secs_f64(default("warm"))), "no duration");
    }
}
