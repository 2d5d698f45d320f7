//! Deletion and insertion: Petsiuk et al., "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC
//! 2018 (arXiv:1806.07421).

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use crate::preprocess::Placement;
use render::Map;

/// Which way pixels go, the highest of the map first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Removal {
    /// From the film to nothing: a good map makes the score fall soon.
    Deletion,
    /// From nothing to the film: a good map makes the score rise soon.
    Insertion,
}

/// The score while pixels go.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curve {
    /// Shares of the film's pixels that have gone, from 0 to 1.
    pub shares: Vec<f64>,
    /// The score at each of them.
    pub scores: Vec<f64>,
}

impl Curve {
    /// The area below it, by trapezoids: the mean score.
    pub fn area(&self) -> f64 {
        let steps = self.shares.windows(2).zip(self.scores.windows(2));
        steps.map(|(x, y)| (x[1] - x[0]) * (y[0] + y[1]) / 2.0).sum()
    }
}

/// The pixels of the film, highest of the map first, as positions in the square `height × width`; those that are alike
/// in an order drawn by `seed`.
pub(super) fn order(map: &Map, (height, width): (usize, usize), place: &Placement, seed: u64) -> Vec<i64> {
    let large = map.resized(width, height);
    let rows = place.top as usize..(place.top + place.height) as usize;
    let columns = place.left as usize..(place.left + place.width) as usize;
    let pixels = rows.flat_map(|y| columns.clone().map(move |x| y * width + x));
    let mut pixels: Vec<usize> = pixels.filter(|at| *at < width * height).collect();
    pixels.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    pixels.sort_by(|&i, &j| large.values[j].total_cmp(&large.values[i]));
    pixels.into_iter().map(|at| at as i64).collect()
}

/// The score of a film while its pixels go, or come, in `steps` equal steps, the highest of `map` first.
///
/// # Shapes
/// - `score`: `[M, C, H, W]` → `M` numbers
/// - `film`, `nothing`: `[C, H, W]`, the latter what is left where a pixel has gone
///
/// Bars of a letterbox, outside of `place`, stay as they are in `film`.
///
/// # Errors
/// [`Error::Shape`] if `film` or `nothing` is not as above, [`Error::Setting`] if `steps` is 0; those of `score`.
pub fn removal_curve(
    score: &mut dyn FnMut(&Tensor) -> Result<Vec<f64>>,
    (film, nothing): (&Tensor, &Tensor),
    map: &Map,
    place: &Placement,
    removal: Removal,
    steps: usize,
) -> Result<Curve> {
    let size = film.size();
    if size.len() != 3 || nothing.size() != size {
        let expected = "[C, H, W], the same of what is left".to_owned();
        return Err(Error::Shape { what: "film", expected, got: nothing.size() });
    }
    if steps == 0 {
        return Err(Error::setting("steps", "1 or more", steps));
    }
    let order = order(map, (size[1] as usize, size[2] as usize), place, 0);
    let gone = |share: usize| &order[..(order.len() * share + steps / 2) / steps];
    let films: Vec<Tensor> = (0..=steps)
        .map(|step| {
            // Inserting the highest first is deleting all but them.
            let away = Tensor::zeros([size[1] * size[2]], (Kind::Bool, film.device()));
            let (from, count) = match removal {
                Removal::Deletion => (0, gone(step).len()),
                Removal::Insertion => (gone(step).len(), order.len() - gone(step).len()),
            };
            let some = Tensor::from_slice(&order[from..from + count]).to_device(film.device());
            let _ = away.shallow_clone().index_fill_(0, &some, 1.0);
            nothing.where_self(&away.view([1, size[1], size[2]]), film)
        })
        .collect();
    let mut scores = Vec::new();
    for some in films.chunks(32) {
        scores.extend(score(&Tensor::stack(some, 0))?);
    }
    Ok(Curve { shares: (0..=steps).map(|step| step as f64 / steps as f64).collect(), scores })
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    /// Four pixels worth 4, 3, 2 and 1; the score is their sum. In the right order 10, 6, 3, 1, 0 are left, in the
    /// wrong one 10, 9, 7, 4, 0: means of 3.75 and 6.25 by trapezoids.
    #[test]
    fn areas_are_those_worked_by_hand() {
        let film = Tensor::from_slice(&[4.0f32, 3.0, 2.0, 1.0]).view([1, 2, 2]);
        let nothing = film.zeros_like();
        let place = Placement { image: (2, 2), left: 0, top: 0, width: 2, height: 2 };
        let mut sum = |films: &Tensor| {
            Ok(Vec::<f64>::try_from(films.sum_dim_intlist([1, 2, 3].as_slice(), false, Kind::Double))?)
        };
        let mut of = |values: [f32; 4], removal| {
            let map = Map::new(2, 2, values.to_vec()).unwrap();
            removal_curve(&mut sum, (&film, &nothing), &map, &place, removal, 4).unwrap()
        };
        let (right, wrong) = ([0.9, 0.5, 0.3, 0.1], [0.1, 0.3, 0.5, 0.9]);
        let curve = of(right, Removal::Deletion);
        assert_eq!((curve.scores.as_slice(), curve.area()), ([10.0, 6.0, 3.0, 1.0, 0.0].as_slice(), 3.75));
        assert_eq!(of(wrong, Removal::Deletion).area(), 6.25);
        assert_eq!(of(right, Removal::Insertion).scores, [0.0, 4.0, 7.0, 9.0, 10.0]);
        assert_eq!(of(wrong, Removal::Insertion).area(), 3.75);
    }

    #[test]
    fn bars_of_a_letterbox_stay() {
        let film = Tensor::ones([1, 4, 4], (Kind::Float, Device::Cpu));
        let place = Placement { image: (4, 2), left: 0, top: 1, width: 4, height: 2 };
        let mut left = |films: &Tensor| {
            Ok(Vec::<f64>::try_from(films.sum_dim_intlist([1, 2, 3].as_slice(), false, Kind::Double))?)
        };
        let map = Map::new(1, 1, vec![1.0]).unwrap();
        let nothing = film.zeros_like();
        let curve = removal_curve(&mut left, (&film, &nothing), &map, &place, Removal::Deletion, 2).unwrap();
        assert_eq!(curve.scores, [16.0, 12.0, 8.0]);
        let none = removal_curve(&mut left, (&film, &nothing), &map, &place, Removal::Deletion, 0);
        assert_eq!(none.unwrap_err().to_string(), "steps: expected 1 or more, got 0");
    }
}
