//! Which content a file has, remembered so that it need not be read at each start.
//!
//! A file whose path, size and time of last change (in nanoseconds) are those of an earlier run is taken to have the
//! same content; any other is read and hashed. Paths are kept as hashes only, since patients' names may stand in them.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::lock;
use super::pack::UNFINISHED;
use crate::preprocess;
use crate::{Error, Result};
use rayon::prelude::*;
use studies::View;

const MAGIC: [u8; 8] = *b"HUMFILES";
const NAME: &str = "known-files";
const ENTRY: usize = 48;
/// Files that are remembered at most, 48 MB; those met longest ago are forgotten first.
const MOST: usize = 1_000_000;
/// A file changed this recently could change again without its time showing it.
const SETTLED: Duration = Duration::from_secs(2);

/// What the file system says about a file without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    changed: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct StampedContent {
    stamp: Stamp,
    content: u128,
}

/// The key of a file's content.
pub(super) fn content(bytes: &[u8]) -> u128 {
    xxh3_128(bytes)
}

/// The content key of each file, in order. Reads those that are not known from an earlier run, on all cores.
///
/// # Errors
/// [`Error::Io`] that names the first file that cannot be read. Trouble with the cache `folder` only makes it slower.
pub(super) fn contents(folder: &Path, paths: &[&Path]) -> Result<Vec<u128>> {
    let known: HashMap<u128, StampedContent> = read(folder).into_iter().collect();
    let now = SystemTime::now();
    let found = paths
        .par_iter()
        .map(|path| -> Result<_> {
            let (stamp, changed) = stamp(path)?;
            let name = name(path)?;
            if let Some(known) = known.get(&name).filter(|known| known.stamp == stamp) {
                return Ok((known.content, None));
            }
            let content = content(&preprocess::read(path).map_err(Error::io(path))?);
            let settled = now.duration_since(changed).is_ok_and(|age| age > SETTLED);
            Ok((content, settled.then_some((name, StampedContent { stamp, content }))))
        })
        .collect::<Vec<_>>();
    let found = found.into_iter().collect::<Result<Vec<_>>>()?;
    let new: Vec<(u128, StampedContent)> = found.iter().filter_map(|(_, new)| *new).collect();
    if !new.is_empty() {
        // Without it, the next start reads the files again.
        let _ = remember(folder, &new);
    }
    Ok(found.into_iter().map(|(content, _)| content).collect())
}

/// The content key of the file of each view, in order: those of the pixels that the cache in `folder` will give.
///
/// Where a view says another content than is remembered, its file was changed without a new modification time, or after
/// it was indexed; it is read, and what it holds is remembered. Without a folder every file is read, on all cores.
///
/// # Errors
/// [`Error::Io`] that names the first file that cannot be read.
pub(super) fn of_views(folder: Option<&Path>, views: &[&View]) -> Result<Vec<u128>> {
    let read = |view: &&View| Ok(content(&preprocess::read(&view.path).map_err(Error::io(&view.path))?));
    // A folder that cannot be made remembers nothing.
    let Some(folder) = folder.filter(|folder| std::fs::create_dir_all(folder).is_ok()) else {
        return views.par_iter().map(read).collect::<Vec<_>>().into_iter().collect();
    };
    let paths: Vec<&Path> = views.iter().map(|view| view.path.as_path()).collect();
    let mut found = contents(folder, &paths)?;
    let doubtful: Vec<usize> =
        (0..views.len()).filter(|&at| views[at].content.is_some_and(|it| it != found[at])).collect();
    let fresh = doubtful.par_iter().map(|&at| read(&views[at])).collect::<Vec<_>>();
    let mut new = Vec::new();
    for (at, content) in doubtful.into_iter().zip(fresh) {
        let content = content?;
        if content != found[at] {
            found[at] = content;
            new.push((name(paths[at])?, StampedContent { stamp: stamp(paths[at])?.0, content }));
        }
    }
    if !new.is_empty() {
        let _ = remember(folder, &new);
    }
    Ok(found)
}

/// What the file system says of a file, and when it was changed.
fn stamp(path: &Path) -> Result<(Stamp, SystemTime)> {
    let metadata = std::fs::metadata(path).map_err(Error::io(path))?;
    let changed = metadata.modified().map_err(Error::io(path))?;
    let since = changed.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok((Stamp { bytes: metadata.len(), changed: since.as_nanos() as i64 }, changed))
}

fn name(path: &Path) -> Result<u128> {
    let absolute = std::path::absolute(path).map_err(Error::io(path))?;
    Ok(xxh3_128(absolute.as_os_str().as_encoded_bytes()))
}

/// What earlier runs have written, the latest last; nothing if a byte of it is damaged.
fn read(folder: &Path) -> Vec<(u128, StampedContent)> {
    let bytes = std::fs::read(folder.join(NAME)).unwrap_or_default();
    let body = bytes.strip_prefix(&MAGIC).and_then(|rest| rest.split_last_chunk::<8>());
    let Some((entries, checksum)) = body else { return Vec::new() };
    if xxh3_64(entries).to_le_bytes() != *checksum || entries.len() % ENTRY != 0 {
        return Vec::new();
    }
    let entry = |bytes: &[u8]| {
        let wide = |at: usize| Some(u128::from_le_bytes(bytes.get(at..at + 16)?.try_into().ok()?));
        let long = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let stamp = Stamp { bytes: long(16)?, changed: long(24)? as i64 };
        Some((wide(0)?, StampedContent { stamp, content: wide(32)? }))
    };
    entries.chunks_exact(ENTRY).filter_map(entry).collect()
}

fn remember(folder: &Path, new: &[(u128, StampedContent)]) -> std::io::Result<()> {
    let _held = lock(&folder.join(format!(".{NAME}.lock")), &mut || ())?;
    let names: std::collections::HashSet<u128> = new.iter().map(|(name, _)| *name).collect();
    let mut all = read(folder);
    all.retain(|(name, _)| !names.contains(name));
    all.extend(new);
    let mut entries = Vec::with_capacity(all.len() * ENTRY);
    for (name, known) in &all[all.len().saturating_sub(MOST)..] {
        entries.extend(name.to_le_bytes());
        entries.extend(known.stamp.bytes.to_le_bytes());
        entries.extend(known.stamp.changed.to_le_bytes());
        entries.extend(known.content.to_le_bytes());
    }
    // One name for all, so that a killed process leaves one file at most, and the next one writes over it.
    let unfinished = folder.join(NAME).with_extension(UNFINISHED);
    let mut file = std::fs::File::create(&unfinished)?;
    file.write_all(&MAGIC)?;
    file.write_all(&entries)?;
    file.write_all(&xxh3_64(&entries).to_le_bytes())?;
    std::fs::rename(&unfinished, folder.join(NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age(path: &Path, seconds: u64) {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
    }

    #[test]
    fn a_file_is_read_again_when_its_size_or_time_changed_and_else_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("film");
        let key = || contents(folder.path(), &[&path]).unwrap()[0];
        std::fs::write(&path, b"one").unwrap();
        let time = SystemTime::now() - Duration::from_secs(60);
        let keep_time = || std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        keep_time();
        assert_eq!(key(), content(b"one"));
        std::fs::write(&path, b"two").unwrap();
        keep_time();
        assert_eq!(key(), content(b"one"), "same path, size and time: taken to be unchanged, as documented");
        age(&path, 30);
        assert_eq!(key(), content(b"two"));
        std::fs::write(&path, b"three").unwrap();
        age(&path, 30);
        assert_eq!(key(), content(b"three"));
    }

    #[test]
    fn a_film_changed_behind_its_times_back_is_noticed_by_what_the_index_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("film");
        let time = SystemTime::now() - Duration::from_secs(60);
        let write = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
            View { content: Some(content(bytes)), ..View::new(&path) }
        };
        let memory = folder.path().join("memory");
        let (first, nowhere) = (write(b"one"), None);
        assert_eq!(of_views(Some(&memory), &[&first]).unwrap(), [content(b"one")]);
        let second = write(b"two");
        assert_eq!(of_views(Some(&memory), &[&second]).unwrap(), [content(b"two")]);
        assert_eq!(contents(&memory, &[&path]).unwrap(), [content(b"two")], "mended for the cache of films too");
        // An index made before the change says what was; the file says what is.
        assert_eq!(of_views(Some(&memory), &[&first]).unwrap(), [content(b"two")]);
        assert_eq!(of_views(nowhere, &[&first]).unwrap(), [content(b"two")]);
    }

    #[test]
    fn a_file_that_changed_just_now_is_not_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("film");
        std::fs::write(&path, b"one").unwrap();
        contents(folder.path(), &[&path]).unwrap();
        assert!(read(folder.path()).is_empty());
    }

    #[test]
    fn damage_in_any_byte_of_the_memory_only_makes_files_be_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("film");
        std::fs::write(&path, b"one").unwrap();
        age(&path, 60);
        contents(folder.path(), &[&path]).unwrap();
        let whole = std::fs::read(folder.path().join(NAME)).unwrap();
        assert_eq!(read(folder.path()).len(), 1);
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 16;
            std::fs::write(folder.path().join(NAME), &damaged).unwrap();
            assert!(read(folder.path()).is_empty(), "byte {at}");
            std::fs::write(folder.path().join(NAME), &whole[..at]).unwrap();
            assert!(read(folder.path()).is_empty(), "{at} bytes");
        }
        assert_eq!(contents(folder.path(), &[&path]).unwrap(), [content(b"one")]);
        assert_eq!(read(folder.path()).len(), 1, "mended");
    }

    #[test]
    fn no_path_stands_in_the_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("Doe^Jane");
        std::fs::write(&path, b"one").unwrap();
        age(&path, 60);
        contents(folder.path(), &[&path]).unwrap();
        let bytes = std::fs::read(folder.path().join(NAME)).unwrap();
        assert!(!bytes.windows(4).any(|part| part == b"Jane"));
    }

    #[test]
    #[ignore = "a measurement: what it costs to know 40,000 films by their content"]
    fn knowing_40_000_films_again() {
        let folder = tempfile::tempdir().unwrap();
        let film = folder.path().join("film");
        std::fs::write(&film, vec![7; 300 << 10]).unwrap();
        age(&film, 60);
        let views: Vec<View> = (0..40_000)
            .map(|n| {
                let path = folder.path().join(format!("{n}.png"));
                std::fs::hard_link(&film, &path).unwrap();
                View::new(path)
            })
            .collect();
        let views: Vec<&View> = views.iter().collect();
        for what in ["read and remembered", "remembered", "remembered"] {
            let began = std::time::Instant::now();
            of_views(Some(folder.path()), &views).unwrap();
            println!("40,000 films, {what}: {:.2} s", began.elapsed().as_secs_f64());
        }
    }
}
