//! The tables in force, T.81 B.2.4.

use super::bits::HuffmanTable;
use super::{Flaw, coefficients, damaged};

/// Huffman tables of both classes, and quantisation tables, as of now.
#[derive(Default)]
pub(super) struct Tables {
    pub huffman: [[Option<HuffmanTable>; 4]; 2],
    pub quant: [Option<[u16; 64]>; 4],
}

impl Tables {
    pub fn read_huffman(&mut self, mut segment: &[u8]) -> Result<(), Flaw> {
        while let [class_and_number, rest @ ..] = segment {
            let place = self.huffman.get_mut(usize::from(class_and_number >> 4));
            let place = place.and_then(|tables| tables.get_mut(usize::from(class_and_number & 15)));
            let (table, length) = HuffmanTable::read(rest)?;
            *place.ok_or_else(|| damaged("with a Huffman table of no class"))? = Some(table);
            segment = &rest[length..];
        }
        Ok(())
    }

    pub fn read_quant(&mut self, mut segment: &[u8]) -> Result<(), Flaw> {
        let wrong = || damaged("with a quantisation table that is none");
        while let [size_and_number, rest @ ..] = segment {
            let bytes_each = match size_and_number >> 4 {
                0 => 1,
                1 => 2,
                _ => return Err(wrong()),
            };
            let (values, rest) = rest.split_at_checked(64 * bytes_each).ok_or_else(wrong)?;
            let place = self.quant.get_mut(usize::from(size_and_number & 15)).ok_or_else(wrong)?;
            let mut table = [0; 64];
            for (at, value) in coefficients::ZIGZAG.into_iter().zip(values.chunks_exact(bytes_each)) {
                table[at] = value.iter().fold(0, |sum, byte| sum << 8 | u16::from(*byte));
            }
            *place = Some(table);
            segment = rest;
        }
        Ok(())
    }
}
