//! The kernel behind us, and the process below it that runs the cells.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use jupyter_protocol::ConnectionInfo;
use jupyter_protocol::connection_info::Transport;
use tokio::process::{Child, Command};

use crate::connection::{self, Private};
use crate::{Error, Options};

/// In a command, where the connection file's path goes.
pub(crate) const PLACE: &str = "{own_connection_file}";

/// A started kernel.
#[derive(Debug)]
pub(crate) struct KernelBehind {
    process: Child,
    /// Where it listens.
    pub info: ConnectionInfo,
}

impl KernelBehind {
    /// Starts the command with a connection file of its own.
    pub async fn start(options: &Options, folder: &Private, display: &Path) -> Result<KernelBehind, Error> {
        let start = |reason: String| Error::Start { command: options.command.join(" "), reason };
        let (ports, held) = free_ports().ok_or_else(|| start("no port is free".to_owned()))?;
        let info = ConnectionInfo {
            ip: Ipv4Addr::LOCALHOST.to_string(),
            transport: Transport::TCP,
            shell_port: ports[0],
            iopub_port: ports[1],
            stdin_port: ports[2],
            control_port: ports[3],
            hb_port: ports[4],
            key: uuid::Uuid::new_v4().to_string(),
            signature_scheme: "hmac-sha256".to_owned(),
            kernel_name: None,
        };
        let path = folder.join(&format!("connection-{}.json", ports[0]));
        connection::write(&path, &info).map_err(|error| start(error.to_string()))?;
        let path = path.to_string_lossy();
        let words: Vec<String> = options.command.iter().map(|word| word.replace(PLACE, &path)).collect();
        let (program, arguments) = words.split_first().ok_or_else(|| start("it is empty".to_owned()))?;
        let process = Command::new(program)
            .args(arguments)
            .env(crate::DISPLAY_SOCKET, display)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| start(error.to_string()))?;
        drop(held); // the ports were nobody else's until now
        Ok(KernelBehind { process, info })
    }

    /// Its process, while it lives.
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        self.process.wait().await
    }

    /// Ends it and what it started: a cell may still be computing.
    pub async fn end(&mut self) {
        let below = self.pid().map(cells::below).unwrap_or_default();
        let _ = self.process.kill().await;
        cells::kill(&below);
    }
}

/// Five ports for a kernel, held until it is started.
///
/// Below those that systems give to outgoing connections: one that is tried before anybody listens may be given the
/// very port that it looks for, and be connected to itself.
fn free_ports() -> Option<([u16; 5], Vec<TcpListener>)> {
    let mut held: Vec<TcpListener> = Vec::new();
    for _ in 0..200 {
        let drawn = uuid::Uuid::new_v4().as_u128();
        let port = 15_000 + u16::try_from(drawn % 17_000).unwrap_or_default();
        held.extend(TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
        if held.len() == 5 {
            let ports: Vec<u16> = held.iter().filter_map(|listener| Some(listener.local_addr().ok()?.port())).collect();
            return Some((ports.try_into().ok()?, held));
        }
    }
    None
}

/// The process that runs the cells, as Linux shows it.
///
/// What it writes to its standard streams are lines that the kernel reads; on Linux another process of the same user
/// may write there too. A line of ours behind the cell's last one says, when it comes out, that all before it has come.
#[cfg(target_os = "linux")]
pub(crate) mod cells {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    use std::path::PathBuf;

    /// Of the system's header `fcntl.h`.
    const O_NONBLOCK: i32 = 0o4000;

    /// A stream of the process that runs the cells.
    #[derive(Debug, Clone, Copy)]
    pub(crate) enum CellStream {
        Stdout = 1,
        Stderr = 2,
    }

    fn children(pid: u32) -> Vec<u32> {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
        lists
            .flat_map(|list| list.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<_>>())
            .collect()
    }

    fn program(pid: u32) -> Option<PathBuf> {
        std::fs::read_link(format!("/proc/{pid}/exe")).ok()
    }

    /// The processes below this one that run the same program: evcxr runs its cells in a second self.
    pub(crate) fn below(pid: u32) -> Vec<u32> {
        let own = program(pid);
        children(pid).into_iter().filter(|child| own.is_some() && program(*child) == own).collect()
    }

    /// Writes a line as if a cell had; false where that cannot be.
    pub(crate) fn write(kernel: u32, stream: CellStream, line: &str) -> bool {
        let runs = below(kernel);
        !runs.is_empty()
            && runs.iter().all(|pid| {
                let path = format!("/proc/{pid}/fd/{}", stream as i32);
                let pipe = std::fs::OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(path);
                pipe.and_then(|mut pipe| pipe.write_all(line.as_bytes())).is_ok()
            })
    }

    /// Ends processes.
    pub(crate) fn kill(pids: &[u32]) {
        for pid in pids {
            let _ = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    }
}

/// Elsewhere nobody but a process itself reaches its streams; the kernel behind us ends its own.
#[cfg(not(target_os = "linux"))]
pub(crate) mod cells {
    #[derive(Debug, Clone, Copy)]
    pub(crate) enum CellStream {
        Stdout,
        Stderr,
    }

    pub(crate) fn below(_: u32) -> Vec<u32> {
        Vec::new()
    }

    pub(crate) fn write(_: u32, _: CellStream, _: &str) -> bool {
        false
    }

    pub(crate) fn kill(_: &[u32]) {}
}
