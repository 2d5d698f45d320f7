//! What is doubtful about a data set without making a file unusable.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use files::in_line;
use files::lossy_all;

use film::Doubt;

/// Something that a reader should look at before trusting figures made from these films.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// What kind of doubt.
    pub kind: WarningKind,
    /// The files it is about, beginning with the root as it was given; a listed file that is missing is named too.
    #[serde(serialize_with = "lossy_all")]
    pub paths: Vec<PathBuf>,
    /// One sentence with the evidence.
    pub message: String,
}

impl Warning {
    pub(super) fn new(kind: WarningKind, paths: impl Into<Vec<PathBuf>>, message: impl Into<String>) -> Warning {
        Warning { kind, paths: paths.into(), message: in_line(message.into()) }
    }
}

/// The kinds of [`Warning`]. Serialised in kebab case, as [`WarningKind::name`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WarningKind {
    /// A table claims another label than the folder. The folder counts.
    ConflictingLabel,
    /// One study of one patient is labelled normal and abnormal.
    StudyWithTwoLabels,
    /// The same film, or nearly, is labelled normal and abnormal.
    ConflictingDuplicate,
    /// Files of the same content in two splits.
    DuplicateAcrossSplits,
    /// Nearly identical films in two splits.
    NearDuplicateAcrossSplits,
    /// One patient has studies in two splits.
    PatientInTwoSplits,
    /// Files of the same content.
    Duplicate,
    /// Nearly identical films: copies that were encoded, scaled or cut anew, or are damaged in part.
    NearDuplicate,
    /// A film whose greys look inverted: bones dark on a bright ground.
    Inverted,
    /// A film of hardly any grey but dark ones, as [`Doubt::NearlyBlack`] says.
    NearlyBlack,
    /// A film of hardly any grey but bright ones, as [`Doubt::NearlyWhite`] says.
    NearlyWhite,
    /// A film of a handful of greys, as [`Doubt::FewGreys`] says.
    FewGreys,
    /// A DICOM film whose look-up table declares other bits than it holds, as [`Doubt::LookUpTable`] says.
    LookUpTable,
    /// A film that is stored turned or mirrored; its EXIF orientation is applied when it is decoded.
    ExifRotated,
    /// A file or study that a table lists is not there.
    MissingFile,
    /// A film is there that no table lists.
    UnlistedFile,
    /// A table or a row of it that cannot be read.
    Annotations,
    /// Rows of a table that were matched although their names are written otherwise: without leading zeros, with `.0`,
    /// in other case.
    LooseMatch,
}

impl WarningKind {
    /// The kind as it is written in JSON and tables.
    pub fn name(self) -> &'static str {
        match self {
            WarningKind::ConflictingLabel => "conflicting-label",
            WarningKind::StudyWithTwoLabels => "study-with-two-labels",
            WarningKind::ConflictingDuplicate => "conflicting-duplicate",
            WarningKind::DuplicateAcrossSplits => "duplicate-across-splits",
            WarningKind::NearDuplicateAcrossSplits => "near-duplicate-across-splits",
            WarningKind::PatientInTwoSplits => "patient-in-two-splits",
            WarningKind::Duplicate => "duplicate",
            WarningKind::NearDuplicate => "near-duplicate",
            WarningKind::Inverted => "inverted",
            WarningKind::NearlyBlack => Doubt::NearlyBlack.name(),
            WarningKind::NearlyWhite => Doubt::NearlyWhite.name(),
            WarningKind::FewGreys => Doubt::FewGreys.name(),
            WarningKind::LookUpTable => Doubt::LookUpTable.name(),
            WarningKind::ExifRotated => "exif-rotated",
            WarningKind::MissingFile => "missing-file",
            WarningKind::UnlistedFile => "unlisted-file",
            WarningKind::Annotations => "annotations",
            WarningKind::LooseMatch => "loose-match",
        }
    }
}

impl From<Doubt> for WarningKind {
    fn from(doubt: Doubt) -> WarningKind {
        match doubt {
            Doubt::NearlyBlack => WarningKind::NearlyBlack,
            Doubt::NearlyWhite => WarningKind::NearlyWhite,
            Doubt::FewGreys => WarningKind::FewGreys,
            Doubt::LookUpTable => WarningKind::LookUpTable,
        }
    }
}

impl fmt::Display for WarningKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_written_the_same_in_json_and_in_text() {
        let kinds = [WarningKind::StudyWithTwoLabels, WarningKind::NearDuplicateAcrossSplits, WarningKind::ExifRotated];
        for kind in kinds.into_iter().chain(Doubt::ALL.map(WarningKind::from)) {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
