//! Published ports and masquerade, with packets.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod damage;
mod foreign;
mod former;
mod legacy;
mod listed;
mod ownership;
mod packets;
mod ruleset;
mod swap;
mod upgrade;

use std::net::IpAddr;

use linkspan_harness::call::Call;
use linkspan_harness::conf::{addresses, bridge, with};
use linkspan_harness::lab::{Lab, Sandbox};
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

/// A pod of the network `net` on a bridge, masqueraded, and what it publishes.
struct Pod {
    sandbox: Sandbox,
    id: String,
    bridge: Value,
    portmap: Value,
    result: Value,
}

/// A mapping of the port to 80.
fn mapping(protocol: &str, host_port: u16) -> Value {
    json!({ "hostPort": host_port, "containerPort": 80, "protocol": protocol })
}

/// The port, by TCP and by UDP.
fn both(host_port: u16) -> Value {
    json!([mapping("tcp", host_port), mapping("udp", host_port)])
}

impl Pod {
    /// A pod that is attached to the bridge, and publishes nothing yet.
    fn attach(lab: &Lab, id: &str, mappings: &Value) -> Self {
        let over = json!({ "ipMasq": true, "hairpinMode": true });
        Self::attach_to(lab, id, bridge(lab, &over), mappings)
    }

    fn attach_to(lab: &Lab, id: &str, bridge: Value, mappings: &Value) -> Self {
        let sandbox = lab.sandbox();
        let result = lab.plugin("bridge").of(id, &sandbox).conf(&bridge).add();
        let portmap = json!({
            "cniVersion": bridge["cniVersion"],
            "name": bridge["name"],
            "type": "portmap",
            // A port that somebody living has is refused at once.
            "portWaitSeconds": 0,
            "runtimeConfig": { "portMappings": mappings },
        });
        Self {
            sandbox,
            id: id.to_owned(),
            bridge,
            portmap,
            result,
        }
    }

    /// The same, with its ports published.
    fn published(lab: &Lab, id: &str, mappings: &Value) -> Self {
        let pod = Self::attach(lab, id, mappings);
        assert_eq!(pod.portmap(lab).add(), pod.result);
        pod
    }

    /// A call of portmap for this pod.
    fn portmap(&self, lab: &Lab) -> Call {
        self.portmap_with(lab, &json!({}))
    }

    /// The same, with other keys.
    fn portmap_with(&self, lab: &Lab, over: &Value) -> Call {
        let conf = with(self.portmap.clone(), &json!({ "prevResult": self.result }));
        let conf = with(conf, over);
        lab.plugin("portmap")
            .of(&self.id, &self.sandbox)
            .conf(&conf)
    }

    /// A call of the interface plugin for this pod.
    fn bridge(&self, lab: &Lab) -> Call {
        lab.plugin(self.bridge["type"].as_str().unwrap())
            .of(&self.id, &self.sandbox)
            .conf(&self.bridge)
    }

    fn detach(&self, lab: &Lab) {
        self.portmap(lab).del();
        self.bridge(lab).del();
    }

    /// Its address of one family.
    fn ip(&self, six: bool) -> IpAddr {
        addresses(&self.result)[usize::from(six)]
    }
}
