//! `humerus-kernel [--folder DIR] [--first-cell CODE]... CONNECTION_FILE -- COMMAND...`: a kernel for Jupyter in front
//! of another.

use std::path::PathBuf;
use std::process::ExitCode;

use humerus_kernel::{Options, serve};

const USAGE: &str = "usage: humerus-kernel [--folder DIR] [--first-cell CODE]... CONNECTION_FILE -- COMMAND... \
                     {own_connection_file} ...";

fn options(mut words: impl Iterator<Item = String>) -> Option<Options> {
    let (mut folder, mut connection_file, mut first_cells) = (None, None, Vec::new());
    loop {
        match words.next()?.as_str() {
            "--folder" => folder = Some(PathBuf::from(words.next()?)),
            "--first-cell" => first_cells.push(words.next()?),
            "--" => break,
            path if connection_file.is_none() => connection_file = Some(PathBuf::from(path)),
            _ => return None,
        }
    }
    let command: Vec<String> = words.collect();
    let whole_backtraces = std::env::var("KERNEL_BACKTRACE").is_ok_and(|value| value == "full");
    let named = command.iter().any(|word| word.contains("{own_connection_file}"));
    named.then_some(())?;
    Some(Options { connection_file: connection_file?, command, folder, first_cells, whole_backtraces })
}

fn main() -> ExitCode {
    let Some(options) = options(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(humerus_kernel::Error::from).and_then(|runtime| runtime.block_on(serve(options))) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(status)) => {
            eprintln!("kernel: the kernel behind ended: {status}");
            ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
        }
        Err(error) => {
            eprintln!("kernel: {error}");
            ExitCode::FAILURE
        }
    }
}
