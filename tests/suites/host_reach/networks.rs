//! Networks that containers reach through the host, as that of services.

use std::net::SocketAddr;

use linkspan_harness::server::Server;
use linkspan_harness::world::{self, Cable};
use linkspan_harness::{tool, traffic};
use linkspan_netlink::link::{Kind, LinkSpec};
use serde_json::json;

use crate::stage::{FAR, ip, of};

#[test]
fn a_container_reaches_networks_by_the_host_and_is_seen_as_itself() {
    of("macvlan", |stage| {
        let lab = stage.lab;
        // Nobody else is behind the master's gateway.
        let networks = json!([
            "10.96.0.0/16",
            "fd00:96::/64",
            "10.97.0.0/24",
            "fd00:97::/64"
        ]);
        // One network is on the host, the other one behind it.
        lab.rtnl()
            .create(&LinkSpec::new("svc0", Kind::Bridge))
            .unwrap();
        let services = lab.rtnl().link_by_name("svc0").unwrap().unwrap();
        services.set_up().unwrap();
        for address in ["10.96.0.10", "fd00:96::10"] {
            world::add_address(&services, ip(address));
        }
        let behind = lab.sandbox();
        let cable = Cable {
            name: "back0",
            bridge: None,
            near: &["10.97.0.1", "fd00:97::1"],
            far: &["10.97.0.2", "fd00:97::2"],
        };
        world::plug(lab, &behind, cable);
        world::lead(&behind, "eth0", &["10.97.0.1", "fd00:97::1"]);
        let pod = stage.attach_with(7, &[stage.conf(&json!({ "networks": networks }))]);
        world::lead(&pod.sandbox, "eth0", &FAR);
        for (own, address, far) in [
            (pod.ips[0], "10.96.0.10", "10.97.0.2"),
            (pod.ips[1], "fd00:96::10", "fd00:97::2"),
        ] {
            for (netns, address) in [(lab.host(), address), (&behind.netns, far)] {
                let address = SocketAddr::new(ip(address), 8053);
                let server = Server::new(netns, address);
                assert_eq!(server.answers(&pod.sandbox.netns, address), own);
            }
        }
        // An address of a service, which the host's packet filter translates.
        let tables = "table ip svc { chain pre { type nat hook prerouting priority -100; \
            ip daddr 10.96.7.7 dnat to 10.97.0.2; }; }; \
            table ip6 svc { chain pre { type nat hook prerouting priority -100; \
            ip6 daddr fd00:96::77 dnat to fd00:97::2; }; }";
        if tool::nft(&[tables]).is_some() {
            for (own, service, real) in [
                (pod.ips[0], "10.96.7.7", "10.97.0.2"),
                (pod.ips[1], "fd00:96::77", "fd00:97::2"),
            ] {
                let server = Server::new(&behind.netns, SocketAddr::new(ip(real), 8054));
                let address = SocketAddr::new(ip(service), 8054);
                assert_eq!(server.answers(&pod.sandbox.netns, address), own);
            }
        }
        stage.flows(&pod);
        pod.chain.del(&pod.result);
        assert!(stage.shim().is_none());
    });
}

#[test]
fn addresses_of_the_host_that_are_named_are_reached_without_the_network() {
    of("macvlan", |stage| {
        let lab = stage.lab;
        lab.rtnl()
            .create(&LinkSpec::new("dns0", Kind::Bridge))
            .unwrap();
        let link = lab.rtnl().link_by_name("dns0").unwrap().unwrap();
        link.set_up().unwrap();
        let named = ["10.98.0.10", "fd00:98::10"];
        for address in named {
            world::add_address(&link, ip(address));
        }
        let over = json!({ "hostAddresses": named });
        let pod = stage.attach_with(7, &[stage.conf(&over)]);
        for address in named {
            traffic::flows(&pod.sandbox.netns, lab.host(), ip(address));
        }
        pod.chain.del(&pod.result);
    });
}
