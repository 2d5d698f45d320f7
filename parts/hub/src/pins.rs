//! What timm's ImageNet weights are: which commit of each repository, and the SHA-256 of its file, as far as they are
//! known here.
//!
//! A branch moves, and a server's word for a checksum is the server's. Where the checksum is known, nothing else is
//! ever used, from whatever server or cache. Where it is not, the one of the first use is kept in the cache, and
//! another later is an error.

use super::HubFile;

/// One repository's file `model.safetensors`.
pub(super) struct Pin {
    /// The repository, below `timm/`.
    pub name: &'static str,
    /// The commit.
    pub commit: Option<&'static str>,
    /// The file's SHA-256.
    pub sha256: Option<&'static str>,
}

pub(super) const FILE: &str = "model.safetensors";

/// timm's names of ImageNet weights for DenseNets; the first of a network is its default. Commits are those of the
/// hub's pages `huggingface.co/timm/NAME/commits/main` of 2023 and 2025, checksums of
/// `.../blob/main/model.safetensors`. `cargo test -p humerus-hub --test hub -- --ignored --nocapture pins` asks the hub
/// and prints these lines.
pub(super) const PINS: [Pin; 5] = [
    Pin { name: "densenet121.ra_in1k", commit: Some("e65bed9f92a2e438879b179438d22ed719be26d6"), sha256: None },
    Pin {
        name: "densenet121.tv_in1k",
        commit: Some("f0d0f2698a02cb133b09d48396db6e1e46fe9f3b"),
        sha256: Some("c894c6d9caa317a8ca1942986dee7a16a86c77734a4d691d2abe05389cfef358"),
    },
    Pin { name: "densenet161.tv_in1k", commit: Some("359c7ecf29a2da61381f4725fe59889ca80ad29b"), sha256: None },
    Pin { name: "densenet169.tv_in1k", commit: Some("8c033a1f91d746e37e23229bf0445fff2125c89e"), sha256: None },
    Pin { name: "densenet201.tv_in1k", commit: None, sha256: None },
];

impl Pin {
    /// The file at the commit, or at `main` where none is known.
    pub fn file(&self) -> HubFile {
        let (repo, revision) = (format!("timm/{}", self.name), self.commit.unwrap_or("main").to_owned());
        HubFile { repo, revision, file: FILE.to_owned() }
    }

    /// What is known of a file; of others than these, and of these at another revision, nothing is.
    pub fn of(file: &HubFile) -> Option<&'static Pin> {
        PINS.iter().find(|pin| pin.file() == *file)
    }
}

#[cfg(test)]
mod tests {
    use super::super::cache::is_sha256;
    use super::*;

    #[test]
    fn commits_and_checksums_have_their_form_and_only_these_files_are_pinned() {
        for pin in &PINS {
            assert!(pin.commit.is_none_or(|commit| is_sha256(&format!("{commit:0<64}")) && commit.len() == 40));
            assert!(pin.sha256.is_none_or(is_sha256), "{}", pin.name);
            assert!(Pin::of(&pin.file()).is_some_and(|found| found.name == pin.name));
        }
        let other = HubFile { revision: "v2".to_owned(), ..PINS[0].file() };
        assert!(Pin::of(&other).is_none());
    }
}
