//! The kernel decides whether a port is free: mappings on every address beside mappings on single ones.

use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::table::{self, elements};
use linkspan_harness::thorough::sample;
use linkspan_nftables::Batch;
use linkspan_nftables::datum::Fields;
use linkspan_nftables::ruleset::{Element, Set};
use serde_json::{Value, json};

use linkspan_filter::table::TABLE;

use crate::{LINKSPAN, Pod, at, both, count, mapping, traced};

/// The claims that mappings share.
pub(crate) fn shared(lab: &Lab) -> Vec<String> {
    let mut lines = table::shared(lab);
    lines.retain(|line| line.starts_with("claims_"));
    lines
}

fn on(host_ip: &str, protocol: &str) -> Value {
    json!([at(host_ip, mapping(protocol, 8080))])
}

#[test]
fn mappings_that_a_packet_could_be_for_exclude_each_other_in_either_order() {
    in_lab(LINKSPAN, |lab| {
        let [one, two] = ["one", "two"].map(|id| Pod::attach(lab, id, &json!([])));
        let before = elements(lab);
        let pairs = [
            ("", "", false),
            ("", "10.1.0.1", false),
            ("", "127.0.0.1", false),
            ("", "fd00:1::1", false),
            ("", "::1", false),
            ("", "0.0.0.0", false),
            ("", "::", false),
            ("0.0.0.0", "10.1.0.1", false),
            ("::", "fd00:1::1", false),
            ("10.1.0.1", "10.1.0.1", false),
            ("fd00:1::1", "fd00:1::1", false),
            ("0.0.0.0", "::", true),
            ("0.0.0.0", "fd00:1::1", true),
            ("::", "10.1.0.1", true),
            ("10.1.0.1", "10.1.0.2", true),
            ("fd00:1::1", "fd00:1::2", true),
            ("10.1.0.1", "fd00:1::1", true),
        ];
        for (a, b, is_free) in sample(pairs.into_iter(), 0, 2) {
            for (first, second) in [(a, b), (b, a)] {
                for (protocol, is_free) in [("tcp", is_free), ("udp", true)] {
                    let of = |pod: &Pod, mappings| {
                        let over = json!({ "runtimeConfig": { "portMappings": mappings } });
                        pod.portmap_with(lab, &over)
                    };
                    let holder = of(&one, on(first, "tcp"));
                    let seeker = of(&two, on(second, protocol));
                    holder.add();
                    if is_free {
                        seeker.add();
                        seeker.check(&two.result);
                    } else {
                        let told = seeker.verb("ADD").run().failed(999);
                        assert!(told.contains("published for container one"), "{told}");
                    }
                    holder.check(&one.result);
                    holder.del();
                    of(&two, on(second, protocol)).del();
                    assert_eq!(elements(lab), before, "{first:?}, {second:?}");
                    assert_eq!(shared(lab), [""; 0], "{first:?}, {second:?}");
                }
            }
        }
    });
}

#[test]
fn the_last_of_several_single_addresses_frees_the_port() {
    in_lab(LINKSPAN, |lab| {
        let addresses = ["10.1.0.1", "127.0.0.1", "192.0.2.1"];
        let owners: Vec<Pod> = ["a", "b", "c"]
            .iter()
            .zip(addresses)
            .map(|(id, address)| Pod::attach(lab, id, &on(address, "tcp")))
            .collect();
        let every = Pod::attach(lab, "every", &on("", "tcp"));
        for order in [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ] {
            for owner in &owners {
                owner.portmap(lab).add();
            }
            for (index, next) in order.into_iter().enumerate() {
                let told = every.portmap(lab).verb("ADD").run().failed(999);
                let left = order[index..].iter().map(|at| &owners[*at]);
                let named = |owner: &Pod| told.contains(&format!("container {},", owner.id));
                assert!(left.into_iter().any(named), "{order:?}: {told}");
                assert_eq!(shared(lab).len(), 1);
                owners[next].portmap(lab).del();
            }
            assert_eq!(shared(lab), [""; 0], "{order:?}");
            every.portmap(lab).add();
            every.portmap(lab).check(&every.result);
            every.portmap(lab).del();
        }
    });
}

#[test]
fn one_owner_has_a_port_on_several_addresses() {
    in_lab(LINKSPAN, |lab| {
        let on_all = |addresses: &[&str]| {
            let each = addresses.iter().map(|ip| at(ip, mapping("tcp", 8080)));
            json!(each.collect::<Vec<_>>())
        };
        let several = on_all(&["10.1.0.1", "127.0.0.1", "fd00:1::1", "::1"]);
        let pod = Pod::published(lab, "pod", &several);
        pod.portmap(lab).check(&pod.result);
        let (first, claims) = (elements(lab), shared(lab));
        // Again, as after a lost answer.
        pod.portmap(lab).add();
        assert_eq!((elements(lab), shared(lab)), (first, claims));
        pod.portmap(lab).del();
        assert_eq!(shared(lab), [""; 0]);
        // Of mappings with one destination, the widest is published.
        let published = |mappings: &Value| {
            let over = json!({ "runtimeConfig": { "portMappings": mappings } });
            pod.portmap_with(lab, &over).add();
            pod.portmap_with(lab, &over).check(&pod.result);
            let there = elements(lab);
            pod.portmap_with(lab, &over).del();
            there
        };
        let widest = published(&on_all(&[""]));
        for together in [
            on_all(&["", "127.0.0.1", "0.0.0.0", "::"]),
            on_all(&["127.0.0.1", "::1", "0.0.0.0", "::", ""]),
            on_all(&["127.0.0.1", "0.0.0.0", "::", "fd00:1::1"]),
        ] {
            assert_eq!(published(&together), widest, "{together}");
        }
        assert_eq!(shared(lab), [""; 0]);
    });
}

#[test]
fn an_add_to_free_ports_asks_for_no_list_and_no_generation() {
    in_lab(LINKSPAN, |lab| {
        let many: Vec<_> = (20000..20300).map(|port| mapping("tcp", port)).collect();
        let _many = Pod::published(lab, "many", &json!(many));
        let _single = Pod::published(
            lab,
            "single",
            &json!([at("127.0.0.1", mapping("tcp", 8080))]),
        );
        for (id, mappings) in [
            ("every", json!([mapping("tcp", 9080)])),
            ("one", json!([at("10.1.0.1", mapping("tcp", 9081))])),
            ("beside", json!([at("10.1.0.1", mapping("tcp", 8080))])),
        ] {
            let pod = Pod::attach(lab, id, &mappings);
            let Some(told) = traced(lab, pod.portmap(lab).verb("ADD")) else {
                return;
            };
            assert_eq!(count(&told, "NFNL_MSG_BATCH_BEGIN"), 1, "{id}: {told:#?}");
            for costly in ["NLM_F_DUMP", "NFT_MSG_GETGEN", "flock("] {
                assert_eq!(count(&told, costly), 0, "{id}: {told:#?}");
            }
        }
    });
}

/// A publication taken apart by hand: its mappings are gone, and the rest is there.
#[test]
fn what_is_left_of_a_publication_is_in_nobodys_way() {
    in_lab(LINKSPAN, |lab| {
        for mappings in [both(8080), on("10.1.0.1", "tcp")] {
            let pod = Pod::published(lab, "pod", &mappings);
            let netfilter = table::netfilter(lab);
            let mut batch = Batch::default();
            for set in ["publish_v4", "publish_v6", "publish_addr_v4"] {
                let set = Set::of(set, &[]);
                let found = netfilter.elements(TABLE, &set).unwrap();
                batch.delete(TABLE, &set, &found);
            }
            netfilter.commit(batch).unwrap();
            let heir = Pod::published(lab, "heir", &both(8080));
            heir.portmap(lab).check(&heir.result);
            pod.portmap(lab).del();
            heir.portmap(lab).check(&heir.result);
            heir.detach(lab);
            pod.detach(lab);
            assert_eq!(elements(lab), [""; 0]);
            assert_eq!(shared(lab), [""; 0]);
        }
    });
}

/// A foreign element.
#[test]
fn a_port_of_somebody_else_in_our_table_is_refused() {
    in_lab(LINKSPAN, |lab| {
        let pod = Pod::attach(lab, "pod", &both(8080));
        pod.portmap(lab).add();
        pod.portmap(lab).del();
        let element = Element {
            key: Fields::default().protocol(6).port(8080),
            value: Some(Fields::default().ip([192, 0, 2, 7].into()).port(80)),
            comment: "by hand".to_owned(),
            ..Element::default()
        };
        let mut batch = Batch::default();
        batch.add(TABLE, &Set::of("publish_v4", &[]), &[element], true);
        table::netfilter(lab).commit(batch).unwrap();
        let told = pod.portmap(lab).verb("ADD").run().failed(999);
        assert!(
            told.contains("8080/tcp is already published for an element \"by hand\""),
            "{told}"
        );
    });
}
