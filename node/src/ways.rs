//! The path to a node: on a link of this one, or through the tunnel.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use linkspan_netlink::route::Route;
use linkspan_netlink::rtnl::Rtnl;
use linkspan_protocol::family::Family;

use crate::error::Result;

/// The permitted paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Directly if the node is on a link of this one, otherwise through the tunnel.
    Auto,
    /// Directly only.
    Direct,
    /// Through the tunnel only.
    Vxlan,
}

/// The path to a part: the node's address, and the index of the outgoing link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The node is the next hop.
    Direct(IpAddr, u32),
    /// The node is the far end of the tunnel.
    Tunnel(IpAddr, u32),
}

impl Way {
    /// The node's address.
    pub fn hop(self) -> IpAddr {
        match self {
            Self::Direct(hop, _) | Self::Tunnel(hop, _) => hop,
        }
    }

    /// The outgoing link; for a tunnel, the one outside of it.
    pub fn link(self) -> u32 {
        match self {
            Self::Direct(_, link) | Self::Tunnel(_, link) => link,
        }
    }
}

/// The result of a route lookup for an address.
#[derive(Debug, Clone, Copy)]
struct Found {
    link: u32,
    is_next: bool,
}

/// The paths found so far. They are valid until a route of the host changes.
#[derive(Debug)]
pub struct Ways {
    mode: Mode,
    routes: Vec<Route>,
    found: BTreeMap<IpAddr, Option<Found>>,
}

impl Ways {
    /// No path is known yet.
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            routes: Vec::new(),
            found: BTreeMap::new(),
        }
    }

    /// Forgets the paths unless the host's routes are still these.
    pub fn look_anew_unless(&mut self, routes: Vec<Route>) {
        if self.routes != routes {
            self.routes = routes;
            self.found.clear();
        }
    }

    /// The path to a part through one of a node's addresses, or the reason why there is none.
    pub fn to(
        &mut self,
        rtnl: &Rtnl,
        part: IpNetwork,
        hops: &[IpAddr],
    ) -> Result<std::result::Result<Way, String>> {
        for hop in hops {
            let Some(found) = self.find(rtnl, *hop)? else {
                continue;
            };
            let is_direct = found.is_next && Family::of(*hop) == Family::of(part.ip());
            match self.mode {
                Mode::Auto | Mode::Direct if is_direct => {
                    return Ok(Ok(Way::Direct(*hop, found.link)));
                }
                Mode::Auto | Mode::Vxlan => return Ok(Ok(Way::Tunnel(*hop, found.link))),
                Mode::Direct => {}
            }
        }
        let hops: Vec<String> = hops.iter().map(ToString::to_string).collect();
        let hops = hops.join(" and ");
        Ok(Err(match self.mode {
            Mode::Direct => format!("{hops} is not on a link of this node (--mode auto tunnels)"),
            Mode::Auto | Mode::Vxlan => format!("the host has no route to {hops}"),
        }))
    }

    fn find(&mut self, rtnl: &Rtnl, hop: IpAddr) -> Result<Option<Found>> {
        if let Some(found) = self.found.get(&hop) {
            return Ok(*found);
        }
        let lookup = rtnl.lookup(hop)?.filter(|lookup| !lookup.local);
        let found = lookup.and_then(|lookup| {
            let is_next = lookup.gw.is_none();
            lookup.oif.map(|link| Found { link, is_next })
        });
        self.found.insert(hop, found);
        Ok(found)
    }
}
