//! A device that returned without a DEL gets its name and settings back, by GC or by the next ADD.

use std::os::fd::AsFd;

use linkspan_harness::call::Call;
use linkspan_harness::lab::{Lab, in_lab};
use serde_json::json;

use crate::{LINKSPAN, NIC, call, files, is_at_home, nic, on_host, within};

/// Lends the device, and returns it as the kernel does with hardware after a container's end: down, under its name in
/// the container.
fn dies(lab: &Lab, id: &str) {
    let sandbox = lab.sandbox();
    call(lab, (id, &sandbox), &json!({})).add();
    let link = within(&sandbox, "net1").unwrap();
    link.set_mtu(1300).unwrap();
    link.set_mac([2, 0, 0, 0, 0, 8]).unwrap();
    link.move_to(lab.host().as_fd(), "net1").unwrap();
    assert!(lab.rtnl().link_by_name(NIC).unwrap().is_none());
}

fn gc(lab: &Lab) -> Call {
    let sandbox = lab.sandbox();
    let valid = json!({ "cni.dev/valid-attachments": [] });
    call(lab, ("none", &sandbox), &valid)
        .verb("GC")
        .without("CNI_NETNS")
}

#[test]
fn gc_heals_it() {
    in_lab(LINKSPAN, |lab| {
        let before = nic(lab);
        dies(lab, "dead");
        gc(lab).run().succeeded();
        is_at_home(lab, &before);
        // A living container that the runtime does not know gives it back as well.
        let sandbox = lab.sandbox();
        call(lab, ("unknown", &sandbox), &json!({})).add();
        gc(lab).run().succeeded();
        is_at_home(lab, &before);
        assert!(within(&sandbox, "net1").is_none());
        // A valid one keeps it.
        let pod = call(lab, ("pod", &sandbox), &json!({}));
        pod.add();
        let valid = json!([{ "containerID": "pod", "ifname": "net1" }]);
        let keeps = json!({ "cni.dev/valid-attachments": valid });
        call(lab, ("none", &sandbox), &keeps)
            .verb("GC")
            .run()
            .succeeded();
        assert!(within(&sandbox, "net1").is_some());
        pod.del();
        is_at_home(lab, &before);
    });
}

#[test]
fn a_late_del_heals_it() {
    in_lab(LINKSPAN, |lab| {
        let before = nic(lab);
        dies(lab, "dead");
        let sandbox = lab.sandbox();
        call(lab, ("dead", &sandbox), &json!({})).netns("").del();
        is_at_home(lab, &before);
    });
}

#[test]
fn the_next_add_heals_it_whatever_it_goes_by() {
    in_lab(LINKSPAN, |lab| {
        let before = nic(lab);
        for over in [
            json!({}),
            json!({ "device": null, "hwaddr": "02:00:00:00:00:07" }),
            json!({ "device": "net1" }),
        ] {
            dies(lab, "dead");
            let sandbox = lab.sandbox();
            let pod = call(lab, ("pod", &sandbox), &over);
            let result = pod.add();
            let link = within(&sandbox, "net1").unwrap();
            assert_eq!((&*link.alias, link.mtu), (NIC, 1480), "{over}");
            assert_eq!(link.mac, before.settings.mac.unwrap());
            pod.check(&result);
            // Only the dead one's lease is left, which is for the pool's GC.
            assert_eq!(files(lab), ["net:pod:net1"]);
            pod.del();
            gc(lab).run().succeeded();
            is_at_home(lab, &before);
        }
    });
}

#[test]
fn a_loan_of_another_suite_is_healed_by_its_note() {
    in_lab(LINKSPAN, |lab| {
        nic(lab);
        for (name, over) in [
            ("net1", json!({})),
            ("net1", json!({ "device": "net1" })),
            ("dev7", json!({ "device": "dev7" })),
        ] {
            // The reference's alias, without a memory.
            let link = on_host(lab, NIC);
            link.set_down().unwrap();
            link.set_alias(NIC).unwrap();
            link.set_name(name).unwrap();
            let sandbox = lab.sandbox();
            let pod = call(lab, ("pod", &sandbox), &over);
            pod.add();
            assert_eq!(within(&sandbox, "net1").unwrap().alias, NIC, "{over}");
            pod.del();
            assert_eq!(on_host(lab, NIC).alias, "", "{over}");
        }
        // An administrator's alias does not count.
        on_host(lab, NIC).set_alias("uplink").unwrap();
        let sandbox = lab.sandbox();
        let pod = call(lab, ("pod", &sandbox), &json!({}));
        pod.add();
        assert_eq!(within(&sandbox, "net1").unwrap().alias, NIC);
        pod.del();
        assert_eq!(on_host(lab, NIC).alias, "uplink");
    });
}
