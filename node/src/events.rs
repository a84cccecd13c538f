//! Events on the node's own object, where `kubectl describe node` shows them.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::time::timeout;

use crate::error::{Error, Result};
use crate::known::Known;

/// The namespace for events of objects without one.
const NAMESPACE: &str = "default";

/// The source of the events.
const COMPONENT: &str = "linkspan-node";

/// Time limit for the API server. Events are optional, and the log has the same lines.
const PATIENCE: Duration = Duration::from_secs(5);

/// Posts events.
pub struct Events(Api<Event>);

impl Events {
    /// Posts over this connection.
    pub fn new(client: Client) -> Self {
        Self(Api::namespaced(client, NAMESPACE))
    }

    /// Posts a warning about the node.
    pub async fn post(&self, name: &str, node: &Known, text: &str) -> Result<()> {
        let now = Time(Timestamp::now());
        let event = Event {
            metadata: ObjectMeta {
                generate_name: Some(format!("{name}.linkspan-")),
                namespace: Some(NAMESPACE.to_owned()),
                ..ObjectMeta::default()
            },
            // kubelet's own events name the node this way, and kubectl accepts both ways.
            involved_object: ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Node".to_owned()),
                name: Some(name.to_owned()),
                uid: Some(node.uid.clone()),
                ..ObjectReference::default()
            },
            type_: Some("Warning".to_owned()),
            reason: Some("NetworkNotAsItShouldBe".to_owned()),
            message: Some(text.to_owned()),
            count: Some(1),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            source: Some(EventSource {
                component: Some(COMPONENT.to_owned()),
                host: Some(name.to_owned()),
            }),
            reporting_component: Some(COMPONENT.to_owned()),
            ..Event::default()
        };
        let params = PostParams::default();
        let posted = timeout(PATIENCE, self.0.create(&params, &event)).await;
        match posted {
            Ok(made) => Ok(made.map(drop)?),
            Err(_) => Err(Error::Answer("it takes too long")),
        }
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}
