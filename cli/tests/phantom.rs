//! The command `phantom`.

use std::fs;
use std::process::Command;

use humerus::phantom;
use serde_json::Value;

#[test]
fn the_command_takes_difficulty_format_and_share_of_hardware() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("set");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_humerus"));
        command.args(["phantom", "--studies", "2", "--out"]).arg(&root).args(arguments).output().unwrap()
    };
    for wrong in [
        ["--difficulty", "1.5"],
        ["--difficulty", "harder"],
        ["--format", "tiff"],
        ["--hardware", "2"],
        ["--hardware-correlation", "-2"],
    ] {
        let output = run(&wrong);
        assert!(!output.status.success() && !root.exists(), "{wrong:?} was taken");
        assert!(String::from_utf8(output.stderr).unwrap().contains(wrong[1]), "{wrong:?}");
    }
    let output = run(&[
        "--difficulty",
        "hard",
        "--format",
        "dicom",
        "--hardware",
        "1",
        "--hardware-correlation",
        "-0.5",
        "--json",
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["studies"], 2);
    assert_eq!(testing::films_below(&root, "dcm").len() as u64, summary["views"].as_u64().unwrap());
    let card: Value = serde_json::from_slice(&fs::read(root.join("phantom.json")).unwrap()).unwrap();
    assert_eq!(card["config"]["difficulty"], 1.0);
    assert_eq!(card["config"]["hardware_correlation"], -0.5);
    assert_eq!(card["drawing"], phantom::DRAWING_VERSION);
    let truth: Value = serde_json::from_slice(&fs::read(root.join("truth/annotations.json")).unwrap()).unwrap();
    assert!(truth["images"].as_array().unwrap().iter().all(|film| film["hardware"] == true));
}
