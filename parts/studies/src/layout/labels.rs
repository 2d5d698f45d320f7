//! The words by which data sets name labels and splits.

use std::collections::BTreeSet;

use crate::layout::names::nfc;
use crate::layout::table::{LabelTable, Row};
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

/// Words that mean a label only where a path has no plainer one: folders of folds, of contrast, of anything else that
/// is counted, or there or not, bear them too.
const WEAK: [&str; 6] = ["0", "1", "no", "yes", "false", "true"];

/// How plainly a word speaks of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// `0`, `yes` and the like.
    Weak,
    /// Another word of the lists above.
    Plain,
    /// The reader's own word.
    Own,
}

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

    /// A word that is given for both labels.
    pub fn both<'a>(positive: &'a [String], negative: &[String]) -> Option<&'a str> {
        positive.iter().map(String::as_str).find(|word| negative.iter().any(|other| plain(other) == plain(word)))
    }

    /// The label that a word names, if it names one; case and signs between words do not matter.
    pub fn label(&self, word: &str) -> Option<Label> {
        self.ranked(word).map(|(_, label)| label)
    }

    /// The label that a word names, and how plainly.
    pub fn ranked(&self, word: &str) -> Option<(Rank, Label)> {
        let word = plain(word);
        // `1.0`, as tables that went through floating point say.
        let word = word.strip_suffix("_0").filter(|whole| matches!(*whole, "0" | "1")).unwrap_or(&word);
        let usual = if WEAK.contains(&word) { Rank::Weak } else { Rank::Plain };
        if self.normal.contains(word) {
            Some((Rank::Own, Label::Normal))
        } else if self.abnormal.contains(word) {
            Some((Rank::Own, Label::Abnormal))
        } else if NORMAL.contains(&word) {
            Some((usual, Label::Normal))
        } else {
            ABNORMAL.contains(&word).then_some((usual, Label::Abnormal))
        }
    }

    /// The label of a list of findings such as `Edema|Fracture`: abnormal, unless each word means normal. None if a
    /// list names findings and their absence; findings that the reader counts as normal are no contradiction.
    fn label_of_findings(&self, list: &str) -> Option<Label> {
        let words = list.split('|').filter(|word| !plain(word).is_empty());
        let of = |word| self.ranked(word).unwrap_or((Rank::Plain, Label::Abnormal));
        let ranked: BTreeSet<(Rank, Label)> = words.map(of).collect();
        let is_absence = |(rank, label): &(Rank, Label)| *label == Label::Normal && *rank != Rank::Own;
        let label = ranked.iter().map(|(_, label)| *label).max()?;
        (label == Label::Normal || !ranked.iter().any(is_absence)).then_some(label)
    }
}

/// The column of a table that says labels.
#[derive(Debug, Clone, Copy)]
pub(super) struct LabelColumn {
    pub at: usize,
    /// Whether it lists findings, as NIH's `Finding Labels` does (Wang et al., arXiv:1705.02315), and not one label.
    lists_findings: bool,
}

impl LabelColumn {
    pub fn of(table: &LabelTable) -> Option<LabelColumn> {
        let column = |names: &[&str], lists_findings| Some(LabelColumn { at: table.column(names)?, lists_findings });
        column(&["label", "labels"], false).or_else(|| column(&["findinglabels"], true))
    }

    /// The label of a row.
    ///
    /// # Errors
    /// One line, if it says none.
    pub fn read(self, row: &Row, words: &Words) -> Result<Label, String> {
        let word = row.get(Some(self.at)).ok_or("the label is empty")?;
        let label = if self.lists_findings { words.label_of_findings(word) } else { words.label(word) };
        label.ok_or_else(|| format!("unknown label {word:?}"))
    }
}

/// In lower case, with `_` for every run of signs that are neither letter nor digit.
fn plain(word: &str) -> String {
    // Composed first: an accent of its own is no letter.
    let lower = nfc(word.trim()).to_lowercase();
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

    /// What the word means beside the others that are used: *valid* is held out, unless a *test* split is there as
    /// well; then that is held out, and *valid* is what the epoch is chosen on.
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
    fn a_list_of_findings_is_abnormal_unless_it_names_none() {
        let words = Words::new(&[], &["Support Devices".to_owned()]);
        let of = |list| words.label_of_findings(list);
        for list in ["No Finding", "no finding", "Support Devices", "No Finding|Support Devices"] {
            assert_eq!(of(list), Some(Label::Normal), "{list}");
        }
        for list in ["Edema", "Fracture|Edema", "Edema|", "1", "Edema|Support Devices"] {
            assert_eq!(of(list), Some(Label::Abnormal), "{list}");
        }
        for list in ["No Finding|Edema", "", "|"] {
            assert_eq!(of(list), None, "{list}");
        }
    }

    #[test]
    fn a_word_for_both_labels_is_found_whatever_its_case() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(Words::both(&words(&["a", "Un-sure"]), &words(&["un sure"])), Some("Un-sure"));
        assert_eq!(Words::both(&words(&["a"]), &words(&["b"])), None);
    }

    #[test]
    fn weak_words_are_words_of_the_lists_and_accents_may_be_signs_of_their_own() {
        assert!(WEAK.iter().all(|word| NORMAL.contains(word) || ABNORMAL.contains(word)));
        let words = Words::new(&["auffällig".to_owned(), "0".to_owned()], &[]);
        assert_eq!(words.ranked("Auffa\u{308}llig"), Some((Rank::Own, Label::Abnormal)));
        assert_eq!(words.ranked("0"), Some((Rank::Own, Label::Abnormal)));
        assert_eq!(words.ranked("1.0"), Some((Rank::Weak, Label::Abnormal)));
        assert_eq!(words.ranked("Normal"), Some((Rank::Plain, Label::Normal)));
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
