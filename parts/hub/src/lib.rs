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

mod content;
mod error;
mod pins;
mod settings;
mod store;
mod transfer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use error::{Cause, HubError};
use files::sha256;
use pins::{PINS, Pin};
use store::{Held, Store};
use transfer::Client;

/// The hub itself.
const ENDPOINT: &str = "https://huggingface.co";

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
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Hub { endpoint, cache, token, offline, retries, pause, read_timeout, wait } = self;
        f.debug_struct("Hub")
            .field("endpoint", endpoint)
            .field("cache", cache)
            .field("token", &token.as_ref().map(|_| "…"))
            .field("offline", offline)
            .field("retries", retries)
            .field("pause", pause)
            .field("read_timeout", read_timeout)
            .field("wait", wait)
            .finish()
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
    /// [`HubError::Name`] if a name cannot be one, else [`HubError::Fetch`], whose message says how to get the file by
    /// hand.
    pub fn fetch(&self, file: &HubFile, progress: &mut dyn FnMut(Fetching)) -> Result<Fetched, HubError> {
        file.check()?;
        let failed = |cause, store: Option<&Store>| HubError::new(self, file, cause, store.map(Store::pointer));
        let store = Store::new(&self.cache, file).map_err(|cause| failed(cause, None))?;
        self.fetch_into(&store, file, progress).map_err(|cause| failed(cause, Some(&store)))
    }

    fn fetch_into(&self, store: &Store, file: &HubFile, progress: &mut dyn FnMut(Fetching)) -> Result<Fetched, Cause> {
        let pin = Pin::of(file);
        let mut held = store.find()?;
        if let (Held::Nothing, Some(_)) = (&held, pin) {
            // What timm itself has fetched lies under the commit that its branch had then: the same content, or it is
            // refused below.
            held = Store::new(&self.cache, &HubFile { revision: "main".to_owned(), ..file.clone() })?.find()?;
        }
        match held {
            Held::Whole(fetched) => return settled(store, pin, fetched, progress),
            Held::Damaged { path, cause } if self.offline => {
                progress(Fetching::Notice(format!("{} is damaged", path.display())));
                return Err(cause);
            }
            Held::Damaged { path, cause } => {
                progress(Fetching::Notice(format!("{} is damaged ({cause}), fetching it again", path.display())));
                store.discard(&path)?;
            }
            Held::Nothing if self.offline => return Err(Cause::Offline),
            Held::Nothing => {}
        }
        let client = Client::new(self)?;
        let meta = client.meta(file, progress)?;
        if let Some(pin) = pin {
            let told = pin.commit.is_none_or(|commit| commit == meta.commit);
            if let Some((expected, got)) = pin.sha256.zip(meta.sha256()).filter(|(expected, got)| expected != got) {
                return Err(Cause::Pinned { expected: expected.to_owned(), got: got.to_owned(), place: None });
            }
            if !told {
                let expected = pin.commit.unwrap_or_default().to_owned();
                return Err(Cause::Commit { expected, got: meta.commit });
            }
        }
        let _lock = store.lock(&meta.etag, self.wait, &mut || progress(Fetching::Waiting { file: file.clone() }))?;
        // Another process may have brought it, or an earlier commit may have it too.
        let was_cached = store.holds(&meta)?;
        if !was_cached {
            let part = store.part(&meta.etag);
            client.download(file, &meta, &part, progress)?;
            store.keep(&part, &meta)?;
        }
        let path = store.link(&meta)?;
        let fetched =
            Fetched { path, commit: meta.commit.clone(), sha256: meta.sha256().map(str::to_owned), was_cached };
        settled(store, pin, fetched, progress)
    }
}

/// The file, if it is the one that the source or the first use says.
fn settled(
    store: &Store,
    pin: Option<&'static Pin>,
    fetched: Fetched,
    progress: &mut dyn FnMut(Fetching),
) -> Result<Fetched, Cause> {
    let Some(pin) = pin else { return Ok(fetched) };
    let got = match &fetched.sha256 {
        Some(sha256) => sha256.clone(),
        None => sha256(&fetched.path).map_err(Cause::folder(&fetched.path))?,
    };
    match pin.sha256 {
        Some(expected) if expected != got => {
            Err(Cause::Pinned { expected: expected.to_owned(), got, place: Some(fetched.path) })
        }
        Some(_) => Ok(fetched),
        None => {
            if let Err(error) = store.remember(&got, &fetched.commit)? {
                progress(Fetching::Notice(format!("the checksum of {} cannot be kept: {error}", pin.name)));
            }
            Ok(fetched)
        }
    }
}
