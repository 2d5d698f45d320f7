//! Fracture boxes and outlines from COCO annotations (Lin et al., arXiv:1405.0312), as FracAtlas publishes them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use walkdir::WalkDir;

use crate::skipped::{SkipReason, Skipped};
use crate::study::Finding;

/// The findings of all images, by the data set's folder and the image's file name.
#[derive(Default)]
pub(super) struct Findings(HashMap<(PathBuf, String), Vec<Finding>>);

#[derive(Deserialize)]
struct Coco {
    images: Vec<ImageFile>,
    annotations: Vec<Annotation>,
}

#[derive(Deserialize)]
struct ImageFile {
    id: u64,
    file_name: String,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: u64,
    bbox: [f32; 4],
    /// Outlines as flat lists `x, y, x, y, …`, or a run-length mask `{size: [height, width], counts}`.
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

/// The outlines of a segmentation: polygons as they are, each run of a run-length mask as a rectangle.
fn outlines(segmentation: &serde_json::Value) -> Vec<Vec<[f32; 2]>> {
    if let Some(runs) = segmentation.get("counts").and_then(counts) {
        let height = segmentation["size"][0].as_u64().unwrap_or(0) as usize;
        return rectangles(&runs, height);
    }
    let corners = |outline: &serde_json::Value| -> Option<Vec<[f32; 2]>> {
        let numbers: Option<Vec<f32>> = outline.as_array()?.iter().map(|n| n.as_f64().map(|n| n as f32)).collect();
        let corners: Vec<[f32; 2]> = numbers?.as_chunks().0.to_vec();
        (corners.len() >= 3).then_some(corners)
    };
    segmentation.as_array().into_iter().flatten().filter_map(corners).collect()
}

/// The lengths of runs, background first, down the columns: a list of numbers, or COCO's text of six bits a sign.
fn counts(counts: &serde_json::Value) -> Option<Vec<usize>> {
    if let Some(list) = counts.as_array() {
        return list.iter().map(|n| n.as_u64().map(|n| n as usize)).collect();
    }
    let mut runs: Vec<i64> = Vec::new();
    let mut signs = counts.as_str()?.bytes();
    while let Some(first) = signs.next() {
        let (mut value, mut shift, mut sign) = (0i64, 0u32, first);
        loop {
            let bits = i64::from(sign.checked_sub(48).filter(|bits| *bits < 64)?);
            value |= (bits & 0x1f).checked_shl(shift)?;
            shift += 5;
            if bits & 0x20 == 0 {
                if bits & 0x10 != 0 && shift < 64 {
                    value |= -1 << shift;
                }
                break;
            }
            if shift > 40 {
                return None;
            }
            sign = signs.next()?;
        }
        // From the third on, a run is written as its difference from the one before the last.
        let before = if runs.len() > 2 { runs[runs.len() - 2] } else { 0 };
        runs.push(value.checked_add(before)?);
    }
    runs.into_iter().map(|run| usize::try_from(run).ok()).collect()
}

/// The foreground runs of a mask of this height, cut at the ends of columns.
fn rectangles(runs: &[usize], height: usize) -> Vec<Vec<[f32; 2]>> {
    let mut rectangles = Vec::new();
    let mut at = 0usize;
    for (number, run) in runs.iter().enumerate().filter(|_| height > 0) {
        let end = at.saturating_add(*run);
        // No film is wider or higher than 2^16; a longer run is damage.
        while number % 2 == 1 && at < end && at / height < 1 << 16 {
            let (x, top) = (at / height, at % height);
            let bottom = height.min(top + end - at);
            let [left, right, top, below] = [x, x + 1, top, bottom].map(|n| n as f32);
            rectangles.push(vec![[left, top], [right, top], [right, below], [left, below]]);
            at += bottom - (at % height);
        }
        at = end;
    }
    rectangles
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A 3 × 4 mask (height × width): background 2, foreground 5, background 3, foreground 2.
    fn area(segmentation: &serde_json::Value) -> f32 {
        outlines(segmentation).iter().map(|it| (it[1][0] - it[0][0]) * (it[2][1] - it[1][1])).sum()
    }

    #[test]
    fn run_length_masks_give_their_area_in_both_spellings() {
        // By rleToString of COCO's maskApi.c: the fourth run is written as 2 - 5.
        let list = json!({"size": [3, 4], "counts": [2, 5, 3, 2]});
        let text = json!({"size": [3, 4], "counts": "253M"});
        assert_eq!(area(&list), 7.0);
        assert_eq!(outlines(&text), outlines(&list));
        assert_eq!(outlines(&list)[0], [[0.0, 2.0], [1.0, 2.0], [1.0, 3.0], [0.0, 3.0]]);
    }

    #[test]
    fn damaged_masks_give_no_outline_and_end() {
        for counts in [json!("~~~~"), json!("oooooooooooooooooooooooo"), json!([0, u64::MAX]), json!([-1, 3]), json!(7)]
        {
            let found = outlines(&json!({"size": [3, 4], "counts": counts}));
            assert!(found.len() <= 1 << 16, "{counts}");
        }
        assert!(outlines(&json!({"size": [0, 0], "counts": [0, 9]})).is_empty());
    }
}
