//! Our metrics against scikit-learn's, on random, tied and degenerate data.
//!
//! Needs a Python with scikit-learn, named by the environment variable `HUMERUS_PYTHON`; without it the comparison is
//! skipped and says so.

use std::io::Write as _;
use std::process::{Command, Stdio};

use humerus::Label;
use humerus::metrics::{self, Confusion, Roc};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

const TOLERANCE: f64 = 1e-12;
const DRAWS: usize = 60;

struct Case {
    name: String,
    labels: Vec<Label>,
    scores: Vec<f64>,
    threshold: f64,
}

fn cases() -> Vec<Case> {
    let mut rng = ChaCha8Rng::seed_from_u64(20);
    let mut cases = Vec::new();
    // `steps`: how many distinct scores there may be; few make many ties.
    for (n, steps, prevalence) in
        [(20, 1_000_000, 0.5), (135, 1_000_000, 0.5), (300, 1_000_000, 0.1), (135, 10, 0.5), (60, 3, 0.7), (50, 1, 0.5)]
    {
        let labels: Vec<_> = (0..n).map(|_| Label::ALL[usize::from(rng.random_bool(prevalence))]).collect();
        let score = |label: &Label| {
            let raw: f64 = rng.random_range(0.0..1.0) * 0.7 + 0.3 * label.index() as f64;
            (raw * steps as f64).round() / steps as f64
        };
        cases.push(Case {
            name: format!("{n} studies, {steps} steps"),
            scores: labels.iter().map(score).collect(),
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
        cases.push(Case { name: name.to_owned(), labels, scores, threshold: 0.5 });
    }
    cases
}

fn draws(case: &Case, seed: u64) -> Vec<Vec<usize>> {
    metrics::resamples(case.labels.len(), DRAWS, seed).collect()
}

fn ask_scikit_learn(python: &str, cases: &[Case]) -> Value {
    let question: Vec<_> = cases
        .iter()
        .map(|case| {
            json!({
                "labels": case.labels.iter().map(|l| l.index()).collect::<Vec<_>>(),
                "scores": case.scores,
                "threshold": case.threshold,
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
        let seen = draws(case, 3).iter().filter(|d| d.iter().any(|&i| case.labels[i] != case.labels[d[0]])).count();
        let interval = metrics::interval(&case.labels, &case.scores, metrics::auroc, DRAWS, 3);
        assert_eq!(interval.is_some(), 2 * seen >= DRAWS, "{}", case.name);
        if let Some(interval) = interval {
            same("interval, low", case, Some(interval.low), &theirs["interval"][0]);
            same("interval, high", case, Some(interval.high), &theirs["interval"][1]);
        }
    }
    println!("{} cases equal scikit-learn {}", cases.len(), reply["sklearn"]);
}

#[test]
fn the_interval_covers_the_true_auroc_about_as_often_as_it_says() {
    // Scores uniform on 0..1 for normal, 0.5..1.5 for abnormal: true AUROC 1 − 0.5²/2 = 0.875.
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let labels: Vec<_> = (0..80).map(|i| Label::ALL[i % 2]).collect();
    let repeats = 150;
    let covered = (0..repeats)
        .filter(|&seed| {
            let scores: Vec<f64> = labels.iter().map(|l| rng.random_range(0.0..1.0) + 0.5 * l.index() as f64).collect();
            let interval = metrics::interval(&labels, &scores, metrics::auroc, 200, seed).unwrap();
            (interval.low..=interval.high).contains(&0.875)
        })
        .count();
    let share = covered as f64 / repeats as f64;
    assert!((0.89..=0.985).contains(&share), "covered {share}");
}
