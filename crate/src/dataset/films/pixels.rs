//! Where the pixels of films come from: memory, the cache, or the files themselves.

use std::path::Path;
use std::sync::Arc;

use super::super::cache::{Cached, FilmStore, chunk};
use crate::preprocess::{Preprocess, decode};
use crate::{Error, Result, Tally};
use rayon::prelude::*;
use studies::View;

/// The films' bytes, in whatever place; any thread may ask for any of them.
#[derive(Debug)]
pub(super) struct Pixels {
    views: Arc<[View]>,
    preprocess: Preprocess,
    source: PixelSource,
}

#[derive(Debug)]
pub(super) enum PixelSource {
    /// All films, one after the other.
    Memory(Vec<u8>),
    /// Each film's place in the cache.
    Cache(FilmStore, Vec<Cached>),
    /// Decoded whenever they are asked for.
    Files,
}

impl Pixels {
    pub fn new(views: Arc<[View]>, preprocess: &Preprocess, source: PixelSource) -> Pixels {
        Pixels { views, preprocess: preprocess.clone(), source }
    }

    /// Bytes of one film.
    pub fn film_bytes(&self) -> usize {
        self.preprocess.size as usize * self.preprocess.size as usize
    }

    /// The side of the square.
    pub fn side(&self) -> i64 {
        self.preprocess.size.into()
    }

    /// Writes the films at `indices`, one after the other in that order, to `pixels`, which has room for exactly these.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Decode`] that names a film that cannot be decoded.
    pub fn gather(&self, indices: &[usize], pixels: &mut [u8]) -> Result<()> {
        let film = self.film_bytes();
        let places = indices.iter().zip(pixels.chunks_exact_mut(film));
        match &self.source {
            PixelSource::Memory(all) => places.for_each(|(at, place)| place.copy_from_slice(&all[at * film..][..film])),
            PixelSource::Cache(store, films) => {
                indices.iter().for_each(|at| store.want(films[*at]));
                for (at, place) in places {
                    store.read(films[*at], &self.views[*at].path, &self.preprocess, place)?;
                }
            }
            PixelSource::Files => {
                let paths: Vec<&Path> = indices.iter().map(|at| self.views[*at].path.as_path()).collect();
                pixels.copy_from_slice(&decoded(&paths, &self.preprocess, &mut |_| ())?);
            }
        }
        Ok(())
    }
}

/// Decodes and fits films on all cores, one after the other in the order of `paths`; `progress` hears of the films
/// done.
///
/// # Errors
/// [`Error::Io`] or [`Error::Decode`] that names the first film that cannot be used; [`Error::Setting`] if memory is
/// too small.
pub(super) fn decoded(paths: &[&Path], preprocess: &Preprocess, progress: &mut dyn FnMut(Tally)) -> Result<Vec<u8>> {
    let (film, of) = (preprocess.size as usize * preprocess.size as usize, paths.len());
    let mut pixels = Vec::new();
    let room = pixels.try_reserve_exact(paths.len() * film);
    room.map_err(|_| Error::setting("films", "fewer or smaller ones, that fit into memory", paths.len()))?;
    for paths in paths.chunks(chunk(preprocess)) {
        for decoded in
            paths.par_iter().map(|path| -> Result<_> { Ok(preprocess.square(&decode(path)?)) }).collect::<Vec<_>>()
        {
            pixels.extend_from_slice(decoded?.as_raw());
        }
        progress(Tally { done: pixels.len() / film, of });
    }
    Ok(pixels)
}
