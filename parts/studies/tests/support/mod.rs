//! Sets of films in the layouts, and what to ask of their index.

use std::path::PathBuf;

use humerus_studies::{self as dataset, Index, WarningKind};
use humerus_studies::{Error, Label, Study};
use phantom::{FilmFormat, PhantomConfig};

use testing::TestSet;

/// The study of that name.
pub fn study<'a>(index: &'a Index, id: &str) -> &'a Study {
    let ids: Vec<&str> = index.studies.iter().map(|study| study.id.as_str()).collect();
    index.studies.iter().find(|study| study.id == id).unwrap_or_else(|| panic!("no {id} among {ids:?}"))
}

/// The warnings of a kind: message and files.
pub fn warned(index: &Index, kind: WarningKind) -> Vec<(String, Vec<PathBuf>)> {
    let of_kind = index.warnings.iter().filter(|warning| warning.kind == kind);
    of_kind.map(|warning| (warning.message.clone(), warning.paths.clone())).collect()
}

/// The message of an error, which is one line.
pub fn one_line(error: Error) -> String {
    let line = error.to_string();
    assert_eq!(line.lines().count(), 1, "{line}");
    line
}

/// Phantoms as DICOM files in one flat folder, with their label.
pub fn dicom_set(set: &TestSet) -> Vec<(PathBuf, Label)> {
    let config = PhantomConfig { studies: 8, longest_side: 96, format: FilmFormat::Dicom, ..PhantomConfig::default() };
    let source = tempfile::tempdir().unwrap();
    phantom::write(&config, &source.path().join("set"), &mut |_| ()).unwrap();
    let index = dataset::index(source.path().join("set")).unwrap();
    let views = index.studies.iter().flat_map(|study| study.views.iter().map(move |view| (study.label, view)));
    let copy = |(n, (label, view)): (usize, (Label, &humerus_studies::View))| {
        let path = set.root().join(format!("IM{n:03}"));
        std::fs::copy(&view.path, &path).unwrap();
        (path, label)
    };
    views.enumerate().map(copy).collect()
}

/// Two parts, two splits, and tables that list exactly what is there.
pub fn mura(set: &TestSet) {
    let mut number = 0;
    for split in ["train", "valid"] {
        let (mut films, mut labels) = (String::new(), String::new());
        for part in ["XR_HUMERUS", "XR_WRIST"] {
            for (patient, label) in [(1, "positive"), (2, "negative"), (3, "negative")] {
                let patient = patient + if split == "valid" { 100 } else { 0 };
                let study = format!("{split}/{part}/patient{patient:05}/study1_{label}/");
                labels += &format!("MURA-v1.1/{study},{}\n", u8::from(label == "positive"));
                set.film(&format!("{study}image1.png"), number);
                films += &format!("MURA-v1.1/{study}image1.png\n");
                number += 1;
            }
        }
        set.file(&format!("{split}_image_paths.csv"), films);
        set.file(&format!("{split}_labeled_studies.csv"), labels);
    }
}
