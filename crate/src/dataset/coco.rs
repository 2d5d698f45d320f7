//! Fracture boxes and outlines from COCO annotations (Lin et al., arXiv:1405.0312), as FracAtlas publishes them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use walkdir::WalkDir;

use super::{SkipReason, Skipped};
use crate::study::Finding;

/// The findings of all images, by the data set's folder and the image's file name.
#[derive(Default)]
pub(super) struct Findings(HashMap<(PathBuf, String), Vec<Finding>>);

#[derive(Deserialize)]
struct Coco {
    images: Vec<Image>,
    annotations: Vec<Annotation>,
}

#[derive(Deserialize)]
struct Image {
    id: u64,
    file_name: String,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: u64,
    bbox: [f32; 4],
    /// Outlines as flat lists `x, y, x, y, …`; a run-length mask, which COCO also allows, leaves the box alone.
    #[serde(default)]
    segmentation: serde_json::Value,
}

impl Findings {
    /// Reads every `.json` in `home/Annotations/COCO JSON`.
    pub(super) fn read(&mut self, home: &Path, skipped: &mut Vec<Skipped>) {
        let folder = home.join("Annotations").join("COCO JSON");
        for entry in WalkDir::new(folder).sort_by_file_name().into_iter().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy();
            if !entry.file_type().is_file() || name.starts_with('.') || path.extension().is_none_or(|it| it != "json") {
                continue;
            }
            if let Err(why) = self.read_file(home, path) {
                skipped.push(Skipped::new(path.to_owned(), SkipReason::Annotations(why)));
            }
        }
    }

    fn read_file(&mut self, home: &Path, path: &Path) -> Result<(), String> {
        let text = std::fs::read(path).map_err(|error| error.to_string())?;
        let coco: Coco = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        let names: HashMap<u64, String> = coco.images.into_iter().map(|image| (image.id, image.file_name)).collect();
        for annotation in coco.annotations {
            let name = names
                .get(&annotation.image_id)
                .ok_or_else(|| format!("an annotation of image {}, which is not listed", annotation.image_id))?;
            let finding = Finding { bbox: annotation.bbox, outlines: outlines(&annotation.segmentation) };
            self.0.entry((home.to_owned(), name.clone())).or_default().push(finding);
        }
        Ok(())
    }

    /// The findings of one image; none if it has none.
    pub(super) fn of(&self, home: &Path, name: &str) -> Vec<Finding> {
        self.0.get(&(home.to_owned(), name.to_owned())).cloned().unwrap_or_default()
    }
}

fn outlines(segmentation: &serde_json::Value) -> Vec<Vec<[f32; 2]>> {
    let corners = |outline: &serde_json::Value| -> Option<Vec<[f32; 2]>> {
        let numbers: Option<Vec<f32>> = outline.as_array()?.iter().map(|n| n.as_f64().map(|n| n as f32)).collect();
        let corners: Vec<[f32; 2]> = numbers?.as_chunks().0.to_vec();
        (corners.len() >= 3).then_some(corners)
    };
    segmentation.as_array().into_iter().flatten().filter_map(corners).collect()
}
