//! The elements in nf_tables for each attachment, and their removal.

use std::fs;

use linkspan_filter::spoof;
use linkspan_filter::table::BRIDGE_TABLE;
use linkspan_harness::call::Call;
use linkspan_harness::conf::{bridge, host_local};
use linkspan_harness::lab::{Lab, Sandbox, in_lab};
use linkspan_harness::table::{elements_in, everything, netfilter};
use linkspan_harness::tool;
use linkspan_nftables::Batch;
use linkspan_nftables::datum::{Datum, Fields};
use linkspan_nftables::ruleset::{Element, Set};
use linkspan_owner::Owner;
use linkspan_plugin::Undo;
use linkspan_protocol::addr::MacAddr;
use serde_json::{Value, json};

use crate::{LINKSPAN, call, ends, guarded, lets_forged_through};

/// The elements of the table of frames.
fn present(lab: &Lab) -> Vec<String> {
    elements_in(lab, BRIDGE_TABLE)
}

/// The elements of an attachment of the network `net`.
fn of(id: &str, result: &Value) -> Vec<String> {
    let (port, mac) = ends(result);
    vec![
        format!("spoof_ports: {port} of net/{id}/eth0"),
        format!("spoof_sources: {port} . {mac} of net/{id}/eth0"),
    ]
}

/// DEL without namespace, result and the key that asked for the check.
fn bare(lab: &Lab, id: &str) -> Call {
    let sandbox = lab.sandbox();
    let call = call(lab, id, &sandbox, &json!({ "macspoofchk": false }));
    call.without("CNI_NETNS")
}

#[test]
fn an_attachment_has_two_elements_and_del_removes_them_in_every_state() {
    in_lab(LINKSPAN, |lab| {
        let attach = |id: &str| -> (Sandbox, Value) {
            let sandbox = lab.sandbox();
            let result = call(lab, id, &sandbox, &guarded()).add();
            (sandbox, result)
        };
        let (_kept, other) = attach("other");
        for (case, state) in ["whole", "bare", "namespace gone", "interface gone"]
            .into_iter()
            .enumerate()
        {
            let (sandbox, result) = attach("a");
            let mut both = [of("a", &result), of("other", &other)].concat();
            both.sort();
            assert_eq!(present(lab), both, "{state}");
            let whole = call(lab, "a", &sandbox, &guarded());
            match case {
                0 => whole.after(&result).del(),
                1 => bare(lab, "a").del(),
                2 => {
                    drop(sandbox);
                    lab.until_pairs(1);
                    bare(lab, "a").del();
                }
                _ => {
                    let eth0 = sandbox.rtnl().link_by_name("eth0").unwrap();
                    eth0.unwrap().delete().unwrap();
                    whole.del();
                }
            }
            assert_eq!(present(lab), of("other", &other), "{state}");
            bare(lab, "a").del();
        }
        assert_eq!(lab.leased("net").len(), 2);
    });
}

#[test]
fn gc_collects_those_of_stale_attachments_of_its_network() {
    in_lab(LINKSPAN, |lab| {
        let (a, b, c) = (lab.sandbox(), lab.sandbox(), lab.sandbox());
        let kept = call(lab, "a", &a, &guarded()).add();
        call(lab, "b", &b, &guarded()).add();
        let mut other = guarded();
        other["name"] = json!("other");
        other["ipam"] = host_local(lab, &["10.1.0.0/16"]);
        let foreign = call(lab, "c", &c, &other).env("CNI_IFNAME", "eth0").add();
        let valid = json!([{ "containerID": "a", "ifname": "eth0" }]);
        let mut over = json!({ "cni.dev/valid-attachments": valid });
        over["macspoofchk"] = json!(true);
        let gc = lab.plugin("bridge").conf(&bridge(lab, &over)).verb("GC");
        gc.run().succeeded();
        let foreign = of("c", &foreign);
        let foreign = foreign.iter().map(|line| line.replace("net/c", "other/c"));
        let mut expected: Vec<_> = of("a", &kept).into_iter().chain(foreign).collect();
        expected.sort();
        assert_eq!(present(lab), expected);
    });
}

#[test]
fn a_failed_add_leaves_none() {
    in_lab(LINKSPAN, |lab| {
        let (first, second) = (lab.sandbox(), lab.sandbox());
        call(lab, "first", &first, &guarded()).add();
        let before = everything(lab);
        let mut over = guarded();
        over["ipam"] = host_local(lab, &["10.1.0.0/16"]);
        over["ipam"]["routes"] = json!([{ "dst": "10.7.0.0/16", "gw": "192.168.99.1" }]);
        let add = call(lab, "b", &second, &over).verb("ADD");
        assert!(add.run().failed(999).contains("10.7.0.0/16"));
        assert_eq!(everything(lab), before);
    });
}

#[test]
fn what_others_removed_is_told_by_check_and_put_back_by_add_and_restore() {
    in_lab(LINKSPAN, |lab| {
        let (a, b) = (lab.sandbox(), lab.sandbox());
        let of_a = call(lab, "a", &a, &guarded());
        let result = of_a.add();
        let flush = |chain: bool| {
            let mut batch = Batch::default();
            if chain {
                batch.flush_chain(BRIDGE_TABLE, "spoof");
            } else {
                batch.delete_table(BRIDGE_TABLE);
            }
            netfilter(lab).commit(batch).unwrap();
        };
        flush(true);
        let told = of_a.after(&result).verb("CHECK").run().failed(999);
        assert!(told.contains("rules of chain spoof are missing"), "{told}");
        // The next ADD recreates the rules, and keeps the elements.
        let other = call(lab, "b", &b, &guarded()).add();
        of_a.check(&result);
        assert!(!lets_forged_through(&a, &b));
        flush(false);
        let told = of_a.after(&result).verb("CHECK").run().failed(999);
        assert!(
            told.contains("MAC spoof check in table bridge linkspan"),
            "{told}"
        );
        let third = lab.sandbox();
        call(lab, "c", &third, &guarded()).add();
        // The elements of others do not return with it.
        assert!(lets_forged_through(&a, &third));
        call(lab, "b", &b, &guarded())
            .after(&other)
            .verb("CHECK")
            .run()
            .failed(999);
    });
}

#[test]
fn restore_puts_back_those_of_the_living() {
    in_lab(LINKSPAN, |lab| {
        let (net_dir, cache) = (lab.dir().join("net.d"), lab.dir().join("cache"));
        fs::create_dir(&net_dir).unwrap();
        let plugins = [bridge(lab, &guarded())];
        let list = json!({ "cniVersion": "1.1.0", "name": "net", "plugins": plugins });
        fs::write(net_dir.join("10-net.conflist"), list.to_string()).unwrap();
        let linkspan = |args: &[&str]| {
            let places = [
                "--cache-dir",
                cache.to_str().unwrap(),
                "--net-dir",
                net_dir.to_str().unwrap(),
            ];
            let call = lab.linkspan(&places).args(args);
            call.env("CNI_PATH", lab.bin().to_str().unwrap())
        };
        let (living, gone) = (lab.sandbox(), lab.sandbox());
        let neighbour = lab.sandbox();
        for (id, sandbox) in [("living", &living), ("gone", &gone), ("near", &neighbour)] {
            let args = ["add", "net", &sandbox.path(), "--container-id", id];
            linkspan(&args).run().succeeded();
        }
        let mut expected = present(lab);
        expected.retain(|line| !line.contains("/gone/"));
        drop(gone);
        let mut batch = Batch::default();
        batch.delete_table(BRIDGE_TABLE);
        netfilter(lab).commit(batch).unwrap();
        assert!(lets_forged_through(&living, &neighbour));
        linkspan(&["restore"]).run().succeeded();
        assert_eq!(present(lab), expected);
        assert!(!lets_forged_through(&living, &neighbour));
        let restored = everything(lab);
        linkspan(&["restore"]).run().succeeded();
        assert_eq!(everything(lab), restored);
        linkspan(&["clear"]).run().succeeded();
        assert_eq!(everything(lab), [""; 0]);
    });
}

/// The name of a removed port may be a new port's.
#[test]
fn what_is_left_under_the_name_of_a_new_port_makes_room() {
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        let attached = call(lab, "a", &sandbox, &guarded());
        let result = attached.add();
        let (port, mac) = ends(&result);
        let left = |line: &str, key: Fields| Element {
            comment: line.to_owned(),
            ..Element::of(key)
        };
        attached.del();
        let ports = Set::of("spoof_ports", &[Datum::IfName]);
        let sources = Set::of("spoof_sources", &[Datum::IfName, Datum::Ether]);
        let line = "net/dead/eth0";
        let key = Fields::default().ifname(&port);
        let other = MacAddr([2, 0, 0, 0, 0, 9]);
        let mut batch = Batch::default();
        batch.add(BRIDGE_TABLE, &ports, &[left(line, key.clone())], true);
        batch.add(
            BRIDGE_TABLE,
            &sources,
            &[left(line, key.ether(other))],
            true,
        );
        netfilter(lab).commit(batch).unwrap();
        assert_eq!(present(lab).len(), 2);
        let guarded = spoof::Guarded {
            port: &port,
            source: MacAddr::parse(&mac).unwrap(),
        };
        let owner = Owner::parse("net/new/eth0").unwrap();
        let applied = Undo::scope(|undo| spoof::apply(&owner, guarded, undo));
        applied.unwrap();
        assert_eq!(present(lab), of("new", &result));
    });
}

/// `nft` prints the table as intended.
#[test]
fn nft_shows_the_rule() {
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        let (port, mac) = ends(&call(lab, "a", &sandbox, &guarded()).add());
        let Some(told) = tool::nft(&["list", "table", "bridge", "linkspan"]) else {
            return;
        };
        assert!(
            told.contains("iifname @spoof_ports iifname . ether saddr != @spoof_sources drop"),
            "{told}"
        );
        for element in [
            format!("\"{port}\" comment"),
            format!("\"{port}\" . {mac} comment"),
        ] {
            assert!(told.contains(&element), "{element} in {told}");
        }
    });
}
