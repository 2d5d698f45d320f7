//! Rules, words and edges: what is said of classes that are absent, of ties, of one study, of few patients.

use humerus_metrics::*;
use studies::Label::{self, Abnormal, Normal};

/// Labels in turn; scores that overlap.
fn overlapping(n: usize) -> (Vec<Label>, Vec<f64>, Vec<usize>) {
    let labels = (0..n).map(|i| Label::ALL[i % 2]).collect();
    let scores = (0..n).map(|i| (i * 7 % n) as f64 + 0.4 * (i % 2 * n) as f64).collect();
    (labels, scores, (0..n).collect())
}

#[test]
fn intervals_repeat_with_their_seed_and_need_enough_defined_draws() {
    let (labels, scores, patients) = overlapping(24);
    let once = interval(&labels, &scores, &patients, auroc, 200, 7);
    assert!(once.is_ok());
    assert_eq!(once, interval(&labels, &scores, &patients, auroc, 200, 7));
    assert_ne!(once, interval(&labels, &scores, &patients, auroc, 200, 8));
    let none = Err(NoInterval::UndefinedOnMostDraws);
    assert_eq!(interval(&labels, &scores, &patients, auroc, 0, 7), none);
    let rarely = |l: &[Label], _: &[f64]| (l == labels).then_some(1.0);
    assert_eq!(interval(&labels, &scores, &patients, rarely, 200, 7), none);
}

#[test]
fn a_handful_of_patients_and_data_that_every_draw_agrees_on_give_a_reason_and_no_interval() {
    let (labels, scores, patients) = overlapping(6);
    let why = interval(&labels, &scores, &patients, auroc, 200, 0).unwrap_err();
    assert_eq!(why.to_string(), "3 normal patients and 3 abnormal patients, 10 of each are needed");
    let (labels, _, patients) = overlapping(40);
    let in_order: Vec<f64> = labels.iter().map(|label| label.index() as f64).collect();
    let why = interval(&labels, &in_order, &patients, auroc, 200, 0).unwrap_err();
    assert_eq!(why, NoInterval::SameOnEveryDraw);
    // A hundred studies of three patients are three patients.
    let (labels, scores, _) = overlapping(100);
    let of_three: Vec<usize> = (0..100).map(|study| study % 3).collect();
    let why = interval(&labels, &scores, &of_three, auroc, 200, 0).unwrap_err();
    assert_eq!(why, NoInterval::FewPatients { normal: 3, abnormal: 3, of: Drawn::Patients });
    for (of, words) in [
        (Drawn::Patients, "1 normal patient and 2 abnormal patients"),
        (Drawn::Studies, "1 normal study and 2 abnormal studies"),
        (Drawn::Blocks, "1 block with normal studies and 2 blocks with abnormal studies"),
    ] {
        let line = NoInterval::FewPatients { normal: 1, abnormal: 2, of }.to_string();
        assert_eq!(line, format!("{words}, 10 of each are needed"));
    }
}

#[test]
fn studies_of_one_patient_are_drawn_together() {
    let (labels, scores, patients) = overlapping(60);
    let alone = interval(&labels, &scores, &patients, auroc, 400, 0).unwrap();
    // The same patients, each seen four times over: not one bit more is known.
    let four = |i: usize| i / 4;
    let labels: Vec<_> = (0..240).map(|i| labels[four(i)]).collect();
    let scores: Vec<_> = (0..240).map(|i| scores[four(i)]).collect();
    let together: Vec<_> = (0..240).map(four).collect();
    let found = interval(&labels, &scores, &together, auroc, 400, 0).unwrap();
    assert!((found.low - alone.low).abs() < 1e-12 && (found.high - alone.high).abs() < 1e-12, "{found:?} {alone:?}");
    let apart: Vec<usize> = (0..240).collect();
    let narrow = interval(&labels, &scores, &apart, auroc, 400, 0).unwrap();
    assert!(narrow.high - narrow.low < 0.7 * (alone.high - alone.low), "{narrow:?} {alone:?}");
    let hits: Vec<_> = (0..240).map(|i| Some(four(i) % 3 > 0)).collect();
    let (together, apart) = (share_interval(&together, &hits).unwrap(), share_interval(&apart, &hits).unwrap());
    let once = share_interval(&patients, &(0..60).map(|i| Some(i % 3 > 0)).collect::<Vec<_>>()).unwrap();
    assert!((together.low - once.low).abs() < 1e-12 && apart.low > once.low + 0.05, "{together:?} {once:?} {apart:?}");
}

#[test]
fn slices_of_different_length_and_nothing_at_all_have_no_interval() {
    let undefined = Err(NoInterval::Undefined);
    assert_eq!(interval(&[Normal, Abnormal], &[0.1, 0.2], &[0], auroc, 10, 0), undefined);
    assert_eq!(interval(&[Normal, Abnormal], &[0.1, f64::NAN], &[0, 1], |_, _| Some(0.0), 10, 0), undefined);
    assert_eq!(share_interval(&[0], &[]), undefined);
    assert_eq!(share_interval(&[0, 1], &[None, None]), undefined);
    assert_eq!(share_interval::<u8>(&[], &[]), undefined);
}

#[test]
fn a_score_equal_to_the_threshold_is_called_abnormal() {
    let counts = Confusion::at(&[Normal, Abnormal], &[0.4, 0.5], 0.5).unwrap();
    assert_eq!(counts.true_positive, 1);
    assert_eq!(counts.true_negative, 1);
}

#[test]
fn a_nan_score_is_named_by_position() {
    let error = Roc::new(&[Normal, Abnormal], &[0.1, f64::NAN]).unwrap_err();
    assert!(error.to_string().contains("NaN at position 1"), "{error}");
    assert!(Confusion::at(&[Normal], &[f64::NAN], 0.5).is_err());
    assert_eq!(auroc(&[Normal, Abnormal], &[0.1, f64::NAN]), None);
}

#[test]
fn a_missing_class_has_no_curve() {
    let error = Roc::new(&[Normal, Normal], &[0.1, 0.2]).unwrap_err();
    assert!(error.to_string().contains("2 normal and 0 abnormal"), "{error}");
    assert_eq!(auroc(&[], &[]), None);
}

#[test]
fn negative_zero_ties_with_zero() {
    assert_eq!(auroc(&[Normal, Abnormal], &[0.0, -0.0]), Some(0.5));
}

#[test]
fn youden_chooses_the_point_furthest_above_chance() {
    let labels = [Normal, Normal, Abnormal, Normal, Abnormal, Abnormal];
    let best = Roc::new(&labels, &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]).unwrap().youden();
    assert_eq!((best.threshold, best.specificity()), (0.5, 1.0));
    // Even a curve below chance yields a threshold that can be stored.
    let worst = Roc::new(&[Normal, Abnormal], &[0.9, 0.1]).unwrap().youden();
    assert!(worst.threshold.is_finite());
}

#[test]
fn a_curve_read_at_a_threshold_agrees_with_the_counts_there() {
    let labels = [Normal, Abnormal, Normal, Abnormal, Abnormal];
    let scores = [0.2, 0.2, 0.4, 0.6, 0.9];
    let roc = Roc::new(&labels, &scores).unwrap();
    for threshold in [-1.0, 0.2, 0.3, 0.4, 0.6, 0.9, 2.0] {
        let counts = Confusion::at(&labels, &scores, threshold).unwrap();
        let point = roc.at(threshold);
        assert_eq!(Some(point.sensitivity()), counts.sensitivity());
        assert!((point.specificity() - counts.specificity().unwrap()).abs() < 1e-12);
    }
}

#[test]
fn an_undefined_figure_says_why_and_an_old_card_keeps_silent_of_what_it_does_not_know() {
    let found = Metrics::of(&[Normal, Normal], &[0.1, 0.2], &[1, 2], 0.5).unwrap();
    for (figure, words) in [
        (Measure::Auroc, "undefined: no study is abnormal"),
        (Measure::AveragePrecision, "undefined: no study is abnormal"),
        (Measure::Sensitivity, "undefined: no study is abnormal"),
        (Measure::BalancedAccuracy, "undefined: no study is abnormal"),
        (Measure::PositivePredictiveValue, "undefined: nothing was called abnormal"),
        (Measure::Kappa, "undefined: labels and decisions are of one class throughout"),
        (Measure::NegativePredictiveValue, "1.000 (95 % CI 0.342 to 1.000, Wilson)"),
        (Measure::Brier, "0.025 (no interval: 2 normal patients and 0 abnormal patients, 10 of each are needed)"),
    ] {
        assert_eq!(found.get(figure).to_string(), words, "{figure}");
    }
    assert_eq!(found.rows().len(), Measure::ALL.len());
    let mut card = serde_json::to_value(&found).unwrap();
    for (name, _) in card.clone().as_object().unwrap() {
        if !["split", "studies", "views", "auroc", "kappa", "accuracy", "confusion"].contains(&name.as_str())
            && !["sensitivity", "specificity"].contains(&name.as_str())
        {
            card.as_object_mut().unwrap().remove(name);
        }
    }
    let old: Metrics = serde_json::from_value(card).unwrap();
    assert_eq!(old.rows().len(), 5);
    let interval: Interval = serde_json::from_str(r#"{"low":0.1,"high":0.2}"#).unwrap();
    assert_eq!(interval.kind, IntervalKind::Unnamed);
}

#[test]
fn what_is_no_probability_and_what_is_not_there_are_refused_by_name() {
    let line = |result: Result<Metrics>| result.unwrap_err().to_string();
    assert!(line(Metrics::of::<u8>(&[], &[], &[], 0.5)).contains("at least one"));
    assert!(line(Metrics::of(&[Normal], &[1.5], &[1], 0.5)).contains("probability: expected 0.0 to 1.0, got 1.5"));
    assert!(line(Metrics::of(&[Normal], &[0.5], &[1, 2], 0.5)).contains("patients: expected one for each of 1 labels"));
    assert!(line(Metrics::of(&[Normal], &[f64::NAN], &[1], 0.5)).contains("NaN at position 0"));
    assert_eq!(clopper_pearson(1, 0), Err(NoInterval::Undefined));
    assert_eq!(wilson(2, 1), Err(NoInterval::Undefined));
}

#[test]
fn every_figure_has_the_kind_of_interval_that_befits_it() {
    let (labels, scores, patients) = overlapping(60);
    let scores: Vec<f64> = scores.iter().map(|score| score / 90.0).collect();
    let found = Metrics::of(&labels, &scores, &patients, 0.5).unwrap();
    for figure in Measure::ALL {
        let kind = found.get(figure).interval.unwrap_or_else(|| panic!("{figure}")).kind;
        let expected = match figure {
            Measure::Auroc => IntervalKind::DeLongLogit,
            share if share.is_share() => IntervalKind::Wilson,
            _ => IntervalKind::Bootstrap,
        };
        assert_eq!(kind, expected, "{figure}");
    }
    assert!(found.auroc.to_string().ends_with(", DeLong, logit)"), "{}", found.auroc);
}

#[test]
fn figures_are_the_same_to_the_last_bit_for_any_number_of_threads() {
    let (labels, scores, _) = overlapping(90);
    let scores: Vec<f64> = scores.iter().map(|score| score / 130.0).collect();
    let patients: Vec<usize> = (0..90).map(|study| study / 2).collect();
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let all = || {
            let found = Metrics::of(&labels, &scores, &patients, 0.4).unwrap();
            let kappa = |l: &[Label], s: &[f64]| Confusion::at(l, s, 0.4).ok()?.kappa();
            let alone = interval(&labels, &scores, &patients, kappa, DRAWS, 0).unwrap();
            let point = OperatingPoint::choose(Rule::Youden, &labels, &scores, &patients).unwrap();
            let compared = PairedComparison::new(&labels, (&scores, 0.4), (&scores, 0.6), &patients).unwrap();
            (serde_json::to_string(&(found.clone(), point, compared)).unwrap(), found.kappa.interval, alone)
        };
        pool.install(all)
    };
    let once = with(1);
    assert_eq!(once, with(2));
    assert_eq!(once, with(5));
    // All figures in one pass over sorted studies, or one figure of studies that are written out: the same draws.
    assert_eq!(once.1, Some(once.2));
}

#[test]
fn a_perfect_order_has_no_interval_of_delongs_and_says_so() {
    let (labels, _, patients) = overlapping(40);
    let in_order: Vec<f64> = labels.iter().map(|label| 0.1 + 0.8 * label.index() as f64).collect();
    let found = Metrics::of(&labels, &in_order, &patients, 0.5).unwrap();
    assert_eq!(found.auroc.to_string(), "1.000 (no interval: the scores keep the classes wholly apart)");
    assert_eq!(found.kappa.to_string(), "1.000 (no interval: the same on every draw)");
    assert_eq!(found.sensitivity.interval.unwrap().high, 1.0);
}

#[test]
fn delong_over_patients_of_several_studies_does_not_grow_surer_by_copies() {
    let (labels, scores, patients) = overlapping(60);
    let once = DeLong::new(&labels, &scores, &patients).unwrap();
    let three = |i: usize| i / 3;
    let labels: Vec<_> = (0..180).map(|i| labels[three(i)]).collect();
    let scores: Vec<_> = (0..180).map(|i| scores[three(i)]).collect();
    let together = DeLong::new(&labels, &scores, &(0..180).map(three).collect::<Vec<_>>()).unwrap();
    assert!((once.variance - together.variance).abs() < 1e-12 && once.auroc == together.auroc);
    let apart = DeLong::new(&labels, &scores, &(0..180).collect::<Vec<_>>()).unwrap();
    assert!(apart.variance < 0.4 * once.variance);
    assert_eq!(DeLong::new(&[Normal], &[0.1], &[1]), Err(NoInterval::NoStudyIs { label: Abnormal }));
    let one_of_each = DeLong::new(&[Normal, Abnormal], &[0.1, 0.2], &[1, 2]).unwrap_err();
    assert!(one_of_each.to_string().starts_with("1 normal patient and 1 abnormal patient"), "{one_of_each}");
}

#[test]
fn a_bin_of_one_class_has_an_interval_and_an_empty_one_none() {
    let labels = [Normal, Normal, Normal, Abnormal, Abnormal];
    let found = Reliability::new(&labels, &[0.0, 0.05, 0.1, 0.95, 0.85], &[1, 2, 3, 4, 5]).unwrap();
    assert_eq!(found.bins.iter().map(|bin| bin.studies).collect::<Vec<_>>(), [3, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    let first = &found.bins[0];
    assert_eq!((first.share(), first.interval.unwrap().low), (Some(0.0), 0.0));
    assert!((first.interval.unwrap().high - 0.5615).abs() < 1e-3);
    assert_eq!((found.bins[1].share(), found.bins[1].interval, found.bins[1].probability), (None, None, None));
    assert!((found.expected_error() - (0.15 + 0.05 + 0.15) / 5.0).abs() < 1e-12);
}

#[test]
fn a_temperature_mends_what_it_was_spoilt_by_and_is_refused_where_none_is_best() {
    // Of studies with probability p a share of p is abnormal: calibrated as they are.
    let steps = || (1..20).map(|step| f64::from(step) / 20.0);
    let probabilities: Vec<f64> = steps().flat_map(|p| [p; 20]).collect();
    let labels: Vec<Label> = (0..380).map(|i| if i % 20 < i / 20 + 1 { Abnormal } else { Normal }).collect();
    assert!((temperature(&labels, &probabilities).unwrap() - 1.0).abs() < 1e-6);
    let sure: Vec<f64> = probabilities.iter().map(|p| at_temperature(*p, 0.4)).collect();
    let found = temperature(&labels, &sure).unwrap();
    assert!((found - 2.5).abs() < 1e-6, "{found}");
    for (mended, p) in sure.iter().map(|p| at_temperature(*p, found)).zip(&probabilities) {
        assert!((mended - p).abs() < 1e-6);
    }
    assert!((0..=10).map(|k| f64::from(k) / 10.0).all(|p| (0.0..=1.0).contains(&at_temperature(p, 3.0))));
    let apart = temperature(&[Normal, Abnormal], &[0.2, 0.8]).unwrap_err().to_string();
    assert!(apart.contains("a best one from 0.05 to 20"), "{apart}");
    assert!(temperature(&[Normal, Normal], &[0.2, 0.8]).unwrap_err().to_string().contains("both classes"));
}

#[test]
fn a_threshold_keeps_its_rules_promise_on_the_studies_it_was_chosen_on() {
    let (labels, scores, patients) = overlapping(80);
    let scores: Vec<f64> = scores.iter().map(|score| score / 120.0).collect();
    let choose = |rule: Rule| OperatingPoint::choose(rule, &labels, &scores, &patients).unwrap();
    let roc = Roc::new(&labels, &scores).unwrap();
    let youden = choose(Rule::Youden);
    let at = roc.at(youden.threshold);
    assert!((at.youden_index() - roc.youden().youden_index()).abs() < 1e-12);
    assert_eq!((youden.sensitivity, youden.studies), (Some(at.sensitivity()), Some(80)));
    let interval = youden.threshold_interval.unwrap();
    assert!(interval.low <= youden.threshold && youden.threshold <= interval.high, "{youden:?}");
    for at_least in [0.5, 0.9, 1.0] {
        let sensitive = choose(Rule::Sensitivity { at_least });
        assert!(sensitive.sensitivity.unwrap() >= at_least, "{sensitive}");
        // No point of the curve is as sensitive and more specific.
        let better = roc.points.iter().any(|point| {
            point.sensitivity() >= at_least && point.specificity() > sensitive.specificity.unwrap() + 1e-9
        });
        assert!(!better, "{sensitive}");
        assert!(choose(Rule::Specificity { at_least }).specificity.unwrap() >= at_least);
    }
    // Where mistakes of both kinds cost the same at one half, cost is Youden's rule.
    let even = choose(Rule::Cost { prevalence: 0.5, missed: 1.0 });
    assert!((even.sensitivity.unwrap() + even.specificity.unwrap() - 1.0 - at.youden_index()).abs() < 1e-12);
    let rare = choose(Rule::Cost { prevalence: 0.01, missed: 1.0 });
    let dear = choose(Rule::Cost { prevalence: 0.5, missed: 1000.0 });
    assert!(rare.specificity >= even.specificity && dear.sensitivity == Some(1.0), "{rare} {dear}");
}

#[test]
fn a_rule_that_cannot_be_applied_leaves_one_half_and_the_reason() {
    let few = OperatingPoint::choose(Rule::Youden, &[Normal, Abnormal], &[0.1, 0.9], &[1, 2]).unwrap();
    assert_eq!(few.threshold, 0.5);
    let words = "abnormal from 0.500, for want of Youden's rule: 1 normal patient and 1 abnormal patient, 10 of each \
                 are needed";
    assert_eq!(few.to_string(), words);
    assert_eq!(OperatingPoint::default().to_string(), "abnormal from 0.500, as given");
    let old: OperatingPoint =
        serde_json::from_str(r#"{"threshold":0.5,"sensitivity":0.75,"specificity":null,"measured_on":"tune"}"#)
            .unwrap();
    assert_eq!((old.rule, old.sensitivity), (Rule::HALF, Some(0.75)));
}

#[test]
fn rules_are_read_from_words_and_others_are_refused_with_the_list() {
    for (text, rule) in [
        ("youden", Rule::Youden),
        ("0.5", Rule::HALF),
        ("sensitivity=0.95", Rule::Sensitivity { at_least: 0.95 }),
        ("specificity=0.9", Rule::Specificity { at_least: 0.9 }),
        ("cost=0.05,10", Rule::Cost { prevalence: 0.05, missed: 10.0 }),
    ] {
        assert_eq!(text.parse::<Rule>().unwrap(), rule);
        let json = serde_json::to_string(&rule).unwrap();
        assert_eq!(serde_json::from_str::<Rule>(&json).unwrap(), rule);
    }
    for text in ["", "best", "1.5", "NaN", "sensitivity=", "sensitivity=2", "cost=0.1", "cost=0.1,0", "cost=0.1,inf"] {
        let line = text.parse::<Rule>().unwrap_err().to_string();
        assert!(line.starts_with("rule: expected youden, "), "{text}: {line}");
    }
}

#[test]
fn two_models_are_compared_on_the_same_draws_and_a_model_with_itself_differs_nowhere() {
    let (labels, scores, patients) = overlapping(80);
    let better: Vec<f64> = scores.iter().map(|score| score / 120.0).collect();
    let worse: Vec<f64> = (0..80).map(|i| better[(i * 31 + 7) % 80]).collect();
    let found = PairedComparison::new(&labels, (&better, 0.5), (&worse, 0.5), &patients).unwrap();
    let row = |figure| *found.rows.iter().find(|row| row.measure == figure).unwrap();
    let auroc = row(Measure::Auroc);
    assert_eq!(auroc.difference.interval.unwrap().kind, IntervalKind::DeLong);
    assert!(auroc.difference.value.unwrap() > 0.0 && auroc.p.unwrap() < 0.05, "{auroc}");
    assert!(row(Measure::Accuracy).p.is_some() && row(Measure::Brier).p.is_none());
    assert!(found.to_string().lines().count() == Measure::ALL.len());
    let with_itself = PairedComparison::new(&labels, (&better, 0.5), (&better, 0.5), &patients).unwrap();
    for row in with_itself.rows {
        assert_eq!((row.difference.value, row.difference.interval, row.p), (Some(0.0), None, None), "{row}");
        assert_eq!(row.difference.no_interval, Some(NoInterval::SameOnEveryDraw), "{row}");
    }
}

#[test]
fn the_band_of_precision_holds_the_curve_and_narrows_with_more_studies() {
    let band = |n: usize| {
        let (labels, scores, patients) = overlapping(n);
        let curve = PrecisionRecall::new(&labels, &scores).unwrap();
        let band = PrecisionRecall::band(&labels, &scores, &patients).unwrap();
        assert_eq!((band.len(), band[0].at, band[BAND - 1].at), (BAND, 0.0, 1.0));
        for point in &band {
            let precision = curve.at_recall(point.at);
            assert!(0.0 <= point.low && point.high <= 1.0, "{point:?}");
            assert!(point.low <= precision + 0.05 && precision <= point.high + 0.05, "{point:?}: {precision}");
        }
        band[BAND / 2].high - band[BAND / 2].low
    };
    assert!(band(400) < 0.7 * band(60));
    assert!(PrecisionRecall::band(&[Normal, Abnormal], &[0.1, 0.9], &[1, 2]).is_err());
}
