//! A trained model says by what rule it decides, its temperature is applied wherever it scores, and both can be fitted
//! anew on a sample of one's own.

mod support;

use humerus::Split;
use humerus::device::DeviceChoice;
use humerus::metrics::{self, Rule};
use humerus::model::{Model, ModelCard};
use humerus::train::{self, Calibrate, Recipe};

fn recipe() -> Recipe {
    Recipe { tune_fraction: 0.5, ..support::small(1) }
}

#[test]
fn training_chooses_on_tune_studies_and_says_how_and_calibrating_keeps_both_histories() {
    let folder = tempfile::tempdir().unwrap();
    let index = support::phantoms(folder.path(), 110);
    let mut said = Vec::new();
    let options = support::options(folder.path(), "run");
    let report = train::run(&index, &recipe(), &options, &mut |event| said.push(event.to_string())).unwrap();
    let mut model = Model::open(&report.model, DeviceChoice::Cpu).unwrap();
    let point = model.card.operating_point.clone();
    assert_eq!((point.rule, point.unmet, point.measured_on), (Rule::Youden, None, Some(Split::Tune)));
    assert_eq!(point.sensitivity, model.card.tune.as_ref().unwrap().sensitivity.value);
    assert!(point.threshold_interval.is_some() && point.data.is_some() && point.studies > Some(20), "{point:?}");
    let chosen = said.iter().find(|line| line.contains("operating point: abnormal from ")).unwrap();
    assert!(chosen.contains("by Youden's rule") && chosen.contains(" on tune"), "{chosen}");
    assert_eq!(report.operating_point, point);

    // Of one epoch or of none: whatever was fitted is applied, and figures are those of training's end.
    let held_out = model.score(&index).unwrap();
    model.card.confirm(&held_out.metrics().unwrap()).unwrap();
    let temperature = model.card.temperature.value;
    assert_eq!(held_out.temperature, temperature);
    model.card.temperature.value = 2.5 * temperature;
    let warm = model.score(&index).unwrap();
    for (warm, view) in warm.views.iter().zip(&held_out.views) {
        let log_odds = |p: f64| (p / (1.0 - p)).ln();
        let expected = log_odds(view.probability.get()) / 2.5;
        assert!((log_odds(warm.probability.get()) - expected).abs() < 1e-9);
        let film = model.explain(&view.path).unwrap();
        assert!((film.probability.get() - warm.probability.get()).abs() < 1e-6);
    }
    let cooled = warm.at_temperature(temperature, point.clone()).unwrap();
    for (cooled, study) in cooled.studies.iter().zip(&held_out.studies) {
        assert!((cooled.probability.get() - study.probability.get()).abs() < 1e-9);
        assert_eq!(cooled.decision, study.decision);
    }

    // A sample of one's own: all studies, scored by the overheated model.
    let sample = model.score(&index.studies).unwrap();
    let rule = Rule::Sensitivity { at_least: 0.9 };
    let found = model.calibrate(&sample, Calibrate::Temperature, rule, "my films").unwrap();
    let card = &model.card;
    assert_eq!((card.formerly.len(), card.held_out.is_none(), card.calibrated.is_some()), (1, true, true));
    assert_eq!(card.formerly[0].operating_point, point);
    assert_eq!(card.formerly[0].temperature.value, 2.5 * temperature);
    assert!(card.formerly[0].held_out.is_some() && found.after.sensitivity.value >= Some(0.9));
    assert!(found.after.log_loss.value <= found.before.log_loss.value);
    let view_loss = card.temperature.log_loss.unwrap();
    assert!(view_loss.1 <= view_loss.0, "{view_loss:?}");
    model.save(folder.path().join("mine.safetensors")).unwrap();
    let mine = Model::open(folder.path().join("mine.safetensors"), DeviceChoice::Cpu).unwrap();
    assert_eq!(mine.card, model.card);
    let rows = mine.card.rows().iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("\n");
    assert!(rows.contains("sensitivity of at least 0.9") && rows.contains("of my films"), "{rows}");
    assert!(rows.contains("formerly: abnormal from "), "{rows}");
    let again = mine.score(&index.studies).unwrap();
    let labels = again.labelled();
    let loss = metrics::log_loss(&labels.0, &labels.1).unwrap();
    assert!((loss - found.after.log_loss.value.unwrap()).abs() < 1e-9);

    // Too few patients to say anything.
    let few: Vec<_> = index.studies.iter().take(12).collect();
    let few = mine.score(&few).unwrap();
    let line = model.calibrate(&few, Calibrate::Temperature, Rule::Youden, "few").unwrap_err().to_string();
    assert!(line.starts_with("sample to calibrate on: expected enough patients to say anything, got "), "{line}");
    assert_eq!(model.card, mine.card);
}

#[test]
fn a_card_of_before_has_temperature_one_and_muras_threshold() {
    let folder = tempfile::tempdir().unwrap();
    let index = support::phantoms(folder.path(), 4);
    let recipe = recipe();
    let network = recipe.network(tch::Device::Cpu);
    let card = ModelCard::new(&network, &recipe, humerus::model::DataCard::new(&index));
    let mut json = serde_json::to_value(&card).unwrap();
    let fields = json.as_object_mut().unwrap();
    for name in ["temperature", "calibrated", "formerly"] {
        assert!(fields.remove(name).is_some(), "{name}");
    }
    fields["operating_point"] =
        serde_json::json!({ "threshold": 0.5, "sensitivity": 0.8, "specificity": 0.9, "measured_on": "tune" });
    let old: ModelCard = serde_json::from_value(json).unwrap();
    old.validate().unwrap();
    assert_eq!((old.temperature.value, old.operating_point.rule), (1.0, Rule::HALF));
    let words = "abnormal from 0.500, as given; sensitivity 0.800, specificity 0.900 on tune";
    assert_eq!(old.operating_point.to_string(), words);
    let mut wrong = card;
    wrong.temperature.value = 0.0;
    assert!(wrong.validate().unwrap_err().to_string().contains("temperature.value: expected 0.001 to 1000, got 0"));
}
