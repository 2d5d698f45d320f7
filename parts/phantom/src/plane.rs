//! A film in memory, and lines drawn on it.

/// A plane of numbers, row by row.
#[derive(Debug, Clone)]
pub(super) struct Plane {
    pub width: usize,
    pub height: usize,
    pub values: Vec<f32>,
}

impl Plane {
    pub fn new(width: u32, height: u32) -> Plane {
        let (width, height) = (width as usize, height as usize);
        Plane { width, height, values: vec![0.0; width * height] }
    }
}

/// Visits the pixels within `radius` of a polyline: value, distance, share of the way from first to last point. All in
/// pixels.
pub(super) fn along_polyline(
    plane: &mut Plane,
    points: &[(f32, f32)],
    radius: f32,
    mut visit: impl FnMut(&mut f32, f32, f32),
) {
    let clip = |low: f32, high: f32, limit: usize| {
        let low = (low - radius).max(0.0) as usize;
        (low, ((high + radius).max(0.0) as usize + 1).min(limit))
    };
    let low = points.iter().map(|p| p.1).fold(f32::MAX, f32::min);
    let high = points.iter().map(|p| p.1).fold(f32::MIN, f32::max);
    let (y0, y1) = clip(low, high, plane.height);
    let segments = (points.len() - 1) as f32;
    let mut near = Vec::with_capacity(points.len());
    for y in y0..y1 {
        let py = y as f32 + 0.5;
        // Only the segments that come near this row, and of them only that part.
        near.clear();
        let (mut low, mut high) = (f32::MAX, f32::MIN);
        for (k, pair) in points.windows(2).enumerate() {
            let ((ax, ay), (bx, by)) = (pair[0], pair[1]);
            let (ex, ey) = (bx - ax, by - ay);
            let (mut t0, mut t1) = (0.0_f32, 1.0_f32);
            if ey.abs() > 1e-3 {
                let (p, q) = ((py - radius - ay) / ey, (py + radius - ay) / ey);
                (t0, t1) = (p.min(q).max(0.0), p.max(q).min(1.0));
            } else if (py - ay).abs() > radius + 1.0 {
                continue;
            }
            if t0 > t1 {
                continue;
            }
            let (p, q) = (ax + t0 * ex, ax + t1 * ex);
            (low, high) = (low.min(p.min(q)), high.max(p.max(q)));
            near.push((k as f32, ax, ay, ex, ey, 1.0 / (ex * ex + ey * ey).max(1e-6)));
        }
        if near.is_empty() {
            continue;
        }
        let (x0, x1) = clip(low, high, plane.width);
        for x in x0..x1 {
            let px = x as f32 + 0.5;
            let (mut nearest, mut share) = (f32::MAX, 0.0);
            for &(k, ax, ay, ex, ey, inverse) in &near {
                let t = (((px - ax) * ex + (py - ay) * ey) * inverse).clamp(0.0, 1.0);
                let (dx, dy) = (px - ax - t * ex, py - ay - t * ey);
                let d = dx * dx + dy * dy;
                if d < nearest {
                    nearest = d;
                    share = (k + t) / segments;
                }
            }
            if nearest < radius * radius {
                visit(&mut plane.values[y * plane.width + x], nearest.sqrt(), share);
            }
        }
    }
}
