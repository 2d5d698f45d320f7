//! Weight files from the [Hugging Face hub](https://huggingface.co/docs/hub), kept where Python's `huggingface_hub`
//! keeps them: what timm fetched is found here without a request, and what is fetched here is found by timm.
//!
//! **Layout.** `models--OWNER--NAME/snapshots/COMMIT/FILE` links to `models--OWNER--NAME/blobs/ETAG`, and
//! `refs/REVISION` holds the commit. The crate `hf-hub` is not used: its downloads have no time-out, follow a circle of
//! redirects for ever, append to a partial file whatever arrives, verify no checksum, and panic on some answers; what
//! is left of it are the names of three paths.
//!
//! **What is verified when.** The ETag of a large file is the SHA-256 of its content. It is compared after a download,
//! before the file gets its name, and each time the file is used (some 0.1 s for 32 MB). timm's ImageNet weights must
//! moreover have the SHA-256 that is in this crate's source, or, where none is, that of their first use, which the
//! cache keeps as `humerus.first-use`.
//!
//! **Interruptions.** What arrived stays as `blobs/ETAG.humerus.part`, and the next fetch asks for the rest only. One
//! process at a time fetches a file, under the lock that `huggingface_hub` takes; others wait for it and then find the
//! file.

#![forbid(unsafe_code)]

mod cache;
mod error;
mod pins;
mod settings;
mod transfer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use cache::{Repository, is_sha256};
pub use error::HubError;
use error::{Failure, Retry};
use files::sha256;
use pins::{PINS, Pin};
use transfer::Client;

/// The hub itself.
const ENDPOINT: &str = "https://huggingface.co";
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// A file of a hub repository at a revision.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubFile {
    /// The repository, as `owner/name`.
    pub repo: String,
    /// A branch, tag or commit.
    pub revision: String,
    /// The file's path in the repository.
    pub file: String,
}

impl HubFile {
    /// ImageNet weights of a DenseNet, by timm's name: `densenet121`, or `densenet121.tv_in1k` where there are several;
    /// at the commit that is known here, if one is.
    ///
    /// # Errors
    /// [`HubError::Name`] for any other name; it lists those that exist.
    pub fn imagenet(name: &str) -> Result<HubFile, HubError> {
        let wanted = name.strip_prefix("timm/").unwrap_or(name);
        let known = PINS.iter().find(|pin| pin.name == wanted || pin.name.split('.').next() == Some(wanted));
        let known = known.ok_or_else(|| HubError::Name {
            what: "ImageNet weights",
            expected: format!(
                "one of {} (or without what follows the dot)",
                PINS.each_ref().map(|pin| pin.name).join(", ")
            ),
            got: name.to_owned(),
        })?;
        Ok(known.file())
    }

    /// The SHA-256 that the file must have, for those of [`imagenet`](Self::imagenet) for which it is known here.
    pub fn pinned_sha256(&self) -> Option<&'static str> {
        Pin::of(self)?.sha256
    }

    /// Where the file is on the hub at `endpoint`.
    pub fn url(&self, endpoint: &str) -> String {
        let endpoint = endpoint.trim_end_matches('/');
        format!("{endpoint}/{}/resolve/{}/{}", self.repo, self.revision.replace('/', "%2F"), self.file)
    }

    /// Names become paths and addresses as they are: so nothing that could leave the cache, or needs an escape.
    fn check(&self) -> Result<(), HubError> {
        let parts = |text: &str| text.split('/').all(is_plain);
        for (what, got, sound, expected) in [
            ("hub repository", &self.repo, self.repo.split('/').count() <= 2 && parts(&self.repo), "owner/name"),
            ("hub revision", &self.revision, parts(&self.revision), "a branch, tag or commit"),
            ("hub file", &self.file, parts(&self.file), "a path in the repository"),
        ] {
            if !sound {
                let expected = format!("{expected}, of letters, digits and . _ -");
                return Err(HubError::Name { what, expected, got: got.clone() });
            }
        }
        Ok(())
    }
}

impl fmt::Display for HubFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.repo, self.file)?;
        if self.revision == "main" { Ok(()) } else { write!(f, " at {}", self.revision) }
    }
}

/// Whether `text` is one part of a path and of an address, with no other meaning in either.
fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('.')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// The hub: where it is, and where its files are kept.
///
/// ```no_run
/// use humerus_hub::{Hub, HubFile};
///
/// let file = HubFile::imagenet("densenet121")?;
/// let fetched = Hub::from_env()?.fetch(&file, &mut |progress| println!("{progress}"))?;
/// println!("{}", fetched.path.display());
/// # Ok::<(), humerus_hub::HubError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Hub {
    /// The address, without the repository. Default `https://huggingface.co`.
    pub endpoint: String,
    /// The folder that holds `models--OWNER--NAME`; made if it is not there.
    pub cache: PathBuf,
    /// The access token; sent to the endpoint's own host only. Default none.
    pub token: Option<String>,
    /// Whether to use only what is in the cache, without any request. Default no.
    pub offline: bool,
    /// Further tries after a lost connection, a time-out or a failing server, before giving up. Default 3. A try that
    /// brought a mebibyte or more does not count.
    pub retries: u32,
    /// Time before the second try, doubled for each further one up to 8 s. Default 0.5 s.
    pub pause: Duration,
    /// Read timeout: how long a server may send nothing. Default 10 s, as in Python.
    pub read_timeout: Duration,
    /// How long to wait for another process that fetches the same file. Default 10 minutes.
    pub wait: Duration,
}

impl fmt::Debug for Hub {
    /// Without the access token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("endpoint", &self.endpoint).field("cache", &self.cache).finish_non_exhaustive()
    }
}

/// A file that is there, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The file, in the cache.
    pub path: PathBuf,
    /// The commit that it belongs to; the revision's name if the file was put there by hand.
    pub commit: String,
    /// The SHA-256 that the hub states and the content has; none for a file that the hub states none for.
    pub sha256: Option<String>,
    /// Whether the content was there already.
    pub was_cached: bool,
}

/// What fetching tells while it goes on, a few times a second at most.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fetching {
    /// Bytes have arrived; told at the start, at the end, and every half second.
    Received {
        /// The file.
        file: HubFile,
        /// Bytes so far, with those of an earlier try.
        bytes: u64,
        /// Bytes of the whole file, if the hub tells.
        of: Option<u64>,
    },
    /// Another process fetches the same file, and is waited for.
    Waiting {
        /// The file.
        file: HubFile,
    },
    /// Something went wrong that need not be the end; says what, and what is done about it.
    Notice(String),
}

impl fmt::Display for Fetching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mb = |bytes: u64| bytes as f64 / 1e6;
        match self {
            Fetching::Received { file, bytes, of: Some(of) } => {
                write!(f, "fetched {:.1} of {:.1} MB of {file}", mb(*bytes), mb(*of))
            }
            Fetching::Received { file, bytes, of: None } => write!(f, "fetched {:.1} MB of {file}", mb(*bytes)),
            Fetching::Waiting { file } => write!(f, "waiting for another process that fetches {file}"),
            Fetching::Notice(text) => write!(f, "note: {text}"),
        }
    }
}

impl Hub {
    /// The hub at `endpoint` with its files in `cache`, and the default for all else.
    pub fn new(endpoint: impl Into<String>, cache: impl AsRef<Path>) -> Hub {
        Hub {
            endpoint: endpoint.into(),
            cache: cache.as_ref().to_owned(),
            token: None,
            offline: false,
            retries: 3,
            pause: Duration::from_millis(500),
            read_timeout: Duration::from_secs(10),
            wait: Duration::from_secs(600),
        }
    }

    /// The file, from the cache or else from the hub.
    ///
    /// A file in the cache is used without asking whether the revision has moved on, after its checksum is verified; if
    /// it is damaged it is fetched again.
    ///
    /// # Errors
    /// [`HubError::Name`] if a name or the endpoint cannot be one, else [`HubError::Fetch`], whose message says how to
    /// get the file by hand.
    pub fn fetch(&self, file: &HubFile, progress: &mut dyn FnMut(Fetching)) -> Result<Fetched, HubError> {
        file.check()?;
        let repository = Repository::new(&self.cache, file).map_err(|failure| failure.of(self, file, None))?;
        let failed = |failure: Failure| failure.of(self, file, Some(repository.place()));
        if let Some(fetched) = self.find(&repository, file, progress).map_err(failed)? {
            return Ok(fetched);
        }
        let client = Client::new(self)?;
        let (mut left, mut pause, mut renewed) = (self.retries, self.pause, false);
        loop {
            let failure = match self.try_once(&client, &repository, file, progress) {
                Ok(fetched) => return Ok(fetched),
                Err(failure) => failure,
            };
            match failure.retry {
                Retry::Free => pause = self.pause,
                Retry::Counted if left > 0 => left -= 1,
                Retry::Anew if !renewed => renewed = true,
                _ => return Err(failed(failure)),
            }
            progress(Fetching::Notice(format!("{failure}; trying again")));
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The file, if the cache has it whole; a damaged one is removed, where it can be fetched again.
    fn find(
        &self,
        repository: &Repository,
        file: &HubFile,
        progress: &mut dyn FnMut(Fetching),
    ) -> Result<Option<Fetched>, Failure> {
        let mut found = repository.find()?;
        if found.is_none() && Pin::of(file).is_some() {
            // What timm itself has fetched lies under the commit that its branch had then: the same content, or it is
            // refused below.
            found = Repository::new(&self.cache, &HubFile { revision: "main".to_owned(), ..file.clone() })?.find()?;
        }
        match found {
            Some((fetched, None)) => settled(repository, file, fetched, progress).map(Some),
            Some((fetched, Some(damage))) => {
                let path = fetched.path.display();
                if self.offline {
                    return Err(Failure::lasting(format!("{path} is damaged: {damage}")));
                }
                progress(Fetching::Notice(format!("{path} is damaged ({damage}), fetching it again")));
                repository.discard(&fetched.path).map(|()| None)
            }
            None if self.offline => {
                Err(Failure::lasting("it is not in the cache, and HF_HUB_OFFLINE allows no request".to_owned()))
            }
            None => Ok(None),
        }
    }

    fn try_once(
        &self,
        client: &Client,
        repository: &Repository,
        file: &HubFile,
        progress: &mut dyn FnMut(Fetching),
    ) -> Result<Fetched, Failure> {
        let described = client.describe(file)?;
        let (commit, etag) = (described.commit.clone(), &described.etag);
        let told = is_sha256(etag).then(|| etag.clone());
        if let Some(pin) = Pin::of(file) {
            if let Some((expected, got)) = pin.sha256.zip(told.as_deref()).filter(|(expected, got)| expected != got) {
                return Err(not_pinned(expected, got, ""));
            }
            if let Some(expected) = pin.commit.filter(|expected| *expected != commit) {
                return Err(Failure::lasting(format!("commit {expected} was asked for, the hub gives {commit}")));
            }
        }
        let _lock = repository.lock(etag, self.wait, || progress(Fetching::Waiting { file: file.clone() }))?;
        // Another process may have brought it, or an earlier commit may have it too.
        let was_cached =
            repository.content(&described, |part| client.download(file, described.size, part, progress))?;
        let path = repository.link(&described)?;
        settled(repository, file, Fetched { path, commit, sha256: told, was_cached }, progress)
    }
}

fn not_pinned(expected: &str, got: &str, then: &str) -> Failure {
    Failure::lasting(format!("SHA-256: expected {expected}, which is in the source of humerus, got {got}{then}"))
}

/// The file, if it is the one that the source or the first use says.
fn settled(
    repository: &Repository,
    file: &HubFile,
    fetched: Fetched,
    progress: &mut dyn FnMut(Fetching),
) -> Result<Fetched, Failure> {
    let Some(pin) = Pin::of(file) else { return Ok(fetched) };
    let got = match &fetched.sha256 {
        Some(sha256) => sha256.clone(),
        None => sha256(&fetched.path).map_err(Failure::folder(&fetched.path))?,
    };
    match pin.sha256 {
        Some(expected) if expected != got => {
            let then = format!(" in {}; remove it to fetch it again", fetched.path.display());
            return Err(not_pinned(expected, &got, &then));
        }
        Some(_) => {}
        None => {
            if let Err(error) = repository.remember(&got, &fetched.commit)? {
                progress(Fetching::Notice(format!("the checksum of {} cannot be kept: {error}", pin.name)));
            }
        }
    }
    Ok(fetched)
}
