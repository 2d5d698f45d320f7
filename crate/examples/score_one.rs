//! Scores one film with a saved model.
//!
//! ```sh
//! cargo lab exec -- cargo run --release --example score_one -- out/run/model.safetensors film.png
//! ```

use humerus::device::DeviceChoice;
use humerus::model::Model;
use humerus::{Error, Result, score};

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(model), Some(film)) = (arguments.next(), arguments.next()) else {
        return Err(Error::setting("arguments", "MODEL FILM", "fewer"));
    };
    let model = Model::open(&model, DeviceChoice::Auto)?;
    let score = score::film(&model, &film)?;
    println!("{}: probability of abnormal {}, called {}", score.path.display(), score.probability, score.decision);
    Ok(())
}
