//! Calls that the protocol allows but that cannot succeed: impossible namespaces, IPAM plugins, addresses and bridges.
//! One error object, the right code, a message that names the thing, and nothing changed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use linkspan_harness::conf::{bridge, good, host_local, with};
use linkspan_harness::lab::{PLUGINS, in_lab};
use linkspan_harness::nic;
use linkspan_harness::trial::Trial;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::json;

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");
/// The plugins that enter the container.
const INTERFACES: &[&str] = &[
    "bridge",
    "dummy",
    "host-device",
    "host-reach",
    "ipvlan",
    "loopback",
    "macvlan",
    "ptp",
    "sbr",
    "tap",
    "veth",
    "vlan",
    "vrf",
];
/// The plugins that call an IPAM plugin.
const DELEGATORS: [&str; 3] = ["bridge", "ptp", "veth"];

#[test]
fn what_is_no_network_namespace_is_refused() {
    in_lab(LINKSPAN, |lab| {
        let file = |name: &str| lab.dir().join(name).to_str().unwrap().to_owned();
        fs::write(file("plain"), "x").unwrap();
        mkfifo(Path::new(&file("fifo")), Mode::S_IRWXU).unwrap();
        symlink("loop", file("loop")).unwrap();
        let paths = [
            file("missing"),
            file("plain"),
            file("plain/below"),
            file("fifo"),
            file("loop"),
            file(""),
            "/proc/self/status".to_owned(),
            "/proc/self/ns/uts".to_owned(),
        ];
        nic::make(lab, "nic0", &[]);
        let trial = Trial::new(lab);
        for plugin in INTERFACES {
            // With an IPAM plugin, CHECK asks it first, and it has no lease.
            let layer2 = json!({ "prevResult": { "cniVersion": "1.1.0" }, "ipam": null });
            for path in &paths {
                let add = trial.call(plugin, "ADD", &json!({})).netns(path);
                trial.refused(&add, 8, path);
                if !DELEGATORS.contains(plugin) || *plugin == "bridge" {
                    let check = trial.call(plugin, "CHECK", &layer2).netns(path);
                    trial.refused(&check, 8, path);
                }
                let del = trial.call(plugin, "DEL", &json!({})).netns(path);
                if [file("missing"), file("plain")].contains(path) {
                    assert_eq!(del.run().succeeded(), "");
                } else {
                    trial.refused(&del, 8, path);
                }
            }
            assert_eq!(
                trial
                    .call(plugin, "DEL", &json!({}))
                    .netns("")
                    .run()
                    .succeeded(),
                ""
            );
        }
    });
}

#[test]
fn del_removes_everything_where_the_mount_is_gone_and_its_file_stays() {
    in_lab(LINKSPAN, |lab| {
        let plain = lab.dir().join("plain");
        fs::write(&plain, "x").unwrap();
        for plugin in DELEGATORS {
            let sandbox = lab.sandbox();
            let call = lab.plugin(plugin).of("pod", &sandbox);
            let call = call.conf(&good(lab, plugin));
            call.add();
            let lost = call.clone().netns(plain.to_str().unwrap());
            lost.del();
            assert_eq!(lab.leased("net"), [""; 0]);
            assert_eq!(sandbox.rtnl().links().unwrap().len(), 1);
            // A namespace of another kind is an error, after everything else.
            call.add();
            let other = call.clone().netns("/proc/self/ns/uts");
            other.verb("DEL").run().failed(8);
            assert_eq!(lab.leased("net"), [""; 0]);
            call.del();
            assert_eq!(sandbox.rtnl().links().unwrap().len(), 1);
        }
    });
}

#[test]
fn an_add_whose_answer_nobody_gets_is_undone() {
    in_lab(LINKSPAN, |lab| {
        // The bridge is shared, and stays.
        let neighbour = lab.sandbox();
        let bridge = lab.plugin("bridge").of("neighbour", &neighbour);
        bridge.conf(&good(lab, "bridge")).add();
        let leased = lab.leased("net");
        let trial = Trial::new(lab);
        for plugin in ["bridge", "host-local", "ptp"] {
            let call = trial.call(plugin, "ADD", &json!({}));
            let lost = call.under(&["sh", "-c", "exec \"$0\" > /dev/full"]).run();
            assert_eq!((lost.status, &*lost.stdout), (1, ""), "{plugin}");
            let told = &lost.stderr;
            assert!(
                told.starts_with("cannot write the answer: ENOSPC"),
                "{told}"
            );
            trial.unchanged(plugin);
            assert_eq!(lab.leased("net"), leased, "{plugin}");
        }
    });
}

#[test]
fn the_plugins_own_namespace_is_refused_unless_it_is_meant() {
    const OWN: &str = "/proc/self/ns/net";
    in_lab(LINKSPAN, |lab| {
        let trial = Trial::new(lab);
        for plugin in PLUGINS {
            for verb in ["ADD", "DEL"] {
                let call = trial.call(plugin, verb, &json!({})).netns(OWN);
                trial.refused(&call, 8, "should not be the same");
                let not_really = call.env("CNI_NETNS_OVERRIDE", "0");
                trial.refused(&not_really, 8, "should not be the same");
            }
        }
        for (plugin, meant) in [("bridge", "1"), ("ptp", "TRUE"), ("veth", "true")] {
            let call = trial.call(plugin, "ADD", &json!({})).netns(OWN);
            let call = call.env("CNI_NETNS_OVERRIDE", meant);
            let result = call.add();
            assert!(lab.rtnl().link_by_name("eth0").unwrap().unwrap().up);
            call.check(&result);
            call.del();
            if let Some(bridge) = lab.rtnl().link_by_name("br0").unwrap() {
                bridge.delete().unwrap();
            }
            trial.unchanged(plugin);
        }
    });
}

#[test]
fn an_ipam_plugin_that_cannot_be_meant_is_never_executed() {
    in_lab(LINKSPAN, |lab| {
        let trace = lab.dir().join("executed");
        let script = format!("echo > {}", trace.display());
        let evil = lab.script_at(lab.dir().join("evil"), &script);
        // CNI_PATH is `bin` below the lab's directory.
        let absolute = evil.to_str().unwrap();
        let names = [
            absolute,
            "../evil",
            "..",
            ".",
            "a/b",
            "./evil",
            "host-local\0",
            "a\\b",
        ];
        let trial = Trial::new(lab);
        for plugin in DELEGATORS {
            for verb in ["ADD", "DEL", "STATUS"] {
                for name in names {
                    let call = trial.call(plugin, verb, &json!({ "ipam": { "type": name } }));
                    trial.refused(&call, 7, &name.escape_debug().to_string());
                }
                let call = trial.call(plugin, verb, &json!({ "ipam": { "type": "nope" } }));
                // STATUS reports it as a lack for ADD (spec 1.1.0).
                let code = if verb == "STATUS" { 50 } else { 999 };
                trial.refused(&call, code, "failed to find plugin \"nope\" in path [");
                let call = trial.call(plugin, verb, &json!({ "ipam": { "type": 5 } }));
                trial.refused(&call, 6, "ipam.type");
                let call = trial.call(plugin, verb, &json!({ "ipam": [] }));
                trial.refused(&call, 6, "ipam");
            }
        }
        for nobody in [json!(null), json!({}), json!({ "type": "" })] {
            let call = trial.call("ptp", "ADD", &json!({ "ipam": nobody }));
            trial.refused(&call, 7, "no plugin name provided");
        }
        assert!(!trace.exists());
    });
}

#[test]
fn an_ipam_plugin_that_misbehaves_is_named_and_one_that_explains_is_quoted() {
    let object = r#"{ "code": 123, "msg": "the oracle sleeps", "details": "come back" }"#;
    let rows: [(&str, u64, &str); 6] = [
        (
            "exit 3",
            999,
            "oracle: netplugin failed with no error message",
        ),
        (
            "echo boom >&2; exit 3",
            999,
            "oracle: netplugin failed: \"boom\"",
        ),
        (
            "echo boom; exit 3",
            999,
            "oracle: netplugin failed but error parsing",
        ),
        ("echo boom", 999, "decode the result of oracle"),
        ("echo '{}'", 999, "IPAM plugin returned missing IP config"),
        (
            "cat >/dev/null; echo \"$OBJECT\"; exit 1",
            123,
            "the oracle sleeps; come back",
        ),
    ];
    in_lab(LINKSPAN, |lab| {
        for (body, code, says) in rows {
            lab.script("oracle", body);
            for plugin in DELEGATORS {
                let trial = Trial::new(lab);
                let call = trial.call(plugin, "ADD", &json!({ "ipam": { "type": "oracle" } }));
                let told = call.env("OBJECT", object).run().failed(code);
                assert!(told.contains(says), "{says:?} is not in {told:?}");
                if let Some(bridge) = lab.rtnl().link_by_name("br0").unwrap() {
                    bridge.delete().unwrap();
                }
                trial.unchanged(plugin);
            }
        }
        let oracle = lab.script("oracle", "");
        fs::set_permissions(&oracle, fs::Permissions::from_mode(0o644)).unwrap();
        let trial = Trial::new(lab);
        let call = trial.call("ptp", "ADD", &json!({ "ipam": { "type": "oracle" } }));
        trial.refused(&call, 999, &format!("execute {}", oracle.display()));
    });
}

#[test]
fn addresses_that_cannot_be_given_leave_everything_as_it_was() {
    in_lab(LINKSPAN, |lab| {
        let first = lab.sandbox();
        let small = json!({ "ipam": host_local(lab, &["10.1.0.0/30"]) });
        for plugin in ["bridge", "ptp"] {
            let over = with(
                small.clone(),
                &json!({ "name": plugin, "isDefaultGateway": null }),
            );
            let conf = with(good(lab, plugin), &over);
            let holder = lab.plugin(plugin).of("first", &first).conf(&conf);
            holder.add();
            let trial = Trial::new(lab);
            let full = "no IP addresses available in range set: 10.1.0.1-10.1.0.2";
            trial.refused(&trial.call(plugin, "ADD", &over), 999, full);
            let strict = with(over, &json!({ "strictStatus": true }));
            trial.refused(&trial.call(plugin, "STATUS", &strict), 50, full);
            holder.del();
        }
        let trial = Trial::new(lab);
        for plugin in ["bridge", "ptp", "host-local"] {
            for (subnets, says) in [
                (
                    &["10.1.0.0/16", "10.1.2.0/24"][..],
                    "range set 0 overlaps with 1",
                ),
                (&["10.1.0.1/16"], "host bits set"),
                (&["10.1.0.0/31"], "too small to allocate from"),
                (&[], "no IP ranges specified"),
            ] {
                let over = json!({ "ipam": host_local(lab, subnets) });
                trial.refused(&trial.call(plugin, "ADD", &over), 7, says);
            }
            let over = json!({ "ipam": host_local(lab, &["10.1.0.0/33"]) });
            trial.refused(&trial.call(plugin, "ADD", &over), 6, "10.1.0.0/33");
        }
    });
}

#[test]
fn a_name_that_no_bridge_can_have_is_refused() {
    in_lab(LINKSPAN, |lab| {
        let other = lab.sandbox();
        let holder = lab.plugin("ptp").of("other", &other);
        let result = holder.conf(&good(lab, "ptp")).add();
        let veth = result["interfaces"][0]["name"].as_str().unwrap();
        let trial = Trial::new(lab);
        for taken in [veth, "lo"] {
            let says = format!("\"{taken}\" already exists but is not a bridge");
            let over = json!({ "bridge": taken });
            trial.refused(&trial.call("bridge", "ADD", &over), 7, &says);
            trial.refused(&trial.call("bridge", "STATUS", &over), 50, &says);
        }
        for name in ["", ".", "a/b", "a b", "br%d", "sixteen_letters_"] {
            let call = trial.call("bridge", "ADD", &json!({ "bridge": name }));
            trial.refused(&call, 7, &format!("bridge \"{name}\": "));
        }
    });
}

#[test]
fn a_bridge_configuration_that_cannot_be_met_is_refused() {
    in_lab(LINKSPAN, |lab| {
        let first = lab.sandbox();
        let conf = bridge(lab, &json!({ "name": "first" }));
        lab.plugin("bridge").of("first", &first).conf(&conf).add();
        let both = json!({ "hairpinMode": true, "promiscMode": true });
        let elsewhere = json!({ "ipam": host_local(lab, &["10.9.0.0/16"]) });
        let conflict = "\"br0\" already has an IP address different from 10.9.0.1/16: 10.1.0.1/16";
        let bad_mac = json!({ "runtimeConfig": { "mac": "nonsense" } });
        let trial = Trial::new(lab);
        for (over, code, says) in [
            (json!({ "bridge": 5 }), 6, "bridge: "),
            (json!({ "mtu": "1500" }), 6, "mtu: "),
            (json!({ "mtu": 1500.5 }), 6, "mtu: "),
            (json!({ "mtu": 1 }), 999, "veth"),
            (json!({ "isGateway": 1 }), 6, "isGateway: "),
            (both, 7, "cannot set hairpin mode and promiscuous mode"),
            (json!({ "disableContainerInterface": true }), 7, "IPAM"),
            (bad_mac, 7, "runtimeConfig.mac: not a unicast MAC address"),
            (elsewhere, 7, conflict),
        ] {
            trial.refused(&trial.call("bridge", "ADD", &over), code, says);
        }
        for (variable, value, code, says) in [
            ("CNI_ARGS", "MAC", 4, "ARGS: invalid pair number 1"),
            (
                "CNI_ARGS",
                "MAC=02:00:00:00:00:07;",
                4,
                "ARGS: invalid pair number 2",
            ),
            ("CNI_ARGS", "POD=x", 4, "ARGS: unknown args [\"POD\"]"),
            ("CNI_IFNAME", "lo", 999, "interface \"lo\" already exists"),
            ("CNI_IFNAME", "eth%d", 999, "\"eth%d\""),
        ] {
            let call = trial.call("bridge", "ADD", &json!({}));
            trial.refused(&call.env(variable, value), code, says);
        }
    });
}
