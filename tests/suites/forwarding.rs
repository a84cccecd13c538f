//! Forwarding: packets pass on a host that switches it off for new interfaces, no other interface is changed, and a
//! host that depends on router advertisements keeps its routes.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::net::IpAddr;
use std::os::fd::AsFd;

use linkspan_harness::call::Call;
use linkspan_harness::conf::{host_local, with};
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::traffic::{self, advertise_router, wait_for_link_local};
use linkspan_harness::world::{HOST, WORLD, beyond, bring_up};
use linkspan_netlink::link::{Kind, Link, LinkSpec, Peer};
use linkspan_netlink::route::Route;
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");
const PLUGINS: [&str; 2] = ["bridge", "ptp"];
const FAMILIES: [&str; 2] = ["ipv4", "ipv6"];

/// A pod of both families that reaches the world.
fn call(lab: &Lab, plugin: &str, (id, sandbox): (&str, &Sandbox), over: &Value) -> Call {
    let ipam = host_local(lab, &["10.1.0.0/16", "fd00:1::/64"]);
    let everywhere = json!({ "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }] });
    let base = json!({
        "cniVersion": "1.1.0",
        "name": plugin,
        "type": plugin,
        "ipMasq": true,
        "ipam": with(ipam, &everywhere),
    });
    let base = match plugin {
        "bridge" => with(base, &json!({ "bridge": "br0", "isGateway": true })),
        _ => base,
    };
    let conf = with(base, over);
    lab.plugin(plugin).of(id, sandbox).conf(&conf)
}

fn key(family: &str, ifname: &str, key: &str) -> String {
    format!("/proc/sys/net/{family}/conf/{ifname}/{key}")
}

fn get(path: &str) -> String {
    fs::read_to_string(path).unwrap().trim().to_owned()
}

/// Switches forwarding on for the host and its interfaces, and off for new ones.
fn harden() {
    for family in FAMILIES {
        // Only a change reaches the interfaces.
        for value in ["0", "1"] {
            fs::write(key(family, "all", "forwarding"), value).unwrap();
        }
        fs::write(key(family, "default", "forwarding"), "0").unwrap();
    }
}

/// A foreign link on the host.
fn bystander(lab: &Lab, name: &str, other: &Sandbox) -> Link {
    let spec = LinkSpec::new(name, Kind::Veth);
    let far = Peer::new("eth0", other.netns.as_fd());
    lab.rtnl().create_pair(&spec, &far).unwrap();
    on_host(lab, name)
}

fn on_host(lab: &Lab, name: &str) -> Link {
    lab.rtnl().link_by_name(name).unwrap().unwrap()
}

/// The host's interface for packets from the pod.
fn own(result: &Value) -> &str {
    result["interfaces"][0]["name"].as_str().unwrap()
}

#[test]
fn where_new_interfaces_do_not_forward_ours_do_and_others_stay() {
    in_lab(LINKSPAN, |lab| {
        let world = beyond(lab);
        harden();
        let other = lab.sandbox();
        bystander(lab, "side0", &other);
        for plugin in PLUGINS {
            let (sandbox, second) = (lab.sandbox(), lab.sandbox());
            let first = call(lab, plugin, ("first", &sandbox), &json!({}));
            let result = first.add();
            for ip in WORLD {
                traffic::flows(&sandbox.netns, &world.netns, ip.parse().unwrap());
            }
            first.check(&result);
            for family in FAMILIES {
                let switch = key(family, own(&result), "forwarding");
                assert_eq!(get(&switch), "1");
                fs::write(&switch, "0").unwrap();
                let told = first.after(&result).verb("CHECK").run().failed(999);
                let remedy = format!("sysctl -w net.{family}.conf.{}.forwarding=1", own(&result));
                assert!(told.contains(&switch) && told.contains(&remedy), "{told}");
                fs::write(&switch, "1").unwrap();
                assert_eq!(get(&key(family, "side0", "forwarding")), "0", "{plugin}");
                assert_eq!(get(&key(family, "default", "forwarding")), "0", "{plugin}");
            }
            first.check(&result);
            // A bridge with forwarding switched off is switched on by the next pod.
            fs::write(key("ipv4", own(&result), "forwarding"), "0").unwrap();
            let call = call(lab, plugin, ("second", &second), &json!({}));
            let result = call.add();
            call.check(&result);
            call.del();
            first.del();
        }
    });
}

#[test]
fn a_switch_that_is_on_is_not_written_again() {
    in_lab(LINKSPAN, |lab| {
        let _world = beyond(lab);
        for family in FAMILIES {
            fs::write(key(family, "all", "forwarding"), "1").unwrap();
            fs::write(key(family, "up0", "forwarding"), "0").unwrap();
        }
        // Any number but 0 means on. Writing another one would switch up0 on.
        fs::write("/proc/sys/net/ipv4/ip_forward", "2").unwrap();
        fs::write(key("ipv4", "up0", "forwarding"), "0").unwrap();
        for plugin in PLUGINS {
            let sandbox = lab.sandbox();
            let call = call(lab, plugin, ("pod", &sandbox), &json!({}));
            let result = call.add();
            call.check(&result);
            for family in FAMILIES {
                assert_eq!(get(&key(family, "up0", "forwarding")), "0", "{plugin}");
            }
            call.del();
        }
        assert_eq!(get("/proc/sys/net/ipv4/ip_forward"), "2");
    });
}

/// The world as a router that advertises itself on the host's link `up0`, for this many seconds.
struct Router<'a> {
    lab: &'a Lab,
    world: Sandbox,
}

impl<'a> Router<'a> {
    fn new(lab: &'a Lab) -> Self {
        // The kernel's default for new links, wherever the tests run.
        fs::write(key("ipv6", "default", "accept_ra"), "1").unwrap();
        let world = beyond(lab);
        wait_for_link_local(&world.netns, "eth0");
        wait_for_link_local(lab.host(), "up0");
        Self { lab, world }
    }

    fn advertise(&self, seconds: u16) {
        let index = wait_for_link_local(&self.world.netns, "eth0");
        advertise_router(&self.world.netns, index, seconds).unwrap();
        // Frames stay in order: after the echo the host has seen the advertisement.
        let host: IpAddr = HOST[1].parse().unwrap();
        traffic::flows(&self.world.netns, self.lab.host(), host);
    }

    fn has_route(&self, to: &str, prefix: u8) -> bool {
        let dst = (to.parse().unwrap(), prefix);
        let by_router = |route: &Route| route.advertised && route.dst == dst;
        let routes = self.lab.rtnl().routes(Family::V6).unwrap();
        routes.iter().any(by_router)
    }

    fn has_default_route(&self) -> bool {
        self.has_route("::", 0)
    }
}

#[test]
fn a_host_that_lives_on_router_advertisements_keeps_its_default_route() {
    for plugin in PLUGINS {
        in_lab(LINKSPAN, |lab| {
            let router = Router::new(lab);
            let other = lab.sandbox();
            bystander(lab, "side0", &other);
            router.advertise(1800);
            assert!(router.has_default_route());
            let sandbox = lab.sandbox();
            call(lab, plugin, ("pod", &sandbox), &json!({})).add();
            assert!(router.has_default_route(), "{plugin}");
            assert_eq!(get(&key("ipv6", "all", "forwarding")), "1");
            let accepts = |name| get(&key("ipv6", name, "accept_ra"));
            assert_eq!((accepts("up0"), accepts("side0")), ("2".into(), "1".into()));
            // It still listens: routes lost with the link are learned again.
            let up0 = on_host(lab, "up0");
            up0.set_down().unwrap();
            assert!(!router.has_default_route());
            let eth0 = router.world.rtnl().link_by_name("eth0").unwrap().unwrap();
            bring_up((lab.host(), &up0), (&router.world.netns, &eth0));
            let host: IpAddr = HOST[1].parse().unwrap();
            linkspan_harness::world::add_address(&up0, host);
            router.advertise(1800);
            assert!(router.has_default_route(), "{plugin}");
        });
    }
}

#[test]
fn an_uplink_with_no_more_than_an_advertised_prefix_goes_on_listening() {
    in_lab(LINKSPAN, |lab| {
        let router = Router::new(lab);
        router.advertise(0);
        assert!(!router.has_default_route());
        let sandbox = lab.sandbox();
        call(lab, "bridge", ("pod", &sandbox), &json!({})).add();
        assert_eq!(get(&key("ipv6", "up0", "accept_ra")), "2");
    });
}

#[test]
fn to_switch_our_interface_on_costs_no_other_its_default_route() {
    in_lab(LINKSPAN, |lab| {
        let router = Router::new(lab);
        harden();
        // A host that forwards, with an uplink that listens as a host: the kernel would still purge its route.
        fs::write(key("ipv6", "up0", "forwarding"), "0").unwrap();
        for plugin in PLUGINS {
            fs::write(key("ipv6", "up0", "accept_ra"), "1").unwrap();
            router.advertise(1800);
            assert!(router.has_default_route());
            let sandbox = lab.sandbox();
            let call = call(lab, plugin, ("pod", &sandbox), &json!({}));
            let result = call.add();
            assert_eq!(get(&key("ipv6", own(&result), "forwarding")), "1");
            assert_eq!(get(&key("ipv6", "up0", "forwarding")), "0");
            assert!(router.has_default_route(), "{plugin}");
            call.del();
        }
    });
}
