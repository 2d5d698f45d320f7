//! Which film, study or patient a cell of a table means.
//!
//! Text is compared in Normalisation Form C (Unicode Standard Annex 15): macOS stores `ö` in two signs, tables write
//! one. Where nothing bears the name as it stands, spreadsheets' habits are allowed for: `12` and `12.0` mean `000012`,
//! and case does not matter. What could mean two is refused, never guessed.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::Error;
use crate::warning::{Warning, WarningKind};

/// The text in Normalisation Form C.
pub(super) fn nfc(text: &str) -> Cow<'_, str> {
    if is_nfc_quick(text.chars()) == IsNormalized::Yes { text.into() } else { text.nfc().collect::<String>().into() }
}

/// What can be meant, by every form of its name.
pub(super) struct Spellings {
    /// From the strictest form to the loosest; for each spelling the positions of what bears it.
    forms: Vec<HashMap<String, Vec<usize>>>,
    /// The first forms, which take names as they stand.
    strict: usize,
}

/// What a cell means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning<'a> {
    Nothing,
    /// One, by its position; `is_loose` where the names differ.
    One {
        at: usize,
        is_loose: bool,
    },
    /// Several that nothing tells apart: the same list, not a copy, for every cell that means them.
    Many(&'a [usize]),
}

impl Spellings {
    /// Files by their paths below the folder, with `/` between names: a cell may give the path, the name, or either
    /// without the extension.
    pub fn of_files(paths: &[String]) -> Spellings {
        Spellings::new(paths, |path| {
            let name = path.rsplit('/').next().unwrap_or(path);
            [path, name, without_extension(path), without_extension(name)].map(Cow::Borrowed).to_vec()
        })
    }

    /// Studies, patients and the like by their identifiers, each once.
    pub fn of_identifiers(identifiers: &[String]) -> Spellings {
        Spellings::new(identifiers, |identifier| vec![Cow::Borrowed(identifier)])
    }

    fn new(names: &[String], form: fn(&str) -> Vec<Cow<'_, str>>) -> Spellings {
        let strict = form("").len();
        let mut forms = vec![HashMap::new(); 2 * strict];
        for (at, name) in names.iter().enumerate() {
            for (loose, spelling) in [(0, nfc(name)), (strict, loosened(name).into())] {
                for (map, form) in forms[loose..].iter_mut().zip(form(&spelling)) {
                    let bearers: &mut Vec<usize> = map.entry(form.into_owned()).or_default();
                    bearers.push(at);
                }
            }
        }
        Spellings { forms, strict }
    }

    /// What a cell means, by the first form in which anything bears it.
    pub fn meaning(&self, cell: &str) -> Meaning<'_> {
        let cell = cell.strip_prefix("./").unwrap_or(cell);
        let (strict, loose) = (nfc(cell), loosened(cell));
        for (at, form) in self.forms.iter().enumerate() {
            let is_loose = at >= self.strict;
            match form.get(if is_loose { loose.as_str() } else { &strict }).map(Vec::as_slice) {
                None | Some([]) => {}
                Some([at]) => return Meaning::One { at: *at, is_loose },
                Some(many) => return Meaning::Many(many),
            }
        }
        Meaning::Nothing
    }

    /// What each cell means. A name that one cell gives as it stands is no loose match of another.
    pub fn meanings<'a>(&self, cells: impl Iterator<Item = &'a str>) -> Vec<Meaning<'_>> {
        let mut meanings: Vec<Meaning> = cells.map(|cell| self.meaning(cell)).collect();
        let strict = |meaning: &Meaning| match meaning {
            Meaning::One { at, is_loose: false } => Some(*at),
            _ => None,
        };
        let taken: HashSet<usize> = meanings.iter().filter_map(strict).collect();
        for meaning in &mut meanings {
            if matches!(meaning, Meaning::One { at, is_loose: true } if taken.contains(at)) {
                *meaning = Meaning::Nothing;
            }
        }
        meanings
    }
}

/// A row, by its line and what it says, and what that could mean or was taken for.
pub(super) struct RowReport {
    pub line: u64,
    pub cell: String,
    pub names: Vec<String>,
}

/// What to keep of the many that a row could mean: [`ambiguous`] counts those of the first such row, and else only the
/// rows.
pub(super) fn kept(many: &[usize], is_first: bool) -> &[usize] {
    if is_first { many } else { &many[..many.len().min(2)] }
}

/// The refusal of rows that could mean several films or patients.
pub(super) fn ambiguous(table: &Path, rows: &[RowReport]) -> Option<Error> {
    let RowReport { line, cell, names } = rows.first()?;
    let shown: Vec<&str> = names.iter().take(2).map(String::as_str).collect();
    let more = if names.len() > 2 { format!(" and {} more", names.len() - 2) } else { String::new() };
    let others = match rows.len() - 1 {
        0 => String::new(),
        1 => "; 1 more row is like it".to_owned(),
        n => format!("; {n} more rows are like it"),
    };
    let reason = format!(
        "line {line} says {cell}, which could be {}{more}; a row must say which, a film by its path in the \
             folder{others}",
        shown.join(", ")
    );
    Some(Error::Labels { table: table.to_owned(), reason })
}

/// The warning of rows that were taken for what is written otherwise, with the films that got their labels so.
pub(super) fn loose(films: Vec<PathBuf>, rows: &[RowReport]) -> Option<Warning> {
    let RowReport { line, cell, names } = rows.first()?;
    let n = rows.len();
    let message = format!(
        "{n} {} by a name that is written otherwise: line {line} says {cell}, the {} {}",
        if n == 1 { "row was matched" } else { "rows were matched" },
        if n == 1 { "match is" } else { "first match is" },
        names.join(", ")
    );
    Some(Warning::new(WarningKind::LooseMatch, films, message))
}

/// The name before its last dot, unless that begins it.
fn without_extension(path: &str) -> &str {
    let name = path.rfind('/').map_or(0, |at| at + 1);
    match path[name..].rfind('.') {
        Some(dot) if dot > 0 => &path[..name + dot],
        _ => path,
    }
}

/// In small letters; a number that is the last name or its stem without leading zeros and without `.0`.
fn loosened(text: &str) -> String {
    let text = nfc(text).to_lowercase();
    let (folder, name) = text.split_at(text.rfind('/').map_or(0, |at| at + 1));
    if let Some(number) = number(name) {
        return format!("{folder}{number}");
    }
    match name.rsplit_once('.') {
        Some((stem, extension)) => format!("{folder}{}.{extension}", number(stem).unwrap_or(stem)),
        None => text,
    }
}

/// The digits of a whole number, also one that went through floating point.
fn number(text: &str) -> Option<&str> {
    let whole = match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|digit| digit == b'0') => whole,
        Some(_) => return None,
        None => text,
    };
    if whole.is_empty() || !whole.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let digits = whole.trim_start_matches('0');
    Some(if digits.is_empty() { "0" } else { digits })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> Spellings {
        Spellings::of_files(&paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>())
    }

    fn one(at: usize, is_loose: bool) -> Meaning<'static> {
        Meaning::One { at, is_loose }
    }

    #[test]
    fn a_file_is_known_by_path_name_or_either_without_its_extension_and_the_strictest_counts() {
        let names = files(&["IM1.dcm", "P1/IM1.dcm", "P1/IM2.dcm", "P2/IM2.png", "P2/a.b.png", "IM3", "P3/IM3.dcm"]);
        for (cell, meaning) in [
            ("IM1.dcm", one(0, false)),
            ("./P1/IM1.dcm", one(1, false)),
            ("P1/IM1", one(1, false)),
            ("IM2.png", one(3, false)),
            ("IM2", Meaning::Many(&[2, 3])),
            ("a.b", one(4, false)),
            ("IM3", one(5, false)),
            ("IM3.dcm", one(6, false)),
            ("im3.DCM", one(6, true)),
            ("P3/IM1.dcm", Meaning::Nothing),
            ("", Meaning::Nothing),
        ] {
            assert_eq!(names.meaning(cell), meaning, "{cell}");
        }
        assert_eq!(files(&["P1/IM1.dcm", "P2/IM1.dcm"]).meaning("IM1.dcm"), Meaning::Many(&[0, 1]));
    }

    #[test]
    fn letters_of_one_sign_and_of_two_are_the_same() {
        let names = files(&["Ro\u{308}ntgen e\u{301}.png"]);
        assert_eq!(names.meaning("Röntgen é.png"), one(0, false));
        assert_eq!(names.meaning("RÖNTGEN É"), one(0, true));
        assert_eq!(files(&["Röntgen.png"]).meaning("Ro\u{308}ntgen.png"), one(0, false));
    }

    #[test]
    fn numbers_without_their_zeros_and_from_floating_point_are_loose_matches_and_never_guesses() {
        let names =
            |list: &[&str]| Spellings::of_identifiers(&list.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        let patients = names(&["000012", "1013", "0"]);
        assert_eq!(patients.meaning("12"), one(0, true));
        assert_eq!(patients.meaning("1013.0"), one(1, true));
        assert_eq!(patients.meaning("00"), one(2, true));
        for cell in ["1.2", "12.5", "13", "12e0", "-12", "12."] {
            assert_eq!(patients.meaning(cell), Meaning::Nothing, "{cell}");
        }
        assert_eq!(names(&["012", "0012"]).meaning("12"), Meaning::Many(&[0, 1]));
        assert_eq!(names(&["12", "0012"]).meaning("12"), one(0, false));
        assert_eq!(names(&["1.2.840.10008", "1.2.840.10009"]).meaning("1.2.840.10008"), one(0, false));
        // The row that gives the name as it stands has it, wherever the other one is.
        let both = patients.meanings(["12", "000012"].into_iter());
        assert_eq!(both, [Meaning::Nothing, one(0, false)]);
        assert_eq!(files(&["00012.png"]).meaning("12"), one(0, true));
        assert_eq!(files(&["00012.png"]).meaning("12.0"), one(0, true));
        assert_eq!(files(&["P1/00012.png"]).meaning("p1/12.png"), one(0, true));
    }
}
