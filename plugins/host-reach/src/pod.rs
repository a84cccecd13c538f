//! The container's end: its interface with the master that this is born on, and its way to the host.

use std::net::IpAddr;

use linkspan_attach::routes::{HOST_REACH, Routes, delete};
use linkspan_attach::{Side, Sides, kernel};
use linkspan_netlink::link::{IpvlanReach, Kind, Link, MacvlanMode};
use linkspan_netlink::route::{RouteSpec, SCOPE_LINK};
use linkspan_plugin::check::mismatch;
use linkspan_plugin::{Result, Teardown, Undo};
use linkspan_protocol::addr::{Cidr, NetnsPath};
use linkspan_protocol::error::{ErrorCode, Failure};
use linkspan_protocol::family::{Family, PerFamily};

/// A container with an interface that the host does not reach by itself.
#[derive(Debug)]
pub(crate) struct Pod<'a> {
    pub(crate) side: &'a Side,
    pub(crate) netns: &'a NetnsPath,
    pub(crate) link: Link,
    /// The host's interface that it is born on.
    pub(crate) master: Link,
}

/// The host's end: its MAC address and addresses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    pub(crate) mac: [u8; 6],
    pub(crate) ips: PerFamily<Option<IpAddr>>,
}

impl<'a> Pod<'a> {
    /// The container, if its interface is one that a link of the host beside it reaches.
    pub(crate) fn of(sides: &'a Sides, netns: &'a NetnsPath, ifname: &str) -> Result<Self> {
        let link = sides.sandbox.link(ifname)?;
        let refuse = |why: &str, hint: &str| {
            let text = format!("host-reach: interface {ifname:?} {why}");
            Err(Failure::config(text).hint(hint.to_owned()))
        };
        match &link.kind {
            Kind::Macvlan(macvlan) if macvlan.mode == MacvlanMode::Bridge => {}
            Kind::Ipvlan(ipvlan) if ipvlan.reach == IpvlanReach::Bridge => {}
            Kind::Macvlan(_) | Kind::Ipvlan(_) => {
                return refuse(
                    "reaches no other link on its master",
                    "give macvlan the mode bridge, and ipvlan the flag bridge",
                );
            }
            kind => {
                return refuse(
                    &format!("is of kind {:?}", kind.as_str()),
                    "put host-reach behind macvlan or ipvlan in the list",
                );
            }
        }
        let Some(master) = master(&sides.host, &link)? else {
            return refuse(
                "has a master that is not on the host",
                "leave out host-reach where linkInContainer is set",
            );
        };
        Ok(Self {
            side: &sides.sandbox,
            netns,
            link,
            master,
        })
    }

    /// Leads to the host's end and, by it, to `through`: to single addresses only where the interface is the container's
    /// way there already.
    pub(crate) fn lead(
        &self,
        host: End,
        own: &[IpAddr],
        through: &Through<'_>,
        undo: &mut Undo,
    ) -> Result<()> {
        for family in Family::BOTH {
            let own = own.iter().find(|ip| Family::of(**ip) == family);
            let (Some(end), Some(own)) = (host.ips.of_family(family), own) else {
                continue;
            };
            self.know(end, host.mac, undo)?;
            let direct = RouteSpec {
                scope: family.pick(Some(SCOPE_LINK), None),
                src: Some(*own),
                ..RouteSpec::to(end, family.host_prefix())
            };
            self.routes().make(&direct, undo)?;
            self.leads_to(end, *own)?;
            let by_host = |dst: (IpAddr, u8)| RouteSpec {
                gw: Some(end),
                onlink: true,
                src: Some(*own),
                ..RouteSpec::to(dst.0, dst.1)
            };
            for ip in through.addresses_of(family) {
                if self.is_way_to(ip)? {
                    let dst = (ip, family.host_prefix());
                    self.routes().make(&by_host(dst), undo)?;
                }
            }
            for net in through.networks_of(family) {
                let dst = (net.network(), net.prefix());
                self.routes().make(&by_host(dst), undo)?;
            }
        }
        Ok(())
    }

    /// Tells the container the hardware address of the host's end, so that nobody on the wire is asked for it.
    fn know(&self, end: IpAddr, mac: [u8; 6], undo: &mut Undo) -> Result<()> {
        let told = self.link.set_neighbour(end, mac).map_err(kernel);
        let (netns, name) = (self.netns.clone(), self.link.name.clone());
        undo.push_unless_refused(told, "forget the host's end", move || {
            Side::unless_gone(&netns, |side| match side.find(&name)? {
                Some(link) => link.delete_neighbour(end).map_err(kernel),
                None => Ok(()),
            })
        })
    }

    /// Packets from the container's address leave for the host's end by the interface.
    fn leads_to(&self, end: IpAddr, own: IpAddr) -> Result<()> {
        let found = self.side.rtnl.lookup_from(Some(own), end);
        let is_direct = found.map_err(kernel)?.is_some_and(|found| {
            found.oif == Some(self.link.index) && found.gw.is_none_or(|gw| gw == end)
        });
        if is_direct {
            return Ok(());
        }
        let text =
            format!("a rule of the container leads packets from {own} past the host's {end}");
        Err(Failure::new(ErrorCode::INTERNAL, text)
            .hint("put host-reach before sbr and other plugins that make rules"))
    }

    /// Whether packets to `ip` leave by the interface, or could not leave at all.
    fn is_way_to(&self, ip: IpAddr) -> Result<bool> {
        let found = self.side.rtnl.lookup(ip).map_err(kernel)?;
        Ok(found.is_none_or(|found| !found.local && found.oif == Some(self.link.index)))
    }

    /// CHECK: the container still leads to the host's end.
    pub(crate) fn verify(&self, host: End, own: &[IpAddr]) -> Result<()> {
        let known = self.link.neighbours().map_err(kernel)?;
        for own in own {
            let Some(end) = host.ips.of(*own) else {
                continue;
            };
            let has_route = self.side.rtnl.lookup(end).map_err(kernel)?;
            let told = known.iter().find(|one| one.ip == end).map(|one| one.mac);
            let is_led = has_route.is_some_and(|found| found.oif == Some(self.link.index));
            if !is_led || told != Some(Some(host.mac)) {
                return Err(mismatch(
                    format!("way to the host in {}", self.side),
                    &format!("{end} by {}", self.link.name),
                    "none",
                ));
            }
        }
        Ok(())
    }

    fn routes(&self) -> Routes<'_> {
        routes(self.side, self.netns, &self.link)
    }
}

/// The destinations that the container reaches by the host's end.
#[derive(Debug)]
pub(crate) struct Through<'a> {
    /// Addresses of the host.
    pub(crate) addresses: Vec<IpAddr>,
    /// Networks behind the host.
    pub(crate) networks: &'a [Cidr],
}

impl Through<'_> {
    fn addresses_of(&self, family: Family) -> impl Iterator<Item = IpAddr> {
        let all = self.addresses.iter().copied();
        all.filter(move |ip| Family::of(*ip) == family)
    }

    fn networks_of(&self, family: Family) -> impl Iterator<Item = Cidr> {
        let all = self.networks.iter().copied();
        all.filter(move |net| Family::of(net.ip()) == family)
    }
}

/// DEL: the container's interface leads to the host no more.
pub(crate) fn unlead(side: &Side, netns: &NetnsPath, ifname: &str) -> Result<()> {
    let Some(link) = side.find(ifname)? else {
        return Ok(());
    };
    let mut teardown = Teardown::default();
    let mut own = routes(side, netns, &link).list()?;
    own.retain(|route| route.protocol() == HOST_REACH);
    // Those by the host's end come before the one to it.
    own.sort_by_key(|route| !route.has_gateway());
    for route in &own {
        teardown.run("delete a route", || delete(side, route));
        if !route.has_gateway() {
            teardown.run("forget the host's end", || {
                link.delete_neighbour(route.dst().0).map_err(kernel)
            });
        }
    }
    teardown.finish()
}

fn routes<'a>(side: &'a Side, netns: &'a NetnsPath, link: &'a Link) -> Routes<'a> {
    Routes {
        side,
        netns,
        link,
        protocol: HOST_REACH,
    }
}

/// The host's link that `link` is born on. Indexes are numbers of one namespace, so the other properties confirm it.
fn master(host: &Side, link: &Link) -> Result<Option<Link>> {
    let Some(found) = link
        .peer()
        .map_err(kernel)?
        .filter(|_| link.peer_netns.is_some())
    else {
        return Ok(None);
    };
    let here = host.rtnl.link_by_index(found.index).map_err(kernel)?;
    Ok(here.filter(|here| (&here.name, here.mac) == (&found.name, found.mac)))
}
