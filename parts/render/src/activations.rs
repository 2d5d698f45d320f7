//! Every channel of a layer at once, as the original notebooks drew them.

use image::{Rgb, RgbImage};

use plotters::style::text_anchor::{HPos, VPos};

use super::chart::ColourBar;
use super::colour::Colours;
use super::head::{Head, MARGIN};
use super::map::Map;
use super::palette::MUTED;
use super::picture::{cell_view, check_per_row};
use super::sheet::{SCALE, ink};
use super::text::{NOTE, TICK};
use super::{Figure, first_rows, nothing};
use crate::Result;
use files::counted;

const BAR: ColourBar<'static> = ColourBar {
    colours: Colours::Plasma,
    ticks: &[(0.0, "−2"), (0.25, "−1"), (0.5, "0"), (0.75, "+1"), (1.0, "+2")],
    meaning: "standard deviations from the channel's mean",
};
const GAP: i32 = 3;
/// The longest that cells make a figure, and the side of the smallest: about two screens.
const LONGEST: i32 = 1300;
const SMALLEST: i32 = 40;

/// The channels of an activation, `per_row` in a row (12 in the original), in order; the number before each row is its
/// first channel. Each channel is standardised on its own ([`Map::standardised`]) and drawn in plasma.
///
/// Small maps are enlarged a whole number of times, large ones shrunk; the figure stays below 1500 pixels of a page in
/// width. Where cells of 40 pixels would make it longer than 1300, the first channels are drawn, 360 at 12 in a row,
/// and the title says so.
///
/// # Errors
/// [`Error::Figure`](crate::Error::Figure) if there are no maps, one has the wrong number of values, or `per_row` is
/// not 1 to 64.
pub fn activation_grid(title: &str, maps: &[Map], per_row: usize) -> Result<Figure> {
    check_per_row(per_row)?;
    let Some(first) = maps.first() else {
        return Err(nothing("channels"));
    };
    maps.iter().try_for_each(Map::check)?;

    let columns = per_row.min(maps.len()) as i32;
    let (maps, title) = &first_rows(title, maps, columns, LONGEST / (SMALLEST + GAP), "channels");
    let rows = (maps.len() as i32 + columns - 1) / columns;
    let numbers = TICK.widest([(maps.len() - 1).to_string().as_str()]) + 8;
    let bar_room = 16 + 18 + 80;
    let room = 1200 - 2 * MARGIN - numbers - bar_room;
    let side = (room / columns - GAP).min(LONGEST / rows - GAP).clamp(if columns > 24 { 24 } else { SMALLEST }, 240);
    // In pixels of the sheet.
    let drawn = drawn_side(first, SCALE * side);
    let cell = (drawn + SCALE - 1) / SCALE;
    let grid_width = columns * (cell + GAP) - GAP;
    let grid_height = rows * (cell + GAP) - GAP;

    let bar_height = grid_height.clamp(300, 420);
    let width = 2 * MARGIN + numbers + grid_width + 16 + BAR.width();
    let width = width.max(480);
    let (n, wide, high) = (maps.len(), first.width, first.height);
    let note = format!("{} of {wide} × {high}", counted(n, "channel"));
    let head = Head::new(title, Vec::new(), width);
    let top = head.height + NOTE.leading() + 4;
    let height = top + grid_height.max(bar_height) + MARGIN;

    let left = MARGIN + numbers;
    let palette: Vec<_> = (0..=255u8).map(|v| Colours::Plasma.at(f32::from(v) / 255.0)).collect();
    let alt = format!("{title}: {note}; colours: {}, −2 to +2", BAR.meaning);
    Figure::draw((width as u32, height as u32), alt, |area| {
        head.draw(area)?;
        area.draw_text(&note, &NOTE.at(HPos::Left, VPos::Top), (MARGIN, head.height - 10))?;
        for (map, i) in maps.iter().zip(0..) {
            let (x, y) = (left + i % columns * (cell + GAP), top + i / columns * (cell + GAP));
            if i % columns == 0 {
                let style = TICK.coloured(MUTED).at(HPos::Right, VPos::Center);
                area.draw_text(&i.to_string(), &style, (left - 8, y + cell / 2))?;
            }
            let picture = painted(map, drawn, &palette);
            ink(area, |sheet| sheet.film(&picture, (x * SCALE, y * SCALE)))?;
        }
        BAR.draw(area, (left + grid_width + 16, top + 1), bar_height - 2)
    })
}

/// The side that the first map really takes: a whole multiple of a small one's, so that no white remains around it.
fn drawn_side(map: &Map, side: i32) -> i32 {
    let longest = map.width.max(map.height) as i32;
    if longest > side { side } else { side / longest * longest }
}

/// Shrunk or enlarged while still grey, so that mixed pixels are mixed numbers and not mixed colours.
fn painted(map: &Map, side: i32, palette: &[Rgb<u8>]) -> RgbImage {
    let grey = cell_view(&map.standardised(), side);
    RgbImage::from_fn(grey.width(), grey.height(), |x, y| palette[usize::from(grey.get_pixel(x, y)[0])])
}
