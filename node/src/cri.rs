//! The sandboxes of the node's container engine, from its CRI: one gRPC call over a socket of the node.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use h2::client::handshake;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, StatusCode, Version};
use linkspan_protocol::ident::ContainerId;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::error::{Error, Result};
use crate::message::Message;

/// The call. Every engine in use has this version of the CRI (containerd since 1.6, CRI-O since 1.20).
const METHOD: &str = "http://localhost/runtime.v1.RuntimeService/ListPodSandbox";

/// A request without a filter: an empty message after its prefix, which has the compression flag and the length.
const EVERYTHING: [u8; PREFIX] = [0; PREFIX];

/// The bytes before a message.
const PREFIX: usize = 5;

/// The longest answer. Engines and kubelet have the same limit.
const LONGEST: usize = 16 << 20;

/// The time limit for an engine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Fields of `ListPodSandboxResponse`, `PodSandbox` and `PodSandboxMetadata`.
const ITEMS: u64 = 1;
const ID: u64 = 1;
const METADATA: u64 = 2;
const UID: u64 = 2;

/// Every sandbox, in any state, of the engine that runs the pod with this UID. Another engine of the node answers,
/// too, but does not know the pods. A sandbox in creation is not included.
pub async fn sandboxes(sockets: &[PathBuf], pod: &str) -> Result<BTreeSet<ContainerId>> {
    let mut told = Vec::new();
    for socket in sockets {
        let answer = match timeout(PATIENCE, ask(socket)).await {
            Ok(answer) => answer,
            Err(_) => Err("it takes too long".to_owned()),
        };
        match answer.and_then(|answer| known(&answer)) {
            Ok((sandboxes, pods)) if pods.contains(pod) => return Ok(sandboxes),
            Ok(_) => told.push(format!("{}: it does not run pod {pod}", socket.display())),
            Err(why) => told.push(format!("{}: {why}", socket.display())),
        }
    }
    Err(Error::Engine(told.join("; ")))
}

/// The ids of the sandboxes in an answer, and the UIDs of their pods.
fn known(answer: &[u8]) -> std::result::Result<(BTreeSet<ContainerId>, BTreeSet<String>), String> {
    let broken = || "its answer cannot be read".to_owned();
    let (mut ids, mut uids) = (BTreeSet::new(), BTreeSet::new());
    let answer = Message::parse(answer).ok_or_else(broken)?;
    for item in answer.all(ITEMS) {
        let item = Message::parse(item).ok_or_else(broken)?;
        let id = item.text(ID).and_then(|id| ContainerId::parse(id).ok());
        ids.insert(id.ok_or_else(broken)?);
        for metadata in item.all(METADATA) {
            let metadata = Message::parse(metadata).ok_or_else(broken)?;
            uids.extend(metadata.text(UID).map(str::to_owned));
        }
    }
    Ok((ids, uids))
}

/// The engine's answer.
async fn ask(socket: &Path) -> std::result::Result<Vec<u8>, String> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|err| unreachable(&err))?;
    let (sender, connection) = handshake(stream).await.map_err(|err| broke(&err))?;
    // The task ends with the last handle of this call.
    tokio::spawn(connection);
    let mut sender = sender.ready().await.map_err(|err| broke(&err))?;
    let request = Request::post(METHOD)
        .version(Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .map_err(|err| err.to_string())?;
    let (answer, mut body) = sender
        .send_request(request, false)
        .map_err(|err| broke(&err))?;
    body.send_data(Bytes::from_static(&EVERYTHING), true)
        .map_err(|err| broke(&err))?;
    let (head, mut stream) = answer.await.map_err(|err| broke(&err))?.into_parts();
    if head.status != StatusCode::OK {
        return Err(format!("it answers {}", head.status));
    }
    let bytes = read(&mut stream).await?;
    let trailers = stream.trailers().await.map_err(|err| broke(&err))?;
    succeeded(&trailers.unwrap_or(head.headers))?;
    message(&bytes)
}

async fn read(stream: &mut RecvStream) -> std::result::Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece.map_err(|err| broke(&err))?;
        bytes.extend(&piece);
        if bytes.len() > LONGEST {
            return Err(format!("its answer has more than {LONGEST} bytes"));
        }
        stream
            .flow_control()
            .release_capacity(piece.len())
            .map_err(|err| broke(&err))?;
    }
    Ok(bytes)
}

/// Verifies the status of the call. A broken call has none.
fn succeeded(headers: &HeaderMap) -> std::result::Result<(), String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status") {
        Some("0") => Ok(()),
        Some(code) => {
            let why = text("grpc-message").unwrap_or_default();
            Err(format!("it refuses with code {code}: {why}"))
        }
        None => Err("its answer has no status".to_owned()),
    }
}

/// The single message of an answer, which must not be compressed.
fn message(bytes: &[u8]) -> std::result::Result<Vec<u8>, String> {
    let whole =
        bytes
            .split_first_chunk::<PREFIX>()
            .filter(|([compressed, length @ ..], message)| {
                *compressed == 0
                    && usize::try_from(u32::from_be_bytes(*length)) == Ok(message.len())
            });
    let (_, message) = whole.ok_or("its answer is not one whole message")?;
    Ok(message.to_vec())
}

fn unreachable(err: &io::Error) -> String {
    match err.kind() {
        ErrorKind::NotFound => "there is no engine".to_owned(),
        _ => err.to_string(),
    }
}

fn broke(err: &h2::Error) -> String {
    match err.reason() {
        Some(Reason::NO_ERROR) | None => format!("the connection broke: {err}"),
        Some(reason) => format!("the connection broke: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_message_that_is_whole_and_not_compressed() {
        assert_eq!(message(&[0, 0, 0, 0, 2, 7, 8]), Ok(vec![7, 8]));
        for broken in [
            &[][..],
            &[0, 0, 0, 0],
            &[0, 0, 0, 0, 2, 7],
            &[0, 0, 0, 0, 0, 7],
            &[1, 0, 0, 0, 2, 7, 8],
        ] {
            assert!(message(broken).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn an_answer_names_sandboxes_and_pods_and_a_broken_one_nothing() {
        // items { id: "a1" metadata { name: "p" uid: "u" } } items { id: "b" }
        let answer = b"\x0a\x0c\x0a\x02a1\x12\x06\x0a\x01p\x12\x01u\x0a\x03\x0a\x01b";
        let (ids, uids) = known(answer).unwrap();
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        assert_eq!(ids, ["a1", "b"]);
        assert_eq!(uids.into_iter().collect::<Vec<_>>(), ["u"]);
        for end in 1..answer.len() {
            // A whole item is a whole answer.
            assert!(end == 14 || known(&answer[..end]).is_err(), "{end}");
        }
        // A sandbox without an id.
        assert!(known(b"\x0a\x03\x12\x01u").is_err());
    }
}
