//! The shadow of an implant: bodies of metal as path lengths in millimetres.

use super::geometry::Vec3;
use super::plane::{Plane, along_polyline};
use super::setup::Setup;

/// A round bar along a polyline.
#[derive(Debug, Clone)]
pub(super) struct Rod {
    points: Vec<Vec3>,
    radius: f32,
    /// Radius of the channel inside.
    bore: f32,
    /// Depth and pitch of a thread.
    thread: Option<(f32, f32)>,
}

impl Rod {
    pub fn new(points: Vec<Vec3>, radius: f32) -> Rod {
        Rod { points, radius, bore: 0.0, thread: None }
    }

    pub fn hollow(self, bore: f32) -> Rod {
        Rod { bore, ..self }
    }

    pub fn threaded(self, depth: f32, pitch: f32) -> Rod {
        Rod { thread: Some((depth, pitch)), ..self }
    }

    fn cast(&self, setup: &Setup, metal: &mut Plane) {
        let mm = setup.mm_per_pixel;
        let points: Vec<_> = self.points.iter().map(|&p| setup.to_pixel(setup.project(p))).collect();
        let length: f32 = self.points.windows(2).map(|p| p[1].minus(p[0])).map(|d| d.dot(d).sqrt()).sum();
        let seen: f32 = points.windows(2).map(|p| (p[1].0 - p[0].0).hypot(p[1].1 - p[0].1)).sum::<f32>() * mm;
        // Seen at a slant, the way through is longer; seen from its end, it is the bar's length.
        let slant = (length / seen.max(1e-3)).min(0.5 * length / self.radius).max(1.0);
        // Half a pixel further than the metal goes, so that thin wires do not fall between the pixels.
        let radius = self.radius.max(0.5 * mm);
        along_polyline(metal, &points, radius / mm, |value, d, share| {
            let d = d * mm;
            let r = match self.thread {
                Some((depth, pitch)) => {
                    let turn = share * length / pitch;
                    radius - depth * (2.0 * (turn - turn.floor()) - 1.0).abs()
                }
                None => radius,
            };
            let chord = |r: f32| (r * r - d * d).max(0.0).sqrt();
            *value += 2.0 * slant * (chord(r) - chord(self.bore)).max(0.0);
        });
    }
}

/// A piece of a plate: a cuboid, narrower towards its ends, with a hole through it.
#[derive(Debug, Clone)]
pub(super) struct Slab {
    pub centre: Vec3,
    /// Unit vectors along the plate and away from the bone.
    pub along: Vec3,
    pub normal: Vec3,
    across: Vec3,
    /// Half its length, width and thickness.
    half: (f32, f32, f32),
    hole: f32,
    /// `-1` or `1` where the plate ends round on that side.
    round: f32,
}

fn unit(v: Vec3) -> Vec3 {
    Vec3::ZERO.along(v, 1.0 / v.dot(v).sqrt().max(1e-6))
}

fn cross(a: Vec3, b: Vec3) -> Vec3 {
    Vec3::new(a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x)
}

impl Slab {
    /// From `from` to `to`, its flat side towards `outwards`; half its width is `across`, its thickness `thick`.
    pub fn between(from: Vec3, to: Vec3, outwards: Vec3, across: f32, thick: f32, hole: f32) -> Slab {
        let along = unit(to.minus(from));
        let normal = unit(outwards.along(along, -outwards.dot(along)));
        let reach = to.minus(from);
        // A little longer than its share, so that bent plates have no cracks.
        let half = 0.5 * reach.dot(reach).sqrt() + 0.3;
        Slab {
            centre: from.along(reach, 0.5),
            along,
            normal,
            across: cross(along, normal),
            half: (half, across, 0.5 * thick),
            hole,
            round: 0.0,
        }
    }

    pub fn rounded(self, round: f32) -> Slab {
        Slab { round, ..self }
    }

    /// Half the width at `s` along the piece.
    fn width(&self, s: f32) -> f32 {
        let (length, width, _) = self.half;
        if s * self.round > 0.0 {
            let over = (s.abs() - (length - width)).max(0.0) / width;
            return width * (1.0 - over * over).max(0.0).sqrt();
        }
        let t = (s / length).abs();
        width * (1.0 - 0.16 * t * t)
    }

    fn cast(&self, setup: &Setup, metal: &mut Plane) {
        let (across, beam) = (setup.across(), setup.beam());
        let (h, w, t) = self.half;
        let corners = (0..8).map(|k| {
            let sign = |bit: usize| if k & bit > 0 { 1.0 } else { -1.0 };
            let p = self.centre.along(self.along, sign(1) * h).along(self.across, sign(2) * w);
            setup.to_pixel(setup.project(p.along(self.normal, sign(4) * t)))
        });
        let (mut low, mut high) = ((f32::MAX, f32::MAX), (f32::MIN, f32::MIN));
        for (x, y) in corners {
            low = (low.0.min(x), low.1.min(y));
            high = (high.0.max(x), high.1.max(y));
        }
        let clip =
            |low: f32, high: f32, limit: usize| (low.max(0.0) as usize)..((high.max(0.0) as usize + 1).min(limit));
        let width = metal.width;
        let direction = (beam.dot(self.along), beam.dot(self.across), beam.dot(self.normal));
        for y in clip(low.1, high.1, metal.height) {
            for x in clip(low.0, high.0, width) {
                let (u, v) = setup.to_arm(setup.on_film(x as f32 + 0.5, y as f32 + 0.5));
                let o = Vec3::new(u * across.x, u * across.y, v).minus(self.centre);
                let origin = (o.dot(self.along), o.dot(self.across), o.dot(self.normal));
                metal.values[y * width + x] += self.chord(origin, direction);
            }
        }
    }

    /// Metal along a ray in the piece's own coordinates (along, across, normal).
    fn chord(&self, o: (f32, f32, f32), d: (f32, f32, f32)) -> f32 {
        let (h, _, t) = self.half;
        let between = |span: (f32, f32), o: f32, d: f32, half: f32| {
            if d.abs() < 1e-5 {
                return if o.abs() > half { (0.0, 0.0) } else { span };
            }
            let (p, q) = ((-half - o) / d, (half - o) / d);
            (span.0.max(p.min(q)), span.1.min(p.max(q)))
        };
        let span = between((f32::MIN, f32::MAX), o.2, d.2, t);
        let span = between(span, o.0, d.0, h);
        // The width is looked up in the middle of what is left so far.
        let middle = (o.0 + d.0 * 0.5 * (span.0 + span.1)).clamp(-h, h);
        let span = between(span, o.1, d.1, self.width(middle));
        if span.1 <= span.0 {
            return 0.0;
        }
        let solid = span.1 - span.0;
        // The hole: an ellipse, longer along the plate.
        let (a, b) = (1.25 * self.hole, self.hole);
        let (os, oc, ds, dc) = (o.0 / a, o.1 / b, d.0 / a, d.1 / b);
        let (qa, qb, qc) = (ds * ds + dc * dc, os * ds + oc * dc, os * os + oc * oc - 1.0);
        if qa < 1e-8 {
            return if qc < 0.0 { 0.0 } else { solid };
        }
        let under = qb * qb - qa * qc;
        if under <= 0.0 {
            return solid;
        }
        let root = under.sqrt();
        let (p, q) = ((-qb - root) / qa, (-qb + root) / qa);
        solid - (q.min(span.1) - p.max(span.0)).max(0.0)
    }
}

/// Millimetres of metal over each pixel of a film.
pub(super) fn cast(slabs: &[Slab], rods: &[Rod], setup: &Setup) -> Plane {
    let mut metal = Plane::new(setup.width, setup.height);
    for slab in slabs {
        slab.cast(setup, &mut metal);
    }
    for rod in rods {
        rod.cast(setup, &mut metal);
    }
    metal
}
