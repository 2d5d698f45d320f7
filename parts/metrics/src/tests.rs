//! How often each kind of interval holds the truth, over thousands of simulated data sets.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use studies::Label;

use crate::bootstrap::{DRAWS, draws, percentiles};
use crate::measure::Sample;
use crate::patients::Patients;
use crate::*;

/// The distribution function of the standard normal.
fn below(x: f64) -> f64 {
    0.5 * libm::erfc(-x / std::f64::consts::SQRT_2)
}

/// A standard normal value from two uniform ones (Box & Muller).
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (rng.random_range(f64::MIN_POSITIVE..1.0), rng.random_range(0.0..1.0));
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// Two normal distributions of equal width, `apart` from each other, half of the studies from each: the probability
/// that a value means is known, and so are all figures.
struct World {
    apart: f64,
    /// What the probabilities are spoilt by; 1 leaves them calibrated.
    temperature: f64,
}

impl World {
    fn of_auroc(auroc: f64, temperature: f64) -> World {
        let (mut low, mut high) = (0.0, 10.0);
        while high - low > 1e-12 {
            let middle = 0.5 * (low + high);
            if below(middle / std::f64::consts::SQRT_2) < auroc { low = middle } else { high = middle }
        }
        World { apart: low, temperature }
    }

    fn probability(&self, x: f64) -> f64 {
        let log_odds = self.apart * x - self.apart * self.apart / 2.0;
        1.0 / (1.0 + (-log_odds / self.temperature).exp())
    }

    fn draw(&self, studies: usize, rng: &mut ChaCha8Rng) -> (Vec<Label>, Vec<f64>) {
        let one = |_| {
            let label = Label::ALL[usize::from(rng.random_bool(0.5))];
            (label, self.probability(normal(rng) + self.apart * label.index() as f64))
        };
        (0..studies).map(one).unzip()
    }

    /// The figures of infinitely many studies: two million at even steps through both distributions.
    fn truth(&self) -> impl Fn(Measure) -> f64 + use<> {
        let steps = 20_000;
        let x = |step: usize| {
            let share = (step as f64 + 0.5) / steps as f64;
            let (mut low, mut high) = (-9.0, 9.0);
            while high - low > 1e-11 {
                let middle = 0.5 * (low + high);
                if below(middle) < share { low = middle } else { high = middle }
            }
            low
        };
        let at: Vec<f64> = (0..steps).map(x).collect();
        let of = |label: Label| at.iter().map(move |x| self.probability(x + self.apart * label.index() as f64));
        let scores: Vec<f64> = Label::ALL.into_iter().flat_map(of).collect();
        let labels: Vec<Label> = (0..2 * steps).map(|at| Label::ALL[at / steps]).collect();
        let found = Sample::new(&labels, &scores, 0.5).values(&vec![1; 2 * steps], None);
        move |figure| found.get(figure).unwrap_or(f64::NAN)
    }
}

/// The share of data sets whose interval holds the truth, of those that have one, and the share that has one.
fn share(found: &[Option<bool>]) -> (f64, f64) {
    let given: Vec<bool> = found.iter().flatten().copied().collect();
    let held = given.iter().filter(|held| **held).count();
    (held as f64 / given.len().max(1) as f64, given.len() as f64 / found.len() as f64)
}

type Kind = (&'static str, fn(&Looked, &dyn Fn(Measure) -> f64) -> Option<bool>);

/// What was found of one data set.
struct Looked {
    labels: Vec<Label>,
    scores: Vec<f64>,
    drawn: Option<Vec<[measure::Values; 1]>>,
    delong: Option<DeLong>,
    counts: Confusion,
}

fn holds(interval: Option<Interval>, truth: f64) -> Option<bool> {
    interval.map(|interval| (interval.low..=interval.high).contains(&truth))
}

fn by_bootstrap(looked: &Looked, figure: Measure, truth: &dyn Fn(Measure) -> f64) -> Option<bool> {
    let values = looked.drawn.as_ref()?.iter().map(|[values]| values.get(figure)).collect();
    holds(percentiles(values).ok(), truth(figure))
}

const KINDS: [Kind; 13] = [
    ("AUROC, DeLong", |it, truth| holds(it.delong?.interval().ok(), truth(Measure::Auroc))),
    ("AUROC, DeLong, logit", |it, truth| holds(it.delong?.logit_interval().ok(), truth(Measure::Auroc))),
    ("AUROC, bootstrap", |it, truth| by_bootstrap(it, Measure::Auroc, truth)),
    ("average precision, bootstrap", |it, truth| by_bootstrap(it, Measure::AveragePrecision, truth)),
    ("Cohen's kappa, bootstrap", |it, truth| by_bootstrap(it, Measure::Kappa, truth)),
    ("balanced accuracy, bootstrap", |it, truth| by_bootstrap(it, Measure::BalancedAccuracy, truth)),
    ("F1, bootstrap", |it, truth| by_bootstrap(it, Measure::F1, truth)),
    ("Brier score, bootstrap", |it, truth| by_bootstrap(it, Measure::Brier, truth)),
    ("log loss, bootstrap", |it, truth| by_bootstrap(it, Measure::LogLoss, truth)),
    ("ECE, bootstrap", |it, truth| by_bootstrap(it, Measure::CalibrationError, truth)),
    ("sensitivity, Wilson", |it, truth| {
        let of = wilson(it.counts.true_positive, it.counts.true_positive + it.counts.false_negative);
        holds(of.ok(), truth(Measure::Sensitivity))
    }),
    ("sensitivity, Clopper–Pearson", |it, truth| {
        let of = clopper_pearson(it.counts.true_positive, it.counts.true_positive + it.counts.false_negative);
        holds(of.ok(), truth(Measure::Sensitivity))
    }),
    ("accuracy, Wilson", |it, truth| {
        let right = it.counts.true_positive + it.counts.true_negative;
        holds(wilson(right, it.labels.len()).ok(), truth(Measure::Accuracy))
    }),
];

fn look(world: &World, studies: usize, seed: u64) -> Looked {
    let (labels, scores) = world.draw(studies, &mut ChaCha8Rng::seed_from_u64(seed));
    let numbers: Vec<usize> = (0..studies).collect();
    let patients = Patients::new(&numbers);
    let sample = Sample::new(&labels, &scores, 0.5);
    let drawn = patients.enough(&labels).ok().map(|()| draws([&sample], &patients, (DRAWS, seed), None));
    let delong = DeLong::new(&labels, &scores, &numbers).ok();
    let counts = Confusion::at(&labels, &scores, 0.5).unwrap();
    Looked { labels, scores, drawn, delong, counts }
}

fn coverage(world: &World, studies: usize, sets: u64) -> Vec<(f64, f64)> {
    let truth = world.truth();
    let held: Vec<Vec<Option<bool>>> = (0..sets)
        .into_par_iter()
        .map(|seed| {
            let looked = look(world, studies, seed);
            KINDS.into_iter().map(|(_, held)| held(&looked, &truth)).collect()
        })
        .collect();
    (0..KINDS.len()).map(|kind| share(&held.iter().map(|of_set| of_set[kind]).collect::<Vec<_>>())).collect()
}

#[test]
fn the_simulated_world_has_the_figures_it_was_asked_for() {
    let truth = World::of_auroc(0.9, 1.0).truth();
    assert!((truth(Measure::Auroc) - 0.9).abs() < 1e-6 && truth(Measure::CalibrationError) < 1e-3);
    // Of two equal halves the kappa is twice the accuracy less one.
    assert!((truth(Measure::Kappa) - 2.0 * truth(Measure::Accuracy) + 1.0).abs() < 1e-9);
    let looked = look(&World::of_auroc(0.9, 1.0), 4000, 1);
    let found = auroc(&looked.labels, &looked.scores).unwrap();
    assert!((found - 0.9).abs() < 0.02, "{found}");
}

#[test]
fn of_a_hundred_data_sets_most_intervals_hold_the_truth() {
    for (kind, (held, given)) in KINDS.iter().zip(coverage(&World::of_auroc(0.85, 1.0), 135, 100)) {
        assert!(kind.0.starts_with("ECE") || held >= 0.86, "{}: {held}", kind.0);
        assert_eq!(given, 1.0, "{}", kind.0);
    }
}

/// The table of docs/statistics.md: `cargo test -p humerus-metrics --lib -- --ignored --nocapture coverage_of`.
#[test]
#[ignore = "minutes; prints a table"]
fn coverage_of_every_kind_of_interval() {
    const AUROCS: [f64; 5] = [0.7, 0.8, 0.9, 0.95, 0.98];
    for (temperature, studies) in [(1.0, 135), (0.5, 135), (1.0, 40)] {
        let found: Vec<_> =
            AUROCS.iter().map(|auroc| coverage(&World::of_auroc(*auroc, temperature), studies, 2000)).collect();
        println!("\n{studies} studies, temperature {temperature}\n");
        println!("| interval | {} |", AUROCS.map(|auroc| format!("AUROC {auroc}")).join(" | "));
        println!("|---|{}", "---|".repeat(AUROCS.len()));
        for (kind, (name, _)) in KINDS.iter().enumerate() {
            let cell = |(held, given): (f64, f64)| match given {
                1.0 => format!("{:.1}", 100.0 * held),
                _ => format!("{:.1} (given {:.0} %)", 100.0 * held, 100.0 * given),
            };
            let cells: Vec<String> = found.iter().map(|of_auroc| cell(of_auroc[kind])).collect();
            println!("| {name} | {} |", cells.join(" | "));
        }
    }
}

/// How long all figures of 1,199 studies take, in seconds: `cargo test -p humerus-metrics --lib -- --ignored
/// --nocapture seconds_of`.
#[test]
#[ignore = "measures"]
fn seconds_of_two_thousand_replicates_over_1199_studies() {
    let looked = World::of_auroc(0.9, 0.7).draw(1199, &mut ChaCha8Rng::seed_from_u64(0));
    let patients: Vec<usize> = (0..1199).map(|study| study * 783 / 1199).collect();
    let once = || {
        let began = std::time::Instant::now();
        Metrics::of(&looked.0, &looked.1, &patients, 0.5).unwrap();
        began.elapsed().as_secs_f64()
    };
    let mut seconds: Vec<f64> = (0..7).map(|_| once()).collect();
    seconds.sort_by(f64::total_cmp);
    println!("{DRAWS} draws of {} figures over 1,199 studies: {seconds:.3?} s", Measure::ALL.len());
}
