//! Implants: plates with screws, intramedullary nails with interlocking screws, cerclage wires.
//!
//! Sizes after the AO's large-fragment set: plates 11 to 14 mm wide with a hole every 15 to 18 mm, screws of 3.5 to 4.5
//! mm, nails of 7 to 9 mm. Drawn from a stream of their own that does not know the fracture; whether there is an
//! implant depends on the label only as far as [`PhantomConfig::hardware_correlation`](super::PhantomConfig) asks for
//! it.

use std::f32::consts::{FRAC_PI_2, PI, TAU};

use serde::{Deserialize, Serialize};

use super::anatomy::Anatomy;
use super::draw::Draw;
use super::geometry::Vec3;
use super::metal::{Rod, Slab};
use studies::Label;

/// What holds the bone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HardwareKind {
    /// A plate on the bone, with screws and now and then wires around the bone.
    Plate,
    /// A nail in the medullary canal, locked by screws.
    Nail,
}

/// What it is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metal {
    /// 1.0 per millimetre at 40 keV.
    Titanium,
    /// 2.9 per millimetre, as iron.
    Steel,
}

impl Metal {
    /// Linear attenuation at 40 keV per millimetre: NIST's `μ/ρ` in cm²/g times the density in g/cm³.
    pub(super) fn attenuation(self) -> f32 {
        match self {
            Metal::Titanium => 2.214 * 4.5 / 10.0,
            Metal::Steel => 3.629 * 7.9 / 10.0,
        }
    }
}

/// The implant of a study, on all its films alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hardware {
    /// Its kind.
    pub kind: HardwareKind,
    /// Its metal.
    pub metal: Metal,
    /// How many screws it has.
    pub screws: usize,
    /// How many wires go round the bone.
    pub wires: usize,
}

/// An implant and where it is: bodies in the coordinates of the proximal fragment.
#[derive(Debug, Clone)]
pub(super) struct Implant {
    pub hardware: Hardware,
    pub rods: Vec<Rod>,
    pub slabs: Vec<Slab>,
}

/// The probability of hardware given the label.
///
/// `correlation` is the phi coefficient of hardware and label as a share of the largest (of its sign) that the shares
/// `hardware` and `abnormal` allow; the share over both labels is `hardware` whatever the correlation.
pub(super) fn probability(hardware: f64, abnormal: f64, correlation: f64, label: Label) -> f64 {
    if !(abnormal > 0.0 && abnormal < 1.0) {
        return hardware;
    }
    // Where all the hardware would be if the label decided.
    let favoured = if correlation >= 0.0 { Label::Abnormal } else { Label::Normal };
    let share = if favoured == Label::Abnormal { abnormal } else { 1.0 - abnormal };
    let within = hardware + correlation.abs() * ((hardware / share).min(1.0) - hardware);
    if label == favoured { within } else { (hardware - share * within) / (1.0 - share) }
}

/// The implant, if any, of an arm that is filmed about `site`.
pub(super) fn draw(chance: f64, anatomy: &Anatomy, site: f32, draw: &mut Draw) -> Option<Implant> {
    let present = draw.chance(chance);
    let nail = draw.chance(0.35);
    let metal = if draw.chance(0.6) { Metal::Titanium } else { Metal::Steel };
    present.then(|| if nail { self::nail(anatomy, metal, draw) } else { plate(anatomy, site, metal, draw) })
}

/// How far the bone's surface is from its axis at height `z` in direction `azimuth`.
fn surface(anatomy: &Anatomy, z: f32, azimuth: f32) -> (Vec3, f32) {
    let s = anatomy.humerus.section(z);
    let (sin, cos) = azimuth.sin_cos();
    let radius = 1.0 / (cos / s.a.max(1.0)).hypot(sin / s.b.max(1.0));
    (Vec3::new(s.x, s.y, z), radius)
}

fn radial(azimuth: f32) -> Vec3 {
    Vec3::new(azimuth.cos(), azimuth.sin(), 0.0)
}

/// A screw: head, and thread along `towards` from `head`.
fn screw(head: Vec3, towards: Vec3, length: f32, radius: f32, rods: &mut Vec<Rod>) {
    let body = Rod::new(vec![head, head.along(towards, length)], radius);
    rods.push(body.threaded(0.34 * radius, 1.15 * radius));
    rods.push(Rod::new(vec![head.along(towards, -0.6), head.along(towards, 1.0)], 1.95 * radius));
}

fn plate(anatomy: &Anatomy, site: f32, metal: Metal, draw: &mut Draw) -> Implant {
    let g = anatomy.girth;
    let holes = 6 + draw.weighted(&[0.3, 0.2, 0.3, 0.1, 0.1]);
    let spacing = draw.uniform(15.0, 18.0) * g;
    let (across, thick) = (draw.uniform(5.5, 7.0) * g, draw.uniform(3.6, 4.8) * g);
    let length = holes as f32 * spacing;
    let room = (0.13 * anatomy.length, 0.90 * anatomy.length - length);
    let middle = site * anatomy.length + draw.normal(0.0, 10.0 * g, 2.0);
    let top = (middle - 0.5 * length).clamp(room.0, room.1.max(room.0));
    // Lateral, posterior or anterior.
    let azimuth = [PI, -FRAC_PI_2, FRAC_PI_2][draw.weighted(&[0.5, 0.3, 0.2])] + draw.normal(0.0, 0.3, 2.0);
    let radius = draw.uniform(1.75, 2.25) * g;
    let knots: Vec<Vec3> = (0..=holes)
        .map(|i| {
            let (axis, reach) = surface(anatomy, top + i as f32 * spacing, azimuth);
            axis.along(radial(azimuth), reach + 0.5 * thick + 0.2)
        })
        .collect();
    let (mut rods, mut slabs, mut screws) = (Vec::new(), Vec::new(), 0);
    for (i, pair) in knots.windows(2).enumerate() {
        let slab = Slab::between(pair[0], pair[1], radial(azimuth), across, thick, 2.1 * radius).rounded(if i == 0 {
            -1.0
        } else if i + 1 == holes {
            1.0
        } else {
            0.0
        });
        // The outermost holes always have their screw.
        if draw.chance(0.72) || i == 0 || i + 1 == holes {
            let (_, reach) = surface(anatomy, slab.centre.z, azimuth);
            let lean = draw.normal(0.0, 0.06, 2.0);
            let inwards = Vec3::ZERO.along(slab.normal, -1.0).along(slab.along, lean);
            let length = thick + 2.0 * reach + draw.uniform(0.5, 4.0);
            screw(slab.centre.along(slab.normal, 0.4 * thick), inwards, length, radius, &mut rods);
            screws += 1;
        }
        slabs.push(slab);
    }
    let wires = if draw.chance(0.2) { 1 + usize::from(draw.chance(0.5)) } else { 0 };
    for _ in 0..wires {
        let z = top + length * draw.uniform(0.15, 0.85);
        let slope = draw.normal(0.0, 0.12, 2.0);
        let points = (0..=28)
            .map(|k| {
                let turn = TAU * k as f32 / 28.0;
                let (axis, reach) = surface(anatomy, z, turn);
                let over = if (turn - azimuth).cos() > 0.75 { thick } else { 0.0 };
                let out = reach + over + 0.8;
                axis.along(radial(turn), out).along(Vec3::new(0.0, 0.0, 1.0), slope * out * turn.cos())
            })
            .collect();
        rods.push(Rod::new(points, 0.75 * g));
    }
    Implant { hardware: Hardware { kind: HardwareKind::Plate, metal, screws, wires }, rods, slabs }
}

fn nail(anatomy: &Anatomy, metal: Metal, draw: &mut Draw) -> Implant {
    let (g, length) = (anatomy.girth, anatomy.length);
    let middle = anatomy.humerus.section(0.5 * length);
    let canal = middle.a.min(middle.b) - middle.cortex;
    let radius = (draw.uniform(3.4, 4.4) * g).min(0.86 * canal).max(1.5);
    let end = draw.uniform(0.70, 0.83) * length;
    let top = draw.uniform(1.0, 6.0) * g;
    // It goes in beside the greater tubercle and then follows the canal.
    let entry = -3.0 * g;
    let axis = |z: f32| {
        let s = anatomy.humerus.section(z.max(0.2 * length));
        let share = (1.0 - z / (0.2 * length)).max(0.0);
        Vec3::new(s.x + share * entry, s.y, z)
    };
    let path = |from: f32, to: f32| (0..=12).map(|i| axis(from + (to - from) * i as f32 / 12.0)).collect::<Vec<_>>();
    let bore = 0.42 * radius;
    let mut rods = vec![
        Rod::new(path(top, end), radius).hollow(bore),
        Rod::new(path(top, top + 42.0 * g), radius + 1.0 * g).hollow(bore),
    ];
    let (proximal, distal) = (1 + draw.weighted(&[0.3, 0.7]), 1 + draw.weighted(&[0.5, 0.5]));
    let thread = draw.uniform(1.7, 2.1) * g;
    for i in 0..proximal {
        // From lateral, and a little downwards.
        let z = top + (18.0 + 14.0 * i as f32) * g;
        let turn = PI + draw.normal(0.0, 0.25, 2.0);
        let outwards = radial(turn);
        let start = axis(z).along(outwards, 23.0 * g);
        let inwards = Vec3::new(-outwards.x, -outwards.y, draw.uniform(0.0, 0.25));
        screw(start, inwards, draw.uniform(36.0, 42.0) * g, thread, &mut rods);
    }
    for i in 0..distal {
        let z = end - (8.0 + 12.0 * i as f32) * g;
        let turn = FRAC_PI_2 + draw.normal(0.0, 0.15, 2.0);
        let (centre, reach) = surface(anatomy, z, turn);
        let inwards = Vec3::ZERO.along(radial(turn), -1.0);
        screw(centre.along(radial(turn), reach + 1.0), inwards, 2.0 * reach + 3.0, thread, &mut rods);
    }
    let hardware = Hardware { kind: HardwareKind::Nail, metal, screws: proximal + distal, wires: 0 };
    Implant { hardware, rods, slabs: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_keeps_its_share_and_follows_the_label_as_asked() {
        for (hardware, abnormal) in [(0.1, 0.5), (0.3, 0.2), (0.6, 0.5), (0.9, 0.3)] {
            for correlation in [-1.0, -0.4, 0.0, 0.5, 1.0] {
                let of = |label| probability(hardware, abnormal, correlation, label);
                let (a, n) = (of(Label::Abnormal), of(Label::Normal));
                assert!((-1e-9..=1.0 + 1e-9).contains(&a) && (-1e-9..=1.0 + 1e-9).contains(&n), "{a} {n}");
                assert!((abnormal * a + (1.0 - abnormal) * n - hardware).abs() < 1e-9);
                if correlation == 0.0 {
                    assert_eq!(a, n);
                } else {
                    assert!((a - n) * correlation > 0.0);
                }
            }
        }
        assert_eq!(probability(0.1, 0.5, 1.0, Label::Abnormal), 0.2);
        assert_eq!(probability(0.1, 0.5, 1.0, Label::Normal), 0.0);
        assert_eq!(probability(0.5, 0.5, 1.0, Label::Abnormal), 1.0);
        assert_eq!(probability(0.1, 1.0, 1.0, Label::Abnormal), 0.1);
    }
}
