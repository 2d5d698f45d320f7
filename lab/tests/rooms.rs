//! The house in order: within a crate the modules of one folder import each other in one direction only, those of
//! `humerus` downwards in the list below, and no module has more than 400 lines.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The modules of `crate/src` from the ground up: each may import those before it.
const FLOORS: [&str; 16] = [
    "error",
    "files",
    "slices",
    "device",
    "preprocess",
    "augment",
    "dataset",
    "network",
    "weights",
    "recipe",
    "shortage",
    "model",
    "score",
    "train",
    "explain",
    "notebook",
];

const MOST_LINES: usize = 400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The crates' source folders.
fn crates() -> Vec<PathBuf> {
    let parts = std::fs::read_dir(root().join("parts")).unwrap().map(|entry| entry.unwrap().path());
    let all: Vec<PathBuf> = parts.chain(["crate", "cli", "lab"].map(|name| root().join(name))).collect();
    all.into_iter().map(|folder| folder.join("src")).filter(|folder| folder.is_dir()).collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
}

/// Where a module stands: `["model", "card"]`; its crate's root has no name.
fn place(source: &Path, folder: &Path) -> Vec<String> {
    let below = source.strip_prefix(folder).unwrap().with_extension("");
    let mut names: Vec<String> = below.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
    if names.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        names.pop();
    }
    names
}

/// The code without comments and without its tests.
fn code(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut code: String = lines.map(|line| format!("{line}\n")).collect();
    while let Some(start) = code.find("#[cfg(test)]") {
        // What is for tests ends where a line is as little indented as its beginning.
        let indent = code[..start].rsplit('\n').next().unwrap_or_default().to_owned();
        let rest = &code[start..];
        let close = format!("\n{indent}}}");
        let end = match (rest.find(&close), rest.find(";\n")) {
            (Some(brace), Some(semicolon)) if semicolon < rest.find('{').unwrap_or(usize::MAX) && semicolon < brace => {
                semicolon + 1
            }
            (Some(brace), _) => brace + close.len(),
            (None, Some(semicolon)) => semicolon + 1,
            (None, None) => rest.len(),
        };
        code.replace_range(start..start + end, "");
    }
    code
}

/// The paths that a text names behind `start`, with lists in braces taken apart.
fn paths(text: &str) -> Vec<Vec<String>> {
    let name: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    if let Some(inner) = text.strip_prefix('{') {
        let (mut depth, mut from, mut all) = (0, 0, Vec::new());
        for (at, c) in inner.char_indices() {
            match c {
                '{' => depth += 1,
                ',' if depth == 0 => {
                    all.extend(paths(inner[from..at].trim()));
                    from = at + 1;
                }
                '}' if depth == 0 => {
                    all.extend(paths(inner[from..at].trim()));
                    break;
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
        return all;
    }
    if name.is_empty() {
        return Vec::new();
    }
    let rest = text[name.len()..].strip_prefix("::").map(paths).filter(|rest| !rest.is_empty());
    let with = |tail: Vec<String>| [vec![name.clone()], tail].concat();
    rest.map_or_else(|| vec![vec![name.clone()]], |rest| rest.into_iter().map(with).collect())
}

/// The modules that a module names, as places in the crate.
fn imports(code: &str, place: &[String], is_root: bool) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let (mut base, mut rest) = match start {
                "crate::" => (Vec::new(), &code[at + start.len()..]),
                "self::" => (place.to_vec(), &code[at + start.len()..]),
                _ => (place[..place.len().saturating_sub(1)].to_vec(), &code[at + start.len()..]),
            };
            while let Some(further) = rest.strip_prefix("super::") {
                base.pop();
                rest = further;
            }
            found.extend(paths(rest).into_iter().map(|path| [base.clone(), path].concat()));
        }
    }
    if is_root {
        found.clear();
    }
    found
}

/// For each folder of modules, which of its modules imports which.
type Arrows = BTreeMap<Vec<String>, BTreeMap<String, BTreeSet<String>>>;

fn arrows(folder: &Path) -> Arrows {
    let mut files = Vec::new();
    sources(folder, &mut files);
    let texts: Vec<(Vec<String>, String)> = files
        .iter()
        .filter(|file| file.file_stem().is_none_or(|stem| stem != "tests"))
        .map(|file| (place(file, folder), code(&std::fs::read_to_string(file).unwrap())))
        .collect();
    let modules: BTreeSet<&Vec<String>> = texts.iter().map(|(place, _)| place).collect();
    let mut arrows = Arrows::new();
    for (place, code) in &texts {
        for target in imports(code, place, place.is_empty()) {
            let shared = place.iter().zip(&target).take_while(|(a, b)| a == b).count();
            let (Some(from), Some(to)) = (place.get(shared), target.get(shared)) else { continue };
            // What the folder's own file defines is nobody's neighbour.
            if modules.contains(&target[..=shared].to_vec()) {
                let folder = arrows.entry(place[..shared].to_vec()).or_default();
                folder.entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    arrows
}

/// A way round from `from` back to it.
fn circle(of: &BTreeMap<String, BTreeSet<String>>, from: &str, way: &mut Vec<String>) -> bool {
    for next in of.get(from).into_iter().flatten() {
        if way.first() == Some(next) {
            return true;
        }
        if !way.contains(next) {
            way.push(next.clone());
            if circle(of, next, way) {
                return true;
            }
            way.pop();
        }
    }
    false
}

#[test]
fn modules_import_each_other_in_one_direction_only() {
    let mut circles = Vec::new();
    for folder in crates() {
        for (inside, of) in arrows(&folder) {
            let mut in_one = BTreeSet::new();
            for from in of.keys() {
                let mut way = vec![from.clone()];
                if !in_one.contains(from) && circle(&of, from, &mut way) {
                    in_one.extend(way.iter().cloned());
                    let name = folder.strip_prefix(root()).unwrap().join(inside.iter().collect::<PathBuf>());
                    let name = name.display().to_string();
                    circles.push(format!("{name}: {}", way.join(" -> ")));
                }
            }
        }
    }
    assert!(circles.is_empty(), "circles:\n{}", circles.join("\n"));
}

#[test]
fn the_modules_of_the_crate_import_downwards() {
    let all = arrows(&root().join("crate/src"));
    let floor = |name: &str| FLOORS.iter().position(|floor| *floor == name);
    let mut wrong = Vec::new();
    let top = &all[&Vec::new()];
    assert!(top.len() > 12, "{top:?}");
    for (from, targets) in top {
        for to in targets {
            match (floor(from), floor(to)) {
                (Some(from), Some(to)) if from >= to => {}
                _ => wrong.push(format!("{from} -> {to}")),
            }
        }
    }
    assert!(wrong.is_empty(), "upwards, or not in the list: {wrong:?}");
}

#[test]
fn no_module_is_long() {
    let mut long = Vec::new();
    for folder in crates() {
        let mut files = Vec::new();
        sources(&folder, &mut files);
        for file in files {
            let lines = std::fs::read_to_string(&file).unwrap().lines().count();
            let name = file.strip_prefix(root()).unwrap().display().to_string();
            if lines > MOST_LINES {
                long.push(format!("{name}: {lines}"));
            }
        }
    }
    assert!(long.is_empty(), "more than {MOST_LINES} lines:\n{}", long.join("\n"));
}

#[test]
fn parts_and_crate_print_nothing_and_start_no_threads_beside_rayons() {
    // A run beside a notebook's cells, and the one thread that looks ahead.
    const THREADS: [&str; 2] = ["crate/src/train/background.rs", "crate/src/dataset/films/ahead.rs"];
    let speak = ["cli/src", "lab/src", "parts/kernel/src", "parts/testing/src"];
    let quiet = |folder: &PathBuf| !speak.iter().any(|it| folder.ends_with(it));
    let mut wrong = Vec::new();
    for folder in crates().into_iter().filter(quiet) {
        let mut files = Vec::new();
        sources(&folder, &mut files);
        for file in files.iter().filter(|file| !file.ends_with("tests.rs")) {
            let name = file.strip_prefix(root()).unwrap().display().to_string();
            for line in code(&std::fs::read_to_string(file).unwrap()).lines() {
                let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
                // The text of a program that is written, as an example, is in quotation marks.
                let prints = has(&["print!(", "println!(", "dbg!("]) && !has(&["println!(\\\""]);
                let starts = has(&["thread::spawn", "thread::scope", "ThreadPoolBuilder"]);
                if prints || starts && !THREADS.contains(&name.as_str()) {
                    wrong.push(format!("{name}: {}", line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_imports_reads_lists_and_leaves_tests_out() {
    let source = "use crate::a::{self, b::c};\nuse super::{d, e};\n#[cfg(test)]\nmod tests {\n    use crate::z;\n}\n\
                  fn f() { super::super::g::h() }\n";
    let place = ["x", "y", "w"].map(str::to_owned);
    let found: Vec<String> = imports(&code(source), &place, false).iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["a::b::c", "a::self", "x::g::h", "x::y::d", "x::y::e"]);
    let of = |pairs: &[(&str, &str)]| {
        let mut of: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        pairs.iter().for_each(|(a, b)| _ = of.entry((*a).to_owned()).or_default().insert((*b).to_owned()));
        of
    };
    assert!(circle(&of(&[("a", "b"), ("b", "c"), ("c", "a")]), "a", &mut vec!["a".to_owned()]));
    assert!(!circle(&of(&[("a", "b"), ("b", "c"), ("a", "c")]), "a", &mut vec!["a".to_owned()]));
}
