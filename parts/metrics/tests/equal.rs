//! Our figures against scikit-learn's, SciPy's and NumPy's, on a thousand random, tied and degenerate cases.
//!
//! Needs a Python with scikit-learn, named by the environment variable `HUMERUS_PYTHON`; without it the comparison is
//! skipped and says so.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use humerus_metrics::{
    self as metrics, Confusion, DeLong, DeLongPair, FEWEST_PATIENTS, Interval, Measure, Metrics, NoInterval,
    PrecisionRecall, Roc,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use studies::Label;

const TOLERANCE: f64 = 1e-9;
const DRAWS: usize = 60;
const CASES: usize = 1000;
/// Cases in which what is slow in Python is compared too.
const THOROUGH: usize = 30;
/// Cases in which every interval is drawn.
const DRAWN: usize = 60;

struct Case {
    name: String,
    labels: Vec<Label>,
    scores: Vec<f64>,
    /// Another model's.
    others: Vec<f64>,
    /// Numbered from 0 in the order of the studies.
    patients: Vec<usize>,
    threshold: f64,
}

impl Case {
    /// `steps`: how many distinct scores there may be; few make many ties. `each`: studies of one patient.
    fn random(rng: &mut ChaCha8Rng, n: usize, steps: f64, prevalence: f64, each: usize, threshold: f64) -> Case {
        let labels: Vec<_> = (0..n).map(|_| Label::ALL[usize::from(rng.random_bool(prevalence))]).collect();
        let mut scores = |of: f64| {
            let mut score = |label: &Label| {
                let raw: f64 = rng.random_range(0.0..1.0) * (1.0 - of) + of * label.index() as f64;
                (raw * steps).round() / steps
            };
            labels.iter().map(&mut score).collect::<Vec<f64>>()
        };
        let (scores, others) = (scores(0.3), scores(0.2));
        let patients = (0..n).map(|study| study / each).collect();
        let name = format!("{n} studies, {each} a patient, {steps} steps, {prevalence} abnormal, from {threshold}");
        Case { name, labels, scores, others, patients, threshold }
    }
}

fn cases() -> Vec<Case> {
    let mut rng = ChaCha8Rng::seed_from_u64(20);
    let mut cases = Vec::new();
    for (n, steps, prevalence, each) in [
        (20, 1e6, 0.5, 1),
        (135, 1e6, 0.5, 1),
        (300, 1e6, 0.1, 1),
        (135, 10.0, 0.5, 2),
        (60, 3.0, 0.7, 1),
        (50, 1.0, 0.5, 1),
        (200, 1e6, 0.5, 3),
    ] {
        cases.push(Case::random(&mut rng, n, steps, prevalence, each, 0.5));
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
        let others = scores.iter().map(|score| 1.0 - score).collect();
        cases.push(Case { name: name.to_owned(), labels, scores, others, patients, threshold: 0.5 });
    }
    while cases.len() < CASES {
        let n = rng.random_range(1..=160);
        let steps = [1.0, 4.0, 10.0, 1e6][rng.random_range(0..4)];
        let prevalence = [0.03, 0.2, 0.5, 0.9, 1.0][rng.random_range(0..5)];
        let (each, threshold) = (rng.random_range(1..4), rng.random_range(0.0..1.0));
        cases.push(Case::random(&mut rng, n, steps, prevalence, each, threshold));
    }
    cases
}

fn ask(python: &Path, cases: &[Case]) -> Value {
    let question = cases.iter().enumerate().map(|(at, case)| {
        let patients = case.patients.last().map_or(0, |last| last + 1);
        let draws = if at < 15 { DRAWS } else { 0 };
        json!({
            "labels": case.labels.iter().map(|l| l.index()).collect::<Vec<_>>(),
            "scores": case.scores,
            "others": case.others,
            "threshold": case.threshold,
            "patients": case.patients,
            "smooth": at < THOROUGH,
            "draws": metrics::resamples(patients, draws, 3).collect::<Vec<_>>(),
        })
    });
    let text = serde_json::to_vec(&question.collect::<Vec<_>>()).unwrap();
    let mut child = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/metrics.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("HUMERUS_PYTHON starts");
    let mut stdin = child.stdin.take().unwrap();
    std::thread::spawn(move || stdin.write_all(&text).unwrap());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "metrics.py failed");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn near(what: &str, case: &Case, ours: Option<f64>, theirs: &Value, tolerance: f64) {
    let close = match (ours, theirs.as_f64()) {
        (Some(ours), Some(theirs)) => (ours - theirs).abs() <= tolerance,
        (None, None) => theirs.is_null(),
        _ => false,
    };
    assert!(close, "{}, {what}: ours {ours:?}, theirs {theirs}", case.name);
}

fn same(what: &str, case: &Case, ours: Option<f64>, theirs: &Value) {
    near(what, case, ours, theirs, TOLERANCE);
}

fn same_ends(what: &str, case: &Case, ours: Interval, theirs: &Value) {
    same(&format!("{what}, low"), case, Some(ours.low), &theirs[0]);
    same(&format!("{what}, high"), case, Some(ours.high), &theirs[1]);
}

/// What is compared of every case. Where nothing is drawn, all studies are of one patient, of which there is no
/// interval.
fn figures(case: &Case, theirs: &Value, drawn: bool) {
    let patients = if drawn { case.patients.clone() } else { vec![0; case.labels.len()] };
    let found = Metrics::of(&case.labels, &case.scores, &patients, case.threshold).unwrap();
    let counts = found.confusion;
    let cells = [counts.true_negative, counts.false_positive, counts.false_negative, counts.true_positive];
    assert_eq!(json!(cells), theirs["confusion"], "{}", case.name);
    for figure in Measure::ALL.into_iter().filter(|figure| *figure != Measure::SmoothCalibrationError) {
        let ours = found.get(figure);
        same(figure.name(), case, ours.value, &theirs[figure.name()]);
        assert!(ours.value.is_some() || ours.no_interval.is_some(), "{}, {figure}: no word of why", case.name);
        let Some(Interval { low, high, .. }) = ours.interval else { continue };
        let (least, most) = match figure {
            Measure::Kappa => (-1.0, 1.0),
            Measure::LogLoss => (0.0, f64::INFINITY),
            _ => (0.0, 1.0),
        };
        assert!(least <= low && low <= high && high <= most, "{}, {figure}: {low} to {high}", case.name);
    }
    for (figure, alone) in [
        (Measure::Kappa, counts.kappa()),
        (Measure::F1, counts.f1()),
        (Measure::PositivePredictiveValue, counts.precision()),
        (Measure::NegativePredictiveValue, counts.negative_predictive_value()),
        (Measure::BalancedAccuracy, counts.balanced_accuracy()),
        (Measure::Auroc, metrics::auroc(&case.labels, &case.scores)),
        (Measure::LogLoss, metrics::log_loss(&case.labels, &case.scores).ok()),
        (Measure::Brier, metrics::brier(&case.labels, &case.scores).ok()),
    ] {
        same(figure.name(), case, alone, &theirs[figure.name()]);
    }
    if theirs["wilson"].is_array() {
        let right = counts.true_negative + counts.true_positive;
        same_ends("Wilson", case, metrics::wilson(right, case.labels.len()).unwrap(), &theirs["wilson"]);
        if drawn {
            same_ends("Wilson", case, found.accuracy.interval.unwrap(), &theirs["wilson"]);
        }
    }
    let delong = DeLongPair::new(&case.labels, &case.scores, &case.others, &case.patients);
    if theirs["delong"].is_null() {
        assert!(delong.is_err(), "{}: {delong:?}", case.name);
        return;
    }
    let (delong, said) = (delong.unwrap(), &theirs["delong"]);
    same("area", case, Some(delong.first.auroc), &said["areas"][0]);
    same("other area", case, Some(delong.second.auroc), &said["areas"][1]);
    same("variance", case, Some(delong.first.variance), &said["covariances"][0][0]);
    same("other variance", case, Some(delong.second.variance), &said["covariances"][1][1]);
    same("covariance", case, Some(delong.covariance), &said["covariances"][0][1]);
    near("p", case, delong.p(), &said["p"], 1e-7);
    if let Ok(interval) = DeLong::new(&case.labels, &case.scores, &case.patients).unwrap().interval() {
        same_ends("DeLong", case, interval, &said["interval"]);
    }
}

/// What is slow in Python.
fn thorough(case: &Case, theirs: &Value) {
    let found = Metrics::of(&case.labels, &case.scores, &case.patients, case.threshold).unwrap();
    near("smECE", case, found.smooth_calibration_error.value, &theirs["smECE"], 1e-5);
    let right = found.confusion.true_negative + found.confusion.true_positive;
    same_ends("exact", case, metrics::clopper_pearson(right, case.labels.len()).unwrap(), &theirs["exact"]);
    let only = [0, 1].map(|at| theirs["only"][at].as_u64().unwrap() as usize);
    same("McNemar", case, metrics::mcnemar(only[0], only[1]), &theirs["mcnemar"]);
    let inside: Vec<f64> = case.scores.iter().map(|score| score.clamp(1e-9, 1.0 - 1e-9)).collect();
    if let Ok(found) = metrics::temperature(&case.labels, &inside) {
        near("temperature", case, Some(1.0 / found), &theirs["inverse temperature"], 1e-5);
    } else {
        assert!(theirs["inverse temperature"].as_f64().is_none_or(|it| !(0.06..19.0).contains(&it)), "{}", case.name);
    }
}

/// The curves, and intervals over the very same draws; whether an interval was compared.
fn curves(case: &Case, theirs: &Value) -> bool {
    let (labels, scores) = (&case.labels, &case.scores);
    let roc = Roc::new(labels, scores).unwrap();
    let points = theirs["roc"].as_array().unwrap();
    assert_eq!(roc.points.len(), points.len(), "{}", case.name);
    for (ours, theirs) in roc.points.iter().zip(points) {
        same("false positive rate", case, Some(ours.false_positive_rate), &theirs[0]);
        same("true positive rate", case, Some(ours.true_positive_rate), &theirs[1]);
        same("threshold", case, Some(ours.threshold).filter(|t| t.is_finite()), &theirs[2]);
    }
    let curve = PrecisionRecall::new(labels, scores).unwrap();
    same("average precision", case, Some(curve.average_precision), &theirs["average precision"]);
    let points = theirs["pr"].as_array().unwrap();
    assert_eq!(curve.points.len(), points.len(), "{}", case.name);
    for (ours, theirs) in curve.points.iter().zip(points) {
        same("precision", case, Some(ours.precision), &theirs[0]);
        same("recall", case, Some(ours.recall), &theirs[1]);
        same("threshold", case, Some(ours.threshold), &theirs[2]);
    }
    let kappa = |l: &[Label], s: &[f64]| Confusion::at(l, s, case.threshold).ok().and_then(|counts| counts.kappa());
    if let Ok(interval) = metrics::interval(labels, scores, &case.patients, kappa, DRAWS, 3) {
        same_ends("kappa", case, interval, &theirs["kappas"]);
    }
    match metrics::interval(labels, scores, &case.patients, metrics::auroc, DRAWS, 3) {
        Ok(interval) => {
            same_ends("interval", case, interval, &theirs["interval"]);
            true
        }
        Err(NoInterval::FewPatients { normal, abnormal, .. }) => {
            assert!(normal.min(abnormal) < FEWEST_PATIENTS);
            false
        }
        Err(NoInterval::SameOnEveryDraw) => {
            assert_eq!(theirs["interval"][0], theirs["interval"][1]);
            false
        }
        Err(why) => panic!("{}: {why}", case.name),
    }
}

#[test]
fn every_figure_of_a_thousand_cases_equals_scikit_learn() {
    let Some(python) = testing::python() else { return };
    let cases = cases();
    let reply = ask(&python, &cases);
    let answers = reply["answers"].as_array().unwrap();
    assert_eq!(answers.len(), CASES);
    let mut compared = 0;
    for (at, (case, theirs)) in cases.iter().zip(answers).enumerate() {
        figures(case, theirs, at < DRAWN);
        if at < THOROUGH {
            thorough(case, theirs);
        }
        if !theirs["roc"].is_null() {
            compared += usize::from(curves(case, theirs));
        }
    }
    assert!(compared >= 5, "{compared} intervals compared");
    println!("{} cases equal {}", cases.len(), reply["versions"]);
}

/// The values that pROC's tests hold for 113 patients with subarachnoid haemorrhage.
///
/// The data are under the GPL and not here: `HUMERUS_ASAH` names a JSON file of them, `{"outcome": [1 for poor],
/// "wfns": […], "s100b": […], "ndka": […]}`, as Python's `rdata` reads them from Debian's package r-cran-proc.
#[test]
fn delong_of_haemorrhage_equals_what_others_published() {
    let Some(path) = std::env::var_os("HUMERUS_ASAH") else {
        println!("skipped: HUMERUS_ASAH names no file of pROC's data");
        return;
    };
    let data: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let column = |name: &str| data[name].as_array().unwrap().iter().map(|it| it.as_f64().unwrap()).collect::<Vec<_>>();
    let labels: Vec<Label> = column("outcome").iter().map(|poor| Label::ALL[*poor as usize]).collect();
    let patients: Vec<usize> = (0..labels.len()).collect();
    let close = |ours: f64, theirs: f64| assert!((ours - theirs).abs() < 1e-9, "{ours} {theirs}");
    for (name, auroc, variance, low, high) in [
        ("s100b", 0.731368563685637, 0.00266868245717244, 0.630118, 0.832619),
        ("wfns", 0.823678861788618, 0.00146991470882363, 0.748535, 0.898823),
        ("ndka", 0.611957994579946, 0.0031908105493913, 0.501244999271703, 0.722670989888189),
    ] {
        let found = DeLong::new(&labels, &column(name), &patients).unwrap();
        close(found.auroc, auroc);
        close(found.variance, variance);
        let interval = found.interval().unwrap();
        assert!((interval.low - low).abs() < 1e-6 && (interval.high - high).abs() < 1e-6, "{name}: {interval:?}");
    }
    for (first, second, covariance, z, p) in [
        ("wfns", "ndka", -0.000532967856762438, 2.79777591868904, 0.00514557970691098),
        ("ndka", "s100b", -0.000756164938056579, -1.39077002573558, 0.164295175223054),
        ("wfns", "s100b", 0.00119615567376754, 2.20898359144091, 0.0271757822291882),
    ] {
        let pair = DeLongPair::new(&labels, &column(first), &column(second), &patients).unwrap();
        println!("{first} and {second}: {pair:?}, z {:?}, p {:?}", pair.z(), pair.p());
        close(pair.z().unwrap(), z);
        close(pair.p().unwrap(), p);
        close(pair.covariance, covariance);
    }
}
