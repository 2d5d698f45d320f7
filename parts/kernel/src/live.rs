//! Displays from the code that runs in the cells, at any time, by a local socket: `humerus-live` speaks to it.
//!
//! The socket lies in a folder of the owner's. Each connection is one output: what it shows and changes stands under
//! the cell that ran when its first line came, though that cell may be over and another may run.

use std::collections::HashMap;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use crate::wire::Message;

/// The most bytes of one line: a picture of this size would hold up any page.
const MOST: u64 = 64 << 20;

/// What a connection says.
#[derive(Debug)]
pub(crate) enum Speech {
    /// A line, to be answered.
    Line(Value, oneshot::Sender<Result<(), String>>),
    /// It is closed.
    Closed,
}

/// Takes connections for as long as the task runs; each has a number.
pub(crate) async fn listen<E: Send + 'static>(
    listener: UnixListener,
    events: mpsc::Sender<E>,
    from: fn(u64, Speech) -> E,
) {
    let mut number = 0;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        number += 1;
        let (events, number) = (events.clone(), number);
        tokio::spawn(async move {
            let _ = converse(stream, &events, |said| from(number, said)).await;
            let _ = events.send(from(number, Speech::Closed)).await;
        });
    }
}

async fn converse<E>(stream: UnixStream, events: &mpsc::Sender<E>, from: impl Fn(Speech) -> E) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        (&mut reader).take(MOST).read_until(b'\n', &mut line).await?;
        if line.last() != Some(&b'\n') {
            if line.len() as u64 == MOST {
                writer.write_all(format!("error: a line of more than {MOST} bytes\n").as_bytes()).await?;
            }
            return Ok(());
        }
        let answer = match serde_json::from_slice(&line) {
            Ok(value) => {
                let (sender, receiver) = oneshot::channel();
                if events.send(from(Speech::Line(value, sender))).await.is_err() {
                    return Ok(());
                }
                receiver.await.unwrap_or_else(|_| Err("the kernel ends".to_owned()))
            }
            Err(error) => Err(format!("no JSON: {error}")),
        };
        let answer = answer.map_or_else(|reason| format!("error: {reason}\n"), |()| "ok\n".to_owned());
        writer.write_all(answer.as_bytes()).await?;
    }
}

/// The open outputs.
#[derive(Debug, Default)]
pub(crate) struct Displays {
    open: HashMap<u64, (Value, String)>,
}

impl Displays {
    /// Turns a line into the message to publish. `parent` is the header of the cell that runs, or ran last.
    pub fn take(&mut self, connection: u64, line: &Value, parent: Option<&Value>) -> Result<Message, String> {
        let data = || match &line["data"] {
            data @ Value::Object(_) => Ok(data.clone()),
            _ => Err("`data` is no object of texts by MIME type".to_owned()),
        };
        let parent = parent.ok_or_else(|| "no cell has run".to_owned());
        match line["do"].as_str().unwrap_or_default() {
            "display" => {
                let (data, id) = (data()?, uuid::Uuid::new_v4().simple().to_string());
                let parent = parent?.clone();
                let content = json!({"data": data, "metadata": {}, "transient": {"display_id": id}});
                let message = Message::about(&parent, "display_data", content);
                self.open.insert(connection, (parent, id));
                Ok(message)
            }
            "update" => {
                let (parent, id) = self.open.get(&connection).ok_or("there is no display to update")?;
                let content = json!({"data": data()?, "metadata": {}, "transient": {"display_id": id}});
                Ok(Message::about(parent, "update_display_data", content))
            }
            "clear" => {
                Ok(Message::about(parent?, "clear_output", json!({"wait": line["wait"].as_bool().unwrap_or(false)})))
            }
            other => Err(format!("`do` is {other:?}, none of display, update, clear")),
        }
    }

    /// Forgets a connection.
    pub fn close(&mut self, connection: u64) {
        self.open.remove(&connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_display_and_its_updates_stand_under_the_cell_that_began_them() {
        let (first, second) = (json!({"msg_id": "1"}), json!({"msg_id": "2"}));
        let mut displays = Displays::default();
        let shown = displays.take(7, &json!({"do": "display", "data": {"text/plain": "a"}}), Some(&first)).unwrap();
        let update = json!({"do": "update", "data": {"text/plain": "b"}});
        let updated = displays.take(7, &update, Some(&second)).unwrap();
        assert_eq!((shown.kind(), shown.parent_id()), ("display_data", "1"));
        assert_eq!((updated.kind(), updated.parent_id()), ("update_display_data", "1"));
        let id = |message: &Message| message.content()["transient"]["display_id"].clone();
        assert!(id(&shown) == id(&updated) && id(&shown).is_string());
        displays.close(7);
        assert!(displays.take(7, &update, Some(&second)).is_err() && displays.open.is_empty());
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_reason() {
        let mut displays = Displays::default();
        let parent = json!({});
        for (line, reason) in [
            (json!({"do": "dance"}), "\"dance\""),
            (json!([1]), "`do` is \"\""),
            (json!({"do": "display", "data": "text"}), "`data` is no object"),
            (json!({"do": "update", "data": {}}), "no display"),
        ] {
            assert!(displays.take(1, &line, Some(&parent)).unwrap_err().contains(reason), "{line}");
        }
        assert_eq!(displays.take(1, &json!({"do": "clear"}), None).unwrap_err(), "no cell has run");
    }
}
