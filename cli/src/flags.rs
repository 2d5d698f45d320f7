//! Options and errors in the words of the command line.

use std::path::Path;
use std::str::FromStr;

use humerus::{Error, Result};

/// Names the options that were typed instead of the settings that they set; `flags` are pairs of the two.
pub fn named(error: impl Into<Error>, flags: &[(&str, &'static str)]) -> Error {
    let flag = |what: &str| flags.iter().find(|(setting, _)| *setting == what).map(|(_, flag)| *flag);
    match error.into() {
        Error::Setting { what, expected, got } => Error::Setting { what: flag(what).unwrap_or(what), expected, got },
        Error::Resume { run, reason, mut changed } => {
            // What can be typed first: of many only a few are told.
            changed.sort_by_key(|it| flag(&it.setting).is_none());
            for it in &mut changed {
                it.setting = flag(&it.setting).map_or_else(|| format!("the recipe's {}", it.setting), str::to_owned);
            }
            Error::Resume { run, reason, changed }
        }
        other => other,
    }
}

/// Reads an option's value. Of an error only what was expected is left to say: clap says the rest, option and value.
pub fn value<T: FromStr<Err: Into<Error>>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| match error.into() {
        Error::Setting { expected, .. } => format!("expected {expected}"),
        other => other.to_string(),
    })
}

/// Refuses `-` for a path to write: nothing is written to standard output, and a file of that name is hardly meant.
pub fn no_dash(out: &Path) -> Result<()> {
    match out.as_os_str() == "-" {
        false => Ok(()),
        true => Err(Error::setting("--out", "a path (`./-` for one of that name)", "-")),
    }
}
