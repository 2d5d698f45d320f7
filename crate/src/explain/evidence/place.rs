//! Does the map point at the fracture: pointing game, energy, IoU.

use image::GrayImage;
use serde::Serialize;

use crate::error::Result;
use crate::explain::localisation::{Ground, ground};
use crate::preprocess::Placement;
use render::Map;

/// The thresholds that [`best_threshold`] tries.
const THRESHOLDS: [f32; 13] = [0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8];

/// How well a map agrees with a mask.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Placed {
    /// The pointing game (Zhang et al., arXiv:1608.00507): 1 if the map's peak lies in the dilated mask, else 0; of
    /// several pixels as high as the peak, the share of those that do. A map that is the same everywhere therefore has
    /// what chance gives, the mask's share of the film.
    pub hit: f64,
    /// Share of the map's sum over the film that lies in the dilated mask.
    pub energy: f64,
    /// Share of the film that the dilated mask covers.
    pub area: f64,
    /// For each threshold from 0.2 to 0.8 in steps of 0.05, the intersection of what is at or above it with the mask
    /// itself, over their union.
    pub iou: [f64; 13],
}

impl Placed {
    /// The IoU at one of the thresholds.
    pub fn iou_at(&self, threshold: f32) -> Option<f64> {
        THRESHOLDS.iter().position(|it| *it == threshold).map(|at| self.iou[at])
    }
}

/// Compares a map over the network's square with a mask in the same square, from
/// [`crate::preprocess::Preprocess::mask`]. Hit and energy take the mask dilated by one cell of the map, since a map
/// cannot be sharper than its cells, the IoU the mask itself. Bars of a letterbox count as nothing.
///
/// # Errors
/// [`crate::Error::Shape`] if the mask is smaller than the map or than the film in it.
pub fn placed(map: &Map, mask: &GrayImage, film: &Placement) -> Result<Placed> {
    let Ground { values, dilated, exact } = ground(map, mask, film)?;
    let highest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (mut total, mut energy, mut area, mut peaks, mut hits) = (0.0, 0.0, 0usize, 0usize, 0usize);
    for (&value, &inside) in values.iter().zip(&dilated) {
        total += f64::from(value);
        energy += if inside { f64::from(value) } else { 0.0 };
        area += usize::from(inside);
        // Equal but for the rounding of the enlargement.
        if value >= highest - 1e-6 * highest.abs() {
            peaks += 1;
            hits += usize::from(inside);
        }
    }
    let iou = THRESHOLDS.map(|threshold| {
        let (mut both, mut either) = (0usize, 0usize);
        for (&value, &inside) in values.iter().zip(&exact) {
            both += usize::from(value >= threshold && inside);
            either += usize::from(value >= threshold || inside);
        }
        if either == 0 { 0.0 } else { both as f64 / either as f64 }
    });
    Ok(Placed {
        hit: if total > 0.0 { hits as f64 / peaks as f64 } else { 0.0 },
        energy: if total > 0.0 { energy / total } else { 0.0 },
        area: area as f64 / values.len() as f64,
        iou,
    })
}

/// The threshold of the highest mean IoU, to be chosen on other films than those it is used on; none of no film.
pub fn best_threshold(found: &[Placed]) -> Option<f32> {
    let sum = |at: usize| found.iter().map(|placed| placed.iou[at]).sum::<f64>();
    let best = (0..THRESHOLDS.len()).rev().max_by(|&i, &j| sum(i).total_cmp(&sum(j)));
    best.filter(|_| !found.is_empty()).map(|at| THRESHOLDS[at])
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;

    const WHOLE: Placement = Placement { image: (32, 32), left: 0, top: 0, width: 32, height: 32 };

    /// 4 × 4 pixels of 32 × 32 in the corner.
    fn mask() -> GrayImage {
        GrayImage::from_fn(32, 32, |x, y| Luma([if x < 4 && y < 4 { 255 } else { 0 }]))
    }

    #[test]
    fn iou_hit_and_energy_are_those_worked_by_hand() {
        // At the film's own resolution a cell is a pixel, so that the mask grows by one: 5 × 5 of 1,024.
        let map = Map::new(32, 32, (0..1024).map(|at| if at % 32 < 4 && at / 32 < 2 { 1.0 } else { 0.0 }).collect());
        let found = placed(&map.unwrap(), &mask(), &WHOLE).unwrap();
        assert_eq!((found.hit, found.energy, found.area), (1.0, 1.0, 25.0 / 1024.0));
        assert_eq!(found.iou_at(0.5), Some(0.5), "8 of 16 pixels");
        assert_eq!(best_threshold(&[found]), Some(0.2));
        assert_eq!(best_threshold(&[]), None);
    }

    #[test]
    fn a_map_that_is_the_same_everywhere_has_what_chance_gives_and_a_blank_one_nothing() {
        let flat = placed(&Map::new(8, 8, vec![0.7; 64]).unwrap(), &mask(), &WHOLE).unwrap();
        assert!((flat.hit - flat.area).abs() < 1e-9 && (flat.energy - flat.area).abs() < 1e-6, "{flat:?}");
        let blank = placed(&Map::new(8, 8, vec![0.0; 64]).unwrap(), &mask(), &WHOLE).unwrap();
        assert_eq!((blank.hit, blank.energy, blank.iou_at(0.2)), (0.0, 0.0, Some(0.0)));
    }
}
