//! The chest beside the arm: flesh, lung, ribs and shoulder blade.

use super::anatomy::Anatomy;
use super::geometry::smoothstep;
use super::setup::Setup;
use super::{MU_CORTICAL, MU_LUNG, MU_MUSCLE};

/// The chest beside the arm; its own coordinates have `x` medial and `y` down from the humeral head.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trunk {
    origin: (f32, f32),
    medial: (f32, f32),
    wall: f32,
    thickness: f32,
    ribs: f32,
    phase: f32,
    /// How far the chest reaches over the arm.
    pub overlap: f32,
}

impl Trunk {
    pub fn new(anatomy: &Anatomy, setup: &Setup) -> Trunk {
        let head = anatomy.humerus.knobs[0].centre;
        let (s, c) = setup.abduction.sin_cos();
        Trunk {
            origin: setup.project(head),
            medial: (c, -s),
            wall: 26.0 * anatomy.grown + 0.9 * anatomy.fat,
            thickness: 115.0 * anatomy.grown + 1.2 * anatomy.arm,
            ribs: 33.0 * anatomy.girth,
            phase: anatomy.fat * 2.1,
            overlap: setup.overlap,
        }
    }

    /// From trunk coordinates to across and along the arm.
    pub fn place(&self, x: f32, y: f32) -> (f32, f32) {
        let (mu, mv) = self.medial;
        // Down is medial turned by a right angle.
        (self.origin.0 + x * mu - y * mv, self.origin.1 + x * mv + y * mu)
    }

    /// Attenuation of the flesh, and of ribs and shoulder blade on top of it.
    pub fn attenuation(&self, u: f32, v: f32) -> (f32, f32) {
        let (du, dv) = (u - self.origin.0, v - self.origin.1);
        let at = du * self.medial.0 + dv * self.medial.1;
        let y = -du * self.medial.1 + dv * self.medial.0;
        // The shoulder stays where it is when the chest is turned under the arm.
        let x = at + self.overlap * smoothstep(10.0, 90.0, y);
        if x < -60.0 {
            return (0.0, 0.0);
        }
        let wall = self.wall - 62.0 * (1.0 - smoothstep(0.0, 95.0, y)) + 0.03 * y;
        let top = -44.0 - 0.42 * (x - 30.0).max(0.0);
        let round = |t: f32| {
            let t = t.clamp(0.0, 1.0);
            (t * (2.0 - t)).sqrt()
        };
        let side = round((x - wall) / 120.0);
        let over = round((y - top) / 80.0);
        let flesh = self.thickness * side * over;
        if flesh <= 0.0 {
            return (0.0, 0.0);
        }
        let cage = self.wall + 24.0;
        let lung = smoothstep(cage, cage + 34.0, x) * smoothstep(-30.0, 45.0, y - 0.1 * (90.0 - x).max(0.0));
        let soft = flesh * (MU_MUSCLE * (1.0 - 0.80 * lung) + MU_LUNG * 0.80 * lung);
        (soft, self.ribs(x, y, cage) + self.blade(at, y))
    }

    /// Two families of arcs: the ribs' backs slope down outwards, their fronts down inwards.
    fn ribs(&self, x: f32, y: f32, cage: f32) -> f32 {
        let from_wall = x - cage + 12.0;
        if from_wall <= 0.0 || y < -25.0 {
            return 0.0;
        }
        let t = (from_wall / 130.0).min(1.0);
        let arch = (t * (2.0 - t)).sqrt();
        let fade = smoothstep(0.0, 10.0, from_wall) * smoothstep(-25.0, 5.0, y);
        let path = |at: f32, half: f32| {
            let d = ((at - at.floor()) - 0.5).abs() * self.ribs;
            let chord = |r: f32| (r * r - d * d).max(0.0).sqrt();
            // Trabeculae fill a seventh of the inside.
            let inner = chord(half - 1.1);
            chord(half) - 0.86 * inner
        };
        let back = path((y + 34.0 * arch + self.phase) / self.ribs, 6.4);
        let front = path((y - 42.0 * arch - self.phase) / self.ribs, 7.0);
        MU_CORTICAL * fade * (1.1 * back + 0.55 * front)
    }

    /// The thin plate of the shoulder blade.
    fn blade(&self, x: f32, y: f32) -> f32 {
        if !(38.0..130.0).contains(&x) || !(-16.0..114.0).contains(&y) {
            return 0.0;
        }
        let corners = [(40.0, -14.0), (66.0, 112.0), (128.0, -4.0)];
        let mut inside = f32::MAX;
        for i in 0..3 {
            let ((x0, y0), (x1, y1)) = (corners[i], corners[(i + 1) % 3]);
            let (ex, ey): (f32, f32) = (x1 - x0, y1 - y0);
            let d = ((y - y0) * ex - (x - x0) * ey) / (ex * ex + ey * ey).sqrt();
            inside = inside.min(-d);
        }
        MU_CORTICAL * 1.6 * smoothstep(0.0, 3.0, inside)
    }
}
