//! Ctrl-C and SIGTERM: the first asks training to stop after its step, a second ends the process at once.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use humerus::train::StopHandle;
use humerus::{Error, Result};

/// From now on a file that grows beyond the process's limit (`ulimit -f`) is an error of the write, as a full disk
/// is, instead of the end of the process.
pub fn survive_file_limit() {
    #[cfg(unix)]
    {
        // Nobody reads the flag: a handler is all that is wanted. Where it cannot be set, things are as they were.
        let _ = signal_hook::flag::register(libc::SIGXFSZ, Arc::default());
    }
}

/// The signal that came, if any.
pub struct Signal(Arc<AtomicUsize>);

impl Signal {
    /// From now on signals set `stop`.
    pub fn listen(stop: &StopHandle) -> Result<Signal> {
        let came = Arc::new(AtomicUsize::new(0));
        #[cfg(unix)]
        {
            use signal_hook::consts::{SIGINT, SIGTERM};
            use signal_hook::flag;
            for signal in [SIGINT, SIGTERM] {
                // In this order: the second signal finds the flag set by the first.
                flag::register_conditional_shutdown(signal, 128 + signal, stop.flag())
                    .and_then(|_| flag::register(signal, stop.flag()))
                    .and_then(|_| flag::register_usize(signal, Arc::clone(&came), signal as usize))
                    .map_err(Error::io("signal handler"))?;
            }
        }
        #[cfg(not(unix))]
        let _ = stop;
        Ok(Signal(came))
    }

    /// Says how to continue and ends the process as a signal would have.
    pub fn end(&self, stopped: &Error) -> ! {
        let mut command: Vec<OsString> = std::env::args_os().collect();
        if !command.iter().any(|argument| argument == "--resume") {
            command.push("--resume".into());
        }
        let command: Vec<String> = command.iter().map(|argument| quoted(argument)).collect();
        // Standard error may be closed; the exit code is then all that is left to say.
        let _ = writeln!(std::io::stderr(), "{stopped}; continue with: {}", command.join(" "));
        std::process::exit(128 + self.0.load(Ordering::Relaxed) as i32)
    }
}

/// An argument as a shell takes it: as it is, in quotes, or for bytes that are no text as `$'…'` (POSIX 2024; bash,
/// zsh, ksh, busybox).
fn quoted(argument: &OsStr) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    match argument.to_str() {
        Some(text) if !text.is_empty() && text.chars().all(plain) => text.to_owned(),
        Some(text) if !text.chars().any(char::is_control) => format!("'{}'", text.replace('\'', "'\\''")),
        _ => {
            let byte = |&byte: &u8| match byte {
                b'\'' | b'\\' => format!("\\{}", char::from(byte)),
                b' '..=b'~' => char::from(byte).to_string(),
                // Three octal digits, after which any digit may follow.
                _ => format!("\\{byte:03o}"),
            };
            format!("$'{}'", argument.as_encoded_bytes().iter().map(byte).collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::quoted;

    #[test]
    fn arguments_are_quoted_only_where_a_shell_needs_it() {
        let quoted = |text: &str| quoted(OsStr::new(text));
        assert_eq!(quoted("out/run-1"), "out/run-1");
        assert_eq!(quoted("my films"), "'my films'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted("Röntgen"), "'Röntgen'");
        assert_eq!(quoted(""), "''");
    }

    #[cfg(unix)]
    #[test]
    fn a_shell_gives_back_bytes_that_are_no_text() {
        use std::os::unix::ffi::OsStrExt;
        let odd = b"M\xfcller's \\ 1\n\xff7";
        let script = format!("printf %s {}", quoted(OsStr::from_bytes(odd)));
        let Ok(said) = std::process::Command::new("bash").args(["-c", &script]).output() else {
            return eprintln!("skipped: no bash");
        };
        assert_eq!(said.stdout, odd, "{script}");
    }
}
