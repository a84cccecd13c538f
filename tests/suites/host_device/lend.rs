//! The configured loan, and every promise of CHECK.

use linkspan_harness::conf::{addresses, host_local};
use linkspan_harness::lab::in_lab;
use linkspan_harness::snapshot::Snapshot;
use linkspan_harness::tool::tool;
use linkspan_harness::traffic;
use linkspan_netlink::link::Link;
use linkspan_protocol::family::Family;
use serde_json::{Value, json};

use crate::{ALIAS, LINKSPAN, NIC, call, files, is_at_home, nic, on_host, pair, within};

#[test]
fn a_device_is_lent_with_addresses_and_comes_home_as_it_was() {
    in_lab(LINKSPAN, |lab| {
        let before = nic(lab);
        let (host, sandbox) = (Snapshot::of_host(lab), lab.sandbox());
        let ipam = host_local(lab, &["10.1.0.0/16", "fd00:1::/64"]);
        let call = call(lab, ("pod", &sandbox), &json!({ "ipam": ipam }));
        let result = call.add();
        let expected = json!({
            "cniVersion": "1.1.0",
            "interfaces": [{ "name": "net1", "mac": "02:00:00:00:00:07", "sandbox": sandbox.path() }],
            "ips": [
                { "interface": 0, "address": "10.1.0.2/16", "gateway": "10.1.0.1" },
                { "interface": 0, "address": "fd00:1::2/64", "gateway": "fd00:1::1" },
            ],
        });
        assert_eq!(result, expected);
        assert!(lab.rtnl().link_by_name(NIC).unwrap().is_none());
        let link = within(&sandbox, "net1").unwrap();
        assert_eq!((&*link.alias, link.up, link.mtu), (NIC, true, 1480));
        assert_eq!(files(lab), ["net:pod:net1"]);
        for ip in ["10.1.0.1", "fd00:1::1"] {
            traffic::flows(&sandbox.netns, lab.host(), ip.parse().unwrap());
        }
        for ip in addresses(&result) {
            traffic::flows(lab.host(), &sandbox.netns, ip);
        }
        call.check(&result);
        for _twice in 0..2 {
            call.after(&result).del();
            is_at_home(lab, &before);
            assert_eq!(Snapshot::of_host(lab), host);
            assert!(within(&sandbox, "net1").is_none());
        }
    });
}

#[test]
fn a_device_by_an_alternative_name_comes_home_with_all_of_its_names() {
    const ALTERNATIVE: &str = "a-name-of-more-than-15-letters";
    in_lab(LINKSPAN, |lab| {
        let before = nic(lab);
        for name in [ALTERNATIVE, "short"] {
            let add = ["link", "property", "add", "dev", NIC, "altname", name];
            if tool("ip", &add).is_none() {
                return;
            }
        }
        for name in [ALTERNATIVE, "short"] {
            let sandbox = lab.sandbox();
            let call = call(lab, ("pod", &sandbox), &json!({ "device": name }));
            let result = call.add();
            assert_eq!(within(&sandbox, "net1").unwrap().alias, NIC);
            call.check(&result);
            call.del();
            is_at_home(lab, &before);
            for name in [NIC, ALTERNATIVE, "short"] {
                assert_eq!(on_host(lab, name).name, NIC);
            }
        }
    });
}

#[test]
fn without_ipam_the_device_is_lent_and_up() {
    in_lab(LINKSPAN, |lab| {
        let before = nic(lab);
        let sandbox = lab.sandbox();
        let dns = json!({ "nameservers": ["192.0.2.53"] });
        let over = json!({ "ipam": null, "dns": dns });
        let call = call(lab, ("pod", &sandbox), &over);
        let result = call.add();
        assert_eq!((&result["ips"], &result["dns"]), (&Value::Null, &dns));
        assert!(within(&sandbox, "net1").unwrap().up);
        call.check(&result);
        call.del();
        is_at_home(lab, &before);
    });
}

#[test]
fn a_device_that_was_down_comes_home_down_and_one_by_its_address_too() {
    in_lab(LINKSPAN, |lab| {
        nic(lab);
        on_host(lab, NIC).set_down().unwrap();
        on_host(lab, NIC).set_alias("").unwrap();
        let before = crate::state(lab, NIC).unwrap();
        let sandbox = lab.sandbox();
        let over = json!({ "device": null, "hwaddr": "02:00:00:00:00:07" });
        let call = call(lab, ("pod", &sandbox), &over);
        let result = call.add();
        assert_eq!(within(&sandbox, "net1").unwrap().alias, NIC);
        call.check(&result);
        call.del();
        is_at_home(lab, &before);
    });
}

#[test]
fn the_names_of_host_and_container_may_be_taken_on_the_other_side() {
    in_lab(LINKSPAN, |lab| {
        let before = nic(lab);
        let sandbox = lab.sandbox();
        // The container has an interface of the device's name, and the host one of the container's name.
        pair(lab, "net1", "other", [2, 0, 0, 0, 0, 9]);
        pair(lab, "tmp0", "tmp1", [2, 0, 0, 0, 0, 10]);
        let inner = on_host(lab, "tmp0");
        inner
            .move_to(std::os::fd::AsFd::as_fd(&sandbox.netns), NIC)
            .unwrap();
        let call = call(lab, ("pod", &sandbox), &json!({}));
        let result = call.add();
        assert_eq!(within(&sandbox, "net1").unwrap().alias, NIC);
        assert!(within(&sandbox, NIC).is_some());
        call.check(&result);
        call.del();
        is_at_home(lab, &before);
        assert!(within(&sandbox, NIC).is_some());
        assert_eq!(on_host(lab, "net1").mac[5], 9);
    });
}

/// A change of the interface by others.
type Change = fn(&Link);

#[test]
fn check_compares_every_promise() {
    in_lab(LINKSPAN, |lab| {
        let before = nic(lab);
        let changes: [(&str, Change); 5] = [
            ("state of \"net1\"", |link| link.set_down().unwrap()),
            ("mtu of \"net1\"", |link| link.set_mtu(1300).unwrap()),
            ("hardware address of \"net1\"", |link| {
                link.set_mac([2, 0, 0, 0, 0, 8]).unwrap();
            }),
            ("addresses of \"net1\"", |link| {
                let first = link.addrs(Some(Family::V4)).unwrap().remove(0);
                link.del_addr(first.ip, first.prefix).unwrap();
            }),
            ("interface \"net1\"", |link| {
                link.set_down().unwrap();
                link.set_name("other").unwrap();
            }),
        ];
        for (told, change) in changes {
            let sandbox = lab.sandbox();
            let call = call(lab, ("pod", &sandbox), &json!({}));
            let mut result = call.add();
            result["interfaces"][0]["mtu"] = json!(1480);
            call.check(&result);
            change(&within(&sandbox, "net1").unwrap());
            let failed = call.after(&result).verb("CHECK").run().failed(999);
            assert!(failed.contains(told), "{failed}");
            // DEL does not depend on the change.
            call.after(&result).del();
            is_at_home(lab, &before);
        }
        assert_eq!(before.alias, ALIAS);
    });
}
