//! Where the fracture is on a film, as a mask: what heat maps are judged against.

use image::{GrayImage, Luma};

use crate::Result;
use crate::study::{Finding, View};

/// White (255) where the data set says that the fracture is, black elsewhere, in the size of the upright film; `None`
/// if the data set says nothing about this film.
///
/// From the view's mask, else from the outlines of its findings, else from their boxes.
///
/// # Errors
/// [`crate::Error::Io`] and [`crate::Error::Decode`] for the mask, or for the film where its size is needed.
pub fn fracture_mask(view: &View) -> Result<Option<GrayImage>> {
    if let Some(path) = &view.mask {
        let mut mask = film::decode(path)?;
        mask.pixels_mut().for_each(|pixel| pixel.0[0] = if pixel.0[0] >= 128 { 255 } else { 0 });
        return Ok(Some(mask));
    }
    if view.findings.is_empty() {
        return Ok(None);
    }
    let film = film::decode(&view.path)?;
    let mut mask = GrayImage::new(film.width(), film.height());
    for finding in &view.findings {
        for outline in outlines(finding) {
            fill(&mut mask, &outline);
        }
    }
    Ok(Some(mask))
}

fn outlines(finding: &Finding) -> Vec<Vec<[f32; 2]>> {
    if !finding.outlines.is_empty() {
        return finding.outlines.clone();
    }
    let [x, y, width, height] = finding.bbox;
    vec![vec![[x, y], [x + width, y], [x + width, y + height], [x, y + height]]]
}

/// Fills the pixels whose centre lies inside the outline, by the even-odd rule; points outside the mask are allowed.
fn fill(mask: &mut GrayImage, outline: &[[f32; 2]]) {
    for y in 0..mask.height() {
        let middle = y as f32 + 0.5;
        let edges = outline.iter().zip(outline.iter().cycle().skip(1));
        let mut crossings: Vec<f32> = edges
            .filter(|(a, b)| (a[1] <= middle) != (b[1] <= middle))
            .map(|(a, b)| a[0] + (middle - a[1]) / (b[1] - a[1]) * (b[0] - a[0]))
            .collect();
        crossings.sort_by(f32::total_cmp);
        for &[from, to] in crossings.as_chunks().0 {
            let first = (from - 0.5).ceil().max(0.0) as u32;
            let end = ((to - 0.5).ceil().max(0.0) as u32).min(mask.width());
            for x in first..end {
                mask.put_pixel(x, y, Luma([255]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(outline: &[[f32; 2]]) -> usize {
        let mut mask = GrayImage::new(40, 30);
        fill(&mut mask, outline);
        mask.pixels().filter(|pixel| pixel.0[0] == 255).count()
    }

    #[test]
    fn a_box_fills_its_own_area_and_is_cut_at_the_border() {
        assert_eq!(area(&[[3.0, 4.0], [13.0, 4.0], [13.0, 9.0], [3.0, 9.0]]), 50);
        assert_eq!(area(&[[-5.0, -5.0], [5.0, -5.0], [5.0, 5.0], [-5.0, 5.0]]), 25);
        assert_eq!(area(&[[30.0, 20.0], [90.0, 20.0], [90.0, 90.0], [30.0, 90.0]]), 100);
    }

    #[test]
    fn a_triangle_fills_half_its_box() {
        let filled = area(&[[0.0, 0.0], [30.0, 0.0], [0.0, 30.0]]);
        assert!((434..=466).contains(&filled), "{filled}");
    }
}
