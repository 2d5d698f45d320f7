//! A pickle read as data: nothing in it is imported, called or executed.
//!
//! Python's pickle is a program for a stack machine (its opcodes: CPython's `pickletools`, protocols 0 to 5), in which
//! `REDUCE` calls any function that `GLOBAL` names. Here a call is a record of itself: those that make tensors and
//! modules are understood, of all others only the name is kept. Values lie in one vector and refer to each other by
//! position, so that cycles, depth and shared parts cost nothing and break nothing; one byte of a pickle makes one
//! value at most, and a million of them are the limit.

mod machine;
mod opcodes;

pub(super) use machine::is_short;
pub(super) use opcodes::read;

/// Position of a value.
pub(super) type Id = u32;

/// A value. Text and bytes are slices of the file.
#[derive(Debug, Clone)]
pub(super) enum PickleValue<'a> {
    /// `None`, a number of no interest, bytes, or the result of a call of no interest.
    Inert,
    Bool(bool),
    Int(i64),
    /// An integer beyond 64 bits, little endian.
    Long(&'a [u8]),
    Text(&'a [u8]),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// What a name stands for.
    Global(KnownGlobal<'a>),
    /// What a class or function makes that is no tensor: which [global](Self::Global), its `__dict__`, and what it
    /// holds if it is a kind of dictionary.
    Object {
        class: Id,
        state: Option<Id>,
        items: Option<Id>,
    },
    /// A call that makes a tensor, with its arguments.
    Tensor {
        version: Rebuild,
        arguments: Id,
    },
    /// A persistent identifier: where the values of a tensor are, as the file says it.
    Persistent(Id),
}

/// How a tensor is put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rebuild {
    /// `_rebuild_tensor` and `_rebuild_tensor_v2`: storage, offset, size, stride, …
    V2,
    /// `_rebuild_tensor_v3`: the same with the dtype in eighth place.
    V3,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KnownGlobal<'a> {
    /// `torch._utils._rebuild_tensor` and its successors.
    Rebuild(Rebuild),
    /// `torch._tensor._rebuild_from_type_v2`: a tensor of a class of its own, by a function and its arguments.
    FromType,
    /// `torch._utils._rebuild_parameter`: its first argument.
    First,
    /// `collections.OrderedDict`.
    Dict,
    /// `torch.FloatStorage` and others, `torch.float32` and others: the part after `torch.`.
    Numbers(&'a [u8]),
    /// `copyreg._reconstructor`.
    Reconstructor,
    /// Of no interest.
    Inert,
    /// Any other class or function, by module and name.
    Class(&'a [u8], &'a [u8]),
}

fn known<'a>(module: &'a [u8], name: &'a [u8]) -> KnownGlobal<'a> {
    match (module, name) {
        (b"torch._utils", b"_rebuild_tensor" | b"_rebuild_tensor_v2") => KnownGlobal::Rebuild(Rebuild::V2),
        (b"torch._utils", b"_rebuild_tensor_v3") => KnownGlobal::Rebuild(Rebuild::V3),
        (b"torch._tensor", b"_rebuild_from_type_v2") => KnownGlobal::FromType,
        (b"torch._utils", b"_rebuild_parameter" | b"_rebuild_parameter_with_state") => KnownGlobal::First,
        (b"torch", b"Size") => KnownGlobal::First,
        (b"collections", b"OrderedDict" | b"defaultdict") => KnownGlobal::Dict,
        (b"torch", b"device") | (b"torch.jit._pickle", _) => KnownGlobal::Inert,
        (b"torch" | b"torch.storage", _) if is_numbers(name) => KnownGlobal::Numbers(name),
        (b"copyreg" | b"copy_reg", b"_reconstructor") => KnownGlobal::Reconstructor,
        (b"builtins" | b"__builtin__", b"object" | b"set" | b"frozenset" | b"slice" | b"complex" | b"bytearray") => {
            KnownGlobal::Inert
        }
        (b"collections", b"Counter") | (b"argparse", b"Namespace") | (b"_codecs", b"encode") => KnownGlobal::Inert,
        (b"numpy", b"dtype" | b"ndarray") => KnownGlobal::Inert,
        (b"numpy.core.multiarray" | b"numpy._core.multiarray", b"scalar" | b"_reconstruct") => KnownGlobal::Inert,
        _ => KnownGlobal::Class(module, name),
    }
}

/// Whether `torch.NAME` is a storage or a dtype.
fn is_numbers(name: &[u8]) -> bool {
    const KINDS: [&[u8]; 11] = [
        b"float32",
        b"float64",
        b"float16",
        b"bfloat16",
        b"int64",
        b"int32",
        b"int16",
        b"int8",
        b"uint8",
        b"bool",
        b"float",
    ];
    name.ends_with(b"Storage") && name.iter().all(u8::is_ascii_alphanumeric) || KINDS.contains(&name)
}

/// A pickle's values, and which of them it is.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    values: Vec<PickleValue<'a>>,
    /// The value itself.
    pub root: Id,
    /// Bytes that it took.
    pub length: usize,
}

impl<'a> Pickle<'a> {
    pub fn get(&self, id: Id) -> &PickleValue<'a> {
        &self.values[id as usize]
    }

    /// Every persistent identifier.
    pub fn persistent(&self) -> impl Iterator<Item = Id> {
        (0..).zip(&self.values).filter(|(_, value)| matches!(value, PickleValue::Persistent(_))).map(|(id, _)| id)
    }

    /// Every value.
    pub fn values(&self) -> &[PickleValue<'a>] {
        &self.values
    }

    /// Module and name of an object's class.
    pub fn class(&self, of: Id) -> Option<(&'a [u8], &'a [u8])> {
        match self.get(of) {
            PickleValue::Global(KnownGlobal::Class(module, name)) => Some((module, name)),
            _ => None,
        }
    }

    /// The elements of a tuple or list.
    pub fn sequence(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            PickleValue::Tuple(ids) | PickleValue::List(ids) => Some(ids),
            _ => None,
        }
    }

    pub fn text(&self, id: Id) -> Option<&'a [u8]> {
        match self.get(id) {
            PickleValue::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn int(&self, id: Id) -> Option<i64> {
        match self.get(id) {
            PickleValue::Int(value) => Some(*value),
            _ => None,
        }
    }
}

/// Bytes of a file in an error line: short, in one line.
pub fn shown(text: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(&text[..text.len().min(80)]).into_owned();
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests;
