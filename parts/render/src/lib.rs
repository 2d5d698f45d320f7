//! Figures for notebooks and papers: data in, picture out. Opens no files and touches no tensors.
//!
//! Every figure is deterministic, white-grounded, 700 to 1500 pixels of a page wide, lettered in a bundled font at 13
//! pixels or more, in colours that colour-blind readers can tell apart; where a colour means a number there is a colour
//! bar, and no colour is the only carrier of a fact. It has two pixels for each of the page's, so that it is sharp on
//! dense screens, and is SVG as well where no film is in it. What would make it longer than a screen or two is left
//! out, and the title says how much. `plotters` draws; one figure a file, what they share in `chart`. A reader draws on
//! by [`Figure::draw`].

#![forbid(unsafe_code)]

mod activations;
mod axis;
mod balance;
mod cam;
mod chart;
mod colour;
mod confusion;
mod curves;
mod error;
mod figure;
mod films;
mod head;
mod histogram;
mod letters;
mod map;
mod mark;
pub mod palette;
mod picture;
mod precision_recall;
mod reliability;
mod roc;
mod sheet;
mod square;
mod sweep;
pub mod table;
mod text;

pub use activations::activation_grid;
pub use balance::{BalanceRow, class_balance};
pub use cam::{CamPanel, Opacity, OverlayOptions, cam_panel, overlay};
pub use colour::Colours;
pub use confusion::confusion;
pub use curves::{CurvePoint, learning_curves};
pub use error::{Error, Result};
pub use figure::{Figure, png};
pub use films::{Film, FilterPattern, Tone, films, filter_grid};
pub use histogram::score_histogram;
pub use map::Map;
pub use plotters;
pub use precision_recall::precision_recall;
pub use reliability::reliability;
pub use roc::roc;
pub use sheet::{Area, Sheet};
pub use sweep::learning_rates;
pub use table::{Table, escaped};

/// What drawing ends with: nothing, or whatever went wrong.
pub type Drawing<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// An [`Error::Figure`] saying that there is nothing to draw.
fn nothing(what: &str) -> Error {
    Error::Figure(format!("nothing to draw: no {what}"))
}

/// The first of `all` pictures, as many as `most` rows take, and a title that says so where that is not all.
fn first_rows<'a, T>(title: &str, all: &'a [T], per_row: i32, most: i32, what: &str) -> (&'a [T], String) {
    let fits = (per_row.max(1) * most.max(1)) as usize;
    match all.get(..fits) {
        Some(first) if fits < all.len() => (first, format!("{title} (the first {fits} of {} {what})", all.len())),
        _ => (all, title.to_owned()),
    }
}

/// A share as a whole percentage.
fn percent(part: usize, whole: usize) -> String {
    format!("{:.0} %", 100.0 * part as f64 / whole.max(1) as f64)
}

/// Three decimals, without trailing zeros beyond the second.
fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    text.strip_suffix('0').unwrap_or(&text).replace('-', "−")
}
