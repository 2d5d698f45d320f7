//! Between the two sides: one request at a time goes to the kernel behind us, and what comes back is put right.
//!
//! A kernel is ready once it has answered `kernel_info_request` and taken our macros ([`crate::signs`]). A cell is over
//! once its reply, its `idle` and all that it printed have come: evcxr sends what a cell printed beside its reply, and
//! the message of a failed `?` used to stand under the next cell. So a line of ours is put behind the cell's last one
//! on its standard error ([`crate::child::cells`]), and the reply waits for it.

mod requests;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cell::Cell;
use crate::child::cells;
use crate::live::Displays;
use crate::signs::{self, Signs};
use crate::sockets::{Behind, Channel, Front, Received};
use crate::text::Stream;
use crate::wire::Message;

/// How long a cell's reply waits for the end of its output where no line of ours can say so.
const SETTLE: Duration = Duration::from_millis(40);

/// How long it waits for our line.
const MARKED: Duration = Duration::from_secs(2);

/// How long a kernel has to shut down before it is ended.
pub(crate) const SHUTDOWN: Duration = Duration::from_secs(2);

/// What a request is, to us.
#[derive(Debug)]
enum RequestKind {
    /// Ours: what kernel is it?
    Info,
    /// Ours: a cell before the first one of a front end's.
    Own,
    /// A front end's cell.
    Cell,
    /// Anything else of a front end's.
    Other,
}

/// The request that the kernel behind us works at.
#[derive(Debug)]
struct Running {
    kind: RequestKind,
    request: Message,
    reply: Option<Message>,
    idle: Option<Message>,
    own_count: u64,
    settle: Option<Instant>,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Continue,
    /// The kernel behind us was asked to shut down.
    Shutdown,
}

/// The state between the sides.
pub(crate) struct Proxy {
    front: Front,
    behind: Behind,
    kernel: Option<u32>,
    /// Where long outputs go.
    folder: PathBuf,
    /// Our signs' name.
    name: String,
    whole: bool,
    info: Option<Value>,
    /// Cells of ours that are still to run before a front end's.
    own: VecDeque<String>,
    first_cells: Vec<String>,
    displays: Displays,
    queue: VecDeque<Message>,
    running: Option<Running>,
    /// The cell that runs, or the one that ran last: its threads may still print.
    cell: Option<Cell>,
    count: u64,
    marks: u64,
    shutdown: Option<Message>,
}

impl Proxy {
    pub fn new(
        front: Front,
        behind: Behind,
        kernel: Option<u32>,
        folder: PathBuf,
        first_cells: Vec<String>,
        whole: bool,
    ) -> Proxy {
        let name = uuid::Uuid::new_v4().simple().to_string()[..16].to_owned();
        let mut proxy = Proxy {
            front,
            behind,
            kernel,
            folder,
            name,
            whole,
            info: None,
            own: VecDeque::new(),
            first_cells,
            displays: Displays::default(),
            queue: VecDeque::new(),
            running: None,
            cell: None,
            count: 0,
            marks: 0,
            shutdown: None,
        };
        proxy.prepare();
        proxy.start(RequestKind::Info, Message::request("kernel_info_request", json!({})));
        proxy
    }

    /// Takes what a socket received.
    pub fn take(&mut self, received: Received) -> Next {
        let now = Instant::now();
        match received {
            Received::Front(Channel::Stdin, message) => self.behind.stdin.send(message),
            Received::Front(Channel::Control, message) => return self.control(message),
            // Front ends of protocol 5.0 send these on shell.
            Received::Front(_, message) if ["shutdown_request", "interrupt_request"].contains(&message.kind()) => {
                return self.control(message);
            }
            Received::Front(_, message) => self.asked(message),
            Received::Child(Channel::Stdin, message) => self.front.stdin.send(message),
            Received::Child(Channel::Control, message) if message.kind() == "shutdown_reply" => {}
            Received::Child(Channel::Control, message) => self.front.control.send(message),
            Received::Child(Channel::Shell, message) => self.replied(message),
            Received::Child(Channel::Iopub, message) => self.published(message, now),
            Received::Live(connection, said) => self.said(connection, said),
        }
        if self.cell.as_ref().is_some_and(|cell| cell.text.deadline().is_some_and(|deadline| deadline <= now)) {
            self.flush();
        }
        Next::Continue
    }

    fn publish(&self, parent: &Value, kind: &str, content: Value) {
        self.front.iopub.send(Message::about(parent, kind, content));
    }

    /// Lets the next request go on.
    fn advance(&mut self) {
        if self.running.is_some() {
            return;
        }
        if let Some(code) = self.own.pop_front() {
            let content = json!({
                "code": code, "silent": true, "store_history": false, "user_expressions": {}, "allow_stdin": false,
                "stop_on_error": false,
            });
            return self.start(RequestKind::Own, Message::request("execute_request", content));
        }
        let Some(request) = self.queue.pop_front() else { return };
        if request.kind() != "execute_request" {
            return self.start(RequestKind::Other, request);
        }
        self.flush();
        let silent = request.content()["silent"] == true;
        self.count += u64::from(!silent);
        let output = self.folder.join(format!("output-of-cell-{}.txt", self.count));
        let cell = Cell::new(&request, self.count, output, Signs::new(&self.name, self.whole));
        // Speech here: what a kernel says may be lost where the cell ends it.
        self.publish(&cell.parent, "status", json!({"execution_state": "busy"}));
        if !silent {
            let input = json!({"code": request.content()["code"], "execution_count": self.count});
            self.publish(&cell.parent, "execute_input", input);
        }
        self.cell = Some(cell);
        self.start(RequestKind::Cell, request);
    }

    /// Before the first cell, and after one that cleared the session.
    fn prepare(&mut self) {
        self.own = [signs::macros(&self.name)].into_iter().chain(self.first_cells.iter().cloned()).collect();
    }

    fn start(&mut self, kind: RequestKind, request: Message) {
        self.behind.shell.send(request.clone());
        self.running = Some(Running { kind, request, reply: None, idle: None, own_count: 0, settle: None });
    }

    fn replied(&mut self, message: Message) {
        match &mut self.running {
            Some(running) if message.parent_id() == running.request.id() => {
                running.reply = Some(message);
                self.check();
            }
            _ => self.front.shell.send(message),
        }
    }

    fn published(&mut self, message: Message, now: Instant) {
        let of_running = self.running.as_ref().is_some_and(|running| message.parent_id() == running.request.id());
        if message.kind() == "stream" {
            return self.printed(&message, now);
        }
        let Some(running) = self.running.as_mut().filter(|_| of_running) else {
            return self.front.iopub.send(message);
        };
        let idle = message.kind() == "status" && message.content()["execution_state"] == "idle";
        match (&running.kind, message.kind()) {
            (_, "status") if idle => {
                running.idle = Some(message);
                self.check();
            }
            (RequestKind::Info | RequestKind::Own, _) | (RequestKind::Cell, "status") => {}
            (RequestKind::Cell, "execute_input") => {
                running.own_count = message.content()["execution_count"].as_u64().unwrap_or_default();
            }
            (RequestKind::Other, _) => self.front.iopub.send(message),
            (RequestKind::Cell, _) => self.of_cell(message),
        }
    }

    /// A result, a display or an error of the running cell.
    fn of_cell(&mut self, message: Message) {
        let (Some(running), Some(cell)) = (&self.running, &mut self.cell) else { return };
        let mut content = message.content();
        if message.kind() == "error" {
            return cell.told(&content, running.own_count);
        }
        if content.get("execution_count").is_some() {
            content["execution_count"] = json!(cell.count);
        }
        let hidden = cell.silent && message.kind() == "execute_result";
        self.flush();
        if !hidden {
            self.front.iopub.send(message.with_content(&content));
        }
    }

    fn printed(&mut self, message: &Message, now: Instant) {
        // What prints while nothing of a front end's ran yet stands under no cell.
        let Some(cell) = &mut self.cell else { return };
        let found = cell.printed(&message.content(), now);
        if found.unfinished {
            // evcxr would wait for ever for what already came.
            if let Some(kernel) = self.kernel {
                cells::write(kernel, cells::CellStream::Stdout, "EVCXR_EXECUTION_COMPLETE\n");
            }
        }
        if found.ended.contains(&self.marks)
            && let Some(running) = &mut self.running
            && running.settle.is_some()
        {
            self.finish(now);
        } else if let Some(Running { settle: Some(settle), .. }) = &mut self.running {
            *settle = (*settle).max(now + SETTLE);
        }
    }

    /// Ends the running request if all of it has come.
    fn check(&mut self) {
        const ANSWERED: [&str; 5] =
            ["kernel_info_request", "is_complete_request", "execute_request", "complete_request", "inspect_request"];
        let Some(running) = &mut self.running else { return };
        let Some(idle) = &running.idle else { return };
        if running.reply.is_none() && ANSWERED.contains(&running.request.kind()) {
            return;
        }
        match running.kind {
            RequestKind::Cell => {
                let marked = self.kernel.is_some_and(|kernel| {
                    self.marks += 1;
                    cells::write(kernel, cells::CellStream::Stderr, &signs::end_line(&self.name, self.marks))
                });
                running.settle = Some(Instant::now() + if marked { MARKED } else { SETTLE });
                return;
            }
            RequestKind::Info => {
                let mut info = running.reply.as_ref().map(Message::content).unwrap_or_default();
                // evcxr 0.22 leaves the last letter out.
                if let Some(lexer) = info["language_info"]["pygment_lexer"].as_str().map(str::to_owned) {
                    info["language_info"]["pygments_lexer"] = json!(lexer);
                }
                self.info = Some(info.clone());
                self.waiting("kernel_info_request").iter().for_each(|request| self.answer(request, info.clone()));
            }
            RequestKind::Own => {}
            RequestKind::Other => {
                if let Some(reply) = &running.reply {
                    self.front.shell.send(reply.clone());
                }
                self.front.iopub.send(idle.clone());
            }
        }
        self.running = None;
        self.advance();
    }

    /// Ends the running cell: everything of it has come.
    fn finish(&mut self, now: Instant) {
        let (Some(running), Some(cell)) = (self.running.take(), &mut self.cell) else { return };
        let errors = cell.ended(self.whole, now).to_vec();
        let (content, failed) = cell.reply(&running.reply.as_ref().map(Message::content).unwrap_or_default());
        let (stops, parent) = (cell.stops && failed, cell.parent.clone());
        self.flush();
        errors.into_iter().for_each(|error| self.publish(&parent, "error", error));
        let reply = running.reply.unwrap_or_else(|| running.request.reply(json!({})));
        self.front.shell.send(reply.with_content(&content));
        match running.idle {
            Some(idle) => self.front.iopub.send(idle),
            None => self.publish(&parent, "status", json!({"execution_state": "idle"})),
        }
        if stops {
            self.abort();
        }
        // A cleared session has lost our macros.
        let source = running.request.content();
        let cleared = source["code"].as_str().unwrap_or_default().lines().any(|line| line.trim() == ":clear");
        if cleared {
            self.prepare();
        }
        self.advance();
    }

    /// Shows what the cell printed.
    fn flush(&mut self) {
        let Some(cell) = &mut self.cell else { return };
        let (runs, parent, over) = (cell.text.take(), cell.parent.clone(), self.running.is_none());
        let note = over.then(|| cell.text.note()).flatten();
        let runs = runs.into_iter().chain(note.map(|note| (Stream::Stderr, note)));
        for (stream, text) in runs {
            self.publish(&parent, "stream", json!({"name": stream.name(), "text": text}));
        }
    }

    /// When [`Proxy::wake`] is to be called.
    pub fn deadline(&self) -> Option<Instant> {
        let settle = self.running.as_ref().and_then(|running| running.settle);
        [settle, self.cell.as_ref().and_then(Cell::deadline)].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn wake(&mut self) {
        let now = Instant::now();
        let settling = self.running.as_ref().and_then(|running| running.settle);
        if let Some(cell) = &mut self.cell {
            cell.wake(now);
            if cell.text.deadline().is_some_and(|deadline| deadline <= now) {
                self.flush();
            }
        }
        if settling.is_some_and(|settle| settle <= now) {
            self.finish(now);
        }
    }

    /// Answers everybody who waits that the kernel behind us is gone, and sends what is left. `how` says how it ended.
    pub async fn close(mut self, how: &str) {
        if let Some(request) = self.shutdown.take() {
            let restart = request.content()["restart"] == true;
            self.front.control.send(request.reply(json!({"status": "ok", "restart": restart})));
        }
        let said = format!("the kernel ended: {how}");
        let error = json!({"ename": "KernelEnded", "evalue": said, "traceback": [said]});
        match self.running.take() {
            Some(Running { kind: RequestKind::Cell, request, reply, idle, .. }) => {
                if let Some(cell) = &mut self.cell
                    && reply.is_none()
                {
                    cell.failed(error.clone());
                }
                self.running =
                    Some(Running { kind: RequestKind::Cell, request, reply, idle, own_count: 0, settle: None });
                self.finish(Instant::now());
            }
            Some(Running { kind: RequestKind::Other, request, .. }) => self.queue.push_front(request),
            _ => {}
        }
        self.abort();
        for request in std::mem::take(&mut self.queue) {
            let mut content = error.clone();
            content["status"] = json!("error");
            self.answer(&request, content);
        }
        self.front.close().await;
    }
}
