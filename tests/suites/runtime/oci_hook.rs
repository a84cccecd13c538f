//! The OCI hook as a runtime would execute it; `tests/clients/oci.rs` has it executed by real ones.

use linkspan_harness::lab::in_lab;
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

#[test]
fn poststop_detaches_without_a_namespace_as_often_as_it_is_called() {
    in_lab(LINKSPAN, |lab| {
        let recorder = Recorder::new(lab, &["first", "second"]);
        list(lab, "net", &json!({}));
        let hook = |status: &str| {
            // No bundle is there any more.
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
