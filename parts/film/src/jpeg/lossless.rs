//! The lossless process, T.81 annex H: each sample is told from its neighbours and a Huffman-coded difference.

use super::bits::{Bits, HuffmanTable};
use super::{Flaw, Frame, Scan, damaged};

/// Decodes a scan into `planes`, one sample of `frame` after the other.
///
/// `tables` are those of class 0; `restart` is the restart interval in samples of each component, or 0.
pub(super) fn scan(
    frame: &Frame,
    scan: &Scan,
    tables: &[Option<HuffmanTable>; 4],
    restart: u32,
    data: &[u8],
    planes: &mut [Vec<u16>],
) -> Result<(), Flaw> {
    let (width, height) = (frame.width as usize, frame.height as usize);
    // H.1.1: a restart comes at the end of a row.
    if !(restart as usize).is_multiple_of(width) {
        return Err(damaged("without loss whose restarts stand within a row"));
    }
    let rows = if restart == 0 { height } else { restart as usize / width };
    let mut used = Vec::new();
    for (&component, &(dc, _)) in scan.components.iter().zip(&scan.tables) {
        let table = tables.get(usize::from(dc)).and_then(Option::as_ref);
        used.push((component, table.ok_or_else(|| damaged("with a scan whose Huffman table is missing"))?));
        planes[component] = vec![0; width * height];
    }
    let bits_left = u32::from(frame.precision - scan.low);
    let (middle, mask) = (1 << (bits_left - 1), ((1u32 << bits_left) - 1) as i32);
    let mut bits = Bits::new(data);
    for y in 0..height {
        if y > 0 && y % rows == 0 {
            bits.restart((y / rows - 1) as u64)?;
        }
        let is_top = y % rows == 0;
        for x in 0..width {
            for &(component, table) in &used {
                let plane = &mut planes[component];
                let at = y * width + x;
                let before = |back: usize| i32::from(plane[at - back]);
                let guess = match (is_top, x) {
                    (true, 0) => middle,
                    (true, _) => before(1),
                    (false, 0) => before(width),
                    (false, _) => predict(scan.first, before(1), before(width), before(width + 1)),
                };
                let size = bits.symbol(table)?;
                let difference = match size {
                    0..=15 => bits.value(size)?,
                    16 => 32768,
                    _ => return Err(damaged("with a difference of more than 16 bits")),
                };
                // Differences count modulo 2^16, and with some encoders modulo 2^precision.
                plane[at] = ((guess + difference) & mask) as u16;
            }
        }
    }
    for &(component, _) in &used {
        planes[component].iter_mut().for_each(|sample| *sample <<= scan.low);
    }
    Ok(())
}

/// Table H.1, from the samples on the left, above, and on the left above.
#[inline]
fn predict(predictor: u8, a: i32, b: i32, c: i32) -> i32 {
    match predictor {
        1 => a,
        2 => b,
        3 => c,
        4 => a + b - c,
        5 => a + ((b - c) >> 1),
        6 => b + ((a - c) >> 1),
        _ => (a + b) >> 1,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{inspect, samples};

    /// A file of `planes`, whose differences have codes of five bits, `rows` rows to a restart interval.
    fn encoded(width: usize, planes: &[Vec<u16>], [precision, predictor, transform]: [u8; 3], rows: usize) -> Vec<u8> {
        let height = planes[0].len() / width;
        let mut bytes = vec![0xff, 0xd8];
        let mut segment = |marker: u8, body: &[u8]| {
            bytes.extend([0xff, marker, 0, body.len() as u8 + 2]);
            bytes.extend_from_slice(body);
        };
        let count = planes.len() as u8;
        let components: Vec<u8> = (1..=count).flat_map(|id| [id, 0x11, 0]).collect();
        segment(0xc3, &[&[precision, 0, height as u8, 0, width as u8, count], components.as_slice()].concat());
        segment(0xc4, &[&[0, 0, 0, 0, 0, 17][..], &[0; 11], &(0..17).collect::<Vec<u8>>()].concat());
        if rows > 0 {
            segment(0xdd, &((rows * width) as u16).to_be_bytes());
        }
        let selectors: Vec<u8> = (1..=count).flat_map(|id| [id, 0]).collect();
        segment(0xda, &[&[count], selectors.as_slice(), &[predictor, 0, transform]].concat());
        let intervals = if rows == 0 { 1 } else { height.div_ceil(rows) };
        let rows = if rows == 0 { height } else { rows };
        for interval in 0..intervals {
            let mut bits = String::new();
            for y in interval * rows..((interval + 1) * rows).min(height) {
                for (x, plane) in (0..width).flat_map(|x| planes.iter().map(move |plane| (x, plane))) {
                    let at = |y: usize, x: usize| i32::from(plane[y * width + x] >> transform);
                    let guess = match (y == interval * rows, x == 0) {
                        (true, true) => 1 << (precision - transform - 1),
                        (true, false) => at(y, x - 1),
                        (false, true) => at(y - 1, x),
                        (false, false) => {
                            let (a, b, c) = (at(y, x - 1), at(y - 1, x), at(y - 1, x - 1));
                            // Written apart from what is tested, floor of halves included.
                            let half = |n: i32| (f64::from(n) / 2.0).floor() as i32;
                            [a, b, c, a + b - c, a + half(b - c), b + half(a - c), half(a + b)][predictor as usize - 1]
                        }
                    };
                    let difference = (at(y, x) - guess + 32767).rem_euclid(65536) - 32767;
                    let size = 32 - difference.unsigned_abs().leading_zeros() as usize;
                    bits += &format!("{size:05b}");
                    if (1..16).contains(&size) {
                        let value = if difference > 0 { difference } else { difference + (1 << size) - 1 };
                        bits += &format!("{value:0size$b}");
                    }
                }
            }
            bits += &"1".repeat(bits.len().wrapping_neg() % 8);
            for byte in bits.as_bytes().chunks(8) {
                let byte = u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap();
                bytes.push(byte);
                if byte == 0xff {
                    bytes.push(0);
                }
            }
            bytes.extend([0xff, if interval + 1 < intervals { 0xd0 + (interval % 8) as u8 } else { 0xd9 }]);
        }
        bytes
    }

    #[test]
    fn every_precision_predictor_point_transform_and_restart_gives_back_what_was_encoded() {
        let (width, height) = (13, 11);
        let mut cells = 0;
        for (precision, predictor) in (2..=16).flat_map(|precision| (1..=7).map(move |p| (precision, p))) {
            for (transform, rows) in (0..precision).flat_map(|transform| [0, 1, 4].map(|rows| (transform, rows))) {
                for count in [1, 3] {
                    let mask = (1u32 << precision) - 1;
                    // Gradients, and wild differences of every size.
                    let sample =
                        |n: u32| if n.is_multiple_of(3) { n.wrapping_mul(2654435761) >> 13 } else { n * 37 } & mask;
                    let plane = |at: u32| (0..width * height).map(|n| sample(n as u32 + at * 999) as u16).collect();
                    let planes: Vec<Vec<u16>> = (0..count).map(plane).collect();
                    let file = encoded(width, &planes, [precision, predictor, transform], rows);
                    let (bytes, size) = samples(&file, &inspect(&file).unwrap()).unwrap();
                    let ours: Vec<u16> = match size {
                        1 => bytes.into_iter().map(u16::from).collect(),
                        _ => bytes.as_chunks().0.iter().map(|pair| u16::from_ne_bytes(*pair)).collect(),
                    };
                    let kept = |sample: u16| sample >> transform << transform;
                    let pixels = 0..width * height;
                    let right: Vec<u16> = pixels.flat_map(|at| planes.iter().map(move |p| kept(p[at]))).collect();
                    assert_eq!(ours, right, "{precision} bits, {predictor}, transform {transform}, {rows} rows");
                    cells += 1;
                }
            }
        }
        assert_eq!(cells, 7 * 135 * 3 * 2);
    }

    #[test]
    fn restarts_within_a_row_are_refused() {
        let mut file = encoded(13, &[vec![7; 143]], [8, 1, 0], 4);
        let at = file.windows(2).position(|pair| pair == [0xff, 0xdd]).unwrap();
        file[at + 5] += 1;
        let frame = inspect(&file).unwrap();
        assert!(samples(&file, &frame).unwrap_err().to_string().contains("restarts stand within a row"));
    }
}
