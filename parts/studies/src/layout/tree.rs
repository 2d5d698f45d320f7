//! Every file below a root, and whether it is a whole picture.

use std::io::Cursor;
use std::path::{Component, Path, PathBuf};

use image::metadata::Orientation;
use image::{ImageDecoder, ImageFormat, ImageReader};
use rayon::prelude::*;
use walkdir::WalkDir;
use xxhash_rust::xxh3::xxh3_128;

use crate::skipped::{SkipReason, Skipped};
use crate::study::View;
use crate::warning::{Warning, WarningKind};
use crate::words::files;
use crate::{Error, Result};
use files::regular::special;
use film::{DicomHeader, Format, dicom_header};

/// A file below the root.
#[derive(Debug, Clone)]
pub(super) struct ListedFile {
    /// As walked: begins with the root as it was given.
    pub path: PathBuf,
    /// The same, absolute, so that folders above the root can say split and part.
    pub absolute: PathBuf,
}

/// The files of a folder.
#[derive(Debug)]
pub(super) struct Tree {
    /// The folder as it was given.
    pub root: PathBuf,
    /// The same, absolute.
    pub base: PathBuf,
    /// In the order of paths.
    pub entries: Vec<ListedFile>,
    /// Hidden files, what is no regular file, and what cannot be listed.
    pub skipped: Vec<Skipped>,
}

/// What a layout makes of a file, from its path alone.
pub(super) enum FilePlace {
    /// A film, if its bytes are a picture.
    Film,
    /// A file that belongs to the layout without being a film.
    Companion,
    /// Not part of the layout, for this reason.
    Outside(SkipReason),
}

/// A file that is a whole picture.
#[derive(Debug, Clone)]
pub(super) struct FilmFile {
    pub path: PathBuf,
    pub absolute: PathBuf,
    pub picture: Picture,
}

/// What the bytes of a picture say without decoding a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Picture {
    /// Stored width and height.
    pub size: [u32; 2],
    /// XXH3 of the file.
    pub content: u128,
    /// Whether EXIF asks for it to be turned or mirrored.
    pub is_turned: bool,
    /// Whether it has a header that names patient and study.
    pub is_dicom: bool,
}

impl FilmFile {
    /// What a DICOM file says about its film; `None` for other pictures.
    pub fn header(&self) -> Option<DicomHeader> {
        if self.picture.is_dicom { dicom_header(&self.path).ok() } else { None }
    }

    /// The film as a view of which nothing else is known.
    pub fn view(&self) -> View {
        View { size: Some(self.picture.size), content: Some(self.picture.content), ..View::new(&self.path) }
    }
}

/// The files of a tree as one layout sees them.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    pub films: Vec<FilmFile>,
    pub companions: Vec<PathBuf>,
    pub skipped: Vec<Skipped>,
}

impl Tree {
    /// Walks the folder `root`, following links.
    pub fn walk(root: &Path) -> Result<Tree> {
        let base = absolute(root)?;
        let (entries, skipped) = walk(root, &base);
        Ok(Tree { root: root.to_owned(), base, entries, skipped })
    }

    /// The path below the root.
    pub fn below<'a>(&self, entry: &'a ListedFile) -> &'a Path {
        entry.path.strip_prefix(&self.root).unwrap_or(&entry.path)
    }

    /// An absolute path as the reader would write it: beginning with the root as it was given.
    pub fn as_given(&self, absolute: &Path) -> PathBuf {
        match absolute.strip_prefix(&self.base) {
            Ok(below) => self.root.join(below),
            Err(_) => absolute.to_owned(),
        }
    }

    /// Each file by its place; what should be a film is read and checked.
    pub fn sort(&self, place: impl Fn(&ListedFile) -> FilePlace) -> Sorted {
        let mut sorted = Sorted::default();
        let mut candidates = Vec::new();
        for entry in &self.entries {
            match place(entry) {
                FilePlace::Companion => sorted.companions.push(entry.path.clone()),
                place => candidates.push((entry, place)),
            }
        }
        let pictures = candidates.par_iter().map(|(entry, _)| check(&entry.path)).collect::<Vec<_>>();
        for ((entry, place), picture) in candidates.into_iter().zip(pictures) {
            let ListedFile { path, absolute } = entry.clone();
            match (place, picture) {
                (FilePlace::Outside(reason), Ok(_)) => sorted.skipped.push(Skipped::new(path, reason)),
                (_, Ok(picture)) => sorted.films.push(FilmFile { path, absolute, picture }),
                (_, Err(flaw)) => sorted.skipped.push(Skipped::new(path, flaw)),
            }
        }
        sorted
    }
}

impl Sorted {
    /// The warning of films that EXIF turns, if there are any.
    pub fn turned(&self) -> Option<Warning> {
        turned(&self.films)
    }
}

/// The warning of films that EXIF turns, if there are any.
pub(super) fn turned(films: &[FilmFile]) -> Option<Warning> {
    let turned: Vec<PathBuf> =
        films.iter().filter(|film| film.picture.is_turned).map(|film| film.path.clone()).collect();
    let message = format!("{} stored turned or mirrored; decoded upright, as EXIF says", files(turned.len()));
    (!turned.is_empty()).then(|| Warning::new(WarningKind::ExifRotated, turned, message))
}

/// Reads a file; the reason if it is not a whole picture.
pub(super) fn check(path: &Path) -> std::result::Result<Picture, SkipReason> {
    let bytes = film::read(path).map_err(|error| SkipReason::Unreadable(error.to_string()))?;
    let header = film::inspect(&bytes).map_err(SkipReason::Picture)?;
    Ok(Picture {
        size: [header.width, header.height],
        content: xxh3_128(&bytes),
        is_turned: is_turned(&bytes, header.format),
        is_dicom: header.format == Format::Dicom,
    })
}

/// Whether the picture has an EXIF orientation other than upright.
fn is_turned(bytes: &[u8], format: Format) -> bool {
    let format = match format {
        Format::Png => ImageFormat::Png,
        Format::Jpeg => ImageFormat::Jpeg,
        Format::Dicom => return false,
    };
    let orientation = ImageReader::with_format(Cursor::new(bytes), format)
        .into_decoder()
        .and_then(|mut decoder| decoder.orientation())
        .unwrap_or(Orientation::NoTransforms);
    orientation != Orientation::NoTransforms
}

/// Why there is no file to read at a path, and whether that is because nothing is there.
pub(super) fn no_file(path: &Path) -> (String, bool) {
    match std::fs::metadata(path) {
        Ok(it) => (format!("{}, not a regular file", special(&it.file_type()).unwrap_or("folder")), false),
        Err(_) => ("there is no such file".to_owned(), true),
    }
}

/// The root with the names of all folders above it, as the reader wrote them: a link keeps its name.
pub(super) fn absolute(root: &Path) -> Result<PathBuf> {
    if root.components().any(|part| part == Component::ParentDir) {
        root.canonicalize().map_err(Error::io(root))
    } else {
        std::path::absolute(root).map_err(Error::io(root))
    }
}

/// Every file below `root` in the order of paths; hidden ones, those that are no regular files and what cannot be
/// listed are skipped at once.
fn walk(root: &Path, base: &Path) -> (Vec<ListedFile>, Vec<Skipped>) {
    let mut entries = Vec::new();
    let mut skipped = Vec::new();
    for entry in WalkDir::new(root).follow_links(true).sort_by_file_name() {
        let entry = match entry {
            Ok(entry) if entry.file_type().is_dir() => continue,
            Ok(entry) => match special(&entry.file_type()) {
                Some(what) => {
                    skipped.push(Skipped::new(entry.into_path(), SkipReason::NoRegularFile(what)));
                    continue;
                }
                None => entry,
            },
            Err(error) => {
                let path = error.path().unwrap_or(root).to_owned();
                skipped.push(Skipped::new(path, SkipReason::Unreadable(error.to_string())));
                continue;
            }
        };
        let path = entry.into_path();
        let below = path.strip_prefix(root).unwrap_or(&path);
        let name = below.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("._") {
            skipped.push(Skipped::new(path, SkipReason::ResourceFork));
        } else if below.iter().any(|part| part.to_string_lossy().starts_with('.')) {
            skipped.push(Skipped::new(path, SkipReason::Hidden));
        } else {
            let absolute = base.join(below);
            entries.push(ListedFile { path, absolute });
        }
    }
    (entries, skipped)
}
