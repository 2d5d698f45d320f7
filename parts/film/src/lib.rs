//! Radiographs from PNG, JPEG and DICOM files as upright 8-bit grey images, or one line that says what is wrong with
//! the file.
//!
//! A damaged file is an error, never a picture that ends in flat grey; what is declared allocates nothing before it was
//! checked. What decodes and is doubtful all the same, by the greys that the film really uses, is a [`Doubt`].
//!
//! ```no_run
//! let film = humerus_film::decode("arm.dcm")?; // upright, 8-bit grey, bone bright
//! println!("{} × {} pixels", film.width(), film.height());
//! let (_, doubts) = humerus_film::examine("arm.png")?;
//! doubts.iter().for_each(|doubt| println!("{doubt}"));
//! # Ok::<(), humerus_film::Error>(())
//! ```
//!
//! From bytes to grey: [`inspect`] walks the container (PNG, JPEG, DICOM) and says what is wrong with it without
//! decoding a pixel, [`decode`] makes the pixels, [`examine`] doubts them, [`resize`] makes them smaller as Pillow
//! does.

#![forbid(unsafe_code)]

mod container;
mod decode;
mod dicom;
mod error;
mod flaw;
mod greys;
mod jpeg;
mod luma;
mod polarity;
mod read;
mod resize;

pub use container::inspect;
pub use decode::{decode, examine};
pub use dicom::{DicomHeader, dicom_header};
pub use error::{Error, Result};
pub use flaw::{Flaw, Format, Header, MAX_PIXELS};
pub use greys::{Doubt, doubt};
pub use polarity::looks_inverted;
pub use read::read;
pub use resize::resize;
