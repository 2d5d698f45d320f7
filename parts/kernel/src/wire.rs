//! Jupyter's messages as they travel: identities, a delimiter, a signature, four parts of JSON, buffers.
//!
//! What is only passed on keeps its parts byte for byte; they are signed anew with the key of the side they go to.
//! (<https://jupyter-client.readthedocs.io/en/stable/messaging.html#the-wire-protocol>)

use bytes::Bytes;
use jupyter_protocol::{JupyterMessage, JupyterMessageContent};
use jupyter_zmq_client::RawMessage;
use ring::hmac;
use serde_json::{Map, Value, json};
use zeromq::ZmqMessage;

const DELIMITER: &[u8] = b"<IDS|MSG>";

/// The four parts of JSON that are signed.
const HEADER: usize = 0;
const PARENT: usize = 1;
const CONTENT: usize = 3;
const SIGNED: usize = 4;

/// A key to sign with; none where the connection file's is empty.
pub(crate) type SigningKey = Option<hmac::Key>;

/// The key of a connection file.
pub(crate) fn key(text: &str) -> SigningKey {
    (!text.is_empty()).then(|| hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()))
}

/// A message whose signature was right, or that is to be signed.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Whom a reply goes to.
    pub identities: Vec<Bytes>,
    /// The header.
    pub header: Value,
    /// The header of the message that this one answers; `{}` if none.
    pub parent: Value,
    parts: Vec<Bytes>,
}

impl Message {
    /// Checks signature and form of what a socket received. The error is one line.
    pub fn read(received: ZmqMessage, key: &SigningKey) -> Result<Message, String> {
        let raw = RawMessage::from_multipart(received, key).map_err(|error| match error {
            jupyter_zmq_client::RuntimeError::VerifyError(_) | jupyter_zmq_client::RuntimeError::DecodeError(_) => {
                "its signature is wrong".to_owned()
            }
            other => other.to_string(),
        })?;
        let object = |part: usize, what: &str| match serde_json::from_slice(&raw.jparts[part]) {
            Ok(value @ Value::Object(_)) => Ok(value),
            Ok(_) => Err(format!("its {what} is no object")),
            Err(error) => Err(format!("its {what} is no JSON: {error}")),
        };
        let header = object(HEADER, "header")?;
        for field in ["msg_id", "msg_type"] {
            if !header[field].is_string() {
                return Err(format!("its header has no {field}"));
            }
        }
        let parent = object(PARENT, "parent header")?;
        object(CONTENT, "content")?;
        Ok(Message { identities: raw.zmq_identities, header, parent, parts: raw.jparts })
    }

    /// A new message of the kernel's own about the message with the header `parent`.
    pub fn about(parent: &Value, msg_type: &str, content: Value) -> Message {
        let unknown = jupyter_protocol::UnknownMessage { msg_type: msg_type.to_owned(), content: Value::Null };
        let made = JupyterMessage::new(JupyterMessageContent::UnknownMessage(unknown), None).header;
        let header = json!({
            "msg_id": made.msg_id,
            "msg_type": msg_type,
            "username": "kernel",
            "session": parent.get("session").cloned().unwrap_or_else(|| json!(made.session)),
            "date": made.date,
            "version": made.version,
        });
        let parts = [&header, parent, &json!({}), &content].map(|part| Bytes::from(part.to_string())).to_vec();
        Message { identities: Vec::new(), header, parent: parent.clone(), parts }
    }

    /// A request that nothing caused.
    pub fn request(msg_type: &str, content: Value) -> Message {
        Message::about(&json!({}), msg_type, content)
    }

    /// The answer to this request, for the one who asked.
    pub fn reply(&self, content: Value) -> Message {
        let msg_type = self.kind().replace("_request", "_reply");
        Message { identities: self.identities.clone(), ..Message::about(&self.header, &msg_type, content) }
    }

    /// What kind of message it is.
    pub fn kind(&self) -> &str {
        self.header["msg_type"].as_str().unwrap_or_default()
    }

    /// Its name.
    pub fn id(&self) -> &str {
        self.header["msg_id"].as_str().unwrap_or_default()
    }

    /// The name of the message that it is about.
    pub fn parent_id(&self) -> &str {
        self.parent["msg_id"].as_str().unwrap_or_default()
    }

    /// The content.
    pub fn content(&self) -> Value {
        serde_json::from_slice(&self.parts[CONTENT]).unwrap_or_else(|_| Value::Object(Map::new()))
    }

    /// The same message with another content.
    pub fn with_content(mut self, content: &Value) -> Message {
        self.parts[CONTENT] = Bytes::from(content.to_string());
        self
    }

    /// The frames to send.
    pub fn signed(&self, key: &SigningKey) -> ZmqMessage {
        let signature = key.as_ref().map_or_else(String::new, |key| {
            let mut context = hmac::Context::with_key(key);
            self.parts[..SIGNED].iter().for_each(|part| context.update(part));
            context.sign().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
        });
        let mut frames = self.identities.clone();
        frames.extend([Bytes::from_static(DELIMITER), Bytes::from(signature)]);
        frames.extend(self.parts.iter().cloned());
        ZmqMessage::try_from(frames).expect("there are six frames at least")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(message: &ZmqMessage) -> Vec<Bytes> {
        message.clone().into_vec()
    }

    #[test]
    fn a_message_keeps_its_bytes_identities_and_buffers_under_another_key() {
        let (ours, theirs) = (key("ours"), key("theirs"));
        let mut message = Message::request("execute_request", json!({"code": "1"}));
        // Blanks and an order of fields that no serialiser would choose.
        message.parts[CONTENT] = Bytes::from_static(b"{ \"z\":1, \"a\" : 2 }");
        message.parts.push(Bytes::from_static(b"\0buffer"));
        message.identities = vec![Bytes::from_static(b"front end")];
        let read = Message::read(message.signed(&ours), &ours).unwrap();
        let (sent, passed) = (frames(&message.signed(&ours)), frames(&read.signed(&theirs)));
        assert_eq!(sent.len(), passed.len());
        for (at, (a, b)) in sent.iter().zip(&passed).enumerate() {
            assert_eq!(a == b, at != 2, "frame {at}: only the signature differs");
        }
        assert!(Message::read(read.signed(&theirs), &theirs).is_ok());
        assert!(Message::read(message.signed(&None), &None).is_ok(), "without a key nothing is signed");
    }

    #[test]
    fn the_signature_is_that_of_another_implementation() {
        // python: hmac.new(b"k", b'{"msg_id":"1","msg_type":"x"}{}{}{}', "sha256").hexdigest()
        let parts = [&br#"{"msg_id":"1","msg_type":"x"}"#[..], b"{}", b"{}", b"{}"].map(Bytes::from_static).to_vec();
        let message = Message { identities: Vec::new(), header: json!({}), parent: json!({}), parts };
        let signature = "56d8f0bd0ea267ae04f976c7adc3130329099d68460a0a48460004e21e3189a4";
        assert_eq!(frames(&message.signed(&key("k")))[1], signature);
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_reason() {
        let key = key("k");
        let good = frames(&Message::request("x", json!({})).signed(&key));
        let refused = |change: &dyn Fn(&mut Vec<Bytes>)| {
            let mut frames = good.clone();
            change(&mut frames);
            Message::read(ZmqMessage::try_from(frames).unwrap(), &key).unwrap_err()
        };
        assert_eq!(refused(&|frames| frames[5] = Bytes::from_static(b"{\"code\":1}")), "its signature is wrong");
        assert_eq!(refused(&|frames| frames[1] = Bytes::from_static(b"")), "its signature is wrong");
        assert_eq!(refused(&|frames| frames[1] = Bytes::from_static(b"no hex")), "its signature is wrong");
        assert_eq!(refused(&|frames| frames.truncate(4)), "Insufficient message parts 2");
        assert_eq!(refused(&|frames| frames.truncate(1)), "Missing hmac");
        assert_eq!(refused(&|frames| _ = frames.remove(0)), "Missing delimiter");
        // Signed well, and still no message.
        let signed = |at: usize, part: &'static [u8]| {
            let mut message = Message::request("x", json!({}));
            message.parts[at] = Bytes::from_static(part);
            Message::read(message.signed(&key), &key).unwrap_err()
        };
        assert!(signed(HEADER, b"{\"msg_id\"").starts_with("its header is no JSON"));
        assert_eq!(signed(HEADER, b"{\"msg_id\":\"1\"}"), "its header has no msg_type");
        assert_eq!(signed(HEADER, b"{\"msg_id\":7}"), "its header has no msg_id");
        assert_eq!(signed(PARENT, b"[]"), "its parent header is no object");
        assert!(signed(CONTENT, &[0xff]).starts_with("its content is no JSON"));
    }

    #[test]
    fn a_reply_goes_to_who_asked_and_names_the_request() {
        let mut request = Message::request("complete_request", json!({}));
        request.identities = vec![Bytes::from_static(b"me")];
        let reply = request.reply(json!({"status": "ok"}));
        assert_eq!((reply.kind(), reply.parent_id()), ("complete_reply", request.id()));
        assert_eq!(reply.identities, request.identities);
        assert_ne!(reply.id(), request.id());
        assert_eq!(reply.header["session"], request.header["session"]);
        // The typed reader of the protocol crate takes what we make.
        let typed: jupyter_protocol::Header = serde_json::from_value(reply.header).unwrap();
        assert_eq!(typed.version, "5.3");
    }
}
