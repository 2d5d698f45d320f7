//! The cache folder: finding a file in it, verifying it, and adding one.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::content::{Meta, is_sha256, remove, verify};
use super::{Cause, Fetched, HubFile, is_plain};
use files::disk::{self, Lock};

/// One file's place in the cache.
pub(super) struct Store {
    /// `models--OWNER--NAME` in the cache.
    folder: PathBuf,
    /// Where its locks are.
    locks: PathBuf,
    file: HubFile,
}

/// What the cache has of a file.
pub(super) enum Held {
    Nothing,
    Whole(Fetched),
    Damaged { path: PathBuf, cause: Cause },
}

impl Store {
    pub(super) fn new(cache: &Path, file: &HubFile) -> Result<Store, Cause> {
        let cache = std::path::absolute(cache).map_err(Cause::folder(cache))?;
        let name = format!("models--{}", file.repo.replace('/', "--"));
        Ok(Store { folder: cache.join(&name), locks: cache.join(".locks").join(name), file: file.clone() })
    }

    fn blob(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(etag)
    }

    fn pointer_at(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit).join(&self.file.file)
    }

    fn reference(&self) -> PathBuf {
        self.folder.join("refs").join(&self.file.revision)
    }

    /// The name of the snapshot that the revision stands for: by Python's rule, its own where there is no reference.
    fn snapshot(&self) -> String {
        let commit = fs::read_to_string(self.reference()).unwrap_or_default();
        if is_plain(commit.trim()) { commit.trim().to_owned() } else { self.file.revision.clone() }
    }

    /// Where the file is, or belongs.
    pub(super) fn pointer(&self) -> PathBuf {
        self.pointer_at(&self.snapshot())
    }

    pub(super) fn find(&self) -> Result<Held, Cause> {
        let path = self.pointer();
        if !path.is_file() {
            return Ok(Held::Nothing);
        }
        let blob = fs::read_link(&path).ok();
        let etag = blob.as_deref().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
        match verify(&path, etag) {
            Err(cause @ Cause::Damaged { .. }) => Ok(Held::Damaged { path, cause }),
            Err(cause) => Err(cause),
            Ok(()) => {
                let sha256 = is_sha256(etag).then(|| etag.to_owned());
                Ok(Held::Whole(Fetched { path, commit: self.snapshot(), sha256, was_cached: true }))
            }
        }
    }

    /// Removes a damaged file: the link at `path`, and what it leads to.
    pub(super) fn discard(&self, path: &Path) -> Result<(), Cause> {
        if let (Ok(blob), Some(folder)) = (fs::read_link(path), path.parent()) {
            remove(&folder.join(blob))?;
        }
        remove(path)
    }

    /// Waits for the lock that `huggingface_hub` takes too. Where files cannot be locked, goes on without.
    pub(super) fn lock(&self, etag: &str, wait: Duration, waiting: &mut dyn FnMut()) -> Result<File, Cause> {
        let path = self.locks.join(format!("{etag}.lock"));
        make_parent(&path)?;
        let file = File::options().create(true).append(true).open(&path).map_err(Cause::folder(&path))?;
        let mut told = false;
        let lock = disk::lock(&file, |waited| {
            if !std::mem::replace(&mut told, true) {
                waiting();
            }
            waited < wait
        });
        match lock.map_err(Cause::folder(&path))? {
            Lock::Busy => Err(Cause::Busy { lock: path, waited: wait }),
            Lock::Held | Lock::Unknown => Ok(file),
        }
    }

    /// What has arrived so far.
    pub(super) fn part(&self, etag: &str) -> PathBuf {
        self.blob(etag).with_file_name(format!("{etag}.humerus.part"))
    }

    /// Whether the content is there, whole; removes it if it is damaged.
    pub(super) fn holds(&self, meta: &Meta) -> Result<bool, Cause> {
        let blob = self.blob(&meta.etag);
        make_parent(&blob)?;
        let Ok(metadata) = fs::metadata(&blob) else { return Ok(false) };
        let sound = meta.size.is_none_or(|size| size == metadata.len()) && is_sound(&blob, meta)?;
        if !sound {
            remove(&blob)?;
        }
        Ok(sound)
    }

    /// Makes `part`, whole and verified, the content.
    pub(super) fn keep(&self, part: &Path, meta: &Meta) -> Result<(), Cause> {
        let blob = self.blob(&meta.etag);
        fs::rename(part, &blob).map_err(Cause::folder(blob))
    }

    /// Links the content into the commit's snapshot and notes the commit; gives the link.
    pub(super) fn link(&self, meta: &Meta) -> Result<PathBuf, Cause> {
        let pointer = self.pointer_at(&meta.commit);
        make_parent(&pointer)?;
        let up = "../".repeat(2 + self.file.file.matches('/').count());
        let target = PathBuf::from(format!("{up}blobs/{}", meta.etag));
        if fs::read_link(&pointer).ok().as_ref() != Some(&target) {
            remove(&pointer)?;
            let linked = match symlink(&target, &pointer) {
                // Another program may link at the same moment, to the same content.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
                // As Python does where there are no links.
                Err(_) => fs::rename(self.blob(&meta.etag), &pointer),
                linked => linked,
            };
            linked.map_err(Cause::folder(&pointer))?;
        }
        if self.file.revision != meta.commit {
            let reference = self.reference();
            let unfinished = self.folder.join(format!("ref.{}.part", meta.etag));
            make_parent(&reference)?;
            fs::write(&unfinished, &meta.commit).map_err(Cause::folder(&unfinished))?;
            fs::rename(&unfinished, &reference).map_err(Cause::folder(reference))?;
        }
        Ok(pointer)
    }
}

/// Name of the file, in a repository's folder, that keeps the checksum and commit of the first use.
const FIRST_USE: &str = "humerus.first-use";

impl Store {
    /// Keeps the checksum of the first use, or compares with it. The inner error is that it cannot be kept.
    pub(super) fn remember(&self, sha256: &str, commit: &str) -> Result<io::Result<()>, Cause> {
        let record = self.folder.join(FIRST_USE);
        match fs::read_to_string(&record) {
            Ok(kept) => match kept.split_whitespace().next() {
                Some(expected) if expected == sha256 => Ok(Ok(())),
                expected => {
                    let expected = expected.unwrap_or("nothing").to_owned();
                    Err(Cause::Changed { expected, got: sha256.to_owned(), record })
                }
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let kept = files::unfinished(&self.folder).and_then(|mut file| {
                    io::Write::write_all(&mut file, format!("{sha256} {commit}\n").as_bytes())?;
                    file.persist(&record).map(drop).map_err(|refused| refused.error)
                });
                Ok(kept)
            }
            Err(error) => Err(Cause::folder(record)(error)),
        }
    }
}

fn is_sound(blob: &Path, meta: &Meta) -> Result<bool, Cause> {
    match verify(blob, &meta.etag) {
        Ok(()) => Ok(true),
        Err(Cause::Damaged { .. }) => Ok(false),
        Err(cause) => Err(cause),
    }
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

fn make_parent(path: &Path) -> Result<(), Cause> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(Cause::folder(parent))
}
