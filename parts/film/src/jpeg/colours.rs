//! From the planes of components to pixels: smaller components are enlarged as libjpeg does (`jdsample.c`, "fancy"), by
//! the triangle filter where they have half the width or height, else by repetition; colours as JFIF defines them.

use super::frame::Component;
use super::planes::SamplePlane;
use super::{Colour, Frame};

/// The samples as they are stored, one pixel after the other, and how many bytes each has, in the machine's own order.
pub(super) fn stored(frame: &Frame, planes: &[SamplePlane]) -> (Vec<u8>, usize) {
    let count = planes.len();
    let bytes_each = if frame.precision <= 8 { 1 } else { 2 };
    let mut samples = Vec::with_capacity(frame.width as usize * frame.height as usize * count * bytes_each);
    let mut rows = vec![Vec::new(); count];
    for y in 0..frame.height as usize {
        for (row, (component, plane)) in rows.iter_mut().zip(frame.components.iter().zip(planes)) {
            enlarged(frame, component, plane, y, row);
        }
        for x in 0..frame.width as usize {
            for row in &rows {
                if bytes_each == 1 {
                    samples.push(row[x] as u8);
                } else {
                    samples.extend(row[x].to_ne_bytes());
                }
            }
        }
    }
    (samples, bytes_each)
}

/// The pixels in red, green and blue.
pub(super) fn rgb(frame: &Frame, planes: &[SamplePlane]) -> Vec<u8> {
    match frame.colour {
        Colour::Grey => pixels(frame, planes, |[y]: [u8; 1]| [y; 3]),
        Colour::Rgb => pixels(frame, planes, |samples: [u8; 3]| samples),
        Colour::Ybr => pixels(frame, planes, ybr_to_rgb),
        // The other way round, as Adobe's programs write them and all others read them: 255 is no ink.
        Colour::Cmyk => pixels(frame, planes, |[c, m, y, k]| [c, m, y].map(|ink| shaded(255 - ink, k))),
        Colour::Ycck => pixels(frame, planes, |[y, b, r, k]| ybr_to_rgb([y, b, r]).map(|ink| shaded(ink, k))),
    }
}

/// JFIF 1.02, in libjpeg's fixed point.
fn ybr_to_rgb([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let half = 1 << 15;
    let red = y + ((91881 * cr + half) >> 16);
    let green = y + ((-22554 * cb - 46802 * cr + half) >> 16);
    let blue = y + ((116130 * cb + half) >> 16);
    [red, green, blue].map(|level| level.clamp(0, 255) as u8)
}

/// What an ink leaves of a light, as Pillow rounds it.
fn shaded(ink: u8, light: u8) -> u8 {
    let product = u32::from(ink) * u32::from(light) + 128;
    light.saturating_sub(((product + (product >> 8)) >> 8) as u8)
}

/// `M` bytes of each pixel's `N` samples.
fn pixels<const N: usize, const M: usize>(
    frame: &Frame,
    planes: &[SamplePlane],
    convert: impl Fn([u8; N]) -> [u8; M],
) -> Vec<u8> {
    let width = frame.width as usize;
    let mut pixels = Vec::with_capacity(width * frame.height as usize * M);
    let mut rows = [const { Vec::new() }; N];
    for y in 0..frame.height as usize {
        for (row, (component, plane)) in rows.iter_mut().zip(frame.components.iter().zip(planes)) {
            enlarged(frame, component, plane, y, row);
        }
        let stored = (0..width).map(|x| std::array::from_fn(|at| rows[at][x] as u8));
        pixels.extend(stored.flat_map(&convert));
    }
    pixels
}

/// Row `y` of a component at the picture's size, or somewhat longer.
fn enlarged(frame: &Frame, component: &Component, plane: &SamplePlane, y: usize, row: &mut Vec<u16>) {
    let (h, v) = frame.most();
    let (across, down) = ((h / component.horizontal) as usize, (v / component.vertical) as usize);
    let (width, height) = frame.size_of(component);
    let line = |y: usize| &plane.samples[y.min(height as usize - 1) * plane.stride..][..width as usize];
    let near = line(y / down);
    let far = if y.is_multiple_of(2) { line((y / 2).saturating_sub(1)) } else { line(y / 2 + 1) };
    row.clear();
    match (across, down) {
        (1, 1) => row.extend(near),
        (1, 2) => {
            let round = if y.is_multiple_of(2) { 1 } else { 2 };
            row.extend(near.iter().zip(far).map(|(near, far)| (3 * near + far + round) >> 2));
        }
        (2, 1) if width > 2 => widened(near.iter().map(|near| 4 * near), [4, 8], row),
        (2, 2) if width > 2 => widened(near.iter().zip(far).map(|(near, far)| 3 * near + far), [8, 7], row),
        _ => row.extend(near.iter().flat_map(|sample| std::iter::repeat_n(*sample, across))),
    }
}

/// A row twice as wide, of samples that count four times, each a quarter of the way to its neighbour; `round` is added
/// to the first and the second of each pair before the last four bits go.
fn widened(row: impl Iterator<Item = u16> + Clone, round: [u16; 2], target: &mut Vec<u16>) {
    let before = row.clone().take(1).chain(row.clone());
    let last = row.clone().last();
    let after = row.clone().skip(1).chain(last);
    for ((before, sample), after) in before.zip(row).zip(after) {
        target.push((3 * sample + before + round[0]) >> 4);
        target.push((3 * sample + after + round[1]) >> 4);
    }
}
