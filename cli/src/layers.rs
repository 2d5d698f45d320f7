//! `humerus layers`

use std::path::PathBuf;

use humerus::Result;
use humerus::device::DeviceChoice;
use humerus::model::Model;
use serde_json::json;

use crate::output;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A model file, as `humerus train` writes it
    model: PathBuf,
    /// Print one JSON object instead of one name a line
    #[arg(long)]
    json: bool,
}

impl Args {
    pub fn run(self) -> Result<()> {
        let layers = Model::open(&self.model, DeviceChoice::Cpu)?.layers();
        if self.json { output::json(&json!({ "layers": layers })) } else { output::text(layers.join("\n")) }
    }
}
