//! A study is one examination of one patient; a view is one film of it.

use std::fmt;
use std::path::{Path, PathBuf};

use files::{lossy, lossy_if_any};
use serde::{Deserialize, Serialize};

/// What the data set claims about a study. MURA's positive label means *abnormal*, which is wider than *fracture*:
/// hardware, degenerative disease and lesions count as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// Nothing abnormal was reported.
    Normal,
    /// Something abnormal was reported.
    Abnormal,
}

impl Label {
    /// Both labels in class order: index 0 is normal, index 1 is abnormal, in every model of this crate.
    pub const ALL: [Label; 2] = [Label::Normal, Label::Abnormal];

    /// The class index, `0` or `1`.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The label as it is written in model cards and figures.
    pub fn name(self) -> &'static str {
        match self {
            Label::Normal => "normal",
            Label::Abnormal => "abnormal",
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The part a study plays in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// The network learns from it.
    Train,
    /// Taken out of the training patients to choose the best epoch; never learnt from.
    Tune,
    /// Held out: scored once, at the end. MURA calls it *valid*.
    Valid,
}

impl Split {
    /// Every split, in the order of tables.
    pub const ALL: [Split; 3] = [Split::Train, Split::Tune, Split::Valid];

    /// The split as it is written in folders and tables.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Tune => "tune",
            Split::Valid => "valid",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A place on a film that the data set points out, for example a fracture. Pixels of the upright image, origin at the
/// outer corner of the first pixel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// `[x, y, width, height]`, as in COCO.
    pub bbox: [f32; 4],
    /// Closed outlines of `[x, y]` corners; none if only the box is known.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub outlines: Vec<Vec<[f32; 2]>>,
}

/// One film of a study.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// The image file.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// White where the fracture is, when the data set knows: same size as the image. Phantoms have it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "lossy_if_any", default)]
    pub mask: Option<PathBuf>,
    /// What the data set points out on this film. FracAtlas has it for every fractured film.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub findings: Vec<Finding>,
    /// Stored width and height in pixels, before an EXIF orientation is applied; none if nobody looked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub size: Option<[u32; 2]>,
    /// How the beam went, in the data set's words, for example `frontal` or `LATERAL`; only where the data set says so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub projection: Option<String>,
    /// What else the data set says about this film, for example FracAtlas' `hardware` and `multiscan`: shortcuts to
    /// report on.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub tags: Vec<String>,
    /// XXH3 (128 bits) of the file's bytes; none if nobody read it. Not saved: it says nothing that the file does not.
    #[serde(skip)]
    pub content: Option<u128>,
}

impl View {
    /// A view of which only the film is known.
    pub fn new(path: impl Into<PathBuf>) -> View {
        View { path: path.into(), ..View::default() }
    }
}

/// One examination of one patient. MURA labels whole studies, so its views share one label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Study {
    /// Unique in its index, for example `train/XR_HUMERUS/patient00001/study1`.
    pub id: String,
    /// The patient, where the data set names one.
    pub patient: Option<String>,
    /// What a split must never tear apart: the patient, or a block of neighbouring image numbers where none is named.
    pub group: String,
    /// The body part, for example `XR_HUMERUS`, where the data set names one.
    pub part: Option<String>,
    /// The split this study belongs to.
    pub split: Split,
    /// What the data set claims.
    pub label: Label,
    /// The films, ordered by path; at least one.
    pub views: Vec<View>,
}

impl Study {
    /// The folder that holds the first film.
    pub fn folder(&self) -> &Path {
        self.views.first().and_then(|view| view.path.parent()).unwrap_or(Path::new(""))
    }
}
