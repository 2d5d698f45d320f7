//! Look-up tables: modality (PS3.3 C.11.1.1), values of interest (C.11.2.1.1), palettes (C.7.6.3.1.5).

use dicom_core::VR;
use dicom_object::InMemDicomObject;

use super::{dataset, tags};
use crate::Flaw;

/// The lowest and the highest value that can be looked up.
pub(super) type Range = (f64, f64);

/// A look-up table: `entries[value - first]`, the first or the last entry outside.
#[derive(Debug, Clone)]
pub(super) struct Lut {
    first: i64,
    entries: Vec<u16>,
    /// The bits of an entry, by the descriptor.
    pub declared: u16,
}

impl Lut {
    /// The entry of a value; a fraction counts as the whole number below it, as pydicom has it.
    pub fn at(&self, value: f64) -> f64 {
        let last = self.entries.len() - 1;
        let index = (value - self.first as f64).clamp(0.0, last as f64) as usize;
        self.entries[index].into()
    }

    /// The highest entry.
    pub fn highest(&self) -> u16 {
        self.entries.iter().copied().max().unwrap_or(0)
    }

    /// The bits that the highest entry takes, 1 to 16; as declared if all entries are 0.
    pub fn held(&self) -> u16 {
        match self.highest() {
            0 => self.declared,
            highest => (u16::BITS - highest.leading_zeros()) as u16,
        }
    }

    /// The table of a sequence's first item; `range` is that of the values that it is asked for.
    pub fn of_sequence(attributes: &InMemDicomObject, sequence: (u16, u16), range: Range) -> Result<Option<Lut>, Flaw> {
        let Some(item) = attributes.get(dataset::tag(sequence)).and_then(|sequence| sequence.items()?.first()) else {
            return Ok(None);
        };
        Lut::of(item, tags::LUT_DESCRIPTOR, tags::LUT_DATA, range).map(Some)
    }

    /// The table of two elements.
    pub fn of(
        attributes: &InMemDicomObject,
        descriptor: (u16, u16),
        data: (u16, u16),
        range: Range,
    ) -> Result<Lut, Flaw> {
        let damaged = |how: String| Flaw::Damaged(format!("DICOM with a look-up table {how}"));
        let words = |tag| -> Option<Vec<u16>> {
            // dicom-rs may take them for signed.
            let numbers: Vec<i32> = attributes.get(dataset::tag(tag))?.to_multi_int().ok()?;
            Some(numbers.into_iter().map(|number| number as u16).collect())
        };
        let Some(&[count, first, declared]) = words(descriptor).as_deref() else {
            return Err(damaged("that is not described by three numbers".to_owned()));
        };
        if !(1..=16).contains(&declared) {
            return Err(damaged(format!("whose entries have {declared} bits")));
        }
        let mut entries = words(data).ok_or_else(|| damaged("without entries".to_owned()))?;
        let count = if count == 0 { 1 << 16 } else { usize::from(count) };
        if entries.len() < count && declared <= 8 && entries.len() >= count.div_ceil(2) {
            // Two entries of 8 bits in a word.
            entries = entries.iter().flat_map(|word| word.to_le_bytes()).map(u16::from).collect();
        }
        if entries.len() < count {
            let got = entries.len();
            return Err(damaged(format!("of {got} entries of {declared} bits where it promises {count}")));
        }
        entries.truncate(count);
        let vr = attributes.get(dataset::tag(descriptor)).map(|element| element.vr());
        Ok(Lut { first: first_mapped(first, count, vr == Some(VR::SS), range), entries, declared })
    }
}

/// The first value mapped, whose 16 bits are signed where a value that is looked up may be negative (C.11.2.1.1), or
/// where the file says so. Writers get this wrong, so where the table would then lie beside all values and otherwise
/// not, the other sign is meant.
fn first_mapped(bits: u16, count: usize, says_signed: bool, (low, high): Range) -> i64 {
    let (signed, unsigned) = (i64::from(bits as i16), i64::from(bits));
    let (one, other) = if low < 0.0 || says_signed { (signed, unsigned) } else { (unsigned, signed) };
    let meets = |first: i64| first as f64 <= high && (first + count as i64 - 1) as f64 >= low;
    if !meets(one) && meets(other) { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_is_signed_where_values_may_be_negative_or_the_file_says_so() {
        let first = |value: i32, count, says_signed, range| first_mapped(value as u16, count, says_signed, range);
        let (hounsfield, unsigned, signed) = ((-1024.0, 3071.0), (0.0, 65535.0), (-32768.0, 32767.0));
        assert_eq!(first(-1024, 4096, false, hounsfield), -1024);
        assert_eq!(first(-1024, 4096, false, (-100.0, 65435.0)), -1024, "against the file's own US");
        assert_eq!(first(-100, 4096, true, unsigned), -100);
        assert_eq!(first(-100, 4096, false, unsigned), 65436);
        assert_eq!(first(40000, 20001, false, unsigned), 40000);
        assert_eq!(first(40000, 20001, false, signed), -25536);
        assert_eq!(first(200, 10, true, signed), 200);
        // The sign by which the table would never be met is not meant.
        assert_eq!(first(40000, 20001, true, unsigned), 40000);
        assert_eq!(first(40000, 20001, false, (-1024.0, 64511.0)), 40000);
        assert_eq!(first(-1024, 4096, false, (0.0, 4095.0)), -1024);
    }
}
