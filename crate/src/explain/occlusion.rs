//! Occlusion: Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014 (arXiv:1311.2901).

use tch::{Kind, Tensor};

use super::MapOptions;
use super::part::Part;
use super::pixels::baseline;
use crate::error::{Error, Result};
use crate::network::Classifier;

/// `[N, H, W]`: what the target loses where a window shows the baseline, the mean over the windows on a pixel. Windows
/// begin at every stride and are cut off at the far edges.
pub(super) fn maps(model: &Classifier, films: &Tensor, options: &MapOptions) -> Result<Part> {
    let size = films.size();
    let (n, height, width) = (size[0], size[2], size[3]);
    let shorter = height.min(width);
    let window = options.window.unwrap_or((shorter / 8).max(1));
    if !(1..=shorter).contains(&window) {
        return Err(Error::setting("window", format!("1 to {shorter} pixels"), window));
    }
    let stride = options.stride.unwrap_or((window / 2).max(1));
    if !(1..=window).contains(&stride) {
        return Err(Error::setting("stride", format!("1 to {window} pixels, the window"), stride));
    }
    let _guard = tch::no_grad_guard();
    let nothing = baseline(films, options)?;
    let logits = model.predict(films)?;
    let whole = options.target.of(&logits)?;
    let starts = |side: i64| (0..=(side - window + stride - 1) / stride).map(move |at| at * stride);
    let places: Vec<(i64, i64)> = starts(height).flat_map(|y| starts(width).map(move |x| (y, x))).collect();
    let all = Tensor::zeros([n, height, width], (Kind::Float, films.device()));
    let covers = Tensor::zeros([height, width], (Kind::Float, films.device()));
    let within = |xs: &Tensor, (y, x): (i64, i64)| {
        let dims = xs.dim() as i64;
        xs.narrow(dims - 2, y, window.min(height - y)).narrow(dims - 1, x, window.min(width - x))
    };
    for &place in &places {
        let _ = within(&covers, place).g_add_scalar_(1.0);
    }
    let jobs: Vec<(i64, (i64, i64))> = (0..n).flat_map(|film| places.iter().map(move |&place| (film, place))).collect();
    for jobs in jobs.chunks(options.chunk) {
        let of: Vec<i64> = jobs.iter().map(|(film, _)| *film).collect();
        let of = Tensor::from_slice(&of).to_device(films.device());
        let hidden = films.index_select(0, &of);
        for (at, (film, place)) in jobs.iter().enumerate() {
            within(&hidden.get(at as i64), *place).copy_(&within(&nothing.get(*film), *place));
        }
        let lost = whole.index_select(0, &of) - options.target.of(&model.predict(&hidden)?)?;
        for (at, (film, place)) in jobs.iter().enumerate() {
            let _ = within(&all.get(*film), *place).g_add_(&lost.get(at as i64));
        }
    }
    Ok(Part::of_pixels(all / covers, logits))
}
