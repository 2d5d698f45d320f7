//! Pictures, tables and words inline in an evcxr notebook.
//!
//! evcxr shows a value by calling its `evcxr_display` when a cell ends on it, and keeps one output per MIME type: so
//! one figure or table a cell. Every type of this crate has that method; for those of other crates, figures, tensors
//! and pictures among them, and for lists there is [`Show`].

mod foreign;
mod tensor;
mod types;

pub use foreign::Show;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::imageops::{self, FilterType};

use render::{Figure, Table, escaped, png};

/// A figure for a page: all its pixels in the room of its [`width`](Figure::width), sharp on dense screens, which a
/// bare PNG is not, as evcxr cannot say how large it is to be.
fn html(figure: &Figure, png: &[u8]) -> String {
    format!(
        "<img width=\"{}\" style=\"max-width:100%;height:auto\" alt=\"{}\" src=\"data:image/png;base64,{}\">",
        figure.width(),
        escaped(figure.alt()),
        STANDARD.encode(png)
    )
}

/// A figure with one pixel for each of a page's, for what shows no HTML.
fn plain_png(figure: &Figure) -> render::Result<Vec<u8>> {
    if figure.width() == figure.image().width() {
        return figure.png();
    }
    png(&imageops::resize(figure.image(), figure.width(), figure.height(), FilterType::Triangle))
}

/// Shows a figure, or why there is none.
fn draw<E: std::fmt::Display>(figure: impl FnOnce() -> Result<Figure, E>) {
    let encoded = |figure: &Figure| Ok::<_, render::Error>((html(figure, &figure.png()?), plain_png(figure)?));
    let shown = figure().map_err(|error| error.to_string());
    match shown.and_then(|figure| Ok((encoded(&figure).map_err(|error| error.to_string())?, figure))) {
        Ok(((html, png), figure)) => {
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

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::*;
    use render::{Film, Tone, films};

    #[test]
    fn a_figure_takes_half_its_pixels_on_a_page_and_says_its_words() {
        let film = Film { image: image::GrayImage::new(40, 60), caption: "a < b".to_owned(), tone: Tone::Plain };
        let figure = films("Films", &[film], 1).unwrap();
        assert_eq!(figure.width() * 2, figure.image().width());
        let html = super::html(&figure, &figure.png().unwrap());
        let width = figure.width();
        assert!(
            html.starts_with(&format!("<img width=\"{width}\"")) && html.contains("a &lt; b\""),
            "{}",
            &html[..200]
        );
        let (_, encoded) = html.split_once("base64,").unwrap();
        let png = STANDARD.decode(encoded.trim_end_matches("\">")).unwrap();
        assert!(image::load_from_memory(&png).unwrap().into_rgb8() == *figure.image(), "all its pixels are there");
        let plain = image::load_from_memory(&plain_png(&figure).unwrap()).unwrap();
        assert_eq!((plain.width(), plain.height()), (figure.width(), figure.height()));
    }

    #[test]
    fn a_picture_of_the_reader_s_own_keeps_its_size() {
        let figure = Figure::new(RgbImage::new(30, 20), "black");
        assert_eq!((figure.width(), figure.height()), (30, 20));
        assert_eq!(plain_png(&figure).unwrap(), figure.png().unwrap());
    }
}
