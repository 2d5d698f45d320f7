//! What others on the machine may send.

use std::time::Duration;

use jupyter_protocol::{ExecuteRequest, JupyterMessage};
use jupyter_zmq_client::{
    create_client_iopub_connection, create_client_shell_connection_with_identity, peer_identity_for_session,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::front::{FrontEnd, PATIENCE, Proxy};

/// The first 64 bytes of ZMTP 3.0, mechanism NULL.
fn greeting() -> Vec<u8> {
    let mut greeting = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0];
    greeting.extend(b"NULL");
    greeting.resize(64, 0);
    greeting
}

/// Whether the other side closed the connection.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    matches!(tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await, Ok(Ok(_)) | Ok(Err(_)))
}

#[tokio::test]
async fn messages_with_a_wrong_signature_are_dropped_and_the_kernel_goes_on() {
    let proxy = Proxy::start().await;
    let mut front = FrontEnd::connect(&proxy.info).await;
    let forged = jupyter_protocol::ConnectionInfo { key: "another key".to_owned(), ..proxy.info.clone() };
    let identity = peer_identity_for_session("forger").unwrap();
    let mut forger = create_client_shell_connection_with_identity(&forged, "forger", identity).await.unwrap();
    for _ in 0..50 {
        let message = JupyterMessage::new(ExecuteRequest::new("result stolen".to_owned()), None);
        forger.send(message).await.unwrap();
    }
    let answer = front.run("result 1").await;
    assert_eq!(answer.reply.content["execution_count"], 1, "none of them ran");
}

#[tokio::test]
async fn a_length_without_end_closes_its_connection_and_nothing_else() {
    let proxy = Proxy::start().await;
    let mut front = FrontEnd::connect(&proxy.info).await;
    let info = &proxy.info;
    for port in [info.shell_port, info.control_port, info.stdin_port, info.iopub_port, info.hb_port] {
        for length in [1_u64 << 40, u64::MAX, humerus_kernel::MOST_BYTES + 1] {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            stream.write_all(&greeting()).await.unwrap();
            stream.write_all(&[&[2][..], &length.to_be_bytes()].concat()).await.unwrap();
            assert!(is_closed(&mut stream).await, "port {port}, {length} bytes");
        }
    }
    assert_eq!(front.run("result 1").await.status(), "ok");
}

#[tokio::test]
async fn noise_and_silence_hold_up_nobody() {
    let proxy = Proxy::start().await;
    let mut front = FrontEnd::connect(&proxy.info).await;
    let mut open = Vec::new();
    for at in 0..20_u8 {
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.info.shell_port)).await.unwrap();
        let noise: Vec<u8> = (0..200_u32).map(|byte| (byte.wrapping_mul(2_654_435_761) >> 13) as u8 ^ at).collect();
        stream.write_all(&noise[..usize::from(at) * 10]).await.unwrap();
        open.push(stream);
    }
    assert_eq!(front.run("result 1").await.status(), "ok");
}

#[tokio::test]
async fn a_front_end_that_does_not_read_holds_up_no_other() {
    let proxy = Proxy::start().await;
    let mut front = FrontEnd::connect(&proxy.info).await;
    let _deaf = create_client_iopub_connection(&proxy.info, "", "deaf").await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let run = front.run("display 10000");
    assert_eq!(tokio::time::timeout(PATIENCE, run).await.expect("not held up").status(), "ok");
}
