//! Ctrl-C and SIGTERM: the first asks training to stop after its step, a second ends the process at once.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use humerus::train::StopHandle;
use humerus::{Error, Result};

/// From now on a file that grows beyond the process's limit (`ulimit -f`) is an error of the write, as a full disk is, and no death.
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
        let mut command: Vec<String> = std::env::args().map(quoted).collect();
        if !command.iter().any(|argument| argument == "--resume") {
            command.push("--resume".to_owned());
        }
        // Standard error may be closed; the exit code is then all that is left to say.
        let _ = writeln!(std::io::stderr(), "{stopped}; continue with: {}", command.join(" "));
        std::process::exit(128 + self.0.load(Ordering::Relaxed) as i32)
    }
}

/// An argument as a shell takes it.
fn quoted(argument: String) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        return argument;
    }
    format!("'{}'", argument.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn arguments_are_quoted_only_where_a_shell_needs_it() {
        let quoted = |text: &str| super::quoted(text.to_owned());
        assert_eq!(quoted("out/run-1"), "out/run-1");
        assert_eq!(quoted("my films"), "'my films'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
    }
}
