//! Are two films copies? Laid over each other, do they agree in detail almost everywhere?
//!
//! Films of the same view by the same machine are alike in the large; copies agree in each part, also where one is cut,
//! scaled, or damaged in less than a third. So what counts is the correlation of the two reliefs that seven in ten of
//! the parts that show most exceed. Thumbnails decide where the films lie straight over each other. Else each part of
//! one film is looked for near its place in the other, and if the moves found lie on a line across and on one down, as
//! of a copy that was cut and scaled, the films are decoded, and the films themselves decide.

use image::GrayImage;

use crate::audit::fingerprint::{SIDE, Thumbnail, WHOLE, Window, area, relief};

/// Cells along a side of a film that decides.
const FINE: usize = 128;
/// Parts along a side of a film, at either number of cells.
const PARTS: usize = 8;
/// The parts that are compared: those that show most.
const MOST: usize = 24;
/// The share of parts that may disagree, as where a copy is damaged.
const SPARED: f32 = 0.3;
/// A part shows something if its relief has at least this mean square, in grey levels.
const TEXTURE: f32 = 1.0;
/// How far a part is looked for in the first and in the second round, in cells; the windows that are hashed lie at most
/// two and a half cells apart.
const REACH: [isize; 2] = [3, 2];
/// Cells by which a relief goes on: as far as a part is looked for, and one more to place it between cells.
const EDGE: usize = 5;
/// From this correlation on, a part is found.
const FOUND: f32 = 0.75;
/// From this agreement of thumbnails on, films that must be moved are decoded.
const ALIKE: f32 = 0.5;
/// From this agreement of thumbnails that lie straight over each other, films are copies.
const COPY: f32 = 0.95;
/// From this agreement of films that were moved, they are copies.
const SAME: f32 = 0.75;

/// What comparing two thumbnails says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Verdict {
    Different,
    Copy,
    /// The films themselves must decide: this window of the first against that of the second.
    Undecided(Window, Window),
}

/// Compares the window `a_window` of one film with `b_window` of another.
pub(super) fn compare(a: &Thumbnail, a_window: Window, b: &Thumbnail, b_window: Window) -> Verdict {
    let fixed = ReliefParts::of(b.relief(b_window, SIDE), SIDE);
    if a_window == WHOLE && b_window == WHOLE {
        match fixed.agreement(&a.relief(WHOLE, SIDE), 0) {
            found if found >= COPY => return Verdict::Copy,
            found if found >= ALIKE => return Verdict::Undecided(WHOLE, WHOLE),
            _ => {}
        }
    }
    let mut place = a_window;
    for reach in REACH {
        match fixed.fit(&a.relief(place, SIDE), reach) {
            Some(lines) => place = moved(place, lines),
            None => return Verdict::Different,
        }
    }
    if fixed.agreement(&a.relief(place, SIDE), 1) >= ALIKE {
        Verdict::Undecided(place, b_window)
    } else {
        Verdict::Different
    }
}

/// Whether the windows of two decoded films show the same.
pub(super) fn are_copies(a: (&GrayImage, Window), b: (&GrayImage, Window)) -> bool {
    let fine = |(film, window): (&GrayImage, Window)| {
        let (across, down) = (film.width() as f32 / SIDE as f32, film.height() as f32 / SIDE as f32);
        let window = [window[0] * across, window[1] * down, window[2] * across, window[3] * down];
        relief(&area(film.as_raw(), film.width() as usize, window, FINE), FINE)
    };
    ReliefParts::of(fine(b), FINE).agreement(&fine(a), 1) >= SAME
}

/// A line `start + slope · cell`.
type Line = (f32, f32);

/// The window whose cell `u` lies where cell `u + start + slope · u` of this one lies, across and down.
fn moved([left, top, right, bottom]: Window, [across, down]: [Line; 2]) -> Window {
    let n = SIDE as f32;
    let edge =
        |from: f32, to: f32, (start, slope): Line, cell: f32| from + (to - from) / n * (cell + start + slope * cell);
    [
        edge(left, right, across, 0.0),
        edge(top, bottom, down, 0.0),
        edge(left, right, across, n),
        edge(top, bottom, down, n),
    ]
}

/// The parts of a relief that show something, those that show most first, at most [`MOST`].
struct ReliefParts {
    n: usize,
    /// Left, top and the cells less their mean.
    parts: Vec<(isize, isize, Vec<f32>)>,
}

/// Left and top of a part in cells, and the part itself.
type ReliefPart = (isize, isize, Vec<f32>);

impl ReliefParts {
    fn of(relief: Vec<f32>, n: usize) -> ReliefParts {
        let side = n / PARTS;
        let corners = (0..n).step_by(side).flat_map(|top| (0..n).step_by(side).map(move |left| (left, top)));
        let mut parts: Vec<(f32, ReliefPart)> = corners
            .map(|(left, top)| {
                let cells = cut(&relief, n, left as isize, top as isize);
                (cells.iter().map(|cell| cell * cell).sum::<f32>(), (left as isize, top as isize, cells))
            })
            .filter(|(power, _)| *power >= TEXTURE * (side * side) as f32)
            .collect();
        parts.sort_by(|a, b| b.0.total_cmp(&a.0));
        parts.truncate(MOST);
        ReliefParts { n, parts: parts.into_iter().map(|(_, part)| part).collect() }
    }

    /// The correlation with the same parts of `other`, each moved by up to `reach` cells, that all but [`SPARED`]
    /// exceed; 0 if fewer than six show anything.
    fn agreement(&self, other: &[f32], reach: isize) -> f32 {
        if self.parts.len() < 6 {
            return 0.0;
        }
        let ground = Ground::of(other, self.n);
        let mut found: Vec<f32> = self.parts.iter().map(|part| self.look(part, &ground, reach).0).collect();
        found.sort_by(f32::total_cmp);
        found[(found.len() as f32 * SPARED) as usize]
    }

    /// The best correlation of a part within `reach`, and where that is.
    fn look(&self, (left, top, cells): &ReliefPart, other: &Ground, reach: isize) -> (f32, isize, isize) {
        let mut best = (-1.0, 0, 0);
        for (x, y) in (-reach..=reach).flat_map(|y| (-reach..=reach).map(move |x| (x, y))) {
            let found = other.correlation(cells, self.n / PARTS, left + x, top + y);
            if found > best.0 {
                best = (found, x, y);
            }
        }
        best
    }

    /// The lines on which the moves lie that bring the parts of `other` over these; none if most do not lie on any.
    fn fit(&self, other: &[f32], reach: isize) -> Option<[Line; 2]> {
        const FIRST: usize = 8;
        let ground = Ground::of(other, self.n);
        let mut moves = Vec::new();
        for (tried, part) in self.parts.iter().enumerate() {
            if tried == FIRST && moves.len() < FIRST / 4 {
                return None;
            }
            let (found, x, y) = self.look(part, &ground, reach);
            if found >= FOUND {
                let at = |x: isize, y: isize| ground.correlation(&part.2, self.n / PARTS, part.0 + x, part.1 + y);
                let middle = (self.n / PARTS) as f32 / 2.0;
                let across = x as f32 + peak(at(x - 1, y), found, at(x + 1, y));
                let down = y as f32 + peak(at(x, y - 1), found, at(x, y + 1));
                moves.push([(part.0 as f32 + middle, across), (part.1 as f32 + middle, down)]);
            }
        }
        if moves.len() < 5 || moves.len() * 3 < self.parts.len() {
            return None;
        }
        let lines = [0, 1].map(|axis| line(&moves.iter().map(|it| it[axis]).collect::<Vec<_>>()));
        let off = |(at, by): (f32, f32), (start, slope): Line| (start + slope * at - by).abs();
        let fits = |it: &&[(f32, f32); 2]| off(it[0], lines[0]).max(off(it[1], lines[1])) < 0.8;
        (moves.iter().filter(fits).count() * 2 > moves.len()).then_some(lines)
    }
}

/// A part of a relief of `n × n` cells, less its mean.
fn cut(relief: &[f32], n: usize, left: isize, top: isize) -> Vec<f32> {
    let side = n / PARTS;
    let (left, top) = (left as usize, top as usize);
    let rows = (top..top + side).map(|y| &relief[y * n + left..y * n + left + side]);
    let mut cells: Vec<f32> = rows.flatten().copied().collect();
    let mean = cells.iter().sum::<f32>() / cells.len() as f32;
    cells.iter_mut().for_each(|cell| *cell -= mean);
    cells
}

/// A relief of `n × n` cells whose edge goes on for [`EDGE`] cells on every side.
struct Ground {
    width: usize,
    cells: Vec<f32>,
}

impl Ground {
    fn of(relief: &[f32], n: usize) -> Ground {
        let inside = |at: usize| at.saturating_sub(EDGE).min(n - 1);
        let width = n + 2 * EDGE;
        let mut cells = Vec::with_capacity(width * width);
        for y in 0..width {
            let row = &relief[inside(y) * n..(inside(y) + 1) * n];
            cells.extend((0..width).map(|x| row[inside(x)]));
        }
        Ground { width, cells }
    }

    /// The correlation of a square part, less its mean, with the place that begins at `left`, `top`, no further out
    /// than [`EDGE`].
    fn correlation(&self, part: &[f32], side: usize, left: isize, top: isize) -> f32 {
        /// Sums that go on side by side, so that the compiler makes vectors of them; a side is one or two of it.
        const LANES: usize = 8;
        let at = |from: isize| (from + EDGE as isize) as usize;
        let (mut ab, mut aa, mut b, mut bb) = ([0.0; LANES], [0.0; LANES], [0.0; LANES], [0.0; LANES]);
        for (y, row) in part.chunks_exact(side).enumerate() {
            let start = (at(top) + y) * self.width + at(left);
            let others = self.cells[start..start + side].chunks_exact(LANES);
            for (cells, others) in row.chunks_exact(LANES).zip(others) {
                for lane in 0..LANES {
                    ab[lane] += cells[lane] * others[lane];
                    aa[lane] += cells[lane] * cells[lane];
                    b[lane] += others[lane];
                    bb[lane] += others[lane] * others[lane];
                }
            }
        }
        let [ab, aa, b, bb] = [ab, aa, b, bb].map(|lanes| lanes.iter().sum::<f32>());
        // The part has no mean, so that of the other side does not matter above.
        ab / ((aa + 1e-6) * (bb - b * b / part.len() as f32).max(1e-6)).sqrt()
    }
}

/// Where between -0.5 and 0.5 the parabola through three values has its peak.
fn peak(before: f32, at: f32, after: f32) -> f32 {
    let bend = before - 2.0 * at + after;
    if bend < -1e-6 { ((before - after) / (2.0 * bend)).clamp(-0.5, 0.5) } else { 0.0 }
}

/// The line through points that up to 29 % of outliers do not move (Theil, Sen).
fn line(points: &[(f32, f32)]) -> Line {
    let median = |mut values: Vec<f32>| {
        values.sort_by(f32::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    };
    let mut slopes = Vec::new();
    for (n, a) in points.iter().enumerate() {
        slopes.extend(points[..n].iter().filter(|b| b.0 != a.0).map(|b| (a.1 - b.1) / (a.0 - b.0)));
    }
    let slope = median(slopes).clamp(-0.25, 0.25);
    (median(points.iter().map(|(at, by)| by - slope * at).collect()), slope)
}
