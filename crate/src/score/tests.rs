//! Reports and what they say of themselves.

use std::path::PathBuf;

use studies::View;

use super::*;

/// A study of one film for each label and probability, each of its own patient.
fn scored(studies: &[(Label, f64)], threshold: f64) -> Report {
    let operating_point = OperatingPoint { threshold, ..OperatingPoint::default() };
    let mut report = Report::empty(operating_point, 1.0);
    for (at, &(label, probability)) in studies.iter().enumerate() {
        let (id, probability) = (format!("study{at}"), Probability::new(probability).unwrap());
        let (decision, path) = (report.operating_point.decide(probability), PathBuf::from(format!("{at}.png")));
        let view = View::new(&path);
        report.views.push(ViewScore {
            path,
            study: id.clone(),
            probability,
            decision,
            label: Some(label),
            doubts: Vec::new(),
            view,
        });
        let group = id.clone();
        report.studies.push(StudyScore {
            study: id,
            probability,
            decision,
            label: Some(label),
            views: 1,
            unread: 0,
            group,
            patient_is_known: true,
        });
    }
    report
}

#[test]
fn certain_uncertain_and_wrong_are_judged_at_the_reports_own_operating_point() {
    let (normal, abnormal) = (Label::Normal, Label::Abnormal);
    let report = scored(&[(normal, 0.05), (normal, 0.27), (abnormal, 0.15), (abnormal, 0.9)], 0.2);
    let names = |of: Vec<ViewScore>| of.iter().map(|view| view.study.clone()).collect::<Vec<_>>();
    assert_eq!(names(report.most_certain(1)), ["study3"]);
    assert_eq!(names(report.most_uncertain(2)), ["study2", "study1"]);
    assert_eq!(names(report.wrong(9)), ["study1", "study2"]);
    assert_eq!(names(report.true_positives(9)), ["study3"]);
    let clearest = Label::ALL.map(|label| report.clearest(label).unwrap().study);
    assert_eq!(clearest, ["study0", "study3"]);
    assert!(scored(&[(normal, 0.1)], 0.5).clearest(abnormal).unwrap_err().to_string().contains("labelled abnormal"));
    assert_eq!(report.views[3].to_string(), "3.png: probability of abnormal 0.900, called abnormal");
    let metrics = report.metrics().unwrap();
    assert_eq!((metrics.confusion.true_positive, metrics.confusion.false_positive), (1, 1));

    let stricter = report.decided_at(OperatingPoint { threshold: 0.5, ..OperatingPoint::default() });
    assert_eq!(names(stricter.wrong(9)), ["study2"]);
    assert_eq!(stricter.metrics().unwrap().confusion.false_positive, 0);
    assert_eq!(stricter.decided_at(report.operating_point.clone()), report);
}

#[test]
fn where_patients_are_unknown_the_reason_names_what_stands_for_them() {
    let mut report = scored(&[(Label::Normal, 0.1), (Label::Normal, 0.2), (Label::Abnormal, 0.3)], 0.5);
    report.studies[0].patient_is_known = false;
    let line = |report: &Report| report.metrics().unwrap().auroc.to_string();
    assert!(line(&report).contains("2 normal studies and 1 abnormal study, 10"), "{}", line(&report));
    report.studies[1].group = report.studies[0].group.clone();
    assert!(line(&report).contains("1 block with normal studies and 1 block with"), "{}", line(&report));
    let text = serde_json::to_string(&report.metrics().unwrap()).unwrap();
    assert!(text.contains(r#""abnormal":1,"of":"blocks"}"#), "{text}");
}

#[test]
fn six_studies_give_figures_and_in_words_why_some_have_no_interval() {
    let scores = [0.1, 0.9, 0.2, 0.8, 0.3, 0.7];
    let studies: Vec<_> = scores.iter().zip(Label::ALL.into_iter().cycle()).map(|(s, label)| (label, *s)).collect();
    let metrics = scored(&studies, 0.5).metrics().unwrap();
    assert_eq!(
        metrics.to_string(),
        "AUROC 1.000, Cohen's kappa 1.000, accuracy 1.000 (95 % CI 0.610 to 1.000), sensitivity 1.000 \
         (95 % CI 0.439 to 1.000), specificity 1.000 (95 % CI 0.439 to 1.000); 6 studies, 6 views; no interval of \
         AUROC and Cohen's kappa: 3 normal patients and 3 abnormal patients, 10 of each are needed"
    );
    assert_eq!(
        metrics.auroc.to_string(),
        "1.000 (no interval: 3 normal patients and 3 abnormal patients, 10 of each are needed)"
    );
    let table = crate::notebook::tables::metrics(&metrics).to_string();
    assert!(table.contains("none: 3 normal patients and 3 abnormal patients"), "{table}");
    let text = serde_json::to_string(&metrics).unwrap();
    assert!(text.contains(r#""no_interval":{"why":"few-patients","normal":3,"abnormal":3}"#), "{text}");
    assert_eq!(serde_json::from_str::<Metrics>(&text).unwrap(), metrics);
    // A card of before: an interval or none, and no reason.
    let old = text.replace(r#","no_interval":{"why":"few-patients","normal":3,"abnormal":3}"#, "");
    assert!(!old.contains("no_interval"), "{old}");
    assert_eq!(serde_json::from_str::<Metrics>(&old).unwrap().auroc.to_string(), "1.000");
}

#[test]
fn studies_without_abnormal_ones_have_an_undefined_sensitivity_and_the_reason_beside_it() {
    let metrics = scored(&[(Label::Normal, 0.1), (Label::Normal, 0.6)], 0.5).metrics().unwrap();
    assert_eq!(metrics.sensitivity.to_string(), "undefined: no study is abnormal");
    assert_eq!(metrics.specificity.to_string(), "0.500 (95 % CI 0.095 to 0.905, Wilson)");
    assert_eq!(metrics.auroc.to_string(), "undefined: no study is abnormal");
}
