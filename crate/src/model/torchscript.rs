//! Models as TorchScript, written directly: `torch.jit.load` opens them without this crate, in Python, C++ or on a
//! phone.
//!
//! An archive is a zip of a pickled tree of modules, its storages, and the source of their classes in TorchScript's
//! dialect of Python (PyTorch's `torch/csrc/jit/docs/serialization.md`). A traced network would hold its weights as
//! constants of the device and dtype that it was traced with; this one is a module as `torch.jit.script` makes
//! it of torchvision's: parameters and buffers under torchvision's names, `training`, no device anywhere. So it can be
//! frozen, moved, halved and trained on.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;

use super::file::{CARD_KEY, Model, card_json, require_finite};
use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::network::{Architecture, Head, VariableKind, bytes};

/// The archive's folder.
const FOLDER: &str = "humerus";
/// The format's version since PyTorch 1.4; no operator that is used here has changed since.
const VERSION: &str = "3\n";
/// Where the classes lie: `__torch__.NAME` is `NAME` in this file.
const SOURCE: &str = "code/__torch__.py";

impl Model {
    /// Writes the network as TorchScript, for `torch.jit.load`, with the card as the extra file `humerus`.
    ///
    /// Its input is as [`Classifier`](crate::network::Classifier)'s, of any number and size; its output are logits `[N,
    /// classes]`. Its weights have torchvision's names, it is in eval mode, and it can be frozen, moved to another
    /// device or dtype, and trained further.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save_torchscript(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        require_finite(&self.classifier, path)?;
        let archive = self.torchscript(&card_json(&self.card, path)?);
        Ok(write_atomically(path, &archive.map_err(|error| Error::io(path)(std::io::Error::other(error)))?)?)
    }

    fn torchscript(&self, card: &str) -> std::result::Result<Vec<u8>, rawzip::Error> {
        let (architecture, head) = (self.classifier.architecture(), self.classifier.head());
        let mut pickle = PickleWriter { bytes: b"\x80\x02".to_vec(), storages: Vec::new() };
        let tensors: HashMap<&str, usize> =
            self.classifier.variables().iter().enumerate().map(|(at, it)| (it.name.as_str(), at)).collect();
        network(architecture, head).pickled("", &mut pickle, &|name, pickle| {
            let variable = &self.classifier.variables()[tensors[name]];
            pickle.tensor(&variable.tensor.size(), bytes(&variable.tensor).0, variable.kind == VariableKind::Weight);
        });
        pickle.bytes.push(b'.');
        let mut zip = rawzip::ZipArchiveWriter::new(Vec::new());
        let mut add = |name: &str, content: &[u8]| -> std::result::Result<(), rawzip::Error> {
            let (mut entry, config) = zip.new_file(format!("{FOLDER}/{name}").as_str()).start()?;
            let mut writer = config.wrap(&mut entry);
            writer.write_all(content)?;
            let (_, written) = writer.finish()?;
            entry.finish(written).map(drop)
        };
        add("data.pkl", &pickle.bytes)?;
        add(SOURCE, source(architecture, head).as_bytes())?;
        for (key, values) in pickle.storages.iter().enumerate() {
            add(&format!("data/{key}"), values)?;
        }
        // An empty tuple: no class has a constant that is a tensor.
        add("constants.pkl", b"\x80\x02).")?;
        add(&format!("extra/{CARD_KEY}"), card.as_bytes())?;
        add("byteorder", b"little")?;
        add("version", VERSION.as_bytes())?;
        zip.finish()
    }
}

/// A part of the network: its class, and its parts by name.
struct Module {
    class: String,
    parts: Vec<(String, ModulePart)>,
}

enum ModulePart {
    /// A tensor that an optimiser may move, or not.
    Tensor,
    Module(Module),
}

impl Module {
    fn new(class: impl Into<String>, parts: Vec<(String, Module)>) -> Module {
        Module {
            class: class.into(),
            parts: parts.into_iter().map(|(name, it)| (name, ModulePart::Module(it))).collect(),
        }
    }

    fn of_tensors(class: impl Into<String>, names: &[&str]) -> Module {
        Module {
            class: class.into(),
            parts: names.iter().map(|name| ((*name).to_owned(), ModulePart::Tensor)).collect(),
        }
    }

    /// The module as an object of its class, its tensors by `tensor`, which gets their whole names.
    fn pickled(&self, prefix: &str, pickle: &mut PickleWriter, tensor: &dyn Fn(&str, &mut PickleWriter)) {
        pickle.global("__torch__", &self.class);
        pickle.bytes.extend(b")\x81}(");
        for (name, part) in &self.parts {
            pickle.text(name);
            let whole = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            match part {
                ModulePart::Tensor => tensor(&whole, pickle),
                ModulePart::Module(module) => module.pickled(&whole, pickle, tensor),
            }
        }
        pickle.text("training");
        pickle.flag(false);
        pickle.text("_is_full_backward_hook");
        pickle.bytes.extend(b"Nub");
    }
}

/// A convolution's class, by its stride.
fn conv(side: i64, stride: i64) -> Module {
    Module::of_tensors(format!("Conv{side}Stride{stride}"), &["weight"])
}

fn norm() -> Module {
    Module::of_tensors("Norm", &["weight", "bias", "running_mean", "running_var"])
}

/// The tree of modules, under torchvision's names.
fn network(architecture: Architecture, head: Head) -> Module {
    let named = |name: &str, module: Module| (name.to_owned(), module);
    let mut features = vec![named("conv0", conv(7, 2)), named("norm0", norm())];
    let blocks = architecture.blocks();
    for (b, layers) in (1..).zip(blocks) {
        let layer = || {
            let parts = [("norm1", norm()), ("conv1", conv(1, 1)), ("norm2", norm()), ("conv2", conv(3, 1))];
            Module::new("DenseLayer", parts.map(|(name, module)| named(name, module)).into())
        };
        let block = (1..=layers).map(|l| (format!("denselayer{l}"), layer())).collect();
        features.push((format!("denseblock{b}"), Module::new(format!("DenseBlock{b}"), block)));
        if b < blocks.len() {
            let parts = vec![named("norm", norm()), named("conv", conv(1, 1))];
            features.push((format!("transition{b}"), Module::new("Transition", parts)));
        }
    }
    features.push(named("norm5", norm()));
    let linear = || Module::of_tensors("Linear", &["weight", "bias"]);
    let classifier = match head {
        Head::Linear { .. } => linear(),
        Head::Reference { .. } => Module::new("Classifier", REFERENCE.map(|name| named(name, linear())).into()),
    };
    Module::new("Humerus", vec![named("features", Module::new("Features", features)), named("classifier", classifier)])
}

/// The reference head's layers, as a `Sequential` numbers them.
const REFERENCE: [&str; 4] = ["0", "2", "4", "6"];

/// The source of every class.
fn source(architecture: Architecture, head: Head) -> String {
    let mut text = String::new();
    let mut declared = Vec::new();
    declare(&network(architecture, head), architecture, head, &mut declared, &mut text);
    text
}

/// Writes the classes of a module's parts, then its own, each once.
fn declare(module: &Module, architecture: Architecture, head: Head, declared: &mut Vec<String>, text: &mut String) {
    if declared.contains(&module.class) {
        return;
    }
    for (_, part) in &module.parts {
        if let ModulePart::Module(part) = part {
            declare(part, architecture, head, declared, text);
        }
    }
    declared.push(module.class.clone());
    let is_buffer = |name: &str| name.starts_with("running_");
    let tensors = || module.parts.iter().filter(|(_, part)| matches!(part, ModulePart::Tensor)).map(|(name, _)| name);
    let quoted = |buffers: bool| -> String {
        tensors().filter(|name| is_buffer(name) == buffers).map(|name| format!("\"{name}\", ")).collect()
    };
    let mut lines = vec![format!("__parameters__ = [{}]", quoted(false)), format!("__buffers__ = [{}]", quoted(true))];
    for (name, part) in &module.parts {
        let class = match part {
            ModulePart::Tensor => "Tensor".to_owned(),
            ModulePart::Module(part) => format!("__torch__.{}", part.class),
        };
        lines.push(match name.starts_with(|c: char| c.is_ascii_digit()) {
            true => format!("__annotations__[\"{name}\"] = {class}"),
            false => format!("{name} : {class}"),
        });
    }
    lines.extend(["training : bool".to_owned(), "_is_full_backward_hook : Optional[bool]".to_owned()]);
    let takes = if module.class == "DenseLayer" { "List[Tensor]" } else { "Tensor" };
    lines.push(format!("def forward(self: __torch__.{}, xs: {takes}) -> Tensor:", module.class));
    lines.extend(body(module, architecture, head).iter().map(|line| format!("  {line}")));
    text.push_str(&format!("class {}(Module):\n", module.class));
    lines.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
}

/// What a class does, line by line, with its input `xs`.
fn body(module: &Module, architecture: Architecture, head: Head) -> Vec<String> {
    let line = |text: &str| text.to_owned();
    match module.class.as_str() {
        "Norm" => vec![line(
            "return torch.batch_norm(xs, self.weight, self.bias, self.running_mean, self.running_var, self.training, \
             0.1, 1e-05, True)",
        )],
        "Linear" => vec![line("return torch.linear(xs, self.weight, self.bias)")],
        "DenseLayer" => vec![
            line("ys = self.conv1.forward(torch.relu(self.norm1.forward(torch.cat(xs, 1))))"),
            line("return self.conv2.forward(torch.relu(self.norm2.forward(ys)))"),
        ],
        "Transition" => vec![
            line("ys = self.conv.forward(torch.relu(self.norm.forward(xs)))"),
            line("return torch.avg_pool2d(ys, [2, 2], [2, 2], [0, 0], False, True, None)"),
        ],
        "Features" => {
            let mut lines = vec![
                line("xs = torch.relu(self.norm0.forward(self.conv0.forward(xs)))"),
                line("xs = torch.max_pool2d(xs, [3, 3], [2, 2], [1, 1], [1, 1], False)"),
            ];
            for (name, _) in module.parts.iter().filter(|(name, _)| name.starts_with("dense") || name.starts_with("tr"))
            {
                lines.push(format!("xs = self.{name}.forward(xs)"));
            }
            lines.push(line("return torch.relu(self.norm5.forward(xs))"));
            lines
        }
        "Classifier" => {
            let layer = |name: &str| format!("getattr(self, \"{name}\").forward(xs)");
            let (last, hidden) = REFERENCE.split_last().expect("there are four");
            let mut lines: Vec<String> =
                hidden.iter().map(|name| format!("xs = torch.relu({})", layer(name))).collect();
            lines.push(format!("return {}", layer(last)));
            lines
        }
        "Humerus" => {
            let pooled = match head {
                Head::Linear { .. } => "torch.flatten(torch.adaptive_avg_pool2d(maps, [1, 1]), 1, -1)",
                Head::Reference { .. } => "torch.amax(maps, [2, 3], False)",
            };
            vec![line("maps = self.features.forward(xs)"), format!("return self.classifier.forward({pooled})")]
        }
        block if block.starts_with("DenseBlock") => {
            let maps = |n: usize| (1..n).fold("xs".to_owned(), |list, l| format!("{list}, ys{l}"));
            let layers = module.parts.len();
            let mut lines: Vec<String> =
                (1..=layers).map(|l| format!("ys{l} = self.denselayer{l}.forward([{}])", maps(l))).collect();
            lines.push(format!("return torch.cat([{}], 1)", maps(layers + 1)));
            lines
        }
        conv => {
            let [side, stride] = SIDES
                .iter()
                .find(|[side, stride]| conv == format!("Conv{side}Stride{stride}"))
                .copied()
                .unwrap_or_else(|| unreachable!("{conv} of {} has no source", architecture.name()));
            let pad = side / 2;
            vec![format!("return torch.conv2d(xs, self.weight, None, [{stride}, {stride}], [{pad}, {pad}], [1, 1], 1)")]
        }
    }
}

/// Side and stride of every convolution.
const SIDES: [[i64; 2]; 3] = [[7, 2], [1, 1], [3, 1]];

/// A pickle in the making (protocol 2, the opcodes that PyTorch's reader in C++ knows), and the storages that it refers
/// to.
struct PickleWriter {
    bytes: Vec<u8>,
    storages: Vec<Vec<u8>>,
}

impl PickleWriter {
    fn global(&mut self, module: &str, name: &str) {
        self.bytes.extend(format!("c{module}\n{name}\n").as_bytes());
    }

    fn text(&mut self, text: &str) {
        self.bytes.push(b'X');
        self.bytes.extend((text.len() as u32).to_le_bytes());
        self.bytes.extend(text.as_bytes());
    }

    fn flag(&mut self, flag: bool) {
        self.bytes.push(if flag { 0x88 } else { 0x89 });
    }

    fn int(&mut self, value: i64) {
        self.bytes.extend([0x8a, 8]);
        self.bytes.extend(value.to_le_bytes());
    }

    fn ints(&mut self, values: &[i64]) {
        self.bytes.push(b'(');
        values.iter().for_each(|value| self.int(*value));
        self.bytes.push(b't');
    }

    /// A tensor of `f32`, row-major, as `torch._utils._rebuild_tensor_v2` makes it.
    fn tensor(&mut self, shape: &[i64], values: Vec<u8>, learns: bool) {
        let elements: i64 = shape.iter().product();
        let mut strides = vec![1; shape.len()];
        for d in (1..shape.len()).rev() {
            strides[d - 1] = strides[d] * shape[d];
        }
        self.global("torch._utils", "_rebuild_tensor_v2");
        self.bytes.extend(b"((");
        self.text("storage");
        self.global("torch", "FloatStorage");
        self.text(&self.storages.len().to_string());
        self.text("cpu");
        self.int(elements);
        self.bytes.extend(b"tQ");
        self.int(0);
        self.ints(shape);
        self.ints(&strides);
        self.flag(learns);
        self.global("collections", "OrderedDict");
        self.bytes.extend(b")RtR");
        self.storages.push(values);
    }
}

#[cfg(test)]
mod tests {
    use tch::{CModule, Device, Kind, Tensor};

    use super::*;
    use crate::model::file::untrained;
    use crate::network::{Classifier, Mode};

    #[test]
    fn a_scripted_network_gives_the_same_logits_for_other_numbers_and_sizes_of_films() {
        let folder = tempfile::tempdir().unwrap();
        for head in [Head::Linear { classes: 2 }, Head::Reference { classes: 2 }] {
            let model = untrained(head, 96);
            let path = folder.path().join("script.pt");
            model.save_torchscript(&path).unwrap();
            let script = CModule::load(&path).unwrap();
            for size in [[1, 3, 96, 96], [3, 3, 128, 80]] {
                let films = Tensor::randn(size, (Kind::Float, Device::Cpu));
                let (ours, theirs) =
                    (model.classifier.forward(&films, Mode::Eval).unwrap(), script.forward_ts(&[films]).unwrap());
                assert!(ours.allclose(&theirs, 1e-4, 1e-5, false), "{size:?}");
            }
            // Under torchvision's names, and back.
            let other = Classifier::new(model.card.architecture, head, 9, Device::Cpu);
            let loaded = crate::weights::load(&other, &path).unwrap();
            assert_eq!((loaded.loaded.len(), loaded.unexpected.len()), (other.variables().len(), 0), "{loaded}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays behind");
    }

    #[test]
    fn the_same_weights_are_the_same_file() {
        let model = untrained(Head::Linear { classes: 2 }, 64);
        let [one, two] = [0, 1].map(|_| model.torchscript("{}").unwrap());
        assert_eq!(one, two);
    }
}
