//! Colours and deeper greys to 8-bit grey.

/// [`luma8`] of interleaved colours, by tables: three fifths of the time.
pub(crate) fn luma_of_rgb(rgb: &[u8]) -> Vec<u8> {
    const TABLES: [[u32; 256]; 3] = {
        let mut tables = [[0; 256]; 3];
        let mut v = 0;
        while v < 256 {
            let level = v as u32;
            (tables[0][v], tables[1][v], tables[2][v]) = (level * 19595 + 0x8000, level * 38470, level * 7471);
            v += 1;
        }
        tables
    };
    let at = |channel: usize, level: u8| TABLES[channel][usize::from(level)];
    rgb.as_chunks::<3>().0.iter().map(|&[r, g, b]| ((at(0, r) + at(1, g) + at(2, b)) >> 16) as u8).collect()
}

/// Pillow's mode `L`: `(19595 R + 38470 G + 7471 B + 2^15) / 2^16`, BT.601 luma in fixed point.
pub(crate) fn luma8(r: u8, g: u8, b: u8) -> u8 {
    let sum = u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471 + 0x8000;
    (sum >> 16) as u8
}

/// 16 bits to 8, rounded: 65535 becomes 255. (Pillow clips instead, which turns a 16-bit film white.)
pub(crate) fn eight_bits(v: u16) -> u8 {
    ((u32::from(v) + 128) / 257) as u8
}

/// [`luma8`] at 16 bits, rounded to 8 once, at the end.
pub(crate) fn luma16(r: u16, g: u16, b: u16) -> u8 {
    let sum = u64::from(r) * 19595 + u64::from(g) * 38470 + u64::from(b) * 7471 + 0x8000;
    eight_bits((sum >> 16) as u16)
}
