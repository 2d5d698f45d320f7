//! What an index holds, in counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Index, Layout, Skipped};
use crate::study::{Label, Split, Study};

/// Counts of an [`Index`], in all and by split, and every skipped file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// How the folder is laid out.
    pub layout: Layout,
    /// Examinations.
    pub studies: usize,
    /// Films.
    pub views: usize,
    /// Patients; `None` where the data set does not name them, as FracAtlas.
    pub patients: Option<usize>,
    /// The splits that hold a study.
    pub splits: BTreeMap<Split, SplitSummary>,
    /// The files that are no view, with the reason.
    pub skipped: Vec<Skipped>,
}

/// Counts of one split. *Positive* is [`Label::Abnormal`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitSummary {
    /// Examinations.
    pub studies: usize,
    /// Films.
    pub views: usize,
    /// Patients; `None` where the data set does not name them.
    pub patients: Option<usize>,
    /// Abnormal examinations.
    pub positive_studies: usize,
    /// Films of abnormal examinations.
    pub positive_views: usize,
}

impl SplitSummary {
    fn of(studies: &[&Study]) -> SplitSummary {
        let views = |of: &[&Study]| of.iter().map(|study| study.views.len()).sum();
        let positive: Vec<&Study> = studies.iter().copied().filter(|study| study.label == Label::Abnormal).collect();
        let patients: BTreeSet<&str> = studies.iter().filter_map(|study| study.patient.as_deref()).collect();
        SplitSummary {
            studies: studies.len(),
            views: views(studies),
            patients: (!patients.is_empty()).then_some(patients.len()),
            positive_studies: positive.len(),
            positive_views: views(&positive),
        }
    }
}

impl Summary {
    pub(super) fn of(index: &Index) -> Summary {
        let total = SplitSummary::of(&index.studies.iter().collect::<Vec<_>>());
        let splits = Split::ALL.into_iter().filter_map(|split| {
            let studies = index.split(split);
            (!studies.is_empty()).then(|| (split, SplitSummary::of(&studies)))
        });
        Summary {
            layout: index.layout,
            studies: total.studies,
            views: total.views,
            patients: total.patients,
            splits: splits.collect(),
            skipped: index.skipped.clone(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "layout: {}", self.layout)?;
        writeln!(
            f,
            "{:<6} {:>8} {:>9} {:>7} {:>9} {:>9}",
            "split", "studies", "abnormal", "views", "abnormal", "patients"
        )?;
        let total = SplitSummary {
            studies: self.studies,
            views: self.views,
            patients: self.patients,
            positive_studies: self.splits.values().map(|split| split.positive_studies).sum(),
            positive_views: self.splits.values().map(|split| split.positive_views).sum(),
        };
        let splits = self.splits.iter().map(|(split, row)| (split.name(), row));
        for (name, row) in splits.chain([("all", &total)]) {
            let patients = row.patients.map_or("unknown".to_owned(), |n| n.to_string());
            writeln!(
                f,
                "{name:<6} {:>8} {:>9} {:>7} {:>9} {patients:>9}",
                row.studies, row.positive_studies, row.views, row.positive_views
            )?;
        }
        match self.skipped.len() {
            0 => write!(f, "no file skipped"),
            n => write!(f, "skipped: {} ({})", files(n), reasons(&self.skipped)),
        }
    }
}

/// `1 file`, `2 files`.
pub(super) fn files(n: usize) -> String {
    format!("{n} {}", if n == 1 { "file" } else { "files" })
}

/// `3 resource fork, 1 truncated`, the most frequent first.
pub(super) fn reasons(skipped: &[Skipped]) -> String {
    let mut counts = BTreeMap::new();
    for one in skipped {
        *counts.entry(one.reason.kind()).or_insert(0) += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let parts: Vec<String> = counts.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
    parts.join(", ")
}
