//! The few layers a DenseNet is made of, and the registry that names and initialises their weights.
//!
//! Initial weights come from ChaCha8 seeded by the model's seed, not from libtorch's global generator, so a seed means
//! the same weights in every process.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use tch::{Device, Kind, Tensor};

use crate::counted;

/// A weight that an optimiser may move, or a statistic that only a forward pass in train mode moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VariableKind {
    /// Moved by the optimiser.
    Weight,
    /// BatchNorm's running mean or variance.
    Statistic,
}

/// A named tensor of the network.
#[derive(Debug)]
pub struct Variable {
    /// torchvision's name, for example `features.denseblock1.denselayer1.norm1.weight`.
    pub name: String,
    /// The values; shared with the layer that uses them.
    pub tensor: Tensor,
    /// Weight or statistic.
    pub kind: VariableKind,
}

/// Makes layers and remembers their variables in order.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(crate) variables: Vec<Variable>,
    rng: ChaCha8Rng,
    device: Device,
}

impl Registry {
    pub(crate) fn new(seed: u64, device: Device) -> Self {
        Registry { variables: Vec::new(), rng: ChaCha8Rng::seed_from_u64(seed), device }
    }

    fn add(&mut self, name: String, values: &[f32], size: &[i64], kind: VariableKind) -> Tensor {
        let tensor = Tensor::from_slice(values)
            .view(size)
            .to_device(self.device)
            .set_requires_grad(kind == VariableKind::Weight);
        self.variables.push(Variable { name, tensor: tensor.shallow_clone(), kind });
        tensor
    }

    fn constant(&mut self, name: String, value: f32, channels: i64, kind: VariableKind) -> Tensor {
        self.add(name, &vec![value; channels as usize], &[channels], kind)
    }

    /// Bias-free convolution, He initialisation (normal, fan in, gain √2), as torchvision's DenseNet does it.
    pub(crate) fn conv(&mut self, name: &str, c_in: i64, c_out: i64, kernel: i64, stride: i64, padding: i64) -> Conv {
        let fan_in = c_in * kernel * kernel;
        let normal = Normal::new(0.0, (2.0 / fan_in as f32).sqrt()).expect("a positive, finite deviation");
        let values: Vec<f32> = normal.sample_iter(&mut self.rng).take((c_out * fan_in) as usize).collect();
        let size = [c_out, c_in, kernel, kernel];
        Conv { weight: self.add(format!("{name}.weight"), &values, &size, VariableKind::Weight), stride, padding }
    }

    pub(crate) fn batch_norm(&mut self, name: &str, channels: i64) -> BatchNorm {
        BatchNorm {
            weight: self.constant(format!("{name}.weight"), 1.0, channels, VariableKind::Weight),
            bias: self.constant(format!("{name}.bias"), 0.0, channels, VariableKind::Weight),
            mean: self.constant(format!("{name}.running_mean"), 0.0, channels, VariableKind::Statistic),
            variance: self.constant(format!("{name}.running_var"), 1.0, channels, VariableKind::Statistic),
        }
    }

    /// torchvision's classifier: weights uniform in ±1/√fan-in, bias zero.
    pub(crate) fn linear(&mut self, name: &str, n_in: i64, n_out: i64) -> Linear {
        self.uniform_linear(name, n_in, n_out, (1.0 / n_in as f32).sqrt())
    }

    /// Keras' `Dense`: Glorot uniform weights, bias zero.
    pub(crate) fn glorot_linear(&mut self, name: &str, n_in: i64, n_out: i64) -> Linear {
        self.uniform_linear(name, n_in, n_out, (6.0 / (n_in + n_out) as f32).sqrt())
    }

    fn uniform_linear(&mut self, name: &str, n_in: i64, n_out: i64, bound: f32) -> Linear {
        let values: Vec<f32> = (0..n_in * n_out).map(|_| self.rng.random_range(-bound..bound)).collect();
        Linear {
            weight: self.add(format!("{name}.weight"), &values, &[n_out, n_in], VariableKind::Weight),
            bias: self.constant(format!("{name}.bias"), 0.0, n_out, VariableKind::Weight),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Conv {
    pub(super) weight: Tensor,
    pub(super) stride: i64,
    pub(super) padding: i64,
}

impl Conv {
    pub(crate) fn forward(&self, xs: &Tensor) -> Tensor {
        let (s, p) = (self.stride, self.padding);
        xs.conv2d(&self.weight.to_kind(xs.kind()), None::<Tensor>, [s, s], [p, p], [1, 1], 1)
    }
}

#[derive(Debug)]
pub(crate) struct BatchNorm {
    pub(super) weight: Tensor,
    pub(super) bias: Tensor,
    pub(super) mean: Tensor,
    pub(super) variance: Tensor,
}

impl BatchNorm {
    /// Whether weight or bias may learn.
    pub(super) fn learns(&self) -> bool {
        self.weight.requires_grad() || self.bias.requires_grad()
    }

    /// Batch statistics are used, and running ones moved, only in train mode **and** only where the layer may learn: a
    /// frozen BatchNorm keeps its stored statistics, as in Keras.
    pub(crate) fn forward(&self, xs: &Tensor, train: bool) -> Tensor {
        let train = train && self.learns();
        let all = [&self.weight, &self.bias, &self.mean, &self.variance];
        // libtorch takes f32 statistics and weights for bf16, but not for f64.
        let all = all.map(|it| if xs.kind() == Kind::Double { it.to_kind(Kind::Double) } else { it.shallow_clone() });
        let [weight, bias, mean, variance] = &all;
        let ys = xs.batch_norm(Some(weight), Some(bias), Some(mean), Some(variance), train, 0.1, 1e-5, true);
        if train && xs.kind() == Kind::Double {
            tch::no_grad(|| {
                self.mean.shallow_clone().copy_(mean);
                self.variance.shallow_clone().copy_(variance);
            });
        }
        ys
    }
}

#[derive(Debug)]
pub(crate) struct Linear {
    pub(super) weight: Tensor,
    pub(super) bias: Tensor,
}

impl Linear {
    pub(crate) fn forward(&self, xs: &Tensor) -> Tensor {
        xs.linear(&self.weight.to_kind(xs.kind()), Some(&self.bias.to_kind(xs.kind())))
    }
}

/// What is wrong with a tensor that holds values which are no finite numbers; none if it holds none.
pub(crate) fn not_finite(tensor: &Tensor) -> Option<String> {
    let finite = tensor.isfinite();
    if finite.all().int64_value(&[]) == 1 {
        return None;
    }
    let wrong = tensor.numel() as i64 - finite.sum(Kind::Int64).int64_value(&[]);
    Some(format!("{wrong} of {} NaN or infinite", counted(tensor.numel(), "value")))
}

/// Bytes of a tensor's values in row-major order, and their dtype.
pub(crate) fn bytes(tensor: &Tensor) -> (Vec<u8>, Kind) {
    let flat = tensor.detach().to_device(Device::Cpu).contiguous();
    let kind = flat.kind();
    let mut bytes = vec![0; flat.numel() * kind.elt_size_in_bytes()];
    flat.copy_data_u8(&mut bytes, flat.numel());
    (bytes, kind)
}
