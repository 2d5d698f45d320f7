//! Damaged JPEGs, doubtful greys, and DICOM against pydicom.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use humerus_film::{DicomHeader, Doubt, Flaw, decode, dicom_header, doubt, inspect, looks_inverted};
use image::GrayImage;
use phantom::{Difficulty, PhantomConfig};
use testing::{difference, golden_grey};

#[derive(serde::Deserialize)]
struct Golden {
    path: PathBuf,
    lossy: bool,
}

/// Some real films, evenly chosen, where the shared data is there.
fn real_films() -> Vec<PathBuf> {
    let Some(root) = testing::shared("fracatlas-upper-limb") else { return Vec::new() };
    let index = studies::index(root).unwrap();
    index.studies.iter().step_by(50).map(|study| study.views[0].path.clone()).collect()
}

#[test]
fn a_jpeg_cut_anywhere_is_refused_even_with_an_end_marker_set_after_the_cut() {
    let Some(python) = testing::python() else { return };
    let out = tempfile::tempdir().unwrap();
    let films = real_films();
    let arguments =
        [out.path().as_os_str(), "64".as_ref()].into_iter().chain(films.iter().map(|film| film.as_os_str()));
    testing::script(&python, "parts/film/tests/golden/preprocess.py", &arguments.collect::<Vec<_>>());
    let golden: Vec<Golden> = serde_json::from_slice(&std::fs::read(out.path().join("index.json")).unwrap()).unwrap();
    let path = out.path().join("cut.jpg");
    let (mut files, mut cuts) = (0, 0);
    for Golden { path: whole, .. } in golden.iter().filter(|golden| golden.lossy) {
        let bytes = std::fs::read(whole).unwrap();
        files += 1;
        // The last cuts lose no more than padding or the shortest of codes.
        let lengths = (1..40).map(|n| bytes.len() * n / 40).chain([bytes.len() - 12, bytes.len() - 6]);
        for length in lengths.filter(|length| *length > 2) {
            let mut cut = bytes[..length].to_vec();
            // A stuffed byte that is cut in two would become part of a marker.
            while cut.last() == Some(&0xff) {
                cut.pop();
            }
            cut.extend_from_slice(&[0xff, 0xd9]);
            std::fs::write(&path, &cut).unwrap();
            assert!(decode(&path).is_err(), "{} of {} bytes of {}", length, bytes.len(), whole.display());
            cuts += 1;
        }
    }
    println!("{cuts} cuts of {files} JPEGs refused");
    assert!(files >= 25, "{files}");
}

/// A film with every grey changed.
fn regraded(film: &GrayImage, grey: impl Fn(u8) -> u8) -> GrayImage {
    let mut changed = film.clone();
    changed.pixels_mut().for_each(|pixel| pixel.0[0] = grey(pixel.0[0]));
    changed
}

/// A film in the middle of a black or white square of `times` its longer side.
fn framed(film: &GrayImage, grey: u8, times: u32) -> GrayImage {
    let side = times * film.width().max(film.height());
    let mut square = GrayImage::from_pixel(side, side, image::Luma([grey]));
    image::imageops::replace(
        &mut square,
        film,
        ((side - film.width()) / 2).into(),
        ((side - film.height()) / 2).into(),
    );
    square
}

/// Films whose values have fewer bits than declared or are clipped, and what is doubted about them.
fn faults(film: &GrayImage) -> Vec<(&'static str, GrayImage, Doubt)> {
    vec![
        ("of 12 bits in 16", regraded(film, |v| v >> 4), Doubt::NearlyBlack),
        ("of 14 bits in 16", regraded(film, |v| v >> 2), Doubt::NearlyBlack),
        ("of 12 bits in 16, a negative", regraded(film, |v| 255 - (v >> 4)), Doubt::NearlyWhite),
        ("of 3 levels", regraded(film, |v| [0, 128, 255][usize::from(v / 86)]), Doubt::FewGreys),
        ("of 16 levels", regraded(film, |v| v / 16 * 17), Doubt::FewGreys),
        ("clipped to white", regraded(film, |v| v.max(1).saturating_mul(200)), Doubt::NearlyWhite),
        ("black", regraded(film, |_| 0), Doubt::NearlyBlack),
        ("white", regraded(film, |_| 255), Doubt::NearlyWhite),
        ("grey", regraded(film, |_| 100), Doubt::FewGreys),
    ]
}

#[test]
fn phantoms_of_every_difficulty_are_not_doubted_and_their_faults_are() {
    let mut films = 0;
    for difficulty in [Difficulty::EASY, Difficulty::MEDIUM, Difficulty::HARD] {
        for (longest_side, numbers) in [(96, 0..12), (512, 0..4)] {
            let config = PhantomConfig { difficulty, longest_side, seed: 3, ..PhantomConfig::default() };
            for view in numbers.flat_map(|number| phantom::study(&config, number).views) {
                films += 1;
                assert_eq!(doubt(&view.image), None, "{difficulty:?}, {longest_side} pixels, film {films}");
                for (name, fault, want) in faults(&view.image) {
                    assert_eq!(doubt(&fault), Some(want), "{difficulty:?} film {films} {name}");
                }
            }
        }
    }
    assert!(films > 100, "{films}");
}

#[test]
fn fracatlas_films_are_upright_in_grey_and_their_negatives_are_told() {
    let Some(root) = testing::shared("fracatlas-upper-limb") else { return };
    let index = studies::index(root).unwrap();
    let films: Vec<&Path> =
        index.studies.iter().flat_map(|study| &study.views).map(|view| view.path.as_path()).collect();
    // Chosen on odd numbers, reported on even ones.
    let (mut counts, mut taken, mut missed) = ([0; 2], [0; 2], [0; 2]);
    for film in films {
        let name = film.file_stem().unwrap().to_string_lossy();
        let parity = usize::from(name.ends_with(['1', '3', '5', '7', '9']));
        let mut grey = decode(film).unwrap();
        counts[parity] += 1;
        taken[parity] += usize::from(looks_inverted(&grey));
        image::imageops::invert(&mut grey);
        missed[parity] += usize::from(!looks_inverted(&grey));
    }
    println!("even and odd: {counts:?} films, {taken:?} taken for negatives, {missed:?} negatives missed");
    assert_eq!(counts.iter().sum::<usize>(), 1092);
    for parity in 0..2 {
        assert!(100 * taken[parity] <= counts[parity] && 100 * missed[parity] <= counts[parity]);
    }
}

#[test]
fn no_fracatlas_film_is_doubted_by_its_greys_and_every_fault_of_one_is() {
    let Some(root) = testing::shared("fracatlas-upper-limb") else { return };
    let index = studies::index(root).unwrap();
    let mut doubted: BTreeMap<String, usize> = BTreeMap::new();
    let mut unseen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut films = 0;
    for (at, view) in index.studies.iter().flat_map(|study| &study.views).enumerate() {
        let film = decode(&view.path).unwrap();
        films += 1;
        let mut sound = vec![("as it is", film.clone())];
        if at % 25 == 0 {
            sound.extend([("letterboxed", framed(&film, 0, 1)), ("in a white frame", framed(&film, 255, 2))]);
            sound.push(("collimated", framed(&film, 0, 5)));
        }
        for (name, film) in sound {
            if let Some(doubt) = doubt(&film) {
                *doubted.entry(format!("{name}: {}", doubt.name())).or_default() += 1;
            }
        }
        for (name, fault, want) in faults(&film) {
            *unseen.entry(name).or_default() += usize::from(doubt(&fault) != Some(want));
        }
    }
    println!("of {films} films doubted: {doubted:?}; of their faults not seen as such: {unseen:?}");
    assert_eq!(films, 1092);
    assert_eq!(doubted.len(), 0, "{doubted:?}");
    assert!(unseen.values().all(|count| *count == 0), "{unseen:?}");
}

/// What the script says of a DICOM file.
#[derive(serde::Deserialize)]
struct Film {
    path: PathBuf,
    name: String,
    lossy: bool,
    /// Written by the script, not one of pydicom's own.
    is_ours: bool,
    /// pydicom's error, where it makes no picture.
    refusal: Option<String>,
    header: Option<Header>,
}

#[derive(Clone, serde::Deserialize)]
struct Header {
    patient: Option<String>,
    study: Option<String>,
    accession: Option<String>,
    series: Option<String>,
    instance: Option<String>,
    part: Option<String>,
    view: Option<String>,
    laterality: Option<String>,
    modality: Option<String>,
    photometric: String,
    rows: u32,
    columns: u32,
    frames: u32,
}

impl From<Header> for DicomHeader {
    fn from(it: Header) -> DicomHeader {
        let Header { patient, study, accession, series, instance, part, view, .. } = it;
        let Header { laterality, modality, photometric, rows, columns, frames, .. } = it;
        DicomHeader {
            patient,
            study,
            accession,
            series,
            instance,
            part,
            view,
            laterality,
            modality,
            photometric,
            rows,
            columns,
            frames,
        }
    }
}

/// How a file ended.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// As pydicom has it, to the grey level.
    Equal,
    /// As pydicom has it within two grey levels, lossy.
    Near,
    /// Decoded here alone, as another copy of the film.
    AsItsCopy,
    /// Decoded here alone; `jpeg.rs` compares such files with what was encoded.
    TwelveBits,
    Empty,
    NotAnImage,
    Truncated,
    Damaged,
    Unsupported,
}

/// Films that pydicom cannot decode without plug-ins, and the same films stored in a way that it can.
const COPIES: [(&str, &str); 1] = [("SC_rgb_jpeg_gdcm.dcm", "SC_rgb_rle.dcm")];

/// JPEGs of 12 bits of the film that JPEG2000.dcm holds, compressed far more, so that they are only alike.
const TWELVE_BITS: [&str; 2] = ["JPEG-lossy.dcm", "JPGExtended.dcm"];

/// Pearson's coefficient over all pixels.
fn correlation(a: &GrayImage, b: &GrayImage) -> f64 {
    let pairs = || a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let n = a.as_raw().len() as f64;
    let (mean_a, mean_b) = pairs().fold((0.0, 0.0), |(x, y), (a, b)| (x + a / n, y + b / n));
    let moment = |of: fn(f64, f64) -> f64| pairs().map(|(a, b)| of(a - mean_a, b - mean_b)).sum::<f64>();
    moment(|a, b| a * b) / (moment(|a, _| a * a) * moment(|_, b| b * b)).sqrt()
}

#[test]
fn every_dicom_film_is_rendered_as_by_pydicom_or_refused_with_a_reason() {
    let Some(python) = testing::python() else { return };
    let out = tempfile::tempdir().unwrap();
    testing::script(&python, "parts/film/tests/golden/dicom.py", &[out.path().as_os_str()]);
    let films: Vec<Film> = serde_json::from_slice(&std::fs::read(out.path().join("index.json")).unwrap()).unwrap();
    let golden = |at: usize| golden_grey(&out.path().join(format!("{at}.grey.png")));
    let mut wrong = Vec::new();
    let mut counts: BTreeMap<(bool, Outcome), usize> = BTreeMap::new();
    let mut headers = 0;
    for (at, film) in films.iter().enumerate() {
        let Film { path, name, lossy, refusal, header, .. } = film;
        let result = decode(path);
        let (outcome, detail) = match (&result, refusal) {
            (Ok(ours), None) => match difference(ours, &golden(at), name) {
                (0, _) => (Some(Outcome::Equal), String::new()),
                (1..=2, _) if *lossy => (Some(Outcome::Near), String::new()),
                off => (None, format!("{off:?} from pydicom's")),
            },
            (Ok(ours), Some(_)) if TWELVE_BITS.contains(&name.as_str()) => {
                let other = films.iter().position(|film| film.name == "JPEG2000.dcm").unwrap();
                let alike = correlation(ours, &golden(other));
                ((alike > 0.9).then_some(Outcome::TwelveBits), format!("correlation {alike}"))
            }
            (Ok(ours), Some(refusal)) => {
                let copy = COPIES.iter().find(|(one, _)| one == name);
                let copy = copy.and_then(|(_, other)| films.iter().position(|film| film.name == *other));
                let is_equal = copy.is_some_and(|at| *ours == golden(at));
                (is_equal.then_some(Outcome::AsItsCopy), format!("decoded, but pydicom says {refusal}"))
            }
            // Where pydicom makes a picture, we must.
            (Err(error), None) => (None, error.to_string()),
            (Err(error), Some(_)) => {
                assert_eq!(error.to_string().lines().count(), 1, "{error}");
                let outcome = match inspect(&std::fs::read(path).unwrap()) {
                    Err(Flaw::Empty) => Some(Outcome::Empty),
                    Err(Flaw::NotAnImage) => Some(Outcome::NotAnImage),
                    Err(Flaw::Truncated(_)) => Some(Outcome::Truncated),
                    // Some damage shows in decoding alone.
                    Err(Flaw::Damaged(_)) | Ok(_) => Some(Outcome::Damaged),
                    Err(Flaw::Unsupported(_)) => Some(Outcome::Unsupported),
                };
                (outcome, String::new())
            }
        };
        println!("{name}: {outcome:?} {detail}{}", result.err().map(|error| error.to_string()).unwrap_or_default());
        match outcome {
            Some(outcome) => *counts.entry((film.is_ours, outcome)).or_default() += 1,
            None => wrong.push(format!("{name}: {detail}")),
        }
        if let Some(header) = header {
            headers += 1;
            match dicom_header(path) {
                Ok(ours) if ours == header.clone().into() => {}
                other => wrong.push(format!("{name}: header {other:?}")),
            }
        }
    }
    println!("{counts:?}, {headers} headers");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let pydicoms = |outcome| counts.get(&(false, outcome)).copied().unwrap_or(0);
    assert_eq!(pydicoms(Outcome::Equal), 71);
    assert_eq!(pydicoms(Outcome::Near), 3);
    assert_eq!(pydicoms(Outcome::AsItsCopy), 1);
    assert_eq!(pydicoms(Outcome::TwelveBits), 2);
    // Several frames, no image, JPEG-LS; texts; cut files; what pydicom cannot read either.
    assert_eq!(pydicoms(Outcome::Unsupported), 82);
    assert_eq!(pydicoms(Outcome::NotAnImage), 10);
    assert_eq!(pydicoms(Outcome::Truncated), 2);
    assert_eq!(pydicoms(Outcome::Damaged), 5);
    let ours: Vec<_> = counts.iter().filter(|((is_ours, _), _)| *is_ours).collect();
    assert_eq!(ours, [(&(true, Outcome::Equal), &63), (&(true, Outcome::Near), &4)]);
    assert_eq!(headers, 159);
}
