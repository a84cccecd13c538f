//! The memory of an attachment: whatever fault hits the process while it writes or deletes the memory, DEL succeeds
//! and nothing stays.

use std::fs;

use linkspan_harness::call::Call;
use linkspan_harness::fault::{Fault, Tracer};
use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::skip;
use serde_json::json;

use crate::{LINKSPAN, V4, on_bridge};

/// The directory of the memories, below the cache.
const MEMORY: &str = "cache/linkspan";

fn linkspan(lab: &Lab, verb: &str, netns: &str) -> Call {
    let at = |name: &str| lab.dir().join(name).to_string_lossy().into_owned();
    let call = lab.linkspan(&["--cache-dir", &at("cache"), "--net-dir", &at("net.d")]);
    call.args(&[verb, "net", netns, "--container-id", "pod"])
        .env("CNI_PATH", &lab.bin().to_string_lossy())
}

fn remembered(lab: &Lab) -> Vec<String> {
    let dir = fs::read_dir(lab.dir().join(MEMORY)).into_iter().flatten();
    dir.map(|file| file.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn what_is_remembered_is_forgotten() {
    in_lab(LINKSPAN, |lab| {
        if skip::without("strace").is_none() {
            return;
        }
        fs::create_dir_all(lab.dir().join("net.d")).unwrap();
        let list = json!({ "cniVersion": "1.1.0", "name": "net", "plugins": [on_bridge(lab, V4)] });
        fs::write(lab.dir().join("net.d/10-net.conflist"), list.to_string()).unwrap();
        let sandbox = lab.sandbox();
        let tracer = Tracer::in_dir(lab.dir());
        let call = |verb: &str| linkspan(lab, verb, &sandbox.path());
        let mut hits = 0;
        for verb in ["add", "del"] {
            if verb == "del" {
                call("add").run().succeeded();
            }
            let (_, points) = tracer.points(&call(verb));
            call("del").run().succeeded();
            // Only its content has these prefixes.
            let of_memory = ["cache/linkspan", "\"boot "];
            let points = points.into_iter();
            for point in
                points.filter(|point| of_memory.iter().any(|word| point.shown.contains(word)))
            {
                for fault in [Fault::Error, Fault::Kill] {
                    if verb == "del" {
                        call("add").run().succeeded();
                        assert_eq!(remembered(lab), ["net:pod:eth0"]);
                    }
                    let hit = tracer.hit(&call(verb), &point, fault);
                    assert!(!hit.hung, "{verb} {point:?} {fault:?}");
                    hits += usize::from(hit.injected);
                    call("del").run().succeeded();
                    assert_eq!(remembered(lab), [""; 0], "{verb} {point:?} {fault:?}");
                    assert_eq!(lab.leased("net"), [""; 0], "{verb} {point:?} {fault:?}");
                    lab.until_pairs(0);
                    let inside = sandbox.rtnl().link_by_name("eth0").unwrap();
                    assert!(inside.is_none(), "{verb} {point:?} {fault:?}");
                }
            }
        }
        assert!(hits >= 8, "{hits}");
    });
}
