//! The crate against the real kernel, in namespaces that each test makes and that vanish with it.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking and runs mkfifo"
)]

mod kinds;
mod policy;

use std::fs;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use linkspan_harness::skip;
use linkspan_netlink::addr::AddrFlags;
use linkspan_netlink::link::{Kind, Link, LinkSpec, Peer, PortFlags};
use linkspan_netlink::netns::{Netns, OpenErrorKind};
use linkspan_netlink::route::RouteSpec;
use linkspan_netlink::rtnl::Rtnl;
use linkspan_netlink::watch::Watch;
use linkspan_protocol::family::Family;
use nix::errno::Errno;

/// A namespace and a handle on it; `None` if this user may not create one.
fn namespace() -> Option<(Netns, Rtnl)> {
    let netns = skip::namespace()?;
    let rtnl = Rtnl::open(&netns).unwrap();
    Some((netns, rtnl))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn bridge(name: &str) -> LinkSpec<'static> {
    LinkSpec {
        mac: Some([2, 0, 0, 0, 0, 7]),
        ..LinkSpec::new(name, Kind::Bridge)
    }
}

fn default_route(gw: &str) -> RouteSpec {
    RouteSpec {
        gw: Some(ip(gw)),
        mtu: 1400,
        ..RouteSpec::to(ip("0.0.0.0"), 0)
    }
}

#[test]
fn a_veth_is_born_in_both_namespaces_and_comes_up() {
    let (Some((host, rtnl)), Some((pod, pod_rtnl))) = (namespace(), namespace()) else {
        return;
    };
    assert_ne!(host.id(), pod.id());
    rtnl.create(&bridge("br0")).unwrap();
    assert!(rtnl.create(&bridge("br0")).unwrap_err().is(Errno::EEXIST));
    let br0 = rtnl.link_by_name("br0").unwrap().unwrap();
    assert_eq!((br0.kind.as_str(), br0.mac), ("bridge", [2, 0, 0, 0, 0, 7]));
    br0.set_up().unwrap();
    rtnl.create_pair(
        &LinkSpec {
            controller: Some(br0.index),
            mtu: Some(1400),
            ..LinkSpec::new("veth0", Kind::Veth)
        },
        &Peer {
            mac: Some([2, 0, 0, 0, 0, 1]),
            mtu: Some(1400),
            ..Peer::new("eth0", pod.as_fd())
        },
    )
    .unwrap();
    let mut watch = Watch::open(Some(&host)).unwrap();
    let flags = PortFlags {
        hairpin: true,
        isolated: true,
    };
    let port = rtnl.link_by_name("veth0").unwrap().unwrap();
    assert!(!port.up && port.controller == Some(br0.index));
    port.tag_port(flags, "net/pod/eth0").unwrap();
    port.set_up().unwrap();
    let eth0 = pod_rtnl.link_by_name("eth0").unwrap().unwrap();
    assert_eq!(
        (eth0.mac, eth0.mtu, eth0.kind.as_str()),
        ([2, 0, 0, 0, 0, 1], 1400, "veth")
    );
    eth0.set_up().unwrap();
    let up = watch.until(Duration::from_secs(10), || {
        Ok(rtnl.link_by_index(port.index)?.filter(|link| link.oper_up))
    });
    let up = up.unwrap().unwrap();
    assert_eq!(
        (up.alias.as_str(), port.alias.as_str()),
        ("net/pod/eth0", "")
    );
    assert_eq!(
        (up.hairpin, up.isolated, up.up),
        (Some(true), Some(true), true)
    );
    assert_eq!(rtnl.link_by_index(br0.index).unwrap().unwrap().mac, br0.mac);
    port.delete().unwrap();
    port.delete().unwrap();
    assert!(pod_rtnl.link_by_name("eth0").unwrap().is_none());
}

#[test]
fn addresses_and_routes_are_added_listed_and_removed() {
    let Some((_netns, rtnl)) = namespace() else {
        return;
    };
    rtnl.create(&bridge("br0")).unwrap();
    let br0 = rtnl.link_by_name("br0").unwrap().unwrap();
    br0.set_up().unwrap();
    let nodad = AddrFlags {
        nodad: true,
        ..AddrFlags::default()
    };
    br0.add_addr(ip("10.0.0.1"), 24, nodad).unwrap();
    br0.add_addr(ip("fd00::1"), 64, nodad).unwrap();
    let twice = br0.add_addr(ip("10.0.0.1"), 24, nodad).unwrap_err();
    assert!(twice.is(Errno::EEXIST));
    assert!(
        twice
            .to_string()
            .starts_with("add address 10.0.0.1/24 on br0: "),
        "{twice}"
    );
    let six = br0.addrs(Some(Family::V6)).unwrap();
    assert!(
        six.iter()
            .any(|addr| addr.ip == ip("fd00::1") && !addr.tentative)
    );
    assert_eq!(br0.addrs(Some(Family::V4)).unwrap().len(), 1);

    br0.add_route(&default_route("10.0.0.2")).unwrap();
    br0.add_route(&default_route("10.0.0.3")).unwrap();
    let routes = rtnl.routes(Family::V4).unwrap();
    let gateways: Vec<_> = routes
        .iter()
        .filter(|r| r.dst.1 == 0)
        .map(|r| r.gw)
        .collect();
    assert_eq!(gateways.len(), 2);
    assert!(
        routes
            .iter()
            .any(|r| r.dst == (ip("10.0.0.0"), 24) && r.oif == Some(br0.index))
    );
    let refused = br0.add_route(&default_route("192.168.7.7")).unwrap_err();
    assert_eq!(
        refused.kernel_says.as_deref(),
        Some("Nexthop has invalid gateway")
    );
    br0.del_addr(ip("10.0.0.1"), 24).unwrap();
    assert!(br0.addrs(Some(Family::V4)).unwrap().is_empty());
}

#[test]
fn a_link_that_is_not_there_is_none_and_lo_is_in_the_list() {
    let Some((_netns, rtnl)) = namespace() else {
        return;
    };
    assert!(rtnl.link_by_name("nothing").unwrap().is_none());
    assert!(rtnl.link_by_index(4711).unwrap().is_none());
    let names: Vec<_> = rtnl
        .links()
        .unwrap()
        .into_iter()
        .map(|link| link.name)
        .collect();
    assert!(names.contains(&"lo".to_owned()));
}

#[test]
fn what_is_no_namespace_is_refused_at_once() {
    let dir = std::env::temp_dir().join(format!("linkspan-netns-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let plain = dir.join("plain");
    fs::write(&plain, "x").unwrap();
    let fifo = dir.join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    let kind = |path: &Path| Netns::open(path).unwrap_err().kind;
    for path in [plain, fifo, PathBuf::from("/proc/self/status")] {
        assert_eq!(kind(&path), OpenErrorKind::NotNamespace, "{path:?}");
    }
    assert!(Netns::open(&dir.join("missing")).unwrap_err().is_missing());
    let pid = std::process::id();
    assert!(Netns::open(Path::new(&format!("/proc/{pid}/ns/net"))).is_ok());
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn many_links_are_deleted_at_once_and_the_others_stay() {
    let Some((_netns, rtnl)) = namespace() else {
        return;
    };
    for at in 0..6 {
        rtnl.create(&bridge(&format!("goes{at}"))).unwrap();
        rtnl.create(&bridge(&format!("stays{at}"))).unwrap();
    }
    let goes = |at: usize| {
        move |link: &Link| link.name.starts_with("goes") && !link.name.ends_with(&at.to_string())
    };
    assert_eq!(rtnl.delete_links(goes(0)).unwrap(), 5);
    assert_eq!(rtnl.delete_links(goes(9)).unwrap(), 1);
    assert_eq!(rtnl.delete_links(goes(9)).unwrap(), 0);
    let links = rtnl.links().unwrap();
    assert_eq!(links.len(), 7);
    assert!(
        links
            .iter()
            .all(|link| link.group == 0 && !link.name.starts_with("goes"))
    );
}

#[test]
fn a_list_is_whole_while_links_come_and_go() {
    let Some((host, rtnl)) = namespace() else {
        return;
    };
    // Enough links for several messages, so that a list takes long enough to be disturbed.
    for at in 0..64 {
        rtnl.create(&bridge(&format!("stay{at}"))).unwrap();
    }
    let enough = AtomicBool::new(false);
    let churn = || {
        let rtnl = Rtnl::open(&host).unwrap();
        while !enough.load(Ordering::Relaxed) {
            rtnl.create(&bridge("goes")).unwrap();
            rtnl.link_by_name("goes")
                .unwrap()
                .unwrap()
                .delete()
                .unwrap();
        }
    };
    let lists: Vec<_> = thread::scope(|scope| {
        scope.spawn(churn);
        let lists = (0..60).map(|_| rtnl.links()).collect();
        enough.store(true, Ordering::Relaxed);
        lists
    });
    for links in lists {
        let names = links.unwrap().into_iter().map(|link| link.name);
        assert_eq!(names.filter(|name| name.starts_with("stay")).count(), 64);
    }
}
