//! Where the evidence lies: a CAM over its film.

use image::imageops::FilterType;
use image::{GrayImage, Rgb, RgbImage};

use super::chart::ColourBar;
use super::colour::{Colours, mix, paint};
use super::films::{Caption, FRAME, Tone, mount};
use super::head::{Head, MARGIN, Sign};
use super::map::Map;
use super::mark::Mark;
use super::picture::{SHEET, coloured, has_pixels, thumbnail};
use super::sheet::SCALE;
use super::text::BODY;
use super::{Figure, first_rows, nothing};
use crate::{Error, Result};

/// How the share of colour in an overlay depends on the evidence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Opacity {
    /// Half of alpha where there is none, rising to one and a half where there is most: bone stays bright away from the
    /// evidence, and the peak stands out on a dark film too.
    #[default]
    Rising,
    /// Alpha everywhere, as the original.
    Even,
}

/// How a map is laid over a film.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OverlayOptions {
    /// Share of the colour in the mixture, `0.0..=1.0`. Default 0.4, as the original.
    pub alpha: f32,
    /// Where that share holds. Default [`Opacity::Rising`].
    pub opacity: Opacity,
    /// The map's colours. Default [`Colours::Inferno`]; the original's are [`Colours::Jet`].
    pub colours: Colours,
}

impl Default for OverlayOptions {
    fn default() -> Self {
        OverlayOptions { alpha: 0.4, opacity: Opacity::default(), colours: Colours::default() }
    }
}

impl OverlayOptions {
    fn check(&self) -> Result<()> {
        if (0.0..=1.0).contains(&self.alpha) {
            return Ok(());
        }
        Err(Error::setting("alpha", "0.0 to 1.0", self.alpha))
    }

    /// Share of the colour where the map is `value`.
    fn share(&self, value: f32) -> f32 {
        match self.opacity {
            Opacity::Even => self.alpha,
            Opacity::Rising if value.is_nan() => 0.5 * self.alpha,
            Opacity::Rising => (self.alpha * (0.5 + value.clamp(0.0, 1.0))).min(1.0),
        }
    }

    /// A bright line that the colours do not contain.
    fn outline(&self) -> Rgb<u8> {
        match self.colours {
            Colours::Jet => Rgb([255, 255, 255]),
            _ => Rgb([86, 219, 255]),
        }
    }
}

/// The map over the film, at the film's size: the map, expected in `0.0..=1.0`, is enlarged bilinearly, coloured and
/// mixed into every pixel. Where `mask` (the film's size) is 128 or more, its border is drawn as an outline.
///
/// # Errors
/// [`Error::Figure`] if the film has no pixels, the mask another size or the map the wrong number of values;
/// [`Error::Setting`] if alpha is not `0.0..=1.0`.
pub fn overlay(film: &GrayImage, map: &Map, options: OverlayOptions, mask: Option<&GrayImage>) -> Result<Figure> {
    check(0, film, Some(map), mask)?;
    options.check()?;
    let image = mixture(film, Some(map), options, mask);
    Ok(Figure::new(image, "a film with the evidence for its class laid over it in colour"))
}

fn check(i: usize, film: &GrayImage, map: Option<&Map>, mask: Option<&GrayImage>) -> Result<()> {
    has_pixels("film", i, film.width(), film.height())?;
    map.map_or(Ok(()), Map::check)?;
    match mask {
        Some(mask) if mask.dimensions() != film.dimensions() => {
            Err(Error::Figure(format!("mask {i} is {:?} pixels, its film {:?}", mask.dimensions(), film.dimensions())))
        }
        _ => Ok(()),
    }
}

fn mixture(film: &GrayImage, map: Option<&Map>, options: OverlayOptions, mask: Option<&GrayImage>) -> RgbImage {
    let (width, height) = film.dimensions();
    let map = map.map(|map| map.resized(width as usize, height as usize));
    let mut image = RgbImage::from_fn(width, height, |x, y| {
        let film = Rgb([film.get_pixel(x, y)[0]; 3]);
        let Some(map) = &map else { return film };
        let value = map.values[(y * width + x) as usize];
        mix(film, options.colours.at(value), options.share(value))
    });
    if let Some(mask) = mask {
        outline(&mut image, mask, options.outline());
    }
    image
}

/// A line just outside the mask with a dark edge around it, about a 150th of the picture wide.
fn outline(image: &mut RgbImage, mask: &GrayImage, colour: Rgb<u8>) {
    let thick = (image.width().max(image.height()) as i32 / 150).max(2);
    let inside = |x: i32, y: i32| {
        let pixel = (x >= 0 && y >= 0).then(|| mask.get_pixel_checked(x as u32, y as u32)).flatten();
        pixel.is_some_and(|p| p[0] >= 128)
    };
    let edge = (thick + 1) / 2;
    let reach = thick + edge;
    for y in 0..mask.height() as i32 {
        for x in 0..mask.width() as i32 {
            // Only the mask's own border pixels reach outwards.
            if !inside(x, y) || [(1, 0), (-1, 0), (0, 1), (0, -1)].iter().all(|d| inside(x + d.0, y + d.1)) {
                continue;
            }
            for (dx, dy) in (-reach..=reach).flat_map(|dy| (-reach..=reach).map(move |dx| (dx, dy))) {
                let (px, py) = (x + dx, y + dy);
                if inside(px, py) || px < 0 || py < 0 {
                    continue;
                }
                let distance = ((dx * dx + dy * dy) as f32).sqrt();
                if let Some(pixel) = image.get_pixel_mut_checked(px as u32, py as u32) {
                    if distance <= thick as f32 + 0.2 {
                        *pixel = colour;
                    } else if distance <= reach as f32 + 0.2 && *pixel != colour {
                        *pixel = Rgb([0, 0, 0]);
                    }
                }
            }
        }
    }
}

/// A film with its map.
#[derive(Debug, Clone)]
pub struct CamPanel {
    /// The film, of any size and shape.
    pub film: GrayImage,
    /// Its map in `0.0..=1.0`, of any size; none where there is no evidence, so that the film is drawn without colour.
    pub map: Option<Map>,
    /// Where the data set marks a fracture (128 or more), the film's size.
    pub mask: Option<GrayImage>,
    /// What stands under the pair.
    pub caption: String,
    /// The frame and mark of the pair.
    pub tone: Tone,
}

/// Pairs of film and overlay, two pairs in a row, with one colour bar for all; of more than nine rows the first ones,
/// and the title says so.
///
/// # Errors
/// As [`overlay`]; [`Error::Figure`] if there are no panels.
pub fn cam_panel(title: &str, panels: &[CamPanel], options: OverlayOptions) -> Result<Figure> {
    if panels.is_empty() {
        return Err(nothing("panels"));
    }
    options.check()?;
    let (panels, title) = &first_rows(title, panels, 2, 9, "films");
    for (i, panel) in panels.iter().enumerate() {
        check(i, &panel.film, panel.map.as_ref(), panel.mask.as_ref())?;
    }
    let bar = ColourBar { colours: options.colours, ticks: &TICKS, meaning: "evidence (0 none, 1 most)" };
    let columns = panels.len().min(2) as i32;
    let (inner, gap, bar_room) = (4, 24, 20 + bar.width());
    let room = SHEET - 2 * MARGIN - bar_room - (columns - 1) * gap - columns * inner;
    let side = (room / (2 * columns)).min(420);
    let pair = 2 * side + inner;
    let grid = columns * pair + (columns - 1) * gap;
    let width = 2 * MARGIN + grid + bar_room;

    let style = BODY.sized(17.0);
    let captions: Vec<_> = panels.iter().map(|panel| Caption::new(&panel.caption, panel.tone, style, pair)).collect();
    let mut keys = Tone::keys(panels.iter().map(|p| p.tone));
    if panels.iter().any(|p| p.mask.is_some()) {
        keys.push((Sign::Mark(Mark::Frame, paint(options.outline())), "fracture as marked in the data".to_owned()));
    }
    let head = Head::new(title, keys, width);
    let row_height = |row: &[Caption]| side + row.iter().map(Caption::height).max().unwrap_or(0) + 18;
    let rows = captions.chunks(columns as usize);
    let height = head.height + rows.clone().map(row_height).sum::<i32>() - 18 + MARGIN;

    let words: Vec<_> = panels.iter().map(|p| p.caption.trim()).collect();
    let alt = format!("{title}: films beside the evidence for their class. {}", words.join("; "));
    Figure::draw((width as u32, height as u32), alt, |area| {
        head.draw(area)?;
        let mut y = head.height;
        for (panels, row) in panels.chunks(columns as usize).zip(rows) {
            for ((panel, caption), i) in panels.iter().zip(row).zip(0..) {
                let x = MARGIN + i * (pair + gap);
                let film = thumbnail(&panel.film, SCALE * (side - 2 * FRAME));
                let mask = panel.mask.as_ref().map(|mask| shrunk(mask, &film));
                let evidence = mixture(&film, panel.map.as_ref(), options, mask.as_ref());
                mount(area, (x, y), side, &coloured(&film), panel.tone)?;
                mount(area, (x + side + inner, y), side, &evidence, panel.tone)?;
                caption.draw(area, x, y + side)?;
            }
            y += row_height(row);
        }
        bar.draw(area, (MARGIN + grid + 20, head.height + 1), side - 2)
    })
}

const TICKS: [(f64, &str); 6] = [(0.0, "0.0"), (0.2, "0.2"), (0.4, "0.4"), (0.6, "0.6"), (0.8, "0.8"), (1.0, "1.0")];

/// The mask at the thumbnail's size; a quarter covered counts, so that thin fractures do not vanish.
fn shrunk(mask: &GrayImage, film: &GrayImage) -> GrayImage {
    let mut small = image::imageops::resize(mask, film.width(), film.height(), FilterType::Triangle);
    small.pixels_mut().for_each(|p| p[0] = if p[0] >= 64 { 255 } else { 0 });
    small
}
