//! Interfaces in use: the effect of ADD and DEL on those of other attachments.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;

use linkspan_harness::call::Call;
use linkspan_harness::conf::{bridge, with};
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::recorder::Recorder;
use linkspan_harness::snapshot::Snapshot;
use linkspan_netlink::link::{Kind, LinkSpec, Peer};
use serde_json::json;

use crate::gc::list;
use crate::{LINKSPAN, attached, linkspan, net_dir, remembered, text};

/// A network `net` of a bridge, and a network `other` of doubles.
fn networks(lab: &Lab) -> Recorder {
    net_dir(lab, &json!([bridge(lab, &json!({}))]));
    list(lab, "other", &json!({}));
    Recorder::new(lab, &["first", "second"])
}

/// The host and the sandbox.
fn seen(lab: &Lab, sandbox: &Sandbox) -> (Snapshot, Snapshot) {
    (Snapshot::of_host(lab), Snapshot::of_sandbox(sandbox))
}

/// `eth0` as the Go suite makes it, without a tag.
fn untagged(lab: &Lab, sandbox: &Sandbox) {
    let pair = LinkSpec::new("veth0", Kind::Veth);
    let far = Peer::new("eth0", sandbox.netns.as_fd());
    lab.rtnl().create_pair(&pair, &far).unwrap();
}

fn has_eth0(sandbox: &Sandbox) -> bool {
    sandbox.rtnl().link_by_name("eth0").unwrap().is_some()
}

/// Asserts a failure with these texts.
fn refused(call: &Call, says: &[&str]) {
    let told = call.run();
    assert_eq!((told.status, &*told.stdout), (1, ""));
    for says in says {
        assert!(told.stderr.contains(says), "{says}: {}", told.stderr);
    }
}

#[test]
fn an_interface_that_another_attachment_has_is_refused_before_the_first_plugin() {
    in_lab(LINKSPAN, |lab| {
        let recorder = networks(lab);
        let sandbox = lab.sandbox();
        attached(lab, "add", &sandbox).run().succeeded();
        let before = seen(lab, &sandbox);
        // Another path to the same namespace.
        let alias = text(&lab.dir().join("alias"));
        symlink(sandbox.path(), &alias).unwrap();
        for netns in [sandbox.path(), alias] {
            // From the cache and, with another cache, from the kernel.
            for cache in ["cache", "elsewhere"] {
                let cache = text(&lab.dir().join(cache));
                let add = |network: &str| {
                    let call = linkspan(lab, &["add", network, &netns, "--cache-dir", &cache]);
                    recorder.watch(call)
                };
                let taken = format!(
                    "eth0 of {netns} is attached to the network net already, as container c1"
                );
                let undo = format!("`linkspan del net {netns} --container-id c1`");
                let says = [&*taken, "choose another name with --ifname", &*undo];
                refused(&add("other"), &says);
                // The same network and another container, as happens without --container-id.
                refused(&add("net"), &says);
            }
        }
        assert_eq!(recorder.verbs(), [""; 0]);
        assert_eq!(seen(lab, &sandbox), before);
        assert_eq!(remembered(lab), ["net-c1-eth0"]);
        // Another name of an interface is free.
        let add = linkspan(lab, &["add", "other", &sandbox.path(), "--ifname", "eth1"]);
        recorder.watch(add).run().succeeded();
        attached(lab, "check", &sandbox).run().succeeded();
    });
}

#[test]
fn the_cache_alone_tells_of_attachments_without_an_interface_of_their_own() {
    in_lab(LINKSPAN, |lab| {
        let recorder = networks(lab);
        let sandbox = lab.sandbox();
        let add = |network: &str, id: &str, ifname: &str| {
            let args = [
                "add",
                network,
                &sandbox.path(),
                "--container-id",
                id,
                "--ifname",
                ifname,
            ];
            recorder.watch(linkspan(lab, &args))
        };
        add("other", "c1", "eth7").run().succeeded();
        recorder.calls();
        let undo = format!(
            "`linkspan del other {} --container-id c1 --ifname eth7`",
            sandbox.path()
        );
        refused(
            &add("net", "c2", "eth7"),
            &["eth7 of ", "network other", &undo],
        );
        add("net", "c2", "eth8").run().succeeded();
        // An attachment that lives elsewhere is not replaced by another one of its name.
        let second = lab.sandbox();
        let args = [
            "add",
            "other",
            &second.path(),
            "--container-id",
            "c1",
            "--ifname",
            "eth7",
        ];
        let says = format!(
            "container c1 is attached to the network other already, as eth7 of {}",
            sandbox.path()
        );
        refused(&recorder.watch(linkspan(lab, &args)), &[&says, &undo]);
        assert_eq!(recorder.verbs(), [""; 0]);
        drop(sandbox);
    });
}

#[test]
fn an_interface_that_nobody_names_is_refused_and_kept() {
    in_lab(LINKSPAN, |lab| {
        let recorder = networks(lab);
        let sandbox = lab.sandbox();
        untagged(lab, &sandbox);
        let before = seen(lab, &sandbox);
        for network in ["net", "other"] {
            let add = recorder.watch(linkspan(lab, &["add", network, &sandbox.path()]));
            let says = format!("eth0 is in {} already", sandbox.path());
            refused(&add, &[&says, "hint: choose another name with --ifname"]);
        }
        assert_eq!(recorder.verbs(), [""; 0]);
        assert_eq!(seen(lab, &sandbox), before);
    });
}

#[test]
fn an_add_that_fails_undoes_nothing_that_was_there_before() {
    in_lab(LINKSPAN, |lab| {
        // `cnitool` refuses nothing beforehand, like the Go one.
        let plugins =
            json!([{ "type": "loopback" }, bridge(lab, &json!({})), { "type": "loopback" }]);
        let dir = net_dir(lab, &plugins);
        let tool = lab.dir().join("cnitool");
        symlink(LINKSPAN, &tool).unwrap();
        let script = r#"mount -t tmpfs none /var/lib && exec "$0" "$@""#;
        let cnitool = |args: &[&str]| {
            let call = Call::new(&tool).args(args).env("NETCONFPATH", &text(&dir));
            call.env("CNI_PATH", &text(&lab.bin()))
                .under(&["unshare", "-m", "sh", "-c", script])
        };
        let sandbox = lab.sandbox();
        untagged(lab, &sandbox);
        refused(
            &cnitool(&["add", "net", &sandbox.path()]),
            &["\"eth0\" already exists"],
        );
        assert!(has_eth0(&sandbox));
        // `lo` always exists, and counts once it is up.
        let failing = json!([{ "type": "loopback" }, { "type": "host-local" }]);
        net_dir(lab, &failing);
        let lo = || sandbox.rtnl().link_by_name("lo").unwrap().unwrap();
        for up in [false, true] {
            let set = if up { lo().set_up() } else { lo().set_down() };
            set.unwrap();
            refused(
                &linkspan(lab, &["add", "net", &sandbox.path(), "--ifname", "lo"]),
                &["host-local"],
            );
            assert_eq!(lo().up, up);
        }
    });
}

#[test]
fn del_of_what_another_attachment_has_is_refused_with_the_right_command() {
    in_lab(LINKSPAN, |lab| {
        let recorder = networks(lab);
        let sandbox = lab.sandbox();
        let result = attached(lab, "add", &sandbox).run().json();
        let before = seen(lab, &sandbox);
        let elsewhere = text(&lab.dir().join("elsewhere"));
        let netns = sandbox.path();
        let del = |args: &[&str]| {
            let call = linkspan(lab, &["del"]).args(args).args(&[&netns]);
            recorder.watch(call)
        };
        let told = format!("eth0 of {netns} is attached to the network net, as container c1\n");
        let undo = format!("hint: detach it with `linkspan del net {netns} --container-id c1`\n");
        for args in [
            // The wrong network, the wrong container, a network that does not exist, and an empty cache.
            &["other"][..],
            &["other", "--container-id", "c1"],
            &["net"],
            &["typo"],
            &["net", "--container-id", "c2", "--cache-dir", &elsewhere],
        ] {
            refused(&del(args), &[&told, &undo]);
        }
        assert_eq!(recorder.verbs(), [""; 0]);
        assert_eq!(seen(lab, &sandbox), before);
        // With --force the plugins are asked, and they keep interfaces with another's tag.
        del(&["net", "--force"]).run().succeeded();
        del(&["other", "--force"]).run().succeeded();
        assert_eq!(recorder.verbs().len(), 2);
        assert_eq!(seen(lab, &sandbox), before);
        // A lost cache does not matter: the interface's tag names its attachment.
        let own = ["net", "--container-id", "c1", "--cache-dir", &elsewhere];
        let done = del(&own).run();
        assert_eq!((done.succeeded(), &*done.stderr), ("", ""));
        assert!(
            !has_eth0(&sandbox) && lab.leased("net").is_empty(),
            "{result}"
        );
    });
}

#[test]
fn del_of_what_nobody_has_asks_the_plugins_and_says_so() {
    in_lab(LINKSPAN, |lab| {
        let recorder = networks(lab);
        let sandbox = lab.sandbox();
        let gone = text(&lab.dir().join("gone"));
        for netns in [sandbox.path(), gone] {
            let del = recorder.watch(linkspan(
                lab,
                &["del", "other", &netns, "--container-id", "c1"],
            ));
            let done = del.run();
            assert_eq!(done.succeeded(), "");
            let says = "linkspan: the cache has no attachment to the network other as eth0 of container c1\n";
            assert_eq!(done.stderr, says);
            assert_eq!(recorder.verbs(), ["DEL second c1", "DEL first c1"]);
        }
        // A remembered attachment is detached without further checks, even if the network's file is gone.
        attached(lab, "add", &sandbox).run().succeeded();
        fs::remove_file(lab.dir().join("net.d/10-net.conflist")).unwrap();
        let done = attached(lab, "del", &sandbox).run();
        assert_eq!((done.succeeded(), &*done.stderr), ("", ""));
        assert!(!has_eth0(&sandbox));
        // A missing network has no plugins to ask.
        let told = attached(lab, "del", &sandbox).run();
        assert_eq!((told.status, &*told.stdout), (4, ""));
        let missing = "no net configuration with name \"net\"";
        assert!(told.stderr.contains(missing), "{}", told.stderr);
        // An unreadable entry counts as another's.
        let broken = with(json!({}), &json!({ "kind": "x" })).to_string();
        fs::write(lab.dir().join("cache/results/other-c9-eth0"), broken).unwrap();
        let del = linkspan(
            lab,
            &["del", "other", &sandbox.path(), "--container-id", "c9"],
        );
        let done = recorder.watch(del).run();
        assert_eq!((done.succeeded(), &*done.stderr), ("", ""));
        assert_eq!(remembered(lab), [""; 0]);
    });
}
