//! Netkit pairs alone: their settings, and kernels without them. Then the plugins after either kind.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use linkspan_cli::traffic::{at, connect};
use linkspan_harness::chain::Chain;
use linkspan_harness::conf::{addresses, with};
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::server::Server;
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::table::elements;
use linkspan_harness::tool::tool;
use linkspan_harness::world::{HOST, WORLD, beyond};
use linkspan_harness::{skip, traffic};
use linkspan_netlink::link::{Kind, Link, LinkSpec, Netkit, Peer};
use linkspan_netlink::netns::Netns;
use linkspan_protocol::addr::MacAddr;
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

use crate::{LINKSPAN, NETKIT, VETH, conf, each, of};

fn netkit(lab: &Lab) -> Value {
    conf(lab, NETKIT, &json!({ "cniVersion": "1.1.0" }))
}

/// Both ends of the pair that a result names.
fn ends(lab: &Lab, sandbox: &Sandbox, result: &Value) -> [Link; 2] {
    let name = result["interfaces"][0]["name"].as_str().unwrap();
    let host = lab.rtnl().link_by_name(name).unwrap().unwrap();
    let container = sandbox.rtnl().link_by_name("eth0").unwrap().unwrap();
    [host, container]
}

#[test]
fn the_pair_carries_frames_and_lets_everything_through() {
    of(NETKIT, |lab, _| {
        let sandbox = lab.sandbox();
        let call = lab.plugin("ptp").of("a", &sandbox).conf(&netkit(lab));
        let result = call.add();
        let [host, container] = ends(lab, &sandbox, &result);
        for (at, end) in [&host, &container].into_iter().enumerate() {
            assert_eq!(end.kind, Kind::Netkit(Netkit::OPEN));
            assert_eq!(
                result["interfaces"][at]["mac"],
                MacAddr(end.mac).to_string()
            );
        }
        // As with a veth pair, udev leaves the address alone.
        assert_eq!(host.mac[0] & 3, 2);
        // A neighbour is asked for its hardware address.
        traffic::flows(lab.host(), &sandbox.netns, addresses(&result)[0]);
        let known = lab.rtnl().neighbours().unwrap();
        let pod = known.iter().find(|one| one.ip == addresses(&result)[0]);
        assert_eq!(pod.unwrap().mac, Some(container.mac));
    });
}

#[test]
fn check_compares_the_kind_and_names_a_policy_that_drops() {
    of(NETKIT, |lab, _| {
        let sandbox = lab.sandbox();
        let call = lab.plugin("ptp").of("a", &sandbox).conf(&netkit(lab));
        let result = call.add();
        call.check(&result);
        let of_veth = with(netkit(lab), &json!({ "device": null }));
        let check = call.after(&result).verb("CHECK");
        let told = with(of_veth, &json!({ "prevResult": result }));
        let told = check.clone().conf(&told).run().failed(999);
        assert!(told.contains("expected veth, found netkit"), "{told}");
        // The same pair, which somebody made anew.
        let [host, container] = ends(lab, &sandbox, &result);
        for (settings, named) in [
            (
                Netkit {
                    passes: false,
                    ..Netkit::OPEN
                },
                "policy of",
            ),
            (
                Netkit {
                    peer_passes: false,
                    ..Netkit::OPEN
                },
                "policy of the peer",
            ),
        ] {
            if let Some(link) = lab.rtnl().link_by_name(&host.name).unwrap() {
                link.delete().unwrap();
            }
            let near = LinkSpec {
                mac: Some(host.mac),
                ..LinkSpec::new(&*host.name, Kind::Netkit(settings))
            };
            let far = Peer {
                mac: Some(container.mac),
                ..Peer::new("eth0", sandbox.netns.as_fd())
            };
            lab.rtnl().create_pair(&near, &far).unwrap();
            for end in ends(lab, &sandbox, &result) {
                end.set_up().unwrap();
            }
            let told = check.run().failed(999);
            assert!(told.contains(named), "{named}: {told}");
            assert!(told.contains("expected forward, found blackhole"), "{told}");
            assert!(told.contains("type netkit forward peer forward"), "{told}");
        }
        call.del();
        // A veth pair is no substitute where the kernel has netkit.
        let of_veth = lab
            .plugin("ptp")
            .of("a", &sandbox)
            .conf(&conf(lab, VETH, &json!({})));
        let result = of_veth.add();
        let told = check.conf(&with(netkit(lab), &json!({ "prevResult": result })));
        let told = told.run().failed(999);
        assert!(told.contains("expected netkit, found veth"), "{told}");
        of_veth.del();
    });
}

#[test]
fn a_kernel_without_netkit_gives_a_veth_pair_and_says_so() {
    in_lab(LINKSPAN, |lab| {
        const NOTE: &str = "this kernel has no netkit, so containers get a veth pair";
        let is_known = lab.rtnl().knows(&Kind::Netkit(Netkit::OPEN)).unwrap();
        let before = Snapshot::of_host(lab);
        let sandbox = lab.sandbox();
        let call = lab.plugin("ptp").of("a", &sandbox).conf(&netkit(lab));
        let run = call.clone().verb("ADD").run();
        assert_eq!(run.stderr.contains(NOTE), !is_known, "{}", run.stderr);
        let result = run.json();
        let kind = if is_known { NETKIT } else { VETH };
        for end in ends(lab, &sandbox, &result) {
            assert_eq!(end.kind, kind);
        }
        call.check(&result);
        traffic::flows(lab.host(), &sandbox.netns, addresses(&result)[0]);
        // An ADD succeeds, so STATUS does.
        call.clone().verb("STATUS").run().succeeded();
        call.del();
        assert_eq!(Snapshot::of_host(lab), before);
        // A person is told, of this network alone.
        let net_dir = lab.dir().join("net.d");
        fs::create_dir(&net_dir).unwrap();
        for (device, is_told) in [(NETKIT, !is_known), (VETH, false)] {
            let plugins = [conf(lab, device, &json!({}))];
            let list = json!({ "cniVersion": "1.1.0", "name": "net", "plugins": plugins });
            fs::write(net_dir.join("10-net.conflist"), list.to_string()).unwrap();
            let status = lab.linkspan(&["--net-dir", net_dir.to_str().unwrap(), "status", "net"]);
            let path = lab.bin();
            let run = status.env("CNI_PATH", path.to_str().unwrap()).run();
            assert_eq!(run.stderr.contains(NOTE), is_told, "{}", run.stderr);
        }
    });
}

#[test]
fn the_plugins_behind_it_work_with_either_kind() {
    each(|lab, device| {
        if skip::without("iptables-nft").is_none() {
            return;
        }
        let world = beyond(lab);
        let sandbox = lab.sandbox();
        let mapping =
            |protocol: &str| json!({ "hostPort": 8080, "containerPort": 80, "protocol": protocol });
        let mappings = json!({ "portMappings": [mapping("udp"), mapping("tcp")] });
        let rates = json!({
            "ingressRate": RATE, "ingressBurst": RATE / 4, "egressRate": RATE, "egressBurst": RATE / 4,
        });
        let chain = Chain::new(
            lab,
            "pod",
            &sandbox,
            "eth0",
            &[
                conf(
                    lab,
                    device,
                    &json!({ "cniVersion": "1.1.0", "ipMasq": true }),
                ),
                json!({ "type": "portmap", "runtimeConfig": mappings }),
                json!({ "type": "firewall", "backend": "iptables" }),
                json!({ "type": "bandwidth", "runtimeConfig": { "bandwidth": rates } }),
                json!({
                    "type": "tuning", "mac": "02:00:00:00:00:07", "mtu": 1400,
                    "dataDir": lab.dir().join("tuning"),
                }),
            ],
        );
        let result = chain.add();
        chain.check(&result);
        let [_, container] = ends(lab, &sandbox, &result);
        assert_eq!((container.mac, container.mtu), ([2, 0, 0, 0, 0, 7], 1400));
        for family in Family::BOTH {
            let index = family.pick(0, 1);
            let published = SocketAddr::new(HOST[index].parse().unwrap(), 8080);
            let server = Server::of(&sandbox.netns, 80, family);
            let seen = server.answers(&world.netns, published);
            assert_eq!(seen, WORLD[index].parse::<IpAddr>().unwrap());
            server.answers(lab.host(), published);
        }
        // From here on nothing is forwarded but what firewall lets through.
        for name in ["iptables-nft", "ip6tables-nft"] {
            tool(name, &["-w", "-P", "FORWARD", "DROP"]).unwrap();
        }
        for outside in WORLD {
            // Masqueraded, since the world does not know the way back.
            traffic::flows(&sandbox.netns, &world.netns, outside.parse().unwrap());
        }
        let [inside, outside] = [addresses(&result)[0], WORLD[0].parse().unwrap()];
        is_limited(lab.host(), &sandbox.netns, inside);
        is_limited(&sandbox.netns, &world.netns, outside);
        chain.del(&result);
        assert_eq!(sandbox.rtnl().links().unwrap().len(), 1);
        let left = elements(lab);
        assert!(
            !left.iter().any(|element| element.contains("/pod/")),
            "{left:?}"
        );
        let links = lab.rtnl().links().unwrap();
        let names: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
        assert_eq!(names, ["lo", "up0"]);
    });
}

/// Bits a second.
const RATE: u32 = 8_000_000;

/// A bulk flow is no faster than the limit allows.
fn is_limited(from: &Netns, to: &Netns, ip: IpAddr) {
    const BYTES: u32 = 2_000_000;
    let listener = at(to, || TcpListener::bind((ip, 0))).unwrap();
    let address = listener.local_addr().unwrap();
    thread::scope(|scope| {
        let begun = Instant::now();
        scope.spawn(|| {
            let mut client = connect(from, address).unwrap();
            client.set_write_timeout(None).unwrap();
            client.write_all(&vec![0; BYTES as usize]).unwrap();
        });
        let (mut stream, _) = listener.accept().unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(120)))
            .unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len(), BYTES as usize);
        // The burst passes at once.
        let least = f64::from(BYTES * 8 - RATE / 4) / f64::from(RATE);
        let took = begun.elapsed().as_secs_f64();
        assert!(took > 0.9 * least, "{took} s, at least {least} s expected");
    });
}
