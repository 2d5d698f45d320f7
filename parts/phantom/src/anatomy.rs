//! A humerus as a lofted tube with ellipsoids at its ends, each a thin shell of cortical bone around trabecular bone or
//! marrow. Proportions after Gray's *Anatomy*; sizes vary from patient to patient.

use super::difficulty::Grade;
use super::draw::Draw;
use super::geometry::{Ray, Spans, Vec3};

/// One patient's arm. Lengths in millimetres, coordinates as in [`Vec3`]; a left arm is the mirror image.
#[derive(Debug, Clone)]
pub(super) struct Anatomy {
    pub humerus: Bone,
    /// From the top of the head to the trochlea.
    pub length: f32,
    /// Girth against the mean.
    pub girth: f32,
    /// Half the arm's width at mid-length, skin to skin.
    pub arm: f32,
    /// Fat under the skin.
    pub fat: f32,
    pub left: bool,
    /// Share of the trabecular bone that varies from place to place.
    pub grain: f32,
    /// The nutrient canal: its height on the shaft and its azimuth.
    pub nutrient_canal: (f32, f32),
    /// Whether a line of denser bone marks the former growth plate.
    pub physeal_scar: bool,
    /// Years.
    pub age: u32,
    /// Size against a grown body, `1` from 16 years on.
    pub grown: f32,
    /// Thickness of the open growth plates in millimetres; children only.
    pub growth_plate: Option<f32>,
}

/// A cross-section of the loft.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Section {
    pub x: f32,
    pub y: f32,
    /// Outer semi-axes along `x` and `y`.
    pub a: f32,
    pub b: f32,
    /// Thickness of the cortex.
    pub cortex: f32,
    /// Volume fraction of bone inside the cortex; `0` is marrow.
    pub trabecular: f32,
}

/// An ellipsoid with a shell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Knob {
    pub centre: Vec3,
    pub radii: Vec3,
    pub shell: f32,
}

/// A round pillar that leans: centre and radius at its upper and lower end.
#[derive(Debug, Clone, Copy)]
struct Pillar {
    ends: [Vec3; 2],
    radii: [f32; 2],
    shell: f32,
}

/// A long bone.
#[derive(Debug, Clone)]
pub(super) struct Bone {
    /// One section a millimetre, from `z = 0`.
    sections: Vec<Section>,
    pub knobs: Vec<Knob>,
    pillars: [Pillar; 2],
    /// Squared distance from the axis that nothing exceeds, one number a millimetre.
    extent: Vec<f32>,
}

/// What a ray meets in a bone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crossing {
    pub outer: Spans,
    pub inner: Spans,
    pub trabecular: f32,
    /// Where the ray passes the axis.
    pub passing: Vec3,
}

/// Height as a share of the length, centre, semi-axes, cortex, trabecular fraction; millimetres of a mean arm.
const PROFILE: [(f32, [f32; 6]); 15] = [
    (0.020, [8.0, -1.0, 9.0, 9.0, 1.0, 0.20]),
    (0.060, [0.5, 0.0, 20.0, 18.0, 1.2, 0.20]),
    (0.110, [0.0, 0.0, 22.0, 19.5, 1.5, 0.18]),
    (0.170, [0.0, 0.0, 18.0, 16.5, 2.3, 0.13]),
    (0.240, [0.0, 0.0, 13.8, 13.4, 3.4, 0.06]),
    (0.340, [-0.5, 0.0, 11.2, 11.6, 4.5, 0.02]),
    (0.480, [-0.5, 0.0, 10.6, 11.2, 4.9, 0.0]),
    (0.620, [0.0, 0.0, 10.4, 10.6, 4.8, 0.0]),
    (0.720, [0.0, 1.0, 11.4, 9.8, 4.2, 0.02]),
    (0.790, [0.0, 1.5, 14.4, 8.6, 3.3, 0.06]),
    (0.850, [0.0, 2.0, 19.5, 7.0, 2.4, 0.12]),
    (0.895, [0.5, 2.5, 24.5, 4.0, 1.3, 0.16]),
    (0.925, [0.5, 3.0, 25.5, 5.0, 1.2, 0.17]),
    (0.955, [0.5, 4.0, 23.5, 9.0, 1.2, 0.17]),
    (0.982, [0.5, 5.0, 21.0, 9.0, 1.2, 0.17]),
];

impl Anatomy {
    pub fn draw(grade: &Grade, draw: &mut Draw) -> Anatomy {
        let child = draw.chance(grade.children);
        let age = if child { draw.uniform(4.0, 15.0) } else { draw.normal(50.0, 20.0, 2.2).max(16.0) };
        let grown = (0.58 + 0.038 * (age - 4.0)).min(1.0);
        // From fifty on cortex and trabeculae grow thin, with some people sooner than with others (osteopenia).
        let loss = ((age - 50.0) / 45.0).clamp(0.0, 1.0) * draw.uniform(0.4, 1.2);
        let length = grown * draw.normal(312.0, 16.0, 2.2);
        let girth = (length / 312.0) * draw.normal(1.0, 0.06, 2.0);
        let cortex = draw.normal(1.0, 0.14, 1.8) * (1.0 - 0.42 * loss);
        let density = draw.normal(1.0, 0.15, 2.0) * (1.0 - 0.5 * loss);
        // A gentle bow, so that a straight axis says nothing.
        let bow = (draw.normal(0.0, 2.5, 2.0), draw.normal(0.0, 2.5, 2.0));
        let knob = |centre: [f32; 3], radii: [f32; 3], shell: f32, distal: bool| Knob {
            centre: Vec3::new(
                centre[0] * girth,
                centre[1] * girth,
                // Heights hang from the end they belong to.
                if distal { length - (312.0 - centre[2]) * girth } else { centre[2] * girth },
            ),
            radii: Vec3::new(radii[0] * girth, radii[1] * girth, radii[2] * girth),
            shell: shell * cortex.sqrt(),
        };
        let head = draw.normal(22.5, 0.9, 2.0);
        let tubercle = draw.normal(1.0, 0.1, 1.5);
        let epicondyle = draw.normal(1.0, 0.1, 1.5);
        let knobs = vec![
            // Head; greater and lesser tubercle.
            knob([13.5, -4.0, head], [head, head, head], 1.3, false),
            knob([-13.5, 2.0, 27.0], [11.5 * tubercle, 15.0, 19.0], 1.5, false),
            knob([-1.0, 14.0, 34.0], [8.0, 7.0 * tubercle, 13.0], 1.5, false),
            // Epicondyles, trochlea (its flange too), capitulum.
            knob([-20.5, 1.0, 287.0], [8.0, 6.5, 16.0], 1.3, true),
            knob([22.5, -1.0, 284.0], [11.0 * epicondyle, 6.5, 14.0], 1.3, true),
            knob([8.0, 4.5, 301.0], [12.0, 10.0, 9.0], 1.2, true),
            knob([17.0, 4.0, 302.5], [6.0, 11.5, 11.0], 1.2, true),
            knob([-13.0, 7.0, 300.0], [10.5, 10.5, 10.5], 1.2, true),
        ];
        let at = |x: f32, y: f32, z: f32| Vec3::new(x * girth, y * girth, length - (312.0 - z) * girth);
        let pillar =
            |ends: [Vec3; 2], radii: [f32; 2]| Pillar { ends, radii: radii.map(|r| r * girth), shell: 2.1 * cortex };
        // Beside the fossa.
        let pillars = [
            pillar([at(-7.0, 1.0, 238.0), at(-20.5, 1.5, 298.0)], [5.5, 6.5]),
            pillar([at(7.0, 1.0, 238.0), at(21.5, 1.0, 294.0)], [5.5, 6.0]),
        ];
        let sections: Vec<Section> = (0..=length.ceil() as usize + 1)
            .map(|z| {
                let t = z as f32 / length;
                let [x, y, a, b, shell, fraction] = profile(t);
                let arch = (t * std::f32::consts::PI).sin();
                Section {
                    x: x * girth + bow.0 * arch,
                    y: y * girth + bow.1 * arch,
                    a: a * girth,
                    b: b * girth,
                    cortex: shell * girth * cortex,
                    trabecular: fraction * density,
                }
            })
            .collect();
        let extent = extent(&sections, &knobs, &pillars);
        let humerus = Bone { sections, knobs, pillars, extent };
        Anatomy {
            humerus,
            length,
            girth,
            arm: grown * draw.normal(45.0, 6.0, 1.8),
            fat: grown * draw.uniform(4.0, 13.0),
            left: draw.chance(0.5),
            // What is left of thinned bone stands out more.
            grain: draw.uniform(0.6, 1.1) * (1.0 + 0.8 * loss),
            nutrient_canal: (draw.uniform(0.42, 0.62) * length, draw.direction()),
            physeal_scar: draw.chance(if age < 30.0 { 0.8 } else { 0.3 }) && !child,
            age: age as u32,
            grown,
            growth_plate: child.then(|| draw.uniform(1.1, 2.0) * (1.0 - 0.045 * (age - 4.0))),
        }
    }
}

/// How far from the axis the bone reaches at each millimetre, squared. A slanted ray passes the axis at another height
/// than where it meets the bone, hence the allowance.
fn extent(sections: &[Section], knobs: &[Knob], pillars: &[Pillar]) -> Vec<f32> {
    (0..sections.len())
        .map(|z| {
            let s = &sections[z];
            let mut reach = s.x.hypot(s.y) + s.a.max(s.b);
            for knob in knobs {
                if (z as f32 - knob.centre.z).abs() < knob.radii.z + KNOB_MARGIN {
                    reach = reach.max(knob.centre.x.hypot(knob.centre.y) + knob.radii.x.max(knob.radii.y));
                }
            }
            for pillar in pillars {
                if let Some((centre, radius)) = pillar.at(z as f32) {
                    reach = reach.max(centre.x.hypot(centre.y) + radius);
                }
            }
            (reach + 1.5).powi(2)
        })
        .collect()
}

/// Beyond an ellipsoid's own height, how far from it a ray may pass the axis and still meet it.
const KNOB_MARGIN: f32 = 12.0;

impl Pillar {
    /// Its circle at height `z`.
    fn at(&self, z: f32) -> Option<(Vec3, f32)> {
        let [p, q] = self.ends;
        let t = (z - p.z) / (q.z - p.z);
        (0.0..=1.0).contains(&t).then(|| {
            let radius = self.radii[0] + t * (self.radii[1] - self.radii[0]);
            // It grows out of the shaft and ends round.
            let close = (4.0 * t.min(1.0 - t)).min(1.0);
            (p.along(q.minus(p), t), radius * (close * (2.0 - close)).sqrt())
        })
    }
}

/// The profile at a share `t` of the length, by Catmull-Rom splines; closed at both ends.
fn profile(t: f32) -> [f32; 6] {
    let last = PROFILE.len() - 1;
    let (first, end) = (PROFILE[0].0, PROFILE[last].0);
    let t_in = t.clamp(first, end);
    let i = PROFILE.windows(2).position(|pair| t_in <= pair[1].0).unwrap_or(last - 1);
    let at = |k: usize| PROFILE[k.min(last)];
    let (before, here, next, after) = (at(i.saturating_sub(1)), at(i), at(i + 1), at(i + 2));
    let s = (t_in - here.0) / (next.0 - here.0);
    let mut values = [0.0; 6];
    for (k, value) in values.iter_mut().enumerate() {
        // Slopes by finite differences, as the knots are not evenly spaced.
        let width = next.0 - here.0;
        let m0 = (next.1[k] - before.1[k]) / (next.0 - before.0).max(1e-6) * width;
        let m1 = (after.1[k] - here.1[k]) / (after.0 - here.0).max(1e-6) * width;
        let (s2, s3) = (s * s, s * s * s);
        *value = (2.0 * s3 - 3.0 * s2 + 1.0) * here.1[k]
            + (s3 - 2.0 * s2 + s) * m0
            + (3.0 * s2 - 2.0 * s3) * next.1[k]
            + (s3 - s2) * m1;
    }
    let beyond = ((first - t) / first).max((t - end) / (1.0 - end)).clamp(0.0, 1.0);
    let close = (1.0 - beyond * beyond).sqrt();
    values[2] *= close;
    values[3] *= close;
    values[4] = values[4].max(0.3);
    values[5] = values[5].max(0.0);
    values
}

impl Bone {
    /// The cross-section at height `z`; empty beyond the ends.
    pub fn section(&self, z: f32) -> Section {
        if z < 0.0 || z >= (self.sections.len() - 1) as f32 {
            return Section::default();
        }
        let i = z as usize;
        let f = z - i as f32;
        let (p, q) = (&self.sections[i], &self.sections[i + 1]);
        let mix = |p: f32, q: f32| p + f * (q - p);
        Section {
            x: mix(p.x, q.x),
            y: mix(p.y, q.y),
            a: mix(p.a, q.a),
            b: mix(p.b, q.b),
            cortex: mix(p.cortex, q.cortex),
            trabecular: mix(p.trabecular, q.trabecular),
        }
    }

    /// What the ray, given in the bone's own coordinates, meets.
    ///
    /// The section at the height where the ray passes the axis stands for the whole crossing, which is exact for rays
    /// at right angles to the axis and good while the section changes slowly over the ray's slant.
    pub fn cross(&self, ray: &Ray) -> Option<Crossing> {
        let passing = ray.at(ray.nearest_to_axis());
        let z = passing.z;
        if z < 0.0 || passing.x * passing.x + passing.y * passing.y > *self.extent.get(z as usize)? {
            return None;
        }
        let s = self.section(z);
        let mut crossing = Crossing { outer: Spans::NONE, inner: Spans::NONE, trabecular: s.trabecular, passing };
        if let Some(span) = ray.through_tube(s.x, s.y, s.a, s.b) {
            crossing.outer.add(span);
            if let Some(span) = ray.through_tube(s.x, s.y, s.a - s.cortex, s.b - s.cortex) {
                crossing.inner.add(span);
            }
        }
        for pillar in &self.pillars {
            if let Some((centre, r)) = pillar.at(z)
                && let Some(span) = ray.through_tube(centre.x, centre.y, r, r)
            {
                crossing.outer.add(span);
                let r = r - pillar.shell;
                if let Some(span) = ray.through_tube(centre.x, centre.y, r, r) {
                    crossing.inner.add(span);
                }
            }
        }
        for knob in &self.knobs {
            if (z - knob.centre.z).abs() > knob.radii.z + KNOB_MARGIN {
                continue;
            }
            if let Some(span) = ray.through_ellipsoid(knob.centre, knob.radii) {
                crossing.outer.add(span);
                let t = knob.shell;
                let inside = Vec3::new(knob.radii.x - t, knob.radii.y - t, knob.radii.z - t);
                if let Some(span) = ray.through_ellipsoid(knob.centre, inside) {
                    crossing.inner.add(span);
                }
            }
        }
        Some(crossing)
    }
}

#[cfg(test)]
mod tests {
    use super::super::PhantomConfig;
    use super::super::draw::Purpose;
    use super::*;

    #[test]
    fn the_mid_shaft_is_a_tube_and_the_head_is_a_filled_ball() {
        for patient in 0..20 {
            let anatomy =
                Anatomy::draw(&Grade::new(&PhantomConfig::default()), &mut Draw::new(3, Purpose::Anatomy, patient));
            let across = |x: f32, z: f32| {
                let ray = Ray { origin: Vec3::new(x, -200.0, z), direction: Vec3::new(0.0, 1.0, 0.0) };
                let crossing = anatomy.humerus.cross(&ray).unwrap();
                (crossing.outer.length(), crossing.inner.length(), crossing.trabecular)
            };
            let middle = 0.5 * anatomy.length;
            let s = anatomy.humerus.section(middle);
            let (outer, inner, marrow) = across(s.x, middle);
            assert!((outer - 2.0 * s.b).abs() < 1e-2 && inner > 4.0 && inner < outer);
            assert!(marrow < 0.02);
            let rim = across(s.x + s.a - s.cortex, middle);
            assert!(rim.0 - rim.1 > 1.2 * (outer - inner), "no bright rim");
            let head = anatomy.humerus.knobs[0];
            let (outer, inner, trabecular) = across(head.centre.x, head.centre.z);
            assert!(outer > 33.0 && inner > 0.8 * outer && trabecular > 0.03);
        }
    }

    #[test]
    fn the_profile_closes_at_both_ends() {
        assert_eq!(profile(0.0)[2], 0.0);
        assert_eq!(profile(1.0)[2], 0.0);
        assert!(profile(0.5)[2] > 10.0);
    }
}
