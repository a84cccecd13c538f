//! Both directions, and the bursts that runtimes send.

use linkspan_harness::conf::with;
use linkspan_harness::lab::in_lab;
use linkspan_harness::traffic;
use linkspan_netlink::qdisc::Bucket;
use linkspan_netlink::tc_filter::Hook;
use serde_json::{Value, json};

use crate::{
    ADDRESS, CONTAINERD, CRIO, GATEWAY, KUBELET, LINKSPAN, Shaped, both, bucket, by_runtime, call,
    ifbs, queues,
};

#[test]
fn each_direction_has_its_bucket_and_del_takes_them_away() {
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
        // A second ADD recreates the same state.
        for _twice in 0..2 {
            let result = limits.add();
            let interfaces = result["interfaces"].as_array().unwrap();
            assert_eq!(interfaces.len(), 4);
            // The Go plugin's name.
            let ifb = lab.rtnl().link_by_name("bwp1b29d9511ed2").unwrap().unwrap();
            assert_eq!(interfaces[3]["name"], ifb.name);
            assert_eq!(interfaces[3].get("sandbox"), None);
            assert_eq!(
                (ifb.mtu, ifb.up, &*ifb.alias),
                (1400, true, "mynet/dummy/eth0")
            );
            let expected = |rate, limit| {
                Some(Bucket {
                    rate,
                    ticks: 156_250_000,
                    limit,
                })
            };
            assert_eq!(bucket(&end), expected(1000, 10_025));
            assert_eq!(bucket(&ifb), expected(2000, 20_050));
            let filters = end.filters(Hook::Ingress).unwrap();
            let leads = filters
                .iter()
                .filter(|filter| filter.through == Some(ifb.index));
            assert_eq!(leads.count(), 1);
            limits.check(&result);
        }
        traffic::flows(&sandbox.netns, lab.host(), GATEWAY.parse().unwrap());
        traffic::flows(lab.host(), &sandbox.netns, ADDRESS.parse().unwrap());
        for _twice in 0..2 {
            limits.del();
            assert_eq!(queues(&end), [""; 0]);
            assert!(ifbs(&lab.rtnl()).is_empty());
        }
        traffic::flows(&sandbox.netns, lab.host(), GATEWAY.parse().unwrap());
    });
}

#[test]
fn one_direction_leaves_the_other_alone() {
    in_lab(LINKSPAN, |lab| {
        let Some(Shaped {
            sandbox,
            previous,
            end,
        }) = Shaped::new(lab)
        else {
            return;
        };
        let to =
            json!({ "ingressRate": 8000, "ingressBurst": 80, "egressRate": 0, "egressBurst": 0 });
        let result = call(lab, "dummy", &sandbox, &previous, &to).add();
        assert_eq!(result, previous);
        assert_eq!(
            bucket(&end),
            Some(Bucket {
                rate: 1000,
                ticks: 156_250,
                limit: 35
            })
        );
        assert!(ifbs(&lab.rtnl()).is_empty());
        assert_eq!(end.ingress_qdisc().unwrap(), None);
        let from = json!({ "egressRate": 8000, "egressBurst": 80 });
        let limits = call(lab, "dummy", &sandbox, &previous, &from);
        limits.add();
        assert_eq!(bucket(&end), None);
        assert_eq!(bucket(&ifbs(&lab.rtnl())[0]).unwrap().limit, 35);
        limits.del();
        assert_eq!(queues(&end), [""; 0]);
    });
}

#[test]
fn no_burst_that_a_runtime_sends_wraps() {
    in_lab(LINKSPAN, |lab| {
        let Some(Shaped {
            sandbox,
            previous,
            end,
        }) = Shaped::new(lab)
        else {
            return;
        };
        for burst in [1, KUBELET, CONTAINERD, CRIO, CRIO + 1, u64::MAX] {
            for rate in [
                64_000,
                1_000_000,
                10_000_000,
                1_000_000_000,
                400_000_000_000,
            ] {
                let limits = call(lab, "dummy", &sandbox, &previous, &by_runtime(rate, burst));
                let result = limits.add();
                limits.check(&result);
                for made in [
                    bucket(&end).unwrap(),
                    bucket(&ifbs(&lab.rtnl())[0]).unwrap(),
                ] {
                    assert_eq!(made.rate, rate / 8);
                    let seconds = f64::from(made.ticks) * 64e-9;
                    let bytes = f64::from(
                        u32::try_from((burst / 8).clamp(1418, u64::from(u32::MAX))).unwrap(),
                    );
                    let rate = f64::from(u32::try_from(made.rate / 1000).unwrap()) * 1000.0;
                    let asked = (bytes / rate).min(274.8);
                    assert!(seconds >= asked * 0.99, "{burst} at {rate}: {made:?}");
                    assert!(
                        (128 << 10..=64 << 20).contains(&made.limit),
                        "{burst} at {rate}: {made:?}"
                    );
                }
            }
        }
        traffic::flows(&sandbox.netns, lab.host(), GATEWAY.parse().unwrap());
    });
}

#[test]
fn a_key_of_the_configuration_takes_the_runtimes_away() {
    in_lab(LINKSPAN, |lab| {
        let Some(Shaped {
            sandbox,
            previous,
            end,
        }) = Shaped::new(lab)
        else {
            return;
        };
        let runtime = by_runtime(8_000_000, 8_000_000);
        for (over, rate) in [
            (runtime.clone(), Some(1_000_000)),
            (with(runtime.clone(), &both()), Some(1000)),
            (with(runtime, &json!({ "ingressRate": 0 })), None),
        ] {
            let limits = call(lab, "dummy", &sandbox, &previous, &over);
            limits.add();
            assert_eq!(bucket(&end).map(|bucket| bucket.rate), rate, "{over}");
            limits.del();
        }
    });
}

#[test]
fn without_limits_nothing_is_looked_at() {
    in_lab(LINKSPAN, |lab| {
        let sandbox = lab.sandbox();
        let previous = json!({ "cniVersion": "1.0.0", "ips": [{ "address": "10.1.0.7/24" }] });
        for over in [
            json!({}),
            json!({ "runtimeConfig": { "bandwidth": Value::Null } }),
            json!({ "egressRate": 0 }),
        ] {
            let limits = call(lab, "dummy", &sandbox, &previous, &over).netns("/nonexistent");
            assert_eq!(limits.add(), previous);
            limits.del();
        }
    });
}
