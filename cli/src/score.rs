//! `humerus score`

use std::path::PathBuf;

use humerus::dataset::{SkipReason, Skipped};
use humerus::device::DeviceChoice;
use humerus::model::Model;
use humerus::score::Report;
use humerus::{Error, Result, counted};

use crate::flags;
use crate::output::{self, Bar};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A model file, as `humerus train` writes it
    model: PathBuf,
    /// Films and folders
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// auto, cpu or cuda
    #[arg(long, default_value_t, value_parser = flags::value::<DeviceChoice>)]
    device: DeviceChoice,
    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

impl Args {
    pub fn run(self) -> Result<()> {
        let model = Model::open(&self.model, self.device)?;
        let mut bar = Bar::new("scoring films");
        let report = model.score_with(&self.paths, &mut |tally| bar.at(tally))?;
        drop(bar);
        if self.json {
            output::json(&report)?;
            return self.all_named(&report);
        }
        for view in &report.views {
            let path = output::path(&view.path);
            output::text(format_args!("{}  {:<8}  {path}", view.probability, view.decision))?;
        }
        for study in report.studies.iter().filter(|study| study.views + study.unread > 1) {
            let all = counted(study.views + study.unread, "view");
            let of = if study.unread > 0 { format!("{} of {all}", study.views) } else { all };
            let name = output::path(study.study.as_ref());
            output::text(format_args!("{}  {:<8}  study {name}, mean of {of}", study.probability, study.decision))?;
        }
        for view in &report.views {
            for doubt in &view.doubts {
                output::text(format_args!("warning {}: {doubt}", output::path(&view.path)))?;
            }
        }
        for why in &report.unlabelled {
            output::text(format_args!("scored without labels: {why}"))?;
        }
        output::skipped(&report.skipped)?;
        self.all_named(&report)
    }

    /// Whoever names a film wants to know by the exit code that it has no score; files in folders are only listed.
    fn all_named(&self, report: &Report) -> Result<()> {
        let is_lost = |skipped: &&Skipped| !matches!(skipped.reason, SkipReason::NamedTwice(_));
        let named = |path: &PathBuf| report.skipped.iter().filter(is_lost).find(|skipped| skipped.path == *path);
        match &self.paths.iter().filter_map(named).collect::<Vec<_>>()[..] {
            [] => Ok(()),
            [first, more @ ..] => {
                let path = output::path(&first.path);
                let others = if more.is_empty() { String::new() } else { format!(", and {} more", more.len()) };
                Err(Error::setting("films", "ones that can be read", format!("{path}, {}{others}", first.reason)))
            }
        }
    }
}
