//! One film under all its heat maps, to be leafed through: a page by itself, which needs neither a kernel nor the net.

use std::fmt::Write;
use std::io::Cursor;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{DynamicImage, ImageFormat, Rgba, RgbaImage, imageops};
use serde_json::json;

use crate::error::{Error, Result};
use crate::explain::{Evidence, FilmCam, MapOptions, Method};
use crate::files::write_atomically;
use crate::model::Model;
use render::{Colours, escaped};

/// The longer side of film and maps on the page, in pixels.
const SIDE: u32 = 480;
/// That of the maps, which are smooth, before the page enlarges them.
const MAP_SIDE: u32 = 160;
/// Marks in the page's text that are filled in.
const MARKS: [&str; 4] = ["{{TITLE}}", "{{COLOURS}}", "{{FILM}}", "{{METHODS}}"];

/// A page with one film: a slider over the layers, one for the opacity, and a choice of the methods, all of which can
/// be reached by keyboard.
#[derive(Clone)]
pub struct Viewer {
    html: String,
    words: String,
}

impl std::fmt::Debug for Viewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Viewer of {} bytes: {}", self.html.len(), self.words)
    }
}

impl Viewer {
    /// The page, whole: style, script and pictures are in it.
    pub fn html(&self) -> &str {
        &self.html
    }

    /// What it shows, in words.
    pub fn words(&self) -> &str {
        &self.words
    }

    /// The page in a frame of its own, for a cell among others.
    pub fn frame(&self) -> String {
        format!(
            "<iframe title=\"{}\" sandbox=\"allow-scripts\" style=\"width:100%;height:600px;border:0\" srcdoc=\"{}\">\
             </iframe>",
            escaped(&self.words),
            // A page's lines stay lines.
            self.html.replace('&', "&amp;").replace('"', "&quot;")
        )
    }

    /// Writes the page to a file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        Ok(write_atomically(path.as_ref(), self.html.as_bytes())?)
    }
}

/// A film under its heat maps by each method, at each layer where the method looks through layers.
///
/// # Errors
/// [`Error::Setting`] if no method or layer is named; those of [`Model::explain_with`].
pub fn viewer(
    model: &Model,
    film: impl AsRef<Path>,
    methods: &[Method],
    layers: &[&str],
    options: &MapOptions,
) -> Result<Viewer> {
    let mut groups = Vec::new();
    for &method in methods {
        let layers = if method.is_of_layers() { layers } else { &layers[..layers.len().min(1)] };
        let at = |layer: &&str| {
            let options = MapOptions { layers: vec![(*layer).to_owned()], ..options.clone() };
            model.explain_with(film.as_ref(), method, &options)
        };
        groups.push((method, layers.iter().map(at).collect::<Result<Vec<_>>>()?));
    }
    page(&groups)
}

fn page(groups: &[(Method, Vec<FilmCam>)]) -> Result<Viewer> {
    let Some(first) = groups.iter().find_map(|(_, cams)| cams.first()) else {
        return Err(Error::setting("methods and layers", "at least one of each", "none"));
    };
    let [film, small] = [SIDE, MAP_SIDE].map(|side| {
        let (width, height) = first.film.dimensions();
        let share = (f64::from(side) / f64::from(width.max(height))).min(1.0);
        [width, height].map(|it| ((f64::from(it) * share).round() as u32).max(1))
    });
    let grey = imageops::resize(&first.film, film[0], film[1], imageops::FilterType::Triangle);
    let colours = Colours::default();
    let mut described = Vec::new();
    for (method, cams) in groups {
        let mut maps = Vec::new();
        for cam in cams {
            let picture = match cam.evidence {
                Evidence::Found => Some(uri(overlay(cam, small, colours).into())?),
                _ => None,
            };
            let words = format!("{}; called {} ({})", cam.title(), cam.decision, cam.probability);
            maps.push(json!({ "layer": cam.layer(), "words": words, "picture": picture }));
        }
        described.push(json!({ "name": method.name(), "maps": maps }));
    }
    let names: Vec<&str> = groups.iter().map(|(method, _)| method.name()).collect();
    let words = format!("heat maps for {} of one film by {}", first.target, names.join(", "));
    let mut stops = String::new();
    for step in 0..=10 {
        let [r, g, b] = colours.at(step as f32 / 10.0).0;
        let comma = if step == 0 { "" } else { ", " };
        let _ = write!(stops, "{comma}rgb({r} {g} {b})");
    }
    // Nothing in the JSON may end the script.
    let methods = serde_json::Value::from(described).to_string().replace('<', "\\u003c");
    let values = [escaped(&words), stops, uri(grey.into())?, methods];
    let mut html = include_str!("viewer.html").to_owned();
    for (mark, value) in MARKS.iter().zip(&values) {
        html = html.replace(mark, value);
    }
    Ok(Viewer { html, words })
}

/// The map in its colours over the film, clear where it is 0.
fn overlay(cam: &FilmCam, [width, height]: [u32; 2], colours: Colours) -> RgbaImage {
    let map = cam.on_film().resized(width as usize, height as usize);
    RgbaImage::from_fn(width, height, |x, y| {
        let value = map.values[(y * width + x) as usize].clamp(0.0, 1.0);
        let [r, g, b] = colours.at(value).0;
        Rgba([r, g, b, (255.0 * (0.3 + 0.7 * value)) as u8])
    })
}

/// A picture as a data URI.
fn uri(image: DynamicImage) -> Result<String> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).map_err(|error| Error::Figure(error.to_string()))?;
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(bytes.into_inner())))
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma};

    use super::*;
    use crate::model::file::untrained;
    use crate::network::Head;

    #[test]
    fn the_page_holds_every_map_and_reaches_for_nothing_outside() {
        let folder = tempfile::tempdir().unwrap();
        let film = folder.path().join("film.png");
        GrayImage::from_fn(90, 60, |x, y| Luma([(2 * x + y) as u8])).save(&film).unwrap();
        let model = untrained(Head::Linear { classes: 2 }, 64);
        let layers = ["features.denseblock3", "features.relu5"];
        let methods = [Method::GradCam, Method::HiResCam, Method::InputTimesGradient];
        let found = viewer(&model, &film, &methods, &layers, &MapOptions::default()).unwrap();
        let html = found.html();
        assert_eq!(html.matches("\"layer\":").count(), 5, "two methods at two layers, one of pixels");
        assert!(!html.contains("http") && !MARKS.iter().any(|mark| html.contains(mark)), "{found:?}");
        let (_, rest) = html.split_once("const methods = ").unwrap();
        let (json, _) = rest.split_once(";\n").unwrap();
        let read: serde_json::Value = serde_json::from_str(json).unwrap();
        let map = &read[1]["maps"][1];
        assert_eq!((read[1]["name"].as_str(), map["layer"].as_str()), (Some("hires-cam"), Some(layers[1])));
        assert!(map["words"].as_str().unwrap().starts_with("hires-cam for abnormal at features.relu5"), "{map}");
        for control in ["<select id=\"method\"", "id=\"layer\" type=\"range\"", "id=\"opacity\" type=\"range\""] {
            assert!(html.contains(control), "{control}");
        }
        let frame = found.frame();
        assert!(
            frame.starts_with("<iframe title=\"heat maps for abnormal of one film by grad-cam, "),
            "{}",
            &frame[..99]
        );
        let (_, inside) = frame.split_once("srcdoc=\"").unwrap();
        let (inside, _) = inside.split_once('"').unwrap();
        assert_eq!(inside.replace("&quot;", "\"").replace("&amp;", "&"), html);
        let path = folder.path().join("page.html");
        found.save(&path).unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), html);
        assert!(viewer(&model, &film, &[], &layers, &MapOptions::default()).is_err());
    }
}
