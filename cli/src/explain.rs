//! `humerus explain`

use std::path::PathBuf;

use humerus::device::DeviceChoice;
use humerus::model::Model;
use humerus::notebook::figures;
use humerus::{Error, Label, Result, explain, files};
use serde::Serialize;

use crate::flags;
use crate::output::{self, Bar};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A model file, as `humerus train` writes it
    model: PathBuf,
    /// A film
    image: PathBuf,
    /// The layer whose activations are explained, by torchvision's name; `humerus layers` lists them
    #[arg(long, default_value = explain::DEFAULT_LAYER)]
    layer: String,
    /// The picture to write: the heat map for *abnormal* over the film
    #[arg(long, value_name = "FILE.png")]
    out: PathBuf,
    /// auto, cpu or cuda
    #[arg(long, default_value_t, value_parser = flags::value::<DeviceChoice>)]
    device: DeviceChoice,
    /// Print one JSON object instead of a line
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Explained {
    #[serde(serialize_with = "::files::lossy")]
    path: PathBuf,
    layer: String,
    class: Label,
    probability: f64,
    decision: humerus::score::Decision,
    map: [usize; 2],
    #[serde(serialize_with = "::files::lossy")]
    picture: PathBuf,
}

impl Args {
    pub fn run(self) -> Result<()> {
        if !self.out.extension().is_some_and(|end| end.eq_ignore_ascii_case("png")) {
            return Err(Error::setting("--out", "a name that ends in .png", output::path(&self.out)));
        }
        files::keep_inputs(&self.out, &[&self.model, &self.image])?;
        let bar = Bar::spinner("reading the model and the film");
        let model = Model::open(&self.model, self.device)?;
        let cam = model.explain_at(&self.image, Label::Abnormal, &self.layer).map_err(|error| match error {
            Error::NoSuchLayer { layer, example } => {
                let lists = format!("humerus layers {}", self.model.display());
                Error::setting("--layer", format!("one that `{lists}` prints, such as {example}"), layer)
            }
            Error::Shape { what: "layer", got, .. } => {
                let expected = format!("one that `humerus layers {}` prints", self.model.display());
                Error::setting("--layer", expected, format!("{}, whose output is of shape {got:?}", self.layer))
            }
            other => other,
        })?;
        let size = [cam.map.height, cam.map.width];
        figures::film_cam(&cam)?.save(&self.out)?;
        drop(bar);
        if !self.json {
            return output::text(format_args!(
                "{}  {}  heat map of {} at {} in {}",
                cam.probability,
                cam.decision,
                cam.class,
                cam.layer,
                output::path(&self.out)
            ));
        }
        output::json(&Explained {
            path: self.image,
            layer: cam.layer,
            class: cam.class,
            probability: cam.probability.get(),
            decision: cam.decision,
            map: size,
            picture: self.out,
        })
    }
}
