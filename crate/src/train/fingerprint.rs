//! What a run is a run of: only an equal one can continue it.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tch::Device;
use xxhash_rust::xxh3::Xxh3;

use super::TrainOptions;
use crate::dataset::{Index, contents};
use crate::device::{self, DeviceChoice, Precision};
use crate::error::{Changed, Result, with_changed};
use crate::files::folder_of;
use crate::recipe::Recipe;
use crate::weights::{FoundWeights, Origin};
use studies::View;

/// What decides the weights of a run. The number of threads decides their last bits, and is only told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Fingerprint {
    pub humerus: String,
    pub recipe: Recipe,
    /// Of splits, studies, labels, and the films' names.
    studies: String,
    /// Of the films' contents.
    films: String,
    /// The weights to start from; none if they are random.
    pub weights: Option<Initial>,
    /// `cpu` or `cuda`.
    pub device: DeviceChoice,
    pub precision: Precision,
    /// Threads that libtorch computes with.
    pub threads: usize,
}

/// Weights that a run began with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Initial {
    pub origin: Origin,
    /// Its name, if the file lay in the run's own folder: there the run puts its own models, so the name no longer says
    /// which it was.
    pub own: Option<String>,
    /// The network that was asked for by name, in a file of several.
    #[serde(default)]
    pub network: Option<String>,
}

impl fmt::Display for Initial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.origin.fmt(f)
    }
}

/// How a run compares with an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Comparison {
    Same,
    /// The same but for more epochs; the earlier one was to have so many.
    Longer(usize),
    /// Another one.
    Other(Unlike),
}

/// Why a run is not continued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unlike {
    /// In words of which "it" is the run.
    pub reason: String,
    pub changed: Vec<Changed>,
}

impl From<String> for Unlike {
    fn from(reason: String) -> Unlike {
        Unlike { reason, changed: Vec::new() }
    }
}

impl fmt::Display for Unlike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&with_changed(&self.reason, &self.changed))
    }
}

impl Fingerprint {
    /// Looks at each film's file; those that the cache of decoded films knows are not read.
    pub fn new(
        index: &Index,
        recipe: &Recipe,
        options: &TrainOptions,
        found: Option<&FoundWeights>,
    ) -> Result<Fingerprint> {
        let mut studies = Xxh3::new();
        for study in &index.studies {
            studies.update(format!("{}\0{}\0{}\0{}\n", study.id, study.group, study.split, study.label).as_bytes());
            for view in &study.views {
                let name = view.path.strip_prefix(&index.root).unwrap_or(&view.path);
                studies.update(name.as_os_str().as_encoded_bytes());
                studies.update(b"\0");
            }
        }
        let views: Vec<&View> = index.studies.iter().flat_map(|study| &study.views).collect();
        let mut films = Xxh3::new();
        contents(&options.feeding.cache, &views)?.iter().for_each(|content| films.update(&content.to_le_bytes()));
        let initial = |found: &FoundWeights| Initial {
            origin: found.origin.clone(),
            own: own(&options.run, &found.path),
            network: found.network.clone(),
        };
        let device = device::resolve(options.device)?;
        Ok(Fingerprint {
            humerus: env!("CARGO_PKG_VERSION").to_owned(),
            recipe: recipe.clone(),
            studies: format!("{:032x}", studies.digest128()),
            films: format!("{:032x}", films.digest128()),
            weights: found.map(initial),
            device: if device == Device::Cpu { DeviceChoice::Cpu } else { DeviceChoice::Cuda },
            precision: Precision::of(options.precision.kind(device)),
            threads: tch::get_num_threads().max(1) as usize,
        })
    }

    /// The same on the device and in the precision of an earlier run, where the options leave the choice to us and the
    /// device works.
    pub fn like(&self, earlier: &Fingerprint, options: &TrainOptions) -> Fingerprint {
        let mut like = self.clone();
        if options.device == DeviceChoice::Auto && device::resolve(earlier.device).is_ok() {
            like.device = earlier.device;
        }
        if options.precision == Precision::Auto {
            like.precision = earlier.precision;
        }
        like
    }

    /// Whether a run of `earlier` can go on as one of `self`.
    pub fn compare(&self, earlier: &Fingerprint) -> Comparison {
        let other = |reason: String| Comparison::Other(reason.into());
        if self.humerus != earlier.humerus {
            return other(format!("it was begun by humerus {}, this is {}", earlier.humerus, self.humerus));
        }
        let changed = self.changed(earlier);
        if !changed.is_empty() {
            return Comparison::Other(Unlike { reason: "it was begun with other settings".to_owned(), changed });
        }
        if self.studies != earlier.studies {
            return other("it is of other data: studies, labels, splits or names of films differ".to_owned());
        }
        if self.films != earlier.films {
            return other("it is of other data: a film has changed since".to_owned());
        }
        let (ours, theirs) = (self.recipe.epochs, earlier.recipe.epochs);
        if ours > theirs { Comparison::Longer(theirs) } else { Comparison::Same }
    }

    /// The settings that are others than in an earlier run.
    fn changed(&self, earlier: &Fingerprint) -> Vec<Changed> {
        let mut changed = Vec::new();
        let [now, before] = [self, earlier].map(|it| serde_json::to_value(&it.recipe).unwrap_or_default());
        differing(&now, &before, "", &mut changed);
        changed.retain(|it| it.setting != "epochs" || self.recipe.epochs < earlier.recipe.epochs);
        // Of another recipe by name, that says most.
        changed.sort_by_key(|it| it.setting != "name");
        let mut add = |setting: &str, before: String, now: String| {
            changed.push(Changed { setting: setting.to_owned(), before, now });
        };
        if !same_weights(self.weights.as_ref(), earlier.weights.as_ref()) {
            let told = |it: &Fingerprint| it.weights.as_ref().map_or("random".to_owned(), Initial::to_string);
            add("weights", told(earlier), told(self));
        }
        if self.device != earlier.device {
            add("device", earlier.device.to_string(), self.device.to_string());
        }
        if self.precision != earlier.precision {
            add("precision", earlier.precision.to_string(), self.precision.to_string());
        }
        changed
    }
}

/// Whether both began with the same weights, as far as their file still tells.
fn same_weights(ours: Option<&Initial>, theirs: Option<&Initial>) -> bool {
    match (ours, theirs) {
        (None, None) => true,
        (Some(ours), Some(theirs)) => {
            let same_file =
                ours.origin.sha256 == theirs.origin.sha256 || (ours.own.is_some() && ours.own == theirs.own);
            same_file && ours.network == theirs.network
        }
        _ => false,
    }
}

/// The name of a file that lies in a run's own folder.
fn own(run: &Path, file: &Path) -> Option<String> {
    let folder = folder_of(file);
    // Of a run that is set aside later, the name stays.
    let name = file.file_name()?.to_str()?;
    let aside = folder.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("previous-"));
    let folder = if aside { folder_of(folder) } else { folder };
    (folder.canonicalize().ok()? == run.canonicalize().ok()?).then(|| name.to_owned())
}

/// The values that are others, by their names with all names above them.
fn differing(now: &Value, before: &Value, at: &str, changed: &mut Vec<Changed>) {
    match (now, before) {
        // Of two kinds, such as two optimisers, the rest is not comparable.
        (Value::Object(ours), Value::Object(theirs)) if ours.get("kind") == theirs.get("kind") => {
            for name in ours.keys().chain(theirs.keys().filter(|name| !ours.contains_key(*name))) {
                let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                let value = |of: &serde_json::Map<String, Value>| of.get(name).cloned().unwrap_or_default();
                differing(&value(ours), &value(theirs), &at, changed);
            }
        }
        _ if now == before => {}
        _ => changed.push(Changed { setting: at.to_owned(), before: brief(before), now: brief(now) }),
    }
}

/// A value as a recipe's file has it, texts without quotation marks, and nothing for long.
fn brief(value: &Value) -> String {
    const LONGEST: usize = 40;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
impl Fingerprint {
    /// For tests that look at nothing else.
    pub fn of(recipe: Recipe) -> Fingerprint {
        Fingerprint {
            humerus: env!("CARGO_PKG_VERSION").to_owned(),
            recipe,
            studies: "s".into(),
            films: "f".into(),
            weights: None,
            device: DeviceChoice::Cpu,
            precision: Precision::Fp32,
            threads: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::NAMED;
    use crate::train::Schedule;

    fn said(ours: &Fingerprint, earlier: &Fingerprint) -> String {
        match ours.compare(earlier) {
            Comparison::Other(unlike) => unlike.to_string(),
            other => panic!("{other:?}"),
        }
    }

    fn initial(sha256: &str, own: Option<&str>) -> Option<Initial> {
        let origin = Origin { source: "w".into(), sha256: sha256.into() };
        Some(Initial { origin, own: own.map(str::to_owned), network: None })
    }

    #[test]
    fn whatever_decides_the_weights_tells_runs_apart() {
        let us = Fingerprint::of(Recipe::default());
        assert_eq!(us.compare(&us.clone()), Comparison::Same);
        let recipe = Recipe { epochs: 2, seed: 5, ..Recipe::default() };
        assert_eq!(
            said(&Fingerprint::of(recipe), &us),
            "it was begun with other settings (epochs: 12 when the run began, 2 now; seed: 0 when the run began, 5 now)"
        );
        let mut recipe = Recipe { clip_norm: None, schedule: Schedule::Constant, ..Recipe::default() };
        recipe.preprocess.size = 64;
        let line = said(&Fingerprint::of(recipe), &us);
        for part in [
            "clip_norm: 1.0 when the run began, null now",
            "preprocess.size: 224 when the run began, 64 now",
            r#"schedule: {"kind":"one-cycle","warm_up":0.1} when the run began, {"kind":"constant"} now"#,
        ] {
            assert!(line.contains(part), "{line}");
        }
        let line = said(&Fingerprint::of(Recipe::reference()), &us);
        assert!(line.contains("settings (name: default when the run began, reference now; "), "{line}");
        assert!(line.ends_with(" more)") && line.matches("when the run began").count() == NAMED, "{line}");
        for (other, words) in [
            (Fingerprint { studies: "x".into(), ..us.clone() }, "other data: studies, labels"),
            (Fingerprint { films: "x".into(), ..us.clone() }, "other data: a film has changed"),
            (
                Fingerprint { weights: initial("w", None), ..us.clone() },
                "weights: w (SHA-256 w…) when the run began, random now",
            ),
            (Fingerprint { humerus: "0.0.0".into(), ..us.clone() }, "it was begun by humerus 0.0.0"),
            (Fingerprint { device: DeviceChoice::Cuda, ..us.clone() }, "device: cuda when the run began, cpu now"),
            (Fingerprint { precision: Precision::Bf16, ..us.clone() }, "precision: bf16 when the run began, fp32 now"),
        ] {
            assert!(said(&us, &other).contains(words), "{}", said(&us, &other));
        }
        assert_eq!(us.compare(&Fingerprint { threads: 9, ..us.clone() }), Comparison::Same);
    }

    #[test]
    fn more_epochs_are_the_same_run_made_longer_and_fewer_are_another() {
        let [ten, twelve] = [10, 12].map(|epochs| Fingerprint::of(Recipe { epochs, ..Recipe::default() }));
        assert_eq!(twelve.compare(&ten), Comparison::Longer(10));
        assert!(said(&ten, &twelve).contains("settings (epochs: 12 when the run began, 10 now)"));
    }

    #[test]
    fn weights_in_the_runs_own_folder_are_known_by_their_name() {
        let us = |sha256, own| Fingerprint { weights: initial(sha256, own), ..Fingerprint::of(Recipe::default()) };
        let own = Some("model.safetensors");
        assert_eq!(us("later", own).compare(&us("first", own)), Comparison::Same);
        assert_eq!(us("first", None).compare(&us("first", own)), Comparison::Same);
        assert!(said(&us("later", None), &us("first", own)).contains("weights: w (SHA-256"));
        assert!(said(&us("later", Some("last.safetensors")), &us("first", own)).contains("weights: w (SHA-256"));
        let mut another = us("first", own);
        another.weights.as_mut().unwrap().network = Some("encoder_k".to_owned());
        assert!(said(&us("first", own), &another).contains("weights: w (SHA-256"));

        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        std::fs::create_dir_all(run.join("previous-2")).unwrap();
        for (file, name) in
            [("run/a", Some("a")), ("run/../run/a", Some("a")), ("run/previous-2/a", Some("a")), ("a", None)]
        {
            assert_eq!(super::own(&run, &folder.path().join(file)).as_deref(), name, "{file}");
        }
    }

    #[test]
    fn what_is_left_to_us_is_chosen_as_before() {
        let us = Fingerprint::of(Recipe::default());
        let earlier = Fingerprint { precision: Precision::Bf16, ..us.clone() };
        let options = TrainOptions::new("run");
        assert_eq!(us.like(&earlier, &options).compare(&earlier), Comparison::Same);
        let named = TrainOptions { precision: Precision::Fp32, ..options };
        assert!(said(&us.like(&earlier, &named), &earlier).contains("precision: bf16"));
    }
}
