//! A pod of the demonstration.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use linkspan_netlink::netns::{Netns, NetnsId};
use linkspan_netlink::rtnl::Rtnl;
use linkspan_protocol::json::Json;
use linkspan_protocol::result::AddResult;
use linkspan_protocol::wire;
use linkspan_runtime::attachment::{Attachment, parse_capability_args};
use linkspan_runtime::{Result, kernel};
use serde_json::{Value, json};

use super::refuted;
use super::world::World;
use crate::run::{path_of, sandbox};

const IFNAME: &str = "eth0";

/// An attached pod.
pub(super) struct Pod {
    pub(super) name: &'static str,
    pub(super) netns: Netns,
    pub(super) result: AddResult,
    at: Attachment,
    took: Duration,
}

impl Pod {
    /// Attaches a pod with these port mappings.
    pub(super) fn attach(world: &World, name: &'static str, ports: &Value) -> Result<Self> {
        let netns = sandbox()?;
        let mut at = Attachment::new(name, &path_of(&netns), IFNAME)?;
        let ports = json!({ "portMappings": ports });
        at.capability_args = parse_capability_args(&ports.to_string())?;
        let (took, printed) = timed(|| world.runtime.add(&world.list, &at))?;
        let (result, _) = wire::decode(&Json::parse(printed.to_string().as_bytes())?, "")?;
        Ok(Self {
            name,
            netns,
            result,
            at,
            took,
        })
    }

    pub(super) fn netns_id(&self) -> Result<NetnsId> {
        self.netns.id().map_err(kernel)
    }

    /// The pod's addresses.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.result.ips.iter().map(|ip| ip.address.ip())
    }

    /// The gateways of the pod's addresses.
    pub(super) fn gateways(&self) -> impl Iterator<Item = IpAddr> {
        self.result.ips.iter().filter_map(|ip| ip.gateway)
    }

    /// The result, beside the kernel's own values.
    pub(super) fn describe(&self) -> Result<String> {
        let rtnl = Rtnl::open(&self.netns).map_err(kernel)?;
        let link = rtnl.link_by_name(IFNAME).map_err(kernel)?;
        let link = link.ok_or_else(|| refuted(format!("{} has no {IFNAME}", self.name)))?;
        let own = self
            .result
            .interfaces
            .iter()
            .find(|interface| !interface.sandbox.is_empty());
        let mac = own
            .map(|interface| interface.mac.clone())
            .unwrap_or_default();
        let mut lines = vec![
            format!("\n{}: ADD took {}", self.name, milliseconds(self.took)),
            format!("interface {IFNAME}, MAC {mac}, MTU {} bytes", link.mtu),
        ];
        let through = |gateway: Option<IpAddr>, word: &str| {
            gateway
                .map(|gateway| format!("{word} {gateway}"))
                .unwrap_or_default()
        };
        for ip in &self.result.ips {
            let gateway = through(ip.gateway, ", gateway");
            lines.push(format!("address {}{gateway}", ip.address));
        }
        for route in &self.result.routes {
            let gateway = through(route.gw, " via");
            lines.push(format!("route {}{gateway}", route.dst));
        }
        Ok(lines.join("\n  "))
    }

    pub(super) fn check(&self, world: &World) -> Result<String> {
        let (took, ()) = timed(|| world.runtime.check(&world.list, &self.at))?;
        Ok(format!("  CHECK {}: ok, {}", self.name, milliseconds(took)))
    }

    pub(super) fn detach(&self, world: &World) -> Result<String> {
        let (took, ()) = timed(|| world.runtime.del(&world.list, &self.at))?;
        Ok(format!("  DEL   {}: ok, {}", self.name, milliseconds(took)))
    }
}

fn timed<T>(act: impl FnOnce() -> Result<T>) -> Result<(Duration, T)> {
    let start = Instant::now();
    let done = act()?;
    Ok((start.elapsed(), done))
}

fn milliseconds(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1000.0)
}
