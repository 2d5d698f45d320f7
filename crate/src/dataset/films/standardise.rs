//! Standardised films on a CPU, several times faster than by libtorch's operations one after the other: in one pass.

use std::thread;

use multiversion::multiversion;
use tch::{Device, Kind, Tensor};

use crate::preprocess::Preprocess;

/// Bytes `[B, size, size]` as standardised films `[B, 3, size, size]`, `f32`: bit for bit [`Preprocess::standardise`]'s.
pub(super) fn in_one_pass(pixels: &Tensor, preprocess: &Preprocess) -> Tensor {
    let scales: [[f32; 2]; 3] = std::array::from_fn(|channel| [preprocess.mean[channel], preprocess.std[channel]]);
    let [n, height, width] = pixels.size()[..] else { panic!("bytes of films: [B, size, size]") };
    let pixels = pixels.contiguous();
    let films = Tensor::empty([n, 3, height, width], (Kind::Float, Device::Cpu));
    let film = (height * width) as usize;
    // SAFETY: both tensors are contiguous, on the CPU, of these kinds and sizes, and outlive the slices; nobody else knows of
    // `films` yet, and every element of it is written below.
    let (from, to) = unsafe {
        let count = n as usize * film;
        (
            std::slice::from_raw_parts(pixels.data_ptr() as *const u8, count),
            std::slice::from_raw_parts_mut(films.data_ptr() as *mut f32, 3 * count),
        )
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = film * (n as usize).div_ceil(threads).max(1);
    thread::scope(|scope| {
        for (from, to) in from.chunks(share).zip(to.chunks_mut(3 * share)) {
            scope.spawn(move || {
                for (from, to) in from.chunks_exact(film).zip(to.chunks_exact_mut(3 * film)) {
                    spread(&scales, from, to);
                }
            });
        }
    });
    films
}

/// Three channels of one film.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+avx512dq", "x86_64+avx2+fma"))]
fn spread(scales: &[[f32; 2]; 3], film: &[u8], channels: &mut [f32]) {
    let (red, rest) = channels.split_at_mut(film.len());
    let (green, blue) = rest.split_at_mut(film.len());
    let [[mean0, std0], [mean1, std1], [mean2, std2]] = *scales;
    for (((byte, red), green), blue) in film.iter().zip(red).zip(green).zip(blue) {
        let grey = f32::from(*byte) / 255.0;
        *red = (grey - mean0) / std0;
        *green = (grey - mean1) / std1;
        *blue = (grey - mean2) / std2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::grey;

    #[test]
    fn every_grey_is_standardised_to_the_same_bits_as_by_libtorch() {
        let levels: Vec<u8> = (0..=255).collect();
        let pixels = Tensor::from_slice(&levels).view([4, 8, 8]);
        for (mean, std) in [([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), ([0.31; 3], [0.17; 3])] {
            let preprocess = Preprocess { mean, std, ..Preprocess::default() };
            assert!(in_one_pass(&pixels, &preprocess).equal(&preprocess.standardise(&grey(&pixels))));
        }
    }
}
