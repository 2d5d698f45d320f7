//! Batches made ahead by a thread, so that the network never waits for films.

use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use super::ahead::Ahead;
use super::pixels::Pixels;
use super::{rows, standardise};
use crate::Result;
use crate::preprocess::{Preprocess, grey};
use crate::slices;

/// Films for one step.
#[derive(Debug)]
pub struct Batch {
    /// Which films these are, as positions in [`Films`](super::Films).
    pub indices: Vec<usize>,
    /// The films, `[B, size, size]`, `u8`, on the feed's device.
    pub pixels: Tensor,
    /// Their labels, `[B]`, `i64`, on the feed's device.
    pub labels: Tensor,
}

impl Batch {
    /// The films, `[B, 1, size, size]`, `f32` in `0.0..=1.0`: what [`Augment::apply`](crate::augment::Augment::apply)
    /// takes.
    pub fn films(&self) -> Tensor {
        grey(&self.pixels)
    }

    /// The films as the network sees them, `[B, channels, size, size]`, `f32`: standardised by `preprocess`.
    pub fn standardised(&self, preprocess: &Preprocess) -> Tensor {
        match standardise::in_one_pass(&self.pixels, preprocess) {
            Some(films) => films,
            None => preprocess.standardise(&self.films()),
        }
    }
}

/// Batches in a given order, a few of them made ahead: what [`Films::feed`](super::Films::feed) returns. The batches
/// are bit for bit those that [`Films::batch`](super::Films::batch) is made of.
#[derive(Debug)]
pub struct Feed {
    batches: std::vec::IntoIter<Vec<usize>>,
    labels: Tensor,
    device: Device,
    source: Supply,
}

#[derive(Debug)]
enum Supply {
    /// All films are on the device already.
    Resident(Tensor),
    /// A thread gathers.
    Made(Ahead<Result<Tensor>>),
}

impl Feed {
    pub(super) fn resident(all: Tensor, labels: Tensor, batches: Vec<Vec<usize>>, device: Device) -> Feed {
        Feed { batches: batches.into_iter(), labels, device, source: Supply::Resident(all) }
    }

    pub(super) fn threaded(
        pixels: Arc<Pixels>,
        labels: Tensor,
        batches: Vec<Vec<usize>>,
        device: Device,
        ahead: usize,
    ) -> Feed {
        let order = batches.clone().into_iter();
        let made = order.map(move |indices| bytes(&pixels, &indices).map(|bytes| pinned(bytes, device)));
        Feed { batches: batches.into_iter(), labels, device, source: Supply::Made(Ahead::new(ahead, made)) }
    }

    fn pixels(&mut self, indices: &[usize]) -> Result<Tensor> {
        match &mut self.source {
            Supply::Resident(all) => Ok(all.index_select(0, &rows(indices).to_device(self.device))),
            Supply::Made(made) => {
                let bytes = made.next().unwrap_or_else(|| unreachable!("as many are made as there are batches"))?;
                Ok(bytes.to_device_(self.device, Kind::Uint8, true, false))
            }
        }
    }
}

impl Iterator for Feed {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        let indices = self.batches.next()?;
        let pixels = self.pixels(&indices);
        if pixels.is_err() {
            // Nothing comes after a film that cannot be decoded.
            self.batches = Vec::new().into_iter();
        }
        let labels = self.labels.index_select(0, &rows(&indices)).to_device(self.device);
        Some(pixels.map(|pixels| Batch { indices, pixels, labels }))
    }
}

/// Films at `indices` as bytes, `[B, size, size]`, on the CPU.
pub(super) fn bytes(pixels: &Pixels, indices: &[usize]) -> Result<Tensor> {
    let side = pixels.side();
    slices::try_filled([indices.len() as i64, side, side], |place| pixels.gather(indices, place))?
}

/// The bytes in memory that a GPU can fetch by itself, if one is to.
fn pinned(bytes: Tensor, device: Device) -> Tensor {
    match device {
        Device::Cuda(_) => bytes.f_pin_memory(device).unwrap_or(bytes),
        _ => bytes,
    }
}
