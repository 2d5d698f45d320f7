//! Event files that TensorBoard opens: scalars, pictures and precision-recall curves.
//!
//! A file is a row of TFRecords (length, masked CRC-32C of the length, data, masked CRC-32C of the data), each record a
//! protocol-buffer `Event` of tensorflow/core/util/event.proto. Only the fields in use are declared.

mod mend;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use image::{DynamicImage, ImageFormat};
use prost::Message;

use crate::disk;
use crate::error::{Error, Result};
pub(super) use mend::{LoggedPoint, mend};
use studies::Label;

/// Thresholds of a precision-recall curve: TensorBoard's own default.
const THRESHOLDS: usize = 201;
/// Counts are divided by at least this, as in TensorBoard.
const LEAST: f64 = 1e-7;
/// What the names of our event files hold.
const MARK: &str = ".humerus.";

/// Writes one event file.
#[derive(Debug)]
pub(super) struct EventWriter {
    path: PathBuf,
    file: BufWriter<File>,
}

impl EventWriter {
    /// Begins a new event file in `folder`, which is made if it is not there. TensorBoard shows all files of a folder
    /// as one run, so a resumed run simply begins another.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(folder: impl AsRef<Path>) -> Result<EventWriter> {
        let folder = folder.as_ref();
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let now = now();
        let name =
            |n: u32| folder.join(format!("events.out.tfevents.{:.0}{MARK}{}.{n}", now.floor(), std::process::id()));
        let path = (0..).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(0));
        let file = File::create_new(&path).map_err(Error::io(&path))?;
        let mut writer = EventWriter { path, file: BufWriter::new(file) };
        writer.write(&proto::Event {
            wall_time: now,
            file_version: Some("brain.Event:2".to_owned()),
            ..Default::default()
        })?;
        writer.flush()?;
        Ok(writer)
    }

    /// A number at `step`, under a tag such as `train/loss`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn scalar(&mut self, tag: &str, step: usize, value: f64) -> Result<()> {
        self.value(step, proto::Value { tag: tag.to_owned(), simple_value: Some(value as f32), ..Default::default() })
    }

    /// A picture at `step`.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Figure`] if it cannot be encoded.
    pub fn image(&mut self, tag: &str, step: usize, picture: &DynamicImage) -> Result<()> {
        let mut png = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut png, ImageFormat::Png).map_err(|error| Error::Figure(error.to_string()))?;
        let image = proto::Image {
            height: picture.height() as i32,
            width: picture.width() as i32,
            colorspace: i32::from(picture.color().channel_count()),
            encoded_image_string: png.into_inner(),
        };
        self.value(step, proto::Value { tag: tag.to_owned(), image: Some(image), ..Default::default() })
    }

    /// A precision-recall curve at `step`, over 201 thresholds from 0 to 1, of the class *abnormal*.
    ///
    /// `probabilities` are those of *abnormal*, `0.0..=1.0`, one for each label.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Setting`] if the two differ in length.
    pub fn pr_curve(&mut self, tag: &str, step: usize, labels: &[Label], probabilities: &[f64]) -> Result<()> {
        if labels.len() != probabilities.len() {
            return Err(Error::setting("probabilities", format!("{}, one a label", labels.len()), probabilities.len()));
        }
        let rows = pr_rows(labels, probabilities);
        let plugin = proto::PrCurves { version: 0, num_thresholds: THRESHOLDS as u32 };
        let metadata = proto::Metadata {
            plugin_data: Some(proto::PluginData {
                plugin_name: "pr_curves".to_owned(),
                content: plugin.encode_to_vec(),
            }),
            data_class: proto::DATA_CLASS_TENSOR,
        };
        let dim = |size: usize| proto::Dim { size: size as i64 };
        let tensor = proto::Tensor {
            dtype: proto::DT_FLOAT,
            shape: Some(proto::Shape { dim: vec![dim(rows.len()), dim(THRESHOLDS)] }),
            float_val: rows.concat().into_iter().map(|value| value as f32).collect(),
        };
        let value =
            proto::Value { tag: tag.to_owned(), tensor: Some(tensor), metadata: Some(metadata), ..Default::default() };
        self.value(step, value)
    }

    /// Hands everything written to the operating system, so that a TensorBoard that looks on shows it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(Error::io(&self.path))
    }

    /// [`flush`](Self::flush), and waits until the disk has it.
    pub(super) fn sync(&mut self) -> Result<()> {
        self.flush()?;
        disk::sync(self.file.get_ref()).map_err(Error::io(&self.path))
    }

    fn value(&mut self, step: usize, value: proto::Value) -> Result<()> {
        let summary = proto::Summary { value: vec![value] };
        self.write(&proto::Event { wall_time: now(), step: step as i64, summary: Some(summary), ..Default::default() })
    }

    fn write(&mut self, event: &proto::Event) -> Result<()> {
        let data = event.encode_to_vec();
        let length = (data.len() as u64).to_le_bytes();
        let parts: [&[u8]; 4] = [&length, &masked_crc(&length).to_le_bytes(), &data, &masked_crc(&data).to_le_bytes()];
        for part in parts {
            self.file.write_all(part).map_err(Error::io(&self.path))?;
        }
        Ok(())
    }
}

/// True and false positives, true and false negatives, precision and recall, each at every threshold.
fn pr_rows(labels: &[Label], probabilities: &[f64]) -> [Vec<f64>; 6] {
    // A film is positive at every threshold up to its bucket's.
    let mut buckets = [[0.0; THRESHOLDS]; 2];
    for (label, probability) in labels.iter().zip(probabilities) {
        let bucket = (probability.clamp(0.0, 1.0) * (THRESHOLDS - 1) as f64).floor() as usize;
        buckets[label.index()][bucket] += 1.0;
    }
    let at_least = |counts: &[f64; THRESHOLDS]| {
        let mut sums: Vec<f64> = counts
            .iter()
            .rev()
            .scan(0.0, |sum, n| {
                *sum += n;
                Some(*sum)
            })
            .collect();
        sums.reverse();
        sums
    };
    let (fp, tp) = (at_least(&buckets[0]), at_least(&buckets[1]));
    let rest = |positives: &[f64]| -> Vec<f64> { positives.iter().map(|n| positives[0] - n).collect() };
    let (tn, fn_) = (rest(&fp), rest(&tp));
    let share = |others: &[f64]| -> Vec<f64> {
        tp.iter().zip(others).map(|(tp, other)| tp / (tp + other).max(LEAST)).collect()
    };
    let (precision, recall) = (share(&fp), share(&fn_));
    [tp, fp, tn, fn_, precision, recall]
}

fn masked_crc(data: &[u8]) -> u32 {
    let crc = crc::Crc::<u32, crc::Table<1>>::new(&crc::CRC_32_ISCSI).checksum(data);
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// The messages, with the numbers that tensorflow/core/util/event.proto and its imports give the fields.
mod proto {
    pub const DT_FLOAT: i32 = 1;
    pub const DATA_CLASS_TENSOR: i32 = 2;

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Event {
        #[prost(double, tag = "1")]
        pub wall_time: f64,
        #[prost(int64, tag = "2")]
        pub step: i64,
        #[prost(string, optional, tag = "3")]
        pub file_version: Option<String>,
        #[prost(message, optional, tag = "5")]
        pub summary: Option<Summary>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Summary {
        #[prost(message, repeated, tag = "1")]
        pub value: Vec<Value>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Value {
        #[prost(string, tag = "1")]
        pub tag: String,
        #[prost(float, optional, tag = "2")]
        pub simple_value: Option<f32>,
        #[prost(message, optional, tag = "4")]
        pub image: Option<Image>,
        #[prost(message, optional, tag = "8")]
        pub tensor: Option<Tensor>,
        #[prost(message, optional, tag = "9")]
        pub metadata: Option<Metadata>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Image {
        #[prost(int32, tag = "1")]
        pub height: i32,
        #[prost(int32, tag = "2")]
        pub width: i32,
        #[prost(int32, tag = "3")]
        pub colorspace: i32,
        #[prost(bytes = "vec", tag = "4")]
        pub encoded_image_string: Vec<u8>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Metadata {
        #[prost(message, optional, tag = "1")]
        pub plugin_data: Option<PluginData>,
        #[prost(int32, tag = "4")]
        pub data_class: i32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct PluginData {
        #[prost(string, tag = "1")]
        pub plugin_name: String,
        #[prost(bytes = "vec", tag = "2")]
        pub content: Vec<u8>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct PrCurves {
        #[prost(int32, tag = "1")]
        pub version: i32,
        #[prost(uint32, tag = "2")]
        pub num_thresholds: u32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Tensor {
        #[prost(int32, tag = "1")]
        pub dtype: i32,
        #[prost(message, optional, tag = "2")]
        pub shape: Option<Shape>,
        #[prost(float, repeated, tag = "5")]
        pub float_val: Vec<f32>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Shape {
        #[prost(message, repeated, tag = "2")]
        pub dim: Vec<Dim>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Dim {
        #[prost(int64, tag = "1")]
        pub size: i64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_the_record_format() {
        // CRC-32C of "123456789" is 0xe3069283 (RFC 3720).
        assert_eq!(masked_crc(b"123456789"), 0xe306_9283u32.rotate_right(15).wrapping_add(0xa282_ead8));
    }

    #[test]
    fn a_perfect_ranking_reaches_precision_and_recall_of_one() {
        let labels = [Label::Normal, Label::Abnormal, Label::Normal, Label::Abnormal];
        let [tp, fp, tn, fn_, precision, recall] = pr_rows(&labels, &[0.1, 0.9, 0.2, 1.0]);
        assert_eq!((tp[0], fp[0], tn[0], fn_[0]), (2.0, 2.0, 0.0, 0.0));
        assert_eq!((precision[0], recall[0]), (0.5, 1.0));
        assert_eq!((precision[100], recall[100]), (1.0, 1.0));
        assert_eq!((tp[200], recall[200]), (1.0, 0.5));
    }

    #[test]
    fn a_second_file_of_the_same_second_does_not_overwrite_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let first = EventWriter::create(folder.path()).unwrap();
        let second = EventWriter::create(folder.path()).unwrap();
        assert_ne!(first.path, second.path);
    }
}
