//! Our metrics against scikit-learn's, on random, tied and degenerate data.
//!
//! Needs a Python with scikit-learn, named by the environment variable `HUMERUS_PYTHON`; without it the comparison is
//! skipped and says so.

use std::io::Write as _;
use std::process::{Command, Stdio};

use humerus_metrics::{self as metrics, Confusion, FEWEST_PATIENTS, NoInterval, Roc};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use studies::Label;

const TOLERANCE: f64 = 1e-12;
const DRAWS: usize = 60;

struct Case {
    name: String,
    labels: Vec<Label>,
    scores: Vec<f64>,
    /// Numbered from 0 in the order of the studies.
    patients: Vec<usize>,
    threshold: f64,
}

fn cases() -> Vec<Case> {
    let mut rng = ChaCha8Rng::seed_from_u64(20);
    let mut cases = Vec::new();
    // `steps`: how many distinct scores there may be; few make many ties.
    // `each`: studies of one patient.
    for (n, steps, prevalence, each) in [
        (20, 1_000_000, 0.5, 1),
        (135, 1_000_000, 0.5, 1),
        (300, 1_000_000, 0.1, 1),
        (135, 10, 0.5, 2),
        (60, 3, 0.7, 1),
        (50, 1, 0.5, 1),
        (200, 1_000_000, 0.5, 3),
    ] {
        let labels: Vec<_> = (0..n).map(|_| Label::ALL[usize::from(rng.random_bool(prevalence))]).collect();
        let score = |label: &Label| {
            let raw: f64 = rng.random_range(0.0..1.0) * 0.7 + 0.3 * label.index() as f64;
            (raw * steps as f64).round() / steps as f64
        };
        cases.push(Case {
            name: format!("{n} studies, {steps} steps"),
            scores: labels.iter().map(score).collect(),
            patients: (0..n).map(|study| study / each).collect(),
            labels,
            threshold: 0.5,
        });
    }
    let (normal, abnormal) = (Label::Normal, Label::Abnormal);
    for (name, labels, scores) in [
        ("perfect", vec![normal, normal, abnormal], vec![0.0, 0.2, 1.0]),
        ("reversed", vec![normal, normal, abnormal], vec![0.9, 0.8, 0.1]),
        ("one score", vec![normal, normal, abnormal], vec![0.5, 0.5, 0.5]),
        ("never called", vec![normal, normal, abnormal], vec![0.1, 0.2, 0.3]),
        ("only normal, never called", vec![normal; 3], vec![0.1, 0.2, 0.3]),
        ("only normal, all called", vec![normal; 3], vec![0.7, 0.8, 0.9]),
        ("only abnormal, all called", vec![abnormal; 3], vec![0.7, 0.8, 0.9]),
        ("one study", vec![abnormal], vec![0.2]),
    ] {
        let patients = (0..labels.len()).collect();
        cases.push(Case { name: name.to_owned(), labels, scores, patients, threshold: 0.5 });
    }
    cases
}

fn draws(case: &Case, seed: u64) -> Vec<Vec<usize>> {
    let patients = case.patients.last().map_or(0, |last| last + 1);
    metrics::resamples(patients, DRAWS, seed).collect()
}

fn ask_scikit_learn(python: &str, cases: &[Case]) -> Value {
    let question: Vec<_> = cases
        .iter()
        .map(|case| {
            json!({
                "labels": case.labels.iter().map(|l| l.index()).collect::<Vec<_>>(),
                "scores": case.scores,
                "threshold": case.threshold,
                "patients": case.patients,
                "draws": draws(case, 3),
            })
        })
        .collect();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/metrics.py");
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("HUMERUS_PYTHON starts");
    let mut stdin = child.stdin.take().unwrap();
    let text = serde_json::to_vec(&question).unwrap();
    std::thread::spawn(move || stdin.write_all(&text).unwrap());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "metrics.py failed");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn same(what: &str, case: &Case, ours: Option<f64>, theirs: &Value) {
    let close = match (ours, theirs.as_f64()) {
        (Some(ours), Some(theirs)) => (ours - theirs).abs() <= TOLERANCE,
        (None, None) => theirs.is_null(),
        _ => false,
    };
    assert!(close, "{}, {what}: ours {ours:?}, scikit-learn {theirs}", case.name);
}

#[test]
fn every_metric_equals_scikit_learn() {
    let Ok(python) = std::env::var("HUMERUS_PYTHON") else {
        println!("skipped: HUMERUS_PYTHON names no interpreter with scikit-learn");
        return;
    };
    let cases = cases();
    let reply = ask_scikit_learn(&python, &cases);
    let answers = reply["answers"].as_array().unwrap();
    assert_eq!(answers.len(), cases.len());
    let mut compared = 0;
    for (case, theirs) in cases.iter().zip(answers) {
        let counts = Confusion::at(&case.labels, &case.scores, case.threshold).unwrap();
        let cells = [counts.true_negative, counts.false_positive, counts.false_negative, counts.true_positive];
        assert_eq!(json!(cells), theirs["confusion"], "{}", case.name);
        same("accuracy", case, counts.accuracy(), &theirs["accuracy"]);
        same("sensitivity", case, counts.sensitivity(), &theirs["sensitivity"]);
        same("specificity", case, counts.specificity(), &theirs["specificity"]);
        same("precision", case, counts.precision(), &theirs["precision"]);
        same("f1", case, counts.f1(), &theirs["f1"]);
        same("kappa", case, counts.kappa(), &theirs["kappa"]);
        if !theirs["wilson"].is_null() {
            let right =
                case.labels.iter().zip(&case.scores).map(|(l, s)| Some((*s >= case.threshold) == (l.index() == 1)));
            let wilson = metrics::share_interval(&case.patients, &right.collect::<Vec<_>>()).unwrap();
            same("Wilson, low", case, Some(wilson.low), &theirs["wilson"][0]);
            same("Wilson, high", case, Some(wilson.high), &theirs["wilson"][1]);
        }
        let loss = metrics::log_loss(&case.labels, &case.scores).unwrap();
        same("log loss", case, Some(loss), &theirs["log_loss"]);
        let auroc = metrics::auroc(&case.labels, &case.scores);
        same("AUROC", case, auroc, &theirs["auroc"]);
        if auroc.is_none() {
            continue;
        }

        let roc = Roc::new(&case.labels, &case.scores).unwrap();
        let points = theirs["roc"].as_array().unwrap();
        assert_eq!(roc.points.len(), points.len(), "{}", case.name);
        for (ours, theirs) in roc.points.iter().zip(points) {
            same("false positive rate", case, Some(ours.false_positive_rate), &theirs[0]);
            same("true positive rate", case, Some(ours.true_positive_rate), &theirs[1]);
            let threshold = Some(ours.threshold).filter(|t| t.is_finite());
            same("threshold", case, threshold, &theirs[2]);
        }

        // The same draws on both sides, so the interval is compared exactly and not by luck.
        match metrics::interval(&case.labels, &case.scores, &case.patients, metrics::auroc, DRAWS, 3) {
            Ok(interval) => {
                compared += 1;
                same("interval, low", case, Some(interval.low), &theirs["interval"][0]);
                same("interval, high", case, Some(interval.high), &theirs["interval"][1]);
            }
            Err(NoInterval::FewPatients { normal, abnormal, .. }) => assert!(normal.min(abnormal) < FEWEST_PATIENTS),
            Err(NoInterval::SameOnEveryDraw) => assert_eq!(theirs["interval"][0], theirs["interval"][1]),
            Err(why) => panic!("{}: {why}", case.name),
        }
    }
    assert!(compared >= 5, "{compared} intervals compared");
    println!("{} cases equal scikit-learn {}", cases.len(), reply["sklearn"]);
}

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
