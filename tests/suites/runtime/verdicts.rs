//! Verdicts of `linkspan validate` on whole files: those of other projects, those with many faults, those that an
//! engine would not read, and those that are judged without privileges.

use linkspan_harness::conf::{bridge, host_local, with};
use linkspan_harness::lab::in_lab;
use linkspan_harness::recorder::Recorder;
use serde_json::{Value, json};

use crate::validate::{told, validate};
use crate::{LINKSPAN, files, linkspan, text};

/// The lists of other projects, unchanged except for values of their templates' variables.
const LISTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/suites/runtime/lists");

#[test]
fn the_lists_of_other_projects_are_accepted_with_notes() {
    in_lab(LINKSPAN, |lab| {
        // Foreign plugins.
        let theirs = ["calico", "cilium-cni", "consul-cni", "dnsname"];
        let recorder = Recorder::new(lab, &theirs);
        let mut names = files(LISTS.as_ref());
        names.sort();
        let expected = [
            "gke-calico",
            "gke",
            "kindnet",
            "kops",
            "kubenet",
            "nerdctl",
            "nomad",
            "podman",
        ];
        assert_eq!(names, expected.map(|name| format!("{name}.conflist")));
        for name in names {
            let file = format!("{LISTS}/{name}");
            let run = recorder
                .watch(linkspan(lab, &["validate", "-v", &file]))
                .run();
            let told: Vec<&str> = run
                .stdout
                .lines()
                .map(|line| &line[file.len() + 2..])
                .collect();
            assert_eq!((run.status, told.last()), (0, Some(&"ok")), "{told:?}");
            let (_ok, notes) = told.split_last().unwrap();
            assert!(
                notes.iter().all(|line| line.starts_with("note: ")),
                "{told:?}"
            );
            let unknown = match &*name {
                "podman.conflist" => "note: args: unknown key",
                "nerdctl.conflist" => {
                    "note: plugins[0] bridge: ipam.ranges[0][0].ipRange: unknown key"
                }
                "kubenet.conflist" => "note: plugins[0] bridge: addIf: unknown key",
                _ => continue,
            };
            assert!(notes.contains(&unknown), "{told:?}");
        }
    });
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    in_lab(LINKSPAN, |lab| {
        let overlap = json!({ "type": "host-local", "dataDir": lab.leases(), "colour": 1,
            "ranges": [[{ "subnet": "10.1.0.0/16" }], [{ "subnet": "10.1.2.0/24" }]] });
        let one = bridge(
            lab,
            &json!({ "isGatway": true, "hairpinMode": "yes",
            "mtu": 4_294_967_296_u64, "ipam": overlap }),
        );
        let misfit = json!({ "type": "host-local", "ranges": [[{ "subnet": 7 }]] });
        let two = json!({ "type": "ptp", "mtu": 4_294_967_296_u64, "ipam": misfit });
        let lost = json!({ "type": "ptp", "ipMasqBackend": "ebtables", "ipMasq": true, "ipam": { "type": "host-locl" } });
        let over = json!({ "disableCheck": 7, "disablegc": true, "name": "a b", "plugins": [one, {}, two, lost] });
        let mut name = over.clone();
        name["name"] = json!("net");
        let problems = |over: &Value| {
            let mut problems = told(lab, over);
            problems.retain(|told| !told.starts_with("note: "));
            problems
        };
        let expected = [
            "invalid type float64 for disableCheck",
            "failed to parse plugin config 1: error parsing configuration: missing 'type'; hint: name the plugin's executable",
            "disablegc: did you mean disableGC?",
            "plugins[0] bridge: hairpinMode: \"yes\" is not true or false",
            "plugins[0] bridge: isGatway: did you mean isGateway?",
            "plugins[0] bridge: range set 0 overlaps with 1",
            "plugins[0] bridge: mtu 4294967296 is more",
            "plugins[2] ptp: ipam.ranges[0][0].subnet: 7 is not a string",
            "plugins[2] ptp: mtu 4294967296 is more",
            "plugins[3] ptp: failed to find plugin \"host-locl\"",
            "plugins[3] ptp (the one in this binary): unknown ipMasqBackend \"ebtables\"",
        ];
        let found = problems(&name);
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{expected}: {found}");
        }
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        assert!(
            told(lab, &name)
                .contains(&"note: plugins[0] bridge: ipam.colour: unknown key".to_owned())
        );
        // A network without a name cannot be sent to plugins.
        let found = problems(&over);
        assert!(
            found.contains(&"invalid characters found in network name; a b".to_owned()),
            "{found:#?}"
        );
        assert!(found.len() == expected.len() - 3, "{found:#?}");
    });
}

#[test]
fn a_file_is_judged_by_its_name_as_engines_take_it() {
    in_lab(LINKSPAN, |lab| {
        let single = bridge(lab, &json!({}));
        let list = json!({ "cniVersion": "1.1.0", "name": "net", "plugins": [single] });
        let both = with(list.clone(), &json!({ "type": "bridge" }));
        let broken = with(
            list.clone(),
            &json!({ "plugins": [{ "type": "bridge", "isGatway": true }] }),
        );
        let not_a_list = "its name does not end with .conflist; hint: rename it: container engines take no other file for a list";
        let not_single = "its name ends neither with .conf nor with .json; hint: rename it: container engines take no other file for a single plugin";
        for (name, conf, says) in [
            ("a.conflist", &list, ""),
            ("a.conf", &single, ""),
            ("a.json", &single, ""),
            ("a.conf", &list, not_a_list),
            ("a.json", &list, not_a_list),
            ("a.conf", &both, not_a_list),
            ("a.CONFLIST", &list, not_a_list),
            ("a.txt", &list, not_a_list),
            ("a.Conf", &single, not_single),
            ("a.JSON", &single, not_single),
        ] {
            let run = validate(lab, name, &conf.to_string()).run();
            assert_eq!(
                (run.status == 0, run.stdout.contains(says)),
                (says.is_empty(), true),
                "{name}: {}",
                run.stdout
            );
            // `install` reports the same about a list.
            if says == not_a_list {
                let file = text(&lab.dir().join(name));
                let node = text(&lab.dir().join("node"));
                let run = linkspan(lab, &["install", "-p", &node, "--conflist", &file]).run();
                assert!(
                    run.status == 1 && run.stderr.contains("its name does not end with .conflist")
                );
                assert!(!lab.dir().join("node").exists());
            }
        }
        // The rest is judged under any name; a pipe's name is not judged.
        let run = validate(lab, "a.conf", &broken.to_string()).run();
        assert!(
            run.stdout
                .contains("plugins[0] bridge: isGatway: did you mean isGateway?"),
            "{}",
            run.stdout
        );
        let run = validate(lab, "a", &list.to_string()).args(&["-v"]).run();
        assert!(
            run.succeeded().contains("note: its name has no extension"),
            "{}",
            run.stdout
        );
        // A list without plugins, and a single plugin without its type.
        for (name, says) in [
            (
                "a.conflist",
                "no plugin configs found; hint: give net a list of plugins",
            ),
            (
                "a.conf",
                "missing 'type'; hint: name the plugin's executable under \"type\"",
            ),
        ] {
            let run = validate(lab, name, r#"{"cniVersion":"1.0.0","name":"net"}"#).run();
            assert!(
                run.status == 1 && run.stdout.contains(says),
                "{}",
                run.stdout
            );
        }
    });
}

#[test]
fn values_are_judged_without_any_rights() {
    in_lab(LINKSPAN, |lab| {
        let ranges = |subnet: &str| {
            let ipam = host_local(lab, &["10.1.0.0/16", subnet]);
            let bridge = bridge(lab, &json!({ "ipam": ipam }));
            let ptp = json!({ "type": "ptp", "ipam": ipam });
            json!({ "cniVersion": "1.1.0", "name": "net", "plugins": [bridge, ptp] })
        };
        // As the init container of the DaemonSet: root without capabilities.
        let bare = ["setpriv", "--bounding-set", "-all"];
        let file = text(&lab.dir().join("a.conflist"));
        let node = text(&lab.dir().join("node/bin"));
        let net_d = text(&lab.dir().join("node/net.d"));
        let install = || {
            let args = [
                "install",
                "-p",
                &node,
                "--conflist",
                &file,
                "--net-dir",
                &net_d,
            ];
            linkspan(lab, &args).under(&bare).run()
        };
        let run = validate(
            lab,
            "a.conflist",
            &ranges("fd4c:7e2a:91b3::/640").to_string(),
        )
        .under(&bare)
        .run();
        for place in ["plugins[0] bridge", "plugins[1] ptp"] {
            let says = format!("{place}: ");
            let told = run
                .stdout
                .lines()
                .filter(|line| line.contains(&says) && line.contains("fd4c:7e2a:91b3::/640"));
            assert_eq!(told.count(), 1, "{}", run.stdout);
        }
        assert_eq!(run.status, 1);
        let refused = install();
        assert!(
            refused.status == 1 && refused.stderr.contains("fd4c:7e2a:91b3::/640"),
            "{}",
            refused.stderr
        );
        assert!(!lab.dir().join("node").exists());
        // An installer without the rights to attach installs a valid list.
        let run = validate(
            lab,
            "a.conflist",
            &ranges("fd4c:7e2a:91b3::/64").to_string(),
        )
        .args(&["-v"])
        .under(&bare)
        .run();
        assert!(
            run.succeeded()
                .contains("note: plugins[0] bridge: this process lacks CAP_"),
            "{}",
            run.stdout
        );
        install().succeeded();
        assert_eq!(files(net_d.as_ref()), ["a.conflist"]);
    });
}
