//! Phantoms as their users meet them: the truth files beside the films, hardware, DICOM and the command.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use humerus_phantom::{self as phantom, Difficulty, FilmFormat, PhantomConfig, Photometric};
use image::GrayImage;
use serde_json::Value;
use studies::Label;

fn config(difficulty: Difficulty) -> PhantomConfig {
    PhantomConfig { studies: 12, longest_side: 96, difficulty, ..PhantomConfig::default() }
}

fn numbers(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

/// COCO's uncompressed run lengths as a picture: down the columns, black first.
fn decode(segmentation: &Value) -> GrayImage {
    let size = numbers(&segmentation["size"]);
    let (height, width) = (size[0], size[1]);
    let mut flat = Vec::new();
    for (i, &run) in numbers(&segmentation["counts"]).iter().enumerate() {
        flat.extend(vec![if i % 2 == 1 { 255 } else { 0 }; run as usize]);
    }
    assert_eq!(flat.len(), (width * height) as usize, "the runs do not fill the film");
    GrayImage::from_fn(width, height, |x, y| image::Luma([flat[(x * height + y) as usize]]))
}

/// Area, and the box of what is white.
fn measure(mask: &GrayImage) -> (u32, [u32; 4]) {
    let white: Vec<(u32, u32)> =
        mask.enumerate_pixels().filter(|(_, _, pixel)| pixel.0[0] > 0).map(|(x, y, _)| (x, y)).collect();
    let low = |of: fn(&(u32, u32)) -> u32| white.iter().map(of).min().unwrap();
    let high = |of: fn(&(u32, u32)) -> u32| white.iter().map(of).max().unwrap();
    let (x, y) = (low(|p| p.0), low(|p| p.1));
    (white.len() as u32, [x, y, high(|p| p.0) - x + 1, high(|p| p.1) - y + 1])
}

#[test]
fn annotations_are_consistent_coco_and_equal_the_masks_at_each_difficulty() {
    let place = tempfile::tempdir().unwrap();
    let (mut fractures, mut implants) = (0, 0);
    for difficulty in [Difficulty::EASY, Difficulty::MEDIUM, Difficulty::HARD] {
        let root = place.path().join(difficulty.to_string());
        let config = PhantomConfig { hardware_fraction: Some(0.5), ..config(difficulty) };
        phantom::write(&config, &root, &mut |_| ()).unwrap();
        let truth: Value = serde_json::from_slice(&fs::read(root.join("truth/annotations.json")).unwrap()).unwrap();
        assert!(truth["info"]["description"].as_str().unwrap().contains("imulated"));
        let categories: BTreeMap<u64, &str> = truth["categories"]
            .as_array()
            .unwrap()
            .iter()
            .map(|category| (category["id"].as_u64().unwrap(), category["name"].as_str().unwrap()))
            .collect();
        assert_eq!(categories.values().copied().collect::<Vec<_>>(), ["fracture", "hardware"]);

        let mut films: BTreeMap<u64, &Value> = BTreeMap::new();
        for film in truth["images"].as_array().unwrap() {
            assert!(films.insert(film["id"].as_u64().unwrap(), film).is_none(), "an id twice");
            let (width, height) = image::image_dimensions(root.join(film["file_name"].as_str().unwrap())).unwrap();
            assert_eq!((film["width"].as_u64(), film["height"].as_u64()), (Some(width.into()), Some(height.into())));
        }
        let mut ids = BTreeSet::new();
        let mut masks = BTreeSet::new();
        for annotation in truth["annotations"].as_array().unwrap() {
            assert!(ids.insert(annotation["id"].as_u64().unwrap()), "an id twice");
            let film = films[&annotation["image_id"].as_u64().unwrap()];
            let category = categories[&annotation["category_id"].as_u64().unwrap()];
            let mask = decode(&annotation["segmentation"]);
            assert_eq!((film["width"].as_u64(), film["height"].as_u64()), {
                let (width, height) = mask.dimensions();
                (Some(width.into()), Some(height.into()))
            });
            let (area, bbox) = measure(&mask);
            assert_eq!(annotation["area"].as_u64(), Some(area.into()));
            assert_eq!(numbers(&annotation["bbox"]), bbox);
            assert_eq!(annotation["iscrowd"], 0);
            let ending = if category == "fracture" { "mask" } else { "hardware" };
            let file = film["file_name"].as_str().unwrap().replace(".png", &format!("_{ending}.png"));
            assert_eq!(image::open(root.join("truth").join(&file)).unwrap().to_luma8(), mask);
            assert!(masks.insert(file), "two annotations for one mask");
            assert!(annotation[category].is_object(), "nothing about the {category}");
            if category == "fracture" {
                fractures += 1;
                assert_eq!(film["label"], "abnormal");
            } else {
                implants += 1;
                assert_eq!(film["hardware"], true);
            }
        }
        // Nothing is annotated that has no mask, and the other way round.
        let written = walkdir::WalkDir::new(root.join("truth")).into_iter().flatten();
        let pictures = written.filter(|entry| entry.path().extension().is_some_and(|ending| ending == "png"));
        assert_eq!(pictures.count(), masks.len());
    }
    assert!(fractures > 20 && implants > 20, "{fractures} fractures and {implants} implants seen");
}

#[test]
fn an_implant_turns_the_pixels_of_its_mask_white_and_leaves_the_others() {
    let of = |hardware| PhantomConfig {
        longest_side: 192,
        abnormal_fraction: 0.0,
        plaster_fraction: Some(0.0),
        hardware_fraction: Some(hardware),
        difficulty: Difficulty::MEDIUM,
        ..PhantomConfig::default()
    };
    let mut seen = 0;
    for number in 0..16 {
        let (with, without) = (phantom::study(&of(1.0), number), phantom::study(&of(0.0), number));
        assert!(with.hardware.is_some() && without.hardware.is_none());
        for (metal, bare) in with.views.iter().zip(&without.views) {
            assert!(bare.hardware_mask.is_none() && bare.hardware_box.is_none());
            let mask = metal.hardware_mask.as_ref().unwrap();
            let (mut inside, mut grey, mut outside) = (Vec::new(), Vec::new(), Vec::new());
            for ((x, y, pixel), (a, b)) in mask.enumerate_pixels().zip(metal.image.iter().zip(bare.image.iter())) {
                let difference = f64::from(*a) - f64::from(*b);
                if pixel.0[0] > 0 {
                    inside.push(difference);
                    grey.push(f64::from(*a));
                } else {
                    let [left, top, width, height] = metal.hardware_box.unwrap_or_default();
                    let near = x + 12 >= left && x < left + width + 12 && y + 12 >= top && y < top + height + 12;
                    if !near {
                        outside.push(difference);
                    }
                }
            }
            let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
            if inside.len() > 30 {
                seen += 1;
                let brightest = f64::from(*bare.image.iter().max().unwrap());
                assert!(mean(&inside) > 10.0, "study {number}: metal is {} brighter than bone", mean(&inside));
                // The chest beside an arm may be as bright as metal.
                let white = if metal.overlap { 0.6 } else { 0.75 };
                assert!(mean(&grey) > white * brightest, "study {number}: {} of {brightest}", mean(&grey));
            }
            assert!(mean(&outside).abs() < 1.0, "study {number}: {} changed elsewhere", mean(&outside));
        }
    }
    assert!(seen > 20, "{seen} films with an implant");
}

/// How often each thing but the fracture is met, by label: normal, abnormal.
fn shares(config: &PhantomConfig, studies: usize) -> ([f64; 2], BTreeMap<&'static str, [f64; 2]>) {
    let mut count = [0.0; 2];
    let mut met: BTreeMap<&'static str, [f64; 2]> = BTreeMap::new();
    for number in 0..studies {
        let study = phantom::study(config, number);
        let label = study.label.index();
        count[label] += 1.0;
        let dark = |view: &phantom::PhantomView| {
            let sum: f64 = view.image.iter().map(|&grey| f64::from(grey)).sum();
            sum / f64::from(view.image.width() * view.image.height()) < 70.0
        };
        for (name, present) in [
            ("hardware", study.hardware.is_some()),
            ("plaster", study.plaster),
            ("overlap", study.views[0].overlap),
            ("child", study.age < 16),
            ("left", study.left),
            ("dark", dark(&study.views[0])),
            ("close", study.views[0].mm_per_pixel < 4.0),
            ("several views", study.views.len() > 2),
        ] {
            met.entry(name).or_default()[label] += f64::from(u8::from(present));
        }
    }
    (count, met)
}

#[test]
fn neither_hardware_nor_plaster_nor_exposure_tells_the_label() {
    // Everything is most frequent, and so most easily told, where it is hard.
    let config = PhantomConfig { longest_side: 64, difficulty: Difficulty::HARD, ..PhantomConfig::default() };
    let (count, met) = shares(&config, 1000);
    for (name, [normal, abnormal]) in met {
        let (p, q) = (normal / count[0], abnormal / count[1]);
        let pooled = (normal + abnormal) / (count[0] + count[1]);
        assert!(pooled > 0.05 && pooled < 0.95, "{name} tells nothing apart");
        // Two proportions: beyond three standard errors in one of 370 cases.
        let error = (pooled * (1.0 - pooled) * (1.0 / count[0] + 1.0 / count[1])).sqrt();
        assert!((p - q).abs() < 3.0 * error, "{name} in {p:.3} of normal, {q:.3} of abnormal studies");
    }
}

#[test]
fn the_shortcut_is_planted_only_where_it_is_asked_for() {
    let of = |hardware_correlation| PhantomConfig {
        longest_side: 64,
        hardware_fraction: Some(0.3),
        hardware_correlation,
        ..PhantomConfig::default()
    };
    for (correlation, normal, abnormal) in [(1.0, 0.0, 0.6), (0.5, 0.15, 0.45), (-1.0, 0.6, 0.0)] {
        let (count, met) = shares(&of(correlation), 200);
        let [n, a] = met["hardware"];
        assert!((n / count[0] - normal).abs() < 0.13, "{correlation}: {n} of {} normal studies", count[0]);
        assert!((a / count[1] - abnormal).abs() < 0.13, "{correlation}: {a} of {} abnormal studies", count[1]);
    }
    // Hardware or none, the labels stay, and each abnormal study has its fracture.
    for number in 0..20 {
        let (planted, plain) = (phantom::study(&of(1.0), number), phantom::study(&of(0.0), number));
        assert_eq!(planted.label, plain.label);
        assert_eq!(planted.fracture.is_some(), planted.label == Label::Abnormal);
    }
}

fn dicom(photometric: Option<Photometric>) -> PhantomConfig {
    let difficulty = Difficulty::MEDIUM;
    PhantomConfig { studies: 8, format: FilmFormat::Dicom, photometric, ..config(difficulty) }
}

#[test]
fn dicom_files_hold_the_same_films_and_say_that_they_are_synthetic() {
    let place = tempfile::tempdir().unwrap();
    let root = |name: &str| place.path().join(name);
    phantom::write(&dicom(None), &root("dicom"), &mut |_| ()).unwrap();
    phantom::write(&dicom(None), &root("again"), &mut |_| ()).unwrap();
    phantom::write(&PhantomConfig { format: FilmFormat::Png, ..dicom(None) }, &root("png"), &mut |_| ()).unwrap();
    let (films, again, pictures) = (
        testing::films_below(&root("dicom"), "dcm"),
        testing::films_below(&root("again"), "dcm"),
        testing::films_below(&root("png"), "png"),
    );
    assert_eq!(films.len(), pictures.len());
    assert!(films.len() > 8 && testing::films_below(&root("dicom"), "png").is_empty());
    let mut interpretations = BTreeSet::new();
    for ((film, again), picture) in films.iter().zip(&again).zip(&pictures) {
        assert_eq!(fs::read(film).unwrap(), fs::read(again).unwrap(), "other bytes from the same settings");
        let object = dicom_object::open_file(film).unwrap();
        let text = |name: &str| object.element_by_name(name).unwrap().to_str().unwrap().into_owned();
        let words: Vec<u16> = object.element_by_name("PixelData").unwrap().to_multi_int().unwrap();
        let inverted = text("PhotometricInterpretation") == "MONOCHROME1";
        let grey: Vec<u8> = words
            .iter()
            .map(|&word| f64::from(if inverted { 4095 - word } else { word }) * 255.0 / 4095.0)
            .map(|grey| grey.round() as u8)
            .collect();
        assert_eq!(&grey, image::open(picture).unwrap().to_luma8().as_raw());
        assert!(text("ImageComments").contains("SYNTHETIC") && text("PatientName").contains("SYNTHETIC"));
        assert_eq!((text("Modality").as_str(), text("BodyPartExamined").as_str()), ("DX", "HUMERUS"));
        interpretations.insert(text("PhotometricInterpretation"));
    }
    assert_eq!(interpretations.len(), 2, "{interpretations:?}");
}

#[test]
fn pydicom_reads_the_dicom_films_as_the_png_ones() {
    let Some(python) = testing::python() else { return };
    let place = tempfile::tempdir().unwrap();
    for (name, photometric) in
        [("mixed", None), ("one", Some(Photometric::Monochrome1)), ("two", Some(Photometric::Monochrome2))]
    {
        let (films, pictures) = (place.path().join(name), place.path().join(format!("{name}-png")));
        phantom::write(&dicom(photometric), &films, &mut |_| ()).unwrap();
        phantom::write(&PhantomConfig { format: FilmFormat::Png, ..dicom(photometric) }, &pictures, &mut |_| ())
            .unwrap();
        let printed = testing::script(
            &python,
            "parts/phantom/tests/golden/phantom.py",
            &[films.as_os_str(), pictures.as_os_str()],
        );
        let found: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(found["largest_difference"], 0, "{found}");
        assert_eq!(found["problems"], serde_json::json!([]), "{found}");
        let expected = match photometric {
            None => vec!["MONOCHROME1", "MONOCHROME2"],
            Some(Photometric::Monochrome1) => vec!["MONOCHROME1"],
            Some(Photometric::Monochrome2) => vec!["MONOCHROME2"],
        };
        assert_eq!(found["interpretations"], serde_json::json!(expected));
        assert!(found["films"].as_u64().unwrap() > 8);
    }
}

#[test]
fn this_crate_decodes_the_dicom_films_to_the_png_ones() {
    let place = tempfile::tempdir().unwrap();
    let (root, plain) = (place.path().join("dicom"), place.path().join("png"));
    phantom::write(&dicom(None), &root, &mut |_| ()).unwrap();
    phantom::write(&PhantomConfig { format: FilmFormat::Png, ..dicom(None) }, &plain, &mut |_| ()).unwrap();
    let (films, pictures) = (testing::films_below(&root, "dcm"), testing::films_below(&plain, "png"));
    assert!(films.len() > 8);
    for (film, picture) in films.iter().zip(&pictures) {
        let (film, picture) = (film::decode(film).unwrap(), film::decode(picture).unwrap());
        assert_eq!(film.dimensions(), picture.dimensions());
        let apart = film.iter().zip(picture.iter()).map(|(a, b)| a.abs_diff(*b)).max();
        assert_eq!(apart, Some(0));
    }
}
