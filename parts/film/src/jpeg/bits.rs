//! Huffman-coded bits, T.81 annexes C and F.2.2.
//!
//! Every bit that is asked for must be there: a scan that ends early is an error, where most decoders go on with zeros.

use super::{Flaw, damaged};

pub(super) const NO_MORE: Flaw = Flaw::Truncated("JPEG whose scan ends before its picture does");

/// Codes up to this length are looked up, longer ones searched for.
const SHORT: u32 = 9;

/// A Huffman table.
pub(super) struct HuffmanTable {
    /// For every `SHORT` bits the length of the code that they begin with, or 0, and its symbol.
    short: Vec<(u8, u8)>,
    /// For every length the first code, the number of codes and where their symbols stand.
    long: [(u32, u32, usize); 17],
    symbols: Vec<u8>,
}

impl HuffmanTable {
    /// A table from what follows its class and number in a DHT segment, and how many bytes that takes.
    pub fn read(body: &[u8]) -> Result<(HuffmanTable, usize), Flaw> {
        let wrong = || damaged("with a Huffman table that is none");
        let (counts, rest) = body.split_at_checked(16).ok_or_else(wrong)?;
        let total = counts.iter().map(|count| usize::from(*count)).sum();
        let symbols = rest.get(..total).filter(|symbols| symbols.len() <= 256).ok_or_else(wrong)?.to_vec();
        let mut table = HuffmanTable { short: vec![(0, 0); 1 << SHORT], long: [(0, 0, 0); 17], symbols };
        let (mut code, mut at) = (0u32, 0);
        for (length, count) in (1u32..).zip(counts.iter().map(|count| u32::from(*count))) {
            if code + count > 1 << length {
                return Err(wrong());
            }
            table.long[length as usize] = (code, count, at);
            for symbol in &table.symbols[at..at + count as usize] {
                if length <= SHORT {
                    let first = (code << (SHORT - length)) as usize;
                    table.short[first..first + (1 << (SHORT - length))].fill((length as u8, *symbol));
                }
                code += 1;
            }
            at += count as usize;
            code <<= 1;
        }
        Ok((table, 16 + total))
    }
}

/// Reads the bits of one scan.
pub(super) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    held: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub fn new(data: &'a [u8]) -> Bits<'a> {
        Bits { data, at: 0, held: 0, count: 0 }
    }

    /// Holds as many bits as it can, at most up to the next marker.
    fn fill(&mut self) {
        while self.count <= 48 {
            let byte = match (self.data.get(self.at), self.data.get(self.at + 1)) {
                (Some(0xff), Some(0)) => {
                    self.at += 1;
                    0xff
                }
                (Some(0xff) | None, _) => return,
                (Some(byte), _) => *byte,
            };
            self.at += 1;
            self.held = self.held << 8 | u64::from(byte);
            self.count += 8;
        }
    }

    /// The next `count` bits, at most 16, the first of them the highest.
    #[inline]
    pub fn take(&mut self, count: u32) -> Result<u32, Flaw> {
        if self.count < count {
            self.fill();
            if self.count < count {
                return Err(NO_MORE);
            }
        }
        self.count -= count;
        Ok((self.held >> self.count) as u32 & ((1 << count) - 1))
    }

    /// The next Huffman code's symbol.
    #[inline]
    pub fn symbol(&mut self, table: &HuffmanTable) -> Result<u8, Flaw> {
        if self.count < 16 {
            self.fill();
        }
        // Zeros stand in for what may not be there, and are no part of a code that is.
        let next = if self.count < 16 { self.held << (16 - self.count) } else { self.held >> (self.count - 16) };
        let next = next as u32 & 0xffff;
        let (length, symbol) = table.short[(next >> (16 - SHORT)) as usize];
        if length > 0 {
            self.count = self.count.checked_sub(length.into()).ok_or(NO_MORE)?;
            return Ok(symbol);
        }
        for length in SHORT + 1..=16 {
            let (first, count, at) = table.long[length as usize];
            let code = next >> (16 - length);
            if code < first + count {
                self.count = self.count.checked_sub(length).ok_or(NO_MORE)?;
                return Ok(table.symbols[at + (code - first) as usize]);
            }
        }
        Err(if self.count < 16 { NO_MORE } else { damaged("with bits that are no Huffman code") })
    }

    /// A difference or coefficient of `size` bits, at most 16, F.2.2.1.
    #[inline]
    pub fn value(&mut self, size: u8) -> Result<i32, Flaw> {
        if size == 0 {
            return Ok(0);
        }
        let value = self.take(size.into())? as i32;
        Ok(if value < 1 << (size - 1) { value - (1 << size) + 1 } else { value })
    }

    /// Goes past the restart marker of this number, counted modulo 8, which must be the next thing.
    pub fn restart(&mut self, number: u64) -> Result<(), Flaw> {
        self.fill();
        let padding = self.count < 8;
        let rest = &self.data[self.at..];
        let fill = rest.iter().take_while(|byte| **byte == 0xff).count();
        if !padding || fill == 0 || rest.get(fill) != Some(&(0xd0 + (number % 8) as u8)) {
            return Err(damaged("whose restart markers are not where they should be"));
        }
        self.at += fill + 1;
        self.count = 0;
        Ok(())
    }
}
