//! The ten sockets: five that Jupyter's front ends connect to, and our end of the five of the kernel behind us.
//!
//! Each socket has a task that reads it into one queue of events, and one that writes what is put into its own queue,
//! so that no front end that does not read can hold up another.

use std::net::IpAddr;

use bytes::Bytes;
use jupyter_protocol::ConnectionInfo;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use zeromq::util::PeerIdentity;
use zeromq::{
    DealerSocket, PubSocket, RepSocket, RouterSocket, Socket, SocketOptions, SocketRecv, SocketSend, SubSocket,
};

use crate::connection::Private;
use crate::live::Speech;
use crate::wire::{Message, SigningKey, key};
use crate::{Error, guard, say};

/// Which of the five.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    Shell,
    Control,
    Stdin,
    Iopub,
}

impl Channel {
    fn name(self) -> &'static str {
        match self {
            Channel::Shell => "shell",
            Channel::Control => "control",
            Channel::Stdin => "stdin",
            Channel::Iopub => "iopub",
        }
    }
}

/// What a socket received, and on which side.
#[derive(Debug)]
pub(crate) enum Received {
    /// From a front end.
    Front(Channel, Message),
    /// From the kernel behind us.
    Child(Channel, Message),
    /// From the code in a cell.
    Live(u64, Speech),
}

/// Puts messages into a socket's queue.
#[derive(Debug)]
pub(crate) struct SocketWriter {
    queue: mpsc::UnboundedSender<Message>,
    task: JoinHandle<()>,
}

impl SocketWriter {
    fn new<S: SocketSend + Send + 'static>(mut socket: S, key: SigningKey) -> SocketWriter {
        let (queue, mut messages) = mpsc::unbounded_channel::<Message>();
        let task = tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                // Whoever asked may have left meanwhile.
                let _ = socket.send(message.signed(&key)).await;
            }
            // The socket has queues of its own.
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        });
        SocketWriter { queue, task }
    }

    pub fn send(&self, message: Message) {
        let _ = self.queue.send(message);
    }

    /// Waits until everything is sent, or nobody takes it.
    pub async fn close(self) {
        drop(self.queue);
        let _ = tokio::time::timeout(std::time::Duration::from_secs(1), self.task).await;
    }
}

/// Reads a socket for as long as somebody takes what it receives.
fn read<S: SocketRecv + Send + 'static>(
    mut socket: S,
    key: SigningKey,
    from: fn(Channel, Message) -> Received,
    channel: Channel,
    events: mpsc::Sender<Received>,
) {
    tokio::spawn(async move {
        let mut dropped = 0_u64;
        loop {
            match socket.recv().await.map(|frames| Message::read(frames, &key)) {
                Ok(Ok(message)) => {
                    if events.send(from(channel, message)).await.is_err() {
                        return;
                    }
                }
                Ok(Err(reason)) => {
                    dropped += 1;
                    // Somebody who floods us shall not flood the log.
                    if dropped <= 20 || dropped.is_multiple_of(1000) {
                        say(&format!("dropped a message on {}: {reason} (number {dropped})", channel.name()));
                    }
                }
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        }
    });
}

/// Where the front ends are heard.
#[derive(Debug)]
pub(crate) struct Front {
    pub shell: SocketWriter,
    pub control: SocketWriter,
    pub stdin: SocketWriter,
    pub iopub: SocketWriter,
}

impl Front {
    /// Listens on the ports of the connection file.
    pub async fn bind(
        info: &ConnectionInfo,
        folder: &Private,
        events: &mpsc::Sender<Received>,
    ) -> Result<Front, Error> {
        let ip: IpAddr =
            info.ip.parse().map_err(|_| Error::Port { port: 0, reason: format!("{:?} is no address", info.ip) })?;
        let listen = async |port: u16, name: &'static str| -> Result<String, Error> {
            let wrong = |error: std::io::Error| Error::Port { port, reason: error.to_string() };
            let listener = TcpListener::bind((ip, port)).await.map_err(wrong)?;
            let inside = folder.join(name);
            let endpoint = format!("ipc://{}", inside.display());
            tokio::spawn(guard::stand_at(listener, inside, name));
            Ok(endpoint)
        };
        let key = key(&info.key);
        let mut routers = Vec::new();
        let ports = [(Channel::Shell, info.shell_port), (Channel::Control, info.control_port)];
        for (channel, port) in ports.into_iter().chain([(Channel::Stdin, info.stdin_port)]) {
            let mut socket = RouterSocket::new();
            socket.bind(&listen(port, channel.name()).await?).await?;
            let (sender, receiver) = socket.split();
            read(receiver, key.clone(), Received::Front, channel, events.clone());
            routers.push(SocketWriter::new(sender, key.clone()));
        }
        let mut iopub = PubSocket::new();
        iopub.bind(&listen(info.iopub_port, Channel::Iopub.name()).await?).await?;
        let mut heart = RepSocket::new();
        heart.bind(&listen(info.hb_port, "heartbeat").await?).await?;
        tokio::spawn(beat(heart));
        let [shell, control, stdin] = routers.try_into().expect("three routers");
        Ok(Front { shell, control, stdin, iopub: SocketWriter::new(iopub, key) })
    }

    /// Waits until everything is sent.
    pub async fn close(self) {
        tokio::join!(self.shell.close(), self.control.close(), self.stdin.close(), self.iopub.close());
    }
}

async fn beat(mut heart: RepSocket) {
    loop {
        match heart.recv().await {
            Ok(beat) => _ = heart.send(beat).await,
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    }
}

/// Our end of the kernel behind us.
#[derive(Debug)]
pub(crate) struct Behind {
    pub shell: SocketWriter,
    pub control: SocketWriter,
    pub stdin: SocketWriter,
}

impl Behind {
    /// Connects; waits until the kernel listens.
    pub async fn connect(info: &ConnectionInfo, events: &mpsc::Sender<Received>) -> Result<Behind, Error> {
        let key = key(&info.key);
        // A kernel asks for input on the connection that has the identity of the one that sent the request.
        let identity = Bytes::from(uuid::Uuid::new_v4().simple().to_string());
        let mut dealers = Vec::new();
        let urls = [(Channel::Shell, info.shell_url()), (Channel::Control, info.control_url())];
        let urls = urls.into_iter().chain([(Channel::Stdin, info.stdin_url())]);
        let mut iopub = SubSocket::new();
        iopub.subscribe("").await?;
        connect(&mut iopub, &info.iopub_url()).await?;
        read(iopub, key.clone(), Received::Child, Channel::Iopub, events.clone());
        for (channel, url) in urls {
            let mut options = SocketOptions::default();
            options.peer_identity(PeerIdentity::try_from(identity.clone())?);
            let mut socket = DealerSocket::with_options(options);
            connect(&mut socket, &url).await?;
            let (sender, receiver) = socket.split();
            read(receiver, key.clone(), Received::Child, channel, events.clone());
            dealers.push(SocketWriter::new(sender, key.clone()));
        }
        let [shell, control, stdin] = dealers.try_into().expect("three dealers");
        Ok(Behind { shell, control, stdin })
    }
}

async fn connect<S: Socket>(socket: &mut S, url: &str) -> Result<(), Error> {
    for _ in 0..600 {
        if socket.connect(url).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Ok(socket.connect(url).await?)
}
