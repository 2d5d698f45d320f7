//! `humerus index`

use std::path::PathBuf;

use humerus::{Result, dataset};

use crate::output;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of a data set in MURA's or FracAtlas' layout, or a part of one
    data: PathBuf,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

impl Args {
    pub fn run(self) -> Result<()> {
        let summary = dataset::index(&self.data)?.summary();
        if self.json {
            return output::json(&summary);
        }
        output::text(&summary)?;
        for skipped in &summary.skipped {
            output::text(format_args!("  {}: {}", skipped.path.display(), skipped.reason))?;
        }
        Ok(())
    }
}
