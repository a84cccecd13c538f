//! Those who have nothing to do with containers: the host's settings, its answers on the wire, and what it hears there.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use linkspan_cli::traffic::at;
use linkspan_harness::ear::Ear;
use linkspan_harness::{traffic, world};
use linkspan_netlink::holders;
use linkspan_netlink::netns::Netns;
use serde_json::json;

use crate::stage::{FAR, HOST, MASTER, each, of};

/// Every setting of the host, but those of links that come and go.
fn settings(host: &Netns) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for family in ["ipv4", "ipv6"] {
        for place in [
            "conf/all",
            "conf/default",
            &format!("conf/{MASTER}"),
            "conf/lo",
        ] {
            let dir = format!("/proc/sys/net/{family}/{place}");
            host.scope(|| read(Path::new(&dir), &mut all)).unwrap();
        }
    }
    for key in ["ipv4/ip_forward", "ipv4/conf/all/rp_filter"] {
        let path = format!("/proc/sys/net/{key}");
        let value = host.scope(|| fs::read_to_string(&path)).unwrap().unwrap();
        all.insert(path, value);
    }
    all
}

fn read(dir: &Path, all: &mut BTreeMap<String, String>) {
    for file in fs::read_dir(dir).into_iter().flatten().flatten() {
        // Some can only be written.
        if let Ok(value) = fs::read_to_string(file.path()) {
            all.insert(file.path().display().to_string(), value);
        }
    }
}

#[test]
fn no_setting_of_the_host_changes() {
    each(|stage| {
        let before = settings(stage.lab.host());
        assert!(before.len() > 50);
        let pod = stage.attach(7);
        assert_eq!(settings(stage.lab.host()), before);
        pod.chain.del(&pod.result);
        assert_eq!(settings(stage.lab.host()), before);
    });
}

#[test]
fn each_address_on_the_wire_is_answered_for_by_one_station() {
    of("macvlan", |stage| {
        // The host answers for others where it may.
        for key in [
            "ipv4/conf/all/forwarding",
            "ipv6/conf/all/forwarding",
            "ipv6/conf/all/proxy_ndp",
        ] {
            world::set_sysctl(stage.lab.host(), key, "1");
        }
        let pod = stage.attach(7);
        stage.flows(&pod);
        let eth0 = pod.sandbox.rtnl().link_by_name("eth0").unwrap().unwrap();
        let own = stage.far.rtnl().link_by_name("eth0").unwrap().unwrap();
        let hosts = HOST.map(|ip| (ip.parse().unwrap(), stage.master().mac));
        let pods = pod.ips.map(|ip| (ip, eth0.mac));
        let expected: Vec<(IpAddr, [u8; 6])> = hosts.into_iter().chain(pods).collect();
        let asked: Vec<IpAddr> = expected.iter().map(|(ip, _)| *ip).collect();
        let look = || holders::holders("eth0", own.mac, &asked, Duration::from_millis(300));
        let found = stage.far.netns.scope(look).unwrap().unwrap();
        assert_eq!(found, expected.into_iter().collect());
    });
}

#[test]
fn the_host_announces_nothing_and_hears_nothing_twice() {
    each(|stage| {
        // The kernel would let both through.
        world::set_sysctl(stage.lab.host(), "ipv4/conf/all/rp_filter", "0");
        let (pod, call) = stage.beside(7, &json!({}));
        let ear = Ear::of(&stage.far.netns);
        call.add();
        for ip in pod.ips {
            traffic::flows(stage.lab.host(), &pod.sandbox.netns, ip);
        }
        assert_eq!(ear.announced(), Vec::<IpAddr>::new());
        let hearer = at(stage.lab.host(), || UdpSocket::bind(("0.0.0.0", 0))).unwrap();
        let caller = at(&stage.far.netns, || UdpSocket::bind((FAR[0], 0))).unwrap();
        caller.set_broadcast(true).unwrap();
        let port = hearer.local_addr().unwrap().port();
        let mut heard = [0; 8];
        hearer
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        for text in [b"one", b"two"] {
            caller.send_to(text, ("10.1.0.255", port)).unwrap();
            let (len, _) = hearer.recv_from(&mut heard).unwrap();
            assert_eq!(&heard[..len], text);
        }
        call.del();
    });
}

/// A router on the wire: the host's own link listens to none.
#[test]
fn the_hosts_link_takes_no_address_of_a_router() {
    of("macvlan", |stage| {
        let index = traffic::wait_for_link_local(&stage.far.netns, "eth0");
        let pod = stage.attach(7);
        let before = stage.shim().unwrap().addrs(None).unwrap();
        assert_eq!(before.len(), 2);
        traffic::advertise_router(&stage.far.netns, index, 600).unwrap();
        // The master has heard it.
        let mut has_heard = false;
        while !has_heard {
            let addrs = stage.master().addrs(None).unwrap();
            has_heard = addrs
                .iter()
                .any(|addr| addr.ip.to_string().starts_with("fd66:"));
        }
        assert_eq!(stage.shim().unwrap().addrs(None).unwrap(), before);
        pod.chain.del(&pod.result);
    });
}
