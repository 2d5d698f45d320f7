//! A model's card says what happened, and nothing that was not checked.

mod support;

use humerus::dataset::{Index, Leak, split};
use humerus::device::DeviceChoice;
use humerus::model::provenance::Apart;
use humerus::model::{Model, ModelCard};
use humerus::train::{self, TrainOptions};
use humerus::{Split, dataset};
use serde_json::Value;

const NOT_TRAINED_ON: &str = "of patients that were not trained on";

fn trained(index: &Index, options: &TrainOptions) -> ModelCard {
    let report = train::run(index, &support::small(1), options, &mut |_| ()).unwrap();
    Model::open(report.model, DeviceChoice::Cpu).unwrap().card
}

fn row(card: &ModelCard, name: &str) -> Option<String> {
    card.rows().into_iter().find(|(row, _)| *row == name).map(|(_, value)| value)
}

#[test]
fn a_fold_of_some_studies_with_an_allowed_leak_is_written_down_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let whole = support::phantoms(folder.path(), 24);
    let mut index = split::fold(&whole, 2, 2, 0).unwrap();
    let learnt = index.split(Split::Train)[0].clone();
    let held_out = index.studies.iter_mut().find(|study| study.split == Split::Valid).unwrap();
    (held_out.patient, held_out.group) = (learnt.patient, learnt.group);
    let leaking = train::run(&index, &support::small(1), &support::options(folder.path(), "refused"), &mut |_| ());
    assert!(leaking.unwrap_err().to_string().contains("patient-in-two-splits"));

    let allow = vec![Leak::PatientInTwoSplits, Leak::DuplicatesAcrossSplits];
    let card = trained(&index, &TrainOptions { allow, ..support::options(folder.path(), "leaking") });
    assert_eq!(card.data.apart, Some(Apart::Neither));
    assert_eq!(card.data.leaks.as_ref().unwrap().iter().collect::<Vec<_>>(), [(&Leak::PatientInTwoSplits, &1)]);
    let studies = index.studies.len();
    let subset = format!("{studies} of {} studies, {studies} of {} films", whole.held.studies, whole.held.views);
    for (name, value) in [
        ("fold", "2 of 2"),
        ("allowed leaks", "patient-in-two-splits (1)"),
        ("patients", "in two splits"),
        ("subset", &subset),
        ("body parts", "XR_HUMERUS"),
    ] {
        assert_eq!(row(&card, name).as_deref(), Some(value));
    }
    let trained = card.trained.as_ref().unwrap();
    assert!(trained.seconds > 0.0 && trained.threads == 1, "{trained:?}");
    assert!(row(&card, "trained").unwrap().starts_with("CPU, 1 thread, fp32, "), "{:?}", row(&card, "trained"));
    assert!(row(&card, "train").unwrap().ends_with(" patients"));
    let text = card.markdown();
    assert!(
        !text.contains("not trained on") && text.contains("| allowed leaks | patient-in-two-splits (1) |"),
        "{text}"
    );
    assert!(text.contains("which flatters the figures"), "{text}");
}

#[test]
fn only_where_no_patient_is_in_two_splits_does_the_card_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut index = support::phantoms(folder.path(), 24);
    let card = trained(&index, &support::options(folder.path(), "known"));
    assert_eq!(card.data.apart, Some(Apart::Patients));
    assert!(card.markdown().contains(NOT_TRAINED_ON));
    assert_eq!((row(&card, "allowed leaks"), row(&card, "fold")), (None, None));

    index.studies.iter_mut().for_each(|study| study.patient = None);
    let card = trained(&index, &support::options(folder.path(), "unknown"));
    assert_eq!(card.data.apart, Some(Apart::Blocks));
    assert!(row(&card, "valid").unwrap().ends_with("patients unknown"));
    let text = card.markdown();
    assert!(!text.contains(NOT_TRAINED_ON) && text.contains("may have been trained on"), "{text}");
}

#[test]
fn a_card_of_old_still_opens_and_claims_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let index = support::phantoms(folder.path(), 24);
    let mut card = trained(&index, &support::options(folder.path(), "run"));
    card.trained = None;
    let mut old = serde_json::to_value(&card).unwrap();
    assert!(old.as_object_mut().unwrap().remove("trained").is_some());
    for name in ["parts", "part_of", "fold", "apart", "leaks"] {
        assert!(old["data"].as_object_mut().unwrap().remove(name).is_some(), "{name}");
    }
    let old: ModelCard = serde_json::from_value::<ModelCard>(Value::clone(&old)).unwrap();
    assert!(!old.markdown().contains("trained on;"), "{}", old.markdown());
    assert!(["trained", "patients", "subset", "fold"].iter().all(|name| row(&old, name).is_none()));
}

#[test]
fn films_that_cannot_be_decoded_are_skipped_and_not_taken_out() {
    let set = testing::TestSet::new();
    for n in 0..4 {
        set.film(&format!("normal/a{n}.png"), n);
        set.film(&format!("abnormal/b{n}.png"), 10 + n);
    }
    let sound = dataset::index(set.root()).unwrap();
    assert_eq!((sound.held.studies, sound.held.views), (8, 8));
    // Whole by its container, but its compressed data are none.
    let mut broken = testing::film(99);
    let at = broken.windows(4).position(|bytes| bytes == b"IDAT").unwrap() + 4;
    let length = u32::from_be_bytes(broken[at - 8..at - 4].try_into().unwrap()) as usize;
    broken[at..at + length].fill(0x55);
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&broken[at - 4..at + length]);
    broken[at + length..at + length + 4].copy_from_slice(&crc.to_be_bytes());
    set.file("normal/c.png", broken);
    let index = dataset::index(set.root()).unwrap();
    assert_eq!(index.held.views, 9);
    let audited = index.audit_with(&dataset::AuditOptions { folder: None }, &mut |_| ()).unwrap();
    assert_eq!((audited.held.views, audited.skipped.len()), (8, 1));
}
