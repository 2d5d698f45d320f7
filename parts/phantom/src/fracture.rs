//! Fractures: surfaces that cut the humerus into fragments, and the fragments' displacement.
//!
//! Kinds and the words *displacement*, *angulation*, *overriding* as in the AO/OTA compendium (2018): A1 spiral,
//! A2 oblique, A3 transverse, B and C with intermediate fragments.

use serde::{Deserialize, Serialize};

use super::anatomy::{Anatomy, Bone};
use super::difficulty::Grade;
use super::draw::Draw;
use super::geometry::{Motion, Ray, Vec3, angle};

/// The shape of a fracture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FractureKind {
    /// Within 12° of a right angle to the axis.
    Transverse,
    /// 35° to 60° off the right angle.
    Oblique,
    /// A screw surface that turns once about the axis, closed by a straight crack.
    Spiral,
    /// Two surfaces with two to four loose fragments between.
    Comminuted,
}

impl FractureKind {
    /// All kinds.
    pub const ALL: [FractureKind; 4] =
        [FractureKind::Transverse, FractureKind::Oblique, FractureKind::Spiral, FractureKind::Comminuted];
}

/// The truth about a fracture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fracture {
    /// Its shape.
    pub kind: FractureKind,
    /// Whether it is hardly displaced.
    pub subtle: bool,
    /// Its height as a share of the humerus' length, `0` at the head.
    pub site: f32,
    /// Distance between the bone ends along the axis in millimetres; negative where they override.
    pub gap: f32,
    /// Sideways displacement of the distal fragment as a share of the shaft's width.
    pub displacement: f32,
    /// Tilt of the distal fragment in degrees.
    pub angulation: f32,
}

/// A surface `z = height(x, y)` across the bone.
#[derive(Debug, Clone, Copy)]
struct Cut {
    centre: Vec3,
    /// Slope along `x` and `y`.
    slope: (f32, f32),
    /// Rise of a screw in millimetres a turn, and sine and cosine of the azimuth opposite the crack that closes it.
    pitch: f32,
    start: (f32, f32),
    /// Teeth: their height in millimetres, and two phases.
    teeth: (f32, f32, f32),
}

impl Cut {
    fn height(&self, p: Vec3) -> f32 {
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
    fn reach(&self, radius: f32) -> f32 {
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
enum Piece {
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
    piece: Piece,
    /// Heights between which the cut must be looked at; all in or all out beyond.
    window: (f32, f32),
    /// How far beyond and within its broken end the fragment's surroundings belong to the fracture.
    rim: (f32, f32),
}

/// What a ray meets in one fragment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Met {
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
    pub fn cross(&self, bone: &Bone, ray: &Ray) -> Option<Met> {
        let crossing = bone.cross(ray)?;
        let (low, high) = crossing.outer.hull()?;
        let mut met = Met { at: crossing.passing, ..Met::default() };
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

/// The share of the length at which a study's films look; drawn for every study, broken or not.
pub(super) fn site(draw: &mut Draw) -> f32 {
    // Mostly the shaft; the surgical neck and the supracondylar region take their part.
    match draw.weighted(&[0.72, 0.14, 0.14]) {
        0 => draw.uniform(0.28, 0.74),
        1 => draw.uniform(0.17, 0.24),
        _ => draw.uniform(0.76, 0.83),
    }
}

/// Breaks a humerus at `site`; an arm that was `set`, by hardware, is hardly out of place.
pub(super) fn draw(grade: &Grade, anatomy: &Anatomy, site: f32, set: bool, draw: &mut Draw) -> (Fracture, Fragments) {
    let kind = FractureKind::ALL[draw.weighted(&[0.27, 0.27, 0.23, 0.23])];
    let subtle = draw.chance(grade.subtle);
    let overriding = !subtle && !set && kind != FractureKind::Comminuted && draw.chance(0.15);
    let mut gap = draw.uniform(grade.gap.0, grade.gap.1);
    let mut displacement = draw.uniform(grade.displacement.0, grade.displacement.1);
    let mut angulation = draw.normal(grade.angulation, 0.7 * grade.angulation, 2.0).abs();
    if overriding {
        gap = -draw.uniform(5.0, 16.0);
        displacement = draw.uniform(1.0, 1.15);
    }
    if subtle {
        gap = draw.uniform(grade.subtle_gap.0, grade.subtle_gap.1);
        displacement = draw.uniform(0.0, grade.subtle_displacement);
        angulation = draw.uniform(0.0, 40.0 * grade.subtle_displacement);
    }
    if set && !subtle {
        (gap, displacement, angulation) = (0.5 * gap, 0.2 * displacement, 0.2 * angulation);
    }
    // Loose fragments of a bone that is hardly out of place are so too.
    let near = subtle || set;

    let height = site * anatomy.length;
    let s = anatomy.humerus.section(height);
    let centre = Vec3::new(s.x, s.y, height);
    let radius = s.a.max(s.b);
    let teeth = draw.uniform(0.4, 1.1);
    // Steep cuts through the broad ends would run out of the bone.
    let broad = (11.5 / s.a).min(1.0);
    let cut = |centre: Vec3, tilt: f32, pitch: f32, draw: &mut Draw| {
        let (azimuth, slope) = (draw.direction(), tilt.to_radians().tan());
        Cut {
            centre,
            slope: (slope * azimuth.cos(), slope * azimuth.sin()),
            pitch,
            start: draw.direction().sin_cos(),
            teeth: (teeth, draw.unit(), draw.unit()),
        }
    };
    let (upper, lower) = match kind {
        FractureKind::Transverse => {
            let tilt = draw.uniform(0.0, 12.0);
            let one = cut(centre, tilt, 0.0, draw);
            (one, one)
        }
        FractureKind::Oblique => {
            let tilt = draw.uniform(35.0, 35.0 + 25.0 * broad);
            let one = cut(centre, tilt * broad, 0.0, draw);
            (one, one)
        }
        FractureKind::Spiral => {
            let handedness = if draw.chance(0.5) { 1.0 } else { -1.0 };
            let pitch = draw.uniform(24.0, 46.0) * broad;
            let one = cut(centre, 8.0, handedness * pitch, draw);
            (one, one)
        }
        FractureKind::Comminuted => {
            let half = draw.uniform(6.0, 11.0);
            let shift = |by: f32| Vec3::new(centre.x, centre.y, centre.z + by);
            let (t1, t2) = (draw.uniform(5.0, 28.0) * broad, draw.uniform(5.0, 28.0) * broad);
            (cut(shift(-half), t1, 0.0, draw), cut(shift(half), t2, 0.0, draw))
        }
    };

    let towards = draw.direction();
    let tilt_axis = draw.direction();
    let shift = 2.0 * 0.5 * (s.a + s.b) * displacement;
    let motion = Motion::new(
        Vec3::new(tilt_axis.cos(), tilt_axis.sin(), 0.0),
        angulation.to_radians(),
        centre,
        Vec3::new(shift * towards.cos(), shift * towards.sin(), gap),
    );
    let rim = (0.5 * gap.max(0.0) + 1.0, 3.0);
    let window = |cut: &Cut| {
        let reach = cut.reach(radius * 1.15) + rim.0.max(rim.1);
        (cut.centre.z - reach, cut.centre.z + reach)
    };
    let mut list = vec![Fragment { motion: Motion::NONE, piece: Piece::Proximal(upper), window: window(&upper), rim }];
    if kind == FractureKind::Comminuted {
        let count = 2 + draw.weighted(&[0.4, 0.4, 0.2]);
        let mut from = draw.direction();
        let end = from + std::f32::consts::TAU;
        for i in 0..count {
            let even = (end - from) / (count - i) as f32;
            let to = if i + 1 == count { end } else { from + even * draw.uniform(0.75, 1.25) };
            let outwards = 0.5 * (from + to);
            // A loose fragment goes part of the way with the distal one, outwards and askew.
            let out = draw.uniform(0.4 + 0.6 * displacement, if near { 2.0 } else { 8.0 });
            let along = draw.uniform(0.2, 0.8);
            let spin = draw.direction();
            let askew = draw.uniform(1.0, if near { 4.0 } else { 26.0 }).to_radians();
            list.push(Fragment {
                motion: Motion::new(
                    Vec3::new(spin.cos(), spin.sin(), 0.0),
                    askew,
                    centre.along(Vec3::new(outwards.cos(), outwards.sin(), 0.0), radius * 0.8),
                    Vec3::new(
                        along * shift * towards.cos() + out * outwards.cos(),
                        along * shift * towards.sin() + out * outwards.sin(),
                        along * gap,
                    ),
                ),
                piece: Piece::Wedge(upper, lower, from, to),
                window: (window(&upper).0, window(&lower).1),
                rim: (1.0, 60.0),
            });
            from = to;
        }
    }
    list.push(Fragment { motion, piece: Piece::Distal(lower), window: window(&lower), rim });
    let fracture = Fracture { kind, subtle, site, gap, displacement, angulation };
    (fracture, Fragments { list, height })
}

#[cfg(test)]
mod tests {
    use super::super::draw::Purpose;
    use super::super::{Difficulty, PhantomConfig};
    use super::*;

    fn grade(difficulty: Difficulty) -> Grade {
        Grade::new(&PhantomConfig { difficulty, ..PhantomConfig::default() })
    }

    fn through(x: f32, z: f32) -> Ray {
        Ray { origin: Vec3::new(x, 0.0, z), direction: Vec3::new(0.0, 1.0, 0.0) }
    }

    #[test]
    fn fragments_left_in_place_add_up_to_the_whole_bone() {
        let grade = grade(Difficulty::MEDIUM);
        for number in 0..60 {
            let anatomy = Anatomy::draw(&grade, &mut Draw::new(5, Purpose::Anatomy, number));
            let mut stream = Draw::new(5, Purpose::Fracture, number);
            let (_, fragments) = super::draw(&grade, &anatomy, 0.3 + 0.007 * number as f32, false, &mut stream);
            for dz in -30..=30 {
                for x in [-9.0, -4.0, 0.0, 4.0, 9.0] {
                    let ray = through(x, fragments.height + dz as f32);
                    let whole = Fragment::whole().cross(&anatomy.humerus, &ray);
                    let parts = fragments.list.iter().filter_map(|f| f.cross(&anatomy.humerus, &ray));
                    let sum: f32 = parts.map(|met| met.cortical).sum();
                    let whole = whole.map_or(0.0, |met| met.cortical);
                    // Where two wedges meet, the half-millimetre ramps of their corners do not quite add up to one.
                    assert!((sum - whole).abs() < 2.5, "{number} {dz} {x}: {sum} against {whole}");
                }
            }
        }
    }

    #[test]
    fn kinds_and_sizes_are_as_documented_at_each_difficulty() {
        // Gaps that do not override, displacement at most, share of subtle fractures.
        let expected = [
            (Difficulty::EASY, 4.0..=10.0, 1.0, 0.0),
            (Difficulty::MEDIUM, 0.9..=8.0, 0.85, 0.15),
            (Difficulty::HARD, 0.4..=5.0, 0.5, 0.5),
        ];
        for (difficulty, gaps, most, share) in expected {
            let grade = grade(difficulty);
            let anatomy = Anatomy::draw(&grade, &mut Draw::new(0, Purpose::Anatomy, 0));
            let (mut kinds, mut subtle, mut overriding) = ([0; 4], 0_u32, 0);
            for number in 0..400 {
                let mut stream = Draw::new(0, Purpose::Fracture, number);
                let (fracture, fragments) = super::draw(&grade, &anatomy, 0.5, false, &mut stream);
                kinds[fracture.kind as usize] += 1;
                subtle += u32::from(fracture.subtle);
                assert!((0.0..=30.0).contains(&fracture.angulation));
                if fracture.gap < 0.0 {
                    overriding += 1;
                    assert!((-16.0..=-5.0).contains(&fracture.gap));
                    assert!((1.0..=1.15).contains(&fracture.displacement));
                } else {
                    assert!(gaps.contains(&fracture.gap) && fracture.displacement <= most, "{fracture:?}");
                }
                let expected = if fracture.kind == FractureKind::Comminuted { 4..=6 } else { 2..=2 };
                assert!(expected.contains(&fragments.list.len()));
            }
            assert!(kinds.iter().all(|&n| n > 60), "{kinds:?}");
            assert!((f64::from(subtle) / 400.0 - share).abs() < 0.08 && overriding > 15, "{subtle} {overriding}");
        }
    }

    #[test]
    fn a_set_bone_is_hardly_out_of_place() {
        let grade = grade(Difficulty::EASY);
        let anatomy = Anatomy::draw(&grade, &mut Draw::new(0, Purpose::Anatomy, 0));
        for number in 0..100 {
            let (fracture, _) = super::draw(&grade, &anatomy, 0.5, true, &mut Draw::new(0, Purpose::Fracture, number));
            assert!((2.0..=5.0).contains(&fracture.gap) && fracture.displacement <= 0.2, "{fracture:?}");
            assert!(fracture.angulation <= 6.0);
        }
    }
}
