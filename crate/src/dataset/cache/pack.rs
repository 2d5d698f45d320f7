//! One file of decoded films.
//!
//! All numbers are little-endian. A header of 64 bytes (magic, format, recipe, bytes a film, number of films, checksum
//! of the table, checksum of the header), then the films one after the other, then a table with the content key and the
//! checksum of each. A file appears by a rename when it is complete, and then only changes where a damaged film is
//! mended.
//!
//! Films are read at their offsets, never through a memory map: another process may mend a film meanwhile, or shorten
//! the file, which then is a film that has to be decoded again, and nothing worse.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

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
pub(super) struct PackRecipe {
    /// Hash of the preprocessing and the version.
    pub key: u128,
    /// Bytes of each film: one for each pixel.
    pub film: usize,
}

/// A film's place in a file's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PackEntry {
    key: u128,
    checksum: u64,
}

/// A finished file, whose header and table are verified; the films are verified as they are read.
#[derive(Debug)]
pub(super) struct Pack {
    pub path: PathBuf,
    /// Open while films are wanted of it.
    file: Option<File>,
    table: Vec<PackEntry>,
    film: usize,
}

impl Pack {
    /// Looks at a file; `None` if a byte of its header or table, or its length, is not as it was written for this
    /// `recipe`.
    pub fn open(path: &Path, recipe: PackRecipe) -> std::io::Result<Option<Pack>> {
        let mut file = File::open(path)?;
        let table = table(&mut file, recipe)?;
        Ok(table.map(|table| Pack { path: path.to_owned(), file: None, table, film: recipe.film }))
    }

    /// Opens the file for [`read`](Self::read). Films can be read from then on even if the file is removed.
    pub fn hold(&mut self) -> std::io::Result<()> {
        self.file = Some(File::open(&self.path)?);
        Ok(())
    }

    /// The content keys, in the order of the films.
    pub fn keys(&self) -> impl Iterator<Item = u128> {
        self.table.iter().map(|entry| entry.key)
    }

    /// Copies film `at` into `pixels`; `false` if its bytes are not those that were written, or cannot be read.
    pub fn read(&self, at: usize, pixels: &mut [u8]) -> bool {
        let read = self.file.as_ref().is_some_and(|file| read_at(file, pixels, self.start(at)).is_ok());
        read && xxh3_64(pixels) == self.table[at].checksum
    }

    /// Asks for film `at` to be brought into memory, without waiting for it.
    pub fn want(&self, at: usize) {
        #[cfg(target_os = "linux")]
        if let Some(file) = &self.file {
            // A hint: without it the film only comes later.
            let film = std::num::NonZeroU64::new(self.film as u64);
            let _ = rustix::fs::fadvise(file, self.start(at), film, rustix::fs::Advice::WillNeed);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = at;
    }

    /// Puts film `at` back as it was; `false` if `pixels` are not what was written at first.
    pub fn mend(&self, at: usize, pixels: &[u8]) -> std::io::Result<bool> {
        if xxh3_64(pixels) != self.table[at].checksum {
            return Ok(false);
        }
        let mut file = File::options().write(true).open(&self.path)?;
        file.seek(SeekFrom::Start(self.start(at)))?;
        file.write_all(pixels)?;
        Ok(true)
    }

    fn start(&self, at: usize) -> u64 {
        (HEADER + at * self.film) as u64
    }
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], start: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, start)
}

#[cfg(windows)]
fn read_at(file: &File, bytes: &mut [u8], start: u64) -> std::io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match std::os::windows::fs::FileExt::seek_read(file, &mut bytes[done..], start + done as u64)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            more => done += more,
        }
    }
    Ok(())
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// The table, if everything but the films is as it was written.
fn table(file: &mut File, recipe: PackRecipe) -> std::io::Result<Option<Vec<PackEntry>>> {
    let length = file.metadata()?.len();
    let mut header = [0; HEADER];
    if length < HEADER as u64 {
        return Ok(None);
    }
    file.read_exact(&mut header)?;
    let Some((start, entries)) = promised(&header, length, recipe) else { return Ok(None) };
    let mut table = vec![0; entries * ENTRY];
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut table)?;
    if xxh3_64(&table).to_le_bytes() != header[48..56] {
        return Ok(None);
    }
    let entry = |bytes: &[u8]| {
        Some(PackEntry {
            key: u128::from_le_bytes(number(bytes, 0)?),
            checksum: u64::from_le_bytes(number(bytes, 16)?),
        })
    };
    Ok(table.chunks_exact(ENTRY).map(entry).collect())
}

/// Where a file of this length has its table, and how many entries, if its header is as it was written.
fn promised(header: &[u8; HEADER], length: u64, recipe: PackRecipe) -> Option<(u64, usize)> {
    let count = u64::from_le_bytes(number(header, 40)?);
    let entries = usize::try_from(count).ok()?;
    if *header != self::header(recipe, entries, u64::from_le_bytes(number(header, 48)?)) {
        return None;
    }
    let start = count.checked_mul(recipe.film as u64)?.checked_add(HEADER as u64)?;
    (count.checked_mul(ENTRY as u64)?.checked_add(start)? == length).then_some((start, entries))
}

fn header(recipe: PackRecipe, count: usize, table: u64) -> [u8; HEADER] {
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
    table: Vec<PackEntry>,
    recipe: PackRecipe,
}

impl Writer {
    /// Begins a file in `folder`.
    pub fn new(folder: &Path, recipe: PackRecipe) -> std::io::Result<Writer> {
        let mut file =
            crate::files::temporary().prefix("films-").suffix(&format!(".{UNFINISHED}")).tempfile_in(folder)?;
        file.write_all(&[0; HEADER])?;
        Ok(Writer { file, table: Vec::new(), recipe })
    }

    /// Adds a film.
    pub fn add(&mut self, key: u128, pixels: &[u8]) -> std::io::Result<()> {
        debug_assert_eq!(pixels.len(), self.recipe.film);
        self.file.write_all(pixels)?;
        self.table.push(PackEntry { key, checksum: xxh3_64(pixels) });
        Ok(())
    }

    /// Bytes of films added so far.
    pub fn bytes(&self) -> u64 {
        self.table.len() as u64 * self.recipe.film as u64
    }

    /// Writes table and header and lets the file appear. Not flushed to the disk: what a power failure leaves behind
    /// has wrong checksums.
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

    const RECIPE: PackRecipe = PackRecipe { key: 77, film: 100 };

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

    fn held(path: &Path) -> Option<Pack> {
        let mut pack = Pack::open(path, RECIPE).unwrap()?;
        pack.hold().unwrap();
        Some(pack)
    }

    #[test]
    fn films_come_back_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let pack = held(&pack(folder.path())).unwrap();
        assert_eq!(pack.keys().collect::<Vec<_>>(), [0, 1, 2]);
        let mut pixels = vec![0; 100];
        for at in [2, 0, 1] {
            pack.want(at);
            assert!(pack.read(at, &mut pixels));
            assert_eq!(pixels, film(at as u8));
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
            let pack = held(&path);
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
        assert!(Pack::open(&path, PackRecipe { key: 78, ..RECIPE }).unwrap().is_none());
        assert!(Pack::open(&path, PackRecipe { film: 50, ..RECIPE }).unwrap().is_none());
    }

    #[test]
    fn a_damaged_film_is_mended_in_place_and_never_with_another_film() {
        let folder = tempfile::tempdir().unwrap();
        let path = pack(folder.path());
        let whole = std::fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        damaged[HEADER + 150] ^= 4;
        std::fs::write(&path, &damaged).unwrap();
        let pack = held(&path).unwrap();
        assert!(!pack.mend(1, &film(2)).unwrap());
        assert!(pack.mend(1, &film(1)).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), whole);
        assert!(pack.read(1, &mut [0; 100]), "the file as it is now");
    }

    #[test]
    fn a_file_that_is_shortened_or_removed_while_it_is_open_ends_no_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = pack(folder.path());
        let pack = held(&path).unwrap();
        let mut pixels = vec![0; 100];
        for (length, whole) in
            [(HEADER as u64 + 250, [true, true, false]), (HEADER as u64, [false; 3]), (0, [false; 3])]
        {
            File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
            assert_eq!([0, 1, 2].map(|at| pack.read(at, &mut pixels)), whole, "{length} bytes left");
        }
        assert!(pack.mend(1, &film(1)).unwrap() && pack.read(1, &mut pixels), "mended nevertheless");
        std::fs::remove_file(&path).unwrap();
        if cfg!(unix) {
            assert!(pack.read(1, &mut pixels), "an open file stays");
        }
    }

    #[test]
    fn a_film_that_is_damaged_and_mended_while_it_is_read_is_whole_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = pack(folder.path());
        let pack = held(&path).unwrap();
        let mut damaged = film(1);
        damaged[99] ^= 1;
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut file = File::options().write(true).open(&path).unwrap();
                for _ in 0..500 {
                    file.seek(SeekFrom::Start(pack.start(1))).unwrap();
                    file.write_all(&damaged).unwrap();
                    assert!(pack.mend(1, &film(1)).unwrap());
                }
            });
            let mut pixels = vec![0; 100];
            while !writer.is_finished() {
                assert!(!pack.read(1, &mut pixels) || pixels == film(1));
            }
        });
        assert!(pack.read(1, &mut [0; 100]));
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
