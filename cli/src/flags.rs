//! Errors in the words of the command line.

use humerus::Error;

/// Names the option that was typed instead of the setting that it sets; `flags` are pairs of the two.
pub fn named(error: impl Into<Error>, flags: &[(&str, &'static str)]) -> Error {
    match error.into() {
        Error::Setting { what, expected, got } => {
            let what = flags.iter().find(|(setting, _)| *setting == what).map_or(what, |(_, flag)| *flag);
            Error::Setting { what, expected, got }
        }
        other => other,
    }
}
