//! Why a file could not be had, and how to get it by hand, on one line.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::{Hub, HubFile};

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
        cause: String,
        /// Where it is to be found.
        url: String,
        /// What to do beside naming it by its path: where to put it, or how to choose another place.
        otherwise: String,
    },
}

/// Whether another try may do better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    Never,
    /// A few times.
    Counted,
    /// Any number of times, as each brings the end nearer.
    Free,
    /// Once, from the first byte: what was kept of an earlier try is not of this file.
    Anew,
}

/// Why a file could not be had.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reason: String,
    pub(super) retry: Retry,
    /// Whether the cache folder is what failed.
    pub(super) of_folder: bool,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Failure {
    pub(super) fn lasting(reason: String) -> Failure {
        Failure { reason, retry: Retry::Never, of_folder: false }
    }

    pub(super) fn passing(reason: String) -> Failure {
        Failure { retry: Retry::Counted, ..Failure::lasting(reason) }
    }

    /// Of the cache; made to be used as `.map_err(Failure::folder(path))`.
    pub(super) fn folder(path: &Path) -> impl FnOnce(io::Error) -> Failure {
        move |source| {
            let reason = format!("cache folder: {}: {source}", path.display());
            Failure { of_folder: true, ..Failure::lasting(reason) }
        }
    }

    /// With what to do: `place` is where the file belongs.
    pub(super) fn of(self, hub: &Hub, file: &HubFile, place: Option<PathBuf>) -> HubError {
        let otherwise = match place.filter(|_| !self.of_folder) {
            None => "set HF_HUB_CACHE to another folder".to_owned(),
            Some(place) => format!("copy it to {}", place.display()),
        };
        HubError::Fetch { file: Box::new(file.clone()), cause: self.reason, url: file.url(&hub.endpoint), otherwise }
    }
}
