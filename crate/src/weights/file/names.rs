//! From what a pickle holds to named tensors, as `state_dict` names them.

use std::collections::HashSet;

use super::pickle::{Id, Known, Pickle, Value, shown};

/// Levels of modules within modules.
const DEEPEST: usize = 64;
/// Dictionaries, lists, modules and tensors that are looked at; a network has some thousand.
const MOST: usize = 1 << 18;

/// A tensor's name, and its value in the pickle.
pub(super) type Named = (String, Id);

/// What a pickle holds.
pub(super) struct Found {
    pub tensors: Vec<Named>,
    /// Classes and functions that make neither tensors nor modules.
    pub foreign: Vec<String>,
}

/// The tensors of a checkpoint by their names in it: of dictionaries and lists with all that they lie in, of a module of any class as its
/// `state_dict()` would name them.
pub(super) fn tensors(pickle: &Pickle<'_>) -> Result<Found, String> {
    let mut walk = Walk { pickle, found: Vec::new(), looked_at: 0, above: HashSet::new(), seen: HashSet::new() };
    walk.descend(pickle.root, "", 0)?;
    let (tensors, foreign) = (walk.found, foreign(pickle));
    if tensors.is_empty() {
        let named = foreign.first().map_or(String::new(), |first| format!("; it names {first}, which makes none"));
        return Err(format!("holds no tensor under a name{named}"));
    }
    Ok(Found { tensors, foreign })
}

/// What stands in a module's `__dict__`.
const OF_MODULES: [&[u8]; 3] = [b"_parameters", b"_buffers", b"_modules"];
/// Packages whose classes and functions are those of networks, and not worth a word.
const OF_NETWORKS: [&[u8]; 4] = [b"torch.nn", b"torchvision.models", b"torchxrayvision", b"__torch__"];

/// The classes and functions that a pickle names, but for those that make tensors and modules, each once, in its order.
fn foreign(pickle: &Pickle<'_>) -> Vec<String> {
    let is_below = |module: &[u8], package: &[u8]| {
        module.strip_prefix(package).is_some_and(|rest| rest.is_empty() || rest[0] == b'.')
    };
    let modules = pickle.values().iter().filter_map(|value| match value {
        Value::Object { class, state: Some(state), .. } if is_module(pickle, *state) => pickle.class(*class),
        _ => None,
    });
    let mut known: HashSet<(&[u8], &[u8])> = modules.collect();
    let mut names = Vec::new();
    for value in pickle.values() {
        if let Value::Global(Known::Class(module, name)) = value
            && !OF_NETWORKS.iter().any(|package| is_below(module, package))
            && known.insert((module, name))
        {
            names.push(format!("{}.{}", shown(module), shown(name)));
        }
    }
    names
}

/// Whether a `__dict__` is a module's.
fn is_module(pickle: &Pickle<'_>, state: Id) -> bool {
    let Value::Dict(attributes) = pickle.get(state) else { return false };
    attributes.iter().any(|(key, _)| pickle.text(*key).is_some_and(|key| OF_MODULES.contains(&key)))
}

/// The class of the module that was saved whole, if one was: torchxrayvision's wherever it stands, since its networks see films of a scale of their
/// own; else that of the outermost module.
pub(super) fn class(pickle: &Pickle<'_>) -> Option<String> {
    let of = |value: &Value<'_>| match value {
        Value::Object { class, .. } => pickle.class(*class),
        _ => None,
    };
    let outermost = of(pickle.get(pickle.root));
    let xrv = pickle.values().iter().filter_map(of).find(|(module, _)| module.starts_with(b"torchxrayvision"));
    xrv.or(outermost).map(|(module, name)| format!("{}.{}", shown(module), shown(name)))
}

struct Walk<'p, 'a> {
    pickle: &'p Pickle<'a>,
    found: Vec<Named>,
    looked_at: usize,
    /// Values on the way down: one that is met again is its own part.
    above: HashSet<Id>,
    /// Objects that are no modules: they may refer to each other in every way, and are looked into once.
    seen: HashSet<Id>,
}

impl Walk<'_, '_> {
    fn descend(&mut self, id: Id, name: &str, depth: usize) -> Result<(), String> {
        let pickle = self.pickle;
        let value = pickle.get(id);
        let (Value::Tensor { .. } | Value::Dict(_) | Value::List(_) | Value::Tuple(_) | Value::Object { .. }) = value
        else {
            return Ok(());
        };
        self.looked_at += 1;
        if self.looked_at > MOST || depth > DEEPEST || name.len() > 1024 {
            return Err(format!("holds dictionaries nested without end, at {}", shown(name.as_bytes())));
        }
        match value {
            // Two names for one tensor are two tensors, as in a `state_dict`.
            Value::Tensor { .. } => self.found.push((name.to_owned(), id)),
            Value::Dict(pairs) => self.within(id, |walk| walk.pairs(pairs, name, depth))?,
            Value::List(ids) | Value::Tuple(ids) => self.within(id, |walk| {
                (0..)
                    .zip(ids)
                    .try_for_each(|(at, id): (usize, _)| walk.descend(*id, &joined(name, &at.to_string()), depth + 1))
            })?,
            Value::Object { class, state, items } => {
                let module = state.is_some_and(|state| is_module(pickle, state));
                let script = pickle.class(*class).is_some_and(|(module, _)| module.starts_with(b"__torch__"));
                if !module && !script && !self.seen.insert(id) {
                    return Ok(());
                }
                self.within(id, |walk| {
                    match state.map(|state| pickle.get(state)) {
                        Some(Value::Dict(attributes)) => {
                            walk.attributes(attributes, module && !script, name, depth)?;
                        }
                        // Of a class with `__slots__`: what is in its `__dict__`, and what is in them.
                        Some(Value::Tuple(parts)) => {
                            for part in parts {
                                if let Value::Dict(attributes) = pickle.get(*part) {
                                    walk.pairs(attributes, name, depth)?;
                                }
                            }
                        }
                        _ => {}
                    }
                    if let Some(Value::Dict(items)) = items.map(|items| pickle.get(items)) {
                        walk.pairs(items, name, depth)?;
                    }
                    Ok(())
                })?;
            }
            _ => {}
        }
        Ok(())
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

    /// Attributes of an object: of a module its parameters, buffers and modules, without a word of these in a name; in TorchScript each attribute
    /// is one of them.
    fn attributes(&mut self, all: &[(Id, Id)], module: bool, name: &str, depth: usize) -> Result<(), String> {
        if !module {
            return self.pairs(all, name, depth);
        }
        for part in OF_MODULES {
            for (key, value) in all {
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
        Ok(tensors(&read(&bytes).unwrap())?.tensors.into_iter().map(|(name, _)| name).collect())
    }

    #[test]
    fn tensors_are_named_by_all_that_they_lie_in() {
        let weights = dict(&[("a.weight", TENSOR), ("a.bias", TENSOR)]);
        let optimiser = dict(&[("step", TENSOR)]);
        let inner = dict(&[("state_dict", &weights)]);
        assert_eq!(names(weights.clone()).unwrap(), ["a.weight", "a.bias"]);
        let checkpoint = dict(&[("epoch", b"K\x05"), ("optimizer", &optimiser), ("model", &inner), ("best", TENSOR)]);
        assert_eq!(
            names(checkpoint).unwrap(),
            ["optimizer.step", "model.state_dict.a.weight", "model.state_dict.a.bias", "best"]
        );
        let list = [b"](".as_slice(), &weights, TENSOR, b"e"].concat();
        assert_eq!(names(list).unwrap(), ["0.a.weight", "0.a.bias", "1"]);
        assert!(names(dict(&[("epoch", b"K\x05")])).unwrap_err().contains("no tensor"));
        assert!(names(b"K\x05".to_vec()).unwrap_err().contains("no tensor"));
        assert!(names(b"cos\nsystem\n)R".to_vec()).unwrap_err().contains("it names os.system, which makes none"));
    }

    #[test]
    fn modules_of_any_class_are_their_state_and_other_objects_are_named() {
        let linear = |weights: &[u8]| {
            let state = dict(&[("training", b"\x88"), ("_parameters", weights), ("_modules", b"}")]);
            [b"cmy.nets\nOwn\n)\x81".as_slice(), &state, b"b"].concat()
        };
        let own = linear(&dict(&[("weight", TENSOR), ("bias", b"N")]));
        let modules = dict(&[("fc", &own)]);
        let state = dict(&[("_modules", &modules), ("loss", b"cmy.nets\nfocal\n"), ("hidden", TENSOR)]);
        let outer = [b"cmy.nets\nOuter\n)\x81".as_slice(), &state, b"b"].concat();
        let holder =
            [b"cmy.train\nState\n)\x81".as_slice(), &dict(&[("net", &outer), ("at", b"cpathlib\nPath\n)R")]), b"b"];
        let mut bytes = holder.concat();
        bytes.push(b'.');
        let pickle = read(&bytes).unwrap();
        let found = tensors(&pickle).unwrap();
        assert_eq!(found.tensors.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["net.fc.weight"]);
        assert_eq!(found.foreign, ["my.train.State", "my.nets.focal", "pathlib.Path"]);
        assert_eq!(super::class(&pickle).as_deref(), Some("my.train.State"));
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
