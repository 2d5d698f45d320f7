//! Damaged files, and a watch over what reads them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use image::{DynamicImage, GrayImage, ImageFormat, Luma};
use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

/// One test at a time, or their memory would be added up.
static ALONE: Mutex<()> = Mutex::new(());

/// Files that are made unless `HUMERUS_FUZZ_CASES` says otherwise.
pub const CASES: usize = 3000;
/// The time that one file may take.
pub const MAX_TIME: Duration = Duration::from_secs(10);

/// Ends the process when a case takes too long: a thread that hangs cannot be stopped.
pub struct Watchdog {
    /// The time that one may take.
    pub limit: Duration,
    /// Milliseconds since `begin` at which the case began; 0 between cases.
    pub since: AtomicU64,
    /// When the cases began.
    pub begin: Instant,
    done: AtomicBool,
}

impl Watchdog {
    fn watch(&self, file: &Path) {
        while !self.done.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(50));
            let since = self.since.load(Ordering::Relaxed);
            let now = self.begin.elapsed().as_millis() as u64;
            if since > 0 && now.saturating_sub(since) > self.limit.as_millis() as u64 {
                eprintln!("hangs: more than {:?} on {}", self.limit, file.display());
                std::process::abort();
            }
        }
    }
}

/// A number that a length or a size may wrongly have.
fn odd_number(rng: &mut ChaCha8Rng) -> u32 {
    let numbers =
        [0, 1, 2, 3, 7, 8, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000];
    match rng.random_range(0..4) {
        0 => u32::MAX - rng.random_range(0..16),
        1 => rng.random_range(0..70_000),
        _ => *numbers.choose(rng).expect("there are numbers"),
    }
}

/// A place in the file, in its head as often as not.
fn place(rng: &mut ChaCha8Rng, length: usize) -> usize {
    let end = if rng.random_bool(0.5) { length.min(400) } else { length };
    rng.random_range(0..end.max(1)).min(length.saturating_sub(1))
}

/// Changes a file in one way; `other` is another file.
pub fn change(bytes: &mut Vec<u8>, other: &[u8], rng: &mut ChaCha8Rng) {
    if bytes.is_empty() {
        bytes.extend_from_slice(other);
        return;
    }
    let at = place(rng, bytes.len());
    let span = |rng: &mut ChaCha8Rng, most: usize| rng.random_range(1..=most.clamp(1, 200));
    match rng.random_range(0..24) {
        0..=7 => bytes[at] ^= 1 << rng.random_range(0..8),
        8..=10 => bytes[at] = rng.random(),
        11 | 12 => bytes[at] = *[0, 0xff, 0x80, 0x7f].choose(rng).expect("there are bytes"),
        13..=16 => {
            let number = odd_number(rng);
            let (size, big) = (if rng.random_bool(0.5) { 2 } else { 4 }, rng.random_bool(0.5));
            let written =
                if big { number.to_be_bytes()[4 - size..].to_vec() } else { number.to_le_bytes()[..size].to_vec() };
            for (place, byte) in bytes[at..].iter_mut().zip(written) {
                *place = byte;
            }
        }
        17 => bytes.truncate(place(rng, bytes.len())),
        18 => {
            let end = at + span(rng, bytes.len() - at).min(bytes.len() - at);
            bytes.drain(at..end);
        }
        19 | 20 => {
            // Twice the same, such as a chunk, a segment or an element.
            let end = at + span(rng, bytes.len() - at).min(bytes.len() - at);
            let copy = bytes[at..end].to_vec();
            let to = place(rng, bytes.len());
            bytes.splice(to..to, copy);
        }
        21 | 22 => {
            let from = place(rng, other.len().max(1)).min(other.len());
            let end = (from + span(rng, 200)).min(other.len());
            bytes.splice(at..at, other[from..end].iter().copied());
        }
        _ => {
            // The head of one file, the tail of another.
            bytes.truncate(at);
            bytes.extend_from_slice(&other[place(rng, other.len().max(1)).min(other.len())..]);
        }
    }
}

/// Makes the checksums of a PNG's chunks right again: a decoder looks no further where they are wrong.
pub fn right_checksums(bytes: &mut [u8]) {
    let mut at = 8;
    while let Some(&[a, b, c, d]) = bytes.get(at..at + 4) {
        let end = at.saturating_add(8).saturating_add(u32::from_be_bytes([a, b, c, d]) as usize);
        let Some(data) = bytes.get(at + 4..end) else { return };
        let mut crc = u32::MAX;
        for byte in data {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            }
        }
        let Some(place) = bytes.get_mut(end..end + 4) else { return };
        place.copy_from_slice(&(!crc).to_be_bytes());
        at = end + 4;
    }
}

/// A data element of explicit VR little endian.
fn element(tag: (u16, u16), vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
    let mut bytes = [tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat();
    bytes.extend_from_slice(vr);
    let mut value = value.to_vec();
    if value.len() % 2 == 1 {
        value.push(b' ');
    }
    if matches!(vr, b"OB" | b"OW" | b"SQ") {
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
    } else {
        bytes.extend_from_slice(&(value.len() as u16).to_le_bytes());
    }
    bytes.extend_from_slice(&value);
    bytes
}

/// A DICOM film of 24 × 16 pixels of 16 bits, with a window, and its pixel data as given.
fn dicom(syntax: &str, bits: u16, pixels: &[u8]) -> Vec<u8> {
    let short = |tag, value: u16| element(tag, b"US", &value.to_le_bytes());
    let mut file = [vec![0; 128], b"DICM".to_vec()].concat();
    file.extend(element((2, 0x10), b"UI", syntax.as_bytes()));
    file.extend(element((8, 5), b"CS", b"ISO_IR 100"));
    file.extend(element((0x10, 0x20), b"LO", b"patient 1"));
    file.extend(short((0x28, 2), 1));
    file.extend(element((0x28, 4), b"CS", b"MONOCHROME1"));
    file.extend(short((0x28, 0x10), 16));
    file.extend(short((0x28, 0x11), 24));
    file.extend(short((0x28, 0x100), bits));
    file.extend(short((0x28, 0x101), bits));
    file.extend(short((0x28, 0x102), bits - 1));
    file.extend(short((0x28, 0x103), 0));
    file.extend(element((0x28, 0x1050), b"DS", b"300"));
    file.extend(element((0x28, 0x1051), b"DS", b"500.5"));
    file.extend_from_slice(pixels);
    file
}

/// Pixel data in one fragment.
fn fragment(data: &[u8]) -> Vec<u8> {
    let mut bytes =
        vec![0xe0, 0x7f, 0x10, 0, b'O', b'B', 0, 0, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xff, 0, 0xe0, 0, 0, 0, 0];
    bytes.extend_from_slice(&[0xfe, 0xff, 0, 0xe0]);
    bytes.extend_from_slice(&(data.len() as u32).to_le_bytes());
    bytes.extend_from_slice(data);
    bytes.extend_from_slice(&[0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0]);
    bytes
}

/// Small files of every kind that can be written without Python.
pub fn own_files() -> Vec<Vec<u8>> {
    let film = GrayImage::from_fn(24, 16, |x, y| Luma([(x * 9 + y * 5) as u8]));
    let picture = DynamicImage::ImageLuma8(film.clone());
    let encoded = |picture: &DynamicImage, format| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    let pictures = [
        picture.clone(),
        DynamicImage::ImageRgb8(picture.to_rgb8()),
        DynamicImage::ImageLumaA8(picture.to_luma_alpha8()),
        DynamicImage::ImageLuma16(picture.to_luma16()),
        DynamicImage::ImageRgba16(picture.to_rgba16()),
    ];
    let mut files: Vec<Vec<u8>> = pictures.iter().map(|picture| encoded(picture, ImageFormat::Png)).collect();
    files.extend(pictures[..2].iter().map(|picture| encoded(picture, ImageFormat::Jpeg)));
    let words: Vec<u8> = film.pixels().flat_map(|pixel| (u16::from(pixel.0[0]) * 3).to_le_bytes()).collect();
    files.push(dicom("1.2.840.10008.1.2.1", 16, &element((0x7fe0, 0x10), b"OW", &words)));
    files.push(dicom("1.2.840.10008.1.2.4.50", 8, &fragment(&encoded(&picture, ImageFormat::Jpeg))));
    // One segment of literals, 64 at a time.
    let mut rle = [1u32, 64].map(u32::to_le_bytes).concat();
    rle.resize(64, 0);
    for literal in film.as_raw().chunks(64) {
        rle.push(63);
        rle.extend_from_slice(literal);
    }
    files.push(dicom("1.2.840.10008.1.2.5", 8, &fragment(&rle)));
    files
}

/// A number from the environment, or the usual one.
pub fn number(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |value| value.parse().expect("a number"))
}

/// Runs `cases` under a watchdog on the file that they are written to.
pub fn watched(limit: Duration, cases: impl FnOnce(&Path, &Watchdog)) {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("case");
    let watchdog = Watchdog { limit, since: AtomicU64::new(0), begin: Instant::now(), done: AtomicBool::new(false) };
    std::thread::scope(|scope| {
        scope.spawn(|| watchdog.watch(&path));
        let result = catch_unwind(AssertUnwindSafe(|| cases(&path, &watchdog)));
        watchdog.done.store(true, Ordering::Relaxed);
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
}
