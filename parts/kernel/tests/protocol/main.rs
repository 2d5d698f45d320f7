//! The protocol, message by message, seen by a front end of another implementation.

mod fake;
mod front;
mod hostile;
mod real;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use front::{FrontEnd, PATIENCE, Proxy, Seen};
use jupyter_protocol::{
    CommInfoRequest, CommOpen, CompleteRequest, ExecuteRequest, HistoryRequest, InputReply, InterruptRequest,
    IsCompleteRequest, JupyterMessage, JupyterMessageContent, KernelInfoRequest, ShutdownRequest,
};
use jupyter_zmq_client::create_client_heartbeat_connection;
use serde_json::json;

/// The kernel behind the proxies of these tests: this program, once more.
#[test]
fn fake_kernel() {
    if let Some(path) = std::env::args().find(|word| word.contains("/connection-") && word.ends_with(".json")) {
        fake::run(Path::new(&path));
    }
}

#[tokio::test]
async fn a_cell_passes_through_in_the_protocol_s_order() {
    let proxy = Proxy::start().await;
    let mut front = FrontEnd::connect(&proxy.info).await;
    let answer = front.run("result 2").await;
    assert_eq!(answer.shown(), ["execute_input", "execute_result"]);
    assert!(answer.published.iter().all(|seen| seen.parent == answer.reply.parent), "one parent");
    assert_eq!((answer.reply.kind.as_str(), answer.status()), ("execute_reply", "ok"));
    assert_eq!(answer.reply.content["execution_count"], 1, "a reader counts from one, without our own cell");
    assert_eq!(answer.published[2].content["execution_count"], 1);
    assert_eq!(answer.published[1].content["code"], "result 2");
    let answer = front.run("display 2").await;
    assert_eq!(answer.reply.content["execution_count"], 2);
    assert_eq!(answer.published[3].buffers, [vec![1_u8; 5]], "buffers are kept");
    assert_eq!(answer.published[3].content["metadata"], json!({"at": 1}));
}

#[tokio::test]
async fn requests_are_answered_also_those_that_evcxr_leaves() {
    let proxy = Proxy::start().await;
    let mut front = FrontEnd::connect(&proxy.info).await;
    let id = front.ask(KernelInfoRequest {}).await;
    let info = front.answer(&id).await.reply;
    assert_eq!(info.content["language_info"]["pygments_lexer"], "rust");
    assert_eq!(front.control(KernelInfoRequest {}).await.kind, "kernel_info_reply");
    let history = HistoryRequest::Tail { n: 5, output: false, raw: true };
    for (asked, reply) in [
        (JupyterMessageContent::from(CommInfoRequest { target_name: None }), "comm_info_reply"),
        (history.into(), "history_reply"),
        (CompleteRequest { code: "pre".to_owned(), cursor_pos: 3 }.into(), "complete_reply"),
    ] {
        let id = front.ask(asked).await;
        assert_eq!(front.answer(&id).await.reply.kind, reply);
    }
    // A request without a reply holds up nothing.
    let open = CommOpen {
        comm_id: jupyter_protocol::CommId("7".to_owned()),
        target_name: "widget".to_owned(),
        data: serde_json::Map::new(),
        target_module: None,
    };
    front.ask(open).await;
    assert_eq!(front.run("result 1").await.status(), "ok");
}

#[tokio::test]
async fn while_a_cell_runs_completion_and_status_are_answered_at_once() {
    let proxy = Proxy::start().await;
    let mut front = FrontEnd::connect(&proxy.info).await;
    let cell = front.send("sleep 1500").await;
    let started = Instant::now();
    for asked in [
        JupyterMessageContent::from(CompleteRequest { code: "pre".to_owned(), cursor_pos: 3 }),
        KernelInfoRequest {}.into(),
        IsCompleteRequest { code: "{".to_owned() }.into(),
    ] {
        let id = front.ask(asked).await;
        front.reply(&id).await;
    }
    assert!(started.elapsed() < Duration::from_millis(1000), "{:?}", started.elapsed());
    assert_eq!(front.answer(&cell).await.status(), "ok");
}

#[tokio::test]
async fn a_failed_question_mark_is_an_error_under_its_own_cell() {
    let proxy = Proxy::start().await;
    let mut front = FrontEnd::connect(&proxy.info).await;
    let answer = front.run("question no film").await;
    assert_eq!(answer.shown(), ["execute_input", "error no film"], "the sign of it does not show");
    let (reply, error) = (&answer.reply.content, &answer.published[2].content);
    assert_eq!(
        (&reply["status"], &reply["ename"], &reply["evalue"]),
        (&json!("error"), &json!("B"), &json!("no film"))
    );
    assert_eq!(error["traceback"], reply["traceback"]);
    assert_eq!(
        front.run("result 1").await.shown(),
        ["execute_input", "execute_result"],
        "and nothing of it under the next"
    );
}

#[tokio::test]
async fn a_panic_is_an_error_with_a_short_traceback() {
    let proxy = Proxy::start().await;
    let mut front = FrontEnd::connect(&proxy.info).await;
    let answer = front.run("panic index out of bounds").await;
    assert_eq!(answer.shown(), ["execute_input", "error index out of bounds"]);
    let traceback = answer.reply.content["traceback"].to_string();
    assert!(traceback.contains("panicked") && !traceback.contains("run_user_code"), "{traceback}");
}

#[tokio::test]
async fn errors_that_evcxr_tells_have_their_reason_in_the_reply() {
    let proxy = Proxy::start().await;
    let mut front = FrontEnd::connect(&proxy.info).await;
    let answer = front.run("compile").await;
    assert_eq!(answer.shown(), ["execute_input", "error one", "error two"]);
    assert_eq!(answer.reply.content["evalue"], "one");
    assert_eq!(answer.reply.content["traceback"], json!(["one", "[ cell 1:1:1 ]", "two", "[ cell 1:1:1 ]"]));
    let answer = front.run("abort").await;
    assert_eq!(answer.reply.content["ename"], "ProcessEnded");
    assert!(answer.shown()[1].contains("SIGABRT"));
}

#[tokio::test]
async fn late_warnings_stand_under_their_own_cell_and_are_no_error() {
    let proxy = Proxy::start().await;
    let mut front = FrontEnd::connect(&proxy.info).await;
    let answer = front.run("warn thread of life panicked at nothing").await;
    assert_eq!(answer.shown(), ["execute_input", "stream thread of life panicked at nothing"]);
    assert_eq!(answer.status(), "ok");
}

#[tokio::test]
async fn cells_behind_a_failed_one_do_not_run_unless_they_are_to() {
    let proxy = Proxy::start().await;
    let mut front = FrontEnd::connect(&proxy.info).await;
    let mut ids = Vec::new();
    for code in ["sleep 300", "question no", "result 1", "result 2"] {
        ids.push(front.send(code).await);
    }
    let mut replies = Vec::new();
    for id in &ids {
        replies.push(front.reply(id).await.content["status"].as_str().unwrap().to_owned());
    }
    assert_eq!(replies, ["ok", "error", "aborted", "aborted"]);
    assert_eq!(front.run("result 3").await.status(), "ok");
    // As `cargo lab` and nbclient ask where errors are expected.
    let mut ids = Vec::new();
    for code in ["sleep 300", "question no", "result 1"] {
        ids.push(front.ask(ExecuteRequest { stop_on_error: false, ..ExecuteRequest::new(code.to_owned()) }).await);
    }
    assert_eq!(front.reply(&ids[2]).await.content["status"], "ok");
}

#[tokio::test]
async fn much_output_is_few_messages() {
    let proxy = Proxy::start().await;
    let mut front = FrontEnd::connect(&proxy.info).await;
    let answer = front.run("print 5000").await;
    let streams: Vec<&Seen> = answer.published.iter().filter(|seen| seen.kind == "stream").collect();
    let text: String = streams.iter().map(|seen| seen.content["text"].as_str().unwrap()).collect();
    assert_eq!(text, (0..5000).map(|line| format!("{line}\n")).collect::<String>());
    assert!(streams.len() < 200, "{} messages", streams.len());
}

#[tokio::test]
async fn ten_thousand_displays_come_all_and_in_order() {
    let proxy = Proxy::start().await;
    let mut front = FrontEnd::connect(&proxy.info).await;
    let answer = front.run("display 10000").await;
    let displays: Vec<&Seen> = answer.published.iter().filter(|seen| seen.kind == "display_data").collect();
    assert_eq!(displays.len(), 10_000);
    assert!(displays.iter().enumerate().all(|(at, seen)| seen.content["metadata"]["at"] == at));
}

#[tokio::test]
async fn displays_change_while_the_cell_runs_and_after_it_under_their_own_cell() {
    let proxy = Proxy::start().await;
    let mut front = FrontEnd::connect(&proxy.info).await;
    let answer = front.run("live 3").await;
    let kinds = ["execute_input", "display_data", "update_display_data", "update_display_data", "update_display_data"];
    assert_eq!(answer.shown(), [&kinds[..], &["clear_output"]].concat());
    let id = |seen: &Seen| seen.content["transient"]["display_id"].as_str().unwrap().to_owned();
    assert_eq!(id(&answer.published[2]), id(&answer.published[5]));
    assert_eq!(answer.published[5].content["data"]["text/plain"], "3");
    // A thread that goes on, while another cell runs.
    front.send("sleep 600").await;
    let later = async {
        loop {
            let seen = front.seen().await;
            if seen.kind == "update_display_data" {
                return seen;
            }
        }
    };
    let later = tokio::time::timeout(PATIENCE, later).await.unwrap();
    assert_eq!((later.parent.as_str(), id(&later)), (answer.reply.parent.as_str(), id(&answer.published[2])));
}

#[tokio::test]
async fn a_bar_of_many_steps_is_few_messages_and_ends_full() {
    let proxy = Proxy::start().await;
    let mut front = FrontEnd::connect(&proxy.info).await;
    let answer = front.run("bar 100000").await;
    let changes: Vec<&Seen> = answer.published.iter().filter(|seen| seen.kind == "update_display_data").collect();
    assert!(changes.len() < 50, "{} changes", changes.len());
    let last = changes.last().unwrap().content["data"]["text/plain"].as_str().unwrap();
    assert!(last.ends_with("100000/100000 done"), "{last}");
}

#[tokio::test]
async fn two_front_ends_each_get_their_replies_and_both_see_everything() {
    let proxy = Proxy::start().await;
    let mut one = FrontEnd::connect(&proxy.info).await;
    let mut two = FrontEnd::connect(&proxy.info).await;
    let (first, second) = (one.send("result 1").await, two.send("result 2").await);
    assert_eq!(one.answer(&first).await.shown(), ["execute_input", "execute_result"]);
    assert_eq!(two.answer(&second).await.shown(), ["execute_input", "execute_result"]);
    // Each also saw the other's, which `answer` left aside.
    let id = two.send("result 3").await;
    let seen = async { while one.seen().await.parent != id {} };
    tokio::time::timeout(PATIENCE, seen).await.expect("seen by the other one");
}

#[tokio::test]
async fn input_is_asked_of_the_front_end_that_sent_the_cell() {
    let proxy = Proxy::start().await;
    let _other = FrontEnd::connect(&proxy.info).await;
    let mut front = FrontEnd::connect(&proxy.info).await;
    let id = front.send("input name?").await;
    let asked = tokio::time::timeout(PATIENCE, front.stdin.read()).await.expect("a question").unwrap();
    let JupyterMessageContent::InputRequest(request) = &asked.content else { panic!("{asked:?}") };
    assert_eq!(request.prompt, "name?");
    let reply = InputReply { value: "Röntgen".to_owned(), ..InputReply::default() };
    front.stdin.send(JupyterMessage::new(reply, Some(&asked)).with_zmq_identities(Vec::new())).await.unwrap();
    assert_eq!(front.answer(&id).await.shown(), ["execute_input", "stream got Röntgen"]);
}

#[tokio::test]
async fn the_heart_beats_while_a_cell_runs() {
    let proxy = Proxy::start().await;
    let mut front = FrontEnd::connect(&proxy.info).await;
    let cell = front.send("sleep 500").await;
    let mut heart = create_client_heartbeat_connection(&proxy.info).await.unwrap();
    for _ in 0..3 {
        tokio::time::timeout(Duration::from_millis(400), heart.single_heartbeat()).await.unwrap().unwrap();
    }
    front.answer(&cell).await;
}

#[tokio::test]
async fn a_kernel_that_dies_is_told_to_everybody_who_waits() {
    let proxy = Proxy::start().await;
    let mut front = FrontEnd::connect(&proxy.info).await;
    let (dies, waits) = (front.send("exit 3").await, front.send("result 1").await);
    let answer = front.answer(&dies).await;
    assert_eq!(answer.shown(), ["execute_input", "error the kernel ended: exit status: 3"]);
    assert_eq!(answer.reply.content["ename"], "KernelEnded");
    assert_eq!(front.reply(&waits).await.content["status"], "aborted");
    assert_eq!(proxy.end().await.unwrap().code(), Some(3), "and Jupyter sees its end");
}

#[tokio::test]
async fn a_shutdown_is_answered_and_nothing_is_left() {
    for code in [None, Some("sleep 60000")] {
        let proxy = Proxy::start().await;
        let mut front = FrontEnd::connect(&proxy.info).await;
        if let Some(code) = code {
            front.send(code).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let started = Instant::now();
        let reply = front.control(ShutdownRequest { restart: true }).await;
        assert_eq!((reply.kind.as_str(), &reply.content["restart"]), ("shutdown_reply", &json!(true)));
        assert_eq!(proxy.end().await, None);
        assert!(started.elapsed() < Duration::from_secs(4), "Jupyter waits for five");
    }
}

#[tokio::test]
async fn an_interrupt_reaches_the_kernel_and_is_answered() {
    let proxy = Proxy::start().await;
    let mut front = FrontEnd::connect(&proxy.info).await;
    assert_eq!(front.control(InterruptRequest {}).await.kind, "interrupt_reply");
}

#[tokio::test]
async fn a_kernel_that_does_not_start_is_one_line() {
    for (command, reason) in [("/nowhere/kernel", "No such file"), ("/bin/false", "it ended: exit status: 1")] {
        let proxy = Proxy::before(vec![command.to_owned(), "{own_connection_file}".to_owned()]).await;
        let error = tokio::time::timeout(PATIENCE, proxy.ended).await.unwrap().unwrap().unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot start the kernel `{command} ")), "{error}");
        assert!(error.contains(reason), "{error}");
    }
}

#[tokio::test]
async fn what_the_proxy_writes_is_its_owner_s_alone() {
    let before: Vec<_> = kernels().collect();
    let proxy = Proxy::start().await;
    let mut front = FrontEnd::connect(&proxy.info).await;
    for folder in kernels().filter(|folder| !before.contains(folder)) {
        let Ok(data) = folder.metadata() else { continue }; // another test's, gone by now
        assert_eq!(data.permissions().mode() & 0o777, 0o700, "{folder:?}");
    }
    front.control(ShutdownRequest { restart: false }).await;
    proxy.end().await;
}

fn kernels() -> impl Iterator<Item = std::path::PathBuf> {
    let entries = std::fs::read_dir(std::env::temp_dir()).unwrap().flatten().map(|entry| entry.path());
    entries.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("kernel-")))
}
