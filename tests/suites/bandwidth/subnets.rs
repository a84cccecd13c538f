//! Shaped and unshaped networks. A bucket smaller than a frame shows the difference.

use std::io::ErrorKind;
use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use linkspan_harness::conf::with;
use linkspan_harness::lab::{Sandbox, in_lab};
use linkspan_harness::traffic;
use linkspan_netlink::addr::AddrFlags;
use linkspan_netlink::link::Link;
use linkspan_netlink::netns::Netns;
use linkspan_netlink::route::RouteSpec;
use serde_json::json;

use crate::{LINKSPAN, Shaped, call, ifbs, queues};

/// Addresses of the host: the gateway, and others that the container reaches through it.
const NEAR: &str = "10.1.0.1";
const FAR: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

/// Returns whether a datagram is lost.
fn is_stopped(from: &Netns, to: &Netns, ip: &str) -> bool {
    let ip: IpAddr = ip.parse().unwrap();
    let server = to.scope(|| UdpSocket::bind((ip, 0)).unwrap()).unwrap();
    let any = if ip.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let client = from.scope(|| UdpSocket::bind(any).unwrap()).unwrap();
    client.connect(server.local_addr().unwrap()).unwrap();
    server
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    client.send(b"hello").unwrap();
    let heard = server.recv(&mut [0; 8]);
    heard.is_err_and(|err| err.kind() == ErrorKind::WouldBlock)
}

#[test]
fn only_what_is_meant_waits() {
    let stopped = json!({ "ingressRate": 8, "ingressBurst": 8, "egressRate": 8, "egressBurst": 8 });
    let far = json!(["192.0.2.0/24", "2001:db8::/32"]);
    let but_near = json!(["10.1.0.0/24", "fd00::/64"]);
    in_lab(LINKSPAN, |lab| {
        let Some(Shaped {
            sandbox,
            previous,
            end,
        }) = Shaped::new(lab)
        else {
            return;
        };
        let lo = lab.rtnl().link_by_name("lo").unwrap().unwrap();
        let flags = AddrFlags {
            nodad: true,
            noprefixroute: true,
        };
        for (ip, prefix) in [(FAR[0], 32), (FAR[1], 128)] {
            lo.add_addr(ip.parse().unwrap(), prefix, flags).unwrap();
        }
        reach_far(&lab.rtnl().link_by_name("br0").unwrap().unwrap(), &sandbox);
        for over in [
            json!({ "shapedSubnets": far }),
            json!({ "unshapedSubnets": but_near }),
        ] {
            let limits = call(
                lab,
                "dummy",
                &sandbox,
                &previous,
                &with(stopped.clone(), &over),
            );
            let result = limits.add();
            limits.check(&result);
            traffic::flows(&sandbox.netns, lab.host(), NEAR.parse().unwrap());
            for ip in FAR {
                assert!(
                    is_stopped(&sandbox.netns, lab.host(), ip),
                    "{ip} with {over}"
                );
            }
            limits.del();
            assert_eq!(queues(&end), [""; 0]);
            assert!(ifbs(&lab.rtnl()).is_empty());
            for ip in FAR {
                traffic::flows(&sandbox.netns, lab.host(), ip.parse().unwrap());
            }
        }
    });
}

/// Gives the container an IPv6 address, and routes to the far ones.
fn reach_far(br0: &Link, sandbox: &Sandbox) {
    let flags = AddrFlags {
        nodad: true,
        noprefixroute: false,
    };
    br0.add_addr("fd00::1".parse().unwrap(), 64, flags).unwrap();
    let eth0 = sandbox.rtnl().link_by_name("eth0").unwrap().unwrap();
    let allow = || std::fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "0").unwrap();
    sandbox.netns.scope(allow).unwrap();
    eth0.add_addr("fd00::7".parse().unwrap(), 64, flags)
        .unwrap();
    for (dst, prefix, gw) in [("192.0.2.0", 24, "10.1.0.1"), ("2001:db8::", 32, "fd00::1")] {
        let route = RouteSpec {
            gw: gw.parse().ok(),
            ..RouteSpec::to(dst.parse().unwrap(), prefix)
        };
        eth0.add_route(&route).unwrap();
    }
}
