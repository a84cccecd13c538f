//! Networks that share addresses with another network or with a route of the host.

use linkspan_netlink::link::Link;
use linkspan_netlink::route::Route;
use linkspan_protocol::addr::Cidr;
use linkspan_protocol::family::Family;

use super::{Conf, Range};

/// A route of the host to a network, by one of its links.
#[derive(Debug, Clone)]
pub(crate) struct HostRoute {
    pub(crate) dst: Cidr,
    pub(crate) link: String,
}

/// Two claims to one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Overlap {
    /// The other claim, as a sentence about the subnet.
    pub(crate) what: String,
    /// The change that ends it.
    pub(crate) mend: &'static str,
}

/// The conflicts over addresses of a network.
pub(crate) fn overlaps(conf: Conf<'_>, others: &[Conf<'_>], routes: &[HostRoute]) -> Vec<Overlap> {
    let mut found = Vec::new();
    for range in conf.ranges() {
        for other in others {
            let mut theirs = other.ranges().into_iter();
            if theirs.any(|one| meet((conf, &range), (*other, &one))) {
                found.push(Overlap {
                    what: format!(
                        "{} overlaps with the network {}",
                        range.subnet,
                        other.name()
                    ),
                    mend: "give one of them another subnet",
                });
            }
        }
        let own = conf.gateway_link();
        let in_the_way = |route: &&HostRoute| {
            own.as_ref() != Some(&route.link) && has_common(route.dst, range.subnet)
        };
        for route in routes
            .iter()
            .filter(|_| conf.is_routed())
            .filter(in_the_way)
        {
            found.push(Overlap {
                what: format!(
                    "{} overlaps with the host's route to {} by {}",
                    range.subnet, route.dst, route.link
                ),
                mend: "give the network another subnet",
            });
        }
    }
    found
}

/// Returns whether two networks cannot both have their ranges. Networks of one bridge may share a subnet and split its
/// addresses. Networks that the host does not route cannot conflict.
fn meet((one, first): (Conf<'_>, &Range), (other, second): (Conf<'_>, &Range)) -> bool {
    if !has_common(first.subnet, second.subnet) {
        return false;
    }
    let bridges = [one, other].map(|conf| conf.bridge().map(|(name, _)| name));
    let [here, there] = bridges;
    let is_one_segment = here == there && (here.is_some() || one.is_routed() && other.is_routed());
    if is_one_segment {
        return first.meets(second);
    }
    one.is_routed() && other.is_routed()
}

impl HostRoute {
    /// The routes to networks. Routes to a single host lead to pods.
    pub(crate) fn of(routes: &[Route], links: &[Link]) -> Vec<Self> {
        let route = |route: &Route| {
            let (ip, prefix) = route.dst;
            let is_host = prefix == Family::of(ip).host_prefix();
            let is_link_local =
                matches!(ip, std::net::IpAddr::V6(ip) if ip.is_unicast_link_local());
            let dst = Cidr::new(ip, prefix).filter(|_| prefix > 0 && !is_host && !is_link_local)?;
            let mut links = links.iter();
            let link = links.find(|link| Some(link.index) == route.oif)?;
            Some(Self {
                dst,
                link: link.name.clone(),
            })
        };
        routes.iter().filter_map(route).collect()
    }
}

fn has_common(one: Cidr, other: Cidr) -> bool {
    one.contains(other.network()) || other.contains(one.network())
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_runtime::conflist::NetworkList;

    fn list(name: &str, plugin: &str, range: &str) -> NetworkList {
        let text = format!(
            r#"{{"name":"{name}","cniVersion":"1.0.0","plugins":[{{{plugin},"ipam":{{"type":"host-local","ranges":[[{{{range}}}]]}}}}]}}"#
        );
        NetworkList::parse(text.as_bytes()).unwrap()
    }

    fn bridge(name: &str) -> String {
        format!(r#""type":"bridge","isGateway":true,"bridge":"{name}""#)
    }

    const LOW: &str = r#""subnet":"10.1.0.0/24","rangeEnd":"10.1.0.99""#;
    const HIGH: &str = r#""subnet":"10.1.0.0/24","rangeStart":"10.1.0.100""#;

    #[test]
    fn one_bridge_may_have_parts_of_a_subnet_and_two_may_not() {
        let (ptp, layer2) = (r#""type":"ptp""#, r#""type":"bridge","bridge":"br9""#);
        let (br0, br1) = (bridge("br0"), bridge("br1"));
        for (one, other, meets) in [
            ((&*br0, LOW), (&*br0, HIGH), false),
            ((&br0, LOW), (&br0, LOW), true),
            ((&br0, LOW), (&br1, HIGH), true),
            ((ptp, LOW), (ptp, HIGH), false),
            ((ptp, LOW), (&br0, HIGH), true),
            ((layer2, LOW), (&br0, LOW), false),
            ((layer2, LOW), (layer2, LOW), true),
            ((&br0, LOW), (&br1, r#""subnet":"10.1.1.0/24""#), false),
        ] {
            let lists = [list("a", one.0, one.1), list("b", other.0, other.1)];
            let found = overlaps(Conf(&lists[0]), &[Conf(&lists[1])], &[]);
            assert_eq!(!found.is_empty(), meets, "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_route_by_another_link_is_in_the_way_of_what_the_host_routes() {
        let route = |dst, link: &str| HostRoute {
            dst: Cidr::parse(dst).unwrap(),
            link: link.to_owned(),
        };
        for (plugin, route, meets) in [
            (&*bridge("br0"), route("10.1.0.0/16", "eth0"), true),
            (&bridge("br0"), route("10.1.0.0/24", "br0"), false),
            (&bridge("br0"), route("10.2.0.0/16", "eth0"), false),
            (r#""type":"macvlan""#, route("10.1.0.0/24", "eth0"), false),
        ] {
            let list = list("a", plugin, LOW);
            let found = overlaps(Conf(&list), &[], std::slice::from_ref(&route));
            assert_eq!(!found.is_empty(), meets, "{plugin} {route:?}");
        }
    }
}
