//! The keys: gateways by their order, hints, rules for bound sockets, and tables that others fill.

use linkspan_harness::conf::with;
use linkspan_harness::lab::in_lab;
use linkspan_harness::snapshot::Snapshot;
use linkspan_netlink::route::RouteSpec;
use serde_json::json;

use crate::{HERE, LINKSPAN, MAIN, Pod, ip};

#[test]
fn the_capability_comes_before_the_key_and_the_key_before_the_result() {
    in_lab(LINKSPAN, |lab| {
        let key = json!(["10.1.0.7", "fd01::7"]);
        let by_runtime = json!({ "gateways": ["10.1.0.8"] });
        for (over, v4, v6) in [
            (json!({}), "10.1.0.1", "fd01::1"),
            (json!({ "gateways": key }), "10.1.0.7", "fd01::7"),
            (
                json!({ "gateways": key, "runtimeConfig": by_runtime }),
                "10.1.0.8",
                "fd01::7",
            ),
        ] {
            let pod = Pod::new(lab);
            // A default route of the result makes way for a configured gateway.
            pod.route("0.0.0.0", 0, Some("10.1.0.1"));
            let before = Snapshot::of_sandbox(&pod.sandbox);
            let previous = json!([{ "address": "10.1.0.2/16", "gateway": "10.1.0.1" }, { "address": "fd01::2/64", "gateway": "fd01::1" }]);
            let previous = json!({ "prevResult": { "cniVersion": "1.0.0", "ips": previous } });
            let call = pod.call(lab, &with(over, &previous));
            let result = call.add();
            for (address, gateway) in [("10.1.0.2", v4), ("fd01::2", v6)] {
                let routes = pod.routes(pod.table(address).unwrap());
                let defaults: Vec<_> = routes
                    .iter()
                    .filter(|route| route.contains("/0 "))
                    .collect();
                assert_eq!(defaults.len(), 1, "{routes:?}");
                assert!(
                    defaults[0].ends_with(&format!("via {gateway}")),
                    "{routes:?}"
                );
            }
            call.check(&result);
            call.del();
            assert_eq!(Snapshot::of_sandbox(&pod.sandbox), before);
        }
    });
}

#[test]
fn hints_keep_the_subnets_in_the_main_table() {
    in_lab(LINKSPAN, |lab| {
        let pod = Pod::new(lab);
        pod.route("0.0.0.0", 0, Some("10.1.0.1"));
        let before = Snapshot::of_sandbox(&pod.sandbox);
        let call = pod.call(lab, &json!({ "addSourceHints": true }));
        let result = call.add();
        let main = pod.routes(MAIN);
        let own: Vec<_> = main
            .iter()
            .filter(|route| !route.starts_with("fe80::"))
            .collect();
        let expected = [
            "10.1.0.0/16 src 10.1.0.2",
            "192.168.1.0/24 src 192.168.1.9",
            "fd01::/64 src fd01::2",
        ];
        assert_eq!(own, expected);
        call.check(&result);
        call.add();
        assert_eq!(pod.routes(MAIN), main);
        call.del();
        assert_eq!(Snapshot::of_sandbox(&pod.sandbox), before);
    });
}

#[test]
fn sockets_that_are_bound_have_a_rule_where_it_is_asked_for() {
    in_lab(LINKSPAN, |lab| {
        let pod = Pod::new(lab);
        let before = Snapshot::of_sandbox(&pod.sandbox);
        let call = pod.call(lab, &json!({ "oifRule": true }));
        let result = call.add();
        let bound: Vec<_> = pod
            .rules()
            .into_iter()
            .filter(|rule| rule.oif.is_some())
            .collect();
        let told: Vec<_> = bound
            .iter()
            .map(|rule| (rule.oif.as_deref(), rule.table))
            .collect();
        assert_eq!(told, [(Some("eth0"), Some(100)), (Some("eth0"), Some(102))]);
        call.check(&result);
        pod.sandbox.rtnl().delete_rule(&bound[1]).unwrap();
        let failed = call.after(&result).verb("CHECK").run().failed(999);
        assert!(failed.contains("bound to eth0"), "{failed}");
        call.del();
        assert_eq!(Snapshot::of_sandbox(&pod.sandbox), before);
    });
}

#[test]
fn a_table_of_somebody_else_gets_rules_alone() {
    in_lab(LINKSPAN, |lab| {
        let pod = Pod::new(lab);
        let spec = RouteSpec {
            table: Some(5000),
            ..RouteSpec::to(ip("10.99.0.0"), 16)
        };
        pod.link.add_route(&spec).unwrap();
        let before = Snapshot::of_sandbox(&pod.sandbox);
        let routes = (pod.routes(MAIN), pod.routes(5000));
        let call = pod.call(lab, &json!({ "table": 5000 }));
        for _twice in 0..2 {
            let result = call.add();
            assert_eq!(HERE.map(|(ip, _)| pod.table(ip)), [Some(5000); 3]);
            assert_eq!((pod.routes(MAIN), pod.routes(5000)), routes);
            call.check(&result);
        }
        // The list was edited since.
        pod.call(lab, &json!({ "table": null })).del();
        assert_eq!(Snapshot::of_sandbox(&pod.sandbox), before);
    });
}
