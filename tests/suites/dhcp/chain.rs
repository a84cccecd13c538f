//! `bridge`, `macvlan` and `ipvlan` on a segment with a test server: the address is requested and released over the
//! container's interface.

use std::os::fd::AsFd;

use linkspan_harness::call::Call;
use linkspan_harness::ear::Ear;
use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::{skip, traffic, world};
use linkspan_netlink::link::{Kind, Link, LinkSpec, Peer};
use serde_json::{Value, json};

use crate::LINKSPAN;
use crate::segment::{Container, Segment, WIRE};
use crate::server::{ADDRESS, RELEASE};

fn bridge(segment: &Segment<'_>, over: &Value) -> Value {
    let ipam = segment.conf(&json!({}))["ipam"].clone();
    let conf = json!({ "cniVersion": "1.1.0", "name": "net", "type": "bridge", "bridge": WIRE, "ipam": ipam });
    linkspan_harness::conf::with(conf, over)
}

fn call(segment: &Segment<'_>, pod: &Container, conf: &Value) -> Call {
    let call = segment.lab.plugin("bridge").of(&pod.id, &pod.sandbox);
    call.conf(conf)
}

#[test]
fn a_bridge_attaches_with_an_address_of_the_segments_server_and_gives_it_back() {
    in_lab(LINKSPAN, |lab| {
        let segment = Segment::new(lab);
        let server = Segment::server(3600, 1);
        server.now(|manners| manners.options = vec![(3, ADDRESS.octets().to_vec())]);
        let _daemon = segment.daemon();
        let conf = bridge(&segment, &json!({}));
        for turn in 0..3 {
            let pod = Container {
                id: format!("c{turn}"),
                sandbox: lab.sandbox(),
            };
            let call = call(&segment, &pod, &conf);
            let result = call.add();
            assert_eq!(result["ips"][0]["address"], "10.77.0.10/24");
            assert_eq!(result["routes"][0]["gw"], ADDRESS.to_string());
            call.check(&result);
            call.del();
            let release = server.next(RELEASE);
            assert_eq!(release.source, release.client);
            call.del();
        }
        assert_eq!((server.given(), segment.kept()), (0, 0));
    });
}

#[test]
fn a_failed_add_and_gc_give_the_address_back() {
    in_lab(LINKSPAN, |lab| {
        let segment = Segment::new(lab);
        let server = Segment::server(3600, 1);
        let _daemon = segment.daemon();
        // No station has this gateway, but the kernel has no route to it.
        server.now(|manners| manners.options = vec![(33, vec![192, 168, 7, 0, 10, 99, 0, 1])]);
        let pod = Container {
            id: "c1".to_owned(),
            sandbox: lab.sandbox(),
        };
        let conf = bridge(&segment, &json!({}));
        let told = call(&segment, &pod, &conf).verb("ADD").run().failed(999);
        assert!(told.contains("192.168.7.0/24"), "{told}");
        server.next(RELEASE);
        assert_eq!((server.given(), segment.kept()), (0, 0));
        server.now(|manners| manners.options = Vec::new());
        call(&segment, &pod, &conf).add();
        let mut valid = conf.clone();
        valid["cni.dev/valid-attachments"] = json!([]);
        lab.plugin("bridge")
            .conf(&valid)
            .verb("GC")
            .run()
            .succeeded();
        server.next(RELEASE);
        assert_eq!((server.given(), segment.kept()), (0, 0));
    });
}

/// A link of the host to the segment, as hardware would be.
const MASTER: &str = "nic0";

fn plug_master(lab: &Lab) -> Link {
    let host = lab.rtnl();
    let bridge = host.link_by_name(WIRE).unwrap().unwrap();
    let near = LinkSpec {
        controller: Some(bridge.index),
        ..LinkSpec::new("port0", Kind::Veth)
    };
    host.create_pair(&near, &Peer::new(MASTER, lab.host().as_fd()))
        .unwrap();
    let ends = ["port0", MASTER].map(|name| host.link_by_name(name).unwrap().unwrap());
    let [port, master] = ends;
    world::bring_up((lab.host(), &port), (lab.host(), &master));
    master
}

#[test]
fn links_on_a_master_get_their_addresses_from_its_server_and_give_them_back() {
    for plugin in ["macvlan", "ipvlan"] {
        in_lab(LINKSPAN, |lab| {
            if !skip::can_attach(&lab.rtnl(), plugin) {
                return;
            }
            let segment = Segment::new(lab);
            plug_master(lab);
            let server = Segment::server(3600, 1);
            server.now(|manners| manners.options = vec![(3, ADDRESS.octets().to_vec())]);
            let _daemon = segment.daemon();
            let over = json!({ "type": plugin, "bridge": null, "master": MASTER });
            let conf = bridge(&segment, &over);
            for turn in 0..2 {
                let sandbox = lab.sandbox();
                let call = lab.plugin(plugin).of(&format!("c{turn}"), &sandbox);
                let call = call.conf(&conf);
                let ear = Ear::of(lab.host());
                let result = call.add();
                assert_eq!(result["ips"][0]["address"], "10.77.0.10/24");
                assert_eq!(result["routes"][0]["gw"], ADDRESS.to_string());
                traffic::flows(lab.host(), &sandbox.netns, [10, 77, 0, 10].into());
                // An ipvlan's neighbours know the hardware address.
                let expected = if plugin == "ipvlan" {
                    &[][..]
                } else {
                    &["10.77.0.10"]
                };
                let announced: Vec<String> =
                    ear.announced().iter().map(ToString::to_string).collect();
                assert_eq!(announced, expected, "{plugin}");
                call.check(&result);
                call.clone().verb("STATUS").run().succeeded();
                call.del();
                let release = server.next(RELEASE);
                assert_eq!(release.source, release.client);
                call.del();
            }
            assert_eq!((server.given(), segment.kept()), (0, 0));
        });
    }
}

#[test]
fn an_identifier_that_siblings_share_is_refused() {
    in_lab(LINKSPAN, |lab| {
        if !skip::can_attach(&lab.rtnl(), "ipvlan") {
            return;
        }
        let segment = Segment::new(lab);
        plug_master(lab);
        let server = Segment::server(3600, 1);
        let _daemon = segment.daemon();
        let sandbox = lab.sandbox();
        for over in [
            json!({ "clientID": "mac" }),
            json!({ "clientID": "{network}-{mac}" }),
            json!({ "ipFamily": 46 }),
        ] {
            let ipam = segment.conf(&over)["ipam"].clone();
            let conf = json!({ "type": "ipvlan", "bridge": null, "master": MASTER, "ipam": ipam });
            let call = lab.plugin("ipvlan").of("c1", &sandbox);
            let call = call.conf(&bridge(&segment, &conf));
            let told = call.verb("ADD").run().failed(999);
            let reason = "the MAC address, which the siblings of an ipvlan share";
            assert!(told.contains(reason), "{told}");
            assert!(sandbox.rtnl().link_by_name("eth0").unwrap().is_none());
        }
        assert_eq!((server.given(), segment.kept()), (0, 0));
    });
}
