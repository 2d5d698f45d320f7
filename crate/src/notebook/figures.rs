//! Figures of this crate's results, for notebooks: a result in, one [`Figure`] out. The drawing itself is
//! [`crate::render`]'s.

use std::path::Path;

use image::{DynamicImage, GrayImage, RgbImage};
use tch::{Kind, Tensor};

use crate::counted;
use crate::dataset::{self, Index, Leak, split};
use crate::error::{Error, Result};
use crate::explain::{self, Evidence, FilmCam, FilterOptions, MapOptions, Method};
use crate::model::Model;
use crate::preprocess::{Preprocess, decode, grey};
use crate::score::{self, Estimate, Metrics, Report, ViewScore};
use crate::train::{Epochs, LrFinder, Recipe, TrainReport};
use metrics::PrecisionRecall;
use phantom::PhantomView;
use render::{self, BalanceRow, CamPanel, CurvePoint, Figure, Film, FilterPattern, OverlayOptions, Tone};
use studies::{Label, Split, Study};

/// `n` films of one split with their labels, normal and abnormal in turn, taken evenly over the split.
///
/// # Errors
/// [`Error::Figure`] if the split has no film, [`Error::Decode`].
pub fn films(index: &Index, split: Split, n: usize) -> Result<Figure> {
    let studies = index.split(split);
    let of = |label| studies.iter().filter(move |s| s.label == label).copied().collect::<Vec<_>>();
    let [normal, abnormal] = Label::ALL.map(of);
    let mut chosen: Vec<&Study> = Vec::new();
    for i in 0..n {
        let (class, rank) = if i % 2 == 0 { (&normal, i / 2) } else { (&abnormal, i / 2) };
        let wanted = n.div_ceil(2);
        if let Some(study) = class.get(rank * class.len() / wanted.max(1)) {
            chosen.push(study);
        }
    }
    let films = chosen.iter().map(|study| {
        let image = decode(&study.views[0].path)?;
        Ok(Film { image, caption: format!("{}\n{}", study.label, short(&study.id)), tone: Tone::from(study.label) })
    });
    Ok(render::films(&format!("Films of the {split} split"), &films.collect::<Result<Vec<_>>>()?, 6)?)
}

/// `n` training films, taken evenly, as they are and as augmentation shows them to the network in the first `epochs`:
/// the very pixels that training by `recipe` sees, before they are standardised.
///
/// # Errors
/// [`Error::Setting`] for a recipe out of its ranges, [`Error::Split`] as
/// training, [`Error::Figure`] if `n` is 0, [`Error::Decode`].
pub fn augmented(index: &Index, recipe: &Recipe, n: usize, epochs: usize) -> Result<Figure> {
    recipe.validate()?;
    let index = dataset::trainable(index, &Leak::ALL)?;
    let index = split::hold_out_tune(&index, recipe.tune_fraction, recipe.seed)?;
    let studies = index.split(Split::Train);
    let views: Vec<_> = studies.iter().flat_map(|study| study.views.iter().map(move |view| (study, view))).collect();
    let n = n.min(views.len());
    let mut films = Vec::new();
    for position in (0..n).map(|i| (2 * i + 1) * views.len() / (2 * n)) {
        let (study, view) = views[position];
        let film = recipe.preprocess.square(&decode(&view.path)?);
        let bytes = Tensor::from_slice(film.as_raw()).view([1, film.height().into(), film.width().into()]);
        let caption = format!("{}\n{}", study.label, short(&study.id));
        films.push(Film { image: film, caption, tone: Tone::from(study.label) });
        for epoch in 1..=epochs {
            let changed = recipe.augment.apply(&grey(&bytes), &[position], recipe.seed, epoch);
            films.push(Film { image: picture(&changed)?, caption: format!("epoch {epoch}"), tone: Tone::Plain });
        }
    }
    Ok(render::films("Films as they are and as the network sees them", &films, epochs + 1)?)
}

/// A film `[1, 1, size, size]` in `0.0..=1.0` as a picture.
fn picture(film: &Tensor) -> Result<GrayImage> {
    let (height, width) = (film.size()[2] as u32, film.size()[3] as u32);
    let bytes = (film * 255.0).round().clamp(0.0, 255.0).to_kind(Kind::Uint8).flatten(0, -1);
    let pixels = Vec::<u8>::try_from(&bytes)?;
    GrayImage::from_raw(width, height, pixels).ok_or_else(|| Error::Figure("a film of the wrong size".to_owned()))
}

/// The last two parts of a study's id, enough to find it again.
fn short(id: &str) -> String {
    let parts: Vec<&str> = id.rsplit('/').take(2).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
}

/// How many studies and views of each split are normal and abnormal.
///
/// # Errors
/// [`Error::Figure`].
pub fn class_balance(index: &Index) -> Result<Figure> {
    let mut rows = Vec::new();
    for (split, counts) in index.summary().splits {
        for (what, all, abnormal) in
            [("studies", counts.studies, counts.positive_studies), ("views", counts.views, counts.positive_views)]
        {
            rows.push(BalanceRow { name: format!("{split}\n{what}"), normal: all - abnormal, abnormal });
        }
    }
    Ok(render::class_balance("Class balance", &rows)?)
}

/// Losses and AUROC over the epochs of a run.
///
/// # Errors
/// [`Error::Figure`].
pub fn learning_curves(report: &TrainReport) -> Result<Figure> {
    epochs("Learning curves", &report.epochs, Some(report.best_epoch))
}

/// Losses and AUROC over epochs; `best` is the one that was kept, else the one of the highest AUROC.
///
/// # Errors
/// [`Error::Figure`] if there are no epochs.
pub fn epochs(title: &str, run: &Epochs, best: Option<usize>) -> Result<Figure> {
    let point = |e: &crate::train::EpochReport| CurvePoint {
        epoch: e.epoch,
        train_loss: e.train_loss,
        tune_loss: e.tune_loss,
        tune_auroc: e.tune_auroc,
    };
    let points: Vec<_> = run.iter().map(point).collect();
    Ok(render::learning_curves(title, &points, best)?)
}

/// The loss over a sweep of the learning rate, with the suggestion.
///
/// # Errors
/// [`Error::Figure`] if the very first loss was not finite.
pub fn learning_rates(found: &LrFinder) -> Result<Figure> {
    Ok(render::learning_rates("Learning rates", &found.rates, &found.losses, found.suggestion)?)
}

/// The ROC curve over studies, with the operating point.
///
/// # Errors
/// [`Error::Setting`] if a class is absent.
pub fn roc(report: &Report) -> Result<Figure> {
    let metrics = report.metrics()?;
    let title = format!("ROC over {}", studies_of(&metrics));
    let Estimate { interval, no_interval, .. } = metrics.auroc;
    let interval = interval.ok_or(no_interval);
    Ok(render::roc(&title, &report.roc()?, interval, Some(report.operating_point.threshold))?)
}

/// The precision-recall curve over studies, with a band over patients and the operating point.
///
/// # Errors
/// [`Error::Setting`] if no study is abnormal.
pub fn precision_recall(report: &Report) -> Result<Figure> {
    let (labels, scores) = report.labelled();
    let metrics = report.metrics()?;
    let title = format!("Precision and recall over {}", studies_of(&metrics));
    let band = PrecisionRecall::band(&labels, &scores, &report.groups()).unwrap_or_default();
    let Estimate { interval, no_interval, .. } = metrics.average_precision;
    let threshold = Some(report.operating_point.threshold);
    Ok(render::precision_recall(&title, &report.precision_recall()?, &band, interval.ok_or(no_interval), threshold)?)
}

/// How often studies of each probability are abnormal, with intervals, and how many there are.
///
/// # Errors
/// [`Error::Setting`] if no study has a label.
pub fn reliability(report: &Report) -> Result<Figure> {
    Ok(render::reliability("Do probabilities mean what they say?", &[("", &report.reliability()?)])?)
}

/// The same of two reports over the same studies, such as before and after a calibration.
///
/// # Errors
/// [`Error::Setting`] if no study has a label.
pub fn reliability_of(first: (&str, &Report), second: (&str, &Report)) -> Result<Figure> {
    let [before, after] = [first.1.reliability()?, second.1.reliability()?];
    Ok(render::reliability("Do probabilities mean what they say?", &[(first.0, &before), (second.0, &after)])?)
}

/// Decisions against labels, over studies.
///
/// # Errors
/// [`Error::Figure`].
pub fn confusion(metrics: &Metrics) -> Result<Figure> {
    let title = format!("Decisions on {}", studies_of(metrics));
    Ok(render::confusion(&title, &metrics.confusion, Label::ALL.map(Label::name))?)
}

fn studies_of(metrics: &Metrics) -> String {
    let what = match metrics.split {
        Some(Split::Valid) => "held-out study".to_owned(),
        Some(split) => format!("{split} study"),
        None => "study".to_owned(),
    };
    counted(metrics.studies, &what)
}

/// Probabilities of the normal and the abnormal studies, and the threshold.
///
/// # Errors
/// [`Error::Figure`] if no study has a label.
pub fn score_histogram(report: &Report) -> Result<Figure> {
    let (labels, scores) = report.labelled();
    let threshold = report.operating_point.threshold;
    let of = |label| labels.iter().zip(&scores).filter(move |(l, _)| **l == label).map(|(_, s)| *s).collect::<Vec<_>>();
    Ok(render::score_histogram("Studies by probability", &of(Label::Normal), &of(Label::Abnormal), Some(threshold))?)
}

/// Scored films with label, probability and decision; says so where there is none.
///
/// # Errors
/// [`Error::Decode`].
pub fn gallery(title: &str, scores: &[ViewScore]) -> Result<Figure> {
    let films =
        scores.iter().map(|score| Ok(Film { image: decode(&score.path)?, caption: caption(score), tone: tone(score) }));
    let mut films = films.collect::<Result<Vec<_>>>()?;
    if films.is_empty() {
        films.push(Film { image: GrayImage::new(64, 64), caption: "there is none".to_owned(), tone: Tone::Plain });
    }
    Ok(render::films(title, &films, 6)?)
}

fn caption(score: &ViewScore) -> String {
    let claim = score.label.map_or(String::new(), |label| format!("label {label}\n"));
    format!("{claim}called {} ({})\n{}", score.decision, score.probability, short(&score.study))
}

fn tone(score: &ViewScore) -> Tone {
    score.label.map_or(Tone::Plain, |label| Tone::judged(label, score.decision.label()))
}

/// Films beside their heat maps by Grad-CAM at a layer, the true fracture outlined where the data set knows it.
///
/// # Errors
/// [`Error::NoSuchLayer`], [`Error::Decode`].
pub fn heat_maps(model: &Model, title: &str, scores: &[ViewScore], layer: &str) -> Result<Figure> {
    heat_maps_by(model, title, scores, Method::GradCam, &MapOptions::at(layer))
}

/// The same by any method.
///
/// # Errors
/// [`Error::NoSuchLayer`], [`Error::Decode`], [`Error::Setting`].
pub fn heat_maps_by(
    model: &Model,
    title: &str,
    scores: &[ViewScore],
    method: Method,
    options: &MapOptions,
) -> Result<Figure> {
    if scores.is_empty() {
        return gallery(title, scores);
    }
    let panels = scores.iter().map(|score| {
        let cam = model.explain_with(&score.path, method, options)?;
        let mask = dataset::fracture_mask(&score.view)?;
        Ok(CamPanel { mask, caption: said(caption(score), &cam), tone: tone(score), ..panel(&cam) })
    });
    Ok(render::cam_panel(title, &panels.collect::<Result<Vec<_>>>()?, OverlayOptions::default())?)
}

/// A caption that says in words where a map has nothing to show.
fn said(caption: String, cam: &FilmCam) -> String {
    match cam.evidence {
        Evidence::Found => caption,
        none => format!("{caption}\n{none}"),
    }
}

/// A film and its map, or the film alone where the map has nothing to show.
fn panel(cam: &FilmCam) -> CamPanel {
    CamPanel {
        map: (cam.evidence == Evidence::Found).then(|| cam.on_film()),
        film: cam.film.clone(),
        mask: None,
        caption: String::new(),
        tone: Tone::Plain,
    }
}

/// A film beside its heat map.
///
/// # Errors
/// [`Error::Figure`] if the map is empty.
pub fn film_cam(cam: &FilmCam) -> Result<Figure> {
    let mut caption = format!("called {} ({})", cam.decision, cam.probability);
    if let Some(own) = cam.at_own_size {
        caption += &format!("\nat {} pixels; {own} at the model's own size", cam.size);
    }
    let panel = CamPanel { caption: said(caption, cam), ..panel(cam) };
    Ok(render::cam_panel(&cam.title(), &[panel], OverlayOptions::default())?)
}

/// Simulated films, and where they are fractured or show metal.
///
/// # Errors
/// [`Error::Figure`] if there are none.
pub fn phantom(title: &str, views: &[PhantomView]) -> Result<Figure> {
    let mut films = Vec::new();
    for view in views {
        let pictures =
            [("", Some(&view.image)), ("fracture", view.mask.as_ref()), ("metal", view.hardware_mask.as_ref())];
        for (what, image) in pictures {
            let caption =
                if what.is_empty() { format!("{:?}", view.projection).to_lowercase() } else { what.to_owned() };
            films.extend(image.map(|image| Film { image: image.clone(), caption, tone: Tone::Plain }));
        }
    }
    Ok(render::films(title, &films, 6)?)
}

/// Side of the input at which the last layer's map has 7 × 7 cells, fewer of which show nothing.
const FINE: u32 = 224;

/// The first channels of one layer for one film, 12 in a row. A model of a smaller input is shown the film at 224
/// pixels, so that the last layer's maps have 7 × 7 cells; the title says so, with the probabilities at both sizes.
///
/// # Errors
/// [`Error::NoSuchLayer`], [`Error::Decode`].
pub fn activations(model: &Model, film: impl AsRef<Path>, layer: &str) -> Result<Figure> {
    let own = &model.card.preprocess;
    let preprocess = Preprocess { size: own.size.max(FINE), ..own.clone() };
    let film = decode(film.as_ref())?;
    let batch = |by: &Preprocess| by.tensor(&[by.square(&film)]);
    let fine = batch(&preprocess)?;
    let maps = explain::activation_maps(&model.classifier, &fine, layer)?;
    let mut title = layer.to_owned();
    if preprocess.size != own.size {
        let probability =
            |batch: &Tensor| Ok::<_, Error>(score::abnormal(&model.logits(batch)?, model.card.temperature.value)?[0]);
        let (here, there) = (probability(&fine)?, probability(&batch(own)?)?);
        title += &format!(", film at {} pixels ({here}; {there} at the model's own {})", preprocess.size, own.size);
    }
    Ok(render::activation_grid(&title, &maps, 12)?)
}

/// The patterns that excite some channels of a layer.
///
/// # Errors
/// [`Error::NoSuchLayer`], [`Error::Setting`] for a channel that the layer lacks.
pub fn filters(
    model: &Model,
    layer: &str,
    channels: impl IntoIterator<Item = i64>,
    options: &FilterOptions,
) -> Result<Figure> {
    let channels: Vec<i64> = channels.into_iter().collect();
    let found = explain::filter_patterns(model, layer, &channels, options)?;
    let patterns: Vec<FilterPattern> = found
        .into_iter()
        .zip(channels)
        .map(|(image, channel)| {
            let image: RgbImage = DynamicImage::ImageLuma8(image).into_rgb8();
            FilterPattern { image, caption: format!("channel {channel}") }
        })
        .collect();
    Ok(render::filter_grid(&format!("{layer}: what excites each channel"), &patterns, 8)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::Augment;
    use phantom::{self, PhantomConfig};

    #[test]
    fn layers_of_a_model_of_a_small_input_are_shown_at_a_larger_one_and_the_title_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let film = folder.path().join("film.png");
        GrayImage::from_fn(90, 60, |x, y| image::Luma([(2 * x + y) as u8])).save(&film).unwrap();
        let model = crate::model::file::untrained(crate::network::Head::Linear { classes: 2 }, 64);
        let figure = activations(&model, &film, "features.denseblock4.denselayer16.conv2").unwrap();
        let words = figure.alt();
        assert!(words.contains("film at 224 pixels (0.") && words.contains("at the model's own 64"), "{words}");
    }

    #[test]
    fn the_augmented_sheet_has_a_row_for_each_film_and_changes_with_the_recipe() {
        let folder = tempfile::tempdir().unwrap();
        phantom::write(&PhantomConfig { studies: 12, ..PhantomConfig::default() }, folder.path(), &mut |_| ()).unwrap();
        let index = dataset::index(folder.path()).unwrap();
        let preprocess = Preprocess { size: 64, ..Preprocess::default() };
        let recipe = Recipe { preprocess, tune_fraction: 0.3, ..Recipe::default() };
        let sheet = augmented(&index, &recipe, 2, 3).unwrap();
        assert!(sheet.alt().contains("8 films") && sheet.alt().contains("epoch 3"), "{}", sheet.alt());
        assert_eq!(sheet, augmented(&index, &recipe, 2, 3).unwrap());
        let plain = Recipe { augment: Augment::none(), ..recipe };
        assert_ne!(sheet, augmented(&index, &plain, 2, 3).unwrap());
    }
}
