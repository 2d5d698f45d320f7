//! `humerus export`

use std::path::PathBuf;

use humerus::device::DeviceChoice;
use humerus::model::{HUB_FILES, Model};
use humerus::{Result, files};
use serde_json::json;

use crate::{flags, output};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A model file, as `humerus train` writes it
    model: PathBuf,
    /// The form to write
    #[arg(long, value_enum)]
    to: Form,
    /// File to write, or folder for `hub`
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// Print one JSON object instead of a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Form {
    /// For ONNX Runtime and others; with the card in its metadata
    Onnx,
    /// For `torch.jit.load`
    Torchscript,
    /// Model file, card and a Python file that scores with it, ready for the Hugging Face hub
    Hub,
}

impl Args {
    pub fn run(self) -> Result<()> {
        flags::no_dash(&self.out)?;
        files::keep_inputs(&self.out, &[&self.model])?;
        if let Form::Hub = self.to {
            for name in HUB_FILES {
                files::keep_inputs(&self.out.join(name), &[&self.model])?;
            }
        }
        let model = Model::open(&self.model, DeviceChoice::Cpu)?;
        match self.to {
            Form::Onnx => model.save_onnx(&self.out)?,
            Form::Torchscript => model.save_torchscript(&self.out)?,
            Form::Hub => drop(model.save_for_hub(&self.out)?),
        }
        output::shortcomings(&self.out);
        if self.json {
            return output::json(&json!({ "written": self.out.to_string_lossy() }));
        }
        output::text(format_args!("written: {}", self.out.display()))
    }
}
