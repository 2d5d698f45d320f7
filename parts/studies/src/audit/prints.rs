//! Fingerprints kept between runs, by the content of the film's file.
//!
//! One file for each data set: a line that names the format, then records of content (16 bytes), polarity, flatness and
//! doubts (1 byte), thumbnail (4096 bytes) and a checksum of these (8 bytes). A record that is damaged is not used; the
//! file is replaced as a whole.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use image::GrayImage;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::audit::fingerprint::{SIDE, Thumbnail};
use film::Doubt;

/// Raised whenever decoding, thumbnails, the polarity guard or doubts change.
const FORMAT: &[u8; 16] = b"humerus prints 2";
const CELLS: usize = SIDE * SIDE;
const RECORD: usize = 16 + 1 + CELLS + 8;

/// What is remembered of a decoded film.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Print {
    /// None for a flat film.
    pub thumbnail: Option<Thumbnail>,
    /// Whether its greys look inverted.
    pub is_inverted: bool,
    /// What is doubtful about its greys.
    pub doubts: Vec<Doubt>,
}

impl Print {
    pub fn of(film: &GrayImage, doubts: Vec<Doubt>) -> Print {
        Print { thumbnail: Thumbnail::of(film), is_inverted: film::looks_inverted(film), doubts }
    }

    fn record(&self, content: u128) -> Vec<u8> {
        let mut record = content.to_le_bytes().to_vec();
        let doubts = Doubt::ALL.map(|doubt| self.doubts.contains(&doubt));
        let flags = [self.is_inverted, self.thumbnail.is_none()].into_iter().chain(doubts);
        record.push(flags.zip(0..8).map(|(flag, bit)| u8::from(flag) << bit).sum());
        match &self.thumbnail {
            Some(thumbnail) => record.extend_from_slice(&thumbnail.0),
            None => record.resize(17 + CELLS, 0),
        }
        record.extend_from_slice(&xxh3_64(&record).to_le_bytes());
        record
    }

    fn of_record(record: &[u8]) -> Option<(u128, Print)> {
        let (body, sum) = record.split_at_checked(RECORD - 8)?;
        if xxh3_64(body).to_le_bytes() != sum {
            return None;
        }
        let content = u128::from_le_bytes(body[..16].try_into().ok()?);
        let thumbnail = (body[16] & 2 == 0).then(|| Thumbnail(body[17..].into()));
        let doubts = Doubt::ALL.into_iter().zip(2..8).filter(|(_, bit)| body[16] >> bit & 1 == 1);
        let doubts = doubts.map(|(doubt, _)| doubt).collect();
        Some((content, Print { thumbnail, is_inverted: body[16] & 1 == 1, doubts }))
    }
}

/// The fingerprints of one data set.
#[derive(Debug)]
pub(super) struct Prints {
    file: Option<PathBuf>,
    kept: HashMap<u128, Print>,
}

impl Prints {
    /// `$HUMERUS_CACHE/fingerprints`, else `humerus/fingerprints` in the user's cache folder, where there is one.
    pub fn user_folder() -> Option<PathBuf> {
        match std::env::var_os("HUMERUS_CACHE").filter(|folder| !folder.is_empty()) {
            Some(folder) => Some(PathBuf::from(folder).join("fingerprints")),
            None => Some(etcetera::choose_base_strategy().ok()?.cache_dir().join("humerus").join("fingerprints")),
        }
    }

    /// What is kept in `folder` for the data set at `root`; nothing if there is no folder or it cannot be read.
    pub fn open(folder: Option<&Path>, root: &Path) -> Prints {
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        let name = format!("{:032x}.prints", xxh3_128(root.as_os_str().as_encoded_bytes()));
        let file = folder.map(|folder| folder.join(name));
        let bytes = file.as_ref().and_then(|file| std::fs::read(file).ok()).unwrap_or_default();
        let records = bytes.strip_prefix(FORMAT).unwrap_or_default().chunks_exact(RECORD);
        Prints { file, kept: records.filter_map(Print::of_record).collect() }
    }

    pub fn get(&self, content: u128) -> Option<Print> {
        self.kept.get(&content).cloned()
    }

    /// Keeps these, and only these. A folder that cannot be written costs time at the next run, nothing else.
    pub fn save(self, prints: &HashMap<u128, &Print>) {
        let is_known = prints.len() == self.kept.len() && prints.keys().all(|content| self.kept.contains_key(content));
        if let Some(file) = self.file.filter(|_| !is_known) {
            let _ = write(&file, prints);
        }
    }
}

fn write(file: &Path, prints: &HashMap<u128, &Print>) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut partial = files::temporary().tempfile_in(folder)?;
    let mut writer = std::io::BufWriter::new(&mut partial);
    writer.write_all(FORMAT)?;
    for (content, print) in prints {
        writer.write_all(&print.record(*content))?;
    }
    writer.flush()?;
    drop(writer);
    partial.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;

    fn prints() -> Vec<(u128, Print)> {
        let film = |k: u32| GrayImage::from_fn(100, 80, |x, y| Luma([(x * k + y) as u8]));
        vec![
            (7, Print { is_inverted: true, ..Print::of(&film(1), vec![Doubt::FewGreys, Doubt::LookUpTable]) }),
            (u128::MAX, Print { is_inverted: false, ..Print::of(&film(2), Vec::new()) }),
            (0, Print { thumbnail: None, is_inverted: false, doubts: vec![Doubt::NearlyBlack] }),
        ]
    }

    #[test]
    fn what_is_kept_comes_back_and_a_damaged_record_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Prints::open(Some(folder.path()), Path::new("films"));
        let all = prints();
        open().save(&all.iter().map(|(content, print)| (*content, print)).collect());
        for (content, print) in &all {
            assert_eq!(open().get(*content).as_ref(), Some(print));
        }
        assert!(Prints::open(Some(folder.path()), Path::new("others")).get(7).is_none());

        let file = open().file.unwrap();
        let mut bytes = std::fs::read(&file).unwrap();
        assert_eq!(bytes.len(), FORMAT.len() + 3 * RECORD);
        bytes[FORMAT.len() + RECORD + 999] ^= 1;
        bytes.truncate(bytes.len() - 1);
        std::fs::write(&file, bytes).unwrap();
        assert_eq!(open().kept.len(), 1, "one is damaged and one cut");
        std::fs::write(&file, "text").unwrap();
        assert!(open().kept.is_empty());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_no_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let all = prints();
        let prints = Prints::open(Some(&file.path().join("below")), Path::new("films"));
        prints.save(&all.iter().map(|(content, print)| (*content, print)).collect());
    }
}
