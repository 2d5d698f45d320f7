//! `humerus weights`

use humerus::network::{Architecture, Head};
use humerus::notebook::tables;
use humerus::train::Recipe;
use humerus::weights::Weights;
use humerus::weights::hub::HubError;
use humerus::{Error, Result};
use serde_json::json;
use tch::Device;

use crate::{flags, output};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// imagenet, hub:OWNER/NAME/FILE, hub:OWNER/NAME@REVISION/FILE, or a file: safetensors, .pth, .pt, .ot; with #NAME
    /// behind it one of several networks
    #[arg(value_parser = flags::value::<Weights>)]
    weights: Weights,
    /// densenet121, densenet161, densenet169 or densenet201
    #[arg(long, value_name = "NAME", default_value = "densenet121", value_parser = flags::value::<Architecture>)]
    architecture: Architecture,
    /// Channels of the network's input, 1 or 3
    #[arg(long, value_name = "N", default_value_t = 3)]
    channels: u8,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// An error in the words of this command.
pub fn words(error: &Error) -> String {
    match error {
        Error::Hub(HubError::Fetch { file, cause, url, otherwise }) => format!(
            "cannot fetch {file} ({cause}); download it elsewhere from {url} and name that file instead, or {otherwise}"
        ),
        other => other.to_string(),
    }
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
