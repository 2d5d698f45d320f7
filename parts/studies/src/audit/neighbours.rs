//! Near neighbours among hashes without comparing all with all: multi-index hashing (Norouzi, Punjani, Fleet, CVPR
//! 2012).
//!
//! Two hashes that differ in at most 31 of 256 bits agree in all but at most one bit in one of 16 bands of 16 bits; so
//! looking up every band, as it is and with each bit flipped, finds them for sure, and more distant ones most of the
//! time.

use crate::audit::fingerprint::{Hash, distance};

const BANDS: usize = 16;

/// Hashes by the value of each band.
#[derive(Debug)]
pub(super) struct Neighbours {
    hashes: Vec<Hash>,
    /// For each band: where the hashes of each value begin in `order`, and the hashes ordered by value.
    bands: Vec<(Vec<u32>, Vec<u32>)>,
}

fn band(hash: &Hash, number: usize) -> usize {
    (hash[number / 4] >> (number % 4 * 16)) as usize & 0xffff
}

impl Neighbours {
    pub fn new(hashes: Vec<Hash>) -> Neighbours {
        let bands = (0..BANDS).map(|number| {
            let mut starts = vec![0u32; 0x1_0001];
            for hash in &hashes {
                starts[band(hash, number) + 1] += 1;
            }
            for value in 0..0x1_0000 {
                starts[value + 1] += starts[value];
            }
            let mut next = starts.clone();
            let mut order = vec![0; hashes.len()];
            for (at, hash) in (0u32..).zip(&hashes) {
                let slot = &mut next[band(hash, number)];
                order[*slot as usize] = at;
                *slot += 1;
            }
            (starts, order)
        });
        let bands = bands.collect();
        Neighbours { hashes, bands }
    }

    /// The hashes within `radius` bits, as position and distance; some twice.
    pub fn of(&self, hash: &Hash, radius: u32, mut found: impl FnMut(usize, u32)) {
        for (number, (starts, order)) in self.bands.iter().enumerate() {
            let value = band(hash, number);
            for probe in 0..17 {
                let value = if probe == 0 { value } else { value ^ (1 << (probe - 1)) };
                for &at in &order[starts[value] as usize..starts[value + 1] as usize] {
                    let far = distance(hash, &self.hashes[at as usize]);
                    if far <= radius {
                        found(at as usize, far);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::seq::index::sample;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn every_hash_within_31_bits_is_found_and_none_beyond_the_radius() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let base: Vec<Hash> = (0..400).map(|_| rng.random()).collect();
        let mut hashes = base.clone();
        for hash in &base {
            let mut near = *hash;
            let flips = rng.random_range(0..=31);
            for bit in sample(&mut rng, 256, flips) {
                near[bit / 64] ^= 1 << (bit % 64);
            }
            hashes.push(near);
        }
        let neighbours = Neighbours::new(hashes.clone());
        for (n, hash) in base.iter().enumerate() {
            let mut near = Vec::new();
            neighbours.of(hash, 31, |at, far| {
                assert_eq!(far, distance(hash, &hashes[at]));
                near.push(at);
            });
            near.sort_unstable();
            near.dedup();
            assert_eq!(near, [n, n + 400]);
        }
    }
}
