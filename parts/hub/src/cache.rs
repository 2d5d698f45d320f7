//! The cache folder: finding a file in it, verifying it, and adding one.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{Failure, Retry};
use super::transfer::Description;
use super::{Fetched, HubFile, is_plain};
use files::disk::{self, Lock};
use files::sha256;

/// Name of the file, in a repository's folder, that keeps the checksum and commit of the first use.
const FIRST_USE: &str = "humerus.first-use";

/// The folders of one file's repository in the cache.
pub(super) struct Repository {
    /// `models--OWNER--NAME` in the cache.
    folder: PathBuf,
    /// Where its locks are.
    locks: PathBuf,
    file: HubFile,
}

impl Repository {
    pub(super) fn new(cache: &Path, file: &HubFile) -> Result<Repository, Failure> {
        let cache = std::path::absolute(cache).map_err(Failure::folder(cache))?;
        let name = format!("models--{}", file.repo.replace('/', "--"));
        Ok(Repository { folder: cache.join(&name), locks: cache.join(".locks").join(name), file: file.clone() })
    }

    fn blob(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(etag)
    }

    fn link_at(&self, commit: &str) -> PathBuf {
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
    pub(super) fn place(&self) -> PathBuf {
        self.link_at(&self.snapshot())
    }

    /// The file, if it is there, and how it is damaged, if it is.
    pub(super) fn find(&self) -> Result<Option<(Fetched, Option<String>)>, Failure> {
        let path = self.place();
        if !path.is_file() {
            return Ok(None);
        }
        let blob = fs::read_link(&path).ok();
        let etag = blob.as_deref().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
        let damage = damage(&path, etag)?;
        let sha256 = is_sha256(etag).then(|| etag.to_owned());
        Ok(Some((Fetched { path, commit: self.snapshot(), sha256, was_cached: true }, damage)))
    }

    /// Removes a damaged file: the link at `path`, and what it leads to.
    pub(super) fn discard(&self, path: &Path) -> Result<(), Failure> {
        if let (Ok(blob), Some(folder)) = (fs::read_link(path), path.parent()) {
            remove(&folder.join(blob))?;
        }
        remove(path)
    }

    /// Waits for the lock that `huggingface_hub` takes too. Where files cannot be locked, goes on without.
    pub(super) fn lock(&self, etag: &str, wait: Duration, mut waiting: impl FnMut()) -> Result<File, Failure> {
        let path = self.locks.join(format!("{etag}.lock"));
        make_parent(&path)?;
        let file = File::options().create(true).append(true).open(&path).map_err(Failure::folder(&path))?;
        let mut told = false;
        let lock = disk::lock(&file, |waited| {
            if !std::mem::replace(&mut told, true) {
                waiting();
            }
            waited < wait
        });
        match lock.map_err(Failure::folder(&path))? {
            Lock::Busy => {
                let (path, wait) = (path.display(), wait.as_secs_f32());
                Err(Failure::lasting(format!("another process holds {path} for more than {wait} s")))
            }
            Lock::Held | Lock::Unknown => Ok(file),
        }
    }

    /// The content, brought by `download` if it is not there, whole and verified; and whether it was. What a download
    /// leaves behind is kept only where another try goes on from it.
    pub(super) fn content(
        &self,
        described: &Description,
        download: impl FnOnce(&Path) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let (blob, etag) = (self.blob(&described.etag), &described.etag);
        make_parent(&blob)?;
        if let Ok(metadata) = fs::metadata(&blob) {
            if described.size.is_none_or(|size| size == metadata.len()) && damage(&blob, etag)?.is_none() {
                return Ok(true);
            }
            remove(&blob)?;
        }
        let part = blob.with_file_name(format!("{etag}.humerus.part"));
        let resumed = part.exists();
        let downloaded = download(&part).and_then(|()| match damage(&part, etag)? {
            Some(damage) if resumed => Err(Failure { retry: Retry::Anew, ..Failure::lasting(damage) }),
            Some(damage) => Err(Failure::lasting(damage)),
            None => fs::rename(&part, &blob).map_err(Failure::folder(&blob)),
        });
        match downloaded {
            Err(failure) if matches!(failure.retry, Retry::Never | Retry::Anew) => {
                remove(&part)?;
                Err(failure)
            }
            other => other.map(|()| false),
        }
    }

    /// Links the content into the commit's snapshot and notes the commit; gives the link.
    pub(super) fn link(&self, Description { commit, etag, .. }: &Description) -> Result<PathBuf, Failure> {
        let link = self.link_at(commit);
        make_parent(&link)?;
        let up = "../".repeat(2 + self.file.file.matches('/').count());
        let target = PathBuf::from(format!("{up}blobs/{etag}"));
        if fs::read_link(&link).ok().as_ref() != Some(&target) {
            remove(&link)?;
            let linked = match symlink(&target, &link) {
                // Another program may link at the same moment, to the same content.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
                // As Python does where there are no links.
                Err(_) => fs::rename(self.blob(etag), &link),
                linked => linked,
            };
            linked.map_err(Failure::folder(&link))?;
        }
        if self.file.revision != *commit {
            let reference = self.reference();
            make_parent(&reference)?;
            self.write(&reference, commit).map_err(Failure::folder(&reference))?;
        }
        Ok(link)
    }

    /// Keeps the checksum of the first use, or compares with it. The inner error is that it cannot be kept.
    pub(super) fn remember(&self, sha256: &str, commit: &str) -> Result<io::Result<()>, Failure> {
        let record = self.folder.join(FIRST_USE);
        match fs::read_to_string(&record) {
            Ok(kept) => match kept.split_whitespace().next() {
                Some(expected) if expected == sha256 => Ok(Ok(())),
                expected => {
                    let (expected, record) = (expected.unwrap_or("nothing"), record.display());
                    Err(Failure::lasting(format!(
                        "SHA-256: it was {expected} when it was first used and is {sha256} now; if that is right, \
                         remove {record}"
                    )))
                }
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Ok(self.write(&record, &format!("{sha256} {commit}\n")))
            }
            Err(error) => Err(Failure::folder(&record)(error)),
        }
    }

    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        let mut file = files::unfinished(&self.folder)?;
        io::Write::write_all(&mut file, text.as_bytes())?;
        file.persist(path).map(drop).map_err(|refused| refused.error)
    }
}

/// Whether an ETag is a checksum of the content.
pub(super) fn is_sha256(etag: &str) -> bool {
    etag.len() == 64 && etag.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// How the file's content differs from what its ETag says, where that says it.
fn damage(path: &Path, etag: &str) -> Result<Option<String>, Failure> {
    if !is_sha256(etag) {
        return Ok(None);
    }
    let got = sha256(path).map_err(Failure::folder(path))?;
    Ok((got != etag).then(|| format!("SHA-256: expected {etag}, got {got}")))
}

/// Removes a file or link, if it is there.
fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Failure::folder(path)(error)),
        _ => Ok(()),
    }
}

fn make_parent(path: &Path) -> Result<(), Failure> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(Failure::folder(parent))
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}
