//! A wire behind the host's link `nic0`, with a station on it that hears announcements.

use linkspan_harness::call::Call;
use linkspan_harness::conf::{host_local, with};
use linkspan_harness::ear::Ear;
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::skip;
use linkspan_harness::world::{self, Cable};
use linkspan_netlink::link::{Kind, Link, LinkSpec, Vlan};
use serde_json::{Value, json};

use crate::LINKSPAN;

/// The host's link to the wire.
pub(crate) const MASTER: &str = "nic0";
/// The addresses of the station, which is the gateway.
pub(crate) const GATEWAYS: [&str; 2] = ["10.1.0.1", "fd00:1::1"];
pub(crate) const SUBNETS: &[&str] = &["10.1.0.0/24", "fd00:1::/64"];
/// The VLAN of the station.
pub(crate) const VLAN: u16 = 100;

pub(crate) const PLUGINS: &[&str] = &["ipvlan", "macvlan", "vlan"];

pub(crate) struct Wire<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) plugin: &'static str,
    /// The station.
    pub(crate) far: Sandbox,
}

/// Runs the test with each plugin, in separate labs, if the kernel has its links.
pub(crate) fn each(body: fn(&Wire<'_>)) {
    for plugin in PLUGINS {
        of(plugin, body);
    }
}

/// The same with one plugin.
pub(crate) fn of(plugin: &'static str, body: fn(&Wire<'_>)) {
    in_lab(LINKSPAN, |lab| {
        if skip::can_attach(&lab.rtnl(), plugin) {
            body(&Wire::new(lab, plugin));
        }
    });
}

impl<'a> Wire<'a> {
    fn new(lab: &'a Lab, plugin: &'static str) -> Self {
        if plugin != "vlan" {
            return Self::untagged(lab, plugin);
        }
        let wire = Self::plugged(lab, plugin, &[]);
        let spec = LinkSpec::new("tagged", Kind::Vlan(Vlan::of(VLAN)));
        link(&wire.far, "eth0").create_child(&spec).unwrap();
        let tagged = link(&wire.far, "tagged");
        for gateway in GATEWAYS {
            world::add_address(&tagged, gateway.parse().unwrap());
        }
        tagged.set_up().unwrap();
        wire
    }

    /// One whose station has its addresses outside of VLANs.
    pub(crate) fn untagged(lab: &'a Lab, plugin: &'static str) -> Self {
        Self::plugged(lab, plugin, &GATEWAYS)
    }

    fn plugged(lab: &'a Lab, plugin: &'static str, far: &[&str]) -> Self {
        let station = lab.sandbox();
        let cable = Cable {
            name: MASTER,
            bridge: None,
            near: &[],
            far,
        };
        world::plug(lab, &station, cable);
        Self {
            lab,
            plugin,
            far: station,
        }
    }

    /// A configuration with addresses of both families, changed by `over`.
    pub(crate) fn conf(&self, over: &Value) -> Value {
        let mut base = json!({
            "cniVersion": "1.1.0",
            "name": "net",
            "type": self.plugin,
            "master": MASTER,
            "ipam": host_local(self.lab, SUBNETS),
        });
        if self.plugin == "vlan" {
            base["vlanId"] = json!(VLAN);
        }
        with(base, over)
    }

    /// A call for a container.
    pub(crate) fn call(&self, id: &str, sandbox: &Sandbox, over: &Value) -> Call {
        let call = self.lab.plugin(self.plugin).of(id, sandbox);
        call.conf(&self.conf(over))
    }

    /// STATUS.
    pub(crate) fn status(&self, over: &Value) -> Call {
        let call = self.lab.plugin(self.plugin).conf(&self.conf(over));
        call.verb("STATUS")
    }

    pub(crate) fn master(&self) -> Link {
        self.lab.rtnl().link_by_name(MASTER).unwrap().unwrap()
    }

    /// Listens for announcements.
    pub(crate) fn listen(&self) -> Ear {
        Ear::of(&self.far.netns)
    }
}

/// A link of a sandbox.
pub(crate) fn link(sandbox: &Sandbox, name: &str) -> Link {
    sandbox.rtnl().link_by_name(name).unwrap().unwrap()
}

/// The interface of an attachment.
pub(crate) fn eth0(sandbox: &Sandbox) -> Option<Link> {
    sandbox.rtnl().link_by_name("eth0").unwrap()
}
