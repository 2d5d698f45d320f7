//! From what a pickle holds to named tensors, as `state_dict` names them.

use std::collections::{HashMap, HashSet};

use super::pickle::{Id, KnownGlobal, Pickle, PickleValue, shown};

/// Levels of modules within modules.
const DEEPEST: usize = 64;
/// Dictionaries, lists, modules and tensors that are looked at; a network has some thousand.
const MOST: usize = 1 << 18;
/// What lies in these, numbers and all, counted each time that it is gone through; a pickle has a million values.
const MOST_PARTS: usize = 1 << 22;
/// Bytes of a name.
const LONGEST: usize = 1024;

/// A tensor's name, and its value in the pickle.
pub(super) type NamedValue = (String, Id);

/// What a pickle holds.
pub(super) struct PickledTensors {
    pub tensors: Vec<NamedValue>,
    /// Classes and functions that make neither tensors nor modules.
    pub foreign: Vec<String>,
}

/// The tensors of a checkpoint by their names in it: of dictionaries and lists with all that they lie in, of a module
/// of any class as its `state_dict()` would name them.
pub(super) fn tensors(pickle: &Pickle<'_>) -> Result<PickledTensors, String> {
    let mut walk = NameSearch {
        pickle,
        modules: Modules { pickle, known: HashMap::new() },
        found: Vec::new(),
        looked_at: 0,
        parts: 0,
        above: HashSet::new(),
        seen: HashSet::new(),
    };
    walk.descend(pickle.root, "", 0)?;
    let (tensors, foreign) = (walk.found, foreign(pickle, &mut walk.modules));
    if tensors.is_empty() {
        let named = foreign.first().map_or(String::new(), |first| format!("; it names {first}, which makes none"));
        return Err(format!("holds no tensor under a name{named}"));
    }
    Ok(PickledTensors { tensors, foreign })
}

/// What stands in a module's `__dict__`.
const OF_MODULES: [&[u8]; 3] = [b"_parameters", b"_buffers", b"_modules"];
/// Packages whose classes and functions are those of networks, and not worth a word.
const OF_NETWORKS: [&[u8]; 4] = [b"torch.nn", b"torchvision.models", b"torchxrayvision", b"__torch__"];

/// The classes and functions that a pickle names, but for those that make tensors and modules, each once, in its order.
fn foreign(pickle: &Pickle<'_>, of_modules: &mut Modules<'_, '_>) -> Vec<String> {
    let is_below = |module: &[u8], package: &[u8]| {
        module.strip_prefix(package).is_some_and(|rest| rest.is_empty() || rest[0] == b'.')
    };
    let modules = pickle.values().iter().filter_map(|value| match value {
        PickleValue::Object { class, state: Some(state), .. } if of_modules.has(*state) => pickle.class(*class),
        _ => None,
    });
    let mut known: HashSet<(&[u8], &[u8])> = modules.collect();
    let mut names = Vec::new();
    for value in pickle.values() {
        if let PickleValue::Global(KnownGlobal::Class(module, name)) = value
            && !OF_NETWORKS.iter().any(|package| is_below(module, package))
            && known.insert((module, name))
        {
            names.push(format!("{}.{}", shown(module), shown(name)));
        }
    }
    names
}

/// Whether a `__dict__` is a module's: each is looked through once, however many objects share it.
struct Modules<'p, 'a> {
    pickle: &'p Pickle<'a>,
    known: HashMap<Id, bool>,
}

impl Modules<'_, '_> {
    fn has(&mut self, state: Id) -> bool {
        let pickle = self.pickle;
        *self.known.entry(state).or_insert_with(|| {
            let PickleValue::Dict(attributes) = pickle.get(state) else { return false };
            attributes.iter().any(|(key, _)| pickle.text(*key).is_some_and(|key| OF_MODULES.contains(&key)))
        })
    }
}

/// The class of the module that was saved whole, if one was: torchxrayvision's wherever it stands, since its networks
/// see films of a scale of their own; else that of the outermost module.
pub(super) fn class(pickle: &Pickle<'_>) -> Option<String> {
    let of = |value: &PickleValue<'_>| match value {
        PickleValue::Object { class, .. } => pickle.class(*class),
        _ => None,
    };
    let outermost = of(pickle.get(pickle.root));
    let xrv = pickle.values().iter().filter_map(of).find(|(module, _)| module.starts_with(b"torchxrayvision"));
    xrv.or(outermost).map(|(module, name)| format!("{}.{}", shown(module), shown(name)))
}

struct NameSearch<'p, 'a> {
    pickle: &'p Pickle<'a>,
    modules: Modules<'p, 'a>,
    found: Vec<NamedValue>,
    looked_at: usize,
    /// What was gone through, looked at or not.
    parts: usize,
    /// Values on the way down: one that is met again is its own part.
    above: HashSet<Id>,
    /// Objects that are no modules: they may refer to each other in every way, and are looked into once.
    seen: HashSet<Id>,
}

impl NameSearch<'_, '_> {
    fn descend(&mut self, id: Id, name: &str, depth: usize) -> Result<(), String> {
        let pickle = self.pickle;
        self.looked_at += 1;
        if self.looked_at > MOST || depth > DEEPEST || name.len() > LONGEST {
            return Err(endless(name));
        }
        match pickle.get(id) {
            // Two names for one tensor are two tensors, as in a `state_dict`.
            PickleValue::Tensor { .. } => self.found.push((name.to_owned(), id)),
            PickleValue::Dict(pairs) => self.within(id, |walk| walk.pairs(pairs, name, depth))?,
            PickleValue::List(ids) | PickleValue::Tuple(ids) => self.within(id, |walk| {
                walk.count(ids.len(), name)?;
                let parts = (0..).zip(ids).filter(|(_, id)| has_parts(pickle.get(**id)));
                for (at, id) in parts {
                    let at: usize = at;
                    walk.descend(*id, &joined(name, &at.to_string()), depth + 1)?;
                }
                Ok(())
            })?,
            PickleValue::Object { class, state, items } => {
                let module = state.is_some_and(|state| self.modules.has(state));
                let script = pickle.class(*class).is_some_and(|(module, _)| module.starts_with(b"__torch__"));
                if !module && !script && !self.seen.insert(id) {
                    return Ok(());
                }
                self.within(id, |walk| {
                    match state.map(|state| pickle.get(state)) {
                        Some(PickleValue::Dict(attributes)) => {
                            walk.attributes(attributes, module && !script, name, depth)?;
                        }
                        // Of a class with `__slots__`: what is in its `__dict__`, and what is in them.
                        Some(PickleValue::Tuple(parts)) => {
                            walk.count(parts.len(), name)?;
                            for part in parts {
                                if let PickleValue::Dict(attributes) = pickle.get(*part) {
                                    walk.pairs(attributes, name, depth)?;
                                }
                            }
                        }
                        _ => {}
                    }
                    if let Some(PickleValue::Dict(items)) = items.map(|items| pickle.get(items)) {
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

    fn count(&mut self, parts: usize, name: &str) -> Result<(), String> {
        self.parts += parts;
        if self.parts > MOST_PARTS { Err(endless(name)) } else { Ok(()) }
    }

    fn pairs(&mut self, pairs: &[(Id, Id)], name: &str, depth: usize) -> Result<(), String> {
        let pickle = self.pickle;
        self.count(pairs.len(), name)?;
        // A name is made only where it is used: the same long key can stand in every pair.
        for (key, value) in pairs.iter().filter(|(_, value)| has_parts(pickle.get(*value))) {
            let key = match pickle.get(*key) {
                PickleValue::Text(key) if key.len() > LONGEST => return Err(endless(name)),
                PickleValue::Text(key) => String::from_utf8_lossy(key).into_owned(),
                // Old modules number their parts.
                PickleValue::Int(key) => key.to_string(),
                _ => continue,
            };
            self.descend(*value, &joined(name, &key), depth + 1)?;
        }
        Ok(())
    }

    /// Attributes of an object: of a module its parameters, buffers and modules, without a word of these in a name; in
    /// TorchScript each attribute is one of them.
    fn attributes(&mut self, all: &[(Id, Id)], module: bool, name: &str, depth: usize) -> Result<(), String> {
        if !module {
            return self.pairs(all, name, depth);
        }
        self.count(all.len(), name)?;
        for part in OF_MODULES {
            for (key, value) in all {
                if self.pickle.text(*key) == Some(part)
                    && let PickleValue::Dict(pairs) = self.pickle.get(*value)
                {
                    self.pairs(pairs, name, depth)?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a value is a tensor or may hold some.
fn has_parts(value: &PickleValue<'_>) -> bool {
    matches!(
        value,
        PickleValue::Tensor { .. }
            | PickleValue::Dict(_)
            | PickleValue::List(_)
            | PickleValue::Tuple(_)
            | PickleValue::Object { .. }
    )
}

fn endless(name: &str) -> String {
    format!("holds dictionaries nested without end, at {}", shown(name.as_bytes()))
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

    /// Keeps a dictionary of `n` numbers, `last` being its last key, as 1, an object of a class of its own with it as
    /// 2.
    fn crowded(n: usize, last: &[u8]) -> Vec<u8> {
        let mut bytes = b"X\x01\x00\x00\x00aq\x000K\x07q\x030}q\x01(".to_vec();
        bytes.extend(b"h\x00h\x03".repeat(n));
        bytes.extend(last);
        bytes.extend(b"u0cmy\nOwn\nq\x040)q\x050h\x04h\x05\x81h\x01bq\x020");
        bytes
    }

    #[test]
    fn a_dictionary_that_many_objects_share_is_looked_through_once() {
        // A state of 200,000 numbers: of 100,000 objects that are thrown away, and of one that is met as often.
        let mut bytes = crowded(200_000, b"");
        bytes.extend(b"h\x04h\x05\x81h\x01b0".repeat(100_000));
        bytes.extend(b"(");
        bytes.extend(b"h\x02".repeat(100_000));
        bytes.extend([TENSOR, b"l"].concat());
        assert_eq!(names(bytes).unwrap(), ["100000"]);
    }

    #[test]
    fn parts_that_are_gone_through_again_and_again_are_counted() {
        let many = 100_000;
        let module = [b"X\x08\x00\x00\x00_modules}X\x01\x00\x00\x00b".as_slice(), TENSOR, b"s"].concat();
        let list = [b"(".as_slice(), &b"h\x03".repeat(many), b"lq\x02"].concat();
        let slots = [b"h\x04h\x05\x81(".as_slice(), &b"h\x03".repeat(many), b"tq\x06b0"].concat();
        for (kept, each) in [
            // A dictionary of numbers, a module of as many attributes, a list of numbers.
            (crowded(many, b""), b"h\x01".as_slice()),
            (crowded(many, &module), b"h\x02"),
            ([crowded(1, b""), list, b"0".to_vec()].concat(), b"h\x02"),
            // Objects of one crowded `__dict__`, or one row of slots.
            (crowded(many, b""), b"h\x04h\x05\x81h\x01b"),
            ([crowded(1, b""), slots].concat(), b"h\x04h\x05\x81h\x06b"),
        ] {
            let few = [kept.as_slice(), b"(", &each.repeat(10), TENSOR, b"l"].concat();
            assert!(names(few).unwrap().contains(&"10".to_owned()));
            let hostile = [kept.as_slice(), b"(", &each.repeat(many), TENSOR, b"l"].concat();
            assert!(names(hostile).unwrap_err().contains("nested without end"));
        }
    }

    #[test]
    fn a_long_key_is_no_name() {
        let long = [b"X\x00\x00\x10\x00".as_slice(), &[b'a'; 1 << 20], b"q\x000"].concat();
        // In each pair of a dictionary of 100,000 numbers: 100 GB of names.
        let numbers = [long.as_slice(), b"K\x07q\x030}(", &b"h\x00h\x03".repeat(100_000)].concat();
        let pair = [b"X\x01\x00\x00\x00b".as_slice(), TENSOR].concat();
        assert_eq!(names([numbers, pair, b"u".to_vec()].concat()).unwrap(), ["b"]);
        let named = [long.as_slice(), b"}h\x00", TENSOR, b"s"].concat();
        assert!(names(named).unwrap_err().contains("nested without end"));
    }
}
