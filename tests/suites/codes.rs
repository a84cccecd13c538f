//! Common answers of every plugin: VERSION, and each code of the spec's table that a plugin can produce.
//!
//! Codes 2 and 3 are for the runtime only: these plugins do not return them. Code 11 is tested with a held lock, in
//! the suite of the store of `host-local`.
#![expect(
    clippy::disallowed_methods,
    reason = "a test gives a process a broken input"
)]

use std::fs::File;
use std::process::{Command, Stdio};

use linkspan_harness::call::Call;
use linkspan_harness::conf::{bridge, host_local, with};
use linkspan_harness::forks;
use linkspan_harness::lab::{Lab, PLUGINS, in_lab};
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");
const VERSIONS: [&str; 7] = [
    "0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0",
];

/// A call that passes every check before the plugin's own.
fn call(lab: &Lab, plugin: &str, verb: &str) -> Call {
    let conf = json!({ "cniVersion": "1.1.0", "name": "net", "type": plugin });
    lab.plugin(plugin)
        .verb(verb)
        .env("CNI_CONTAINERID", "c")
        .env("CNI_IFNAME", "eth0")
        .netns("/nonexistent")
        .conf(&conf)
}

/// For each plugin, an answer with `code` and the text `expected`.
fn each(code: u64, expected: &str, make: impl Fn(&Lab, &str) -> Call + Sync) {
    in_lab(LINKSPAN, |lab| {
        for plugin in PLUGINS {
            let told = make(lab, plugin).run().failed(code);
            assert!(told.contains(expected), "{plugin}: {told}");
        }
    });
}

#[test]
fn every_plugin_answers_version_without_an_input() {
    in_lab(LINKSPAN, |lab| {
        let expected = json!({ "cniVersion": "1.1.0", "supportedVersions": VERSIONS });
        for plugin in PLUGINS {
            let told = lab.plugin(plugin).verb("VERSION").stdin(b"{").run();
            assert_eq!(told.succeeded().matches('\n').count(), 1, "{plugin}");
            assert_eq!(told.json(), expected, "{plugin}");
        }
    });
}

#[test]
fn gc_without_a_list_collects_nothing_and_says_why() {
    in_lab(LINKSPAN, |lab| {
        for plugin in PLUGINS {
            let run = call(lab, plugin, "GC").run();
            assert_eq!(run.succeeded(), "", "{plugin}");
            let why = ": GC collected nothing: the configuration has no cni.dev/valid-attachments, \
                       which names the attachments to keep\n";
            let name = run.stderr.strip_suffix(why);
            // `veth` is another name of `ptp`.
            assert_eq!(name, Some(plugin.replace("veth", "ptp").as_str()));
        }
    });
}

#[test]
fn code_1_a_version_that_nobody_speaks() {
    each(
        1,
        "incompatible CNI versions; config is \"9.9.9\"",
        |lab, plugin| {
            call(lab, plugin, "ADD").conf(&json!({ "cniVersion": "9.9.9", "name": "net" }))
        },
    );
}

#[test]
fn code_1_a_verb_that_the_version_does_not_have() {
    for (verb, older) in [("CHECK", "0.3.1"), ("GC", "1.0.0"), ("STATUS", "1.0.0")] {
        let expected = format!("config version does not allow {verb}");
        each(1, &expected, |lab, plugin| {
            call(lab, plugin, verb).conf(&json!({ "cniVersion": older, "name": "net" }))
        });
    }
}

#[test]
fn code_4_a_variable_that_is_missing_or_invalid() {
    each(
        4,
        "required env variables [CNI_IFNAME,CNI_PATH] missing",
        |lab, plugin| {
            call(lab, plugin, "DEL")
                .without("CNI_PATH")
                .without("CNI_IFNAME")
        },
    );
    each(
        4,
        "invalid characters in containerID; ../c",
        |lab, plugin| call(lab, plugin, "ADD").env("CNI_CONTAINERID", "../c"),
    );
    each(4, "interface name is too long", |lab, plugin| {
        call(lab, plugin, "CHECK").env("CNI_IFNAME", "0123456789abcdef")
    });
    each(4, "unknown CNI_COMMAND: add", |lab, plugin| {
        call(lab, plugin, "add")
    });
}

#[test]
fn code_4_arguments_that_cannot_be() {
    in_lab(LINKSPAN, |lab| {
        let conf = bridge(lab, &json!({}));
        let add = |args: &str| {
            let sandbox = lab.sandbox();
            let call = lab.plugin("bridge").of("c", &sandbox).conf(&conf);
            call.verb("ADD").env("CNI_ARGS", args).run().failed(4)
        };
        assert!(add("A").contains("invalid pair number 1"));
        assert!(add("A=1").contains("unknown args"));
        assert!(add("IgnoreUnknown=1;IP=x").contains("pair \"IP\": invalid IP address"));
    });
}

#[test]
fn code_5_an_input_that_cannot_be_read() {
    in_lab(LINKSPAN, |lab| {
        for plugin in PLUGINS {
            let mut command = Command::new(lab.bin().join(plugin));
            command
                .envs([("CNI_COMMAND", "STATUS"), ("CNI_PATH", "/")])
                .stdin(Stdio::from(File::open("/").unwrap()))
                .stdout(Stdio::piped());
            let child = forks::start(&mut command).unwrap();
            let output = child.wait_with_output().unwrap();
            let error: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(
                (output.status.code(), &error["code"]),
                (Some(1), &json!(5)),
                "{plugin}"
            );
            let told = error["msg"].as_str().unwrap();
            assert!(told.starts_with("error reading from stdin: "), "{told}");
        }
    });
}

#[test]
fn code_6_what_cannot_be_decoded() {
    for input in ["", "{", "[]", r#"{"name":7}"#, r#"{"name":"n"} x"#] {
        each(6, "error unmarshall network config: ", |lab, plugin| {
            call(lab, plugin, "DEL").stdin(input.as_bytes())
        });
    }
    for (mark, told) in [(&b"\xef\xbb\xbf"[..], "(UTF-8)"), (b"\xff\xfe", "(UTF-16)")] {
        let expected =
            format!("begins with a byte order mark {told}; hint: save the file as UTF-8");
        each(6, &expected, |lab, plugin| {
            call(lab, plugin, "DEL").stdin(&[mark, b"{}"].concat())
        });
    }
    each(
        6,
        "failed to convert major version part \"x\"",
        |lab, plugin| call(lab, plugin, "CHECK").conf(&json!({ "cniVersion": "x", "name": "net" })),
    );
    in_lab(LINKSPAN, |lab| {
        let conf = bridge(lab, &json!({ "mtu": "1500" }));
        let told = call(lab, "bridge", "STATUS").conf(&conf).run().failed(6);
        assert!(told.contains("failed to load netconf: mtu: "), "{told}");
        let sandbox = lab.sandbox();
        let conf = bridge(lab, &json!({ "prevResult": [] }));
        let check = lab
            .plugin("bridge")
            .of("c", &sandbox)
            .conf(&conf)
            .verb("CHECK");
        let told = check.run().failed(6);
        assert!(told.starts_with("could not parse prevResult: "), "{told}");
    });
}

#[test]
fn code_7_a_configuration_that_cannot_be() {
    for (conf, expected) in [
        (json!({ "cniVersion": "1.1.0" }), "missing network name"),
        (
            json!({ "name": "../n" }),
            "invalid characters found in network name; ../n",
        ),
    ] {
        each(7, expected, |lab, plugin| {
            call(lab, plugin, "ADD").conf(&conf)
        });
    }
    in_lab(LINKSPAN, |lab| {
        for (over, expected) in [
            (json!({ "bridge": "a/b" }), "bridge \"a/b\""),
            (
                json!({ "ipam": { "type": "../x" } }),
                "invalid plugin name: ../x",
            ),
            (
                json!({ "ipam": host_local(lab, &["10.1.0.0/31"]) }),
                "too small",
            ),
        ] {
            let sandbox = lab.sandbox();
            let call = lab.plugin("bridge").of("c", &sandbox);
            let told = call.conf(&bridge(lab, &over)).verb("ADD").run().failed(7);
            assert!(told.contains(expected), "{told}");
        }
    });
}

#[test]
fn code_8_the_namespace_of_the_plugin_itself() {
    let expected = "plugin's netns and netns from CNI_NETNS should not be the same";
    for verb in ["ADD", "DEL"] {
        each(8, expected, |lab, plugin| {
            call(lab, plugin, verb).netns("/proc/self/ns/net")
        });
    }
}

#[test]
fn code_50_an_add_that_could_not_succeed() {
    in_lab(LINKSPAN, |lab| {
        let taken = bridge(lab, &json!({ "bridge": "lo" }));
        let told = call(lab, "bridge", "STATUS").conf(&taken).run().failed(50);
        assert!(
            told.contains("\"lo\" already exists but is not a bridge"),
            "{told}"
        );

        let ipam = with(
            host_local(lab, &[]),
            &json!({ "ranges": [[{
            "subnet": "10.1.0.0/24", "rangeStart": "10.1.0.1", "rangeEnd": "10.1.0.1" }]] }),
        );
        let full = bridge(lab, &json!({ "ipam": ipam }));
        // Its only address is the gateway's. The bridge relays the error of its IPAM plugin.
        for plugin in ["host-local", "bridge", "ptp"] {
            let told = call(lab, plugin, "STATUS").conf(&full).run().failed(50);
            assert!(told.contains("10.1.0.1"), "{plugin}: {told}");
        }
    });
}

#[test]
fn code_999_what_has_no_code_of_its_own() {
    in_lab(LINKSPAN, |lab| {
        let conf = bridge(lab, &json!({ "ipam": { "type": "missing" } }));
        let sandbox = lab.sandbox();
        let add = lab
            .plugin("bridge")
            .of("c", &sandbox)
            .conf(&conf)
            .verb("ADD");
        let told = add.run().failed(999);
        assert!(
            told.contains("failed to find plugin \"missing\" in path"),
            "{told}"
        );
    });
}
