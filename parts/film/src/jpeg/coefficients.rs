//! The coefficients of sequential and progressive scans, T.81 annexes F.2 and G.2.

use super::bits::{Bits, HuffmanTable};
use super::{Flaw, Frame, Process, Scan, damaged};

/// Where the coefficients of a block stand, in the order in which they are sent.
pub(super) const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// A component's coefficients, for as many blocks as whole MCUs hold.
pub(super) struct ComponentBlocks {
    pub columns: usize,
    pub coefficients: Vec<[i16; 64]>,
}

/// What is carried from one block of a scan to the next.
struct ScanState<'a> {
    bits: Bits<'a>,
    /// The last DC coefficient of each component.
    last: [i32; 4],
    /// Blocks to come in which this scan's band ends at once.
    ended: u32,
}

/// Decodes a scan into `blocks`, the components' own. `restart` is the restart interval in MCUs, or 0.
pub(super) fn scan(
    frame: &Frame,
    scan: &Scan,
    tables: &[[Option<HuffmanTable>; 4]; 2],
    restart: u32,
    data: &[u8],
    blocks: &mut [ComponentBlocks],
) -> Result<(), Flaw> {
    let missing = || damaged("with a scan whose Huffman table is missing");
    let (has_dc, has_ac) = (scan.first == 0, scan.last > 0);
    let find = |class: usize, number: u8, wanted: bool| match tables[class].get(usize::from(number)) {
        Some(Some(table)) => Ok(Some(table)),
        _ if wanted => Err(missing()),
        _ => Ok(None),
    };
    // For each component: its number, its blocks in an MCU, its tables.
    let mut used = Vec::new();
    for (&at, &(dc, ac)) in scan.components.iter().zip(&scan.tables) {
        let component = frame.components[at];
        let (h, v) = if scan.components.len() == 1 { (1, 1) } else { (component.horizontal, component.vertical) };
        let (dc, ac) = (find(0, dc, has_dc && scan.high == 0)?, find(1, ac, has_ac)?);
        used.push((at, h as usize, v as usize, dc, ac));
    }
    let (across, down) = scan.mcus(frame);
    let mut state = ScanState { bits: Bits::new(data), last: [0; 4], ended: 0 };
    let mut count = 0u64;
    for mcu_y in 0..down as usize {
        for mcu_x in 0..across as usize {
            if restart > 0 && count > 0 && count.is_multiple_of(restart.into()) {
                state.bits.restart(count / u64::from(restart) - 1)?;
                (state.last, state.ended) = ([0; 4], 0);
            }
            count += 1;
            for &(component, h, v, dc, ac) in &used {
                for (y, x) in (0..v).flat_map(|y| (0..h).map(move |x| (y, x))) {
                    let at = (mcu_y * v + y) * blocks[component].columns + mcu_x * h + x;
                    let block = &mut blocks[component].coefficients[at];
                    match (frame.process, scan.first, scan.high) {
                        (Process::Progressive, 0, 0) => {
                            let last = dc_coefficient(&mut state, component, dc.ok_or_else(missing)?)?;
                            block[0] = (last << scan.low) as i16;
                        }
                        (Process::Progressive, 0, _) => block[0] |= (state.bits.take(1)? << scan.low) as i16,
                        (Process::Progressive, _, 0) => ac_first(&mut state, scan, ac.ok_or_else(missing)?, block)?,
                        (Process::Progressive, ..) => ac_again(&mut state, scan, ac.ok_or_else(missing)?, block)?,
                        _ => {
                            block[0] = dc_coefficient(&mut state, component, dc.ok_or_else(missing)?)? as i16;
                            ac_sequential(&mut state.bits, ac.ok_or_else(missing)?, block)?;
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

/// The next DC coefficient of a component.
#[inline]
fn dc_coefficient(state: &mut ScanState<'_>, component: usize, table: &HuffmanTable) -> Result<i32, Flaw> {
    let size = state.bits.symbol(table)?;
    if size > 15 {
        return Err(damaged("with a DC difference of more than 15 bits"));
    }
    let difference = state.bits.value(size)?;
    // Coefficients have 16 bits; a damaged file must not count beyond.
    state.last[component] = (state.last[component] + difference) as i16 as i32;
    Ok(state.last[component])
}

fn beyond() -> Flaw {
    damaged("with coefficients beyond the last of a block")
}

#[inline]
fn ac_sequential(bits: &mut Bits<'_>, table: &HuffmanTable, block: &mut [i16; 64]) -> Result<(), Flaw> {
    let mut at = 1;
    while at < 64 {
        let symbol = bits.symbol(table)?;
        let (run, size) = (usize::from(symbol >> 4), symbol & 15);
        match (run, size) {
            (15, 0) => at += 16,
            (_, 0) => break,
            _ => {
                at += run;
                *block.get_mut(*ZIGZAG.get(at).ok_or_else(beyond)?).ok_or_else(beyond)? = bits.value(size)? as i16;
                at += 1;
            }
        }
    }
    Ok(())
}

/// The first bits of a band of AC coefficients, G.1.2.2.
fn ac_first(state: &mut ScanState<'_>, scan: &Scan, table: &HuffmanTable, block: &mut [i16; 64]) -> Result<(), Flaw> {
    if state.ended > 0 {
        state.ended -= 1;
        return Ok(());
    }
    let (mut at, last) = (usize::from(scan.first), usize::from(scan.last));
    while at <= last {
        let symbol = state.bits.symbol(table)?;
        let (run, size) = (symbol >> 4, symbol & 15);
        match (run, size) {
            (15, 0) => at += 16,
            (_, 0) => {
                state.ended = (1 << run) - 1 + state.bits.take(run.into())?;
                break;
            }
            _ => {
                at += usize::from(run);
                if at > last {
                    return Err(beyond());
                }
                block[ZIGZAG[at]] = (state.bits.value(size)? << scan.low) as i16;
                at += 1;
            }
        }
    }
    Ok(())
}

/// One more bit of a band of AC coefficients, G.1.2.3.
fn ac_again(state: &mut ScanState<'_>, scan: &Scan, table: &HuffmanTable, block: &mut [i16; 64]) -> Result<(), Flaw> {
    let (mut at, last) = (usize::from(scan.first), usize::from(scan.last));
    let bit = 1i16 << scan.low;
    let more = |bits: &mut Bits<'_>, coefficient: &mut i16| -> Result<(), Flaw> {
        if bits.take(1)? == 1 && *coefficient & bit == 0 {
            *coefficient = coefficient.wrapping_add(if *coefficient > 0 { bit } else { -bit });
        }
        Ok(())
    };
    while state.ended == 0 && at <= last {
        let symbol = state.bits.symbol(table)?;
        let (mut run, size) = (symbol >> 4, symbol & 15);
        let fresh = match (run, size) {
            (15, 0) => 0,
            (_, 0) => {
                state.ended = (1 << run) + state.bits.take(run.into())?;
                break;
            }
            (_, 1) if state.bits.take(1)? == 1 => bit,
            (_, 1) => -bit,
            _ => return Err(damaged("with a refinement of more than one bit")),
        };
        // Coefficients that are known already get their bit on the way; `run` counts the others.
        while at <= last {
            let coefficient = &mut block[ZIGZAG[at]];
            if *coefficient != 0 {
                more(&mut state.bits, coefficient)?;
            } else if run == 0 {
                break;
            } else {
                run -= 1;
            }
            at += 1;
        }
        if fresh != 0 {
            if at > last {
                return Err(beyond());
            }
            block[ZIGZAG[at]] = fresh;
        }
        at += 1;
    }
    if state.ended > 0 {
        state.ended -= 1;
        for coefficient in (at..=last).map(|at| ZIGZAG[at]) {
            if block[coefficient] != 0 {
                more(&mut state.bits, &mut block[coefficient])?;
            }
        }
    }
    Ok(())
}
