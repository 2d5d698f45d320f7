//! Everything soft, and the bones of the trunk: arm, forearm and chest as path lengths through fat, muscle and lung.

use super::anatomy::Anatomy;
use super::fragments::Fragments;
use super::geometry::{Vec3, smoothstep};
use super::plaster::Plaster;
use super::setup::Setup;
use super::texture::Texture;
use super::trunk::Trunk;
use super::{MU_FAT, MU_MUSCLE};

/// Half-widths of arm and shoulder against the width at mid-length, by share of the humerus' length.
const OUTLINE: [(f32, f32); 11] = [
    (-0.16, 0.0),
    (-0.145, 0.35),
    (-0.10, 0.78),
    (0.00, 1.10),
    (0.12, 1.20),
    (0.28, 1.12),
    (0.50, 1.00),
    (0.75, 0.90),
    (0.92, 0.90),
    (1.03, 0.80),
    (1.10, 0.0),
];

/// A chord through an elliptic cross-section seen from the side: centre and half-width across the film, thickness as a
/// share of the half-width.
#[derive(Debug, Clone, Copy, Default)]
struct Shade {
    centre: f32,
    half: f32,
    thickness: f32,
}

impl Shade {
    /// An ellipse with semi-axes `a` along `x` and `b` along `y`, seen at `rotation`.
    fn new(centre: f32, a: f32, b: f32, rotation: f32) -> Shade {
        if a <= 0.0 || b <= 0.0 {
            return Shade::default();
        }
        let (s, c) = rotation.sin_cos();
        let half = (a * c).hypot(b * s);
        Shade { centre, half, thickness: 2.0 * a * b / (half * half) }
    }
}

/// The soft tissue and the trunk of one film.
#[derive(Debug)]
pub(super) struct Body<'a> {
    /// One row every [`Body::STEP`] millimetres along the arm: skin, muscle compartment, biceps, triceps, deltoid.
    rows: Vec<[Shade; 5]>,
    first: f32,
    forearm: Limb,
    trunk: Option<Trunk>,
    /// The cast, where along the arm it begins and ends, and its thickness on either side every [`Body::STEP`]
    /// millimetres.
    plaster: Option<(&'a Plaster, f32, f32)>,
    walls: Vec<[f32; 2]>,
    texture: &'a Texture,
}

/// A tapering cylinder.
#[derive(Debug, Clone, Copy)]
struct Limb {
    from: (f32, f32),
    along: (f32, f32),
    length: f32,
    radii: (f32, f32),
    fat: f32,
    /// Path length against a view at right angles.
    slant: f32,
}

impl<'a> Body<'a> {
    const STEP: f32 = 2.0;

    pub fn new(anatomy: &Anatomy, fragments: &Fragments, setup: &'a Setup, texture: &'a Texture) -> Body<'a> {
        let length = anatomy.length;
        let first = -0.17 * length;
        let count = (1.28 * length / Self::STEP) as usize;
        let mut axis: Vec<(f32, f32)> = (0..count)
            .map(|i| {
                let z = first + Self::STEP * i as f32;
                let s = anatomy.humerus.section(z.clamp(0.2 * length, 0.8 * length));
                let p = fragments.motion_at(z).apply(Vec3::new(s.x, s.y, z));
                (p.x, p.y)
            })
            .collect();
        // Flesh follows the bone, but not round corners.
        for _ in 0..3 {
            axis = running_mean(&axis, (16.0 / Self::STEP) as usize);
        }
        let rows = (0..count).map(|i| row(anatomy, setup, (first + Self::STEP * i as f32) / length, axis[i])).collect();
        let distal = fragments.distal();
        let elbow = setup.project(distal.apply(Vec3::new(0.0, 0.0, length - 10.0)));
        let hand = forearm_end(anatomy, setup, 230.0);
        let end = setup.project(distal.apply(hand));
        let (du, dv) = (end.0 - elbow.0, end.1 - elbow.1);
        let seen = du.hypot(dv).max(1.0);
        Body {
            rows,
            first,
            forearm: Limb {
                from: elbow,
                along: (du / seen, dv / seen),
                length: seen,
                radii: (0.86 * anatomy.arm, 0.6 * anatomy.arm),
                fat: anatomy.fat * 0.8,
                slant: (230.0 / seen).min(2.2),
            },
            trunk: setup.trunk.then(|| Trunk::new(anatomy, setup)),
            plaster: setup.plaster.as_ref().map(|plaster| (plaster, plaster.from * length, plaster.to * length)),
            walls: setup.plaster.as_ref().map_or(Vec::new(), |plaster| plaster.walls(count, Self::STEP, texture)),
            texture,
        }
    }

    /// Attenuation `Σ μ L` of everything soft at `u` across and `v` along the arm.
    pub fn attenuation(&self, u: f32, v: f32) -> f32 {
        let arm = self.arm(u, v);
        let forearm = self.forearm.attenuation(u, v);
        let (trunk_flesh, overlay) = self.trunk.as_ref().map_or((0.0, 0.0), |t| t.attenuation(u, v));
        // Where two of them merge they share their flesh: a smooth maximum, not a sum.
        let others = forearm.max(trunk_flesh);
        let merged = if others <= 0.0 {
            arm
        } else {
            let (a2, f2, t2) = (arm * arm, forearm * forearm, trunk_flesh * trunk_flesh);
            (a2 * a2 + f2 * f2 + t2 * t2).sqrt().sqrt()
        };
        let mut sum = merged + overlay;
        if self.trunk.as_ref().is_some_and(|trunk| trunk.overlap > 0.0) {
            // Below the armpit the arm lies in front of the chest, and the ray passes both.
            sum += smoothstep(30.0, 110.0, v) * (arm + forearm.max(trunk_flesh) - merged);
        }
        if let Some((plaster, from, to)) = self.plaster {
            sum += self.cast(plaster, from, to, u, v);
        }
        sum
    }

    /// Attenuation of the cast.
    fn cast(&self, plaster: &Plaster, from: f32, to: f32, u: f32, v: f32) -> f32 {
        let about_arm = match self.skin(v) {
            Some(skin) if skin.half > 0.0 => {
                let ends = smoothstep(from, from + 4.0, v) * (1.0 - smoothstep(to - 4.0, to, v));
                ends * self.sleeve(plaster, ends, (u - skin.centre, v), skin.half, skin.thickness)
            }
            _ => 0.0,
        };
        if !plaster.long {
            return about_arm;
        }
        let limb = &self.forearm;
        let (t, d, r) = limb.place(u, v);
        let below = smoothstep(-30.0, -10.0, t);
        about_arm.max(below * self.sleeve(plaster, below, (d, t), r, 2.0))
    }

    /// The cast at `(across, along)` a limb of half-width `half`; nothing where its share is `0`.
    fn sleeve(&self, plaster: &Plaster, share: f32, (d, along): (f32, f32), half: f32, depth: f32) -> f32 {
        if share <= 0.0 {
            return 0.0;
        }
        let row = ((along - self.first) / Self::STEP).max(0.0);
        let at = |row: usize| self.walls[row.min(self.walls.len() - 1)][usize::from(d > 0.0)];
        let wall = at(row as usize) + row.fract() * (at(row as usize + 1) - at(row as usize));
        plaster.over(d, along, half, wall, depth, self.texture)
    }

    /// The skin's outline at `v` along the arm.
    fn skin(&self, v: f32) -> Option<Shade> {
        let at = (v - self.first) / Self::STEP;
        if at < 0.0 || at >= (self.rows.len() - 1) as f32 {
            return None;
        }
        let (i, f) = (at as usize, at.fract());
        let (p, q) = (&self.rows[i][0], &self.rows[i + 1][0]);
        let mix = |p: f32, q: f32| p + f * (q - p);
        Some(Shade {
            centre: mix(p.centre, q.centre),
            half: mix(p.half, q.half),
            thickness: mix(p.thickness, q.thickness),
        })
    }

    /// What an exposure meter behind the shaft would see: the upper third of the soft attenuation along the bone.
    pub fn soft_along_the_bone(&self, setup: &Setup) -> f32 {
        let half = 0.46 * setup.width.max(setup.height) as f32 * setup.mm_per_pixel;
        let mut seen: Vec<f32> =
            (-8..=8).map(|i| self.attenuation(0.0, setup.centre.1 + half * i as f32 / 8.0)).collect();
        seen.sort_by(f32::total_cmp);
        seen[11]
    }

    fn arm(&self, u: f32, v: f32) -> f32 {
        let at = (v - self.first) / Self::STEP;
        if at < 0.0 || at >= (self.rows.len() - 1) as f32 {
            return 0.0;
        }
        let i = at as usize;
        let f = at - i as f32;
        let (p, q) = (&self.rows[i], &self.rows[i + 1]);
        let chord = |k: usize| {
            let mix = |p: f32, q: f32| p + f * (q - p);
            let half = mix(p[k].half, q[k].half);
            let d = u - mix(p[k].centre, q[k].centre);
            let under = half * half - d * d;
            if under <= 0.0 { 0.0 } else { mix(p[k].thickness, q[k].thickness) * under.sqrt() }
        };
        let skin = chord(0);
        if skin <= 0.0 {
            return 0.0;
        }
        let compartment = chord(1).min(skin);
        let bellies = (chord(2) + chord(3) + chord(4)).min(compartment);
        // Between the bellies the compartment is one third fat.
        MU_FAT * skin + (MU_MUSCLE - MU_FAT) * (0.67 * compartment + 0.33 * bellies)
    }
}

fn row(anatomy: &Anatomy, setup: &Setup, t: f32, (x, y): (f32, f32)) -> [Shade; 5] {
    let rotation = setup.rotation;
    let (s, c) = rotation.sin_cos();
    let a = anatomy.arm * outline(t);
    let b = a * 0.94;
    let shade = |dx: f32, dy: f32, a: f32, b: f32| Shade::new((x + dx) * c + (y + dy) * s, a, b, rotation);
    let fat = anatomy.fat;
    let (ia, ib) = (a - fat, b - fat);
    let swell = |from: f32, to: f32| {
        let k = ((t - from) / (to - from)).clamp(0.0, 1.0);
        (4.0 * k * (1.0 - k)).sqrt()
    };
    let (biceps, triceps, deltoid) = (swell(0.14, 0.93), swell(0.10, 0.97), swell(-0.15, 0.42));
    [
        shade(0.0, 0.0, a, b),
        shade(0.0, 0.0, ia, ib),
        shade(0.12 * ia, 0.40 * ib, 0.62 * ia * biceps, 0.50 * ib * biceps),
        shade(-0.05 * ia, -0.42 * ib, 0.70 * ia * triceps, 0.48 * ib * triceps),
        shade(-0.52 * ia, 0.0, 0.42 * ia * deltoid, 0.72 * ib * deltoid),
    ]
}

fn outline(t: f32) -> f32 {
    let last = OUTLINE[OUTLINE.len() - 1].0;
    if t <= OUTLINE[0].0 || t >= last {
        return 0.0;
    }
    let i = OUTLINE.windows(2).position(|pair| t <= pair[1].0).unwrap_or(0);
    let ((t0, w0), (t1, w1)) = (OUTLINE[i], OUTLINE[i + 1]);
    let k = (t - t0) / (t1 - t0);
    // Round caps, smooth elsewhere.
    let k = if w0 == 0.0 {
        (k * (2.0 - k)).sqrt()
    } else if w1 == 0.0 {
        1.0 - (1.0 - k * k).sqrt()
    } else {
        k * k * (3.0 - 2.0 * k)
    };
    w0 + k * (w1 - w0)
}

fn running_mean(axis: &[(f32, f32)], half: usize) -> Vec<(f32, f32)> {
    (0..axis.len())
        .map(|i| {
            let window = &axis[i.saturating_sub(half)..(i + half + 1).min(axis.len())];
            let n = window.len() as f32;
            let sum = window.iter().fold((0.0, 0.0), |s, p| (s.0 + p.0, s.1 + p.1));
            (sum.0 / n, sum.1 / n)
        })
        .collect()
}

/// A point of the forearm's axis, before any displacement: `distance` from the elbow's own axis.
pub(super) fn forearm_end(anatomy: &Anatomy, setup: &Setup, distance: f32) -> Vec3 {
    let (s, c) = setup.flexion.sin_cos();
    Vec3::new(0.0, 5.0, anatomy.length - 10.0).along(Vec3::new(-0.06, s, c), distance)
}

impl Limb {
    /// How far along and beside its axis a place is, and the limb's radius there.
    fn place(&self, u: f32, v: f32) -> (f32, f32, f32) {
        let (du, dv) = (u - self.from.0, v - self.from.1);
        let t = du * self.along.0 + dv * self.along.1;
        let d = du * self.along.1 - dv * self.along.0;
        let k = (t / self.length).clamp(0.0, 1.0);
        (t, d, self.radii.0 + k * (self.radii.1 - self.radii.0))
    }

    fn attenuation(&self, u: f32, v: f32) -> f32 {
        let (t, d, r) = self.place(u, v);
        // A round end at the elbow; the hand is off the film.
        let d2 = d * d + if t < 0.0 { t * t } else { 0.0 };
        let under = r * r - d2;
        if under <= 0.0 {
            return 0.0;
        }
        let inner = ((r - self.fat) * (r - self.fat) - d2).max(0.0).sqrt();
        2.0 * self.slant * (MU_FAT * under.sqrt() + 0.8 * (MU_MUSCLE - MU_FAT) * inner)
    }
}

/// Bones near the humerus that have no part in the truth: their axes in arm coordinates of the film, with radii.
#[derive(Debug, Clone)]
pub(super) struct Neighbour {
    pub points: Vec<(f32, f32)>,
    pub radii: (f32, f32),
    pub cortex: f32,
    /// Millimetres of ray for each millimetre of a view at right angles.
    pub slant: f32,
}

impl Body<'_> {
    /// Shoulder girdle and forearm.
    pub fn neighbours(&self, anatomy: &Anatomy, fragments: &Fragments, setup: &Setup) -> Vec<Neighbour> {
        let mut list = Vec::new();
        let g = anatomy.girth;
        if let Some(trunk) = &self.trunk {
            let mut add = |points: &[(f32, f32)], radii: (f32, f32), cortex: f32| {
                list.push(Neighbour {
                    points: points.iter().map(|&(x, y)| trunk.place(x * g, y * g)).collect(),
                    radii: (radii.0 * g, radii.1 * g),
                    cortex,
                    slant: 1.0,
                });
            };
            // Acromion with the spine; collar bone; coracoid; glenoid; lateral border.
            add(&[(-15.0, -31.0), (-4.0, -36.0), (14.0, -37.0), (44.0, -26.0), (110.0, -8.0)], (5.5, 3.5), 1.2);
            add(&[(2.0, -40.0), (26.0, -45.0), (58.0, -42.0), (96.0, -52.0), (150.0, -50.0)], (5.5, 6.5), 1.8);
            add(&[(40.0, -22.0), (31.0, -30.0), (22.0, -23.0)], (6.0, 4.5), 1.2);
            add(&[(33.5, -15.0), (32.0, 0.0), (35.0, 16.0)], (5.0, 6.0), 1.2);
            add(&[(38.0, 14.0), (48.0, 50.0), (66.0, 110.0)], (5.0, 2.6), 1.6);
        }
        let distal = fragments.distal();
        let joint = Vec3::new(0.0, 5.0, anatomy.length - 10.0);
        let (s, c) = setup.flexion.sin_cos();
        // Forearm coordinates: along it, sideways, and to the side the fossa is on.
        let forearm = |x: f32, back: f32, along: f32| {
            let p = Vec3::new(
                joint.x + x * g - 0.06 * along,
                joint.y + (along * s - back * c) * g,
                joint.z + (along * c + back * s) * g,
            );
            setup.project(distal.apply(p))
        };
        let (end, start) = (forearm(0.0, 0.0, 200.0), forearm(0.0, 0.0, 0.0));
        let slant = (200.0 * g / (end.0 - start.0).hypot(end.1 - start.1).max(1.0)).min(2.2);
        let mut add = |points: Vec<(f32, f32)>, radii: (f32, f32), cortex: f32, slant: f32| {
            list.push(Neighbour { points, radii: (radii.0 * g, radii.1 * g), cortex, slant });
        };
        // Ulna from the tip of the olecranon; radius from its neck, its head.
        let ulna = [(6.0, 13.0, -15.0), (7.0, 15.0, 0.0), (7.5, 10.0, 22.0), (7.0, 6.0, 60.0), (9.0, 6.0, 200.0)];
        add(ulna.map(|(x, b, a)| forearm(x, b, a)).to_vec(), (10.0, 5.5), 1.9, slant);
        let radius = [(-14.0, -1.0, 24.0), (-12.0, 0.0, 46.0), (-15.0, 0.0, 90.0), (-16.0, 0.0, 200.0)];
        add(radius.map(|(x, b, a)| forearm(x, b, a)).to_vec(), (6.0, 6.8), 2.3, slant);
        add(vec![forearm(-17.5, -1.0, 16.5), forearm(-10.5, -1.0, 16.5)], (6.0, 6.0), 1.2, 1.4);
        list
    }
}
