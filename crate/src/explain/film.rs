//! One film and its heat map, in the film's own pixels.

use std::path::Path;

use image::GrayImage;

use super::activation::maps;
use super::{Completeness, Evidence, HeatMaps, MapOptions, Method, heat_maps};
use crate::error::Result;
use crate::model::Model;
use crate::preprocess::{self, Placement, Preprocess};
use crate::score::{self, Decision, Probability};
use render::Map;

/// A film with its score and its heat map.
#[derive(Debug, Clone)]
pub struct FilmCam {
    /// The upright film at its own size.
    pub film: GrayImage,
    /// The heat map over the network's square, `0.0..=1.0`, as [`HeatMaps::scaled`].
    pub map: Map,
    /// The maps of the layers over the same square in the method's own unit, signed.
    pub raw: Vec<Map>,
    /// Whether the map has anything to show.
    pub evidence: Evidence,
    /// Where the film lies in the network's square.
    pub placement: Placement,
    /// Side of that square in pixels.
    pub size: u32,
    /// How the map came about.
    pub method: Method,
    /// What it explains, as [`super::Target`] is written.
    pub target: String,
    /// The layers that were looked through, or `input`.
    pub layers: Vec<String>,
    /// The model's probability of *abnormal*, at this size.
    pub probability: Probability,
    /// That at the size that the model was trained at, where it is another one.
    pub at_own_size: Option<Probability>,
    /// The model's decision at this size.
    pub decision: Decision,
    /// By how much integrated gradients miss what they should add up to.
    pub completeness: Option<Completeness>,
}

impl FilmCam {
    /// The heat map in the film's own pixels: for each, the value at its centre, bilinear between the centres of the
    /// map's cells. What lies over the bars of a letterbox is no part of it.
    pub fn on_film(&self) -> Map {
        on_film(&self.map, &self.placement, self.size)
    }

    /// The same of a layer's map in the method's own unit, by its place in [`layers`](Self::layers).
    pub fn raw_on_film(&self, layer: usize) -> Option<Map> {
        self.raw.get(layer).map(|map| on_film(map, &self.placement, self.size))
    }

    /// The layers by name, in one line.
    pub fn layer(&self) -> String {
        self.layers.join(" + ")
    }

    /// What the map is, in one line: the method, the target, the layers, and in words if there is no evidence.
    pub fn title(&self) -> String {
        let title = format!("{} for {} at {}", self.method, self.target, self.layer());
        match self.evidence {
            Evidence::Found => title,
            none => format!("{title}: {none}"),
        }
    }
}

/// A map over the network's square of `size` pixels, in the pixels of the film that lies in it.
pub(super) fn on_film(map: &Map, place: &Placement, size: u32) -> Map {
    let cells = |pixels: u32, cells: usize| f64::from(pixels) * cells as f64 / f64::from(size);
    let area = [
        cells(place.left, map.width),
        cells(place.top, map.height),
        cells(place.width, map.width),
        cells(place.height, map.height),
    ];
    map.part(area, place.image.0 as usize, place.image.1 as usize)
}

impl Model {
    /// Scores a film and shows where the evidence for *abnormal* against *normal* lies: Grad-CAM at
    /// [`DEFAULT_LAYER`](super::DEFAULT_LAYER).
    ///
    /// # Errors
    /// [`crate::Error::Io`], [`crate::Error::Decode`].
    pub fn explain(&self, film: impl AsRef<Path>) -> Result<FilmCam> {
        self.explain_with(film, Method::default(), &MapOptions::default())
    }

    /// Scores a film and explains the score by any method, at any layers that [`Model::layers`] lists.
    ///
    /// # Errors
    /// [`crate::Error::Io`], [`crate::Error::Decode`], and those of [`heat_maps`].
    pub fn explain_with(&self, film: impl AsRef<Path>, method: Method, options: &MapOptions) -> Result<FilmCam> {
        let film = preprocess::decode(film.as_ref())?;
        Ok(self.explain_images(vec![film], method, options)?.remove(0))
    }

    /// The same of films that were decoded before, all of them in one batch.
    ///
    /// # Errors
    /// Those of [`heat_maps`]; [`crate::Error::Shape`] if there is none.
    pub fn explain_images(&self, films: Vec<GrayImage>, method: Method, options: &MapOptions) -> Result<Vec<FilmCam>> {
        options.validate()?;
        let own = &self.card.preprocess;
        let preprocess = Preprocess { size: options.size.unwrap_or(own.size), ..own.clone() };
        let batch = |by: &Preprocess| by.tensor(&films.iter().map(|film| by.square(film)).collect::<Vec<_>>());
        let found = heat_maps(&self.classifier, &batch(&preprocess)?, method, options)?;
        let at_own_size = match preprocess.size == own.size {
            true => None,
            false => Some(score::abnormal(&self.logits(&batch(own)?)?, self.card.temperature.value)?),
        };
        let probabilities = score::abnormal(&found.logits, self.card.temperature.value)?;
        let scaled = maps(&found.scaled(), "heat map")?;
        let raw: Vec<Vec<Map>> =
            found.layers.iter().map(|layer| maps(&layer.raw, "heat map")).collect::<Result<_>>()?;
        let evidence = found.evidence();
        let HeatMaps { layers, completeness, .. } = found;
        let of = |(at, (film, map)): (usize, (GrayImage, Map))| FilmCam {
            placement: preprocess.placement(film.width(), film.height()),
            film,
            map,
            raw: raw.iter().map(|of_layer| of_layer[at].clone()).collect(),
            evidence: evidence[at],
            size: preprocess.size,
            method,
            target: options.target.to_string(),
            layers: layers.iter().map(|it| it.layer.clone()).collect(),
            probability: probabilities[at],
            at_own_size: at_own_size.as_ref().map(|all| all[at]),
            decision: self.card.operating_point.decide(probabilities[at]),
            completeness: completeness.as_ref().map(|all| all[at]),
        };
        Ok(films.into_iter().zip(scaled).enumerate().map(of).collect())
    }
}

#[cfg(test)]
mod tests {
    use image::Luma;
    use tch::{Kind, Tensor};

    use super::*;
    use crate::model::file::untrained;
    use crate::network::Head;
    use crate::preprocess::Fit;

    /// A ramp across the square comes back as the ramp of the film's own columns, whatever the letterbox.
    #[test]
    fn a_map_goes_back_to_the_films_own_pixels_and_bars_are_no_film() {
        for (width, height) in [(300, 120), (90, 512), (224, 224), (40, 31)] {
            for fit in [Fit::Letterbox, Fit::Stretch] {
                let preprocess = Preprocess { size: 64, fit, ..Preprocess::default() };
                let place = preprocess.placement(width, height);
                for cells in [8usize, 64] {
                    let each = (0..cells * cells).map(|at| ((at % cells) as f32 + 0.5) * 64.0 / cells as f32);
                    let map = on_film(&Map::new(cells, cells, each.collect()).unwrap(), &place, 64);
                    assert_eq!((map.width, map.height), (width as usize, height as usize));
                    let (edge, scale) = (32.0 / cells as f64, f64::from(place.width) / f64::from(width));
                    for x in 0..width as usize {
                        let there = f64::from(place.left) + (x as f64 + 0.5) * scale;
                        let want = there.clamp(edge, 64.0 - edge);
                        let got = f64::from(map.values[x]);
                        assert!((got - want).abs() < 1e-4, "{width} x {height} {fit:?} column {x}: {got} {want}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_film_is_explained_at_another_size_and_both_scores_are_told() {
        let model = untrained(Head::Linear { classes: 2 }, 64);
        let film = GrayImage::from_fn(90, 60, |x, y| Luma([(x * 2 + y) as u8]));
        let options = MapOptions { size: Some(96), ..MapOptions::at("features.relu5") };
        let found = model.explain_images(vec![film.clone()], Method::GradCam, &options).unwrap().remove(0);
        assert_eq!((found.map.width, found.size), (3, 96));
        let own = model.explain_images(vec![film], Method::GradCam, &MapOptions::default()).unwrap().remove(0);
        let told = found.at_own_size.unwrap().get();
        assert!((told - own.probability.get()).abs() < 1e-5, "{told} {}", own.probability);
        assert_eq!((own.at_own_size, own.map.width, own.layer().as_str()), (None, 8, "features.denseblock2"));
        let batch = Tensor::zeros([1, 3, 64, 64], (Kind::Float, tch::Device::Cpu));
        assert!(heat_maps(&model.classifier, &batch, Method::GradCam, &MapOptions::at("pooled")).is_err());
    }
}
