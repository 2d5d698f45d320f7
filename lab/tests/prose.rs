//! What readers meet: lines that fit a screen, and notebook cells that tell a story.

use std::path::{Path, PathBuf};

/// Columns of a line.
const WIDEST: usize = 120;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file of the checkout that is under version control, or is about to be.
fn files() -> Vec<PathBuf> {
    let git = std::process::Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .unwrap();
    let names = String::from_utf8(git.stdout).unwrap();
    names.lines().map(|name| root().join(name)).filter(|path| path.is_file()).collect()
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|it| it == extension)
}

#[test]
fn lines_fit_a_screen() {
    let texts: Vec<PathBuf> =
        files().into_iter().filter(|path| is(path, "rs") || is(path, "md") || is(path, "py")).collect();
    if texts.is_empty() {
        return println!("skipped: not a git checkout");
    }
    let mut long = Vec::new();
    for path in texts {
        let text = std::fs::read_to_string(&path).unwrap();
        for (at, line) in text.lines().enumerate() {
            // A row of a table in Markdown cannot be broken.
            let is_row = is(&path, "md") && line.starts_with('|');
            if line.chars().count() > WIDEST && !is_row {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                long.push(format!("{name}:{}: {} columns", at + 1, line.chars().count()));
            }
        }
    }
    assert!(long.is_empty(), "{} lines of more than {WIDEST} columns:\n{}", long.len(), long.join("\n"));
}

#[test]
fn no_cell_clones_unwraps_or_reaches_into_a_tuple() {
    let mut cells = 0;
    for path in files().into_iter().filter(|path| is(path, "ipynb") && path.parent().unwrap().ends_with("notebooks")) {
        if path.parent().unwrap().parent().unwrap().ends_with("tests") {
            continue; // those show what goes wrong
        }
        let notebook: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for cell in notebook["cells"].as_array().unwrap() {
            assert!(cell["outputs"].as_array().is_none_or(Vec::is_empty), "{}: outputs are kept", path.display());
            if cell["cell_type"] != "code" {
                continue;
            }
            let source: String = cell["source"].as_array().unwrap().iter().filter_map(|line| line.as_str()).collect();
            for wart in [".unwrap()", ".expect(", ".clone()", ".cloned()", ".to_owned()", "&[&", "::<"] {
                assert!(!source.contains(wart), "{}: `{wart}` in\n{source}", path.display());
            }
            let reaches = |part: &str| part.starts_with(|c: char| c.is_ascii_digit());
            let words = source.split(|c: char| c.is_whitespace() || c == '(').flat_map(|word| word.split_once('.'));
            let named = words.filter(|(before, _)| before.ends_with(|c: char| c.is_alphabetic() || c == ')'));
            assert!(
                !named.into_iter().any(|(_, after)| reaches(after)),
                "{}: a tuple's field in\n{source}",
                path.display()
            );
            assert!(source.lines().count() <= 10, "{}: a long cell\n{source}", path.display());
            cells += 1;
        }
    }
    assert!(cells > 20, "{cells} cells");
}
