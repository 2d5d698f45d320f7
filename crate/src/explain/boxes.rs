//! Boxes around what a map points at, as COCO JSON (Lin et al., arXiv:1405.0312); and maps as NumPy files.

use serde::Serialize;

use crate::error::{Error, Result};
use render::Map;

/// A box around a connected place of a map.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MapBox {
    /// `[x, y, width, height]` in the map's cells; a film's pixels where the map is [`super::FilmCam::on_film`].
    pub bbox: [usize; 4],
    /// The map's highest value in it.
    pub score: f32,
    /// Cells at or above the threshold in it.
    pub area: usize,
}

/// Boxes around the places where a map is at or above a threshold, joined across sides and corners, highest first.
/// None where the map is at or below 0 throughout, whatever the threshold.
pub fn boxes(map: &Map, threshold: f32) -> Vec<MapBox> {
    let (width, height) = (map.width, map.height);
    let above = |at: usize| map.values[at] >= threshold && map.values[at] > 0.0;
    let mut seen = vec![false; width * height];
    let mut found = Vec::new();
    for start in 0..width * height {
        if seen[start] || !above(start) {
            continue;
        }
        let (mut low, mut high) = ([usize::MAX; 2], [0; 2]);
        let (mut score, mut area, mut open) = (0.0f32, 0, vec![start]);
        seen[start] = true;
        while let Some(at) = open.pop() {
            let (x, y) = (at % width, at / width);
            (low, high) = ([low[0].min(x), low[1].min(y)], [high[0].max(x), high[1].max(y)]);
            (score, area) = (score.max(map.values[at]), area + 1);
            for ny in y.saturating_sub(1)..=(y + 1).min(height - 1) {
                for nx in x.saturating_sub(1)..=(x + 1).min(width - 1) {
                    let next = ny * width + nx;
                    if !seen[next] && above(next) {
                        seen[next] = true;
                        open.push(next);
                    }
                }
            }
        }
        found.push(MapBox { bbox: [low[0], low[1], high[0] - low[0] + 1, high[1] - low[1] + 1], score, area });
    }
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found
}

/// Boxes of films as a COCO document.
#[derive(Debug, Clone, Serialize)]
pub struct BoxFile {
    /// How the boxes came about, and how far they can be trusted.
    pub info: BoxInfo,
    categories: [BoxCategory; 1],
    images: Vec<BoxImage>,
    annotations: Vec<BoxAnnotation>,
}

/// How the boxes of a [`BoxFile`] came about.
#[derive(Debug, Clone, Serialize)]
pub struct BoxInfo {
    /// The method, the target and the layers.
    pub description: String,
    /// Where maps are at or above it there are boxes.
    pub threshold: f32,
    /// The hit rate that was measured for these maps, with its interval; in words if none was.
    pub hit_rate: String,
}

#[derive(Debug, Clone, Serialize)]
struct BoxCategory {
    id: usize,
    name: String,
}

#[derive(Debug, Clone, Serialize)]
struct BoxImage {
    id: usize,
    file_name: String,
    width: usize,
    height: usize,
}

#[derive(Debug, Clone, Serialize)]
struct BoxAnnotation {
    id: usize,
    image_id: usize,
    category_id: usize,
    bbox: [usize; 4],
    area: usize,
    iscrowd: u8,
    score: f32,
}

impl BoxFile {
    /// A document without films; `target` names the category.
    pub fn new(info: BoxInfo, target: impl Into<String>) -> BoxFile {
        let categories = [BoxCategory { id: 1, name: format!("evidence for {}", target.into()) }];
        BoxFile { info, categories, images: Vec::new(), annotations: Vec::new() }
    }

    /// Adds a film with its boxes.
    pub fn add(&mut self, file_name: impl Into<String>, [width, height]: [usize; 2], boxes: &[MapBox]) {
        let image_id = self.images.len() + 1;
        self.images.push(BoxImage { id: image_id, file_name: file_name.into(), width, height });
        for &MapBox { bbox, score, area } in boxes {
            let id = self.annotations.len() + 1;
            self.annotations.push(BoxAnnotation { id, image_id, category_id: 1, bbox, area, iscrowd: 0, score });
        }
    }
}

/// Maps of one size as a NumPy file, format 1.0: little-endian `f4`, `[height, width]` of one map, `[maps, height,
/// width]` of several.
///
/// # Errors
/// [`Error::Shape`] if there is none, or they differ in size.
pub fn npy(maps: &[Map]) -> Result<Vec<u8>> {
    let size = |map: &Map| vec![map.height as i64, map.width as i64];
    let Some(first) = maps.first() else {
        return Err(Error::Shape { what: "maps", expected: "at least one".to_owned(), got: vec![0] });
    };
    if let Some(other) = maps.iter().find(|map| size(map) != size(first)) {
        return Err(Error::Shape { what: "maps", expected: format!("{:?} each", size(first)), got: size(other) });
    }
    let shape = match maps.len() {
        1 => format!("({}, {})", first.height, first.width),
        n => format!("({n}, {}, {})", first.height, first.width),
    };
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    // Magic, version and length take 10 bytes; the values begin at a multiple of 64.
    while !(header.len() + 11).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(maps.iter().flat_map(|map| &map.values).flat_map(|value| value.to_le_bytes()));
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_become_boxes_and_a_map_without_evidence_has_none() {
        #[rustfmt::skip]
        let values = vec![
            0.9, 0.0, 0.0, 0.0, 0.0,
            0.0, 0.6, 0.0, 0.0, 1.0,
            0.0, 0.0, 0.0, 0.0, 0.7,
        ];
        let map = Map::new(5, 3, values).unwrap();
        let found = boxes(&map, 0.5);
        assert_eq!(found[0], MapBox { bbox: [4, 1, 1, 2], score: 1.0, area: 2 });
        assert_eq!(found[1], MapBox { bbox: [0, 0, 2, 2], score: 0.9, area: 2 });
        assert_eq!(boxes(&map, 0.95).len(), 1);
        assert!(boxes(&Map::new(3, 3, vec![0.0; 9]).unwrap(), 0.0).is_empty());
        let info = BoxInfo { description: "d".into(), threshold: 0.5, hit_rate: "not measured".into() };
        let mut file = BoxFile::new(info, "abnormal");
        file.add("a.png", [5, 3], &found);
        file.add("b.png", [5, 3], &[]);
        let json = serde_json::to_value(&file).unwrap();
        assert_eq!((json["images"][1]["id"].as_u64(), json["annotations"][1]["image_id"].as_u64()), (Some(2), Some(1)));
        assert_eq!(json["annotations"][0]["bbox"], serde_json::json!([4, 1, 1, 2]));
    }

    #[test]
    fn numpy_reads_the_maps_as_they_are() {
        let map = Map::new(3, 2, vec![0.5, -1.0, 2.0, 3.0, 4.0, 5.5]).unwrap();
        let bytes = npy(&[map.clone(), map.clone()]).unwrap();
        assert_eq!((bytes.len() - 2 * 24) % 64, 0);
        let Some(python) = testing::python() else { return };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.npy");
        std::fs::write(&path, bytes).unwrap();
        let code = "import sys, numpy; a = numpy.load(sys.argv[1]); print(a.shape, a.dtype, a[1].tolist())";
        let output = std::process::Command::new(python).args(["-c", code]).arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(said.trim(), "(2, 2, 3) float32 [[0.5, -1.0, 2.0], [3.0, 4.0, 5.5]]");
        assert!(npy(&[]).is_err() && npy(&[map, Map::new(1, 1, vec![0.0]).unwrap()]).is_err());
    }
}
