//! Every option of the command that takes a number, with numbers that make no sense: one line that names the option,
//! never a panic, an abort or a hang.

use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use testing::TestSet;

/// What is tried with every option.
const ODD: [&str; 6] = ["0", "-1", "4000000000", "18446744073709551615", "1e300", "NaN"];

/// Names of values that are no numbers, as `--help` prints them; an option with any other is tried.
const NO_NUMBERS: [&str; 14] = [
    "DEVICE",
    "PRECISION",
    "FORMAT",
    "LAYOUT",
    "PART",
    "NAME",
    "FILE.csv",
    "OUT",
    "RECIPE",
    "WEIGHTS",
    "DIR",
    "LEAK",
    "FILE",
    "TASKS",
];

fn humerus(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_humerus"));
    command.args(arguments).current_dir(folder).env("HUMERUS_CACHE", env!("CARGO_TARGET_TMPDIR")).output().unwrap()
}

/// The options of a command that take a number.
fn numeric(command: &str) -> Vec<String> {
    let help = String::from_utf8(humerus(Path::new("."), &[command, "--help"]).stdout).unwrap();
    let option = |line: &str| {
        let (name, rest) = line.trim_start().strip_prefix("--")?.split_once(" <")?;
        let value = rest.split('>').next()?;
        (!NO_NUMBERS.contains(&value)).then(|| format!("--{name}"))
    };
    help.lines().filter_map(option).collect()
}

/// Runs `arguments` with each odd value of `option` in turn. They fail by themselves with the line `own` where the
/// value is taken.
fn try_odd_values(folder: &Path, arguments: &[&str], option: &str, own: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for value in ODD {
        let mut with: Vec<&str> = arguments.to_vec();
        match with.iter().position(|argument| *argument == option) {
            Some(at) => with[at + 1] = value,
            None => with.extend([option, value]),
        }
        let output = humerus(folder, &with);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let is_fine = match output.status.code() {
            Some(0) => error.is_empty(),
            // In one line, and about what was typed.
            Some(1) => error.lines().count() == 1 && (error == own || error.starts_with(&format!("error: {option}: "))),
            // clap's own words.
            Some(2) => error.starts_with("error: ") && error.contains(value),
            _ => false,
        };
        if !is_fine {
            wrong.push(format!("{}: {:?}\n{error}", with.join(" "), output.status));
        }
    }
    wrong
}

#[test]
fn a_number_that_makes_no_sense_is_one_line_that_names_its_option() {
    let set = TestSet::new();
    for n in 0..12 {
        set.film(&format!("films/{}/patient{n}.png", ["normal", "abnormal"][n as usize % 2]), n);
    }
    let folder = set.root();
    // Each fails by itself at the end of what it checks, so that a number that is taken costs nothing.
    let train = ["train", "films", "--out", "run", "--cache", "none", "--weights", "absent.pth"];
    let folds = [&train[..], &["--folds", "2", "--fold", "1"]].concat();
    let commands: [(&[&str], usize); 5] = [
        (&train, 5),
        (&folds, 2),
        (&["pretrain", "--out", "p.safetensors", "--studies", "19", "--size", "64", "--epochs", "1"], 6),
        (&["phantom", "--out", "films", "--studies", "1"], 5),
        (&["weights", "absent.pth"], 1),
    ];
    let mut wrong = Vec::new();
    let mut found = Vec::new();
    for (arguments, expected) in commands {
        let plain = humerus(folder, arguments);
        assert_eq!(plain.status.code(), Some(1), "{arguments:?}");
        let own = String::from_utf8(plain.stderr).unwrap();
        let options: Vec<String> = numeric(arguments[0]);
        let of_folds = |option: &String| matches!(option.as_str(), "--folds" | "--fold");
        let of_folds_only = arguments.contains(&"--folds");
        let options: Vec<String> =
            options.into_iter().filter(|option| arguments[0] != "train" || of_folds(option) == of_folds_only).collect();
        assert!(options.len() >= expected, "{arguments:?}: {options:?}");
        for pair in options.chunks(2) {
            thread::scope(|scope| {
                let runs = pair.iter().map(|option| scope.spawn(|| try_odd_values(folder, arguments, option, &own)));
                for run in runs.collect::<Vec<_>>() {
                    wrong.extend(run.join().unwrap());
                }
            });
        }
        found.extend(options);
    }
    println!("{} options: {}", found.len(), found.join(" "));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_recipe_file_with_a_number_out_of_range_is_one_line_that_names_the_field() {
    let set = TestSet::new();
    set.film("films/normal/a.png", 1);
    let usual = serde_json::to_value(humerus::train::Recipe::default()).unwrap();
    for (field, value, expected) in [
        ("early_stopping", "0", "early_stopping: expected 1 to 100000, got 0"),
        ("epochs", "0", "epochs: expected 1 to 100000, got 0"),
        ("epochs", "-3", "invalid value: integer `-3`"),
        ("epochs", "1e15", "invalid type: floating point"),
        ("batch_size", "1", "batch_size: expected 2 to 4096, got 1"),
        ("label_smoothing", "1e400", "number out of range"),
        ("ema", "1.5", "ema: expected 0 to 0.999999, got 1.5"),
        ("tune_fraction", "-0.1", "tune_fraction: expected 0.01 to 0.5, got -0.1"),
        (
            "schedule",
            r#"{"kind":"reduce-on-plateau","factor":0.1,"patience":0}"#,
            "patience: expected 1 to 100000, got 0",
        ),
        ("head", r#"{"kind":"linear","classes":1000000000000000}"#, "head.classes: expected 2 (normal, abnormal)"),
        ("head", r#"{"kind":"reference","classes":-5}"#, "head.classes: expected 2 (normal, abnormal), got -5"),
    ] {
        // As text: no JSON value holds 1e400.
        let mut recipe = usual.clone();
        recipe[field] = "here".into();
        let text = recipe.to_string().replace(r#""here""#, value);
        set.file("recipe.json", text);
        let output = humerus(set.root(), &["train", "films", "--out", "run", "--recipe", "recipe.json"]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{field}: {error}");
        assert!(error.starts_with("error: ") && error.contains(expected), "{field}: {error}");
    }
}
