//! HTTP on loopback for operators: whether the agent lives, whether the node is ready, and figures.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::error::{Error, Result};

/// Time limit for a client's request.
const PATIENCE: Duration = Duration::from_secs(5);

/// The reported state.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// The reason why the node is not ready; empty if it is.
    pub lacks: String,
    /// The number of nodes of the API server.
    pub nodes: usize,
    /// Routes to the other nodes' parts.
    pub routes: usize,
    /// The number of routes that lead into the tunnel.
    pub tunnelled: usize,
    /// The number of present refusals and warnings.
    pub refused: usize,
    /// Routes that were added, replaced or deleted.
    pub route_changes: usize,
    /// The number of writes of the list.
    pub lists_written: usize,
    /// Failures of the API server.
    pub api_failures: usize,
    /// Failures of a step on this host.
    pub failures: usize,
    /// The number of attachments detached because the engine does not know their sandboxes.
    pub detached: usize,
    /// The number of failed looks at the engine's sandboxes.
    pub engine_failures: usize,
}

/// The shared value: the agent writes, and the server reads.
#[derive(Debug, Clone)]
pub struct Shared(Arc<Mutex<Health>>);

impl Default for Shared {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Health {
            lacks: "the nodes are not known yet".to_owned(),
            ..Health::default()
        })))
    }
}

impl Shared {
    /// Changes the reported state.
    pub fn update(&self, change: impl FnOnce(&mut Health)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn now(&self) -> Health {
        let health = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        health.clone()
    }
}

/// Serves at `address` while the runtime runs, which is between the agent's steps.
pub async fn serve(address: SocketAddr, shared: Shared) -> Result<SocketAddr> {
    let fail = |err| Error::Settings(format!("listen at {address}: {err}"));
    let listener = TcpListener::bind(address).await.map_err(fail)?;
    let bound = listener.local_addr().map_err(fail)?;
    tokio::spawn(async move {
        loop {
            // A failed connection matters only to its client.
            if let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                tokio::spawn(async move {
                    match timeout(PATIENCE, answer(stream, &shared)).await {
                        Ok(Ok(()) | Err(_)) | Err(_) => {}
                    }
                });
            }
        }
    });
    Ok(bound)
}

async fn answer(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    /// Longer than any request that is answered with 200.
    const LONGEST: usize = 8 << 10;
    let mut asked = Vec::new();
    let mut piece = [0; 1024];
    while !asked.windows(4).any(|end| end == b"\r\n\r\n") && asked.len() < LONGEST {
        let count = stream.read(&mut piece).await?;
        if count == 0 {
            break;
        }
        asked.extend(piece.iter().take(count));
    }
    let line = String::from_utf8_lossy(&asked);
    let mut words = line.lines().next().unwrap_or_default().split(' ');
    let (method, path) = (words.next(), words.next().unwrap_or_default());
    let health = shared.now();
    let (status, text) = match path {
        _ if method != Some("GET") => ("405 Method Not Allowed", String::new()),
        "/healthz" => ("200 OK", "ok\n".to_owned()),
        "/readyz" if health.lacks.is_empty() => ("200 OK", "ok\n".to_owned()),
        "/readyz" => ("503 Service Unavailable", format!("{}\n", health.lacks)),
        "/metrics" => ("200 OK", health.metrics()),
        _ => ("404 Not Found", String::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

impl Health {
    /// Figures of the engine's sandboxes.
    fn of_engine(&self) -> [(&'static str, &'static str, &'static str, usize); 2] {
        [
            (
                "detached_total",
                "counter",
                "Attachments of sandboxes that the engine does not know any more",
                self.detached,
            ),
            (
                "engine_failures_total",
                "counter",
                "Failed looks at the engine's sandboxes",
                self.engine_failures,
            ),
        ]
    }

    /// The figures in Prometheus' text format.
    fn metrics(&self) -> String {
        let ready = usize::from(self.lacks.is_empty());
        let all = [
            (
                "ready",
                "gauge",
                "1 when the list is in place and the routes are made",
                ready,
            ),
            (
                "nodes",
                "gauge",
                "Nodes that the API server told of",
                self.nodes,
            ),
            (
                "routes",
                "gauge",
                "Routes to the other nodes' parts",
                self.routes,
            ),
            (
                "tunnelled_routes",
                "gauge",
                "Routes that lead into the tunnel",
                self.tunnelled,
            ),
            (
                "refused",
                "gauge",
                "What is refused or not well at the moment",
                self.refused,
            ),
            (
                "route_changes_total",
                "counter",
                "Routes added, replaced or deleted",
                self.route_changes,
            ),
            (
                "lists_written_total",
                "counter",
                "How often the list was written",
                self.lists_written,
            ),
            (
                "api_failures_total",
                "counter",
                "Failures of the API server",
                self.api_failures,
            ),
            (
                "failures_total",
                "counter",
                "Failed steps on this host",
                self.failures,
            ),
        ];
        let mut text = String::new();
        for (name, kind, help, value) in all.into_iter().chain(self.of_engine()) {
            let name = format!("linkspan_node_{name}");
            let written = writeln!(
                text,
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
            );
            match written {
                Ok(()) | Err(_) => {}
            }
        }
        text
    }
}
