//! Tensors as a pickle describes them: a window on a storage.

use safetensors::Dtype;

use super::pickle::{KnownGlobal, Pickle, PickleValue, Rebuild, shown};

/// Dimensions that a tensor may have.
const MOST_DIMENSIONS: usize = 64;

/// A tensor's place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TensorWindow<'a> {
    pub storage: Storage<'a>,
    /// In elements.
    pub offset: usize,
    pub shape: Vec<usize>,
    /// In elements.
    pub strides: Vec<usize>,
    pub dtype: Dtype,
}

/// What a file says of a storage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Storage<'a> {
    pub key: &'a [u8],
    /// Bytes of an element as the storage counts them.
    pub element: usize,
    pub elements: usize,
    /// Where a storage that is part of another begins in it, in elements: only in the legacy format.
    pub from: usize,
}

/// Bytes of an element.
pub(super) fn width(dtype: Dtype) -> usize {
    dtype.bitsize() / 8
}

/// The dtype of `torch.NAME`, a storage's class or a `dtype`; none for an untyped storage, which counts bytes.
fn numbers(name: &[u8]) -> Result<Option<Dtype>, String> {
    Ok(Some(match name {
        b"FloatStorage" | b"float32" | b"float" => Dtype::F32,
        b"DoubleStorage" | b"float64" => Dtype::F64,
        b"HalfStorage" | b"float16" => Dtype::F16,
        b"BFloat16Storage" | b"bfloat16" => Dtype::BF16,
        b"LongStorage" | b"int64" => Dtype::I64,
        b"IntStorage" | b"int32" => Dtype::I32,
        b"ShortStorage" | b"int16" => Dtype::I16,
        b"CharStorage" | b"int8" => Dtype::I8,
        b"ByteStorage" | b"uint8" => Dtype::U8,
        b"BoolStorage" | b"bool" => Dtype::BOOL,
        b"UntypedStorage" => return Ok(None),
        other => {
            return Err(format!("holds a tensor of {}, which is a dtype that is not known here", shown(other)));
        }
    }))
}

/// A number that counts something.
fn count(pickle: &Pickle<'_>, id: u32, what: &str) -> Result<usize, String> {
    let value = pickle.int(id).ok_or_else(|| format!("has a tensor whose {what} is not a number"))?;
    usize::try_from(value).map_err(|_| format!("has a tensor whose {what} is {value}"))
}

/// Where a persistent identifier says that a storage is, and its dtype.
fn storage<'a>(pickle: &Pickle<'a>, id: u32) -> Result<(Storage<'a>, Option<Dtype>), String> {
    let odd = || "has a tensor whose storage is described in an unknown way".to_owned();
    let PickleValue::Persistent(id) = pickle.get(id) else { return Err(odd()) };
    let parts = pickle.sequence(*id).ok_or_else(odd)?;
    let [kind, class, key, _, elements, ..] = parts else { return Err(odd()) };
    let (Some(b"storage"), PickleValue::Global(KnownGlobal::Numbers(name))) = (pickle.text(*kind), pickle.get(*class))
    else {
        return Err(odd());
    };
    let dtype = numbers(name)?;
    let key = pickle.text(*key).ok_or_else(odd)?;
    let mut found = Storage {
        key,
        element: dtype.map_or(1, width),
        elements: count(pickle, *elements, "storage's size")?,
        from: 0,
    };
    if let Some(view) = parts.get(5).and_then(|view| pickle.sequence(*view))
        && let [_, from, elements] = view
    {
        found.from = count(pickle, *from, "view's offset")?;
        found.elements = count(pickle, *elements, "view's size")?;
    }
    Ok((found, dtype))
}

/// Every storage that a pickle refers to.
pub(super) fn storages<'a>(pickle: &Pickle<'a>) -> impl Iterator<Item = Storage<'a>> {
    pickle.persistent().filter_map(|id| Some(storage(pickle, id).ok()?.0))
}

/// A tensor's window, checked to lie within what its storage declares.
pub(super) fn window<'a>(pickle: &Pickle<'a>, version: Rebuild, arguments: u32) -> Result<TensorWindow<'a>, String> {
    let parts = pickle.sequence(arguments).unwrap_or_default();
    let [id, offset, size, stride, ..] = parts else { return Err("has a tensor without size or stride".to_owned()) };
    let (storage, dtype) = storage(pickle, *id)?;
    let dtype = match (version, parts.get(6).map(|id| pickle.get(*id))) {
        (Rebuild::V3, Some(PickleValue::Global(KnownGlobal::Numbers(name)))) => numbers(name)?,
        _ => dtype,
    };
    let dtype = dtype.ok_or_else(|| "has a tensor of bytes without a dtype".to_owned())?;
    let offset = count(pickle, *offset, "offset")?;
    let all = |id: u32, what: &str| -> Result<Vec<usize>, String> {
        let ids = pickle.sequence(id).ok_or_else(|| format!("has a tensor whose {what} is not a tuple"))?;
        if ids.len() > MOST_DIMENSIONS {
            return Err(format!("has a tensor of {} dimensions", ids.len()));
        }
        ids.iter().map(|id| count(pickle, *id, what)).collect()
    };
    let (shape, strides) = (all(*size, "size")?, all(*stride, "stride")?);
    if shape.len() != strides.len() {
        return Err(format!("has a tensor with {} sizes and {} strides", shape.len(), strides.len()));
    }
    let window = TensorWindow { storage, offset, shape, strides, dtype };
    window.check()?;
    Ok(window)
}

impl TensorWindow<'_> {
    /// Bytes of the storage from the first to the last element, offset included.
    fn reach(&self) -> Option<usize> {
        if self.shape.contains(&0) {
            return Some(0);
        }
        let steps = self.shape.iter().zip(&self.strides);
        let last = steps
            .map(|(n, stride)| (n - 1).checked_mul(*stride))
            .try_fold(self.offset, |sum, step| sum.checked_add(step?));
        last?.checked_add(1)?.checked_mul(width(self.dtype))
    }

    fn check(&self) -> Result<(), String> {
        let Storage { elements: declared, element, .. } = self.storage;
        let held = declared.checked_mul(element);
        match (elements(&self.shape), self.reach(), held) {
            (Some(_), Some(reach), Some(held)) if reach <= held => Ok(()),
            _ => Err(format!(
                "has a tensor of shape {:?} that reaches beyond its storage of {declared} elements",
                self.shape
            )),
        }
    }
}

/// Elements of a shape; none if there are more than can be counted.
fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |product, n| product.checked_mul(*n))
}

/// The elements of a storage that a checked window touches, from the first to the last.
pub(super) fn span(offset: usize, shape: &[usize], strides: &[usize]) -> std::ops::Range<usize> {
    if shape.contains(&0) {
        return 0..0;
    }
    let last = shape.iter().zip(strides).map(|(n, stride)| (n - 1) * stride).sum::<usize>();
    offset..offset + last + 1
}

/// The elements of a checked window in row-major order: of a storage's bytes, `width` each, from `offset` elements on.
pub(super) fn gather(storage: &[u8], width: usize, offset: usize, shape: &[usize], strides: &[usize]) -> Vec<u8> {
    let elements = elements(shape).unwrap_or(0);
    if elements == 0 {
        return Vec::new();
    }
    let mut expected = 1;
    let contiguous = shape.iter().zip(strides).rev().all(|(n, stride)| {
        let fits = *n == 1 || *stride == expected;
        expected *= n;
        fits
    });
    if contiguous {
        return storage[offset * width..(offset + elements) * width].to_vec();
    }
    let mut values = Vec::with_capacity(elements * width);
    let mut index = vec![0; shape.len()];
    loop {
        let at = offset + index.iter().zip(strides).map(|(i, stride)| i * stride).sum::<usize>();
        values.extend_from_slice(&storage[at * width..(at + 1) * width]);
        // The next index, the last dimension first.
        let Some(grows) = (0..index.len()).rev().find(|&d| index[d] + 1 < shape[d]) else { return values };
        index[grows] += 1;
        index[grows + 1..].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(shape: &[usize], strides: &[usize], offset: usize, elements: usize) -> TensorWindow<'static> {
        let storage = Storage { key: b"0", element: 1, elements, from: 0 };
        TensorWindow { storage, offset, shape: shape.to_vec(), strides: strides.to_vec(), dtype: Dtype::U8 }
    }

    #[test]
    fn transposed_repeated_and_empty_tensors_are_put_in_order() {
        let storage = [0, 1, 2, 3, 4, 5, 6, 7];
        assert_eq!(gather(&storage, 1, 1, &[2, 3], &[3, 1]), [1, 2, 3, 4, 5, 6]);
        assert_eq!(gather(&storage, 1, 0, &[3, 2], &[1, 3]), [0, 3, 1, 4, 2, 5]);
        assert_eq!(gather(&storage, 1, 6, &[2, 2], &[0, 1]), [6, 7, 6, 7]);
        assert_eq!(gather(&storage, 1, 99, &[2, 0], &[1, 1]), [0u8; 0]);
        assert_eq!(gather(&storage, 1, 5, &[], &[]), [5]);
    }

    #[test]
    fn a_window_beyond_its_storage_is_refused_also_where_numbers_overflow() {
        for (shape, strides, offset) in [
            (&[9][..], &[1][..], 0),
            (&[2], &[8], 0),
            (&[1], &[1], 8),
            (&[1 << 62, 4], &[1, 1], 0),
            (&[2, 2], &[usize::MAX, usize::MAX], 0),
            (&[usize::MAX; 3], &[0, 0, 0], 0),
            (&[2], &[1], usize::MAX),
        ] {
            assert!(window(shape, strides, offset, 8).check().is_err(), "{shape:?} {strides:?} {offset}");
        }
        window(&[8], &[1], 0, 8).check().unwrap();
        window(&[1 << 40], &[0], 7, 8).check().unwrap();
    }
}
