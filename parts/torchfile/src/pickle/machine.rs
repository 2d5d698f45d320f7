//! The state of the machine that a pickle is a program for: its values, stack, marks and memory, all bounded.

use std::collections::HashMap;

use super::{Id, KnownGlobal, PickleValue};

/// Values in one pickle, and pairs that its calls copy: a network's file has some ten thousand.
pub(super) const MOST: usize = 1 << 20;

/// What a pickle has made so far.
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    /// Behind the last byte read.
    pub at: usize,
    pub values: Vec<PickleValue<'a>>,
    pub stack: Vec<Id>,
    /// Heights of the stack.
    pub marks: Vec<usize>,
    pub memo: HashMap<u64, Id>,
    /// Pairs that calls have copied: one list can be given to any number of them.
    copied: usize,
}

const SHORT: &str = "the pickle ends early";

fn short() -> String {
    SHORT.to_owned()
}

/// Whether a pickle could not be read because there is more of it.
pub(crate) fn is_short(reason: &str) -> bool {
    reason == SHORT
}

pub(super) fn empty() -> String {
    "the pickle takes from an empty stack".to_owned()
}

impl<'a> Machine<'a> {
    pub fn new(bytes: &'a [u8]) -> Machine<'a> {
        let (values, stack, marks, memo) = (Vec::new(), Vec::new(), Vec::new(), HashMap::new());
        Machine { bytes, at: 0, values, stack, marks, memo, copied: 0 }
    }

    pub fn take(&mut self, n: u64) -> Result<&'a [u8], String> {
        let end = usize::try_from(n).ok().and_then(|n| self.at.checked_add(n)).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(short)?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    /// An unsigned little-endian number of `n` bytes.
    pub fn number(&mut self, n: u64) -> Result<u64, String> {
        Ok(self.take(n)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    pub fn line(&mut self) -> Result<&'a [u8], String> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(short)?;
        self.at += end + 1;
        Ok(rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]))
    }

    pub fn add(&mut self, value: PickleValue<'a>) -> Result<Id, String> {
        if self.values.len() == MOST {
            return Err(format!("the pickle has more than {MOST} values"));
        }
        self.values.push(value);
        Ok(self.values.len() as Id - 1)
    }

    pub fn push(&mut self, value: PickleValue<'a>) -> Result<(), String> {
        let id = self.add(value)?;
        self.put(id)
    }

    pub fn put(&mut self, id: Id) -> Result<(), String> {
        if self.stack.len() == MOST {
            return Err(format!("the pickle stacks more than {MOST} values"));
        }
        self.stack.push(id);
        Ok(())
    }

    pub fn pop(&mut self) -> Result<Id, String> {
        if self.marks.last().is_some_and(|mark| *mark >= self.stack.len()) {
            return Err(empty());
        }
        self.stack.pop().ok_or_else(empty)
    }

    pub fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or_else(empty)
    }

    /// What lies above the last mark, which goes.
    pub fn above_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or_else(|| "the pickle has no mark where it needs one".to_owned())?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    pub fn remember(&mut self, key: u64) -> Result<(), String> {
        let id = self.top()?;
        if self.memo.len() == MOST {
            return Err(format!("the pickle remembers more than {MOST} values"));
        }
        self.memo.insert(key, id);
        Ok(())
    }

    pub fn recall(&mut self, key: u64) -> Result<(), String> {
        let id = *self.memo.get(&key).ok_or_else(|| format!("the pickle recalls value {key}, which it never kept"))?;
        self.put(id)
    }

    pub fn decimal(&mut self) -> Result<u64, String> {
        let line = self.line()?;
        std::str::from_utf8(line)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| "the pickle has a malformed number".to_owned())
    }

    /// Records a call.
    pub fn call(&mut self, class: Id, arguments: Id) -> Result<(), String> {
        let arguments_of: &[Id] = match &self.values[arguments as usize] {
            PickleValue::Tuple(ids) => ids,
            _ => &[],
        };
        let first = arguments_of.first().copied();
        let object = |class| PickleValue::Object { class, state: None, items: None };
        let value = match self.values[class as usize] {
            PickleValue::Global(KnownGlobal::Rebuild(version)) => PickleValue::Tensor { version, arguments },
            PickleValue::Global(KnownGlobal::FromType) => match *arguments_of {
                [function, _, arguments, ..] => match self.values[function as usize] {
                    PickleValue::Global(KnownGlobal::Rebuild(version)) => PickleValue::Tensor { version, arguments },
                    _ => PickleValue::Inert,
                },
                _ => PickleValue::Inert,
            },
            PickleValue::Global(KnownGlobal::First) => match first {
                Some(first) => return self.put(first),
                None => PickleValue::Inert,
            },
            PickleValue::Global(KnownGlobal::Dict) => PickleValue::Dict(self.dict_of(first)?),
            PickleValue::Global(KnownGlobal::Reconstructor) => match first {
                Some(first) if matches!(self.values[first as usize], PickleValue::Global(KnownGlobal::Class(..))) => {
                    object(first)
                }
                _ => PickleValue::Inert,
            },
            PickleValue::Global(KnownGlobal::Class(..)) => object(class),
            // Also what a call has made, called again.
            _ => PickleValue::Inert,
        };
        self.push(value)
    }

    /// The pairs of `OrderedDict([(key, value), …])`, as Python 2 wrote it.
    pub fn dict_of(&mut self, first: Option<Id>) -> Result<Vec<(Id, Id)>, String> {
        let Some(PickleValue::List(items)) = first.map(|first| &self.values[first as usize]) else { return Ok(vec![]) };
        self.copied += items.len();
        if self.copied > MOST {
            return Err(format!("the pickle copies more than {MOST} pairs"));
        }
        let pair = |id: &Id| match &self.values[*id as usize] {
            PickleValue::Tuple(pair) | PickleValue::List(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
            _ => Err("the pickle has a dictionary of something else than pairs".to_owned()),
        };
        items.iter().map(pair).collect()
    }

    pub fn append(&mut self, ids: Vec<Id>) -> Result<(), String> {
        let top = self.top()?;
        if let PickleValue::List(list) = &mut self.values[top as usize] {
            list.extend(ids);
        }
        Ok(())
    }

    pub fn set(&mut self, pairs: Vec<(Id, Id)>) -> Result<(), String> {
        let top = self.top()?;
        let dict = match self.values[top as usize] {
            PickleValue::Dict(_) => top,
            PickleValue::Object { items: Some(items), .. } => items,
            // A class that is a kind of dictionary.
            PickleValue::Object { class, state, items: None } => {
                let items = self.add(PickleValue::Dict(Vec::new()))?;
                self.values[top as usize] = PickleValue::Object { class, state, items: Some(items) };
                items
            }
            _ => return Ok(()),
        };
        if let PickleValue::Dict(dict) = &mut self.values[dict as usize] {
            dict.extend(pairs);
        }
        Ok(())
    }

    /// A storage; of a class with its source, as the legacy format keeps modules, the class.
    pub fn persistent(&mut self, id: Id) -> Result<(), String> {
        let PickleValue::Tuple(parts) = &self.values[id as usize] else {
            return Err("the pickle refers to a storage by something else than a tuple".to_owned());
        };
        let kind = parts.first().map(|kind| &self.values[*kind as usize]);
        match (kind, parts.get(1)) {
            (Some(PickleValue::Text(b"module")), Some(class)) => self.put(*class),
            _ => self.push(PickleValue::Persistent(id)),
        }
    }
}
