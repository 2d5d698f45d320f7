//! From what a pickle holds to named tensors, as `state_dict` names them.

use std::collections::HashSet;

use super::pickle::{Id, Pickle, Value, shown};

/// Keys under which checkpoints keep a network's tensors, the surest first.
const WRAPPERS: [&[u8]; 8] =
    [b"state_dict", b"model_state_dict", b"model_state", b"model", b"net", b"network", b"weights", b"module"];
/// Levels of modules within modules.
const DEEPEST: usize = 64;
/// Values that are looked at; a network has some thousand.
const MOST: usize = 1 << 18;

/// A tensor's name, and its value in the pickle.
pub(super) type Named = (String, Id);

/// The tensors of a checkpoint: of a dictionary by name, of one that wraps another those of the inner one alone, of a module as its
/// `state_dict()` would name them.
pub(super) fn tensors(pickle: &Pickle<'_>) -> Result<Vec<Named>, String> {
    let mut root = pickle.root;
    let mut found = None;
    for _ in 0..DEEPEST {
        let Value::Dict(pairs) = pickle.get(root) else { break };
        let inner = WRAPPERS.iter().find_map(|wrapper| {
            let (_, inner) = pairs.iter().rev().find(|(key, _)| pickle.text(*key) == Some(wrapper))?;
            matches!(pickle.get(*inner), Value::Dict(_) | Value::Object { .. }).then_some(*inner)
        });
        let Some(inner) = inner else { break };
        let inside = Walk::of(pickle, inner)?.found;
        if inside.is_empty() {
            break;
        }
        (root, found) = (inner, Some(inside));
    }
    let found = match found {
        Some(found) => found,
        None => Walk::of(pickle, root)?.found,
    };
    if found.is_empty() {
        return Err("holds no tensor under a name".to_owned());
    }
    Ok(found)
}

/// The class of the module that was saved whole, if one was: torchxrayvision's wherever it stands, since its networks see films of a scale of their
/// own; else that of the outermost module.
pub(super) fn class<'a>(pickle: &Pickle<'a>) -> Option<&'a [u8]> {
    let outermost = match pickle.get(pickle.root) {
        Value::Object { class, .. } => Some(*class),
        _ => None,
    };
    pickle.classes().find(|class| class.starts_with(b"torchxrayvision.")).or(outermost)
}

struct Walk<'p, 'a> {
    pickle: &'p Pickle<'a>,
    found: Vec<Named>,
    looked_at: usize,
    /// Values on the way down: one that is met again is its own part.
    above: HashSet<Id>,
}

impl<'p, 'a> Walk<'p, 'a> {
    fn of(pickle: &'p Pickle<'a>, root: Id) -> Result<Self, String> {
        let mut walk = Walk { pickle, found: Vec::new(), looked_at: 0, above: HashSet::new() };
        walk.descend(root, "", 0)?;
        Ok(walk)
    }

    fn descend(&mut self, id: Id, name: &str, depth: usize) -> Result<(), String> {
        self.looked_at += 1;
        if self.looked_at > MOST || depth > DEEPEST || name.len() > 1024 {
            return Err(format!("holds dictionaries nested without end, at {}", shown(name.as_bytes())));
        }
        match self.pickle.get(id) {
            Value::Tensor { .. } => {
                // Two names for one tensor are two tensors, as in a `state_dict`.
                self.found.push((name.to_owned(), id));
                Ok(())
            }
            Value::Dict(pairs) => self.within(id, |walk| walk.pairs(pairs, name, depth)),
            Value::Object { class, state: Some(state) } => {
                let Value::Dict(attributes) = self.pickle.get(*state) else { return Ok(()) };
                let script = class.starts_with(b"__torch__");
                self.within(id, |walk| walk.module(attributes, script, name, depth))
            }
            _ => Ok(()),
        }
    }

    /// Works on the parts of a value, unless it is met within itself.
    fn within(&mut self, id: Id, work: impl FnOnce(&mut Self) -> Result<(), String>) -> Result<(), String> {
        if !self.above.insert(id) {
            return Ok(());
        }
        let done = work(self);
        self.above.remove(&id);
        done
    }

    fn pairs(&mut self, pairs: &[(Id, Id)], name: &str, depth: usize) -> Result<(), String> {
        for (key, value) in pairs {
            let key = match self.pickle.get(*key) {
                Value::Text(key) => String::from_utf8_lossy(key).into_owned(),
                // Old modules number their parts.
                Value::Int(key) => key.to_string(),
                _ => continue,
            };
            self.descend(*value, &joined(name, &key), depth + 1)?;
        }
        Ok(())
    }

    /// Attributes of a module: its parameters, buffers and modules; in TorchScript each attribute is one of these.
    fn module(&mut self, attributes: &[(Id, Id)], script: bool, name: &str, depth: usize) -> Result<(), String> {
        if script {
            return self.pairs(attributes, name, depth);
        }
        for part in [b"_parameters".as_slice(), b"_buffers", b"_modules"] {
            for (key, value) in attributes {
                if self.pickle.text(*key) == Some(part)
                    && let Value::Dict(pairs) = self.pickle.get(*value)
                {
                    self.pairs(pairs, name, depth)?;
                }
            }
        }
        Ok(())
    }
}

/// tch writes `|` for the dots of a name, since an attribute has none.
fn joined(name: &str, key: &str) -> String {
    let key = key.replace('|', ".");
    if name.is_empty() { key } else { format!("{name}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::super::pickle::read;
    use super::tensors;

    /// A tensor of no size.
    const TENSOR: &[u8] = b"ctorch._utils\n_rebuild_tensor_v2\n(K\x00tR";

    fn dict(items: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = b"}(".to_vec();
        for (key, value) in items {
            bytes.extend(b"X");
            bytes.extend((key.len() as u32).to_le_bytes());
            bytes.extend(key.as_bytes());
            bytes.extend(*value);
        }
        bytes.push(b'u');
        bytes
    }

    fn names(mut bytes: Vec<u8>) -> Result<Vec<String>, String> {
        bytes.push(b'.');
        Ok(tensors(&read(&bytes).unwrap())?.into_iter().map(|(name, _)| name).collect())
    }

    #[test]
    fn of_a_checkpoint_the_networks_tensors_are_taken_and_not_the_optimisers() {
        let weights = dict(&[("a.weight", TENSOR), ("a.bias", TENSOR)]);
        let optimiser = dict(&[("step", TENSOR)]);
        let inner = dict(&[("state_dict", &weights)]);
        for bytes in [
            weights.clone(),
            dict(&[("epoch", b"K\x05"), ("optimizer", &optimiser), ("state_dict", &weights), ("best", TENSOR)]),
            dict(&[("optimizer", &optimiser), ("model", &inner)]),
        ] {
            assert_eq!(names(bytes).unwrap(), ["a.weight", "a.bias"]);
        }
        assert_eq!(names(dict(&[("a", &weights)])).unwrap(), ["a.a.weight", "a.a.bias"]);
        assert!(names(dict(&[("epoch", b"K\x05")])).unwrap_err().contains("no tensor"));
        assert!(names(b"K\x05".to_vec()).unwrap_err().contains("no tensor"));
    }

    #[test]
    fn dictionaries_within_themselves_end_and_those_that_multiply_are_refused() {
        let mut cycle = b"}q\x00".to_vec();
        cycle.extend(b"(X\x01\x00\x00\x00ah\x00X\x01\x00\x00\x00b");
        cycle.extend(TENSOR);
        cycle.push(b'u');
        assert_eq!(names(cycle).unwrap(), ["b"]);
        // Each of 60 dictionaries holds the one before twice: 2^60 paths.
        let mut laughs = TENSOR.to_vec();
        laughs.extend(b"q\x00");
        for _ in 0..60 {
            laughs.extend(b"}q\x01(X\x01\x00\x00\x00ah\x00X\x01\x00\x00\x00bh\x00uq\x00");
        }
        assert!(names(laughs).unwrap_err().contains("nested without end"));
        let mut deep = TENSOR.to_vec();
        deep.extend(b"q\x00");
        for _ in 0..200_000 {
            deep.extend(b"}X\x01\x00\x00\x00ah\x00sq\x00");
        }
        assert!(names(deep).unwrap_err().contains("nested without end"));
    }
}
