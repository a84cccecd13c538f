//! Attempts by hand, on each plugin alone: one error object, the right code, a message that names the thing, and the
//! host, the container and the leases unchanged.
#![expect(clippy::disallowed_methods, reason = "a test executes a plugin itself")]

use std::fs::File;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use linkspan_harness::call::Call;
use linkspan_harness::forks;
use linkspan_harness::lab::{PLUGINS, in_lab};
use linkspan_harness::thorough::sample;
use linkspan_harness::trial::Trial;
use serde_json::{Value, json};

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");
const VERSIONS: [&str; 7] = [
    "0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0",
];

/// An everyday run takes one of so many rows for each plugin, and others for the next plugin.
const SELDOM: usize = 3;

#[test]
fn what_is_no_configuration_is_told_so() {
    let undecodable = "error unmarshall network config: ";
    let rows: [(&str, u64, &str); 12] = [
        ("", 6, undecodable),
        ("{", 6, undecodable),
        ("name=net", 6, undecodable),
        (r#"{"name":"net"} x"#, 6, undecodable),
        (r#"["net"]"#, 6, undecodable),
        (r#"{"name":5}"#, 6, "name"),
        (r#"{"name":"net","cniVersion":1}"#, 6, "cniVersion"),
        ("null", 7, "missing network name"),
        ("{}", 7, "missing network name"),
        (r#"{"name":""}"#, 7, "missing network name"),
        (r#"{"name":"a/b"}"#, 7, "network name; a/b"),
        (r#"{"name":"../net"}"#, 7, "network name; ../net"),
    ];
    in_lab(LINKSPAN, |lab| {
        let trial = Trial::new(lab);
        for (nth, plugin) in PLUGINS.iter().enumerate() {
            for (stdin, code, says) in sample(rows.into_iter(), nth, SELDOM) {
                for verb in ["ADD", "DEL", "CHECK", "STATUS", "GC", "FOO"] {
                    let call = trial.call(plugin, verb, &json!({}));
                    trial.refused(&call.stdin(stdin.as_bytes()), code, says);
                }
            }
        }
    });
}

#[test]
fn missing_variables_are_named_for_each_verb() {
    let everything: [(&str, &[&str]); 5] = [
        (
            "ADD",
            &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"],
        ),
        ("DEL", &["CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"]),
        (
            "CHECK",
            &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"],
        ),
        ("GC", &["CNI_PATH"]),
        ("STATUS", &["CNI_PATH"]),
    ];
    let missing = |names: &str| format!("required env variables [{names}] missing");
    in_lab(LINKSPAN, |lab| {
        let trial = Trial::new(lab);
        for (nth, plugin) in PLUGINS.iter().enumerate() {
            for (verb, required) in sample(everything.into_iter(), nth, SELDOM) {
                let call = trial.call(plugin, verb, &json!({}));
                for name in required {
                    trial.refused(&call.clone().without(name), 4, &missing(name));
                    trial.refused(&call.clone().env(name, ""), 4, &missing(name));
                }
                let bare = required
                    .iter()
                    .fold(call, |call, name| call.without(name))
                    .stdin(b"not even looked at");
                trial.refused(&bare, 4, &missing(&required.join(",")));
            }
        }
    });
}

#[test]
fn bad_names_and_unknown_commands_are_refused() {
    let letters = "interface name contains / or : or whitespace characters";
    let rows = [
        ("CNI_CONTAINERID", "a/b", "characters in containerID; a/b"),
        ("CNI_CONTAINERID", "../pod", "containerID; ../pod"),
        ("CNI_CONTAINERID", "-pod", "containerID; -pod"),
        ("CNI_CONTAINERID", "a pod", "containerID; a pod"),
        ("CNI_CONTAINERID", "é", "containerID; é"),
        ("CNI_IFNAME", "sixteen_letters_", "less than 16 characters"),
        ("CNI_IFNAME", ".", "interface name is . or .."),
        ("CNI_IFNAME", "..", "interface name is . or .."),
        ("CNI_IFNAME", "a/b", letters),
        ("CNI_IFNAME", "a:b", letters),
        ("CNI_IFNAME", "a b", letters),
        ("CNI_IFNAME", "a\tb", letters),
    ];
    in_lab(LINKSPAN, |lab| {
        let trial = Trial::new(lab);
        for (nth, plugin) in PLUGINS.iter().enumerate() {
            for (name, value, says) in sample(rows.into_iter(), nth, SELDOM) {
                for verb in ["ADD", "DEL", "CHECK"] {
                    let call = trial.call(plugin, verb, &json!({}));
                    trial.refused(&call.env(name, value), 4, says);
                }
            }
            for verb in ["FOO", "add", "ADD "] {
                let call = trial.call(plugin, verb, &json!({}));
                trial.refused(&call, 4, &format!("unknown CNI_COMMAND: {}", verb.trim()));
            }
        }
    });
}

#[test]
fn a_version_that_does_not_fit_the_verb_is_refused() {
    let supported = r#"plugin supports ["0.1.0" "0.2.0" "0.3.0" "0.3.1" "0.4.0" "1.0.0" "1.1.0"]"#;
    let unknown = |version: &str| format!("config is \"{version}\", {supported}");
    in_lab(LINKSPAN, |lab| {
        let trial = Trial::new(lab);
        for (nth, plugin) in PLUGINS.iter().enumerate() {
            let of = |verb: &str, version: &str| {
                trial.call(plugin, verb, &json!({ "cniVersion": version }))
            };
            let unfit = ["9.9.9", "1.1", "0.5.0", "v1.0.0", "abc"];
            for version in sample(unfit.into_iter(), nth, SELDOM) {
                for verb in ["ADD", "DEL"] {
                    trial.refused(&of(verb, version), 1, &unknown(version));
                }
            }
            let before = [("CHECK", "0.3.1"), ("GC", "1.0.0"), ("STATUS", "1.0.0")];
            for (verb, old) in sample(before.into_iter(), nth, SELDOM) {
                let says = format!("config version does not allow {verb}");
                trial.refused(&of(verb, old), 1, &says);
                trial.refused(&of(verb, ""), 1, &says);
                let says = format!("plugin version does not allow {verb}");
                trial.refused(&of(verb, "9.9.9"), 1, &says);
                trial.refused(&of(verb, "abc"), 6, "abc");
            }
            trial.refused(&of("CHECK", "0.5.0"), 1, &unknown("0.5.0"));
        }
    });
}

#[test]
fn input_that_cannot_be_read_is_an_error_of_its_own() {
    in_lab(LINKSPAN, |lab| {
        for plugin in PLUGINS {
            let directory = File::open(lab.dir()).unwrap();
            let mut command = Command::new(lab.bin().join(plugin));
            command
                .env_clear()
                .envs([("CNI_COMMAND", "STATUS"), ("CNI_PATH", "/nowhere")])
                .stdin(directory)
                .stdout(Stdio::piped());
            let child = forks::start(&mut command).unwrap();
            let output = child.wait_with_output().unwrap();
            let error: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(
                (output.status.code(), error["code"].as_u64()),
                (Some(1), Some(5))
            );
            let message = error["msg"].as_str().unwrap();
            assert!(
                message.starts_with("error reading from stdin: "),
                "{message}"
            );
        }
    });
}

#[test]
fn without_a_command_a_plugin_introduces_itself() {
    in_lab(LINKSPAN, |lab| {
        for plugin in PLUGINS {
            // Called by hand, without variables and input.
            let about = Call::new(&lab.bin().join(plugin)).run();
            assert_eq!(about.succeeded(), "");
            let lines: Vec<&str> = about.stderr.lines().collect();
            let [name, versions] = lines[..] else {
                panic!("{lines:?}");
            };
            let type_name = if *plugin == "veth" { "ptp" } else { plugin };
            // nerdctl reads the rest of the line as a semantic version, of at least 1.7.1.
            let release = env!("CARGO_PKG_VERSION");
            let line = format!("CNI {type_name} plugin v1.9.1+linkspan.{release}");
            assert_eq!(name, line);
            let list = VERSIONS.join(", ");
            assert_eq!(versions, format!("CNI protocol versions supported: {list}"));
        }
    });
}

#[test]
fn version_needs_no_configuration_and_no_other_variable() {
    let list = VERSIONS.map(|version| format!("\"{version}\"")).join(",");
    let expected = format!("{{\"cniVersion\":\"1.1.0\",\"supportedVersions\":[{list}]}}\n");
    in_lab(LINKSPAN, |lab| {
        for plugin in PLUGINS {
            for stdin in ["", "{", r#"{"cniVersion":"0.3.1"}"#] {
                let call = Call::new(&lab.bin().join(plugin)).stdin(stdin.as_bytes());
                assert_eq!(call.verb("VERSION").run().succeeded(), expected);
            }
        }
    });
}

#[test]
fn under_a_strange_name_the_bundle_lists_those_that_it_has() {
    in_lab(LINKSPAN, |lab| {
        let trial = Trial::new(lab);
        for name in ["bridge2", "BRIDGE", "my-bridge"] {
            symlink(LINKSPAN, lab.bin().join(name)).unwrap();
            let call = lab.plugin(name).verb("ADD");
            let says = format!("\"{name}\" is not a plugin of this binary; hint: ");
            trial.refused(&call, 999, &says);
            trial.refused(&call, 999, ", bridge, dhcp, ");
        }
    });
}
