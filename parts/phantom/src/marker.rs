//! The lead letter that names the side, drawn from a glyph of our own.

use image::{ImageBuffer, Luma};

use super::setup::Marker;

/// Seven rows of five dots.
fn glyph(letter: char) -> [u8; 7] {
    match letter {
        'L' => [0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b11111],
        _ => [0b11110, 0b10001, 0b10001, 0b11110, 0b10100, 0b10010, 0b10001],
    }
}

/// Draws `letter` at the marker's place in grey `bright`, its edges smooth.
pub(super) fn stamp(image: &mut ImageBuffer<Luma<u16>, Vec<u16>>, marker: &Marker, letter: char, bright: f32) {
    let rows = glyph(letter);
    let dot = marker.height / 7.0;
    let (s, c) = marker.turn.sin_cos();
    let reach = marker.height;
    let (x0, y0) = ((marker.x - reach).max(0.0) as u32, (marker.y - reach).max(0.0) as u32);
    let (x1, y1) = ((marker.x + reach) as u32, (marker.y + reach) as u32);
    // Distance to the strokes between neighbouring dots gives letters without steps.
    let lit = |i: i32, j: i32| (0..5).contains(&i) && (0..7).contains(&j) && rows[j as usize] >> (4 - i) & 1 == 1;
    for y in y0..y1.min(image.height()) {
        for x in x0..x1.min(image.width()) {
            let (dx, dy) = (x as f32 + 0.5 - marker.x, y as f32 + 0.5 - marker.y);
            let (mut gx, gy) = ((c * dx + s * dy) / dot + 2.0, (c * dy - s * dx) / dot + 3.0);
            if marker.reversed {
                gx = 4.0 - gx;
            }
            let (i, j) = (gx.round() as i32, gy.round() as i32);
            let mut nearest = f32::MAX;
            for (a, b) in (j - 1..=j + 1).flat_map(|b| (i - 1..=i + 1).map(move |a| (a, b))) {
                if !lit(a, b) {
                    continue;
                }
                for (da, db) in [(1, 0), (0, 1), (1, 1), (1, -1)] {
                    let (ex, ey) = if lit(a + da, b + db) { (da as f32, db as f32) } else { (0.0, 0.0) };
                    // A diagonal inside a corner would thicken it.
                    let (ex, ey) =
                        if da * db != 0 && (lit(a + da, b) || lit(a, b + db)) { (0.0, 0.0) } else { (ex, ey) };
                    let (px, py) = (gx - a as f32, gy - b as f32);
                    let t = ((px * ex + py * ey) / (ex * ex + ey * ey).max(1e-6)).clamp(0.0, 1.0);
                    nearest = nearest.min((px - t * ex).hypot(py - t * ey));
                }
            }
            let cover = (0.5 + (0.55 - nearest) * dot).clamp(0.0, 1.0);
            if cover > 0.0 {
                let Luma([under]) = *image.get_pixel(x, y);
                let grey = f32::from(under) + cover * (bright - f32::from(under)).max(0.0);
                image.put_pixel(x, y, Luma([grey.round() as u16]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_letters_differ_and_a_reversed_one_is_its_mirror_image() {
        let draw = |letter, reversed| {
            let mut image = ImageBuffer::new(40, 40);
            let marker = Marker { x: 20.0, y: 20.0, height: 21.0, turn: 0.0, reversed };
            stamp(&mut image, &marker, letter, 250.0);
            image
        };
        let (r, l) = (draw('R', false), draw('L', false));
        assert!(r != l && r.contains(&250) && l.contains(&250));
        assert_eq!(image::imageops::flip_horizontal(&r), draw('R', true));
    }
}
