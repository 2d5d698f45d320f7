//! Stored samples to the 8-bit grey that a viewer would show, PS3.3 C.7.6.3, C.11.1 and C.11.2, in the standard's order:
//! modality transformation, values of interest, photometric interpretation.

use image::GrayImage;

use super::frame::Frame;
use super::{Photometric, Plan, dataset, tags};
use crate::preprocess::Flaw;
use crate::preprocess::decode::{luma8, luma16};
use dicom_object::InMemDicomObject;

/// A look-up table: `entries[value - first]`, the first or the last entry outside.
#[derive(Debug, Clone)]
pub(super) struct Table {
    first: i64,
    entries: Vec<u16>,
    /// The highest value that an entry may have.
    top: f64,
}

impl Table {
    fn at(&self, value: f64) -> f64 {
        let last = self.entries.len() - 1;
        let index = (value - self.first as f64).clamp(0.0, last as f64) as usize;
        self.entries[index].into()
    }

    /// The table of a sequence's first item.
    fn of_sequence(
        attributes: &InMemDicomObject,
        sequence: (u16, u16),
        is_signed: bool,
    ) -> Result<Option<Table>, Flaw> {
        let Some(item) = attributes.get(dataset::tag(sequence)).and_then(|sequence| sequence.items()?.first()) else {
            return Ok(None);
        };
        Table::of(item, tags::LUT_DESCRIPTOR, tags::LUT_DATA, is_signed).map(Some)
    }

    fn of(
        attributes: &InMemDicomObject,
        descriptor: (u16, u16),
        data: (u16, u16),
        is_signed: bool,
    ) -> Result<Table, Flaw> {
        let damaged = || Flaw::Damaged("DICOM with a look-up table that is not as long as it says".to_owned());
        let words = |tag| -> Option<Vec<u16>> {
            // dicom-rs may take them for signed.
            let numbers: Vec<i32> = attributes.get(dataset::tag(tag))?.to_multi_int().ok()?;
            Some(numbers.into_iter().map(|number| number as u16).collect())
        };
        let (Some(descriptor), Some(mut entries)) = (words(descriptor), words(data)) else { return Err(damaged()) };
        let &[count, first, bits] = descriptor.as_slice() else { return Err(damaged()) };
        let count = if count == 0 { 1 << 16 } else { usize::from(count) };
        if entries.len() < count && bits <= 8 && entries.len() >= count.div_ceil(2) {
            // Two entries of 8 bits in a word.
            entries = entries.iter().flat_map(|word| word.to_le_bytes()).map(u16::from).collect();
        }
        if entries.len() < count || !(1..=16).contains(&bits) {
            return Err(damaged());
        }
        entries.truncate(count);
        let first = if is_signed { i64::from(first as i16) } else { i64::from(first) };
        Ok(Table { first, entries, top: f64::from((1u32 << bits) - 1) })
    }
}

/// Which function a window is, C.11.2.1.2 and C.11.2.1.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Linear,
    LinearExact,
    Sigmoid,
}

/// From the modality's values to what is of interest, `0.0..=1.0`.
#[derive(Debug, Clone)]
enum Interest {
    Table(Table),
    Window {
        centre: f64,
        width: f64,
        shape: Shape,
    },
    /// No window and no table: from the lowest to the highest value of the film, padding apart.
    Full,
}

/// From stored values to what they measure.
#[derive(Debug, Clone)]
enum Modality {
    Table(Table),
    Linear { slope: f64, intercept: f64 },
}

/// Everything between a stored sample and grey.
#[derive(Debug, Clone)]
pub(super) struct Pipeline {
    modality: Modality,
    interest: Interest,
    is_inverted: bool,
    /// The stored values that are no part of the film, from the first to the last.
    padding: Option<(i64, i64)>,
}

fn number(attributes: &InMemDicomObject, tag: (u16, u16)) -> Option<f64> {
    attributes.get(dataset::tag(tag))?.to_multi_float64().ok()?.first().copied().filter(|value| value.is_finite())
}

fn text(attributes: &InMemDicomObject, tag: (u16, u16)) -> String {
    let value = attributes.get(dataset::tag(tag)).and_then(|element| element.to_multi_str().ok()?.first().cloned());
    value.unwrap_or_default().trim().to_owned()
}

impl Pipeline {
    pub fn of(attributes: &InMemDicomObject, plan: &Plan) -> Result<Pipeline, Flaw> {
        let modality = match Table::of_sequence(attributes, tags::MODALITY_LUT_SEQUENCE, plan.is_signed)? {
            Some(table) => Modality::Table(table),
            None => Modality::Linear {
                slope: number(attributes, tags::RESCALE_SLOPE).unwrap_or(1.0),
                intercept: number(attributes, tags::RESCALE_INTERCEPT).unwrap_or(0.0),
            },
        };
        // Of a table and a window, either may be shown; pydicom and most viewers take the table.
        let interest = match Table::of_sequence(attributes, tags::VOI_LUT_SEQUENCE, plan.is_signed)? {
            Some(table) => Interest::Table(table),
            None => window(attributes)?,
        };
        let sign = |tag| -> Option<i64> {
            let bits: i32 = attributes.get(dataset::tag(tag))?.to_multi_int().ok()?.first().copied()?;
            Some(plan.padding(bits as u16))
        };
        let padding = sign(tags::PADDING).map(|one| {
            let other = sign(tags::PADDING_LIMIT).unwrap_or(one);
            (one.min(other), one.max(other))
        });
        // An inverse presentation look-up table is what a MONOCHROME1 film carries (C.8.11.3.1.2): one inversion, not two.
        let is_inverted = plan.is_monochrome1 || text(attributes, tags::LUT_SHAPE) == "INVERSE";
        Ok(Pipeline { modality, interest, is_inverted, padding })
    }

    fn is_padding(&self, value: i64) -> bool {
        self.padding.is_some_and(|(first, last)| (first..=last).contains(&value))
    }

    fn measure(&self, value: i64) -> f64 {
        match &self.modality {
            Modality::Table(table) => table.at(value as f64),
            Modality::Linear { slope, intercept } => value as f64 * slope + intercept,
        }
    }

    /// One stored value as grey; padding is black. `range` is the film's own, for [`Interest::Full`].
    fn grey(&self, value: i64, range: (f64, f64)) -> u8 {
        if self.is_padding(value) {
            return 0;
        }
        let x = self.measure(value);
        let fraction = match &self.interest {
            Interest::Table(table) => table.at(x) / table.top,
            Interest::Window { centre, width, shape: Shape::Sigmoid } => {
                1.0 / (1.0 + (-4.0 * (x - centre) / width).exp())
            }
            Interest::Window { centre, width, shape: Shape::LinearExact } => (x - centre) / width + 0.5,
            Interest::Window { centre, width, shape: Shape::Linear } if *width > 1.0 => {
                (x - (centre - 0.5)) / (width - 1.0) + 0.5
            }
            // A width of 1 is a threshold.
            Interest::Window { centre, .. } => f64::from(u8::from(x > centre - 0.5)),
            // A flat film is black: nothing can be told apart in it.
            Interest::Full if range.1 <= range.0 => 0.0,
            Interest::Full => (x - range.0) / (range.1 - range.0),
        };
        let level = (fraction.clamp(0.0, 1.0) * 255.0).round_ties_even() as u8;
        if self.is_inverted { 255 - level } else { level }
    }
}

fn window(attributes: &InMemDicomObject) -> Result<Interest, Flaw> {
    let (Some(centre), Some(width)) = (number(attributes, tags::WINDOW_CENTRE), number(attributes, tags::WINDOW_WIDTH))
    else {
        return Ok(Interest::Full);
    };
    let shape = match text(attributes, tags::WINDOW_FUNCTION).as_str() {
        "" | "LINEAR" => Shape::Linear,
        "LINEAR_EXACT" => Shape::LinearExact,
        "SIGMOID" => Shape::Sigmoid,
        other => return Err(Flaw::Damaged(format!("DICOM with a window function {other:?} that the standard lacks"))),
    };
    // C.11.2.1.2: a width below 1, or not above 0 where the ends are exact, is an error of the writer; no window then.
    let is_valid = if shape == Shape::Linear { width >= 1.0 } else { width > 0.0 };
    Ok(if is_valid { Interest::Window { centre, width, shape } } else { Interest::Full })
}

/// A film of one sample a pixel.
pub(super) fn monochrome(plan: &Plan, frame: &Frame<'_>, pipeline: &Pipeline) -> GrayImage {
    let values = || (0..plan.pixels()).map(|pixel| plan.value(frame.sample(pixel, 0)));
    let mut range = (f64::INFINITY, f64::NEG_INFINITY);
    if matches!(pipeline.interest, Interest::Full) {
        let (mut low, mut high) = (i64::MAX, i64::MIN);
        for value in values().filter(|value| !pipeline.is_padding(*value)) {
            (low, high) = (low.min(value), high.max(value));
        }
        if let Modality::Linear { .. } = pipeline.modality {
            let ends = (pipeline.measure(low), pipeline.measure(high));
            range = (ends.0.min(ends.1), ends.0.max(ends.1));
        } else {
            for value in values().filter(|value| !pipeline.is_padding(*value)) {
                let x = pipeline.measure(value);
                range = (range.0.min(x), range.1.max(x));
            }
        }
    }
    let pixels: Vec<u8> = if plan.stored <= 16 {
        let low = if plan.is_signed { -1 << (plan.stored - 1) } else { 0 };
        let grey: Vec<u8> = (0..1i64 << plan.stored).map(|at| pipeline.grey(low + at, range)).collect();
        values().map(|value| grey[(value - low) as usize]).collect()
    } else {
        values().map(|value| pipeline.grey(value, range)).collect()
    };
    GrayImage::from_raw(plan.columns, plan.rows, pixels).expect("one byte was made for each pixel")
}

/// A film of three samples a pixel, or of indices into three palettes.
pub(super) fn colour(plan: &Plan, frame: &Frame<'_>, attributes: &InMemDicomObject) -> Result<GrayImage, Flaw> {
    let pixels: Vec<u8> = match frame.photometric {
        Photometric::Palette => {
            let mut palettes = Vec::new();
            for (descriptor, data) in tags::PALETTE_DESCRIPTORS.into_iter().zip(tags::PALETTES) {
                palettes.push(Table::of(attributes, descriptor, data, plan.is_signed)?);
            }
            let of = |pixel: usize| {
                let value = plan.value(frame.sample(pixel, 0)) as f64;
                let sixteen = |table: &Table| (table.at(value) / table.top * 65535.0).round_ties_even() as u16;
                luma16(sixteen(&palettes[0]), sixteen(&palettes[1]), sixteen(&palettes[2]))
            };
            (0..plan.pixels()).map(of).collect()
        }
        Photometric::Ybr | Photometric::Ybr422 => {
            let byte = |pixel, channel| (plan.mask(frame.sample(pixel, channel)) >> (plan.stored - 8)) as u8;
            (0..plan.pixels()).map(|at| ybr(byte(at, 0), byte(at, 1), byte(at, 2))).collect()
        }
        Photometric::Rgb | Photometric::Monochrome if plan.stored == 8 => {
            let byte = |pixel, channel| frame.sample(pixel, channel) as u8;
            (0..plan.pixels()).map(|at| luma8(byte(at, 0), byte(at, 1), byte(at, 2))).collect()
        }
        Photometric::Rgb | Photometric::Monochrome => {
            let top = ((1u64 << plan.stored) - 1) as f64;
            let word = |pixel, channel| {
                (f64::from(plan.mask(frame.sample(pixel, channel))) / top * 65535.0).round_ties_even() as u16
            };
            (0..plan.pixels()).map(|at| luma16(word(at, 0), word(at, 1), word(at, 2))).collect()
        }
    };
    Ok(GrayImage::from_raw(plan.columns, plan.rows, pixels).expect("one byte was made for each pixel"))
}

/// YBR_FULL, C.7.6.3.1.2, by way of RGB, since a colour outside it is clipped there.
fn ybr(y: u8, cb: u8, cr: u8) -> u8 {
    let (y, cb, cr) = (f64::from(y), f64::from(cb) - 128.0, f64::from(cr) - 128.0);
    let byte = |value: f64| value.round().clamp(0.0, 255.0) as u8;
    luma8(byte(y + 1.402 * cr), byte(y - (0.114 * 1.772 * cb + 0.299 * 1.402 * cr) / 0.587), byte(y + 1.772 * cb))
}
