//! From a folder of films to a heat map: index, train, score, explain.
//!
//! ```sh
//! cargo lab exec -- cargo run --release --example whole -- path/to/films out/whole
//! ```

use std::path::Path;

use humerus::model::Model;
use humerus::notebook::figures;
use humerus::train::{self, Recipe, TrainOptions};
use humerus::{Error, Preprocess, Result, dataset};

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [films, run] = &arguments[..] else {
        return Err(Error::setting("arguments", "FILMS RUN, two folders", arguments.len()));
    };
    let recipe = Recipe { preprocess: Preprocess { size: 128, ..Preprocess::default() }, ..Recipe::default() };
    whole(films.as_ref(), &recipe, &TrainOptions::new(run))
}

/// What the program does, with a recipe and a folder of the caller's choice.
pub fn whole(films: &Path, recipe: &Recipe, options: &TrainOptions) -> Result<()> {
    let index = dataset::index(films)?.audit()?;
    println!("{}", index.summary());

    let report = train::run(&index, recipe, options, &mut |event| println!("{event}"))?;

    let model = Model::open(&report.model, options.device)?;
    let held_out = model.score(&index)?;
    println!("{}", held_out.metrics()?);
    for mistake in held_out.wrong(5) {
        println!("wrong: {mistake}");
    }

    let surest = held_out.most_certain(1);
    let evidence = model.explain(&surest[0].path)?;
    figures::film_cam(&evidence)?.save(options.run.join("evidence.png"))?;
    Ok(())
}
