//! What a run writes for people and programs that look on: JSON lines, CSV, and TensorBoard's event files.

use image::{DynamicImage, GrayImage, imageops};
use tch::{Kind, Tensor};

use super::folder::RunFolder;
use super::report::EpochReport;
use super::tensorboard::EventWriter;
use super::{CSV_FILE, METRICS_FILE, TENSORBOARD_FOLDER};
use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::study::Label;

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
    write_atomically(&folder.file(CSV_FILE), csv(history).as_bytes())
}

fn csv(history: &[EpochReport]) -> String {
    let mut text = String::from(
        "epoch,train_loss,tune_loss,tune_auroc,tune_accuracy,learning_rate,images_per_second,seconds,memory_bytes,best\n",
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

/// TensorBoard's view of a run.
#[derive(Debug, Default)]
pub(super) struct Board {
    // Begun with the first event, so that a run that fails before leaves nothing.
    writer: Option<EventWriter>,
}

impl Board {
    fn writer(&mut self, folder: &RunFolder) -> Result<&mut EventWriter> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => EventWriter::create(folder.file(TENSORBOARD_FOLDER))?,
        };
        Ok(self.writer.insert(writer))
    }

    /// Shows augmented training films, `[N, 1, H, W]` in `0.0..=1.0`, at most 16 of them.
    pub fn films(&mut self, folder: &RunFolder, films: &Tensor) -> Result<()> {
        let sheet = sheet(films)?;
        let writer = self.writer(folder)?;
        writer.image("training films", 0, &DynamicImage::ImageLuma8(sheet))?;
        writer.flush()
    }

    /// Shows an epoch: its figures, the loss of each of its steps, and the tune studies' precision-recall curve.
    pub fn epoch(
        &mut self,
        folder: &RunFolder,
        report: &EpochReport,
        (labels, probabilities): &(Vec<Label>, Vec<f64>),
    ) -> Result<()> {
        let writer = self.writer(folder)?;
        let epoch = report.epoch;
        let steps = report.step_losses.len();
        for (number, loss) in report.step_losses.iter().enumerate() {
            writer.scalar("step/loss", (epoch - 1) * steps + number + 1, f64::from(*loss))?;
        }
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
                writer.scalar(tag, epoch, value)?;
            }
        }
        writer.pr_curve("tune", epoch, labels, probabilities)?;
        writer.flush()
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
