//! Which of a file's networks is meant: query and key encoder, model and moving average, and whatever else a checkpoint
//! holds.

use std::collections::HashSet;

/// Keys under which checkpoints keep the network itself, the surest first.
const WRAPPERS: [&str; 8] =
    ["state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "module"];
/// Words in a name that say that it is a copy of another network: its moving average, or MoCo's key encoder.
const COPIES: [&str; 7] = ["ema", "averaged", "avg", "swa", "momentum", "shadow", "target"];
const KEY_ENCODERS: [&str; 2] = ["encoder_k", "key_encoder"];

/// Names that one network may have and still be told to be one.
const MOST_NAMES: usize = 16;

/// What stands before the names of each network's tensors, with its dot, in the file's order.
pub(super) fn networks(names: &[&str]) -> Vec<String> {
    let before = |end: &str| -> Vec<String> {
        let all = names.iter().filter_map(|name| name.strip_suffix(end));
        all.filter(|prefix| prefix.is_empty() || prefix.ends_with('.')).map(str::to_owned).collect()
    };
    let whole = before("features.conv0.weight");
    // A backbone by itself.
    if whole.is_empty() { before("conv0.weight") } else { whole }
}

/// Whether a network is, by its name, a copy of another.
fn is_copy(prefix: &str) -> bool {
    prefix.split('.').any(|part| {
        let part = part.to_ascii_lowercase();
        KEY_ENCODERS.contains(&part.as_str()) || part.split(['_', '-']).any(|word| COPIES.contains(&word))
    })
}

/// The network that a name means, by its whole prefix or any parts of it; without one the only network, the one that is
/// no copy of another, or the one under the surest key. `same` says of two networks whether they are one under two
/// names.
///
/// # Errors
/// If none or several are meant, a line that lists them.
pub(super) fn choose<'n>(
    networks: &'n [String],
    wanted: Option<&str>,
    same: &dyn Fn(&str, &str) -> bool,
) -> Result<&'n str, String> {
    let list = || {
        let all: Vec<String> = networks.iter().take(8).map(|prefix| shown(prefix)).collect();
        all.join(", ") + if networks.len() > 8 { ", …" } else { "" }
    };
    let Some(wanted) = wanted else {
        let rank = |prefix: &str| {
            let first = prefix.split('.').next().unwrap_or_default();
            (is_copy(prefix), WRAPPERS.iter().position(|wrapper| *wrapper == first).unwrap_or(WRAPPERS.len()))
        };
        let Some(best) = networks.iter().map(|prefix| rank(prefix)).min() else { return Ok("") };
        let mut best: Vec<&String> = networks.iter().filter(|prefix| rank(prefix) == best).collect();
        best.sort_by_key(|prefix| prefix.len());
        if best.len() <= MOST_NAMES && best.iter().all(|prefix| same(prefix, best[0])) {
            return Ok(best[0]);
        }
        return Err(format!("holds {} networks, name one behind the file as in FILE#NAME: {}", networks.len(), list()));
    };
    if let Some(exact) = networks.iter().find(|prefix| prefix.trim_end_matches('.') == wanted) {
        return Ok(exact);
    }
    let parts = format!(".{wanted}.");
    let found: Vec<&String> = networks.iter().filter(|prefix| format!(".{prefix}").contains(&parts)).collect();
    match found[..] {
        [one] => Ok(one),
        [] => Err(format!("has no network called {}; it holds: {}", torchfile::shown(wanted.as_bytes()), list())),
        _ => Err(format!("has {} networks called {}: {}", found.len(), torchfile::shown(wanted.as_bytes()), list())),
    }
}

/// A network's name: its prefix without the dot.
pub(super) fn shown(prefix: &str) -> String {
    match prefix.trim_end_matches('.') {
        "" => "the one without a name".to_owned(),
        name => torchfile::shown(name.as_bytes()),
    }
}

/// The beginnings of a name that end with a dot, from the longest, and the one of no length.
fn beginnings(name: &str) -> impl Iterator<Item = &str> {
    name.rmatch_indices('.').map(|(at, _)| &name[..=at]).chain([""])
}

/// Which part of a file a tensor belongs to that is not the network's behind `prefix`: another network, or the first of
/// its parts that differs.
pub(super) fn part<'n>(name: &'n str, prefix: &str, networks: &HashSet<&str>) -> &'n str {
    let other = beginnings(name).find(|start| !start.is_empty() && *start != prefix && networks.contains(start));
    if let Some(other) = other {
        return other.trim_end_matches('.');
    }
    let shared = name.split('.').zip(prefix.split('.')).take_while(|(a, b)| a == b).count();
    name.match_indices('.').nth(shared).map_or(name, |(at, _)| &name[..at])
}

/// Whether a tensor is the network's behind `prefix`, and not one of another network that begins with the same words.
pub(super) fn belongs(name: &str, prefix: &str, networks: &HashSet<&str>) -> bool {
    beginnings(name).find(|start| networks.contains(start) || *start == prefix) == Some(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(prefixes: &[&str], wanted: Option<&str>) -> Result<String, String> {
        let names: Vec<String> = prefixes.iter().map(|prefix| format!("{prefix}features.conv0.weight")).collect();
        let networks = networks(&names.iter().map(String::as_str).collect::<Vec<_>>());
        choose(&networks, wanted, &|a, b| a == b).map(str::to_owned)
    }

    #[test]
    fn the_network_itself_is_taken_and_not_its_average_or_its_key_encoder() {
        for (prefixes, expected) in [
            (&[""][..], ""),
            (&["module.densenet121."], "module.densenet121."),
            (&["model_ema.", "model."], "model."),
            (&["state_dict_ema.", "state_dict."], "state_dict."),
            (&["state_dict.module.encoder_k.", "state_dict.module.encoder_q."], "state_dict.module.encoder_q."),
            (&["momentum_backbone.", "backbone."], "backbone."),
            (&["target_network.", "online_network."], "online_network."),
            (&["extra.", "state_dict."], "state_dict."),
            (&["ema."], "ema."),
            (&["", "encoder_k."], ""),
        ] {
            assert_eq!(chosen(prefixes, None).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_network_is_named_by_any_of_its_parts() {
        let moco = ["state_dict.module.encoder_q.", "state_dict.module.encoder_k."];
        assert_eq!(chosen(&moco, Some("encoder_k")).as_deref(), Ok(moco[1]));
        assert_eq!(chosen(&moco, Some("module.encoder_k")).as_deref(), Ok(moco[1]));
        assert_eq!(chosen(&["model.", "model_ema.model."], Some("model")).as_deref(), Ok("model."));
        assert!(chosen(&moco, Some("module")).unwrap_err().contains("has 2 networks called module"));
        assert!(
            chosen(&moco, Some("coder_k")).unwrap_err().contains("no network called coder_k; it holds: state_dict")
        );
    }

    #[test]
    fn of_equals_one_must_be_named_unless_they_are_the_same_tensors() {
        let line = chosen(&["left.", "right."], None).unwrap_err();
        assert!(line.contains("holds 2 networks") && line.contains("left, right"), "{line}");
        let networks = ["model.".to_owned(), "net.model.".to_owned()].map(|it| format!("a.{it}"));
        assert_eq!(choose(&networks, None, &|_, _| true), Ok("a.model."));
    }

    #[test]
    fn what_is_not_the_networks_is_named_by_the_part_that_it_is_in() {
        let all = HashSet::from(["s.m.q.", "s.m.k.", ""]);
        for (name, expected) in [("s.m.queue", "s.m.queue"), ("opt.state.0.step", "opt"), ("s.m.k.features.x", "s.m.k")]
        {
            assert_eq!(part(name, "s.m.q.", &all), expected);
        }
        assert!(belongs("s.m.q.classifier.bias", "s.m.q.", &all) && belongs("opt.x", "", &all));
        assert!(!belongs("s.m.k.classifier.bias", "s.m.q.", &all) && !belongs("s.m.k.classifier.bias", "", &all));
    }
}
