//! Stored samples to the 8-bit grey that a viewer would show, PS3.3 C.7.6.3, C.11.1 and C.11.2, in the standard's
//! order: modality transformation, values of interest, photometric interpretation.

use image::GrayImage;

use super::frame::StoredFrame;
use super::table::{Lut, Range};
use super::{DecodePlan, PhotometricInterpretation, dataset, tags};
use crate::Flaw;
use crate::luma::{luma8, luma16};
use dicom_object::InMemDicomObject;

/// Which function a window is, C.11.2.1.2 and C.11.2.1.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum VoiFunction {
    Linear,
    LinearExact,
    Sigmoid,
}

/// From the modality's values to what is of interest, `0.0..=1.0`.
#[derive(Debug, Clone)]
enum Interest {
    /// The entry that is white beside it.
    Lut(Lut, f64),
    Window {
        centre: f64,
        width: f64,
        shape: VoiFunction,
    },
    /// No window and no table: from the lowest to the highest value of the film, padding apart.
    Full,
}

/// From stored values to what they measure.
#[derive(Debug, Clone)]
enum Modality {
    Lut(Lut),
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
    /// Its table of interest declares another number of bits than it holds.
    pub is_doubtful: bool,
}

/// The first number of an element; none if it is absent or empty.
fn number(attributes: &InMemDicomObject, tag: (u16, u16), name: &str) -> Result<Option<f64>, Flaw> {
    let text = text(attributes, tag);
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(number) if f64::is_finite(number) => Ok(Some(number)),
        _ => Err(Flaw::Damaged(format!("DICOM whose {name} is {:?}, not a number", shortened(&text)))),
    }
}

/// The first text of an element, empty if it is absent.
fn text(attributes: &InMemDicomObject, tag: (u16, u16)) -> String {
    let value = attributes.get(dataset::tag(tag)).and_then(|element| element.to_multi_str().ok()?.first().cloned());
    value.unwrap_or_default().trim_matches([' ', '\0', '\t', '\r', '\n']).to_owned()
}

/// As much of a file's text as fits into a message.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(32).collect()
}

impl Modality {
    fn of(attributes: &InMemDicomObject, plan: &DecodePlan) -> Result<Modality, Flaw> {
        if let Some(table) = Lut::of_sequence(attributes, tags::MODALITY_LUT_SEQUENCE, plan.range())? {
            return Ok(Modality::Lut(table));
        }
        Ok(Modality::Linear {
            slope: number(attributes, tags::RESCALE_SLOPE, "rescale slope")?.unwrap_or(1.0),
            intercept: number(attributes, tags::RESCALE_INTERCEPT, "rescale intercept")?.unwrap_or(0.0),
        })
    }

    /// What a stored value measures.
    fn measure(&self, value: f64) -> f64 {
        match self {
            Modality::Lut(table) => table.at(value),
            Modality::Linear { slope, intercept } => value * slope + intercept,
        }
    }

    /// The lowest and the highest that any stored value could measure.
    fn range(&self, plan: &DecodePlan) -> Range {
        match self {
            Modality::Lut(_) => (0.0, u16::MAX.into()),
            Modality::Linear { .. } => {
                let (low, high) = plan.range();
                let ends = (self.measure(low), self.measure(high));
                (ends.0.min(ends.1), ends.0.max(ends.1))
            }
        }
    }
}

impl Pipeline {
    pub fn of(attributes: &InMemDicomObject, plan: &DecodePlan) -> Result<Pipeline, Flaw> {
        let modality = Modality::of(attributes, plan)?;
        // Of a table and a window, either may be shown; pydicom and most viewers take the table.
        let table = Lut::of_sequence(attributes, tags::VOI_LUT_SEQUENCE, modality.range(plan))?;
        let is_doubtful = table.as_ref().is_some_and(|table| table.held() != table.declared);
        let interest = match table {
            // Agfa's devices declare 16 bits for tables of 12, so Horos and Cornerstone scale by what a table holds.
            Some(table) => {
                let white = f64::from((1u32 << table.held()) - 1);
                Interest::Lut(table, white)
            }
            None => window(attributes)?,
        };
        let padding = |tag| -> Option<i64> {
            let bits: i32 = attributes.get(dataset::tag(tag))?.to_multi_int().ok()?.first().copied()?;
            plan.padding(bits as u16)
        };
        let padding = padding(tags::PADDING).map(|one| {
            let other = padding(tags::PADDING_LIMIT).unwrap_or(one);
            (one.min(other), one.max(other))
        });
        // An inverse presentation look-up table is what a MONOCHROME1 film carries (C.8.11.3.1.2): one inversion, not
        // two.
        let is_inverse = text(attributes, tags::LUT_SHAPE).eq_ignore_ascii_case("INVERSE");
        Ok(Pipeline { modality, interest, is_inverted: plan.is_monochrome1 || is_inverse, padding, is_doubtful })
    }

    fn is_padding(&self, value: i64) -> bool {
        self.padding.is_some_and(|(first, last)| (first..=last).contains(&value))
    }

    fn measure(&self, value: i64) -> f64 {
        self.modality.measure(value as f64)
    }

    /// One stored value as grey; padding is black. `range` is the film's own, for [`Interest::Full`].
    fn grey(&self, value: i64, range: (f64, f64)) -> u8 {
        if self.is_padding(value) {
            return 0;
        }
        let x = self.measure(value);
        let fraction = match &self.interest {
            Interest::Lut(table, white) => table.at(x) / white,
            Interest::Window { centre, width, shape: VoiFunction::Sigmoid } => {
                1.0 / (1.0 + (-4.0 * (x - centre) / width).exp())
            }
            Interest::Window { centre, width, shape: VoiFunction::LinearExact } => (x - centre) / width + 0.5,
            Interest::Window { centre, width, shape: VoiFunction::Linear } if *width > 1.0 => {
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
    let centre = number(attributes, tags::WINDOW_CENTRE, "window centre")?;
    let width = number(attributes, tags::WINDOW_WIDTH, "window width")?;
    let (Some(centre), Some(width)) = (centre, width) else {
        return Ok(Interest::Full);
    };
    let function = text(attributes, tags::WINDOW_FUNCTION);
    let shape = match function.to_ascii_uppercase().as_str() {
        "" | "LINEAR" => VoiFunction::Linear,
        "LINEAR_EXACT" => VoiFunction::LinearExact,
        "SIGMOID" => VoiFunction::Sigmoid,
        _ => {
            let function = shortened(&function);
            return Err(Flaw::Damaged(format!("DICOM with a window function {function:?} that the standard lacks")));
        }
    };
    // C.11.2.1.2: a width below 1, or not above 0 where the ends are exact, is an error of the writer; no window then.
    let is_valid = if shape == VoiFunction::Linear { width >= 1.0 } else { width > 0.0 };
    Ok(if is_valid { Interest::Window { centre, width, shape } } else { Interest::Full })
}

/// A film of one sample a pixel.
pub(super) fn monochrome(plan: &DecodePlan, frame: &StoredFrame<'_>, pipeline: &Pipeline) -> GrayImage {
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

/// Red, green and blue of an index, C.7.6.3.1.5.
pub(super) struct Palette {
    tables: [Lut; 3],
    white: f64,
}

impl Palette {
    pub fn of(attributes: &InMemDicomObject, plan: &DecodePlan) -> Result<Palette, Flaw> {
        if attributes.get(dataset::tag(tags::PALETTES[0])).is_none() {
            return Err(Flaw::Unsupported("DICOM without a palette, or with one in segments".to_owned()));
        }
        let table = |at: usize| Lut::of(attributes, tags::PALETTE_DESCRIPTORS[at], tags::PALETTES[at], plan.range());
        let tables = [table(0)?, table(1)?, table(2)?];
        let most = |of: fn(&Lut) -> u16| tables.iter().map(of).max().unwrap_or(0);
        // Of 8 bits or 16: a palette that holds the other would be white or black.
        let bits = match (most(Lut::highest), most(|table| table.declared)) {
            (256.., ..=8) => 16,
            (1..=255, 8..) => 8,
            (_, declared) => declared,
        };
        Ok(Palette { tables, white: f64::from((1u32 << bits) - 1) })
    }

    fn grey(&self, value: i64) -> u8 {
        let sixteen = |at: usize| (self.tables[at].at(value as f64) / self.white * 65535.0).round_ties_even() as u16;
        luma16(sixteen(0), sixteen(1), sixteen(2))
    }
}

/// A film of three samples a pixel, or of indices into three palettes.
pub(super) fn colour(
    plan: &DecodePlan,
    frame: &StoredFrame<'_>,
    attributes: &InMemDicomObject,
) -> Result<GrayImage, Flaw> {
    let pixels: Vec<u8> = match frame.photometric {
        PhotometricInterpretation::Palette => {
            let palette = Palette::of(attributes, plan)?;
            (0..plan.pixels()).map(|pixel| palette.grey(plan.value(frame.sample(pixel, 0)))).collect()
        }
        PhotometricInterpretation::Ybr | PhotometricInterpretation::Ybr422 => {
            let byte = |pixel, channel| (plan.mask(frame.sample(pixel, channel)) >> (plan.stored - 8)) as u8;
            (0..plan.pixels()).map(|at| ybr(byte(at, 0), byte(at, 1), byte(at, 2))).collect()
        }
        PhotometricInterpretation::Rgb | PhotometricInterpretation::Monochrome if plan.stored == 8 => {
            let byte = |pixel, channel| plan.mask(frame.sample(pixel, channel)) as u8;
            (0..plan.pixels()).map(|at| luma8(byte(at, 0), byte(at, 1), byte(at, 2))).collect()
        }
        PhotometricInterpretation::Rgb | PhotometricInterpretation::Monochrome => {
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
