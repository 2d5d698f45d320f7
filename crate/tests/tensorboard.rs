//! Event files, read by TensorBoard itself.

use humerus::Label;
use humerus::train::EventWriter;
use image::{DynamicImage, GrayImage, Luma};

#[test]
fn tensorboard_reads_scalars_pictures_and_curves_as_they_were_written() {
    let Some(python) = testing::python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let labels: Vec<Label> = (0..300).map(|n| Label::ALL[usize::from(n % 3 == 0)]).collect();
    let probabilities: Vec<f64> = (0..300).map(|n| (f64::from(n * 37 % 101) + 0.3) / 101.7).collect();
    let mut writer = EventWriter::create(folder.path()).unwrap();
    writer.scalar("train/loss", 1, 0.5).unwrap();
    writer.scalar("train/loss", 2, 0.25).unwrap();
    writer.scalar("learning rate", 7, 3e-4).unwrap();
    let film = GrayImage::from_fn(40, 30, |x, y| Luma([(x * 6 + y) as u8]));
    writer.image("films", 3, &DynamicImage::ImageLuma8(film.clone())).unwrap();
    writer.pr_curve("pr", 4, &labels, &probabilities).unwrap();
    writer.flush().unwrap();
    assert!(writer.pr_curve("pr", 4, &labels, &probabilities[1..]).is_err());

    let classes: Vec<String> = labels.iter().map(|label| label.index().to_string()).collect();
    let numbers: Vec<String> = probabilities.iter().map(f64::to_string).collect();
    let arguments = [classes.join(","), numbers.join(",")];
    let arguments = [folder.path().as_os_str(), arguments[0].as_ref(), arguments[1].as_ref()];
    let read: serde_json::Value =
        serde_json::from_str(&testing::script(&python, "crate/tests/golden/events.py", &arguments)).unwrap();
    assert_eq!(read["scalars"]["train/loss"], serde_json::json!([[1, 0.5], [2, 0.25]]));
    assert_eq!(read["scalars"]["learning rate"][0][0], 7);
    let row: Vec<u8> = film.rows().next().unwrap().map(|pixel| pixel.0[0]).collect();
    assert_eq!(read["images"]["films"], serde_json::json!([[3, 40, 30, row]]));
    assert_eq!(read["curve"].as_array().unwrap().len(), 6);
    assert_eq!(read["curve"], read["expected"]);
}
