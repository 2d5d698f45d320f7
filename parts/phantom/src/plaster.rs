//! A cast about the arm: plaster of Paris, or fibreglass, over padding.

use super::draw::Draw;
use super::geometry::smoothstep;
use super::texture::Texture;

/// A sleeve from one height to another, as shares of the humerus' length.
#[derive(Debug, Clone)]
pub(super) struct Plaster {
    pub from: f32,
    pub to: f32,
    /// Whether it goes on over elbow and forearm.
    pub long: bool,
    /// Padding between skin and cast, and the cast's thickness; millimetres.
    pub padding: f32,
    pub wall: f32,
    /// Attenuation per millimetre. Set gypsum, CaSO₄·2H₂O, has about 0.73 cm²/g at 40 keV, and as a bandage 0.7 to 1
    /// g/cm³; knitted glass in resin is half as dense.
    mu: f32,
    /// Width of a turn of the bandage in millimetres, its slope and where the first one begins.
    turn: f32,
    slope: f32,
    phase: f32,
    /// Pitch of the knit in millimetres; fibreglass only.
    knit: Option<f32>,
    /// Lumps of the outer surface, millimetres.
    lumps: f32,
}

impl Plaster {
    pub fn draw(draw: &mut Draw) -> Plaster {
        let glass = draw.chance(0.35);
        Plaster {
            from: draw.uniform(0.02, 0.22),
            to: draw.uniform(0.84, 1.02),
            long: draw.chance(0.5),
            padding: draw.uniform(2.0, 5.0),
            wall: if glass { draw.uniform(2.6, 4.0) } else { draw.uniform(4.0, 7.0) },
            mu: if glass { draw.uniform(0.028, 0.040) } else { draw.uniform(0.050, 0.072) },
            turn: draw.uniform(34.0, 60.0),
            slope: draw.normal(0.0, 0.35, 1.5),
            phase: draw.unit(),
            knit: glass.then(|| draw.uniform(2.4, 3.4)),
            lumps: if glass { 0.5 } else { draw.uniform(0.7, 1.6) },
        }
    }

    /// Thickness on the left and on the right at `count` places, `step` millimetres apart: each side has its own lumps.
    pub fn walls(&self, count: usize, step: f32, texture: &Texture) -> Vec<[f32; 2]> {
        let wall = |v: f32, side: f32| self.wall + self.lumps * texture.at(0.14 * v + 40.0 * side, 100.0 * self.phase);
        let at = |i: usize| [0.0, 1.0].map(|side| wall(i as f32 * step, side).max(0.4 * self.wall));
        (0..count).map(at).collect()
    }

    /// Attenuation at `d` across and `v` along a limb of half-width `half`, whose thickness is `depth` times the half
    /// chord of a circle, where the cast's thickness is `wall`.
    pub fn over(&self, d: f32, v: f32, half: f32, wall: f32, depth: f32, texture: &Texture) -> f32 {
        let inner = half + self.padding;
        let outer = inner + wall;
        let under = outer * outer - d * d;
        if under <= 0.0 {
            return 0.0;
        }
        let through = depth * (under.sqrt() - (inner * inner - d * d).max(0.0).sqrt());
        let turns = (v + self.slope * d) / self.turn + self.phase;
        // Each turn lies half over the one before: thicker by steps, with a soft beginning.
        let step = turns - turns.floor();
        let layers = 0.86 + 0.26 * smoothstep(0.0, 0.06, step) * (1.0 - 0.55 * step);
        let cloud = 1.0 + 0.07 * texture.at(d * 0.45, v * 0.45);
        let weave = self.knit.map_or(1.0, |pitch| {
            let wave = std::f32::consts::TAU / pitch;
            1.0 + 0.16 * (wave * (v + 0.3 * d)).sin() * (wave * (d - 0.3 * v)).sin()
        });
        self.mu * through * layers * cloud * weave
    }
}
