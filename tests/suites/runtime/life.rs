//! `linkspan gc` and `linkspan list`: attachments that count as gone although the path of the namespace does not
//! decide.

use std::fs;
use std::os::unix::fs::symlink;

use linkspan_harness::call::Call;
use linkspan_harness::conf::bridge;
use linkspan_harness::lab::{Lab, in_lab};
use serde_json::{Value, json};

use crate::{LINKSPAN, attached, linkspan, net_dir, remembered, text};

fn entry(lab: &Lab) -> Value {
    let file = lab.dir().join("cache/results/net-c1-eth0");
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// Makes the cache remember the namespace at `path`.
fn moved(lab: &Lab, path: &str) {
    let mut entry = entry(lab);
    let object = entry.as_object_mut().unwrap();
    object.insert("netns".to_owned(), json!(path));
    let file = lab.dir().join("cache/results/net-c1-eth0");
    fs::write(file, entry.to_string()).unwrap();
}

fn life(lab: &Lab) -> Value {
    let told = linkspan(lab, &["list", "--json"]).run().json();
    told.pointer("/0/alive").unwrap().clone()
}

fn stays(lab: &Lab, gc: &Call, why: &str) {
    assert_eq!(gc.run().succeeded(), "", "{why}");
    assert_eq!(remembered(lab), ["net-c1-eth0"], "{why}");
}

#[test]
fn a_namespace_whose_path_shows_nothing_lives_by_its_host_end_and_goes_with_it() {
    in_lab(LINKSPAN, |lab| {
        net_dir(lab, &json!([bridge(lab, &json!({}))]));
        let sandbox = lab.sandbox();
        attached(lab, "add", &sandbox).run().succeeded();
        let file = lab.dir().join("file");
        fs::write(&file, "").unwrap();
        let gc = linkspan(lab, &["gc", "net"]);
        // An invisible mount, the file below a mount, and one of several processes.
        for path in [
            &text(&lab.dir().join("none")),
            &text(&file),
            "/proc/0/ns/net",
        ] {
            moved(lab, path);
            assert_eq!(life(lab), json!(true), "{path}");
            stays(lab, &gc, path);
        }
        assert!(sandbox.rtnl().link_by_name("eth0").unwrap().is_some());
        assert_eq!(lab.leased("net").len(), 2);
        drop(sandbox);
        lab.until_pairs(0);
        assert_eq!(life(lab), json!(false));
        assert_eq!(gc.run().succeeded(), "deleted c1 eth0\n");
        assert_eq!(lab.leased("net"), [""; 0]);
    });
}

#[test]
fn without_a_host_end_a_path_of_a_process_proves_nothing() {
    in_lab(LINKSPAN, |lab| {
        net_dir(lab, &json!([bridge(lab, &json!({}))]));
        let sandbox = lab.sandbox();
        attached(lab, "add", &sandbox).run().succeeded();
        let mut entry = entry(lab);
        entry["netns"] = json!("/proc/0/ns/net");
        entry["result"]["interfaces"] = json!([]);
        let file = lab.dir().join("cache/results/net-c1-eth0");
        fs::write(file, entry.to_string()).unwrap();
        assert_eq!(life(lab), Value::Null);
        stays(lab, &linkspan(lab, &["gc", "net"]), "unknown");
    });
}

#[test]
fn a_path_that_was_made_again_is_not_taken_for_the_old_one() {
    in_lab(LINKSPAN, |lab| {
        net_dir(lab, &json!([bridge(lab, &json!({}))]));
        let (old, new) = (lab.sandbox(), lab.sandbox());
        let path = lab.dir().join("name");
        symlink(old.path(), &path).unwrap();
        let args = ["add", "net", &text(&path), "--container-id", "c1"];
        linkspan(lab, &args).run().succeeded();
        fs::remove_file(&path).unwrap();
        symlink(new.path(), &path).unwrap();
        assert_eq!(life(lab), json!(true));
        drop(old);
        lab.until_pairs(0);
        assert_eq!(life(lab), json!(false));
        let gc = linkspan(lab, &["gc", "net"]);
        assert_eq!(gc.run().succeeded(), "deleted c1 eth0\n");
        assert_eq!(
            fs::read_dir(lab.dir().join("cache/linkspan"))
                .unwrap()
                .count(),
            0
        );
    });
}
