use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::geometry::{Ray, Vec3};
use super::write::splits;
use super::*;
use studies::Split;

fn small(studies: usize, seed: u64) -> PhantomConfig {
    PhantomConfig { studies, seed, longest_side: 80, ..PhantomConfig::default() }
}

/// Every file below `root` with its bytes.
fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// The area under the ROC curve: the share of pairs in which the abnormal one is larger, ties half.
fn auroc(values: &[(f64, bool)]) -> f64 {
    let (mut won, mut pairs) = (0.0, 0.0);
    for (p, _) in values.iter().filter(|v| v.1) {
        for (n, _) in values.iter().filter(|v| !v.1) {
            pairs += 1.0;
            won += if p > n { 1.0 } else { f64::from(u8::from(p == n)) * 0.5 };
        }
    }
    won / pairs
}

#[test]
fn the_same_seed_draws_the_same_films_and_another_seed_does_not() {
    let config = small(10, 4);
    let (one, two) = (study(&config, 2), study(&config, 2));
    assert_eq!(one.views.len(), two.views.len());
    for (a, b) in one.views.iter().zip(&two.views) {
        assert_eq!(a.image, b.image);
    }
    let other = study(&small(10, 5), 2);
    assert_ne!(one.views[0].image.as_raw(), other.views[0].image.as_raw());
}

#[test]
fn a_study_does_not_depend_on_the_size_of_its_set() {
    let more = PhantomConfig { studies: 5000, valid_fraction: 0.5, ..small(10, 0) };
    for number in [0, 7] {
        let (a, b) = (study(&small(10, 0), number), study(&more, number));
        assert_eq!((a.patient, a.label), (b.patient, b.label));
        assert!(a.views.iter().zip(&b.views).all(|(a, b)| a.image == b.image));
    }
}

#[test]
fn a_broken_arm_and_its_whole_twin_are_filmed_alike() {
    for number in 0..24 {
        let difficulty = Difficulty::HARD;
        let of = |abnormal_fraction| PhantomConfig { abnormal_fraction, difficulty, ..small(10, 1) };
        let (whole, broken) = (StudyPlan::new(&of(0.0), number), StudyPlan::new(&of(1.0), number));
        assert!(whole.fracture.is_none() && broken.fracture.is_some());
        // Debug text tells apart any two values of any field.
        assert_eq!(format!("{:?}", whole.setups), format!("{:?}", broken.setups));
        assert_eq!(format!("{:?}", whole.anatomy), format!("{:?}", broken.anatomy));
        assert_eq!(format!("{:?}", whole.texture), format!("{:?}", broken.texture));
        assert_eq!(format!("{:?}", whole.implant), format!("{:?}", broken.implant));
    }
}

#[test]
fn half_of_every_ten_studies_are_abnormal_in_no_fixed_order() {
    let config = PhantomConfig::default();
    let labels: Vec<usize> = (0..200).map(|number| label(&config, number).index()).collect();
    assert!(labels.chunks(2).all(|two| two.iter().sum::<usize>() == 1));
    for place in 0..10 {
        let abnormal: usize = labels.iter().skip(place).step_by(10).sum();
        assert!((3..=17).contains(&abnormal), "place {place}: {abnormal} of 20");
    }
}

#[test]
fn patients_are_disjoint_over_the_splits_and_labels_are_balanced_in_each() {
    for studies in [4, 6, 40, 333] {
        let config = small(studies, 9);
        let splits = splits(&config);
        let mut seen: BTreeMap<usize, Split> = BTreeMap::new();
        let mut counts: BTreeMap<(Split, Label), usize> = BTreeMap::new();
        for (number, &split) in splits.iter().enumerate() {
            assert_eq!(*seen.entry(patient(number).0).or_insert(split), split);
            *counts.entry((split, label(&config, number))).or_default() += 1;
        }
        assert_eq!(counts.len(), 4, "{studies}: {counts:?}");
        let valid = splits.iter().filter(|&&s| s == Split::Valid).count();
        assert!(valid.abs_diff(studies / 4) <= 1, "{valid} of {studies}");
    }
}

#[test]
fn a_mask_lies_on_broken_bone_is_compact_and_fills_its_box() {
    for difficulty in [Difficulty::EASY, Difficulty::MEDIUM, Difficulty::HARD] {
        masks_are_true(difficulty);
    }
}

fn masks_are_true(difficulty: Difficulty) {
    let config = PhantomConfig { longest_side: 128, abnormal_fraction: 1.0, difficulty, ..PhantomConfig::default() };
    let mut areas = Vec::new();
    for number in 0..40 {
        let plan = StudyPlan::new(&config, number);
        let study = study(&config, number);
        for (view, setup) in study.views.iter().zip(&plan.setups) {
            let mask = view.mask.as_ref().unwrap();
            assert_eq!(mask.dimensions(), view.image.dimensions());
            let [x, y, width, height] = view.bounding_box.unwrap();
            assert!(x + width <= mask.width() && y + height <= mask.height());
            let (mut white, mut bone) = (0, 0);
            let mut edges = [false; 4];
            for (px, py, pixel) in mask.enumerate_pixels() {
                if pixel.0[0] == 0 {
                    continue;
                }
                assert!(px >= x && px < x + width && py >= y && py < y + height);
                for (edge, hit) in edges.iter_mut().zip([px == x, py == y, px == x + width - 1, py == y + height - 1]) {
                    *edge |= hit;
                }
                white += 1;
                let (u, v) = setup.to_arm(setup.on_film(px as f32 + 0.5, py as f32 + 0.5));
                bone += usize::from(plan.fragments.list.iter().any(|fragment| {
                    let ray = Ray {
                        origin: fragment.motion.undo(Vec3::new(u * setup.across().x, u * setup.across().y, v)),
                        direction: fragment.motion.turn_back(setup.beam()),
                    };
                    let met = fragment.cross(&plan.anatomy.humerus, &ray);
                    met.is_some_and(|met| met.cortical > 0.0)
                }));
            }
            assert_eq!(edges, [true; 4], "the box is larger than its mask");
            assert!(2 * bone > white, "study {number}: {bone} of {white} mask pixels on bone");
            areas.push(f64::from(white as u32) / f64::from(mask.width() * mask.height()));
        }
    }
    areas.sort_by(f64::total_cmp);
    let at = |share: f64| areas[(share * (areas.len() - 1) as f64) as usize];
    let (median, most, largest) = (at(0.5), at(0.95), at(1.0));
    assert!(
        (0.003..0.02).contains(&median) && most < 0.06 && largest < 0.10,
        "{difficulty}: {median} {most} {largest}"
    );
}

#[test]
fn neither_size_nor_count_nor_mean_grey_nor_noise_tells_the_label() {
    let config = PhantomConfig { longest_side: 64, ..PhantomConfig::default() };
    let mut features: [Vec<(f64, bool)>; 5] = Default::default();
    for number in 0..150 {
        let study = study(&config, number);
        let abnormal = study.label == Label::Abnormal;
        features[0].push((study.views.len() as f64, abnormal));
        for view in &study.views {
            let pixels: Vec<f64> = view.image.iter().map(|&p| f64::from(p)).collect();
            let mean = pixels.iter().sum::<f64>() / pixels.len() as f64;
            let rough = pixels.windows(2).map(|p| (p[1] - p[0]).abs()).sum::<f64>() / pixels.len() as f64;
            let (width, height) = view.image.dimensions();
            features[1].push((f64::from(width * height), abnormal));
            features[2].push((f64::from(width) / f64::from(height), abnormal));
            features[3].push((mean, abnormal));
            features[4].push((rough, abnormal));
        }
    }
    for (name, values) in ["views", "area", "aspect", "mean grey", "roughness"].iter().zip(&features) {
        let auroc = auroc(values);
        assert!((auroc - 0.5).abs() < 0.1, "{name}: AUROC {auroc:.3}");
    }
}

#[test]
fn bone_is_bright_and_air_is_dark() {
    let config = PhantomConfig { longest_side: 128, abnormal_fraction: 0.0, ..PhantomConfig::default() };
    for number in 0..10 {
        let plan = StudyPlan::new(&config, number);
        let study = study(&config, number);
        for (view, setup) in study.views.iter().zip(&plan.setups) {
            let (mut bone, mut air) = (Vec::new(), Vec::new());
            for (x, y, pixel) in view.image.enumerate_pixels() {
                let (u, v) = setup.to_arm(setup.on_film(x as f32 + 0.5, y as f32 + 0.5));
                let shaft = (0.35..0.65).contains(&(v / plan.anatomy.length));
                if shaft && u.abs() < 8.0 {
                    bone.push(pixel.0[0]);
                } else if shaft && u < -1.8 * plan.anatomy.arm {
                    air.push(pixel.0[0]);
                }
            }
            bone.sort_unstable();
            air.sort_unstable();
            let bone = bone[bone.len() / 2];
            assert!((110..=250).contains(&bone), "study {number}: bone {bone}");
            if !air.is_empty() {
                let air = air[air.len() / 2];
                assert!(air < 40, "study {number}: air {air}");
            }
        }
    }
}

#[test]
fn a_set_is_laid_out_as_mura_with_the_truth_beside() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("made-up");
    let config = small(24, 0);
    let set = write(&config, &root, &mut |_| ()).unwrap();
    assert_eq!((set.studies, set.abnormal, set.reused), (24, 12, false));
    let files = files(&root);
    let text = |name: &str| String::from_utf8(files[name].clone()).unwrap();
    let (mut listed, mut patients) = (BTreeSet::new(), Vec::new());
    for split in ["train", "valid"] {
        let mut of_split = BTreeSet::new();
        for line in text(&format!("{split}_image_paths.csv")).lines() {
            let path = line.strip_prefix("made-up/").unwrap();
            let parts: Vec<&str> = path.split('/').collect();
            assert_eq!((parts[0], parts[1], parts.len()), (split, "XR_HUMERUS", 5));
            of_split.insert(parts[2].to_owned());
            let mask = format!("truth/{}_mask.png", path.strip_suffix(".png").unwrap());
            assert_eq!(files.contains_key(&mask), parts[3].ends_with("_positive"), "{mask}");
            assert!(files.contains_key(path));
            listed.insert(path.to_owned());
        }
        for line in text(&format!("{split}_labeled_studies.csv")).lines() {
            let (folder, label) = line.split_once(',').unwrap();
            assert_eq!(folder.ends_with("_positive/"), label == "1", "{line}");
            let folder = folder.strip_prefix("made-up/").unwrap();
            assert!(listed.iter().any(|path| path.starts_with(folder)));
        }
        patients.push(of_split);
    }
    assert!(patients[0].is_disjoint(&patients[1]));
    assert_eq!(set.patients, patients[0].len() + patients[1].len());
    let images = files.keys().filter(|name| name.contains("/image") && !name.starts_with("truth"));
    assert_eq!(images.cloned().collect::<BTreeSet<_>>(), listed);
    assert_eq!(set.views, listed.len());

    let truth: serde_json::Value = serde_json::from_str(&text("truth/annotations.json")).unwrap();
    let named = truth["images"].as_array().unwrap().iter().map(|image| image["file_name"].as_str().unwrap().to_owned());
    assert_eq!(named.collect::<BTreeSet<_>>(), listed);
    for path in &listed {
        let image = image::load_from_memory(&files[path]).unwrap();
        assert_eq!(image.color(), image::ColorType::L8);
        assert_eq!(image.width().max(image.height()), 80);
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_byte() {
    let place = tempfile::tempdir().unwrap();
    let config = small(9, 2);
    let (one, three) = (place.path().join("1/set"), place.path().join("3/set"));
    let mut told = Vec::new();
    for (threads, out) in [(1, &one), (3, &three)] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| write(&config, out, &mut |tally| told.push((tally.done, tally.of)))).unwrap();
    }
    assert_eq!(files(&one), files(&three));
    assert_eq!(told, [(8, 9), (9, 9), (9, 9)]);
}

#[test]
fn a_set_that_is_there_is_used_again_and_nothing_foreign_is_touched() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("set");
    fs::create_dir(&root).unwrap();
    let first = write(&small(3, 0), &root, &mut |_| ()).unwrap();
    let before = files(place.path());
    let again = write(&small(3, 0), &root, &mut |_| panic!("drawn again")).unwrap();
    assert_eq!(again, PhantomSet { reused: true, ..first });
    let card = fs::read_to_string(root.join("phantom.json")).unwrap();
    let drawing = format!("\"drawing\": {DRAWING_VERSION}");
    assert!(card.contains(&drawing), "{card}");
    for older in [card.replace(&drawing, "\"drawing\": 1"), card.replace(&format!("{drawing},"), "")] {
        fs::write(root.join("phantom.json"), older).unwrap();
        let refused = write(&small(3, 0), &root, &mut |_| ()).unwrap_err().to_string();
        assert!(refused.contains("another version"), "{refused}");
    }
    fs::write(root.join("phantom.json"), card).unwrap();
    let other = write(&small(3, 1), &root, &mut |_| ()).unwrap_err().to_string();
    assert!(other.contains("other settings") && !other.contains('\n'), "{other}");

    let foreign = place.path().join("films");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("thesis.txt"), "years of work").unwrap();
    let refused = write(&small(3, 0), &foreign, &mut |_| ()).unwrap_err().to_string();
    assert!(refused.contains("holds other files"), "{refused}");
    let file = foreign.join("thesis.txt");
    let refused = write(&small(3, 0), &file, &mut |_| ()).unwrap_err().to_string();
    assert!(refused.contains("is a file"), "{refused}");
    fs::remove_file(&file).unwrap();
    fs::remove_dir(&foreign).unwrap();
    // No temporary folder is left behind, and the set is as it was.
    assert_eq!(files(place.path()), before);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
}

#[test]
fn a_set_that_has_lost_files_gets_the_same_ones_back_and_a_changed_one_stays_as_it_is() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("set");
    let config = PhantomConfig { hardware_fraction: Some(1.0), ..small(4, 0) };
    let first = write(&config, &root, &mut |_| ()).unwrap();
    assert_eq!(first.completed, 0);
    let whole = files(&root);
    let (films, masks): (Vec<&String>, Vec<&String>) =
        whole.keys().filter(|path| path.ends_with(".png")).partition(|path| !path.starts_with("truth/"));
    // Each alone, and all of a kind together.
    let annotations = "truth/annotations.json".to_owned();
    let kinds = [vec![films[1]], vec![masks[0]], vec![&annotations], films.clone(), masks.clone()];
    for lost in kinds.into_iter().chain([vec![whole.keys().find(|path| path.ends_with("_paths.csv")).unwrap()]]) {
        lost.iter().for_each(|path| fs::remove_file(root.join(path)).unwrap());
        let again = write(&config, &root, &mut |_| ()).unwrap();
        assert_eq!(again, PhantomSet { completed: lost.len(), ..first.clone() });
        assert_eq!(files(&root), whole);
        assert!(write(&config, &root, &mut |_| panic!("drawn again")).unwrap().reused);
    }
    // A film cut short is not replaced behind the reader's back; what is missing comes back all the same.
    fs::write(root.join(films[0]), &whole[films[0]][..50]).unwrap();
    fs::remove_file(root.join(films[1])).unwrap();
    let refused = write(&config, &root, &mut |_| ()).unwrap_err().to_string();
    assert!(refused.contains(films[0]) && refused.contains("remove it to have it drawn again"), "{refused}");
    assert_eq!(fs::read(root.join(films[1])).unwrap(), whole[films[1]]);
    fs::remove_file(root.join(films[0])).unwrap();
    assert_eq!(write(&config, &root, &mut |_| ()).unwrap().completed, 1);
    // The reader's own files stay, and a set that was renamed is still known: its tables begin with the old name.
    let renamed = place.path().join("renamed");
    fs::rename(&root, &renamed).unwrap();
    fs::write(renamed.join("thesis.txt"), "years of work").unwrap();
    fs::remove_file(renamed.join(films[0])).unwrap();
    assert_eq!(write(&config, &renamed, &mut |_| ()).unwrap().completed, 1);
    assert!(write(&config, &renamed, &mut |_| panic!("drawn again")).unwrap().reused);
    assert_eq!(fs::read_to_string(renamed.join("thesis.txt")).unwrap(), "years of work");
    // No unfinished folder stays behind.
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let default = PhantomConfig::default;
    let cases = [
        (PhantomConfig { studies: 0, ..default() }, "studies"),
        (PhantomConfig { longest_side: 63, ..default() }, "longest_side"),
        (PhantomConfig { longest_side: 4096, ..default() }, "longest_side"),
        (PhantomConfig { valid_fraction: 1.0, ..default() }, "valid_fraction"),
        (PhantomConfig { abnormal_fraction: f64::NAN, ..default() }, "abnormal_fraction"),
        (PhantomConfig { subtle_fraction: Some(-0.1), ..default() }, "subtle_fraction"),
        (PhantomConfig { plaster_fraction: Some(1.1), ..default() }, "plaster_fraction"),
        (PhantomConfig { hardware_fraction: Some(f64::NAN), ..default() }, "hardware_fraction"),
        (PhantomConfig { hardware_correlation: -1.1, ..default() }, "hardware_correlation"),
        (PhantomConfig { fluence: Some(0.0), ..default() }, "fluence"),
    ];
    let place = tempfile::tempdir().unwrap();
    for (config, name) in cases {
        let error = write(&config, &place.path().join("set"), &mut |_| ()).unwrap_err();
        assert!(matches!(error, Error::Setting { what, .. } if what == name), "{error}");
    }
    default().validate().unwrap();
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}
