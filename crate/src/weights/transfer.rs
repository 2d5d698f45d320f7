//! From a file's tensors to a network's weights.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::Path;

use safetensors::Dtype;
use serde::Serialize;
use tch::{Kind, Tensor};
use torchfile::{StoredTensor, WeightFile};

use super::names::torchvision;
use super::networks;
use crate::counted;
use crate::error::{Error, Result};
use crate::network::{Architecture, Classifier, Variable, not_finite};

/// The first convolution, the only layer that depends on the number of input channels.
const FIRST: &str = "features.conv0.weight";

/// What became of a file's tensors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Loaded {
    /// The network's tensors that came from the file as they were.
    pub loaded: Vec<String>,
    /// Those that were made to fit.
    pub adapted: Vec<Adapted>,
    /// The network's own tensors, all of the head, that the file lacks or has in another shape; they stayed as they
    /// were.
    pub kept: Vec<String>,
    /// Tensors of the file's network that ours has no place for, by the file's names.
    pub unexpected: Vec<String>,
    /// The network that was taken, where the file gives it a name, such as `state_dict.module.encoder_q`.
    pub network: Option<String>,
    /// What else is in the file: other networks, such as moving averages, and parts such as an optimiser's state.
    pub others: Vec<Other>,
    /// Tensors that could not be read, with the reason; none of them is the network's.
    pub unreadable: Vec<(String, String)>,
    /// Classes and functions, such as `pathlib.PosixPath`, that the file names for something that is no tensor. Nothing
    /// is ever called, so what they would make is not there.
    pub skipped: Vec<String>,
}

/// A part of a file that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Other {
    /// Its name in the file.
    pub name: String,
    /// Tensors in it.
    pub tensors: usize,
    /// Whether it is a network too, which `FILE#NAME` takes.
    pub is_network: bool,
}

/// A tensor that was made to fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Adapted {
    /// torchvision's name.
    pub name: String,
    /// Its shape in the file.
    pub from: Vec<usize>,
    /// Its shape in the network.
    pub to: Vec<i64>,
    /// How.
    pub how: &'static str,
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Loaded { loaded, adapted, kept, unexpected, .. } = self;
        let (loaded, kept, unexpected) = (loaded.len(), kept.len(), unexpected.len());
        write!(
            f,
            "{} loaded, {} adapted, {kept} kept as initialised, {unexpected} unexpected",
            counted(loaded, "tensor"),
            adapted.len()
        )?;
        adapted.iter().try_for_each(|it| write!(f, "; {}: {}", it.name, it.how))?;
        let more = self.others.iter().filter(|other| other.is_network).count();
        match &self.network {
            Some(network) if more > 0 => write!(f, "; network {}, one of {}", shown(network), more + 1),
            _ if more > 0 => write!(f, "; the network without a name, one of {}", more + 1),
            _ => Ok(()),
        }
    }
}

/// One row of a table of what was loaded: tensors of one part of the network with the same fate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fate {
    /// A part of the network as torchvision calls it, for example `features.denseblock1`, or a tensor's own name.
    pub part: String,
    /// What became of it.
    pub what: String,
    /// How many tensors.
    pub tensors: usize,
}

impl Loaded {
    /// What was loaded, adapted, missing and unexpected, a row for each part of the network; unexpected tensors one by
    /// one.
    pub fn rows(&self) -> Vec<Fate> {
        let part = |name: &str| -> String {
            let depth = if name.starts_with("features.") { 2 } else { 1 };
            name.split('.').take(depth).collect::<Vec<_>>().join(".")
        };
        let mut rows: Vec<Fate> = Vec::new();
        let mut add = |part: String, what: &str| match rows.iter_mut().find(|row| row.part == part && row.what == what)
        {
            Some(row) => row.tensors += 1,
            None => rows.push(Fate { part, what: what.to_owned(), tensors: 1 }),
        };
        self.loaded.iter().for_each(|name| add(part(name), "loaded"));
        self.adapted.iter().for_each(|it| add(it.name.clone(), &format!("adapted from {:?}: {}", it.from, it.how)));
        self.kept.iter().for_each(|name| add(part(name), "missing; stays as initialised"));
        let mut row = |part: &str, what: String, tensors| rows.push(Fate { part: shown(part), what, tensors });
        self.unexpected.iter().for_each(|name| row(name, "unexpected; not used".to_owned(), 1));
        for Other { name, tensors, is_network } in &self.others {
            let what = match is_network {
                true => format!("another network; not used, FILE#{} takes it", shown(name)),
                false => "another part of the file; not used".to_owned(),
            };
            row(name, what, *tensors);
        }
        self.unreadable.iter().for_each(|(name, reason)| row(name, format!("not read: it {reason}"), 1));
        self.skipped.iter().for_each(|name| row(name, "makes no tensor; never called, skipped".to_owned(), 0));
        rows
    }
}

/// Starts a network from a weight file of any kind that [`torchfile::read`] knows, under the names of torchvision (of
/// any version), timm, CheXNet, torchxrayvision, MONAI, or our own, whatever wraps them. Of several networks in a file
/// the one is taken that is not, by its name, a copy of another: the query encoder, the model and not its moving
/// average. [`Weights::Network`](super::Weights::Network) names another.
///
/// Everything below the head must be there in its shape, but that the first convolution is fitted to the network's
/// input channels as timm does it: of three channels the sum goes to one, of one a third goes to each of three, so that
/// a grey film gives the same. The head is taken over where it fits, and else stays as it is.
///
/// # Errors
/// [`Error::Io`]; [`Error::Checkpoint`] if the file is none that we know, holds several networks of which none is the
/// usual one, lacks a weight below the head or has it in another shape. The network is then unchanged.
pub fn load(network: &Classifier, path: impl AsRef<Path>) -> Result<Loaded> {
    load_named(network, path.as_ref(), None)
}

/// As [`load`], of the network called `name` in the file, by all of its name or any parts of it.
pub(super) fn load_named(network: &Classifier, path: &Path, name: Option<&str>) -> Result<Loaded> {
    let file = open(path)?;
    transfer(network, &file, name).map_err(|reason| Error::Checkpoint { path: path.to_owned(), reason })
}

/// Reads a weight file's names and shapes.
pub(super) fn open(path: &Path) -> Result<WeightFile> {
    torchfile::read(path).map_err(|problem| match problem {
        torchfile::Error::Io(source) => Error::Io { path: path.to_owned(), source },
        torchfile::Error::Reason(reason) => Error::Checkpoint { path: path.to_owned(), reason },
    })
}

/// A file's own name for something, short and in one line.
fn shown(name: &str) -> String {
    torchfile::shown(name.as_bytes())
}

fn transfer(network: &Classifier, file: &WeightFile, wanted: Option<&str>) -> std::result::Result<Loaded, String> {
    let theirs: Vec<&str> = file.entries().iter().map(|entry| entry.name.as_str()).collect();
    let networks = networks::networks(&theirs);
    let prefix = networks::choose(&networks, wanted, &|a, b| same(file, a, b))?;
    let prefixes: HashSet<&str> = networks.iter().map(String::as_str).collect();
    // Of each tensor torchvision's name, if it is the network's.
    let names: Vec<Option<String>> = theirs
        .iter()
        .map(|name| networks::belongs(name, prefix, &prefixes).then(|| torchvision(&name[prefix.len()..])))
        .collect();
    let mut by_name: BTreeMap<&str, &StoredTensor> = BTreeMap::new();
    for (name, entry) in names.iter().zip(file.entries()) {
        if let Some(name) = name
            && by_name.insert(name, entry).is_some()
        {
            return Err(format!("holds two tensors for {}", shown(name)));
        }
    }
    let matched = network.variables().iter().filter(|v| by_name.contains_key(v.name.as_str())).count();
    let architecture = network.architecture().name();
    if matched == 0 {
        let few: Vec<String> = theirs.iter().take(3).map(|name| shown(name)).collect();
        return Err(format!("none of its {} tensors is one of a DenseNet ({}, …)", theirs.len(), few.join(", ")));
    }
    let hint = || another(&by_name, network.architecture()).map_or(String::new(), |hint| format!("; {hint}"));
    let mut result = Loaded {
        loaded: vec![],
        adapted: vec![],
        kept: vec![],
        unexpected: vec![],
        network: (!prefix.is_empty()).then(|| prefix.trim_end_matches('.').to_owned()),
        others: others(&theirs, &names, prefix, &prefixes),
        unreadable: file.unreadable().to_vec(),
        skipped: file.foreign().to_vec(),
    };
    let mut copies = Vec::new();
    for variable in network.variables() {
        let head = variable.name.starts_with("classifier");
        match by_name.get(variable.name.as_str()) {
            Some(entry) => match fit(file, variable, entry)? {
                Some((values, None)) => {
                    copies.push((variable.tensor.shallow_clone(), values));
                    result.loaded.push(variable.name.clone());
                }
                Some((values, Some(how))) => {
                    copies.push((variable.tensor.shallow_clone(), values));
                    let (from, to) = (entry.shape.clone(), variable.tensor.size());
                    result.adapted.push(Adapted { name: variable.name.clone(), from, to, how });
                }
                None if head => result.kept.push(variable.name.clone()),
                None => {
                    let expected = variable.tensor.size();
                    let got = &entry.shape;
                    return Err(format!(
                        "{}: {architecture} expects shape {expected:?}, got {got:?}{}",
                        variable.name,
                        hint()
                    ));
                }
            },
            None if head => result.kept.push(variable.name.clone()),
            None => {
                let all = network.variables().len();
                let unreadable =
                    |name: &str| name.strip_prefix(prefix).is_some_and(|it| torchvision(it) == variable.name);
                if let Some((_, reason)) = file.unreadable().iter().find(|(name, _)| unreadable(name)) {
                    return Err(format!("{}: {reason}", variable.name));
                }
                let missing = &variable.name;
                return Err(format!(
                    "has no {missing}; {matched} of {architecture}'s {all} tensors are in it{}",
                    hint()
                ));
            }
        }
    }
    // Only now that all of it fits is anything changed.
    let _guard = tch::no_grad_guard();
    for (mut tensor, values) in copies {
        tensor.f_copy_(&values).map_err(|error| error.to_string())?;
    }
    let taken: HashSet<&str> = result.loaded.iter().map(String::as_str).chain([FIRST]).collect();
    let unused = names.iter().zip(&theirs).filter_map(|(name, theirs)| Some((name.as_deref()?, theirs)));
    let unused = unused.filter(|(name, _)| !taken.contains(name) && !name.ends_with("num_batches_tracked"));
    result.unexpected = unused.map(|(_, theirs)| (*theirs).to_owned()).collect();
    Ok(result)
}

/// That a file is of another DenseNet than the one that it was to start, if it is.
fn another(by_name: &BTreeMap<&str, &StoredTensor>, wanted: Architecture) -> Option<String> {
    let layers = |block: usize| {
        let number = |name: &&str| {
            name.strip_prefix(&format!("features.denseblock{block}.denselayer"))?.split('.').next()?.parse().ok()
        };
        by_name.keys().filter_map(number).max().unwrap_or(0)
    };
    let blocks: [i64; 4] = std::array::from_fn(|at| layers(at + 1));
    let name = Architecture::ALL.into_iter().find(|it| *it != wanted && it.blocks() == blocks)?.name();
    Some(format!(
        "it is of a {name}, which `humerus weights --architecture {name}` and a recipe with \"architecture\": \
         \"{name}\" take"
    ))
}

/// Whether two networks are one: their first convolutions are the same bytes of the file.
fn same(file: &WeightFile, a: &str, b: &str) -> bool {
    let first = |prefix: &str| {
        let of = |entry: &&StoredTensor| entry.name.strip_prefix(prefix).is_some_and(|rest| torchvision(rest) == FIRST);
        file.entries().iter().find(of)
    };
    a == b || first(a).zip(first(b)).is_some_and(|(a, b)| a.is_at(b))
}

/// What a file holds beside the network, in its order.
fn others(theirs: &[&str], names: &[Option<String>], prefix: &str, networks: &HashSet<&str>) -> Vec<Other> {
    let (mut others, mut places): (Vec<Other>, HashMap<&str, usize>) = Default::default();
    for (name, _) in theirs.iter().zip(names).filter(|(_, name)| name.is_none()) {
        let part = networks::part(name, prefix, networks);
        let at = *places.entry(part).or_insert(others.len());
        if at == others.len() {
            let is_network = networks.contains(format!("{part}.").as_str());
            others.push(Other { name: part.to_owned(), tensors: 0, is_network });
        }
        others[at].tensors += 1;
    }
    others
}

/// The values for a variable, and how they were adapted if they were; none if the shapes do not agree.
type Fitted = Option<(Tensor, Option<&'static str>)>;

fn fit(file: &WeightFile, variable: &Variable, entry: &StoredTensor) -> std::result::Result<Fitted, String> {
    let wanted = variable.tensor.size();
    let shape: Vec<i64> = entry.shape.iter().map(|&n| i64::try_from(n).unwrap_or(i64::MAX)).collect();
    // Nothing is taken out of the file before its shape is known to be one of ours.
    let adapt = match (wanted.as_slice(), shape.as_slice()) {
        (wanted, shape) if wanted == shape => None,
        ([o, 1, h, w], [p, 3, y, x]) if variable.name == FIRST && (o, h, w) == (p, y, x) => {
            Some("three input channels summed into one")
        }
        ([o, 3, h, w], [p, 1, y, x]) if variable.name == FIRST && (o, h, w) == (p, y, x) => {
            Some("a third of one input channel for each of three")
        }
        _ => return Ok(None),
    };
    let kind = match entry.dtype {
        Dtype::F32 => Kind::Float,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F64 => Kind::Double,
        other => return Err(format!("{}: expected floating-point values, got {other:?}", shown(&entry.name))),
    };
    let bytes = file.values(entry).map_err(|error| format!("{}: {error}", shown(&entry.name)))?;
    let values = Tensor::f_from_data_size(&bytes, &shape, kind).map_err(|error| error.to_string())?;
    let values = values.to_kind(Kind::Float);
    if let Some(flaw) = not_finite(&values) {
        return Err(format!("{}: {flaw}", shown(&entry.name)));
    }
    let values = match adapt {
        None => values,
        Some(_) if wanted[1] == 1 => values.sum_dim_intlist(1i64, true, Kind::Float),
        Some(_) => values.repeat([1, 3, 1, 1]) / 3.0,
    };
    Ok(Some((values, adapt)))
}
