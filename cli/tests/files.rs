//! What the `humerus` command does with files that are there: it writes over none that it reads, obeys the mask, and
//! leaves nothing half done.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use humerus::model::DataCard;
use humerus::model::{Model, ModelCard};
use humerus::network::Head;
use humerus::train::Recipe;

/// A small model, untrained.
fn model(path: &Path) {
    let mut recipe = Recipe { head: Head::Linear { classes: 2 }, ..Recipe::default() };
    recipe.preprocess.size = 64;
    let classifier = recipe.network(tch::Device::Cpu);
    let data = DataCard { name: "none".into(), layout: "mura".into(), ..DataCard::default() };
    let card = ModelCard::new(&classifier, &recipe, data);
    Model { classifier, card }.save(path).unwrap();
}

/// Runs a line of a shell in a folder, in which `humerus` is the command.
fn shell(folder: &Path, line: &str) -> Output {
    let line = format!("humerus() {{ \"$HUMERUS\" \"$@\"; }}\n{line}");
    let mut command = Command::new("bash");
    command.args(["-c", &line]).current_dir(folder).env("HUMERUS", env!("CARGO_BIN_EXE_humerus"));
    command.env("HUMERUS_CACHE", folder.join("cache")).output().unwrap()
}

/// Every file below a folder, with its content.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap).filter(|it| !it.file_type().is_dir());
    files.map(|it| (it.path().to_owned(), std::fs::read(it.path()).unwrap_or_default())).collect()
}

#[test]
fn no_command_writes_over_what_it_reads_by_whatever_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    model(&path("m.safetensors"));
    std::fs::write(path("film.png"), testing::film(1)).unwrap();
    std::os::unix::fs::symlink("film.png", path("soft.png")).unwrap();
    std::fs::hard_link(path("film.png"), path("hard.png")).unwrap();
    std::os::unix::fs::symlink(".", path("here")).unwrap();
    for name in ["run", "mine", "hub"] {
        std::fs::create_dir(path(name)).unwrap();
    }
    std::fs::copy(path("m.safetensors"), path("run/model.safetensors")).unwrap();
    std::fs::copy(path("m.safetensors"), path("run/last.safetensors")).unwrap();
    std::fs::write(path("run/README.md"), "mine").unwrap();
    std::fs::write(path("mine/README.md"), "mine").unwrap();
    std::fs::copy(path("m.safetensors"), path("hub/model.safetensors")).unwrap();
    std::fs::create_dir(path("table")).unwrap();
    for (at, split) in (0..12).zip(["train", "train", "valid"].into_iter().cycle()) {
        std::fs::write(path(&format!("table/{at}.png")), testing::film(at)).unwrap();
        let line = format!("{at}.png,{},{split},p{at}\n", if at % 2 == 0 { "normal" } else { "abnormal" });
        let table = path("table/metrics.csv");
        let text = std::fs::read_to_string(&table).unwrap_or_else(|_| "path,label,split,patient\n".to_owned());
        std::fs::write(&table, text + &line).unwrap();
    }
    let before = contents(folder.path());
    for line in [
        "humerus explain m.safetensors film.png --out film.png",
        "humerus explain m.safetensors film.png --out ./run/../here/film.png",
        "humerus explain m.safetensors film.png --out here/soft.png",
        "humerus explain m.safetensors soft.png --out hard.png",
        "humerus explain m.safetensors film.png --out m.safetensors",
        "humerus export m.safetensors --to onnx --out m.safetensors",
        "humerus export m.safetensors --to torchscript --out here/m.safetensors",
        "humerus export m.safetensors --to onnx --out \"$PWD/m.safetensors\"",
        "humerus export run/last.safetensors --to hub --out run",
        "humerus export run/model.safetensors --to hub --out run",
        "humerus export hub/model.safetensors --to hub --out here/hub",
        "humerus export m.safetensors --to hub --out mine",
        "humerus export m.safetensors --to hub --out hub",
        "humerus train table --out table --epochs 1 --size 64 --weights random",
        "humerus train table --out here/table --epochs 1 --size 64 --weights random",
        "humerus train table/metrics.csv --out table --epochs 1 --size 64 --weights random",
    ] {
        let output = shell(folder.path(), line);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}: {error}");
        let last = error.lines().last().unwrap_or_default();
        assert!(last.starts_with("error: --out: expected ") && error.matches("error:").count() == 1, "{line}: {error}");
        let mut after = contents(folder.path());
        after.retain(|path, _| !path.starts_with(folder.path().join("cache")));
        assert!(before == after, "{line} changed files");
    }
}

#[test]
fn the_mask_is_obeyed_and_an_export_to_the_hub_is_replaced_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    model(&path("m.safetensors"));
    std::fs::write(path("film.png"), testing::film(1)).unwrap();
    for (mask, expected) in [("077", 0o600), ("002", 0o664)] {
        let line = format!(
            "set -e; umask {mask}; mkdir {mask}; for to in onnx torchscript hub; do \
             humerus export m.safetensors --to $to --out {mask}/$to; done; \
             humerus explain m.safetensors film.png --out {mask}/map.png; \
             humerus export m.safetensors --to hub --out {mask}/hub"
        );
        let output = shell(folder.path(), &line);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let files: Vec<PathBuf> = contents(&path(mask)).into_keys().collect();
        assert_eq!(files.len(), 6, "{files:?}");
        for file in files {
            let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, expected, "{mode:o} of {}", file.display());
        }
    }
}

#[test]
fn a_limit_on_the_size_of_files_is_one_error_line_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    model(&folder.path().join("m.safetensors"));
    for to in ["onnx", "torchscript", "hub"] {
        let output = shell(folder.path(), &format!("ulimit -f 1000; humerus export m.safetensors --to {to} --out out"));
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{to}: {error}");
        assert!(error.starts_with("error: out") && error.lines().count() == 1, "{to}: {error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "{to}");
    }
}
