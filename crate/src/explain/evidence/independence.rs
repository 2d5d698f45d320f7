//! Maps that do not depend on the film: a peak in one corner whatever is shown.

use std::fmt;

use serde::Serialize;

use super::rank_correlation;
use render::Map;

/// Above this mean rank correlation between the maps of different films, the maps are one map.
const ALIKE: f64 = 0.9;
/// Above this share of films whose peak lies in one and the same cell, so is the peak.
const SAME_PEAK: f64 = 0.9;

/// How much the maps of different films have in common.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Independence {
    /// Films.
    pub films: usize,
    /// Mean rank correlation over the pairs of neighbouring films, −1 to 1.
    pub correlation: f64,
    /// Share of the films whose peak lies in the commonest cell.
    pub same_peak: f64,
    /// Share of the films whose map is flat.
    pub flat: f64,
}

impl Independence {
    /// Whether the maps depend on the film; none of fewer than five films, of which nothing can be said.
    pub fn depends_on_film(&self) -> Option<bool> {
        let same = self.correlation >= ALIKE || self.same_peak >= SAME_PEAK || self.flat >= SAME_PEAK;
        (self.films >= 5).then_some(!same)
    }
}

impl fmt::Display for Independence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.depends_on_film() {
            None => "too few films to say whether maps depend on the film",
            Some(true) => "maps depend on the film",
            Some(false) => "MAPS DO NOT DEPEND ON THE FILM",
        })?;
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        write!(f, ": mean rank correlation between films {:.2}, ", self.correlation)?;
        write!(f, "peak in one and the same cell in {}, flat {}", percent(self.same_peak), percent(self.flat))
    }
}

/// Compares the maps of different films, all of one size. Flat maps have neither peak nor ranks and count as flat.
pub fn independence(maps: &[Map]) -> Independence {
    let peak = |map: &Map| {
        let low = map.values.iter().copied().fold(f32::INFINITY, f32::min);
        let at = (0..map.values.len()).max_by(|&i, &j| map.values[i].total_cmp(&map.values[j]));
        at.filter(|&at| map.values[at] > low)
    };
    let peaks: Vec<Option<usize>> = maps.iter().map(peak).collect();
    let told: Vec<&Map> = maps.iter().zip(&peaks).filter(|(_, peak)| peak.is_some()).map(|(map, _)| map).collect();
    let pairs: Vec<f64> = told.windows(2).map(|pair| rank_correlation(pair[0], pair[1])).collect();
    let most = peaks.iter().flatten().map(|at| peaks.iter().filter(|it| **it == Some(*at)).count()).max();
    let share = |n: usize| n as f64 / maps.len().max(1) as f64;
    Independence {
        films: maps.len(),
        correlation: if pairs.is_empty() { 0.0 } else { pairs.iter().sum::<f64>() / pairs.len() as f64 },
        same_peak: share(most.unwrap_or(0)),
        flat: share(maps.len() - told.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn film(peak: usize) -> Map {
        Map::new(4, 4, (0..16).map(|at| 1.0 / (1.0 + (at as f32 - peak as f32).abs())).collect()).unwrap()
    }

    #[test]
    fn one_corner_for_every_film_and_blank_maps_are_found_out() {
        let corner = independence(&vec![film(0); 6]);
        assert_eq!(corner.depends_on_film(), Some(false));
        assert!(
            corner.to_string().starts_with("MAPS DO NOT DEPEND ON THE FILM: mean rank correlation between films 1.00")
        );
        let blank = independence(&vec![Map::new(4, 4, vec![0.0; 16]).unwrap(); 6]);
        assert_eq!((blank.depends_on_film(), blank.flat), (Some(false), 1.0));
        let each: Vec<Map> = [0, 15, 3, 12, 6, 9].map(film).to_vec();
        assert_eq!(independence(&each).depends_on_film(), Some(true), "{}", independence(&each));
        assert_eq!(independence(&each[..3]).depends_on_film(), None);
    }
}
