//! The input of each plugin of a list, as recorders see it.

use std::fs;

use linkspan_harness::conf::bridge;
use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::recorder::Recorder;
use serde_json::{Value, json};

use crate::gc::list;
use crate::{LINKSPAN, linkspan, net_dir, remembered, text};

/// A plugin of the network `net` in a file of its own.
fn fragment(lab: &Lab) {
    let dir = lab.dir().join("net.d/net");
    fs::create_dir(&dir).unwrap();
    let conf = r#"{"type":"first","name":"fragment"}"#;
    fs::write(dir.join("10.conf"), conf).unwrap();
}

#[test]
fn each_plugin_gets_its_keys_its_capabilities_and_the_result_so_far() {
    in_lab(LINKSPAN, |lab| {
        let recorder = Recorder::new(lab, &["first", "second"]);
        let plugins = json!([
            { "type": "first", "Capabilities": { "mac": true } },
            { "type": "second", "capabilities": { "ips": true }, "args": { "x": 1 } },
        ]);
        let over = json!({ "cniVersion": null, "cniVersions": ["0.4.0", "1.0.0", "9.0.0"],
            "plugins": plugins });
        list(lab, "net", &over);
        fragment(lab);
        let netns = text(&lab.dir().join("gone"));
        let call = |verb| {
            let call = linkspan(lab, &[verb, "net", &netns, "--container-id", "c1"]);
            recorder
                .watch(call)
                .env("CAP_ARGS", r#"{"mac":"02:00:00:00:00:01","other":1}"#)
        };
        call("add").run().succeeded();
        let added = recorder.calls();
        let confs: Vec<&Value> = added.iter().map(|call| &call["conf"]).collect();
        let (mac, version) = (json!({ "mac": "02:00:00:00:00:01" }), json!("1.0.0"));
        assert_eq!(
            (&confs[0]["runtimeConfig"], &confs[0]["cniVersion"]),
            (&mac, &version)
        );
        assert_eq!(
            (&confs[0]["prevResult"], &confs[1]["runtimeConfig"]),
            (&Value::Null, &Value::Null)
        );
        assert_eq!(confs[1]["prevResult"]["dns"]["domain"], "first");
        assert_eq!(confs[2]["prevResult"]["dns"]["domain"], "second");
        assert_eq!((&confs[2]["name"], added.len()), (&json!("net"), 3));

        call("check").run().succeeded();
        let checked = recorder.calls();
        assert_eq!(checked.len(), 3);
        for call in &checked {
            // The last result, in the version of the list.
            let result = json!({ "cniVersion": "1.0.0", "dns": { "domain": "first" } });
            assert_eq!(call["conf"]["prevResult"], result);
        }
        call("del").run().succeeded();
        assert_eq!(
            recorder.verbs(),
            ["DEL first c1", "DEL second c1", "DEL first c1"]
        );
    });
}

#[test]
fn a_list_may_forbid_check_and_fragments() {
    in_lab(LINKSPAN, |lab| {
        let recorder = Recorder::new(lab, &["first", "second"]);
        list(
            lab,
            "net",
            &json!({ "disableCheck": true, "loadOnlyInlinedPlugins": "true" }),
        );
        fragment(lab);
        let call = |verb| recorder.watch(linkspan(lab, &[verb, "net", "/gone"]));
        call("add").run().succeeded();
        assert_eq!(recorder.calls().len(), 2);
        call("check").run().succeeded();
        assert_eq!(recorder.verbs(), [""; 0]);
    });
}

#[test]
fn del_goes_on_after_a_plugin_that_failed() {
    in_lab(LINKSPAN, |lab| {
        let recorder = Recorder::new(lab, &["first", "second"]);
        list(lab, "net", &json!({}));
        let args = |verb| [verb, "net", "/gone", "--container-id", "c1"];
        let call = |verb| recorder.watch(linkspan(lab, &args(verb)));
        call("add").run().succeeded();
        recorder.calls();
        let failed = call("del").env("RECORDER_FAILS", "DEL:second:11").run();
        assert_eq!(failed.status, 1);
        let told =
            "linkspan: plugin type=\"second\" failed (delete): told to fail\n  by the test\n";
        assert_eq!(failed.stderr, told);
        assert_eq!(recorder.verbs(), ["DEL second c1", "DEL first c1"]);
        assert_eq!(remembered(lab), ["net-c1-eth0"]);
        call("del").run().succeeded();
        assert_eq!(remembered(lab), [""; 0]);
    });
}

#[test]
fn the_context_of_a_trace_reaches_plugins_and_their_delegates() {
    in_lab(LINKSPAN, |lab| {
        let recorder = Recorder::new(lab, &["first", "delegate"]);
        let conf = bridge(lab, &json!({ "ipam": { "type": "delegate" } }));
        net_dir(lab, &json!([{ "type": "first" }, conf]));
        let context = [
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "a=1",
            "b=2",
        ];
        let traced = recorder
            .watch(linkspan(lab, &["status", "net"]))
            .env("TRACEPARENT", context[0])
            .env("TRACESTATE", context[1])
            .env("BAGGAGE", context[2]);
        traced.run().succeeded();
        let calls = recorder.calls();
        let names: Vec<_> = calls.iter().map(|call| &call["as"]).collect();
        assert_eq!(names, ["first", "delegate"]);
        for call in &calls {
            assert_eq!(call["trace"], json!(context), "{call}");
        }
    });
}
