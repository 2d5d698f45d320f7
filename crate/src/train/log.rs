//! What a run writes for people and programs that look on: JSON lines, CSV, and TensorBoard's event files.

use std::collections::HashSet;

use image::{DynamicImage, GrayImage, imageops};
use tch::{Kind, Tensor};

use super::folder::RunFolder;
use super::report::EpochReport;
use super::standing::Ended;
use super::tensorboard::{EventWriter, LoggedPoint, mend};
use super::{CSV_FILE, METRICS_FILE, TENSORBOARD_FOLDER};
use crate::error::{Error, Result};
use crate::files::write_atomically;

/// Films on a sheet of examples.
const SHEET: usize = 16;
const GIB: f64 = (1u64 << 30) as f64;

/// Writes `metrics.jsonl` and `metrics.csv`, a line an epoch, whole each time: so a line is never lost, doubled or cut.
pub(super) fn write_metrics(folder: &RunFolder, history: &[EpochReport]) -> Result<()> {
    let wrong = |error: serde_json::Error| Error::Training(error.to_string());
    let mut lines = String::new();
    for report in history {
        lines += &serde_json::to_string(report).map_err(wrong)?;
        lines.push('\n');
    }
    write_atomically(&folder.file(METRICS_FILE), lines.as_bytes())?;
    Ok(write_atomically(&folder.file(CSV_FILE), csv(history).as_bytes())?)
}

fn csv(history: &[EpochReport]) -> String {
    let mut text = String::from(
        "epoch,train_loss,tune_loss,tune_auroc,tune_accuracy,learning_rate,images_per_second,seconds,memory_bytes,\
         best\n",
    );
    for r in history {
        let auroc = r.tune_auroc.map_or(String::new(), |auroc| auroc.to_string());
        let memory = r.memory.map_or(String::new(), |memory| memory.resident.to_string());
        let numbers = [r.train_loss, r.tune_loss].map(|loss| loss.to_string()).join(",");
        let rest = [r.tune_accuracy, r.learning_rate, r.images_per_second, r.seconds].map(|v| v.to_string()).join(",");
        text += &format!("{},{numbers},{auroc},{rest},{memory},{}\n", r.epoch, r.best);
    }
    text
}

/// TensorBoard's view of a run. Each point is written once, after the checkpoint that makes it true.
#[derive(Debug, Default)]
pub(super) struct Board {
    // Begun with the first point, so that a run that fails before leaves nothing.
    writer: Option<EventWriter>,
    /// The points that are there.
    seen: HashSet<LoggedPoint>,
}

const FILMS: &str = "training films";
const STEP_LOSS: &str = "step/loss";
const CURVE: &str = "tune";

impl Board {
    /// Goes on with the event files of a run with `history`, of so many batches an epoch: what is not of it is taken
    /// out.
    pub fn open(folder: &RunFolder, history: &[EpochReport], batches: usize) -> Result<Board> {
        let epochs = history.len() as i64;
        let is_true = |tag: &str, step: i64| match tag {
            FILMS => step == 0,
            STEP_LOSS => step <= epochs * batches as i64,
            _ => step <= epochs,
        };
        Ok(Board { writer: None, seen: mend(&folder.file(TENSORBOARD_FOLDER), &is_true)? })
    }

    /// Writes a point, unless it is there.
    fn point(
        &mut self,
        folder: &RunFolder,
        (tag, step): (&str, usize),
        write: impl FnOnce(&mut EventWriter) -> Result<()>,
    ) -> Result<()> {
        let point = (tag.to_owned(), step as i64);
        if self.seen.contains(&point) {
            return Ok(());
        }
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => EventWriter::create(folder.file(TENSORBOARD_FOLDER))?,
        };
        write(self.writer.insert(writer))?;
        self.seen.insert(point);
        Ok(())
    }

    /// Whether a sheet of training films is there.
    pub fn has_films(&self) -> bool {
        self.seen.contains(&(FILMS.to_owned(), 0))
    }

    /// Shows augmented training films, `[N, 1, H, W]` in `0.0..=1.0`, at most 16 of them.
    pub fn films(&mut self, folder: &RunFolder, films: &Tensor) -> Result<()> {
        let sheet = DynamicImage::ImageLuma8(sheet(films)?);
        self.point(folder, (FILMS, 0), |writer| writer.image(FILMS, 0, &sheet))?;
        self.sync()
    }

    /// Shows the epochs that are over: their figures, and of the last one, if it is given, the loss of each of its
    /// steps and the tune studies' precision-recall curve.
    pub fn epochs(&mut self, folder: &RunFolder, history: &[EpochReport], last: Option<&Ended>) -> Result<()> {
        let before = self.seen.len();
        for report in history {
            let epoch = report.epoch;
            for (tag, value) in [
                ("train/loss", Some(report.train_loss)),
                ("tune/loss", Some(report.tune_loss)),
                ("tune/AUROC", report.tune_auroc),
                ("tune/accuracy", Some(report.tune_accuracy)),
                ("learning rate", Some(report.learning_rate)),
                ("images per second", Some(report.images_per_second)),
                ("memory/GiB", report.memory.map(|memory| memory.resident as f64 / GIB)),
                ("memory/device GiB free", report.device_memory_free.map(|bytes| bytes as f64 / GIB)),
            ] {
                if let Some(value) = value {
                    self.point(folder, (tag, epoch), |writer| writer.scalar(tag, epoch, value))?;
                }
            }
        }
        if let (Some(ended), Some(report)) = (last, history.last()) {
            let first = (report.epoch - 1) * ended.step_losses.len() + 1;
            for (step, loss) in (first..).zip(&ended.step_losses) {
                self.point(folder, (STEP_LOSS, step), |writer| writer.scalar(STEP_LOSS, step, f64::from(*loss)))?;
            }
            let (labels, probabilities) = (&ended.labels, &ended.probabilities);
            self.point(folder, (CURVE, report.epoch), |writer| {
                writer.pr_curve(CURVE, report.epoch, labels, probabilities)
            })?;
        }
        if self.seen.len() == before { Ok(()) } else { self.sync() }
    }

    fn sync(&mut self) -> Result<()> {
        self.writer.as_mut().map_or(Ok(()), EventWriter::sync)
    }
}

/// Films side by side, four in a row.
fn sheet(films: &Tensor) -> Result<GrayImage> {
    let n = films.size()[0].min(SHEET as i64);
    let (h, w) = (films.size()[2], films.size()[3]);
    let bytes = (films.narrow(0, 0, n) * 255.0).round().to_kind(Kind::Uint8).contiguous().flatten(0, -1);
    let pixels = Vec::<u8>::try_from(&bytes)?;
    let columns = n.min(4);
    let mut sheet = GrayImage::new((columns * w) as u32, ((n + 3) / 4 * h) as u32);
    for (at, film) in pixels.chunks_exact((h * w) as usize).enumerate() {
        let at = at as i64;
        let Some(film) = GrayImage::from_raw(w as u32, h as u32, film.to_vec()) else { continue };
        imageops::replace(&mut sheet, &film, at % columns * w, at / columns * h);
    }
    Ok(sheet)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn films_lie_side_by_side_on_a_sheet() {
        let greys = Tensor::arange(20, (Kind::Float, Device::Cpu)).view([20, 1, 1, 1]) / 255.0;
        let sheet = sheet(&greys.expand([20, 1, 8, 6], false)).unwrap();
        assert_eq!(sheet.dimensions(), (24, 32));
        assert_eq!([(0, 0), (23, 7), (0, 8), (23, 31)].map(|(x, y)| sheet.get_pixel(x, y).0[0]), [0, 3, 4, 15]);
    }
}
