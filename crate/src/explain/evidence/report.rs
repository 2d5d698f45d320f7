//! Everything that tells whether maps mean something, over the films of a report.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use image::GrayImage;
use serde::Serialize;
use tch::Tensor;

use super::strata::Truths;
use super::{
    Cascade, Chance, Independence, Mean, Placed, Removal, best_threshold, cascade, independence, placed, removal_curve,
    road,
};
use crate::dataset;
use crate::error::{Error, Result};
use crate::explain::activation::maps;
use crate::explain::{Evidence, FilmCam, MapOptions, Method, heat_maps};
use crate::model::Model;
use crate::network::Classifier;
use crate::preprocess::{Preprocess, decode};
use crate::score::{self, Report, ViewScore};
use metrics::Probability;
use render::Map;

/// The threshold of the IoU where no tune films are there to choose one.
const UNTUNED: f32 = 0.5;
/// The shares of the pixels at which ROAD looks.
const ROAD_SHARES: [f64; 4] = [0.2, 0.4, 0.6, 0.8];

/// How the evidence is gathered.
#[derive(Debug, Clone)]
pub struct EvidenceOptions {
    /// How maps come about. Default Grad-CAM.
    pub method: Method,
    /// What they are asked for.
    pub maps: MapOptions,
    /// True positives with a known fracture that are looked at, at most. Default 100.
    pub films: usize,
    /// Films of the randomisation test, at most; 0 leaves it out. Default 16.
    pub randomised: usize,
    /// Films whose pixels are removed, at most; 0 leaves it out. Default 16.
    pub removed: usize,
    /// Steps of deletion and insertion, 1 or more. Default 10.
    pub steps: usize,
}

impl Default for EvidenceOptions {
    fn default() -> Self {
        EvidenceOptions {
            method: Method::default(),
            maps: MapOptions::default(),
            films: 100,
            randomised: 16,
            removed: 16,
            steps: 10,
        }
    }
}

/// The figures of one kind of map.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// The method, the method of a network with random weights, or what chance gives.
    pub whose: String,
    /// The pointing game's hit rate.
    pub hit: Mean,
    /// Share of the energy in the dilated mask.
    pub energy: Mean,
    /// That over the uniform map's.
    pub times_uniform: Option<f64>,
    /// IoU with the mask at the report's threshold.
    pub iou: Mean,
    /// Area below the deletion curve of the probability: low is good. None where no pixels were removed.
    pub deletion: Option<Mean>,
    /// Area below the insertion curve: high is good.
    pub insertion: Option<Mean>,
    /// ROAD's score: high is good, 0 is chance.
    pub road: Option<Mean>,
}

/// Whether maps mean something.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvidenceReport {
    /// How the maps came about.
    pub method: String,
    /// What they explain.
    pub target: String,
    /// The layers that were looked through.
    pub layers: String,
    /// Side of the network's input in pixels.
    pub size: u32,
    /// True positives with a known fracture.
    pub films: usize,
    /// Of these, films whose map has nothing to show.
    pub without_evidence: usize,
    /// The threshold of the IoU.
    pub threshold: f32,
    /// The tune films that it was chosen on; 0 if it was not.
    pub tuned_on: usize,
    /// The method first, then random weights, then what chance gives.
    pub figures: Vec<Figures>,
    /// Kinds of films: the method's hit rate, and the uniform map's.
    pub strata: Vec<(String, Mean, Mean)>,
    /// The randomisation test.
    pub cascade: Option<Cascade>,
    /// Whether maps depend on the film.
    pub independence: Independence,
}

/// One film with all that is asked of it.
struct Case<'a> {
    score: &'a ViewScore,
    patient: &'a str,
    cam: FilmCam,
    square: GrayImage,
    mask: GrayImage,
}

/// The abnormal films that were called so and whose fracture the data set knows, with their maps.
fn cases<'a>(model: &Model, report: &'a Report, options: &EvidenceOptions) -> Result<Vec<Case<'a>>> {
    let patients: HashMap<&str, &str> =
        report.studies.iter().map(|study| (study.study.as_str(), study.group.as_str())).collect();
    let known = |v: &&ViewScore| v.view.mask.is_some() || !v.view.findings.is_empty();
    let chosen: Vec<_> = report.views.iter().filter(|it| it.is_hit()).filter(known).take(options.films).collect();
    let size = options.maps.size.unwrap_or(model.card.preprocess.size);
    let preprocess = Preprocess { size, ..model.card.preprocess.clone() };
    let mut cases = Vec::new();
    for scores in chosen.chunks(options.maps.chunk.max(1)) {
        let films = scores.iter().map(|score| decode(&score.path)).collect::<Result<Vec<_>, _>>()?;
        for (score, cam) in scores.iter().zip(model.explain_images(films, options.method, &options.maps)?) {
            let mask = dataset::fracture_mask(&score.view)?
                .ok_or_else(|| Error::setting("film", "a known fracture", score.path.display()))?;
            cases.push(Case {
                score,
                patient: patients.get(score.study.as_str()).copied().unwrap_or(&score.study),
                square: preprocess.square(&cam.film),
                mask: preprocess.mask(&mask),
                cam,
            });
        }
    }
    Ok(cases)
}

/// Gathers everything over the true positives of `held_out`; the threshold of the IoU is chosen on those of `tune`,
/// which should be other films.
///
/// # Errors
/// [`Error::Setting`] for options out of their ranges, [`Error::NoSuchLayer`], [`Error::Decode`]. Without a true
/// positive the report says that there is none.
pub fn evidence(
    model: &Model,
    held_out: &Report,
    tune: Option<&Report>,
    options: &EvidenceOptions,
) -> Result<EvidenceReport> {
    let found = cases(model, held_out, options)?;
    let mut report = EvidenceReport {
        method: options.method.to_string(),
        target: options.maps.target.to_string(),
        layers: if options.method.is_of_layers() { options.maps.layers.join(" + ") } else { "input".to_owned() },
        size: options.maps.size.unwrap_or(model.card.preprocess.size),
        films: found.len(),
        without_evidence: found.iter().filter(|of| of.cam.evidence != Evidence::Found).count(),
        threshold: UNTUNED,
        tuned_on: 0,
        figures: Vec::new(),
        strata: Vec::new(),
        cascade: None,
        independence: independence(&found.iter().map(|of| of.cam.map.clone()).collect::<Vec<_>>()),
    };
    if found.is_empty() {
        return Ok(report);
    }
    let on = |of: &Case, map: &Map| placed(map, &of.mask, &of.cam.placement);
    let tuned = match tune {
        Some(tune) => cases(model, tune, options)?.iter().map(|of| on(of, &of.cam.map)).collect::<Result<Vec<_>>>()?,
        None => Vec::new(),
    };
    let threshold = best_threshold(&tuned).unwrap_or(UNTUNED);
    (report.threshold, report.tuned_on) = (threshold, tuned.len());
    let films: Vec<GrayImage> = found.iter().map(|of| of.square.clone()).collect();
    let preprocess = Preprocess { size: report.size, ..model.card.preprocess.clone() };
    let batch = preprocess.tensor(&films)?.to_device(model.classifier.device());
    let mut kinds: Vec<(String, Vec<Map>)> =
        vec![(options.method.to_string(), found.iter().map(|of| of.cam.map.clone()).collect())];
    kinds.push(("random weights".to_owned(), at_random(model, &batch, options)?));
    for chance in Chance::ALL {
        let map = |(number, of): (usize, &Case)| {
            let cells = [of.cam.map.width, of.cam.map.height];
            chance.map(cells, &of.square, &of.cam.placement, number as u64)
        };
        kinds.push((chance.to_string(), found.iter().enumerate().map(map).collect()));
    }
    let patients: Vec<&str> = found.iter().map(|of| of.patient).collect();
    let mut by_kind = Vec::new();
    for (whose, maps) in kinds {
        let all: Vec<Placed> = found.iter().zip(&maps).map(|(of, map)| on(of, map)).collect::<Result<_>>()?;
        let mean = |of: &dyn Fn(&Placed) -> f64| Mean::of(&all.iter().map(of).collect::<Vec<_>>(), &patients);
        let removed = removal(model, &batch, &found, &maps, &patients, options)?;
        let (deletion, insertion, road) = removed.map_or((None, None, None), |[d, i, r]| (Some(d), Some(i), Some(r)));
        report.figures.push(Figures {
            whose,
            hit: mean(&|it| it.hit),
            energy: mean(&|it| it.energy),
            times_uniform: None,
            iou: mean(&|it| it.iou_at(threshold).unwrap_or(0.0)),
            deletion,
            insertion,
            road,
        });
        by_kind.push(all);
    }
    let uniform = report.figures[2].energy.value;
    for row in &mut report.figures {
        row.times_uniform = row.energy.value.zip(uniform).and_then(|(energy, by)| (by > 0.0).then(|| energy / by));
    }
    report.strata = strata(&found, &by_kind);
    let n = (options.randomised.min(found.len())) as i64;
    if n >= 2 {
        report.cascade = Some(cascade(&model.classifier, &batch.narrow(0, 0, n), options.method, &options.maps)?);
    }
    Ok(report)
}

/// The maps of a network of the same form with random weights.
fn at_random(model: &Model, batch: &Tensor, options: &EvidenceOptions) -> Result<Vec<Map>> {
    let own = &model.classifier;
    let (architecture, channels) = (own.architecture(), own.channels() as u8);
    let random = Classifier::with_channels(architecture, channels, own.head(), options.maps.seed + 1, own.device());
    maps(&heat_maps(&random, batch, options.method, &options.maps)?.scaled(), "heat map")
}

/// Deletion, insertion and ROAD of the first films.
fn removal(
    model: &Model,
    batch: &Tensor,
    cases: &[Case],
    maps: &[Map],
    patients: &[&str],
    options: &EvidenceOptions,
) -> Result<Option<[Mean; 3]>> {
    let n = options.removed.min(cases.len());
    if n == 0 {
        return Ok(None);
    }
    let mut probability = |films: &Tensor| {
        Ok(score::abnormal(&model.logits(films)?, model.card.temperature.value)?
            .into_iter()
            .map(Probability::get)
            .collect::<Vec<_>>())
    };
    let mut values = [const { Vec::new() }; 3];
    for (at, (case, map)) in cases.iter().zip(maps).take(n).enumerate() {
        let film = batch.get(at as i64);
        let nothing = film.zeros_like();
        let place = &case.cam.placement;
        for (values, removal) in values.iter_mut().zip([Removal::Deletion, Removal::Insertion]) {
            let curve = removal_curve(&mut probability, (&film, &nothing), map, place, removal, options.steps)?;
            values.push(curve.area());
        }
        values[2].push(road(&mut probability, &film, map, place, &ROAD_SHARES)?.score());
    }
    Ok(Some(values.map(|all| Mean::of(&all, &patients[..n]))))
}

/// The method's hits and the uniform map's, by kind of film.
fn strata(cases: &[Case], by_kind: &[Vec<Placed>]) -> Vec<(String, Mean, Mean)> {
    /// Hits of the method, of the uniform map, and the patients.
    type Hits<'a> = (Vec<f64>, Vec<f64>, Vec<&'a str>);
    let mut truths = Truths::default();
    let mut strata: BTreeMap<String, Hits> = BTreeMap::new();
    for (at, case) in cases.iter().enumerate() {
        let pixels = f64::from(case.cam.placement.width * case.cam.placement.height);
        let covered = case.mask.iter().filter(|it| **it >= 128).count() as f64;
        for stratum in truths.of(case.score, covered / pixels) {
            let (method, uniform, patients) = strata.entry(stratum).or_default();
            method.push(by_kind[0][at].hit);
            uniform.push(by_kind[2][at].hit);
            patients.push(case.patient);
        }
    }
    let means = |(name, (method, uniform, patients)): (String, Hits)| {
        (name, Mean::of(&method, &patients), Mean::of(&uniform, &patients))
    };
    strata.into_iter().map(means).collect()
}

impl EvidenceReport {
    /// The method's own figures; none where there was no film.
    pub fn of_method(&self) -> Option<&Figures> {
        self.figures.first()
    }
}

impl fmt::Display for EvidenceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EvidenceReport { method, target, layers, size, films, without_evidence, threshold, tuned_on, .. } = self;
        writeln!(f, "{method} for {target} at {layers}, input of {size} pixels, {films} true positives")?;
        if *films == 0 {
            return f.write_str("no true positive with a known fracture");
        }
        if *without_evidence > 0 {
            writeln!(f, "{without_evidence} of them without positive evidence")?;
        }
        match tuned_on {
            0 => writeln!(f, "IoU at {threshold}, which no tune films have chosen")?,
            n => writeln!(f, "IoU at {threshold}, chosen on {n} tune films")?,
        }
        for row in &self.figures {
            let times = row.times_uniform.map_or("–".to_owned(), |it| format!("{it:.1}"));
            write!(f, "{}: hit rate {}, energy {} ({times} times uniform), ", row.whose, row.hit, row.energy)?;
            write!(f, "IoU {}", row.iou)?;
            if let (Some(deletion), Some(insertion), Some(road)) = (row.deletion, row.insertion, row.road) {
                write!(f, ", deletion {deletion}, insertion {insertion}, ROAD {road}")?;
            }
            writeln!(f)?;
        }
        for (name, hit, uniform) in &self.strata {
            writeln!(f, "{name}, {} films: hit rate {hit}, uniform map {uniform}", hit.films)?;
        }
        if let Some(cascade) = &self.cascade {
            writeln!(f, "{cascade}")?;
        }
        write!(f, "{}", self.independence)
    }
}
