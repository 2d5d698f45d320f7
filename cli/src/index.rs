//! `humerus index`

use humerus::Result;

use crate::output;
use crate::source::Source;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Do not decode the films: inverted, nearly blank and undecodable ones and near duplicates are not found
    #[arg(long)]
    quick: bool,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// Paths of a warning that are printed.
const NAMED: usize = 8;

impl Args {
    pub fn run(self) -> Result<()> {
        let index = if self.quick { self.source.index()? } else { self.source.audited()? };
        let summary = index.summary();
        if self.json {
            return output::json(&summary);
        }
        output::text(&summary)?;
        for skipped in &summary.skipped {
            output::text(format_args!("  {}: {}", output::path(&skipped.path), skipped.reason))?;
        }
        for warning in &summary.warnings {
            output::text(format_args!("  {warning}"))?;
            for path in warning.paths.iter().take(NAMED) {
                output::text(format_args!("    {}", output::path(path)))?;
            }
            if warning.paths.len() > NAMED {
                output::text(format_args!("    and {} more", warning.paths.len() - NAMED))?;
            }
        }
        Ok(())
    }
}
