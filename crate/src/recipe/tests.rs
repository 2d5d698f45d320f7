//! Recipes as files, and their ranges.

use super::*;

#[test]
fn a_recipe_survives_json_and_refuses_unknown_fields() {
    for recipe in [Recipe::default(), Recipe::reference()] {
        recipe.validate().unwrap();
        let text = serde_json::to_string(&recipe).unwrap();
        assert_eq!(serde_json::from_str::<Recipe>(&text).unwrap(), recipe);
        let odd = text.replacen('{', "{\"learning_rat\":1,", 1);
        assert!(serde_json::from_str::<Recipe>(&odd).is_err());
    }
}

#[test]
fn a_recipe_of_an_older_card_means_none_of_the_newer_options() {
    let mut old = serde_json::to_value(Recipe::default()).unwrap();
    for name in ["accumulate", "clip_norm", "ema", "stages", "keep_best", "operating_point", "calibrate"] {
        assert!(old.as_object_mut().unwrap().remove(name).is_some(), "{name}");
    }
    let read: Recipe = serde_json::from_value(old).unwrap();
    let of_before = Recipe { operating_point: Rule::HALF, calibrate: Calibrate::None, ..Recipe::default() };
    assert_eq!(read, Recipe { stages: Vec::new(), clip_norm: None, ema: None, ..of_before });
}

#[test]
fn a_value_out_of_range_is_named_with_its_range() {
    let recipe = Recipe { epochs: 0, ..Recipe::default() };
    assert_eq!(recipe.validate().unwrap_err().to_string(), "epochs: expected 1 to 100000, got 0");
    for (recipe, expected) in [
        (Recipe { ema: Some(1.0), ..Recipe::default() }, "ema: expected 0 to 0.999999, got 1"),
        (Recipe { clip_norm: Some(0.0), ..Recipe::default() }, "clip_norm: expected 0.000001 to 1000000, got 0"),
        (
            Recipe { operating_point: Rule::Sensitivity { at_least: 1.5 }, ..Recipe::default() },
            "operating_point.at_least: expected 0 to 1, got 1.5",
        ),
        (Recipe { accumulate: 0, ..Recipe::default() }, "accumulate: expected 1 to 4096, got 0"),
        (Recipe { early_stopping: Some(0), ..Recipe::default() }, "early_stopping: expected 1 to 100000, got 0"),
        (
            Recipe { schedule: Schedule::ReduceOnPlateau { factor: 0.1, patience: 0 }, ..Recipe::default() },
            "patience: expected 1 to 100000, got 0",
        ),
    ] {
        assert_eq!(recipe.validate().unwrap_err().to_string(), expected);
    }
    assert!(Recipe::named("no-such-recipe").unwrap_err().to_string().contains("default, reference"));
}
