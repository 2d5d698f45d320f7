//! The ways to draw a heat map, and their settings.

use std::fmt;
use std::str::FromStr;

use tch::Tensor;

use super::{DEFAULT_LAYER, Target};
use crate::error::{Error, Result};

/// How a heat map comes about.
///
/// The first eight weigh the channels of a layer and give maps of its size; the others ask for the pixels and give maps
/// of the batch's size. All but [`ScoreCam`](Method::ScoreCam) and [`EigenCam`](Method::EigenCam) add up to, or are
/// slopes of, the [`Target`].
///
/// Guided backpropagation is left out on purpose. It zeroes negative gradients at every ReLU on the way down, which
/// makes pictures of edges that look like evidence and hardly depend on the weights: its maps pass for those of the
/// trained network when the network's upper layers are random (Adebayo et al., "Sanity Checks for Saliency Maps",
/// NeurIPS 2018, arXiv:1810.03292), and it nearly restores the image whatever class is asked for (Nie et al.,
/// ICML 2018, arXiv:1805.07039).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Method {
    /// Channels by their mean gradient: Selvaraju et al., ICCV 2017 (arXiv:1610.02391).
    #[default]
    GradCam,
    /// Channels by their positive gradients, each place by its share: Chattopadhay et al., WACV 2018
    /// (arXiv:1710.11063).
    GradCamPlusPlus,
    /// Gradient times activation, place by place: Draelos & Carin, 2020 (arXiv:2011.08891). At the last map of a
    /// network with average pooling and one linear layer, equal to Grad-CAM.
    HiResCam,
    /// Positive gradients times activation, place by place: Jiang et al., IEEE TIP 2021. For shallow layers.
    LayerCam,
    /// Channels by the mean gradient weighed by the activation: Fu et al., BMVC 2020 (arXiv:2008.02312).
    XGradCam,
    /// Channels by the target where the film is seen through them only: Wang et al., CVPR workshops 2020
    /// (arXiv:1910.01279). No gradients; one forward pass a channel.
    ScoreCam,
    /// Channels by what the target loses without them: Desai & Ramaswamy, WACV 2020. Not divided by the target as in
    /// the paper, which turns the map round where the target is negative. No gradients; one forward pass a channel,
    /// none at the last maps, where the head alone is asked.
    AblationCam,
    /// The first principal component of the channels: Muhammad & Yeasin, IJCNN 2020 (arXiv:2008.00299). Knows of no
    /// target. The component has no sign of its own; its largest value is made positive.
    EigenCam,
    /// What the target loses where a window is blanked out, the mean over the windows that cover a pixel: Zeiler &
    /// Fergus, ECCV 2014 (arXiv:1311.2901).
    Occlusion,
    /// Gradients along the straight way from a baseline, times the way: Sundararajan et al., ICML 2017
    /// (arXiv:1703.01365). They add up to what the target gains on the way; how far they miss it is reported.
    IntegratedGradients,
    /// The mean gradient over noisy copies, without its sign: Smilkov et al., 2017 (arXiv:1706.03825).
    SmoothGrad,
    /// Input times gradient: Shrikumar et al., 2016 (arXiv:1605.01713).
    InputTimesGradient,
}

impl Method {
    /// Every method, those of layers first.
    pub const ALL: [Method; 12] = [
        Method::GradCam,
        Method::GradCamPlusPlus,
        Method::HiResCam,
        Method::LayerCam,
        Method::XGradCam,
        Method::ScoreCam,
        Method::AblationCam,
        Method::EigenCam,
        Method::Occlusion,
        Method::IntegratedGradients,
        Method::SmoothGrad,
        Method::InputTimesGradient,
    ];

    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Method::GradCam => "grad-cam",
            Method::GradCamPlusPlus => "grad-cam++",
            Method::HiResCam => "hires-cam",
            Method::LayerCam => "layer-cam",
            Method::XGradCam => "xgrad-cam",
            Method::ScoreCam => "score-cam",
            Method::AblationCam => "ablation-cam",
            Method::EigenCam => "eigen-cam",
            Method::Occlusion => "occlusion",
            Method::IntegratedGradients => "integrated-gradients",
            Method::SmoothGrad => "smooth-grad",
            Method::InputTimesGradient => "input-x-gradient",
        }
    }

    /// Whether it looks through layers; else at pixels.
    pub fn is_of_layers(self) -> bool {
        !matches!(
            self,
            Method::Occlusion | Method::IntegratedGradients | Method::SmoothGrad | Method::InputTimesGradient
        )
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Method {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Method::ALL.into_iter().find(|method| method.name() == text).ok_or_else(|| {
            Error::setting("method", format!("one of {}", Method::ALL.map(Method::name).join(", ")), text)
        })
    }
}

/// What heat maps are asked for, and how.
#[derive(Debug)]
pub struct MapOptions {
    /// What is explained. Default the logit of *abnormal* less that of *normal*.
    pub target: Target,
    /// The layers that are looked through, by torchvision's names, at least one; methods of pixels ignore them.
    /// Default [`DEFAULT_LAYER`].
    pub layers: Vec<String>,
    /// Side of the network's input in pixels where a [`crate::model::Model`] is asked for a film, 64 to 4096. Default
    /// none: the size that the model was trained at. A larger one gives finer maps and moves the score.
    pub size: Option<u32>,
    /// Inputs that are looked at together, which bounds the memory; 1 or more. Default 16.
    pub chunk: usize,
    /// Occlusion's square window in pixels, 1 to the batch's shorter side. Default none: an eighth of that side.
    pub window: Option<i64>,
    /// Pixels from one window to the next, 1 to the window. Default none: half a window.
    pub stride: Option<i64>,
    /// Steps of integrated gradients (midpoints), 1 to 10,000. Default 32.
    pub steps: usize,
    /// Noisy copies of SmoothGrad, 1 to 10,000. Default 16.
    pub samples: usize,
    /// Deviation of SmoothGrad's noise as a share of the film's range of values, 0 to 1. Default 0.1.
    pub noise: f64,
    /// Seeds that noise. Default 0.
    pub seed: u64,
    /// What stands for *nothing to see* in occlusion and integrated gradients: anything that broadcasts to one film
    /// `[C, H, W]`, standardised. Default none: zeros, the mean grey.
    pub baseline: Option<Tensor>,
}

impl Default for MapOptions {
    fn default() -> Self {
        MapOptions {
            target: Target::default(),
            layers: vec![DEFAULT_LAYER.to_owned()],
            size: None,
            chunk: 16,
            window: None,
            stride: None,
            steps: 32,
            samples: 16,
            noise: 0.1,
            seed: 0,
            baseline: None,
        }
    }
}

impl Clone for MapOptions {
    fn clone(&self) -> Self {
        MapOptions {
            target: self.target.clone(),
            layers: self.layers.clone(),
            baseline: self.baseline.as_ref().map(Tensor::shallow_clone),
            ..*self
        }
    }
}

impl MapOptions {
    /// The default at one layer.
    pub fn at(layer: impl Into<String>) -> MapOptions {
        MapOptions { layers: vec![layer.into()], ..MapOptions::default() }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn validate(&self) -> Result<()> {
        let range = |what: &'static str, expected: &str, is_met: bool, got: &dyn fmt::Display| match is_met {
            true => Ok(()),
            false => Err(Error::setting(what, expected, got)),
        };
        range("layers", "at least one", !self.layers.is_empty(), &0)?;
        let size = self.size.unwrap_or(64);
        range("size", "64 to 4096 pixels", (64..=4096).contains(&size), &size)?;
        range("chunk", "1 or more", self.chunk > 0, &self.chunk)?;
        range("steps", "1 to 10000", (1..=10_000).contains(&self.steps), &self.steps)?;
        range("samples", "1 to 10000", (1..=10_000).contains(&self.samples), &self.samples)?;
        range("noise", "0 to 1", (0.0..=1.0).contains(&self.noise), &self.noise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_reads_as_it_is_written() {
        for method in Method::ALL {
            assert_eq!(method.name().parse::<Method>().unwrap(), method);
        }
        let error = "guided-backprop".parse::<Method>().unwrap_err().to_string();
        assert!(error.starts_with("method: expected one of grad-cam, grad-cam++, "), "{error}");
    }

    #[test]
    fn options_out_of_their_ranges_are_refused() {
        MapOptions::default().validate().unwrap();
        let wrong = [
            MapOptions { layers: Vec::new(), ..MapOptions::default() },
            MapOptions { size: Some(63), ..MapOptions::default() },
            MapOptions { chunk: 0, ..MapOptions::default() },
            MapOptions { steps: 0, ..MapOptions::default() },
            MapOptions { samples: 10_001, ..MapOptions::default() },
            MapOptions { noise: f64::NAN, ..MapOptions::default() },
        ];
        for options in wrong {
            assert!(options.validate().is_err(), "{options:?}");
        }
    }
}
