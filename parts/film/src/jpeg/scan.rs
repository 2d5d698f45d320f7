//! Scan headers, T.81 B.2.3, and whether the scans of a picture together send all of it, each bit once.

use super::{Flaw, Frame, Process, damaged};

/// How far the coefficients of a component have come: the bits still missing of each, or 255 if none was sent.
pub(super) type ScanProgress = [u8; 64];

/// A scan header: which components, and which of their coefficients.
pub(super) struct Scan {
    pub components: Vec<usize>,
    /// The Huffman tables of each component, for DC and AC coefficients.
    pub tables: Vec<(u8, u8)>,
    /// The first and the last coefficient, in the order in which they are sent; of a lossless scan the predictor.
    pub first: u8,
    pub last: u8,
    /// Bits of the coefficients that earlier scans left for this and later ones; 0 if there was none.
    pub high: u8,
    /// Bits of the coefficients that are left for later scans; of a lossless scan the point transform.
    pub low: u8,
}

impl Scan {
    pub fn read(frame: &Frame, segment: &[u8]) -> Result<Scan, Flaw> {
        let short = || damaged("scan header too short");
        let [count, rest @ ..] = segment else { return Err(short()) };
        let count = usize::from(*count);
        let selectors = rest.get(..2 * count).ok_or_else(short)?;
        let &[first, last, approximation] = rest.get(2 * count..2 * count + 3).ok_or_else(short)? else {
            return Err(short());
        };
        let mut components: Vec<usize> = Vec::new();
        for pair in selectors.chunks_exact(2) {
            // Where components share a name, the first that is not yet in the scan.
            let is_named = |at: &usize| frame.components[*at].id == pair[0] && !components.contains(at);
            let component = (0..frame.components.len()).find(is_named);
            components.push(component.ok_or_else(|| damaged("with a scan of no component"))?);
        }
        if components.is_empty() {
            return Err(damaged("with a scan of no component"));
        }
        let tables = selectors.chunks_exact(2).map(|pair| (pair[1] >> 4, pair[1] & 15)).collect();
        let (high, low) = (approximation >> 4, approximation & 15);
        let scan = match frame.process {
            // Nothing else is lawful; some encoders write other numbers all the same.
            Process::Sequential => Scan { components, tables, first: 0, last: 63, high: 0, low: 0 },
            Process::Progressive | Process::Lossless => Scan { components, tables, first, last, high, low },
        };
        let blocks = |at: &usize| frame.components[*at].horizontal * frame.components[*at].vertical;
        if scan.components.len() > 1 && scan.components.iter().map(blocks).sum::<u32>() > 10 {
            return Err(damaged("with more than ten blocks in an MCU"));
        }
        let is_lawful = match (frame.process, scan.first) {
            (Process::Sequential, _) => true,
            (Process::Lossless, _) => (1..=7).contains(&first) && low < frame.precision,
            (Process::Progressive, 0) => last == 0 && low <= 13,
            (Process::Progressive, _) => first <= last && last <= 63 && low <= 13 && scan.components.len() == 1,
        };
        if is_lawful { Ok(scan) } else { Err(damaged("with a scan that its process does not know")) }
    }

    /// Notes which bits are there now. A scan that sends what is there already, or leaves out what should come before,
    /// is damaged.
    pub fn note(&self, process: Process, progress: &mut [ScanProgress]) -> Result<(), Flaw> {
        let (first, last, low) = match process {
            Process::Progressive => (self.first, self.last, self.low),
            _ => (0, 63, 0),
        };
        let is_next = |missing: u8| match (process, self.high) {
            (Process::Progressive, 1..) => missing == self.high && low + 1 == self.high,
            _ => missing == 255,
        };
        for &component in &self.components {
            for missing in &mut progress[component][usize::from(first)..=usize::from(last)] {
                if !is_next(*missing) {
                    return Err(damaged("whose scans contradict each other"));
                }
                *missing = low;
            }
        }
        Ok(())
    }

    /// The units between which restarts are counted, across and down, A.2.
    pub fn mcus(&self, frame: &Frame) -> (u32, u32) {
        let block = if frame.process == Process::Lossless { 1 } else { 8 };
        match self.components.as_slice() {
            [one] => {
                let (width, height) = frame.size_of(&frame.components[*one]);
                (width.div_ceil(block), height.div_ceil(block))
            }
            _ => {
                let (h, v) = frame.most();
                (frame.width.div_ceil(block * h), frame.height.div_ceil(block * v))
            }
        }
    }
}

/// A progressive picture that is cut between two scans lacks the last bits of some coefficients.
pub(super) fn check_progress(progress: &[ScanProgress]) -> Result<(), Flaw> {
    if progress.iter().flatten().any(|missing| *missing > 0) {
        return Err(Flaw::Truncated("JPEG whose last scans are missing"));
    }
    Ok(())
}
