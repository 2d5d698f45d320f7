//! What an index holds, in counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::index::Index;
use crate::layout::Layout;
use crate::skipped::Skipped;
use crate::skipped::reasons;
use crate::study::{Label, Split, Study, View};
use crate::warning::Warning;
use crate::words::files;
use files::counted;

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
    /// The body parts, where the data set names them.
    pub parts: BTreeMap<String, SplitSummary>,
    /// Studies and films of each label.
    pub labels: BTreeMap<Label, LabelSummary>,
    /// How many studies have so many views.
    pub views_per_study: BTreeMap<usize, usize>,
    /// How large the films are; `None` where nobody looked.
    pub sizes: Option<SizeSummary>,
    /// How many films bear each tag, for example `hardware`.
    pub tags: BTreeMap<String, usize>,
    /// The files that are no view, with the reason.
    pub skipped: Vec<Skipped>,
    /// What is doubtful, ordered by kind.
    pub warnings: Vec<Warning>,
    /// Whether every film was decoded and compared with all others: without that, near duplicates, inverted and
    /// undecodable films are not known.
    pub audited: bool,
}

/// Counts of one label.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LabelSummary {
    /// Examinations.
    pub studies: usize,
    /// Films.
    pub views: usize,
}

/// How large films are, in stored pixels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SizeSummary {
    /// Least, median and greatest width.
    pub width: [u32; 3],
    /// Least, median and greatest height.
    pub height: [u32; 3],
    /// How many films have a longer side of at most so many pixels and more than half as many.
    pub longer_side_up_to: BTreeMap<u32, usize>,
}

impl SizeSummary {
    fn of<'a>(views: impl Iterator<Item = &'a View>) -> Option<SizeSummary> {
        let sizes: Vec<[u32; 2]> = views.filter_map(|view| view.size).collect();
        let spread = |side: usize| {
            let mut lengths: Vec<u32> = sizes.iter().map(|size| size[side]).collect();
            lengths.sort_unstable();
            Some([*lengths.first()?, lengths[lengths.len() / 2], *lengths.last()?])
        };
        let mut longer = BTreeMap::new();
        for [width, height] in &sizes {
            *longer.entry(width.max(height).next_power_of_two()).or_insert(0) += 1;
        }
        Some(SizeSummary { width: spread(0)?, height: spread(1)?, longer_side_up_to: longer })
    }
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
    fn of(index: &Index) -> Summary {
        let total = SplitSummary::of(&index.studies.iter().collect::<Vec<_>>());
        let splits = Split::ALL.into_iter().filter_map(|split| {
            let studies = index.split(split);
            (!studies.is_empty()).then(|| (split, SplitSummary::of(&studies)))
        });
        let mut parts: BTreeMap<String, Vec<&Study>> = BTreeMap::new();
        let mut labels: BTreeMap<Label, LabelSummary> = BTreeMap::new();
        let mut views_per_study = BTreeMap::new();
        let mut tags = BTreeMap::new();
        for study in &index.studies {
            if let Some(part) = &study.part {
                parts.entry(part.clone()).or_default().push(study);
            }
            let label = labels.entry(study.label).or_default();
            label.studies += 1;
            label.views += study.views.len();
            *views_per_study.entry(study.views.len()).or_insert(0) += 1;
            for tag in study.views.iter().flat_map(|view| &view.tags) {
                *tags.entry(tag.clone()).or_insert(0) += 1;
            }
        }
        Summary {
            parts: parts.into_iter().map(|(part, studies)| (part, SplitSummary::of(&studies))).collect(),
            labels,
            views_per_study,
            sizes: SizeSummary::of(index.studies.iter().flat_map(|study| &study.views)),
            tags,
            warnings: index.warnings.clone(),
            audited: index.audited,
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
        for (part, row) in &self.parts {
            let SplitSummary { studies, positive_studies, views, positive_views, .. } = row;
            writeln!(
                f,
                "part {part}: studies {studies} ({positive_studies} abnormal), views {views} ({positive_views} \
                 abnormal)"
            )?;
        }
        writeln!(f, "views per study: {}", counts(&self.views_per_study))?;
        if let Some(SizeSummary { width: [w0, w1, w2], height: [h0, h1, h2], longer_side_up_to }) = &self.sizes {
            writeln!(
                f,
                "size: {w0}-{w2} x {h0}-{h2} pixels, median {w1} x {h1}; longer side up to {}",
                counts(longer_side_up_to)
            )?;
        }
        if !self.tags.is_empty() {
            writeln!(f, "tags: {}", counts(&self.tags))?;
        }
        match self.skipped.len() {
            0 => writeln!(f, "no file skipped")?,
            n => writeln!(f, "skipped: {} ({})", files(n), reasons(&self.skipped))?,
        }
        match self.warnings.len() {
            0 => write!(f, "no warning")?,
            1 => write!(f, "1 warning ({})", self.warnings[0].kind)?,
            n => write!(f, "{} ({})", counted(n, "warning"), kinds(&self.warnings))?,
        }
        if self.audited { Ok(()) } else { write!(f, "; films not decoded and compared") }
    }
}

/// `1: 20, 2: 30`.
fn counts<K: fmt::Display>(counts: &BTreeMap<K, usize>) -> String {
    counts.iter().map(|(key, n)| format!("{key}: {n}")).collect::<Vec<_>>().join(", ")
}

/// `3 duplicate, 1 inverted`, in the order of kinds.
fn kinds(warnings: &[Warning]) -> String {
    let mut counts = BTreeMap::new();
    for warning in warnings {
        *counts.entry(warning.kind).or_insert(0) += 1;
    }
    counts.iter().map(|(kind, n)| format!("{n} {kind}")).collect::<Vec<_>>().join(", ")
}

impl Index {
    /// Counts by split, and what was skipped.
    pub fn summary(&self) -> Summary {
        Summary::of(self)
    }
}
