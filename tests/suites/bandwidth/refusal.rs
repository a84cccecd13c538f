//! Refusals, and differences found by CHECK.

use linkspan_harness::conf::with;
use linkspan_harness::lab::in_lab;
use serde_json::json;

use crate::{LINKSPAN, Shaped, both, call, conf, ifbs, pair};

#[test]
fn what_cannot_be_is_refused_and_leaves_nothing() {
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        let previous = pair(lab, "dummy", &sandbox).add();
        let alone = lab.plugin("bandwidth").of("dummy", &sandbox);
        let told = alone.conf(&conf(&both())).verb("ADD").run().failed(7);
        assert!(told.starts_with("must be called as chained plugin"));
        let one = |rate: u64, burst: u64| json!({ "ingressRate": rate, "ingressBurst": burst });
        let nobody = json!({ "cniVersion": "1.0.0", "ips": [{ "address": "10.1.0.7/24" }] });
        let others = json!({ "cniVersion": "1.0.0", "interfaces": [{ "name": "veth-other" }, { "name": "eth0", "sandbox": "x" }] });
        for (over, code, says) in [
            (one(0, 123), 7, "if burst is set, rate must also be set"),
            (one(123, 0), 7, "if rate is set, burst must also be set"),
            (one(7, 8), 7, "the rate is less than a byte a second"),
            (one(8, 4 << 33), 7, "burst cannot be more than 4GB"),
            (json!({ "ingressRate": -1 }), 6, "ingressRate: "),
            (
                json!({ "runtimeConfig": { "bandwidth": { "egressRate": 8 } } }),
                7,
                "if rate is set",
            ),
            (
                with(both(), &json!({ "shapeIn": "moon" })),
                7,
                "shapeIn \"moon\" is not a place",
            ),
            (
                with(both(), &json!({ "shapedSubnets": ["10.0.0.0"] })),
                6,
                "shapedSubnets",
            ),
            (
                with(
                    both(),
                    &json!({ "shapedSubnets": ["10.0.0.0/8"], "unshapedSubnets": ["10.0.0.0/8"] }),
                ),
                7,
                "unshapedSubnets and shapedSubnets are both set",
            ),
            (
                with(both(), &json!({ "prevResult": nobody })),
                7,
                "no interfaces provided",
            ),
            (
                with(both(), &json!({ "prevResult": others })),
                999,
                "no veth peer of container interface found in host ns",
            ),
        ] {
            let over = with(json!({ "prevResult": previous }), &over);
            let limits = lab
                .plugin("bandwidth")
                .of("dummy", &sandbox)
                .conf(&conf(&over));
            let told = limits.clone().verb("ADD").run().failed(code);
            assert!(told.contains(says), "{told}");
            limits.del();
            assert!(ifbs(&lab.rtnl()).is_empty());
        }
    });
}

#[test]
fn check_tells_what_is_not_as_it_was_made() {
    in_lab(LINKSPAN, |lab| {
        let Some(Shaped {
            sandbox,
            previous,
            end,
        }) = Shaped::new(lab)
        else {
            return;
        };
        let limits = call(lab, "dummy", &sandbox, &previous, &both());
        let result = limits.add();
        let check = |over: serde_json::Value| {
            let limits = call(lab, "dummy", &sandbox, &result, &with(both(), &over));
            limits.verb("CHECK").run().failed(999)
        };
        assert!(check(json!({ "ingressRate": 16_000 })).starts_with("Rate doesn't match"));
        assert!(check(json!({ "egressBurst": 8000 })).starts_with("Limit doesn't match"));
        end.delete_bucket().unwrap();
        assert!(check(json!({})).starts_with("Failed to find qdisc"));
        limits.add();
        end.delete_filter_qdisc().unwrap();
        assert!(check(json!({})).contains("leads to an ifb"));
        ifbs(&lab.rtnl())[0].delete().unwrap();
        assert!(check(json!({})).starts_with("get ifb device: "));
        let valid = lab
            .plugin("bandwidth")
            .conf(&conf(&with(both(), &json!({ "cniVersion": "1.1.0" }))));
        valid.verb("STATUS").run().succeeded();
    });
}
