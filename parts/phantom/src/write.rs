//! A set of phantoms on disk, in MURA's layout with the truth beside.
//!
//! ```text
//! OUT/phantom.json                           settings, crate version, version of the drawing
//! OUT/train_image_paths.csv                  OUT/train/XR_HUMERUS/patient00001/study1_positive/image1.png
//! OUT/train_labeled_studies.csv              OUT/train/XR_HUMERUS/patient00001/study1_positive/,1
//! OUT/train/XR_HUMERUS/patient00001/study1_positive/image1.png
//! OUT/truth/files.csv                        every file with its bytes, to tell a whole set from a torn one
//! OUT/truth/annotations.json                 COCO: boxes and masks of fractures and hardware, what each film shows
//! OUT/truth/train/XR_HUMERUS/patient00001/study1_positive/image1_mask.png
//! OUT/truth/train/XR_HUMERUS/patient00001/study1_positive/image1_hardware.png
//! ```
//! and the same for `valid`; DICOM films end in `.dcm`. As in MURA the paths of the tables begin with the name of the
//! root folder; those of `annotations.json` begin below it.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, GrayImage, ImageEncoder};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::coco::{self, FilmFinding, FilmRecord, Of};
use super::dicom::{self, StudyIdentifiers};
use super::draw::{Draw, Purpose};
use super::partial::Partial;
use super::whole::{self, CARD_FILE};
use super::{DRAWING_VERSION, FilmFormat, PhantomConfig, PhantomStudy, label, patient, study};
use crate::{Error, Result};
use files::{Tally, lossy};
use studies::{Label, Split};

/// What [`write()`] left on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhantomSet {
    /// The root folder.
    #[serde(serialize_with = "lossy")]
    pub root: PathBuf,
    /// Studies, of both splits.
    pub studies: usize,
    /// Studies with a fracture.
    pub abnormal: usize,
    /// Studies held out as *valid*.
    pub valid: usize,
    /// Patients.
    pub patients: usize,
    /// Films.
    pub views: usize,
    /// Whether the set was there already and nothing had to be drawn.
    pub reused: bool,
    /// Files of the set that was there which were missing and have been drawn again.
    #[serde(default)]
    pub completed: usize,
}

/// The settings file: a set is whole once this lies in its place.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Card {
    config: PhantomConfig,
    version: String,
    drawing: u32,
    summary: SetSummary,
}

/// Counts, so that a set used again need not be walked.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct SetSummary {
    abnormal: usize,
    valid: usize,
    patients: usize,
    views: usize,
}

/// Whether a folder holds simulated films.
pub fn is_set(root: &Path) -> bool {
    root.join(CARD_FILE).is_file()
}

/// The rows that one study adds to the tables.
#[derive(Debug)]
struct StudyRows {
    split: Split,
    folder: String,
    abnormal: bool,
    films: Vec<FilmRecord>,
}

/// Writes a set in MURA's layout to `out`, which is new, empty, or holds the very same set already.
///
/// Drawn beside `out` and moved into place when whole, so an interrupted call leaves nothing that looks like a set. Of
/// a set that has lost files the missing ones come back. `progress` hears of the studies drawn.
///
/// # Errors
/// [`Error::Setting`] for settings out of range, or if `out` holds anything but this set or changed files of it:
/// nothing foreign is overwritten. [`Error::Io`] if the disk refuses.
pub fn write(config: &PhantomConfig, out: &Path, progress: &mut dyn FnMut(Tally)) -> Result<PhantomSet> {
    config.validate()?;
    let torn = match existing(config, out)? {
        Some(set) if whole::is_whole(out) => return Ok(set),
        torn => torn,
    };
    let absolute = std::path::absolute(out).map_err(Error::io(out))?;
    let (Some(name), Some(parent)) = (absolute.file_name(), absolute.parent()) else {
        return Err(Error::setting("output folder", "a folder with a name", out.display()));
    };
    let name = name.to_string_lossy().into_owned();
    let partial = Partial::new(parent, &name)?;
    let root = partial.path();

    let splits = splits(config);
    let rows = draw_all(config, root, &splits, progress)?;
    let summary = tables(root, &name, rows)?;
    whole::list(root)?;
    if let Some(set) = torn {
        let completed = whole::complete(out, root)?;
        return Ok(PhantomSet { reused: false, completed, ..set });
    }
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let card = Card { config: config.clone(), version, drawing: DRAWING_VERSION, summary };
    write_json(&root.join(CARD_FILE), &card)?;

    // The temporary folder is private to its owner; the set is as public as any other folder made here.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(root.join("truth")).map_err(Error::io(root))?.permissions().mode();
        fs::set_permissions(root, fs::Permissions::from_mode(mode)).map_err(Error::io(root))?;
    }
    if out.is_dir() {
        // Found empty above; a folder that has filled up since is not removed.
        fs::remove_dir(out).map_err(Error::io(out))?;
    }
    match partial.move_to(&absolute) {
        Ok(()) => Ok(set(config, out, summary, false)),
        // Someone else may have finished the same set meanwhile.
        Err(source) => existing(config, out)?.ok_or(Error::Io { path: out.to_owned(), source }),
    }
}

/// The set at `out` if it is this one; `None` if there is room for it.
fn existing(config: &PhantomConfig, out: &Path) -> Result<Option<PhantomSet>> {
    let refuse = |why: &str| {
        let got = format!("{}, which {why}", out.display());
        Err(Error::setting("output folder", "a new or empty folder, or this very set", got))
    };
    if !out.exists() {
        return Ok(None);
    }
    if !out.is_dir() {
        return refuse("is a file");
    }
    let card_path = out.join(CARD_FILE);
    if !card_path.exists() {
        let empty = fs::read_dir(out).map_err(Error::io(out))?.next().is_none();
        return if empty { Ok(None) } else { refuse("holds other files") };
    }
    let text = fs::read_to_string(&card_path).map_err(Error::io(&card_path))?;
    // An older card may lack fields, so its version is looked at first.
    let version = serde_json::from_str::<serde_json::Value>(&text)
        .ok()
        .map(|card| card["version"] == env!("CARGO_PKG_VERSION") && card["drawing"] == DRAWING_VERSION);
    if version == Some(false) {
        return refuse("holds phantoms of another version");
    }
    match serde_json::from_str::<Card>(&text) {
        Ok(card) if card.config != *config => refuse("holds phantoms of other settings"),
        Ok(card) => Ok(Some(set(config, out, card.summary, true))),
        Err(_) => refuse("holds a phantom.json that cannot be read"),
    }
}

fn set(config: &PhantomConfig, out: &Path, summary: SetSummary, reused: bool) -> PhantomSet {
    PhantomSet {
        root: out.to_owned(),
        studies: config.studies,
        abnormal: summary.abnormal,
        valid: summary.valid,
        patients: summary.patients,
        views: summary.views,
        reused,
        completed: 0,
    }
}

/// The split of each study: whole patients, and of either label the asked share, as far as whole studies allow.
pub(super) fn splits(config: &PhantomConfig) -> Vec<Split> {
    let labels: Vec<Label> = (0..config.studies).map(|number| label(config, number)).collect();
    let mut patients: Vec<Vec<usize>> = Vec::new();
    for number in 0..config.studies {
        match patient(number) {
            (_, 1) => patients.push(vec![number]),
            // A second visit comes right after the first.
            _ => patients.last_mut().expect("a first visit comes first").push(number),
        }
    }
    Draw::new(config.seed, Purpose::Splits, 0).shuffle(&mut patients);
    let mut room = Label::ALL.map(|wanted| {
        let all = labels.iter().filter(|&&label| label == wanted).count();
        let share = (all as f64 * config.valid_fraction).round() as usize;
        // One study of two goes to either side, unless nothing is to be held out.
        if config.valid_fraction > 0.0 && all > 1 { share.clamp(1, all - 1) } else { share.min(all) }
    });
    let mut splits = vec![Split::Train; config.studies];
    for studies in patients {
        let mut need = [0, 0];
        for &number in &studies {
            need[labels[number].index()] += 1;
        }
        if need[0] <= room[0] && need[1] <= room[1] {
            room = [room[0] - need[0], room[1] - need[1]];
            for number in studies {
                splits[number] = Split::Valid;
            }
        }
    }
    splits
}

/// Draws and writes all studies on all cores.
fn draw_all(
    config: &PhantomConfig,
    root: &Path,
    splits: &[Split],
    progress: &mut dyn FnMut(Tally),
) -> Result<Vec<StudyRows>> {
    /// Studies for each core between two signs of life.
    const AT_ONCE: usize = 8;
    let mut rows = Vec::with_capacity(config.studies);
    let numbers: Vec<usize> = (0..config.studies).collect();
    for numbers in numbers.chunks(AT_ONCE * rayon::current_num_threads()) {
        let draw = |number: &usize| write_study(config, &study(config, *number), root, splits[*number]);
        let drawn = numbers.par_iter().map(draw).collect::<Vec<_>>();
        rows.extend(drawn.into_iter().collect::<Result<Vec<_>>>()?);
        progress(Tally { done: rows.len(), of: config.studies });
    }
    rows.sort_by(|a: &StudyRows, b| a.folder.cmp(&b.folder));
    Ok(rows)
}

fn write_study(config: &PhantomConfig, study: &PhantomStudy, root: &Path, split: Split) -> Result<StudyRows> {
    let abnormal = study.label == Label::Abnormal;
    let folder = format!(
        "{split}/XR_HUMERUS/patient{:05}/study{}_{}",
        study.patient,
        study.visit,
        if abnormal { "positive" } else { "negative" }
    );
    let films = root.join(&folder);
    let truths = root.join("truth").join(&folder);
    fs::create_dir_all(&films).map_err(Error::io(&films))?;
    if abnormal || study.hardware.is_some() {
        fs::create_dir_all(&truths).map_err(Error::io(&truths))?;
    }
    let identity = StudyIdentifiers::new(config, study);
    let mut rows = StudyRows { split, folder, abnormal, films: Vec::new() };
    for (i, view) in study.views.iter().enumerate() {
        let number = i + 1;
        let extension = if config.format == FilmFormat::Png { "png" } else { "dcm" };
        let path = films.join(format!("image{number}.{extension}"));
        match config.format {
            FilmFormat::Png => write_png(&path, &view.image)?,
            FilmFormat::Dicom => dicom::write(&path, study, i, &identity)?,
        }
        let mut findings = Vec::new();
        if let (Some(mask), Some(fracture)) = (&view.mask, &study.fracture) {
            write_png(&truths.join(format!("image{number}_mask.png")), mask)?;
            findings.extend(FilmFinding::new(mask, Of::Fracture(fracture.clone())));
        }
        if let (Some(mask), Some(hardware)) = (&view.hardware_mask, &study.hardware) {
            write_png(&truths.join(format!("image{number}_hardware.png")), mask)?;
            findings.extend(FilmFinding::new(mask, Of::Hardware(hardware.clone())));
        }
        rows.films.push(FilmRecord {
            id: 0,
            file_name: format!("{}/image{number}.{extension}", rows.folder),
            width: view.image.width(),
            height: view.image.height(),
            split,
            study: format!("patient{:05}/study{}", study.patient, study.visit),
            label: study.label,
            projection: view.projection,
            age: study.age,
            plaster: study.plaster,
            hardware: study.hardware.is_some(),
            overlap: view.overlap,
            mm_per_pixel: view.mm_per_pixel,
            findings,
        });
    }
    Ok(rows)
}

fn write_png(path: &Path, image: &GrayImage) -> Result<()> {
    let file = fs::File::create(path).map_err(Error::io(path))?;
    let mut writer = BufWriter::new(file);
    PngEncoder::new_with_quality(&mut writer, CompressionType::Fast, FilterType::Up)
        .write_image(image, image.width(), image.height(), ExtendedColorType::L8)
        .map_err(|error| match error {
            image::ImageError::IoError(source) => Error::io(path)(source),
            source => Error::io(path)(std::io::Error::other(source)),
        })?;
    writer.flush().map_err(Error::io(path))
}

/// The four tables of MURA, and the annotations.
fn tables(root: &Path, name: &str, rows: Vec<StudyRows>) -> Result<SetSummary> {
    for split in [Split::Train, Split::Valid] {
        let (mut images, mut studies) = (String::new(), String::new());
        for row in rows.iter().filter(|row| row.split == split) {
            for film in &row.films {
                images.push_str(&format!("{name}/{}\n", film.file_name));
            }
            studies.push_str(&format!("{name}/{}/,{}\n", row.folder, u8::from(row.abnormal)));
        }
        for (table, text) in [("image_paths", images), ("labeled_studies", studies)] {
            let path = root.join(format!("{split}_{table}.csv"));
            fs::write(&path, text).map_err(Error::io(&path))?;
        }
    }
    let mut patients: Vec<&str> =
        rows.iter().map(|row| row.folder.rsplit_once("/study").map_or("", |(patient, _)| patient)).collect();
    patients.sort_unstable();
    patients.dedup();
    let summary = SetSummary {
        abnormal: rows.iter().filter(|row| row.abnormal).count(),
        valid: rows.iter().filter(|row| row.split == Split::Valid).count(),
        patients: patients.len(),
        views: rows.iter().map(|row| row.films.len()).sum(),
    };
    let truth = root.join("truth");
    fs::create_dir_all(&truth).map_err(Error::io(&truth))?;
    let path = truth.join("annotations.json");
    let mut films: Vec<FilmRecord> = rows.into_iter().flat_map(|row| row.films).collect();
    let text = coco::document(&mut films).map_err(|error| Error::io(&path)(error.into()))?;
    fs::write(&path, text).map_err(Error::io(&path))?;
    Ok(summary)
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value).map_err(|error| Error::io(path)(error.into()))?;
    text.push('\n');
    fs::write(path, text).map_err(Error::io(path))
}
