//! Why a file could not be had, and how to get it by hand, on one line.

use std::path::PathBuf;
use std::time::Duration;

use super::{ENDPOINT, Hub, HubFile};

/// What can go wrong with the hub.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// A name or setting that cannot be one.
    #[error("{what}: expected {expected}, got {got:?}")]
    Name {
        /// What it should name.
        what: &'static str,
        /// What such a name looks like.
        expected: String,
        /// The name that came.
        got: String,
    },
    /// A file that is not in the cache, whole, and could not be brought there.
    #[error(
        "cannot fetch {file} ({cause}); download it elsewhere from {url} and pass it with --weights FILE, or \
         {otherwise}; --weights random (in a notebook HUMERUS_WEIGHTS=random) does without"
    )]
    Fetch {
        /// The file.
        file: Box<HubFile>,
        /// Why not.
        #[source]
        cause: Box<Cause>,
        /// Where it is to be found.
        url: String,
        /// What to do beside naming it by its path: where to put it, or how to choose another place.
        otherwise: String,
    },
}

impl HubError {
    pub(super) fn new(hub: &Hub, file: &HubFile, cause: Cause, place: Option<PathBuf>) -> HubError {
        let endpoint = if matches!(cause, Cause::Endpoint(_)) { ENDPOINT } else { &hub.endpoint };
        let otherwise = match (&cause, place) {
            (Cause::Folder { .. }, _) | (_, None) => "set HF_HUB_CACHE to another folder".to_owned(),
            (_, Some(place)) => format!("copy it to {}", place.display()),
        };
        HubError::Fetch { file: Box::new(file.clone()), cause: Box::new(cause), url: file.url(endpoint), otherwise }
    }
}

/// Why a file could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The file is not in the cache, and requests are switched off.
    #[error("it is not in the cache, and HF_HUB_OFFLINE allows no request")]
    Offline,
    /// The hub's address is not one.
    #[error("HF_ENDPOINT: expected an address such as {ENDPOINT}, got {0:?}")]
    Endpoint(String),
    /// No connection.
    #[error("no connection to {host}: {reason}")]
    Unreachable {
        /// The server.
        host: String,
        /// What the network or the other side said.
        reason: String,
    },
    /// A connection on which nothing came.
    #[error("no answer from {host} for {} s", .read_timeout.as_secs_f32())]
    Silent {
        /// The server.
        host: String,
        /// How long it was waited for.
        read_timeout: Duration,
    },
    /// The hub has no such file.
    #[error("404: {0}")]
    Missing(&'static str),
    /// The hub does not show the file to everybody.
    #[error("{status}: {reason}")]
    Refused {
        /// HTTP's number, 401 or 403.
        status: u16,
        /// What to do about it.
        reason: &'static str,
    },
    /// The server fails, or has too much to do.
    #[error("{host} answered {status}")]
    Status {
        /// The server.
        host: String,
        /// HTTP's number.
        status: u16,
    },
    /// An answer that no hub gives.
    #[error("{host} does not answer like a hub: {reason}")]
    NotAHub {
        /// The server.
        host: String,
        /// What was wrong.
        reason: String,
    },
    /// The connection ended before the file did; what came is kept for the next try.
    #[error("the connection ended after {got} of {of} bytes, which are kept for the next try")]
    Cut {
        /// Bytes that are there.
        got: u64,
        /// Bytes of the whole file.
        of: u64,
    },
    /// The content is not what the hub says it is.
    #[error("SHA-256: expected {expected}, got {got}")]
    Damaged {
        /// The checksum that the hub states.
        expected: String,
        /// The checksum of what came or was in the cache.
        got: String,
    },
    /// The content is not what this crate's source says it is.
    #[error("SHA-256: expected {expected}, which is in the source of humerus, got {got}{}", at(.place))]
    Pinned {
        /// The checksum in the source.
        expected: String,
        /// The checksum that the hub states, or of what is in the cache.
        got: String,
        /// The file in the cache.
        place: Option<PathBuf>,
    },
    /// The hub gives another commit than the one that was asked for.
    #[error("commit {expected} was asked for, the hub gives {got}")]
    Commit {
        /// The commit in the source.
        expected: String,
        /// The commit that the hub states.
        got: String,
    },
    /// The content is not what it was when it was first used.
    #[error(
        "SHA-256: it was {expected} when it was first used and is {got} now; if that is right, remove {}",
        .record.display()
    )]
    Changed {
        /// The checksum of the first use.
        expected: String,
        /// The checksum now.
        got: String,
        /// Where the first use is kept.
        record: PathBuf,
    },
    /// Another process fetches the file and does not finish.
    #[error("another process holds {} for more than {} s", .lock.display(), .waited.as_secs_f32())]
    Busy {
        /// The file that is locked.
        lock: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The cache cannot be read or written.
    #[error("cache folder: {}: {source}", .path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// What to do about a file in the cache.
fn at(place: &Option<PathBuf>) -> String {
    place.as_ref().map_or(String::new(), |place| format!(" in {}; remove it to fetch it again", place.display()))
}

impl Cause {
    /// A [`Cause::Folder`]; made to be used as `.map_err(Cause::folder(path))`.
    pub(super) fn folder(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Cause {
        let path = path.into();
        move |source| Cause::Folder { path, source }
    }

    /// Whether another try may do better.
    pub(super) fn passes(&self) -> bool {
        match self {
            Cause::Unreachable { .. } | Cause::Silent { .. } | Cause::Cut { .. } => true,
            Cause::Status { status, .. } => *status >= 500 || [408, 429].contains(status),
            _ => false,
        }
    }
}
