//! A host with a wire behind its link `nic0`, on which a station is, and containers on the same link.

use std::net::IpAddr;
use std::path::PathBuf;

use linkspan_harness::call::Call;
use linkspan_harness::chain::Chain;
use linkspan_harness::conf::{fixed, with};
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::world::{self, Cable};
use linkspan_harness::{skip, traffic};
use linkspan_netlink::link::Link;
use linkspan_netlink::route::Route;
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

use crate::LINKSPAN;

pub(crate) const MASTER: &str = "nic0";
/// Addresses of the host on the wire, and of the station.
pub(crate) const HOST: [&str; 2] = ["10.1.0.200", "fd00:1::c8"];
pub(crate) const FAR: [&str; 2] = ["10.1.0.1", "fd00:1::1"];

pub(crate) struct Stage<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) kind: &'static str,
    pub(crate) far: Sandbox,
}

/// A container, attached.
pub(crate) struct Pod {
    pub(crate) sandbox: Sandbox,
    pub(crate) chain: Chain,
    pub(crate) result: Value,
    pub(crate) ips: [IpAddr; 2],
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The addresses of container `n`.
pub(crate) fn ips(n: u16) -> [IpAddr; 2] {
    [ip(&format!("10.1.0.{n}")), ip(&format!("fd00:1::{n:x}"))]
}

/// Runs the test with both plugins, each in a lab of its own, where the kernel has its links.
pub(crate) fn each(body: fn(&Stage<'_>)) {
    for kind in ["macvlan", "ipvlan"] {
        of(kind, body);
    }
}

/// The same with one of them.
pub(crate) fn of(kind: &'static str, body: fn(&Stage<'_>)) {
    in_lab(LINKSPAN, |lab| {
        if skip::can_attach(&lab.rtnl(), kind) {
            let far = lab.sandbox();
            let cable = Cable {
                name: MASTER,
                bridge: None,
                near: &HOST,
                far: &FAR,
            };
            world::plug(lab, &far, cable);
            body(&Stage { lab, kind, far });
        }
    });
}

impl Stage<'_> {
    pub(crate) fn dir(&self) -> PathBuf {
        self.lab.dir().join("host-reach")
    }

    /// The plugin that makes the interface of container `n`.
    pub(crate) fn interface(&self, n: u16) -> Value {
        let [v4, v6] = ips(n);
        json!({
            "type": self.kind,
            "master": MASTER,
            "ipam": fixed(&[&format!("{v4}/24"), &format!("{v6}/64")]),
        })
    }

    pub(crate) fn conf(&self, over: &Value) -> Value {
        let base = json!({ "cniVersion": "1.1.0", "name": "net", "type": "host-reach", "dataDir": self.dir() });
        with(base, over)
    }

    pub(crate) fn attach(&self, n: u16) -> Pod {
        self.attach_with(n, &[self.conf(&json!({}))])
    }

    /// Attaches container `n` by an interface and what is behind that.
    pub(crate) fn attach_with(&self, n: u16, behind: &[Value]) -> Pod {
        self.attach_to(self.lab.sandbox(), n, behind)
    }

    pub(crate) fn attach_to(&self, sandbox: Sandbox, n: u16, behind: &[Value]) -> Pod {
        let confs = [&[self.interface(n)], behind].concat();
        let chain = Chain::new(self.lab, &format!("pod{n}"), &sandbox, "eth0", &confs);
        Pod {
            result: chain.add(),
            sandbox,
            chain,
            ips: ips(n),
        }
    }

    /// A container with its interface alone, and ADD of the plugin for it.
    pub(crate) fn beside(&self, n: u16, over: &Value) -> (Pod, Call) {
        let pod = self.attach_with(n, &[]);
        let call = self.call(&format!("pod{n}"), &pod.sandbox, &pod.result, over);
        let call = call.verb("ADD");
        (pod, call)
    }

    /// A call of the plugin for a container with that result.
    pub(crate) fn call(&self, id: &str, sandbox: &Sandbox, result: &Value, over: &Value) -> Call {
        let conf = with(self.conf(over), &json!({ "prevResult": result }));
        self.lab.plugin("host-reach").of(id, sandbox).conf(&conf)
    }

    /// GC with these containers valid.
    pub(crate) fn gc(&self, valid: &[u16]) {
        let valid: Vec<Value> = valid
            .iter()
            .map(|n| json!({ "containerID": format!("pod{n}"), "ifname": "eth0" }))
            .collect();
        let conf = self.conf(&json!({ "cni.dev/valid-attachments": valid }));
        let call = self.lab.plugin("host-reach").conf(&conf);
        assert_eq!(call.verb("GC").run().succeeded(), "");
    }

    pub(crate) fn master(&self) -> Link {
        self.lab.rtnl().link_by_name(MASTER).unwrap().unwrap()
    }

    /// The host's own link to the containers.
    pub(crate) fn shim(&self) -> Option<Link> {
        let name = format!("reach{}", self.master().index);
        self.lab.rtnl().link_by_name(&name).unwrap()
    }

    /// The host's routes by that link.
    pub(crate) fn routes(&self) -> Vec<Route> {
        let (host, shim) = (self.lab.rtnl(), self.shim().unwrap());
        let both = Family::BOTH.map(|family| host.routes(family).unwrap());
        let mut routes = both.concat();
        routes.retain(|route| route.oif == Some(shim.index));
        routes
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot::of_host(self.lab)
    }

    /// The files of attachments.
    pub(crate) fn memories(&self) -> usize {
        let files = std::fs::read_dir(self.dir())
            .into_iter()
            .flatten()
            .flatten();
        files.filter(|file| file.file_name() != ".lock").count()
    }

    /// The host and the container reach each other, and both reach the station and are reached by it.
    pub(crate) fn flows(&self, pod: &Pod) {
        let (host, netns) = (self.lab.host(), &pod.sandbox.netns);
        for (n, ip) in pod.ips.into_iter().enumerate() {
            traffic::flows(host, netns, ip);
            let own = HOST[n].parse().unwrap();
            traffic::flows(netns, host, own);
            traffic::flows(&self.far.netns, netns, ip);
            traffic::flows(&self.far.netns, host, own);
            traffic::flows(netns, &self.far.netns, FAR[n].parse().unwrap());
        }
    }

    /// Whether the host reaches the container.
    pub(crate) fn reaches(&self, pod: &Pod) -> bool {
        let reached = |ip| linkspan_cli::traffic::udp(self.lab.host(), &pod.sandbox.netns, ip);
        pod.ips.into_iter().all(|ip| reached(ip).is_ok())
    }
}
