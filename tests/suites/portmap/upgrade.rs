//! From the first layout of the table to the current one, under running containers: whichever plugin comes first, no
//! container loses anything.

use std::net::{IpAddr, SocketAddr};

use linkspan_filter::table::TABLE;
use linkspan_harness::call::Call;
use linkspan_harness::conf::{host_local, with};
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::server::{Server, is_published};
use linkspan_harness::table::{elements, everything, netfilter};
use linkspan_harness::world::{HOST, WORLD, beyond};
use linkspan_nftables::look::Question;
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

use crate::{LINKSPAN, Pod, at, both, claims, former, mapping};

/// A node with three containers, as the first layout served them.
struct Node {
    world: Sandbox,
    old: Pod,
    other: Pod,
    pair: Pair,
}

/// A container on a pair of a network of its own.
struct Pair {
    sandbox: Sandbox,
    conf: Value,
    result: Value,
}

impl Pair {
    fn attach(lab: &Lab) -> Self {
        let mut ipam = host_local(lab, &["10.2.0.0/16", "fd00:2::/64"]);
        ipam["routes"] = json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]);
        let conf = json!({ "cniVersion": "1.1.0", "name": "pairs", "type": "ptp", "ipMasq": true, "ipam": ipam });
        let sandbox = lab.sandbox();
        let result = lab.plugin("ptp").of("pair", &sandbox).conf(&conf).add();
        Self {
            sandbox,
            conf,
            result,
        }
    }

    fn call(&self, lab: &Lab) -> Call {
        lab.plugin("ptp").of("pair", &self.sandbox).conf(&self.conf)
    }
}

/// Ports on every address, and on one of each kind.
fn ports(first: u16) -> Value {
    let mut all = both(first).as_array().unwrap().clone();
    for (next, host_ip) in (first + 1..).zip(["10.1.0.1", "127.0.0.1", "fd00:1::1"]) {
        all.push(at(host_ip, mapping("tcp", next)));
    }
    json!(all)
}

impl Node {
    fn new(lab: &Lab) -> Self {
        let node = Self {
            world: beyond(lab),
            old: Pod::published(lab, "old", &ports(8080)),
            other: Pod::published(lab, "other", &ports(9080)),
            pair: Pair::attach(lab),
        };
        let results = [
            ("net/old/eth0", &node.old.result),
            ("net/other/eth0", &node.other.result),
            ("pairs/pair/eth0", &node.pair.result),
        ];
        former::put_back(lab, &results);
        // The first layout works.
        node.serves(lab, (&node.old, 8080));
        node.masquerades(&[&node.old.sandbox, &node.other.sandbox, &node.pair.sandbox]);
        let layout = Question::Chain(TABLE, "publish");
        let seen = netfilter(lab).look(&[layout]).unwrap();
        assert_eq!(seen[0].chain().unwrap().comment, "");
        node
    }

    /// The port answers from everywhere.
    fn serves(&self, lab: &Lab, (pod, port): (&Pod, u16)) {
        let others = [&self.world.netns];
        is_published(lab.host(), &others, &pod.sandbox.netns, (port, 80));
    }

    /// The world sees the host instead of each.
    fn masquerades(&self, sandboxes: &[&Sandbox]) {
        for sandbox in sandboxes {
            for (world, host) in WORLD.iter().zip(HOST) {
                let out = SocketAddr::new(world.parse().unwrap(), 7000);
                let seen = Server::new(&self.world.netns, out).answers(&sandbox.netns, out);
                assert_eq!(seen, host.parse::<IpAddr>().unwrap());
            }
        }
    }

    /// Every promise to the containers holds, except those to `gone`.
    fn is_whole(&self, lab: &Lab, gone: Option<&str>) {
        for (pod, port) in [(&self.old, 8080), (&self.other, 9080)] {
            if gone == Some(pod.id.as_str()) {
                continue;
            }
            pod.portmap(lab).check(&pod.result);
            pod.bridge(lab).check(&pod.result);
            self.serves(lab, (pod, port));
            self.masquerades(&[&pod.sandbox]);
        }
        self.pair.call(lab).check(&self.pair.result);
        self.masquerades(&[&self.pair.sandbox]);
    }

    /// The container leaves no state, and its port does not answer.
    fn is_rid_of(lab: &Lab, (pod, port): (&Pod, u16)) {
        let server = Server::of(&pod.sandbox.netns, 80, Family::V4);
        for address in [HOST[0], "127.0.0.1", "10.1.0.1"] {
            server.is_spared(lab.host(), SocketAddr::new(address.parse().unwrap(), port));
        }
        let own = format!("net/{}/eth0", pod.id);
        let left = elements(lab).into_iter().filter(|line| line.contains(&own));
        assert_eq!(left.collect::<Vec<_>>(), [""; 0]);
    }
}

#[test]
fn an_add_upgrades_in_one_transaction_under_running_containers() {
    in_lab(LINKSPAN, |lab| {
        let node = Node::new(lab);
        let generation = || netfilter(lab).generation().unwrap();
        let before = generation();
        let new = Pod::attach(lab, "new", &ports(7080));
        // Bridge upgrades one part of the table, with its network's masquerade.
        assert_eq!(generation(), before + 1);
        node.masquerades(&[&new.sandbox, &node.old.sandbox, &node.pair.sandbox]);
        node.serves(lab, (&node.old, 8080));
        new.portmap(lab).add();
        // Portmap upgrades the other one, and adds the ports.
        assert_eq!(generation(), before + 3);
        node.is_whole(lab, None);
        node.serves(lab, (&new, 7080));
        node.old.detach(lab);
        Node::is_rid_of(lab, (&node.old, 8080));
        node.is_whole(lab, Some("old"));
        for pod in [&node.other, &new] {
            pod.detach(lab);
        }
        node.pair.call(lab).del();
        assert_eq!(elements(lab), [""; 0]);
        assert_eq!(claims::shared(lab), [""; 0]);
    });
}

#[test]
fn ports_that_the_first_layout_published_are_claimed() {
    in_lab(LINKSPAN, |lab| {
        let node = Node::new(lab);
        for (host_ip, port) in [("10.1.0.9", 8080), ("", 8081), ("", 8082), ("::", 8083)] {
            let wanted = json!([at(host_ip, mapping("tcp", port))]);
            let second = Pod::attach(lab, "second", &wanted);
            second.is_refused_for(lab, &format!("{port}/tcp"), "old");
            second.detach(lab);
        }
        node.is_whole(lab, None);
    });
}

#[test]
fn a_del_upgrades_as_the_first_call() {
    in_lab(LINKSPAN, |lab| {
        let node = Node::new(lab);
        node.old.detach(lab);
        Node::is_rid_of(lab, (&node.old, 8080));
        node.is_whole(lab, Some("old"));
    });
    in_lab(LINKSPAN, |lab| {
        let node = Node::new(lab);
        node.pair.call(lab).del();
        // Bridge and ptp have upgraded their part, and portmap's is unchanged.
        let other = &node.other;
        other.bridge(lab).check(&other.result);
        node.serves(lab, (other, 9080));
        node.masquerades(&[&other.sandbox]);
        other.portmap(lab).del();
        Node::is_rid_of(lab, (other, 9080));
        node.old.portmap(lab).check(&node.old.result);
        node.serves(lab, (&node.old, 8080));
    });
}

#[test]
fn a_gc_upgrades_as_the_first_call() {
    in_lab(LINKSPAN, |lab| {
        let node = Node::new(lab);
        let valid = json!([{ "containerID": "other", "ifname": "eth0" }]);
        for conf in [&node.old.portmap, &node.old.bridge] {
            let conf = with(conf.clone(), &json!({ "cni.dev/valid-attachments": valid }));
            let plugin = conf["type"].as_str().unwrap();
            lab.plugin(plugin).conf(&conf).verb("GC").run().succeeded();
        }
        let own = "net/old/eth0";
        let left = elements(lab).into_iter().filter(|line| line.contains(own));
        assert_eq!(left.collect::<Vec<_>>(), [""; 0]);
        node.is_whole(lab, Some("old"));
    });
}

#[test]
fn status_and_check_leave_the_first_layout_as_it_is() {
    in_lab(LINKSPAN, |lab| {
        let node = Node::new(lab);
        let before = everything(lab);
        let portmap = with(node.old.portmap.clone(), &json!({ "runtimeConfig": null }));
        for conf in [&portmap, &node.old.bridge, &node.pair.conf] {
            let plugin = conf["type"].as_str().unwrap();
            let status = lab.plugin(plugin).conf(conf).verb("STATUS");
            status.run().succeeded();
        }
        for (call, result) in [
            (node.old.portmap(lab), &node.old.result),
            (node.old.bridge(lab), &node.old.result),
            (node.pair.call(lab), &node.pair.result),
        ] {
            let told = call.after(result).verb("CHECK").run().failed(999);
            assert!(told.contains("is of another layout"), "{told}");
            assert!(told.contains("`linkspan restore`"), "{told}");
        }
        assert_eq!(everything(lab), before);
    });
}
