//! Masquerade as values: zones, and the changes for a new one. Pure.

use std::net::IpAddr;

use linkspan_nftables::ruleset::{Element, Set};
use linkspan_owner::{Owner, hash};
use linkspan_protocol::addr::Cidr;
use linkspan_protocol::family::Family;

use super::holder::{Holder, Ingress};
use super::rules::Sets;

/// Sources to masquerade, except towards certain destinations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Zone {
    pub(super) ingress: Ingress,
    /// The sources.
    pub(super) subnet: Cidr,
    pub(super) holder: Holder,
    /// Destinations; none contains another.
    pub(super) except: Vec<Cidr>,
}

/// The changes for a new zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) remove: Vec<Zone>,
    pub(super) add: Zone,
}

impl Zone {
    /// The zone that an attachment with this address would need if it were alone.
    pub(super) fn of(ingress: &Ingress, address: Cidr, except: &[Cidr], owner: &Owner) -> Self {
        let subnet = Cidr::new(address.network(), address.prefix()).unwrap_or(address);
        let family = Family::of(subnet.ip());
        let others = except.iter().copied();
        let others = others.filter(|other| Family::of(other.ip()) == family);
        Self {
            ingress: ingress.clone(),
            subnet,
            holder: Holder::Pod(owner.clone()),
            except: widest(others.chain([subnet])),
        }
    }

    /// Returns whether the zone is a single address, which has nothing to share.
    fn is_of_one_address(&self) -> bool {
        self.subnet.network() == self.subnet.last()
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.subnet.contains(other.subnet.network()) || other.subnet.contains(self.subnet.network())
    }

    /// The changes to `present`, the zones of the same ingress and family, for the attachment `owner` that needs this
    /// zone; `None` if nothing is missing.
    ///
    /// A zone belongs to the network: the first attachment creates the zone, and later ones find it. The attachment
    /// holds the zone alone if there is nothing to share: for an address without a subnet, and for all subnets but the
    /// first if IPAM gives each attachment its own. A second attachment in a subnet makes that zone the network's, too.
    pub(super) fn settle(&self, present: &[Self], owner: &Owner) -> Option<Change> {
        let network = owner.network();
        let own = Holder::Pod(owner.clone());
        let (met, others): (Vec<_>, Vec<_>) = present.iter().partition(|zone| zone.overlaps(self));
        let mut add = self.clone();
        if met.is_empty() {
            let shares = |zone: &&Self| zone.holder.is_shared_by(network);
            let is_own = self.is_of_one_address() || others.iter().any(shares);
            add.holder = if is_own {
                own
            } else {
                Holder::of_network(network)
            };
            return Some(Change {
                remove: Vec::new(),
                add,
            });
        }
        // IPAM has given the address to this attachment.
        let is_own = self.is_of_one_address() && met.iter().all(|zone| zone.is_of_one_address());
        if is_own || met.iter().all(|zone| zone.holder == own) {
            add.holder = own;
        } else {
            let alone = Holder::of_network(network);
            add.holder = met.iter().fold(alone, |all, zone| all.and(&zone.holder));
            let subnets = met.iter().map(|zone| zone.subnet);
            add.subnet = subnets
                .min_by_key(|subnet| subnet.prefix())
                .filter(|subnet| subnet.prefix() < self.subnet.prefix())
                .unwrap_or(self.subnet);
            let is_mine = met
                .iter()
                .all(|zone| zone.holder.is_of(network) && zone.subnet == self.subnet);
            if !is_mine {
                let all = met.iter().flat_map(|zone| zone.except.iter().copied());
                add.except = widest(all.chain(self.except.iter().copied()));
            }
        }
        if matches!(met[..], [only] if *only == add) {
            return None;
        }
        let remove = met.into_iter().cloned().collect();
        Some(Change { remove, add })
    }

    /// Returns whether this zone serves the attachment `owner`, which needs `wanted`.
    pub(super) fn serves(&self, wanted: &Self, owner: &Owner) -> bool {
        let is_held = match &self.holder {
            Holder::Pod(holder) => holder == owner,
            holder => holder.is_shared_by(owner.network()),
        };
        is_held
            && self.ingress == wanted.ingress
            && contains(self.subnet, wanted.subnet)
            && wanted
                .except
                .iter()
                .all(|one| self.except.iter().any(|wide| contains(*wide, *one)))
    }

    /// The source element, with its set.
    pub(super) fn source(&self) -> (&'static Set, Element) {
        let pair = self.ingress.sets().sources;
        let key = |ip| self.ingress.fields().ip(ip);
        let element = Element {
            key: key(self.subnet.network()),
            key_end: Some(key(self.subnet.last())),
            comment: self.holder.to_string(),
            record: digest(&self.except),
            ..Element::default()
        };
        (pair.of(self.subnet.ip()), element)
    }

    /// The exception elements, with their set.
    pub(super) fn exceptions(&self) -> (&'static Set, Vec<Element>) {
        let pair = self.ingress.sets().except;
        let key = |from: IpAddr, to: IpAddr| self.ingress.fields().ip(from).ip(to);
        let of_destination = |to: &Cidr| Element {
            key: key(self.subnet.network(), to.network()),
            key_end: Some(key(self.subnet.last(), to.last())),
            comment: self.holder.to_string(),
            ..Element::default()
        };
        let elements = self.except.iter().map(of_destination).collect();
        (pair.of(self.subnet.ip()), elements)
    }

    /// Returns whether `found` is exactly the source element that the attachment needs, by its digest of all
    /// exceptions, too.
    pub(super) fn is_found(&self, found: &Element, owner: &Owner) -> bool {
        let (_, wanted) = self.source();
        let is_held = match Holder::parse(&found.comment) {
            Some(Holder::Pod(holder)) => holder == *owner,
            Some(holder) => holder.is_shared_by(owner.network()),
            None => false,
        };
        is_held
            && (&found.key, &found.key_end) == (&wanted.key, &wanted.key_end)
            && found.record == wanted.record
    }

    /// The element for the lookup of a source address, with its set.
    pub(super) fn point(ingress: &Ingress, ip: IpAddr) -> (&'static Set, Element) {
        let element = Element::of(ingress.fields().ip(ip));
        (ingress.sets().sources.of(ip), element)
    }
}

/// The zones of these elements.
pub(super) fn read(
    sets: Sets,
    family: Family,
    sources: &[Element],
    except: &[Element],
) -> Vec<Zone> {
    let parts = |element: &Element, second: bool| {
        let (mut start, mut end) = (element.key.read(), element.key_end.as_ref()?.read());
        let ingress = Ingress::read(sets, &mut start)?;
        Ingress::read(sets, &mut end)?;
        let subnet = range(start.ip(family)?, end.ip(family)?)?;
        let to = if second {
            Some(range(start.ip(family)?, end.ip(family)?)?)
        } else {
            None
        };
        Some((ingress, subnet, to))
    };
    let of_source = |element: &Element| {
        let (ingress, subnet, _) = parts(element, false)?;
        let same =
            |found: &&(Ingress, Cidr, Option<Cidr>)| (&found.0, found.1) == (&ingress, subnet);
        let found: Vec<_> = except.iter().filter_map(|one| parts(one, true)).collect();
        let except = found.iter().filter(same).filter_map(|found| found.2);
        Some(Zone {
            except: widest(except),
            holder: Holder::parse(&element.comment)?,
            ingress,
            subnet,
        })
    };
    sources.iter().filter_map(of_source).collect()
}

/// The network between two addresses.
pub(super) fn range(start: IpAddr, end: IpAddr) -> Option<Cidr> {
    let longest = if start.is_ipv6() { 128 } else { 32 };
    (0..=longest)
        .filter_map(|prefix| Cidr::new(start, prefix))
        .find(|cidr| (cidr.network(), cidr.last()) == (start, end))
}

fn contains(wide: Cidr, narrow: Cidr) -> bool {
    wide.prefix() <= narrow.prefix() && wide.contains(narrow.network())
}

/// The networks, in order, without those inside another one.
fn widest(cidrs: impl Iterator<Item = Cidr>) -> Vec<Cidr> {
    let bare = |cidr: Cidr| Cidr::new(cidr.network(), cidr.prefix());
    let mut all: Vec<_> = cidrs.filter_map(bare).collect();
    all.sort_by_key(|cidr| (cidr.prefix(), cidr.ip()));
    let mut kept: Vec<Cidr> = Vec::new();
    for cidr in all {
        if !kept.iter().any(|wide| contains(*wide, cidr)) {
            kept.push(cidr);
        }
    }
    kept
}

/// Eight bytes of digest over the list, so that the source element alone proves that all exceptions are right.
fn digest(except: &[Cidr]) -> Vec<u8> {
    const DIGITS: usize = 16;
    let texts: Vec<_> = except.iter().map(ToString::to_string).collect();
    let digits = hash::hex(&texts.join(" "));
    digits.bytes().take(DIGITS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_protocol::ident::{AttachmentId, ContainerId, IfName, NetworkName};

    fn owner(network: &str, container: &str) -> Owner {
        let attachment = AttachmentId {
            container_id: ContainerId::parse(container).unwrap(),
            ifname: IfName::parse("eth0").unwrap(),
        };
        Owner::of(&NetworkName::parse(network).unwrap(), &attachment)
    }

    fn cidr(text: &str) -> Cidr {
        Cidr::parse(text).unwrap()
    }

    /// The zones after successive attachments: network, container, address, exception.
    fn after(attachments: &[(&str, &str, &str, &str)]) -> Vec<String> {
        let br0 = Ingress::Link("br0".to_owned());
        let mut zones: Vec<Zone> = Vec::new();
        for (network, container, address, except) in attachments {
            let owner = owner(network, container);
            let except: Vec<_> = except.split_whitespace().map(cidr).collect();
            let wanted = Zone::of(&br0, cidr(address), &except, &owner);
            if let Some(change) = wanted.settle(&zones, &owner) {
                zones.retain(|zone| !change.remove.contains(zone));
                zones.push(change.add);
            }
            // The second call must change nothing.
            assert_eq!(wanted.settle(&zones, &owner), None, "{zones:?}");
            assert!(zones.iter().any(|zone| zone.serves(&wanted, &owner)));
        }
        let told = |zone: &Zone| {
            let except: Vec<_> = zone.except.iter().map(ToString::to_string).collect();
            format!("{} {} [{}]", zone.holder, zone.subnet, except.join(" "))
        };
        zones.iter().map(told).collect()
    }

    #[test]
    fn a_zone_belongs_to_the_network_or_to_who_shares_it_with_nobody() {
        let one = ("net", "a", "10.1.0.2/16", "");
        let of_net = "net 10.1.0.0/16 [10.1.0.0/16]";
        assert_eq!(after(&[one]), [of_net]);
        assert_eq!(after(&[one, ("net", "b", "10.1.0.3/16", "")]), [of_net]);
        // There is no subnet to share.
        let host = ("net", "a", "10.1.0.2/32", "");
        assert_eq!(after(&[host]), ["net/a/eth0 10.1.0.2/32 [10.1.0.2/32]"]);
        // The same address is given again.
        assert_eq!(
            after(&[host, ("net", "b", "10.1.0.2/32", "")]),
            ["net/b/eth0 10.1.0.2/32 [10.1.0.2/32]"]
        );
        // Each has a subnet of its own; the first is the network's.
        let each = [
            one,
            ("net", "b", "10.2.0.2/16", ""),
            ("net", "c", "10.3.0.2/16", ""),
        ];
        let (b, c) = (
            "net/b/eth0 10.2.0.0/16 [10.2.0.0/16]",
            "net/c/eth0 10.3.0.0/16 [10.3.0.0/16]",
        );
        assert_eq!(after(&each), [of_net, b, c]);
        // A second attachment makes it the network's.
        let more = [&each[..], &[("net", "d", "10.2.0.3/16", "")]].concat();
        assert_eq!(after(&more), [of_net, c, "net 10.2.0.0/16 [10.2.0.0/16]"]);
    }

    #[test]
    fn networks_that_meet_share_a_zone() {
        let one = ("net", "a", "10.1.0.2/16", "10.0.0.0/8 fd00::/8");
        assert_eq!(after(&[one]), ["net 10.1.0.0/16 [10.0.0.0/8]"]);
        assert_eq!(
            after(&[one, ("other", "b", "10.1.0.3/16", "192.0.2.0/24")]),
            ["net,other 10.1.0.0/16 [10.0.0.0/8 192.0.2.0/24]"]
        );
        // The network's list was edited.
        assert_eq!(
            after(&[one, ("net", "b", "10.1.0.3/16", "192.0.2.0/24")]),
            ["net 10.1.0.0/16 [10.1.0.0/16 192.0.2.0/24]"]
        );
        // One subnet contains the other, in either order.
        let narrow = ("other", "b", "10.1.2.3/24", "");
        let shared = "net,other 10.1.0.0/16 [10.0.0.0/8]";
        assert_eq!(after(&[one, narrow]), [shared]);
        assert_eq!(after(&[narrow, one]), [shared]);
        assert_eq!(
            after(&[narrow, ("other", "c", "10.1.9.3/24", ""), one]),
            [shared]
        );
    }

    #[test]
    fn more_networks_than_a_comment_holds_are_everybody() {
        let names: Vec<String> = (0..9).map(|n| format!("{n}{}", "n".repeat(30))).collect();
        let all: Vec<_> = names
            .iter()
            .map(|name| (name.as_str(), "a", "10.1.0.2/16", ""))
            .collect();
        assert_eq!(after(&all), ["* 10.1.0.0/16 [10.1.0.0/16]"]);
        let two = Holder::parse("a,b").unwrap();
        assert!(two.is_shared_by("a") && two.is_shared_by("b") && !two.is_shared_by("a,b"));
        assert_eq!(Holder::parse("*"), Some(Holder::Everybody));
        assert_eq!(Holder::parse(""), None);
    }

    #[test]
    fn zones_are_read_back() {
        for (ingress, address) in [
            (Ingress::Link("br0".to_owned()), "10.1.0.2/16"),
            (Ingress::Link("a.long.name-15b".to_owned()), "fd00::2/64"),
            (Ingress::Group(0x1234_0000), "10.1.0.2/32"),
            (Ingress::Group(0x1234_0000), "fd00::2/128"),
        ] {
            let except = [cidr("192.0.2.0/24"), cidr("2001:db8::/32")];
            let zone = Zone::of(&ingress, cidr(address), &except, &owner("net", "a"));
            let (_, source) = zone.source();
            let (_, exceptions) = zone.exceptions();
            let family = Family::of(zone.subnet.ip());
            let read = read(ingress.sets(), family, &[source], &exceptions);
            assert_eq!(read, [zone]);
        }
    }
}
