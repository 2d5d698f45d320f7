//! ROAD, "Remove and Debias": Rong et al., "A Consistent and Efficient Evaluation Strategy for Attribution Methods",
//! ICML 2022 (arXiv:2202.00449). Pixels are not blanked, whose edges a network sees, but made up from their neighbours.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::Serialize;
use tch::{Device, Kind, Tensor};

use super::curves::order;
use crate::error::{Error, Result};
use crate::preprocess::Placement;
use render::Map;

/// Deviation of the noise on pixels that were made up, in the film's own unit.
const NOISE: f32 = 0.01;
/// Weights of the neighbours beside and at the corners.
const BESIDE: f32 = 1.0 / 6.0;
const CORNER: f32 = 1.0 / 12.0;

/// What the score loses when the most, and the least, important pixels are made up from their neighbours.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Road {
    /// Shares of the film's pixels.
    pub shares: Vec<f64>,
    /// What the score gains without the highest of them; below 0 for a good map.
    pub most: Vec<f64>,
    /// What the score gains without the lowest of them; near 0 for a good map.
    pub least: Vec<f64>,
}

impl Road {
    /// Half the mean of least less most: above 0 for a good map, around 0 for one at random.
    pub fn score(&self) -> f64 {
        let sum: f64 = self.least.iter().zip(&self.most).map(|(least, most)| least - most).sum();
        sum / (2.0 * self.shares.len().max(1) as f64)
    }
}

/// ROAD of one film at each share of its pixels.
///
/// # Shapes
/// - `score`: `[M, C, H, W]` → `M` numbers
/// - `film`: `[C, H, W]`, `f32`
///
/// # Errors
/// [`Error::Shape`] if `film` is not as above, [`Error::Setting`] if there is no share or one outside of 0 to 1; those
/// of `score`.
pub fn road(
    score: &mut dyn FnMut(&Tensor) -> Result<Vec<f64>>,
    film: &Tensor,
    map: &Map,
    place: &Placement,
    shares: &[f64],
) -> Result<Road> {
    let size = film.size();
    let [channels, height, width] = size[..] else {
        return Err(Error::Shape { what: "film", expected: "[C, H, W]".to_owned(), got: size });
    };
    if let Some(wrong) = shares.iter().find(|share| !(0.0..=1.0).contains(*share)) {
        return Err(Error::setting("shares", "0 to 1", wrong));
    }
    if shares.is_empty() {
        return Err(Error::setting("shares", "at least one", 0));
    }
    let order = order(map, (height as usize, width as usize), place, 0);
    let flat = film.to_device(Device::Cpu).to_kind(Kind::Float).contiguous().flatten(0, -1);
    let values = Vec::<f32>::try_from(flat)?;
    let each = (height * width) as usize;
    let mut films = vec![film.to_kind(Kind::Float)];
    for highest in [true, false] {
        for share in shares {
            let n = (share * order.len() as f64).round() as usize;
            let some = if highest { &order[..n] } else { &order[order.len() - n..] };
            let mut made = values.clone();
            for (channel, plane) in made.chunks_mut(each).enumerate() {
                make_up(plane, (height as usize, width as usize), some, channel as u64);
            }
            films.push(Tensor::from_slice(&made).view([channels, height, width]).to_device(film.device()));
        }
    }
    let mut scores = Vec::new();
    for some in films.chunks(32) {
        scores.extend(score(&Tensor::stack(some, 0))?);
    }
    let gains: Vec<f64> = scores[1..].iter().map(|it| it - scores[0]).collect();
    let (most, least) = gains.split_at(shares.len());
    Ok(Road { shares: shares.to_vec(), most: most.to_vec(), least: least.to_vec() })
}

/// Makes the pixels at `gone` the weighted mean of their neighbours, all of them at once: the solution of the paper's
/// linear equations by successive over-relaxation; then some noise on them.
fn make_up(plane: &mut [f32], (height, width): (usize, usize), gone: &[i64], seed: u64) {
    const RELAXATION: f32 = 1.8;
    const ROUNDS: usize = 500;
    let known: f64 = plane.iter().map(|it| f64::from(*it)).sum::<f64>() / plane.len().max(1) as f64;
    gone.iter().for_each(|&at| plane[at as usize] = known as f32);
    let mut sorted: Vec<usize> = gone.iter().map(|&at| at as usize).collect();
    sorted.sort_unstable();
    let around = |plane: &[f32], at: usize| {
        let (x, y) = ((at % width) as i64, (at / width) as i64);
        let (mut sum, mut weight) = (0.0, 0.0);
        for dy in -1i64..=1 {
            for dx in -1i64..=1 {
                let (nx, ny) = (x + dx, y + dy);
                if (dx, dy) == (0, 0) || nx < 0 || ny < 0 || nx >= width as i64 || ny >= height as i64 {
                    continue;
                }
                let share = if dx == 0 || dy == 0 { BESIDE } else { CORNER };
                sum += share * plane[ny as usize * width + nx as usize];
                weight += share;
            }
        }
        sum / weight.max(1e-6)
    };
    for _ in 0..ROUNDS {
        let mut moved = 0.0f32;
        for &at in &sorted {
            let step = RELAXATION * (around(plane, at) - plane[at]);
            plane[at] += step;
            moved = moved.max(step.abs());
        }
        if moved < 1e-4 {
            break;
        }
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for &at in &sorted {
        let noise: f32 = StandardNormal.sample(&mut rng);
        plane[at] += NOISE * noise;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_that_is_gone_is_the_weighted_mean_of_its_neighbours() {
        // Between 0 and 6: 3. In a square of ones with a corner of 4: (4/12 + 4/6 + 3/12) / 1.
        let mut row = [0.0, 100.0, 6.0];
        make_up(&mut row, (1, 3), &[1], 0);
        assert!((row[1] - 3.0).abs() < 0.05, "{row:?}");
        let mut square = [4.0, 1.0, 1.0, 1.0, 50.0, 1.0, 1.0, 1.0, 1.0];
        make_up(&mut square, (3, 3), &[4], 0);
        assert!((square[4] - 1.25).abs() < 0.05, "{square:?}");
        // Two in a row between 0 and 3 are 1 and 2.
        let mut row = [0.0, 9.0, -9.0, 3.0];
        make_up(&mut row, (1, 4), &[1, 2], 0);
        assert!((row[1] - 1.0).abs() < 0.05 && (row[2] - 2.0).abs() < 0.05, "{row:?}");
    }

    /// The score is the brightest pixel: a spike of 1 on black. A map that knows it loses it first, 1 → 0, and keeps it
    /// to the end; at half of the pixels the gains are −1 and 0, so ROAD is 0.5. The map turned round has −0.5.
    #[test]
    fn a_map_that_knows_the_spike_scores_a_half_and_its_negative_minus_a_half() {
        let values: Vec<f32> = (0..64).map(|at| if at == 27 { 1.0 } else { 0.0 }).collect();
        let film = Tensor::from_slice(&values).view([1, 8, 8]);
        let place = Placement { image: (8, 8), left: 0, top: 0, width: 8, height: 8 };
        let mut brightest =
            |films: &Tensor| Ok(Vec::<f64>::try_from(films.amax([1, 2, 3], false).to_kind(Kind::Double))?);
        let mut of = |sign: f32| {
            let map = Map::new(8, 8, values.iter().map(|it| sign * it).collect()).unwrap();
            road(&mut brightest, &film, &map, &place, &[0.25, 0.5]).unwrap()
        };
        let (right, wrong) = (of(1.0), of(-1.0));
        assert!((right.score() - 0.5).abs() < 0.05 && (wrong.score() + 0.5).abs() < 0.05, "{right:?} {wrong:?}");
        let place = Placement { image: (8, 8), left: 0, top: 0, width: 8, height: 8 };
        let map = Map::new(1, 1, vec![0.0]).unwrap();
        assert!(road(&mut brightest, &film, &map, &place, &[1.5]).is_err());
        assert!(road(&mut brightest, &film, &map, &place, &[]).is_err());
    }
}
