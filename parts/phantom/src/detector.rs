//! From attenuation to grey: Beer–Lambert's law, focal spot, quanta, and the processing of a digital system.

use image::{ImageBuffer, Luma};

use super::anatomy::Anatomy;
use super::draw::Draw;
use super::geometry::smoothstep;
use super::marker;
use super::plane::Plane;
use super::setup::Setup;
use super::{MU_CORTICAL, MU_MUSCLE};

/// The largest 12-bit grey.
const WHITE: f32 = 4095.0;

/// The share of a beam that passes matter with total attenuation `Σ μ L`: Beer–Lambert's law.
pub(super) fn transmission(attenuation: f32) -> f32 {
    (-attenuation).exp()
}

/// Exposes, reads out and develops one film to 12 bits; `open` as from [`open_field`], `soft` the attenuation of what
/// lies about the shaft.
pub(super) fn develop(
    attenuation: Plane,
    open: &[f32],
    soft: f32,
    anatomy: &Anatomy,
    setup: &Setup,
    noise: &mut Draw,
) -> ImageBuffer<Luma<u16>, Vec<u16>> {
    let mut signal = attenuation;
    let width = signal.width;
    let (across, down) = (2.0 * setup.heel.0 / width as f32, 2.0 * setup.heel.1 / signal.height as f32);
    for (y, (row, open)) in signal.values.chunks_exact_mut(width).zip(open.chunks_exact(width)).enumerate() {
        let heel = down * y as f32 - setup.heel.0 - setup.heel.1;
        for (x, (value, open)) in row.iter_mut().zip(open).enumerate() {
            *value = transmission(*value + heel + across * x as f32) * open;
        }
    }
    blur(&mut signal, setup.blur / setup.mm_per_pixel);
    let curve = Curve::new(soft, anatomy, setup);
    // The exposure meter gives more where there is more to pass, up to the tube's limit.
    let more = (soft - 2.0 * anatomy.arm * MU_MUSCLE).clamp(0.0, 2.5).exp();
    let quanta = more * setup.fluence * setup.mm_per_pixel * setup.mm_per_pixel;
    let haze = Coarse::new(&signal);
    let mut local = vec![0.0; width];
    for (y, row) in signal.values.chunks_exact_mut(width).enumerate() {
        haze.row(y, &mut local);
        for (value, haze) in row.iter_mut().zip(&local) {
            let mean = quanta * (*value + setup.scatter * haze);
            // Two quanta's worth of electronic noise, and one at least: the logarithm stays finite.
            let read = noise.quanta(mean) + 2.0 * noise.standard();
            *value = (-(read.max(1.0) / quanta).ln()).min(curve.limit);
        }
    }
    let smooth = Coarse::new(&signal);
    let mut pixels = Vec::with_capacity(signal.values.len());
    for (y, (row, open)) in signal.values.chunks_exact(width).zip(open.chunks_exact(width)).enumerate() {
        smooth.row(y, &mut local);
        for ((&value, &soft), &open) in row.iter().zip(&local).zip(open) {
            let sharp = value + setup.tone.edge * (value - soft).clamp(-0.6, 0.9);
            let mut grey = curve.grey(sharp);
            if open < 0.5 {
                // Behind the leaves the system shows black.
                grey *= smoothstep(0.02, 0.5, open);
            }
            pixels.push((grey * (WHITE / 255.0) + 0.5).min(WHITE) as u16);
        }
    }
    let mut image = ImageBuffer::from_raw(setup.width, setup.height, pixels).expect("one grey value a pixel");
    if let Some(spot) = &setup.marker {
        marker::stamp(&mut image, spot, if anatomy.left { 'L' } else { 'R' }, setup.tone.bright * (WHITE / 255.0));
    }
    image
}

/// The window: from attenuation to grey, by a straight middle with a soft shoulder, tabulated.
#[derive(Debug)]
struct Curve {
    black: f32,
    scale: f32,
    table: Vec<f32>,
    /// Attenuation beyond which nothing is told apart.
    limit: f32,
}

impl Curve {
    const STEPS: usize = 512;
    /// The table ends at twice the attenuation that is meant to be white.
    const END: f32 = 2.0;

    fn new(soft: f32, anatomy: &Anatomy, setup: &Setup) -> Curve {
        // From an empty beam to the rim of the shaft in the middle of the arm.
        let s = anatomy.humerus.section(0.5 * anatomy.length);
        let arm = 2.0 * anatomy.arm * MU_MUSCLE;
        let rim = 2.0 * ((2.0 * s.a - s.cortex) * s.cortex).sqrt();
        let white = (arm.max(soft) + (MU_CORTICAL - MU_MUSCLE) * rim) * setup.tone.window;
        let black = 0.10 * arm;
        let tone = setup.tone;
        // Metal goes on to white where bone ends.
        let over = ((253.0 - tone.dark) / (tone.bright - tone.dark) - 0.8).max(0.2);
        let table = (0..=Self::STEPS + 1)
            .map(|i| {
                let level = (i as f32 / Self::STEPS as f32 * Self::END).powf(tone.gamma);
                let level = if level < 0.8 { level } else { 0.8 + over * (1.0 - (-(level - 0.8) / over).exp()) };
                tone.dark + (tone.bright - tone.dark) * level
            })
            .collect();
        Curve { black, scale: Self::STEPS as f32 / (Self::END * (white - black)), table, limit: 1.9 * white }
    }

    fn grey(&self, attenuation: f32) -> f32 {
        let at = ((attenuation - self.black) * self.scale).clamp(0.0, Self::STEPS as f32);
        let i = at as usize;
        let (low, high) = (self.table[i], self.table[i + 1]);
        low + (at - i as f32) * (high - low)
    }
}

/// The share of the beam that the collimator lets through, a pixel each.
pub(super) fn open_field(setup: &Setup) -> Vec<f32> {
    let (width, height) = (setup.width as usize, setup.height as usize);
    let Some(c) = setup.collimation else {
        return vec![1.0; width * height];
    };
    let (sin, cos) = c.turn.sin_cos();
    let mut open = Vec::with_capacity(width * height);
    for y in 0..height {
        let dy = setup.on_film(0.5, y as f32 + 0.5).1;
        for x in 0..width {
            let dx = (x as f32 + 0.5 - 0.5 * width as f32) * setup.mm_per_pixel;
            let (a, b) = (cos * dx + sin * dy, cos * dy - sin * dx);
            let inside = (c.half_width - a.abs()).min(c.half_height - b.abs());
            open.push((0.5 + 0.5 * inside / c.penumbra).clamp(0.003, 1.0));
        }
    }
    open
}

/// Gaussian blur of `deviation` pixels, at most 2.5, both ways; edges repeat.
fn blur(plane: &mut Plane, deviation: f32) {
    let deviation = deviation.min(2.5);
    if deviation < 0.15 {
        return;
    }
    let half = (2.5 * deviation).ceil() as usize;
    let mut kernel: Vec<f32> = (0..=half).map(|k| (-0.5 * (k as f32 / deviation).powi(2)).exp()).collect();
    let sum = kernel[0] + 2.0 * kernel[1..].iter().sum::<f32>();
    kernel.iter_mut().for_each(|k| *k /= sum);
    let (w, h) = (plane.width, plane.height);
    let mut padded = vec![0.0; w + 2 * half];
    for row in plane.values.chunks_exact_mut(w) {
        padded[..half].fill(row[0]);
        padded[half..half + w].copy_from_slice(row);
        padded[half + w..].fill(row[w - 1]);
        for (x, value) in row.iter_mut().enumerate() {
            let mut sum = kernel[0] * padded[x + half];
            for (k, weight) in kernel.iter().enumerate().skip(1) {
                sum += weight * (padded[x + half - k] + padded[x + half + k]);
            }
            *value = sum;
        }
    }
    let source = plane.values.clone();
    for y in 0..h {
        let target = &mut plane.values[y * w..(y + 1) * w];
        let row = |y: usize| &source[y * w..(y + 1) * w];
        for (t, s) in target.iter_mut().zip(row(y)) {
            *t = kernel[0] * s;
        }
        for (k, weight) in kernel.iter().enumerate().skip(1) {
            let (above, below) = (row(y.saturating_sub(k)), row((y + k).min(h - 1)));
            for ((t, a), b) in target.iter_mut().zip(above).zip(below) {
                *t += weight * (a + b);
            }
        }
    }
}

/// A strongly blurred copy, kept small.
#[derive(Debug)]
struct Coarse {
    plane: Plane,
    cell: usize,
    /// For each column of the original, the cell to its left and the share of the next one.
    columns: Vec<(usize, f32)>,
}

impl Coarse {
    fn new(source: &Plane) -> Coarse {
        let cell = (source.width.max(source.height) / 64).max(1);
        let (w, h) = (source.width.div_ceil(cell), source.height.div_ceil(cell));
        let mut plane = Plane::new(w as u32, h as u32);
        for (j, band) in source.values.chunks(cell * source.width).enumerate() {
            let rows = band.len() / source.width;
            for row in band.chunks_exact(source.width) {
                for (i, part) in row.chunks(cell).enumerate() {
                    plane.values[j * w + i] += part.iter().sum::<f32>() / (part.len() * rows) as f32;
                }
            }
        }
        blur(&mut plane, 2.4);
        let columns = (0..source.width).map(|x| Self::between(x, cell, w)).collect();
        Coarse { plane, cell, columns }
    }

    /// The cell before pixel `k` and the share of the next one, of `limit` cells.
    fn between(k: usize, cell: usize, limit: usize) -> (usize, f32) {
        let t = ((k as f32 + 0.5) / cell as f32 - 0.5).clamp(0.0, (limit - 1) as f32);
        let i = (t as usize).min(limit.saturating_sub(2));
        (i, t - i as f32)
    }

    /// Row `y` of the original, blurred.
    fn row(&self, y: usize, out: &mut [f32]) {
        let (w, h) = (self.plane.width, self.plane.height);
        let (j, f) = Self::between(y, self.cell, h);
        let next = (j + 1).min(h - 1);
        let (above, below) = (&self.plane.values[j * w..][..w], &self.plane.values[next * w..][..w]);
        let mut line: Vec<f32> = above.iter().zip(below).map(|(a, b)| a + f * (b - a)).collect();
        line.push(line[w - 1]);
        for (value, &(i, f)) in out.iter_mut().zip(&self.columns) {
            *value = line[i] + f * (line[i + 1] - line[i]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slab_of_known_thickness_attenuates_by_the_exponential_law() {
        // 2 cm of cortical bone at 40 keV: NIST's μ/ρ = 0.6655 cm²/g, ρ = 1.92 g/cm³.
        let expected = (-0.6655_f64 * 1.92 * 2.0).exp();
        let passed = f64::from(transmission(MU_CORTICAL * 20.0));
        assert!((passed / expected - 1.0).abs() < 1e-3, "{passed} against {expected}");
        // Two slabs multiply.
        let (a, b) = (transmission(0.3), transmission(1.1));
        assert!((a * b - transmission(1.4)).abs() < 1e-6);
    }

    #[test]
    fn blur_keeps_the_sum_and_spreads_by_its_deviation() {
        let mut plane = Plane::new(41, 41);
        plane.values[20 * 41 + 20] = 1.0;
        blur(&mut plane, 1.5);
        let moment =
            |power: i32| -> f32 { (0..41 * 41).map(|i| plane.values[i] * ((i % 41) as f32 - 20.0).powi(power)).sum() };
        assert!((moment(0) - 1.0).abs() < 1e-5);
        // A kernel cut at 2.5 deviations is a little narrower than the full one.
        assert!((moment(2).sqrt() - 1.5).abs() < 0.08, "{}", moment(2).sqrt());
    }
}
