//! `humerus phantom`

use std::path::PathBuf;

use humerus::phantom::{self, Difficulty, FilmFormat, PhantomConfig};
use humerus::{Result, counted};

use crate::flags;
use crate::output::{self, Bar};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Studies to draw, about half of them with a fracture
    #[arg(long, value_name = "N", default_value_t = PhantomConfig::default().studies)]
    studies: usize,
    /// Decides everything: the same seed gives the same bytes
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// easy, medium, hard, or a number from 0 to 1: displaced fractures on clear films, or hairlines among ribs and
    /// plaster
    #[arg(long, value_name = "D", default_value_t, value_parser = flags::value::<Difficulty>)]
    difficulty: Difficulty,
    /// How to store films: 8-bit PNG, or 12-bit DICOM with either photometric interpretation
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "png")]
    format: StorageFormat,
    /// Share of studies with plate or nail, 0 to 1, whatever the label [default: by the difficulty]
    #[arg(long, value_name = "SHARE")]
    hardware: Option<f64>,
    /// What hardware says of the label, -1 to 1: 0 nothing, 1 as much as the two shares allow, below 0 that the film is
    /// normal
    #[arg(long, value_name = "PHI", default_value_t = 0.0, allow_negative_numbers = true)]
    hardware_correlation: f64,
    /// Folder to write, in MURA's layout; new, empty, or holding the same set already
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print one JSON object instead of a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum StorageFormat {
    Png,
    Dicom,
}

impl Args {
    pub fn run(self) -> Result<()> {
        flags::no_dash(&self.out)?;
        let config = PhantomConfig {
            studies: self.studies,
            seed: self.seed,
            difficulty: self.difficulty,
            hardware_fraction: self.hardware,
            hardware_correlation: self.hardware_correlation,
            format: match self.format {
                StorageFormat::Png => FilmFormat::Png,
                StorageFormat::Dicom => FilmFormat::Dicom,
            },
            ..PhantomConfig::default()
        };
        let flags = [
            ("output folder", "--out"),
            ("studies", "--studies"),
            ("hardware_fraction", "--hardware"),
            ("hardware_correlation", "--hardware-correlation"),
        ];
        let mut bar = Bar::new("drawing studies");
        let set = phantom::write(&config, &self.out, &mut |tally| bar.at(tally))
            .map_err(|error| flags::named(error, &flags))?;
        drop(bar);
        if self.json {
            return output::json(&set);
        }
        let drawn = match set.completed {
            0 if set.reused => ", there already".to_owned(),
            0 => String::new(),
            n => format!(", there already but for {}, drawn again", counted(n, "missing file")),
        };
        output::text(format_args!(
            "{} ({} abnormal), {} of {} in {}{drawn}",
            counted(set.studies, "study"),
            set.abnormal,
            counted(set.views, "view"),
            counted(set.patients, "patient"),
            output::path(&set.root)
        ))
    }
}
