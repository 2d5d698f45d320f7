//! The grain of trabecular bone and of plaster.

use super::draw::Draw;

/// A tile of smooth noise that repeats: the coarse and the fine grain of trabecular bone.
#[derive(Debug)]
pub(super) struct Texture(Vec<f32>);

impl Texture {
    const SIDE: usize = 128;

    pub fn draw(draw: &mut Draw) -> Texture {
        let n = Self::SIDE;
        let mut values = vec![0.0; n * n];
        for (cell, share) in [(1, 0.45), (2, 0.7), (4, 0.6), (16, 0.35)] {
            let side = n / cell;
            let grid: Vec<f32> = (0..side * side).map(|_| draw.standard()).collect();
            for y in 0..n {
                for x in 0..n {
                    let (fx, fy) = (x as f32 / cell as f32, y as f32 / cell as f32);
                    values[y * n + x] += share * lattice(&grid, side, fx, fy);
                }
            }
        }
        Texture(values)
    }

    /// The value at any place: normal, with a deviation of about one.
    pub fn at(&self, x: f32, y: f32) -> f32 {
        lattice(&self.0, Self::SIDE, x, y)
    }
}

/// Bilinear value of a square grid that repeats.
fn lattice(grid: &[f32], side: usize, x: f32, y: f32) -> f32 {
    let (x0, y0) = (x.floor(), y.floor());
    let (fx, fy) = (x - x0, y - y0);
    let wrap = |k: f32| (k as i32).rem_euclid(side as i32) as usize;
    let (i, j) = (wrap(x0), wrap(y0));
    let (i1, j1) = ((i + 1) % side, (j + 1) % side);
    let row = |j: usize| (1.0 - fx) * grid[j * side + i] + fx * grid[j * side + i1];
    (1.0 - fy) * row(j) + fy * row(j1)
}
