//! What front ends and cells ask: what goes on to the kernel behind us, and what is answered here.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::{Next, Proxy, RequestKind, Running};
use crate::live::Speech;
use crate::wire::Message;

impl Proxy {
    pub(super) fn control(&mut self, message: Message) -> Next {
        match message.kind() {
            "shutdown_request" => {
                self.behind.control.send(message.clone());
                self.shutdown = Some(message);
                return Next::Shutdown;
            }
            "kernel_info_request" if self.info.is_some() => {
                let reply = message.reply(self.info.clone().unwrap_or_default());
                self.front.control.send(reply);
            }
            "interrupt_request" => {
                if let (Some(Running { kind: RequestKind::Cell, .. }), Some(cell)) = (&self.running, &mut self.cell) {
                    cell.interrupted = true;
                }
                self.behind.control.send(message);
            }
            _ => self.behind.control.send(message),
        }
        Next::Continue
    }

    /// A request on shell.
    pub(super) fn asked(&mut self, message: Message) {
        let computes = matches!(&self.running, Some(Running { kind: RequestKind::Cell, .. }))
            || self.queue.iter().any(|waiting| waiting.kind() == "execute_request");
        match (message.kind(), &self.info) {
            ("kernel_info_request", Some(info)) => self.answer(&message, info.clone()),
            // evcxr answers neither, and front ends wait.
            ("history_request", _) => self.answer(&message, json!({"status": "ok", "history": []})),
            ("comm_info_request", _) => self.answer(&message, json!({"status": "ok", "comms": {}})),
            // evcxr completes nothing while a cell runs: an empty answer now is better than a late one.
            ("complete_request", _) if computes => {
                let at = message.content()["cursor_pos"].clone();
                let content = json!({
                    "status": "ok", "matches": [], "cursor_start": at, "cursor_end": at, "metadata": {},
                });
                self.answer(&message, content);
            }
            ("inspect_request", _) if computes => {
                self.answer(&message, json!({"status": "ok", "found": false, "data": {}, "metadata": {}}));
            }
            ("is_complete_request", _) if computes => self.answer(&message, json!({"status": "unknown"})),
            _ => self.queue.push_back(message),
        }
        self.advance();
    }

    /// Answers without the kernel behind us.
    pub(super) fn answer(&self, request: &Message, content: Value) {
        self.publish(&request.header, "status", json!({"execution_state": "busy"}));
        self.front.shell.send(request.reply(content));
        self.publish(&request.header, "status", json!({"execution_state": "idle"}));
    }

    /// Takes the requests of one kind out of the queue.
    pub(super) fn waiting(&mut self, kind: &str) -> VecDeque<Message> {
        let (taken, others) = self.queue.drain(..).partition(|request: &Message| request.kind() == kind);
        self.queue = others;
        taken
    }

    /// Answers the cells that wait that they will not run.
    pub(super) fn abort(&mut self) {
        for request in &self.waiting("execute_request") {
            self.answer(request, json!({"status": "aborted", "execution_count": self.count}));
        }
    }

    /// A display from the code in a cell.
    pub(super) fn said(&mut self, connection: u64, said: Speech) {
        match said {
            Speech::Closed => self.displays.close(connection),
            Speech::Line(line, answer) => {
                let parent = self.cell.as_ref().map(|cell| &cell.parent);
                let message = self.displays.take(connection, &line, parent);
                if message.is_ok() {
                    self.flush();
                }
                let _ = answer.send(message.map(|message| self.front.iopub.send(message)));
            }
        }
    }
}
