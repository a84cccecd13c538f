//! Published ports and masquerade, with packets.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod claims;
mod damage;
mod foreign;
mod former;
mod lacking;
mod legacy;
mod listed;
mod ownership;
mod packets;
mod ruleset;
mod swap;
mod upgrade;
mod waiting;
mod writers;
mod zones;

use std::net::IpAddr;

use linkspan_harness::call::Call;
use linkspan_harness::conf::{addresses, bridge, with};
use linkspan_harness::lab::{Lab, Sandbox};
use linkspan_harness::skip;
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

/// The mapping on one address of the host.
fn at(host_ip: &str, mut mapping: Value) -> Value {
    mapping["hostIP"] = json!(host_ip);
    mapping
}

/// The messages that a call, which has to succeed, sends to nf_tables, and the calls of flock(2), a line each; `None` where
/// nobody may trace, which is told.
fn traced(lab: &Lab, call: Call) -> Option<Vec<String>> {
    if !skip::can_trace("what is asked of nf_tables") {
        return None;
    }
    let log = lab.dir().join("traced");
    let strace = [
        "strace",
        "-f",
        "-qq",
        "-v",
        "-s",
        "16",
        "-e",
        "trace=sendto,sendmsg,flock",
        "-o",
        log.to_str().unwrap(),
    ];
    call.under(&strace).run().succeeded();
    let told = std::fs::read_to_string(&log).unwrap();
    let calls = told.lines().flat_map(|line| line.split("{nlmsg_len="));
    let of_interest = |part: &&str| part.contains("NFNL_") || part.contains("flock(");
    Some(calls.filter(of_interest).map(str::to_owned).collect())
}

/// How many of them have the word.
fn count(told: &[String], word: &str) -> usize {
    told.iter().filter(|line| line.contains(word)).count()
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

    /// ADD of portmap, which is refused since the port is that container's.
    fn is_refused_for(&self, lab: &Lab, port: &str, container: &str) {
        let told = self.portmap(lab).verb("ADD").run().failed(999);
        let owner = format!("host port {port} is already published for container {container},");
        assert!(told.contains(&owner), "{told}");
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
