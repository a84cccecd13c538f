//! Others' state on the link stays, and leftovers are collected.

use linkspan_harness::lab::in_lab;
use linkspan_harness::tool::tool;
use linkspan_netlink::link::{Kind, LinkSpec};
use linkspan_netlink::qdisc::Bucket;
use linkspan_netlink::tc_filter::Hook;
use linkspan_owner::Owner;
use linkspan_protocol::ident::{AttachmentId, ContainerId, IfName, NetworkName};
use serde_json::{Value, json};

use crate::{LINKSPAN, Shaped, both, call, conf, ifbs, is_able, pair, queues};

#[test]
fn a_clsact_of_somebody_else_is_used_and_left() {
    in_lab(LINKSPAN, |lab| {
        let Some(Shaped {
            sandbox,
            previous,
            end,
        }) = Shaped::new(lab)
        else {
            return;
        };
        for kind in ["clsact", "ingress"] {
            end.add_filter_qdisc(kind == "clsact").unwrap();
            let filter =
                "filter add dev NAME ingress prio 9 protocol ip u32 match u32 0 0 flowid 1:9";
            let filter = filter.replace("NAME", &end.name);
            let filter = if kind == "clsact" {
                filter
            } else {
                filter.replace(" ingress ", " parent ffff: ")
            };
            let args: Vec<&str> = filter.split(' ').collect();
            if tool("tc", &args).is_none() {
                return;
            }
            let before = queues(&end);
            let limits = call(lab, "dummy", &sandbox, &previous, &both());
            let result = limits.add();
            limits.check(&result);
            // Ours comes after theirs.
            let hook = if kind == "clsact" {
                Hook::ClsactIngress
            } else {
                Hook::Ingress
            };
            let filters = end.filters(hook).unwrap();
            let ours = filters
                .iter()
                .find(|filter| filter.through.is_some())
                .unwrap();
            assert_eq!(ours.priority, 10);
            limits.del();
            assert_eq!(queues(&end), before, "{kind}");
            end.delete_filter_qdisc().unwrap();
        }
        assert!(ifbs(&lab.rtnl()).is_empty());
    });
}

#[test]
fn a_root_of_somebody_else_is_refused_by_name_and_left() {
    in_lab(LINKSPAN, |lab| {
        let Some(Shaped {
            sandbox,
            previous,
            end,
        }) = Shaped::new(lab)
        else {
            return;
        };
        let theirs = format!(
            "qdisc add dev {} root handle 7: tbf rate 8mbit burst 10k latency 25ms",
            end.name
        );
        let args: Vec<&str> = theirs.split(' ').collect();
        if tool("tc", &args).is_none() {
            return;
        }
        let before = queues(&end);
        let limits = call(lab, "dummy", &sandbox, &previous, &both());
        let told = limits.clone().verb("ADD").run().failed(999);
        let says = format!("create qdisc: file exists: {} has tbf", end.name);
        assert!(told.starts_with(&says), "{told}");
        limits.del();
        assert_eq!(queues(&end), before);
        assert!(ifbs(&lab.rtnl()).is_empty());
    });
}

#[test]
fn a_second_interface_of_a_container_has_a_link_of_its_own() {
    in_lab(LINKSPAN, |lab| {
        if !is_able(lab) {
            return;
        }
        let sandbox = lab.sandbox();
        let attached = ["eth0", "net1"].map(|ifname| {
            let previous = pair(lab, "dummy", &sandbox).env("CNI_IFNAME", ifname).add();
            let limits = call(lab, "dummy", &sandbox, &previous, &both()).env("CNI_IFNAME", ifname);
            let result = limits.add();
            (limits, result)
        });
        assert_eq!(ifbs(&lab.rtnl()).len(), 2);
        for (limits, result) in &attached {
            limits.check(result);
        }
        let [(first, _), (second, result)] = attached;
        first.del();
        second.check(&result);
        second.del();
        assert!(ifbs(&lab.rtnl()).is_empty());
    });
}

#[test]
fn del_without_a_container_takes_the_link_and_a_late_one_nothing_else() {
    in_lab(LINKSPAN, |lab| {
        if !is_able(lab) {
            return;
        }
        let (sandbox, other) = (lab.sandbox(), lab.sandbox());
        let previous = pair(lab, "dummy", &sandbox).add();
        let limits = call(lab, "dummy", &sandbox, &previous, &both());
        limits.add();
        limits.clone().netns("").del();
        assert!(ifbs(&lab.rtnl()).is_empty());
        limits.add();
        let theirs = pair(lab, "other", &other).add();
        let neighbour = call(lab, "other", &other, &theirs, &both());
        let result = neighbour.add();
        // By a path that belongs to another container by now.
        limits.netns(&other.path()).del();
        neighbour.check(&result);
        assert_eq!(ifbs(&lab.rtnl()).len(), 1);
    });
}

#[test]
fn gc_deletes_the_links_of_its_own_network_alone() {
    in_lab(LINKSPAN, |lab| {
        let Some(Shaped {
            sandbox, previous, ..
        }) = Shaped::new(lab)
        else {
            return;
        };
        call(lab, "dummy", &sandbox, &previous, &both()).add();
        // One without an owner's name, like the Go plugin's.
        let foreign = LinkSpec::new("bwp000000000000", Kind::Ifb);
        lab.rtnl().create(&foreign).unwrap();
        let gc = |network: &str, valid: Value| {
            let over = json!({ "name": network, "cniVersion": "1.1.0", "cni.dev/valid-attachments": valid });
            lab.plugin("bandwidth")
                .conf(&conf(&over))
                .verb("GC")
                .run()
                .succeeded()
                .to_owned()
        };
        gc(
            "mynet",
            json!([{ "containerID": "dummy", "ifname": "eth0" }]),
        );
        gc("other", json!([]));
        assert_eq!(ifbs(&lab.rtnl()).len(), 2);
        gc("mynet", json!([]));
        let left = ifbs(&lab.rtnl());
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].name, foreign.name);
    });
}

#[test]
fn gc_leaves_the_queues_of_an_administrator_whatever_the_group_of_the_link() {
    in_lab(LINKSPAN, |lab| {
        let Some(Shaped {
            sandbox: _living,
            previous,
            end,
        }) = Shaped::new(lab)
        else {
            return;
        };
        let attachment = AttachmentId {
            container_id: ContainerId::parse("gone").unwrap(),
            ifname: IfName::parse("eth0").unwrap(),
        };
        let gone = Owner::of(&NetworkName::parse("mynet").unwrap(), &attachment);
        // Anybody may choose any group number.
        end.tag("", gone.group()).unwrap();
        let rate = Bucket {
            rate: 1000,
            ticks: 1_000_000,
            limit: 1000,
        };
        end.add_bucket(rate).unwrap();
        let before = queues(&end);
        let over = json!({ "cniVersion": "1.1.0", "cni.dev/valid-attachments": [] });
        let gc = lab.plugin("bandwidth").conf(&conf(&over)).verb("GC");
        gc.run().succeeded();
        assert_eq!(queues(&end), before, "{previous}");
    });
}
