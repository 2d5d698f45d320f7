//! How often intervals hold the truth, by simulation.

use humerus_metrics as metrics;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use studies::Label;

/// How often an interval is given, and how often one that is given holds the truth.
fn coverage(repeats: u64, mut one: impl FnMut(u64) -> Option<bool>) -> (f64, f64) {
    let found: Vec<bool> = (0..repeats).filter_map(&mut one).collect();
    let held = found.iter().filter(|held| **held).count();
    (found.len() as f64 / repeats as f64, held as f64 / found.len().max(1) as f64)
}

#[test]
fn an_interval_of_the_auroc_is_never_given_for_ten_studies_and_holds_the_truth_where_it_is_given() {
    // Scores uniform on 0..1 for normal, shift..1 + shift for abnormal: true AUROC 1 − (1 − shift)²/2.
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for (studies, auroc, expected) in [
        (10, 0.95, (0.0, 0.0)),
        (20, 0.95, (0.6, 0.85)),
        (40, 0.75, (0.99, 0.88)),
        (40, 0.95, (0.9, 0.85)),
        (80, 0.875, (0.99, 0.88)),
    ] {
        let labels: Vec<_> = (0..studies).map(|i| Label::ALL[i % 2]).collect();
        let patients: Vec<_> = (0..studies).collect();
        let shift = 1.0 - f64::sqrt(2.0 * (1.0 - auroc));
        let (given, held) = coverage(250, |seed| {
            let score = |label: &Label| rng.random_range(0.0..1.0) + shift * label.index() as f64;
            let scores: Vec<f64> = labels.iter().map(score).collect();
            let interval = metrics::interval(&labels, &scores, &patients, metrics::auroc, 200, seed).ok()?;
            Some((interval.low..=interval.high).contains(&auroc))
        });
        println!("{studies} studies, AUROC {auroc}: given {given:.3}, held {held:.3}");
        assert!(given >= expected.0 && held >= expected.1, "{studies} studies, AUROC {auroc}: {given:.3}, {held:.3}");
        assert!(studies > 10 || given == 0.0);
    }
}

#[test]
fn an_interval_of_a_share_holds_the_truth_also_where_studies_of_a_patient_are_alike() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    // Each patient decides for all his studies, in `alike` of the patients; the others' studies are drawn one by one.
    for (patients, each, truth, alike) in [
        (3, 1, 0.9, 0.0),
        (10, 1, 0.7, 0.0),
        (20, 1, 0.95, 0.0),
        (30, 3, 0.8, 1.0),
        (60, 2, 0.9, 0.5),
        (40, 4, 0.5, 0.7),
    ] {
        let of: Vec<usize> = (0..patients * each).map(|study| study / each).collect();
        let (given, held) = coverage(2000, |_| {
            let mut hits = Vec::new();
            for _ in 0..patients {
                let one = rng.random_bool(truth);
                let all = rng.random_bool(alike);
                hits.extend((0..each).map(|_| Some(if all { one } else { rng.random_bool(truth) })));
            }
            let interval = metrics::share_interval(&of, &hits).unwrap();
            Some((interval.low..=interval.high).contains(&truth))
        });
        println!("{patients} patients of {each}, share {truth}: held {held:.3}");
        assert!(given == 1.0 && held >= 0.92, "{patients} patients of {each}, share {truth}: {held:.3}");
    }
}
