//! The network as a whole: features, head, named variables, and one hook that sees every layer.

mod densenet;
mod fused;
mod gradients;
mod layers;
mod places;

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

pub use densenet::{Architecture, Head};
pub use layers::{Variable, VariableKind};
pub(crate) use layers::{bytes, not_finite};
pub(crate) use places::{Kept, Waypoint};

use crate::error::{Error, Result};
use densenet::{Features, HeadLayers, Hook, Walk};
use layers::Registry;

/// Smallest input side in pixels: the network halves it five times.
pub const SMALLEST_INPUT: i64 = 64;

/// How much of the network may learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Unfreeze {
    /// Everything.
    #[default]
    All,
    /// The head, the last norm and the last dense block.
    LastBlock,
    /// The last 60 Keras layers of the original: the head, the last norm, dense layers 10-16 of the last block, and the
    /// second norm and convolution of layer 9. 3,739,394 parameters under the reference head. DenseNet-121 only.
    Reference,
    /// The head alone.
    Head,
}

impl Unfreeze {
    fn learns(self, name: &str) -> bool {
        let head = name.starts_with("classifier");
        match self {
            Unfreeze::All => true,
            Unfreeze::Head => head,
            Unfreeze::LastBlock => {
                head || name.starts_with("features.norm5") || name.starts_with("features.denseblock4")
            }
            Unfreeze::Reference => {
                let layer = name
                    .strip_prefix("features.denseblock4.denselayer")
                    .and_then(|rest| rest.split_once('.'))
                    .and_then(|(number, part)| Some((number.parse::<u32>().ok()?, part)));
                head || name.starts_with("features.norm5")
                    || matches!(layer, Some((10.., _)))
                    || matches!(layer, Some((9, part)) if part.starts_with("norm2") || part.starts_with("conv2"))
            }
        }
    }
}

/// Which statistics BatchNorm uses in a forward pass, and whether it moves its running ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// BatchNorm layers that may learn use the batch's statistics and move their running ones.
    Train,
    /// BatchNorm uses its stored statistics; nothing moves.
    Eval,
}

/// Parameter counts, in both conventions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterCount {
    /// Weights and biases, as PyTorch counts them.
    pub weights: i64,
    /// BatchNorm's running means and variances.
    pub statistics: i64,
    /// Weights and biases that may learn.
    pub trainable: i64,
}

impl ParameterCount {
    /// As Keras counts: running statistics included.
    pub fn keras(self) -> i64 {
        self.weights + self.statistics
    }
}

/// A stage of the network, for summaries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkStage {
    /// torchvision's name, for example `features.denseblock2`.
    pub name: String,
    /// Its output without the batch: `[C, h, w]`, or `[classes]` for the head.
    pub output: Vec<i64>,
    /// Weights and biases in it.
    pub weights: i64,
    /// Those that may learn.
    pub trainable: i64,
}

/// A DenseNet with a head, on one device.
///
/// Inputs are `[N, 3, H, W]` (`[N, 1, H, W]` with one channel), `f32`, standardised by
/// [`crate::preprocess::Preprocess`], with `H` and `W` at least [`SMALLEST_INPUT`]; outputs are logits `[N, classes]`.
#[derive(Debug)]
pub struct Classifier {
    architecture: Architecture,
    head: Head,
    features: Features,
    head_layers: HeadLayers,
    channels: i64,
    variables: Vec<Variable>,
    device: Device,
    kind: Kind,
}

impl Classifier {
    /// A network for three input channels with random weights, the same for the same seed in every process.
    pub fn new(architecture: Architecture, head: Head, seed: u64, device: Device) -> Self {
        Classifier::with_channels(architecture, 3, head, seed, device)
    }

    /// The same for any number of input channels: films are grey, so that one is enough.
    pub fn with_channels(architecture: Architecture, channels: u8, head: Head, seed: u64, device: Device) -> Self {
        let channels = i64::from(channels);
        let mut registry = Registry::new(seed, device);
        let features = Features::new(&mut registry, architecture, channels);
        let head_layers = HeadLayers::new(&mut registry, architecture.feature_channels(), head);
        Classifier {
            architecture,
            head,
            features,
            head_layers,
            channels,
            variables: registry.variables,
            device,
            kind: Kind::Float,
        }
    }

    /// Which DenseNet this is.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Channels of its input.
    pub fn channels(&self) -> i64 {
        self.channels
    }

    /// Which head it has.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Where its weights are.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The dtype of feature maps: `f32`, unless [`compute_in`](Self::compute_in) said otherwise.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Chooses the dtype of feature maps: [`Kind::Float`], [`Kind::BFloat16`], or [`Kind::Double`],
    /// which is slow and there to compare with other implementations without rounding. Inputs, weights, statistics and
    /// gradients stay `f32`, as do the head and logits, which under [`Kind::Double`] are `f64` too.
    ///
    /// # Errors
    /// [`Error::Setting`] for another dtype.
    pub fn compute_in(&mut self, kind: Kind) -> Result<()> {
        if !matches!(kind, Kind::Float | Kind::BFloat16 | Kind::Double) {
            return Err(Error::setting("dtype", "Float, BFloat16 or Double", format!("{kind:?}")));
        }
        self.kind = kind;
        Ok(())
    }

    /// Every named tensor, in the order of the layers.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// The weights that may learn, in order.
    pub fn trainable(&self) -> Vec<&Variable> {
        self.variables.iter().filter(|v| v.tensor.requires_grad()).collect()
    }

    /// Chooses what may learn. BatchNorm layers that may not learn keep their running statistics also in
    /// [`Mode::Train`].
    ///
    /// # Errors
    /// [`Error::Setting`] for [`Unfreeze::Reference`] on another network than DenseNet-121.
    pub fn unfreeze(&mut self, what: Unfreeze) -> Result<()> {
        if what == Unfreeze::Reference && self.architecture != Architecture::DenseNet121 {
            return Err(Error::setting("unfreeze `reference`", "densenet121", self.architecture.name()));
        }
        for variable in &self.variables {
            let learns = variable.kind == VariableKind::Weight && what.learns(&variable.name);
            let _ = variable.tensor.set_requires_grad(learns);
        }
        Ok(())
    }

    /// Counts parameters.
    pub fn parameters(&self) -> ParameterCount {
        let count = |of: &dyn Fn(&Variable) -> bool| {
            self.variables.iter().filter(|v| of(v)).map(|v| v.tensor.numel() as i64).sum()
        };
        ParameterCount {
            weights: count(&|v| v.kind == VariableKind::Weight),
            statistics: count(&|v| v.kind == VariableKind::Statistic),
            trainable: count(&|v| v.tensor.requires_grad()),
        }
    }

    /// Checks that `batch` is `[N, channels, H, W]` with sides of at least [`SMALLEST_INPUT`] and `f32` values.
    pub(crate) fn check_input(&self, batch: &Tensor) -> Result<()> {
        let size = batch.size();
        let fits = matches!(size[..], [n, c, h, w] if n > 0 && c == self.channels && h.min(w) >= SMALLEST_INPUT);
        if fits && batch.kind() == Kind::Float {
            return Ok(());
        }
        Err(Error::Shape {
            what: "batch",
            expected: format!("[N, {}, H, W] of f32 with H and W at least {SMALLEST_INPUT}", self.channels),
            got: size,
        })
    }

    /// Logits `[N, classes]` of a batch `[N, 3, H, W]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the batch has another shape.
    pub fn forward(&self, batch: &Tensor, mode: Mode) -> Result<Tensor> {
        self.forward_with(batch, mode, &mut |_, _| ())
    }

    /// As [`forward`](Self::forward), while `hook` sees the name and the output of every layer: the one window onto
    /// them.
    ///
    /// Names are torchvision's module names, and besides them `….relu1`, `….relu2`, `features.relu5` for the ReLUs that
    /// it applies without a name, and `pooled` for the pooled features `[N, C]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the batch has another shape.
    pub fn forward_with(&self, batch: &Tensor, mode: Mode, hook: &mut dyn FnMut(&str, &Tensor)) -> Result<Tensor> {
        self.check_input(batch)?;
        let walk = self.walk(batch, mode, &mut |name, xs| {
            hook(name, &xs);
            ControlFlow::Continue(xs)
        });
        Ok(whole(walk))
    }

    /// Logits `[N, classes]` of a batch `[N, 3, H, W]` in [`Mode::Eval`], without a graph: the fastest way to score
    /// films.
    ///
    /// # Errors
    /// [`Error::Shape`] if the batch has another shape.
    pub fn predict(&self, batch: &Tensor) -> Result<Tensor> {
        let _guard = tch::no_grad_guard();
        if self.device != Device::Cpu {
            return self.forward(batch, Mode::Eval);
        }
        self.check_input(batch)?;
        let (features, _) = self.features.fused(&channels_last(batch).to_kind(self.kind), false);
        Ok(self.classify(&features))
    }

    /// Logits of the last feature map.
    fn classify(&self, features: &Tensor) -> Tensor {
        whole(self.head_layers.forward(&features.to_kind(self.head_kind()), &mut |_, xs| ControlFlow::Continue(xs)))
    }

    fn walk(&self, batch: &Tensor, mode: Mode, hook: &mut Hook) -> Walk {
        // Channels last in memory, the same numbers: convolutions on a CPU are up to 1.7 times as fast, and all layers
        // keep it.
        let batch = &channels_last(batch).to_kind(self.kind);
        let features = self.features.forward(batch, mode == Mode::Train, hook)?;
        self.head_layers.forward(&features.to_kind(self.head_kind()), hook)
    }

    /// The dtype that the head computes in.
    fn head_kind(&self) -> Kind {
        if self.kind == Kind::Double { Kind::Double } else { Kind::Float }
    }

    /// The output of one layer, `[N, C, h, w]` (`[N, C]` in the head), `f32` whatever the network computes in,
    /// computing nothing behind it. Eval mode.
    ///
    /// # Errors
    /// [`Error::NoSuchLayer`], [`Error::Shape`].
    pub fn activation(&self, batch: &Tensor, layer: &str) -> Result<Tensor> {
        self.check_input(batch)?;
        let mut kept = None;
        let _ = self.walk(batch, Mode::Eval, &mut |name, xs| {
            if name == layer {
                kept = Some(xs);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(xs)
        });
        kept.map(|xs| xs.to_kind(Kind::Float)).ok_or_else(|| self.no_such_layer(layer))
    }

    pub(crate) fn no_such_layer(&self, layer: &str) -> Error {
        Error::NoSuchLayer { layer: layer.to_owned(), example: "features.denseblock3".to_owned() }
    }

    /// The network's stages for an input of `size × size`: stem, dense blocks, transitions, last norm, head.
    pub fn stages(&self, size: i64) -> Vec<NetworkStage> {
        let _guard = tch::no_grad_guard();
        let side = size.max(SMALLEST_INPUT);
        let batch = Tensor::zeros([1, self.channels, side, side], (Kind::Float, self.device));
        let mut shapes = std::collections::HashMap::new();
        let walk = self.walk(&batch, Mode::Eval, &mut |name, xs| {
            shapes.insert(name.to_owned(), xs.size()[1..].to_vec());
            ControlFlow::Continue(xs)
        });
        let mut stages: Vec<NetworkStage> = Vec::new();
        for variable in self.variables.iter().filter(|v| v.kind == VariableKind::Weight) {
            let mut parts = variable.name.split('.');
            let (first, second) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let name = if first == "classifier" { first.to_owned() } else { format!("{first}.{second}") };
            if stages.last().is_none_or(|stage| stage.name != name) {
                let pooled = format!("{name}.pool");
                let output = match &walk {
                    ControlFlow::Continue(logits) if name == "classifier" => logits.size()[1..].to_vec(),
                    _ => shapes.get(&name).or_else(|| shapes.get(&pooled)).cloned().unwrap_or_default(),
                };
                stages.push(NetworkStage { name, output, weights: 0, trainable: 0 });
            }
            if let Some(stage) = stages.last_mut() {
                let n = variable.tensor.numel() as i64;
                stage.weights += n;
                stage.trainable += if variable.tensor.requires_grad() { n } else { 0 };
            }
        }
        stages
    }

    /// Every layer name that [`forward_with`](Self::forward_with) shows, in order.
    pub fn layers(&self) -> Vec<String> {
        self.layers_where(|_| true)
    }

    /// Those of them whose output is maps, `[N, C, h, w]`: what heat maps and layer grids look at.
    pub fn map_layers(&self) -> Vec<String> {
        self.layers_where(|output| output.dim() == 4)
    }

    fn layers_where(&self, wanted: impl Fn(&Tensor) -> bool) -> Vec<String> {
        let _guard = tch::no_grad_guard();
        let side = SMALLEST_INPUT;
        let batch = Tensor::zeros([1, self.channels, side, side], (Kind::Float, self.device));
        let mut names = Vec::new();
        let _ = self.walk(&batch, Mode::Eval, &mut |name, output| {
            if wanted(&output) {
                names.push(name.to_owned());
            }
            ControlFlow::Continue(output)
        });
        names
    }
}

/// The end of a walk whose hook never breaks.
fn whole(walk: Walk) -> Tensor {
    match walk {
        ControlFlow::Continue(out) => out,
        ControlFlow::Break(()) => unreachable!("the hook never breaks"),
    }
}

/// The same numbers in another order in memory: the channels of a pixel side by side.
fn channels_last(batch: &Tensor) -> Tensor {
    batch.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

#[cfg(test)]
mod tests;
