//! `humerus calibrate`

use std::path::{Path, PathBuf};

use humerus::dataset::Index;
use humerus::device::DeviceChoice;
use humerus::metrics::Rule;
use humerus::model::Model;
use humerus::notebook::tables;
use humerus::train::Calibrate;
use humerus::{Error, Result, Split, files};

use crate::flags;
use crate::output::{self, Bar};
use crate::source::Source;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A model file, as `humerus train` writes it
    model: PathBuf,
    #[command(flatten)]
    source: Source,
    /// File that receives the model with its new card; the weights stay as they are
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How the threshold is chosen: youden, sensitivity=SHARE, specificity=SHARE, cost=PREVALENCE,FALSE_ALARMS_A_MISS,
    /// or a threshold
    #[arg(long, default_value = "youden", value_parser = flags::value::<Rule>)]
    rule: Rule,
    /// Choose the threshold only, and leave probabilities as the network gives them
    #[arg(long)]
    no_temperature: bool,
    /// auto, cpu or cuda
    #[arg(long, default_value_t, value_parser = flags::value::<DeviceChoice>)]
    device: DeviceChoice,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

impl Args {
    pub fn run(self) -> Result<()> {
        flags::no_dash(&self.out)?;
        files::keep_inputs(&self.out, &[&self.model])?;
        let mut model = Model::open(&self.model, self.device)?;
        let index = self.source.index()?;
        if index.studies.is_empty() {
            let root = output::path(&index.root);
            return Err(Error::setting("sample to calibrate on", "labelled studies", format!("none in {root}")));
        }
        let mut bar = Bar::new("scoring films");
        let report = model.score_with(&index.studies, &mut |tally| bar.at(tally))?;
        drop(bar);
        let name = name(&index);
        let calibrate = if self.no_temperature { Calibrate::None } else { Calibrate::Temperature };
        let found = model.calibrate(&report, calibrate, self.rule, &name)?;
        model.save(&self.out)?;
        if name == model.card.data.name && index.studies.iter().any(|study| study.split == Split::Train) {
            output::aside(format_args!(
                "note: {name} is the name of the data that the model was trained on; on films that it has seen, \
                 probabilities look better than they are"
            ));
        }
        if self.json {
            return output::json(&found);
        }
        output::text(tables::calibration(&found))?;
        output::text(format_args!("temperature: {}", found.temperature))?;
        output::text(format_args!("operating point: {}", found.operating_point))?;
        output::skipped(index.skipped.iter().chain(&report.skipped))?;
        output::text(format_args!("written: {} (for research use)", self.out.display()))
    }
}

/// The sample's name: its folder's, or its table's.
fn name(index: &Index) -> String {
    let whole = index.root.canonicalize().unwrap_or_else(|_| index.root.clone());
    whole.file_name().map_or_else(|| "sample".to_owned(), |name| Path::new(name).display().to_string())
}
