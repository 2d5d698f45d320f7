//! One file of decoded films.
//!
//! All numbers are little-endian. A header of 64 bytes (magic, format, recipe, bytes a film, number of films, checksum of
//! the table, checksum of the header), then the films one after the other, then a table with the content key and the
//! checksum of each. A file appears by a rename when it is complete, and then only changes where a damaged film is mended.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use tempfile::NamedTempFile;
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: [u8; 8] = *b"HUMFILMS";
const HEADER: usize = 64;
const ENTRY: usize = 24;

/// Extension of a finished file; unfinished ones have another.
pub(super) const EXTENSION: &str = "films";
/// Extension of a file that is being written.
pub(super) const UNFINISHED: &str = "unfinished";

/// What decides a film's pixels: the content of its file, the preprocessing, and the version of the crate's pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Recipe {
    /// Hash of the preprocessing and the version.
    pub key: u128,
    /// Bytes of each film: one for each pixel.
    pub film: usize,
}

/// A film's place in a file's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    key: u128,
    checksum: u64,
}

/// A finished file, mapped into memory; header and table are verified, the films are verified as they are read.
#[derive(Debug)]
pub(super) struct Pack {
    pub path: PathBuf,
    map: Mmap,
    table: Vec<Entry>,
    film: usize,
}

impl Pack {
    /// Opens a file; `None` if a byte of its header or table, or its length, is not as it was written for this `recipe`.
    pub fn open(path: &Path, recipe: Recipe) -> std::io::Result<Option<Pack>> {
        let file = File::open(path)?;
        if file.metadata()?.len() < HEADER as u64 {
            return Ok(None);
        }
        // SAFETY: the map is only read, and each film is verified after it was copied out, so that another process that
        // mends the file meanwhile is noticed. Nobody shortens a finished file: see this module's description.
        let map = unsafe { Mmap::map(&file)? };
        let table = parse(&map, recipe);
        // What was looked at need not stay in memory.
        forget(&map);
        Ok(table.map(|table| Pack { path: path.to_owned(), map, table, film: recipe.film }))
    }

    /// The content keys, in the order of the films.
    pub fn keys(&self) -> impl Iterator<Item = u128> {
        self.table.iter().map(|entry| entry.key)
    }

    /// Copies film `at` into `pixels`; `false` if its bytes are not those that were written.
    pub fn read(&self, at: usize, pixels: &mut [u8]) -> bool {
        pixels.copy_from_slice(&self.map[self.range(at)]);
        xxh3_64(pixels) == self.table[at].checksum
    }

    /// Asks for film `at` to be brought into memory, without waiting for it.
    pub fn want(&self, at: usize) {
        #[cfg(unix)]
        {
            let range = self.range(at);
            // A hint: without it the film only comes later.
            let _ = self.map.advise_range(memmap2::Advice::WillNeed, range.start, range.len());
        }
        #[cfg(not(unix))]
        let _ = at;
    }

    /// Gives the memory of all films read so far back; the operating system may keep them in its own cache.
    pub fn forget(&self) {
        forget(&self.map);
    }

    /// Puts film `at` back as it was; `false` if `pixels` are not what was written at first.
    pub fn mend(&self, at: usize, pixels: &[u8]) -> std::io::Result<bool> {
        if xxh3_64(pixels) != self.table[at].checksum {
            return Ok(false);
        }
        let mut file = File::options().write(true).open(&self.path)?;
        file.seek(SeekFrom::Start(self.range(at).start as u64))?;
        file.write_all(pixels)?;
        Ok(true)
    }

    fn range(&self, at: usize) -> std::ops::Range<usize> {
        let start = HEADER + at * self.film;
        start..start + self.film
    }
}

#[cfg(unix)]
fn forget(map: &Mmap) {
    // SAFETY: the map shows a file and was never written through, so dropping its pages loses nothing: they are read from
    // the file again when they are touched.
    let _ = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
}

#[cfg(not(unix))]
fn forget(_: &Mmap) {}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// The table, if everything but the films is as it was written.
fn parse(bytes: &[u8], recipe: Recipe) -> Option<Vec<Entry>> {
    let header = bytes.get(..HEADER)?;
    let count = usize::try_from(u64::from_le_bytes(number(header, 40)?)).ok()?;
    if *header != self::header(recipe, count, u64::from_le_bytes(number(header, 48)?)) {
        return None;
    }
    let films = count.checked_mul(recipe.film)?;
    let table = bytes.get(HEADER.checked_add(films)?..)?;
    if Some(table.len()) != count.checked_mul(ENTRY) || xxh3_64(table).to_le_bytes() != header[48..56] {
        return None;
    }
    let entry = |bytes: &[u8]| {
        Some(Entry { key: u128::from_le_bytes(number(bytes, 0)?), checksum: u64::from_le_bytes(number(bytes, 16)?) })
    };
    table.chunks_exact(ENTRY).map(entry).collect()
}

fn header(recipe: Recipe, count: usize, table: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&super::FORMAT.to_le_bytes());
    header[16..32].copy_from_slice(&recipe.key.to_le_bytes());
    header[32..40].copy_from_slice(&(recipe.film as u64).to_le_bytes());
    header[40..48].copy_from_slice(&(count as u64).to_le_bytes());
    header[48..56].copy_from_slice(&table.to_le_bytes());
    let checksum = xxh3_64(&header[..56]);
    header[56..].copy_from_slice(&checksum.to_le_bytes());
    header
}

/// A file that is being written; gone when dropped unfinished.
#[derive(Debug)]
pub(super) struct Writer {
    file: NamedTempFile,
    table: Vec<Entry>,
    recipe: Recipe,
}

impl Writer {
    /// Begins a file in `folder`.
    pub fn new(folder: &Path, recipe: Recipe) -> std::io::Result<Writer> {
        let mut file =
            crate::files::temporary().prefix("films-").suffix(&format!(".{UNFINISHED}")).tempfile_in(folder)?;
        file.write_all(&[0; HEADER])?;
        Ok(Writer { file, table: Vec::new(), recipe })
    }

    /// Adds a film.
    pub fn add(&mut self, key: u128, pixels: &[u8]) -> std::io::Result<()> {
        debug_assert_eq!(pixels.len(), self.recipe.film);
        self.file.write_all(pixels)?;
        self.table.push(Entry { key, checksum: xxh3_64(pixels) });
        Ok(())
    }

    /// Bytes of films added so far.
    pub fn bytes(&self) -> u64 {
        self.table.len() as u64 * self.recipe.film as u64
    }

    /// Writes table and header and lets the file appear. Not flushed to the disk: what a power failure leaves behind has
    /// wrong checksums.
    pub fn finish(mut self) -> std::io::Result<PathBuf> {
        let mut table = Vec::with_capacity(self.table.len() * ENTRY);
        for entry in &self.table {
            table.extend(entry.key.to_le_bytes());
            table.extend(entry.checksum.to_le_bytes());
        }
        self.file.write_all(&table)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header(self.recipe, self.table.len(), xxh3_64(&table)))?;
        let path = self.file.path().with_extension(EXTENSION);
        self.file.persist(&path).map_err(|error| error.error)?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPE: Recipe = Recipe { key: 77, film: 100 };

    fn film(at: u8) -> Vec<u8> {
        (0..100).map(|x: u8| x.wrapping_mul(3).wrapping_add(at)).collect()
    }

    fn pack(folder: &Path) -> PathBuf {
        let mut writer = Writer::new(folder, RECIPE).unwrap();
        for at in 0..3 {
            writer.add(u128::from(at), &film(at)).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn films_come_back_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let pack = Pack::open(&pack(folder.path()), RECIPE).unwrap().unwrap();
        assert_eq!(pack.keys().collect::<Vec<_>>(), [0, 1, 2]);
        let mut pixels = vec![0; 100];
        for at in [2, 0, 1] {
            assert!(pack.read(at, &mut pixels));
            assert_eq!(pixels, film(at as u8));
            pack.forget();
        }
    }

    #[test]
    fn a_flipped_bit_in_any_byte_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = pack(folder.path());
        let whole = std::fs::read(&path).unwrap();
        let mut pixels = vec![0; 100];
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            std::fs::write(&path, &damaged).unwrap();
            let pack = Pack::open(&path, RECIPE).unwrap();
            let films = HEADER..HEADER + 300;
            assert_eq!(pack.is_some(), films.contains(&at), "byte {at}");
            if let Some(pack) = pack {
                let whole: Vec<usize> = (0..3).filter(|film| pack.read(*film, &mut pixels)).collect();
                assert_eq!(whole, (0..3).filter(|film| *film != (at - HEADER) / 100).collect::<Vec<_>>(), "byte {at}");
            }
        }
    }

    #[test]
    fn a_file_of_any_other_length_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = pack(folder.path());
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(Pack::open(&path, RECIPE).unwrap().is_none(), "{length} bytes");
        }
        std::fs::write(&path, [whole.clone(), vec![0]].concat()).unwrap();
        assert!(Pack::open(&path, RECIPE).unwrap().is_none());
    }

    #[test]
    fn films_of_another_recipe_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = pack(folder.path());
        assert!(Pack::open(&path, Recipe { key: 78, ..RECIPE }).unwrap().is_none());
        assert!(Pack::open(&path, Recipe { film: 50, ..RECIPE }).unwrap().is_none());
    }

    #[test]
    fn a_damaged_film_is_mended_in_place_and_never_with_another_film() {
        let folder = tempfile::tempdir().unwrap();
        let path = pack(folder.path());
        let whole = std::fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        damaged[HEADER + 150] ^= 4;
        std::fs::write(&path, &damaged).unwrap();
        let pack = Pack::open(&path, RECIPE).unwrap().unwrap();
        assert!(!pack.mend(1, &film(2)).unwrap());
        assert!(pack.mend(1, &film(1)).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), whole);
        assert!(pack.read(1, &mut [0; 100]), "the map shows the file as it is now");
    }

    #[test]
    fn an_unfinished_file_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(folder.path(), RECIPE).unwrap();
        writer.add(1, &film(1)).unwrap();
        drop(writer);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
