//! PyTorch's two containers: the zip of 1.6 and later, which TorchScript and tch use too, and the row of pickles before
//! it.

use std::collections::HashMap;
use std::ops::Range;

use super::pickle::{self, Pickle, PickleValue};
use super::source::ByteSource;
use super::tensor::{Storage, TensorWindow};
use super::{Contents, ElementRange, Error, StoredTensor, WeightFormat, names, tensor};

/// `torch.serialization`'s magic number, 0x1950a86a20f9469cfc6c.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// Bytes of a pickle that are read: a thousand times what a network's takes, since values lie beside it.
const MOST: usize = 256 << 20;

/// What a container holds: where each storage's bytes lie in the file.
type Storages = HashMap<Vec<u8>, Range<usize>>;

/// Whether the file begins as a zip does.
pub(super) fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

/// Whether the file begins with a pickle, as the legacy format does.
pub(super) fn is_pickle(bytes: &[u8]) -> bool {
    matches!(bytes, [0x80, 1..=5, ..])
}

pub(super) fn zip(source: &ByteSource) -> Result<(WeightFormat, Contents), Error> {
    let broken = |error: rawzip::Error| {
        format!("is a damaged zip, perhaps cut short: {}", pickle::shown(error.to_string().as_bytes()))
    };
    let mut buffer = vec![0; rawzip::RECOMMENDED_BUFFER_SIZE];
    let archive = rawzip::ZipLocator::new().locate_in_reader(source, &mut buffer, source.length() as u64);
    let archive = archive.map_err(|(_, error)| broken(error))?;
    let mut places: HashMap<Vec<u8>, (Range<usize>, bool)> = HashMap::new();
    let mut entries = archive.entries(&mut buffer);
    while let Some(entry) = entries.next_entry().map_err(broken)? {
        let stored = entry.compression_method() == rawzip::CompressionMethod::STORE;
        let name = entry.file_path().as_ref().to_vec();
        let (start, end) = archive.get_entry(entry.wayfinder()).map_err(broken)?.compressed_data_range();
        let range = usize::try_from(start).ok().zip(usize::try_from(end).ok()).map(|(start, end)| start..end);
        let range = range.filter(|range| range.start <= range.end && range.end <= source.length());
        places.insert(name, (range.ok_or_else(|| "is a damaged zip".to_owned())?, stored));
    }
    let at = |name: &[u8]| match places.get(name) {
        Some((_, false)) => Err(format!("has {} compressed, which PyTorch never does", pickle::shown(name))),
        Some((range, true)) => Ok(Some(range.clone())),
        None => Ok(None),
    };
    let folder = places.keys().filter_map(|name| name.strip_suffix(b"data.pkl")).min_by_key(|folder| folder.len());
    let folder = folder.ok_or_else(|| "is a zip, but not PyTorch's: it has no data.pkl".to_owned())?;
    let inside = |name: &str| [folder, name.as_bytes()].concat();
    if let Some(order) = at(&inside("byteorder"))? {
        let order = source.read(order.start..order.end.min(order.start + 16)).map_err(Error::Io)?;
        if order != b"little" {
            let order = pickle::shown(&order);
            return Err(format!("has numbers of byte order {order}, little was expected").into());
        }
    }
    let text = at(&inside("data.pkl"))?.ok_or_else(|| "is a zip without data.pkl".to_owned())?;
    if text.len() > MOST {
        return Err(format!("has a pickle of {} bytes, {MOST} at most were expected", text.len()).into());
    }
    let text = source.read(text).map_err(Error::Io)?;
    let pickle = pickle::read(&text)?;
    let data = inside("data/");
    let mut storages = Storages::new();
    for name in places.keys() {
        if let Some(key) = name.strip_prefix(&data[..])
            && let Some(range) = at(name)?
        {
            storages.insert(key.to_vec(), range);
        }
    }
    let contents = contents(&pickle, &|storage| located(&storages, storage))?;
    let script = contents.class.as_ref().is_some_and(|class| class.starts_with("__torch__"));
    Ok((if script { WeightFormat::TorchScript } else { WeightFormat::PytorchZip }, contents))
}

fn located(storages: &Storages, storage: &Storage<'_>) -> Result<Range<usize>, String> {
    let missing = || format!("has no values for storage {}", pickle::shown(storage.key));
    let place = storages.get(storage.key).ok_or_else(missing)?.clone();
    let start = storage.from.checked_mul(storage.element).and_then(|from| from.checked_add(place.start));
    let size = storage.elements.checked_mul(storage.element);
    let end = start.zip(size).and_then(|(start, size)| start.checked_add(size));
    match (start, end) {
        (Some(start), Some(end)) if end <= place.end => Ok(start..end),
        _ => Err(format!(
            "has {} bytes for storage {}, which declares {} elements",
            place.len(),
            pickle::shown(storage.key),
            storage.elements
        )),
    }
}

/// Every tensor with its place in the file, and what is no tensor.
fn contents(
    pickle: &Pickle<'_>,
    locate: &dyn Fn(&Storage<'_>) -> Result<Range<usize>, String>,
) -> Result<Contents, String> {
    let mut contents = Contents { class: names::class(pickle), ..Contents::default() };
    let found = names::tensors(pickle)?;
    for (name, id) in found.tensors {
        let PickleValue::Tensor { version, arguments } = pickle.get(id) else { continue };
        let placed =
            tensor::window(pickle, *version, *arguments).and_then(|window| Ok((locate(&window.storage)?, window)));
        match placed {
            Ok((range, TensorWindow { offset, shape, strides, dtype, .. })) => {
                contents.entries.push(StoredTensor {
                    name,
                    dtype,
                    shape,
                    place: ElementRange { range, offset, strides },
                });
            }
            Err(reason) => contents.unreadable.push((name, reason)),
        }
    }
    if contents.entries.is_empty()
        && let Some((name, reason)) = contents.unreadable.first()
    {
        return Err(format!("{}: {reason}", pickle::shown(name.as_bytes())));
    }
    contents.foreign = found.foreign;
    Ok(contents)
}

/// A magic number, a version, facts about the machine, the object, the storages' keys, and their values, each after the
/// other.
pub(super) fn legacy(source: &ByteSource) -> Result<Contents, Error> {
    legacy_within(source, MOST)
}

/// As [`legacy`], of pickles of at most so many bytes.
fn legacy_within(source: &ByteSource, most: usize) -> Result<Contents, Error> {
    // Where the pickles end is known once they are read: a little is tried first.
    let mut much = 1 << 20;
    loop {
        let bytes = source.read(0..much).map_err(Error::Io)?;
        match pickles(&bytes) {
            Err(reason) if pickle::is_short(&reason) && much < source.length().min(most) => {
                much = (much * 8).min(most);
            }
            Err(reason) => return Err(reason.into()),
            Ok((pickle, keys, end)) => return after(source, &pickle, &keys, end),
        }
    }
}

/// The object, the keys of its storages, and where their values begin.
fn pickles(bytes: &[u8]) -> Result<(Pickle<'_>, Pickle<'_>, usize), String> {
    let mut at = 0;
    let mut next = || -> Result<Pickle<'_>, String> {
        let pickle = pickle::read(&bytes[at..])?;
        at += pickle.length;
        Ok(pickle)
    };
    let magic = next()?;
    match magic.get(magic.root) {
        PickleValue::Long(number) if **number == MAGIC => {}
        _ => return Err("is a pickle, but not one of torch.save".to_owned()),
    }
    let version = next()?;
    match version.int(version.root) {
        Some(1001) => {}
        other => return Err(format!("is of protocol {}, 1001 was expected", other.unwrap_or(-1))),
    }
    let machine = next()?;
    if let PickleValue::Dict(facts) = machine.get(machine.root)
        && facts.iter().any(|(key, value)| {
            machine.text(*key) == Some(b"little_endian") && matches!(machine.get(*value), PickleValue::Bool(false))
        })
    {
        return Err("has numbers of byte order big, little was expected".to_owned());
    }
    let (pickle, keys) = (next()?, next()?);
    Ok((pickle, keys, at))
}

fn after(source: &ByteSource, pickle: &Pickle<'_>, keys: &Pickle<'_>, mut at: usize) -> Result<Contents, Error> {
    // The row of values has no sizes of its own but a count: how wide an element is, the object says.
    let widths: HashMap<&[u8], usize> =
        tensor::storages(pickle).map(|storage| (storage.key, storage.element)).collect();
    let mut storages = Storages::new();
    for key in keys.sequence(keys.root).ok_or_else(|| "has no list of storages".to_owned())? {
        let key = keys.text(*key).ok_or_else(|| "has a storage whose key is not text".to_owned())?;
        let count = source.read(at..at.saturating_add(8)).map_err(Error::Io)?;
        let count = <[u8; 8]>::try_from(count).map_err(|_| "ends before its storages do".to_owned())?;
        let count = u64::from_le_bytes(count);
        // Without its width nothing behind it can be found.
        let unknown = || format!("has a storage {} of unknown numbers", pickle::shown(key));
        let width = *widths.get(key).ok_or_else(unknown)?;
        let size = usize::try_from(count).ok().and_then(|count| count.checked_mul(width));
        let range = size.and_then(|size| Some(at + 8..(at + 8).checked_add(size)?));
        let range = range.filter(|range| range.end <= source.length());
        let range = range.ok_or_else(|| format!("ends within storage {} of {count} elements", pickle::shown(key)))?;
        at = range.end;
        storages.insert(key.to_vec(), range);
    }
    Ok(contents(pickle, &|storage| located(&storages, storage))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_storages_as_a_pickle_can_hold_are_found_without_looking_at_all_of_them_for_each() {
        let many = 50_000u32;
        let key = |n: u32| [b"U\x05".as_slice(), format!("{n:05}").as_bytes()].concat();
        let mut bytes = [b"\x80\x02\x8a\x0a".as_slice(), &MAGIC, b".\x80\x02M\xe9\x03.\x80\x02}."].concat();
        bytes.extend(b"\x80\x02(");
        for n in 0..many {
            bytes.extend([b"(U\x07storagectorch\nFloatStorage\n".as_slice(), &key(n), b"U\x03cpuK\x00tQ"].concat());
        }
        bytes.extend(b"l.\x80\x02(");
        (0..many).for_each(|n| bytes.extend(key(n)));
        bytes.extend(b"l.");
        bytes.extend(vec![0; 8 * many as usize]);
        // All were found: the object itself is a list, which names no tensor.
        let none = legacy(&ByteSource::Held(bytes)).unwrap_err().to_string();
        assert_eq!(none, "holds no tensor under a name");
    }

    #[test]
    fn no_more_of_a_file_is_read_than_its_pickles_may_take() {
        let start = [b"\x80\x02\x8a\x0a".as_slice(), &MAGIC, b".\x80\x02M\xe9\x03.\x80\x02}."].concat();
        let text =
            [b"\x80\x02X".as_slice(), &(3u32 << 20).to_le_bytes(), &vec![b'a'; 3 << 20], b".\x80\x02]."].concat();
        let source = ByteSource::Held([start, text].concat());
        // Eight times the first attempt is more than the limit.
        assert!(pickle::is_short(&legacy_within(&source, 2 << 20).unwrap_err().to_string()));
        assert_eq!(legacy_within(&source, 4 << 20).unwrap_err().to_string(), "holds no tensor under a name");
    }
}
