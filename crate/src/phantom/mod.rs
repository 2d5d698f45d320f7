//! Radiographs of a humerus made by simulation, with the truth about each fracture.
//!
//! A parallel beam passes a three-dimensional arm (a lofted shaft with cortex and medullary canal, head, condyles,
//! neighbouring bones, fat, muscle, chest) and is weakened by Beer–Lambert's law, `I = I₀ exp(-Σ μ L)`, with the attenuation
//! coefficients that NIST tabulates (Hubbell and Seltzer, NISTIR 5632) at 40 keV, near the mean of a 65 kV beam. Path lengths are chords of ellipses, so a
//! film costs a few dozen square roots a pixel. Then come focal-spot blur, scatter, quantum noise, the logarithm and a
//! digital system's window. They are stylised: good to learn a network's workings on, not to learn medicine from.
//!
//! Every study depends on the seed and its own number alone; the films are drawn from a stream that does not know whether
//! a fracture will be in them, so nothing but the fracture tells the label.

mod anatomy;
mod body;
mod detector;
mod draw;
mod film;
mod fracture;
mod geometry;
mod marker;
mod setup;
mod write;

use image::{GrayImage, Luma};
use serde::{Deserialize, Serialize};

use crate::study::Label;
use crate::{Error, Result};
use anatomy::Anatomy;
use draw::{Draw, Purpose};
use film::Texture;
use fracture::Fragments;
use setup::Setup;

pub use fracture::{Fracture, FractureKind};
pub use write::{PhantomSet, write};

/// Linear attenuation at 40 keV, per millimetre, of ICRU-44 tissues: `μ/ρ` in cm²/g times the density in g/cm³.
const MU_CORTICAL: f32 = 0.6655 * 1.92 / 10.0;
const MU_MUSCLE: f32 = 0.2688 * 1.05 / 10.0;
const MU_FAT: f32 = 0.2396 * 0.95 / 10.0;
const MU_LUNG: f32 = 0.2699 * 0.26 / 10.0;

/// How phantoms are drawn. Saved beside the films.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PhantomConfig {
    /// Studies in the set, at least 1. Default 200.
    pub studies: usize,
    /// Decides everything; the same seed gives the same bytes. Default 0.
    pub seed: u64,
    /// Pixels of each film's longest side, `64..=2048`. Default 512, as in MURA.
    pub longest_side: u32,
    /// Share of the studies held out as *valid*, `0.0..1.0`; whole patients of either label. Default 0.25.
    pub valid_fraction: f64,
    /// Share of studies with a fracture, `0.0..=1.0`, exact to one in ten studies. Default 0.5.
    pub abnormal_fraction: f64,
    /// Share of fractures that are hardly displaced, `0.0..=1.0`. Default 0.1.
    pub subtle_fraction: f64,
    /// Quanta a square millimetre of film in an empty beam, `100..=1e7`; each film varies by half and more. Default 20000.
    pub fluence: f32,
}

impl Default for PhantomConfig {
    fn default() -> PhantomConfig {
        PhantomConfig {
            studies: 200,
            seed: 0,
            longest_side: 512,
            valid_fraction: 0.25,
            abnormal_fraction: 0.5,
            subtle_fraction: 0.1,
            fluence: 20_000.0,
        }
    }
}

impl PhantomConfig {
    /// Checks every range given above.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first field out of its range.
    pub fn validate(&self) -> Result<()> {
        let check = |ok: bool, what: &'static str, expected: &str, got: String| {
            if ok { Ok(()) } else { Err(Error::setting(what, expected, got)) }
        };
        let share = |x: f64| (0.0..=1.0).contains(&x);
        check((1..=99_999).contains(&self.studies), "studies", "1 to 99999", self.studies.to_string())?;
        check(
            (64..=2048).contains(&self.longest_side),
            "longest_side",
            "64 to 2048 pixels",
            self.longest_side.to_string(),
        )?;
        check(
            (0.0..1.0).contains(&self.valid_fraction),
            "valid_fraction",
            "0 up to, but not, 1",
            self.valid_fraction.to_string(),
        )?;
        check(share(self.abnormal_fraction), "abnormal_fraction", "0 to 1", self.abnormal_fraction.to_string())?;
        check(share(self.subtle_fraction), "subtle_fraction", "0 to 1", self.subtle_fraction.to_string())?;
        check((100.0..=1e7).contains(&self.fluence), "fluence", "100 to 1e7 quanta per mm²", self.fluence.to_string())
    }
}

/// From where the beam comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Projection {
    /// From the front.
    Ap,
    /// From the side, the elbow bent.
    Lateral,
    /// Half-way between.
    Oblique,
}

/// One simulated examination.
#[derive(Debug, Clone)]
pub struct PhantomStudy {
    /// Its number, from 0.
    pub number: usize,
    /// The patient's number, from 1. One patient in nine has two studies.
    pub patient: usize,
    /// The study's number within the patient, 1 or 2.
    pub visit: usize,
    /// Abnormal where there is a fracture.
    pub label: Label,
    /// The fracture, in abnormal studies.
    pub fracture: Option<Fracture>,
    /// One to four films of the same bones.
    pub views: Vec<PhantomView>,
}

/// One film with its truth.
#[derive(Debug, Clone)]
pub struct PhantomView {
    /// 8-bit grey, bone bright, air dark; its longest side is [`PhantomConfig::longest_side`].
    pub image: GrayImage,
    /// Same size, 255 where the fracture is: the gap and the bone ends beside it. Abnormal studies only.
    pub mask: Option<GrayImage>,
    /// The mask's extent, `[x, y, width, height]` in pixels.
    pub bounding_box: Option<[u32; 4]>,
    /// From where the beam came.
    pub projection: Projection,
}

/// Draws study `number` of the set that `config` describes.
///
/// Depends on the seed, the number and the fields about films and fractures, not on [`PhantomConfig::studies`] or
/// [`PhantomConfig::valid_fraction`]. Call [`PhantomConfig::validate`] first: values out of range give meaningless films.
///
/// # Example
/// ```
/// use humerus::phantom::{self, PhantomConfig};
///
/// let config = PhantomConfig { longest_side: 96, ..PhantomConfig::default() };
/// let study = phantom::study(&config, 3);
/// assert!((1..=4).contains(&study.views.len()));
/// assert_eq!(study.fracture.is_some(), study.views[0].mask.is_some());
/// ```
pub fn study(config: &PhantomConfig, number: usize) -> PhantomStudy {
    let plan = Plan::new(config, number);
    let views = plan
        .setups
        .iter()
        .enumerate()
        .map(|(i, setup)| {
            let noise = Draw::new(config.seed, Purpose::Noise, (number * 8 + i) as u64);
            view(&plan, setup, noise)
        })
        .collect();
    let (patient, visit) = patient(number);
    PhantomStudy { number, patient, visit, label: label(config, number), fracture: plan.fracture, views }
}

/// A study before its films are exposed.
#[derive(Debug)]
struct Plan {
    anatomy: Anatomy,
    texture: Texture,
    setups: Vec<Setup>,
    fracture: Option<Fracture>,
    fragments: Fragments,
}

impl Plan {
    fn new(config: &PhantomConfig, number: usize) -> Plan {
        let (patient, _) = patient(number);
        let anatomy = Anatomy::draw(&mut Draw::new(config.seed, Purpose::Anatomy, patient as u64));
        let mut films = Draw::new(config.seed, Purpose::Films, number as u64);
        let site = fracture::site(&mut films);
        let texture = Texture::draw(&mut films);
        let setups = setup::films(config, &anatomy, site, &mut films);
        let (fracture, fragments) = match label(config, number) {
            Label::Normal => (None, Fragments::whole()),
            Label::Abnormal => {
                let mut stream = Draw::new(config.seed, Purpose::Fracture, number as u64);
                let (fracture, fragments) = fracture::draw(config, &anatomy, site, &mut stream);
                (Some(fracture), fragments)
            }
        };
        Plan { anatomy, texture, setups, fracture, fragments }
    }
}

fn view(plan: &Plan, setup: &Setup, mut noise: Draw) -> PhantomView {
    let shadow = film::cast(&plan.anatomy, &plan.fragments, setup, &plan.texture);
    let open = detector::open_field(setup);
    let mask = plan.fracture.as_ref().map(|_| mask(&shadow.fractured, &open, setup));
    PhantomView {
        bounding_box: mask.as_ref().and_then(extent),
        mask,
        image: detector::develop(shadow.attenuation, &open, &plan.anatomy, setup, &mut noise),
        projection: setup.projection,
    }
}

/// White where the ray passes the fracture zone and the collimator lets at least half of the beam through.
fn mask(fractured: &[bool], open: &[f32], setup: &Setup) -> GrayImage {
    let mut mask = GrayImage::new(setup.width, setup.height);
    for ((pixel, &fractured), &open) in mask.iter_mut().zip(fractured).zip(open) {
        *pixel = if fractured && open >= 0.5 { 255 } else { 0 };
    }
    mask
}

/// `[x, y, width, height]` of what is white, if anything is.
fn extent(mask: &GrayImage) -> Option<[u32; 4]> {
    let mut found: Option<[u32; 4]> = None;
    for (x, y, &Luma([value])) in mask.enumerate_pixels() {
        if value > 0 {
            let [x0, y0, x1, y1] = found.unwrap_or([x, y, x, y]);
            found = Some([x0.min(x), y0.min(y), x1.max(x), y1.max(y)]);
        }
    }
    found.map(|[x0, y0, x1, y1]| [x0, y0, x1 - x0 + 1, y1 - y0 + 1])
}

/// The patient of a study, from 1, and the study's number with that patient: ten studies have nine patients.
fn patient(number: usize) -> (usize, usize) {
    let (block, place) = (number / 10, number % 10);
    if place == 9 { (block * 9 + 9, 2) } else { (block * 9 + place + 1, 1) }
}

/// Exactly the asked share of every ten studies is abnormal; of each two, the first or the second is first to become so,
/// at random, which keeps small sets balanced.
fn label(config: &PhantomConfig, number: usize) -> Label {
    let mut draw = Draw::new(config.seed, Purpose::Labels, (number / 10) as u64);
    let (mut low, mut high) = ([0, 1, 2, 3, 4], [5, 6, 7, 8, 9]);
    draw.shuffle(&mut low);
    draw.shuffle(&mut high);
    let mut ranks = [0; 10];
    for pair in 0..5 {
        let swap = usize::from(draw.chance(0.5));
        ranks[2 * pair + swap] = low[pair];
        ranks[2 * pair + 1 - swap] = high[pair];
    }
    let level = (f64::from(ranks[number % 10]) + f64::from(draw.unit())) / 10.0;
    if level < config.abnormal_fraction { Label::Abnormal } else { Label::Normal }
}

#[cfg(test)]
mod tests;
