//! How this crate's own types show themselves.

use super::{Show, draw, say, show, tensor};
use crate::augment::{Augment, Border};
use crate::dataset::cache::CacheFolder;
use crate::dataset::*;
use crate::device::{DeviceChoice, Precision};
use crate::error::Changed;
use crate::explain::evidence::*;
use crate::explain::*;
use crate::model::DataCard;
use crate::model::provenance::{Apart, Trained};
use crate::model::*;
use crate::network::*;
use crate::notebook::live::TrainingPanel;
use crate::notebook::settings::Settings;
use crate::notebook::viewer::Viewer;
use crate::notebook::{figures, tables};
use crate::preprocess::{DicomHeader, Doubt, Fit, Flaw, Header, Placement, Preprocess};
use crate::score::*;
use crate::train::*;
use crate::weights::hub::{Fetched, Fetching, Hub, HubError, HubFile};
use crate::weights::{self, Adapted, Fate, FoundWeights, Loaded, Origin, Other, Weights, file};
use crate::{Error, counted, preprocess, render, train};
use metrics::*;
use metrics::{
    BandPoint, Compared, Confusion, DeLong, DeLongPair, Drawn, Interval, IntervalKind, Measure, NoInterval,
    PairedComparison, PrecisionRecall, PrecisionRecallPoint, Reliability, ReliabilityBin, Roc, RocPoint, Rule,
};
use phantom::*;
use render::*;
use studies::{Finding, Label, Split, Study, View};

/// Skipped files and warnings that a notebook lists by name.
const LISTED: usize = 12;

fn summary(summary: &Summary) -> [Table; 4] {
    [
        tables::summary(summary),
        tables::films(summary),
        tables::skipped(summary, LISTED),
        tables::warnings(summary, LISTED),
    ]
}

/// The method that evcxr calls, of an `own` type by itself; of one of another `part` of the project by the trait.
macro_rules! method {
    (own $type:ty, $value:ident, $shown:expr) => {
        impl $type {
            /// Shows it in an evcxr cell.
            pub fn evcxr_display(&self) {
                let $value = self;
                $shown
            }
        }
    };
    (part $type:ty, $value:ident, $shown:expr) => {
        impl Show for $type {
            fn evcxr_display(&self) {
                let $value = self;
                $shown
            }
        }
    };
}

impl Viewer {
    /// Shows it in an evcxr cell.
    pub fn evcxr_display(&self) {
        evcxr_runtime::mime_type("text/html").text(self.frame());
        say(self.words());
    }
}

/// As tables.
macro_rules! shows {
    ($whose:ident $($type:ty: |$value:ident| $tables:expr;)*) => {$(method!($whose $type, $value, show(&$tables));)*};
}

/// In words.
macro_rules! says {
    ($whose:ident $($type:ty: |$value:ident| $text:expr;)*) => {$(method!($whose $type, $value, say(&$text));)*};
}

/// As a figure.
macro_rules! draws {
    ($whose:ident $($type:ty: |$value:ident| $figure:expr;)*) => {$(method!($whose $type, $value, draw(|| $figure));)*};
}

/// As a table of its fields.
macro_rules! fields {
    ($whose:ident $($type:ty;)*) => {$(method!($whose $type, it, {
        let table = tables::fields(it);
        if table.rows.is_empty() { say(table.title) } else { show(&[table]) }
    });)*};
}

says! {
    own
    Apart: |it| it;
    BatchSizes: |it| it;
    Cascade: |it| it;
    Chance: |it| it;
    Changed: |it| it;
    TrainingPanel: |it| it;
    Completeness: |it| it;
    DeviceChoice: |it| it;
    EpochReport: |it| it;
    Error: |it| it;
    Event: |it| it;
    Evidence: |it| it;
    HeatMaps: |it| it;
    Independence: |it| it;
    Mean: |it| it;
    LayerMaps: |it| format!("{} {}", it.layer, tensor::describe(&it.raw));
    Origin: |it| it;
    Method: |it| it;
    Precision: |it| it;
    Preparing: |it| it;
    Pretraining: |it| it;
    Progress: |it| it;
    Target: |it| it;
    Task: |it| it;
    Temperature: |it| it;
    Trained: |it| it;
    TrainingRun: |it| it.progress();
    Weights: |it| it;
    Films: |it| format!(
        "{} of {}, {} x {} pixels each",
        counted(it.views.len(), "film"),
        counted(it.study.iter().max().map_or(0, |last| last + 1), "study"),
        it.preprocess.size,
        it.preprocess.size
    );
    Batch: |it| format!("films {}\nlabels {}", tensor::describe(&it.pixels), tensor::describe(&it.labels));
    Variable: |it| format!("{} {}", it.name, tensor::describe(&it.tensor));
}

fields! {
    own
    Adapted;
    Answered;
    Architecture;
    Augment;
    Border;
    BoxFile;
    BoxInfo;
    CacheFolder;
    Calibrate;
    CascadeStep;
    Curve;
    DataCard;
    EvidenceOptions;
    Fate;
    Feed;
    Feeding;
    FilterOptions;
    Figures;
    Fit;
    Formerly;
    FoundWeights;
    Head;
    Localisation;
    MapBox;
    MapOptions;
    Memory;
    Mode;
    Optimizer;
    Other;
    ParameterCount;
    Placed;
    Placement;
    Preprocess;
    PretrainOptions;
    Removal;
    Resume;
    Road;
    Schedule;
    SelectBy;
    Standardise;
    StopHandle;
    Sweep;
    TrainOptions;
    Unfreeze;
    Update;
    VariableKind;
    crate::network::NetworkStage;
    train::Stage;
}

shows! {
    own
    Settings: |it| [tables::settings(it)];
    Recipe: |it| [tables::recipe(it)];
    Classifier: |it| [tables::network(it, SMALLEST_INPUT)];
    ModelCard: |it| [tables::card(it)];
    Model: |it| [tables::card(&it.card)];
    TrainReport: |it| [tables::metrics(&it.held_out)];
    PretrainReport: |it| [tables::pretraining(it)];
    Report: |it| [tables::study(it)];
    StudyScore: |it| [tables::studies(std::slice::from_ref(it))];
    Calibration: |it| [tables::calibration(it)];
    EvidenceReport: |it| tables::evidence(it);
    Localised: |it| [tables::localised(it)];
    Loaded: |it| [tables::loaded(it)];
}

draws! {
    own
    LrFinder: |it| figures::learning_rates(it);
    Epochs: |it| figures::epochs("Learning curves", it, None);
    FilmCam: |it| figures::film_cam(it);
    ViewScore: |it| figures::gallery(&it.study, std::slice::from_ref(it));
}

says! {
    part
    Decision: |it| it;
    Estimate: |it| it;
    NoInterval: |it| it;
    Compared: |it| it;
    Interval: |it| format!("{it} ({})", it.kind);
    IntervalKind: |it| it;
    Measure: |it| it;
    Rule: |it| it;
    OperatingPoint: |it| it;
    Probability: |it| it;
    Fetching: |it| it;
    HubError: |it| it;
    HubFile: |it| it;
    Difficulty: |it| it;
    Fold: |it| it;
    Label: |it| it;
    Layout: |it| it;
    Leak: |it| it;
    SkipReason: |it| it;
    Split: |it| it;
    WarningKind: |it| it;
    file::WeightFormat: |it| it;
    file::Error: |it| it;
    film::Error: |it| it;
    metrics::Error: |it| it;
    render::Error: |it| it;
    phantom::Error: |it| it;
    studies::Error: |it| it;
    Doubt: |it| it;
    Flaw: |it| it;
    preprocess::Format: |it| it;
}

fields! {
    part
    BandPoint;
    DeLong;
    DeLongPair;
    Drawn;
    PrecisionRecallPoint;
    ReliabilityBin;
    BalanceRow;
    Colours;
    CurvePoint;
    Opacity;
    OverlayOptions;
    RocPoint;
    Tone;
    Fetched;
    Hub;
    Fracture;
    FractureKind;
    Hardware;
    HardwareKind;
    Metal;
    PhantomConfig;
    PhantomSet;
    Photometric;
    phantom::FilmFormat;
    Projection;
    AuditOptions;
    Finding;
    Held;
    IndexOptions;
    LabelSummary;
    SizeSummary;
    Skipped;
    SplitSummary;
    View;
    Warning;
    weights::file::StoredTensor;
    DicomHeader;
    Header;
}

shows! {
    part
    Table: |it| std::slice::from_ref(it);
    Metrics: |it| [tables::metrics(it)];
    PairedComparison: |it| [tables::comparison(it)];
    Confusion: |it| [tables::confusion(it)];
    Summary: |it| summary(it);
    Index: |it| summary(&it.summary());
    Study: |it| [tables::cases(std::slice::from_ref(it))];
    file::WeightFile: |it| [tables::weight_file(it)];
}

draws! {
    part
    Figure: |it| Ok::<_, Error>(it.clone());
    Roc: |it| render::roc("ROC", it, Err(None), None);
    PrecisionRecall: |it| render::precision_recall("Precision and recall", it, &[], Err(None), None);
    Reliability: |it| render::reliability("Reliability", &[("", it)]);
    Map: |it| activation_grid("Map", std::slice::from_ref(it), 1);
    Film: |it| films("Film", std::slice::from_ref(it), 1);
    FilterPattern: |it| filter_grid("Pattern", std::slice::from_ref(it), 1);
    CamPanel: |it| cam_panel("Evidence", std::slice::from_ref(it), OverlayOptions::default());
    PhantomView: |it| figures::phantom("Simulated film, fracture and metal", std::slice::from_ref(it));
    PhantomStudy: |it| figures::phantom(&format!("Simulated study {}, {}", it.number, it.label), &it.views);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    /// The parts of the project whose values reach a notebook.
    const PARTS: [&str; 7] = ["film", "hub", "metrics", "phantom", "render", "studies", "torchfile"];

    /// How often each name stands for a public type of the crate, and how often for one that shows itself.
    type Counts = BTreeMap<String, usize>;

    fn count(counts: &mut Counts, path: &str) {
        let name = path.rsplit("::").next().unwrap_or(path);
        *counts.entry(name.to_owned()).or_default() += 1;
    }

    fn public_types(folder: &Path, counts: &mut Counts) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                public_types(&path, counts);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                for line in text.lines() {
                    let name = line.strip_prefix("pub struct ").or_else(|| line.strip_prefix("pub enum "));
                    let end = |c: char| !c.is_alphanumeric();
                    name.into_iter().for_each(|name| count(counts, &name[..name.find(end).unwrap_or(name.len())]));
                }
            }
        }
    }

    fn shown() -> Counts {
        let mut counts = Counts::new();
        for text in [include_str!("types.rs"), include_str!("mod.rs")] {
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for line in code.lines() {
                let of_list = line.strip_prefix("    ").filter(|rest| rest.starts_with(char::is_alphabetic));
                let of_list =
                    of_list.and_then(|rest| rest.split_once(": |").map(|(path, _)| path).or(rest.strip_suffix(';')));
                let inherent = line.strip_prefix("impl ").and_then(|rest| rest.strip_suffix(" {"));
                let of_list = of_list.filter(|path| path.chars().all(|c| c.is_alphanumeric() || c == ':' || c == '_'));
                of_list
                    .or(inherent.filter(|path| !path.contains('$')))
                    .into_iter()
                    .for_each(|path| count(&mut counts, path));
            }
        }
        counts
    }

    #[test]
    fn every_public_type_shows_itself() {
        let mut public = Counts::new();
        let own = Path::new(env!("CARGO_MANIFEST_DIR"));
        public_types(&own.join("src"), &mut public);
        for part in PARTS {
            public_types(&own.join("../parts").join(part).join("src"), &mut public);
        }
        // Lives while a figure is drawn only.
        public.remove("Sheet");
        assert!(public.len() > 100, "{public:?}");
        let shown = shown();
        let lacking: Vec<_> = public.iter().filter(|(name, count)| shown.get(*name) != Some(count)).collect();
        assert!(lacking.is_empty(), "add these to the lists above, so that a cell can end on them: {lacking:?}");
    }
}
