//! From anatomy to a map of attenuation: `Σ μ L` over each ray of a parallel beam.

use super::anatomy::Anatomy;
use super::body::{Body, Neighbour};
use super::fragments::Fragments;
use super::geometry::{Ray, Vec3};
use super::hardware::Implant;
use super::metal;
use super::plane::{Plane, along_polyline};
use super::setup::{FilmLine, Setup};
use super::texture::Texture;
use super::{MU_CORTICAL, MU_MUSCLE};

/// The attenuation of one film.
#[derive(Debug)]
pub(super) struct Shadow {
    /// `Σ μ L`, no unit.
    pub attenuation: Plane,
    /// Whether the ray passes the fracture zone.
    pub fractured: Vec<bool>,
    /// Whether the ray passes enough metal to be seen; only with an implant.
    pub metal: Option<Vec<bool>>,
}

/// Attenuation by metal that is seen on any film.
const SEEN: f32 = 0.5;

/// Casts the shadow of an arm onto a film.
pub(super) fn cast(
    anatomy: &Anatomy,
    fragments: &Fragments,
    implant: Option<&Implant>,
    setup: &Setup,
    texture: &Texture,
) -> Shadow {
    let body = Body::new(anatomy, fragments, setup, texture);
    let mut attenuation = Plane::new(setup.width, setup.height);
    let pixels = attenuation.values.len();
    let mut fractured = vec![false; pixels];
    let (across, beam) = (setup.across(), setup.beam());
    let parts: Vec<_> = fragments
        .list
        .iter()
        .map(|fragment| {
            let reach = Reach::new(anatomy, setup, &fragment.motion);
            (fragment, reach, fragment.motion.turn_back(beam))
        })
        .collect();
    let film_step = setup.to_arm(setup.on_film(1.5, 0.5));
    let film_start = setup.to_arm(setup.on_film(0.5, 0.5));
    let step = (film_step.0 - film_start.0, film_step.1 - film_start.1);
    for y in 0..attenuation.height {
        let start = setup.to_arm(setup.on_film(0.5, y as f32 + 0.5));
        for x in 0..attenuation.width {
            let (u, v) = (start.0 + step.0 * x as f32, start.1 + step.1 * x as f32);
            let i = y * attenuation.width + x;
            let mut sum = body.attenuation(u, v);
            for (fragment, reach, direction) in &parts {
                if !reach.contains(u, v) {
                    continue;
                }
                let ray = Ray {
                    origin: fragment.motion.undo(Vec3::new(u * across.x, u * across.y, v)),
                    direction: *direction,
                };
                let Some(met) = fragment.cross(&anatomy.humerus, &ray) else {
                    continue;
                };
                fractured[i] |= met.fractured;
                let mut solid = met.cortical;
                if met.trabecular > 0.0 {
                    // Trabeculae run along the bone: their grain is longer that way.
                    let w = met.at.dot(across);
                    let grain = texture.at(w * 1.4, met.at.z * 0.9);
                    solid += met.trabecular * (1.0 + 0.34 * anatomy.grain * grain).max(0.1);
                }
                sum += (MU_CORTICAL - MU_MUSCLE) * solid;
            }
            attenuation.values[i] = sum;
        }
    }
    for neighbour in body.neighbours(anatomy, fragments, setup) {
        cast_neighbour(&neighbour, setup, texture, &mut attenuation);
    }
    marks(anatomy, fragments, setup, &mut attenuation);
    for line in &setup.lines {
        cast_line(line, setup, &mut attenuation);
    }
    for value in &mut attenuation.values {
        *value = value.max(0.0);
    }
    let metal = implant.map(|implant| {
        let mu = implant.hardware.metal.attenuation();
        let lengths = metal::cast(&implant.slabs, &implant.rods, setup).values;
        lengths
            .into_iter()
            .zip(&mut attenuation.values)
            .map(|(length, value)| {
                *value += mu * length;
                mu * length >= SEEN
            })
            .collect()
    });
    Shadow { attenuation, fractured, metal }
}

/// Where on the film a moved humerus may be: a band about its axis.
#[derive(Debug)]
struct Reach {
    from: (f32, f32),
    along: (f32, f32),
    length: f32,
    half: f32,
}

impl Reach {
    fn new(anatomy: &Anatomy, setup: &Setup, motion: &super::geometry::Motion) -> Reach {
        let from = setup.project(motion.apply(Vec3::ZERO));
        let to = setup.project(motion.apply(Vec3::new(0.0, 0.0, anatomy.length)));
        let (du, dv) = (to.0 - from.0, to.1 - from.1);
        let length = du.hypot(dv).max(1.0);
        Reach { from, along: (du / length, dv / length), length, half: 42.0 * anatomy.girth.max(1.0) }
    }

    fn contains(&self, u: f32, v: f32) -> bool {
        let (du, dv) = (u - self.from.0, v - self.from.1);
        let t = du * self.along.0 + dv * self.along.1;
        let d = du * self.along.1 - dv * self.along.0;
        d.abs() < self.half && t > -20.0 && t < self.length + 20.0
    }
}

fn cast_neighbour(neighbour: &Neighbour, setup: &Setup, texture: &Texture, attenuation: &mut Plane) {
    let points = smooth(&neighbour.points).iter().map(|&p| setup.to_pixel(p)).collect::<Vec<_>>();
    let mm = setup.mm_per_pixel;
    let (r0, r1) = neighbour.radii;
    let scale = 2.0 * neighbour.slant * (MU_CORTICAL - MU_MUSCLE);
    along_polyline(attenuation, &points, r0.max(r1) / mm, |value, d, t| {
        let (d, r) = (d * mm, r0 + t * (r1 - r0));
        let chord = |r: f32| (r * r - d * d).max(0.0).sqrt();
        let (outer, inner) = (chord(r), chord((r - neighbour.cortex).max(0.0)));
        let grain = texture.at(t * 60.0, d * 1.5);
        *value += scale * (outer - inner + inner * 0.10 * (1.0 + 0.4 * grain));
    });
}

/// Corners cut twice (Chaikin), so that a polyline looks grown.
fn smooth(points: &[(f32, f32)]) -> Vec<(f32, f32)> {
    let mut points = points.to_vec();
    for _ in 0..2 {
        if points.len() < 3 {
            break;
        }
        let mut next = vec![points[0]];
        for pair in points.windows(2) {
            let at = |t: f32| (pair[0].0 + t * (pair[1].0 - pair[0].0), pair[0].1 + t * (pair[1].1 - pair[0].1));
            next.extend([at(0.25), at(0.75)]);
        }
        next.push(points[points.len() - 1]);
        points = next;
    }
    points
}

/// What a healthy humerus shows too: the nutrient canal, and the growth plate or its scar.
fn marks(anatomy: &Anatomy, fragments: &Fragments, setup: &Setup, attenuation: &mut Plane) {
    let mm = setup.mm_per_pixel;
    let (z, azimuth) = anatomy.nutrient_canal;
    let motion = fragments.motion_at(z);
    let points: Vec<_> = [-9.0_f32, 0.0, 9.0]
        .iter()
        .map(|dz| {
            let s = anatomy.humerus.section(z + dz);
            // It enters from outside and runs towards the elbow.
            let depth = 0.72 - 0.03 * dz;
            let p = Vec3::new(s.x + depth * s.a * azimuth.cos(), s.y + depth * s.b * azimuth.sin(), z + dz);
            setup.to_pixel(setup.project(motion.apply(p)))
        })
        .collect();
    along_polyline(attenuation, &points, 1.1 / mm, |value, d, _| {
        let chord = (1.0 - (d * mm / 1.1).powi(2)).max(0.0).sqrt();
        *value -= (MU_CORTICAL - MU_MUSCLE) * 1.6 * chord;
    });
    if let Some(thickness) = anatomy.growth_plate {
        growth_plates(anatomy, fragments, setup, thickness, attenuation);
    }
    if anatomy.physeal_scar {
        let g = anatomy.girth;
        let motion = fragments.motion_at(30.0);
        let points: Vec<_> = [(-20.0, 27.0), (-4.0, 33.0), (12.0, 37.0), (27.0, 36.0)]
            .iter()
            .map(|&(x, z)| setup.to_pixel(setup.project(motion.apply(Vec3::new(x * g, -2.0 * g, z * g)))))
            .collect();
        along_polyline(attenuation, &smooth(&points), 1.3 / mm, |value, d, _| {
            let chord = (1.0 - (d * mm / 1.3).powi(2)).max(0.0).sqrt();
            *value += (MU_CORTICAL - MU_MUSCLE) * 1.3 * chord;
        });
    }
}

/// Cartilage between shaft and head, like a tent, and above the condyles: dark, with denser bone on either side.
fn growth_plates(anatomy: &Anatomy, fragments: &Fragments, setup: &Setup, thickness: f32, attenuation: &mut Plane) {
    let (g, mm) = (anatomy.girth, setup.mm_per_pixel);
    let low = anatomy.length - 312.0 * g;
    let proximal = [(-24.0, 33.0), (-14.0, 35.0), (-4.0, 29.0), (6.0, 33.0), (16.0, 38.0), (30.0, 40.0)];
    let distal = [(-25.0, 290.0), (-14.0, 287.0), (-2.0, 291.0), (10.0, 289.0), (18.0, 292.0), (28.0, 283.0)];
    for (line, offset) in [(proximal, 0.0), (distal, low)] {
        let motion = fragments.motion_at(offset + line[2].1 * g);
        // Front and back edge of the plate fall apart as the bone is turned.
        for y in [-7.0, 7.0] {
            let points: Vec<_> = line
                .iter()
                .map(|&(x, z)| motion.apply(Vec3::new(x * g, y * g, offset + (z + 0.12 * y) * g)))
                .map(|p| setup.to_pixel(setup.project(p)))
                .collect();
            let reach = thickness + 1.2;
            along_polyline(attenuation, &smooth(&points), reach / mm, |value, d, share| {
                let d = d * mm;
                // It ends at the bone's edge, where there is nothing to take away.
                let edge = (8.0 * share.min(1.0 - share)).min(1.0);
                let dark = (1.0 - (d / thickness).powi(2)).max(0.0);
                let dense = (1.0 - ((d - thickness) / 0.9).powi(2)).max(0.0);
                *value += edge * (MU_CORTICAL - MU_MUSCLE) * g * (0.9 * dense - 3.0 * dark);
            });
        }
    }
}

fn cast_line(line: &FilmLine, setup: &Setup, attenuation: &mut Plane) {
    let to_pixel = |(x, y): (f32, f32)| {
        (x / setup.mm_per_pixel + 0.5 * setup.width as f32, y / setup.mm_per_pixel + 0.5 * setup.height as f32)
    };
    let [from, to] = line.ends;
    let points: Vec<_> = (0..=14)
        .map(|i| {
            let t = i as f32 / 14.0;
            let bezier = |a: f32, b: f32, c: f32| (1.0 - t) * (1.0 - t) * a + 2.0 * t * (1.0 - t) * b + t * t * c;
            to_pixel((bezier(from.0, line.bend.0, to.0), bezier(from.1, line.bend.1, to.1)))
        })
        .collect();
    let radius = line.radius / setup.mm_per_pixel;
    along_polyline(attenuation, &points, radius, |value, d, _| {
        *value += line.strength * (1.0 - (d / radius).powi(2)).sqrt();
    });
}
