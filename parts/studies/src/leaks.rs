//! What training refuses: anything by which a network could have seen what it is tested on.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::index::Index;
use crate::warning::{Warning, WarningKind};
use crate::{Error, Result};
use crate::{duplicates, split};

/// A flaw that training refuses unless told otherwise by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leak {
    /// Equal or nearly identical films in two splits.
    DuplicatesAcrossSplits,
    /// A patient, or a block of images that may be one patient's, in two splits.
    PatientInTwoSplits,
    /// A study that is labelled normal and abnormal. If allowed, it counts as abnormal.
    StudyWithTwoLabels,
}

impl Leak {
    /// Every leak.
    pub const ALL: [Leak; 3] = [Leak::DuplicatesAcrossSplits, Leak::PatientInTwoSplits, Leak::StudyWithTwoLabels];

    /// The name by which it is allowed.
    pub fn name(self) -> &'static str {
        match self {
            Leak::DuplicatesAcrossSplits => "duplicates-across-splits",
            Leak::PatientInTwoSplits => "patient-in-two-splits",
            Leak::StudyWithTwoLabels => "study-with-two-labels",
        }
    }

    fn of(kind: WarningKind) -> Option<Leak> {
        match kind {
            WarningKind::DuplicateAcrossSplits | WarningKind::NearDuplicateAcrossSplits => {
                Some(Leak::DuplicatesAcrossSplits)
            }
            WarningKind::PatientInTwoSplits => Some(Leak::PatientInTwoSplits),
            WarningKind::StudyWithTwoLabels => Some(Leak::StudyWithTwoLabels),
            _ => None,
        }
    }
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Leak {
    type Err = Error;

    fn from_str(name: &str) -> Result<Leak> {
        let names = Leak::ALL.map(Leak::name).join(", ");
        Leak::ALL.into_iter().find(|leak| leak.name() == name).ok_or_else(|| Error::setting("allow", names, name))
    }
}

/// The index, audited if nobody did so before, once it is sure that nothing leaks but what `allow` names.
///
/// # Errors
/// As [`refuse_leaks`] and [`Index::audit`].
pub fn trainable(index: &Index, allow: &[Leak]) -> Result<Index> {
    let index = if index.audited {
        index.clone()
    } else {
        // A split that the caller has looked at is not dealt again behind his back.
        let fixed = Index { fixed_split: true, ..index.clone() };
        let audited = fixed.audit()?;
        Index { fixed_split: index.fixed_split, ..audited }
    };
    refuse_leaks(&index, allow)?;
    Ok(index)
}

/// Checks that no film, patient or block is in two splits, no study has two labels, and no film or study is there
/// twice.
///
/// # Errors
/// [`Error::Split`] that names the first offender, how many there are, and how to allow it.
pub fn refuse_leaks(index: &Index, allow: &[Leak]) -> Result<()> {
    let mut fresh = index.clone();
    duplicates::warn(&mut fresh);
    for leak in Leak::ALL.into_iter().filter(|leak| !allow.contains(leak)) {
        let found: Vec<&Warning> = fresh.warnings.iter().filter(|it| Leak::of(it.kind) == Some(leak)).collect();
        let Some(first) = found.first() else {
            continue;
        };
        let paths: Vec<String> = first.paths.iter().take(2).map(|path| path.display().to_string()).collect();
        let more = if found.len() > 1 { format!(", and {} more such", found.len() - 1) } else { String::new() };
        let mend = match leak {
            Leak::DuplicatesAcrossSplits if index.official_split => "",
            Leak::DuplicatesAcrossSplits if index.fixed_split => {
                "; `Index::audit`, before folds are dealt, keeps copies together"
            }
            Leak::DuplicatesAcrossSplits => "; `Index::audit` deals the split so that copies stay together",
            _ => "",
        };
        return Err(Error::Split(format!(
            "{} ({}){more}{mend}; to train all the same, allow {leak} (--allow {leak}, TrainOptions::allow)",
            first.message,
            paths.join(", ")
        )));
    }
    split::assert_unique(index)?;
    if allow.contains(&Leak::PatientInTwoSplits) { Ok(()) } else { split::assert_disjoint(index) }
}

/// The leaks of an index, each with the number of its warnings: training refused them, or was told to allow them.
pub fn leaks(index: &Index) -> BTreeMap<Leak, usize> {
    let mut fresh = index.clone();
    duplicates::warn(&mut fresh);
    let mut found = BTreeMap::new();
    for leak in fresh.warnings.iter().filter_map(|warning| Leak::of(warning.kind)) {
        *found.entry(leak).or_default() += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leak_is_known_by_one_name_everywhere() {
        for leak in Leak::ALL {
            assert_eq!(leak.name().parse::<Leak>().unwrap(), leak);
            assert_eq!(serde_json::to_value(leak).unwrap(), leak.name());
        }
        let message = "all".parse::<Leak>().unwrap_err().to_string();
        assert!(message.contains("patient-in-two-splits"), "{message}");
    }
}
