//! Heat maps over many films: do they point at the fracture?

use std::fmt;

use super::{Localisation, MapOptions, Method, localisation};
use crate::dataset;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::score::{Report, ViewScore};

/// How well heat maps for *abnormal* agree with the true fractures over some films.
#[derive(Debug, Clone, PartialEq)]
pub struct Localised {
    /// The layer that was looked through.
    pub layer: String,
    /// Each film's path and agreement.
    pub films: Vec<(std::path::PathBuf, Localisation)>,
}

/// Means over the films; `None` where there is no film.
impl Localised {
    /// Mean share of the maps' energy inside the dilated masks.
    pub fn energy_share(&self) -> Option<f64> {
        self.mean(|l| l.energy_share)
    }

    /// Mean share of the films' area that the dilated masks cover: the energy share that chance would reach.
    pub fn area_share(&self) -> Option<f64> {
        self.mean(|l| l.area_share)
    }

    /// Mean energy share over mean area share: 1 is chance. `None` also where all masks are empty.
    pub fn concentration(&self) -> Option<f64> {
        let (energy, area) = (self.energy_share()?, self.area_share()?);
        (area > 0.0).then(|| energy / area)
    }

    /// Share of films whose peak lies inside the dilated mask: the pointing game.
    pub fn pointing(&self) -> Option<f64> {
        self.mean(|l| f64::from(u8::from(l.peak_inside)))
    }

    fn mean(&self, of: impl Fn(&Localisation) -> f64) -> Option<f64> {
        let sum: f64 = self.films.iter().map(|(_, l)| of(l)).sum();
        (!self.films.is_empty()).then(|| sum / self.films.len() as f64)
    }
}

impl fmt::Display for Localised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(energy), Some(area)) = (self.energy_share(), self.area_share()) else {
            return f.write_str("no true positive with a known fracture");
        };
        write!(f, "energy {energy:.3}, area {area:.3}: ")?;
        match self.concentration() {
            Some(times) => write!(f, "energy over area {times:.2} times"),
            None => f.write_str("the fractures cover no pixel of the films"),
        }
    }
}

/// Compares heat maps with the true fractures, over the abnormal films that were called so and whose fracture the data
/// set knows.
///
/// # Errors
/// [`Error::NoSuchLayer`], [`Error::Decode`].
pub fn localise(model: &Model, report: &Report, layer: &str) -> Result<Localised> {
    let options = MapOptions::at(layer);
    let known = |v: &&ViewScore| v.view.mask.is_some() || !v.view.findings.is_empty();
    let films = report.views.iter().filter(|view| view.is_hit()).filter(known).map(|score| {
        let cam = model.explain_with(&score.path, Method::GradCam, &options)?;
        let mask = dataset::fracture_mask(&score.view)?;
        let mask = mask
            .map(|mask| model.card.preprocess.mask(&mask))
            .ok_or_else(|| Error::setting("film", "a known fracture", score.path.display()))?;
        Ok((score.path.clone(), localisation(&cam.map, &mask, &cam.placement)?))
    });
    Ok(Localised { layer: layer.to_owned(), films: films.collect::<Result<_>>()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_over_no_film_are_none_and_said_in_words() {
        let mut found = Localised { layer: "features.denseblock2".to_owned(), films: Vec::new() };
        assert_eq!([found.energy_share(), found.area_share(), found.concentration(), found.pointing()], [None; 4]);
        assert_eq!(found.to_string(), "no true positive with a known fracture");
        let empty = Localisation { energy_share: 0.0, area_share: 0.0, peak_inside: false };
        found.films.push(("film.png".into(), empty));
        assert_eq!((found.concentration(), found.pointing()), (None, Some(0.0)));
        assert_eq!(found.to_string(), "energy 0.000, area 0.000: the fractures cover no pixel of the films");
    }
}
