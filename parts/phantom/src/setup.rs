//! How a film is taken: projection, field, collimation, exposure, marker and whatever else lies in the beam. Drawn from
//! a stream that knows nothing of the fracture.

use std::f32::consts::FRAC_PI_2;

use super::anatomy::Anatomy;
use super::difficulty::Grade;
use super::draw::Draw;
use super::geometry::Vec3;
use super::plaster::Plaster;
use super::{PhantomConfig, Projection};

/// Everything about one film but its patient.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub projection: Projection,
    pub width: u32,
    pub height: u32,
    pub mm_per_pixel: f32,
    /// Turn of the arm about its axis.
    pub rotation: f32,
    /// Turn of the arm in the film's plane, and what is at the film's centre (across and along the arm, millimetres).
    pub tilt: f32,
    pub centre: (f32, f32),
    pub mirrored: bool,
    /// Arm against trunk, forearm against arm.
    pub abduction: f32,
    pub flexion: f32,
    pub trunk: bool,
    /// Quanta a square millimetre without anything in the beam.
    pub fluence: f32,
    /// Standard deviation of focal spot and detector together, millimetres.
    pub blur: f32,
    /// Share of scattered radiation that passes the grid.
    pub scatter: f32,
    pub tone: FilmTone,
    pub collimation: Option<Collimation>,
    pub marker: Option<Marker>,
    pub lines: Vec<FilmLine>,
    pub plaster: Option<Plaster>,
    /// How far the chest reaches over the arm in millimetres, `0` where it does not.
    pub overlap: f32,
    /// The beam is weaker towards the anode: change of attenuation from the film's middle to its right and lower edge.
    pub heel: (f32, f32),
}

/// From logarithmic exposure to grey.
#[derive(Debug, Clone, Copy)]
pub(super) struct FilmTone {
    /// Grey of an empty beam, of the brightest bone.
    pub dark: f32,
    pub bright: f32,
    /// How far beyond arm and shaft the window reaches, `1` just so.
    pub window: f32,
    pub gamma: f32,
    /// Strength of the unsharp mask.
    pub edge: f32,
}

/// A rectangle about the film's centre with soft edges, in millimetres.
#[derive(Debug, Clone, Copy)]
pub(super) struct Collimation {
    pub half_width: f32,
    pub half_height: f32,
    pub turn: f32,
    pub penumbra: f32,
}

/// A lead letter, in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marker {
    pub x: f32,
    pub y: f32,
    pub height: f32,
    pub turn: f32,
    pub reversed: bool,
}

/// A curve over the film, in millimetres from its centre: a cable or a fold of skin.
#[derive(Debug, Clone)]
pub(super) struct FilmLine {
    pub ends: [(f32, f32); 2],
    pub bend: (f32, f32),
    pub radius: f32,
    /// Attenuation of its middle.
    pub strength: f32,
}

/// The films of a study, one to four.
pub(super) fn films(
    config: &PhantomConfig,
    grade: &Grade,
    anatomy: &Anatomy,
    site: f32,
    draw: &mut Draw,
) -> Vec<Setup> {
    let plaster = draw.chance(grade.plaster).then(|| Plaster::draw(draw));
    let count = 1 + draw.weighted(&[0.18, 0.50, 0.22, 0.10]);
    let base = draw.normal(0.0, 6.0, 2.0);
    // Further films repeat one of these, slightly turned.
    let mut order = [Projection::Ap, Projection::Lateral, Projection::Oblique, Projection::Ap];
    if draw.chance(0.25) {
        order.swap(1, 2);
    }
    let mut setups: Vec<Setup> =
        order[..count].iter().map(|&projection| film(config, grade, anatomy, site, projection, base, draw)).collect();
    for setup in &mut setups {
        setup.plaster.clone_from(&plaster);
    }
    setups
}

fn film(
    config: &PhantomConfig,
    grade: &Grade,
    anatomy: &Anatomy,
    site: f32,
    projection: Projection,
    base: f32,
    draw: &mut Draw,
) -> Setup {
    let degrees = match projection {
        Projection::Ap => draw.normal(0.0, 7.0, 2.0),
        Projection::Lateral => draw.normal(90.0, 7.0, 2.0),
        Projection::Oblique => {
            let side = if draw.chance(0.5) { 1.0 } else { -1.0 };
            side * draw.normal(45.0, 7.0, 2.0)
        }
    };
    let rotation = (base + degrees).to_radians();
    let lateral = projection == Projection::Lateral;
    let overlap = if draw.chance(grade.overlap) { draw.uniform(50.0, 110.0) * anatomy.grown } else { 0.0 };
    let abduction: f32 = match (overlap > 0.0, lateral) {
        // The arm hangs, or lies in a sling, before the chest.
        (true, _) => draw.uniform(0.0, 9.0),
        (false, true) => draw.uniform(40.0, 85.0),
        (false, false) => draw.uniform(8.0, 42.0),
    };
    let flexion: f32 = if lateral { draw.uniform(30.0, 95.0) } else { draw.uniform(0.0, 14.0) };

    // The field along the arm: from half of the humerus to all of it with a joint.
    let field = draw.uniform(0.58, 1.06) * anatomy.length;
    let (low, high) = (0.5 * field - 0.17 * anatomy.length, 1.17 * anatomy.length - 0.5 * field);
    let along = if low < high { draw.uniform(low, high) } else { 0.5 * anatomy.length + draw.normal(0.0, 8.0, 1.5) };
    let site_z = site * anatomy.length;
    let margin = 0.5 * field - 48.0 * anatomy.grown;
    let along = along.clamp(site_z - margin, site_z + margin);
    let aspect = draw.uniform(0.50, 0.98);
    let across_room = (0.5 * field * aspect - 62.0 * anatomy.grown).max(0.0);
    let across = draw.uniform(-0.6, 1.0) * across_room.min(45.0);

    let long = config.longest_side;
    let short = ((long as f32 * aspect).round() as u32).max(16);
    let mm_per_pixel = field / long as f32;
    let lying = draw.chance(0.10);
    let upside_down = draw.chance(0.03);
    let (width, height) = if lying { (long, short) } else { (short, long) };
    let mut tilt = draw.normal(0.0, 5.0, 2.0).to_radians();
    if lying {
        tilt += if draw.chance(0.5) { FRAC_PI_2 } else { -FRAC_PI_2 };
    }
    if upside_down {
        tilt += std::f32::consts::PI;
    }
    let (half_width, half_height) = (0.5 * width as f32 * mm_per_pixel, 0.5 * height as f32 * mm_per_pixel);

    let tone = FilmTone {
        dark: draw.uniform(4.0, 24.0),
        bright: draw.uniform(205.0, 248.0),
        window: 1.06 + draw.uniform(-0.9, 1.1) * grade.misjudged,
        gamma: 1.04 + draw.uniform(-1.0, 1.0) * grade.misjudged,
        edge: draw.uniform(0.25, 0.9),
    };
    let collimation = draw.chance(0.6).then(|| Collimation {
        half_width: half_width * draw.uniform(0.86, 1.0),
        half_height: half_height * draw.uniform(0.86, 1.0),
        turn: draw.normal(0.0, 2.5, 2.0).to_radians(),
        penumbra: draw.uniform(0.6, 2.2),
    });
    let marker = draw.chance(0.65).then(|| {
        let letter = long as f32 * draw.uniform(0.032, 0.055);
        let across = letter + draw.uniform(0.02, 0.08) * short as f32;
        let along = letter + draw.uniform(0.05, 0.32) * long as f32;
        let (x, y) = if lying { (along, across) } else { (across, along) };
        Marker { x, y, height: letter, turn: draw.normal(0.0, 10.0, 3.0).to_radians(), reversed: draw.chance(0.06) }
    });
    let medial_corner = draw.chance(0.2);
    let mut lines = Vec::new();
    let mut line = |radius: (f32, f32), strength: (f32, f32), draw: &mut Draw| {
        // From one long edge to the other or along the arm, bent.
        let (hx, hy) = (half_width, half_height);
        let mut end = || (draw.uniform(-1.1, 1.1) * hx, draw.uniform(-1.1, 1.1) * hy);
        let (mut from, mut to, bend) = (end(), end(), end());
        if draw.chance(0.5) {
            (from.0, to.0) = (-1.1 * hx, 1.1 * hx);
        } else {
            (from.1, to.1) = (-1.1 * hy, 1.1 * hy);
        }
        lines.push(FilmLine {
            ends: [from, to],
            bend: (0.5 * bend.0, 0.5 * bend.1),
            radius: draw.uniform(radius.0, radius.1),
            strength: draw.uniform(strength.0, strength.1),
        });
    };
    let cables = if draw.chance(grade.cables) { 1 + draw.weighted(&[0.6, 0.3, 0.1]) } else { 0 };
    for _ in 0..cables {
        line((0.7, 1.3), (0.35, 0.9), draw);
    }
    for _ in 0..draw.weighted(&[0.5, 0.3, 0.2]) {
        line((0.8, 2.2), (0.03, 0.10), draw);
    }
    if cables > 0 && draw.chance(0.6) {
        // A cable that ends in an electrode: a pad with a metal snap.
        let end = lines[0].ends[0];
        let at = (0.8 * end.0, 0.8 * end.1);
        lines[0].ends[0] = at;
        for (radius, strength) in [(draw.uniform(9.0, 14.0), 0.09), (draw.uniform(2.0, 3.2), 2.4)] {
            lines.push(FilmLine { ends: [at, at], bend: at, radius, strength });
        }
    }
    let mut setup = Setup {
        projection,
        width,
        height,
        mm_per_pixel,
        rotation,
        tilt,
        centre: (across, along),
        mirrored: anatomy.left,
        abduction: abduction.to_radians(),
        flexion: flexion.to_radians(),
        trunk: draw.chance(0.85) || overlap > 0.0,
        fluence: grade.fluence * draw.uniform(0.5, 1.6),
        blur: draw.uniform(0.35, 0.75),
        // A chest is filmed through a grid.
        scatter: draw.uniform(0.02, 0.12) * if overlap > 0.0 { 0.3 } else { 1.0 },
        tone,
        collimation,
        marker: None,
        lines,
        plaster: None,
        overlap,
        heel: (draw.normal(0.0, 0.05, 2.0), draw.normal(0.0, 0.05, 2.0)),
    };
    setup.marker = marker.map(|marker| setup.beside_the_arm(marker, medial_corner));
    setup
}

impl Setup {
    /// The same marker in the corner where it hides least: far from the arm's axis, on its lateral side as a rule.
    fn beside_the_arm(&self, marker: Marker, medial: bool) -> Marker {
        let (right, lower) = (self.width as f32 - marker.x, self.height as f32 - marker.y);
        let side = if medial { 1.0 } else { -1.0 };
        let distance = |&(x, y): &(f32, f32)| side * self.to_arm(self.on_film(x, y)).0;
        let corners = [(marker.x, marker.y), (right, marker.y), (marker.x, lower), (right, lower)];
        let best = corners.into_iter().max_by(|a, b| distance(a).total_cmp(&distance(b)));
        let (x, y) = best.unwrap_or((marker.x, marker.y));
        Marker { x, y, ..marker }
    }

    /// From a pixel's centre, `0.5` being the first, to millimetres from the film's centre.
    pub fn on_film(&self, x: f32, y: f32) -> (f32, f32) {
        ((x - 0.5 * self.width as f32) * self.mm_per_pixel, (y - 0.5 * self.height as f32) * self.mm_per_pixel)
    }

    /// From millimetres on the film to millimetres across and along the arm.
    pub fn to_arm(&self, (dx, dy): (f32, f32)) -> (f32, f32) {
        let (s, c) = self.tilt.sin_cos();
        let across = if self.mirrored { -1.0 } else { 1.0 };
        (self.centre.0 + across * (c * dx + s * dy), self.centre.1 - s * dx + c * dy)
    }

    /// The inverse of [`Setup::to_arm`], in pixels.
    pub fn to_pixel(&self, (u, v): (f32, f32)) -> (f32, f32) {
        let (s, c) = self.tilt.sin_cos();
        let across = if self.mirrored { -1.0 } else { 1.0 };
        let (du, dv) = (across * (u - self.centre.0), v - self.centre.1);
        let (dx, dy) = (c * du - s * dv, s * du + c * dv);
        (dx / self.mm_per_pixel + 0.5 * self.width as f32, dy / self.mm_per_pixel + 0.5 * self.height as f32)
    }

    /// The direction across the film, in arm coordinates.
    pub fn across(&self) -> Vec3 {
        Vec3::new(self.rotation.cos(), self.rotation.sin(), 0.0)
    }

    /// The direction of the beam.
    pub fn beam(&self) -> Vec3 {
        Vec3::new(-self.rotation.sin(), self.rotation.cos(), 0.0)
    }

    /// Where a point of the arm is on the film, across and along the arm.
    pub fn project(&self, p: Vec3) -> (f32, f32) {
        (p.dot(self.across()), p.z)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Difficulty;
    use super::super::draw::Purpose;
    use super::*;

    #[test]
    fn arm_and_pixel_coordinates_are_inverse_to_each_other() {
        let config = PhantomConfig { difficulty: Difficulty::HARD, ..PhantomConfig::default() };
        let grade = Grade::new(&config);
        for number in 0..40 {
            let anatomy = Anatomy::draw(&grade, &mut Draw::new(0, Purpose::Anatomy, number));
            for setup in films(&config, &grade, &anatomy, 0.5, &mut Draw::new(0, Purpose::Films, number)) {
                let (x, y) = setup.to_pixel(setup.to_arm(setup.on_film(40.0, 200.0)));
                assert!((x - 40.0).abs() < 0.01 && (y - 200.0).abs() < 0.01, "{x} {y}");
            }
        }
    }

    #[test]
    fn the_site_is_on_every_film() {
        let config = PhantomConfig { difficulty: Difficulty::HARD, ..PhantomConfig::default() };
        let grade = Grade::new(&config);
        for number in 0..200 {
            let anatomy = Anatomy::draw(&grade, &mut Draw::new(7, Purpose::Anatomy, number));
            let site = super::super::fracture::site(&mut Draw::new(7, Purpose::Films, number));
            for setup in films(&config, &grade, &anatomy, site, &mut Draw::new(7, Purpose::Films, number)) {
                let (x, y) = setup.to_pixel((0.0, site * anatomy.length));
                let (w, h) = (setup.width as f32, setup.height as f32);
                let inside = x > 0.08 * w && x < 0.92 * w && y > 0.08 * h && y < 0.92 * h;
                assert!(inside, "{x} of {w}, {y} of {h}, tilt {}", setup.tilt);
            }
        }
    }
}
