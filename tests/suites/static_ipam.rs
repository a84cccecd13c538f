//! `static`: precedence of addresses, refusals and their texts, and each key of a route in the kernel.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::IpAddr;
use std::path::Path;

use linkspan_harness::call::Call;
use linkspan_harness::conf::{addresses, bridge, fixed, with};
use linkspan_harness::lab::{Lab, Sandbox, go_plugins, in_lab};
use linkspan_harness::skip;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");

fn conf(version: &str, ipam: &Value, over: &Value) -> Value {
    let base = json!({ "cniVersion": version, "name": "net", "type": "static", "ipam": ipam });
    with(base, over)
}

fn call_in(lab: &Lab, dir: &Path, conf: &Value) -> Call {
    lab.foreign(dir, "static")
        .env("CNI_CONTAINERID", "pod")
        .env("CNI_IFNAME", "eth0")
        .netns("/run/netns/none")
        .conf(conf)
}

fn call(lab: &Lab, conf: &Value) -> Call {
    call_in(lab, &lab.bin(), conf)
}

/// With gateways.
fn two() -> Value {
    json!({
        "type": "static",
        "addresses": [
            { "address": "10.10.0.1/24", "gateway": "10.10.0.254" },
            { "address": "3ffe:ffff:0:01ff::1/64", "gateway": "3ffe:ffff:0::1" },
        ],
        "routes": [
            { "dst": "0.0.0.0/0", "gw": "10.10.0.253" },
            { "dst": "0.0.0.0/0", "gw": "10.10.0.252" },
            { "dst": "3ffe:ffff:0:01ff::1/64" },
        ],
        "dns": { "nameservers": ["8.8.8.8"], "domain": "example.com", "search": ["a.example"], "options": ["ndots:1"] },
    })
}

const ARGS: &str = "IgnoreUnknown=1;IP=10.10.0.1/24, 11.11.0.1/24;GATEWAY=10.10.0.254;K8S_POD=x";

/// Addresses and their gateways.
type Given = Vec<(&'static str, &'static str)>;

/// Configurations and `CNI_ARGS`, each with the resulting addresses and gateways.
fn sources() -> Vec<(Value, &'static str, Given)> {
    let cni = json!({ "cni": { "ips": ["10.10.0.7/24", "3ffe::7/64"] } });
    let runtime = json!({ "ips": ["10.10.0.8/24"] });
    let of_two = vec![
        ("10.10.0.1/24", "10.10.0.254"),
        ("3ffe:ffff:0:1ff::1/64", "3ffe:ffff::1"),
    ];
    let of_arguments = vec![("10.10.0.1/24", "10.10.0.254"), ("11.11.0.1/24", "")];
    let of_cni = vec![("10.10.0.7/24", ""), ("3ffe::7/64", "")];
    let empty = json!({ "type": "static" });
    vec![
        (json!({ "ipam": two() }), "", of_two.clone()),
        (json!({ "ipam": empty }), ARGS, of_arguments),
        (json!({ "ipam": two(), "args": cni }), ARGS, of_cni.clone()),
        (json!({ "ipam": empty, "args": cni }), "", of_cni),
        (
            json!({ "ipam": two(), "args": cni, "RuntimeConfig": runtime }),
            ARGS,
            vec![("10.10.0.8/24", "")],
        ),
        (
            json!({ "ipam": two(), "args": { "cni": { "ips": [] } }, "runtimeConfig": { "ips": null } }),
            "",
            of_two,
        ),
        (json!({ "ipam": empty }), "", Vec::new()),
    ]
}

#[test]
fn the_runtime_wins_over_args_and_these_over_the_configuration() {
    in_lab(LINKSPAN, |lab| {
        for (over, args, expected) in sources() {
            let call = call(lab, &conf("1.0.0", &json!({}), &over)).env("CNI_ARGS", args);
            let result = call.add();
            let ips = result["ips"].as_array().cloned().unwrap_or_default();
            let text = |ip: &Value, key: &str| ip[key].as_str().unwrap_or_default().to_owned();
            let told: Vec<_> = ips
                .iter()
                .map(|ip| (text(ip, "address"), text(ip, "gateway")))
                .collect();
            let expected = expected
                .iter()
                .map(|(a, g)| ((*a).to_owned(), (*g).to_owned()));
            assert_eq!(told, expected.collect::<Vec<_>>(), "{over} {args}");
            call.check(&result);
            call.del();
        }
    });
}

#[test]
fn every_spec_version_is_spoken() {
    in_lab(LINKSPAN, |lab| {
        for version in [
            "0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0",
        ] {
            let pod = call(lab, &conf(version, &two(), &json!({})));
            let result = pod.add();
            assert_eq!(result["cniVersion"], version);
            assert_eq!(result["dns"], two()["dns"]);
            if version < "0.3.0" {
                assert_eq!(result["ip4"]["ip"], "10.10.0.1/24");
                assert_eq!(result["ip4"]["gateway"], "10.10.0.254");
            } else {
                // In their order, with host bits, and one destination twice.
                assert_eq!(result["routes"].as_array().unwrap().len(), 3);
                assert_eq!(result["routes"][1]["gw"], "10.10.0.252");
                assert_eq!(result["routes"][2]["dst"], "3ffe:ffff:0:1ff::1/64");
            }
            pod.del();
        }
        for version in ["0.1.0", "0.2.0"] {
            let ipam = fixed(&["10.1.0.2/24", "10.2.0.2/24"]);
            let told = call(lab, &conf(version, &ipam, &json!({})))
                .verb("ADD")
                .run();
            let says =
                format!("CNI version {version} does not support more than 1 address per family");
            assert!(told.failed(7).starts_with(&says));
        }
    });
}

#[test]
fn an_address_without_a_prefix_is_told_with_its_remedy() {
    let ip = "the 'ip' field is expected to be in CIDR notation, got: '10.9.9.9'";
    let address = "the 'address' field is expected to be in CIDR notation, got: '10.9.9.9'";
    let entry = "an entry in the 'ips' field is NOT in CIDR notation, got: 'fd00::9'";
    let four = "length of the subnet, as in 10.9.9.9/24, or set ipam.defaultPrefix";
    let six = "length of the subnet, as in fd00::9/64, or set ipam.defaultPrefix6";
    let rows = [
        (json!({}), "IP=10.9.9.9", 4, ip, four),
        (
            json!({ "ipam": fixed(&["10.9.9.9"]) }),
            "",
            7,
            address,
            four,
        ),
        (
            json!({ "args": { "cni": { "ips": ["fd00::9"] } } }),
            "",
            7,
            entry,
            six,
        ),
        (
            json!({ "runtimeConfig": { "ips": ["fd00::9"] } }),
            "",
            7,
            entry,
            six,
        ),
        (
            json!({}),
            "GATEWAY=10.9.9.1/24",
            4,
            "invalid gateway address: 10.9.9.1/24",
            "without a prefix",
        ),
        (
            json!({ "ipam": null }),
            "",
            7,
            "IPAM config missing 'ipam' key",
            "",
        ),
        (
            json!({ "ipam": fixed(&["x1"]) }),
            "",
            7,
            "got: '...'",
            "ADDRESS/LENGTH",
        ),
    ];
    in_lab(LINKSPAN, |lab| {
        for (over, args, code, says, hint) in rows {
            let lacking = call(lab, &conf("1.1.0", &json!({ "type": "static" }), &over));
            let told = lacking.env("CNI_ARGS", args).verb("ADD").run().failed(code);
            assert!(told.contains(says) && told.contains(hint), "{told}");
        }
    });
}

#[test]
fn a_default_prefix_is_that_of_addresses_without_one() {
    in_lab(LINKSPAN, |lab| {
        let with_prefix = json!({ "type": "static", "defaultPrefix": 20, "defaultPrefix6": 60 });
        let over = json!({ "runtimeConfig": { "ips": ["fd00::9", "10.9.9.9"] } });
        let result = call(lab, &conf("1.1.0", &with_prefix, &over)).add();
        let given: Vec<_> = result["ips"]
            .as_array()
            .unwrap()
            .iter()
            .map(|ip| &ip["address"])
            .collect();
        assert_eq!(given, ["fd00::9/60", "10.9.9.9/20"]);
        let broken = json!({ "type": "static", "defaultPrefix": 33 });
        let status = call(lab, &conf("1.1.0", &broken, &json!({}))).verb("STATUS");
        assert!(
            status
                .run()
                .failed(7)
                .contains("ipam.defaultPrefix is more than 32")
        );
    });
}

#[test]
fn a_gateway_stays_with_its_address_and_a_repeated_address_is_one() {
    in_lab(LINKSPAN, |lab| {
        let over = json!({ "args": { "cni": { "ips": ["10.10.0.1/24", "10.10.0.9/24", "10.10.0.9/24"] } } });
        let result = call(lab, &conf("1.1.0", &two(), &over)).add();
        let first = json!({ "address": "10.10.0.1/24", "gateway": "10.10.0.254" });
        assert_eq!(result["ips"], json!([first, { "address": "10.10.0.9/24" }]));
    });
}

#[test]
fn check_compares_gateways_and_needs_a_previous_result() {
    in_lab(LINKSPAN, |lab| {
        let pod = call(lab, &conf("1.1.0", &two(), &json!({})));
        let told = pod.clone().verb("CHECK").run().failed(7);
        assert!(told.contains("Required prevResult missing"), "{told}");
        let mut result = pod.add();
        result["ips"][0]["gateway"] = json!("10.10.0.9");
        let told = pod.after(&result).verb("CHECK").run().failed(999);
        assert!(
            told.starts_with("static: Failed to match addr 10.10.0.1 on interface eth0"),
            "{told}"
        );
        result["ips"].as_array_mut().unwrap().remove(0);
        pod.check(&result);
        // DEL and GC need no key of the configuration.
        let nonsense = call(
            lab,
            &conf(
                "1.1.0",
                &json!({ "addresses": 7 }),
                &json!({ "cni.dev/valid-attachments": [] }),
            ),
        );
        for verb in ["DEL", "GC"] {
            nonsense
                .clone()
                .verb(verb)
                .env("CNI_ARGS", "x")
                .run()
                .succeeded();
        }
    });
}

/// The routes in the sandbox, as `ip` shows them, without those of the kernel.
fn routes_shown(sandbox: &Sandbox) -> Option<Vec<Value>> {
    let ip = skip::without("ip")?;
    let shown = |family: &str| {
        let args = [family, "-j", "-d", "route", "show", "table", "all"];
        let call = Call::new(&ip).args(&args);
        let run = sandbox.netns.scope(|| call.run()).unwrap();
        let routes: Value = serde_json::from_str(run.succeeded()).unwrap();
        routes.as_array().unwrap().clone()
    };
    let mut all = shown("-4");
    all.extend(shown("-6"));
    all.retain(|route| route["protocol"] != "kernel");
    Some(all)
}

#[test]
fn each_key_of_a_route_ends_in_the_kernel() {
    in_lab(LINKSPAN, |lab| {
        let ipam = json!({
            "type": "static",
            "addresses": [
                { "address": "10.1.0.7/16", "gateway": "10.1.0.1" },
                { "address": "fd00:1::7/64", "gateway": "fd00:1::1" },
            ],
            "routes": [
                { "dst": "192.0.2.0/24", "table": 77, "priority": 5, "mtu": 1400, "advmss": 1300 },
                { "dst": "198.51.100.0/24", "gw": "10.1.0.9", "table": 100_000, "priority": 9 },
                { "dst": "203.0.113.0/24", "scope": 253 },
                { "dst": "2001:db8::/32", "table": 77, "priority": 5, "mtu": 1400, "advmss": 1300 },
            ],
        });
        let sandbox = lab.sandbox();
        let over = json!({ "ipam": ipam, "isDefaultGateway": false, "isGateway": true });
        let pod = lab
            .plugin("bridge")
            .of("pod", &sandbox)
            .conf(&bridge(lab, &over));
        let result = pod.add();
        pod.check(&result);
        let Some(shown) = routes_shown(&sandbox) else {
            return;
        };
        let find = |dst: &str| shown.iter().find(|route| route["dst"] == dst).unwrap();
        for (dst, gateway) in [("192.0.2.0/24", "10.1.0.1"), ("2001:db8::/32", "fd00:1::1")] {
            let route = find(dst);
            assert_eq!(route["gateway"], gateway);
            assert_eq!(route["table"], "77");
            assert_eq!(route["metric"], 5);
            assert_eq!(
                route["metrics"][0],
                json!({ "mtu": 1400, "advmss": 1300 }),
                "{route}"
            );
        }
        let route = find("198.51.100.0/24");
        assert_eq!(
            (&route["gateway"], &route["table"], &route["metric"]),
            (&json!("10.1.0.9"), &json!("100000"), &json!(9))
        );
        let route = find("203.0.113.0/24");
        assert_eq!(
            (route.get("gateway"), &route["scope"]),
            (None, &json!("link"))
        );
        pod.del();
    });
}

#[test]
fn two_hundred_and_fifty_six_addresses_are_all_on_the_interface() {
    in_lab(LINKSPAN, |lab| {
        let many: Vec<String> = (0..256)
            .map(|n| format!("10.1.{}.{}/16", 1 + n / 128, 1 + n % 128))
            .collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let sandbox = lab.sandbox();
        let over = json!({ "ipam": fixed(&many), "isDefaultGateway": false });
        let pod = lab
            .plugin("bridge")
            .of("pod", &sandbox)
            .conf(&bridge(lab, &over));
        let result = pod.add();
        pod.check(&result);
        let eth0 = sandbox.rtnl().link_by_name("eth0").unwrap().unwrap();
        let mut there: Vec<_> = eth0
            .addrs(None)
            .unwrap()
            .into_iter()
            .map(|addr| addr.ip)
            .collect();
        there.retain(IpAddr::is_ipv4);
        there.sort();
        assert_eq!(there, addresses(&result));
        pod.del();
    });
}

/// An older Go suite prints an empty `dns`.
fn but_for_empty_dns(mut result: Value) -> Value {
    let members = result.as_object_mut().unwrap();
    members.retain(|key, value| key != "dns" || *value != json!({}));
    result
}

#[test]
fn the_go_plugin_prints_the_same_and_checks_ours() {
    in_lab(LINKSPAN, |lab| {
        let Some(go) = go_plugins("static") else {
            return;
        };
        let bin = lab.bin();
        for (over, args, _) in sources() {
            for version in ["0.3.1", "0.4.0", "1.0.0"] {
                let conf = conf(version, &json!({}), &over);
                let calls =
                    [go, bin.as_path()].map(|dir| call_in(lab, dir, &conf).env("CNI_ARGS", args));
                let printed = calls.clone().map(|call| but_for_empty_dns(call.add()));
                assert_eq!(printed[0], printed[1], "{conf} {args}");
                let [_, result] = printed;
                for call in calls {
                    if version >= "0.4.0" {
                        call.check(&result);
                    }
                    call.after(&result).del();
                }
            }
        }
    });
}
