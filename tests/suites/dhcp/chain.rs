//! `bridge` on a segment with a server of its own: the address is asked for and given back over the container's interface.

use linkspan_harness::call::Call;
use linkspan_harness::lab::in_lab;
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
        // Nobody has this gateway, but the kernel knows no way to it.
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
