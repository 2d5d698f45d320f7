//! How a folder of films is named on the command line.

use std::path::PathBuf;

use humerus::dataset::{self, AuditOptions, Index, IndexOptions, Layout};
use humerus::{Result, dataset::labels};

use crate::flags;
use crate::output::Bar;

#[derive(Debug, clap::Args)]
pub struct Source {
    /// Folder of a data set, or a part of one, or the table of a manifest
    data: PathBuf,
    /// mura, fracatlas, classes, manifest or dicom; recognised where it is not said
    #[arg(long, value_parser = flags::value::<Layout>)]
    layout: Option<Layout>,
    /// Body part to read of MURA's layout, for example XR_HUMERUS; may be repeated [default: all]
    #[arg(long, value_name = "PART")]
    part: Vec<String>,
    #[arg(long, value_name = "NAME")]
    #[arg(help = format!("Further word that means abnormal, beside {}", labels::ABNORMAL.join(", ")))]
    positive: Vec<String>,
    #[arg(long, value_name = "NAME")]
    #[arg(help = format!("Further word that means normal, beside {}", labels::NORMAL.join(", ")))]
    negative: Vec<String>,
    /// Table of labels of a manifest or of DICOM files, if it is not the only one in the folder
    #[arg(long, value_name = "FILE.csv")]
    labels: Option<PathBuf>,
}

impl Source {
    /// Reads the folder without decoding films.
    pub fn index(self) -> Result<Index> {
        let Source { data, layout, part: parts, positive, negative, labels } = self;
        let options = IndexOptions { layout, parts, positive, negative, labels };
        let flags = [
            ("part", "--part"),
            ("words", "--positive and --negative"),
            ("positive", "--positive"),
            ("negative", "--negative"),
            ("labels", "--labels"),
            ("layout", "--layout"),
        ];
        dataset::index_with(data, &options).map_err(|error| flags::named(error, &flags))
    }

    /// Reads the folder, decodes every film and compares it with the others; shows how far it is on a terminal.
    pub fn audited(self) -> Result<Index> {
        let mut bar = Bar::new("looking at films");
        Ok(self.index()?.audit_with(&AuditOptions::default(), &mut |tally| bar.at(tally))?)
    }
}
