//! The OCI hook as a runtime would execute it; `tests/suites/oci.rs` uses real ones.

use linkspan_harness::call::Call;
use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::recorder::Recorder;
use serde_json::json;

use crate::gc::list;
use crate::{LINKSPAN, linkspan, remembered, text};

#[test]
fn a_state_that_is_none_or_of_another_moment_is_refused_on_one_line() {
    in_lab(LINKSPAN, |lab| {
        let recorder = Recorder::new(lab, &["first", "second"]);
        list(lab, "net", &json!({}));
        let state = |status: &str, pid: u32| {
            json!({ "ociVersion": "1.0.2", "id": "c1", "status": status, "pid": pid, "bundle": text(lab.dir()) })
                .to_string()
        };
        std::fs::write(lab.dir().join("config.json"), "{}").unwrap();
        for (state, says) in [
            (String::new(), "decode the container's state: EOF"),
            (
                state("running", 1),
                "the container \"c1\" is running; hint: this hook is for",
            ),
            (
                state("creating", 0),
                "the container \"c1\" has no process; hint: this hook is for",
            ),
            (
                state("creating", 1).replace("c1", "a b"),
                "invalid characters in containerID",
            ),
        ] {
            let hook = linkspan(lab, &["oci-hook", "--net", "net"]).stdin(state.as_bytes());
            let told = recorder.watch(hook).run();
            assert_eq!((told.status, &*told.stdout), (1, ""), "{state}");
            assert_eq!(told.stderr.lines().count(), 1, "{}", told.stderr);
            assert!(
                told.stderr.contains(says),
                "{says:?} is not in {:?}",
                told.stderr
            );
        }
        assert_eq!(recorder.verbs(), [""; 0]);
        assert_eq!(remembered(lab), [""; 0]);
    });
}

/// The hook for the container `c1`, whose namespace does not exist yet, with this annotation.
fn annotated(lab: &Lab, status: &str, network: &str, args: &[&str]) -> Call {
    let given = json!([{ "type": "network", "path": text(&lab.dir().join("netns")) }]);
    let config = json!({ "linux": { "namespaces": given } });
    std::fs::write(lab.dir().join("config.json"), config.to_string()).unwrap();
    let state = json!({
        "id": "c1", "status": status, "bundle": text(lab.dir()),
        "annotations": { "org.linkspan.network": network },
    });
    let call = linkspan(lab, &[&["oci-hook"], args].concat());
    call.stdin(state.to_string().as_bytes())
}

#[test]
fn an_annotation_names_a_network_and_never_a_file() {
    in_lab(LINKSPAN, |lab| {
        let recorder = Recorder::new(lab, &["first", "second"]);
        list(lab, "net", &json!({}));
        let file = text(&lab.dir().join("net.d/net.conflist"));
        let relative = "./net.d/net.conflist";
        for status in ["creating", "created", "stopped"] {
            for path in [file.as_str(), relative, "net.d/net.conflist", "../net"] {
                let told = recorder.watch(annotated(lab, status, path, &[])).run();
                assert_eq!(told.status, 1, "{path}");
                for says in [
                    "annotation org.linkspan.network: invalid characters found in network name; ",
                    "; hint: name a network in --net-dir; only the hook's own --net can name a file",
                ] {
                    assert!(told.stderr.contains(says), "{}", told.stderr);
                }
            }
        }
        assert_eq!(recorder.verbs(), [""; 0]);
        // The hook's own arguments come from the administrator.
        for (status, verbs) in [
            ("creating", ["ADD first c1", "ADD second c1"]),
            ("stopped", ["DEL second c1", "DEL first c1"]),
        ] {
            for (network, args) in [("net", &[][..]), ("", &["--net", &file])] {
                let hook = annotated(lab, status, network, args)
                    .args(&["--ifname", if args.is_empty() { "eth0" } else { "eth1" }]);
                recorder.watch(hook).run().succeeded();
                assert_eq!(recorder.verbs(), verbs);
            }
        }
    });
}

#[test]
fn the_hook_may_list_the_networks_that_annotations_choose_from() {
    in_lab(LINKSPAN, |lab| {
        let recorder = Recorder::new(lab, &["first", "second"]);
        for name in ["blue", "green", "red"] {
            list(lab, name, &json!({}));
        }
        let hook = |status: &str, network: &str, allowed: &[&str]| {
            let allowed: Vec<&str> = allowed.iter().flat_map(|name| ["--allow", name]).collect();
            recorder
                .watch(annotated(lab, status, network, &allowed))
                .run()
        };
        let refused = hook("creating", "red", &["blue", "green"]);
        let says = "the annotation org.linkspan.network may not choose the network \"red\"; hint: choose one of: blue, green\n";
        assert!(
            refused.status == 1 && refused.stderr.ends_with(says),
            "{}",
            refused.stderr
        );
        assert_eq!(hook("stopped", "red", &["blue", "green"]).status, 1);
        assert_eq!(recorder.verbs(), [""; 0]);
        hook("creating", "green", &["blue", "green"]).succeeded();
        assert_eq!(recorder.verbs(), ["ADD first c1", "ADD second c1"]);
        // An attached container is detached in the end, whatever the hook permits by then.
        hook("stopped", "green", &["blue"]).succeeded();
        assert_eq!(recorder.verbs(), ["DEL second c1", "DEL first c1"]);
        assert_eq!(remembered(lab), [""; 0]);
    });
}

#[test]
fn poststop_detaches_without_a_namespace_as_often_as_it_is_called() {
    in_lab(LINKSPAN, |lab| {
        let recorder = Recorder::new(lab, &["first", "second"]);
        list(lab, "net", &json!({}));
        let hook = |status: &str| {
            // The bundle is gone.
            let state = json!({ "id": "c1", "status": status, "bundle": "/gone", "pid": 1 });
            let call = linkspan(lab, &["oci-hook", "--net", "net"]);
            recorder
                .watch(call.stdin(state.to_string().as_bytes()))
                .run()
        };
        assert!(hook("creating").stderr.contains("read /gone/config.json"));
        for _ in 0..2 {
            hook("stopped").succeeded();
            for call in recorder.calls() {
                assert_eq!((&call["verb"], &call["netns"]), (&json!("DEL"), &json!("")));
            }
        }
    });
}
