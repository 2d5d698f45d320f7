//! JPEGs of every lawful form against libjpeg-turbo: right within two levels, or refused; never silently wrong.

use std::collections::BTreeMap;
use std::path::PathBuf;

use humerus_film::decode;

/// A file of the script, which says what each kind is.
#[derive(serde::Deserialize)]
struct File {
    path: PathBuf,
    name: String,
    kind: String,
    tolerance: u8,
}

#[test]
fn every_lawful_jpeg_is_libjpeg_turbos_picture_or_refused_by_name() {
    let Some(python) = testing::python() else { return };
    let out = tempfile::tempdir().unwrap();
    testing::script(&python, "parts/film/tests/golden/jpeg.py", &[out.path().as_os_str()]);
    let files: Vec<File> = serde_json::from_slice(&std::fs::read(out.path().join("index.json")).unwrap()).unwrap();
    let (mut counts, mut worst, mut wrong) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    let mut refusals: BTreeMap<String, usize> = BTreeMap::new();
    for (at, file) in files.iter().enumerate() {
        let outcome = match (decode(&file.path), file.kind.as_str()) {
            (Ok(_), "refused") => Err("decoded, though libjpeg-turbo has no picture of it".to_owned()),
            (Ok(ours), _) => {
                let truth = image::open(out.path().join(format!("{at}.png"))).unwrap().into_luma8();
                assert_eq!(ours.dimensions(), truth.dimensions(), "{}", file.name);
                let off = ours.as_raw().iter().zip(truth.as_raw()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
                *worst.entry(off).or_insert(0) += 1;
                if off <= file.tolerance { Ok("right") } else { Err(format!("off by {off} levels")) }
            }
            (Err(error), "picture") => Err(error.to_string()),
            (Err(error), _) => {
                let message = error.to_string();
                assert_eq!(message.lines().count(), 1, "{message}");
                let reason = message.rsplit_once(".dcm: ").or_else(|| message.rsplit_once(".jpg: ")).unwrap().1;
                *refusals.entry(reason.to_owned()).or_default() += 1;
                Ok("refused")
            }
        };
        match outcome {
            Ok(outcome) => *counts.entry((file.kind.as_str(), outcome)).or_insert(0) += 1,
            Err(how) => wrong.push(format!("{}: {how}", file.name)),
        }
    }
    println!("{} files: {counts:?}; largest differences {worst:?}\n{refusals:#?}", files.len());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(counts[&("picture", "right")] > 1000 && counts[&("refused", "refused")] > 30, "{counts:?}");
}
