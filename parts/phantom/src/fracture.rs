//! Fractures: surfaces that cut the humerus into fragments, and the fragments' displacement.
//!
//! Kinds and the words *displacement*, *angulation*, *overriding* as in the AO/OTA compendium (2018): A1 spiral,
//! A2 oblique, A3 transverse, B and C with intermediate fragments.

use serde::{Deserialize, Serialize};

use super::anatomy::Anatomy;
use super::difficulty::Grade;
use super::draw::Draw;
use super::fragments::{Cut, Fragment, Fragments, Piece};
use super::geometry::{Motion, Vec3};

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
    use super::super::geometry::Ray;
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
