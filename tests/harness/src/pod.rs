//! A pod of a network on a bridge, and its published ports.

use std::net::IpAddr;

use linkspan_protocol::family::Family;
use serde_json::{Value, json};

use crate::call::Call;
use crate::conf::{addresses, bridge, with};
use crate::lab::{Lab, Sandbox};

/// A pod of the network `net` on a bridge, masqueraded, with its published ports.
#[derive(Debug)]
pub struct Pod {
    /// Its namespace.
    pub sandbox: Sandbox,
    /// The container's id.
    pub id: String,
    /// Configuration of the interface plugin.
    pub bridge: Value,
    /// Configuration of portmap.
    pub portmap: Value,
    /// The result of the interface plugin.
    pub result: Value,
    /// The environment for the plugins.
    pub environment: Vec<(&'static str, String)>,
}

/// A mapping of the port to 80.
#[must_use]
pub fn mapping(protocol: &str, host_port: u16) -> Value {
    json!({ "hostPort": host_port, "containerPort": 80, "protocol": protocol })
}

/// The port, with TCP and UDP.
#[must_use]
pub fn both(host_port: u16) -> Value {
    json!([mapping("tcp", host_port), mapping("udp", host_port)])
}

impl Pod {
    /// A pod that is attached to the bridge, without published ports yet.
    pub fn attach(lab: &Lab, id: &str, mappings: &Value) -> Self {
        let over = json!({ "ipMasq": true, "hairpinMode": true });
        Self::attach_to(lab, id, bridge(lab, &over), mappings)
    }

    /// The same with another configuration of the interface plugin.
    pub fn attach_to(lab: &Lab, id: &str, bridge: Value, mappings: &Value) -> Self {
        Self::attach_in(lab, id, (bridge, mappings), &[])
    }

    /// The same in an environment.
    pub fn attach_in(
        lab: &Lab,
        id: &str,
        (bridge, mappings): (Value, &Value),
        environment: &[(&'static str, String)],
    ) -> Self {
        let portmap = json!({
            "cniVersion": bridge["cniVersion"],
            "name": bridge["name"],
            "type": "portmap",
            // A port of a living container is refused at once.
            "portWaitSeconds": 0,
            "runtimeConfig": { "portMappings": mappings },
        });
        let mut pod = Self {
            sandbox: lab.sandbox(),
            id: id.to_owned(),
            bridge,
            portmap,
            result: Value::Null,
            environment: environment.to_vec(),
        };
        pod.result = pod.bridge(lab).add();
        pod
    }

    /// A pod as from [`Pod::attach`], with its ports published.
    pub fn published(lab: &Lab, id: &str, mappings: &Value) -> Self {
        let pod = Self::attach(lab, id, mappings);
        assert_eq!(pod.portmap(lab).add(), pod.result);
        pod
    }

    /// A call of portmap for this pod.
    pub fn portmap(&self, lab: &Lab) -> Call {
        self.portmap_with(lab, &json!({}))
    }

    /// The same, with other keys.
    pub fn portmap_with(&self, lab: &Lab, over: &Value) -> Call {
        let conf = with(self.portmap.clone(), &json!({ "prevResult": self.result }));
        self.call(lab, "portmap").conf(&with(conf, over))
    }

    /// A call of the interface plugin for this pod.
    pub fn bridge(&self, lab: &Lab) -> Call {
        let plugin = self.bridge["type"].as_str().unwrap();
        self.call(lab, plugin).conf(&self.bridge)
    }

    fn call(&self, lab: &Lab, plugin: &str) -> Call {
        let call = lab.plugin(plugin).of(&self.id, &self.sandbox);
        let set = |call: Call, (name, value): &(&str, String)| call.env(name, value);
        self.environment.iter().fold(call, set)
    }

    /// ADD of portmap, which is refused because that container has the port.
    pub fn is_refused_for(&self, lab: &Lab, port: &str, container: &str) {
        let told = self.portmap(lab).verb("ADD").run().failed(999);
        let owner = format!("host port {port} is already published for container {container},");
        assert!(told.contains(&owner), "{told}");
    }

    /// DEL of both plugins.
    pub fn detach(&self, lab: &Lab) {
        self.portmap(lab).del();
        self.bridge(lab).del();
    }

    /// Its address of one family.
    pub fn ip(&self, family: Family) -> IpAddr {
        addresses(&self.result)[family.pick(0, 1)]
    }
}
