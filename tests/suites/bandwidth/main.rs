//! `bandwidth`: the kernel's numbers for each direction, others' state on the link, and leftovers of either suite.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod container;
mod limits;
mod others;
mod refusal;
mod subnets;
mod swap;
mod throughput;

use linkspan_harness::call::Call;
use linkspan_harness::conf::{fixed, with};
use linkspan_harness::lab::{Lab, Sandbox};
use linkspan_harness::skip;
use linkspan_netlink::link::{Kind, Link, LinkSpec};
use linkspan_netlink::qdisc::Bucket;
use linkspan_netlink::rtnl::Rtnl;
use linkspan_netlink::tc_filter::Hook;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");
const ADDRESS: &str = "10.1.0.7";
const GATEWAY: &str = "10.1.0.1";

/// The bursts that runtimes pass: containerd, CRI-O, and an old kubelet.
const CONTAINERD: u64 = (1 << 32) - 1;
const CRIO: u64 = 8 * ((1 << 32) - 1) - 1;
const KUBELET: u64 = (1 << 31) - 1;

fn conf(over: &Value) -> Value {
    let base = json!({ "cniVersion": "1.0.0", "name": "mynet", "type": "bandwidth" });
    with(base, over)
}

/// The interface plugin of the container.
fn pair(lab: &Lab, id: &str, sandbox: &Sandbox) -> Call {
    let conf = json!({
        "cniVersion": "1.0.0",
        "name": "mynet",
        "type": "bridge",
        "bridge": "br0",
        "isGateway": true,
        "mtu": 1400,
        "ipam": fixed(&["10.1.0.7/24"]),
    });
    lab.plugin("bridge").of(id, sandbox).conf(&conf)
}

fn call(lab: &Lab, id: &str, sandbox: &Sandbox, previous: &Value, over: &Value) -> Call {
    let call = lab.plugin("bandwidth").of(id, sandbox);
    call.conf(&conf(over)).after(previous)
}

/// Rates of both directions by the configuration: 8 kbit/s to the container, 16 from it.
fn both() -> Value {
    json!({ "ingressRate": 8000, "ingressBurst": 80_000, "egressRate": 16_000, "egressBurst": 160_000 })
}

/// Rates of both directions by the runtime.
fn by_runtime(rate: u64, burst: u64) -> Value {
    json!({ "runtimeConfig": { "bandwidth": {
        "ingressRate": rate, "ingressBurst": burst, "egressRate": rate, "egressBurst": burst,
    } } })
}

/// Returns whether the kernel meets the plugin's requirements; prints a line if not.
fn is_able(lab: &Lab) -> bool {
    let rtnl = lab.rtnl();
    let spec = LinkSpec::new("probe", Kind::Ifb);
    let bucket = Bucket {
        rate: 1000,
        ticks: 1_000_000,
        limit: 1000,
    };
    let tried = rtnl.create(&spec).and_then(|()| {
        let probe = rtnl.link_by_name("probe")?.unwrap();
        let tried = probe
            .add_bucket(bucket)
            .and_then(|()| probe.add_filter_qdisc(true));
        probe.delete()?;
        tried
    });
    if let Err(err) = &tried {
        skip::tell(&format!(
            "limits of bandwidth: the kernel lacks a module: {err}"
        ));
    }
    tried.is_ok()
}

/// A container that is attached, but not shaped yet.
struct Shaped {
    sandbox: Sandbox,
    /// The result of its interface plugin.
    previous: Value,
    /// The host's end of its pair.
    end: Link,
}

impl Shaped {
    /// A pair of the container `dummy`; `None` if the kernel lacks the plugin's requirements.
    fn new(lab: &Lab) -> Option<Self> {
        is_able(lab).then(|| {
            let sandbox = lab.sandbox();
            let previous = pair(lab, "dummy", &sandbox).add();
            let end = host_end(lab, &previous);
            Self {
                sandbox,
                previous,
                end,
            }
        })
    }
}

/// The host's end of the attachment.
fn host_end(lab: &Lab, result: &Value) -> Link {
    let name = result["interfaces"][1]["name"].as_str().unwrap();
    lab.rtnl().link_by_name(name).unwrap().unwrap()
}

fn bucket(link: &Link) -> Option<Bucket> {
    link.root_qdisc().unwrap().and_then(|root| root.bucket)
}

/// The ifbs.
fn ifbs(rtnl: &Rtnl) -> Vec<Link> {
    let links = rtnl.links().unwrap().into_iter();
    links.filter(|link| link.name.starts_with("bwp")).collect()
}

/// Disciplines and filters of a link.
fn queues(link: &Link) -> Vec<String> {
    let mut lines = Vec::new();
    let root = link.root_qdisc().unwrap().filter(|root| root.handle != 0);
    lines.extend(root.map(|root| format!("{root:?}")));
    if let Some(held) = link.ingress_qdisc().unwrap() {
        lines.push(held.kind);
        for hook in [Hook::Ingress, Hook::ClsactIngress, Hook::ClsactEgress] {
            let filters = link.filters(hook).unwrap();
            lines.extend(filters.iter().map(|filter| format!("{hook:?} {filter:?}")));
        }
    }
    lines
}
