//! The nodes of the API server: a list, followed by changes.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::{Error, Result};
use crate::known::Known;

/// Nodes in one answer of a list.
const PAGE: u32 = 500;

/// How long the server may keep a watch open. A shorter time than the client's patience with a silent stream.
const WATCH_SECONDS: u32 = 240;

/// Time limit for an answer, or for the start of a watch.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long events gather behind the first one. Settling costs the same for one change and for many, and the client hands
/// over one event at a time, however many have come.
const GATHER: Duration = Duration::from_millis(100);

/// `410 Gone`: the server has forgotten what happened since that version.
const GONE: u16 = 410;

type Events = Pin<Box<dyn Stream<Item = kube::Result<WatchEvent<Node>>>>>;

/// The cluster's nodes. An outage leaves them as they were.
pub struct Cluster {
    api: Api<Node>,
    nodes: BTreeMap<String, Known>,
    version: Option<String>,
    events: Option<Events>,
    changed: bool,
}

impl Cluster {
    /// The cluster before the first list.
    pub fn new(client: Client) -> Self {
        Self {
            api: Api::all(client),
            nodes: BTreeMap::new(),
            version: None,
            events: None,
            changed: false,
        }
    }

    /// Returns whether a node came, went or changed since the last call. Most updates of a node are not relevant.
    pub fn has_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The nodes by name; empty before the first list.
    pub fn nodes(&self) -> &BTreeMap<String, Known> {
        &self.nodes
    }

    /// Waits for events, at most `limit`, and takes in further events that come soon after.
    pub async fn step(&mut self, limit: Duration) -> Result<()> {
        let stepped = self.follow(limit).await;
        if stepped.is_err() {
            self.events = None;
        }
        stepped
    }

    async fn follow(&mut self, limit: Duration) -> Result<()> {
        if self.version.is_none() {
            return self.list().await;
        }
        if self.events.is_none() {
            self.watch().await?;
        }
        let Some(mut events) = self.events.take() else {
            return Ok(());
        };
        let Ok(first) = timeout(limit, events.next()).await else {
            self.events = Some(events);
            return Ok(());
        };
        let until = Instant::now() + GATHER;
        let mut next = first;
        while let Some(event) = next {
            self.take(event)?;
            let Ok(further) = timeout_at(until, events.next()).await else {
                self.events = Some(events);
                break;
            };
            next = further;
        }
        Ok(())
    }

    /// Lists all nodes. Replaces the known ones after the last page.
    async fn list(&mut self) -> Result<()> {
        let mut found = BTreeMap::new();
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let list = in_time(self.api.list(&page)).await?;
            found.extend(
                list.items
                    .iter()
                    .map(|node| (node.name_any(), Known::of(node))),
            );
            let further = list.metadata.continue_.filter(|token| !token.is_empty());
            if let Some(token) = further {
                page = page.continue_token(&token);
                continue;
            }
            let version = list.metadata.resource_version;
            self.version = Some(version.ok_or(Error::Answer("a list without resourceVersion"))?);
            self.changed |= self.nodes != found;
            self.nodes = found;
            return Ok(());
        }
    }

    async fn watch(&mut self) -> Result<()> {
        let params = WatchParams::default().timeout(WATCH_SECONDS);
        let version = self.version.clone().unwrap_or_default();
        match in_time(self.api.watch(&params, &version)).await {
            Ok(events) => {
                self.events = Some(events.boxed_local());
                Ok(())
            }
            Err(err) => {
                if let Error::Api(err) = &err
                    && matches!(err.as_ref(), kube::Error::Api(status) if status.code == GONE)
                {
                    self.version = None;
                }
                Err(err)
            }
        }
    }

    fn take(&mut self, event: kube::Result<WatchEvent<Node>>) -> Result<()> {
        match event {
            Ok(WatchEvent::Added(node) | WatchEvent::Modified(node)) => {
                self.version = node.resource_version().or(self.version.take());
                let known = Known::of(&node);
                let before = self.nodes.insert(node.name_any(), known.clone());
                self.changed |= before != Some(known);
            }
            Ok(WatchEvent::Deleted(node)) => {
                self.version = node.resource_version().or(self.version.take());
                self.changed |= self.nodes.remove(&node.name_any()).is_some();
            }
            Ok(WatchEvent::Bookmark(mark)) => {
                self.version = Some(mark.metadata.resource_version);
            }
            Ok(WatchEvent::Error(status)) => {
                self.version = None;
                return Err(kube::Error::Api(status).into());
            }
            // The connection broke. All events before that are complete, and the next watch continues after the last
            // one.
            Err(err @ kube::Error::ReadEvents(_)) => return Err(err.into()),
            Err(err) => {
                // An unreadable answer may have lost an event.
                self.version = None;
                return Err(err.into());
            }
        }
        Ok(())
    }

    /// Sets the node's condition: its network is available.
    pub async fn set_available(&mut self, node: &str) -> Result<()> {
        let now = k8s_openapi::jiff::Timestamp::now();
        let condition = json!({
            "type": "NetworkUnavailable",
            "status": "False",
            "reason": "LinkspanIsReady",
            "message": "the node's list is in place and the routes are made",
            "lastTransitionTime": now,
            "lastHeartbeatTime": now,
        });
        let patch = json!({ "status": { "conditions": [condition] } });
        let patch = Patch::Strategic(patch);
        let params = PatchParams::default();
        in_time(self.api.patch_status(node, &params, &patch)).await?;
        // The event of this change may come behind those of other nodes.
        if let Some(known) = self.nodes.get_mut(node) {
            known.unavailable = false;
        }
        Ok(())
    }
}

/// An answer, or its start, within the time limit.
async fn in_time<T>(answer: impl Future<Output = kube::Result<T>>) -> Result<T> {
    match timeout(PATIENCE, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Error::Answer("it does not come")),
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("nodes", &self.nodes)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
