//! A small API server of the tests' own: it lists, watches and patches nodes as the real one does.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use linkspan_cli::traffic::at;
use linkspan_netlink::netns::Netns;
use rustls::{ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::tls;

/// The answers to come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// Every request is answered with 500, and open watches end.
    Broken,
    /// Every request is answered with 403, and open watches end.
    Forbidding,
    /// Every answer is not JSON, and open watches end in the middle of an event.
    Babbling,
    /// No request is answered: connections are closed.
    Gone,
    /// Events come in many small pieces.
    Dripping,
}

struct State {
    version: u64,
    forgotten: u64,
    nodes: BTreeMap<String, Value>,
    events: Vec<(u64, Value)>,
    mood: Mood,
    /// Watches of an earlier epoch end.
    epoch: u64,
    asked: Vec<String>,
    posted: Vec<Value>,
    /// The required token.
    token: Option<String>,
}

#[derive(Clone)]
pub(crate) struct Api(Arc<(Mutex<State>, Condvar)>);

impl Api {
    pub(crate) fn new() -> Self {
        let state = State {
            version: 100,
            forgotten: 0,
            nodes: BTreeMap::new(),
            events: Vec::new(),
            mood: Mood::Well,
            epoch: 0,
            asked: Vec::new(),
            posted: Vec::new(),
            token: None,
        };
        Self(Arc::new((Mutex::new(state), Condvar::new())))
    }

    fn with<T>(&self, visit: impl FnOnce(&mut State) -> T) -> T {
        let value = visit(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
        value
    }

    /// Creates a node, or gives it other parts and addresses.
    pub(crate) fn put(&self, name: &str, parts: &[&str], addresses: &[&str]) {
        self.put_with(name, parts, addresses, &Value::Null);
    }

    /// The same with images, the largest part of a real node's object.
    pub(crate) fn put_with(&self, name: &str, parts: &[&str], addresses: &[&str], images: &Value) {
        let addresses = addresses.iter();
        let addresses = addresses.map(|ip| json!({ "type": "InternalIP", "address": ip }));
        let addresses: Vec<Value> = addresses.collect();
        let mut spec = json!({});
        if !parts.is_empty() {
            spec = json!({ "podCIDR": parts[0], "podCIDRs": parts });
        }
        let node = json!({
            "metadata": { "name": name, "uid": format!("uid-{name}") },
            "spec": spec,
            "status": {
                "addresses": addresses,
                "images": images,
                "conditions": [{ "type": "NetworkUnavailable", "status": "True" }]
            }
        });
        self.with(|state| state.store(name, node));
    }

    pub(crate) fn delete(&self, name: &str) {
        self.with(|state| {
            state.version += 1;
            let mut node = state.nodes.remove(name).unwrap();
            node["metadata"]["resourceVersion"] = json!(state.version.to_string());
            state.tell("DELETED", node);
        });
    }

    /// Forgets all events: an earlier watch gets 410.
    pub(crate) fn forget(&self) {
        self.with(|state| {
            state.version += 1;
            state.forgotten = state.version;
            state.events.clear();
            state.epoch += 1;
        });
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        self.with(|state| {
            state.mood = mood;
            state.epoch += 1;
        });
    }

    /// Waits until so many requests with this prefix have come since the server started.
    pub(crate) fn until_asked(&self, what: &str, count: usize) {
        let state = self.0.0.lock().unwrap();
        let lacks = |state: &mut State| {
            let asked = state.asked.iter().filter(|line| line.starts_with(what));
            asked.count() < count
        };
        drop(self.0.1.wait_while(state, lacks).unwrap());
    }

    pub(crate) fn asked(&self, what: &str) -> usize {
        self.with(|state| {
            let asked = state.asked.iter().filter(|line| line.starts_with(what));
            asked.count()
        })
    }

    /// Sends a bookmark to the watches, forgets all earlier events, and ends the watches. Returns the version to
    /// continue from.
    pub(crate) fn bookmark(&self) -> u64 {
        self.with(|state| {
            state.version += 1;
            let version = state.version.to_string();
            let mark = json!({ "metadata": { "resourceVersion": version } });
            state.tell("BOOKMARK", mark);
            state.version
        })
    }

    /// Ends the watches, and refuses those from before a version.
    pub(crate) fn forget_before(&self, version: u64) {
        self.with(|state| {
            state.forgotten = version;
            state.epoch += 1;
        });
    }

    /// Requires a token.
    pub(crate) fn want(&self, token: &str) {
        self.with(|state| state.token = Some(token.to_owned()));
    }

    /// The events that were posted.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.with(|state| state.posted.clone())
    }

    /// Listens on the loopback of a namespace.
    pub(crate) fn listen(&self, netns: &Netns) -> SocketAddr {
        self.listen_with(netns, |stream| stream)
    }

    /// The same by TLS, with the certificate of the tests.
    pub(crate) fn listen_securely(&self, netns: &Netns) -> SocketAddr {
        let config = tls::server();
        self.listen_with(netns, move |stream| {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            StreamOwned::new(connection, stream)
        })
    }

    fn listen_with<S: Read + Write>(
        &self,
        netns: &Netns,
        wrap: impl Fn(TcpStream) -> S + Clone + Send + 'static,
    ) -> SocketAddr {
        let listener = at(netns, || TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let api = self.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (api, wrap) = (api.clone(), wrap.clone());
                // The agent may disconnect in the middle of an answer.
                thread::spawn(move || api.serve(&mut wrap(stream.unwrap())).unwrap_or_default());
            }
        });
        address
    }

    fn serve(&self, stream: &mut (impl Read + Write)) -> std::io::Result<()> {
        let mut reader = BufReader::new(&mut *stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let mut words = line.split(' ').map(str::to_owned);
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Ok(());
        };
        let (mut length, mut token) = (0, None);
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            if header.trim().is_empty() {
                break;
            }
            let (name, value) = header.split_once(':').unwrap();
            match name.to_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap(),
                "authorization" => token = value.trim().strip_prefix("Bearer ").map(str::to_owned),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let is_watch = target.contains("watch=true");
        let kind = if is_watch { "WATCH" } else { &method };
        let (mood, is_known) = self.with(|state| {
            state.asked.push(format!("{kind} {target}"));
            (state.mood, state.token.is_none() || state.token == token)
        });
        match mood {
            _ if !is_known => answer(stream, 401, &status(401, "Unauthorized")),
            Mood::Gone => Ok(()),
            Mood::Broken => answer(stream, 500, &status(500, "InternalError")),
            Mood::Forbidding => answer(stream, 403, &status(403, "Forbidden")),
            Mood::Babbling => answer(stream, 200, "<html>"),
            _ if method == "PATCH" => {
                let name = target.split(['/', '?']).nth(4).unwrap().to_owned();
                let patch: Value = serde_json::from_slice(&body).unwrap();
                let node = self.with(|state| state.patch(&name, &patch));
                answer(stream, 200, &node.to_string())
            }
            _ if method == "POST" => {
                let object: Value = serde_json::from_slice(&body).unwrap();
                self.with(|state| state.posted.push(object.clone()));
                answer(stream, 201, &object.to_string())
            }
            _ if is_watch => self.watch(stream, &target),
            _ => {
                let list = self.with(|state| state.list(&target));
                answer(stream, 200, &list.to_string())
            }
        }
    }

    fn watch(&self, stream: &mut impl Write, target: &str) -> std::io::Result<()> {
        let from = target
            .split(['&', '?'])
            .find_map(|pair| pair.strip_prefix("resourceVersion="));
        let mut seen: u64 = from.unwrap().parse().unwrap();
        let epoch = self.with(|state| state.epoch);
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        )?;
        loop {
            let mut state = self.0.0.lock().unwrap();
            while state.epoch == epoch
                && state.forgotten <= seen
                && state
                    .events
                    .last()
                    .is_none_or(|(version, _)| *version <= seen)
            {
                state = self.0.1.wait(state).unwrap();
            }
            if state.forgotten > seen {
                let gone = status(410, "Expired");
                let event = format!("{{\"type\":\"ERROR\",\"object\":{gone}}}\n");
                drop(state);
                chunk(stream, &event)?;
                return chunk(stream, "");
            }
            if state.epoch != epoch {
                let babbles = state.mood == Mood::Babbling;
                drop(state);
                // The connection breaks without the last chunk.
                return if babbles {
                    chunk(stream, "{\"type\":\"MODI\n")
                } else {
                    Ok(())
                };
            }
            let news = state.events.iter().filter(|(version, _)| *version > seen);
            let news: Vec<(u64, Value)> = news.cloned().collect();
            let size = if state.mood == Mood::Dripping {
                7
            } else {
                usize::MAX
            };
            drop(state);
            for (version, event) in news {
                let event = format!("{event}\n");
                for piece in event.as_bytes().chunks(size) {
                    chunk(stream, &String::from_utf8_lossy(piece))?;
                }
                seen = version;
            }
        }
    }
}

impl State {
    fn store(&mut self, name: &str, mut node: Value) {
        self.version += 1;
        node["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let old = self.nodes.insert(name.to_owned(), node.clone());
        self.tell(old.map_or("ADDED", |_| "MODIFIED"), node);
    }

    fn tell(&mut self, kind: &str, mut node: Value) {
        node["kind"] = json!("Node");
        node["apiVersion"] = json!("v1");
        let event = json!({ "type": kind, "object": node });
        self.events.push((self.version, event));
    }

    fn patch(&mut self, name: &str, patch: &Value) -> Value {
        let mut node = self.nodes[name].clone();
        node["status"]["conditions"] = patch["status"]["conditions"].clone();
        self.store(name, node);
        self.nodes[name].clone()
    }

    /// A page of the nodes with the requested length. Its continuation is the name of its last node.
    fn list(&self, target: &str) -> Value {
        let of = |key: &str| {
            let mut pairs = target
                .split(['&', '?'])
                .filter_map(|pair| pair.split_once('='));
            pairs.find_map(|(name, value)| (name == key).then_some(value))
        };
        let limit = of("limit").map_or(usize::MAX, |limit| limit.parse().unwrap());
        let after = of("continue").unwrap_or_default();
        let mut rest = self.nodes.iter().filter(|(name, _)| name.as_str() > after);
        let page: Vec<(&String, &Value)> = rest.by_ref().take(limit).collect();
        let further = rest.next().and(page.last()).map(|(name, _)| name.as_str());
        let items: Vec<&Value> = page.iter().map(|(_, node)| *node).collect();
        json!({
            "kind": "NodeList",
            "apiVersion": "v1",
            "metadata": { "resourceVersion": self.version.to_string(), "continue": further.unwrap_or_default() },
            "items": items,
        })
    }
}

/// A server's answer to a GET in a namespace.
pub(crate) fn ask(netns: &Netns, address: SocketAddr, path: &str) -> String {
    let mut stream = at(netns, || TcpStream::connect(address)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: it\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn status(code: u16, reason: &str) -> String {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": reason, "reason": reason, "code": code,
    });
    status.to_string()
}

fn chunk(stream: &mut impl Write, text: &str) -> std::io::Result<()> {
    write!(stream, "{:x}\r\n{text}\r\n", text.len())?;
    stream.flush()
}

fn answer(stream: &mut impl Write, code: u16, body: &str) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {code} Told\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )?;
    stream.flush()
}
