//! A small container engine of the tests' own: it lists its sandboxes over the CRI, as containerd and CRI-O do.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{SendResponse, handshake};
use http::{HeaderMap, Request, Response};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Builder;

/// The answers to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// All sandboxes.
    Whole,
    /// A refusal, as of an engine whose CRI is switched off.
    Refusal,
    /// All sandboxes, and a failed status.
    Failure,
    /// A message that is longer than its connection lasts.
    Half,
    /// All sandboxes without a status.
    Unfinished,
    /// Bytes that are not a message.
    Babble,
    /// HTTP's own refusal.
    Http,
}

struct State {
    sandboxes: Vec<(String, String)>,
    answer: Answer,
    asked: usize,
}

#[derive(Clone)]
pub(crate) struct Engine {
    socket: PathBuf,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Engine {
    /// An engine behind a socket of its own.
    pub(crate) fn new(socket: &Path) -> Self {
        let state = State {
            sandboxes: Vec::new(),
            answer: Answer::Whole,
            asked: 0,
        };
        let engine = Self {
            socket: socket.to_owned(),
            state: Arc::new((Mutex::new(state), Condvar::new())),
        };
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let listener = {
            let _in_runtime = runtime.enter();
            UnixListener::bind(socket).unwrap()
        };
        let serving = engine.clone();
        thread::spawn(move || {
            runtime.block_on(async {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    tokio::spawn(serving.clone().serve(stream));
                }
            });
        });
        engine
    }

    pub(crate) fn socket(&self) -> String {
        self.socket.display().to_string()
    }

    fn with<T>(&self, visit: impl FnOnce(&mut State) -> T) -> T {
        let value = visit(&mut self.state.0.lock().unwrap());
        self.state.1.notify_all();
        value
    }

    /// Adds a sandbox of the pod with that UID.
    pub(crate) fn runs(&self, id: &str, pod: &str) {
        self.with(|state| state.sandboxes.push((id.to_owned(), pod.to_owned())));
    }

    pub(crate) fn answers(&self, answer: Answer) {
        self.with(|state| state.answer = answer);
    }

    /// Waits for so many requests from now on.
    pub(crate) fn until_asked(&self, times: usize) {
        let until = self.with(|state| state.asked + times);
        let state = self.state.0.lock().unwrap();
        let lacks = |state: &mut State| state.asked < until;
        drop(self.state.1.wait_while(state, lacks).unwrap());
    }

    async fn serve(self, stream: UnixStream) {
        let mut connection = handshake(stream).await.unwrap();
        while let Some(Ok((request, respond))) = connection.accept().await {
            // The answer goes out while the connection is driven.
            tokio::spawn(self.clone().tell(request, respond));
        }
    }

    async fn tell(self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let method = request.uri().path();
        assert_eq!(method, "/runtime.v1.RuntimeService/ListPodSandbox");
        let headers = request.headers();
        assert_eq!(headers["content-type"], "application/grpc");
        assert_eq!(headers["te"], "trailers");
        let mut body = request.into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), [0; 5][..]);
        let (answer, message) = self.with(|state| {
            state.asked += 1;
            (state.answer, message(&state.sandboxes))
        });
        let head = || Response::builder().header("content-type", "application/grpc");
        match answer {
            Answer::Refusal => {
                let head = head().header("grpc-status", "12");
                let head = head.header("grpc-message", "unknown service");
                respond.send_response(head.body(()).unwrap(), true).unwrap();
                return;
            }
            Answer::Http => {
                let head = head().status(503).body(()).unwrap();
                respond.send_response(head, true).unwrap();
                return;
            }
            _ => {}
        }
        let mut stream = respond
            .send_response(head().body(()).unwrap(), false)
            .unwrap();
        let message = match answer {
            Answer::Babble => vec![0, 0, 0, 0, 2, 0xff, 0xff],
            _ => message,
        };
        if answer == Answer::Half {
            let half = message.len() / 2;
            stream
                .send_data(Bytes::from(message[..half].to_vec()), false)
                .unwrap();
            stream.send_reset(h2::Reason::INTERNAL_ERROR);
            return;
        }
        let last = answer == Answer::Unfinished;
        stream.send_data(Bytes::from(message), last).unwrap();
        if !last {
            let mut trailers = HeaderMap::new();
            let status = if answer == Answer::Failure { "2" } else { "0" };
            trailers.insert("grpc-status", status.parse().unwrap());
            stream.send_trailers(trailers).unwrap();
        }
    }
}

/// `ListPodSandboxResponse` with the prefix of a message.
fn message(sandboxes: &[(String, String)]) -> Vec<u8> {
    let mut all = Vec::new();
    for (id, uid) in sandboxes {
        let metadata = [
            field(1, b"pod"),
            field(2, uid.as_bytes()),
            field(3, b"default"),
        ];
        let item = [
            field(1, id.as_bytes()),
            field(2, &metadata.concat()),
            // Its state, and the time of its creation.
            vec![3 << 3, 0, 4 << 3, 0x80, 0x80, 1],
            // Longer than one frame of HTTP/2 and its first window, all together.
            field(
                6,
                &[field(1, b"note"), field(2, &vec![b'n'; 30_000])].concat(),
            ),
        ];
        all.extend(field(1, &item.concat()));
    }
    let length = u32::try_from(all.len()).unwrap().to_be_bytes();
    [&[0][..], &length, &all].concat()
}

fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = value.len();
    while length > 0x7f {
        bytes.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).unwrap());
    bytes.extend(value);
    bytes
}
