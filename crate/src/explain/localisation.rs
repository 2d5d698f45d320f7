//! How much of a heat map lies where the fracture is.

use image::GrayImage;
use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};
use crate::preprocess::Placement;
use render::Map;

/// How much of a heat map lies where the fracture is. Only the film counts, not the bars of a letterbox beside it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Localisation {
    /// Share of the map's sum over the film that is inside the dilated mask, `0.0..=1.0`; 0 for a map without evidence
    /// there.
    pub energy_share: f64,
    /// Share of the film's area that the dilated mask covers, `0.0..=1.0`.
    pub area_share: f64,
    /// Whether the map's peak over the film lies inside the dilated mask: the pointing game (Zhang et al.,
    /// arXiv:1608.00507).
    pub peak_inside: bool,
}

impl Localisation {
    /// Energy share over area share: 1 is chance. `None` where the mask is empty.
    pub fn concentration(&self) -> Option<f64> {
        (self.area_share > 0.0).then(|| self.energy_share / self.area_share)
    }
}

/// Compares a heat map with the fracture's mask, laid over the network's square by
/// [`crate::preprocess::Preprocess::mask`] and dilated by one cell of the map in every direction, since a map cannot be
/// sharper than its cells. `film` says which part of the square the film fills; the rest, where no fracture can be,
/// counts neither as energy nor as area.
///
/// # Errors
/// [`Error::Shape`] if the mask is smaller than the map or than the square that the film lies in.
pub fn localisation(map: &Map, mask: &GrayImage, film: &Placement) -> Result<Localisation> {
    let Ground { values, dilated, .. } = ground(map, mask, film)?;
    let (mut total, mut energy, mut peak) = (0.0, 0.0, None);
    for (&value, &inside) in values.iter().zip(&dilated) {
        let value = f64::from(value);
        total += value;
        energy += if inside { value } else { 0.0 };
        if peak.is_none_or(|(highest, _)| value > highest) {
            peak = Some((value, inside));
        }
    }
    Ok(Localisation {
        energy_share: if total > 0.0 { energy / total } else { 0.0 },
        area_share: dilated.iter().filter(|inside| **inside).count() as f64 / values.len() as f64,
        peak_inside: total > 0.0 && peak.is_some_and(|(_, inside)| inside),
    })
}

/// A map and a mask pixel by pixel of the film, as the network sees it.
pub(super) struct Ground {
    pub(super) values: Vec<f32>,
    /// Whether the mask, dilated by one cell of the map, covers the pixel.
    pub(super) dilated: Vec<bool>,
    /// Whether the mask itself does.
    pub(super) exact: Vec<bool>,
}

pub(super) fn ground(map: &Map, mask: &GrayImage, film: &Placement) -> Result<Ground> {
    let (w, h) = (mask.width() as usize, mask.height() as usize);
    let (left, top, width, height) = (film.left as usize, film.top as usize, film.width as usize, film.height as usize);
    let (least_w, least_h) = (map.width.max(left + width), map.height.max(top + height));
    if w < least_w || h < least_h {
        let expected = format!("at least {least_w} x {least_h}, as the map and the film in it");
        return Err(Error::Shape { what: "mask", expected, got: vec![w as i64, h as i64] });
    }
    let bytes = Tensor::from_slice(mask.as_raw()).view([1, 1, h as i64, w as i64]);
    let exact = bytes.ge(128).to_kind(Kind::Float);
    let reach = |pixels: usize, cells: usize| (pixels as f64 / cells as f64).round() as i64;
    let (rows, columns) = (reach(h, map.height), reach(w, map.width));
    let dilated = exact.max_pool2d([2 * rows + 1, 2 * columns + 1], [1, 1], [rows, columns], [1, 1], false);
    let [exact, dilated] = [exact, dilated].map(|it| Vec::<f32>::try_from(it.view([-1]).to_device(Device::Cpu)));
    let (exact, dilated, full) = (exact?, dilated?, map.resized(w, h));
    let on_film = || (top..top + height).flat_map(|y| (left..left + width).map(move |x| y * w + x));
    Ok(Ground {
        values: on_film().map(|at| full.values[at]).collect(),
        dilated: on_film().map(|at| dilated[at] > 0.5).collect(),
        exact: on_film().map(|at| exact[at] > 0.5).collect(),
    })
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;
    use crate::preprocess::{Fit, Preprocess};

    #[test]
    fn energy_on_the_mask_counts_and_energy_far_from_it_does_not() {
        let mask = GrayImage::from_fn(32, 32, |x, y| Luma([if x < 4 && y < 4 { 255 } else { 0 }]));
        let whole = Placement { image: (32, 32), left: 0, top: 0, width: 32, height: 32 };
        let map = |at: usize| {
            let mut values = vec![0.0; 64];
            values[at] = 1.0;
            Map::new(8, 8, values).unwrap()
        };
        let on = localisation(&map(0), &mask, &whole).unwrap();
        assert!(on.peak_inside && on.energy_share > 0.9, "{on:?}");
        assert_eq!(on.area_share, 64.0 / 1024.0);
        assert!(on.concentration().unwrap() > 10.0);
        let off = localisation(&map(63), &mask, &whole).unwrap();
        assert_eq!((off.peak_inside, off.energy_share), (false, 0.0));
        let none = localisation(&Map::new(8, 8, vec![0.0; 64]).unwrap(), &mask, &whole).unwrap();
        assert_eq!((none.peak_inside, none.energy_share), (false, 0.0));
        let too_large = Placement { left: 8, ..whole };
        assert!(matches!(localisation(&map(0), &mask, &too_large), Err(Error::Shape { .. })));
    }

    #[test]
    fn a_uniform_map_is_chance_on_a_film_of_any_shape() {
        for (width, height) in [(373, 454), (454, 373), (512, 89), (96, 400), (224, 224)] {
            for fit in [Fit::Letterbox, Fit::Stretch] {
                let preprocess = Preprocess { fit, ..Preprocess::default() };
                let place = preprocess.placement(width, height);
                let (x, y, w, h) = (width / 3, height / 4, width / 5 + 1, height / 6 + 1);
                let on_film = |i, j| if (x..x + w).contains(&i) && (y..y + h).contains(&j) { 255 } else { 0 };
                let mask = preprocess.mask(&GrayImage::from_fn(width, height, |i, j| Luma([on_film(i, j)])));
                // Even over the whole square, and even over the film with nothing in the bars.
                let even = Map::new(28, 28, vec![1.0; 28 * 28]).unwrap();
                let film_only = (0..224 * 224u32).map(|at| {
                    let (x, y) = (at % 224, at / 224);
                    let on = (place.left..place.left + place.width).contains(&x)
                        && (place.top..place.top + place.height).contains(&y);
                    f32::from(u8::from(on))
                });
                let film_only = Map::new(224, 224, film_only.collect()).unwrap();
                for map in [even, film_only] {
                    let found = localisation(&map, &mask, &place).unwrap();
                    let times = found.concentration().unwrap();
                    assert!((times - 1.0).abs() < 1e-6, "{width} x {height}, {fit:?}: {times}");
                }
            }
        }
    }
}
