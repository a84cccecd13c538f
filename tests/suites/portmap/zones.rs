//! Masquerade belongs to the network: the sources that the world sees, the changes by ADD and DEL, and its removal.
//!
//! It has more than 400 lines because the tests share one stage: the world, and the sources that it sees.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use linkspan_cli::traffic::at;
use linkspan_harness::call::Call;
use linkspan_harness::conf::{addresses, bridge, host_local, with};
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::server::once_free;
use linkspan_harness::skip;
use linkspan_harness::table::{elements, netfilter, shared};
use linkspan_harness::world::{HOST, WORLD, add_address, beyond};
use linkspan_netlink::addr::AddrFlags;
use linkspan_netlink::link::{Kind, LinkSpec};
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

use crate::{LINKSPAN, count, traced};

/// An attachment of one interface plugin alone.
struct Attached<'a> {
    lab: &'a Lab,
    id: &'a str,
    sandbox: Sandbox,
    conf: Value,
    result: Value,
}

impl<'a> Attached<'a> {
    fn new(lab: &'a Lab, id: &'a str, conf: &Value) -> Self {
        let mut attached = Self::prepared(lab, id, conf);
        attached.result = attached.call().add();
        attached
    }

    fn prepared(lab: &'a Lab, id: &'a str, conf: &Value) -> Self {
        Self {
            lab,
            id,
            sandbox: lab.sandbox(),
            conf: conf.clone(),
            result: Value::Null,
        }
    }

    fn call(&self) -> Call {
        let plugin = self.conf["type"].as_str().unwrap();
        let call = self.lab.plugin(plugin).of(self.id, &self.sandbox);
        call.conf(&self.conf)
    }

    fn check(&self) {
        self.call().check(&self.result);
    }

    fn ip(&self, family: Family) -> IpAddr {
        addresses(&self.result)[family.pick(0, 1)]
    }

    /// The source that the world sees at `address`. No route back is needed.
    fn is_seen_by(&self, world: &Sandbox, address: &str) -> IpAddr {
        let address = SocketAddr::new(address.parse().unwrap(), 7000);
        let bound = |from: &Sandbox, to: SocketAddr| {
            at(&from.netns, || once_free(|| UdpSocket::bind(to))).unwrap()
        };
        let (server, client) = (bound(world, address), bound(&self.sandbox, any(address)));
        server
            .set_read_timeout(Some(Duration::from_secs(1)))
            .unwrap();
        // The kernel may drop one while it resolves its neighbour.
        let seen = (0..10).find_map(|_| {
            client.send_to(b"x", address).unwrap();
            server.recv_from(&mut [0]).ok()
        });
        seen.unwrap().1.ip()
    }
}

fn any(like: SocketAddr) -> SocketAddr {
    let any = if like.is_ipv6() {
        "[::]:0"
    } else {
        "0.0.0.0:0"
    };
    any.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A network on a bridge, masqueraded.
fn on_bridge(lab: &Lab, over: &Value) -> Value {
    with(bridge(lab, &json!({ "ipMasq": true })), over)
}

/// A network of pairs, masqueraded. Its addresses begin after `first`.
fn on_pairs(lab: &Lab, name: &str, first: u8) -> Value {
    let mut ipam = host_local(lab, &[]);
    ipam["ranges"] = json!([
        [{ "subnet": "10.2.0.0/16", "rangeStart": format!("10.2.{first}.10") }],
        [{ "subnet": "fd00:2::/64", "rangeStart": format!("fd00:2::{first}:10") }],
    ]);
    ipam["routes"] = json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]);
    json!({ "cniVersion": "1.1.0", "name": name, "type": "ptp", "ipMasq": true, "ipam": ipam })
}

/// Owned and shared elements of masquerade.
fn masquerade(lab: &Lab) -> (Vec<String>, Vec<String>) {
    let mut shared = shared(lab);
    shared.retain(|line| line.starts_with("masq_"));
    (elements(lab), shared)
}

const NONE: [String; 0] = [];

#[test]
fn an_add_after_the_first_and_every_del_leave_it_as_it_is() {
    in_lab(LINKSPAN, |lab| {
        let world = beyond(lab);
        for conf in [on_bridge(lab, &json!({})), on_pairs(lab, "pairs", 1)] {
            let first = Attached::new(lab, "first", &conf);
            let before = masquerade(lab);
            let generation = || netfilter(lab).generation().unwrap();
            let unchanged = generation();
            let second = Attached::prepared(lab, "second", &conf);
            let Some(told) = traced(lab, second.call().verb("ADD")) else {
                return;
            };
            assert_eq!(count(&told, "NFNL_MSG_BATCH_BEGIN"), 0, "{told:#?}");
            assert!(count(&told, "NFT_MSG_GETSETELEM") > 0, "{told:#?}");
            for attached in [&first, &second] {
                for (world_ip, host_ip) in WORLD.iter().zip(HOST) {
                    assert_eq!(attached.is_seen_by(&world, world_ip), ip(host_ip));
                }
            }
            for attached in [&first, &second] {
                let told = traced(lab, attached.call().verb("DEL")).unwrap();
                assert_eq!(count(&told, "NFNL_MSG_BATCH_BEGIN"), 0, "{told:#?}");
            }
            assert_eq!(generation(), unchanged);
            assert_eq!(masquerade(lab), before);
            // The next one finds it.
            let third = Attached::new(lab, "third", &conf);
            assert_eq!(generation(), unchanged);
            assert_eq!(third.is_seen_by(&world, WORLD[0]), ip(HOST[0]));
            third.check();
        }
    });
}

#[test]
fn two_networks_of_one_subnet_on_two_bridges_do_not_meet() {
    in_lab(LINKSPAN, |lab| {
        let world = beyond(lab);
        let masqueraded = Attached::new(lab, "pod", &on_bridge(lab, &json!({})));
        // ADD refuses to give a bridge another one's subnet, and accepts a bridge that has it.
        for name in ["br1", "br2"] {
            lab.rtnl()
                .create(&LinkSpec::new(name, Kind::Bridge))
                .unwrap();
            let link = lab.rtnl().link_by_name(name).unwrap().unwrap();
            link.add_addr(ip("10.1.0.1"), 16, AddrFlags::default())
                .unwrap();
            link.add_addr(ip("fd00:1::1"), 64, AddrFlags::default())
                .unwrap();
        }
        let over = json!({ "name": "plain", "bridge": "br1", "ipMasq": false });
        let plain = Attached::new(lab, "pod", &on_bridge(lab, &over));
        let over = json!({ "name": "third", "bridge": "br2" });
        let third = Attached::new(lab, "pod", &on_bridge(lab, &over));
        for family in Family::BOTH {
            let at = family.pick(0, 1);
            assert_eq!(masqueraded.ip(family), plain.ip(family));
            assert_eq!(masqueraded.is_seen_by(&world, WORLD[at]), ip(HOST[at]));
            assert_eq!(third.is_seen_by(&world, WORLD[at]), ip(HOST[at]));
            assert_eq!(plain.is_seen_by(&world, WORLD[at]), plain.ip(family));
        }
        // GC of one leaves the other's.
        collect(lab, &third.conf, &[]);
        for family in Family::BOTH {
            let at = family.pick(0, 1);
            assert_eq!(masqueraded.is_seen_by(&world, WORLD[at]), ip(HOST[at]));
        }
        masqueraded.check();
    });
}

#[test]
fn two_networks_of_one_subnet_on_pairs_do_not_meet() {
    in_lab(LINKSPAN, |lab| {
        let world = beyond(lab);
        let masqueraded = Attached::new(lab, "pod", &on_pairs(lab, "one", 1));
        let over = json!({ "ipMasq": false });
        let plain = Attached::new(lab, "pod", &with(on_pairs(lab, "two", 2), &over));
        for family in Family::BOTH {
            let at = family.pick(0, 1);
            assert_eq!(masqueraded.is_seen_by(&world, WORLD[at]), ip(HOST[at]));
            assert_eq!(plain.is_seen_by(&world, WORLD[at]), plain.ip(family));
        }
        masqueraded.check();
        plain.check();
    });
}

/// Another address of the world's, beside [`WORLD`].
const ELSEWHERE: [&str; 2] = ["192.0.2.7", "2001:db8::7"];

#[test]
fn excepted_destinations_see_the_container_and_the_rest_sees_the_host() {
    in_lab(LINKSPAN, |lab| {
        let world = beyond(lab);
        let eth0 = world.rtnl().link_by_name("eth0").unwrap().unwrap();
        for address in ELSEWHERE {
            add_address(&eth0, ip(address));
        }
        let except =
            json!({ "ipMasqExcept": ["192.0.2.2/32", "2001:db8::2/128", "198.51.100.0/24"] });
        let by_iptables = json!({ "ipMasqBackend": "iptables" });
        let nets = [on_bridge(lab, &json!({})), on_pairs(lab, "pairs", 1)];
        for conf in nets.map(|conf| with(conf, &except)) {
            for over in [json!({}), by_iptables.clone()] {
                if over == by_iptables && skip::without("iptables-restore").is_none() {
                    continue;
                }
                let pod = Attached::new(lab, "pod", &with(conf.clone(), &over));
                for family in Family::BOTH {
                    let at = family.pick(0, 1);
                    assert_eq!(pod.is_seen_by(&world, WORLD[at]), pod.ip(family), "{over}");
                    assert_eq!(
                        pod.is_seen_by(&world, ELSEWHERE[at]),
                        ip(HOST[at]),
                        "{over}"
                    );
                }
                pod.check();
                pod.call().del();
                collect(lab, &pod.conf, &[]);
                assert_eq!(masquerade(lab), (NONE.into(), NONE.into()));
            }
        }
        // The list was edited: later attachments get the new one.
        let old = Attached::new(lab, "old", &on_bridge(lab, &except));
        let new = Attached::new(lab, "new", &on_bridge(lab, &json!({})));
        for pod in [&old, &new] {
            assert_eq!(pod.is_seen_by(&world, WORLD[0]), ip(HOST[0]));
        }
    });
}

/// An IPAM plugin that gives each container the addresses in a file.
fn given(lab: &Lab, id: &str, cidrs: &[&str]) -> Value {
    let body = "test \"$CNI_COMMAND\" != ADD || cat \"$0-$CNI_CONTAINERID\"";
    let script = lab.script("given", body);
    let ips: Vec<_> = cidrs
        .iter()
        .map(|cidr| json!({ "address": cidr, "gateway": gateway(cidr) }))
        .collect();
    let world = |cidr: &&str| {
        if cidr.contains(':') {
            "::/0"
        } else {
            "0.0.0.0/0"
        }
    };
    let routes: Vec<_> = cidrs
        .iter()
        .map(|cidr| json!({ "dst": world(cidr) }))
        .collect();
    let result = json!({ "cniVersion": "1.1.0", "ips": ips, "routes": routes });
    std::fs::write(format!("{}-{id}", script.display()), result.to_string()).unwrap();
    json!({ "type": "given" })
}

/// The first address of the network of 24 or 64 bits around it.
fn gateway(cidr: &str) -> String {
    let (address, _) = cidr.split_once('/').unwrap();
    match address.rsplit_once([':', '.']) {
        Some((network, _)) if address.contains(':') => format!("{network}:1"),
        Some((network, _)) => format!("{network}.1"),
        None => address.to_owned(),
    }
}

#[test]
fn an_address_without_a_subnet_is_the_attachments_own() {
    in_lab(LINKSPAN, |lab| {
        let world = beyond(lab);
        let conf = |id: &str, cidrs: &[&str]| {
            let over = json!({ "ipam": given(lab, id, cidrs) });
            with(on_pairs(lab, "pairs", 1), &over)
        };
        let confs = [
            ("one", ["10.9.0.2/32", "fd00:9::2/128"]),
            ("two", ["10.9.0.3/32", "fd00:9::3/128"]),
        ];
        let confs = confs.map(|(id, cidrs)| (id, conf(id, &cidrs)));
        let pods = confs
            .each_ref()
            .map(|(id, conf)| Attached::new(lab, id, conf));
        for (pod, at) in pods.iter().zip([0, 1]) {
            pod.check();
            let (own, shared) = masquerade(lab);
            let ours = format!("of pairs/{}/eth0", pod.id);
            let of_pod = own.iter().filter(|line| line.ends_with(&ours)).count();
            // In each family the source, and the exception of itself.
            assert_eq!((of_pod, shared.len()), (4, 0), "{own:#?}");
            assert_eq!(pod.is_seen_by(&world, WORLD[0]), ip(HOST[0]), "{at}");
        }
        let [one, two] = &pods;
        one.call().del();
        let (own, _) = masquerade(lab);
        assert!(
            own.iter().all(|line| line.ends_with("of pairs/two/eth0")),
            "{own:#?}"
        );
        assert_eq!(two.is_seen_by(&world, WORLD[0]), ip(HOST[0]));
        two.call().netns("").del();
        assert_eq!(masquerade(lab), (NONE.into(), NONE.into()));
    });
}

#[test]
fn of_subnets_of_each_containers_own_the_first_stays() {
    in_lab(LINKSPAN, |lab| {
        let world = beyond(lab);
        let attach = |id, cidr: &str| {
            let over = json!({ "ipam": given(lab, id, &[cidr]) });
            Attached::new(lab, id, &with(on_pairs(lab, "pairs", 1), &over))
        };
        let pods = [
            attach("a", "10.11.0.2/24"),
            attach("b", "10.12.0.2/24"),
            attach("c", "10.13.0.2/24"),
        ];
        for pod in &pods {
            pod.check();
            assert_eq!(pod.is_seen_by(&world, WORLD[0]), ip(HOST[0]));
        }
        for pod in &pods {
            pod.call().del();
        }
        let (own, shared) = masquerade(lab);
        assert_eq!(own, [""; 0]);
        assert_eq!(shared.len(), 2, "{shared:#?}");
        assert!(
            shared
                .iter()
                .all(|line| line.contains("10.11.0.0") && line.ends_with("of pairs"))
        );
        collect(lab, &pods[0].conf, &[]);
        assert_eq!(masquerade(lab), (NONE.into(), NONE.into()));
    });
}

/// GC of the network, with these attachments as the valid ones.
fn collect(lab: &Lab, conf: &Value, valid: &[&str]) {
    let id = |id: &&str| json!({ "containerID": id, "ifname": "eth0" });
    let valid: Vec<_> = valid.iter().map(id).collect();
    let conf = with(conf.clone(), &json!({ "cni.dev/valid-attachments": valid }));
    let plugin = conf["type"].as_str().unwrap();
    lab.plugin(plugin).conf(&conf).verb("GC").run().succeeded();
}

#[test]
fn gc_removes_what_the_network_shares_when_nobody_of_it_is_valid() {
    in_lab(LINKSPAN, |lab| {
        let world = beyond(lab);
        for conf in [on_bridge(lab, &json!({})), on_pairs(lab, "pairs", 1)] {
            let live = Attached::new(lab, "live", &conf);
            let dead = Attached::new(lab, "dead", &conf);
            let before = masquerade(lab);
            assert_eq!(before.1.len(), 4, "{before:#?}");
            collect(lab, &conf, &["live"]);
            assert_eq!(masquerade(lab), before);
            live.check();
            assert_eq!(live.is_seen_by(&world, WORLD[0]), ip(HOST[0]));
            drop(dead);
            live.call().del();
            collect(lab, &conf, &[]);
            assert_eq!(masquerade(lab), (NONE.into(), NONE.into()));
        }
    });
}

#[test]
fn networks_that_share_a_bridge_and_a_subnet_share_a_zone() {
    in_lab(LINKSPAN, |lab| {
        let world = beyond(lab);
        let conf = |name, first: &str| {
            let mut ipam = host_local(lab, &[]);
            ipam["ranges"] = json!([[{ "subnet": "10.1.0.0/16", "rangeStart": first }]]);
            on_bridge(lab, &json!({ "name": name, "ipam": ipam }))
        };
        let one = Attached::new(lab, "one", &conf("one", "10.1.1.2"));
        let two = Attached::new(lab, "two", &conf("two", "10.1.2.2"));
        let (_, both) = masquerade(lab);
        assert_eq!(both.len(), 2, "{both:#?}");
        assert!(
            both.iter().all(|line| line.ends_with("of one,two")),
            "{both:#?}"
        );
        for pod in [&one, &two] {
            pod.check();
            assert_eq!(pod.is_seen_by(&world, WORLD[0]), ip(HOST[0]));
        }
        one.call().del();
        collect(lab, &one.conf, &[]);
        let (_, left) = masquerade(lab);
        assert_eq!(left.len(), 2, "{left:#?}");
        assert!(
            left.iter().all(|line| line.ends_with("of two")),
            "{left:#?}"
        );
        two.check();
        assert_eq!(two.is_seen_by(&world, WORLD[0]), ip(HOST[0]));
        two.call().del();
        collect(lab, &two.conf, &[]);
        assert_eq!(masquerade(lab), (NONE.into(), NONE.into()));
    });
}
