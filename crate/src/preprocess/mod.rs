//! From an image file to what the network sees: the only home of size, resampling, mean and standard deviation.
//!
//! The antialiased resize is Pillow's `BILINEAR` within one grey level, so that weights trained with Python's tools see
//! the same pixels here. Unlike torchvision's usual crop, the default keeps the whole film and its aspect ratio.

mod placement;
mod window;

use std::fmt;
use std::path::Path;

use image::GrayImage;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

pub use film::{DicomHeader, Doubt, Flaw, Format, Header, MAX_PIXELS, decode, dicom_header, doubt, examine, inspect};
pub use film::{looks_inverted, read};
pub use placement::Placement;

use crate::{Error, Result};

/// How a film that is not square becomes square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Keep the aspect ratio, centre, and fill the rest with black.
    #[default]
    Letterbox,
    /// Scale width and height on their own, as the original notebooks did.
    Stretch,
}

/// How a film is prepared. Saved in the model card, so that a model always sees what it was trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// Width and height of the network's input in pixels, 64 to 4096. Default 224.
    pub size: u32,
    /// How the film becomes square. Default [`Fit::Letterbox`].
    pub fit: Fit,
    /// The percentiles of a film's greys that become black and white before it is resized, such as `[1.0, 99.0]`; from
    /// 0 to 100, the first below the second. Default none: greys stay as they are.
    #[serde(default)]
    pub window: Option<[f64; 2]>,
    /// Channels of the network's input, 1 or 3. Default 3, which are the same film three times, as networks for colour
    /// expect it. One is standardised by the average of the three means and deviations.
    #[serde(default = "three")]
    pub channels: u8,
    /// Subtracted from each channel of a film in `0.0..=1.0`. Default ImageNet's `[0.485, 0.456, 0.406]`.
    pub mean: [f32; 3],
    /// Divides each channel after that; above 0. Default ImageNet's `[0.229, 0.224, 0.225]`.
    pub std: [f32; 3],
}

fn three() -> u8 {
    3
}

impl Default for Preprocess {
    fn default() -> Self {
        Preprocess {
            size: 224,
            fit: Fit::default(),
            window: None,
            channels: 3,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        }
    }
}

impl fmt::Display for Preprocess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fit = match self.fit {
            Fit::Letterbox => "letterbox",
            Fit::Stretch => "stretched",
        };
        let numbers = |values: &[f32; 3]| values.map(|v| format!("{v:.3}")).join(" ");
        let size = self.size;
        write!(f, "{size} x {size} pixels, {fit}, ")?;
        if let Some([low, high]) = self.window {
            write!(f, "window from percentile {low} to {high}, ")?;
        }
        if self.channels == 1 {
            let average = |values: &[f32; 3]| values.iter().sum::<f32>() / 3.0;
            return write!(f, "one channel, mean {:.3}, deviation {:.3}", average(&self.mean), average(&self.std));
        }
        write!(f, "mean {}, deviation {}", numbers(&self.mean), numbers(&self.std))
    }
}

impl Preprocess {
    /// Checks every field against its range.
    ///
    /// # Errors
    /// [`Error::Setting`] for a size outside 64 to 4096, a window whose percentiles do not rise within 0 to 100, a mean
    /// that is not finite or a standard deviation that is not above 0.
    pub fn validate(&self) -> Result<()> {
        if !(64..=4096).contains(&self.size) {
            return Err(Error::setting("preprocess.size", "64 to 4096 pixels", self.size));
        }
        if !matches!(self.channels, 1 | 3) {
            return Err(Error::setting("preprocess.channels", "1 or 3", self.channels));
        }
        if let Some([low, high]) = self.window
            && !(0.0 <= low && low < high && high <= 100.0)
        {
            let expected = "two percentiles from 0 to 100, the first below the second";
            return Err(Error::setting("preprocess.window", expected, format!("{low} and {high}")));
        }
        if let Some(mean) = self.mean.iter().find(|mean| !mean.is_finite()) {
            return Err(Error::setting("preprocess.mean", "a number", mean));
        }
        if let Some(std) = self.std.iter().find(|std| !(std.is_finite() && **std > 0.0)) {
            return Err(Error::setting("preprocess.std", "a number above 0", std));
        }
        Ok(())
    }

    /// Where an image of `width × height` pixels lies in the network's square.
    pub fn placement(&self, width: u32, height: u32) -> Placement {
        Placement::new(width, height, self.size, self.fit)
    }

    /// An image as the network sees it before standardisation: windowed, `size × size`, grey, padded with black.
    pub fn square(&self, image: &GrayImage) -> GrayImage {
        let place = self.placement(image.width(), image.height());
        let scaled = match self.window {
            Some(window) => film::resize(&window::percentiles(image, window), place.width, place.height),
            None => film::resize(image, place.width, place.height),
        };
        if (place.width, place.height) == (self.size, self.size) {
            return scaled;
        }
        let mut square = GrayImage::new(self.size, self.size);
        image::imageops::replace(&mut square, &scaled, place.left.into(), place.top.into());
        square
    }

    /// A mask of an image, in the same square: 255 where a pixel of the square shows any part of the mask, else 0.
    ///
    /// A fracture line one pixel wide therefore never vanishes; a mask grows by less than a pixel on each side.
    pub fn mask(&self, mask: &GrayImage) -> GrayImage {
        let place = self.placement(mask.width(), mask.height());
        let mut square = GrayImage::new(self.size, self.size);
        for y in 0..place.height {
            let rows = covered(y, place.height, mask.height());
            for x in 0..place.width {
                let columns = covered(x, place.width, mask.width());
                let any = rows.clone().any(|row| columns.clone().any(|column| mask.get_pixel(column, row).0[0] >= 128));
                if any {
                    square.put_pixel(place.left + x, place.top + y, image::Luma([255]));
                }
            }
        }
        square
    }

    /// Squares as one standardised batch: the network's input.
    ///
    /// # Shapes
    /// - `squares`: each `size × size`, from [`Preprocess::square`]
    /// - returns: `[N, 3, size, size]`, `f32`, on the CPU; the three channels differ only by mean and standard
    ///   deviation. `[N, 1, size, size]` if `channels` is 1
    ///
    /// # Errors
    /// [`Error::Shape`] if a square has another size or there is none.
    pub fn tensor(&self, squares: &[GrayImage]) -> Result<Tensor> {
        let side = i64::from(self.size);
        let shape =
            |got: Vec<i64>| Error::Shape { what: "films", expected: format!("[N, {side}, {side}], N at least 1"), got };
        if squares.is_empty() {
            return Err(shape(vec![0, side, side]));
        }
        if let Some(square) = squares.iter().find(|square| square.dimensions() != (self.size, self.size)) {
            return Err(shape(vec![squares.len() as i64, square.height().into(), square.width().into()]));
        }
        let pixels: Vec<u8> = squares.iter().flat_map(|square| square.as_raw()).copied().collect();
        let pixels = Tensor::f_from_data_size(&pixels, &[squares.len() as i64, side, side], Kind::Uint8)?;
        Ok(self.standardise(&grey(&pixels)))
    }

    /// Films as the network sees them: `(grey - mean) / std`, for each channel.
    ///
    /// # Shapes
    /// - `films`: `[N, 1, h, w]`, `f32` in `0.0..=1.0`
    /// - returns: `[N, channels, h, w]`, `f32`, on the films' device
    pub(crate) fn standardise(&self, films: &Tensor) -> Tensor {
        let channels = |values: &[f32; 3]| {
            let values = Tensor::from_slice(values).view([1, 3, 1, 1]).to_device(films.device());
            if self.channels == 1 { values.mean_dim(1i64, true, Kind::Float) } else { values }
        };
        (films - channels(&self.mean)) / channels(&self.std)
    }

    /// Files to one standardised batch `[N, 3, size, size]`: [`decode`], [`Preprocess::square`], then
    /// [`Preprocess::tensor`].
    ///
    /// # Errors
    /// As those three say.
    pub fn load(&self, paths: &[impl AsRef<Path>]) -> Result<Tensor> {
        self.validate()?;
        let squares = paths.iter().map(|path| Ok(self.square(&decode(path)?))).collect::<Result<Vec<_>>>()?;
        self.tensor(&squares)
    }
}

/// Bytes `[N, h, w]` as films `[N, 1, h, w]`, `f32` in `0.0..=1.0`.
pub(crate) fn grey(pixels: &Tensor) -> Tensor {
    pixels.unsqueeze(1).to_kind(Kind::Float) / 255.0
}

/// Mean and standard deviation of all pixels of `films`, in `0.0..=1.0`, the same for the three channels: what the
/// reference recipe standardises by. The black of a letterbox counts, since the network sees it.
///
/// # Errors
/// [`Error::Setting`] if there is no pixel, or all are equal, so that nothing could be divided by the deviation.
pub fn training_statistics<F: AsRef<[u8]>>(films: impl IntoIterator<Item = F>) -> Result<([f32; 3], [f32; 3])> {
    let mut counts = [0u64; 256];
    for film in films {
        for &pixel in film.as_ref() {
            counts[usize::from(pixel)] += 1;
        }
    }
    let total: u64 = counts.iter().sum();
    let average = |value: &dyn Fn(f64) -> f64| -> f64 {
        let sum: f64 = (0u32..).zip(counts).map(|(level, n)| n as f64 * value(f64::from(level) / 255.0)).sum();
        sum / total as f64
    };
    let mean = average(&|v| v);
    let std = average(&|v| (v - mean).powi(2)).sqrt();
    if std > 0.0 {
        Ok(([mean as f32; 3], [std as f32; 3]))
    } else {
        Err(Error::setting(
            "training films",
            "pixels that differ, to standardise by",
            format!("{total} pixels with standard deviation {std}"),
        ))
    }
}

/// The source pixels that a pixel of the scaled image touches.
fn covered(at: u32, scaled: u32, source: u32) -> std::ops::Range<u32> {
    let (at, scaled, source) = (u64::from(at), u64::from(scaled), u64::from(source));
    ((at * source / scaled) as u32)..(((at + 1) * source).div_ceil(scaled) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;

    fn small(fit: Fit) -> Preprocess {
        Preprocess { size: 64, fit, ..Preprocess::default() }
    }

    #[test]
    fn a_letterboxed_film_is_centred_on_black_and_a_stretched_one_fills_the_square() {
        let white = GrayImage::from_pixel(300, 100, Luma([255]));
        let film = small(Fit::Letterbox).square(&white);
        let place = small(Fit::Letterbox).placement(300, 100);
        assert_eq!((place.left, place.top, place.width, place.height), (0, 22, 64, 21));
        for (_, y, pixel) in film.enumerate_pixels() {
            assert_eq!(pixel.0[0] == 255, (22..43).contains(&y));
        }
        assert!(small(Fit::Stretch).square(&white).pixels().all(|p| p.0[0] == 255));
    }

    #[test]
    fn standardisation_maps_black_and_white_to_the_stated_numbers() {
        let preprocess = small(Fit::Stretch);
        let films = [GrayImage::new(64, 64), GrayImage::from_pixel(64, 64, Luma([255]))];
        let batch = preprocess.tensor(&films).unwrap();
        assert_eq!(batch.size(), [2, 3, 64, 64]);
        assert_eq!(batch.kind(), Kind::Float);
        for (n, value) in [(0, 0.0), (1, 1.0)] {
            for c in 0..3 {
                let want = (value - preprocess.mean[c]) / preprocess.std[c];
                let got = batch.double_value(&[n, c as i64, 5, 60]) as f32;
                assert!((got - want).abs() < 1e-6, "{got} {want}");
            }
        }
    }

    #[test]
    fn one_channel_is_standardised_by_the_averages() {
        let preprocess = Preprocess { channels: 1, ..small(Fit::Stretch) };
        let batch = preprocess.tensor(&[GrayImage::from_pixel(64, 64, Luma([255]))]).unwrap();
        assert_eq!(batch.size(), [1, 1, 64, 64]);
        let mean = preprocess.mean.iter().sum::<f32>() / 3.0;
        let std = preprocess.std.iter().sum::<f32>() / 3.0;
        assert!((batch.double_value(&[0, 0, 9, 9]) - f64::from((1.0 - mean) / std)).abs() < 1e-6);
        assert!(preprocess.to_string().ends_with("one channel, mean 0.449, deviation 0.226"), "{preprocess}");
    }

    #[test]
    fn films_of_another_size_are_refused() {
        let odd = GrayImage::new(64, 63);
        assert!(matches!(small(Fit::Stretch).tensor(&[odd]), Err(Error::Shape { .. })));
        assert!(matches!(small(Fit::Stretch).tensor(&[]), Err(Error::Shape { .. })));
    }

    #[test]
    fn settings_out_of_range_are_refused_and_unknown_ones_too() {
        let size = Preprocess { size: 63, ..Preprocess::default() };
        let std = Preprocess { std: [0.2, 0.0, 0.2], ..Preprocess::default() };
        let mean = Preprocess { mean: [f32::NAN; 3], ..Preprocess::default() };
        let window = |low, high| Preprocess { window: Some([low, high]), ..Preprocess::default() };
        let windows =
            [window(-1.0, 99.0), window(99.0, 1.0), window(5.0, 5.0), window(1.0, 100.5), window(f64::NAN, 9.0)];
        for wrong in [size, std, mean].into_iter().chain(windows) {
            assert!(matches!(wrong.validate(), Err(Error::Setting { .. })), "{wrong:?}");
        }
        assert!(Preprocess { channels: 2, ..Preprocess::default() }.validate().is_err());
        window(0.5, 100.0).validate().unwrap();
        assert!(window(0.5, 99.0).to_string().contains("window from percentile 0.5 to 99,"));
        let json = serde_json::to_string(&Preprocess::default()).unwrap();
        assert_eq!(serde_json::from_str::<Preprocess>(&json).unwrap(), Preprocess::default());
        // A model card from before there was a window, and a choice of channels.
        let old = json.replace("\"window\":null,", "").replace("\"channels\":3,", "");
        assert!(old.len() < json.len());
        assert_eq!(serde_json::from_str::<Preprocess>(&old).unwrap(), Preprocess::default());
        let more = json.replace("\"size\"", "\"colour\":1,\"size\"");
        assert!(serde_json::from_str::<Preprocess>(&more).is_err());
    }

    #[test]
    fn a_thin_mask_survives_and_stays_within_a_pixel_of_its_place() {
        let mut mask = GrayImage::new(512, 400);
        for y in 0..400 {
            mask.put_pixel(301, y, Luma([255]));
        }
        let preprocess = small(Fit::Letterbox);
        let place = preprocess.placement(512, 400);
        let small = preprocess.mask(&mask);
        let x = place.left as f32 + 301.5 * place.scale().0;
        for y in place.top..place.top + place.height {
            let white: Vec<u32> = (0..64).filter(|&x| small.get_pixel(x, y).0[0] == 255).collect();
            assert_eq!(white, [x as u32]);
        }
        assert_eq!(small.pixels().filter(|p| p.0[0] == 255).count(), place.height as usize);
    }

    #[test]
    fn training_statistics_are_those_of_the_pixels() {
        let (mean, std) = training_statistics([&[0u8, 255][..], &[51, 102][..]]).unwrap();
        assert!((mean[0] - 0.4).abs() < 1e-6 && (std[2] - 0.374_165_74).abs() < 1e-6, "{mean:?} {std:?}");
        assert!(training_statistics([&[7u8; 9][..]]).is_err());
        assert!(training_statistics::<&[u8]>([]).is_err());
    }
}
