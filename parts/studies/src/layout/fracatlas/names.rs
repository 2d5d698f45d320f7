//! What a film's path says.

use std::path::{Path, PathBuf};

use crate::study::Label;

/// From the folder, which must lie in `images`.
pub(super) fn label(path: &Path) -> Option<Label> {
    let folder = path.parent()?;
    let label = match folder.file_name()?.to_str()? {
        "Fractured" => Label::Abnormal,
        "Non_fractured" => Label::Normal,
        _ => return None,
    };
    (folder.parent()?.file_name()? == "images").then_some(label)
}

/// `IMG0000263.jpg` is image 263.
pub(super) fn number(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.strip_prefix("IMG")?.parse().ok()
}

/// The folder that holds `images` and `Annotations`.
pub(super) fn home(film: &Path) -> Option<PathBuf> {
    film.ancestors().nth(3).map(Path::to_owned)
}
