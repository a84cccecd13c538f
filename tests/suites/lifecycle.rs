//! Interface plugins in parallel: attachments made and removed concurrently and in any order, DEL from any state, and
//! the state after a failed ADD.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use linkspan_harness::call::{Call, Running};
use linkspan_harness::conf::{bridge, good, host_local, with};
use linkspan_harness::dice::Dice;
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::skip;
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::thorough::times;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

fn call(lab: &Lab, id: &str, sandbox: &Sandbox, over: &Value) -> Call {
    let call = lab.plugin("bridge").of(id, sandbox);
    call.conf(&bridge(lab, over))
}

/// A container and its call.
struct Pod {
    sandbox: Sandbox,
    call: Call,
}

fn pods(lab: &Lab, count: usize) -> Vec<Pod> {
    let pod = |at: usize| {
        let sandbox = lab.sandbox();
        let call = call(lab, &format!("pod{at}"), &sandbox, &json!({}));
        Pod { sandbox, call }
    };
    (0..count).map(pod).collect()
}

fn start(call: &Call, verb: &str) -> Running {
    call.clone().verb(verb).spawn()
}

fn mac_of_bridge(lab: &Lab) -> [u8; 6] {
    lab.rtnl().link_by_name("br0").unwrap().unwrap().mac
}

/// Nothing is left of `plugin`'s attachments, except for the bridge.
fn assert_idle(lab: &Lab, plugin: &str) {
    let links = lab.rtnl().links().unwrap();
    let names: Vec<_> = links.iter().map(|link| link.name.as_str()).collect();
    let expected: &[&str] = match plugin {
        "bridge" => &["lo", "br0"],
        _ => &["lo"],
    };
    assert_eq!(names, expected, "{plugin}");
    assert_eq!(lab.leased("net"), [""; 0]);
}

/// The plugins that make pairs, with a configuration for each kind of pair that the kernel has. The bridge stays, so it
/// comes last.
fn with_pairs(lab: &Lab) -> Vec<(&'static str, Value)> {
    let of_kind = |device| with(good(lab, "ptp"), &json!({ "device": device }));
    let mut all = vec![("ptp", good(lab, "ptp")), ("bridge", good(lab, "bridge"))];
    if skip::has_pair(&lab.rtnl(), "netkit") {
        all.insert(0, ("ptp", of_kind("netkit")));
    }
    all
}

#[test]
fn parallel_adds_share_one_bridge_and_nothing_else() {
    in_lab(LINKSPAN, |lab| {
        let count = times(200, 50);
        let pods = pods(lab, count);
        let running: Vec<_> = pods.iter().map(|pod| start(&pod.call, "ADD")).collect();
        let results: Vec<_> = running.into_iter().map(|run| run.wait().json()).collect();
        let distinct = |pointer: &str| {
            let values = results
                .iter()
                .map(|result| result.pointer(pointer).unwrap());
            values
                .map(ToString::to_string)
                .collect::<BTreeSet<_>>()
                .len()
        };
        assert_eq!(distinct("/interfaces/0/mac"), 1, "one bridge");
        for unique in [
            "/interfaces/1/name",
            "/interfaces/1/mac",
            "/interfaces/2/mac",
            "/ips/0/address",
            "/ips/1/address",
        ] {
            assert_eq!(distinct(unique), count, "{unique}");
        }
        assert_eq!(lab.rtnl().links().unwrap().len(), count + 2);
        assert_eq!(lab.leased("net").len(), 2 * count);
        let mac = mac_of_bridge(lab);
        let running: Vec<_> = pods.iter().map(|pod| start(&pod.call, "DEL")).collect();
        for run in running {
            assert_eq!(run.wait().succeeded(), "");
        }
        assert_eq!(mac_of_bridge(lab), mac);
        assert_idle(lab, "bridge");
    });
}

#[test]
fn the_bridges_mac_outlives_random_adds_and_dels() {
    in_lab(LINKSPAN, |lab| {
        let pods = pods(lab, 20);
        let mut attached = [false; 20];
        pods[0].call.add();
        attached[0] = true;
        let mac = mac_of_bridge(lab);
        // Fixed, so that a failure is reproducible; the kernel and the scheduler add enough randomness.
        let mut dice = Dice::new(0x2545_f491);
        for _ in 0..times(20, 5) {
            // Ten different pods change state at once.
            let mut chosen = BTreeSet::new();
            while chosen.len() < 10 {
                chosen.insert(usize::try_from(dice.below(20)).unwrap());
            }
            let running: Vec<_> = chosen
                .iter()
                .map(|&at| start(&pods[at].call, if attached[at] { "DEL" } else { "ADD" }))
                .collect();
            for (run, at) in running.into_iter().zip(chosen) {
                run.wait().succeeded();
                attached[at] = !attached[at];
                assert_eq!(mac_of_bridge(lab), mac);
            }
        }
        for (pod, attached) in pods.iter().zip(attached) {
            let links = pod.sandbox.rtnl().links().unwrap();
            assert_eq!(links.len(), if attached { 2 } else { 1 });
            pod.call.del();
        }
        assert_eq!(mac_of_bridge(lab), mac);
        assert_idle(lab, "bridge");
    });
}

/// The call with all possible forms of `prevResult`.
fn variants(call: &Call, result: &Value) -> Vec<Call> {
    let previous = [
        result.clone(),
        json!(7),
        json!({ "cniVersion": "0.2.0", "ips": "none" }),
        json!({}),
    ];
    let mut calls = vec![call.clone()];
    calls.extend(previous.iter().map(|previous| call.after(previous)));
    calls
}

#[test]
fn del_is_success_from_any_state() {
    in_lab(LINKSPAN, |lab| {
        for (plugin, good) in with_pairs(lab) {
            let sandbox = lab.sandbox();
            let call = lab.plugin(plugin).of("a", &sandbox);
            let call = call.conf(&good);
            let empty = Snapshot::of_host(lab);
            call.del();
            assert_eq!(Snapshot::of_host(lab), empty);
            // Twice in a row, whatever the runtime remembers.
            for at in 0..5 {
                let del = &variants(&call, &call.add())[at];
                for _twice in 0..2 {
                    del.del();
                    assert_idle(lab, plugin);
                }
            }
            // All at once, three of each.
            let calls = variants(&call, &call.add());
            let thrice = [&calls[..], &calls, &calls].concat();
            let running: Vec<_> = thrice.iter().map(|del| start(del, "DEL")).collect();
            for run in running {
                assert_eq!(run.wait().succeeded(), "");
            }
            assert_idle(lab, plugin);
        }
    });
}

#[test]
fn del_without_a_namespace_releases_the_addresses() {
    in_lab(LINKSPAN, |lab| {
        let each = |lost| {
            with_pairs(lab)
                .into_iter()
                .map(move |(plugin, good)| (plugin, good, lost))
        };
        let mut cases: Vec<_> = ["/run/netns/long-gone", ""]
            .into_iter()
            .flat_map(each)
            .collect();
        cases.sort_by_key(|(plugin, ..)| *plugin == "bridge");
        for (plugin, good, lost) in cases {
            let sandbox = lab.sandbox();
            let call = lab.plugin(plugin).of("a", &sandbox);
            let call = call.conf(&good);
            call.add();
            // The kernel would remove the pair with the namespace, some time later.
            let eth0 = sandbox.rtnl().link_by_name("eth0").unwrap().unwrap();
            eth0.delete().unwrap();
            drop(sandbox);
            let lost = call.netns(lost);
            let running: Vec<_> = (0..3).map(|_| start(&lost, "DEL")).collect();
            for run in running {
                assert_eq!(run.wait().succeeded(), "");
            }
            lost.del();
            assert_idle(lab, plugin);
        }
    });
}

#[test]
fn del_finds_the_pair_of_a_namespace_that_lives_without_its_path() {
    in_lab(LINKSPAN, |lab| {
        for (plugin, good) in with_pairs(lab) {
            for lost in ["", "/run/netns/long-gone", "another's"] {
                let (sandbox, other) = (lab.sandbox(), lab.sandbox());
                let conf = good.clone();
                let call = lab.plugin(plugin).of("a", &sandbox).conf(&conf);
                call.add();
                let neighbour = lab.plugin(plugin).of("b", &other).conf(&conf);
                let result = neighbour.add();
                // The path of one may be the other's by now.
                let path = other.path();
                call.netns(if lost == "another's" { &path } else { lost })
                    .del();
                assert_eq!(sandbox.rtnl().links().unwrap().len(), 1, "{plugin}: {lost}");
                neighbour.check(&result);
                neighbour.del();
                assert_idle(lab, plugin);
            }
        }
    });
}

#[test]
fn del_and_gc_free_everything_under_a_list_that_was_edited_since() {
    in_lab(LINKSPAN, |lab| {
        let range = |subnet: &str| json!([{ "subnet": subnet }]);
        let dir = json!(lab.leases());
        let ipam =
            |ranges: Value| json!({ "type": "host-local", "dataDir": dir, "ranges": ranges });
        let edits = [
            json!({ "ipam": { "type": "host-local", "dataDir": dir, "ranges": null } }),
            json!({ "ipam": ipam(json!([[{ "subnet": "10.1.0.0/33" }]])) }),
            json!({ "ipam": ipam(json!("none")) }),
            json!({ "ipam": ipam(json!([range("10.1.0.0/16"), range("10.1.2.0/24")])) }),
            json!({ "mtu": "1400", "ipMasq": "yes", "dns": 7, "isGateway": 1 }),
            json!({ "vlan": "x", "macspoofchk": true, "bridge": 7, "ipMasqBackend": "pf" }),
            json!({ "runtimeConfig": 7, "args": { "cni": { "mac": [], "ips": 7 } } }),
        ];
        for (plugin, good) in with_pairs(lab) {
            let sandbox = lab.sandbox();
            let conf = with(good.clone(), &json!({ "cniVersion": "1.1.0" }));
            let call = lab.plugin(plugin).of("a", &sandbox).conf(&conf);
            for edit in &edits {
                let mut edited = with(conf.clone(), edit);
                if let Some(ipam) = edit.get("ipam") {
                    edited["ipam"] = ipam.clone();
                }
                call.add();
                call.clone().conf(&edited).del();
                assert_eq!(sandbox.rtnl().links().unwrap().len(), 1, "{edit}");
                assert_idle(lab, plugin);
                call.add();
                let nobody = json!({ "cni.dev/valid-attachments": [] });
                let gc = lab.plugin(plugin).conf(&with(edited, &nobody));
                assert_eq!(gc.verb("GC").run().succeeded(), "");
                assert_idle(lab, plugin);
            }
        }
    });
}

#[test]
fn an_interface_that_is_there_keeps_its_address_whatever_ipam_says() {
    in_lab(LINKSPAN, |lab| {
        // An IPAM plugin that returns the same address again, and records each call with the present interfaces.
        let log = lab.dir().join("log");
        let script = format!(
            "echo \"$CNI_COMMAND $(grep -c veth /proc/net/dev)\" >> {}\n\
             cat > /dev/null\n\
             [ \"$CNI_COMMAND\" = ADD ] && echo '{{\"cniVersion\":\"1.0.0\",\"ips\":[{{\"address\":\"10.1.0.5/16\",\
             \"gateway\":\"10.1.0.1\"}}],\"routes\":[{{\"dst\":\"10.9.0.0/16\",\"gw\":\"GW\"}}]}}'\nexit 0",
            log.display()
        );
        for (plugin, good) in with_pairs(lab) {
            let ipam = |gw: &str| {
                lab.script("again", &script.replace("GW", gw));
            };
            let (sandbox, other) = (lab.sandbox(), lab.sandbox());
            let conf = with(good.clone(), &json!({ "ipam": null }));
            let conf = with(
                conf,
                &json!({ "ipam": { "type": "again" }, "cniVersion": "1.0.0" }),
            );
            let call = |sandbox: &Sandbox| lab.plugin(plugin).of("a", sandbox).conf(&conf);
            ipam("10.1.0.1");
            call(&sandbox).add();
            drop(std::fs::remove_file(&log));
            // Neither ADD nor the undo of it asks IPAM.
            call(&sandbox).verb("ADD").run().failed(999);
            assert!(!log.exists(), "{plugin}");
            // The address is released when nothing uses it any more.
            ipam("192.168.99.1");
            call(&other).verb("ADD").run().failed(999);
            let told = std::fs::read_to_string(&log).unwrap();
            assert!(told.ends_with("DEL 1\n"), "{plugin}: {told}");
            call(&sandbox).del();
        }
    });
}

#[test]
fn del_leaves_an_interface_alone_that_another_attachment_has() {
    in_lab(LINKSPAN, |lab| {
        for (plugin, good) in with_pairs(lab) {
            let sandbox = lab.sandbox();
            let call = |id: &str| {
                let call = lab.plugin(plugin).of(id, &sandbox);
                call.conf(&good)
            };
            let result = call("holder").add();
            // Another container, and the same one in another network.
            call("other").del();
            let renamed = with(good.clone(), &json!({ "name": "net2" }));
            call("holder").conf(&renamed).del();
            call("holder").check(&result);
            // A pair without a tag on its host end goes with the first DEL, as those of the Go suite do.
            let host = result["interfaces"].as_array().unwrap().iter();
            let host = host.filter(|link| link["name"].as_str().unwrap().starts_with("veth"));
            for host in host {
                let name = host["name"].as_str().unwrap();
                let link = lab.rtnl().link_by_name(name).unwrap().unwrap();
                link.tag("uplink of the rack", 0).unwrap();
            }
            call("other").del();
            assert!(sandbox.rtnl().link_by_name("eth0").unwrap().is_none());
            call("holder").del();
            assert_idle(lab, plugin);
        }
    });
}

#[test]
fn a_failed_add_takes_back_what_it_made() {
    in_lab(LINKSPAN, |lab| {
        let (first, sandbox) = (lab.sandbox(), lab.sandbox());
        call(lab, "first", &first, &json!({})).add();
        let before = (Snapshot::of_host(lab), Snapshot::of_sandbox(&sandbox));
        let mut nowhere = host_local(lab, &["10.1.0.0/16"]);
        nowhere["routes"] = json!([{ "dst": "10.7.0.0/16", "gw": "192.168.99.1" }]);
        for (over, code, says) in [
            // The last step, the printing, fails: layer 2 has no address, and 0.2.0 cannot express that.
            (
                json!({ "ipam": null, "cniVersion": "0.2.0" }),
                999,
                "no valid IP addresses",
            ),
            // A late step fails: the kernel does not reach the route's next hop.
            (json!({ "ipam": nowhere }), 999, "10.7.0.0/16"),
            // An invalid VLAN number.
            (json!({ "vlan": 4095 }), 7, "invalid VLAN ID 4095"),
            (json!({ "vlanTrunk": [{ "id": 0 }] }), 7, "trunk id"),
        ] {
            let told = call(lab, "b", &sandbox, &over)
                .verb("ADD")
                .run()
                .failed(code);
            assert!(told.contains(says), "{told}");
            let after = (Snapshot::of_host(lab), Snapshot::of_sandbox(&sandbox));
            assert_eq!(after, before, "{told}");
        }
    });
}
