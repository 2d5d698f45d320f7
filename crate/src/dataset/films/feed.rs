//! Batches made ahead by a thread, so that the network never waits for films.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use tch::{Device, Kind, Tensor};

use super::pixels::Pixels;
use super::{rows, standardise};
use crate::preprocess::{Preprocess, grey};
use crate::slices;
use crate::{Error, Result};

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
    /// The films, `[B, 1, size, size]`, `f32` in `0.0..=1.0`: what [`Augment::apply`](crate::augment::Augment::apply) takes.
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

/// Batches in a given order, a few of them made ahead: what [`Films::feed`](super::Films::feed) returns. The batches are bit for
/// bit those that [`Films::batch`](super::Films::batch) is made of.
#[derive(Debug)]
pub struct Feed {
    batches: std::vec::IntoIter<Vec<usize>>,
    labels: Tensor,
    device: Device,
    source: Ahead,
}

#[derive(Debug)]
enum Ahead {
    /// All films are on the device already.
    Resident(Tensor),
    /// A thread gathers, and waits when enough lies ready.
    Thread { ready: Option<Receiver<Result<Tensor>>>, worker: Option<JoinHandle<()>> },
}

impl Feed {
    pub(super) fn resident(all: Tensor, labels: Tensor, batches: Vec<Vec<usize>>, device: Device) -> Feed {
        Feed { batches: batches.into_iter(), labels, device, source: Ahead::Resident(all) }
    }

    pub(super) fn threaded(
        pixels: Arc<Pixels>,
        labels: Tensor,
        batches: Vec<Vec<usize>>,
        device: Device,
        ahead: usize,
    ) -> Feed {
        // One batch waits in the thread's hands besides those in the queue.
        let (sender, ready) = sync_channel(ahead.saturating_sub(1));
        let order = batches.clone();
        let worker = std::thread::spawn(move || {
            for indices in order {
                let made = bytes(&pixels, &indices).map(|bytes| pinned(bytes, device));
                let failed = made.is_err();
                if sender.send(made).is_err() || failed {
                    break;
                }
            }
        });
        let source = Ahead::Thread { ready: Some(ready), worker: Some(worker) };
        Feed { batches: batches.into_iter(), labels, device, source }
    }

    fn pixels(&mut self, indices: &[usize]) -> Result<Tensor> {
        match &mut self.source {
            Ahead::Resident(all) => Ok(all.index_select(0, &rows(indices).to_device(self.device))),
            Ahead::Thread { ready, worker } => match ready.as_ref().and_then(|ready| ready.recv().ok()) {
                Some(bytes) => Ok(bytes?.to_device_(self.device, Kind::Uint8, true, false)),
                None => {
                    if let Some(Err(panic)) = worker.take().map(JoinHandle::join) {
                        std::panic::resume_unwind(panic);
                    }
                    Err(Error::Training("the thread that prepares films stopped".to_owned()))
                }
            },
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

impl Drop for Feed {
    fn drop(&mut self) {
        if let Ahead::Thread { ready, worker } = &mut self.source {
            // Without a receiver the thread ends at its next batch.
            drop(ready.take());
            if let Some(worker) = worker.take() {
                let _ = worker.join();
            }
        }
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
