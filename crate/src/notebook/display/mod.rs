//! Pictures, tables and words inline in an evcxr notebook.
//!
//! evcxr shows a value by calling its `evcxr_display` when a cell ends on it, and keeps one output per MIME type: so
//! one figure or table a cell. Every type of this crate has that method; for those of other crates, tensors and
//! pictures, and for lists there is [`Show`].

mod foreign;
mod tensor;
mod types;

pub use foreign::Show;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::imageops::{self, FilterType};

use crate::Result;
use crate::render::{Figure, Table, escaped, png};

impl Figure {
    /// Shows the figure in an evcxr cell, with its alt text for readers without pictures.
    pub fn evcxr_display(&self) {
        draw(|| Ok(self.clone()));
    }

    /// The figure for a page: all its pixels in the room of [`width`](Self::width), sharp on dense screens, which a
    /// bare PNG is not, as evcxr cannot say how large it is to be.
    fn html(&self, png: &[u8]) -> String {
        format!(
            "<img width=\"{}\" style=\"max-width:100%;height:auto\" alt=\"{}\" src=\"data:image/png;base64,{}\">",
            self.width(),
            escaped(self.alt()),
            STANDARD.encode(png)
        )
    }

    /// The figure with one pixel for each of a page's, for what shows no HTML.
    fn plain_png(&self) -> Result<Vec<u8>> {
        if self.width() == self.image().width() {
            return self.png();
        }
        png(&imageops::resize(self.image(), self.width(), self.height(), FilterType::Triangle))
    }
}

/// Shows a figure, or why there is none.
fn draw(figure: impl FnOnce() -> Result<Figure>) {
    let shown = figure().and_then(|figure| Ok((figure.html(&figure.png()?), figure.plain_png()?, figure)));
    match shown {
        Ok((html, png, figure)) => {
            evcxr_runtime::mime_type("text/html").text(html);
            evcxr_runtime::mime_type("image/png").text(STANDARD.encode(png));
            say(figure.alt());
        }
        Err(error) => say(error),
    }
}

/// Shows words.
fn say(text: impl ToString) {
    evcxr_runtime::mime_type("text/plain").text(text.to_string());
}

/// Rows of a table that are shown.
const ROWS: usize = 100;

/// Shows tables one under the other.
fn show(tables: &[Table]) {
    let tables: Vec<Table> = tables.iter().map(|table| table.first(ROWS)).collect();
    let html: Vec<String> = tables.iter().map(Table::html).collect();
    let text: Vec<String> = tables.iter().map(|t| t.to_string().trim_end().to_owned()).collect();
    evcxr_runtime::mime_type("text/html").text(html.join("\n"));
    say(text.join("\n\n"));
}

impl Table {
    /// Shows the table in an evcxr cell, as HTML and as plain text: its first 100 rows, and how many more there are.
    pub fn evcxr_display(&self) {
        show(std::slice::from_ref(self));
    }
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::*;
    use crate::render::{Film, Tone, films};

    #[test]
    fn a_figure_takes_half_its_pixels_on_a_page_and_says_its_words() {
        let film = Film { image: image::GrayImage::new(40, 60), caption: "a < b".to_owned(), tone: Tone::Plain };
        let figure = films("Films", &[film], 1).unwrap();
        assert_eq!(figure.width() * 2, figure.image().width());
        let html = figure.html(&figure.png().unwrap());
        let width = figure.width();
        assert!(
            html.starts_with(&format!("<img width=\"{width}\"")) && html.contains("a &lt; b\""),
            "{}",
            &html[..200]
        );
        let (_, encoded) = html.split_once("base64,").unwrap();
        let png = STANDARD.decode(encoded.trim_end_matches("\">")).unwrap();
        assert!(image::load_from_memory(&png).unwrap().into_rgb8() == *figure.image(), "all its pixels are there");
        let plain = image::load_from_memory(&figure.plain_png().unwrap()).unwrap();
        assert_eq!((plain.width(), plain.height()), (figure.width(), figure.height()));
    }

    #[test]
    fn a_picture_of_the_reader_s_own_keeps_its_size() {
        let figure = Figure::new(RgbImage::new(30, 20), "black");
        assert_eq!((figure.width(), figure.height()), (30, 20));
        assert_eq!(figure.plain_png().unwrap(), figure.png().unwrap());
    }
}
