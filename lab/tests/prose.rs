//! What readers meet: lines that fit a screen, names that mean one thing, and notebook cells that tell a story.

use std::collections::BTreeMap;
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

/// Names that each crate or command has of its own. A head is a network's, and within the crate of figures a page's.
const OWN: [&str; 5] = ["Args", "Command", "Error", "Result", "Head"];
/// Its types are TensorFlow's messages, by their names.
const PROTOCOL: &str = "crate/src/train/tensorboard.rs";

/// The type that a line declares; not one that is associated or local to a function.
fn declared(line: &str) -> Option<&str> {
    let indented = line.starts_with(' ');
    let line = line.trim_start();
    let line = match line.strip_prefix("pub(") {
        Some(rest) => rest.split_once(") ")?.1,
        None => line.strip_prefix("pub ").unwrap_or(line),
    };
    let (keyword, rest) = line.split_once(' ')?;
    let declares = ["struct", "enum", "trait", "union"].contains(&keyword) || (keyword == "type" && !indented);
    let name = rest.split(|c: char| !c.is_ascii_alphanumeric()).next()?;
    (declares && name.starts_with(|c: char| c.is_ascii_uppercase())).then_some(name)
}

#[test]
fn a_type_name_means_one_thing() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in files().into_iter().filter(|path| is(path, "rs")) {
        let name = path.strip_prefix(root()).unwrap().display().to_string().replace('\\', "/");
        let is_source = ["crate/src/", "cli/src/", "lab/src/", "parts/"].iter().any(|room| name.starts_with(room));
        if !is_source || !name.contains("/src/") || name.ends_with("/tests.rs") || name == PROTOCOL {
            continue;
        }
        // What is private to a package, as all of a program is, may be called so in another.
        let package = name.split_once("/src/").unwrap().0;
        let is_library = package != "cli" && package != "lab";
        let text = std::fs::read_to_string(&path).unwrap();
        for line in text.split("#[cfg(test)]\nmod tests {").next().unwrap().lines() {
            if let Some(declared) = declared(line).filter(|it| !OWN.contains(it)) {
                let public = is_library && line.starts_with("pub ");
                let within = if public { "every package" } else { package };
                let places = places.entry(format!("{declared} in {within}")).or_default();
                // Twice in a file it is the same type on two systems.
                if !places.contains(&name) {
                    places.push(name.clone());
                }
            }
        }
    }
    assert!(places.is_empty() || places.len() > 300, "{} types", places.len());
    places.retain(|_, places| places.len() > 1);
    assert!(places.is_empty(), "names of several types: {places:#?}");
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
