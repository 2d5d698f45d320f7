//! The stack machine that a pickle is a program for, which here makes records instead of calls.

use std::collections::HashMap;

use super::{Id, Known, Pickle, Value, known};

/// Values in one pickle, and pairs that its calls copy: a network's file has some ten thousand.
const MOST: usize = 1 << 20;

/// Reads the pickle at the start of `bytes`.
pub(crate) fn read(bytes: &[u8]) -> Result<Pickle<'_>, String> {
    let (values, stack, marks, memo) = (Vec::new(), Vec::new(), Vec::new(), HashMap::new());
    let mut machine = Machine { bytes, at: 0, values, stack, marks, memo, copied: 0 };
    loop {
        let opcode = machine.byte()?;
        if opcode == b'.' {
            let root = machine.pop()?;
            return Ok(Pickle { values: machine.values, root, length: machine.at });
        }
        machine.step(opcode)?;
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
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

fn empty() -> String {
    "the pickle takes from an empty stack".to_owned()
}

impl<'a> Machine<'a> {
    fn take(&mut self, n: u64) -> Result<&'a [u8], String> {
        let end = usize::try_from(n).ok().and_then(|n| self.at.checked_add(n)).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(short)?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    /// An unsigned little-endian number of `n` bytes.
    fn number(&mut self, n: u64) -> Result<u64, String> {
        Ok(self.take(n)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn line(&mut self) -> Result<&'a [u8], String> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(short)?;
        self.at += end + 1;
        Ok(rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]))
    }

    fn add(&mut self, value: Value<'a>) -> Result<Id, String> {
        if self.values.len() == MOST {
            return Err(format!("the pickle has more than {MOST} values"));
        }
        self.values.push(value);
        Ok(self.values.len() as Id - 1)
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), String> {
        let id = self.add(value)?;
        self.put(id)
    }

    fn put(&mut self, id: Id) -> Result<(), String> {
        if self.stack.len() == MOST {
            return Err(format!("the pickle stacks more than {MOST} values"));
        }
        self.stack.push(id);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, String> {
        if self.marks.last().is_some_and(|mark| *mark >= self.stack.len()) {
            return Err(empty());
        }
        self.stack.pop().ok_or_else(empty)
    }

    fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or_else(empty)
    }

    /// What lies above the last mark, which goes.
    fn above_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or_else(|| "the pickle has no mark where it needs one".to_owned())?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn remember(&mut self, key: u64) -> Result<(), String> {
        let id = self.top()?;
        if self.memo.len() == MOST {
            return Err(format!("the pickle remembers more than {MOST} values"));
        }
        self.memo.insert(key, id);
        Ok(())
    }

    fn recall(&mut self, key: u64) -> Result<(), String> {
        let id = *self.memo.get(&key).ok_or_else(|| format!("the pickle recalls value {key}, which it never kept"))?;
        self.put(id)
    }

    fn decimal(&mut self) -> Result<u64, String> {
        let line = self.line()?;
        std::str::from_utf8(line)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| "the pickle has a malformed number".to_owned())
    }

    fn step(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            0x80 => drop(self.byte()?),
            0x95 => drop(self.number(8)?),
            b'(' => {
                if self.marks.len() == MOST {
                    return Err(format!("the pickle sets more than {MOST} marks"));
                }
                self.marks.push(self.stack.len());
            }
            b'0' => drop(self.pop()?),
            b'1' => drop(self.above_mark()?),
            b'2' => self.put(self.top()?)?,
            b'p' => {
                let key = self.decimal()?;
                self.remember(key)?;
            }
            b'q' => {
                let key = self.number(1)?;
                self.remember(key)?;
            }
            b'r' => {
                let key = self.number(4)?;
                self.remember(key)?;
            }
            0x94 => self.remember(self.memo.len() as u64)?,
            b'g' => {
                let key = self.decimal()?;
                self.recall(key)?;
            }
            b'h' => {
                let key = self.number(1)?;
                self.recall(key)?;
            }
            b'j' => {
                let key = self.number(4)?;
                self.recall(key)?;
            }
            b'N' => self.push(Value::Inert)?,
            0x88 => self.push(Value::Bool(true))?,
            0x89 => self.push(Value::Bool(false))?,
            b'I' | b'L' => {
                let line = self.line()?;
                let value = match (opcode, line) {
                    (b'I', b"01") => Value::Bool(true),
                    (b'I', b"00") => Value::Bool(false),
                    _ => {
                        let text = std::str::from_utf8(line).unwrap_or_default().trim_end_matches('L');
                        text.parse().map_or(Value::Inert, Value::Int)
                    }
                };
                self.push(value)?;
            }
            b'J' => {
                let value = self.number(4)? as u32 as i32;
                self.push(Value::Int(value.into()))?;
            }
            b'K' => {
                let value = self.number(1)?;
                self.push(Value::Int(value as i64))?;
            }
            b'M' => {
                let value = self.number(2)?;
                self.push(Value::Int(value as i64))?;
            }
            0x8a | 0x8b => {
                let length = self.number(if opcode == 0x8a { 1 } else { 4 })?;
                let bytes = self.take(length)?;
                self.push(long(bytes))?;
            }
            b'F' => {
                self.line()?;
                self.push(Value::Inert)?;
            }
            b'G' => {
                self.take(8)?;
                self.push(Value::Inert)?;
            }
            b'V' => {
                let text = self.line()?;
                self.push(Value::Text(text))?;
            }
            b'S' => {
                let line = self.line()?;
                let text = match line {
                    [b'\'', text @ .., b'\''] | [b'"', text @ .., b'"'] => text,
                    _ => return Err("the pickle has a string without quotes".to_owned()),
                };
                self.push(Value::Text(text))?;
            }
            b'U' | b'X' | b'T' | 0x8c | 0x8d => {
                let size = match opcode {
                    b'U' | 0x8c => 1,
                    0x8d => 8,
                    _ => 4,
                };
                let length = self.number(size)?;
                let text = self.take(length)?;
                self.push(Value::Text(text))?;
            }
            b'B' | b'C' | 0x8e | 0x96 => {
                let size = match opcode {
                    b'C' => 1,
                    b'B' => 4,
                    _ => 8,
                };
                let length = self.number(size)?;
                self.take(length)?;
                self.push(Value::Inert)?;
            }
            b')' => self.push(Value::Tuple(vec![]))?,
            b']' => self.push(Value::List(vec![]))?,
            b'}' => self.push(Value::Dict(vec![]))?,
            0x8f => self.push(Value::Inert)?,
            b't' | b'l' => {
                let ids = self.above_mark()?;
                self.push(if opcode == b't' { Value::Tuple(ids) } else { Value::List(ids) })?;
            }
            0x85..=0x87 => {
                let n = usize::from(opcode - 0x84);
                let mut ids = Vec::with_capacity(n);
                for _ in 0..n {
                    ids.push(self.pop()?);
                }
                ids.reverse();
                self.push(Value::Tuple(ids))?;
            }
            b'd' => {
                let ids = self.above_mark()?;
                self.push(Value::Dict(pairs(&ids)?))?;
            }
            0x91 => {
                self.above_mark()?;
                self.push(Value::Inert)?;
            }
            b'a' => {
                let id = self.pop()?;
                self.append(vec![id])?;
            }
            b'e' | 0x90 => {
                let ids = self.above_mark()?;
                self.append(ids)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(vec![(key, value)])?;
            }
            b'u' => {
                let ids = self.above_mark()?;
                self.set(pairs(&ids)?)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(known(module, name)))?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (&self.values[module as usize], &self.values[name as usize]) {
                    (&Value::Text(module), &Value::Text(name)) => self.push(Value::Global(known(module, name)))?,
                    _ => return Err("the pickle names a class by something that is not text".to_owned()),
                }
            }
            b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                let arguments = self.above_mark()?;
                let arguments = self.add(Value::Tuple(arguments))?;
                let class = self.add(Value::Global(known(module, name)))?;
                self.call(class, arguments)?;
            }
            b'o' => {
                let mut ids = self.above_mark()?;
                if ids.is_empty() {
                    return Err(empty());
                }
                let class = ids.remove(0);
                let arguments = self.add(Value::Tuple(ids))?;
                self.call(class, arguments)?;
            }
            b'R' | 0x81 => {
                let (arguments, class) = (self.pop()?, self.pop()?);
                self.call(class, arguments)?;
            }
            0x92 => {
                let (_, arguments, class) = (self.pop()?, self.pop()?, self.pop()?);
                self.call(class, arguments)?;
            }
            b'b' => {
                let state = self.pop()?;
                let top = self.top()?;
                if let Value::Object { state: of, .. } = &mut self.values[top as usize] {
                    *of = Some(state);
                }
            }
            b'Q' => {
                let id = self.pop()?;
                self.persistent(id)?;
            }
            b'P' => return Err("the pickle refers to storages by text, which no version of PyTorch does".to_owned()),
            0x82..=0x84 => {
                return Err("refuses the pickle: it uses extension codes, which can stand for any function".to_owned());
            }
            other => return Err(format!("the pickle has an unknown opcode 0x{other:02x}")),
        }
        Ok(())
    }

    /// Records a call.
    fn call(&mut self, class: Id, arguments: Id) -> Result<(), String> {
        let arguments_of: &[Id] = match &self.values[arguments as usize] {
            Value::Tuple(ids) => ids,
            _ => &[],
        };
        let first = arguments_of.first().copied();
        let object = |class| Value::Object { class, state: None, items: None };
        let value = match self.values[class as usize] {
            Value::Global(Known::Rebuild(version)) => Value::Tensor { version, arguments },
            Value::Global(Known::FromType) => match *arguments_of {
                [function, _, arguments, ..] => match self.values[function as usize] {
                    Value::Global(Known::Rebuild(version)) => Value::Tensor { version, arguments },
                    _ => Value::Inert,
                },
                _ => Value::Inert,
            },
            Value::Global(Known::First) => match first {
                Some(first) => return self.put(first),
                None => Value::Inert,
            },
            Value::Global(Known::Dict) => Value::Dict(self.dict_of(first)?),
            Value::Global(Known::Reconstructor) => match first {
                Some(first) if matches!(self.values[first as usize], Value::Global(Known::Class(..))) => object(first),
                _ => Value::Inert,
            },
            Value::Global(Known::Class(..)) => object(class),
            // Also what a call has made, called again.
            _ => Value::Inert,
        };
        self.push(value)
    }

    /// The pairs of `OrderedDict([(key, value), …])`, as Python 2 wrote it.
    fn dict_of(&mut self, first: Option<Id>) -> Result<Vec<(Id, Id)>, String> {
        let Some(Value::List(items)) = first.map(|first| &self.values[first as usize]) else { return Ok(vec![]) };
        self.copied += items.len();
        if self.copied > MOST {
            return Err(format!("the pickle copies more than {MOST} pairs"));
        }
        let pair = |id: &Id| match &self.values[*id as usize] {
            Value::Tuple(pair) | Value::List(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
            _ => Err("the pickle has a dictionary of something else than pairs".to_owned()),
        };
        items.iter().map(pair).collect()
    }

    fn append(&mut self, ids: Vec<Id>) -> Result<(), String> {
        let top = self.top()?;
        if let Value::List(list) = &mut self.values[top as usize] {
            list.extend(ids);
        }
        Ok(())
    }

    fn set(&mut self, pairs: Vec<(Id, Id)>) -> Result<(), String> {
        let top = self.top()?;
        let dict = match self.values[top as usize] {
            Value::Dict(_) => top,
            Value::Object { items: Some(items), .. } => items,
            // A class that is a kind of dictionary.
            Value::Object { class, state, items: None } => {
                let items = self.add(Value::Dict(Vec::new()))?;
                self.values[top as usize] = Value::Object { class, state, items: Some(items) };
                items
            }
            _ => return Ok(()),
        };
        if let Value::Dict(dict) = &mut self.values[dict as usize] {
            dict.extend(pairs);
        }
        Ok(())
    }

    /// A storage; of a class with its source, as the legacy format keeps modules, the class.
    fn persistent(&mut self, id: Id) -> Result<(), String> {
        let Value::Tuple(parts) = &self.values[id as usize] else {
            return Err("the pickle refers to a storage by something else than a tuple".to_owned());
        };
        let kind = parts.first().map(|kind| &self.values[*kind as usize]);
        match (kind, parts.get(1)) {
            (Some(Value::Text(b"module")), Some(class)) => self.put(*class),
            _ => self.push(Value::Persistent(id)),
        }
    }
}

fn pairs(ids: &[Id]) -> Result<Vec<(Id, Id)>, String> {
    match ids.as_chunks::<2>() {
        (pairs, []) => Ok(pairs.iter().map(|&[key, value]| (key, value)).collect()),
        _ => Err("the pickle has a dictionary with a key that has no value".to_owned()),
    }
}

/// A signed little-endian number.
fn long(bytes: &[u8]) -> Value<'_> {
    match bytes {
        [] => Value::Int(0),
        [.., last] if bytes.len() <= 8 => {
            let fill = if last & 0x80 == 0 { 0 } else { !0 };
            let value = bytes.iter().rev().fold(fill, |number: u64, byte| number << 8 | u64::from(*byte));
            Value::Int(value as i64)
        }
        _ => Value::Long(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(bytes: &[u8]) -> String {
        let line = read(bytes).unwrap_err();
        assert!(!line.contains('\n') && line.len() < 300, "{line}");
        line
    }

    #[test]
    fn whatever_a_pickle_calls_is_recorded_and_not_done() {
        for (bytes, module, name) in [
            (&b"cposix\nsystem\n(S'rm -rf /'\ntR."[..], "posix", "system"),
            (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02ls\x85R.", "os", "system"),
            (b"(S'ls'\nios\nsystem\n.", "os", "system"),
            (b"(cos\nsystem\nS'ls'\no.", "os", "system"),
            (b"\x80\x02cbuiltins\neval\n)\x81.", "builtins", "eval"),
            (b"\x80\x02cos\nsystem\n)}\x92.", "os", "system"),
            (b"ccopyreg\n_reconstructor\n(cmy.own\nNet\ncbuiltins\nobject\nNtR.", "my.own", "Net"),
        ] {
            let pickle = read(bytes).unwrap();
            let Value::Object { class, .. } = *pickle.get(pickle.root) else { panic!("{:?}", pickle.get(pickle.root)) };
            assert_eq!(pickle.class(class), Some((module.as_bytes(), name.as_bytes())));
        }
        // What a call has made is not called either.
        let pickle = read(b"cbuiltins\ngetattr\n(cos\nsystem\nS'x'\ntR(S'ls'\ntR.").unwrap();
        assert!(matches!(pickle.get(pickle.root), Value::Inert));
    }

    #[test]
    fn tensors_of_a_class_of_their_own_are_tensors_and_kinds_of_dictionaries_have_items() {
        let pickle =
            read(b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\ncmy\nOwn\n(K\x00t}tR.");
        let pickle = pickle.unwrap();
        assert!(matches!(pickle.get(pickle.root), Value::Tensor { .. }));
        let pickle = read(b"cmy\nConfig\n)\x81S'a'\nK\x01sS'b'\nK\x02s.").unwrap();
        let Value::Object { items: Some(items), .. } = *pickle.get(pickle.root) else { panic!() };
        assert!(matches!(pickle.get(items), Value::Dict(pairs) if pairs.len() == 2));
    }

    #[test]
    fn a_size_beyond_the_file_is_an_early_end() {
        for bytes in [
            &b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fab."[..],
            b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xffab.",
            b"\x80\x04\x96\x00\x00\x00\x00\x00\x01\x00\x00ab.",
            b"\x80\x02\x8b\xff\xff\xff\x7fab.",
            b"X\xff\xff\xff\xffab.",
            b"\x80\x04\x95\xff\xff",
            b"",
            b"cos",
        ] {
            assert_eq!(refusal(bytes), "the pickle ends early", "{bytes:?}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_in_one_line() {
        for bytes in [
            &b"."[..],
            b"0.",
            b"t.",
            b"(a.",
            b"h\x05.",
            b"(Nd.",
            b"NR.",
            b"NQ.",
            b"\xff.",
            b"\x82\x01.",
            b"g12x\n.",
            b"Sx\n.",
            b"Pabc\n.",
            b"\x80\x04NN\x93.",
        ] {
            refusal(bytes);
        }
    }

    #[test]
    fn a_million_marks_or_values_end_in_an_error_and_deep_nesting_and_cycles_in_none() {
        refusal(&vec![b'('; 2 << 20]);
        refusal(&vec![b'N'; 2 << 20]);
        let mut recalled = b"Nq\x00".to_vec();
        recalled.extend(b"h\x00".repeat(2 << 20));
        refusal(&recalled);
        let mut deep = vec![b']'];
        deep.extend(b"\x85".repeat(500_000));
        deep.push(b'.');
        drop(read(&deep).unwrap());
        drop(read(b"]q\x00h\x00a.").unwrap());
        drop(read(b"}q\x00X\x01\x00\x00\x00ah\x00s.").unwrap());
    }

    #[test]
    fn what_calls_copy_is_bounded_and_the_pairs_that_python_2_wrote_are_read() {
        let pickle = read(b"ccollections\nOrderedDict\n((lp1\n(lp2\nS'a'\naK\x01aa(lp3\nS'b'\naK\x02aatR.").unwrap();
        assert!(matches!(pickle.get(pickle.root), Value::Dict(pairs) if pairs.len() == 2));
        // A list of half a million pairs, given to a thousand calls of 6 bytes: 4 GB.
        let mut bytes = b"ccollections\nOrderedDict\nq\x000NN\x86q\x010(".to_vec();
        bytes.extend(b"h\x01".repeat(500_000));
        bytes.extend(b"lq\x020");
        bytes.extend(b"h\x00h\x02\x85R".repeat(1000));
        bytes.push(b'.');
        assert!(refusal(&bytes).contains("copies more than 1048576 pairs"));
    }

    #[test]
    fn numbers_are_read_with_their_sign() {
        for (bytes, expected) in [
            (&b"J\xff\xff\xff\xff."[..], -1),
            (b"\x8a\x01\xff.", -1),
            (b"\x8a\x02\xff\x00.", 255),
            (b"\x8a\x00.", 0),
            (b"\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80.", i64::MIN),
            (b"L-77L\n.", -77),
            (b"I12\n.", 12),
            (b"M\x34\x12.", 0x1234),
        ] {
            let pickle = read(bytes).unwrap();
            assert_eq!(pickle.int(pickle.root), Some(expected), "{bytes:?}");
        }
    }
}
