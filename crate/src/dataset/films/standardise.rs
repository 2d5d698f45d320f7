//! Standardised films on a CPU, several times faster than by libtorch's operations one after the other: in one pass.

use multiversion::multiversion;
use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use crate::preprocess::Preprocess;
use crate::slices;

/// Bytes `[B, size, size]` as standardised films `[B, 3, size, size]`, `f32`: bit for bit
/// [`Preprocess::standardise`]'s. `None` for tensors of another dtype or shape, or on another device, and for another
/// number of channels.
pub(super) fn in_one_pass(pixels: &Tensor, preprocess: &Preprocess) -> Option<Tensor> {
    let [n, height, width] = pixels.size()[..] else { return None };
    if preprocess.channels != 3 || pixels.kind() != Kind::Uint8 || pixels.device() != Device::Cpu {
        return None;
    }
    let scales: [[f32; 2]; 3] = std::array::from_fn(|channel| [preprocess.mean[channel], preprocess.std[channel]]);
    let film = ((height * width) as usize).max(1);
    let films = slices::read([&pixels.contiguous()], |[from]: [&[u8]; 1]| {
        slices::filled([n, 3, height, width], |to: &mut [f32]| {
            let films = from.par_chunks_exact(film).zip(to.par_chunks_exact_mut(3 * film));
            films.for_each(|(from, to)| spread(&scales, from, to));
        })
    });
    Some(films)
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
            let expected = preprocess.standardise(&grey(&pixels));
            assert!(in_one_pass(&pixels, &preprocess).unwrap().equal(&expected));
            let turned = pixels.transpose(1, 2).contiguous().transpose(1, 2);
            assert!(in_one_pass(&turned, &preprocess).unwrap().equal(&expected), "in another order in memory");
        }
    }

    #[test]
    fn no_films_are_no_films_and_other_tensors_are_left_to_libtorch() {
        let preprocess = Preprocess::default();
        for size in [[0, 8, 8], [3, 0, 8], [0, 0, 0]] {
            let found = in_one_pass(&Tensor::zeros(size, (Kind::Uint8, Device::Cpu)), &preprocess).unwrap();
            assert_eq!((found.size(), found.kind()), (vec![size[0], 3, size[1], size[2]], Kind::Float));
        }
        for kind in [Kind::Float, Kind::Int64, Kind::Int8, Kind::Bool] {
            assert!(in_one_pass(&Tensor::zeros([2, 8, 8], (kind, Device::Cpu)), &preprocess).is_none(), "{kind:?}");
        }
        let bytes = |size: &[i64]| Tensor::zeros(size, (Kind::Uint8, Device::Cpu));
        assert!(in_one_pass(&bytes(&[8, 8]), &preprocess).is_none());
        assert!(in_one_pass(&bytes(&[2, 1, 8, 8]), &preprocess).is_none());
        let grey = Preprocess { channels: 1, ..preprocess };
        assert!(in_one_pass(&bytes(&[2, 8, 8]), &grey).is_none());
    }
}
