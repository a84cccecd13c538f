//! The content of nf_tables: readable, reloadable, removed with its attachment; rules once, and elements for each.

use linkspan_filter::table::TABLE;
use linkspan_harness::call::Call;
use linkspan_harness::lab::{Lab, in_lab};
use linkspan_harness::table::{elements, everything, netfilter};
use linkspan_harness::tool::nft;
use linkspan_nftables::Batch;
use serde_json::json;

use crate::{LINKSPAN, Pod, both, mapping};

/// The number of rules in our table.
fn rules(lab: &Lab) -> usize {
    let netfilter = netfilter(lab);
    let chains = netfilter.chains(TABLE).unwrap();
    chains
        .iter()
        .map(|chain| netfilter.rules(TABLE, chain).unwrap().len())
        .sum()
}

#[test]
fn the_table_is_readable_and_loads_again() {
    in_lab(LINKSPAN, |lab| {
        let pod = Pod::published(lab, "pod", &both(8080));
        let Some(listed) = nft(&["list", "table", "inet", "linkspan"]) else {
            return;
        };
        for line in [
            "comment \"Linkspan CNI plugins: published ports and masquerade\"",
            "elements = { tcp . 8080 comment \"net/pod/eth0\" : 10.1.0.2 . 80,",
            "elements = { \"br0\" . 10.1.0.0/16 comment \"net\" }",
            "elements = { \"br0\" . 10.1.0.0/16 . 10.1.0.0/16 comment \"net\" }",
            "elements = { 10.1.0.2 . 10.1.0.0/16 comment \"net/pod/eth0\" }",
            "elements = { tcp . 8080 comment \"net/pod/eth0\" : 0x",
            "comment \"layout 2\"",
            "10.1.0.2 . tcp . 8080 comment \"net/pod/eth0\"",
            "fib daddr type local jump publish",
            "tcp flags != syn / syn,ack return",
            "meta nfproto ipv4 dnat ip to meta l4proto . th dport map @publish_v4",
            "dnat ip6 to ip6 daddr . meta l4proto . th dport map @publish_addr_v6",
            "iifname . ip saddr @masq_v4 ip daddr != 224.0.0.0/4 iifname . ip saddr . ip daddr != @masq_except_v4 masquerade",
            "iifname . ip6 saddr @masq_v6 ip6 daddr != ff00::/8 iifname . ip6 saddr . ip6 daddr != @masq_except_v6 masquerade",
            "iifgroup . ip saddr @masq_group_v4 ip daddr != 224.0.0.0/4 iifgroup . ip saddr . ip daddr != @masq_group_except_v4",
            "ct status dnat jump published",
            "meta l4proto udp ip daddr . ip saddr @sources_v4 ip daddr . meta l4proto . ct original proto-dst @hairpin_v4 masquerade",
            "meta l4proto udp ct original ip saddr 127.0.0.0/8 ip daddr . meta l4proto . ct original proto-dst @hairpin_v4 masquerade",
            "ip saddr 127.0.0.0/8 ct direction original ct status != 0x100 / dnat,0x100 fib daddr type local jump localhost",
            "ip saddr set meta l4proto . th dport map @localhost_v4",
            "meta l4proto tcp ct reply ip saddr . meta l4proto . ct original proto-dst @hairpin_v4 ip daddr set ct reply ip daddr",
            "ct direction reply ct original ip saddr 127.0.0.0/8 ip daddr != 127.0.0.0/8 ip daddr set ct original ip saddr",
        ] {
            assert!(listed.contains(line), "{line}\n{listed}");
        }
        let file = lab.dir().join("table.nft");
        std::fs::write(&file, format!("delete table inet linkspan\n{listed}")).unwrap();
        nft(&["-f", file.to_str().unwrap()]);
        assert_eq!(nft(&["list", "table", "inet", "linkspan"]).unwrap(), listed);
        // The loaded table works like the original: CHECK, another pod, DEL.
        pod.portmap(lab).check(&pod.result);
        pod.bridge(lab).check(&pod.result);
        let second = Pod::published(lab, "second", &both(8081));
        second.detach(lab);
        pod.detach(lab);
        assert_eq!(elements(lab), [""; 0]);
    });
}

#[test]
fn after_the_last_del_nothing_but_the_empty_table_is_left() {
    in_lab(LINKSPAN, |lab| {
        let before = everything(lab);
        let pods = [8080, 8081].map(|port| Pod::published(lab, &format!("p{port}"), &both(port)));
        let live = rules(lab);
        for pod in &pods {
            pod.detach(lab);
        }
        assert_eq!(elements(lab), [""; 0]);
        assert_eq!(rules(lab), live);
        let mut batch = Batch::default();
        batch.delete_table(TABLE);
        netfilter(lab).commit(batch).unwrap();
        assert_eq!(everything(lab), before);
    });
}

#[test]
fn more_pods_and_more_ports_add_elements_and_no_rules() {
    in_lab(LINKSPAN, |lab| {
        let many: Vec<_> = (1..=1000)
            .map(|port| mapping("tcp", 20000 + port))
            .collect();
        let first = Pod::published(lab, "first", &both(8080));
        let rules_of_one = rules(lab);
        let pods: Vec<_> = (0..20)
            .map(|n| Pod::published(lab, &format!("p{n}"), &both(9000 + n)))
            .collect();
        let big = Pod::published(lab, "big", &json!(many));
        assert_eq!(rules(lab), rules_of_one);
        big.portmap(lab).check(&big.result);
        big.detach(lab);
        for pod in &pods {
            pod.portmap(lab).check(&pod.result);
            pod.detach(lab);
        }
        first.portmap(lab).check(&first.result);
    });
}

#[test]
fn a_lost_table_opens_nothing_is_told_by_check_and_comes_back_with_the_next_pod() {
    in_lab(LINKSPAN, |lab| {
        let pod = Pod::published(lab, "pod", &both(8080));
        let mut batch = Batch::default();
        batch.delete_table(TABLE);
        netfilter(lab).commit(batch).unwrap();
        let check = |call: Call| call.after(&pod.result).verb("CHECK").run().failed(999);
        assert!(check(pod.portmap(lab)).contains("table inet linkspan"));
        assert!(check(pod.bridge(lab)).contains("table inet linkspan"));
        // Without the rules a pod still cannot reach it: only rules were added.
        for key in ["br0", "all"] {
            let path = format!("/proc/sys/net/ipv4/conf/{key}/route_localnet");
            let value = lab.host().scope(|| std::fs::read_to_string(path)).unwrap();
            assert_eq!(value.unwrap().trim(), "0", "{key}");
        }
        pod.portmap(lab).add();
        pod.portmap(lab).check(&pod.result);
        pod.detach(lab);
        pod.detach(lab);
        assert_eq!(elements(lab), [""; 0]);
    });
}

#[test]
fn every_promise_is_checked() {
    in_lab(LINKSPAN, |lab| {
        let pod = Pod::published(lab, "pod", &both(8080));
        for broken in [
            "delete element inet linkspan publish_v4 { tcp . 8080 }",
            "delete element inet linkspan publish_v6 { udp . 8080 }",
            "delete element inet linkspan localhost_v4 { tcp . 8080 }",
            "delete element inet linkspan hairpin_v4 { 10.1.0.2 . tcp . 8080 }",
            "delete element inet linkspan publish_v4 { tcp . 8080 }; add element inet linkspan publish_v4 { tcp . 8080 comment \"net/pod/eth0\" : 10.1.0.9 . 80 }",
            "delete element inet linkspan publish_v4 { tcp . 8080 }; add element inet linkspan publish_v4 { tcp . 8080 comment \"net/other/eth0\" : 10.1.0.2 . 80 }",
            "delete element inet linkspan sources_v6 { fd00:1::2 . fd00:1::/64 }",
            "flush chain inet linkspan publish",
            "flush chain inet linkspan prerouting",
            "flush chain inet linkspan localhost_in",
        ] {
            pod.portmap(lab).check(&pod.result);
            if nft(&[broken]).is_none() {
                return;
            }
            let told = pod.portmap(lab).verb("CHECK").run().failed(999);
            let named = [
                "8080/",
                "sources of fd00:1::2",
                "chain publish",
                "chain prerouting",
                "chain localhost_in",
            ];
            assert!(
                named.iter().any(|name| told.contains(name)),
                "{broken}: {told}"
            );
            assert!(told.contains("expected"), "{broken}: {told}");
            let mut batch = Batch::default();
            batch.delete_table(TABLE);
            netfilter(lab).commit(batch).unwrap();
            pod.portmap(lab).add();
        }
    });
}
