//! Weights from elsewhere: named, fetched, read and fitted to a network.
//!
//! [`Weights`] says which; [`hub`] fetches and keeps a file, [`mod@file`] reads it without running anything that is in
//! it, [`load`] gives its tensors to a network.

mod names;
mod networks;
mod transfer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use ::hub;
pub use torchfile as file;
pub use transfer::{Adapted, Fate, Loaded, Other, load};

use crate::error::{Error, Result};
use crate::network::{Architecture, Classifier};
use ::hub::{Fetching, Hub, HubFile};
use files::sha256;

/// Which weights a network starts from.
///
/// As text: `auto`, `random`, `imagenet`, `hub:OWNER/NAME/FILE`, `hub:OWNER/NAME@REVISION/FILE`, or a file's path; of a
/// file that holds several networks one is named behind `#`, as in `moco.pth#encoder_k` and
/// `hub:OWNER/NAME/FILE#model_ema`.
///
/// ```
/// use humerus::weights::Weights;
///
/// assert_eq!("imagenet".parse::<Weights>()?, Weights::ImageNet);
/// let theirs: Weights = "hub:timm/densenet121.tv_in1k/model.safetensors".parse()?;
/// assert_eq!(theirs.to_string(), "hub:timm/densenet121.tv_in1k/model.safetensors");
/// # Ok::<(), humerus::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Weights {
    /// [`ImageNet`](Self::ImageNet) for real films, [`Random`](Self::Random) for simulated ones.
    #[default]
    Auto,
    /// Drawn from the recipe's seed.
    Random,
    /// timm's, from the Hugging Face hub: `densenet121.ra_in1k`, and `tv_in1k` of the other DenseNets. Fetched once, 32
    /// to 116 MB.
    ImageNet,
    /// Any file of the Hugging Face hub.
    Hub(HubFile),
    /// A file: safetensors, PyTorch's `.pth` and `.pt` in all their forms, tch's `.ot`.
    File(PathBuf),
    /// One of several networks in a file, by its name there or parts of it.
    Network {
        /// The file: [`Hub`](Self::Hub) or [`File`](Self::File).
        of: Box<Weights>,
        /// The network, such as `encoder_k` or `model_ema`.
        name: String,
    },
}

impl FromStr for Weights {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "auto" => Weights::Auto,
            "random" => Weights::Random,
            "imagenet" => Weights::ImageNet,
            _ => match text.rsplit_once('#') {
                // A file may have a `#` in its own name.
                Some((file, name))
                    if !file.is_empty() && !name.is_empty() && !name.contains('/') && !Path::new(text).exists() =>
                {
                    match file.parse()? {
                        of @ (Weights::Hub(_) | Weights::File(_)) => {
                            Weights::Network { of: Box::new(of), name: name.to_owned() }
                        }
                        _ => Weights::File(PathBuf::from(text)),
                    }
                }
                _ => match text.strip_prefix("hub:") {
                    Some(name) => Weights::Hub(on_hub(name)?),
                    None => Weights::File(PathBuf::from(text)),
                },
            },
        })
    }
}

/// `OWNER/NAME[@REVISION]/FILE`.
fn on_hub(text: &str) -> Result<HubFile> {
    let wrong =
        || Error::setting("weights", "hub:OWNER/NAME/FILE or hub:OWNER/NAME@REVISION/FILE", format!("hub:{text}"));
    let mut parts = text.splitn(3, '/');
    let (Some(owner), Some(name), Some(file)) = (parts.next(), parts.next(), parts.next()) else { return Err(wrong()) };
    let (name, revision) = name.split_once('@').unwrap_or((name, "main"));
    if [owner, name, revision, file].iter().any(|part| part.is_empty()) {
        return Err(wrong());
    }
    Ok(HubFile { repo: format!("{owner}/{name}"), revision: revision.to_owned(), file: file.to_owned() })
}

impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Weights::Auto => f.write_str("auto"),
            Weights::Random => f.write_str("random"),
            Weights::ImageNet => f.write_str("imagenet"),
            Weights::Hub(HubFile { repo, revision, file }) if revision == "main" => write!(f, "hub:{repo}/{file}"),
            Weights::Hub(HubFile { repo, revision, file }) => write!(f, "hub:{repo}@{revision}/{file}"),
            Weights::File(path) => path.display().fmt(f),
            Weights::Network { of, name } => write!(f, "{of}#{name}"),
        }
    }
}

/// Where a model's first weights came from, for its card: no paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The hub's file with its commit, or the name of a file; with `#` and the network's name where one of several was
    /// asked for.
    pub source: String,
    /// SHA-256 of the file, 64 hex digits.
    pub sha256: String,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SHA-256 {}…)", self.source, self.sha256.get(..12).unwrap_or(&self.sha256))
    }
}

/// A weight file that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundWeights {
    /// The file.
    pub path: PathBuf,
    /// The network in it that was asked for by name.
    pub network: Option<String>,
    /// What to say of it in a card.
    pub origin: Origin,
}

impl FoundWeights {
    /// Starts a network from the file, as [`load`] does.
    ///
    /// # Errors
    /// As [`load`]; [`Error::Checkpoint`] also if no network or several have the name that was asked for.
    pub fn load(&self, network: &Classifier) -> Result<Loaded> {
        transfer::load_named(network, &self.path, self.network.as_deref())
    }
}

impl Weights {
    /// The file of these weights for a network, fetched if it is not there; none for random ones. `simulated` says
    /// whether the films are phantoms, for [`Auto`](Self::Auto). `progress` hears of the fetching.
    ///
    /// # Errors
    /// [`Error::Hub`], whose message says how to get the file by hand; [`Error::Io`] for a file that cannot be read.
    pub fn find(
        &self,
        architecture: Architecture,
        simulated: bool,
        progress: &mut dyn FnMut(Fetching),
    ) -> Result<Option<FoundWeights>> {
        let file = match self {
            Weights::Random => return Ok(None),
            Weights::Auto if simulated => return Ok(None),
            Weights::Auto | Weights::ImageNet => HubFile::imagenet(architecture.name())?,
            Weights::Hub(file) => file.clone(),
            Weights::File(path) => {
                let source = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let origin = Origin { source, sha256: sha256(path).map_err(Error::io(path))? };
                return Ok(Some(FoundWeights { path: path.clone(), network: None, origin }));
            }
            Weights::Network { of, name } => {
                let found = of.find(architecture, simulated, progress)?;
                return Ok(found.map(|found| {
                    let Origin { source, sha256 } = found.origin;
                    let origin = Origin { source: format!("{source}#{name}"), sha256 };
                    FoundWeights { network: Some(name.clone()), origin, ..found }
                }));
            }
        };
        let fetched = Hub::from_env()?.fetch(&file, progress)?;
        let sha256 = match fetched.sha256 {
            Some(sha256) => sha256,
            None => sha256(&fetched.path).map_err(Error::io(&fetched.path))?,
        };
        let source = match fetched.commit == file.revision {
            true => file.to_string(),
            false => format!("{file} ({})", fetched.commit),
        };
        let origin = Origin { source, sha256 };
        Ok(Some(FoundWeights { path: fetched.path, network: None, origin }))
    }
}

/// The mean and deviation that the weights of a file were trained with, if they are not ImageNet's: torchxrayvision's
/// networks see films from -1024 to 1024.
///
/// # Errors
/// As [`load`], for the file.
pub fn scale(path: &Path) -> Result<Option<([f32; 3], [f32; 3])>> {
    let file = transfer::open(path)?;
    let theirs = file.class().is_some_and(|class| class.starts_with("torchxrayvision."));
    Ok(theirs.then_some(([0.5; 3], [1.0 / 2048.0; 3])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_named_in_text_and_back() {
        for text in [
            "auto",
            "random",
            "imagenet",
            "hub:a/b/c.safetensors",
            "hub:a/b@v1/d/c.pth",
            "folder/file.pth",
            "moco.pth#encoder_k",
            "hub:a/b/c.pth#model_ema",
        ] {
            assert_eq!(text.parse::<Weights>().unwrap().to_string(), text);
        }
        let imagenet = HubFile::imagenet("densenet121").unwrap();
        let file = format!("hub:timm/densenet121.ra_in1k@{}/model.safetensors", imagenet.revision);
        assert_eq!(file.parse::<Weights>().unwrap(), Weights::Hub(imagenet));
        for wrong in ["hub:", "hub:a/b", "hub:a//c", "hub:a/b@/c"] {
            let line = wrong.parse::<Weights>().unwrap_err().to_string();
            assert!(line.contains("hub:OWNER/NAME/FILE") && line.contains(wrong), "{line}");
        }
    }

    #[test]
    fn simulated_films_need_no_weights_and_a_file_is_known_by_its_sum() {
        let never = &mut |_| panic!("nothing is fetched");
        assert_eq!(Weights::Auto.find(Architecture::DenseNet121, true, never).unwrap(), None);
        assert_eq!(Weights::Random.find(Architecture::DenseNet121, false, never).unwrap(), None);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.pth");
        std::fs::write(&path, "abc").unwrap();
        let found = Weights::File(path.clone()).find(Architecture::DenseNet121, false, never).unwrap().unwrap();
        // FIPS 180-2, appendix B.1.
        assert_eq!(found.origin.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(found.origin.source, "w.pth");
        let missing = Weights::File(folder.path().join("none.pth")).find(Architecture::DenseNet121, false, never);
        assert!(missing.unwrap_err().to_string().contains("none.pth"));
    }
}
