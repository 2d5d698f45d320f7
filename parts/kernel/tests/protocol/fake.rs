//! A kernel that says what evcxr 0.22 says, in a process of its own, without a compiler.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use jupyter_protocol::{
    ConnectionInfo, ExecuteInput, ExecuteReply, ExecutionCount, InputRequest, InterruptReply, JupyterMessage,
    JupyterMessageContent, ReplyStatus, ShutdownReply, Status, StreamContent, UnknownMessage,
};
use jupyter_zmq_client::{
    KernelControlConnection, KernelIoPubConnection, KernelShellConnection, KernelStdinConnection,
    create_kernel_control_connection, create_kernel_iopub_connection, create_kernel_shell_connection,
    create_kernel_stdin_connection,
};
use serde_json::{Value, json};

/// Runs until it is shut down, or a cell says otherwise.
pub fn run(connection_file: &Path) {
    let info: ConnectionInfo = serde_json::from_slice(&std::fs::read(connection_file).unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut kernel = Fake {
            iopub: bound(create_kernel_iopub_connection(&info, "fake").await),
            stdin: bound(create_kernel_stdin_connection(&info, "fake").await),
            shell: bound(create_kernel_shell_connection(&info, "fake").await),
            count: 1,
            signs: String::new(),
        };
        tokio::spawn(control(bound(create_kernel_control_connection(&info, "fake").await)));
        loop {
            let request = kernel.shell.read().await.unwrap();
            kernel.answer(request).await;
        }
    });
}

/// A port that somebody else has taken ends the process, as it ends evcxr's; the proxy then tries others.
fn bound<T>(socket: Result<T, impl std::fmt::Display>) -> T {
    socket.unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(1)
    })
}

async fn control(mut control: KernelControlConnection) {
    while let Ok(request) = control.read().await {
        let content = match &request.content {
            JupyterMessageContent::ShutdownRequest(asked) => {
                JupyterMessageContent::from(ShutdownReply { restart: asked.restart, ..ShutdownReply::default() })
            }
            JupyterMessageContent::InterruptRequest(_) => InterruptReply::new().into(),
            _ => continue,
        };
        let shuts_down = matches!(content, JupyterMessageContent::ShutdownReply(_));
        control.send(JupyterMessage::new(content, Some(&request))).await.unwrap();
        if shuts_down {
            tokio::time::sleep(Duration::from_millis(50)).await;
            std::process::exit(0);
        }
    }
}

struct Fake {
    iopub: KernelIoPubConnection,
    stdin: KernelStdinConnection,
    shell: KernelShellConnection,
    count: usize,
    /// The name of the proxy's signs, read from its macros.
    signs: String,
}

impl Fake {
    async fn publish(&mut self, content: impl Into<JupyterMessageContent>, request: &JupyterMessage) {
        self.publish_with(content, Vec::new(), request).await;
    }

    async fn publish_with(
        &mut self,
        content: impl Into<JupyterMessageContent>,
        buffers: Vec<Bytes>,
        request: &JupyterMessage,
    ) {
        let message = JupyterMessage::new(content, Some(request)).with_buffers(buffers);
        self.iopub.send(message.with_zmq_identities(Vec::new())).await.unwrap();
    }

    async fn other(&mut self, kind: &str, content: Value, buffers: Vec<Bytes>, request: &JupyterMessage) {
        let content = JupyterMessageContent::from_type_and_content(kind, content).unwrap();
        self.publish_with(content, buffers, request).await;
    }

    async fn stderr(&mut self, text: &str, request: &JupyterMessage) {
        self.publish(StreamContent::stderr(text), request).await;
    }

    async fn reply(&mut self, kind: &str, content: Value, request: &JupyterMessage) {
        let content = JupyterMessageContent::from_type_and_content(kind, content).unwrap();
        self.shell.send(JupyterMessage::new(content, Some(request))).await.unwrap();
    }

    async fn answer(&mut self, request: JupyterMessage) {
        self.publish(Status::busy(), &request).await;
        match &request.content {
            JupyterMessageContent::ExecuteRequest(execute) => {
                let code = execute.code.clone();
                self.execute(&code, &request).await;
                return;
            }
            JupyterMessageContent::KernelInfoRequest(_) => {
                let info = json!({
                    "status": "ok", "protocol_version": "5.3", "implementation": "fake", "implementation_version": "1",
                    "banner": "", "language_info": {
                        "name": "Rust", "version": "", "mimetype": "text/rust", "file_extension": ".rs",
                        "pygment_lexer": "rust",
                    },
                });
                let unknown = UnknownMessage { msg_type: "kernel_info_reply".to_owned(), content: info };
                let content = JupyterMessageContent::UnknownMessage(unknown);
                self.shell.send(JupyterMessage::new(content, Some(&request))).await.unwrap();
            }
            JupyterMessageContent::CompleteRequest(asked) => {
                let content = json!({
                    "status": "ok", "matches": [format!("{}ed", asked.code)], "cursor_start": 0,
                    "cursor_end": asked.cursor_pos, "metadata": {},
                });
                self.reply("complete_reply", content, &request).await;
            }
            JupyterMessageContent::CommOpen(open) => {
                let content = json!({"comm_id": open.comm_id, "data": {}});
                self.other("comm_close", content, Vec::new(), &request).await;
            }
            _ => {} // evcxr answers no more
        }
        self.publish(Status::idle(), &request).await;
    }

    async fn execute(&mut self, code: &str, request: &JupyterMessage) {
        let name = self.signs.clone();
        self.count += 1;
        let input = ExecuteInput { code: code.to_owned(), execution_count: ExecutionCount::new(self.count) };
        self.publish(input, request).await;
        let (mut status, mut late) = (ReplyStatus::Ok, Vec::new());
        let (word, rest) = code.split_once(' ').unwrap_or((code, ""));
        let number = rest.parse::<u64>().unwrap_or_default();
        match word {
            "print" => {
                for line in 0..number {
                    self.publish(StreamContent::stdout(&format!("{line}\n")), request).await;
                }
            }
            "result" => {
                let content = json!({"execution_count": self.count, "data": {"text/plain": rest}, "metadata": {}});
                self.other("execute_result", content, Vec::new(), request).await;
            }
            "display" => {
                for at in 0..number {
                    let content = json!({
                        "data": {"text/plain": at.to_string()}, "metadata": {"at": at}, "transient": {},
                    });
                    self.other("display_data", content, vec![Bytes::from(vec![at as u8; 5])], request).await;
                }
            }
            // What is late comes after reply and idle: evcxr reads a cell's standard error on another thread.
            "question" => late = vec![format!("\u{1}{name}:a::B\u{2}{rest}\n"), format!("\u{1}{name}?\n")],
            "panic" => {
                late = vec![
                    "\n".to_owned(),
                    "thread '<unnamed>' (7) panicked at src/lib.rs:1:1:\n".to_owned(),
                    format!("{rest}\n"),
                    "stack backtrace:\n".to_owned(),
                    "   0: run_user_code_7\n".to_owned(),
                    format!("\u{1}{name}!\n"),
                ];
            }
            "warn" => late = vec![format!("{rest}\n")],
            "compile" => {
                status = ReplyStatus::Error;
                for reason in ["one", "two"] {
                    let place = format!("[ command_{}:1:1 ]", self.count);
                    let content = json!({"ename": "Error", "evalue": reason, "traceback": [reason, place]});
                    self.other("error", content, Vec::new(), request).await;
                }
            }
            "abort" => {
                status = ReplyStatus::Error;
                let said = "Subprocess terminated with status: signal: 6 (SIGABRT)";
                let content = json!({"ename": "Error", "evalue": said, "traceback": [said]});
                self.other("error", content, Vec::new(), request).await;
            }
            "live" => {
                // What a cell's code does, here in the kernel's own process.
                let shows = move || {
                    let mut display = live::Display::new(&live::text("0")).expect("a display");
                    (1..=number).for_each(|at| assert!(display.update(&live::text(&at.to_string()))));
                    assert!(live::clear_output(true));
                    display
                };
                let mut display = tokio::task::spawn_blocking(shows).await.unwrap();
                std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_millis(300));
                    display.update(&live::text("later"));
                });
            }
            "bar" => {
                let counts = move || {
                    let bar = live::ProgressBar::new(number);
                    (0..number).for_each(|_| bar.inc(1));
                    bar.finish_with_message("done");
                };
                tokio::task::spawn_blocking(counts).await.unwrap();
            }
            "sleep" => tokio::time::sleep(Duration::from_millis(number)).await,
            "exit" => std::process::exit(i32::try_from(number).unwrap()),
            "input" => {
                let asked = InputRequest { prompt: rest.to_owned(), password: false };
                self.stdin.send(JupyterMessage::new(asked, Some(request))).await.unwrap();
                let JupyterMessageContent::InputReply(reply) = self.stdin.read().await.unwrap().content else {
                    panic!("no input_reply");
                };
                self.publish(StreamContent::stdout(&format!("got {}\n", reply.value)), request).await;
            }
            _ => {
                // The macros.
                if let Some((_, after)) = code.split_once("\\u{1}") {
                    self.signs = after.split('!').next().unwrap().to_owned();
                }
            }
        }
        let reply =
            ExecuteReply { status, execution_count: ExecutionCount::new(self.count), ..ExecuteReply::default() };
        self.shell.send(JupyterMessage::new(reply, Some(request))).await.unwrap();
        self.publish(Status::idle(), request).await;
        if !late.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for text in late {
            self.stderr(&text, request).await;
        }
    }
}
