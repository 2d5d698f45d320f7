//! The pieces of a broken bone, how each has moved, and what a ray meets in them.

use super::anatomy::Bone;
use super::geometry::{Motion, Ray, Vec3, angle};

/// A surface `z = height(x, y)` across the bone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    pub centre: Vec3,
    /// Slope along `x` and `y`.
    pub slope: (f32, f32),
    /// Rise of a screw in millimetres a turn, and sine and cosine of the azimuth opposite the crack that closes it.
    pub pitch: f32,
    pub start: (f32, f32),
    /// Teeth: their height in millimetres, and two phases.
    pub teeth: (f32, f32, f32),
}

impl Cut {
    pub fn height(&self, p: Vec3) -> f32 {
        let (x, y) = (p.x - self.centre.x, p.y - self.centre.y);
        let mut z = self.centre.z + self.slope.0 * x + self.slope.1 * y;
        if self.pitch != 0.0 {
            let (s, c) = self.start;
            z += self.pitch / std::f32::consts::TAU * angle(c * y - s * x, c * x + s * y);
        }
        let (height, p1, p2) = self.teeth;
        z + height * (triangle(0.21 * x + p1) + triangle(0.17 * y + p2) + 0.5 * triangle(0.5 * (x + y) + p2))
    }

    /// How far from its centre the surface may lie, within `radius` of the axis.
    pub fn reach(&self, radius: f32) -> f32 {
        self.slope.0.hypot(self.slope.1) * radius + 0.5 * self.pitch.abs() + 2.5 * self.teeth.0
    }
}

/// A triangle wave of period 1 in `-1.0..=1.0`, for `t > -64`.
fn triangle(t: f32) -> f32 {
    // Cutting off is quicker than rounding down, and the same for positive numbers.
    let t = t + 64.0;
    4.0 * ((t - (t as u32) as f32) - 0.5).abs() - 1.0
}

/// Which part of the bone a fragment is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Piece {
    Whole,
    Proximal(Cut),
    Distal(Cut),
    /// Between two cuts and two half-planes through the axis (their azimuths, in turning order).
    Wedge(Cut, Cut, f32, f32),
}

/// A part of the bone that moves as one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fragment {
    pub motion: Motion,
    pub piece: Piece,
    /// Heights between which the cut must be looked at; all in or all out beyond.
    pub window: (f32, f32),
    /// How far beyond and within its broken end the fragment's surroundings belong to the fracture.
    pub rim: (f32, f32),
}

/// What a ray meets in one fragment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MetBone {
    /// Millimetres of cortical bone, and of solid bone inside the trabecular.
    pub cortical: f32,
    pub trabecular: f32,
    /// Millimetres of interior, marrow included.
    pub interior: f32,
    /// Where the ray passes the axis, in the bone's own coordinates.
    pub at: Vec3,
    /// Whether the ray passes the fracture zone.
    pub fractured: bool,
}

impl Fragment {
    pub fn whole() -> Fragment {
        Fragment { motion: Motion::NONE, piece: Piece::Whole, window: (f32::MAX, f32::MAX), rim: (0.0, 0.0) }
    }

    /// Millimetres inside the fragment, by the nearest of its cuts; negative outside.
    fn depth(&self, p: Vec3) -> f32 {
        match &self.piece {
            Piece::Whole => f32::MAX,
            Piece::Proximal(cut) => cut.height(p) - p.z,
            Piece::Distal(cut) => p.z - cut.height(p),
            Piece::Wedge(upper, lower, from, to) => {
                let (x, y) = (p.x - upper.centre.x, p.y - upper.centre.y);
                let side = |azimuth: f32| azimuth.cos() * y - azimuth.sin() * x;
                let sector = if *to - *from < std::f32::consts::PI {
                    side(*from).min(-side(*to))
                } else {
                    side(*from).max(-side(*to))
                };
                (p.z - upper.height(p)).min(lower.height(p) - p.z).min(sector)
            }
        }
    }

    /// What `ray`, in the bone's own coordinates, meets of `bone` within this fragment.
    pub fn cross(&self, bone: &Bone, ray: &Ray) -> Option<MetBone> {
        let crossing = bone.cross(ray)?;
        let (low, high) = crossing.outer.hull()?;
        let mut met = MetBone { at: crossing.passing, ..MetBone::default() };
        let slant = ray.direction.z.abs() * (high - low);
        let inside = match self.piece {
            Piece::Whole => true,
            Piece::Proximal(_) if crossing.passing.z + slant < self.window.0 => true,
            Piece::Distal(_) if crossing.passing.z - slant > self.window.1 => true,
            _ if crossing.passing.z + slant < self.window.0 || crossing.passing.z - slant > self.window.1 => {
                return None;
            }
            _ => false,
        };
        if inside {
            met.interior = crossing.inner.length();
            met.cortical = crossing.outer.length() - met.interior;
            met.trabecular = met.interior * crossing.trabecular;
            return Some(met);
        }
        // Near the cut: walk through the bone in steps of about a millimetre.
        let steps = ((high - low) * 0.9).ceil().clamp(4.0, 40.0);
        let step = (high - low) / steps;
        for i in 0..steps as usize {
            let from = low + step * i as f32;
            let outer = crossing.outer.length_within(from, from + step);
            if outer <= 0.0 {
                continue;
            }
            let depth = self.depth(ray.at(from + 0.5 * step));
            met.fractured |= depth > -self.rim.0 && depth < self.rim.1;
            let share = (0.5 + depth).clamp(0.0, 1.0);
            if share > 0.0 {
                let inner = crossing.inner.length_within(from, from + step);
                met.interior += share * inner;
                met.cortical += share * (outer - inner);
            }
        }
        met.trabecular = met.interior * crossing.trabecular;
        Some(met)
    }
}

/// A fractured or whole humerus: its fragments, the first one proximal and the last one distal.
#[derive(Debug, Clone)]
pub(super) struct Fragments {
    pub list: Vec<Fragment>,
    /// Height of the fracture in millimetres.
    pub height: f32,
}

impl Fragments {
    pub fn whole() -> Fragments {
        Fragments { list: vec![Fragment::whole()], height: 0.0 }
    }

    /// How everything distal of the fracture moved.
    pub fn distal(&self) -> Motion {
        self.list.last().map_or(Motion::NONE, |fragment| fragment.motion)
    }

    /// How a spot at height `z` moved.
    pub fn motion_at(&self, z: f32) -> Motion {
        if z > self.height { self.distal() } else { Motion::NONE }
    }
}
