//! Decoded films, wherever they are kept, and the batches drawn from them.

mod ahead;
mod feed;
mod pixels;
mod standardise;

use std::path::Path;
use std::sync::Arc;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor};

pub(crate) use ahead::Ahead;
pub use feed::{Batch, Feed};

use super::cache::{self, CacheFailure, CacheFolder, Preparing};
use crate::device;
use crate::preprocess::{Preprocess, grey, training_statistics};
use crate::{Error, Result, Tally};
use pixels::{PixelSource, Pixels, decoded};
use studies::{Study, View};

/// Where films are kept and how they reach the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Feeding {
    /// Where decoded films are kept between runs. Default [`CacheFolder::PerUser`].
    pub cache: CacheFolder,
    /// Bytes that the cache may take; what was not used for longest goes first. Default 32 GiB. The films in use are
    /// never removed, even if they take more.
    pub cache_limit: u64,
    /// Films move to a GPU, as bytes, if they take at most this share of its free memory. Default 0.5.
    pub device_share: f64,
    /// Without a cache, films stay in memory if they take at most this share of what is available, and else are decoded
    /// in each epoch. Default 0.5.
    pub memory_share: f64,
    /// Batches that lie ready before the network asks for them, at least 1. Default 4.
    pub ahead: usize,
}

impl Default for Feeding {
    fn default() -> Self {
        Feeding { cache: CacheFolder::PerUser, cache_limit: 32 << 30, device_share: 0.5, memory_share: 0.5, ahead: 4 }
    }
}

impl Feeding {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn validate(&self) -> Result<()> {
        for (what, share) in [("device_share", self.device_share), ("memory_share", self.memory_share)] {
            if !(0.0..=1.0).contains(&share) {
                return Err(Error::setting(what, "0 to 1", share));
            }
        }
        if !(1..=1024).contains(&self.ahead) {
            return Err(Error::setting("ahead", "1 to 1024 batches", self.ahead));
        }
        Ok(())
    }
}

/// Memory that is taken to be available where the operating system does not tell: 2 GiB.
const UNKNOWN_MEMORY: u64 = 2 << 30;
/// Batches made ahead when films are only looked at.
pub(crate) const LOOK_AHEAD: usize = 2;

/// Every view of some studies, fitted to the network's square, not yet standardised.
#[derive(Debug)]
pub struct Films {
    pixels: Arc<Pixels>,
    /// All of them on a GPU, `[N, size, size]`, `u8`.
    resident: Option<Tensor>,
    /// Class indices, `[N]`, `i64`, on the CPU: the label of each view's study.
    pub labels: Tensor,
    /// For each view the position of its study in the slice that was opened.
    pub study: Vec<usize>,
    /// The views themselves, in the order of the studies.
    pub views: Arc<[View]>,
    /// How the pixels are made and how batches are standardised. Mean and standard deviation may be changed afterwards;
    /// to change anything else has no effect.
    pub preprocess: Preprocess,
}

impl Films {
    /// Decodes every view of `studies` into memory on all cores: for a few films.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Decode`] that names the first film that cannot be used; [`Error::Setting`] if
    /// `preprocess` is not valid or memory is too small; [`Error::Split`] if there is no view.
    pub fn load(studies: &[&Study], preprocess: &Preprocess) -> Result<Films> {
        Films::new(studies, preprocess, |paths| Ok(PixelSource::Memory(decoded(paths, preprocess, &mut |_| ())?)))
    }

    /// Opens every view of `studies` through the [cache], decoding on all cores those that it lacks. Takes
    /// memory only for the list of films.
    ///
    /// Where the cache cannot be used, the films are decoded into memory, or in each epoch if they do not fit;
    /// `progress` hears of it once, as [`Preparing::Notice`].
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Decode`] that names a film that cannot be used; [`Error::Setting`] if `preprocess` or
    /// `feeding` is not valid; [`Error::Split`] if there is no view.
    pub fn open(
        studies: &[&Study],
        preprocess: &Preprocess,
        feeding: &Feeding,
        progress: &mut dyn FnMut(Preparing),
    ) -> Result<Films> {
        feeding.validate()?;
        Films::new(studies, preprocess, |paths| {
            let mut reason = None;
            if let Some(folder) = feeding.cache.path() {
                match cache::open(&folder, feeding.cache_limit, paths, preprocess, progress) {
                    Ok((store, films)) => return Ok(PixelSource::Cache(store, films)),
                    Err(CacheFailure::Film(error)) => return Err(error),
                    Err(CacheFailure::Folder(error)) => reason = Some(format!("{}: {error}", folder.display())),
                }
            } else if feeding.cache == CacheFolder::PerUser {
                reason = Some("the user has no home folder".to_owned());
            }
            uncached(paths, preprocess, feeding, reason, progress)
        })
    }

    /// The views of `studies`, decoded whenever they are asked for: for one pass over any number of films.
    ///
    /// # Errors
    /// [`Error::Setting`] if `preprocess` is not valid; [`Error::Split`] if there is no view. Films that cannot be
    /// decoded are met in [`Films::batch`] and [`Films::feed`].
    pub fn undecoded(studies: &[&Study], preprocess: &Preprocess) -> Result<Films> {
        Films::new(studies, preprocess, |_| Ok(PixelSource::Files))
    }

    fn new(
        studies: &[&Study],
        preprocess: &Preprocess,
        source: impl FnOnce(&[&Path]) -> Result<PixelSource>,
    ) -> Result<Films> {
        preprocess.validate()?;
        let study: Vec<usize> =
            studies.iter().enumerate().flat_map(|(at, study)| study.views.iter().map(move |_| at)).collect();
        let views: Arc<[View]> = studies.iter().flat_map(|study| &study.views).cloned().collect();
        if views.is_empty() {
            return Err(Error::Split("no film to load".to_owned()));
        }
        let labels: Vec<i64> = study.iter().map(|&at| studies[at].label.index() as i64).collect();
        let paths: Vec<&Path> = views.iter().map(|view| view.path.as_path()).collect();
        let pixels = Arc::new(Pixels::new(Arc::clone(&views), preprocess, source(&paths)?));
        let labels = Tensor::from_slice(&labels);
        Ok(Films { pixels, resident: None, labels, study, views, preprocess: preprocess.clone() })
    }

    /// How many films there are; at least one.
    pub fn len(&self) -> usize {
        self.views.len()
    }

    /// Never true: without a view there are no `Films`.
    pub fn is_empty(&self) -> bool {
        self.views.is_empty()
    }

    /// Moves the films to a GPU, as bytes, if they take at most `share` of its free memory; from then on batches are
    /// made there. Returns whether they are there. A CPU is left alone: there the films stay where they are.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Decode`] that names a film that cannot be decoded.
    pub fn move_to(&mut self, device: Device, share: f64) -> Result<bool> {
        let wanted = self.len() as u64 * self.pixels.film_bytes() as u64;
        match device::free_memory(device) {
            Some(free) if wanted as f64 <= share * free as f64 => {}
            _ => return Ok(false),
        }
        let side = self.pixels.side();
        let Ok(all) = Tensor::f_empty([self.len() as i64, side, side], (Kind::Uint8, device)) else {
            return Ok(false);
        };
        let order: Vec<usize> = (0..self.len()).collect();
        for indices in order.chunks(cache::chunk(&self.preprocess)) {
            let mut part = all.narrow(0, indices[0] as i64, indices.len() as i64);
            part.copy_(&feed::bytes(&self.pixels, indices)?);
        }
        self.resident = Some(all);
        Ok(true)
    }

    /// Some films, standardised. What a film looks like does not depend on the others in the batch.
    ///
    /// # Shapes
    /// - returns: films `[B, 3, size, size]`, `f32`, and labels `[B]`, `i64`, both on `device`, in the order of
    ///   `indices`
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Decode`] if a film must be decoded and cannot be.
    ///
    /// # Panics
    /// If an index is not below [`Films::len`].
    pub fn batch(&self, indices: &[usize], device: Device) -> Result<(Tensor, Tensor)> {
        let films = match &self.resident {
            Some(all) => all.index_select(0, &rows(indices).to_device(all.device())).to_device(device),
            None => feed::bytes(&self.pixels, indices)?.to_device(device),
        };
        let labels = self.labels.index_select(0, &rows(indices)).to_device(device);
        Ok((self.preprocess.standardise(&grey(&films)), labels))
    }

    /// The films of `batches`, in that order, with up to `ahead` batches made before they are asked for.
    ///
    /// # Panics
    /// If an index is not below [`Films::len`].
    pub fn feed(&self, batches: Vec<Vec<usize>>, device: Device, ahead: usize) -> Feed {
        let last = batches.iter().flatten().max();
        assert!(last.is_none_or(|last| *last < self.len()), "{last:?} of {} films", self.len());
        let labels = self.labels.shallow_clone();
        match &self.resident {
            Some(all) if all.device() == device => Feed::resident(all.shallow_clone(), labels, batches, device),
            _ => Feed::threaded(Arc::clone(&self.pixels), labels, batches, device, ahead),
        }
    }

    /// How many films are normal and how many abnormal.
    pub fn class_counts(&self) -> [usize; 2] {
        let abnormal = self.labels.sum(Kind::Int64).int64_value(&[]) as usize;
        [self.len() - abnormal, abnormal]
    }

    /// Mean and standard deviation of these films: see [`training_statistics`]. Looks at a few films at a time.
    ///
    /// # Errors
    /// [`Error::Setting`] if all pixels are equal; [`Error::Io`] or [`Error::Decode`] if a film must be decoded and
    /// cannot be.
    pub fn statistics(&self) -> Result<([f32; 3], [f32; 3])> {
        let order: Vec<usize> = (0..self.len()).collect();
        let mut failed = None;
        let films = order.chunks(cache::chunk(&self.preprocess)).map_while(|indices| {
            let mut films = vec![0; indices.len() * self.pixels.film_bytes()];
            let gathered = self.pixels.gather(indices, &mut films).map(|()| films);
            gathered.map_err(|error| failed = Some(error)).ok()
        });
        let statistics = training_statistics(films);
        failed.map_or(statistics, Err)
    }
}

/// Adds what the cache lacks of the films of `studies`, so that they are there when [`Films::open`] asks. Does nothing
/// where there is no cache to use.
///
/// # Errors
/// As [`Films::open`].
pub fn prepare(
    studies: &[&Study],
    preprocess: &Preprocess,
    feeding: &Feeding,
    progress: &mut dyn FnMut(Preparing),
) -> Result<()> {
    preprocess.validate()?;
    feeding.validate()?;
    let Some(folder) = feeding.cache.path() else { return Ok(()) };
    let paths: Vec<&Path> = studies.iter().flat_map(|study| &study.views).map(|view| view.path.as_path()).collect();
    match cache::open(&folder, feeding.cache_limit, &paths, preprocess, progress) {
        Err(CacheFailure::Film(error)) => Err(error),
        // Opening meets the same trouble, and tells of it.
        Ok(_) | Err(CacheFailure::Folder(_)) => Ok(()),
    }
}

/// Films for which there is no cache, for a `reason` unless none was wanted.
fn uncached(
    paths: &[&Path],
    preprocess: &Preprocess,
    feeding: &Feeding,
    reason: Option<String>,
    progress: &mut dyn FnMut(Preparing),
) -> Result<PixelSource> {
    let wanted = paths.len() as u64 * u64::from(preprocess.size).pow(2);
    let available = device::available_memory().unwrap_or(UNKNOWN_MEMORY);
    let fits = wanted as f64 <= feeding.memory_share * available as f64;
    if let Some(reason) = reason {
        let instead = if fits { "kept in memory for this run" } else { "decoded in each epoch, which is slow" };
        let size = wanted as f64 / f64::from(1 << 20);
        progress(Preparing::Notice(format!(
            "no cache of decoded films ({reason}); {size:.0} MiB of films are {instead}"
        )));
    }
    if !fits {
        return Ok(PixelSource::Files);
    }
    let pixels = decoded(paths, preprocess, &mut |Tally { done, of }| progress(Preparing::Decoded { done, of }))?;
    Ok(PixelSource::Memory(pixels))
}

fn rows(indices: &[usize]) -> Tensor {
    let rows: Vec<i64> = indices.iter().map(|&index| index as i64).collect();
    Tensor::from_slice(&rows)
}

/// The order in which `n` films are shown in one epoch: a permutation of `0..n` that depends on nothing but `seed` and
/// `epoch`, so that a resumed run sees what an uninterrupted one would have seen.
pub fn epoch_order(n: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&epoch.to_le_bytes());
    let mut order: Vec<usize> = (0..n).collect();
    order.shuffle(&mut ChaCha8Rng::from_seed(key));
    order
}

#[cfg(test)]
mod tests;
