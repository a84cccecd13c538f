//! A host that routes, the world on one link of it, another node on a second, and further stations beside them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;

use linkspan_harness::lab::{Lab, Sandbox};
use linkspan_harness::table::netfilter;
use linkspan_harness::tun::Tunnel;
use linkspan_harness::wait;
use linkspan_harness::world::{another_node, beyond, set_sysctl};
use linkspan_netlink::netns::Netns;
use linkspan_netlink::rtnl::Rtnl;
use linkspan_nftables::Batch;
use linkspan_nftables::ruleset::{self as nftables, Chain, Table};
use linkspan_protocol::family::Family;

use crate::standing::Standing;

/// The stations.
pub(crate) struct Stage<'a> {
    pub(crate) lab: &'a Lab,
    /// Conversations that last while pods come and go.
    pub(crate) standing: RefCell<Vec<Standing>>,
    /// Declared before the namespaces that it leads to.
    pub(crate) tunnel: Option<Tunnel>,
    others: BTreeMap<&'static str, Sandbox>,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(lab: &'a Lab) -> Self {
        for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            set_sysctl(lab.host(), key, "1");
        }
        // Until duplicate address detection of its link-local address ends, some two seconds, the host resolves no
        // neighbour for packets that it forwards.
        set_sysctl(lab.host(), "ipv6/conf/default/accept_dad", "0");
        let world = beyond(lab);
        let other = another_node(lab, &world);
        Self {
            lab,
            standing: RefCell::default(),
            tunnel: None,
            others: BTreeMap::from([("world", world), ("other", other)]),
        }
    }

    /// Adds a station.
    pub(crate) fn enter(&mut self, name: &'static str) -> &Sandbox {
        let sandbox = self.lab.sandbox();
        set_sysctl(&sandbox.netns, "ipv6/conf/default/accept_dad", "0");
        self.others.entry(name).or_insert(sandbox)
    }

    /// The namespace of a station.
    pub(crate) fn netns(&self, name: &str) -> &Netns {
        match name {
            "host" => self.lab.host(),
            _ => &self.others[name].netns,
        }
    }

    /// Waits until all addresses are local: the kernel accepts IPv6 addresses some time after they were added, and
    /// before that looks for a neighbour that has them.
    pub(crate) fn settle(&self) {
        let others = self.others.values().map(|other| &other.netns);
        for netns in others.chain([self.lab.host()]) {
            let rtnl = Rtnl::open(netns).unwrap();
            for link in rtnl.links().unwrap() {
                let addresses = link.addrs(Some(Family::V6)).unwrap();
                let global = addresses.iter().filter(|address| address.scope == 0);
                global.for_each(|address| until_own(&rtnl, address.ip));
            }
        }
    }

    /// Makes a foreign table on the host.
    pub(crate) fn rules(&self, name: &'static str, chains: &[Chain]) {
        let table = Table {
            family: nftables::TableFamily::Inet,
            name,
        };
        let mut batch = Batch::default();
        batch.ensure_table(table, "somebody else's");
        batch.ensure(table, &[], chains);
        netfilter(self.lab).commit(batch).unwrap();
    }
}

/// Polls, since no event reports it. The kernel's own work may have to wait for that of other tests.
fn until_own(rtnl: &Rtnl, ip: IpAddr) {
    let is_own = || rtnl.lookup(ip).unwrap().is_some_and(|lookup| lookup.local);
    assert!(wait::so(is_own), "{ip} does not become the host's");
}
