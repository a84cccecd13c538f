//! Packet filters and uplinks of the host that keep packets from pods: `linkspan status` reports them, and the
//! commands that it prints let packets through.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use linkspan_harness::call::Call;
use linkspan_harness::conf::{bridge, host_local, with};
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::server::Server;
use linkspan_harness::skip;
use linkspan_harness::tool::ruleset;
use linkspan_harness::world::{HOST, WORLD, beyond};
use linkspan_netlink::route::RouteSpec;
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

/// A network of one interface plugin and portmap, with a pod that publishes its port 80 as 8080.
struct Network<'a> {
    lab: &'a Lab,
    plugins: [Value; 2],
    pod: Sandbox,
}

impl<'a> Network<'a> {
    fn new(lab: &'a Lab, plugin: &str) -> Self {
        let routes = json!({ "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }] });
        let ipam = with(host_local(lab, &["10.1.0.0/16", "fd00:1::/64"]), &routes);
        let interface = match plugin {
            "bridge" => bridge(lab, &json!({ "ipMasq": true })),
            _ => json!({
                "cniVersion": "1.1.0",
                "name": "net",
                "type": plugin,
                "ipMasq": true,
                "ipam": ipam,
            }),
        };
        let of = |protocol| json!({ "hostPort": 8080, "containerPort": 80, "protocol": protocol });
        let ports = json!({ "portMappings": [of("tcp"), of("udp")] });
        let portmap = json!({
            "cniVersion": "1.1.0",
            "name": "net",
            "type": "portmap",
            "runtimeConfig": ports,
        });
        Self {
            lab,
            plugins: [interface, portmap],
            pod: lab.sandbox(),
        }
    }

    fn attach(&self) {
        let [interface, portmap] = &self.plugins;
        let plugin = |conf: &Value| {
            let call = self.lab.plugin(conf["type"].as_str().unwrap());
            call.of("pod", &self.pod).conf(conf)
        };
        let result = plugin(interface).add();
        plugin(&with(portmap.clone(), &json!({ "prevResult": result }))).add();
    }

    /// The warnings of `linkspan status`, line by line; the network is always ready.
    fn warnings(&self) -> Vec<String> {
        warnings(self.lab, &json!(self.plugins))
    }
}

/// Servers with an address for the pod and one for the world, in each family. A listening socket stays: a process that
/// another test is forking may keep a closed one open.
struct Servers {
    of_pod: [Server; 2],
    of_world: [Server; 2],
}

impl Servers {
    fn new(network: &Network<'_>, world: &Sandbox) -> Self {
        let at = |sandbox: &Sandbox, address: &str| {
            Server::new(&sandbox.netns, address.parse().unwrap())
        };
        Self {
            of_pod: ["10.1.0.2:80", "[fd00:1::2]:80"].map(|address| at(&network.pod, address)),
            of_world: WORLD.map(|ip| {
                let address = SocketAddr::new(ip.parse().unwrap(), 7000);
                Server::new(&world.netns, address)
            }),
        }
    }

    /// Packets pass in both families: from the pod to the world, and from there to the pod's published port.
    fn are_reached(&self, network: &Network<'_>, world: &Sandbox) {
        for ((server, ip), here) in self.of_world.iter().zip(WORLD).zip(&self.of_pod) {
            let there = SocketAddr::new(ip.parse().unwrap(), 7000);
            server.answers(&network.pod.netns, there);
            here.answers(&world.netns, published(Family::of(there.ip())));
        }
    }

    /// Packets from the world do not reach the pod's port.
    fn are_cut_off(&self, world: &Sandbox) {
        for (family, server) in Family::BOTH.into_iter().zip(&self.of_pod) {
            server.is_spared(&world.netns, published(family));
        }
    }
}

/// The pod's port as the world knows it.
fn published(family: Family) -> SocketAddr {
    SocketAddr::new(HOST[family.pick(0, 1)].parse().unwrap(), 8080)
}

fn warnings(lab: &Lab, plugins: &Value) -> Vec<String> {
    let file = lab.dir().join("net.conflist");
    let list = json!({ "cniVersion": "1.1.0", "name": "net", "plugins": plugins });
    fs::write(&file, list.to_string()).unwrap();
    let status = lab.linkspan(&["status", file.to_str().unwrap()]);
    let run = status.env("CNI_PATH", lab.bin().to_str().unwrap()).run();
    assert!(run.succeeded().starts_with("net: ready ("));
    run.stderr.lines().map(str::to_owned).collect()
}

/// Runs shell commands on the host, which must succeed.
fn shell(words: &str) {
    let sh = Call::new(Path::new("/bin/sh"));
    sh.args(&["-ec", words]).run().succeeded();
}

/// The tables of iptables-legacy in each family; `None` if they cannot be read.
fn legacy_tables() -> [Option<String>; 2] {
    ["ip_tables_names", "ip6_tables_names"]
        .map(|name| fs::read_to_string(format!("/proc/thread-self/net/{name}")).ok())
}

/// Sets up a filter that cuts the network off. The warnings name each of `chains`, and their commands let packets
/// through.
fn is_told_and_mended(plugin: &str, tool: &str, setup: &str, chains: &[&str]) {
    if skip::without(tool).is_none() {
        return;
    }
    in_lab(LINKSPAN, |lab| {
        if tool == "iptables-legacy" && legacy_tables().iter().any(Option::is_none) {
            skip::tell("iptables-legacy: its list of tables is the machine's root's to read");
            return;
        }
        let world = beyond(lab);
        let network = Network::new(lab, plugin);
        network.attach();
        let servers = Servers::new(&network, &world);
        servers.are_reached(&network, &world);
        assert_eq!(network.warnings(), [""; 0]);
        shell(setup);
        servers.are_cut_off(&world);
        let told = network.warnings();
        let (remedies, what): (Vec<String>, Vec<String>) =
            told.into_iter().partition(|line| line.starts_with("  "));
        assert_eq!(what.len(), chains.len(), "{what:#?}");
        for (line, chain) in what.iter().zip(chains) {
            assert!(line.contains(chain), "{chain}: {line}");
        }
        let before = ruleset();
        network.warnings();
        assert_eq!(ruleset(), before);
        for remedy in &remedies {
            shell(remedy);
        }
        servers.are_reached(&network, &world);
        assert_eq!(network.warnings(), [""; 0], "after {remedies:#?}");
    });
}

const NATIVE: [&str; 2] = [
    "chain FORWARD of table ip filter drops forwarded IPv4 packets",
    "chain FORWARD of table ip6 filter drops forwarded IPv6 packets",
];

const LEGACY: [&str; 2] = [
    "chain FORWARD of iptables-legacy drops forwarded IPv4 packets",
    "chain FORWARD of ip6tables-legacy drops forwarded IPv6 packets",
];

#[test]
fn a_policy_of_iptables_nft() {
    let setup = "iptables-nft -P FORWARD DROP; ip6tables-nft -P FORWARD DROP";
    is_told_and_mended("bridge", "iptables-nft", setup, &NATIVE);
    is_told_and_mended("ptp", "iptables-nft", setup, &NATIVE);
}

#[test]
fn a_last_rule_of_iptables_nft() {
    let setup = "iptables-nft -A FORWARD -j REJECT; ip6tables-nft -A FORWARD -j DROP";
    is_told_and_mended("bridge", "iptables-nft", setup, &NATIVE);
}

/// In Docker's form.
fn docker(kind: &str) -> String {
    let one = |program: &str| {
        format!(
            "{program} -P FORWARD DROP
             {program} -N DOCKER-USER
             {program} -A DOCKER-USER -j RETURN
             {program} -A FORWARD -j DOCKER-USER
             {program} -A FORWARD -i docker0 ! -o docker0 -j ACCEPT
             "
        )
    };
    format!(
        "{}{}",
        one(&format!("iptables-{kind}")),
        one(&format!("ip6tables-{kind}"))
    )
}

#[test]
fn dockers_policy_with_either_iptables() {
    is_told_and_mended("bridge", "iptables-nft", &docker("nft"), &NATIVE);
    is_told_and_mended("bridge", "iptables-legacy", &docker("legacy"), &LEGACY);
}

#[test]
fn a_policy_or_a_last_rule_of_iptables_legacy() {
    let setup = "iptables-legacy -P FORWARD DROP; ip6tables-legacy -A FORWARD -j REJECT";
    is_told_and_mended("bridge", "iptables-legacy", setup, &LEGACY);
    let setup = "iptables-legacy -A FORWARD -j DROP; ip6tables-legacy -P FORWARD DROP";
    is_told_and_mended("ptp", "iptables-legacy", setup, &LEGACY);
}

/// A table `own` of nft with one chain at the hook `forward`.
fn nft(family: &str, policy: &str, rules: &str) -> String {
    format!(
        "nft -f - <<'END'
table {family} own {{
    chain guard {{
        type filter hook forward priority filter; policy {policy};
        {rules}
    }}
}}
END"
    )
}

#[test]
fn a_policy_or_a_last_rule_of_nft() {
    let chain = ["chain guard of table inet own drops forwarded packets"];
    let policy = nft("inet", "drop", "iifname \"up*\" oifname \"tun0\" accept");
    is_told_and_mended("bridge", "nft", &policy, &chain);
    is_told_and_mended("ptp", "nft", &policy, &chain);
    let rules = "iifname \"br0\" counter drop\n counter log reject with icmpx admin-prohibited";
    is_told_and_mended("bridge", "nft", &nft("inet", "accept", rules), &chain);
}

#[test]
fn a_filter_that_lets_packets_through_is_not_told() {
    in_lab(LINKSPAN, |lab| {
        if skip::without("nft").is_none() {
            return;
        }
        let network = Network::new(lab, "bridge");
        network.attach();
        for (family, policy, rules) in [
            // Drops some, or concerns other packets.
            (
                "inet",
                "accept",
                "ip saddr 192.0.2.7 drop\n iifname \"up0\" reject",
            ),
            // Accepts ours, by the interface's name, by its prefix, or by a jump to another chain.
            ("inet", "drop", "iifname \"br0\" accept"),
            ("ip", "drop", "iifname \"br*\" counter accept"),
        ] {
            shell(&nft(family, policy, rules));
            assert_eq!(network.warnings(), [""; 0], "{rules}");
            shell(&format!("nft delete table {family} own"));
        }
        // In firewalld's form, where a zone is a chain.
        let firewalld = |zone: &str| {
            let listed = nft(
                "inet",
                "accept",
                "jump zones\n reject with icmpx admin-prohibited",
            );
            let listed = listed.replace("own", "firewalld");
            let zones =
                format!("    chain trusted {{ accept; }}\n    chain zones {{ {zone}\n }}\n");
            listed.replace("    chain guard", &format!("{zones}    chain guard"))
        };
        shell(&firewalld(""));
        let told = network.warnings();
        let zone = "  firewall-cmd --permanent --zone=trusted --add-interface=br0";
        assert_eq!(told[1..], [zone, "  firewall-cmd --reload"]);
        shell(&format!(
            "nft delete table inet firewalld\n{}",
            firewalld("iifname \"br0\" goto trusted")
        ));
        assert_eq!(network.warnings(), [""; 0]);
    });
}

#[test]
fn a_filter_of_frames_concerns_bridges() {
    in_lab(LINKSPAN, |lab| {
        if skip::without("nft").is_none() {
            return;
        }
        shell(&nft("bridge", "drop", ""));
        let network = Network::new(lab, "bridge");
        let told = network.warnings();
        let what = "chain guard of table bridge own drops forwarded frames";
        assert!(told[0].contains(what), "{told:#?}");
        assert!(
            told[0].ends_with("pods on br0 do not reach each other"),
            "{told:#?}"
        );
        for remedy in &told[1..] {
            shell(remedy);
        }
        assert_eq!(network.warnings(), [""; 0]);
        shell("nft delete table bridge own");
        shell(&nft("bridge", "drop", ""));
        assert_eq!(Network::new(lab, "ptp").warnings(), [""; 0]);
    });
}

#[test]
fn a_network_that_the_host_does_not_route_or_that_firewall_looks_after_is_not_concerned() {
    in_lab(LINKSPAN, |lab| {
        if skip::without("nft").is_none() {
            return;
        }
        shell(&nft("inet", "drop", ""));
        let [interface, portmap] = Network::new(lab, "bridge").plugins;
        assert_eq!(warnings(lab, &json!([interface, portmap])).len(), 4);
        let layer2 = json!({ "isDefaultGateway": null, "ipam": null });
        let layer2 = with(interface.clone(), &layer2);
        assert_eq!(warnings(lab, &json!([layer2])), [""; 0]);
        lab.script("firewall", "exit 0");
        let firewall = json!({ "type": "firewall" });
        assert_eq!(
            warnings(lab, &json!([interface, portmap, firewall])),
            [""; 0]
        );
    });
}

#[test]
fn an_uplink_that_does_not_forward_is_told_and_mended() {
    in_lab(LINKSPAN, |lab| {
        if skip::without("sysctl").is_none() {
            return;
        }
        let world = beyond(lab);
        let up0 = lab.rtnl().link_by_name("up0").unwrap().unwrap();
        let default = RouteSpec {
            gw: Some(WORLD[0].parse().unwrap()),
            ..RouteSpec::to([0, 0, 0, 0].into(), 0)
        };
        up0.add_route(&default).unwrap();
        let network = Network::new(lab, "bridge");
        network.attach();
        assert_eq!(network.warnings(), [""; 0]);
        fs::write("/proc/sys/net/ipv4/conf/up0/forwarding", "0").unwrap();
        let servers = Servers::new(&network, &world);
        servers.of_pod[0].is_spared(&world.netns, published(Family::V4));
        let told = network.warnings();
        assert!(told[0].contains("up0 does not forward IPv4"), "{told:#?}");
        assert_eq!(told[1..], ["  sysctl -w net.ipv4.conf.up0.forwarding=1"]);
        shell(&told[1]);
        servers.are_reached(&network, &world);
        assert_eq!(network.warnings(), [""; 0]);
    });
}

#[test]
fn to_look_makes_no_table_of_the_older_packet_filter() {
    in_lab(LINKSPAN, |lab| {
        fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
        let before = legacy_tables();
        Network::new(lab, "bridge").warnings();
        assert_eq!(legacy_tables(), before);
    });
}
