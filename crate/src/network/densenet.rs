//! DenseNet: "Densely Connected Convolutional Networks", Huang et al., CVPR 2017 (arXiv:1608.06993).
//!
//! Layer for layer and name for name torchvision's network, so comparing models is comparing weight names. Two
//! departures: pooling before the head adapts to any input of 64 pixels or more, and no ReLU works in place, so that a
//! kept activation stays what it was.

use std::ops::ControlFlow;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::layers::{BatchNorm, Conv, Linear, Registry};
use super::places::Waypoint;
use crate::error::{Error, Result};

/// The published configurations of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// Growth 32, blocks of 6, 12, 24 and 16 layers; 7.0 M weights below the head.
    #[default]
    DenseNet121,
    /// Growth 48, blocks of 6, 12, 36 and 24 layers; 26.5 M.
    DenseNet161,
    /// Growth 32, blocks of 6, 12, 32 and 32 layers; 12.5 M.
    DenseNet169,
    /// Growth 32, blocks of 6, 12, 48 and 32 layers; 18.1 M.
    DenseNet201,
}

impl Architecture {
    /// Every DenseNet, from the smallest.
    pub const ALL: [Architecture; 4] =
        [Architecture::DenseNet121, Architecture::DenseNet169, Architecture::DenseNet201, Architecture::DenseNet161];

    /// Channels that each dense layer adds.
    pub fn growth_rate(self) -> i64 {
        match self {
            Architecture::DenseNet161 => 48,
            _ => 32,
        }
    }

    /// Dense layers in each of the four blocks.
    pub fn blocks(self) -> [i64; 4] {
        match self {
            Architecture::DenseNet121 => [6, 12, 24, 16],
            Architecture::DenseNet161 => [6, 12, 36, 24],
            Architecture::DenseNet169 => [6, 12, 32, 32],
            Architecture::DenseNet201 => [6, 12, 48, 32],
        }
    }

    /// Channels after the first convolution: twice the growth rate.
    pub fn first_channels(self) -> i64 {
        2 * self.growth_rate()
    }

    /// torchvision's name of the network.
    pub fn name(self) -> &'static str {
        match self {
            Architecture::DenseNet121 => "densenet121",
            Architecture::DenseNet161 => "densenet161",
            Architecture::DenseNet169 => "densenet169",
            Architecture::DenseNet201 => "densenet201",
        }
    }

    /// Channels of the last feature map: 1024 for DenseNet-121.
    pub fn feature_channels(self) -> i64 {
        let blocks = self.blocks();
        blocks.iter().enumerate().fold(self.first_channels(), |channels, (i, layers)| {
            let grown = channels + layers * self.growth_rate();
            if i + 1 == blocks.len() { grown } else { grown / 2 }
        })
    }
}

impl FromStr for Architecture {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Architecture::ALL.into_iter().find(|architecture| architecture.name() == text);
        found.ok_or_else(|| {
            let expected = Architecture::ALL.map(Architecture::name).join(", ");
            Error::setting("architecture", format!("one of {expected}"), text)
        })
    }
}

/// Called with the name and the output of each layer; returns what the layers behind it read, the same or another in
/// its place. `Break` ends the forward pass.
pub(crate) type Hook<'a> = dyn FnMut(&str, Tensor) -> Walk + 'a;

/// The output of a forward pass; `Break` where the hook ended it.
pub(crate) type Walk = ControlFlow<(), Tensor>;

#[derive(Debug)]
pub(super) struct DenseLayer {
    pub(super) name: String,
    pub(super) norm1: BatchNorm,
    pub(super) conv1: Conv,
    pub(super) norm2: BatchNorm,
    pub(super) conv2: Conv,
}

impl DenseLayer {
    fn new(registry: &mut Registry, name: String, channels: i64, growth: i64) -> Self {
        let bottleneck = 4 * growth;
        DenseLayer {
            norm1: registry.batch_norm(&format!("{name}.norm1"), channels),
            conv1: registry.conv(&format!("{name}.conv1"), channels, bottleneck, 1, 1, 0),
            norm2: registry.batch_norm(&format!("{name}.norm2"), bottleneck),
            conv2: registry.conv(&format!("{name}.conv2"), bottleneck, growth, 3, 1, 1),
            name,
        }
    }

    fn forward(&self, inputs: &[Tensor], train: bool, hook: &mut Hook) -> Walk {
        let mut see = |layer: &str, xs: Tensor| hook(&format!("{}.{layer}", self.name), xs);
        let xs = see("norm1", self.norm1.forward(&Tensor::cat(inputs, 1), train))?;
        let xs = see("relu1", xs.relu())?;
        let xs = see("conv1", self.conv1.forward(&xs))?;
        let xs = see("norm2", self.norm2.forward(&xs, train))?;
        let xs = see("relu2", xs.relu())?;
        see("conv2", self.conv2.forward(&xs))
    }
}

#[derive(Debug)]
pub(super) struct Transition {
    pub(super) name: String,
    pub(super) norm: BatchNorm,
    pub(super) conv: Conv,
}

/// Everything below the head: `[N, 3, H, W]` → `[N, C, H/32, W/32]`.
#[derive(Debug)]
pub(crate) struct Features {
    pub(super) conv0: Conv,
    pub(super) norm0: BatchNorm,
    pub(super) blocks: Vec<(String, Vec<DenseLayer>)>,
    pub(super) transitions: Vec<Transition>,
    pub(super) norm5: BatchNorm,
}

impl Features {
    pub(crate) fn new(registry: &mut Registry, architecture: Architecture, input: i64) -> Self {
        let growth = architecture.growth_rate();
        let mut channels = architecture.first_channels();
        let conv0 = registry.conv("features.conv0", input, channels, 7, 2, 3);
        let norm0 = registry.batch_norm("features.norm0", channels);
        let mut blocks = Vec::new();
        let mut transitions = Vec::new();
        let counts = architecture.blocks();
        for (b, layers) in counts.into_iter().enumerate() {
            let name = format!("features.denseblock{}", b + 1);
            let mut block = Vec::new();
            for l in 1..=layers {
                block.push(DenseLayer::new(registry, format!("{name}.denselayer{l}"), channels, growth));
                channels += growth;
            }
            blocks.push((name, block));
            if b + 1 < counts.len() {
                let name = format!("features.transition{}", b + 1);
                transitions.push(Transition {
                    norm: registry.batch_norm(&format!("{name}.norm"), channels),
                    conv: registry.conv(&format!("{name}.conv"), channels, channels / 2, 1, 1, 0),
                    name,
                });
                channels /= 2;
            }
        }
        let norm5 = registry.batch_norm("features.norm5", channels);
        Features { conv0, norm0, blocks, transitions, norm5 }
    }

    /// The last feature map after its ReLU, which torchvision applies without a name; we call it `features.relu5`.
    pub(crate) fn forward(&self, xs: &Tensor, train: bool, hook: &mut Hook) -> Walk {
        let xs = hook("features.conv0", self.conv0.forward(xs))?;
        let xs = hook("features.norm0", self.norm0.forward(&xs, train))?;
        let xs = hook("features.relu0", xs.relu())?;
        let xs = hook("features.pool0", xs.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false))?;
        self.onward(Waypoint::entry(0), xs, train, hook)
    }

    /// The same from a place on, given what lies there.
    pub(crate) fn onward(&self, from: Waypoint, mut xs: Tensor, train: bool, hook: &mut Hook) -> Walk {
        for (b, (name, block)) in self.blocks.iter().enumerate().filter(|(b, _)| from <= Waypoint::block(*b)) {
            if from < Waypoint::block(b) {
                let mut outputs = vec![xs];
                for layer in block {
                    let grown = layer.forward(&outputs, train, hook)?;
                    outputs.push(grown);
                }
                xs = hook(name, Tensor::cat(&outputs, 1))?;
            }
            if let Some(transition) = self.transitions.get(b) {
                let mut see = |layer: &str, xs| hook(&format!("{}.{layer}", transition.name), xs);
                let ys = see("norm", transition.norm.forward(&xs, train))?;
                let ys = see("relu", ys.relu())?;
                let ys = see("conv", transition.conv.forward(&ys))?;
                // tch's own avg_pool2d_default sums; an explicit `None` divisor averages.
                xs = see("pool", ys.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None::<i64>))?;
            }
        }
        if from < Waypoint::NORM5 {
            xs = hook("features.norm5", self.norm5.forward(&xs, train))?;
        }
        if from < Waypoint::RELU5 { hook("features.relu5", xs.relu()) } else { ControlFlow::Continue(xs) }
    }
}

/// What turns the last feature map into class logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Head {
    /// torchvision's: global average pooling, then one linear layer.
    Linear {
        /// Classes; 2 for normal and abnormal.
        classes: i64,
    },
    /// The original project's: global *max* pooling, dense layers of 1024, 1024 and 512 with ReLU, then the classes.
    Reference {
        /// Classes; 2 for normal and abnormal.
        classes: i64,
    },
}

impl Head {
    /// Number of logits.
    pub fn classes(self) -> i64 {
        match self {
            Head::Linear { classes } | Head::Reference { classes } => classes,
        }
    }
}

#[derive(Debug)]
pub(crate) struct HeadLayers {
    head: Head,
    layers: Vec<(String, Linear)>,
}

impl HeadLayers {
    pub(crate) fn new(registry: &mut Registry, channels: i64, head: Head) -> Self {
        let layers = match head {
            Head::Linear { classes } => {
                vec![("classifier".to_owned(), registry.linear("classifier", channels, classes))]
            }
            Head::Reference { classes } => {
                let widths = [channels, 1024, 1024, 512, classes];
                (0..4)
                    .map(|i| {
                        // Sequential's numbering, where every second entry is a ReLU.
                        let name = format!("classifier.{}", 2 * i);
                        let layer = registry.glorot_linear(&name, widths[i], widths[i + 1]);
                        (name, layer)
                    })
                    .collect()
            }
        };
        HeadLayers { head, layers }
    }

    pub(crate) fn weights(&self) -> impl Iterator<Item = &Tensor> {
        self.layers.iter().flat_map(|(_, layer)| [&layer.weight, &layer.bias])
    }

    /// `[N, C, h, w]` → pooled `[N, C]` (seen as `pooled`) → logits `[N, classes]`.
    pub(crate) fn forward(&self, features: &Tensor, hook: &mut Hook) -> Walk {
        let pooled = match self.head {
            Head::Linear { .. } => features.adaptive_avg_pool2d([1, 1]).flatten(1, -1),
            Head::Reference { .. } => features.amax([2, 3], false),
        };
        let mut xs = hook("pooled", pooled)?;
        for (i, (name, layer)) in self.layers.iter().enumerate() {
            xs = hook(name, layer.forward(&xs))?;
            if i + 1 < self.layers.len() {
                xs = xs.relu();
            }
        }
        ControlFlow::Continue(xs)
    }
}
