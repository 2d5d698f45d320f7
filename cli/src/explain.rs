//! `humerus explain`

use std::path::{Path, PathBuf};

use humerus::dataset;
use humerus::device::DeviceChoice;
use humerus::explain::{self, BoxFile, BoxInfo, FilmCam, MapOptions, Method, Target, boxes, npy};
use humerus::model::Model;
use humerus::notebook::figures;
use humerus::preprocess::decode;
use humerus::{Error, Result, Tally, files};
use serde::Serialize;

use crate::flags;
use crate::output::{self, Bar};

/// Films in memory at a time.
const AT_ONCE: usize = 8;
/// Endings of pictures that are not written; a folder of such a name is hardly meant.
const PICTURES: [&str; 8] = ["jpg", "jpeg", "gif", "bmp", "tif", "tiff", "webp", "dcm"];

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A model file, as `humerus train` writes it
    model: PathBuf,
    /// Films and folders
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// grad-cam, grad-cam++, hires-cam, layer-cam, xgrad-cam, score-cam, ablation-cam, eigen-cam, occlusion,
    /// integrated-gradients, smooth-grad or input-x-gradient
    #[arg(long, default_value_t, value_parser = flags::value::<Method>)]
    method: Method,
    /// A layer whose activations are explained, by torchvision's name, several times for several; `humerus layers`
    /// lists them
    #[arg(long, value_name = "LAYER", default_value = explain::DEFAULT_LAYER)]
    layer: Vec<String>,
    /// What is explained: abnormal or normal (its logit less the other's), logit:abnormal, probability:abnormal
    #[arg(long, default_value_t, value_parser = flags::value::<Target>)]
    target: Target,
    /// Side of the network's input in pixels, for finer maps [default: the size that the model was trained at]
    #[arg(long, value_name = "PIXELS")]
    size: Option<u32>,
    /// Where maps, from 0 to 1, are at or above it there are boxes
    #[arg(long, default_value_t = 0.5)]
    threshold: f32,
    /// The folder to write: for each film its overlay (PNG) and its raw maps (npy) in the film's own pixels, and for
    /// all boxes.json (COCO) and summary.json; or, for one film, the overlay alone
    #[arg(long, value_name = "DIR or FILE.png")]
    out: PathBuf,
    /// auto, cpu or cuda
    #[arg(long, default_value_t, value_parser = flags::value::<DeviceChoice>)]
    device: DeviceChoice,
    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

/// What is said of one film.
#[derive(Serialize)]
struct Explained {
    #[serde(serialize_with = "::files::lossy")]
    path: PathBuf,
    method: &'static str,
    target: String,
    layer: String,
    probability: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    probability_at_own_size: Option<f64>,
    decision: humerus::score::Decision,
    /// Whether the map has anything to show, in words.
    evidence: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    completeness_error: Option<f64>,
    /// Rows and columns of the map over the network's square.
    map: [usize; 2],
    #[serde(serialize_with = "::files::lossy")]
    picture: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "::files::lossy_if_any")]
    raw: Option<PathBuf>,
    boxes: usize,
}

#[derive(Serialize)]
struct Skipped {
    #[serde(serialize_with = "::files::lossy")]
    path: PathBuf,
    reason: String,
}

#[derive(Serialize)]
struct Summary {
    #[serde(serialize_with = "::files::lossy")]
    model: PathBuf,
    size: u32,
    threshold: f32,
    films: Vec<Explained>,
    skipped: Vec<Skipped>,
}

impl Args {
    pub fn run(self) -> Result<()> {
        let single = self.out.extension().is_some_and(|end| end.eq_ignore_ascii_case("png"));
        self.check_out(single)?;
        let model = Model::open(&self.model, self.device)?;
        let options = MapOptions {
            target: self.target.clone(),
            layers: self.layer.clone(),
            size: self.size,
            ..MapOptions::default()
        };
        let (films, mut skipped) = films(&self.paths)?;
        if single && films.len() != 1 {
            let expected = "a folder, where there is more than one film";
            return Err(Error::setting("--out", expected, output::path(&self.out)));
        }
        if !single {
            std::fs::create_dir_all(&self.out).map_err(Error::io(&self.out))?;
        }
        let hit_rate = "not measured on these films; `explain::evidence` measures it where fractures are known";
        let info = BoxInfo {
            description: format!("{} for {} at {}", self.method, self.target, self.layer.join(" + ")),
            threshold: self.threshold,
            hit_rate: hit_rate.to_owned(),
        };
        let mut all_boxes = BoxFile::new(info, self.target.to_string());
        let mut bar = Bar::new("explaining films");
        let (mut told, mut done) = (Vec::new(), 0);
        for some in films.chunks(AT_ONCE) {
            let (mut names, mut images) = (Vec::new(), Vec::new());
            for path in some {
                match decode(path) {
                    Ok(image) => {
                        names.push(path);
                        images.push(image);
                    }
                    Err(error) => skipped.push(Skipped { path: path.clone(), reason: error.to_string() }),
                }
            }
            if !images.is_empty() {
                let cams = model.explain_images(images, self.method, &options).map_err(|it| self.named(it))?;
                for (path, cam) in names.into_iter().zip(cams) {
                    told.push(self.write(path, &cam, told.len() + 1, single, &mut all_boxes)?);
                }
            }
            done += some.len();
            bar.at(Tally { done, of: films.len() });
        }
        drop(bar);
        let size = self.size.unwrap_or(model.card.preprocess.size);
        let summary = Summary { model: self.model.clone(), size, threshold: self.threshold, films: told, skipped };
        if !single {
            for (name, text) in [
                ("boxes.json", serde_json::to_string_pretty(&all_boxes)),
                ("summary.json", serde_json::to_string_pretty(&summary)),
            ] {
                let path = self.out.join(name);
                let text = text.map_err(|error| Error::io(&path)(error.into()))?;
                files::keep_inputs(&path, &self.inputs())?;
                ::files::write_atomically(&path, text.as_bytes())?;
            }
        }
        self.tell(&summary, single)
    }

    /// Says what was written, and ends in an error if a film could not be read.
    fn tell(&self, summary: &Summary, single: bool) -> Result<()> {
        match (self.json, single) {
            (true, true) if !summary.films.is_empty() => output::json(&summary.films[0])?,
            (true, _) => output::json(summary)?,
            (false, _) => {
                for film in &summary.films {
                    let Explained { decision, method, target, layer, evidence, .. } = film;
                    let (probability, path) = (film.probability, output::path(&film.path));
                    let how = format!("{method} for {target} at {layer} in {}", output::path(&film.picture));
                    output::text(format_args!("{probability:.3}  {decision:<8}  {path}: {how}, {evidence}"))?;
                }
                for Skipped { path, reason } in &summary.skipped {
                    output::text(format_args!("skipped {}: {reason}", output::path(path)))?;
                }
            }
        }
        let named = summary.skipped.iter().find(|it| self.paths.contains(&it.path));
        match named {
            None => Ok(()),
            Some(Skipped { path, reason }) => {
                let got = format!("{}, {reason}", output::path(path));
                Err(Error::setting("films", "ones that can be read", got))
            }
        }
    }

    fn check_out(&self, single: bool) -> Result<()> {
        let ending = self.out.extension().map(|end| end.to_string_lossy().to_lowercase());
        let picture = ending.is_some_and(|end| PICTURES.contains(&end.as_str()));
        let is_file = self.out.exists() && !self.out.is_dir();
        if self.out.as_os_str() == "-" || picture || (!single && is_file) {
            let expected = "a folder, or for one film a name that ends in .png";
            return Err(Error::setting("--out", expected, output::path(&self.out)));
        }
        if !(0.0..=1.0).contains(&self.threshold) {
            return Err(Error::setting("--threshold", "0 to 1", self.threshold));
        }
        files::keep_inputs(&self.out, &self.inputs())
    }

    /// Files that are read and must not be written.
    fn inputs(&self) -> Vec<&Path> {
        [&self.model].into_iter().chain(&self.paths).filter(|path| !path.is_dir()).map(PathBuf::as_path).collect()
    }

    fn write(
        &self,
        path: &Path,
        cam: &FilmCam,
        number: usize,
        single: bool,
        all_boxes: &mut BoxFile,
    ) -> Result<Explained> {
        let on_film = cam.on_film();
        let found = boxes(&on_film, self.threshold);
        let stem = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy();
        let place = |ending: &str| match single {
            true => self.out.clone(),
            false => self.out.join(format!("{number:04}-{stem}.{ending}")),
        };
        let picture = place("png");
        files::keep_inputs(&picture, &[&self.model, path])?;
        figures::film_cam(cam)?.save(&picture)?;
        let raw = if single { None } else { Some(place("npy")) };
        if let Some(file) = &raw {
            let maps: Vec<_> = (0..cam.layers.len()).filter_map(|layer| cam.raw_on_film(layer)).collect();
            ::files::write_atomically(file, &npy(&maps)?)?;
        }
        all_boxes.add(path.to_string_lossy(), [on_film.width, on_film.height], &found);
        Ok(Explained {
            path: path.to_owned(),
            method: self.method.name(),
            target: cam.target.clone(),
            layer: cam.layer(),
            probability: cam.probability.get(),
            probability_at_own_size: cam.at_own_size.map(|it| it.get()),
            decision: cam.decision,
            evidence: cam.evidence.to_string(),
            completeness_error: cam.completeness.map(|it| it.error()),
            map: [cam.map.height, cam.map.width],
            picture,
            raw,
            boxes: found.len(),
        })
    }

    /// An error in the words of the options.
    fn named(&self, error: Error) -> Error {
        match error {
            Error::NoSuchLayer { layer, example } => {
                let lists = format!("humerus layers {}", self.model.display());
                Error::setting("--layer", format!("one that `{lists}` prints, such as {example}"), layer)
            }
            Error::Shape { what: "layer", got, .. } => {
                let expected = format!("one that `humerus layers {}` prints", self.model.display());
                Error::setting(
                    "--layer",
                    expected,
                    format!("{}, whose output is of shape {got:?}", self.layer.join(", ")),
                )
            }
            other => flags::named(other, &[("target", "--target"), ("size", "--size"), ("method", "--method")]),
        }
    }
}

/// The films that paths name, those of folders among them, and what is none.
fn films(paths: &[PathBuf]) -> Result<(Vec<PathBuf>, Vec<Skipped>)> {
    let (mut films, mut skipped) = (Vec::new(), Vec::new());
    for path in paths {
        if !path.is_dir() {
            films.push(path.clone());
            continue;
        }
        let (found, others) = dataset::loose_films(path)?;
        films.extend(found);
        skipped.extend(others.into_iter().map(|it| Skipped { path: it.path, reason: it.reason.to_string() }));
    }
    Ok((films, skipped))
}
