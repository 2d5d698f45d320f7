//! A finished figure: its picture, its SVG, its words.

use std::cell::Cell;
use std::fmt;
use std::path::Path;

use image::RgbImage;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use plotters::drawing::IntoDrawingArea;
use plotters::style::WHITE;

use super::picture::{fitted, thumbnail};
use super::sheet::{Area, FINE, SCALE, Sheet, fine_size};
use super::{Drawing, text};
use crate::{Error, Result};

/// The longest side of a figure on a page, and the most of its pixels.
const LONGEST: u32 = 10_000;
const LARGEST: u64 = 10_000_000;

/// A finished picture and what it shows in words.
#[derive(Clone, PartialEq)]
pub struct Figure {
    image: RgbImage,
    /// The same in lines and letters, where there is no film in it.
    svg: Option<String>,
    alt: String,
    /// Width and height on a page, in its pixels.
    page: [u32; 2],
}

impl Figure {
    /// A figure of `image`; `alt` says what it shows to readers who cannot see it.
    pub fn new(image: RgbImage, alt: impl Into<String>) -> Figure {
        let page = [image.width(), image.height()];
        Figure { image, svg: None, alt: alt.into(), page }
    }

    /// A figure of one's own: `draw` gets a white [`Area`] of `width × height` pixels of a page, on which everything
    /// that `plotters` has can be drawn. `alt` says what it shows to readers who cannot see it.
    ///
    /// The figure gets two pixels for each of the page's and can be saved as PNG and as SVG. All text is set in the
    /// bundled font, whichever family is asked for.
    ///
    /// ```
    /// use humerus_render::plotters::prelude::*;
    /// use humerus_render::{Figure, palette};
    ///
    /// let figure = Figure::draw((480, 320), "a parabola", |area| {
    ///     let mut builder = ChartBuilder::on(area);
    ///     builder.margin(20).caption("Parabola", ("sans-serif", 22)).x_label_area_size(30).y_label_area_size(40);
    ///     let mut chart = builder.build_cartesian_2d(-1.0..1.0, 0.0..1.0)?;
    ///     chart.configure_mesh().draw()?;
    ///     let points = (-50..=50).map(|i| f64::from(i) / 50.0).map(|x| (x, x * x));
    ///     chart.draw_series(LineSeries::new(points, palette::BLUE.stroke_width(2)))?;
    ///     Ok(())
    /// })?;
    /// assert_eq!(figure.image().dimensions(), (960, 640));
    /// assert!(figure.svg()?.contains("Parabola"));
    /// # Ok::<(), humerus_render::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Figure`] if a side is not 1 to 10,000, both together have more than 10 million pixels, or `draw` fails.
    pub fn draw<F>(size: (u32, u32), alt: impl Into<String>, draw: F) -> Result<Figure>
    where
        F: FnOnce(&Area<'_>) -> Drawing,
    {
        let (width, height) = size;
        let sides = 1..=LONGEST;
        if !sides.contains(&width) || !sides.contains(&height) || u64::from(width) * u64::from(height) > LARGEST {
            return Err(Error::Figure(format!(
                "{width} × {height} pixels is not a size to draw; each side may have 1 to {LONGEST}, both together \
                 {LARGEST} pixels, so draw fewer pictures"
            )));
        }
        text::register();
        let (fine, alt) = (fine_size(size), alt.into());
        let mut pixels = vec![u8::MAX; fine.0 as usize * fine.1 as usize * 3];
        let (mut svg, films) = (String::new(), Cell::new(false));
        {
            let area = Sheet::new(size, &mut pixels, &mut svg, &films).into_drawing_area();
            let drawn = area.fill(&WHITE).map_err(Into::into).and_then(|()| draw(&area));
            let drawn = drawn.and_then(|()| Ok(area.present()?));
            drawn.map_err(|error| match error.downcast::<Error>() {
                Ok(own) => *own,
                Err(error) => Error::Figure(error.to_string()),
            })?;
        }
        let svg = (!films.get()).then(|| sized(&svg, size, &alt));
        Ok(Figure { image: halved(&pixels, size), svg, alt, page: [width, height] })
    }

    /// A picture that takes at most `longest` pixels of a page on either side, and keeps at most twice as many of its
    /// own.
    pub fn fitted(image: RgbImage, longest: u32, alt: impl Into<String>) -> Figure {
        let side = image.width().max(image.height());
        if side <= longest {
            return Figure::new(image, alt);
        }
        let (width, height) = fitted(image.width(), image.height(), longest as i32);
        let image = if side > 2 * longest { thumbnail(&image, 2 * longest as i32) } else { image };
        Figure { page: [width, height], ..Figure::new(image, alt) }
    }

    /// Width on a page in pixels: half of the picture's own where it was drawn here.
    pub fn width(&self) -> u32 {
        self.page[0]
    }

    /// Height on a page in pixels.
    pub fn height(&self) -> u32 {
        self.page[1]
    }

    /// The pixels.
    pub fn image(&self) -> &RgbImage {
        &self.image
    }

    /// What the figure shows, in words.
    pub fn alt(&self) -> &str {
        &self.alt
    }

    /// The figure as a PNG file's bytes.
    ///
    /// # Errors
    /// [`Error::Figure`] if the encoder refuses, which a figure of this module never makes it do.
    pub fn png(&self) -> Result<Vec<u8>> {
        png(&self.image)
    }

    /// The figure as SVG, for papers: of [`width`](Self::width) × [`height`](Self::height) pixels, its text in the
    /// reader's own sans-serif font.
    ///
    /// # Errors
    /// [`Error::Figure`] if films or other pictures are in it.
    pub fn svg(&self) -> Result<&str> {
        let films = || Error::Figure("a figure with films in it cannot be SVG; save it as .png".to_owned());
        self.svg.as_deref().ok_or_else(films)
    }

    /// Writes the figure to `path`, as PNG or SVG by the file's ending, by a temporary file beside it and a rename, so
    /// that no reader meets half of it.
    ///
    /// # Errors
    /// [`Error::Setting`] for another ending, [`Error::Figure`] for an SVG of films, [`Error::Io`] if the folder cannot
    /// be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
        match ending.as_deref().and_then(|ending| ending.to_str()) {
            Some("png") => Ok(files::write_atomically(path, &self.png()?)?),
            Some("svg") => Ok(files::write_atomically(path, self.svg()?.as_bytes())?),
            _ => Err(Error::setting("the figure's file", "a name that ends in .png or .svg", path.display())),
        }
    }
}

/// A picture as the bytes of a PNG file.
pub fn png(image: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // The encoder's quick setting makes notebooks half as large again.
    let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Adaptive);
    match image.write_with_encoder(encoder) {
        Ok(()) => Ok(bytes),
        Err(refusal) => Err(Error::Figure(refusal.to_string())),
    }
}

/// The fine pixels of a figure of `size`, each square of two by two made one.
fn halved(fine: &[u8], (width, height): (u32, u32)) -> RgbImage {
    let mut image = RgbImage::new(width * SCALE as u32, height * SCALE as u32);
    let row = width as usize * FINE as usize * 3;
    for (out, rows) in image.chunks_exact_mut(row / 2).zip(fine.chunks_exact(2 * row)) {
        let (upper, lower) = rows.split_at(row);
        let pairs = upper.chunks_exact(6).zip(lower.chunks_exact(6));
        for (out, (upper, lower)) in out.chunks_exact_mut(3).zip(pairs) {
            for c in 0..3 {
                let sum = [upper[c], upper[c + 3], lower[c], lower[c + 3]].map(u16::from).iter().sum::<u16>();
                out[c] = ((sum + 2) / 4) as u8;
            }
        }
    }
    image
}

/// The SVG with a page's size in place of the fine one, and with its words.
fn sized(svg: &str, (width, height): (u32, u32), alt: &str) -> String {
    let (fine_width, fine_height) = fine_size((width, height));
    let body = svg.split_once('\n').map_or("", |(_, body)| body);
    let alt = alt.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;").replace('\n', " ");
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {fine_width} {fine_height}\" role=\"img\" aria-label=\"{alt}\">\n{body}"
    )
}

/// The words, not the pixels.
impl fmt::Debug for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Figure {} × {}: {}", self.width(), self.height(), self.alt)
    }
}
