//! Kinds of films: by probability, by the fracture's size, and by what the truth beside phantoms says of it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::score::ViewScore;

/// The part of a phantom set's `truth/annotations.json` that is asked for.
#[derive(Debug, Deserialize)]
struct Truth {
    images: Vec<TruthImage>,
    annotations: Vec<TruthAnnotation>,
}

#[derive(Debug, Deserialize)]
struct TruthImage {
    id: usize,
    file_name: String,
}

#[derive(Debug, Deserialize)]
struct TruthAnnotation {
    image_id: usize,
    fracture: Option<phantom::Fracture>,
}

/// What phantom sets say of their films, read once a set.
#[derive(Debug, Default)]
pub(super) struct Truths {
    sets: HashMap<PathBuf, BTreeMap<String, phantom::Fracture>>,
}

impl Truths {
    /// The fracture of a film, where the film's mask lies in a phantom set's `truth` folder.
    fn fracture(&mut self, score: &ViewScore) -> Option<phantom::Fracture> {
        let root = score.view.mask.as_ref()?.ancestors().find(|it| it.file_name().is_some_and(|n| n == "truth"))?;
        let root = root.parent()?.to_owned();
        let all = self.sets.entry(root.clone()).or_insert_with(|| read(&root).unwrap_or_default());
        let name = score.path.strip_prefix(&root).ok()?.to_string_lossy().replace('\\', "/");
        all.get(&name).cloned()
    }

    /// The strata that a film belongs to; `area` is the share of the film that its fracture covers.
    pub(super) fn of(&mut self, score: &ViewScore, area: f64) -> Vec<String> {
        let probability = score.probability.get();
        let mut strata = vec![
            if probability >= 0.9 { "probability 0.9 and above" } else { "probability below 0.9" }.to_owned(),
            match area {
                _ if area < 0.005 => "fracture below 0.5 % of the film",
                _ if area < 0.02 => "fracture 0.5 to 2 % of the film",
                _ => "fracture above 2 % of the film",
            }
            .to_owned(),
        ];
        if let Some(fracture) = self.fracture(score) {
            strata.push(format!("{:?}", fracture.kind).to_lowercase());
            let out_of_place = if fracture.subtle { "hardly displaced" } else { "displaced" };
            strata.push(out_of_place.to_owned());
            if fracture.subtle && fracture.gap.abs() < THIN {
                strata.push("thin undisplaced line".to_owned());
            }
        }
        strata
    }
}

/// Millimetres between the bone ends below which a fracture that is hardly displaced is a thin line.
const THIN: f32 = 1.5;

fn read(root: &Path) -> Option<BTreeMap<String, phantom::Fracture>> {
    let text = std::fs::read_to_string(root.join("truth/annotations.json")).ok()?;
    let truth: Truth = serde_json::from_str(&text).ok()?;
    let names: HashMap<usize, String> = truth.images.into_iter().map(|image| (image.id, image.file_name)).collect();
    let known = truth.annotations.into_iter().filter_map(|it| Some((names.get(&it.image_id)?.clone(), it.fracture?)));
    Some(known.collect())
}
