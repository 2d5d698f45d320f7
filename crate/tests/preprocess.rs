//! Decoding and resizing against Pillow, which the Python world trains with.

use std::path::PathBuf;

use humerus::dataset;
use humerus::preprocess::{Fit, Preprocess, decode};
use testing::{difference, golden_grey};

#[derive(serde::Deserialize)]
struct Golden {
    path: PathBuf,
    lossy: bool,
}

/// Some real films, evenly chosen, where the shared data is there.
fn real_films() -> Vec<PathBuf> {
    let Some(root) = testing::shared("fracatlas-upper-limb") else { return Vec::new() };
    let index = dataset::index(root).unwrap();
    index.studies.iter().step_by(50).map(|study| study.views[0].path.clone()).collect()
}

#[test]
fn png_is_pillows_to_the_bit_jpeg_within_two_levels_and_resizing_within_one() {
    let Some(python) = testing::python() else { return };
    let size = 224;
    let out = tempfile::tempdir().unwrap();
    let (films, pixels) = (real_films(), size.to_string());
    let arguments =
        [out.path().as_os_str(), pixels.as_ref()].into_iter().chain(films.iter().map(|film| film.as_os_str()));
    testing::script(&python, "parts/film/tests/golden/preprocess.py", &arguments.collect::<Vec<_>>());
    let golden: Vec<Golden> = serde_json::from_slice(&std::fs::read(out.path().join("index.json")).unwrap()).unwrap();
    assert!(golden.len() >= 50);

    let mut worst = [(0, 0.0); 3];
    let mut note = |at: usize, (max, mean): (u8, f64)| {
        worst[at] = (worst[at].0.max(max), f64::max(worst[at].1, mean));
        max
    };
    for (at, Golden { path, lossy }) in golden.iter().enumerate() {
        let what = path.display().to_string();
        let ours = decode(path).unwrap();
        let grey = golden_grey(&out.path().join(format!("{at}.grey.png")));
        let decoded = difference(&ours, &grey, &what);
        let allowed = if *lossy { 2 } else { 0 };
        assert!(note(usize::from(*lossy), decoded) <= allowed, "{what}: decoded pixels differ by {decoded:?}");
        let window = Some([1.0, 99.0]);
        for (fit, window, name) in
            [(Fit::Letterbox, None, "letterbox"), (Fit::Stretch, None, "stretch"), (Fit::Stretch, window, "window")]
        {
            let preprocess = Preprocess { size, fit, window, ..Preprocess::default() };
            let pillows = golden_grey(&out.path().join(format!("{at}.{name}.png")));
            let resized = difference(&preprocess.square(&grey), &pillows, &what);
            assert!(note(2, resized) <= 1, "{what}: {name} differs by {resized:?}");
        }
    }
    println!(
        "{} files; largest difference and largest mean difference: PNG {:?}, JPEG {:?}, resized {:?}",
        golden.len(),
        worst[0],
        worst[1],
        worst[2]
    );
}
