//! `humerus phantom`

use std::path::PathBuf;

use humerus::Result;
use humerus::phantom::{self, PhantomConfig};

use crate::output;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Studies to draw, about half of them with a fracture
    #[arg(long, value_name = "N", default_value_t = PhantomConfig::default().studies)]
    studies: usize,
    /// Decides everything: the same seed gives the same bytes
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Folder to write, in MURA's layout; new, empty, or holding the same set already
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print one JSON object instead of a line
    #[arg(long)]
    json: bool,
}

impl Args {
    pub fn run(self) -> Result<()> {
        let config = PhantomConfig { studies: self.studies, seed: self.seed, ..PhantomConfig::default() };
        let set = phantom::write(&config, &self.out, &|_| ())?;
        if self.json {
            return output::json(&set);
        }
        output::text(format_args!(
            "{} studies ({} abnormal), {} views of {} patients in {}{}",
            set.studies,
            set.abnormal,
            set.views,
            set.patients,
            set.root.display(),
            if set.reused { ", there already" } else { "" }
        ))
    }
}
