//! Measures heat maps for `cargo lab bench explain`: one JSON object a line, cases named as in the peers' script.
//!
//! ```text
//! maps REPEATS FILMS SIDE     medians over REPEATS, after one that does not count
//! ```

use std::time::Instant;

use humerus::explain::{MapOptions, Method, heat_maps};
use humerus::network::{Architecture, Classifier, Head};
use humerus::tch::{Device, Kind, Tensor};
use serde_json::json;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<i64> = std::env::args().skip(1).map(|it| it.parse()).collect::<Result<_, _>>()?;
    let [repeats, films, side] = arguments[..] else {
        return Err("expected: REPEATS FILMS SIDE".into());
    };
    let network = Classifier::new(Architecture::DenseNet121, Head::Linear { classes: 2 }, 0, Device::Cpu);
    let batch = Tensor::randn([films, 3, side, side], (Kind::Float, Device::Cpu));
    let one = batch.narrow(0, 0, 1);
    let report = |case: String, films: &Tensor, method: Method, layer: &str| {
        let options = MapOptions::at(layer);
        let mut seconds = Vec::new();
        for number in 0..=repeats {
            let began = Instant::now();
            let found = heat_maps(&network, films, method, &options)?;
            // As the peers, who stretch and enlarge.
            let side = [films.size()[2], films.size()[3]];
            let _ = found.scaled().unsqueeze(1).upsample_bilinear2d(side, false, None, None);
            if number > 0 {
                seconds.push(began.elapsed().as_secs_f64());
            }
        }
        seconds.sort_by(f64::total_cmp);
        let middle = seconds.get(seconds.len() / 2).copied().ok_or("REPEATS is at least 1")?;
        println!("{}", json!({"case": case, "peer": "humerus", "seconds": middle}));
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    for layer in ["features.norm5", "features.denseblock2"] {
        report(format!("grad-cam of {films} films at {layer}"), &batch, Method::GradCam, layer)?;
        report(format!("grad-cam of 1 film at {layer}"), &one, Method::GradCam, layer)?;
    }
    report("occlusion of 1 film".to_owned(), &one, Method::Occlusion, "features.norm5")?;
    let few = "features.denseblock4.denselayer16.conv2";
    report("score-cam of 1 film, 32 channels".to_owned(), &one, Method::ScoreCam, few)?;
    Ok(())
}
