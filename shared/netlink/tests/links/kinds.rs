//! Kinds of links, as requested and as the kernel reports them. Prints the kinds that this kernel lacks.

use std::os::fd::AsFd;

use linkspan_harness::skip;
use linkspan_netlink::encap::Encap;
use linkspan_netlink::link::{
    Ipvlan, IpvlanMode, IpvlanReach, Kind, Link, LinkSpec, Macvlan, MacvlanMode, Netkit, Peer,
    QosMap, Vlan, VlanProtocol, Vxlan,
};
use linkspan_netlink::route::RouteSpec;
use linkspan_netlink::rtnl::Rtnl;
use linkspan_protocol::family::Family;
use nix::errno::Errno;

use crate::{bridge, ip, namespace};

fn macvlan(mode: MacvlanMode) -> Kind {
    Kind::Macvlan(Macvlan {
        mode,
        broadcast_queue: Some(2000),
    })
}

fn ipvlan(mode: IpvlanMode, reach: IpvlanReach) -> Kind {
    Kind::Ipvlan(Ipvlan { mode, reach })
}

fn vlan(id: u16, protocol: VlanProtocol) -> Kind {
    let map = |from, to| QosMap { from, to };
    Kind::Vlan(Vlan {
        protocol,
        egress: vec![map(3, 5), map(6, 1)],
        ingress: vec![map(2, 7)],
        ..Vlan::of(id)
    })
}

#[test]
fn links_of_their_own_are_told_as_they_were_asked_for() {
    let Some((_netns, rtnl)) = namespace() else {
        return;
    };
    for kind in [
        Kind::Bridge,
        Kind::Dummy,
        Kind::Ifb,
        Kind::Vrf { table: 1000 },
    ] {
        if !skip::has_kind(&rtnl, &kind) {
            continue;
        }
        let spec = LinkSpec {
            mac: Some([2, 0, 0, 0, 0, 9]),
            mtu: Some(1400),
            group: Some(70_000),
            ..LinkSpec::new("link0", kind.clone())
        };
        rtnl.create(&spec).unwrap();
        assert!(rtnl.create(&spec).unwrap_err().is(Errno::EEXIST));
        let link = rtnl.link_by_name("link0").unwrap().unwrap();
        assert_eq!(link.kind, kind);
        assert_eq!(
            (link.mac, link.mtu, link.group),
            ([2, 0, 0, 0, 0, 9], 1400, 70_000)
        );
        link.delete().unwrap();
    }
}

#[test]
fn a_vxlans_routes_tell_its_far_ends_and_it_forwards_when_it_is_told() {
    let Some((_netns, rtnl)) = namespace() else {
        return;
    };
    let kind = Kind::Vxlan(Vxlan::at(4790));
    if !skip::has_kind(&rtnl, &kind) {
        return;
    }
    rtnl.create(&LinkSpec::new("vx0", kind.clone())).unwrap();
    let link = rtnl.link_by_name("vx0").unwrap().unwrap();
    assert_eq!(link.kind, kind);
    link.set_up().unwrap();
    for (part, remote) in [
        ("10.244.1.0", "192.0.2.1"),
        ("10.244.2.0", "2001:db8::1"),
        ("fd44::", "192.0.2.1"),
    ] {
        let encap = Some(Encap {
            id: 7,
            remote: ip(remote),
        });
        let prefix = if ip(part).is_ipv4() { 24 } else { 64 };
        let spec = RouteSpec {
            encap,
            protocol: Some(113),
            ..RouteSpec::to(ip(part), prefix)
        };
        link.replace_route(&spec).unwrap();
        let routes = rtnl.routes(Family::of(ip(part))).unwrap();
        let mut ours = routes.into_iter().filter(|route| route.protocol == 113);
        let route = ours.next().unwrap();
        assert_eq!((route.dst, route.encap), ((ip(part), prefix), encap));
        rtnl.delete_route(&route).unwrap();
        rtnl.delete_route(&route).unwrap();
        let left = rtnl.routes(Family::of(ip(part))).unwrap();
        assert!(left.iter().all(|route| route.protocol != 113));
    }
    assert!(!link.routing.forwards(Family::V4));
    link.forward_ipv4().unwrap();
    let link = rtnl.link_by_name("vx0").unwrap().unwrap();
    assert!(link.routing.forwards(Family::V4));
}

#[test]
fn links_on_another_link_are_born_in_another_namespace_and_told_as_they_were_asked_for() {
    let (Some((_host, rtnl)), Some((pod, there))) = (namespace(), namespace()) else {
        return;
    };
    rtnl.create(&bridge("up0")).unwrap();
    let parent = rtnl.link_by_name("up0").unwrap().unwrap();
    // The kinds come one by one: a link takes either macvlans or ipvlans.
    let kinds = [
        macvlan(MacvlanMode::Private),
        macvlan(MacvlanMode::Vepa),
        macvlan(MacvlanMode::Bridge),
        macvlan(MacvlanMode::Passthru),
        ipvlan(IpvlanMode::L2, IpvlanReach::Bridge),
        ipvlan(IpvlanMode::L3, IpvlanReach::Private),
        ipvlan(IpvlanMode::L3s, IpvlanReach::Vepa),
        vlan(100, VlanProtocol::Q),
        vlan(4094, VlanProtocol::Ad),
    ];
    for kind in kinds {
        if !skip::has_kind(&rtnl, &kind) {
            continue;
        }
        // A bridge carries only macvlans.
        let on = if kind == "macvlan" {
            &parent
        } else {
            &dummy(&rtnl)
        };
        let spec = LinkSpec {
            netns: Some(pod.as_fd()),
            ..LinkSpec::new("eth0", kind.clone())
        };
        on.create_child(&spec).unwrap();
        // The name is taken only in the other namespace.
        assert!(rtnl.link_by_name("eth0").unwrap().is_none());
        let link = there.link_by_name("eth0").unwrap().unwrap();
        let expected = match (&link.kind, kind) {
            // Linux 5.10 ignores the queue length and does not report it.
            (Kind::Macvlan(told), Kind::Macvlan(asked)) if told.broadcast_queue.is_none() => {
                Kind::Macvlan(Macvlan {
                    broadcast_queue: None,
                    ..asked
                })
            }
            (_, asked) => asked,
        };
        assert_eq!(
            (link.kind.clone(), link.peer_index),
            (expected, Some(on.index))
        );
        link.delete().unwrap();
    }
}

#[test]
fn a_netkit_pair_is_told_as_it_was_asked_for_at_either_end() {
    let (Some((_host, rtnl)), Some((pod, there))) = (namespace(), namespace()) else {
        return;
    };
    if !skip::has_kind(&rtnl, &Kind::Netkit(Netkit::OPEN)) {
        return;
    }
    for asked in [
        Netkit::OPEN,
        Netkit {
            peer_passes: false,
            ..Netkit::OPEN
        },
        Netkit {
            has_frames: false,
            passes: false,
            peer_passes: true,
        },
    ] {
        let near = LinkSpec {
            group: Some(70_000),
            mtu: Some(1400),
            mac: asked.has_frames.then_some([2, 0, 0, 0, 0, 1]),
            ..LinkSpec::new("near", Kind::Netkit(asked))
        };
        let far = Peer {
            mac: asked.has_frames.then_some([2, 0, 0, 0, 0, 2]),
            mtu: Some(1400),
            ..Peer::new("far", pod.as_fd())
        };
        rtnl.create_pair(&near, &far).unwrap();
        assert!(rtnl.create_pair(&near, &far).unwrap_err().is(Errno::EEXIST));
        let near = rtnl.link_by_name("near").unwrap().unwrap();
        let far = there.link_by_name("far").unwrap().unwrap();
        assert_eq!(near.kind, Kind::Netkit(asked));
        let swapped = Netkit {
            passes: asked.peer_passes,
            peer_passes: asked.passes,
            ..asked
        };
        assert_eq!(far.kind, Kind::Netkit(swapped));
        assert!(near.kind.is_pair() && near.peer_lives());
        assert_eq!(
            (near.peer_index, far.peer_index),
            (Some(far.index), Some(near.index))
        );
        assert_eq!((near.group, near.mtu, far.mtu), (70_000, 1400, 1400));
        if asked.has_frames {
            assert_eq!(
                (near.mac, far.mac),
                ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            );
        }
        far.delete().unwrap();
        assert!(rtnl.link_by_name("near").unwrap().is_none());
    }
}

/// A link that can be a parent.
fn dummy(rtnl: &Rtnl) -> Link {
    if rtnl.link_by_name("on0").unwrap().is_none() {
        rtnl.create(&LinkSpec::new("on0", Kind::Dummy)).unwrap();
    }
    rtnl.link_by_name("on0").unwrap().unwrap()
}

#[test]
fn a_kind_that_no_kernel_has_is_not_known_and_one_that_is_known_is_not_made() {
    let Some((_netns, rtnl)) = namespace() else {
        return;
    };
    let before = rtnl.links().unwrap().len();
    assert!(!rtnl.knows(&Kind::Other("nonesuch".into())).unwrap());
    for kind in [Kind::Bridge, Kind::Veth, macvlan(MacvlanMode::Bridge)] {
        assert!(rtnl.knows(&kind).unwrap(), "{kind}");
    }
    assert_eq!(rtnl.links().unwrap().len(), before);
}

#[test]
fn a_link_is_renamed_noted_on_and_moved() {
    let (Some((_host, rtnl)), Some((pod, there))) = (namespace(), namespace()) else {
        return;
    };
    let near = LinkSpec::new("one", Kind::Veth);
    rtnl.create_pair(&near, &Peer::new("two", pod.as_fd()))
        .unwrap();
    let link = rtnl.link_by_name("one").unwrap().unwrap();
    link.set_name("three").unwrap();
    link.set_alias("one").unwrap();
    link.set_mtu(1300).unwrap();
    link.move_to(pod.as_fd(), "four").unwrap();
    assert!(rtnl.link_by_name("three").unwrap().is_none());
    let moved = there.link_by_name("four").unwrap().unwrap();
    assert_eq!((moved.alias.as_str(), moved.mtu), ("one", 1300));
    moved.set_alias("").unwrap();
    let moved = there.link_by_name("four").unwrap().unwrap();
    assert_eq!(moved.alias, "");
}
