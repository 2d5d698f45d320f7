//! Films and folders as they come: what can be read is scored, the rest is named.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use image::GrayImage;
use rayon::prelude::*;
use tch::{Kind, Tensor};

use super::named::Named;
use super::scorable::Scorable;
use super::{BATCH, Probability, Report, one_split, probabilities, report};
use crate::Tally;
use crate::dataset::films::{Ahead, LOOK_AHEAD};
use crate::dataset::{Batch, SkipReason, Skipped};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::preprocess::{Doubt, Preprocess, examine};
use studies::{Label, Split, Study, View};

impl Model {
    /// Scores whatever has films: see [`Scorable`]. Every view is scored, then the mean of each study's views. Whatever
    /// cannot be read or is not there is named in [`Report::skipped`] and costs no other score; a film that is named
    /// twice, by whatever path or link, is scored once, which is said there too.
    ///
    /// # Errors
    /// [`Error::Split`] for an index without a held-out split, [`Error::Setting`] for an empty list. If nothing at all
    /// can be scored: [`Error::Io`] for a path that is not there, [`Error::Studies`] for a folder without images, else
    /// [`Error::Io`] or [`Error::Decode`] naming the first film.
    pub fn score(&self, what: impl Scorable) -> Result<Report> {
        self.score_with(what, &mut |_| ())
    }

    /// [`Model::score`] that tells `progress`, batch by batch, how many films of how many are done.
    ///
    /// # Errors
    /// As [`Model::score`].
    pub fn score_with(&self, what: impl Scorable, progress: &mut dyn FnMut(Tally)) -> Result<Report> {
        let (mut paths, mut studies) = (Vec::new(), Vec::new());
        what.add_to(&mut paths, &mut studies)?;
        score_all(self, &paths, studies, progress)
    }
}

fn score_all(model: &Model, paths: &[&Path], given: Vec<&Study>, progress: &mut dyn FnMut(Tally)) -> Result<Report> {
    if paths.is_empty() && given.is_empty() {
        return Err(Error::setting("what to score", "a path, a study or an index", "an empty list"));
    }
    let mut all = Report::empty(model.card.operating_point.clone(), model.card.temperature.value);
    all.split = one_split(&given).filter(|_| paths.is_empty());
    let Named { labelled, loose, skipped, unlabelled, nothing } = Named::by(paths)?;
    (all.skipped, all.unlabelled) = (skipped, unlabelled);
    let at_once = all.skipped.len();
    let mut unread = nothing;
    let loose = group(&loose);
    let parts = [(given.into_iter().chain(&labelled).collect(), true), (Vec::from_iter(&loose), false)];
    let of = parts.iter().flat_map(|(studies, _)| studies).map(|study: &&Study| study.views.len()).sum();
    let mut done = 0;
    progress(Tally { done, of });
    for (studies, is_labelled) in parts {
        let failed = score(model, &studies, is_labelled, &mut all, &mut |films| {
            done += films;
            progress(Tally { done, of });
        })?;
        unread = unread.or(failed);
    }
    whole(all, at_once, unread)
}

/// The report, unless it holds no score although there were films; the first `at_once` files were skipped by indexing.
fn whole(mut report: Report, at_once: usize, unread: Option<Error>) -> Result<Report> {
    match unread {
        Some(error) if report.views.is_empty() => Err(error),
        _ => {
            count_unread(&mut report, at_once);
            report.skipped.sort_by(|a, b| a.path.cmp(&b.path));
            Ok(report)
        }
    }
}

/// Adds the scores of some studies to a report, tells after each batch of how many films it was, and returns why the
/// first film could not be read, if any could not.
fn score(
    model: &Model,
    studies: &[&Study],
    labelled: bool,
    all: &mut Report,
    scored: &mut dyn FnMut(usize),
) -> Result<Option<Error>> {
    if studies.is_empty() {
        return Ok(None);
    }
    let preprocess = &model.card.preprocess;
    preprocess.validate()?;
    let views: Vec<&View> = studies.iter().flat_map(|study| &study.views).collect();
    let mut found: Vec<Option<Probability>> = Vec::with_capacity(views.len());
    // Of the films that could be read, in order.
    let mut doubts: Vec<Vec<Doubt>> = Vec::new();
    let mut first = None;
    // Decoded a batch at a time, ahead of the network, so that a folder larger than memory can be scored.
    let (paths, how): (Vec<PathBuf>, _) = (views.iter().map(|view| view.path.clone()).collect(), preprocess.clone());
    let starts = (0..paths.len()).step_by(BATCH);
    let decoded = starts.map(move |start| {
        let paths = &paths[start..(start + BATCH).min(paths.len())];
        paths.par_iter().map(|path| film(path, &how)).collect::<Vec<_>>()
    });
    for films in Ahead::new(LOOK_AHEAD, decoded) {
        let mut read = Vec::with_capacity(films.len());
        let start = found.len();
        found.resize(start + films.len(), None);
        for (at, film) in (start..).zip(films) {
            match film {
                Ok((film, doubtful)) => {
                    read.push((at, film));
                    doubts.push(doubtful);
                }
                Err(error) => {
                    all.skipped.push(Skipped::new(views[at].path.clone(), unreadable(&views[at].path, &error)));
                    first.get_or_insert(error);
                }
            }
        }
        if !read.is_empty() {
            let probabilities = probabilities(model, &batch(model, &read))?;
            read.iter().zip(probabilities).for_each(|((at, _), probability)| found[*at] = Some(probability));
        }
        scored(found.len() - start);
    }
    let mut part = report(model, studies, &found, labelled);
    part.views.iter_mut().zip(doubts).for_each(|(view, doubts)| view.doubts = doubts);
    all.views.extend(part.views);
    all.studies.extend(part.studies);
    Ok(first)
}

/// A film as the network sees it before standardisation, and what is doubtful about its greys.
type Examined = (GrayImage, Vec<Doubt>);

fn film(path: &Path, preprocess: &Preprocess) -> Result<Examined> {
    let (film, doubts) = examine(path)?;
    Ok((preprocess.square(&film), doubts))
}

/// Fitted films as the network sees them, on its device.
fn batch(model: &Model, films: &[(usize, GrayImage)]) -> Tensor {
    let preprocess = &model.card.preprocess;
    let side = i64::from(preprocess.size);
    let bytes: Vec<u8> = films.iter().flat_map(|(_, film)| film.as_raw()).copied().collect();
    let pixels = Tensor::from_slice(&bytes).view([films.len() as i64, side, side]);
    let device = model.classifier.device();
    let labels = Tensor::zeros([films.len() as i64], (Kind::Int64, device));
    Batch { indices: Vec::new(), pixels: pixels.to_device(device), labels }.standardised(preprocess)
}

/// Why a film is skipped, in the words of indexing where the container tells.
fn unreadable(path: &Path, error: &Error) -> SkipReason {
    match error {
        Error::Io { source, .. } => SkipReason::Unreadable(source.to_string()),
        Error::Decode { source, .. } => match studies::check(path) {
            Err(flaw) => flaw,
            Ok(()) => SkipReason::Undecodable(source.to_string()),
        },
        other => SkipReason::Undecodable(other.to_string()),
    }
}

/// Adds to each study the views that indexing skipped: the damaged films in a `study…` folder that holds views of no
/// other study. Those that decoding skipped are counted already.
fn count_unread(report: &mut Report, at_once: usize) {
    let mut owners: HashMap<&Path, BTreeSet<&str>> = HashMap::new();
    for view in &report.views {
        if let Some(folder) = study_folder(&view.path) {
            owners.entry(folder).or_default().insert(&view.study);
        }
    }
    let mut unread: BTreeMap<String, usize> = BTreeMap::new();
    for skipped in report.skipped[..at_once].iter().filter(|it| it.reason.is_damage()) {
        let owners = study_folder(&skipped.path).and_then(|folder| owners.get(folder)).into_iter().flatten();
        if let [owner] = owners.collect::<Vec<_>>()[..] {
            *unread.entry((*owner).to_owned()).or_default() += 1;
        }
    }
    for study in &mut report.studies {
        study.unread += unread.get(&study.study).copied().unwrap_or(0);
    }
}

/// The folder of a film, if it is named as studies are.
fn study_folder(film: &Path) -> Option<&Path> {
    film.parent().filter(|folder| folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("study")))
}

/// Puts files of one `study…` folder together; the label is a placeholder that nobody reads.
fn group(files: &[PathBuf]) -> Vec<Study> {
    // By path: the text of two names that are no UTF-8 may be equal.
    let mut studies: BTreeMap<&Path, Vec<View>> = BTreeMap::new();
    for path in files {
        studies.entry(study_folder(path).unwrap_or(path)).or_default().push(View::new(path.clone()));
    }
    let study = |(id, views): (&Path, Vec<View>)| {
        let id = id.display().to_string();
        Study { group: id.clone(), id, patient: None, part: None, split: Split::Valid, label: Label::Normal, views }
    };
    studies.into_iter().map(study).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn names_that_are_no_text_and_look_alike_stay_two_studies() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        let name = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        let files = [name(b"films/\xfe.png"), name(b"films/\xff.png"), name(b"study1/a.png"), name(b"study1/b.png")];
        let studies = group(&files);
        assert_eq!(studies.iter().map(|study| study.views.len()).collect::<Vec<_>>(), [1, 1, 2]);
    }
}
