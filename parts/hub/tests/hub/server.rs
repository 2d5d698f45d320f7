//! A hub on this machine's own address: as much HTTP/1.1 as the client needs, and every way of getting it wrong.
//!
//! It takes one request a connection, at most [`MOST`] of them, and ends when it is dropped.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use sha2::{Digest, Sha256};

/// Requests that one server answers.
const MOST: usize = 64;
/// How long a silent server keeps a connection.
const SILENCE: Duration = Duration::from_secs(5);

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What a silent server is silent about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silent {
    Never,
    Always,
    AfterHalfTheBody,
}

/// Where a request for a large file is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redirect {
    /// To another path of this server, or of the one at this address.
    Content(String),
    /// To itself; a small file's too.
    Circle,
    /// To an address that does not say where.
    Nowhere,
}

/// How the server behaves; may be changed while it runs.
#[derive(Debug, Clone)]
pub struct Plan {
    pub content: Vec<u8>,
    pub etag: String,
    /// Whether the content is behind a redirect, and its checksum is told.
    pub lfs: bool,
    pub tells_commit: bool,
    /// Whether another commit is given than the one asked for.
    pub moved: bool,
    /// The status of every request, with the hub's code for it.
    pub refuses: Option<(u16, &'static str)>,
    /// Requests that get a 503 before any is answered.
    pub fails: usize,
    /// After how many bytes each further answer with content ends.
    pub cuts: VecDeque<usize>,
    pub ignores_range: bool,
    /// The byte that a partial answer claims to start at, if not the one asked for.
    pub wrong_start: Option<usize>,
    /// Bytes that follow the content, without being announced in the checksum or size.
    pub excess: usize,
    pub redirect: Redirect,
    pub silent: Silent,
    /// How long the content takes.
    pub delay: Duration,
}

impl Plan {
    pub fn large(content: &[u8]) -> Plan {
        Plan {
            content: content.to_owned(),
            etag: sha256(content),
            lfs: true,
            tells_commit: true,
            moved: false,
            refuses: None,
            fails: 0,
            cuts: VecDeque::new(),
            ignores_range: false,
            wrong_start: None,
            excess: 0,
            redirect: Redirect::Content(String::new()),
            silent: Silent::Never,
            delay: Duration::ZERO,
        }
    }

    pub fn small(content: &[u8]) -> Plan {
        Plan { etag: "c".repeat(40), lfs: false, ..Plan::large(content) }
    }
}

/// A request, and how many bytes of content it got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub range: Option<String>,
    pub token: Option<String>,
    pub sent: usize,
}

pub struct Server {
    pub endpoint: String,
    plan: Arc<Mutex<Plan>>,
    log: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(plan: Plan) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (plan, log, stop) = (Arc::new(Mutex::new(plan)), Arc::default(), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (plan, log, stop) = (Arc::clone(&plan), Arc::clone(&log), Arc::clone(&stop));
            move || {
                for stream in listener.incoming().take(MOST) {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let (plan, log, stop) = (Arc::clone(&plan), Arc::clone(&log), Arc::clone(&stop));
                    std::thread::spawn(move || stream.map(|stream| answer(stream, &plan, &log, &stop)));
                }
            }
        });
        Server { endpoint, plan, log, stop, thread: Some(thread) }
    }

    pub fn change(&self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.plan.lock().unwrap());
    }

    /// The requests since the last call.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }

    /// Those of them that got content.
    pub fn sent(&self) -> Vec<(Option<String>, usize)> {
        self.asked().into_iter().filter(|asked| asked.sent > 0).map(|asked| (asked.range, asked.sent)).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.endpoint.trim_start_matches("http://"));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

pub fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn answer(mut stream: TcpStream, plan: &Mutex<Plan>, log: &Mutex<Vec<Asked>>, stop: &AtomicBool) {
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && head.len() < 16 << 10 {
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    let header = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
    };
    let range = header("range");
    let asked = Asked { method, path: path.clone(), range: range.clone(), token: header("authorization"), sent: 0 };
    let (with_body, from) = (asked.method == "GET", range.as_deref().map(start));
    let at = {
        let mut log = log.lock().unwrap();
        log.push(asked);
        log.len() - 1
    };
    let Plan {
        content, etag, lfs, tells_commit, refuses, ignores_range, wrong_start, excess, redirect, silent, ..
    } = plan.lock().unwrap().clone();
    let wait = || {
        for _ in 0..SILENCE.as_millis() / 10 {
            if !stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    };
    if silent == Silent::Always {
        return wait();
    }
    let mut answer = String::from("Connection: close\r\n");
    let mut status = 200;
    let mut body = Vec::new();
    let fails = {
        let fails = &mut plan.lock().unwrap().fails;
        std::mem::replace(fails, fails.saturating_sub(1)) > 0
    };
    if fails {
        status = 503;
    } else if let Some((refused, code)) = refuses {
        status = refused;
        answer += &format!("X-Error-Code: {code}\r\n");
    } else {
        let is_content = path.starts_with("/content/");
        if !is_content {
            if tells_commit {
                // Asked for a commit, a hub gives that one.
                let revision = path.split('/').skip_while(|part| *part != "resolve").nth(1).unwrap_or_default();
                let is_commit = revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
                let commit = if is_commit && !plan.lock().unwrap().moved { revision } else { COMMIT };
                answer += &format!("X-Repo-Commit: {commit}\r\n");
            }
            answer += &if lfs {
                format!("X-Linked-ETag: \"{etag}\"\r\nX-Linked-Size: {}\r\n", content.len())
            } else {
                format!("ETag: W/\"{etag}\"\r\n")
            };
        }
        if !is_content && (lfs || redirect == Redirect::Circle) {
            status = 302;
            match redirect {
                Redirect::Content(base) => answer += &format!("Location: {base}/content/{etag}?signed=yes\r\n"),
                Redirect::Circle => answer += &format!("Location: {path}\r\n"),
                Redirect::Nowhere => {}
            }
        } else {
            let from = from.filter(|_| !ignores_range);
            if from.is_some_and(|from| from >= content.len()) {
                status = 416;
            } else {
                body = content[from.unwrap_or(0)..].to_vec();
                body.extend(std::iter::repeat_n(b'!', excess));
            }
            if let Some(from) = from.filter(|_| status == 200) {
                status = 206;
                let (from, last) = (wrong_start.unwrap_or(from), content.len() - 1);
                answer += &format!("Content-Range: bytes {from}-{last}/{}\r\n", content.len());
            }
        }
    }
    let length = body.len();
    let mut send = if with_body { body.as_slice() } else { &[] };
    if !send.is_empty() {
        std::thread::sleep(plan.lock().unwrap().delay);
        let cut = plan.lock().unwrap().cuts.pop_front();
        let cut = if silent == Silent::AfterHalfTheBody { Some(send.len() / 2) } else { cut };
        send = &send[..cut.unwrap_or(send.len()).min(send.len())];
        if let Some(asked) = log.lock().unwrap().get_mut(at) {
            asked.sent = send.len();
        }
    }
    let head = format!("HTTP/1.1 {status} Said\r\nContent-Length: {length}\r\n{answer}\r\n");
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(send));
    if sent.is_ok() && silent == Silent::AfterHalfTheBody && with_body {
        wait();
    }
}

/// The first byte of `bytes=10-`.
fn start(range: &str) -> usize {
    range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap()
}
