//! Which greys does a film really use?
//!
//! Values of 12 bits that are declared as 16, a window beside the film, a clipped or blank film decode without an
//! error, to pixels that no model can read. They show in the histogram, whatever made them.

use std::fmt;

use image::GrayImage;
use serde::Serialize;

/// What is doubtful about a film that can be decoded. Serialised in kebab case, as [`Doubt::name`] says.
///
/// Pure black and pure white are set apart where greys are counted, since letterboxes, shutters and markers are made of
/// them. The limits were chosen on FracAtlas' 1,092 upper-limb films, none of which is doubtful: the thousandth part of
/// their greys is above 145 at least, the darkest hundredth below 58, and 99 % of their pixels take 78 greys or more,
/// also where the film covers only a thirtieth of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doubt {
    /// Fewer than one grey in 1,000 is 64 or brighter, or fewer than 5 in 1,000 pixels are not black.
    NearlyBlack,
    /// Fewer than one grey in 100 is below 192, or nine tenths of the pixels are pure white.
    NearlyWhite,
    /// Forty greys or fewer make up 99 % of the film.
    FewGreys,
    /// A DICOM file's look-up table declares other bits than its entries take. The film is shown by what it holds, as
    /// other viewers do.
    LookUpTable,
}

impl Doubt {
    /// Every doubt.
    pub const ALL: [Doubt; 4] = [Doubt::NearlyBlack, Doubt::NearlyWhite, Doubt::FewGreys, Doubt::LookUpTable];

    /// The doubt as it is written in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Doubt::NearlyBlack => "nearly-black",
            Doubt::NearlyWhite => "nearly-white",
            Doubt::FewGreys => "few-greys",
            Doubt::LookUpTable => "look-up-table",
        }
    }

    /// What was seen, as the end of a sentence about a film.
    pub fn seen(self) -> &'static str {
        match self {
            Doubt::NearlyBlack => {
                "hardly any grey above a quarter of white: blank, or values of fewer bits than declared"
            }
            Doubt::NearlyWhite => "hardly any grey below three quarters of white: blank, or clipped",
            Doubt::FewGreys => "99 % of the pixels in 40 greys or fewer: blank, or values of fewer bits than declared",
            Doubt::LookUpTable => "a look-up table that declares other bits than it holds: shown by what it holds",
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.seen())
    }
}

/// What the greys of a film give reason to doubt, if anything: never [`Doubt::LookUpTable`], which a file tells.
/// Nothing for a film without a pixel.
pub fn doubt(film: &GrayImage) -> Option<Doubt> {
    let mut counts = [0u64; 256];
    for &pixel in film.as_raw() {
        counts[usize::from(pixel)] += 1;
    }
    let [black, greys @ .., white] = counts;
    let (total, grey) = (film.as_raw().len() as u64, greys.iter().sum::<u64>());
    // Greys from 1: `counts[0]` of grey 1.
    let at_least = |level: usize| greys[level - 1..].iter().sum::<u64>();
    if total == 0 {
        None
    } else if 1000 * (total - black) < 5 * total || (grey > 0 && 1000 * at_least(64) < grey) {
        Some(Doubt::NearlyBlack)
    } else if 10 * white >= 9 * total || (grey > 0 && 100 * (grey - at_least(192)) < grey) {
        Some(Doubt::NearlyWhite)
    } else {
        (100 * most_frequent(greys, 40) >= 99 * grey).then_some(Doubt::FewGreys)
    }
}

/// The pixels that the `n` most frequent greys take.
fn most_frequent<const N: usize>(mut counts: [u64; N], n: usize) -> u64 {
    counts.sort_unstable_by(|a, b| b.cmp(a));
    counts[..n].iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;

    /// Every grey of `levels`, in turn.
    fn film(levels: impl Iterator<Item = u8> + Clone) -> GrayImage {
        let pixels: Vec<u8> = levels.cycle().take(100 * 100).collect();
        GrayImage::from_raw(100, 100, pixels).unwrap()
    }

    /// The film in the middle of a picture of so many times its sides.
    fn within(film: &GrayImage, grey: u8, times: u32) -> GrayImage {
        let mut picture = GrayImage::from_pixel(100 * times, 100 * times, Luma([grey]));
        image::imageops::overlay(&mut picture, film, 50, 50);
        picture
    }

    #[test]
    fn a_film_of_many_greys_is_not_doubted_also_in_a_frame() {
        for (levels, frame, times) in
            [(0..=255, 0, 1), (0..=255, 0, 5), (0..=255, 255, 3), (3..=90, 0, 5), (10..=150, 0, 2)]
        {
            let film = within(&film(levels.clone()), frame, times);
            assert_eq!(doubt(&film), None, "{levels:?} in {frame}, {times} times");
        }
    }

    #[test]
    fn blank_clipped_and_narrow_films_are_doubted() {
        let flat = |grey| GrayImage::from_pixel(30, 20, Luma([grey]));
        assert_eq!(
            [0, 63, 255, 192, 128].map(|grey| doubt(&flat(grey)).unwrap().name()),
            ["nearly-black", "nearly-black", "nearly-white", "nearly-white", "few-greys"]
        );
        // 12 and 14 bits in 16, as such and inverted.
        for top in [16, 63] {
            assert_eq!(doubt(&film(0..=top)), Some(Doubt::NearlyBlack));
            assert_eq!(doubt(&within(&film(0..=top), 0, 4)), Some(Doubt::NearlyBlack));
            assert_eq!(doubt(&film(255 - top..=255)), Some(Doubt::NearlyWhite));
        }
        assert_eq!(doubt(&film([0, 127, 255].into_iter())), Some(Doubt::FewGreys));
        assert_eq!(doubt(&film([0, 255].into_iter())), Some(Doubt::FewGreys));
        assert_eq!(doubt(&film((0..=255).step_by(8))), Some(Doubt::FewGreys));
        assert_eq!(doubt(&film((0..=255).step_by(5))), None);
        // All but a few values clipped to white.
        assert_eq!(doubt(&film((0..=255).chain([255; 3000]))), Some(Doubt::NearlyWhite));
        assert_eq!(doubt(&GrayImage::new(0, 0)), None);
    }

    #[test]
    fn a_doubt_is_written_the_same_in_json_and_in_text() {
        for doubt in Doubt::ALL {
            assert_eq!(serde_json::to_value(doubt).unwrap(), doubt.name());
        }
    }
}
