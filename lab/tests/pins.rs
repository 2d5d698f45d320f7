//! The three lists of Python packages name the same versions.

use std::collections::BTreeMap;
use std::path::Path;

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `torch` and `==2.11.0` from `torch==2.11.0`.
fn pin(line: &str) -> (String, String) {
    let line = line.trim();
    let end = line.find(['=', '<', '>', '!', '~']).unwrap_or(line.len());
    (line[..end].trim().to_owned(), line[end..].trim().to_owned())
}

fn requirements() -> BTreeMap<String, String> {
    let text = read("requirements.in");
    let pins: BTreeMap<_, _> =
        text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()).map(pin).collect();
    assert!(pins.contains_key("torch") && pins.contains_key("jupyterlab"), "{pins:?}");
    pins
}

/// The locked packages; one may be locked at several versions, for several Pythons.
fn locked() -> Vec<(String, String)> {
    read("requirements.lock")
        .lines()
        .filter(|line| line.starts_with(|first: char| first.is_ascii_alphanumeric()))
        .map(|line| pin(line.split([';', '\\']).next().unwrap_or_default()))
        .map(|(name, version)| (name, version.trim_start_matches("==").to_owned()))
        .collect()
}

/// Whether `version` meets `==2.11.0` or `>=2.2,<3`.
fn meets(version: &str, wanted: &str) -> bool {
    let numbers = |text: &str| -> Vec<u32> { text.split('.').map_while(|part| part.parse().ok()).collect() };
    wanted.split(',').all(|bound| {
        let at = bound.find(|c: char| c.is_ascii_digit()).unwrap_or(bound.len());
        let (operator, bound) = bound.split_at(at);
        match operator.trim() {
            "==" => version == bound,
            ">=" => numbers(version) >= numbers(bound),
            "<" => numbers(version) < numbers(bound),
            other => panic!("this test does not know {other:?}"),
        }
    })
}

#[test]
fn conda_users_get_the_same_pins() {
    let text = read("../environment.yml");
    let conda: BTreeMap<_, _> = text
        .lines()
        .skip_while(|line| line.trim() != "- pip:")
        .skip(1)
        .map_while(|line| line.trim().strip_prefix("- "))
        .map(pin)
        .collect();
    assert_eq!(conda, requirements());
}

#[test]
fn the_lock_holds_every_pin_with_hashes() {
    let locked = locked();
    assert!(locked.len() > 50, "only {} packages", locked.len());
    for (name, wanted) in requirements() {
        let versions: Vec<_> =
            locked.iter().filter(|(locked, _)| *locked == name).map(|(_, version)| version).collect();
        assert!(!versions.is_empty(), "{name} is not locked");
        assert!(versions.iter().all(|version| meets(version, &wanted)), "{name}: {versions:?} do not meet {wanted}");
    }
    let text = read("requirements.lock");
    let hashed = text.matches("--hash=sha256:").count();
    assert!(hashed > locked.len(), "{hashed} hashes for {} packages", locked.len());
}

#[test]
fn the_range_check_of_these_tests_can_fail() {
    assert!(meets("2.4.6", ">=2.2,<3") && !meets("3.0.0", ">=2.2,<3") && !meets("2.1.9", ">=2.2,<3"));
    assert!(!meets("2.11.1", "==2.11.0"));
}
