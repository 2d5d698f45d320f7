//! What each opcode of a pickle does here: it makes records instead of calls.

use super::machine::{MOST, Machine, empty};
use super::{Id, Pickle, PickleValue, known};

/// Reads the pickle at the start of `bytes`.
pub(crate) fn read(bytes: &[u8]) -> Result<Pickle<'_>, String> {
    let mut machine = Machine::new(bytes);
    loop {
        let opcode = machine.byte()?;
        if opcode == b'.' {
            let root = machine.pop()?;
            return Ok(Pickle { values: machine.values, root, length: machine.at });
        }
        step(&mut machine, opcode)?;
    }
}

/// Does what one opcode says.
fn step(machine: &mut Machine<'_>, opcode: u8) -> Result<(), String> {
    match opcode {
        0x80 => drop(machine.byte()?),
        0x95 => drop(machine.number(8)?),
        b'(' => {
            if machine.marks.len() == MOST {
                return Err(format!("the pickle sets more than {MOST} marks"));
            }
            machine.marks.push(machine.stack.len());
        }
        b'0' => drop(machine.pop()?),
        b'1' => drop(machine.above_mark()?),
        b'2' => machine.put(machine.top()?)?,
        b'p' => {
            let key = machine.decimal()?;
            machine.remember(key)?;
        }
        b'q' => {
            let key = machine.number(1)?;
            machine.remember(key)?;
        }
        b'r' => {
            let key = machine.number(4)?;
            machine.remember(key)?;
        }
        0x94 => machine.remember(machine.memo.len() as u64)?,
        b'g' => {
            let key = machine.decimal()?;
            machine.recall(key)?;
        }
        b'h' => {
            let key = machine.number(1)?;
            machine.recall(key)?;
        }
        b'j' => {
            let key = machine.number(4)?;
            machine.recall(key)?;
        }
        b'N' => machine.push(PickleValue::Inert)?,
        0x88 => machine.push(PickleValue::Bool(true))?,
        0x89 => machine.push(PickleValue::Bool(false))?,
        b'I' | b'L' => {
            let line = machine.line()?;
            let value = match (opcode, line) {
                (b'I', b"01") => PickleValue::Bool(true),
                (b'I', b"00") => PickleValue::Bool(false),
                _ => {
                    let text = std::str::from_utf8(line).unwrap_or_default().trim_end_matches('L');
                    text.parse().map_or(PickleValue::Inert, PickleValue::Int)
                }
            };
            machine.push(value)?;
        }
        b'J' => {
            let value = machine.number(4)? as u32 as i32;
            machine.push(PickleValue::Int(value.into()))?;
        }
        b'K' => {
            let value = machine.number(1)?;
            machine.push(PickleValue::Int(value as i64))?;
        }
        b'M' => {
            let value = machine.number(2)?;
            machine.push(PickleValue::Int(value as i64))?;
        }
        0x8a | 0x8b => {
            let length = machine.number(if opcode == 0x8a { 1 } else { 4 })?;
            let bytes = machine.take(length)?;
            machine.push(long(bytes))?;
        }
        b'F' => {
            machine.line()?;
            machine.push(PickleValue::Inert)?;
        }
        b'G' => {
            machine.take(8)?;
            machine.push(PickleValue::Inert)?;
        }
        b'V' => {
            let text = machine.line()?;
            machine.push(PickleValue::Text(text))?;
        }
        b'S' => {
            let line = machine.line()?;
            let text = match line {
                [b'\'', text @ .., b'\''] | [b'"', text @ .., b'"'] => text,
                _ => return Err("the pickle has a string without quotes".to_owned()),
            };
            machine.push(PickleValue::Text(text))?;
        }
        b'U' | b'X' | b'T' | 0x8c | 0x8d => {
            let size = match opcode {
                b'U' | 0x8c => 1,
                0x8d => 8,
                _ => 4,
            };
            let length = machine.number(size)?;
            let text = machine.take(length)?;
            machine.push(PickleValue::Text(text))?;
        }
        b'B' | b'C' | 0x8e | 0x96 => {
            let size = match opcode {
                b'C' => 1,
                b'B' => 4,
                _ => 8,
            };
            let length = machine.number(size)?;
            machine.take(length)?;
            machine.push(PickleValue::Inert)?;
        }
        b')' => machine.push(PickleValue::Tuple(vec![]))?,
        b']' => machine.push(PickleValue::List(vec![]))?,
        b'}' => machine.push(PickleValue::Dict(vec![]))?,
        0x8f => machine.push(PickleValue::Inert)?,
        b't' | b'l' => {
            let ids = machine.above_mark()?;
            machine.push(if opcode == b't' { PickleValue::Tuple(ids) } else { PickleValue::List(ids) })?;
        }
        0x85..=0x87 => {
            let n = usize::from(opcode - 0x84);
            let mut ids = Vec::with_capacity(n);
            for _ in 0..n {
                ids.push(machine.pop()?);
            }
            ids.reverse();
            machine.push(PickleValue::Tuple(ids))?;
        }
        b'd' => {
            let ids = machine.above_mark()?;
            machine.push(PickleValue::Dict(pairs(&ids)?))?;
        }
        0x91 => {
            machine.above_mark()?;
            machine.push(PickleValue::Inert)?;
        }
        b'a' => {
            let id = machine.pop()?;
            machine.append(vec![id])?;
        }
        b'e' | 0x90 => {
            let ids = machine.above_mark()?;
            machine.append(ids)?;
        }
        b's' => {
            let (value, key) = (machine.pop()?, machine.pop()?);
            machine.set(vec![(key, value)])?;
        }
        b'u' => {
            let ids = machine.above_mark()?;
            machine.set(pairs(&ids)?)?;
        }
        b'c' => {
            let (module, name) = (machine.line()?, machine.line()?);
            machine.push(PickleValue::Global(known(module, name)))?;
        }
        0x93 => {
            let (name, module) = (machine.pop()?, machine.pop()?);
            match (&machine.values[module as usize], &machine.values[name as usize]) {
                (&PickleValue::Text(module), &PickleValue::Text(name)) => {
                    machine.push(PickleValue::Global(known(module, name)))?
                }
                _ => return Err("the pickle names a class by something that is not text".to_owned()),
            }
        }
        b'i' => {
            let (module, name) = (machine.line()?, machine.line()?);
            let arguments = machine.above_mark()?;
            let arguments = machine.add(PickleValue::Tuple(arguments))?;
            let class = machine.add(PickleValue::Global(known(module, name)))?;
            machine.call(class, arguments)?;
        }
        b'o' => {
            let mut ids = machine.above_mark()?;
            if ids.is_empty() {
                return Err(empty());
            }
            let class = ids.remove(0);
            let arguments = machine.add(PickleValue::Tuple(ids))?;
            machine.call(class, arguments)?;
        }
        b'R' | 0x81 => {
            let (arguments, class) = (machine.pop()?, machine.pop()?);
            machine.call(class, arguments)?;
        }
        0x92 => {
            let (_, arguments, class) = (machine.pop()?, machine.pop()?, machine.pop()?);
            machine.call(class, arguments)?;
        }
        b'b' => {
            let state = machine.pop()?;
            let top = machine.top()?;
            if let PickleValue::Object { state: of, .. } = &mut machine.values[top as usize] {
                *of = Some(state);
            }
        }
        b'Q' => {
            let id = machine.pop()?;
            machine.persistent(id)?;
        }
        b'P' => return Err("the pickle refers to storages by text, which no version of PyTorch does".to_owned()),
        0x82..=0x84 => {
            return Err("refuses the pickle: it uses extension codes, which can stand for any function".to_owned());
        }
        other => return Err(format!("the pickle has an unknown opcode 0x{other:02x}")),
    }
    Ok(())
}

fn pairs(ids: &[Id]) -> Result<Vec<(Id, Id)>, String> {
    match ids.as_chunks::<2>() {
        (pairs, []) => Ok(pairs.iter().map(|&[key, value]| (key, value)).collect()),
        _ => Err("the pickle has a dictionary with a key that has no value".to_owned()),
    }
}

/// A signed little-endian number.
fn long(bytes: &[u8]) -> PickleValue<'_> {
    match bytes {
        [] => PickleValue::Int(0),
        [.., last] if bytes.len() <= 8 => {
            let fill = if last & 0x80 == 0 { 0 } else { !0 };
            let value = bytes.iter().rev().fold(fill, |number: u64, byte| number << 8 | u64::from(*byte));
            PickleValue::Int(value as i64)
        }
        _ => PickleValue::Long(bytes),
    }
}
