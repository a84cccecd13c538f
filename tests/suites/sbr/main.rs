//! `sbr`: an address answers by its own interface. Unused tables, gateways by their order, next hops, hints, ADD
//! twice, undo, DEL from any state, CHECK, and the swap with the Go plugin.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod keys;
mod verbs;

use std::net::IpAddr;

use linkspan_harness::call::Call;
use linkspan_harness::chain::Chain;
use linkspan_harness::conf::{addresses, host_local, with};
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::traffic;
use linkspan_netlink::addr::AddrFlags;
use linkspan_netlink::link::{Kind, Link, LinkSpec};
use linkspan_netlink::route::RouteSpec;
use linkspan_netlink::rule::Rule;
use linkspan_netlink::stored::Stored;
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");
const MAIN: u32 = 254;
const NODAD: AddrFlags = AddrFlags {
    nodad: true,
    noprefixroute: false,
};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An attachment to the bridge `brN` with addresses of both families, followed by other plugins.
fn chain(lab: &Lab, sandbox: &Sandbox, n: u8, behind: &[Value]) -> Chain {
    let subnets = [format!("10.{n}.0.0/16"), format!("fd00:{n}::/64")];
    let bridge = json!({
        "type": "bridge",
        "bridge": format!("br{n}"),
        "isDefaultGateway": true,
        "name": format!("net{n}"),
        "ipam": host_local(lab, &subnets.each_ref().map(String::as_str)),
    });
    let confs = [&[bridge], behind].concat();
    Chain::new(lab, "pod", sandbox, &format!("eth{n}"), &confs)
}

/// A pod with an interface of the test, which has two IPv4 addresses and one IPv6 address.
struct Pod {
    sandbox: Sandbox,
    link: Link,
}

const HERE: [(&str, u8); 3] = [("10.1.0.2", 16), ("192.168.1.9", 24), ("fd01::2", 64)];

impl Pod {
    fn new(lab: &Lab) -> Self {
        let sandbox = lab.sandbox();
        let rtnl = sandbox.rtnl();
        rtnl.create(&LinkSpec::new("eth0", Kind::Bridge)).unwrap();
        let link = rtnl.link_by_name("eth0").unwrap().unwrap();
        link.set_up().unwrap();
        for (address, prefix) in HERE {
            link.add_addr(ip(address), prefix, NODAD).unwrap();
        }
        Self { sandbox, link }
    }

    /// A route by the interface.
    fn route(&self, dst: &str, prefix: u8, gw: Option<&str>) -> RouteSpec {
        let spec = RouteSpec {
            gw: gw.map(ip),
            ..RouteSpec::to(ip(dst), prefix)
        };
        self.link.add_route(&spec).unwrap();
        spec
    }

    fn call(&self, lab: &Lab, over: &Value) -> Call {
        self.call_of(&lab.plugin("sbr"), over)
    }

    fn call_of(&self, plugin: &Call, over: &Value) -> Call {
        let each =
            HERE.map(|(ip, prefix)| json!({ "address": format!("{ip}/{prefix}"), "interface": 0 }));
        let mut ips = json!(each);
        ips[0]["gateway"] = json!("10.1.0.1");
        ips[2]["gateway"] = json!("fd01::1");
        let interface = json!({ "name": "eth0", "sandbox": self.sandbox.path() });
        let previous = json!({ "cniVersion": "1.0.0", "interfaces": [interface], "ips": ips });
        let base =
            json!({ "cniVersion": "1.0.0", "name": "net", "type": "sbr", "prevResult": previous });
        plugin
            .clone()
            .of("pod", &self.sandbox)
            .conf(&with(base, over))
    }

    /// The table that the rule of an address leads to.
    fn table(&self, address: &str) -> Option<u32> {
        let rules = self.rules();
        let mut of_address = rules
            .iter()
            .filter(|rule| rule.src.is_some_and(|(src, _)| src == ip(address)));
        let table = of_address.next()?.table;
        assert!(of_address.next().is_none(), "{rules:?}");
        table
    }

    fn rules(&self) -> Vec<Rule> {
        let families = Family::BOTH.map(|family| self.sandbox.rtnl().rules(family).unwrap());
        families.concat()
    }

    /// The routes of a table: destination, gateways and source.
    fn routes(&self, table: u32) -> Vec<String> {
        let families =
            Family::BOTH.map(|family| self.sandbox.rtnl().stored_routes(family).unwrap());
        let own = families.concat();
        let own = own
            .iter()
            .filter(|route| route.table() == table && route.is_unicast());
        own.map(told).collect()
    }
}

fn told(route: &Stored) -> String {
    let (dst, prefix) = route.dst();
    let mut words = format!("{dst}/{prefix}");
    for gw in route.hops().iter().filter_map(|hop| hop.gw) {
        words.extend([" via ".to_owned(), gw.to_string()]);
    }
    let src = route.src().map(|src| format!(" src {src}"));
    words + &src.unwrap_or_default()
}

#[test]
fn each_interface_answers_by_itself_in_every_order() {
    in_lab(LINKSPAN, |lab| {
        let host = Snapshot::of_host(lab);
        let sandbox = lab.sandbox();
        let first = chain(lab, &sandbox, 1, &[]);
        let second = chain(
            lab,
            &sandbox,
            2,
            &[json!({ "type": "sbr", "name": "net2" })],
        );
        for first_goes_first in [true, false] {
            let of_first = first.add();
            let of_second = second.add();
            second.check(&of_second);
            // A station behind the host, outside of the second network.
            let lo = lab.rtnl().link_by_name("lo").unwrap().unwrap();
            let world = [ip("192.0.2.9"), ip("fd99::9")];
            for address in world {
                let prefix = Family::of(address).host_prefix();
                lo.add_addr(address, prefix, NODAD).unwrap();
            }
            let br2 = lab.rtnl().link_by_name("br2").unwrap().unwrap();
            for (src, dst) in world.into_iter().zip(addresses(&of_second)) {
                let spec = RouteSpec {
                    src: Some(src),
                    ..RouteSpec::to(dst, Family::of(dst).host_prefix())
                };
                br2.add_route(&spec).unwrap();
            }
            // The route through the other interface is unusable by now.
            lab.rtnl()
                .link_by_name("br1")
                .unwrap()
                .unwrap()
                .set_down()
                .unwrap();
            for dst in addresses(&of_second) {
                traffic::flows(lab.host(), &sandbox.netns, dst);
            }
            let (one, other) = ((&first, &of_first), (&second, &of_second));
            let order = if first_goes_first {
                [one, other]
            } else {
                [other, one]
            };
            for (chain, result) in order {
                chain.del(result);
            }
            let empty = lab.sandbox();
            let rules = |sandbox: &Sandbox| {
                Family::BOTH.map(|family| sandbox.rtnl().rules(family).unwrap())
            };
            assert_eq!(rules(&sandbox), rules(&empty));
            for address in world {
                lo.del_addr(address, Family::of(address).host_prefix())
                    .unwrap();
            }
            for bridge in ["br1", "br2"] {
                lab.rtnl()
                    .link_by_name(bridge)
                    .unwrap()
                    .unwrap()
                    .delete()
                    .unwrap();
            }
        }
        assert_eq!(Snapshot::of_host(lab), host);
    });
}

#[test]
fn every_route_moves_to_the_table_of_its_address_and_comes_back() {
    in_lab(LINKSPAN, |lab| {
        let pod = Pod::new(lab);
        pod.route("0.0.0.0", 0, Some("10.1.0.1"));
        pod.route("10.50.0.0", 16, Some("10.1.0.3"));
        pod.route("10.60.0.0", 16, None);
        for gw in ["fd01::1", "fd01::3"] {
            pod.route("::", 0, Some(gw));
        }
        let before = Snapshot::of_sandbox(&pod.sandbox);
        let call = pod.call(lab, &json!({}));
        let first = call.add();
        let tables = HERE.map(|(ip, _)| pod.table(ip).unwrap());
        assert_eq!(tables, [100, 101, 102]);
        let expected = [
            "0.0.0.0/0 via 10.1.0.1",
            "10.1.0.0/16 src 10.1.0.2",
            "10.50.0.0/16 via 10.1.0.3",
            "10.60.0.0/16",
        ];
        assert_eq!(pod.routes(100), expected);
        assert_eq!(
            pod.routes(101),
            ["10.60.0.0/16", "192.168.1.0/24 src 192.168.1.9"]
        );
        let of_v6 = pod.routes(102);
        for route in ["::/0 via fd01::1 via fd01::3", "fd01::/64"] {
            assert!(of_v6.iter().any(|found| found == route), "{of_v6:?}");
        }
        // Link-local destinations belong to the interface named with them.
        let left = pod.routes(MAIN);
        assert!(
            left.iter().all(|route| route.starts_with("fe80::/64")),
            "{left:?}"
        );
        call.check(&first);
        // A repetition changes nothing.
        let state = Snapshot::of_sandbox(&pod.sandbox);
        assert_eq!(call.add(), first);
        assert_eq!(Snapshot::of_sandbox(&pod.sandbox), state);
        for _twice in 0..2 {
            call.del();
            assert_eq!(Snapshot::of_sandbox(&pod.sandbox), before);
        }
    });
}

#[test]
fn no_table_of_somebody_else_is_taken() {
    in_lab(LINKSPAN, |lab| {
        let pod = Pod::new(lab);
        // One table has a route and no rule, and another one a rule and no route.
        let spec = RouteSpec {
            table: Some(100),
            ..RouteSpec::to(ip("10.99.0.0"), 16)
        };
        pod.link.add_route(&spec).unwrap();
        pod.sandbox
            .rtnl()
            .add_rule(&Rule::of_table(Family::V6, 101))
            .unwrap();
        let foreign = pod.routes(100);
        let before = Snapshot::of_sandbox(&pod.sandbox);
        let call = pod.call(lab, &json!({}));
        call.add();
        assert_eq!(HERE.map(|(ip, _)| pod.table(ip).unwrap()), [102, 103, 104]);
        assert_eq!(pod.routes(100), foreign);
        // Another attachment of the pod gets other ones.
        let rtnl = pod.sandbox.rtnl();
        rtnl.create(&LinkSpec::new("eth1", Kind::Bridge)).unwrap();
        let other = rtnl.link_by_name("eth1").unwrap().unwrap();
        other.set_up().unwrap();
        let with_address = Snapshot::of_sandbox(&pod.sandbox);
        let previous = json!({ "cniVersion": "1.0.0", "ips": [{ "address": "10.3.0.2/16" }] });
        let second = pod
            .call(lab, &json!({ "prevResult": previous }))
            .env("CNI_IFNAME", "eth1");
        other
            .add_addr(ip("10.3.0.2"), 16, AddrFlags::default())
            .unwrap();
        let warned = second.clone().verb("ADD").run();
        assert!(
            warned.stderr.contains("no gateway for 10.3.0.2/16"),
            "{}",
            warned.stderr
        );
        assert_eq!(pod.table("10.3.0.2"), Some(105));
        second.del();
        other.del_addr(ip("10.3.0.2"), 16).unwrap();
        assert_eq!(Snapshot::of_sandbox(&pod.sandbox), with_address);
        other.delete().unwrap();
        call.del();
        assert_eq!(Snapshot::of_sandbox(&pod.sandbox), before);
    });
}
