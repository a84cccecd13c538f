//! `host-local` as a runtime drives it: environment and stdin in, JSON, exit status and the Go plugin's files out.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use linkspan_harness::call::Call;
use linkspan_harness::conf::{host_local, with};
use linkspan_harness::lab::{Lab, go_plugins, in_lab};
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");
const DUAL: [&str; 2] = ["10.1.2.0/24", "2001:db8:1::/64"];

fn conf(lab: &Lab, version: &str, subnets: &[&str]) -> Value {
    let ipam = host_local(lab, subnets);
    json!({ "cniVersion": version, "name": "net", "ipam": ipam })
}

/// A call of the plugin in `dir`. It opens no namespace, so any path will do.
fn call_in(lab: &Lab, dir: &Path, id: &str, conf: &Value) -> Call {
    lab.foreign(dir, "host-local")
        .env("CNI_CONTAINERID", id)
        .env("CNI_IFNAME", "eth0")
        .netns("/run/netns/none")
        .conf(conf)
}

fn call(lab: &Lab, id: &str, conf: &Value) -> Call {
    call_in(lab, &lab.bin(), id, conf)
}

fn file(lab: &Lab, name: &str) -> String {
    fs::read_to_string(lab.leases().join("net").join(name)).unwrap()
}

#[test]
fn add_writes_the_reference_files_and_del_removes_the_leases() {
    in_lab(LINKSPAN, |lab| {
        let conf = conf(lab, "1.0.0", &DUAL);
        let pod = call(lab, "dummy", &conf);
        let result = pod.add();
        for (name, content) in [
            ("10.1.2.2", "dummy\r\neth0"),
            ("2001:db8:1::2", "dummy\r\neth0"),
            ("last_reserved_ip.0", "10.1.2.2"),
            ("last_reserved_ip.1", "2001:db8:1::2"),
        ] {
            assert_eq!(file(lab, name), content);
        }
        pod.check(&result);
        let stranger = call(lab, "other", &conf).verb("CHECK").run();
        assert!(stranger.failed(999).contains("other"));
        pod.del();
        pod.del();
        assert_eq!(lab.leased("net"), [""; 0]);
        assert_eq!(pod.add()["ips"][0]["address"], "10.1.2.3/24");
    });
}

#[test]
fn every_spec_version_is_spoken() {
    in_lab(LINKSPAN, |lab| {
        for version in [
            "0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0",
        ] {
            let pod = call(lab, version, &conf(lab, version, &DUAL));
            let result = pod.add();
            assert_eq!(result["cniVersion"], version);
            let tells_family = result.pointer("/ips/0/version") == Some(&json!("4"));
            assert_eq!(tells_family, ("0.3.0"..="0.4.0").contains(&version));
            assert_eq!(result.get("ip4").is_some(), version < "0.3.0");
            assert_eq!(result.get("ips").is_some(), version >= "0.3.0");
            pod.del();
        }
    });
}

#[test]
fn an_exhausted_range_says_so_and_keeps_what_was_there() {
    in_lab(LINKSPAN, |lab| {
        let conf = conf(lab, "1.1.0", &["10.1.3.0/24", "10.1.2.0/30"]);
        call(lab, "a", &conf).add();
        let held = lab.leased("net");
        let full = "no IP addresses available in range set: 10.1.2.1-10.1.2.2";
        call(lab, "a", &conf).verb("STATUS").run().succeeded();
        let strict = with(conf.clone(), &json!({ "strictStatus": true }));
        let status = call(lab, "a", &strict).verb("STATUS").run();
        assert!(status.failed(50).contains(full));
        let told = call(lab, "b", &conf).verb("ADD").run().failed(999);
        let says = format!("failed to allocate for range 1: {full}");
        assert!(told.starts_with(&says), "{told}");
        // The address that b got of range set 0 is free again, and a keeps its two.
        assert_eq!(lab.leased("net"), held);
        let told = call(lab, "a", &conf).verb("ADD").run().failed(999);
        let says = "10.1.3.2 has been allocated to a, duplicate allocation is not allowed";
        assert!(told.contains(says), "{told}");
        assert_eq!(lab.leased("net"), held);
    });
}

#[test]
fn what_cannot_be_given_makes_no_store() {
    in_lab(LINKSPAN, |lab| {
        let host_bits = "invalid range set 0: Network has host bits set. \
                         For a subnet mask of length 24 the network address is 10.1.2.0; ";
        let two = &["10.1.2.0/24", "10.1.3.0/24"][..];
        for (version, subnets, code, says) in [
            (
                "0.2.0",
                two,
                7,
                "CNI version 0.2.0 does not support more than 1 address per family; ",
            ),
            ("1.0.0", &[], 7, "no IP ranges specified; "),
            (
                "1.0.0",
                &["10.1.2.0/24", "10.1.2.0/25"],
                7,
                "range set 0 overlaps with 1; ",
            ),
            ("1.0.0", &["10.1.2.1/24"], 7, host_bits),
            ("9.9.9", two, 1, "incompatible CNI versions; "),
        ] {
            let call = call(lab, "dummy", &conf(lab, version, subnets));
            let told = call.verb("ADD").run().failed(code);
            assert!(told.starts_with(says), "{told}");
        }
        let over = json!({ "ipam": { "dataDir": lab.leases(), "subnet": 7 } });
        let call = call(lab, "dummy", &with(conf(lab, "1.0.0", &[]), &over));
        let told = call.verb("ADD").run().failed(6);
        let says = "failed to load netconf: ipam.subnet: invalid type: integer, expected a string";
        assert!(told.starts_with(says), "{told}");
        assert!(!lab.leases().exists());
    });
}

#[test]
fn a_hundred_parallel_adds_get_a_hundred_addresses() {
    in_lab(LINKSPAN, |lab| {
        let conf = conf(lab, "1.1.0", &["10.1.0.0/16"]);
        let add = |n| call(lab, &format!("c{n}"), &conf).verb("ADD").spawn();
        let running: Vec<_> = (0..100).map(add).collect();
        for run in running {
            run.wait().succeeded();
        }
        assert_eq!(lab.leased("net").len(), 100);
    });
}

#[test]
fn leases_can_be_swapped_with_the_go_plugin() {
    in_lab(LINKSPAN, |lab| {
        let Some(go) = go_plugins("host-local") else {
            return;
        };
        let bin = lab.bin();
        let dual = conf(lab, "1.0.0", &DUAL);
        for (adds, deletes) in [(go, bin.as_path()), (bin.as_path(), go)] {
            let result = call_in(lab, adds, "dummy", &dual).add();
            let other = call_in(lab, deletes, "dummy", &dual);
            other.check(&result);
            other.clone().verb("ADD").run().failed(999);
            other.del();
            assert_eq!(lab.leased("net"), [""; 0]);
        }
        // The same bytes, from separate stores.
        let printed = [go, &bin].map(|dir| {
            let mut conf = conf(lab, "0.4.0", &DUAL);
            conf["ipam"]["dataDir"] = json!(lab.dir().join(dir.file_name().unwrap()).join("own"));
            let run = call_in(lab, dir, "dummy", &conf).verb("ADD").run();
            run.succeeded().to_owned()
        });
        assert_eq!(printed[0], printed[1]);
    });
}

#[test]
fn a_lease_of_an_old_plugin_is_found_and_removed() {
    in_lab(LINKSPAN, |lab| {
        let store = lab.leases().join("net");
        fs::create_dir_all(&store).unwrap();
        fs::write(store.join("10.1.2.9"), "dummy").unwrap();
        let pod = call(lab, "dummy", &conf(lab, "1.0.0", &["10.1.2.0/24"]));
        pod.clone().verb("CHECK").run().succeeded();
        pod.del();
        assert_eq!(lab.leased("net"), [""; 0]);
        // The lease of an ADD, edited to the form of an old plugin.
        pod.add();
        fs::write(store.join("10.1.2.2"), "dummy").unwrap();
        pod.clone().verb("CHECK").run().succeeded();
        pod.del();
        assert_eq!(lab.leased("net"), [""; 0]);
    });
}

#[test]
fn routes_are_passed_on_as_they_are() {
    in_lab(LINKSPAN, |lab| {
        let routes = json!([
            { "dst": "0.0.0.0/0" },
            { "dst": "10.1.2.3/8", "gw": "10.1.2.1" },
            { "dst": "0.0.0.0/0", "gw": "10.1.2.9" },
            { "dst": "::/0", "mtu": 1400, "advmss": 1300, "priority": 7, "table": 0, "scope": 0 },
            { "dst": "::/0", "mtu": -1, "advmss": -2, "priority": 1_i64 << 40, "table": -3, "scope": 300 },
        ]);
        for version in ["0.4.0", "1.1.0"] {
            let mut conf = conf(lab, version, &DUAL);
            conf["ipam"]["routes"] = routes.clone();
            let pod = call(lab, "dummy", &conf);
            assert_eq!(pod.add()["routes"], routes, "{version}");
            pod.del();
        }
    });
}

/// Ends of a configuration, each after the first keys of its `ipam`.
const JSON: [&str; 12] = [
    r#"},"ipam":{"routes":[{"dst":"10.0.0.0/8"}]"#,
    r#"},"IPAM":{"Routes":[{"DST":"10.0.0.0/8"}]},"ipam":{"#,
    r#"},"runtimeConfig":{"ips":["10.1.2.9"]},"runtimeConfig":{"x":1"#,
    r#"},"args":{"cni":{"ips":["10.1.2.9"]}},"ARGS":{"cni":{"x":1},"x":{}"#,
    r#"},"args":{"cni":{"ips":["10.1.2.9"]}},"args":{"cni":{"ips":[]}"#,
    r#","routes":[{"dst":"10.0.0.0/8"},{"dst":"10.1.0.0/16"}],"routes":[{"dst":"11.0.0.0/8"}]"#,
    r#"},"x":{"y":[1e999,-1e999,123456789012345678901234567890]"#,
    r#","x":"\ud800","\udc00":"\ud800\u0041""#,
    ",\"x\u{e9}\":\"\\u00e9\"",
    r#","type":5,"type":"x""#,
    r#","x":1."#,
    r#","x":"\x""#,
];

#[test]
fn json_is_read_as_the_go_plugin_reads_it() {
    in_lab(LINKSPAN, |lab| {
        let Some(go) = go_plugins("host-local") else {
            return;
        };
        let both = |text: &[u8]| {
            let runs = [go, &lab.bin()].map(|dir| {
                let pod = call_in(lab, dir, "dummy", &json!({})).stdin(text);
                let run = pod.clone().verb("ADD").run();
                pod.verb("DEL").run();
                assert_eq!(lab.leased("net"), [""; 0]);
                drop(fs::remove_dir_all(lab.leases()));
                (
                    run.status,
                    if run.status == 0 {
                        run.stdout
                    } else {
                        String::new()
                    },
                )
            });
            let text = String::from_utf8_lossy(text);
            assert_eq!(runs[0], runs[1], "{text}");
            runs[0].0
        };
        let dir = json!(lab.leases()).to_string();
        let start = format!(
            r#"{{"cniVersion":"0.4.0","name":"net","ipam":{{"type":"host-local","subnet":"10.1.2.0/24","dataDir":{dir}"#
        );
        let status = JSON.map(|middle| both(format!("{start}{middle}}}}}").as_bytes()));
        assert_eq!(status, [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1]);
        // Bytes that are not UTF-8, inside of a string and outside.
        let bytes = |middle: &[u8]| [start.as_bytes(), middle, b"}}"].concat();
        assert_eq!(both(&bytes(b",\"x\xff\":\"\xfe\"")), 0);
        assert_eq!(both(&bytes(b"\xff")), 1);
    });
}
