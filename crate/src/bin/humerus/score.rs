//! `humerus score`

use std::path::PathBuf;

use humerus::device::DeviceChoice;
use humerus::model::Model;
use humerus::score;
use humerus::{Result, counted};

use crate::output;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A model file, as `humerus train` writes it
    model: PathBuf,
    /// Films and folders
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// auto, cpu or cuda
    #[arg(long, default_value_t)]
    device: DeviceChoice,
    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

impl Args {
    pub fn run(self) -> Result<()> {
        let model = Model::open(&self.model, self.device)?;
        let report = score::paths(&model, &self.paths)?;
        if self.json {
            return output::json(&report);
        }
        for view in &report.views {
            output::text(format_args!("{}  {:<8}  {}", view.probability, view.decision, view.path.display()))?;
        }
        for study in report.studies.iter().filter(|study| study.views > 1) {
            output::text(format_args!(
                "{}  {:<8}  study {}, mean of {}",
                study.probability,
                study.decision,
                study.study,
                counted(study.views, "view")
            ))?;
        }
        for why in &report.unlabelled {
            output::text(format_args!("scored without labels: {why}"))?;
        }
        for skipped in &report.skipped {
            output::text(format_args!("skipped {}: {}", skipped.path.display(), skipped.reason))?;
        }
        Ok(())
    }
}
