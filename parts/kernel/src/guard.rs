//! The door: the ports of the connection file, through which nothing comes that could take the memory.
//!
//! A ZeroMQ frame says its length first, and a reader makes room for it before anybody knows who sent it: nine bytes
//! from any user of the machine could end the kernel. So bytes are counted here, frame by frame (ZMTP 3.1, RFC 37),
//! and only then go on to the sockets proper, which are local ones in a folder of the owner's. A connection that
//! announces too much is closed with one line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Semaphore;

use crate::say;

/// The most bytes of one message, all its frames together.
pub(crate) const MOST_BYTES: u64 = 256 << 20;

/// The most connections to one port: each open view of a notebook is one.
const MOST_CONNECTIONS: usize = 256;

const GREETING: u64 = 64;

/// Where in the stream of frames a reader is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum At {
    Flags,
    Length { left: u8, more: bool, value: u64 },
    Body { left: u64, more: bool },
}

/// Counts a connection's bytes as frames.
#[derive(Debug)]
struct Counter {
    at: At,
    message: u64,
}

impl Counter {
    fn new() -> Counter {
        // The greeting has no frame around it.
        Counter { at: At::Body { left: GREETING, more: false }, message: 0 }
    }

    /// Takes the next bytes; false once a message is too long.
    fn take(&mut self, bytes: &[u8]) -> bool {
        let mut at = 0;
        while at < bytes.len() {
            match self.at {
                At::Flags => {
                    let flags = bytes[at];
                    at += 1;
                    let left = if flags & 2 != 0 { 8 } else { 1 };
                    self.at = At::Length { left, more: flags & 1 != 0, value: 0 };
                }
                At::Length { left, more, value } => {
                    let value = value << 8 | u64::from(bytes[at]);
                    at += 1;
                    self.at = match left {
                        1 => {
                            self.message = self.message.saturating_add(value);
                            if self.message > MOST_BYTES {
                                return false;
                            }
                            self.ended(value, more)
                        }
                        _ => At::Length { left: left - 1, more, value },
                    };
                }
                At::Body { left, more } => {
                    let taken = left.min((bytes.len() - at) as u64);
                    at += taken as usize;
                    self.at = self.ended(left - taken, more);
                }
            }
        }
        true
    }

    fn ended(&mut self, left: u64, more: bool) -> At {
        if left > 0 {
            return At::Body { left, more };
        }
        if !more {
            self.message = 0;
        }
        At::Flags
    }
}

/// Lets connections to `listener` through to the local socket `inside`, for as long as the task runs.
pub(crate) async fn stand_at(listener: TcpListener, inside: PathBuf, name: &'static str) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok((outside, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await; // out of descriptors, perhaps
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            say(&format!("refused a connection to {name}: there are {MOST_CONNECTIONS}"));
            continue;
        };
        let inside = inside.clone();
        tokio::spawn(async move {
            pass(outside, &inside, name).await;
            drop(place);
        });
    }
}

async fn pass(outside: TcpStream, inside: &Path, name: &str) {
    let _ = outside.set_nodelay(true);
    let Ok(inside) = UnixStream::connect(inside).await else { return };
    let (mut from_outside, mut to_outside) = outside.into_split();
    let (mut from_inside, mut to_inside) = inside.into_split();
    let inwards = async {
        let (mut counter, mut buffer) = (Counter::new(), vec![0; 64 << 10]);
        while let Ok(count @ 1..) = from_outside.read(&mut buffer).await {
            if !counter.take(&buffer[..count]) {
                say(&format!("closed a connection to {name}: a message of more than {MOST_BYTES} bytes"));
                return;
            }
            if to_inside.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    let outwards = async { _ = tokio::io::copy(&mut from_inside, &mut to_outside).await };
    tokio::select! { () = inwards => {}, () = outwards => {} }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(flags: u8, length: u64, body: &[u8]) -> Vec<u8> {
        let mut frame = vec![flags];
        match flags & 2 {
            0 => frame.push(length as u8),
            _ => frame.extend(length.to_be_bytes()),
        }
        frame.extend(body);
        frame
    }

    #[test]
    fn frames_are_counted_wherever_the_reads_cut_them() {
        let mut stream = vec![0; 64];
        stream.extend(frame(4, 5, b"READY"));
        stream.extend(frame(1, 3, b"one"));
        stream.extend(frame(3, 300, &[7; 300]));
        stream.extend(frame(0, 0, b""));
        for step in [1, 2, 3, 7, 64, 65, 1000] {
            let mut counter = Counter::new();
            assert!(stream.chunks(step).all(|chunk| counter.take(chunk)), "reads of {step}");
            assert_eq!((counter.at, counter.message), (At::Flags, 0), "reads of {step}");
        }
    }

    #[test]
    fn a_frame_that_announces_too_much_is_refused_at_its_length() {
        for length in [MOST_BYTES + 1, 1 << 40, u64::MAX] {
            let mut counter = Counter::new();
            assert!(counter.take(&[0; 64]));
            let announced = frame(2, length, b"");
            assert!(counter.take(&announced[..8]));
            assert!(!counter.take(&announced[8..]), "{length}");
        }
    }

    #[test]
    fn many_frames_of_one_message_count_together_and_of_several_do_not() {
        let half = MOST_BYTES / 2 + 1;
        for (more, refused) in [(1, true), (0, false)] {
            let mut counter = Counter::new();
            assert!(counter.take(&[0; 64]));
            assert!(counter.take(&frame(2 | more, half, b"")));
            let At::Body { left, .. } = counter.at else { panic!("{:?}", counter.at) };
            counter.at = counter.ended(left - half, more == 1);
            assert_eq!(!counter.take(&frame(2, half, b"")), refused);
        }
    }
}
