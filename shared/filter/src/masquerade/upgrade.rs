//! Conversion from the first layout, which had two elements for each address of a container: the address, and the range
//! of its neighbours.

use linkspan_netlink::link::Link;
use linkspan_netlink::rtnl::Rtnl;
use linkspan_nftables::Netfilter;
use linkspan_nftables::datum::Datum;
use linkspan_nftables::ruleset::Element;
use linkspan_owner::Owner;
use linkspan_plugin::Result;
use linkspan_protocol::addr::Cidr;
use linkspan_protocol::family::Family;

use super::holder::Ingress;
use super::rules::PART;
use super::zone::{Change, Zone, range};
use crate::kernel;
use crate::table::{Elements, Former, elements_of};

/// Key types of the ranges in the first layout.
const FIRST: [(&[Datum], Family); 2] = [
    (&[Datum::Ipv4, Datum::Ipv4], Family::V4),
    (&[Datum::Ipv6, Datum::Ipv6], Family::V6),
];

/// Converts elements of former sets. Skips attachments whose host end is gone.
pub(super) fn convert(_netfilter: &Netfilter, former: &[Former]) -> Result<Elements<'static>> {
    let mut elements = elements_of(PART.sets, former);
    let needs: Vec<_> = former.iter().flat_map(needs).collect();
    if needs.is_empty() {
        return Ok(elements);
    }
    let links = links()?;
    let mut zones: Vec<Zone> = Vec::new();
    for (owner, address) in needs {
        let Some(ingress) = ingress(&links, &owner)? else {
            continue;
        };
        let wanted = Zone::of(&ingress, address, &[], &owner);
        let is_near = |zone: &&Zone| {
            zone.ingress == ingress && zone.subnet.ip().is_ipv6() == address.ip().is_ipv6()
        };
        let near: Vec<_> = zones.iter().filter(is_near).cloned().collect();
        if let Some(Change { remove, add }) = wanted.settle(&near, &owner) {
            zones.retain(|zone| !remove.contains(zone));
            zones.push(add);
        }
    }
    for zone in zones {
        let (set, source) = zone.source();
        elements.extend([(set, vec![source]), zone.exceptions()]);
    }
    Ok(elements)
}

/// The owners and their addresses with subnets.
fn needs(former: &Former) -> Vec<(Owner, Cidr)> {
    let Some((_, family)) = FIRST.iter().find(|(key, _)| former.set.has_key(key)) else {
        return Vec::new();
    };
    let need = |element: &Element| {
        let (mut start, mut end) = (element.key.read(), element.key_end.as_ref()?.read());
        let address = start.ip(*family)?;
        end.ip(*family)?;
        let subnet = range(start.ip(*family)?, end.ip(*family)?)?;
        let owner = Owner::parse(&element.comment)?;
        Some((owner, Cidr::new(address, subnet.prefix())?))
    };
    former.elements.iter().filter_map(need).collect()
}

/// Moves the attachment's host end to the network's group, unless it is on a bridge.
pub(super) fn regroup(owner: &Owner) -> Result<()> {
    let links = links()?;
    ingress(&links, owner).map(drop)
}

/// The host's links.
fn links() -> Result<Vec<Link>> {
    let host = Rtnl::here();
    host.and_then(|host| host.links()).map_err(kernel)
}

/// The ingress of an attachment's packets: the bridge of its host end, or the group of the host end. The first layout
/// left host ends in group 0.
fn ingress(links: &[Link], owner: &Owner) -> Result<Option<Ingress>> {
    let line = owner.line();
    let Some(end) = links.iter().find(|link| link.alias == line) else {
        return Ok(None);
    };
    let Some(index) = end.controller else {
        let group = owner.network_group();
        if end.group != group {
            end.set_group(group).map_err(kernel)?;
        }
        return Ok(Some(Ingress::Group(group)));
    };
    let bridge = links.iter().find(|link| link.index == index);
    Ok(bridge.map(|bridge| Ingress::Link(bridge.name.clone())))
}
