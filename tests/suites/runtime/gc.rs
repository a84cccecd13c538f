//! GC and STATUS of a list, as its plugins see them.

use std::fs;

use linkspan_harness::call::Call;
use linkspan_harness::conf::{bridge, with};
use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::recorder::Recorder;
use serde_json::{Value, json};

use crate::{LINKSPAN, files, linkspan, net_dir, remembered, text};

/// A list of recorders, in a file of its name.
pub(crate) fn list(lab: &Lab, name: &str, over: &Value) {
    let dir = lab.dir().join("net.d");
    fs::create_dir_all(&dir).unwrap();
    let plugins = json!([{ "type": "first" }, { "type": "second" }]);
    let base = json!({ "cniVersion": "1.1.0", "name": name, "plugins": plugins });
    let file = dir.join(format!("{name}.conflist"));
    fs::write(file, with(base, over).to_string()).unwrap();
}

fn recorder(lab: &Lab) -> Recorder {
    Recorder::new(lab, &["first", "second"])
}

/// ADD of `container` with an existing namespace, or with one that is gone.
fn add(lab: &Lab, recorder: &Recorder, network: &str, container: &str, alive: bool) {
    let netns = if alive {
        "/proc/self/ns/net".to_owned()
    } else {
        text(&lab.dir().join("gone"))
    };
    let args = ["add", network, &netns, "--container-id", container];
    let call = linkspan(lab, &args).env("CNI_ARGS", "A=1");
    recorder.watch(call).run().succeeded();
    recorder.calls();
}

fn gc(lab: &Lab, recorder: &Recorder, args: &[&str]) -> Call {
    recorder.watch(linkspan(lab, &[&["gc", "net"], args].concat()))
}

#[test]
fn what_is_gone_is_detached_and_what_lives_is_told_to_every_plugin() {
    in_lab(LINKSPAN, |lab| {
        let recorder = recorder(lab);
        list(lab, "net", &json!({}));
        list(lab, "net-2", &json!({}));
        for (network, container, alive) in [
            ("net", "c1", true),
            ("net", "c2", false),
            ("net", "c3", false),
            ("net-2", "c4", false),
        ] {
            add(lab, &recorder, network, container, alive);
        }
        let told = gc(lab, &recorder, &["--keep", "c3/eth0"]).run();
        assert_eq!(told.succeeded(), "deleted c2 eth0\n");
        let calls = recorder.calls();
        let seen: Vec<_> = calls.iter().map(|c| (&c["verb"], &c["as"])).collect();
        let expected = [
            ("DEL", "second"),
            ("DEL", "first"),
            ("GC", "first"),
            ("GC", "second"),
        ]
        .map(|(verb, name)| (json!(verb), json!(name)));
        assert_eq!(
            seen,
            expected.iter().map(|(v, n)| (v, n)).collect::<Vec<_>>()
        );
        // DEL has the ADD's arguments and result.
        assert_eq!(calls[0]["container"], "c2");
        assert_eq!(calls[0]["args"], "A=1");
        assert_eq!(calls[0]["netns"], text(&lab.dir().join("gone")));
        assert_eq!(calls[0]["conf"]["prevResult"]["dns"]["domain"], "second");
        // GC names no attachment.
        let valid = json!([
            { "containerID": "c1", "ifname": "eth0" },
            { "containerID": "c3", "ifname": "eth0" },
        ]);
        for call in &calls[2..] {
            let conf = &call["conf"];
            assert_eq!((&conf["name"], &conf["type"]), (&json!("net"), &call["as"]));
            assert_eq!(
                conf["cni.dev/attachments"],
                conf["cni.dev/valid-attachments"]
            );
            for id in conf["cni.dev/attachments"].as_array().unwrap() {
                assert!(valid.as_array().unwrap().contains(id), "{id}");
            }
            for key in ["container", "ifname", "netns", "args"] {
                assert_eq!(call[key], "", "{key}");
            }
        }
        let left: Vec<String> = remembered(lab);
        assert_eq!(left.len(), 3, "{left:?}");
        assert!(left.contains(&"net-2-c4-eth0".to_owned()), "{left:?}");
        // The second time changes nothing.
        let again = gc(lab, &recorder, &["--keep", "c3/eth0"]).run();
        assert_eq!(again.succeeded(), "");
        assert_eq!(recorder.verbs(), ["GC first", "GC second"]);
    });
}

#[test]
fn attachments_that_are_told_to_be_gone_are_detached_alone() {
    in_lab(LINKSPAN, |lab| {
        let recorder = recorder(lab);
        list(lab, "net", &json!({}));
        for (container, alive) in [("c1", true), ("c2", false), ("c3", false)] {
            add(lab, &recorder, "net", container, alive);
        }
        // The last one has no entry: its ADD was killed.
        let args = ["--gone", "c1/eth0", "--gone", "c4/eth1"];
        let told = gc(lab, &recorder, &args).run();
        assert_eq!(told.succeeded(), "deleted c1 eth0\ndeleted c4 eth1\n");
        let calls = recorder.calls();
        let seen: Vec<String> = calls
            .iter()
            .map(|call| {
                ["verb", "as", "container", "netns", "args"]
                    .map(|key| call[key].as_str().unwrap())
                    .join(" ")
            })
            .collect();
        let expected = [
            "DEL second c1 /proc/self/ns/net A=1",
            "DEL first c1 /proc/self/ns/net A=1",
            "DEL second c4  ",
            "DEL first c4  ",
        ];
        assert_eq!(seen, expected);
        assert_eq!(remembered(lab), ["net-c2-eth0", "net-c3-eth0"]);
        let told = gc(lab, &recorder, &["--gone", "c2"]).run();
        assert_eq!(told.status, 1);
        let both = ["--gone", "c2/eth0", "--keep", "c3/eth0"];
        assert_eq!(gc(lab, &recorder, &both).run().status, 2);
        assert_eq!(recorder.verbs(), [""; 0]);
        // A list that disables GC disables this, too.
        list(lab, "net", &json!({ "disableGC": true }));
        gc(lab, &recorder, &["--gone", "c2/eth0"]).run().succeeded();
        assert_eq!(recorder.verbs(), [""; 0]);
    });
}

#[test]
fn a_list_may_forbid_gc_or_be_too_old_for_it() {
    in_lab(LINKSPAN, |lab| {
        let recorder = recorder(lab);
        list(lab, "net", &json!({ "disableGC": "True" }));
        add(lab, &recorder, "net", "c1", false);
        assert!(
            gc(lab, &recorder, &[])
                .run()
                .succeeded()
                .contains("disableGC")
        );
        assert_eq!(recorder.verbs(), [""; 0]);
        assert_eq!(remembered(lab), ["net-c1-eth0"]);

        list(lab, "net", &json!({ "cniVersion": "0.4.0" }));
        gc(lab, &recorder, &[]).run().succeeded();
        assert_eq!(recorder.verbs(), ["DEL second c1", "DEL first c1"]);
        assert_eq!(remembered(lab), [""; 0]);
    });
}

#[test]
fn gc_goes_on_after_a_failure_and_tells_each() {
    in_lab(LINKSPAN, |lab| {
        let recorder = recorder(lab);
        list(lab, "net", &json!({}));
        add(lab, &recorder, "net", "c1", false);
        let fails = "DEL:second:11 GC:first:7";
        let told = gc(lab, &recorder, &[]).env("RECORDER_FAILS", fails).run();
        assert_eq!(told.status, 1);
        for complaint in [
            "failed to delete stale attachment c1 eth0: plugin type=\"second\" failed (delete): told to fail",
            "failed to GC plugin first: told to fail",
        ] {
            assert!(told.stderr.contains(complaint), "{}", told.stderr);
        }
        let verbs = ["DEL second c1", "DEL first c1", "GC first", "GC second"];
        assert_eq!(recorder.verbs(), verbs);
        assert_eq!(remembered(lab), ["net-c1-eth0"]);
    });
}

#[test]
fn what_could_be_alive_is_not_collected() {
    in_lab(LINKSPAN, |lab| {
        let recorder = recorder(lab);
        list(lab, "net", &json!({}));
        add(lab, &recorder, "net", "c1", false);
        let results = lab.dir().join("cache/results");
        // Older runtimes do not remember the namespace.
        let path = results.join("net-c1-eth0");
        let mut entry: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        entry.as_object_mut().unwrap().remove("netns");
        fs::write(&path, entry.to_string()).unwrap();
        assert_eq!(gc(lab, &recorder, &[]).run().succeeded(), "");
        assert_eq!(recorder.verbs(), ["GC first", "GC second"]);
        // A broken entry of this network is an error; one of another network is ignored.
        fs::write(results.join("other-c1-eth0"), "{").unwrap();
        gc(lab, &recorder, &[]).run().succeeded();
        fs::write(results.join("net-c2-eth0"), "{").unwrap();
        recorder.calls();
        let refused = gc(lab, &recorder, &[]).run();
        assert_eq!(refused.status, 1);
        assert!(refused.stderr.contains("net-c2-eth0"), "{}", refused.stderr);
        assert_eq!(recorder.verbs(), [""; 0]);
        let bad = gc(lab, &recorder, &["--keep", "c1"]).run();
        assert_eq!(bad.status, 1);
        assert_eq!(files(&results).len(), 3);
    });
}

#[test]
fn status_is_that_of_the_first_plugin_that_is_not_ready() {
    in_lab(LINKSPAN, |lab| {
        let recorder = recorder(lab);
        list(lab, "net", &json!({}));
        let status = || recorder.watch(linkspan(lab, &["status", "net"]));
        let run = status().run();
        let lines: Vec<&str> = run.succeeded().lines().collect();
        let path = |name: &str| format!("  {name}: {}/{name}", text(&lab.bin()));
        let expected = [
            "net: ready (first, second)",
            &path("first"),
            &path("second"),
        ];
        assert_eq!(lines, expected);
        let calls = recorder.calls();
        assert_eq!(calls.len(), 2);
        let conf =
            json!({ "cniVersion": "1.1.0", "name": "net", "type": "first", "strictStatus": true });
        assert_eq!(calls[0]["conf"], conf);
        assert_eq!(
            (&calls[0]["verb"], &calls[0]["container"]),
            (&json!("STATUS"), &json!(""))
        );

        let told = status().env("RECORDER_FAILS", "STATUS:first:50").run();
        assert_eq!(told.status, 1);
        assert_eq!(told.stderr, "linkspan: told to fail\n  by the test\n");
        assert_eq!(recorder.verbs(), ["STATUS first"]);

        list(lab, "net", &json!({ "cniVersion": "1.0.0" }));
        let told = status().run();
        assert_eq!(told.status, 3);
        assert!(told.stdout.contains("has no STATUS"));
        assert_eq!(recorder.verbs(), [""; 0]);
    });
}

#[test]
fn our_plugins_tell_their_status_through_the_whole_list() {
    in_lab(LINKSPAN, |lab| {
        net_dir(
            lab,
            &json!([bridge(lab, &json!({})), { "type": "loopback" }]),
        );
        linkspan(lab, &["status", "net"]).run().succeeded();
        assert!(lab.rtnl().link_by_name("br0").unwrap().is_none());
        assert_eq!(files(&lab.leases()), [""; 0]);
        let full = json!({ "type": "host-local", "dataDir": lab.leases(), "subnet": "10.1.0.0/16",
            "rangeStart": "10.1.0.1", "rangeEnd": "10.1.0.1" });
        net_dir(lab, &json!([bridge(lab, &json!({ "ipam": full }))]));
        let told = linkspan(lab, &["status", "net"]).run();
        assert_eq!(told.status, 1);
        let never = "of 0 addresses 0 belong to live attachments";
        assert!(told.stderr.contains(never), "{}", told.stderr);

        // A full range that may get room later: this command reports it, STATUS of engines does not.
        let ipam =
            json!({ "type": "host-local", "dataDir": lab.leases(), "subnet": "10.1.0.0/30" });
        let conf = bridge(lab, &json!({ "ipam": ipam }));
        net_dir(lab, &json!([conf]));
        linkspan(lab, &["status", "net"]).run().succeeded();
        let sandbox = lab.sandbox();
        lab.plugin("bridge").of("pod", &sandbox).conf(&conf).add();
        let told = linkspan(lab, &["status", "net"]).run();
        assert_eq!(told.status, 1);
        let full = "of 1 addresses 1 belong to live attachments";
        assert!(told.stderr.contains(full), "{}", told.stderr);
        lab.plugin("bridge")
            .conf(&conf)
            .verb("STATUS")
            .run()
            .succeeded();
    });
}
