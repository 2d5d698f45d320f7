//! The truth as one COCO file (Lin et al., arXiv:1405.0312): every film, a box and an exact mask for each fracture and
//! each implant. Masks are run-length encoded column by column, beginning with a run of zeros: COCO's uncompressed
//! form.

use image::GrayImage;
use serde::Serialize;

use super::mask::extent;
use super::{DRAWING_VERSION, Fracture, Hardware, Projection};
use studies::{Label, Split};

/// Category ids.
const FRACTURE: u32 = 1;
const HARDWARE: u32 = 2;

/// What is known about one film.
#[derive(Debug, Clone, Serialize)]
pub(super) struct FilmRecord {
    /// From 1, given by [`document`].
    pub id: usize,
    /// Relative to the set's root.
    pub file_name: String,
    pub width: u32,
    pub height: u32,
    pub split: Split,
    pub study: String,
    pub label: Label,
    pub projection: Projection,
    pub age: u32,
    pub plaster: bool,
    pub hardware: bool,
    pub overlap: bool,
    pub mm_per_pixel: f32,
    #[serde(skip)]
    pub findings: Vec<FilmFinding>,
}

/// A mask and what it is of.
#[derive(Debug, Clone)]
pub(super) struct FilmFinding {
    bounding_box: [u32; 4],
    area: u32,
    size: [u32; 2],
    counts: Vec<u32>,
    of: Of,
}

/// What a mask is of, by COCO's category.
#[derive(Debug, Clone)]
pub(super) enum Of {
    Fracture(Fracture),
    Hardware(Hardware),
}

impl FilmFinding {
    /// `None` where the mask is black.
    pub fn new(mask: &GrayImage, of: Of) -> Option<FilmFinding> {
        let bounding_box = extent(mask)?;
        let area = mask.iter().filter(|&&value| value > 0).count() as u32;
        Some(FilmFinding { bounding_box, area, size: [mask.height(), mask.width()], counts: run_lengths(mask), of })
    }
}

/// Lengths of the runs of black and white, black first, column by column.
fn run_lengths(mask: &GrayImage) -> Vec<u32> {
    let (mut counts, mut white, mut run) = (Vec::new(), false, 0);
    for x in 0..mask.width() {
        for y in 0..mask.height() {
            if (mask.get_pixel(x, y).0[0] > 0) != white {
                counts.push(run);
                (white, run) = (!white, 0);
            }
            run += 1;
        }
    }
    counts.push(run);
    counts
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    info: Info,
    categories: [Category; 2],
    images: &'a [FilmRecord],
    annotations: Vec<CocoAnnotation<'a>>,
}

#[derive(Debug, Serialize)]
struct Info {
    description: &'static str,
    version: &'static str,
    drawing: u32,
}

#[derive(Debug, Serialize)]
struct Category {
    id: u32,
    name: &'static str,
    supercategory: &'static str,
}

#[derive(Debug, Serialize)]
struct CocoAnnotation<'a> {
    id: usize,
    image_id: usize,
    category_id: u32,
    bbox: [u32; 4],
    area: u32,
    iscrowd: u32,
    segmentation: Segmentation<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fracture: Option<&'a Fracture>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hardware: Option<&'a Hardware>,
}

#[derive(Debug, Serialize)]
struct Segmentation<'a> {
    size: [u32; 2],
    counts: &'a [u32],
}

/// The file's text; numbers films and findings from 1, in their order.
pub(super) fn document(films: &mut [FilmRecord]) -> serde_json::Result<String> {
    for (i, film) in films.iter_mut().enumerate() {
        film.id = i + 1;
    }
    let findings = films.iter().flat_map(|film| film.findings.iter().map(|finding| (film.id, finding)));
    let annotations = findings
        .enumerate()
        .map(|(i, (image_id, finding))| {
            let (category_id, fracture, hardware) = match &finding.of {
                Of::Fracture(fracture) => (FRACTURE, Some(fracture), None),
                Of::Hardware(hardware) => (HARDWARE, None, Some(hardware)),
            };
            CocoAnnotation {
                id: i + 1,
                image_id,
                category_id,
                bbox: finding.bounding_box,
                area: finding.area,
                iscrowd: 0,
                segmentation: Segmentation { size: finding.size, counts: &finding.counts },
                fracture,
                hardware,
            }
        })
        .collect();
    let mut text = serde_json::to_string(&Document {
        info: Info {
            description: "Simulated radiographs of a humerus; no patient was filmed",
            version: env!("CARGO_PKG_VERSION"),
            drawing: DRAWING_VERSION,
        },
        categories: [
            Category { id: FRACTURE, name: "fracture", supercategory: "finding" },
            Category { id: HARDWARE, name: "hardware", supercategory: "finding" },
        ],
        images: films,
        annotations,
    })?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_go_down_the_columns_and_begin_with_black() {
        let mask = |rows: [[u8; 3]; 2]| GrayImage::from_raw(3, 2, rows.concat()).unwrap();
        assert_eq!(run_lengths(&mask([[0, 255, 255], [0, 255, 0]])), [2, 3, 1]);
        assert_eq!(run_lengths(&mask([[255, 0, 0], [255, 0, 0]])), [0, 2, 4]);
        assert_eq!(run_lengths(&mask([[0, 0, 0], [0, 0, 0]])), [6]);
    }
}
