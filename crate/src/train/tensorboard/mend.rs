//! Event files as an interruption left them: what is torn or not true is taken out, and what is there is told.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use prost::Message;

use super::{MARK, masked_crc, proto};
use crate::error::{Error, Result};
use crate::files::write_atomically;

/// A tag and a step.
pub(in crate::train) type LoggedPoint = (String, i64);

/// Goes through our event files in `folder`, in order, and takes out records that were not written to their end, points
/// that are not `true_`, and points that are there already. Returns those that stay.
///
/// # Errors
/// [`Error::Io`].
pub(in crate::train) fn mend(folder: &Path, true_: &dyn Fn(&str, i64) -> bool) -> Result<HashSet<LoggedPoint>> {
    let mut seen = HashSet::new();
    for path in files(folder)? {
        let bytes = std::fs::read(&path).map_err(Error::io(&path))?;
        let mut kept = Vec::with_capacity(bytes.len());
        let mut rest = bytes.as_slice();
        while let Some((record, data, next)) = record(rest) {
            let is_kept = proto::Event::decode(data).is_ok_and(|event| {
                let values = event.summary.iter().flat_map(|summary| &summary.value);
                // A record of ours holds one value, or none: the file's version.
                values.into_iter().all(|it| true_(&it.tag, event.step) && seen.insert((it.tag.clone(), event.step)))
            });
            if is_kept {
                kept.extend_from_slice(record);
            }
            rest = next;
        }
        if kept.len() < bytes.len() {
            write_atomically(&path, &kept)?;
        }
    }
    Ok(seen)
}

/// Our event files in a folder, in TensorBoard's order; none where there is no folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::io(folder))?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::io(folder))?.path();
        files.extend(path.file_name().is_some_and(|name| name.to_string_lossy().contains(MARK)).then_some(path));
    }
    files.sort();
    Ok(files)
}

/// The first record of some bytes, its data, and what follows it; `None` where there is no whole one.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(8)?;
    let (length_crc, rest) = rest.split_at_checked(4)?;
    if masked_crc(length).to_le_bytes() != *length_crc {
        return None;
    }
    let n = usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?;
    let (data, rest) = rest.split_at_checked(n)?;
    let (crc, next) = rest.split_at_checked(4)?;
    (masked_crc(data).to_le_bytes() == *crc).then(|| (&bytes[..bytes.len() - next.len()], data, next))
}

#[cfg(test)]
mod tests {
    use super::super::EventWriter;
    use super::*;

    #[test]
    fn what_is_torn_doubled_or_not_true_goes_and_all_else_stays_byte_for_byte() {
        let folder = tempfile::tempdir().unwrap();
        assert!(mend(folder.path(), &|_, _| true).unwrap().is_empty());
        let mut first = EventWriter::create(folder.path()).unwrap();
        for step in 1..=3 {
            first.scalar("loss", step, step as f64).unwrap();
        }
        first.flush().unwrap();
        let mut second = EventWriter::create(folder.path()).unwrap();
        for step in 3..=5 {
            second.scalar("loss", step, -1.0).unwrap();
        }
        second.flush().unwrap();
        let (one, two) = (std::fs::read(&first.path).unwrap(), std::fs::read(&second.path).unwrap());
        assert!(first.path < second.path);
        std::fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        let points = |steps: &[i64]| steps.iter().map(|step| ("loss".to_owned(), *step)).collect::<HashSet<_>>();

        assert_eq!(mend(folder.path(), &|_, step| step <= 4).unwrap(), points(&[1, 2, 3, 4]));
        assert_eq!(std::fs::read(&first.path).unwrap(), one);
        assert!(std::fs::read(&second.path).unwrap().len() < two.len());
        for cut in 1..one.len() {
            std::fs::write(&first.path, &one[..cut]).unwrap();
            let seen = mend(folder.path(), &|_, step| step != 4).unwrap();
            assert!(seen.len() <= 3 && seen.is_subset(&points(&[1, 2, 3])), "{cut} bytes: {seen:?}");
            let left = std::fs::read(&first.path).unwrap();
            assert!(one.starts_with(&left) && left.len() <= cut);
        }
        assert_eq!(std::fs::read(folder.path().join("notes.txt")).unwrap(), b"mine");
    }
}
