use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use image::Luma;
use tempfile::TempDir;

use super::*;
use crate::preprocess::Fit;

const LIMIT: u64 = 1 << 40;

fn preprocess() -> Preprocess {
    Preprocess { size: 64, fit: Fit::Stretch, ..Preprocess::default() }
}

/// A folder of films, and beside them an empty folder for the cache.
struct Fixture {
    folder: TempDir,
    paths: Vec<PathBuf>,
}

impl Fixture {
    fn new(films: u8) -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let paths = (0..films).map(|level| folder.path().join(format!("{level}.png"))).collect();
        let fixture = Fixture { folder, paths };
        (0..films).for_each(|at| fixture.draw(at, at));
        fixture
    }

    fn draw(&self, at: u8, level: u8) {
        let pattern = |x: u32, y: u32| Luma([level.wrapping_add((x * 3 + y) as u8)]);
        GrayImage::from_fn(70, 90, pattern).save(&self.paths[usize::from(at)]).unwrap();
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn paths(&self) -> Vec<&Path> {
        self.paths.iter().map(PathBuf::as_path).collect()
    }

    /// Opens the first `n` films; also says how many were decoded for it.
    fn open(&self, n: usize, preprocess: &Preprocess) -> (FilmStore, Vec<Cached>, usize) {
        let mut decoded = 0;
        let mut tell = |event| match event {
            Preparing::Decoded { done, .. } => decoded = done,
            other => panic!("{other}"),
        };
        let (store, films) = open(&self.root(), LIMIT, &self.paths()[..n], preprocess, &mut tell).unwrap();
        (store, films, decoded)
    }

    /// Opens all films and compares each with what decoding gives. Returns how many were decoded at the opening.
    fn check(&self, preprocess: &Preprocess) -> usize {
        let (store, films, decoded) = self.open(self.paths.len(), preprocess);
        let mut pixels = vec![0; film_bytes(preprocess)];
        for (film, path) in films.iter().zip(&self.paths) {
            store.read(*film, path, preprocess, &mut pixels).unwrap();
            assert_eq!(pixels, preprocess.square(&decode(path).unwrap()).into_raw());
        }
        decoded
    }

    fn files(&self, extension: &str) -> Vec<PathBuf> {
        let entries = walkdir::WalkDir::new(self.root()).sort_by_file_name().into_iter().flatten();
        let wanted = |path: &PathBuf| path.extension().is_some_and(|it| it == extension);
        entries.map(walkdir::DirEntry::into_path).filter(wanted).collect()
    }
}

#[test]
fn films_are_decoded_once_whatever_they_are_called_and_whichever_are_asked_for() {
    let fixture = Fixture::new(6);
    assert_eq!(fixture.check(&preprocess()), 6);
    assert_eq!(fixture.check(&preprocess()), 0);
    assert_eq!(fixture.open(2, &preprocess()).2, 0, "another split of the same films");
    let other = Preprocess { mean: [0.1; 3], std: [0.7; 3], ..preprocess() };
    assert_eq!(fixture.check(&other), 0, "mean and deviation decide no pixel");
    for path in &fixture.paths {
        std::fs::rename(path, path.with_extension("renamed")).unwrap();
    }
    let renamed = fixture.paths.iter().map(|path| path.with_extension("renamed")).collect();
    assert_eq!(Fixture { paths: renamed, ..fixture }.check(&preprocess()), 0);
}

#[test]
fn another_preprocessing_has_films_of_its_own() {
    let fixture = Fixture::new(3);
    fixture.check(&preprocess());
    assert_eq!(fixture.check(&Preprocess { size: 65, ..preprocess() }), 3);
    assert_eq!(fixture.check(&Preprocess { fit: Fit::Letterbox, ..preprocess() }), 3);
    assert_eq!(fixture.check(&preprocess()), 0);
}

#[test]
fn only_new_and_changed_films_are_decoded() {
    let mut fixture = Fixture::new(5);
    assert_eq!(fixture.open(3, &preprocess()).2, 3);
    fixture.draw(1, 99);
    assert_eq!(fixture.check(&preprocess()), 3, "one changed, two are new");
    fixture.paths.push(fixture.folder.path().join("copy.png"));
    std::fs::copy(&fixture.paths[0], &fixture.paths[5]).unwrap();
    assert_eq!(fixture.check(&preprocess()), 0, "a copy is the same film");
}

#[test]
fn damage_in_any_region_of_a_file_is_mended() {
    let fixture = Fixture::new(3);
    fixture.check(&preprocess());
    let [path] = &fixture.files(EXTENSION)[..] else { panic!("one file was written") };
    let whole = std::fs::read(path).unwrap();
    let film = film_bytes(&preprocess());
    // Header, first and last byte of each film, table; and films lost whole.
    let flips = (0..64).step_by(7).chain((0..3).flat_map(|at| [64 + at * film, 63 + (at + 1) * film]));
    for at in flips.chain((64 + 3 * film..whole.len()).step_by(5)) {
        let in_films = (64..64 + 3 * film).contains(&at);
        let path = &fixture.files(EXTENSION)[0];
        let mut damaged = std::fs::read(path).unwrap();
        damaged[at] ^= 32;
        std::fs::write(path, damaged).unwrap();
        assert_eq!(fixture.check(&preprocess()), if in_films { 0 } else { 3 }, "byte {at}");
        assert_eq!(fixture.check(&preprocess()), 0, "byte {at} is mended");
        let mended = std::fs::read(&fixture.files(EXTENSION)[0]).unwrap();
        assert_eq!(mended.len(), whole.len());
        assert!(!in_films || mended == whole, "byte {at}: in place");
    }
    for length in [0, 10, 64, 64 + film, whole.len() - 1] {
        std::fs::write(&fixture.files(EXTENSION)[0], &whole[..length]).unwrap();
        assert_eq!(fixture.check(&preprocess()), 3, "{length} bytes left");
    }
    std::fs::write(&fixture.files(EXTENSION)[0], b"not one of ours").unwrap();
    assert_eq!(fixture.check(&preprocess()), 3);
}

#[test]
fn films_of_a_file_that_is_shortened_or_removed_while_it_is_in_use_are_the_same() {
    let fixture = Fixture::new(5);
    let (store, films, _) = fixture.open(5, &preprocess());
    let check = || {
        let mut pixels = vec![0; film_bytes(&preprocess())];
        for (film, path) in films.iter().zip(&fixture.paths) {
            store.want(*film);
            store.read(*film, path, &preprocess(), &mut pixels).unwrap();
            assert_eq!(pixels, preprocess().square(&decode(path).unwrap()).into_raw());
        }
    };
    let [path] = &fixture.files(EXTENSION)[..] else { panic!("one file was written") };
    for length in [64 + 3 * film_bytes(&preprocess()) + 9, 64, 0] {
        File::options().write(true).open(path).unwrap().set_len(length as u64).unwrap();
        check();
    }
    std::fs::remove_file(path).unwrap();
    check();
}

#[test]
fn a_film_damaged_in_the_cache_whose_file_changed_is_an_error_and_never_another_film() {
    let fixture = Fixture::new(2);
    let (store, films, _) = fixture.open(2, &preprocess());
    let path = &fixture.files(EXTENSION)[0];
    let mut damaged = std::fs::read(path).unwrap();
    damaged[64 + 9] ^= 1;
    std::fs::write(path, damaged).unwrap();
    fixture.draw(0, 50);
    let read =
        |at: usize| store.read(films[at], &fixture.paths[at], &preprocess(), &mut vec![0; film_bytes(&preprocess())]);
    let wrong = (0..2).filter_map(|at| read(at).err()).map(|error| error.to_string()).collect::<Vec<_>>();
    assert_eq!(wrong.len(), 1);
    assert!(wrong[0].contains("0.png") && wrong[0].contains("changed"), "{wrong:?}");
}

#[test]
fn a_damaged_film_is_named_and_those_before_it_stay_decoded() {
    let fixture = Fixture::new(250);
    let bytes = std::fs::read(&fixture.paths[249]).unwrap();
    std::fs::write(&fixture.paths[249], &bytes[..bytes.len() - 9]).unwrap();
    let failed = open(&fixture.root(), LIMIT, &fixture.paths(), &preprocess(), &mut |_| ());
    assert!(matches!(&failed, Err(CacheFailure::Film(Error::Decode { path, .. })) if path.ends_with("249.png")));
    std::fs::write(&fixture.paths[249], &bytes).unwrap();
    assert_eq!(fixture.check(&preprocess()), 1);
}

#[test]
fn what_a_killed_process_left_is_removed() {
    let fixture = Fixture::new(2);
    fixture.open(1, &preprocess());
    let left = fixture.files(EXTENSION)[0].with_extension(UNFINISHED);
    std::fs::write(&left, b"half a film").unwrap();
    assert_eq!(fixture.check(&preprocess()), 1);
    assert!(!left.exists());
}

#[test]
fn two_builders_at_once_decode_each_film_once_and_agree() {
    let fixture = Fixture::new(40);
    let decoded = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut tell = |event| match event {
                    Preparing::Decoded { done, of } if done == of => drop(decoded.fetch_add(of, Ordering::Relaxed)),
                    _ => {}
                };
                let (store, films) = open(&fixture.root(), LIMIT, &fixture.paths(), &preprocess(), &mut tell).unwrap();
                let mut pixels = vec![0; film_bytes(&preprocess())];
                for (film, path) in films.iter().zip(&fixture.paths) {
                    store.read(*film, path, &preprocess(), &mut pixels).unwrap();
                    assert_eq!(pixels, preprocess().square(&decode(path).unwrap()).into_raw());
                }
            });
        }
    });
    assert_eq!(decoded.into_inner(), 40);
    assert_eq!(fixture.files(EXTENSION).len(), 1);
}

#[test]
fn files_used_longest_ago_are_removed_first_and_those_in_use_never() {
    let fixture = Fixture::new(4);
    let sizes = [64, 69, 66].map(|size| Preprocess { size, ..preprocess() });
    for (age, preprocess) in [30, 20, 10].into_iter().zip(&sizes) {
        fixture.check(preprocess);
        let newest =
            fixture.files(EXTENSION).into_iter().max_by_key(|path| path.metadata().unwrap().modified().unwrap());
        let file = File::options().write(true).open(newest.unwrap()).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
    }
    // Used again, so that the second is now the oldest.
    assert_eq!(fixture.check(&sizes[0]), 0);
    let room = fixture.files(EXTENSION).iter().map(|path| path.metadata().unwrap().len()).sum::<u64>();
    let last = Preprocess { size: 67, ..preprocess() };
    open(&fixture.root(), room, &fixture.paths(), &last, &mut |_| ()).unwrap();
    assert_eq!(fixture.check(&sizes[0]), 0);
    assert_eq!(fixture.check(&sizes[2]), 0);
    assert_eq!(fixture.check(&sizes[1]), 4, "removed");
    open(&fixture.root(), 0, &fixture.paths(), &Preprocess { size: 68, ..preprocess() }, &mut |_| ()).unwrap();
    assert_eq!(fixture.files(EXTENSION).len(), 1, "in use, though larger than the limit");
}

#[test]
fn a_folder_that_cannot_be_made_is_the_folders_fault() {
    let fixture = Fixture::new(1);
    std::fs::write(fixture.root(), b"a file").unwrap();
    let failed = open(&fixture.root(), LIMIT, &fixture.paths(), &preprocess(), &mut |_| ());
    assert!(matches!(failed, Err(CacheFailure::Folder(_))));
}

/// Films in the cache stay only right while this holds: if it fails because decoding or fitting changed on purpose,
/// raise [`PIXELS`] and put the new number here.
#[test]
fn the_version_of_the_pixels_is_raised_when_they_change() {
    let film = GrayImage::from_fn(301, 207, |x, y| Luma([((x * x + 3 * y * y) % 251) as u8]));
    let folder = tempfile::tempdir().unwrap();
    let sums = |extension: &str| {
        let path = folder.path().join("film").with_extension(extension);
        film.save(&path).unwrap();
        [Fit::Letterbox, Fit::Stretch].map(|fit| {
            let preprocess = Preprocess { size: 96, fit, ..Preprocess::default() };
            xxhash_rust::xxh3::xxh3_64(preprocess.square(&decode(&path).unwrap()).as_raw())
        })
    };
    assert_eq!((PIXELS, sums("png")), (2, [16875256519906575245, 9382805497016859906]));
    // Decoders of JPEG may round differently on other processors.
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        assert_eq!((PIXELS, sums("jpg")), (2, [4002405324119588994, 13026199656412691515]));
    }
}
