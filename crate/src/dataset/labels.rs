//! The words by which data sets name labels and splits.

use std::collections::BTreeSet;

use crate::study::{Label, Split};

/// Words that mean [`Label::Normal`], in lower case with `_` for every other sign.
pub const NORMAL: [&str; 16] = [
    "0",
    "normal",
    "negative",
    "neg",
    "healthy",
    "no_finding",
    "no_findings",
    "no_fracture",
    "non_fracture",
    "non_fractured",
    "not_fractured",
    "not_fracture",
    "unfractured",
    "nofinding",
    "no",
    "false",
];

/// Words that mean [`Label::Abnormal`], written as [`NORMAL`].
pub const ABNORMAL: [&str; 12] = [
    "1",
    "abnormal",
    "positive",
    "pos",
    "fracture",
    "fractured",
    "fractures",
    "broken",
    "finding",
    "findings",
    "yes",
    "true",
];

/// Which words name which label: the lists above and the reader's own, which go first.
#[derive(Debug, Clone, Default)]
pub(super) struct Words {
    normal: BTreeSet<String>,
    abnormal: BTreeSet<String>,
}

impl Words {
    /// The lists above, and these.
    pub fn new(positive: &[String], negative: &[String]) -> Words {
        let own = |words: &[String]| words.iter().map(|word| plain(word)).collect();
        Words { normal: own(negative), abnormal: own(positive) }
    }

    /// The label that a word names, if it names one; case and signs between words do not matter.
    pub fn label(&self, word: &str) -> Option<Label> {
        let word = plain(word);
        // `1.0`, as tables that went through floating point say.
        let word = word.strip_suffix("_0").filter(|whole| matches!(*whole, "0" | "1")).unwrap_or(&word);
        if self.normal.contains(word) {
            Some(Label::Normal)
        } else if self.abnormal.contains(word) {
            Some(Label::Abnormal)
        } else if NORMAL.contains(&word) {
            Some(Label::Normal)
        } else {
            ABNORMAL.contains(&word).then_some(Label::Abnormal)
        }
    }
}

/// In lower case, with `_` for every run of signs that are neither letter nor digit.
fn plain(word: &str) -> String {
    let lower = word.trim().to_lowercase();
    lower.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_")
}

/// A word for a part of a published split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SplitWord {
    Train,
    Tune,
    Valid,
    Test,
}

impl SplitWord {
    pub fn of(word: &str) -> Option<SplitWord> {
        match plain(word).as_str() {
            "train" | "training" => Some(SplitWord::Train),
            "tune" | "dev" => Some(SplitWord::Tune),
            "valid" | "val" | "validation" => Some(SplitWord::Valid),
            "test" | "testing" => Some(SplitWord::Test),
            _ => None,
        }
    }

    /// What the word means beside the others that are used: *valid* is held out, unless a *test* split is there as well;
    /// then that is held out, and *valid* is what the epoch is chosen on.
    pub fn split(self, used: &BTreeSet<SplitWord>) -> Split {
        match self {
            SplitWord::Train => Split::Train,
            SplitWord::Tune => Split::Tune,
            SplitWord::Valid if used.contains(&SplitWord::Test) => Split::Tune,
            SplitWord::Valid | SplitWord::Test => Split::Valid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_whatever_their_case_and_signs() {
        let words = Words::new(&["Osteo-Sarcoma".to_owned()], &["pos".to_owned()]);
        let of = |word| words.label(word);
        for word in ["Normal", " NEGATIVE ", "Non-Fractured", "non fractured", "0", "0.0", "No Finding"] {
            assert_eq!(of(word), Some(Label::Normal), "{word}");
        }
        for word in ["abnormal", "Fractured", "1", "1.0", "TRUE", "osteo sarcoma"] {
            assert_eq!(of(word), Some(Label::Abnormal), "{word}");
        }
        assert_eq!(of("pos"), Some(Label::Normal), "the reader's own words go first");
        for word in ["", "2", "uncertain", "10", "-1.5"] {
            assert_eq!(of(word), None, "{word}");
        }
    }

    #[test]
    fn no_word_means_both_labels() {
        assert!(NORMAL.iter().all(|word| !ABNORMAL.contains(word)));
        assert!(NORMAL.iter().chain(&ABNORMAL).all(|word| plain(word) == *word));
    }

    #[test]
    fn valid_is_held_out_unless_there_is_a_test_split() {
        let [train, valid, test] = ["Training", "val", "TEST"].map(|word| SplitWord::of(word).unwrap());
        assert_eq!(valid.split(&[train, valid].into()), Split::Valid);
        assert_eq!(valid.split(&[train, valid, test].into()), Split::Tune);
        assert_eq!(test.split(&[train, valid, test].into()), Split::Valid);
        assert_eq!(SplitWord::of("patients"), None);
    }
}
