//! Every way in which DICOM may store grey, crossed, against the standard in numpy and against pydicom: see
//! `golden/dicom_matrix.py`. Each film is right within one grey level or refused by name.

use std::collections::BTreeMap;
use std::path::PathBuf;

use humerus_film::{Doubt, decode, examine, inspect};

#[derive(serde::Deserialize)]
struct Film {
    name: String,
    path: PathBuf,
    /// What it looks like, or what its refusal must say.
    picture: Option<PathBuf>,
    refusal: Option<String>,
    /// Its look-up table holds other bits than it declares.
    doubtful: bool,
}

#[test]
fn every_film_of_the_matrix_is_right_within_one_level_or_refused_by_name() {
    let Some(python) = testing::python() else { return };
    let out = tempfile::tempdir().unwrap();
    println!("{}", testing::script(&python, "parts/film/tests/golden/dicom_matrix.py", &[out.path().as_os_str()]));
    let films: Vec<Film> = serde_json::from_slice(&std::fs::read(out.path().join("index.json")).unwrap()).unwrap();
    let mut wrong = Vec::new();
    let mut off: BTreeMap<u8, usize> = BTreeMap::new();
    let mut refused = 0;
    for Film { name, path, picture, refusal, doubtful } in &films {
        match (examine(path), picture) {
            (Ok((film, doubts)), Some(picture)) => {
                let want = image::open(picture).unwrap().into_luma8();
                assert_eq!(film.dimensions(), want.dimensions(), "{name}");
                let most = film.as_raw().iter().zip(want.as_raw()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
                *off.entry(most).or_default() += 1;
                if most > 1 {
                    wrong.push(format!("{name}: differs by {most}"));
                }
                if doubts.contains(&Doubt::LookUpTable) != *doubtful {
                    wrong.push(format!("{name}: doubts {doubts:?}"));
                }
            }
            (Err(error), None) => {
                refused += 1;
                let (message, refusal) = (error.to_string(), refusal.as_deref().unwrap());
                let is_known_at_once = inspect(&std::fs::read(path).unwrap()).is_err();
                if !message.contains(refusal) || !is_known_at_once || decode(path).is_ok() {
                    wrong.push(format!("{name}: {message}, expected {refusal}"));
                }
            }
            (Ok(_), None) => wrong.push(format!("{name}: decoded, expected {}", refusal.as_deref().unwrap())),
            (Err(error), Some(_)) => wrong.push(format!("{name}: {error}")),
        }
    }
    println!("{} films, {refused} refused; films by largest difference: {off:?}", films.len());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(films.len() > 3000 && refused > 25);
}
