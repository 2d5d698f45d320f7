//! A front end that keeps what it is told, made of another implementation of the protocol than the proxy's own.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use bytes::Bytes;
use humerus_kernel::{Error, Options, serve};
use jupyter_protocol::connection_info::Transport;
use jupyter_protocol::{ConnectionInfo, ExecuteRequest, JupyterMessage, JupyterMessageContent, KernelInfoRequest};
use jupyter_zmq_client::{
    ClientControlConnection, ClientIoPubConnection, ClientShellConnection, ClientStdinConnection,
    create_client_control_connection, create_client_iopub_connection, create_client_shell_connection_with_identity,
    create_client_stdin_connection_with_identity, peer_identity_for_session,
};
use serde_json::Value;
use tokio::task::JoinHandle;

/// Anything that takes longer hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A proxy that runs in this process, with what it needs.
pub struct Proxy {
    pub info: ConnectionInfo,
    /// Removed at the end.
    _folder: tempfile::TempDir,
    pub ended: JoinHandle<Result<Option<ExitStatus>, Error>>,
}

impl Proxy {
    /// One before the fake kernel.
    pub async fn start() -> Proxy {
        let program = std::env::current_exe().unwrap().to_string_lossy().into_owned();
        let fake = ["--exact", "fake_kernel", "--nocapture", "{own_connection_file}"].map(str::to_owned);
        Proxy::before([vec![program], fake.to_vec()].concat()).await
    }

    /// One before the kernel that this command starts.
    pub async fn before(command: Vec<String>) -> Proxy {
        let folder = tempfile::tempdir().unwrap();
        let ports = ports();
        let info = ConnectionInfo {
            ip: "127.0.0.1".to_owned(),
            transport: Transport::TCP,
            shell_port: ports[0],
            iopub_port: ports[1],
            stdin_port: ports[2],
            control_port: ports[3],
            hb_port: ports[4],
            key: "a key".to_owned(),
            signature_scheme: "hmac-sha256".to_owned(),
            kernel_name: None,
        };
        let connection_file = write(folder.path(), &info);
        let outputs = Some(folder.path().to_owned());
        let options = Options {
            connection_file,
            command,
            folder: outputs,
            first_cells: vec!["result first".to_owned()],
            whole_backtraces: false,
        };
        let ended = tokio::spawn(serve(options));
        Proxy { info, _folder: folder, ended }
    }

    /// How it ended.
    pub async fn end(self) -> Option<ExitStatus> {
        tokio::time::timeout(PATIENCE, self.ended).await.expect("it ends").unwrap().unwrap()
    }
}

/// Five ports of nobody's: below those that the system gives away, and other ones for each process and each call.
fn ports() -> [u16; 5] {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let start = 10_000 + (std::process::id() % 2_000) as u16 * 10 + NEXT.fetch_add(5, Ordering::Relaxed);
        let ports = [0, 1, 2, 3, 4].map(|at| start + at);
        if ports.iter().all(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()) {
            return ports;
        }
    }
}

fn write(folder: &Path, info: &ConnectionInfo) -> PathBuf {
    let path = folder.join("connection.json");
    std::fs::write(&path, serde_json::to_vec(info).unwrap()).unwrap();
    path
}

/// A message, as a front end sees it.
#[derive(Debug)]
pub struct Seen {
    pub kind: String,
    pub parent: String,
    pub content: Value,
    pub buffers: Vec<Bytes>,
}

impl Seen {
    fn new(message: JupyterMessage) -> Seen {
        Seen {
            kind: message.header.msg_type.clone(),
            parent: message.parent_header.as_ref().map_or_else(String::new, |parent| parent.msg_id.clone()),
            content: serde_json::to_value(&message.content).unwrap(),
            buffers: message.buffers,
        }
    }

    /// Its kind, and its state, name or text.
    pub fn short(&self) -> String {
        let detail = ["execution_state", "evalue", "text"].iter().find_map(|field| self.content[*field].as_str());
        detail.map_or_else(|| self.kind.clone(), |detail| format!("{} {}", self.kind, detail.trim_end()))
    }
}

/// What came of a request: the reply, and all on iopub up to its `idle`.
pub struct Answer {
    pub reply: Seen,
    pub published: Vec<Seen>,
}

impl Answer {
    /// What was published, in short, without busy and idle.
    pub fn shown(&self) -> Vec<String> {
        let all: Vec<String> = self.published.iter().map(Seen::short).collect();
        assert_eq!(all.first().map(String::as_str), Some("status busy"));
        assert_eq!(all.last().map(String::as_str), Some("status idle"));
        all[1..all.len() - 1].to_vec()
    }

    pub fn status(&self) -> &str {
        self.reply.content["status"].as_str().unwrap()
    }
}

/// A front end.
pub struct FrontEnd {
    pub shell: ClientShellConnection,
    pub control: ClientControlConnection,
    pub stdin: ClientStdinConnection,
    pub iopub: ClientIoPubConnection,
}

impl FrontEnd {
    /// Connects, and waits until the kernel answers on both channels.
    pub async fn connect(info: &ConnectionInfo) -> FrontEnd {
        let session = uuid::Uuid::new_v4().to_string();
        let identity = peer_identity_for_session(&session).unwrap();
        let mut front = FrontEnd {
            iopub: create_client_iopub_connection(info, "", &session).await.unwrap(),
            shell: create_client_shell_connection_with_identity(info, &session, identity.clone()).await.unwrap(),
            stdin: create_client_stdin_connection_with_identity(info, &session, identity).await.unwrap(),
            control: create_client_control_connection(info, &session).await.unwrap(),
        };
        for _ in 0..100 {
            let id = front.ask(KernelInfoRequest {}).await;
            front.reply(&id).await;
            let idle = async { while front.seen().await.parent != id {} };
            if tokio::time::timeout(Duration::from_millis(200), idle).await.is_ok() {
                while tokio::time::timeout(Duration::from_millis(100), front.seen()).await.is_ok() {}
                return front;
            }
        }
        panic!("nothing comes on iopub");
    }

    /// Sends a request on shell; returns its name.
    pub async fn ask(&mut self, content: impl Into<JupyterMessageContent>) -> String {
        let message = JupyterMessage::new(content, None);
        let id = message.header.msg_id.clone();
        self.shell.send(message).await.unwrap();
        id
    }

    /// Sends a cell.
    pub async fn send(&mut self, code: &str) -> String {
        self.ask(ExecuteRequest { stop_on_error: true, ..ExecuteRequest::new(code.to_owned()) }).await
    }

    /// The next message on iopub.
    pub async fn seen(&mut self) -> Seen {
        Seen::new(self.iopub.read().await.unwrap())
    }

    /// The reply to this request.
    pub async fn reply(&mut self, id: &str) -> Seen {
        let read = async {
            loop {
                let seen = Seen::new(self.shell.read().await.unwrap());
                if seen.parent == id {
                    return seen;
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("a reply")
    }

    /// Waits for all that belongs to a request; that of other requests is left aside.
    pub async fn answer(&mut self, id: &str) -> Answer {
        let reply = self.reply(id).await;
        let mut published = Vec::new();
        let read = async {
            loop {
                let seen = self.seen().await;
                if seen.parent != id {
                    continue;
                }
                let idle = seen.short() == "status idle";
                published.push(seen);
                if idle {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("an idle");
        Answer { reply, published }
    }

    /// Runs a cell.
    pub async fn run(&mut self, code: &str) -> Answer {
        let id = self.send(code).await;
        self.answer(&id).await
    }

    /// Asks on control; returns the reply.
    pub async fn control(&mut self, content: impl Into<JupyterMessageContent>) -> Seen {
        self.control.send(JupyterMessage::new(content, None)).await.unwrap();
        Seen::new(tokio::time::timeout(PATIENCE, self.control.read()).await.expect("a reply").unwrap())
    }
}
