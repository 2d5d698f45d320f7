//! Radiographs of a humerus made by simulation, with the truth about each fracture.
//!
//! A parallel beam passes a three-dimensional arm (a lofted shaft with cortex and medullary canal, head, condyles,
//! neighbouring bones, fat, muscle, chest) and is weakened by Beer–Lambert's law, `I = I₀ exp(-Σ μ L)`, with the
//! attenuation coefficients that NIST tabulates (Hubbell and Seltzer, NISTIR 5632) at 40 keV, near the mean of a 65 kV
//! beam. Path lengths are chords of ellipses, so a film costs a few dozen square roots a pixel. Then come focal-spot
//! blur, scatter, quantum noise, the logarithm and a digital system's window. They are stylised: good to learn a
//! network's workings on, not to learn medicine from.
//!
//! Patients differ in age, with thin cortex late in life and open growth plates early; films in projection, exposure
//! and in what lies in the beam: ribs, cables, plaster, plates and nails. [`Difficulty`] moves it all together.
//!
//! Every study depends on the seed and its own number alone; the films are drawn from a stream that does not know
//! whether a fracture will be in them, so nothing but the fracture tells the label, unless
//! [`PhantomConfig::hardware_correlation`] plants a shortcut.
//!
//! ```no_run
//! use humerus_phantom::PhantomConfig;
//!
//! let config = PhantomConfig { studies: 100, ..PhantomConfig::default() };
//! let study = humerus_phantom::study(&config, 0); // drawn, not written
//! study.views[0].image.save("film.png").expect("the folder can be written");
//! let set = humerus_phantom::write(&config, "phantoms".as_ref(), &mut |_| ())?; // like MURA, with masks
//! println!("{} of {} studies are abnormal", set.abnormal, set.studies);
//! # Ok::<(), humerus_phantom::Error>(())
//! ```

#![forbid(unsafe_code)]

mod anatomy;
mod body;
mod coco;
mod detector;
mod dicom;
pub mod difficulty;
mod draw;
mod error;
mod film;
mod fracture;
mod fragments;
mod geometry;
mod hardware;
mod marker;
mod mask;
mod metal;
mod partial;
mod plane;
mod plaster;
mod setup;
mod texture;
mod trunk;
mod whole;
mod write;

use image::{GrayImage, ImageBuffer, Luma};
use serde::{Deserialize, Serialize};

use anatomy::Anatomy;
use body::Body;
use difficulty::Grade;
use draw::{Draw, Purpose};
use fragments::Fragments;
use hardware::Implant;
use mask::{eight_bits, extent, mask};
use setup::Setup;
use studies::Label;
use texture::Texture;

pub use difficulty::Difficulty;
pub use error::{Error, Result};
pub use fracture::{Fracture, FractureKind};
pub use hardware::{Hardware, HardwareKind, Metal};
pub use write::{PhantomSet, is_set, write};

/// Counts how often the drawing has changed: a set drawn by another version is not used again.
pub const DRAWING_VERSION: u32 = 2;

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
    /// What fractures, exposure and clutter are like; see the [table](difficulty). Default easy.
    pub difficulty: Difficulty,
    /// Share of fractures that are hardly displaced, `0.0..=1.0`. Default by the difficulty.
    pub subtle_fraction: Option<f64>,
    /// Quanta a square millimetre of film in an empty beam, `100..=1e7`; each film varies by half and more. Default by
    /// the difficulty.
    pub fluence: Option<f32>,
    /// Share of studies in plaster, `0.0..=1.0`. Default by the difficulty.
    pub plaster_fraction: Option<f64>,
    /// Share of studies with plate or nail, `0.0..=1.0`. Default by the difficulty.
    pub hardware_fraction: Option<f64>,
    /// What hardware says of the label, `-1.0..=1.0`: the phi coefficient as a share of the largest that the two shares
    /// allow. `0`, the default: nothing. `1`: all of it is in abnormal studies, as far as there are enough; `-1`: in
    /// normal ones. The share of studies with hardware stays the same.
    pub hardware_correlation: f64,
    /// How films are stored. Default PNG.
    pub format: FilmFormat,
    /// How DICOM files store grey. Default: study by study, at random.
    pub photometric: Option<Photometric>,
}

/// How films are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FilmFormat {
    /// 8-bit grey.
    #[default]
    Png,
    /// Digital X-Ray Image Storage, for presentation; 12 bits in 16, explicit little endian.
    Dicom,
}

/// What a stored zero looks like (DICOM PS3.3 C.7.6.3.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Photometric {
    /// White.
    Monochrome1,
    /// Black.
    Monochrome2,
}

impl Default for PhantomConfig {
    fn default() -> PhantomConfig {
        PhantomConfig {
            studies: 200,
            seed: 0,
            longest_side: 512,
            valid_fraction: 0.25,
            abnormal_fraction: 0.5,
            difficulty: Difficulty::default(),
            subtle_fraction: None,
            fluence: None,
            plaster_fraction: None,
            hardware_fraction: None,
            hardware_correlation: 0.0,
            format: FilmFormat::Png,
            photometric: None,
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
        for (name, value) in [
            ("subtle_fraction", self.subtle_fraction),
            ("plaster_fraction", self.plaster_fraction),
            ("hardware_fraction", self.hardware_fraction),
        ] {
            if let Some(value) = value {
                check(share(value), name, "0 to 1", value.to_string())?;
            }
        }
        let correlation = self.hardware_correlation;
        check((-1.0..=1.0).contains(&correlation), "hardware_correlation", "-1 to 1", correlation.to_string())?;
        match self.fluence {
            Some(n) => check((100.0..=1e7).contains(&n), "fluence", "100 to 1e7 quanta per mm²", n.to_string()),
            None => Ok(()),
        }
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
    /// Years, 4 to 94; below 16 the growth plates are open.
    pub age: u32,
    /// Which arm: `true` for the left one.
    pub left: bool,
    /// The fracture, in abnormal studies.
    pub fracture: Option<Fracture>,
    /// The implant, if there is one.
    pub hardware: Option<Hardware>,
    /// Whether the arm is in plaster (or fibreglass).
    pub plaster: bool,
    /// One to four films of the same bones.
    pub views: Vec<PhantomView>,
}

/// One film with its truth.
#[derive(Debug, Clone)]
pub struct PhantomView {
    /// 8-bit grey, bone bright, air dark; its longest side is [`PhantomConfig::longest_side`].
    pub image: GrayImage,
    /// The same in 12 bits, `0..=4095`, which DICOM files hold; `image` is this times 255 / 4095.
    pub stored: ImageBuffer<Luma<u16>, Vec<u16>>,
    /// Same size, 255 where the fracture is: the gap and the bone ends beside it. Abnormal studies only.
    pub mask: Option<GrayImage>,
    /// The mask's extent, `[x, y, width, height]` in pixels.
    pub bounding_box: Option<[u32; 4]>,
    /// Same size, 255 where metal is seen. Studies with hardware only; it may lie over the fracture.
    pub hardware_mask: Option<GrayImage>,
    /// The hardware mask's extent, `[x, y, width, height]` in pixels.
    pub hardware_box: Option<[u32; 4]>,
    /// From where the beam came.
    pub projection: Projection,
    /// Whether the chest reaches over the shaft.
    pub overlap: bool,
    /// Millimetres at the arm a pixel.
    pub mm_per_pixel: f32,
}

/// Draws study `number` of the set that `config` describes.
///
/// Depends on the seed, the number and the fields about films and fractures, not on [`PhantomConfig::studies`] or
/// [`PhantomConfig::valid_fraction`]. Call [`PhantomConfig::validate`] first: values out of range give meaningless
/// films.
///
/// # Example
/// ```
/// use humerus_phantom::{self as phantom, PhantomConfig};
///
/// let config = PhantomConfig { longest_side: 96, ..PhantomConfig::default() };
/// let study = phantom::study(&config, 3);
/// assert!((1..=4).contains(&study.views.len()));
/// assert_eq!(study.fracture.is_some(), study.views[0].mask.is_some());
/// ```
pub fn study(config: &PhantomConfig, number: usize) -> PhantomStudy {
    let plan = StudyPlan::new(config, number);
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
    PhantomStudy {
        number,
        patient,
        visit,
        label: label(config, number),
        age: plan.anatomy.age,
        left: plan.anatomy.left,
        fracture: plan.fracture,
        hardware: plan.implant.map(|implant| implant.hardware),
        plaster: plan.setups.iter().any(|setup| setup.plaster.is_some()),
        views,
    }
}

/// A study before its films are exposed.
#[derive(Debug)]
struct StudyPlan {
    anatomy: Anatomy,
    texture: Texture,
    setups: Vec<Setup>,
    implant: Option<Implant>,
    fracture: Option<Fracture>,
    fragments: Fragments,
}

impl StudyPlan {
    fn new(config: &PhantomConfig, number: usize) -> StudyPlan {
        let grade = Grade::new(config);
        let (patient, _) = patient(number);
        let stream = |purpose, number: usize| Draw::new(config.seed, purpose, number as u64);
        let anatomy = Anatomy::draw(&grade, &mut stream(Purpose::Anatomy, patient));
        let mut films = stream(Purpose::Films, number);
        let site = fracture::site(&mut films);
        let texture = Texture::draw(&mut films);
        let setups = setup::films(config, &grade, &anatomy, site, &mut films);
        let label = label(config, number);
        let chance =
            hardware::probability(grade.hardware, config.abnormal_fraction, config.hardware_correlation, label);
        let implant = hardware::draw(chance, &anatomy, site, &mut stream(Purpose::Hardware, number));
        let (fracture, fragments) = match label {
            Label::Normal => (None, Fragments::whole()),
            Label::Abnormal => {
                let mut stream = stream(Purpose::Fracture, number);
                let (fracture, fragments) = fracture::draw(&grade, &anatomy, site, implant.is_some(), &mut stream);
                (Some(fracture), fragments)
            }
        };
        StudyPlan { anatomy, texture, setups, implant, fracture, fragments }
    }
}

fn view(plan: &StudyPlan, setup: &Setup, mut noise: Draw) -> PhantomView {
    let StudyPlan { anatomy, fragments, texture, .. } = plan;
    let shadow = film::cast(anatomy, fragments, plan.implant.as_ref(), setup, texture);
    let open = detector::open_field(setup);
    // The exposure is chosen by what an unbroken arm in this position would need.
    let whole = Fragments::whole();
    let soft = Body::new(anatomy, &whole, setup, texture).soft_along_the_bone(setup);
    let stored = detector::develop(shadow.attenuation, &open, soft, anatomy, setup, &mut noise);
    let fracture_mask = plan.fracture.as_ref().map(|_| mask(&shadow.fractured, &open, setup));
    let hardware_mask = shadow.metal.map(|metal| mask(&metal, &open, setup));
    PhantomView {
        image: eight_bits(&stored),
        stored,
        bounding_box: fracture_mask.as_ref().and_then(extent),
        mask: fracture_mask,
        hardware_box: hardware_mask.as_ref().and_then(extent),
        hardware_mask,
        projection: setup.projection,
        overlap: setup.overlap > 0.0,
        mm_per_pixel: setup.mm_per_pixel,
    }
}

/// The patient of a study, from 1, and the study's number with that patient: ten studies have nine patients.
fn patient(number: usize) -> (usize, usize) {
    let (block, place) = (number / 10, number % 10);
    if place == 9 { (block * 9 + 9, 2) } else { (block * 9 + place + 1, 1) }
}

/// Whether the study is the first of its patient.
pub fn begins_a_patient(number: usize) -> bool {
    patient(number).1 == 1
}

/// Exactly the asked share of every ten studies is abnormal; of each two, the first or the second is first to become
/// so, at random, which keeps small sets balanced.
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
