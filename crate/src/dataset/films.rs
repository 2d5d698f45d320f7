//! Decoded films in memory, as bytes, and the batches drawn from them.

use std::sync::atomic::{AtomicUsize, Ordering};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor};

use super::parallel;
use crate::preprocess::{Preprocess, decode, grey, training_statistics};
use crate::study::{Study, View};
use crate::{Error, Result};

/// Films that are decoded before they are copied into the tensor: bounds the memory beside it.
const CHUNK: usize = 256;

/// Every view of some studies, decoded and fitted to the network's square, not yet standardised.
#[derive(Debug)]
pub struct Films {
    /// Grey bytes, `[N, size, size]`, `u8`, on the CPU: 50 kB a film at 224 pixels.
    pub pixels: Tensor,
    /// Class indices, `[N]`, `i64`, on the CPU: the label of each view's study.
    pub labels: Tensor,
    /// For each view the position of its study in the slice that was loaded.
    pub study: Vec<usize>,
    /// The views themselves, in the order of `pixels`.
    pub views: Vec<View>,
    /// How the pixels were made and how batches are standardised. Mean and standard deviation may be changed afterwards,
    /// size and fit may not.
    pub preprocess: Preprocess,
}

impl Films {
    /// Decodes every view of `studies` on all cores. `progress` is called with the number of films done, from any thread.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Decode`] that names the first film that cannot be used; [`Error::Setting`] if
    /// `preprocess` is not valid; [`Error::Split`] if there is no view.
    pub fn load(studies: &[&Study], preprocess: &Preprocess, progress: &(dyn Fn(usize) + Sync)) -> Result<Films> {
        preprocess.validate()?;
        let study: Vec<usize> =
            studies.iter().enumerate().flat_map(|(at, study)| study.views.iter().map(move |_| at)).collect();
        let views: Vec<View> = studies.iter().flat_map(|study| &study.views).cloned().collect();
        if views.is_empty() {
            return Err(Error::Split("no film to load".to_owned()));
        }
        let labels: Vec<i64> = study.iter().map(|&at| studies[at].label.index() as i64).collect();
        let (n, side) = (views.len() as i64, i64::from(preprocess.size));
        let pixels = Tensor::f_zeros([n, side, side], (Kind::Uint8, Device::Cpu))?;
        let done = AtomicUsize::new(0);
        for (at, chunk) in views.chunks(CHUNK).enumerate() {
            let films = parallel::map(chunk, |view| {
                let film = preprocess.film(&decode(&view.path)?);
                progress(done.fetch_add(1, Ordering::Relaxed) + 1);
                Ok(film)
            });
            let films = films.into_iter().collect::<Result<Vec<_>>>()?;
            let bytes: Vec<u8> = films.iter().flat_map(|film| film.as_raw()).copied().collect();
            let bytes = Tensor::f_from_data_size(&bytes, &[chunk.len() as i64, side, side], Kind::Uint8)?;
            pixels.narrow(0, (at * CHUNK) as i64, chunk.len() as i64).copy_(&bytes);
        }
        Ok(Films { pixels, labels: Tensor::from_slice(&labels), study, views, preprocess: preprocess.clone() })
    }

    /// How many films there are; at least one.
    pub fn len(&self) -> usize {
        self.views.len()
    }

    /// Never true: without a view [`Films::load`] fails.
    pub fn is_empty(&self) -> bool {
        self.views.is_empty()
    }

    /// Some films, standardised. What a film looks like does not depend on the others in the batch.
    ///
    /// # Shapes
    /// - returns: films `[B, 3, size, size]`, `f32`, and labels `[B]`, `i64`, both on `device`, in the order of `indices`
    ///
    /// # Panics
    /// If an index is not below [`Films::len`].
    pub fn batch(&self, indices: &[usize], device: Device) -> (Tensor, Tensor) {
        (self.preprocess.standardise(&self.films(indices, device)), self.labels(indices, device))
    }

    /// Some films as they are, `[B, 1, size, size]`, `f32` in `0.0..=1.0`, on `device`.
    pub(crate) fn films(&self, indices: &[usize], device: Device) -> Tensor {
        grey(&self.pixels.index_select(0, &rows(indices)).to_device(device))
    }

    /// Their labels, `[B]`, `i64`, on `device`.
    pub(crate) fn labels(&self, indices: &[usize], device: Device) -> Tensor {
        self.labels.index_select(0, &rows(indices)).to_device(device)
    }

    /// How many films are normal and how many abnormal.
    pub fn class_counts(&self) -> [usize; 2] {
        let abnormal = self.labels.sum(Kind::Int64).int64_value(&[]) as usize;
        [self.len() - abnormal, abnormal]
    }

    /// Mean and standard deviation of these films: see [`training_statistics`].
    ///
    /// # Errors
    /// [`Error::Setting`] if all pixels are equal.
    pub fn statistics(&self) -> Result<([f32; 3], [f32; 3])> {
        let film = |at: i64| -> Result<Vec<u8>> { Ok(Vec::try_from(self.pixels.get(at).flatten(0, -1))?) };
        let films = (0..self.views.len() as i64).map(film).collect::<Result<Vec<_>>>()?;
        training_statistics(films)
    }
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
mod tests {
    use super::*;
    use crate::study::{Label, Split};
    use image::{GrayImage, Luma};

    /// Two studies of 300 and 5 films; film `n` is of grey level `n % 200`.
    fn studies(folder: &std::path::Path) -> Vec<Study> {
        let study = |id: &str, label, numbers: std::ops::Range<u8>, copies: usize| {
            let views = (0..copies).flat_map(|_| numbers.clone()).map(|level| {
                let path = folder.join(format!("{level}.png"));
                GrayImage::from_pixel(40, 80, Luma([level])).save(&path).unwrap();
                View::new(path)
            });
            Study {
                id: id.to_owned(),
                patient: None,
                group: id.to_owned(),
                part: None,
                split: Split::Train,
                label,
                views: views.collect(),
            }
        };
        vec![study("a", Label::Abnormal, 0..150, 2), study("b", Label::Normal, 195..200, 1)]
    }

    fn preprocess() -> Preprocess {
        Preprocess { size: 64, fit: crate::preprocess::Fit::Stretch, ..Preprocess::default() }
    }

    #[test]
    fn films_keep_their_order_labels_and_studies() {
        let folder = tempfile::tempdir().unwrap();
        let studies = studies(folder.path());
        let calls = AtomicUsize::new(0);
        let count = |_| {
            calls.fetch_add(1, Ordering::Relaxed);
        };
        let films = Films::load(&studies.iter().collect::<Vec<_>>(), &preprocess(), &count).unwrap();
        assert_eq!((films.len(), calls.into_inner()), (305, 305));
        assert_eq!(films.pixels.size(), [305, 64, 64]);
        for (at, level) in [(0, 0), (149, 149), (150, 0), (299, 149), (300, 195), (304, 199)] {
            assert_eq!(films.pixels.int64_value(&[at, 63, 0]), level);
            let is_second = at >= 300;
            assert_eq!(films.study[at as usize], usize::from(is_second));
            assert_eq!(films.labels.int64_value(&[at]), i64::from(!is_second));
        }
        let (mean, _) = films.statistics().unwrap();
        let want = (2.0 * (0..150).sum::<i32>() as f32 + (195..200).sum::<i32>() as f32) / 305.0 / 255.0;
        assert!((mean[1] - want).abs() < 1e-5, "{mean:?} {want}");
    }

    #[test]
    fn a_film_is_the_same_in_every_batch_and_in_preprocess() {
        let folder = tempfile::tempdir().unwrap();
        let studies = studies(folder.path());
        let films = Films::load(&[&studies[0]], &preprocess(), &|_| {}).unwrap();
        let (one, label) = films.batch(&[7], Device::Cpu);
        let (many, _) = films.batch(&[120, 3, 7], Device::Cpu);
        assert_eq!(many.size(), [3, 3, 64, 64]);
        assert_eq!(one.get(0), many.get(2));
        assert_eq!(label.int64_value(&[0]), 1);
        assert_eq!(one, preprocess().load(&[&films.views[7].path]).unwrap());
    }

    #[test]
    fn a_damaged_film_stops_the_loading_and_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let studies = studies(folder.path());
        let path = folder.path().join("17.png");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
        let error = Films::load(&[&studies[0]], &preprocess(), &|_| {}).unwrap_err().to_string();
        assert!(error.contains("17.png"), "{error}");
        assert!(matches!(Films::load(&[], &preprocess(), &|_| {}), Err(Error::Split(_))));
    }

    #[test]
    fn an_epochs_order_is_a_permutation_that_depends_on_seed_and_epoch_alone() {
        let order = epoch_order(1000, 3, 5);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
        assert_eq!(order, epoch_order(1000, 3, 5));
        assert_ne!(order, epoch_order(1000, 3, 6));
        assert_ne!(order, epoch_order(1000, 4, 5));
        assert_ne!(epoch_order(1000, 1, 2), epoch_order(1000, 2, 1));
    }
}
