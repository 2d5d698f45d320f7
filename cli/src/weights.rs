//! `humerus weights`

use humerus::network::{Architecture, Head};
use humerus::notebook::tables;
use humerus::train::Recipe;
use humerus::weights::Weights;
use humerus::{Error, Result};
use serde_json::json;
use tch::Device;

use crate::{flags, output};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// imagenet, hub:OWNER/NAME/FILE, hub:OWNER/NAME@REVISION/FILE, or a file: safetensors, .pth, .pt, .ot; with #NAME behind it one of several networks
    weights: Weights,
    /// densenet121, densenet161, densenet169 or densenet201
    #[arg(long, value_name = "NAME", default_value = "densenet121")]
    architecture: Architecture,
    /// Channels of the network's input, 1 or 3
    #[arg(long, value_name = "N", default_value_t = 3)]
    channels: u8,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

impl Args {
    pub fn run(self) -> Result<()> {
        let mut recipe =
            Recipe { architecture: self.architecture, head: Head::Linear { classes: 2 }, ..Recipe::default() };
        recipe.preprocess.channels = self.channels;
        recipe.validate().map_err(|error| flags::named(error, &[("preprocess.channels", "--channels")]))?;
        let found = self.weights.find(self.architecture, false, &mut |fetching| output::aside(fetching))?;
        let found =
            found.ok_or_else(|| Error::setting("weights", "imagenet, one of the hub, or a file", &self.weights))?;
        let loaded = found.load(&recipe.network(Device::Cpu))?;
        if self.json {
            return output::json(
                &json!({ "path": found.path.to_string_lossy(), "origin": found.origin, "loaded": loaded }),
            );
        }
        output::text(format_args!("{}\n{}", found.path.display(), found.origin))?;
        output::text(tables::loaded(&loaded))
    }
}
