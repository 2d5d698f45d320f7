use super::*;
use crate::dataset;
use crate::explain::MapOptions;
use crate::model::file::untrained;
use crate::network::Head;
use phantom::PhantomConfig;
use studies::Split;

#[test]
fn the_report_sets_every_figure_beside_chance_and_knows_the_kinds_of_phantoms() {
    let folder = tempfile::tempdir().unwrap();
    let config = PhantomConfig { studies: 24, longest_side: 96, valid_fraction: 0.5, ..PhantomConfig::default() };
    let set = phantom::write(&config, &folder.path().join("films"), &mut |_| ()).unwrap();
    let index = dataset::index(&set.root).unwrap();
    let mut model = untrained(Head::Linear { classes: 2 }, 64);
    // An untrained network that calls everything abnormal, so that every abnormal film is a true positive.
    model.card.operating_point.threshold = 0.0;
    let [held_out, tune] = [Split::Valid, Split::Train].map(|split| model.score(index.split(split)).unwrap());
    let maps = MapOptions { chunk: 3, ..MapOptions::at("features.denseblock3") };
    let options = EvidenceOptions { maps, films: 6, randomised: 3, removed: 2, steps: 3, ..EvidenceOptions::default() };
    let found = evidence(&model, &held_out, Some(&tune), &options).unwrap();
    let names: Vec<&str> = found.figures.iter().map(|row| row.whose.as_str()).collect();
    assert_eq!(names, ["grad-cam", "random weights", "uniform map", "centred map", "random map", "brightest pixels"]);
    assert_eq!((found.films, found.tuned_on), (6, 6));
    let uniform = &found.figures[2];
    assert!((uniform.times_uniform.unwrap() - 1.0).abs() < 1e-9);
    assert!((uniform.hit.value.unwrap() - uniform.energy.value.unwrap()).abs() < 1e-5, "{uniform:?}");
    for row in &found.figures {
        for mean in [row.hit, row.energy, row.iou, row.deletion.unwrap(), row.insertion.unwrap()] {
            assert!((0.0..=1.0).contains(&mean.value.unwrap()), "{row:?}");
        }
        assert_eq!(row.road.unwrap().films, 2);
    }
    let strata: Vec<&str> = found.strata.iter().map(|(name, ..)| name.as_str()).collect();
    let kinds = ["transverse", "oblique", "spiral", "comminuted"];
    let of_kinds: usize = found.strata.iter().filter(|it| kinds.contains(&it.0.as_str())).map(|it| it.1.films).sum();
    assert_eq!(of_kinds, 6, "{strata:?}");
    assert!(found.cascade.as_ref().unwrap().steps.len() == 10 && found.independence.films == 6);
    let text = found.to_string();
    assert!(text.starts_with("grad-cam for abnormal at features.denseblock3, input of 64 pixels, 6 true"), "{text}");
    assert!(text.contains("uniform map: hit rate") && text.contains("randomisation test"), "{text}");
    let tables = crate::notebook::tables::evidence(&found);
    assert_eq!(tables[0].rows.len(), 6);
    // Nothing is called abnormal, so that there is no true positive.
    model.card.operating_point.threshold = 1.0;
    let none = evidence(&model, &model.score(index.split(Split::Valid)).unwrap(), None, &options);
    assert!(none.unwrap().to_string().ends_with("no true positive with a known fracture"));
}
