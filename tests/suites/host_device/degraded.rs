//! DEL from every state: without a namespace, a result, an alias or a name, and midway.

use std::fs;
use std::os::fd::AsFd;

use linkspan_harness::lab::in_lab;
use linkspan_harness::snapshot::Snapshot;
use serde_json::json;

use crate::{LINKSPAN, NIC, call, files, is_at_home, nic, on_host, pair, state, within};

#[test]
fn del_works_without_a_namespace_and_without_a_result() {
    in_lab(LINKSPAN, |lab| {
        let before = nic(lab);
        let plain = lab.dir().join("plain");
        fs::write(&plain, "").unwrap();
        let plain = plain.to_str().unwrap().to_owned();
        for path in ["", "/nonexistent", &plain] {
            let sandbox = lab.sandbox();
            let call = call(lab, ("pod", &sandbox), &json!({}));
            call.add();
            // The namespace lives on at ADD's path, with the device in it.
            call.clone().netns(path).del();
            is_at_home(lab, &before);
        }
        // A malformed result, and a configuration that names no device any more.
        for over in [
            json!({ "prevResult": "x" }),
            json!({ "device": null }),
            json!({ "device": null, "pciBusID": "0000:ff:1f.7" }),
            json!({ "device": 7, "hwaddr": [] }),
        ] {
            let sandbox = lab.sandbox();
            call(lab, ("pod", &sandbox), &json!({})).add();
            call(lab, ("pod", &sandbox), &over).del();
            is_at_home(lab, &before);
        }
    });
}

#[test]
fn del_finds_the_device_under_another_name_and_without_its_note() {
    in_lab(LINKSPAN, |lab| {
        let before = nic(lab);
        for (is_renamed, is_bare) in [(true, false), (false, true)] {
            let sandbox = lab.sandbox();
            let call = call(lab, ("pod", &sandbox), &json!({}));
            call.add();
            let link = within(&sandbox, "net1").unwrap();
            // Every change that a privileged container can make.
            link.set_down().unwrap();
            link.set_mtu(1400).unwrap();
            link.set_mac([2, 0, 0, 0, 0, 8]).unwrap();
            link.receive_all(false).unwrap();
            link.receive_all_multicast(true).unwrap();
            link.set_queue_length(7).unwrap();
            if is_renamed {
                link.set_name("other").unwrap();
            }
            if is_bare {
                link.set_alias("").unwrap();
            }
            call.del();
            is_at_home(lab, &before);
        }
    });
}

#[test]
fn a_device_that_is_on_its_way_arrives() {
    in_lab(LINKSPAN, |lab| {
        let before = nic(lab);
        // A DEL that was killed has renamed it in the container.
        let sandbox = lab.sandbox();
        let call = call(lab, ("pod", &sandbox), &json!({}));
        call.add();
        let link = within(&sandbox, "net1").unwrap();
        link.set_down().unwrap();
        link.set_name(NIC).unwrap();
        call.del();
        is_at_home(lab, &before);
        // One that was killed later has returned the device, and not yet removed the alias.
        call.add();
        let link = within(&sandbox, "net1").unwrap();
        link.move_to(lab.host().as_fd(), NIC).unwrap();
        call.del();
        is_at_home(lab, &before);
        // A killed ADD has set the alias, and nothing more.
        call.add();
        let link = within(&sandbox, "net1").unwrap();
        link.move_to(lab.host().as_fd(), NIC).unwrap();
        on_host(lab, NIC).set_up().unwrap();
        call.clone().netns("").del();
        is_at_home(lab, &before);
    });
}

#[test]
fn a_device_whose_name_is_taken_is_parked_and_gets_it_later() {
    in_lab(LINKSPAN, |lab| {
        let before = nic(lab);
        let sandbox = lab.sandbox();
        let pod = call(lab, ("pod", &sandbox), &json!({}));
        for by_gc in [true, false] {
            let result = pod.add();
            pair(lab, NIC, "taker", [2, 0, 0, 0, 0, 9]);
            let run = pod.after(&result).verb("DEL").run();
            run.succeeded();
            assert!(
                run.stderr.contains("nic0 of the host came home as dev"),
                "{}",
                run.stderr
            );
            assert_eq!(lab.leased("net"), [""; 0]);
            let links = lab.rtnl().links().unwrap();
            let parked = links.iter().find(|link| link.alias == NIC).unwrap();
            assert!(parked.name.starts_with("dev") && !parked.up, "{parked:?}");
            assert_eq!(parked.mac, before.settings.mac.unwrap());
            // Neither a second DEL nor GC takes the name from its new owner.
            pod.after(&result).del();
            let gc = json!({ "cni.dev/valid-attachments": [] });
            let gc = call(lab, ("none", &sandbox), &gc).verb("GC");
            gc.run().succeeded();
            assert_eq!(on_host(lab, NIC).mac[5], 9);
            on_host(lab, NIC).delete().unwrap();
            if by_gc {
                gc.run().succeeded();
            } else {
                let other = lab.sandbox();
                let next = call(lab, ("next", &other), &json!({}));
                next.add();
                assert_eq!(files(lab), ["net:next:net1"]);
                next.del();
            }
            is_at_home(lab, &before);
        }
    });
}

#[test]
fn del_spares_what_is_anothers() {
    in_lab(LINKSPAN, |lab| {
        let before = nic(lab);
        let sandbox = lab.sandbox();
        let late = call(lab, ("late", &sandbox), &json!({}));
        late.add();
        late.clone().netns("").del();
        is_at_home(lab, &before);
        let pod = call(lab, ("pod", &sandbox), &json!({}));
        let result = pod.add();
        // The path belongs to another container by now, which has the device.
        late.del();
        pod.check(&result);
        // The path of the host itself.
        let own = format!(
            "/proc/{}/task/{}/ns/net",
            std::process::id(),
            nix::unistd::gettid()
        );
        let host = Snapshot::of_host(lab);
        let of_host = late.clone().env("CNI_IFNAME", "wire0").netns(&own);
        of_host.env("CNI_NETNS_OVERRIDE", "1").del();
        assert_eq!(Snapshot::of_host(lab), host);
        pod.del();
        is_at_home(lab, &before);
        // An interface of another plugin under the name.
        pair(lab, "tmp0", "tmp1", [2, 0, 0, 0, 0, 10]);
        let inner = on_host(lab, "tmp0");
        inner.move_to(sandbox.netns.as_fd(), "net1").unwrap();
        pod.del();
        assert!(within(&sandbox, "net1").is_some());
        assert_eq!(state(lab, NIC), Some(before));
    });
}
