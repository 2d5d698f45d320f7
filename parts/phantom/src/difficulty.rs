//! How hard a set is: one number that moves fractures, exposure and clutter together.
//!
//! | | easy (0) | medium (0.5) | hard (1) |
//! |---|---|---|---|
//! | share of fractures hardly displaced | 0 | 0.15 | 0.5 |
//! | gap of a displaced fracture, mm | 4–10 | 3–8 | 1.5–5 |
//! | its displacement, share of the shaft's width | 0.4–1.0 | 0.25–0.85 | 0.08–0.5 |
//! | its mean angulation, degrees | 12 | 10 | 6 |
//! | gap of a fracture hardly displaced, mm | 1.2–2.0 | 0.9–1.8 | 0.4–1.0 |
//! | its displacement at most, share of the shaft's width | 0.12 | 0.10 | 0.04 |
//! | quanta a square millimetre | 30 000 | 20 000 | 6 000 |
//! | window off its best by up to | 0.10 | 0.20 | 0.35 |
//! | share of children, their growth plates open | 0 | 0.08 | 0.16 |
//! | share of studies in plaster | 0 | 0.06 | 0.25 |
//! | share of studies with hardware | 0.04 | 0.10 | 0.20 |
//! | share of films with ribs over the shaft | 0 | 0.08 | 0.25 |
//! | share of films with cables or electrodes | 0.04 | 0.12 | 0.40 |
//!
//! Between these every number is on a straight line. An arm with hardware has been set: its fracture, if there is one,
//! keeps a fifth of its displacement and half of its gap.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::PhantomConfig;
use crate::{Error, Result};

/// A number from 0, easy, to 1, hard as in life; what it changes is in the [table](self).
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "f64")]
pub struct Difficulty(f64);

/// A difficulty as people write it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Written {
    Number(f64),
    Name(String),
}

impl Difficulty {
    /// Displaced fractures on clear films: 0.
    pub const EASY: Difficulty = Difficulty(0.0);
    /// A few fractures are hardly displaced, a few films are disturbed: 0.5.
    pub const MEDIUM: Difficulty = Difficulty(0.5);
    /// Hairline fractures, plaster, ribs over the shaft, low exposure: 1.
    pub const HARD: Difficulty = Difficulty(1.0);

    /// A difficulty between the named ones.
    ///
    /// # Errors
    /// [`Error::Setting`] unless `level` is in `0.0..=1.0`.
    pub fn new(level: f64) -> Result<Difficulty> {
        if (0.0..=1.0).contains(&level) { Ok(Difficulty(level)) } else { Err(refusal(level)) }
    }

    /// `0.0..=1.0`.
    pub fn level(self) -> f64 {
        self.0
    }

    /// The value at this difficulty of what is `easy`, `medium` and `hard` at the named ones.
    fn mix(self, easy: f64, medium: f64, hard: f64) -> f64 {
        let t = 2.0 * self.0;
        if t <= 1.0 { easy + t * (medium - easy) } else { medium + (t - 1.0) * (hard - medium) }
    }

    fn range(self, easy: (f64, f64), medium: (f64, f64), hard: (f64, f64)) -> (f32, f32) {
        (self.mix(easy.0, medium.0, hard.0) as f32, self.mix(easy.1, medium.1, hard.1) as f32)
    }
}

impl Default for Difficulty {
    /// [`Difficulty::EASY`]: two CPU cores learn it in minutes.
    fn default() -> Difficulty {
        Difficulty::EASY
    }
}

fn refusal(got: impl ToString) -> Error {
    Error::setting("difficulty", "easy, medium, hard or a number from 0 to 1", got)
}

impl FromStr for Difficulty {
    type Err = Error;

    fn from_str(text: &str) -> Result<Difficulty> {
        match text {
            "easy" => Ok(Difficulty::EASY),
            "medium" => Ok(Difficulty::MEDIUM),
            "hard" => Ok(Difficulty::HARD),
            number => number.parse().ok().and_then(|level| Difficulty::new(level).ok()).ok_or_else(|| refusal(text)),
        }
    }
}

impl fmt::Display for Difficulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Difficulty::EASY => f.pad("easy"),
            Difficulty::MEDIUM => f.pad("medium"),
            Difficulty::HARD => f.pad("hard"),
            Difficulty(level) => write!(f, "{level}"),
        }
    }
}

impl TryFrom<Written> for Difficulty {
    type Error = Error;

    fn try_from(written: Written) -> Result<Difficulty> {
        match written {
            Written::Number(level) => Difficulty::new(level),
            Written::Name(name) => name.parse(),
        }
    }
}

impl From<Difficulty> for f64 {
    fn from(difficulty: Difficulty) -> f64 {
        difficulty.0
    }
}

/// What a difficulty means, after the settings have had their say.
#[derive(Debug, Clone)]
pub(super) struct Grade {
    pub subtle: f64,
    /// Millimetres, and shares of the shaft's width.
    pub gap: (f32, f32),
    pub displacement: (f32, f32),
    /// Mean in degrees.
    pub angulation: f32,
    pub subtle_gap: (f32, f32),
    pub subtle_displacement: f32,
    /// Quanta a square millimetre.
    pub fluence: f32,
    /// How far the window may be off.
    pub misjudged: f32,
    pub children: f64,
    pub plaster: f64,
    pub hardware: f64,
    pub overlap: f64,
    pub cables: f64,
}

impl Grade {
    pub fn new(config: &PhantomConfig) -> Grade {
        let d = config.difficulty;
        Grade {
            subtle: config.subtle_fraction.unwrap_or(d.mix(0.0, 0.15, 0.5)),
            gap: d.range((4.0, 10.0), (3.0, 8.0), (1.5, 5.0)),
            displacement: d.range((0.4, 1.0), (0.25, 0.85), (0.08, 0.5)),
            angulation: d.mix(12.0, 10.0, 6.0) as f32,
            subtle_gap: d.range((1.2, 2.0), (0.9, 1.8), (0.4, 1.0)),
            subtle_displacement: d.mix(0.12, 0.10, 0.04) as f32,
            fluence: config.fluence.unwrap_or(d.mix(30_000.0, 20_000.0, 6_000.0) as f32),
            misjudged: d.mix(0.10, 0.20, 0.35) as f32,
            children: d.mix(0.0, 0.08, 0.16),
            plaster: config.plaster_fraction.unwrap_or(d.mix(0.0, 0.06, 0.25)),
            hardware: config.hardware_fraction.unwrap_or(d.mix(0.04, 0.10, 0.20)),
            overlap: d.mix(0.0, 0.08, 0.25),
            cables: d.mix(0.04, 0.12, 0.40),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_mean_the_same_and_others_are_refused() {
        assert_eq!("medium".parse::<Difficulty>().unwrap(), "0.5".parse().unwrap());
        for difficulty in [Difficulty::EASY, Difficulty(0.3), Difficulty::HARD] {
            assert_eq!(difficulty.to_string().parse::<Difficulty>().unwrap(), difficulty);
            let written = serde_json::to_string(&difficulty).unwrap();
            assert_eq!(serde_json::from_str::<Difficulty>(&written).unwrap(), difficulty);
        }
        assert_eq!(serde_json::from_str::<Difficulty>("\"hard\"").unwrap(), Difficulty::HARD);
        for wrong in ["1.01", "-0.1", "NaN", "harder", ""] {
            let error = wrong.parse::<Difficulty>().unwrap_err().to_string();
            assert!(error.contains("easy, medium, hard") && error.ends_with(wrong), "{error}");
        }
        assert!(serde_json::from_str::<Difficulty>("2").is_err());
    }

    #[test]
    fn the_named_difficulties_have_the_numbers_of_the_table() {
        let grade = |difficulty| Grade::new(&PhantomConfig { difficulty, ..PhantomConfig::default() });
        let (easy, medium, hard) = (grade(Difficulty::EASY), grade(Difficulty::MEDIUM), grade(Difficulty::HARD));
        assert_eq!([easy.gap, medium.gap, hard.gap], [(4.0, 10.0), (3.0, 8.0), (1.5, 5.0)]);
        assert_eq!([easy.plaster, medium.plaster, hard.plaster], [0.0, 0.06, 0.25]);
        assert_eq!([easy.fluence, medium.fluence, hard.fluence], [30_000.0, 20_000.0, 6_000.0]);
        assert!((grade(Difficulty(0.75)).subtle - 0.325).abs() < 1e-9);
    }
}
