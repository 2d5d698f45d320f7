//! A kernel for Jupyter that is evcxr with its edges taken off.
//!
//! Jupyter starts this program, and this program starts `evcxr_jupyter` and stands between the two. Everything passes
//! through, and some of it is put right on the way: a cell that panics or whose `?` meets an error is an error to
//! Jupyter, with a short reason under that very cell, and the cells queued behind it do not run; lines that are printed
//! together are sent together; requests that evcxr leaves unanswered are answered.
//!
//! The ports are those of Jupyter's connection file; no byte comes through them unmeasured ([`MOST_BYTES`]), and no
//! message unsigned. The kernel behind has a connection file of its own, which only the owner may read.

mod cell;
mod child;
mod connection;
mod guard;
mod live;
mod proxy;
mod signs;
mod sockets;
mod text;
mod wire;

use std::path::PathBuf;
use std::process::ExitStatus;

use tokio::sync::mpsc;

use crate::child::KernelBehind;
use crate::connection::Private;
use crate::proxy::{Next, Proxy, SHUTDOWN};
use crate::sockets::{Behind, Front, Received};

/// The most bytes of one message; a connection that announces more is closed.
pub const MOST_BYTES: u64 = guard::MOST_BYTES;

/// The variable of the environment that names the socket for live displays.
pub const DISPLAY_SOCKET: &str = "KERNEL_DISPLAY_SOCKET";

/// What is to be started, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Jupyter's connection file.
    pub connection_file: PathBuf,
    /// The kernel behind: its program and arguments, one of which holds `{own_connection_file}`. (What is called
    /// `{connection_file}` Jupyter replaces in a kernelspec itself.)
    pub command: Vec<String>,
    /// Where outputs that are too long to show are written; a temporary folder if none.
    pub folder: Option<PathBuf>,
    /// What is run, and shown nowhere, before the first cell.
    pub first_cells: Vec<String>,
    /// Whether backtraces are shown.
    pub whole_backtraces: bool,
}

/// Why no kernel could be started or served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Jupyter's connection file cannot be used.
    #[error("connection file {}: {reason}", .path.display())]
    Connection {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A port cannot be listened on.
    #[error("cannot listen on port {port}: {reason}")]
    Port {
        /// The port.
        port: u16,
        /// The system's words.
        reason: String,
    },
    /// The kernel behind does not start.
    #[error("cannot start the kernel `{command}`: {reason}")]
    Start {
        /// The command.
        command: String,
        /// Why.
        reason: String,
    },
    /// A socket failed.
    #[error("socket: {0}")]
    Socket(#[from] zeromq::ZmqError),
    /// The system refused something.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// A line for Jupyter's log.
fn say(line: &str) {
    eprintln!("kernel: {line}");
}

/// Starts the kernel and serves it until it ends; returns how it ended, none if it was shut down.
///
/// # Errors
/// [`Error`] if the connection file, the ports or the command cannot be used.
pub async fn serve(options: Options) -> Result<Option<ExitStatus>, Error> {
    let info = connection::read(&options.connection_file)?;
    let folder = Private::new(options.folder.as_deref())?;
    let (events, mut received) = mpsc::channel(1024);
    let front = Front::bind(&info, &folder, &events).await?;
    let display = tokio::net::UnixListener::bind(folder.join("display"))?;
    tokio::spawn(live::listen(display, events.clone(), Received::Live));
    let (mut kernel, behind) = start(&options, &folder, &events).await?;
    let outputs = options.folder.clone().unwrap_or_else(|| folder.join(""));
    let mut proxy = Proxy::new(front, behind, kernel.pid(), outputs, options.first_cells, options.whole_backtraces);
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let status = loop {
        let wake = proxy.deadline().map(tokio::time::Instant::from_std);
        let sleep = async { tokio::time::sleep_until(wake.unwrap_or_else(tokio::time::Instant::now)).await };
        tokio::select! {
            Some(message) = received.recv() => {
                if proxy.take(message) == Next::Shutdown {
                    let _ = tokio::time::timeout(SHUTDOWN, kernel.ended()).await;
                    break None;
                }
            }
            () = sleep, if wake.is_some() => proxy.wake(),
            ended = kernel.ended() => {
                // What it still sent is on its way.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                while let Ok(message) = received.try_recv() {
                    proxy.take(message);
                }
                break Some(ended?);
            }
            _ = terminated.recv() => break None,
        }
    };
    kernel.end().await;
    let how = status.map_or_else(|| "it was shut down".to_owned(), |status| status.to_string());
    proxy.close(&how).await;
    Ok(status)
}

/// Starts the kernel behind and connects to it.
async fn start(
    options: &Options,
    folder: &Private,
    events: &mpsc::Sender<Received>,
) -> Result<(KernelBehind, Behind), Error> {
    let mut ended = None;
    // Its ports were free; another process may have been given one meanwhile.
    for _ in 0..3 {
        let mut kernel = KernelBehind::start(options, folder, &folder.join("display")).await?;
        let info = kernel.info.clone();
        tokio::select! {
            behind = Behind::connect(&info, events) => return Ok((kernel, behind?)),
            status = kernel.ended() => ended = Some(status?),
        }
    }
    let reason = ended.map_or_else(String::new, |status| format!("it ended: {status}"));
    Err(Error::Start { command: options.command.join(" "), reason })
}
