//! `linkspan inspect`: what an attachment has in the packet filter, as the packet filter's own tools show it.

use std::path::Path;

use linkspan_harness::call::Call;
use linkspan_harness::conf::bridge;
use linkspan_harness::lab::in_lab;
use linkspan_harness::skip;
use serde_json::json;

use crate::{LINKSPAN, Node};

#[test]
fn inspect_names_what_an_attachment_has_in_the_packet_filter() {
    in_lab(LINKSPAN, |lab| {
        if !["portmap", "firewall"]
            .iter()
            .all(|kind| skip::can_attach(&lab.rtnl(), kind))
        {
            return;
        }
        if skip::without("iptables-restore").is_none() {
            return;
        }
        let node = Node::empty(lab);
        let plugins = json!([
            bridge(lab, &json!({ "ipMasq": true })),
            { "type": "portmap", "capabilities": { "portMappings": true } },
            { "type": "firewall", "backend": "iptables", "ingressPolicy": "same-bridge" },
        ]);
        node.write("10-net.conflist", "net", &plugins);
        node.add("net", "c1", &node.pod);
        let other = lab.sandbox();
        node.call(&["add", "net", &other.path(), "--container-id", "c2"])
            .run()
            .succeeded();
        let rules = |id: &str| -> Vec<String> {
            let told = node.call(&["inspect", id, "--json"]).run().json();
            let rules = told[0]["rules"].as_array().unwrap().iter();
            rules
                .map(|rule| rule.as_str().unwrap().to_owned())
                .collect()
        };
        let of_first = rules("c1");
        let has = |part: &str| {
            let found = of_first.iter().any(|rule| rule.contains(part));
            assert!(found, "{part}: {of_first:#?}");
        };
        // A port, and a rule for each address of the pod.
        has("tcp . 8080");
        for ip in ["10.1.0.2", "fd00:1::2"] {
            has(&format!("CNI-FORWARD -s {ip} -j ACCEPT"));
        }
        has("iptables CNI-FORWARD");
        has("ip6tables CNI-FORWARD");
        let text = node.call(&["inspect", "c1"]).run();
        let told = text.succeeded();
        assert!(
            told.contains(&format!("rule       {}\n", of_first[0])),
            "{told}"
        );
        // The other pod has no port, and nothing of the first one's.
        let of_second = rules("c2");
        assert!(!of_second.is_empty());
        assert!(
            of_second.iter().all(|rule| !of_first.contains(rule)),
            "{of_second:#?}"
        );
        is_shown_by_nft(&of_first);
        node.call(&["del", "c1"]).run().succeeded();
        assert!(rules("c2") == of_second);
    });
}

/// Each element is in what `nft` prints, in its words.
fn is_shown_by_nft(rules: &[String]) {
    let Some(nft) = skip::without("nft") else {
        return;
    };
    let ruleset = Call::new(Path::new(&nft)).args(&["list", "ruleset"]).run();
    let ruleset = ruleset.succeeded().replace('\n', " ");
    let ruleset: Vec<&str> = ruleset.split_whitespace().collect();
    let ruleset = ruleset.join(" ");
    let elements = rules
        .iter()
        .filter_map(|rule| rule.strip_prefix("inet linkspan "));
    let mut count = 0;
    for element in elements {
        let (set, rest) = element.split_once(" { ").unwrap();
        let key = rest.trim_end_matches(" }").split(" : ").next().unwrap();
        assert!(ruleset.contains(&format!(" {set} {{ ")), "{set}: {ruleset}");
        assert!(ruleset.contains(key), "{key}: {ruleset}");
        count += 1;
    }
    assert!(count > 0);
}
