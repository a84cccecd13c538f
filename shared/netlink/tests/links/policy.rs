//! Rules, and routes of every table.

use std::net::IpAddr;

use linkspan_netlink::addr::AddrFlags;
use linkspan_netlink::link::Link;
use linkspan_netlink::route::RouteSpec;
use linkspan_netlink::rtnl::Rtnl;
use linkspan_netlink::rule::{Mark, Rule};
use linkspan_netlink::stored::{NextHop, Stored};
use linkspan_protocol::family::{Family, PerFamily};
use nix::errno::Errno;

use crate::{bridge, ip, namespace};

/// Networks, stations in them and addresses of our own.
const HERE: PerFamily<(&str, u8)> = PerFamily {
    v4: ("10.1.0.2", 16),
    v6: ("fd01::2", 64),
};
const GATEWAYS: PerFamily<[&str; 2]> = PerFamily {
    v4: ["10.1.0.1", "10.1.0.3"],
    v6: ["fd01::1", "fd01::3"],
};
const FAR: PerFamily<(&str, u8)> = PerFamily {
    v4: ("10.9.0.0", 16),
    v6: ("fd09::", 64),
};

/// A link with an address of each family.
fn link(rtnl: &Rtnl) -> Link {
    rtnl.create(&bridge("br0")).unwrap();
    let br0 = rtnl.link_by_name("br0").unwrap().unwrap();
    br0.set_up().unwrap();
    for family in Family::BOTH {
        let (address, prefix) = HERE.of_family(family);
        let flags = AddrFlags {
            nodad: true,
            ..AddrFlags::default()
        };
        br0.add_addr(ip(address), prefix, flags).unwrap();
    }
    br0
}

#[test]
fn rules_are_added_listed_and_removed_in_both_families() {
    let Some((_netns, rtnl)) = namespace() else {
        return;
    };
    for family in Family::BOTH {
        let before = rtnl.rules(family).unwrap();
        // The tables local and main, which every namespace looks up.
        let tables: Vec<_> = before.iter().map(|rule| rule.table).collect();
        assert!(
            tables.contains(&Some(255)) && tables.contains(&Some(254)),
            "{before:?}"
        );

        let (network, prefix) = FAR.of_family(family);
        let mut rule = Rule::of_table(family, 1000);
        rule.priority = Some(500);
        rule.src = Some((ip(HERE.of_family(family).0), family.host_prefix()));
        rule.dst = Some((ip(network), prefix));
        rule.iif = Some("br0".into());
        rule.mark = Some(Mark {
            value: 0x10,
            mask: 0xf0,
        });
        rtnl.add_rule(&rule).unwrap();
        assert!(rtnl.add_rule(&rule).unwrap_err().is(Errno::EEXIST));
        let added: Vec<_> = difference(&rtnl.rules(family).unwrap(), &before);
        let [found] = added.as_slice() else {
            panic!("{added:?}");
        };
        assert_eq!(
            (
                found.priority,
                found.src,
                found.dst,
                found.mark,
                found.table
            ),
            (rule.priority, rule.src, rule.dst, rule.mark, rule.table)
        );
        assert_eq!(
            (found.iif.as_deref(), found.oif.as_deref()),
            (Some("br0"), None)
        );

        // A listed rule is deleted, and restored unchanged.
        rtnl.delete_rule(found).unwrap();
        assert!(rtnl.delete_rule(found).unwrap_err().is(Errno::ENOENT));
        rtnl.add_rule(found).unwrap();
        assert_eq!(difference(&rtnl.rules(family).unwrap(), &before), added);
        rtnl.delete_rule(&rule).unwrap();

        // A rule without a priority comes before all existing ones but the first.
        for table in [100, 101] {
            rtnl.add_rule(&Rule::of_table(family, table)).unwrap();
        }
        let tables: Vec<_> = rtnl
            .rules(family)
            .unwrap()
            .iter()
            .map(|rule| rule.table)
            .collect();
        assert_eq!(tables[..4], [Some(255), Some(101), Some(100), Some(254)]);
        for table in [100, 101] {
            rtnl.delete_rule(&Rule::of_table(family, table)).unwrap();
        }
        assert_eq!(rtnl.rules(family).unwrap(), before);
    }
}

/// The items of the first list that are not in the second.
fn difference<T: Clone + PartialEq>(all: &[T], before: &[T]) -> Vec<T> {
    all.iter()
        .filter(|one| !before.contains(one))
        .cloned()
        .collect()
}

#[test]
fn routes_are_moved_to_another_table_and_back_with_all_that_they_have() {
    let Some((_netns, rtnl)) = namespace() else {
        return;
    };
    let br0 = link(&rtnl);
    for family in Family::BOTH {
        let before = rtnl.stored_routes(family).unwrap();
        let connected = |route: &&Stored| route.is_of_the_kernel() && route.table() == 254;
        assert!(before.iter().filter(connected).count() > 0, "{before:?}");
        let (network, prefix) = FAR.of_family(family);
        let [gw, _] = GATEWAYS.of_family(family).map(ip);
        let spec = RouteSpec {
            gw: Some(gw),
            src: Some(ip(HERE.of_family(family).0)),
            priority: 77,
            table: Some(1000),
            mtu: 1400,
            advmss: 1300,
            ..RouteSpec::to(ip(network), prefix)
        };
        br0.add_route(&spec).unwrap();
        let added = own(&rtnl, family);
        let [route] = added.as_slice() else {
            panic!("{added:?}");
        };
        assert_eq!((route.dst(), route.table()), ((ip(network), prefix), 1000));
        assert_eq!((route.priority(), route.src()), (77, spec.src));
        assert!(route.leaves_by(br0.index) && route.is_unicast() && !route.is_default());
        let hop = NextHop {
            gw: Some(gw),
            oif: Some(br0.index),
            weight: 1,
        };
        assert_eq!(route.hops(), [hop]);

        let moved = route.clone().in_table(2000);
        rtnl.add_stored(&moved).unwrap();
        rtnl.delete_stored(route).unwrap();
        assert!(rtnl.delete_stored(route).unwrap_err().is(Errno::ESRCH));
        let found = own(&rtnl, family);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].table(), found[0].hops()), (2000, vec![hop]));
        assert_eq!(
            found[0].clone().in_table(1000),
            route.clone().in_table(1000)
        );
        rtnl.delete_stored(&found[0]).unwrap();
        assert_eq!(own(&rtnl, family), []);
    }
}

/// The routes of the tests' tables. The kernel adds routes to other tables at any time.
fn own(rtnl: &Rtnl, family: Family) -> Vec<Stored> {
    let routes = rtnl.stored_routes(family).unwrap().into_iter();
    routes.filter(|route| route.table() > 255).collect()
}

#[test]
fn a_route_with_several_next_hops_is_one_and_moves_as_one() {
    let Some((_netns, rtnl)) = namespace() else {
        return;
    };
    let br0 = link(&rtnl);
    // The kernel merges IPv6 routes of one metric.
    let gateways: Vec<IpAddr> = GATEWAYS.v6.map(ip).to_vec();
    for gw in &gateways {
        let spec = RouteSpec {
            gw: Some(*gw),
            ..RouteSpec::to(Family::V6.unspecified(), 0)
        };
        br0.add_route(&spec).unwrap();
    }
    let default = |rtnl: &Rtnl| {
        let routes = rtnl.stored_routes(Family::V6).unwrap().into_iter();
        let mut routes = routes.filter(|route| route.is_default() && route.is_unicast());
        let found = routes.next().unwrap();
        assert!(routes.next().is_none());
        found
    };
    let route = default(&rtnl);
    let hops: Vec<_> = route.hops().iter().map(|hop| hop.gw.unwrap()).collect();
    assert_eq!(hops, gateways);
    rtnl.delete_stored(&route).unwrap();
    rtnl.add_stored(&route.clone().in_table(300)).unwrap();
    let moved = default(&rtnl);
    assert_eq!((moved.table(), moved.hops()), (300, route.hops()));
}
