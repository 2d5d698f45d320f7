//! Straight rays through simple solids: everything is a length in millimetres.

/// A point or direction in arm coordinates: `x` medial, `y` anterior, `z` distal, from the top of the humeral head.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Vec3 {
    pub x: f32,
    pub y: f32,
    pub z: f32,
}

impl Vec3 {
    pub const ZERO: Vec3 = Vec3::new(0.0, 0.0, 0.0);

    pub const fn new(x: f32, y: f32, z: f32) -> Vec3 {
        Vec3 { x, y, z }
    }

    pub fn dot(self, other: Vec3) -> f32 {
        self.x * other.x + self.y * other.y + self.z * other.z
    }

    pub fn along(self, direction: Vec3, length: f32) -> Vec3 {
        Vec3::new(self.x + length * direction.x, self.y + length * direction.y, self.z + length * direction.z)
    }

    pub fn minus(self, other: Vec3) -> Vec3 {
        self.along(other, -1.0)
    }
}

/// A rigid motion `p → R (p − pivot) + pivot + shift`; the rows of `R` are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Motion {
    rows: [Vec3; 3],
    pivot: Vec3,
    shift: Vec3,
}

impl Motion {
    pub const NONE: Motion = Motion {
        rows: [Vec3::new(1.0, 0.0, 0.0), Vec3::new(0.0, 1.0, 0.0), Vec3::new(0.0, 0.0, 1.0)],
        pivot: Vec3::ZERO,
        shift: Vec3::ZERO,
    };

    /// A turn by `angle` radians about the unit vector `axis` through `pivot`, then a shift (Rodrigues' formula).
    pub fn new(axis: Vec3, angle: f32, pivot: Vec3, shift: Vec3) -> Motion {
        let (s, c) = angle.sin_cos();
        let (Vec3 { x, y, z }, k) = (axis, 1.0 - c);
        let rows = [
            Vec3::new(c + x * x * k, x * y * k - z * s, x * z * k + y * s),
            Vec3::new(y * x * k + z * s, c + y * y * k, y * z * k - x * s),
            Vec3::new(z * x * k - y * s, z * y * k + x * s, c + z * z * k),
        ];
        Motion { rows, pivot, shift }
    }

    pub fn apply(&self, p: Vec3) -> Vec3 {
        let q = p.minus(self.pivot);
        let [a, b, c] = self.rows;
        Vec3::new(a.dot(q), b.dot(q), c.dot(q)).along(self.pivot, 1.0).along(self.shift, 1.0)
    }

    #[cfg(test)]
    pub fn turn(&self, d: Vec3) -> Vec3 {
        let [a, b, c] = self.rows;
        Vec3::new(a.dot(d), b.dot(d), c.dot(d))
    }

    /// The inverse of [`Motion::apply`].
    pub fn undo(&self, p: Vec3) -> Vec3 {
        let q = p.minus(self.pivot).minus(self.shift);
        self.turn_back(q).along(self.pivot, 1.0)
    }

    /// The inverse of [`Motion::turn`].
    pub fn turn_back(&self, d: Vec3) -> Vec3 {
        let [a, b, c] = self.rows;
        Vec3::ZERO.along(a, d.x).along(b, d.y).along(c, d.z)
    }
}

/// A ray `origin + w · direction`, `direction` of unit length, so `w` is in millimetres.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ray {
    pub origin: Vec3,
    pub direction: Vec3,
}

impl Ray {
    pub fn at(&self, w: f32) -> Vec3 {
        self.origin.along(self.direction, w)
    }

    /// Where the ray comes closest to the `z` axis.
    pub fn nearest_to_axis(&self) -> f32 {
        let (o, d) = (self.origin, self.direction);
        -(o.x * d.x + o.y * d.y) / (d.x * d.x + d.y * d.y).max(1e-6)
    }

    /// The part inside the elliptic cylinder with this centre and these semi-axes, unbounded in `z`.
    pub fn through_tube(&self, cx: f32, cy: f32, a: f32, b: f32) -> Option<(f32, f32)> {
        if a <= 0.0 || b <= 0.0 {
            return None;
        }
        let (o, d) = (self.origin, self.direction);
        let (ox, oy) = ((o.x - cx) / a, (o.y - cy) / b);
        let (dx, dy) = (d.x / a, d.y / b);
        roots(dx * dx + dy * dy, ox * dx + oy * dy, ox * ox + oy * oy - 1.0)
    }

    /// The part inside the ellipsoid with this centre and these semi-axes.
    pub fn through_ellipsoid(&self, centre: Vec3, radii: Vec3) -> Option<(f32, f32)> {
        if radii.x <= 0.0 || radii.y <= 0.0 || radii.z <= 0.0 {
            return None;
        }
        let o = self.origin.minus(centre);
        let o = Vec3::new(o.x / radii.x, o.y / radii.y, o.z / radii.z);
        let d = self.direction;
        let d = Vec3::new(d.x / radii.x, d.y / radii.y, d.z / radii.z);
        roots(d.dot(d), o.dot(d), o.dot(o) - 1.0)
    }
}

/// The two solutions of `a w² + 2 b w + c = 0`.
fn roots(a: f32, b: f32, c: f32) -> Option<(f32, f32)> {
    let under = b * b - a * c;
    if under <= 0.0 || a <= 0.0 {
        return None;
    }
    let root = under.sqrt();
    Some(((-b - root) / a, (-b + root) / a))
}

/// The union of a few intervals on a ray, kept sorted and disjoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spans {
    list: [(f32, f32); 8],
    count: usize,
}

impl Spans {
    pub const NONE: Spans = Spans { list: [(0.0, 0.0); 8], count: 0 };

    pub fn add(&mut self, span: (f32, f32)) {
        let (mut low, mut high) = span;
        let mut kept = 0;
        // What touches the new interval is swallowed by it; the rest stays, in order.
        for i in 0..self.count {
            let (l, h) = self.list[i];
            if h < low || l > high {
                self.list[kept] = (l, h);
                kept += 1;
            } else {
                low = low.min(l);
                high = high.max(h);
            }
        }
        debug_assert!(kept < self.list.len(), "more solids than a ray can hold");
        let mut place = kept;
        while place > 0 && self.list[place - 1].0 > low {
            self.list[place] = self.list[place - 1];
            place -= 1;
        }
        self.list[place] = (low, high);
        self.count = kept + 1;
    }

    pub fn length(&self) -> f32 {
        self.list[..self.count].iter().map(|(l, h)| h - l).sum()
    }

    /// The length inside `low..high`.
    pub fn length_within(&self, low: f32, high: f32) -> f32 {
        let mut sum = 0.0;
        for &(l, h) in &self.list[..self.count] {
            sum += (h.min(high) - l.max(low)).max(0.0);
        }
        sum
    }

    /// First entry and last exit.
    pub fn hull(&self) -> Option<(f32, f32)> {
        match self.count {
            0 => None,
            n => Some((self.list[0].0, self.list[n - 1].1)),
        }
    }
}

/// `0` below `low`, `1` above `high`, smooth between.
pub(super) fn smoothstep(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// Angle of `(x, y)` in `-π..=π`, to about 0.005 rad: a fracture surface needs no more.
pub(super) fn angle(y: f32, x: f32) -> f32 {
    use std::f32::consts::{FRAC_PI_2, PI};
    let (ax, ay) = (x.abs(), y.abs());
    let (small, large) = if ax < ay { (ax, ay) } else { (ay, ax) };
    let t = small / large.max(1e-9);
    let mut angle = t * (0.995_354 + t * t * (-0.288_679 + t * t * 0.079_331));
    if ay > ax {
        angle = FRAC_PI_2 - angle;
    }
    if x < 0.0 {
        angle = PI - angle;
    }
    angle.copysign(y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tube_is_brighter_at_its_rim_than_in_its_middle() {
        let wall = |x: f32| {
            let ray = Ray { origin: Vec3::new(x, 0.0, 0.0), direction: Vec3::new(0.0, 1.0, 0.0) };
            let chord = |r: f32| ray.through_tube(0.0, 0.0, r, r).map_or(0.0, |(l, h)| h - l);
            chord(11.0) - chord(7.0)
        };
        assert!((wall(0.0) - 8.0).abs() < 1e-4);
        // The longest way through the wall is the inner circle's tangent: 2 √(R² − r²).
        assert!((wall(7.0) - 2.0 * (121.0_f32 - 49.0).sqrt()).abs() < 1e-3);
        assert!(wall(7.0) > 2.0 * wall(0.0));
        assert_eq!(wall(11.5), 0.0);
    }

    #[test]
    fn spans_add_up_without_counting_overlap_twice() {
        let mut spans = Spans::NONE;
        for span in [(4.0, 6.0), (0.0, 1.0), (5.0, 9.0), (8.5, 10.0), (2.0, 3.0)] {
            spans.add(span);
        }
        assert!((spans.length() - (1.0 + 1.0 + 6.0)).abs() < 1e-6);
        assert!((spans.length_within(2.5, 5.0) - 1.5).abs() < 1e-6);
        assert_eq!(spans.hull(), Some((0.0, 10.0)));
    }

    #[test]
    fn a_motion_is_undone() {
        let axis = Vec3::new(0.6, 0.0, 0.8);
        let motion = Motion::new(axis, 0.4, Vec3::new(1.0, 2.0, 150.0), Vec3::new(5.0, -3.0, 4.0));
        let p = Vec3::new(-7.0, 11.0, 290.0);
        let back = motion.undo(motion.apply(p)).minus(p);
        assert!(back.dot(back).sqrt() < 1e-3, "{back:?}");
        let turned = motion.turn(p);
        assert!((turned.dot(turned) - p.dot(p)).abs() / p.dot(p) < 1e-5);
    }

    #[test]
    fn the_quick_angle_is_within_its_stated_error() {
        for i in 0..720 {
            let (y, x) = (i as f32 * 0.5_f32.to_radians()).sin_cos();
            assert!((angle(y, x) - y.atan2(x)).abs() < 0.005, "{x} {y}");
        }
    }
}
